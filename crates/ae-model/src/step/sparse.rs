//! Steps of a k-sparse autoencoder without hidden layers. Only the encoder's product is dense; the cost
//! of everything after the selection grows with the number of active features, not with the width of the
//! code ([`ae_kernels::sparse`]). The numbers are those of the dense computation.

use std::ops::Range;

use ae_kernels::activation::Activation;
use ae_kernels::loss::{self, RowLosses};
use ae_kernels::panel::{self, Panels, PanelsMut, panel_count, panel_len, transposed_len};
use ae_kernels::sparse::{self, Active, ActiveRows, Index, Sources, TransposedRows};
use ae_kernels::tile::Parts;
use ae_kernels::update::Rule;
use ae_kernels::{Element, Isa};

use super::block::{Areas, Block};
use super::memory::{Divider, areas};
use super::{
    Arithmetic, Batch, Layout, OnTiles, Operands, ParameterSlice, Phases, Piece, RowLossAreas, even_blocks,
};
use crate::config::Revival;
use crate::layer::Dense;
use crate::network::Network;
use crate::stage::{BatchTopKLatent, Stage, TopKLatent};

/// The most batch panels in a block: the more rows, the more often each row of weights is used once it
/// has been loaded.
const BLOCK_PANELS: usize = 16;
/// Values that reach this fraction of the smallest value kept in the last batch are candidates for the
/// largest of the next: enough to include them all, and not many more.
const CANDIDATE: f64 = 0.9;
/// The largest number of candidates that the arithmetic of the values can count.
const COUNTED: usize = 1 << 24;

/// The memory layout of a block.
#[derive(Clone, Debug)]
pub(super) struct SparsePlan {
    /// How the encoder's product is computed: on tiles, or plainly if `None`.
    parts: Option<Parts>,
    latent: TopKLatent,
    /// For a latent that selects among all values of a batch, the most active features that a block can
    /// have: those of the largest batch, or all values of the block.
    batch_capacity: Option<usize>,
    layout: Layout,
    areas: Areas,
    /// All values of the block, with what stages keep of them.
    values: Range<usize>,
    /// The inputs, and the deltas of the outputs, row by row.
    transposed: [Range<usize>; 2],
    /// Deltas of the active features.
    deltas: Range<usize>,
    /// Memory of a product on tiles: its operand, and scratch memory.
    operand: [Range<usize>; 2],
    /// For dead features, if they are revived.
    revival: Option<RevivalAreas>,
}

/// The memory layout of the auxiliary loss of dead features.
#[derive(Clone, Debug)]
struct RevivalAreas {
    settings: Revival,
    /// The dead features selected in each row, with scratch memory to find them, and their deltas.
    active: Range<usize>,
    deltas: Range<usize>,
    /// The residuals of the rows, their reconstruction by dead features, and its delta row by row.
    residual: Range<usize>,
    reconstruction: Range<usize>,
    transposed: Range<usize>,
    /// Loss and squared error of each row.
    losses: Range<usize>,
    squares: Range<usize>,
}

impl SparsePlan {
    /// Creates the plan, if the network is of this kind and its code wide enough.
    pub(super) fn new<T: Arithmetic>(
        network: &Network<T>,
        batch: usize,
        threads: usize,
        parts: Option<Parts>,
    ) -> Option<Self> {
        let [Stage::Dense(0), stage, Stage::Dense(1)] = network.stages.as_slice() else { return None };
        let (latent, of_batch) = match stage {
            Stage::TopK(latent) => (latent.clone(), false),
            Stage::BatchTopK(BatchTopKLatent { features, k, .. }) => {
                let latent = TopKLatent { features: *features, k: *k, revival: None };
                (latent, true)
            }
            _ => return None,
        };
        // With these activations, the slope of a nonzero value is one.
        let slope_is_one = matches!(network.layers[0].activation, Activation::Relu | Activation::Linear);
        if !slope_is_one || !latent.is_wide() {
            return None;
        }
        let pairs = panel_count::<T>(batch).max(1).div_ceil(2);
        let block_panels = 2 * even_blocks(pairs, threads, BLOCK_PANELS / 2);
        let rows = block_panels * T::PANEL;
        let mut memory = Divider::new(T::PANEL);
        let batch_capacity = of_batch.then(|| latent.k.saturating_mul(batch).min(latent.features * rows));
        let capacity = batch_capacity.unwrap_or(latent.k * rows);
        let areas = Areas::new(network, rows, sparse::active_len(capacity, rows), &mut memory);
        let values = 0..memory.len();
        let mut take = |len: usize| memory.take(len);
        let transposed = [network.input, network.layers[1].outputs]
            .map(|features| take(transposed_len::<T>(features, rows)));
        let deltas = take(capacity);
        let [operand, product_scratch] =
            parts.map_or([0; 2], |parts| T::Tiles::encode_len(parts, network.layers[0].inputs, block_panels));
        let operand = [take(operand), take(product_scratch)];
        let outputs = network.layers[1].outputs;
        let revival = latent.revival.map(|settings| RevivalAreas {
            settings,
            active: take(sparse::active_len(settings.k * rows, rows) + sparse::scratch_len::<T>(settings.k)),
            deltas: take(rows * settings.k),
            residual: take(panel_len::<T>(outputs, rows)),
            reconstruction: take(panel_len::<T>(outputs, rows)),
            transposed: take(transposed_len::<T>(outputs, rows)),
            losses: take(rows),
            squares: take(rows),
        });
        let [losses, squares] = [take(rows), take(rows)];
        let row_losses = RowLossAreas { in_kept: false, losses, squares };
        let block_len = memory.len();
        let layout = Layout { block_panels, block_len, reuses_blocks: false, kept_len: 0, row_losses };
        Some(SparsePlan {
            parts,
            latent,
            batch_capacity,
            layout,
            areas,
            values,
            transposed,
            deltas,
            operand,
            revival,
        })
    }

