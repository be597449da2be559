//! The acts of phase 1 on a block of rows, one after the other. They run on one thread or, if a batch
//! has few rows for its threads, on all threads, which share the outputs of each product rather than its
//! rows. Each value is the same chain of multiply-adds whichever thread computes it, so
//! sharing changes no bit.

use std::ops::Range;

use ae_kernels::Element;
use ae_kernels::par::Crew;

use super::block::{Areas, Block};
use super::{Batch, Phases, multiply_adds};
use crate::network::Network;
use crate::stage::Stage;

/// One operation on a block.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Loads the rows.
    Load,
    /// Prepares what the forward pass of a stage needs of its values.
    PrepareForward(usize),
    /// Runs the forward pass of a stage.
    Forward(usize),
    /// Computes the losses, and the delta of the output.
    Loss,
    /// Prepares what the backward pass of a stage, and phase 2, need of its delta.
    PrepareBackward(usize),
    /// Runs the backward pass of a stage: computes the delta below.
    Backward(usize),
}

/// A product, shared among threads, of a stage that is a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    pub(super) of: ProductOf,
    pub(super) stage: usize,
    pub(super) layer: usize,
}

/// Which of a layer's products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProductOf {
    /// Its outputs, in the forward pass.
    Outputs,
    /// The delta below it, in the backward pass.
    DeltaBelow,
    /// Its gradients: only for convolutions, whose gradients phase 2 merely sums.
    Gradients,
}

/// The memory of all blocks of a batch, and of products that threads share.
#[derive(Debug)]
pub(crate) struct StepMemory<'a, T> {
    pub(super) blocks: &'a mut [T],
    pub(super) kept: &'a mut [T],
    pub(super) shared_scratch: &'a mut [T],
}

/// [`Phases`] whose first phase is a sequence of acts.
pub(crate) trait ByActs<T: Element>: Phases<T> {
    /// Where the values of a block are.
    fn areas(&self) -> &Areas;
    /// Performs `act` on a block.
    fn act(&self, block: &Block<'_, T>, act: Act, memory: &mut [T], kept: &mut [T]);
    /// The multiply-adds per row from which sharing a product of `rows` rows among `threads` threads
    /// pays; `None` if this plan does not share products.
    fn worth_sharing(&self, network: &Network<T>, rows: usize, threads: usize) -> Option<usize>;
    /// Computes the product for all blocks, shared among the threads.
    fn share(
        &self,
        network: &Network<T>,
        crew: Crew<'_>,
        batch: Batch<'_, T>,
        product: Product,
        memory: StepMemory<'_, T>,
    );
}

/// The acts of `pass` in a network of `stages` stages.
fn acts(areas: &Areas, stages: usize, pass: Range<usize>) -> impl Iterator<Item = Act> + Clone {
    let load = (pass.start == 0).then_some(Act::Load);
    let loss = (pass.end == stages).then_some(Act::Loss);
    let backward = if pass.end == stages { 0..stages } else { 0..0 };
    let forward = pass.flat_map(|index| [Act::PrepareForward(index), Act::Forward(index)]);
    let backward = backward.rev().flat_map(|index| {
        let below = areas.needs_input_delta(index).then_some(Act::Backward(index));
        std::iter::once(Act::PrepareBackward(index)).chain(below)
    });
    load.into_iter().chain(forward).chain(loss).chain(backward)
}

/// Runs a block through the stages `pass`.
pub(super) fn one_block<T: Element, P: ByActs<T>>(
    plan: &P,
    block: &Block<'_, T>,
    pass: Range<usize>,
    memory: &mut [T],
    kept: &mut [T],
) {
    for act in acts(plan.areas(), block.network.stages.len(), pass) {
        plan.act(block, act, memory, kept);
    }
}

/// Runs all blocks of the batch through the stages `pass`, if the plan shares products; returns whether
/// it does.
pub(super) fn shared_pass<T: Element, P: ByActs<T>>(
    plan: &P,
    network: &Network<T>,
    crew: Crew<'_>,
    batch: Batch<'_, T>,
    pass: Range<usize>,
    memory: StepMemory<'_, T>,
) -> bool {
    let StepMemory { blocks, kept, shared_scratch } = memory;
    let (block_len, kept_len) = (plan.layout().block_len, plan.layout().kept_len);
    let rows = batch.indices.len();
    let Some(worth) = plan.worth_sharing(network, rows, crew.threads()) else { return false };
    let block_rows = plan.layout().block_panels * T::PANEL;
    let shared = |act: Act| {
        let (of, stage) = match act {
            Act::Forward(stage) => (ProductOf::Outputs, stage),
            Act::Backward(stage) => (ProductOf::DeltaBelow, stage),
            Act::PrepareBackward(stage) => (ProductOf::Gradients, stage),
            Act::Load | Act::PrepareForward(_) | Act::Loss => return None,
        };
        let layer = match &network.stages[stage] {
            Stage::Dense(layer) if of != ProductOf::Gradients => *layer,
            Stage::Conv(conv) => conv.layer,
            _ => return None,
        };
        (multiply_adds(network, &network.stages[stage]) >= worth).then_some(Product { of, stage, layer })
    };
    let mut acts = acts(plan.areas(), network.stages.len(), pass);
    loop {
        // Acts up to the next shared product run block by block.
        let unshared = acts.clone().take_while(|act| shared(*act).is_none());
        let count = unshared.clone().count();
        if count > 0 {
            crew.for_each_chunk_with(blocks, block_len, kept, kept_len, |index, memory, kept| {
                let block = plan.block(network, batch.part(block_rows, index));
                unshared.clone().for_each(|act| plan.act(&block, act, memory, kept));
            });
        }
        let Some(product) = acts.by_ref().nth(count).and_then(shared) else { return true };
        let memory =
            StepMemory { blocks: &mut *blocks, kept: &mut *kept, shared_scratch: &mut *shared_scratch };
        plan.share(network, crew, batch, product, memory);
    }
}
