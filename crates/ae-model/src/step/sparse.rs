//! Steps of a k-sparse autoencoder without hidden layers. Only the encoder's product is dense; the cost
//! of everything after the selection grows with the number of active features, not with the width of the
//! code ([`ae_kernels::sparse`]). The numbers are those of the dense computation.

use std::ops::Range;

use ae_kernels::activation::Activation;
use ae_kernels::loss::{self, RowLosses};
use ae_kernels::panel::{self, Panels, PanelsMut, panel_count, panel_len, turned_len};
use ae_kernels::sparse::{self, Active, Index, Listed, Sources, TurnedRows};
use ae_kernels::tile::Parts;
use ae_kernels::update::Rule;
use ae_kernels::{Element, Isa};

use super::block::{Areas, Block};
use super::{Arithmetic, Batch, Judged, Layout, OnTiles, Operands, Part, Phases, Piece, even_blocks};
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
    of_batch: Option<usize>,
    layout: Layout,
    areas: Areas,
    /// The inputs, and the deltas of the outputs, row by row.
    turned: [usize; 2],
    /// Deltas of the active features.
    deltas: usize,
    /// Memory of a product on tiles: its operand, and scratch memory.
    operand: [usize; 2],
    /// For dead features, if they are revived; ends where the losses begin.
    revival: Option<RevivalAreas>,
}

