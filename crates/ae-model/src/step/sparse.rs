//! Steps of a k-sparse autoencoder without hidden layers. Only the encoder's product is dense; what comes after the selection costs as much as
//! there are active features, however wide the code ([`ae_kernels::sparse`]). The numbers are those of the dense way.

use std::ops::Range;

use ae_kernels::Element;
use ae_kernels::activation::Activation;
use ae_kernels::panel::{self, Panels, PanelsMut, panel_count, panel_len, turned_len};
use ae_kernels::sparse::{self, Active, Index, Sources, TurnedRows};
use ae_kernels::tile::Parts;
use ae_kernels::update::UpdateRule;

use super::block::{Areas, Block};
use super::{Arithmetic, Batch, Layout, OnTiles, Operands, Part, Phases, Piece};
use crate::layer::Dense;
use crate::network::Network;
use crate::optim::{Rule, WithRule};
use crate::stage::{Stage, TopKLatent};

/// Batch panels of a block at most: the more rows, the more often each line of weights is used that has come to the core.
const BLOCK_PANELS: usize = 16;
/// How many times as many features as are kept a code must have for the sparse way to pay.
const WIDER: usize = 4;

/// Where everything of a block lies.
#[derive(Clone, Debug)]
pub(super) struct SparsePlan {
    /// How the encoder's product is computed: on tiles, or plainly.
    parts: Option<Parts>,
    latent: TopKLatent,
    layout: Layout,
    areas: Areas,
    /// The inputs and the deltas of the outputs, row by row.
    turned: [usize; 2],
    /// Deltas of the active features.
    deltas: usize,
    /// Memory of a product on tiles: its operand, and the rest.
    operand: [usize; 2],
}

impl SparsePlan {
    /// The plan, where the network is of this kind and its code wide enough.
    pub(super) fn new<T: Arithmetic>(
        network: &Network<T>,
        batch: usize,
        threads: usize,
        parts: Option<Parts>,
    ) -> Option<Self> {
        let [Stage::Dense(0), Stage::TopK(latent), Stage::Dense(1)] = network.stages.as_slice() else {
            return None;
        };
        // With these the slope of a value that is not zero is one.
        let slope_is_one = matches!(network.layers[0].activation, Activation::Relu | Activation::Linear);
        if !slope_is_one || latent.k * WIDER > latent.features {
            return None;
        }
        let pairs = panel_count::<T>(batch).max(1).div_ceil(2);
        let block_panels = 2 * pairs.div_ceil(threads.max(1)).min(BLOCK_PANELS / 2);
        let rows = block_panels * T::PANEL;
        let mut end = 0;
        let mut take = |len: usize| {
            end += len.next_multiple_of(T::PANEL);
            end - len.next_multiple_of(T::PANEL)
        };
        let areas = Areas::new(network, rows, &mut take);
        let turned =
            [network.input, network.layers[1].outputs].map(|features| take(turned_len::<T>(features, rows)));
        let deltas = take(rows * latent.k);
        let [operand, room] =
            parts.map_or([0; 2], |parts| T::Tiles::encode_len(parts, network.layers[0].inputs, block_panels));
        let operand = [take(operand), take(room)];
        let losses = take(rows);
        let squares = take(rows);
        let layout = Layout { block_panels, block_len: end, kept_len: 0, losses, squares };
        Some(SparsePlan { parts, latent: latent.clone(), layout, areas, turned, deltas, operand })
    }

    /// Memory for the active features of a batch.
    pub(super) fn index<T: Element>(&self, batch: usize) -> Index<T> {
        Index::with_room(self.latent.features, self.latent.k, batch)
    }

    /// Fills the index from the blocks of a batch of `rows` rows.
    pub(super) fn fill<T: Element>(&self, layers: &[Dense], rows: usize, blocks: &[T], index: &mut Index<T>) {
        let block_rows = self.layout.block_panels * T::PANEL;
        let k = self.latent.k;
        let active = blocks.chunks(self.layout.block_len).take(rows.div_ceil(block_rows)).enumerate().map(
            |(number, block)| {
                let rows = block_rows.min(rows - number * block_rows);
                let active = &block[self.areas.private(1)..][..sparse::active_len(k, rows)];
                (Active::new(active, k, rows), &block[self.deltas..][..rows * k])
            },
        );
        let [inputs, outputs] = self.places::<T>(layers);
        index.fill(active, inputs, outputs);
    }

    /// Where the rows of the inputs and of the deltas of the outputs are.
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

/// The columns of real rows of a matrix that has more.
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
        _: Range<usize>,
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
        let (room, rest) = rest.split_at_mut(self.layout.losses - self.operand[1]);
        let (losses, squares) = rest.split_at_mut(self.layout.squares - self.layout.losses);

        block.load(values);
        let (x, codes, _) = block.around(values, 0);
        match self.parts {
            Some(parts) => T::Tiles::encode(isa, parts, encoder, parameters, x, codes, [operand, room]),
            None => encoder.forward(isa, parameters, x, codes, None),
        }
        let x = real(block.values(values, 0), rows);
        panel::turn(isa, x, &mut turned_x[..turned_len::<T>(x.rows(), rows)]);
        let (before, after) = values.split_at_mut(self.areas.private(1));
        let (memory, output) = after.split_at_mut(self.areas.at(3) - self.areas.private(1));
        let active = self.latent.select(isa, real(block.values(before, 1), rows), memory);
        let outputs = decoder.outputs;
        let output = PanelsMut::new(&mut output[..panel_len::<T>(outputs, rows)], outputs, rows);
        sparse::decode(isa, decoder.parameters(parameters), active, output);

        block.judge(values, losses, squares);
        let delta = real(block.values(values, 3), rows);
        let turned_delta = &mut turned_delta[..turned_len::<T>(outputs, rows)];
        panel::turn(isa, delta, turned_delta);
        let k = self.latent.k;
        let active = Active::new(&values[self.areas.private(1)..][..sparse::active_len(k, rows)], k, rows);
        let of_codes = &mut of_codes[..rows * k];
        sparse::deltas(isa, decoder.parameters(parameters), active, turned_delta, of_codes);
    }

    fn finish_gradient(&self, operands: Operands<'_, T>, piece: &Piece, rule: Rule, part: Part<'_, T>) {
        rule.hand_to(Gradient { plan: self, operands, piece, part });
    }
}

struct Gradient<'a, T> {
    plan: &'a SparsePlan,
    operands: Operands<'a, T>,
    piece: &'a Piece,
    part: Part<'a, T>,
}

impl<T: Element> WithRule<T> for Gradient<'_, T> {
    fn run<U: UpdateRule<T>>(self, rule: U) {
        let Gradient { plan, operands, piece, part } = self;
        let Part { parameters, state } = part;
        let layers = operands.layers;
        let [inputs, outputs] = plan.places::<T>(layers);
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