    /// Allocates the index of the active features of a batch.
    pub(super) fn index<T: Element>(&self, batch: usize) -> Index<T> {
        let revived = self.latent.revival.map_or(0, |revival| revival.k);
        Index::with_room(self.latent.features, self.latent.k + revived, batch)
    }

    /// The most active features in a block of `rows` rows.
    fn capacity(&self, rows: usize) -> usize {
        self.batch_capacity.unwrap_or(self.latent.k * rows)
    }

    /// The active features of `rows` rows in the memory of their block.
    fn active<'a, T: Element>(&self, rows: usize, block: &'a [T]) -> Active<'a, T> {
        let capacity = self.capacity(rows);
        Active::new(&block[self.areas.saved(1)..][..sparse::active_len(capacity, rows)], capacity, rows)
    }

    /// Writes to `memory` the candidates for the largest values of the batch: their number, then the
    /// candidates. The number is -1 if there are too many.
    fn find_candidates<T: Element>(isa: Isa, last: f64, codes: Panels<'_, T>, memory: &mut [T]) {
        let [count, candidates @ ..] = memory else { unreachable!("there is room for the number") };
        let found = sparse::values_at_least(isa, T::from_f64(CANDIDATE * last), codes, candidates);
        *count = T::from_f64(if found <= candidates.len().min(COUNTED) { found as f64 } else { -1.0 });
    }

    /// Appends the candidates of all blocks to `values`; returns whether they are complete and at least
    /// `count`, and clears `values` otherwise.
    pub(super) fn candidates<T: Element>(
        &self,
        rows: usize,
        memory: &[T],
        count: usize,
        values: &mut Vec<T>,
    ) -> bool {
        for (_, rows, block) in self.blocks(rows, memory) {
            let area = &block[self.areas.saved(1)..][..sparse::active_len(self.capacity(rows), rows)];
            let found = area.split_first().and_then(|(count, candidates)| {
                let count = count.to_f64();
                if count < 0.0 { None } else { candidates.get(..count as usize) }
            });
            match found {
                Some(found) => values.extend(found),
                None => {
                    values.clear();
                    return false;
                }
            }
        }
        let enough = values.len() >= count;
        if !enough {
            values.clear();
        }
        enough
    }

    /// The blocks of a batch of `rows` rows: the first row, the number of rows and the memory of each.
    fn blocks<'a, T: Element>(
        &self,
        rows: usize,
        memory: &'a [T],
    ) -> impl Iterator<Item = (usize, usize, &'a [T])> + Clone {
        let block_rows = self.layout.block_panels * T::PANEL;
        let blocks = memory.chunks(self.layout.block_len).take(rows.div_ceil(block_rows)).enumerate();
        blocks.map(move |(number, block)| {
            let first = number * block_rows;
            (first, block_rows.min(rows - first), block)
        })
    }

    /// Fills the index from the memory of the blocks of a batch.
    pub(super) fn fill<T: Element>(
        &self,
        layers: &[Dense],
        batch: Batch<'_, T>,
        memory: &[T],
        index: &mut Index<T>,
    ) {
        let rows = batch.indices.len();
        let [inputs, outputs] = self.places::<T>(layers);
        let of_dead = self.revival.as_ref().filter(|_| !batch.dead.is_empty()).map(|areas| {
            let outputs = TransposedRows { offset: areas.transposed.start, ..outputs };
            (areas.settings.k.min(batch.dead.len()), areas, outputs)
        });
        let blocks = self.blocks(rows, memory);
        let of_all = blocks.clone().map(|(first, rows, block)| {
            let active = self.active(rows, block);
            ActiveRows { first, active, deltas: &block[self.deltas.start..][..active.capacity()], outputs }
        });
        let of_dead = of_dead.into_iter().flat_map(|(k, areas, outputs)| {
            blocks.clone().map(move |(first, rows, block)| {
                let capacity = k * rows;
                let active = Active::new(
                    &block[areas.active.start..][..sparse::active_len(capacity, rows)],
                    capacity,
                    rows,
                );
                ActiveRows { first, active, deltas: &block[areas.deltas.start..][..capacity], outputs }
            })
        });
        index.fill(rows, of_all.chain(of_dead), inputs);
    }

    /// Calls `each` with every active feature of every row, and its value.
    pub(super) fn each_active<T: Element>(&self, rows: usize, memory: &[T], mut each: impl FnMut(u32, f64)) {
        for (_, rows, block) in self.blocks(rows, memory) {
            let active = self.active(rows, block);
            for (features, values) in (0..rows).map(|row| active.row(row)) {
                features.iter().zip(values).for_each(|(&feature, value)| each(feature, value.to_f64()));
            }
        }
    }

    /// Where the rows of the inputs, and of the deltas of the outputs, are.
    fn places<T: Element>(&self, layers: &[Dense]) -> [TransposedRows; 2] {
        let place = |offset: usize, features: usize| TransposedRows {
            block_rows: self.layout.block_panels * T::PANEL,
            block_len: self.layout.block_len,
            offset,
            panel_len: transposed_len::<T>(features, 1),
        };
        let [of_x, of_delta] = &self.transposed;
        [place(of_x.start, layers[0].inputs), place(of_delta.start, layers[1].outputs)]
    }
}

