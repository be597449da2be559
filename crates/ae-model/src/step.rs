//! One training step, in two phases with one barrier between them.
//!
//! Phase 1, each block of rows: gather and scale the rows; for l up: `layer.forward`; the loss and `delta(L)`; for l down:
//! turn the delta for phase 2 and `layer.backward_input`. A block stays in its core's cache.
//!
//! Phase 2, each range of the parameters: `layer.backward_parameters`, which sums the gradient over the whole batch in
//! registers and updates the parameters there.
//!
//! Every row and every parameter is computed by one task, in an order that depends on nothing but its place.

use ae_kernels::gemm::{BatchPanels, WeightRange};
use ae_kernels::loss;
use ae_kernels::panel::{self, Affine, Panels, PanelsMut, panel_count};
use ae_kernels::par::{Crew, DisjointRanges};
use ae_kernels::workspace::AlignedBuf;
use ae_kernels::{Element, Isa};

use crate::network::Network;
use crate::optim::Update;

/// Multiply-adds of a phase below which sharing it among threads costs more than it saves: waking a worker takes
/// about as long as half a million of them.
const WORTH_SHARING: usize = 1 << 20;
/// Parameters of a task of phase 2, about: enough to pay for its scheduling, and more where there are more, because
/// panels that are worked on together share the inputs that come to the core.
const RANGE: std::ops::RangeInclusive<usize> = 8 * 1024..=64 * 1024;
/// Tasks that keep many cores busy.
const TASKS: usize = 64;
/// Batch panels of a block at most: 128 rows of single precision, whose activations stay in a private cache while each
/// line of weights that comes to L1 serves eight panels.
const BLOCK_PANELS: usize = 8;
/// Blocks a thread, where the batch has as many panels: enough to even out threads that are late.
const BLOCKS_A_THREAD: usize = 2;

/// Where everything of a step lies in memory, for batches of up to `batch` rows of one network.
#[derive(Clone, Debug)]
pub(crate) struct StepPlan {
    batch: usize,
    block_panels: usize,
    block_len: usize,
    /// Per matrix of a block: the input of each layer and the output of the last.
    activations: Vec<usize>,
    /// Per layer: its turned deltas.
    turned: Vec<usize>,
    /// Two areas for the deltas of hidden layers.
    scratch: [usize; 2],
    /// Squared error of each row.
    errors: usize,
    /// Tasks of phase 2: ranges of the parameters, and the pieces of each.
    ranges: DisjointRanges,
    pieces: Vec<Vec<Piece>>,
    multiply_adds_a_row: usize,
}

#[derive(Clone, Debug)]
struct Piece {
    layer: usize,
    range: WeightRange,
    /// Within the range of the task.
    within: std::ops::Range<usize>,
}

impl StepPlan {
    /// `threads` decides how many rows a block has, which no result depends on: a row is computed for itself, and a
    /// parameter over all rows in their order.
    pub(crate) fn new<T: Element>(network: &Network<T>, batch: usize, threads: usize) -> Self {
        let panels = panel_count::<T>(batch).max(1);
        let block_panels = panels.div_ceil(BLOCKS_A_THREAD * threads.max(1)).min(BLOCK_PANELS);
        let rows = block_panels * T::PANEL;
        let mut end = 0;
        let mut take = |len: usize| {
            end += len;
            end - len
        };
        let mut activations: Vec<usize> = network.layers.iter().map(|l| take(l.inputs * rows)).collect();
        let outputs = |l: &crate::layer::Dense| l.outputs * rows;
        activations.push(network.layers.last().map_or(0, |l| take(outputs(l))));
        let turned = network.layers.iter().map(|l| take(panel::turned_len::<T>(l.outputs, rows))).collect();
        let hidden = network.layers.iter().skip(1).map(|l| l.inputs * rows).max().unwrap_or(0);
        let scratch = [take(hidden), take(hidden)];
        let errors = take(rows);
        let (ranges, pieces) = tasks(network);
        StepPlan {
            batch,
            block_panels,
            block_len: end,
            activations,
            turned,
            scratch,
            errors,
            ranges,
            pieces,
            multiply_adds_a_row: network.layers.iter().map(|l| l.inputs * l.outputs).sum(),
        }
    }

