//! Steps on tiles of bf16 numbers ([`ae_kernels::tile`]): activations and deltas in panels of `f32` as ever, and beside them in
//! the forms that the products take.

use std::ops::Range;

use ae_kernels::Isa;
use ae_kernels::activation::Epilogue;
use ae_kernels::panel::{Panels, PanelsMut, panel_count};
use ae_kernels::tile::{self, Forms, PairedTiles, Parts, split};
use ae_kernels::update::Rule;

use super::block::{Areas, Block};
use super::{Batch, Judged, Layout, OnTiles, Operands, Part, Phases, Piece, even_blocks};
use crate::layer::Dense;
use crate::network::Network;
use crate::stage::Stage;

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
    areas: Areas,
    /// Two areas for deltas in panels.
    scratch: [usize; 2],
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
        // What works on images is computed plainly, and with it the whole network.
        if network.stages.iter().any(|stage| stage.copies() > 1 || stage.is_of_images()) {
            return None;
        }
        let pairs = panel_count::<f32>(batch).max(1).div_ceil(2);
        let block_panels = 2 * even_blocks(pairs, threads, block_panels(parts) / 2);
        let rows = block_panels * PANEL;
        let mut end = 0;
        let mut take = |len: usize| {
            end += len;
            end - len
        };
        let layers = &network.layers;
        let areas = Areas::new(network, rows, 0, &mut take);
        // Deltas are in panels only on their way through stages that are no dense layers.
        let others = network.stages.iter().any(|stage| !matches!(stage, Stage::Dense(_)));
        let largest = if others { areas.largest_delta(rows) } else { 0 };
        let scratch = [take(largest), take(largest)];
        let widest = layers.iter().map(|l| l.inputs.max(l.outputs)).max().unwrap_or(0);
        let operand = block_panels * split::panel_len(parts, widest);
        let operands = [take(operand), take(operand)];
        let room = take(tile::scratch_len(parts, block_panels));
        let losses = take(rows);
        let squares = take(rows);

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
        let kept_len = block_panels / 2 * pair_len;
        let judged = Judged { kept: false, losses, squares };
        let layout = Layout { block_panels, block_len: end, reuses_blocks: false, kept_len, judged };
        Some(TilePlan { parts, layout, areas, scratch, operands, room, inputs, deltas, pair_len })
    }

    const THERE: bool = true;

    fn encode_len(parts: Parts, inputs: usize, batch_panels: usize) -> [usize; 2] {
        [batch_panels * split::panel_len(parts, inputs), tile::scratch_len(parts, batch_panels)]
    }

    fn encode(
        isa: Isa,
        parts: Parts,
        layer: &Dense,
        all: &[f32],
        x: Panels<'_, f32>,
        y: PanelsMut<'_, f32>,
        [operand, room]: [&mut [f32]; 2],
    ) {
        let operand = &mut operand[..x.count() * split::panel_len(parts, layer.inputs)];
        split::rows(isa, parts, x, operand);
        let epilogue = Epilogue { activation: layer.activation, slopes: None };
        tile::forward(isa, parts, layer.parameters(all), operand, y, epilogue, None, room);
    }
}

/// The layer of stage `index`, where it is a dense one.
fn dense_at(network: &Network<f32>, index: Option<usize>) -> Option<usize> {
    match network.stages.get(index?)? {
        Stage::Dense(layer) => Some(*layer),
        _ => None,
    }
}

