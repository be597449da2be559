//! What is done with a block of rows in phase 1, one thing after the other: by one thread; or, where a batch has fewer blocks than there
//! are threads, by all of them, who share the outputs of each product and not its rows. Each value is the same chain of multiply-adds
//! whoever computes it, so that changes no bit.

use std::ops::Range;

use ae_kernels::Element;
use ae_kernels::par::Crew;

use super::block::{Areas, Block};
use super::{Batch, Phases};
use crate::network::Network;
use crate::stage::Stage;

/// Something that is done with a block.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// The rows are brought in.
    Load,
    /// What the way up through a stage needs of its values is made.
    Ready(usize),
    /// The way up through a stage.
    Up(usize),
    /// The losses, and the delta of the output.
    Judge,
    /// What the way down through a stage, and phase 2, need of its delta is made.
    Turn(usize),
    /// The way down through a stage: the delta below.
    Down(usize),
}

/// A product that threads share, of a stage that is a layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Product {
    pub(super) of: ProductOf,
    pub(super) stage: usize,
    pub(super) layer: usize,
}

/// Which of a layer's products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProductOf {
    /// Its outputs: the way up.
    Outputs,
    /// The delta below it: the way down.
    DeltaBelow,
    /// Its gradients: a convolution's, which phase 2 only sums.
    Gradients,
}

/// The memory of all blocks of a batch, and of products that threads share.
#[derive(Debug)]
pub(crate) struct Memory<'a, T> {
    pub(super) blocks: &'a mut [T],
    pub(super) kept: &'a mut [T],
    pub(super) rooms: &'a mut [T],
}

/// [`Phases`] whose first is made of acts.
pub(crate) trait ByActs<T: Element>: Phases<T> {
    /// Where the values of a block are.
    fn areas(&self) -> &Areas;
    /// Does `act` with a block.
    fn act(&self, block: &Block<'_, T>, act: Act, memory: &mut [T], kept: &mut [T]);
    /// The multiply-adds of a product of so many rows from which on it may be shared, for one of them; `None` where this plan's are not.
    fn worth_sharing(&self, network: &Network<T>, rows: usize) -> Option<usize>;
    /// The product for all blocks, shared among the threads.
    fn share(
        &self,
        network: &Network<T>,
        crew: Crew<'_>,
        batch: Batch<'_, T>,
        product: Product,
        memory: Memory<'_, T>,
    );
}

/// What is done in `pass` of `stages` stages.
fn acts(areas: &Areas, stages: usize, pass: Range<usize>) -> impl Iterator<Item = Act> + Clone {
    let load = (pass.start == 0).then_some(Act::Load);
    let judge = (pass.end == stages).then_some(Act::Judge);
    let down = if pass.end == stages { 0..stages } else { 0..0 };
    let up = pass.flat_map(|index| [Act::Ready(index), Act::Up(index)]);
    let down = down.rev().flat_map(|index| {
        let below = areas.goes_below(index).then_some(Act::Down(index));
        std::iter::once(Act::Turn(index)).chain(below)
    });
    load.into_iter().chain(up).chain(judge).chain(down)
}

/// Takes a block through the stages `pass`.
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

/// Takes all blocks of the batch through the stages `pass`, if there are fewer of them than threads; says whether it did.
pub(super) fn shared_pass<T: Element, P: ByActs<T>>(
    plan: &P,
    network: &Network<T>,
    crew: Crew<'_>,
    batch: Batch<'_, T>,
    pass: Range<usize>,
    memory: Memory<'_, T>,
) -> bool {
    let Memory { blocks, kept, rooms } = memory;
    let (block_len, kept_len) = (plan.layout().block_len, plan.layout().kept_len);
    let rows = batch.indices.len();
    let Some(worth) = plan.worth_sharing(network, rows) else { return false };
    if blocks.len() / block_len.max(1) >= crew.threads() {
        return false;
    }
    let block_rows = plan.layout().block_panels * T::PANEL;
    let shared = |act: Act| {
        let (of, stage) = match act {
            Act::Up(stage) => (ProductOf::Outputs, stage),
            Act::Down(stage) => (ProductOf::DeltaBelow, stage),
            Act::Turn(stage) => (ProductOf::Gradients, stage),
            Act::Load | Act::Ready(_) | Act::Judge => return None,
        };
        let (layer, multiply_adds) = match &network.stages[stage] {
            Stage::Dense(layer) if of != ProductOf::Gradients => {
                (*layer, network.layers[*layer].inputs * network.layers[*layer].outputs)
            }
            Stage::Conv(conv) => (conv.layer, conv.map.multiply_adds()),
            _ => return None,
        };
        (multiply_adds >= worth).then_some(Product { of, stage, layer })
    };
    let mut acts = acts(plan.areas(), network.stages.len(), pass);
    loop {
        // What is not shared is done block by block, as much as there is of it at a time.
        let alone = acts.clone().take_while(|act| shared(*act).is_none());
        let count = alone.clone().count();
        if count > 0 {
            crew.for_each_chunk_with(blocks, block_len, kept, kept_len, |index, memory, kept| {
                let block = plan.block(network, batch.part(block_rows, index));
                alone.clone().for_each(|act| plan.act(&block, act, memory, kept));
            });
        }
        let Some(product) = acts.by_ref().nth(count).and_then(shared) else { return true };
        let memory = Memory { blocks: &mut *blocks, kept: &mut *kept, rooms: &mut *rooms };
        plan.share(network, crew, batch, product, memory);
    }
}