    /// Rows of the largest batch.
    pub(crate) fn batch(&self) -> usize {
        self.batch
    }

    /// Elements that [`run`] needs for its arena.
    pub(crate) fn arena_len<T: Element>(&self) -> usize {
        panel_count::<T>(self.batch).div_ceil(self.block_panels) * self.block_len
    }

    fn block_rows<T: Element>(&self) -> usize {
        self.block_panels * T::PANEL
    }

    fn worth_sharing(&self, rows: usize) -> bool {
        self.multiply_adds_a_row * rows >= WORTH_SHARING
    }
}

/// The parameters as tasks of about as many elements as [`RANGE`] allows: long panels divided, small layers joined.
fn tasks<T: Element>(network: &Network<T>) -> (DisjointRanges, Vec<Vec<Piece>>) {
    let most = (network.parameters.as_slice().len() / TASKS).clamp(*RANGE.start(), *RANGE.end());
    let mut ranges: Vec<std::ops::Range<usize>> = Vec::new();
    let mut pieces: Vec<Vec<Piece>> = Vec::new();
    for (index, layer) in network.layers.iter().enumerate() {
        for (place, range) in layer.ranges::<T>(most) {
            match (ranges.last_mut(), pieces.last_mut()) {
                (Some(last), Some(of_last)) if last.len() + place.len() <= most => {
                    let within = last.len()..last.len() + place.len();
                    of_last.push(Piece { layer: index, range, within });
                    last.end = place.end;
                }
                _ => {
                    pieces.push(vec![Piece { layer: index, range, within: 0..place.len() }]);
                    ranges.push(place);
                }
            }
        }
    }
    // In order and end to end by construction, so there is always a value.
    (DisjointRanges::new(ranges).unwrap_or_default(), pieces)
}

/// The rows of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a, T> {
    /// Row-major, as wide as the network's input.
    pub(crate) table: &'a [f32],
    /// Which rows of the table.
    pub(crate) indices: &'a [usize],
    /// Their scaling.
    pub(crate) map: Option<Affine<'a, T>>,
}

/// Phase 1: fills `arena` with the activations, turned deltas and squared errors of the batch.
pub(crate) fn rows_phase<T: Element>(
    network: &Network<T>,
    plan: &StepPlan,
    crew: Crew,
    batch: Batch<'_, T>,
    arena: &mut [T],
) {
    let rows = batch.indices.len();
    assert!(rows <= plan.batch, "{rows} rows in a plan for {}", plan.batch);
    let blocks = rows.div_ceil(plan.block_rows::<T>());
    let arena = &mut arena[..blocks * plan.block_len];
    crew.for_work(plan.worth_sharing(rows)).for_each_chunk(arena, plan.block_len, |index, block| {
        let first = index * plan.block_rows::<T>();
        let last = rows.min(first + plan.block_rows::<T>());
        let rows = Batch { indices: &batch.indices[first..last], ..batch };
        one_block(network, plan, rows, block);
    });
}

