//! A network in one arithmetic with the memory of its training steps.

use ae_kernels::par::Crew;
use ae_kernels::update::Gradient;
use ae_kernels::workspace::AlignedBuf;
use ae_kernels::{Element, Isa};

use crate::config::Config;
use crate::network::{LayerParameters, Network, layer_of};
use crate::optim::{Optimizer, Update};
use crate::scale::{Maps, Scaler};
use crate::step::{self, Batch, StepPlan};

/// A network and what its steps need.
#[derive(Clone, Debug)]
pub(crate) struct Engine<T> {
    pub(crate) network: Network<T>,
    pub(crate) maps: Maps<T>,
    optimizer: Optimizer,
    learning_rate: f64,
    state: AlignedBuf<T>,
    plan: Option<StepPlan>,
    arena: AlignedBuf<T>,
}

impl<T: Element> Engine<T> {
    pub(crate) fn new(isa: Isa, config: &Config, scaler: &Scaler) -> Self {
        let network = Network::new(isa, config);
        let state = network.parameters.as_slice().len() * config.optimizer().state_per_parameter();
        Engine {
            network,
            maps: Maps::new(scaler),
            optimizer: config.optimizer(),
            learning_rate: config.learning_rate(),
            state: AlignedBuf::zeroed(state),
            plan: None,
            arena: AlignedBuf::default(),
        }
    }

    pub(crate) fn set_scaler(&mut self, scaler: &Scaler) {
        self.maps = Maps::new(scaler);
    }

    /// Draws the weights anew and forgets the optimiser's state.
    pub(crate) fn reset(&mut self, config: &Config) {
        self.network.reset(config);
        self.state.as_mut_slice().fill(T::ZERO);
    }

    /// Makes room for steps on up to `batch` rows. After it, steps allocate nothing.
    pub(crate) fn prepare(&mut self, crew: Crew, batch: usize) {
        if self.plan.as_ref().is_none_or(|plan| plan.batch() != batch) {
            let plan = StepPlan::new(&self.network, batch, crew.threads());
            self.arena = step::arena(&plan);
            self.plan = Some(plan);
        }
    }

    /// One update from the rows `indices` of `table`; returns their summed squared error before it.
    pub(crate) fn train_batch(&mut self, crew: Crew, table: &[f32], indices: &[usize]) -> f64 {
        if self.plan.as_ref().is_none_or(|plan| plan.batch() < indices.len()) {
            self.prepare(crew, indices.len());
        }
        let Some(plan) = &self.plan else { return 0.0 };
        let arena = self.arena.as_mut_slice();
        let batch = Batch { table, indices, map: Some(self.maps.inwards()) };
        step::rows_phase(&self.network, plan, crew, batch, arena);
        let total = step::total_error(plan, indices.len(), arena);
        let update = self.optimizer.update(self.learning_rate, indices.len());
        let Network { isa, layers, parameters, .. } = &mut self.network;
        step::parameters_phase(
            *isa,
            layers,
            plan,
            crew,
            indices.len(),
            arena,
            update,
            parameters.as_mut_slice(),
            self.state.as_mut_slice(),
        );
        total
    }

    /// Mean gradients of `½ Σ_features (x̂ - x)²` over the rows, layer by layer, and that objective.
    pub(crate) fn gradients(
        &mut self,
        crew: Crew,
        table: &[f32],
        indices: &[usize],
    ) -> (f64, Vec<LayerParameters<T>>) {
        let rows = indices.len();
        let plan = StepPlan::new(&self.network, rows.max(1), crew.threads());
        let mut arena = step::arena(&plan);
        let batch = Batch { table, indices, map: Some(self.maps.inwards()) };
        step::rows_phase(&self.network, &plan, crew, batch, arena.as_mut_slice());
        let mut gradients = AlignedBuf::zeroed(self.network.parameters.as_slice().len());
        let update = Update::Gradient(Gradient { scale: T::from_f64(1.0 / rows.max(1) as f64) });
        let Network { isa, layers, .. } = &self.network;
        let arena = arena.as_slice();
        step::parameters_phase(
            *isa,
            layers,
            &plan,
            crew,
            rows,
            arena,
            update,
            gradients.as_mut_slice(),
            &mut [],
        );
        let objective = 0.5 * step::total_error(&plan, rows, arena) / rows.max(1) as f64;
        (objective, layers.iter().map(|layer| layer_of(layer, gradients.as_slice())).collect())
    }
}
