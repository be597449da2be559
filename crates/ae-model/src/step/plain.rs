//! Steps on vectors: every matrix in panels, nothing in any other form.

use std::ops::Range;

use ae_kernels::Element;
use ae_kernels::conv;
use ae_kernels::gemm::{BatchPanels, Blocking, weight_gradient};
use ae_kernels::panel::{self, panel_count};
use ae_kernels::update::Rule;

use super::block::{Areas, Block};
use super::{Batch, Judged, Layout, Operands, Part, Phases, Piece, even_blocks};
use crate::network::Network;
use crate::stage::Stage;

/// Batch panels of a block at most: 128 rows of single precision, whose activations stay in a private cache while each
/// line of weights that comes to L1 serves eight panels.
const BLOCK_PANELS: usize = 8;
/// The same with convolutions, which have few weights for many values: two panels are worked on together.
const CONVOLUTION_PANELS: usize = 2;

/// Where everything of a block lies.
#[derive(Clone, Debug)]
pub(super) struct PlainPlan {
    layout: Layout,
    areas: Areas,
    /// Per layer: where its inputs are, its turned deltas, and the samples that it sees of a row.
    layers: Vec<Places>,
    /// Two areas for deltas, behind the values.
    scratch: [usize; 2],
}

/// Where phase 2 finds what it reads of a layer: among what is kept, but for inputs that are the values of a block.
#[derive(Clone, Copy, Debug)]
struct Places {
    inputs: usize,
    turned: usize,
    copies: usize,
    /// Of a convolution, in the place of turned deltas: gradients of each batch panel, of so many parameters.
    convolution: Option<usize>,
}

impl PlainPlan {
    pub(super) fn new<T: Element>(network: &Network<T>, batch: usize, threads: usize) -> Self {
        let panels = panel_count::<T>(batch).max(1);
        let convolutions = network.stages.iter().any(Stage::is_of_images);
        let most = if convolutions { CONVOLUTION_PANELS } else { BLOCK_PANELS };
        let block_panels = even_blocks(panels, threads, most);
        let rows = block_panels * T::PANEL;
        // Images have many values, and phase 2 reads few of them: the gradients of convolutions are there already. So blocks are where the
        // blocks before them were, which stays in the caches, and inputs of dense layers are kept.
        let looked_at = network.stages.iter().any(Stage::awaits_batch) || network.contraction().is_some();
        let reuses_blocks = convolutions && !looked_at;
        let (mut end, mut kept_len) = (0, 0);
        let mut take = |len: usize| {
            end += len;
            end - len
        };
        let mut keep = |len: usize| {
            kept_len += len;
            kept_len - len
        };
        let areas = Areas::new(network, rows, 0, &mut take);
        let mut layers = Vec::with_capacity(network.layers.len());
        for (index, stage) in network.stages.iter().enumerate() {
            let copies = areas.copies(index);
            match stage {
                Stage::Dense(layer) => {
                    let layer = &network.layers[*layer];
                    let inputs =
                        if reuses_blocks { keep(layer.inputs * rows * copies) } else { areas.at(index) };
                    let turned = keep(panel::turned_len::<T>(layer.outputs, rows * copies));
                    layers.push(Places { inputs, turned, copies, convolution: None });
                }
                Stage::Conv(conv) => {
                    let len = conv.map.parameters_len::<T>();
                    let turned = keep(panel_count::<T>(rows * copies) * len);
                    layers.push(Places { inputs: 0, turned, copies, convolution: Some(len) });
                }
                _ => {}
            }
        }
        let largest = areas.largest_delta(rows);
        let scratch = [take(largest), take(largest)];
        let losses = keep(rows * areas.most_copies());
        let squares = keep(rows * areas.most_copies());
        let judged = Judged { kept: true, losses, squares };
        let layout = Layout { block_panels, block_len: end, reuses_blocks, kept_len, judged };
        PlainPlan { layout, areas, layers, scratch }
    }
}

