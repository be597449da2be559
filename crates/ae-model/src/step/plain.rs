//! Steps on vectors: every matrix is in panels, and in no other form.

mod sharing;

use std::ops::Range;

use ae_kernels::Element;
use ae_kernels::conv;
use ae_kernels::gemm::{BatchPanels, Blocking, weight_gradient};
use ae_kernels::panel::{self, panel_count};
use ae_kernels::par::Crew;
use ae_kernels::update::Rule;

use super::acts::{self, Act, ByActs, Product, StepMemory};
use super::block::{Areas, Block};
use super::memory::{Divider, areas};
use super::{Batch, Layout, Operands, ParameterSlice, Phases, Piece, RowLossAreas, even_blocks};
use crate::network::Network;
use crate::stage::Stage;

/// The most batch panels in a block: 128 rows in single precision, so that each row of weights loaded
/// into L1 serves eight panels.
const BLOCK_PANELS: usize = 8;
/// The same with AVX-512 and weights beyond [`FAR`], which are read half as often: 1024-2048-512 with
/// batches of 1,024 is 1.02 to 1.06 times as fast, 784-1000-500-250-30 as fast as with fewer (Xeon with 2
/// MiB of L2 per core).
const FAR_BLOCK_PANELS: usize = 16;
/// Bytes of parameters beyond what the L2 of a core holds.
const FAR: usize = 2 << 20;
/// Bytes that a block may have regardless of its number of panels: a few panels of narrow rows are
/// computed in less time than it takes to share them.
const SMALL_BYTES: usize = 1 << 18;
/// Batch panels of a block of wide rows: two are processed together.
const WIDE_PANELS: usize = 2;
/// Bytes of a block. Values beyond that are written to memory by one stage and read back by the next.
/// This costs more than reading the weights more often, as long as the weights are few: the limit is at
/// least twice as many values as there are parameters.
const BLOCK_BYTES: usize = 3 << 20;
/// Batch panels of a block with convolutions, which have few weights for many values.
const CONVOLUTION_PANELS: usize = 2;

/// The fewest rounds, of one block per thread, with which a batch is processed in rounds. With three,
/// carrying the sums over costs more than it saves: 300 rows of 784-256-128-64-32 took 1.09 times as
/// long, but 1,024 took 0.97, and 4,096 took 0.92 (AVX2, one thread).
const ROUNDS: usize = 4;
/// The same if there are few parameters compared with the values of a block.
const ROUNDS_OF_FEW: usize = 2;

/// The memory layout of a block.
#[derive(Clone, Debug)]
pub(super) struct PlainPlan {
    layout: Layout,
    areas: Areas,
    /// What phase 2 reads, per layer.
    layers: Vec<LayerOffsets>,
    /// All values of the block, with what stages keep of them, and two areas for deltas.
    values: Range<usize>,
    deltas: [Range<usize>; 2],
    /// Whether threads share products; then blocks are single panels.
    shares: bool,
    uses_rounds: bool,
}

/// Where phase 2 finds the inputs and transposed deltas of a layer, and how many samples it sees per
/// row. Everything is in the kept memory, except inputs that are values of a block.
#[derive(Clone, Copy, Debug)]
struct LayerOffsets {
    inputs: usize,
    transposed: usize,
    samples_per_row: usize,
    /// For a convolution, the number of parameters: in place of transposed deltas there is a gradient
    /// for each batch panel.
    convolution: Option<usize>,
}

/// Elements to add to `len`, so that blocks of this many are 17 lines more apart than some multiple of 64
/// lines, which is what one way of an L1 cache holds.
fn apart<T: Element>(len: usize) -> usize {
    len.next_multiple_of(64 * T::PANEL) + 17 * T::PANEL - len
}

impl PlainPlan {
    pub(super) fn new<T: Element>(network: &Network<T>, batch: usize, threads: usize) -> Self {
        let panels = panel_count::<T>(batch).max(1);
        let parameters = network.parameters.as_slice().len();
        let one = Self::with_blocks(network, 1, false).elements();
        let few = (BLOCK_BYTES / size_of::<T>()).max(2 * parameters) / one.max(1);
        let convolutions = network.stages.iter().any(Stage::is_image_stage);
        let narrow = SMALL_BYTES / size_of::<T>() / one.max(1);
        let far = network.isa.vector_bytes() >= 64 && size_of_val(network.parameters.as_slice()) > FAR;
        let most = if far { FAR_BLOCK_PANELS } else { BLOCK_PANELS };
        let dense = few.clamp(WIDE_PANELS, most.max(narrow));
        let most = if convolutions { CONVOLUTION_PANELS } else { dense };
        let shares = sharing::pays(network, batch, threads);
        Self::with_blocks(network, if shares { 1 } else { even_blocks(panels, threads, most) }, shares)
    }

    /// Elements of a block's memory, including the kept memory.
    fn elements(&self) -> usize {
        self.layout.block_len + self.layout.kept_len
    }

