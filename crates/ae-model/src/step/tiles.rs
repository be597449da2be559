//! Steps on tiles of bf16 numbers ([`ae_kernels::tile`]). Activations and deltas are in panels of `f32`
//! as usual, and also in the forms that the products take.

use std::ops::Range;

use ae_kernels::Isa;
use ae_kernels::activation::Epilogue;
use ae_kernels::panel::{Panels, PanelsMut, panel_count};
use ae_kernels::par::Crew;
use ae_kernels::tile::{self, Forms, PairedTiles, Parts, split};
use ae_kernels::update::Rule;

use super::acts::{self, Act, ByActs, Product, ProductOf, StepMemory};
use super::block::{Areas, Block};
use super::memory::{Divider, areas};
use super::{Batch, Layout, OnTiles, Operands, ParameterSlice, Phases, Piece, RowLossAreas, even_blocks};
use crate::layer::Dense;
use crate::network::Network;
use crate::stage::Stage;

/// Rows of a batch panel.
const PANEL: usize = 16;
/// The most batch panels in a block: every strip of weights is split once per block, and the operands of
/// a block should stay in a private cache. Operands of three parts take three times the room.
fn block_panels(parts: Parts) -> usize {
    match parts {
        Parts::One => 16,
        Parts::Three => 8,
    }
}

/// The memory layout of a block. Blocks have an even number of batch panels; panels beyond the batch
/// hold rows of zeros with deltas of zero.
#[derive(Clone, Debug)]
#[allow(unnameable_types, reason = "the associated type of a closed trait")]
pub struct TilePlan {
    parts: Parts,
    layout: Layout,
    areas: Areas,
    /// All values of the block, with what stages keep of them, and two areas for deltas in panels.
    values: Range<usize>,
    panel_deltas: [Range<usize>; 2],
    /// The operand of the current product, and that of the next.
    operands: [Range<usize>; 2],
    /// Scratch memory of the products.
    product_scratch: Range<usize>,
    /// Per layer: where the tiles of its inputs and of its deltas are, in the memory that phase 2 reads.
    inputs: Vec<usize>,
    deltas: Vec<usize>,
    /// Elements of that memory per pair of batch panels. In that of a block's first pair are the losses of
    /// its rows.
    pair_len: usize,
}

impl OnTiles<f32> for TilePlan {
    fn plan(network: &Network<f32>, batch: usize, threads: usize, parts: Parts) -> Option<Self> {
        // Networks with image stages are computed plainly throughout.
        if network.stages.iter().any(|stage| stage.samples_per_row() > 1 || stage.is_image_stage()) {
            return None;
        }
        let pairs = panel_count::<f32>(batch).max(1).div_ceil(2);
        let block_panels = 2 * even_blocks(pairs, threads, block_panels(parts) / 2);
        let rows = block_panels * PANEL;
        let mut memory = Divider::new(1);
        let layers = &network.layers;
        let areas = Areas::new(network, rows, 0, &mut memory);
        let values = 0..memory.len();
        // Deltas are in panels only at stages other than dense layers.
        let others = network.stages.iter().any(|stage| !matches!(stage, Stage::Dense(_)));
        let largest = if others { areas.largest_delta(rows) } else { 0 };
        let panel_deltas = [memory.take(largest), memory.take(largest)];
        let widest = layers.iter().map(|l| l.inputs.max(l.outputs)).max().unwrap_or(0);
        let operand = block_panels * split::panel_len(parts, widest);
        let operands = [memory.take(operand), memory.take(operand)];
        let product_scratch = memory.take(tile::scratch_len(parts, block_panels));

        let mut pair = Divider::new(1);
        let mut keep = |features: usize| pair.take(split::pair_len(parts, features)).start;
        let inputs = layers.iter().map(|l| keep(l.inputs)).collect();
        let deltas = layers.iter().map(|l| keep(l.outputs)).collect();
        let [losses, squares] = [pair.take(rows), pair.take(rows)];
        let mut pair_len = pair.len().next_multiple_of(tile::TILE);
        // The products of phase 2 go from pair to pair. At a power-of-two distance, the tiles of all
        // pairs would fall into the same few cache sets.
        if (pair_len / tile::TILE).is_multiple_of(2) {
            pair_len += tile::TILE;
        }
        let kept_len = block_panels / 2 * pair_len;
        let row_losses = RowLossAreas { in_kept: true, losses, squares };
        // Phase 2 reads none of the blocks, which then stay in L2.
        let reuses_blocks =
            network.contraction().is_none() && !network.stages.iter().any(Stage::needs_whole_batch);
        let block_len = memory.len();
        let layout = Layout { block_panels, block_len, reuses_blocks, kept_len, row_losses };
        Some(TilePlan {
            parts,
            layout,
            areas,
            values,
            panel_deltas,
            operands,
            product_scratch,
            inputs,
            deltas,
            pair_len,
        })
    }