impl SparsePlan {
    /// Reconstructs the residuals of a block's rows from dead features: computes their deltas, and adds
    /// the auxiliary loss. Overwrites the codes, which are no longer needed.
    fn revive<T: Element>(&self, block: &Block<'_, T>, revival: &RevivalAreas, memory: &mut [T]) {
        let (network, dead, rows) = (block.network, block.batch.dead, block.batch.indices.len());
        let (isa, k) = (network.isa, revival.settings.k.min(dead.len()));
        let decoder = &network.layers[1];
        let (weights, outputs) = (decoder.parameters(network.parameters.as_slice()), decoder.outputs);
        let RevivalAreas { active, deltas, residual, reconstruction, transposed, .. } = revival.clone();
        let [values, losses, active, deltas, residual, reconstruction, transposed, of_rows, squares] = areas(
            memory,
            [
                self.values.clone(),
                self.layout.row_losses.losses.clone(),
                active,
                deltas,
                residual,
                reconstruction,
                transposed,
                revival.losses.clone(),
                revival.squares.clone(),
            ],
        );

        let at = self.areas.offset(1);
        let codes = &mut values[at..][..panel_len::<T>(self.latent.features, rows)];
        sparse::gather_features(codes, self.latent.features, dead);
        let codes = Panels::new(&codes[..panel_len::<T>(dead.len(), rows)], dead.len(), rows);
        let (active, scratch) = active.split_at_mut(sparse::active_len(k * rows, rows));
        sparse::select(isa, k, codes, active, scratch);
        sparse::remap_features(active, rows, dead);
        let active = Active::new(active, k * rows, rows);
        let len = panel_len::<T>(outputs, rows);
        let reconstruction = &mut reconstruction[..len];
        sparse::decode(isa, weights, false, active, PanelsMut::new(reconstruction, outputs, rows));
        // The delta of the squared error is the negative residual.
        let delta = without_padding(block.values(values, 3), rows);
        let target = self.areas.target_offset();
        let cells = delta.data().iter().zip(&values[target..]);
        residual.iter_mut().zip(cells).for_each(|(residual, (delta, target))| {
            // A missing value stays missing: it has no residual, and 0 must not be learnt in its place.
            *residual = if target.to_f64().is_nan() { *target } else { T::ZERO - *delta };
        });
        let row_losses = RowLosses { losses: &mut of_rows[..rows], squares: &mut squares[..rows] };
        let weight = T::from_f64(revival.settings.weight);
        let residual = Panels::new(&residual[..len], outputs, rows);
        let target = PanelsMut::new(reconstruction, outputs, rows);
        loss::evaluate(isa, loss::Loss::SquaredError, target, residual, None, row_losses);
        for (loss, more) in losses.iter_mut().zip(&of_rows[..rows]) {
            *loss = *loss + weight * *more;
        }
        reconstruction.iter_mut().for_each(|delta| *delta = *delta * weight);
        let transposed = &mut transposed[..transposed_len::<T>(outputs, rows)];
        panel::transpose_deltas(isa, Panels::new(reconstruction, outputs, rows), transposed);
        sparse::decode_backward(isa, weights, active, transposed, &mut deltas[..k * rows]);
    }
}

