//! One training step, in two phases with one barrier between them.
//!
//! Phase 1, for each block of rows: gathers, scales and corrupts the rows; runs the forward pass stage
//! by stage; computes the loss and the delta of the output (deltas are gradients with respect to the
//! argument of an activation); then runs the backward pass stage by stage, storing what phase 2 needs of
//! each delta and computing the delta below. A block stays in its core's cache. (A stage that must see
//! the whole batch splits the phase in two.)
//!
//! Phase 2, for each range of parameters: sums the gradient over the whole batch and applies the update.
//! (Convolutions, which have few parameters for their work, sum it over the rows of each batch panel in
//! phase 1; phase 2 sums over the panels.)
//!
//! A batch of several blocks per thread goes through both phases in rounds where possible: the sums of
//! one round carry over to the next, and what phase 2 reads of the rows is still in cache.
//!
//! Every row and every parameter is computed by one task, in an order that depends only on its position.
//!
//! # Which path a step takes
//!
//! | path | when | decided in |
//! |---|---|---|
//! | [`sparse`] codes | the stages are dense, top-k, dense, and the code is wide | `SparsePlan::new` |
//! | [`tiles`] | bf16, or f32 that is split: where it pays, or as [`crate::Products`] says | `Engine::plan_for`, [`tiles_pay`], `TilePlan::plan` |
//! | [`plain`] | otherwise | `StepPlan::new` |
//! | outputs of products shared among threads (plain, tiles) | few rows per thread, or far weights (plain); products that are worth it | `plain::sharing::pays`, `worth_sharing`; `acts::shared_pass` |
//! | rounds (plain) | several blocks per thread | `PlainPlan::rounds_from` |
//!
//! # What is in memory
//!
//! Each block has memory that phase 1 works in ("block") and memory that only phase 2 reads ("kept").
//! The [acts](acts::Act) of phase 1 write it:
//!
//! | area | in | written by | read by |
//! |---|---|---|---|
//! | values before and after each stage, and what stages save of them | block | `Load`, `Forward` | `Forward`, `Loss`, `Backward`; on the plain path also phase 2 |
//! | delta of the output, in place of the output | block | `Loss` | `PrepareBackward`, `Backward` |
//! | two deltas, in turn | block | `Backward` | `PrepareBackward`, `Backward` |
//! | plain: transposed deltas, or the gradients of a convolution; inputs, if blocks are reused | kept | `PrepareBackward` | phase 2 |
//! | tiles: the operands of this product and the next | block | the product before, or `Prepare…` | `Forward`, `Backward` |
//! | tiles: the inputs and deltas of each layer | kept | the same | phase 2 |
//! | sparse: rows and deltas row by row, active features and their deltas | block | a single act | phase 2, through an index |
//! | loss and squared error of each row | kept, or block (sparse) | `Loss` | the totals of the batch |

mod acts;
mod arena;
mod batch;
mod batch_statistics;
mod block;
mod contraction;
mod memory;
mod no_tiles;
mod parameters;
mod plain;
mod sparse;
mod tiles;

use std::convert::Infallible;
use std::fmt::Debug;
use std::ops::Range;

use ae_kernels::panel::{Panels, PanelsMut};
use ae_kernels::par::{Crew, DisjointRanges};
use ae_kernels::tile::Parts;
use ae_kernels::update::Rule;
use ae_kernels::{Element, Isa};
use serde::{Deserialize, Serialize};

use crate::file::Stored;
use crate::layer::Dense;
use crate::network::Network;
use crate::stage::Stage;
use crate::trainer::Compiled;
use acts::{ByActs, StepMemory};
pub(crate) use arena::Arena;
use arena::LastRound;
pub(crate) use batch::{Batch, Draws};
use block::Block;
use parameters::tasks;
pub(crate) use parameters::{Operands, ParameterSlice, Piece};
use plain::PlainPlan;
use sparse::SparsePlan;
use tiles::TilePlan;