    const AVAILABLE: bool = true;

    fn scratch_len(&self, threads: usize) -> usize {
        if self.layout.block_panels == 2 { threads * tile::scratch_len(self.parts, 2) } else { 0 }
    }

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
        [operand, product_scratch]: [&mut [f32]; 2],
    ) {
        let operand = &mut operand[..x.count() * split::panel_len(parts, layer.inputs)];
        split::rows(isa, parts, x, operand);
        let epilogue = Epilogue { activation: layer.activation, slopes: None };
        tile::forward(
            (isa, Crew::SOLO),
            parts,
            layer.parameters(all),
            operand,
            y,
            epilogue,
            None,
            product_scratch,
        );
    }
}

/// The layer of stage `index`, if it is a dense layer.
fn dense_at(network: &Network<f32>, index: Option<usize>) -> Option<usize> {
    match network.stages.get(index?)? {
        Stage::Dense(layer) => Some(*layer),
        _ => None,
    }
}

/// The memory of a block being processed.
struct BlockViews<'a> {
    values: &'a mut [f32],
    /// Deltas in panels: the one before a stage, and the one after it.
    deltas: [&'a mut [f32]; 2],
    /// The operand of the current product, and that of the next.
    operand: &'a mut [f32],
    next: &'a mut [f32],
    product_scratch: &'a mut [f32],
}

impl TilePlan {
    /// Views of a block's memory. Layers alternate between the operands, and stages between the deltas.
    fn views<'a>(&self, memory: &'a mut [f32], stage: usize, layer: usize) -> BlockViews<'a> {
        let delta = |stage: usize| self.panel_deltas[stage % 2].clone();
        let operand = |layer: usize| self.operands[layer % 2].clone();
        let [values, below, above, operand, next, product_scratch] = areas(
            memory,
            [
                self.values.clone(),
                delta(stage),
                delta(stage + 1),
                operand(layer),
                operand(layer + 1),
                self.product_scratch.clone(),
            ],
        );
        BlockViews { values, deltas: [below, above], operand, next, product_scratch }
    }

    /// The losses and the squared errors of the rows of a block.
    fn losses<'a>(&self, kept: &'a mut [f32]) -> [&'a mut [f32]; 2] {
        let RowLossAreas { losses, squares, .. } = self.layout.row_losses.clone();
        areas(kept, [losses, squares])
    }

    /// Runs the forward or backward pass of a dense layer, either on one thread or shared among threads,
    /// which have memory of their own.
    fn product(
        &self,
        block: &Block<'_, f32>,
        Product { of, stage, layer }: Product,
        (memory, kept): (&mut [f32], &mut [f32]),
        shared: Option<(Crew<'_>, &mut [f32])>,
    ) {
        let (network, parts) = (block.network, self.parts);
        let dense = &network.layers[layer];
        let weights = dense.parameters(network.parameters.as_slice());
        let BlockViews { values, deltas: [below, _], operand, next, product_scratch, .. } =
            self.views(memory, stage, layer);
        let (crew, product_scratch) = shared.unwrap_or((Crew::SOLO, product_scratch));
        let len = |features: usize| block.cols / PANEL * split::panel_len(parts, features);
        if of == ProductOf::Outputs {
            let forms = dense_at(network, Some(stage + 1)).map(|above| Forms {
                next: Some(&mut next[..len(dense.outputs)]),
                kept: Some(&mut kept[self.inputs[above]..]),
                stride: self.pair_len,
            });
            let (_, y, slopes) = block.around(values, stage);
            let epilogue = Epilogue { activation: dense.activation, slopes };
            let x = &operand[..len(dense.inputs)];
            tile::forward((network.isa, crew), parts, weights, x, y, epilogue, forms, product_scratch);
            return;
        }
        let layer_below = dense_at(network, stage.checked_sub(1));
        let forms = Forms {
            next: (layer_below.is_some() && self.areas.needs_input_delta(stage - 1))
                .then_some(&mut next[..len(dense.inputs)]),
            kept: layer_below.map(|layer_below| &mut kept[self.deltas[layer_below]..]),
            stride: self.pair_len,
        };
        let dx = layer_below.is_none().then(|| block.delta_mut(below, stage));
        let slope = block.slope_below(values, stage);
        let delta = &operand[..len(dense.outputs)];
        tile::backward_input((network.isa, crew), parts, weights, delta, slope, forms, dx, product_scratch);
    }
}

