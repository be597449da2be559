//! Products whose outputs threads share, on the plain path. Every block is a single panel of rows.

use std::ops::Range;

use ae_kernels::activation::Slope;
use ae_kernels::conv::Conv;
use ae_kernels::gemm::panels_per_tile;
use ae_kernels::panel::{Panels, PanelsMut, panel_count};
use ae_kernels::par::{Crew, Places, Split};
use ae_kernels::{Element, Isa};

use super::{BLOCK_PANELS, FAR, PlainPlan};
use crate::network::Network;
use crate::stage::{Convolution, Stage};
use crate::step::acts::{Product, ProductOf, StepMemory};
use crate::step::block::Block;
use crate::step::{Batch, FEWEST_ROWS, Layout, Phases, multiply_adds, product_worth_sharing};

/// Tasks per thread, to even out late threads.
const TASKS_PER_THREAD: usize = 2;
/// Bytes of one stage's values that stay in a core's L2 while weights pass through it.
const NEAR: usize = 1 << 20;

/// Whether threads share the outputs of products instead of dividing the rows of a batch.
///
/// Where rows are divided, every thread reads all weights, half of which another core has just updated;
/// and with fewer panels than a register tile spans, it does not fill its tiles. Where the outputs are
/// divided, it reads its portion of the weights and all rows, which pays if the weights are far away and
/// the rows are not. Two threads, AVX-512, 1024-2048-512 and 784-1000-500-250-30: 1.4 times as fast with
/// 32 rows, 1.17 with 64, 1.1 with 128, 0.95 with 256. With the weights of 784-256-128-64-32, which fit
/// into L2: 1.1 times with 32 rows, 0.98 to 1.0 with 64 and 128. On AVX2, whose tiles span one panel, it
/// was 0.9 to 1.0 times with 32 rows. Convolutions have few weights.
pub(super) fn pays<T: Element>(network: &Network<T>, rows: usize, threads: usize) -> bool {
    let panels = panel_count::<T>(rows).max(1);
    let images = network.stages.iter().any(Stage::is_image_stage);
    let per_tile = if images { 1 } else { panels_per_tile::<T>(network.isa) };
    let widest = (0..network.stages.len()).map(|stage| network.stage_shape(stage).0).max().unwrap_or(0);
    let near = panels <= BLOCK_PANELS && panels * T::PANEL * widest * size_of::<T>() <= NEAR;
    let far = size_of_val(network.parameters.as_slice()) > FAR;
    threads > 1
        && (panels < threads * per_tile || per_tile > 1 && near && far)
        && network.stages.iter().all(|stage| stage.samples_per_row() == 1)
        && network
            .stages
            .iter()
            .any(|stage| multiply_adds(network, stage) >= fewest_multiply_adds(network.isa, rows))
}

/// Multiply-adds per row from which sharing a product of `rows` rows pays.
pub(super) fn fewest_multiply_adds(isa: Isa, rows: usize) -> usize {
    product_worth_sharing(isa).div_ceil(rows.max(FEWEST_ROWS))
}

impl PlainPlan {
    /// What the forward product of a stage reads and writes in a block: inputs, outputs and slopes.
    fn places_of_outputs<T: Element>(&self, block: &Block<'_, T>, stage: usize) -> Places {
        let (inputs, outputs) = block.network.stage_shape(stage);
        Places {
            reads: [lines::<T>(self.areas.offset(stage), inputs), 0..0],
            writes: lines::<T>(self.areas.offset(stage + 1), outputs),
            secondary: block.slopes_at(stage).map_or(0..0, |at| lines::<T>(at, outputs)),
        }
    }

    /// What the backward product of a stage reads and writes in a block: its delta, what the slope below
    /// is computed from, and how, and the delta below.
    fn places_of_delta<T: Element>(&self, block: &Block<'_, T>, stage: usize) -> (Places, Slope) {
        let (inputs, outputs) = block.network.stage_shape(stage);
        let (below, slope) = block.slope_at(stage);
        let places = Places {
            reads: [lines::<T>(self.delta_at(stage + 1), outputs), lines::<T>(below, inputs)],
            writes: lines::<T>(self.delta_at(stage), inputs),
            secondary: 0..0,
        };
        (places, slope)
    }