/// Work, in multiply-adds, of a phase below which sharing it among threads costs more than it saves.
/// Break-even is at about 400,000 on AVX2 (Zen 3, 100-50-10 with batches of 16 and 32). AVX-512 takes half
/// the time, and the cores of a Xeon take longer to exchange cache lines: about two million (100-50-10 with
/// batches of 64 and 96, 300-20 with 32 and 128, 5-3 and 30-20-10-5-2 with 128 and 333).
fn phase_worth_sharing(isa: Isa) -> usize {
    if isa.vector_bytes() < 64 { 1 << 19 } else { 1 << 21 }
}

/// The same for a single product whose outputs are shared: 2^18 to 2^19 on AVX-512 (784-256-128-64-32 with
/// batches of 8 and 32).
fn product_worth_sharing(isa: Isa) -> usize {
    if isa.vector_bytes() < 64 { 1 << 18 } else { 1 << 19 }
}

/// The cost of a row, however narrow, besides its products, in multiply-adds: 50 ns for five values
/// (AVX2).
const ROW_OVERHEAD: usize = 1 << 11;
/// The same of each value between the stages of a row, which is scaled, activated, compared or transposed:
/// about a nanosecond (AVX-512).
const VALUE_OVERHEAD: usize = 1 << 5;
/// Products of fewer rows take as long as those of this many: the weights must be read and written
/// anyway.
const FEWEST_ROWS: usize = 4;

/// The arithmetic of a network: `f32` or `f64`.
#[allow(private_bounds, reason = "closed: only these two have the steps that it stands for")]
pub trait Arithmetic: Element + Compiled + Stored {
    /// Its steps on tiles; an uninhabited type if it has none.
    #[doc(hidden)]
    type Tiles: OnTiles<Self>;
}

impl Arithmetic for f32 {
    type Tiles = TilePlan;
}

impl Arithmetic for f64 {
    type Tiles = Infallible;
}

/// The two phases for one way of computing products, and the memory layout of a block of rows:
/// `block_len` elements that phase 1 works in, and `kept_len` that only phase 2 reads.
pub(crate) trait Phases<T>: Clone + Debug + Send + Sync {
    fn layout(&self) -> &Layout;
    /// Runs the forward pass through the stages `pass` and, if they reach the last stage, the whole
    /// backward pass.
    fn one_block(
        &self,
        network: &Network<T>,
        batch: Batch<'_, T>,
        pass: Range<usize>,
        block: &mut [T],
        kept: &mut [T],
    );
    /// A view of a block of rows, to read its values.
    fn block<'a>(&'a self, network: &'a Network<T>, batch: Batch<'a, T>) -> Block<'a, T>;
    /// Sums the gradients of a piece over the batch and updates its parameters by `rule`.
    fn update(&self, operands: Operands<'_, T>, piece: &Piece, rule: Rule<T>, part: ParameterSlice<'_, T>);
}

/// [`Phases`] on tiles.
pub(crate) trait OnTiles<T: Element>: ByActs<T> {
    /// The plan for batches of up to `batch` rows, if the arithmetic and the network support tiles.
    fn plan(network: &Network<T>, batch: usize, threads: usize, parts: Parts) -> Option<Self>;
    /// Whether the arithmetic has tiles.
    const AVAILABLE: bool;
    /// Elements of memory that `threads` threads need to share products.
    fn scratch_len(&self, threads: usize) -> usize;
    /// Elements of the two memory areas that [`OnTiles::encode`] needs.
    fn encode_len(parts: Parts, inputs: usize, batch_panels: usize) -> [usize; 2];
    /// The forward product of a single layer, for an even number of whole batch panels.
    fn encode(
        isa: Isa,
        parts: Parts,
        layer: &Dense,
        all: &[T],
        x: Panels<'_, T>,
        y: PanelsMut<'_, T>,
        memory: [&mut [T]; 2],
    );
}