impl Phases<f32> for TilePlan {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn block<'a>(&'a self, network: &'a Network<f32>, batch: Batch<'a, f32>) -> Block<'a, f32> {
        let cols = panel_count::<f32>(batch.indices.len()).next_multiple_of(2) * PANEL;
        Block { network, areas: &self.areas, batch, cols }
    }

    fn one_block(
        &self,
        network: &Network<f32>,
        batch: Batch<'_, f32>,
        pass: Range<usize>,
        memory: &mut [f32],
        kept: &mut [f32],
    ) {
        let (isa, parts) = (network.isa, self.parts);
        let parameters = network.parameters.as_slice();
        let block = self.block(network, batch);
        let panels = block.cols / PANEL;
        let stages = &network.stages;
        let kept = &mut kept[..panels / 2 * self.pair_len];

        let (values, rest) = memory.split_at_mut(self.scratch[0]);
        let (scratch, rest) = rest.split_at_mut(self.operands[0] - self.scratch[0]);
        let (operands, rest) = rest.split_at_mut(self.room - self.operands[0]);
        let (mut operand, mut next) = operands.split_at_mut(self.operands[1] - self.operands[0]);
        let (room, rest) = rest.split_at_mut(self.layout.judged.losses - self.room);
        let (losses, squares) = rest.split_at_mut(self.layout.judged.squares - self.layout.judged.losses);
        let len = |features: usize| panels * split::panel_len(parts, features);

        if pass.start == 0 {
            block.load(values);
        }
        for index in pass.clone() {
            let Stage::Dense(layer) = stages[index] else {
                block.forward(values, index);
                continue;
            };
            let dense = &network.layers[layer];
            if index == pass.start || dense_at(network, index.checked_sub(1)).is_none() {
                let x = block.values(values, index);
                split::inputs(isa, parts, x, &mut kept[self.inputs[layer]..], self.pair_len);
                split::rows(isa, parts, x, &mut operand[..len(dense.inputs)]);
            }
            let forms = dense_at(network, Some(index + 1)).map(|above| Forms {
                next: Some(&mut next[..len(dense.outputs)]),
                kept: Some(&mut kept[self.inputs[above]..]),
                apart: self.pair_len,
            });
            let (_, y, slopes) = block.around(values, index);
            let epilogue = Epilogue { activation: dense.activation, slopes };
            let x = &operand[..len(dense.inputs)];
            tile::forward(isa, parts, dense.parameters(parameters), x, y, epilogue, forms, room);
            std::mem::swap(&mut operand, &mut next);
        }
        if pass.end < stages.len() {
            return;
        }

        block.judge(values, losses, squares);
        let values = &*values;
        let (mut above, mut below) = scratch.split_at_mut(self.scratch[1] - self.scratch[0]);
        let mut delta = &values[self.areas.at(stages.len())..];
        // Whether the delta at hand is in the forms of the products and not in panels.
        let mut in_forms = false;
        for (index, stage) in stages.iter().enumerate().rev() {
            let goes_below = self.areas.goes_below(index);
            let Stage::Dense(layer) = *stage else {
                if goes_below {
                    block.backward(values, index, delta, below, losses);
                    std::mem::swap(&mut above, &mut below);
                    delta = above;
                    in_forms = false;
                }
                continue;
            };
            let dense = &network.layers[layer];
            if !in_forms {
                let delta = block.delta(delta, index + 1);
                split::turned(isa, parts, delta, &mut kept[self.deltas[layer]..], self.pair_len);
                if goes_below {
                    split::features(isa, parts, delta, &mut operand[..len(dense.outputs)]);
                }
            }
            if !goes_below {
                continue;
            }
            let under = dense_at(network, index.checked_sub(1));
            let forms = Forms {
                next: (under.is_some() && self.areas.goes_below(index - 1))
                    .then_some(&mut next[..len(dense.inputs)]),
                kept: under.map(|under| &mut kept[self.deltas[under]..]),
                apart: self.pair_len,
            };
            let dx = under.is_none().then(|| block.delta_mut(below, index));
            let slope = block.slope_below(values, index);
            let of_above = &operand[..len(dense.outputs)];
            tile::backward_input(isa, parts, dense.parameters(parameters), of_above, slope, forms, dx, room);
            std::mem::swap(&mut operand, &mut next);
            in_forms = under.is_some();
            if !in_forms {
                std::mem::swap(&mut above, &mut below);
                delta = above;
            }
        }
    }

    fn update(&self, operands: Operands<'_, f32>, piece: &Piece, rule: Rule<f32>, part: Part<'_, f32>) {
        let pairs = panel_count::<f32>(operands.rows).div_ceil(2);
        let of = |offset: usize| PairedTiles { data: operands.kept, offset, apart: self.pair_len, pairs };
        tile::weight_gradient(
            operands.isa,
            self.parts,
            operands.layers[piece.layer].inputs,
            &piece.range,
            of(self.inputs[piece.layer]),
            of(self.deltas[piece.layer]),
            rule,
            part.parameters,
            part.state,
        );
    }
}
