//! The barrier within phase 1, for a stage that needs the whole batch.

use ae_kernels::sparse;

use super::{Arena, Arithmetic, Batch, StepPlan, Strategy};
use crate::network::Network;
use crate::stage::Stage;

impl<T: Arithmetic> StepPlan<T> {
    /// Computes into `arena` what stage `barrier` needs to know of the values before it in all blocks:
    /// the smallest of the largest values, or the means. Runs on one thread, in row order.
    pub(super) fn batch_statistics(
        &self,
        network: &Network<T>,
        batch: Batch<'_, T>,
        barrier: usize,
        arena: &mut Arena<T>,
    ) {
        let rows = batch.indices.len();
        if let Stage::BatchTopK(latent) = &network.stages[barrier] {
            let mut values = std::mem::take(&mut arena.values);
            values.clear();
            let count = latent.k.saturating_mul(rows);
            let candidates = match &self.strategy {
                Strategy::Sparse(plan) => plan.candidates(rows, arena.blocks.as_slice(), count, &mut values),
                Strategy::Plain(_) | Strategy::Tiles(_) => false,
            };
            if !candidates {
                self.for_each_block(network, batch, arena, |block, memory| {
                    block.collect_values(memory, barrier, &mut values);
                });
            }
            arena.threshold = sparse::batch_threshold(&mut values, count);
            arena.values = values;
            return;
        }
        let mut means = std::mem::take(&mut arena.means);
        means.clear();
        means.resize(network.stage_shape(barrier).0, 0.0);
        self.for_each_block(network, batch, arena, |block, memory| {
            block.add_values(memory, barrier, &mut means);
        });
        means.iter_mut().for_each(|mean| *mean /= rows as f64);
        arena.means = means;
    }
}
