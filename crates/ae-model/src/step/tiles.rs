//! Steps on tiles of bf16 numbers ([`ae_kernels::tile`]): activations and deltas in panels of `f32` as ever, and beside them in
//! the forms that the products take.

use ae_kernels::loss;
use ae_kernels::panel::{self, Panels, PanelsMut, panel_count};
use ae_kernels::tile::{self, Forms, PairedTiles, Parts, split};
use ae_kernels::update::UpdateRule;

use super::{Batch, Layout, OnTiles, Operands, Part, Phases, Piece};
use crate::network::Network;
use crate::optim::{Rule, WithRule};

/// Rows of a batch panel.
const PANEL: usize = 16;
/// Batch panels of a block at most: every strip of weights is split once a block, whose operands should stay in a private
/// cache. Those of three parts take three times the room.
fn block_panels(parts: Parts) -> usize {
    match parts {
        Parts::One => 16,
        Parts::Three => 8,
    }
}

/// Where everything of a block lies. Blocks have an even number of batch panels; one that the batch does not fill holds rows
/// of zeros with deltas of zero.
#[derive(Clone, Debug)]
#[allow(unnameable_types, reason = "the associated type of a closed trait")]
pub struct TilePlan {
    parts: Parts,
    layout: Layout,
    /// Per matrix of a block: the input of each layer and the output of the last, in panels.
    activations: Vec<usize>,
    /// The operand of the product at hand, and that of the next.
    operands: [usize; 2],
    /// Memory of the products.
    room: usize,
    /// Per layer: the tiles of its inputs and of its deltas in the memory that phase 2 reads.
    inputs: Vec<usize>,
    deltas: Vec<usize>,
    /// Elements of that memory a pair of batch panels.
    pair_len: usize,
}

impl OnTiles<f32> for TilePlan {
    fn plan(network: &Network<f32>, batch: usize, threads: usize, parts: Parts) -> Option<Self> {
        let pairs = panel_count::<f32>(batch).max(1).div_ceil(2);
        let block_panels = 2 * pairs.div_ceil(threads.max(1)).min(block_panels(parts) / 2);
        let rows = block_panels * PANEL;
        let mut end = 0;
        let mut take = |len: usize| {
            end += len;
            end - len
        };
        let layers = &network.layers;
        let mut activations: Vec<usize> = layers.iter().map(|l| take(l.inputs * rows)).collect();
        activations.push(layers.last().map_or(0, |l| take(l.outputs * rows)));
        let widest = layers.iter().map(|l| l.inputs.max(l.outputs)).max().unwrap_or(0);
        let operand = block_panels * split::panel_len(parts, widest);
        let operands = [take(operand), take(operand)];
        let room = take(tile::scratch_len(parts, block_panels));
        let errors = take(rows);

        let mut pair_len = 0;
        let mut keep = |features: usize| {
            pair_len += split::pair_len(parts, features);
            pair_len - split::pair_len(parts, features)
        };
        let inputs = layers.iter().map(|l| keep(l.inputs)).collect();
        let deltas = layers.iter().map(|l| keep(l.outputs)).collect();
        // The products of phase 2 go from pair to pair, and at a distance of a power of two the tiles of all would fall into the
        // same few sets of the cache.
        if (pair_len / tile::TILE).is_multiple_of(2) {
            pair_len += tile::TILE;
        }
        let layout = Layout { block_panels, block_len: end, kept_len: block_panels / 2 * pair_len, errors };
        Some(TilePlan { parts, layout, activations, operands, room, inputs, deltas, pair_len })
    }
}