/// Phase 1 of one block of rows.
fn one_block<T: Element>(network: &Network<T>, plan: &StepPlan, batch: Batch<'_, T>, block: &mut [T]) {
    let isa = network.isa;
    let parameters = network.parameters.as_slice();
    let rows = batch.indices.len();
    let panels = panel_count::<T>(rows) * T::PANEL;
    let layers = &network.layers;
    let (Some(first), Some(last)) = (layers.first(), layers.last()) else { return };

    let (activations, rest) = block.split_at_mut(plan.turned[0]);
    let input = &mut activations[..first.inputs * panels];
    panel::gather_rows(isa, batch.table, batch.indices, batch.map, PanelsMut::new(input, first.inputs, rows));
    for (l, layer) in layers.iter().enumerate() {
        let (before, after) = activations.split_at_mut(plan.activations[l + 1]);
        let x = &before[plan.activations[l]..][..layer.inputs * panels];
        let y = &mut after[..layer.outputs * panels];
        layer.forward(
            isa,
            parameters,
            Panels::new(x, layer.inputs, rows),
            PanelsMut::new(y, layer.outputs, rows),
        );
    }

    let base = plan.turned[0];
    let (turned, rest) = rest.split_at_mut(plan.scratch[0] - base);
    let (scratch, errors) = rest.split_at_mut(plan.errors - plan.scratch[0]);
    let (mut above, mut below) = scratch.split_at_mut(plan.scratch[1] - plan.scratch[0]);

    let (hidden, output) = activations.split_at_mut(plan.activations[layers.len()]);
    let output = &mut output[..last.outputs * panels];
    let target = &hidden[..first.inputs * panels];
    loss::squared_error(
        isa,
        PanelsMut::new(output, last.outputs, rows),
        Panels::new(target, first.inputs, rows),
        &mut errors[..rows],
    );
    let mut delta: &[T] = output;
    for (l, layer) in layers.iter().enumerate().rev() {
        let delta_panels = Panels::new(delta, layer.outputs, rows);
        let len = panel::turned_len::<T>(layer.outputs, rows);
        panel::turn(isa, delta_panels, &mut turned[plan.turned[l] - base..][..len]);
        if l > 0 {
            let x = &hidden[plan.activations[l]..][..layer.inputs * panels];
            let dx = &mut below[..layer.inputs * panels];
            layer.backward_input(
                isa,
                parameters,
                delta_panels,
                Panels::new(x, layer.inputs, rows),
                layers[l - 1].activation,
                PanelsMut::new(dx, layer.inputs, rows),
            );
            std::mem::swap(&mut above, &mut below);
            delta = &above[..layer.inputs * panels];
        }
    }
}

/// Phase 2: sums the gradients over the batch that phase 1 left in `arena` and applies `update` to `parameters`.
#[allow(
    clippy::too_many_arguments,
    reason = "what the two phases share, and the two buffers that this one owns"
)]
pub(crate) fn parameters_phase<T: Element>(
    isa: Isa,
    layers: &[crate::layer::Dense],
    plan: &StepPlan,
    crew: Crew,
    rows: usize,
    arena: &[T],
    update: Update<T>,
    parameters: &mut [T],
    state: &mut [T],
) {
    let of = |offset: usize, panel_len: usize| BatchPanels {
        data: arena,
        block_len: plan.block_len,
        offset,
        panel_len,
        block_panels: plan.block_panels,
        rows,
    };
    let crew = crew.for_work(plan.worth_sharing(rows));
    crew.for_each_part(parameters, state, &plan.ranges, |index, parameters, state| {
        for Piece { layer, range, within } in &plan.pieces[index] {
            let dense = &layers[*layer];
            let x = of(plan.activations[*layer], dense.inputs * T::PANEL);
            let turned = of(plan.turned[*layer], panel::turned_len::<T>(dense.outputs, T::PANEL));
            let times = state.len() / parameters.len();
            dense.backward_parameters(
                isa,
                range,
                x,
                turned,
                update,
                &mut parameters[within.clone()],
                &mut state[within.start * times..within.end * times],
            );
        }
    });
}

/// Sum of the squared errors over the rows and features of the batch that phase 1 left in `arena`, in row order.
pub(crate) fn total_error<T: Element>(plan: &StepPlan, rows: usize, arena: &[T]) -> f64 {
    row_errors(plan, rows, arena).map(T::to_f64).sum()
}

/// Squared error of each row that phase 1 left in `arena`.
pub(crate) fn row_errors<'a, T: Element>(
    plan: &'a StepPlan,
    rows: usize,
    arena: &'a [T],
) -> impl Iterator<Item = T> + 'a {
    let block_rows = plan.block_rows::<T>();
    arena
        .chunks(plan.block_len.max(1))
        .flat_map(move |block| &block[plan.errors..][..block_rows])
        .take(rows)
        .copied()
}

/// An arena for the plan.
pub(crate) fn arena<T: Element>(plan: &StepPlan) -> AlignedBuf<T> {
    AlignedBuf::zeroed(plan.arena_len::<T>())
}