    /// Shares a product of a dense layer, all rows of the batch at once.
    pub(super) fn share_dense<T: Element>(
        &self,
        network: &Network<T>,
        crew: Crew<'_>,
        batch: Batch<'_, T>,
        Product { of, stage, layer }: Product,
        StepMemory { blocks, .. }: StepMemory<'_, T>,
    ) {
        let (isa, parameters, layer) = (network.isa, network.parameters.as_slice(), &network.layers[layer]);
        let block = Phases::block(self, network, batch);
        let split = Split {
            cols: batch.indices.len(),
            pieces: TASKS_PER_THREAD * crew.threads(),
            // The outputs of a panel of weights; and the same portion of the inputs, which are the outputs
            // of the layer below.
            unit: T::PANEL,
            together: panels_per_tile::<T>(isa),
        };
        let block_len = self.layout.block_len;
        match of {
            ProductOf::Outputs => {
                let places = self.places_of_outputs(&block, stage);
                crew.for_each_part_of_panels(
                    blocks,
                    block_len,
                    &places,
                    split,
                    |first, [x, _], y, slopes| {
                        layer.forward_from(isa, parameters, first / T::PANEL, x, y, slopes);
                    },
                );
            }
            ProductOf::DeltaBelow => {
                let (places, slope) = self.places_of_delta(&block, stage);
                crew.for_each_part_of_panels(blocks, block_len, &places, split, |first, reads, dx, _| {
                    let [delta, below] = reads;
                    let below = below.rows_from(first, dx.rows());
                    layer.backward_input(isa, parameters, first, delta, (below, slope), dx);
                });
            }
            // Phase 2 computes them.
            ProductOf::Gradients => {}
        }
    }

    /// Shares a product of a convolution, in pieces of each block's.
    pub(super) fn share_convolution<T: Element>(
        &self,
        network: &Network<T>,
        crew: Crew<'_>,
        batch: Batch<'_, T>,
        (Product { of, stage, layer }, conv): (Product, &Convolution),
        StepMemory { blocks, kept, .. }: StepMemory<'_, T>,
    ) {
        let (isa, parameters, transposed) =
            (network.isa, network.parameters.as_slice(), self.layers[layer].transposed);
        let layer = &network.layers[layer];
        let (inputs, outputs) = network.stage_shape(stage);
        let Layout { block_len, kept_len, .. } = self.layout;
        let tasks =
            (TASKS_PER_THREAD * crew.threads()).div_ceil(panel_count::<T>(batch.indices.len()).max(1));
        let piece_len = |lines: usize, unit: usize| lines.div_ceil(tasks).next_multiple_of(unit) * T::PANEL;
        let rows = |block: usize| batch.part(T::PANEL, block).indices.len();
        let block = Phases::block(self, network, batch);
        match of {
            ProductOf::Outputs => {
                let places = self.places_of_outputs(&block, stage);
                // Whole pixels.
                let unit = Conv::channels(&conv.map);
                let len = piece_len(outputs, unit);
                crew.for_each_piece(blocks, block_len, &places, len, |block, start, [x, _], y, slopes| {
                    let (cols, lines) = (rows(block), y.len() / T::PANEL);
                    let slopes = (!slopes.is_empty()).then(|| PanelsMut::new(slopes, lines, cols));
                    let (x, y) = (Panels::new(x, inputs, cols), PanelsMut::new(y, lines, cols));
                    conv.forward(isa, (layer, parameters), x, start / T::PANEL / unit, y, slopes);
                });
            }
            ProductOf::DeltaBelow => {
                let (places, slope) = self.places_of_delta(&block, stage);
                let unit = Conv::channels_in(&conv.map);
                let len = piece_len(inputs, unit);
                crew.for_each_piece(blocks, block_len, &places, len, |block, start, reads, dx, _| {
                    let (cols, lines) = (rows(block), dx.len() / T::PANEL);
                    let [delta, below] = reads;
                    let below = (Panels::new(&below[start..][..dx.len()], lines, cols), slope);
                    let (delta, dx) = (Panels::new(delta, outputs, cols), PanelsMut::new(dx, lines, cols));
                    let weights = layer.parameters(parameters);
                    conv.map.backward_input(isa, weights, delta, start / T::PANEL / unit, below, dx);
                });
            }
            ProductOf::Gradients => {
                let gradients = conv.map.parameters_len::<T>() / T::PANEL;
                let places = Places {
                    reads: [0..0, 0..0],
                    writes: lines::<T>(transposed, gradients),
                    secondary: 0..0,
                };
                let x = lines::<T>(self.areas.offset(stage), inputs);
                let delta = lines::<T>(self.delta_at(stage + 1), outputs);
                let (blocks, len) = (&*blocks, piece_len(gradients, 1));
                crew.for_each_piece(kept, kept_len, &places, len, |block, start, _, gradients, _| {
                    let (cols, memory) = (rows(block), &blocks[block * block_len..][..block_len]);
                    let x = Panels::new(&memory[x.clone()], inputs, cols);
                    let delta = Panels::new(&memory[delta.clone()], outputs, cols);
                    conv.map.weight_gradient_from(isa, x, delta, start / T::PANEL, gradients);
                });
            }
        }
    }
}

/// The elements of `count` lines in a block of one panel.
fn lines<T: Element>(at: usize, count: usize) -> Range<usize> {
    at..at + count * T::PANEL
}