/// The memory layout of the auxiliary loss of dead features.
#[derive(Clone, Copy, Debug)]
struct RevivalAreas {
    settings: Revival,
    /// The dead features selected in each row, with scratch memory to find them, and their deltas.
    active: usize,
    deltas: usize,
    /// The residuals of the rows, their reconstruction by dead features, and its delta row by row.
    left: usize,
    made: usize,
    turned: usize,
    /// Loss and squared error of each row.
    losses: usize,
    squares: usize,
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
        let mut end = 0;
        let mut take = |len: usize| {
            end += len.next_multiple_of(T::PANEL);
            end - len.next_multiple_of(T::PANEL)
        };
        let of_batch = of_batch.then(|| latent.k.saturating_mul(batch).min(latent.features * rows));
        let most = of_batch.unwrap_or(latent.k * rows);
        let areas = Areas::new(network, rows, sparse::active_len(most, rows), &mut take);
        let turned =
            [network.input, network.layers[1].outputs].map(|features| take(turned_len::<T>(features, rows)));
        let deltas = take(most);
        let [operand, room] =
            parts.map_or([0; 2], |parts| T::Tiles::encode_len(parts, network.layers[0].inputs, block_panels));
        let operand = [take(operand), take(room)];
        let outputs = network.layers[1].outputs;
        let revival = latent.revival.map(|settings| RevivalAreas {
            settings,
            active: take(sparse::active_len(settings.k * rows, rows) + sparse::scratch_len::<T>(settings.k)),
            deltas: take(rows * settings.k),
            left: take(panel_len::<T>(outputs, rows)),
            made: take(panel_len::<T>(outputs, rows)),
            turned: take(turned_len::<T>(outputs, rows)),
            losses: take(rows),
            squares: take(rows),
        });
        let losses = take(rows);
        let squares = take(rows);
        let judged = Judged { kept: false, losses, squares };
        let layout = Layout { block_panels, block_len: end, reuses_blocks: false, kept_len: 0, judged };
        Some(SparsePlan { parts, latent, of_batch, layout, areas, turned, deltas, operand, revival })
    }

    /// Allocates the index of the active features of a batch.
    pub(super) fn index<T: Element>(&self, batch: usize) -> Index<T> {
        let revived = self.latent.revival.map_or(0, |revival| revival.k);
        Index::with_room(self.latent.features, self.latent.k + revived, batch)
    }

    /// The most active features in a block of `rows` rows.
    fn most(&self, rows: usize) -> usize {
        self.of_batch.unwrap_or(self.latent.k * rows)
    }

    /// The active features of `rows` rows in the memory of their block.
    fn active<'a, T: Element>(&self, rows: usize, block: &'a [T]) -> Active<'a, T> {
        let most = self.most(rows);
        Active::new(&block[self.areas.private(1)..][..sparse::active_len(most, rows)], most, rows)
    }

    /// Writes to `memory` the candidates for the largest values of the batch: their number, then the
    /// candidates. The number is -1 if there are too many.
    fn find_candidates<T: Element>(isa: Isa, last: f64, codes: Panels<'_, T>, memory: &mut [T]) {
        let Some((count, room)) = memory.split_first_mut() else { return };
        let found = sparse::values_reaching(isa, T::from_f64(CANDIDATE * last), codes, room);
        *count = T::from_f64(if found <= room.len().min(COUNTED) { found as f64 } else { -1.0 });
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
            let area = &block[self.areas.private(1)..][..sparse::active_len(self.most(rows), rows)];
            let found = area.split_first().and_then(|(count, room)| {
                let count = count.to_f64();
                if count < 0.0 { None } else { room.get(..count as usize) }
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
        let of_dead = self.revival.filter(|_| !batch.dead.is_empty()).map(|areas| {
            let outputs = TurnedRows { offset: areas.turned, ..outputs };
            (areas.settings.k.min(batch.dead.len()), areas, outputs)
        });
        let blocks = self.blocks(rows, memory);
        let of_all = blocks.clone().map(|(first, rows, block)| {
            let active = self.active(rows, block);
            Listed { first, active, deltas: &block[self.deltas..][..active.most()], outputs }
        });
        let of_dead = of_dead.into_iter().flat_map(|(k, areas, outputs)| {
            blocks.clone().map(move |(first, rows, block)| {
                let most = k * rows;
                let active =
                    Active::new(&block[areas.active..][..sparse::active_len(most, rows)], most, rows);
                Listed { first, active, deltas: &block[areas.deltas..][..most], outputs }
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
    fn places<T: Element>(&self, layers: &[Dense]) -> [TurnedRows; 2] {
        let place = |offset: usize, features: usize| TurnedRows {
            block_rows: self.layout.block_panels * T::PANEL,
            block_len: self.layout.block_len,
            offset,
            panel_len: turned_len::<T>(features, 1),
        };
        [place(self.turned[0], layers[0].inputs), place(self.turned[1], layers[1].outputs)]
    }
}

impl SparsePlan {
    /// Where the memory of dead features starts.
    fn revival_start(&self) -> usize {
        self.revival.map_or(self.layout.judged.losses, |areas| areas.active)
    }

    /// Reconstructs the residuals of a block's rows from dead features: computes their deltas, and adds
    /// the auxiliary loss. Overwrites the codes, which are no longer needed.
    fn revive<T: Element>(
        &self,
        block: &Block<'_, T>,
        areas: RevivalAreas,
        values: &mut [T],
        memory: &mut [T],
        losses: &mut [T],
    ) {
        let (network, dead, rows) = (block.network, block.batch.dead, block.batch.indices.len());
        let (isa, k) = (network.isa, areas.settings.k.min(dead.len()));
        let [_, decoder] = network.layers.as_slice() else { return };
        let (weights, outputs) = (decoder.parameters(network.parameters.as_slice()), decoder.outputs);
        let (active, rest) = memory.split_at_mut(areas.deltas - areas.active);
        let (deltas, rest) = rest.split_at_mut(areas.left - areas.deltas);
        let (left, rest) = rest.split_at_mut(areas.made - areas.left);
        let (made, rest) = rest.split_at_mut(areas.turned - areas.made);
        let (turned, rest) = rest.split_at_mut(areas.losses - areas.turned);
        let (of_rows, squares) = rest.split_at_mut(areas.squares - areas.losses);

        let at = self.areas.at(1);
        let codes = &mut values[at..][..panel_len::<T>(self.latent.features, rows)];
        sparse::pick(codes, self.latent.features, dead);
        let codes = Panels::new(&codes[..panel_len::<T>(dead.len(), rows)], dead.len(), rows);
        let (active, scratch) = active.split_at_mut(sparse::active_len(k * rows, rows));
        sparse::select(isa, k, codes, active, scratch);
        sparse::rename(active, rows, dead);
        let active = Active::new(active, k * rows, rows);
        let len = panel_len::<T>(outputs, rows);
        let made = &mut made[..len];
        sparse::decode(isa, weights, false, active, PanelsMut::new(made, outputs, rows));
        // The delta of the squared error is the negative residual.
        let delta = real(block.values(values, 3), rows);
        let target = self.areas.expected();
        let cells = delta.data().iter().zip(&values[target..]);
        left.iter_mut().zip(cells).for_each(|(left, (delta, target))| {
            // A missing value stays missing: it has no residual, and 0 must not be learnt in its place.
            *left = if target.to_f64().is_nan() { *target } else { T::ZERO - *delta };
        });
        let judged = RowLosses { losses: &mut of_rows[..rows], squares: &mut squares[..rows] };
        let weight = T::from_f64(areas.settings.weight);
        let left = Panels::new(&left[..len], outputs, rows);
        let target = PanelsMut::new(made, outputs, rows);
        loss::evaluate(isa, loss::Loss::SquaredError, target, left, None, judged);
        for (loss, more) in losses.iter_mut().zip(&of_rows[..rows]) {
            *loss = *loss + weight * *more;
        }
        made.iter_mut().for_each(|delta| *delta = *delta * weight);
        let turned = &mut turned[..turned_len::<T>(outputs, rows)];
        panel::turn(isa, Panels::new(made, outputs, rows), turned);
        sparse::deltas(isa, weights, active, turned, &mut deltas[..k * rows]);
    }
}

/// The columns of actual rows of a matrix that has more.
fn real<T: Element>(all: Panels<'_, T>, rows: usize) -> Panels<'_, T> {
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
        let [encoder, decoder] = network.layers.as_slice() else { return };
        let (values, rest) = memory.split_at_mut(self.turned[0]);
        let (turned_x, rest) = rest.split_at_mut(self.turned[1] - self.turned[0]);
        let (turned_delta, rest) = rest.split_at_mut(self.deltas - self.turned[1]);
        let (of_codes, rest) = rest.split_at_mut(self.operand[0] - self.deltas);
        let (operand, rest) = rest.split_at_mut(self.operand[1] - self.operand[0]);
        let (room, rest) = rest.split_at_mut(self.revival_start() - self.operand[1]);
        let (revival, rest) = rest.split_at_mut(self.layout.judged.losses - self.revival_start());
        let (losses, squares) = rest.split_at_mut(self.layout.judged.squares - self.layout.judged.losses);

        if pass.start == 0 {
            block.load(values);
            let (x, codes, _) = block.around(values, 0);
            match self.parts {
                Some(parts) => T::Tiles::encode(isa, parts, encoder, parameters, x, codes, [operand, room]),
                None => encoder.forward(isa, parameters, x, codes, None),
            }
            let x = real(block.values(values, 0), rows);
            panel::turn(isa, x, &mut turned_x[..turned_len::<T>(x.rows(), rows)]);
        }
        let (before, after) = values.split_at_mut(self.areas.private(1));
        let (memory, output) = after.split_at_mut(self.areas.at(3) - self.areas.private(1));
        let codes = real(block.values(before, 1), rows);
        let most = self.most(rows);
        let active = match &network.stages[1] {
            Stage::BatchTopK(latent) => {
                let memory = &mut memory[..sparse::active_len(most, rows)];
                if pass.end < network.stages.len() {
                    Self::find_candidates(isa, latent.last, codes, memory);
                    return;
                }
                // Without a smallest kept value, all values are zero.
                let least = batch.least.unwrap_or(T::from_f64(f64::INFINITY));
                sparse::reaching(isa, least, codes, memory, most);
                Active::new(memory, most, rows)
            }
            _ => self.latent.select(isa, codes, memory),
        };
        let outputs = decoder.outputs;
        let output = PanelsMut::new(&mut output[..panel_len::<T>(outputs, rows)], outputs, rows);
        sparse::decode(isa, decoder.parameters(parameters), true, active, output);

        block.judge(values, losses, squares);
        let delta = real(block.values(values, 3), rows);
        let turned_delta = &mut turned_delta[..turned_len::<T>(outputs, rows)];
        panel::turn(isa, delta, turned_delta);
        let active = self.active(rows, values);
        let of_codes = &mut of_codes[..most];
        sparse::deltas(isa, decoder.parameters(parameters), active, turned_delta, of_codes);
        if let Some(areas) = self.revival.filter(|_| !batch.dead.is_empty()) {
            self.revive(&block, areas, values, revival, losses);
        }
    }

    fn update(&self, operands: Operands<'_, T>, piece: &Piece, rule: Rule<T>, part: Part<'_, T>) {
        let Part { parameters, state, .. } = part;
        let layers = operands.layers;
        let [inputs, outputs] = self.places::<T>(layers);
        let place = if piece.layer == 0 { inputs } else { outputs };
        let sources = Sources { index: operands.index, data: operands.arena, place };
        if piece.layer == 0 {
            let inputs = layers[0].inputs;
            sparse::below(operands.isa, inputs, &piece.range, sources, rule, parameters, state);
        } else {
            sparse::above(operands.isa, &piece.range, sources, rule, parameters, state);
        }
    }
}