impl Phases<f32> for TilePlan {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn one_block(&self, network: &Network<f32>, batch: Batch<'_, f32>, block: &mut [f32], kept: &mut [f32]) {
        let (isa, parts) = (network.isa, self.parts);
        let parameters = network.parameters.as_slice();
        let rows = batch.indices.len();
        let panels = panel_count::<f32>(rows).next_multiple_of(2);
        let (padded, pairs) = (panels * PANEL, panels / 2);
        let layers = &network.layers;
        let (Some(first), Some(last)) = (layers.first(), layers.last()) else { return };
        let kept = &mut kept[..pairs * self.pair_len];

        let (activations, rest) = block.split_at_mut(self.operands[0]);
        let (operands, rest) = rest.split_at_mut(self.room - self.operands[0]);
        let (mut operand, mut next) = operands.split_at_mut(self.operands[1] - self.operands[0]);
        let (room, errors) = rest.split_at_mut(self.layout.errors - self.room);
        let len = |features: usize| panels * split::panel_len(parts, features);

        let input = &mut activations[..first.inputs * padded];
        let (given, missing) = input.split_at_mut(panel_count::<f32>(rows) * PANEL * first.inputs);
        let given = PanelsMut::new(given, first.inputs, rows);
        panel::gather_rows(isa, batch.table, batch.indices, batch.map, given);
        missing.fill(0.0);
        let x = Panels::new(input, first.inputs, padded);
        split::inputs(isa, parts, x, &mut kept[self.inputs[0]..], self.pair_len);
        split::rows(isa, parts, x, &mut operand[..len(first.inputs)]);
        for (l, layer) in layers.iter().enumerate() {
            let forms = self.inputs.get(l + 1).map(|inputs| Forms {
                next: Some(&mut next[..len(layer.outputs)]),
                kept: &mut kept[*inputs..],
                apart: self.pair_len,
            });
            let y = &mut activations[self.activations[l + 1]..][..layer.outputs * padded];
            let y = PanelsMut::new(y, layer.outputs, padded);
            let x = &operand[..len(layer.inputs)];
            tile::forward(isa, parts, layer.parameters(parameters), x, y, layer.activation, forms, room);
            std::mem::swap(&mut operand, &mut next);
        }

        let (hidden, output) = activations.split_at_mut(self.activations[layers.len()]);
        let output = &mut output[..last.outputs * padded];
        let (given, missing) = output.split_at_mut(panel_count::<f32>(rows) * PANEL * last.outputs);
        let target = Panels::new(&hidden[..given.len()], first.inputs, rows);
        loss::squared_error(isa, PanelsMut::new(given, last.outputs, rows), target, &mut errors[..rows]);
        missing.fill(0.0);
        if !rows.is_multiple_of(PANEL) {
            let of_last = given.len() - last.outputs * PANEL;
            for line in given[of_last..].chunks_exact_mut(PANEL) {
                line[rows % PANEL..].fill(0.0);
            }
        }
        let delta = Panels::new(output, last.outputs, padded);
        split::turned(isa, parts, delta, &mut kept[self.deltas[layers.len() - 1]..], self.pair_len);
        if layers.len() > 1 {
            split::features(isa, parts, delta, &mut operand[..len(last.outputs)]);
        }
        for (l, pair) in layers.windows(2).enumerate().rev() {
            let (below, layer) = (&pair[0], &pair[1]);
            let forms = Forms {
                next: (l > 0).then_some(&mut next[..len(layer.inputs)]),
                kept: &mut kept[self.deltas[l]..],
                apart: self.pair_len,
            };
            let x = &hidden[self.activations[l + 1]..][..layer.inputs * padded];
            let x = (Panels::new(x, layer.inputs, padded), below.activation);
            let delta = &operand[..len(layer.outputs)];
            tile::backward_input(isa, parts, layer.parameters(parameters), delta, x, forms, room);
            std::mem::swap(&mut operand, &mut next);
        }
    }

    fn finish_gradient(&self, operands: Operands<'_, f32>, piece: &Piece, rule: Rule, part: Part<'_, f32>) {
        rule.hand_to(Gradient { plan: self, operands, piece, part });
    }
}

struct Gradient<'a> {
    plan: &'a TilePlan,
    operands: Operands<'a, f32>,
    piece: &'a Piece,
    part: Part<'a, f32>,
}

impl WithRule<f32> for Gradient<'_> {
    fn run<U: UpdateRule<f32>>(self, rule: U) {
        let Gradient { plan, operands, piece, part } = self;
        let pairs = panel_count::<f32>(operands.rows).div_ceil(2);
        let of = |offset: usize| PairedTiles { data: operands.kept, offset, apart: plan.pair_len, pairs };
        tile::weight_gradient(
            operands.isa,
            plan.parts,
            operands.layers[piece.layer].inputs,
            &piece.range,
            of(plan.inputs[piece.layer]),
            of(plan.deltas[piece.layer]),
            rule,
            part.parameters,
            part.state,
        );
    }
}
