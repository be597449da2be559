//! A network in one arithmetic with the memory of its training steps.

use ae_kernels::Isa;
use ae_kernels::par::Crew;
use ae_kernels::tile::Parts;
use ae_kernels::workspace::AlignedBuf;

use crate::config::{Config, Precision};
use crate::network::{LayerParameters, Network, layer_of};
use crate::optim::{Optimizer, Rule};
use crate::scale::{Maps, Scaler};
use crate::step::{Arena, Arithmetic, Batch, StepPlan};

/// A network and what its steps need.
#[derive(Clone, Debug)]
pub(crate) struct Engine<T: Arithmetic> {
    pub(crate) network: Network<T>,
    pub(crate) maps: Maps<T>,
    optimizer: Optimizer,
    learning_rate: f64,
    /// Updates so far.
    time: u64,
    state: AlignedBuf<T>,
    parts: Option<Parts>,
    plan: Option<StepPlan<T>>,
    arena: Arena<T>,
}

impl<T: Arithmetic> Engine<T> {
    pub(crate) fn new(isa: Isa, config: &Config, scaler: &Scaler) -> Self {
        let network = Network::new(isa, config);
        let state = network.parameters.as_slice().len() * config.optimizer().state_per_parameter();
        let parts = match config.precision() {
            Precision::Bf16 => Some(Parts::One),
            _ => isa.has_tiles().then_some(Parts::Three),
        };
        Engine {
            network,
            maps: Maps::new(scaler),
            optimizer: config.optimizer(),
            learning_rate: config.learning_rate(),
            time: 0,
            state: AlignedBuf::zeroed(state),
            parts,
            plan: None,
            arena: Arena::default(),
        }
    }

    pub(crate) fn set_scaler(&mut self, scaler: &Scaler) {
        self.maps = Maps::new(scaler);
    }

    /// Draws the weights anew and forgets the optimiser's state.
    pub(crate) fn reset(&mut self, config: &Config) {
        self.network.reset(config);
        self.state.as_mut_slice().fill(T::ZERO);
        self.time = 0;
    }

    /// Makes room for steps on up to `batch` rows. After it, steps allocate nothing.
    pub(crate) fn prepare(&mut self, crew: Crew, batch: usize) {
        if self.plan.as_ref().is_none_or(|plan| plan.batch() != batch) {
            let plan = StepPlan::new(&self.network, batch, crew.threads(), self.parts);
            self.arena = plan.arena();
            self.plan = Some(plan);
        }
    }

    /// One update from the rows `indices` of `table`; returns their summed squared error before it.
    pub(crate) fn train_batch(&mut self, crew: Crew, table: &[f32], indices: &[usize]) -> f64 {
        if self.plan.as_ref().is_none_or(|plan| plan.batch() < indices.len()) {
            self.prepare(crew, indices.len());
        }
        let Some(plan) = &self.plan else { return 0.0 };
        let batch = Batch { table, indices, map: Some(self.maps.inwards()) };
        plan.rows_phase(&self.network, crew, batch, &mut self.arena);
        let total = plan.total_error(indices.len(), &self.arena);
        self.time += 1;
        let rule = self.optimizer.rule(self.learning_rate, indices.len(), self.time);
        let Network { isa, layers, parameters, .. } = &mut self.network;
        let changed = (parameters.as_mut_slice(), self.state.as_mut_slice());
        plan.parameters_phase((*isa, layers), crew, indices.len(), &self.arena, rule, changed);
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
        let plan = StepPlan::new(&self.network, rows.max(1), crew.threads(), self.parts);
        let mut arena = plan.arena();
        let batch = Batch { table, indices, map: Some(self.maps.inwards()) };
        plan.rows_phase(&self.network, crew, batch, &mut arena);
        let mut gradients = AlignedBuf::zeroed(self.network.parameters.as_slice().len());
        let rule = Rule::Gradient { scale: 1.0 / rows.max(1) as f64 };
        let Network { isa, layers, .. } = &self.network;
        let changed = (gradients.as_mut_slice(), &mut [][..]);
        plan.parameters_phase((*isa, layers), crew, rows, &arena, rule, changed);
        let objective = 0.5 * plan.total_error(rows, &arena) / rows.max(1) as f64;
        (objective, layers.iter().map(|layer| layer_of(layer, gradients.as_slice())).collect())
    }
}