/// Sizes of a step's memory.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Batch panels per block.
    block_panels: usize,
    block_len: usize,
    /// Whether there is only one block per thread, which only phase 1 reads, instead of one for each
    /// block of the batch.
    reuses_blocks: bool,
    kept_len: usize,
    row_losses: RowLossAreas,
}

/// Where the loss and the squared error of each row are stored: in the kept memory or in the block.
#[derive(Clone, Debug)]
struct RowLossAreas {
    in_kept: bool,
    losses: Range<usize>,
    squares: Range<usize>,
}

/// Whether splitting `f32` products for tiles is faster than computing them plainly, according to
/// measurements: splitting costs work for every value between the layers, so the layers must be wide,
/// and there must be rows for more than one and a half pairs of batch panels: with 48, one thread gains a
/// twentieth, and two lose a seventh.
pub(crate) fn tiles_pay<T: Arithmetic>(network: &Network<T>, batch: usize) -> bool {
    const MULTIPLY_ADDS_PER_VALUE: usize = 64;
    const ROWS: usize = 49;
    let products: usize = network.layers.iter().map(|l| l.inputs * l.outputs).sum();
    let values: usize = network.layers.iter().map(|l| l.inputs + l.outputs).sum();
    let one_sample = network.stages.iter().all(|stage| stage.samples_per_row() == 1);
    let dense = !network.stages.iter().any(Stage::is_image_stage);
    T::Tiles::AVAILABLE
        && network.isa.has_tiles()
        && dense
        && one_sample
        && batch >= ROWS
        && products >= MULTIPLY_ADDS_PER_VALUE * values
}

/// How many of `total` panels a block has, at most `most`: gives as few blocks as possible, and equally
/// many to each thread. Larger blocks read the weights less often, which is worth more than what many
/// small blocks could gain by evening out late threads.
fn even_blocks(total: usize, threads: usize, most: usize) -> usize {
    let threads = threads.max(1);
    let rounds = total.div_ceil(most * threads).max(1);
    total.div_ceil(rounds * threads).max(1)
}

/// How the products are computed.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "there is one per plan")]
enum Strategy<T: Arithmetic> {
    Plain(PlainPlan),
    Tiles(T::Tiles),
    Sparse(SparsePlan),
}

/// The memory layout of a step, for batches of up to `batch` rows of one network.
#[derive(Clone, Debug)]
pub(crate) struct StepPlan<T: Arithmetic> {
    batch: usize,
    /// Rows per round.
    round_rows: usize,
    threads: usize,
    isa: Isa,
    strategy: Strategy<T>,
    layout: Layout,
    /// Tasks of phase 2: ranges of the parameters, and the pieces of each range.
    ranges: DisjointRanges,
    pieces: Vec<Vec<Piece>>,
    work_per_row: usize,
    /// Values per row from which the largest of the whole batch are chosen; 0 if none are.
    candidates_per_row: usize,
}

impl<T: Arithmetic> StepPlan<T> {
    /// Plans steps on up to `batch` rows. `threads` determines how many rows a block has, which affects
    /// no result: a row is computed by itself, and a parameter over all rows in their order. `parts`
    /// requests tiles.
    pub(crate) fn new(network: &Network<T>, batch: usize, threads: usize, parts: Option<Parts>) -> Self {
        let parts = parts.filter(|_| T::Tiles::AVAILABLE);
        let work_per_row = work_per_row(network);
        let (isa, requested) = (network.isa, threads);
        let threads = if pays_to_share(isa, work_per_row, batch) { threads } else { 1 };
        let strategy: Strategy<T> = if let Some(sparse) = SparsePlan::new(network, batch, threads, parts) {
            Strategy::Sparse(sparse)
        } else if let Some(tiles) = parts.and_then(|parts| T::Tiles::plan(network, batch, threads, parts)) {
            Strategy::Tiles(tiles)
        } else {
            Strategy::Plain(PlainPlan::new(network, batch, threads))
        };
        let layout = match &strategy {
            Strategy::Plain(plan) => Phases::<T>::layout(plan).clone(),
            Strategy::Tiles(plan) => plan.layout().clone(),
            Strategy::Sparse(plan) => Phases::<T>::layout(plan).clone(),
        };
        let round = layout.block_panels * T::PANEL * threads.max(1);
        let rounds_from = match &strategy {
            Strategy::Plain(plan) => plan.rounds_from(network),
            Strategy::Tiles(_) | Strategy::Sparse(_) => None,
        };
        let in_rounds = rounds_from.is_some_and(|from| batch.div_ceil(round) >= from);
        let round_rows = if in_rounds { round } else { batch.max(1) };
        let (ranges, pieces) = tasks(network, threads);
        let candidates_per_row = network.batch_top_k().map_or(0, |latent| latent.features);
        StepPlan {
            batch,
            round_rows,
            threads: requested,
            isa,
            strategy,
            layout,
            ranges,
            pieces,
            work_per_row,
            candidates_per_row,
        }
    }