    fn with_blocks<T: Element>(network: &Network<T>, block_panels: usize, shares: bool) -> Self {
        let convolutions = network.stages.iter().any(Stage::is_image_stage);
        let rows = block_panels * T::PANEL;
        // Images have many values, of which phase 2 reads few, since the gradients of convolutions are
        // complete by then. So blocks reuse the memory of earlier blocks, which stays in the caches, and
        // the inputs of dense layers are kept.
        let needs_all_rows =
            network.stages.iter().any(Stage::needs_whole_batch) || network.contraction().is_some();
        let reuses_blocks = convolutions && !needs_all_rows;
        // Only if nothing waits for all rows, and without images: their blocks are small, and phase 2
        // reads little of them. Where products are shared, there are few rows.
        let uses_rounds = !convolutions && !needs_all_rows && !shares;
        let (mut memory, mut kept) = (Divider::new(1), Divider::new(1));
        let areas = Areas::new(network, rows, 0, &mut memory);
        let values = 0..memory.len();
        let mut layers = Vec::with_capacity(network.layers.len());
        for (index, stage) in network.stages.iter().enumerate() {
            let samples_per_row = areas.samples_per_row(index);
            match stage {
                Stage::Dense(layer) => {
                    let layer = &network.layers[*layer];
                    let inputs = if reuses_blocks {
                        kept.take(layer.inputs * rows * samples_per_row).start
                    } else {
                        areas.offset(index)
                    };
                    let transposed = panel::transposed_len::<T>(layer.outputs, rows * samples_per_row);
                    let transposed = kept.take(transposed).start;
                    layers.push(LayerOffsets { inputs, transposed, samples_per_row, convolution: None });
                }
                Stage::Conv(conv) => {
                    let len = conv.map.parameters_len::<T>();
                    let transposed = kept.take(panel_count::<T>(rows * samples_per_row) * len).start;
                    layers.push(LayerOffsets {
                        inputs: 0,
                        transposed,
                        samples_per_row,
                        convolution: Some(len),
                    });
                }
                _ => {}
            }
        }
        let largest = areas.largest_delta(rows);
        let deltas = [memory.take(largest), memory.take(largest)];
        let [losses, squares] = [(); 2].map(|()| kept.take(rows * areas.max_samples_per_row()));
        let row_losses = RowLossAreas { in_kept: true, losses, squares };
        if shares {
            // Products read the same lines of every block, which must not all fall into the same sets
            // of a cache.
            memory.take(apart::<T>(memory.len()));
            kept.take(apart::<T>(kept.len()));
        }
        let (block_len, kept_len) = (memory.len(), kept.len());
        let layout = Layout { block_panels, block_len, reuses_blocks, kept_len, row_losses };
        PlainPlan { layout, areas, layers, values, deltas, shares, uses_rounds }
    }

    /// The fewest rounds, of one block per thread, with which a batch is processed in rounds; `None` if
    /// it never is.
    pub(super) fn rounds_from<T: Element>(&self, network: &Network<T>) -> Option<usize> {
        let few = 2 * network.parameters.as_slice().len() <= self.elements();
        self.uses_rounds.then_some(if few { ROUNDS_OF_FEW } else { ROUNDS })
    }

    /// Where the delta before stage `index` is: stages alternate between the two areas.
    fn delta_at(&self, index: usize) -> usize {
        if self.areas.is_output(index) { self.areas.offset(index) } else { self.deltas[index % 2].start }
    }

    /// The values, the delta after stage `index`, and room for the one before it.
    fn around<'m, T>(&self, memory: &'m mut [T], index: usize) -> (&'m [T], &'m [T], &'m mut [T]) {
        let [below, above] = [index % 2, (index + 1) % 2].map(|at| self.deltas[at].clone());
        let [values, below, above] = areas(memory, [self.values.clone(), below, above]);
        let values = &*values;
        (values, self.areas.delta_after(index, values, above), below)
    }
}

impl<T: Element> ByActs<T> for PlainPlan {
    fn areas(&self) -> &Areas {
        &self.areas
    }

