//! Steps on vectors: every matrix in panels, nothing in any other form.

use ae_kernels::Element;
use ae_kernels::gemm::{BatchPanels, Blocking, weight_gradient};
use ae_kernels::loss;
use ae_kernels::panel::{self, Panels, PanelsMut, panel_count};
use ae_kernels::update::UpdateRule;

use super::{Batch, Layout, Operands, Part, Phases, Piece};
use crate::network::Network;
use crate::optim::{Rule, WithRule};

/// Batch panels of a block at most: 128 rows of single precision, whose activations stay in a private cache while each
/// line of weights that comes to L1 serves eight panels.
const BLOCK_PANELS: usize = 8;
/// Blocks a thread, where the batch has as many panels: enough to even out threads that are late.
const BLOCKS_A_THREAD: usize = 2;

/// Where everything of a block lies.
#[derive(Clone, Debug)]
pub(super) struct PlainPlan {
    layout: Layout,
    /// Per matrix of a block: the input of each layer and the output of the last.
    activations: Vec<usize>,
    /// Per layer: its turned deltas.
    turned: Vec<usize>,
    /// Two areas for the deltas of hidden layers.
    scratch: [usize; 2],
}

impl PlainPlan {
    pub(super) fn new<T: Element>(network: &Network<T>, batch: usize, threads: usize) -> Self {
        let panels = panel_count::<T>(batch).max(1);
        let block_panels = panels.div_ceil(BLOCKS_A_THREAD * threads.max(1)).min(BLOCK_PANELS);
        let rows = block_panels * T::PANEL;
        let mut end = 0;
        let mut take = |len: usize| {
            end += len;
            end - len
        };
        let mut activations: Vec<usize> = network.layers.iter().map(|l| take(l.inputs * rows)).collect();
        activations.push(network.layers.last().map_or(0, |l| take(l.outputs * rows)));
        let turned = network.layers.iter().map(|l| take(panel::turned_len::<T>(l.outputs, rows))).collect();
        let hidden = network.layers.iter().skip(1).map(|l| l.inputs * rows).max().unwrap_or(0);
        let scratch = [take(hidden), take(hidden)];
        let errors = take(rows);
        let layout = Layout { block_panels, block_len: end, kept_len: 0, errors };
        PlainPlan { layout, activations, turned, scratch }
    }
}

impl<T: Element> Phases<T> for PlainPlan {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn one_block(&self, network: &Network<T>, batch: Batch<'_, T>, block: &mut [T], _: &mut [T]) {
        let isa = network.isa;
        let parameters = network.parameters.as_slice();
        let rows = batch.indices.len();
        let panels = panel_count::<T>(rows) * T::PANEL;
        let layers = &network.layers;
        let (Some(first), Some(last)) = (layers.first(), layers.last()) else { return };

        let (activations, rest) = block.split_at_mut(self.turned[0]);
        let input = &mut activations[..first.inputs * panels];
        panel::gather_rows(
            isa,
            batch.table,
            batch.indices,
            batch.map,
            PanelsMut::new(input, first.inputs, rows),
        );
        for (l, layer) in layers.iter().enumerate() {
            let (before, after) = activations.split_at_mut(self.activations[l + 1]);
            let x = &before[self.activations[l]..][..layer.inputs * panels];
            let y = &mut after[..layer.outputs * panels];
            layer.forward(
                isa,
                parameters,
                Panels::new(x, layer.inputs, rows),
                PanelsMut::new(y, layer.outputs, rows),
            );
        }

        let base = self.turned[0];
        let (turned, rest) = rest.split_at_mut(self.scratch[0] - base);
        let (scratch, errors) = rest.split_at_mut(self.layout.errors - self.scratch[0]);
        let (mut above, mut below) = scratch.split_at_mut(self.scratch[1] - self.scratch[0]);

        let (hidden, output) = activations.split_at_mut(self.activations[layers.len()]);
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
            panel::turn(isa, delta_panels, &mut turned[self.turned[l] - base..][..len]);
            if l > 0 {
                let x = &hidden[self.activations[l]..][..layer.inputs * panels];
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

    fn finish_gradient(&self, operands: Operands<'_, T>, piece: &Piece, rule: Rule, part: Part<'_, T>) {
        rule.hand_to(Gradient { plan: self, operands, piece, part });
    }
}

struct Gradient<'a, T> {
    plan: &'a PlainPlan,
    operands: Operands<'a, T>,
    piece: &'a Piece,
    part: Part<'a, T>,
}

impl<T: Element> WithRule<T> for Gradient<'_, T> {
    fn run<U: UpdateRule<T>>(self, rule: U) {
        let Gradient { plan, operands, piece, part } = self;
        let layer = &operands.layers[piece.layer];
        let of = |offset: usize, panel_len: usize| BatchPanels {
            data: operands.arena,
            block_len: plan.layout.block_len,
            offset,
            panel_len,
            block_panels: plan.layout.block_panels,
            rows: operands.rows,
        };
        weight_gradient(
            operands.isa,
            Blocking::default(),
            layer.inputs,
            &piece.range,
            of(plan.activations[piece.layer], layer.inputs * T::PANEL),
            of(plan.turned[piece.layer], panel::turned_len::<T>(layer.outputs, T::PANEL)),
            rule,
            part.parameters,
            part.state,
        );
    }
}