/// The columns of actual rows of a matrix that has more.
fn without_padding<T: Element>(all: Panels<'_, T>, rows: usize) -> Panels<'_, T> {
    Panels::new(&all.data()[..panel_len::<T>(all.rows(), rows)], all.rows(), rows)
}

impl<T: Arithmetic> Phases<T> for SparsePlan {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn block<'a>(&'a self, network: &'a Network<T>, batch: Batch<'a, T>) -> Block<'a, T> {
        let cols = panel_count::<T>(batch.indices.len()).next_multiple_of(2) * T::PANEL;
        Block { network, areas: &self.areas, batch, cols }
    }

    fn one_block(
        &self,
        network: &Network<T>,
        batch: Batch<'_, T>,
        pass: Range<usize>,
        memory: &mut [T],
        _: &mut [T],
    ) {
        let (isa, rows) = (network.isa, batch.indices.len());
        let parameters = network.parameters.as_slice();
        let block = Phases::<T>::block(self, network, batch);
        let (encoder, decoder) = (&network.layers[0], &network.layers[1]);
        let RowLossAreas { losses, squares, .. } = self.layout.row_losses.clone();
        let ([of_x, of_delta], [operand, product_scratch]) = (self.transposed.clone(), self.operand.clone());
        let [values, transposed_x, transposed_delta, of_codes, operand, product_scratch, losses, squares] =
            areas(
                memory,
                [
                    self.values.clone(),
                    of_x,
                    of_delta,
                    self.deltas.clone(),
                    operand,
                    product_scratch,
                    losses,
                    squares,
                ],
            );

        if pass.start == 0 {
            block.load(values);
            let (x, codes, _) = block.around(values, 0);
            match self.parts {
                Some(parts) => {
                    T::Tiles::encode(isa, parts, encoder, parameters, x, codes, [operand, product_scratch]);
                }
                None => encoder.forward(isa, parameters, x, codes, None),
            }
            let x = without_padding(block.values(values, 0), rows);
            panel::transpose_deltas(isa, x, &mut transposed_x[..transposed_len::<T>(x.rows(), rows)]);
        }
        let (before, after) = values.split_at_mut(self.areas.saved(1));
        let (saved, output) = after.split_at_mut(self.areas.offset(3) - self.areas.saved(1));
        let codes = without_padding(block.values(before, 1), rows);
        let capacity = self.capacity(rows);
        let active = match &network.stages[1] {
            Stage::BatchTopK(latent) => {
                let saved = &mut saved[..sparse::active_len(capacity, rows)];
                if pass.end < network.stages.len() {
                    Self::find_candidates(isa, latent.last, codes, saved);
                    return;
                }
                // Without a smallest kept value, all values are zero.
                let threshold = batch.threshold.unwrap_or(T::from_f64(f64::INFINITY));
                sparse::select_at_least(isa, threshold, codes, saved, capacity);
                Active::new(saved, capacity, rows)
            }
            _ => self.latent.select(isa, codes, saved),
        };
        let outputs = decoder.outputs;
        let output = PanelsMut::new(&mut output[..panel_len::<T>(outputs, rows)], outputs, rows);
        sparse::decode(isa, decoder.parameters(parameters), true, active, output);

        block.compute_loss(values, losses, squares);
        let delta = without_padding(block.values(values, 3), rows);
        let transposed_delta = &mut transposed_delta[..transposed_len::<T>(outputs, rows)];
        panel::transpose_deltas(isa, delta, transposed_delta);
        let active = self.active(rows, values);
        let of_codes = &mut of_codes[..capacity];
        sparse::decode_backward(isa, decoder.parameters(parameters), active, transposed_delta, of_codes);
        if let Some(revival) = self.revival.as_ref().filter(|_| !batch.dead.is_empty()) {
            self.revive(&block, revival, memory);
        }
    }

    fn update(&self, operands: Operands<'_, T>, piece: &Piece, rule: Rule<T>, part: ParameterSlice<'_, T>) {
        let ParameterSlice { parameters, state, .. } = part;
        let layers = operands.layers;
        let [inputs, outputs] = self.places::<T>(layers);
        let place = if piece.layer == 0 { inputs } else { outputs };
        let sources = Sources { index: operands.index, data: operands.arena, place };
        if piece.layer == 0 {
            let inputs = layers[0].inputs;
            sparse::encoder_gradient(operands.isa, inputs, &piece.range, sources, rule, parameters, state);
        } else {
            sparse::decoder_gradient(operands.isa, &piece.range, sources, rule, parameters, state);
        }
    }
}