impl<T: Element> Phases<T> for PlainPlan {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn block<'a>(&'a self, network: &'a Network<T>, batch: Batch<'a, T>) -> Block<'a, T> {
        Block { network, areas: &self.areas, batch, cols: batch.indices.len() }
    }

    fn one_block(
        &self,
        network: &Network<T>,
        batch: Batch<'_, T>,
        pass: Range<usize>,
        memory: &mut [T],
        kept: &mut [T],
    ) {
        let isa = network.isa;
        let parameters = network.parameters.as_slice();
        let block = self.block(network, batch);
        let stages = &network.stages;
        let (values, scratch) = memory.split_at_mut(self.scratch[0]);
        if pass.start == 0 {
            block.load(values);
        }
        for index in pass.clone() {
            match &stages[index] {
                Stage::Dense(layer) => {
                    let (x, y, slopes) = block.around(values, index);
                    network.layers[*layer].forward(isa, parameters, x, y, slopes);
                }
                Stage::Conv(conv) => {
                    let (x, y, slopes) = block.around(values, index);
                    conv.forward(isa, &network.layers[conv.layer], parameters, x, y, slopes);
                }
                _ => block.forward(values, index),
            }
        }
        if pass.end < stages.len() {
            return;
        }

        let (kept, judged) = kept.split_at_mut(self.layout.judged.losses);
        let (losses, squares) = judged.split_at_mut(self.layout.judged.squares - self.layout.judged.losses);
        let (mut above, mut below) = scratch.split_at_mut(self.scratch[1] - self.scratch[0]);
        block.judge(values, losses, squares);
        let values = &*values;
        let mut delta = &values[self.areas.at(stages.len())..];
        for (index, stage) in stages.iter().enumerate().rev() {
            let goes_below = self.areas.goes_below(index);
            if let Stage::Dense(layer) = *stage {
                let dense = &network.layers[layer];
                let delta = block.delta(delta, index + 1);
                let len = panel::turned_len::<T>(dense.outputs, delta.cols());
                panel::turn(isa, delta, &mut kept[self.layers[layer].turned..][..len]);
                if self.layout.reuses_blocks {
                    let x = block.values(values, index).data();
                    kept[self.layers[layer].inputs..][..x.len()].copy_from_slice(x);
                }
                if goes_below {
                    let dx = block.delta_mut(below, index);
                    dense.backward_input(isa, parameters, delta, block.slope_below(values, index), dx);
                }
            } else if let Stage::Conv(conv) = stage {
                let (x, delta) = (block.values(values, index), block.delta(delta, index + 1));
                let len = conv.map.parameters_len::<T>() * x.count();
                let gradients = &mut kept[self.layers[conv.layer].turned..][..len];
                conv.map.weight_gradient(isa, x, delta, gradients);
                if goes_below {
                    let (weights, dx) =
                        (network.layers[conv.layer].parameters(parameters), block.delta_mut(below, index));
                    conv.map.backward_input(isa, weights, delta, block.slope_below(values, index), dx);
                }
            } else if goes_below {
                block.backward(values, index, delta, below, losses);
            }
            if goes_below {
                std::mem::swap(&mut above, &mut below);
                delta = above;
            }
        }
    }

    fn update(&self, operands: Operands<'_, T>, piece: &Piece, rule: Rule<T>, part: Part<'_, T>) {
        let layer = &operands.layers[piece.layer];
        let Places { inputs, turned, copies, convolution } = self.layers[piece.layer];
        // Several samples of a row are in panels of their own, whose padding has no deltas.
        let rows =
            if copies == 1 { operands.rows } else { panel_count::<T>(operands.rows) * T::PANEL * copies };
        let Layout { block_len, kept_len, reuses_blocks, .. } = self.layout;
        let (arena, kept) = ((operands.arena, block_len), (operands.kept, kept_len));
        let of = |(data, block_len), offset: usize, panel_len: usize| BatchPanels {
            data,
            block_len,
            offset,
            panel_len,
            block_panels: self.layout.block_panels * copies,
            rows,
        };
        if let Some(len) = convolution {
            let first = piece.start - layer.range.start;
            let gradients = of(kept, turned, len);
            conv::sum_gradients(operands.isa, gradients, first, rule, part.parameters, part.state);
            return;
        }
        weight_gradient(
            operands.isa,
            Blocking::default(),
            layer.inputs,
            &piece.range,
            of(if reuses_blocks { kept } else { arena }, inputs, layer.inputs * T::PANEL),
            of(kept, turned, panel::turned_len::<T>(layer.outputs, T::PANEL)),
            rule,
            part.parameters,
            part.state,
        );
    }
}
