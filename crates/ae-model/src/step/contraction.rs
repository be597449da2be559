//! Steps with a contractive penalty ([`ae_kernels::contraction`]): what they compute before phase 1 and
//! add to phase 2.

use ae_kernels::Isa;
use ae_kernels::contraction;
use ae_kernels::panel::PanelsMut;
use ae_kernels::par::Crew;

use super::{Arena, Arithmetic, Batch, StepPlan};
use crate::layer::Dense;
use crate::network::Network;

impl<T: Arithmetic> StepPlan<T> {
    /// Runs phase 1 with the contractive penalty at stage `stage`.
    pub(super) fn contractive_passes(
        &self,
        network: &Network<T>,
        crew: Crew<'_>,
        batch: Batch<'_, T>,
        stage: usize,
        arena: &mut Arena<T>,
    ) {
        let weights = network.layers[0].parameters(network.parameters.as_slice());
        let mut squares = std::mem::take(&mut arena.column_squares);
        squares.resize(weights.count() * T::PANEL, T::ZERO);
        contraction::column_squares(network.isa, weights, &mut squares);
        self.all_passes(network, crew, Batch { column_squares: &squares, ..batch }, arena);
        arena.column_squares = squares;
        let mut slopes = std::mem::take(&mut arena.slopes);
        slopes.clear();
        slopes.resize(weights.cols() * T::PANEL, T::ZERO);
        self.for_each_block(network, batch, arena, |block, memory| {
            block.add_slopes(memory, stage, &mut slopes);
        });
        arena.slopes = slopes;
    }

    /// Adds to `gradients`, means over the rows of the batch that phase 1 left in the arena, the part of
    /// the gradient of the contractive penalty of weight `weight` that acts on the weights directly.
    pub(crate) fn add_contractive_gradient(
        &self,
        (isa, layers): (Isa, &[Dense]),
        weight: f64,
        rows: usize,
        arena: &Arena<T>,
        parameters: &[T],
        gradients: &mut [T],
    ) {
        let layer = &layers[0];
        let factor = T::from_f64(2.0 * weight / rows.max(1) as f64);
        let gradients = PanelsMut::new(&mut gradients[layer.range.clone()], layer.inputs + 1, layer.outputs);
        contraction::add_gradient(isa, factor, &arena.slopes, layer.parameters(parameters), gradients);
    }
}