    /// The largest batch size, in rows.
    pub(crate) fn batch(&self) -> usize {
        self.batch
    }

    /// The number of threads that the plan was made for. Too little work is planned for one of them.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// The most rows of a batch that are in the arena at a time.
    fn max_rows(&self) -> usize {
        self.batch.min(self.round_rows)
    }

    fn block_rows(&self) -> usize {
        self.layout.block_panels * T::PANEL
    }

    fn crew<'t>(&self, crew: Crew<'t>, rows: usize) -> Crew<'t> {
        crew.for_work(pays_to_share(self.isa, self.work_per_row, rows))
    }

    /// Runs phase 1 and, in all rounds but the last, the gradient sums of phase 2, leaving in the arena
    /// what phase 2 needs of the batch. Returns the sums of the losses, in row order.
    pub(crate) fn rows_phase(
        &self,
        network: &Network<T>,
        crew: Crew<'_>,
        batch: Batch<'_, T>,
        arena: &mut Arena<T>,
    ) -> Totals {
        let mut totals = Totals::default();
        let rounds = batch.indices.len().div_ceil(self.round_rows).max(1);
        for round in 0..rounds {
            let batch = batch.part(self.round_rows, round);
            self.round(network, crew, batch, arena);
            let rows = batch.indices.len();
            let RowLossAreas { losses, squares, .. } = &self.layout.row_losses;
            self.each(losses, rows, arena).for_each(|loss| totals.loss += loss);
            self.each(squares, rows, arena).for_each(|square| totals.squares += square);
            arena.last_round = LastRound { rows, is_first: round == 0 };
            if round + 1 < rounds {
                self.accumulate_gradients(network, crew, arena);
            }
        }
        totals
    }

    /// Computes the loss of each row of a batch into `out`.
    pub(crate) fn losses(
        &self,
        network: &Network<T>,
        crew: Crew<'_>,
        batch: Batch<'_, T>,
        arena: &mut Arena<T>,
        out: &mut [f64],
    ) {
        for (round, out) in out.chunks_mut(self.round_rows).enumerate() {
            let batch = batch.part(self.round_rows, round);
            self.round(network, crew, batch, arena);
            let losses = self.each(&self.layout.row_losses.losses, batch.indices.len(), arena);
            out.iter_mut().zip(losses).for_each(|(out, loss)| *out = loss);
        }
    }

    /// Runs phase 1 of a round.
    fn round(&self, network: &Network<T>, crew: Crew<'_>, batch: Batch<'_, T>, arena: &mut Arena<T>) {
        let rows = batch.indices.len();
        assert!(rows <= self.max_rows(), "{rows} rows in a plan for {}", self.batch);
        if let Some((stage, _)) = network.contraction() {
            self.contractive_passes(network, crew, batch, stage, arena);
            return;
        }
        self.all_passes(network, crew, batch, arena);
    }

    /// Calls `work` with every block of rows of the batch and its memory, in order.
    fn for_each_block(
        &self,
        network: &Network<T>,
        batch: Batch<'_, T>,
        arena: &Arena<T>,
        mut work: impl FnMut(Block<'_, T>, &[T]),
    ) {
        let blocks = arena.blocks.as_slice().chunks(self.layout.block_len.max(1));
        let count = batch.indices.len().div_ceil(self.block_rows());
        for (index, memory) in blocks.take(count).enumerate() {
            let batch = batch.part(self.block_rows(), index);
            match &self.strategy {
                Strategy::Plain(plan) => work(plan.block(network, batch), memory),
                Strategy::Tiles(plan) => work(plan.block(network, batch), memory),
                Strategy::Sparse(plan) => work(plan.block(network, batch), memory),
            }
        }
    }

    /// Runs all stages forward and backward, in two passes if one of them awaits the whole batch.
    fn all_passes(&self, network: &Network<T>, crew: Crew<'_>, batch: Batch<'_, T>, arena: &mut Arena<T>) {
        let stages = network.stages.len();
        let Some(barrier) = network.stages.iter().position(Stage::needs_whole_batch) else {
            self.pass(network, crew, batch, 0..stages, arena);
            self.fill_index(network, batch, arena);
            return;
        };
        self.pass(network, crew, batch, 0..barrier, arena);
        self.batch_statistics(network, batch, barrier, arena);
        let means = std::mem::take(&mut arena.means);
        let batch = Batch { code_means: Some(&means), threshold: arena.threshold, ..batch };
        self.pass(network, crew, batch, barrier..stages, arena);
        self.fill_index(network, batch, arena);
        arena.means = means;
    }

    /// Lists the active features of a sparse code.
    fn fill_index(&self, network: &Network<T>, batch: Batch<'_, T>, arena: &mut Arena<T>) {
        if let Strategy::Sparse(plan) = &self.strategy {
            plan.fill(&network.layers, batch, arena.blocks.as_slice(), &mut arena.index);
        }
    }

    /// Runs every block of rows through the stages `pass`.
    fn pass(
        &self,
        network: &Network<T>,
        crew: Crew<'_>,
        batch: Batch<'_, T>,
        pass: Range<usize>,
        arena: &mut Arena<T>,
    ) {
        let rows = batch.indices.len();
        let blocks = rows.div_ceil(self.block_rows());
        let Layout { block_len, kept_len, reuses_blocks, .. } = self.layout;
        let (crew, kept) = (self.crew(crew, rows), arena.kept.as_mut_slice());
        let work = |index: usize, block: &mut [T], kept: &mut [T]| {
            let batch = batch.part(self.block_rows(), index);
            match &self.strategy {
                Strategy::Plain(plan) => plan.one_block(network, batch, pass.clone(), block, kept),
                Strategy::Tiles(plan) => plan.one_block(network, batch, pass.clone(), block, kept),
                Strategy::Sparse(plan) => plan.one_block(network, batch, pass.clone(), block, kept),
            }
        };
        let (data, kept) = (arena.blocks.as_mut_slice(), &mut kept[..blocks * kept_len]);
        // Products are shared only where every block has memory: those that reuse blocks share products only
        // if there are fewer blocks than threads.
        if let Some(blocks) = data.get_mut(..blocks * block_len) {
            let memory =
                StepMemory { blocks, kept: &mut *kept, shared_scratch: arena.shared_scratch.as_mut_slice() };
            let shared = match &self.strategy {
                Strategy::Plain(plan) => acts::shared_pass(plan, network, crew, batch, pass.clone(), memory),
                Strategy::Tiles(plan) => acts::shared_pass(plan, network, crew, batch, pass.clone(), memory),
                Strategy::Sparse(_) => false,
            };
            if shared {
                return;
            }
        }
        if reuses_blocks {
            crew.for_each_chunk_in(kept, kept_len, data, block_len, |index, kept, block| {
                work(index, block, kept);
            });
        } else {
            crew.for_each_chunk_with(&mut data[..blocks * block_len], block_len, kept, kept_len, work);
        }
    }

    /// The smallest value that a batch top-k latent kept in the batch that phase 1 left in `arena`.
    pub(crate) fn batch_threshold(&self, arena: &Arena<T>) -> Option<f64> {
        arena.threshold.map(Element::to_f64)
    }

    /// Calls `each` with every feature of a sparse code, and its value, for each row of the batch that
    /// phase 1 left in `arena` in which it was active.
    pub(crate) fn each_active(&self, rows: usize, arena: &Arena<T>, each: impl FnMut(u32, f64)) {
        if let Strategy::Sparse(plan) = &self.strategy {
            plan.each_active(rows, arena.blocks.as_slice(), each);
        }
    }

    /// The values in an area of each block, in the memory that holds the losses, row by row.
    fn each(&self, area: &Range<usize>, rows: usize, arena: &Arena<T>) -> impl Iterator<Item = f64> {
        let Layout { block_len, kept_len, ref row_losses, .. } = self.layout;
        let (memory, len) =
            if row_losses.in_kept { (&arena.kept, kept_len) } else { (&arena.blocks, block_len) };
        let blocks = memory.as_slice().chunks(len.max(1));
        let area = area.start..area.start + self.block_rows();
        blocks.flat_map(move |block| &block[area.clone()]).take(rows).map(|value| value.to_f64())
    }
}