    fn act(&self, block: &Block<'_, T>, act: Act, memory: &mut [T], kept: &mut [T]) {
        let network = block.network;
        let (isa, parameters) = (network.isa, network.parameters.as_slice());
        let stages = &network.stages;
        let RowLossAreas { losses, squares, .. } = self.layout.row_losses.clone();
        let [kept, losses, squares] = areas(kept, [0..losses.start, losses, squares]);
        match act {
            Act::Load => block.load(&mut memory[self.values.clone()]),
            Act::PrepareForward(_) => {}
            Act::Forward(index) => match &stages[index] {
                Stage::Dense(layer) => {
                    let (x, y, slopes) = block.around(memory, index);
                    network.layers[*layer].forward(isa, parameters, x, y, slopes);
                }
                Stage::Conv(conv) => {
                    let (x, y, slopes) = block.around(memory, index);
                    conv.forward(isa, (&network.layers[conv.layer], parameters), x, 0, y, slopes);
                }
                _ => block.forward(&mut memory[self.values.clone()], index),
            },
            Act::Loss => block.compute_loss(&mut memory[self.values.clone()], losses, squares),
            Act::PrepareBackward(index) => {
                let x = block.values(memory, index);
                let delta = block.delta(&memory[self.delta_at(index + 1)..], index + 1);
                if let Stage::Dense(layer) = stages[index] {
                    let len = panel::transposed_len::<T>(network.layers[layer].outputs, delta.cols());
                    panel::transpose_deltas(isa, delta, &mut kept[self.layers[layer].transposed..][..len]);
                    if self.layout.reuses_blocks {
                        let inputs = &mut kept[self.layers[layer].inputs..];
                        inputs[..x.data().len()].copy_from_slice(x.data());
                    }
                } else if let Stage::Conv(conv) = &stages[index] {
                    let len = conv.map.parameters_len::<T>() * x.count();
                    let gradients = &mut kept[self.layers[conv.layer].transposed..][..len];
                    conv.map.weight_gradient(isa, x, delta, gradients);
                }
            }
            Act::Backward(index) => {
                let (values, delta, below) = self.around(memory, index);
                match &stages[index] {
                    Stage::Dense(layer) => {
                        let (delta, dx) = (block.delta(delta, index + 1), block.delta_mut(below, index));
                        let slope = block.slope_below(values, index);
                        network.layers[*layer].backward_input(isa, parameters, 0, delta, slope, dx);
                    }
                    Stage::Conv(conv) => {
                        let (delta, dx) = (block.delta(delta, index + 1), block.delta_mut(below, index));
                        let weights = network.layers[conv.layer].parameters(parameters);
                        let slope = block.slope_below(values, index);
                        conv.map.backward_input(isa, weights, delta, 0, slope, dx);
                    }
                    _ => block.backward(values, index, delta, below, losses),
                }
            }
        }
    }

    fn worth_sharing(&self, network: &Network<T>, rows: usize, threads: usize) -> Option<usize> {
        (self.shares && threads > 1).then_some(sharing::fewest_multiply_adds(network.isa, rows))
    }

    fn share(
        &self,
        network: &Network<T>,
        crew: Crew<'_>,
        batch: Batch<'_, T>,
        product: Product,
        memory: StepMemory<'_, T>,
    ) {
        match &network.stages[product.stage] {
            Stage::Conv(conv) => self.share_convolution(network, crew, batch, (product, conv), memory),
            _ => self.share_dense(network, crew, batch, product, memory),
        }
    }
}

impl<T: Element> Phases<T> for PlainPlan {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn block<'a>(&'a self, network: &'a Network<T>, batch: Batch<'a, T>) -> Block<'a, T> {
        let rows = batch.indices.len();
        // With several samples per row, everything before them is computed for the padding too: samples
        // of padding have weight 0 but must be numbers.
        let whole = self.areas.max_samples_per_row() > 1;
        let cols = if whole { rows.next_multiple_of(T::PANEL) } else { rows };
        Block { network, areas: &self.areas, batch, cols }
    }

    fn one_block(
        &self,
        network: &Network<T>,
        batch: Batch<'_, T>,
        pass: Range<usize>,
        memory: &mut [T],
        kept: &mut [T],
    ) {
        acts::one_block(self, &self.block(network, batch), pass, memory, kept);
    }

    fn update(&self, operands: Operands<'_, T>, piece: &Piece, rule: Rule<T>, part: ParameterSlice<'_, T>) {
        let layer = &operands.layers[piece.layer];
        let LayerOffsets { inputs, transposed, samples_per_row, convolution } = self.layers[piece.layer];
        // Several samples per row are in panels of their own, whose padding has no deltas.
        let rows = if samples_per_row == 1 {
            operands.rows
        } else {
            panel_count::<T>(operands.rows) * T::PANEL * samples_per_row
        };
        let Layout { block_len, kept_len, reuses_blocks, .. } = self.layout;
        let (arena, kept) = ((operands.arena, block_len), (operands.kept, kept_len));
        let of = |(data, block_len), offset: usize, panel_len: usize| BatchPanels {
            data,
            block_len,
            offset,
            panel_len,
            block_panels: self.layout.block_panels * samples_per_row,
            rows,
        };
        if let Some(len) = convolution {
            let first = piece.start - layer.range.start;
            let gradients = of(kept, transposed, len);
            conv::sum_gradients(operands.isa, gradients, first, rule, part.parameters, part.state);
            return;
        }
        weight_gradient(
            operands.isa,
            Blocking::default(),
            (layer.inputs, layer.outputs),
            &piece.range,
            of(if reuses_blocks { kept } else { arena }, inputs, layer.inputs * T::PANEL),
            of(kept, transposed, panel::transposed_len::<T>(layer.outputs, T::PANEL)),
            (part.round, rule),
            part.parameters,
            part.state,
        );
    }
}