impl ByActs<f32> for TilePlan {
    fn areas(&self) -> &Areas {
        &self.areas
    }

    fn act(&self, block: &Block<'_, f32>, act: Act, memory: &mut [f32], kept: &mut [f32]) {
        let (network, parts) = (block.network, self.parts);
        let isa = network.isa;
        let panels = block.cols / PANEL;
        let kept = &mut kept[..panels / 2 * self.pair_len];
        let len = |features: usize| panels * split::panel_len(parts, features);
        match act {
            Act::Load => block.load(self.views(memory, 0, 0).values),
            Act::PrepareForward(index) => {
                let Some(layer) = dense_at(network, Some(index)) else { return };
                // If the neighbouring layer is dense, its product has written these forms already.
                if dense_at(network, index.checked_sub(1)).is_none() {
                    let BlockViews { values, operand, .. } = self.views(memory, index, layer);
                    let x = block.values(values, index);
                    split::inputs(isa, parts, x, &mut kept[self.inputs[layer]..], self.pair_len);
                    split::rows(isa, parts, x, &mut operand[..len(network.layers[layer].inputs)]);
                }
            }
            Act::Forward(index) => match network.stages[index] {
                Stage::Dense(layer) => {
                    self.product(
                        block,
                        Product { of: ProductOf::Outputs, stage: index, layer },
                        (memory, kept),
                        None,
                    );
                }
                _ => block.forward(self.views(memory, index, 0).values, index),
            },
            Act::Loss => {
                let [losses, squares] = self.losses(kept);
                block.compute_loss(self.views(memory, 0, 0).values, losses, squares);
            }
            Act::PrepareBackward(index) => {
                let Some(layer) = dense_at(network, Some(index)) else { return };
                // If the neighbouring layer is dense, its product has written these forms already.
                if dense_at(network, Some(index + 1)).is_none() {
                    let BlockViews { values, deltas: [_, above], operand, .. } =
                        self.views(memory, index, layer);
                    let delta = block.delta(self.areas.delta_after(index, values, above), index + 1);
                    split::transposed(isa, parts, delta, &mut kept[self.deltas[layer]..], self.pair_len);
                    if self.areas.needs_input_delta(index) {
                        let operand = &mut operand[..len(network.layers[layer].outputs)];
                        split::features(isa, parts, delta, operand);
                    }
                }
            }
            Act::Backward(index) => match network.stages[index] {
                Stage::Dense(layer) => {
                    self.product(
                        block,
                        Product { of: ProductOf::DeltaBelow, stage: index, layer },
                        (memory, kept),
                        None,
                    );
                }
                _ => {
                    let BlockViews { values, deltas: [below, above], .. } = self.views(memory, index, 0);
                    let delta = self.areas.delta_after(index, values, above);
                    let [losses, _] = self.losses(kept);
                    block.backward(values, index, delta, below, losses);
                }
            },
        }
    }

    /// Only blocks of one pair of batch panels are shared, if there are fewer than threads: the smallest
    /// blocks, which take the same time whether they are full or not. Tiles need less time than vectors.
    fn worth_sharing(&self, network: &Network<f32>, rows: usize, threads: usize) -> Option<usize> {
        let worth: usize = match self.parts {
            _ if !network.isa.has_tiles() => 1 << 18,
            Parts::Three => 1 << 19,
            Parts::One => 1 << 21,
        };
        let few = self.layout.block_panels == 2 && rows.div_ceil(2 * PANEL) < threads;
        few.then_some(worth.div_ceil(rows.max(2 * PANEL)))
    }

    fn share(
        &self,
        network: &Network<f32>,
        crew: Crew<'_>,
        batch: Batch<'_, f32>,
        product: Product,
        StepMemory { blocks, kept, shared_scratch }: StepMemory<'_, f32>,
    ) {
        let memory = blocks.chunks_mut(self.layout.block_len).zip(kept.chunks_mut(self.layout.kept_len));
        for (index, memory) in memory.enumerate() {
            let block = self.block(network, batch.part(2 * PANEL, index));
            self.product(&block, product, memory, Some((crew, &mut *shared_scratch)));
        }
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
        acts::one_block(self, &self.block(network, batch), pass, memory, kept);
    }

    fn update(
        &self,
        operands: Operands<'_, f32>,
        piece: &Piece,
        rule: Rule<f32>,
        part: ParameterSlice<'_, f32>,
    ) {
        let pairs = panel_count::<f32>(operands.rows).div_ceil(2);
        let of = |offset: usize| PairedTiles { data: operands.kept, offset, stride: self.pair_len, pairs };
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