/// Sums over the rows of a batch.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Totals {
    /// Of the losses, including the penalties of stages.
    pub(crate) loss: f64,
    /// Of the squared errors, summed over the features too.
    pub(crate) squares: f64,
}

impl Totals {
    /// Adds the sums of other rows.
    pub(crate) fn add(&mut self, more: Totals) {
        self.loss += more.loss;
        self.squares += more.squares;
    }
}

/// Whether phases of so many rows are worth sharing among threads.
fn pays_to_share(isa: Isa, work_per_row: usize, rows: usize) -> bool {
    work_per_row.saturating_mul(rows.max(FEWEST_ROWS)) >= phase_worth_sharing(isa)
}

/// The work of a row: multiply-adds of the forward products, and what takes as long.
fn work_per_row<T: Element>(network: &Network<T>) -> usize {
    let mut samples_per_row = 1;
    let mut sum = ROW_OVERHEAD + VALUE_OVERHEAD * network.input;
    for (index, stage) in network.stages.iter().enumerate() {
        samples_per_row *= stage.samples_per_row();
        let (_, features) = network.stage_shape(index);
        sum += samples_per_row * (multiply_adds(network, stage) + VALUE_OVERHEAD * features);
    }
    sum
}

/// Multiply-adds of a stage for one sample.
fn multiply_adds<T: Element>(network: &Network<T>, stage: &Stage) -> usize {
    match stage {
        Stage::Dense(layer) => network.layers[*layer].inputs * network.layers[*layer].outputs,
        Stage::Conv(conv) => conv.map.multiply_adds(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::even_blocks;

    #[test]
    fn blocks_are_few_and_threads_have_as_many_panels() {
        for (total, threads, most) in
            (1..70).flat_map(|t| [1, 2, 3, 7].map(|n| [1, 4, 8].map(|m| (t, n, m)))).flatten()
        {
            let len = even_blocks(total, threads, most);
            assert!((1..=most).contains(&len), "{total} panels, {threads} threads: blocks of {len}");
            let blocks = total.div_ceil(len);
            let a_thread = blocks.div_ceil(threads) * len;
            let rounds = total.div_ceil(most * threads);
            assert!(
                blocks <= rounds * threads,
                "{total} panels, {threads} threads: {blocks} blocks of {len}"
            );
            assert!(
                a_thread < total.div_ceil(threads) + rounds,
                "{total} panels, {threads} threads: {a_thread}"
            );
        }
        assert_eq!([even_blocks(8, 2, 8), even_blocks(20, 2, 8), even_blocks(64, 2, 8)], [4, 5, 8]);
        assert_eq!(even_blocks(0, 0, 8), 1);
    }
}
