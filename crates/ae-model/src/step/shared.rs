//! Phase 1 of a batch with fewer blocks of rows than there are threads: the outputs of a product are shared among the threads, not the rows.
//! Each value is the same chain of multiply-adds whoever computes it, so this changes no bit.

use std::ops::Range;

use ae_kernels::Element;
use ae_kernels::activation::Slope;
use ae_kernels::panel::{Panels, PanelsMut};
use ae_kernels::par::{Crew, Places};

use super::plain::{Act, PlainPlan};
use super::{Batch, Phases};
use crate::layer::Dense;
use crate::network::Network;
use crate::stage::Stage;

/// Multiply-adds of a product from which on sharing it pays: a microsecond or two, which is what it costs.
const WORTH_SHARING: usize = 1 << 17;
/// Tasks of a product a thread, to even out threads that are late.
const TASKS_A_THREAD: usize = 2;

impl PlainPlan {
    /// Whether so many threads have more to do where products are shared: one panel of rows is as little as a block can have.
    pub(super) fn shares_products<T: Element>(
        &self,
        network: &Network<T>,
        threads: usize,
        blocks: usize,
    ) -> bool {
        let dense = network.stages.iter().all(|stage| !stage.is_of_images() && stage.copies() == 1);
        dense && self.block_panels() == 1 && blocks < threads
    }

    /// Takes all blocks of the batch, whose memory is `memory` and `kept`, through the stages `pass`.
    pub(super) fn shared_pass<T: Element>(
        &self,
        network: &Network<T>,
        crew: Crew<'_>,
        batch: Batch<'_, T>,
        pass: Range<usize>,
        memory: &mut [T],
        kept: &mut [T],
    ) {
        let rows = batch.indices.len();
        let [block_len, kept_len] = self.memory_len();
        let mut acts = self.acts(network.stages.len(), pass);
        loop {
            // What is not shared is done block by block, as much as there is of it at a time.
            let alone = acts.clone().take_while(|act| shared_layer(network, *act, rows).is_none());
            let count = alone.clone().count();
            if count > 0 {
                crew.for_each_chunk_with(memory, block_len, kept, kept_len, |index, memory, kept| {
                    let block = self.block(network, batch.part(T::PANEL, index));
                    alone.clone().for_each(|act| self.act(&block, act, memory, kept));
                });
            }
            let Some(act) = acts.by_ref().nth(count) else { return };
            if let Some((layer, index)) = shared_layer(network, act, rows) {
                self.share(network, crew, batch, (act, layer, index), memory);
            }
        }
    }

    /// The product of `act`, which is that of a layer in stage `index`, for all blocks.
    fn share<T: Element>(
        &self,
        network: &Network<T>,
        crew: Crew<'_>,
        batch: Batch<'_, T>,
        (act, layer, index): (Act, &Dense, usize),
        memory: &mut [T],
    ) {
        let (isa, parameters) = (network.isa, network.parameters.as_slice());
        let [block_len, _] = self.memory_len();
        let blocks = memory.len() / block_len;
        let tasks = (TASKS_A_THREAD * crew.threads()).div_ceil(blocks.max(1));
        let piece_len = |features: usize| features.div_ceil(tasks).next_multiple_of(T::PANEL) * T::PANEL;
        let rows = |block: usize| batch.part(T::PANEL, block).indices.len();
        let block = self.block(network, batch.part(T::PANEL, 0));
        let place = |at: usize, features: usize| at..at + features * T::PANEL;
        let inputs = place(self.values_at(index), layer.inputs);
        if matches!(act, Act::Up(_)) {
            let writes = place(self.values_at(index + 1), layer.outputs);
            let beside = block.slopes_at(index).map_or(0..0, |at| place(at, layer.outputs));
            let places = Places { reads: [inputs, 0..0], writes, beside };
            let len = piece_len(layer.outputs);
            crew.for_each_piece(memory, block_len, &places, len, |block, start, [x, _], y, slopes| {
                let (cols, features) = (rows(block), y.len() / T::PANEL);
                let slopes = (!slopes.is_empty()).then(|| PanelsMut::new(slopes, features, cols));
                let (x, y) = (Panels::new(x, layer.inputs, cols), PanelsMut::new(y, features, cols));
                layer.forward_from(isa, parameters, start / T::PANEL / T::PANEL, x, y, slopes);
            });
            return;
        }
        let stages = network.stages.len();
        let (below, slope): (usize, Slope) = block.slope_at(index);
        let delta = place(self.delta_at(stages, index + 1), layer.outputs);
        let writes = place(self.delta_at(stages, index), layer.inputs);
        let places = Places { reads: [delta, place(below, layer.inputs)], writes, beside: 0..0 };
        let len = piece_len(layer.inputs);
        crew.for_each_piece(memory, block_len, &places, len, |block, start, [delta, below], dx, _| {
            let (cols, features) = (rows(block), dx.len() / T::PANEL);
            let below = Panels::new(&below[start..][..dx.len()], features, cols);
            let (delta, dx) = (Panels::new(delta, layer.outputs, cols), PanelsMut::new(dx, features, cols));
            layer.backward_input(isa, parameters, start / T::PANEL, delta, (below, slope), dx);
        });
    }
}

/// The layer whose product `act` is, and its stage, where that is worth sharing for so many rows.
fn shared_layer<T: Element>(network: &Network<T>, act: Act, rows: usize) -> Option<(&Dense, usize)> {
    let (Act::Up(index) | Act::Down(index)) = act else { return None };
    let Stage::Dense(layer) = network.stages[index] else { return None };
    let layer = &network.layers[layer];
    (layer.inputs * layer.outputs * rows >= WORTH_SHARING).then_some((layer, index))
}
