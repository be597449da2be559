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

/// What is done with a block of rows, one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) enum Act {
    /// The rows are brought in.
    Load,
    /// The way up through a stage.
    Up(usize),
    /// The losses, and the delta of the output.
    Judge,
    /// What phase 2 will read of a stage is put aside.
    Keep(usize),
    /// The way down through a stage: the delta below.
    Down(usize),
}

impl PlainPlan {
    /// Batch panels of a block.
    pub(super) fn block_panels(&self) -> usize {
        self.layout.block_panels
    }

    /// Elements of the memory of a block, and of what is kept of it.
    pub(super) fn memory_len(&self) -> [usize; 2] {
        [self.layout.block_len, self.layout.kept_len]
    }

    /// Where the values before stage `index` are.
    pub(super) fn values_at(&self, index: usize) -> usize {
        self.areas.at(index)
    }

    /// What is done in `pass` of `stages` stages.
    pub(super) fn acts(&self, stages: usize, pass: Range<usize>) -> impl Iterator<Item = Act> + Clone + '_ {
        let load = (pass.start == 0).then_some(Act::Load);
        let judge = (pass.end == stages).then_some(Act::Judge);
        let down = if pass.end == stages { 0..stages } else { 0..0 };
        let down = down.rev().flat_map(|index| {
            [Some(Act::Keep(index)), self.areas.goes_below(index).then_some(Act::Down(index))]
                .into_iter()
                .flatten()
        });
        load.into_iter().chain(pass.map(Act::Up)).chain(judge).chain(down)
    }

    /// Where the delta before stage `index` of so many is.
    pub(super) fn delta_at(&self, stages: usize, index: usize) -> usize {
        match (stages - index).checked_sub(1) {
            None => self.areas.at(stages),
            Some(done) => self.scratch[done % 2],
        }
    }

    /// The values, the delta after stage `index` of so many, and room for the one before it.
    fn around<'m, T>(
        &self,
        memory: &'m mut [T],
        stages: usize,
        index: usize,
    ) -> (&'m [T], &'m [T], &'m mut [T]) {
        let (values, scratch) = memory.split_at_mut(self.scratch[0]);
        let (first, second) = scratch.split_at_mut(self.scratch[1] - self.scratch[0]);
        let (above, below) = match (stages - index) % 2 {
            0 => (first, second),
            _ => (second, first),
        };
        let values = &*values;
        let delta = if index + 1 == stages { &values[self.areas.at(stages)..] } else { above };
        (values, delta, below)
    }

    /// Does `act` with a block.
    pub(super) fn act<T: Element>(&self, block: &Block<'_, T>, act: Act, memory: &mut [T], kept: &mut [T]) {
        let network = block.network;
        let (isa, parameters) = (network.isa, network.parameters.as_slice());
        let (stages, count) = (&network.stages, network.stages.len());
        let (kept, judged) = kept.split_at_mut(self.layout.judged.losses);
        let (losses, squares) = judged.split_at_mut(self.layout.judged.squares - self.layout.judged.losses);
        match act {
            Act::Load => block.load(&mut memory[..self.scratch[0]]),
            Act::Up(index) => match &stages[index] {
                Stage::Dense(layer) => {
                    let (x, y, slopes) = block.around(memory, index);
                    network.layers[*layer].forward(isa, parameters, x, y, slopes);
                }
                Stage::Conv(conv) => {
                    let (x, y, slopes) = block.around(memory, index);
                    conv.forward(isa, &network.layers[conv.layer], parameters, x, y, slopes);
                }
                _ => block.forward(&mut memory[..self.scratch[0]], index),
            },
            Act::Judge => block.judge(&mut memory[..self.scratch[0]], losses, squares),
            Act::Keep(index) => {
                let x = block.values(memory, index);
                let delta = block.delta(&memory[self.delta_at(count, index + 1)..], index + 1);
                if let Stage::Dense(layer) = stages[index] {
                    let len = panel::turned_len::<T>(network.layers[layer].outputs, delta.cols());
                    panel::turn(isa, delta, &mut kept[self.layers[layer].turned..][..len]);
                    if self.layout.reuses_blocks {
                        let inputs = &mut kept[self.layers[layer].inputs..];
                        inputs[..x.data().len()].copy_from_slice(x.data());
                    }
                } else if let Stage::Conv(conv) = &stages[index] {
                    let len = conv.map.parameters_len::<T>() * x.count();
                    let gradients = &mut kept[self.layers[conv.layer].turned..][..len];
                    conv.map.weight_gradient(isa, x, delta, gradients);
                }
            }
            Act::Down(index) => {
                let (values, delta, below) = self.around(memory, count, index);
                match &stages[index] {
                    Stage::Dense(layer) => {
                        let (delta, dx) = (block.delta(delta, index + 1), block.delta_mut(below, index));
                        let slope = block.slope_below(values, index);
                        network.layers[*layer].backward_input(isa, parameters, 0, delta, slope, dx);
                    }
                    Stage::Conv(conv) => {
                        let (delta, dx) = (block.delta(delta, index + 1), block.delta_mut(below, index));
                        let weights = network.layers[conv.layer].parameters(parameters);
                        conv.map.backward_input(isa, weights, delta, block.slope_below(values, index), dx);
                    }
                    _ => block.backward(values, index, delta, below, losses),
                }
            }
        }
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
        let block = self.block(network, batch);
        for act in self.acts(network.stages.len(), pass) {
            self.act(&block, act, memory, kept);
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
