//! A network in one arithmetic with the memory of its training steps.

use ae_kernels::Isa;
use ae_kernels::par::Crew;
use ae_kernels::tile::Parts;
use ae_kernels::workspace::AlignedBuf;

use crate::config::{Config, Precision};
use crate::network::{LayerParameters, Network, layer_of};
use crate::optim::{Optimizer, Rule};
use crate::scale::{Maps, Scaler};
use crate::step::{self, Arena, Arithmetic, Batch, StepPlan};

/// How the products of `f32` steps are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Products {
    /// As measured fastest for the network, the batch size and the CPU: on tiles of bf16 by splitting where it has them and the
    /// products are large enough, else plainly. The number of threads makes no difference.
    #[default]
    Fastest,
    /// Multiply-adds of `f32`.
    Plain,
    /// By splitting each operand into three bf16 numbers, no less exact than [`Products::Plain`]; emulated, and slow, on CPUs
    /// without AMX.
    Split,
    /// With operands rounded to bf16: mixed precision.
    Bf16,
}

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
    products: Products,
    plan: Option<StepPlan<T>>,
    arena: Arena<T>,
}

impl<T: Arithmetic> Engine<T> {
    pub(crate) fn new(isa: Isa, config: &Config, scaler: &Scaler) -> Self {
        let network = Network::new(isa, config);
        let state = network.parameters.as_slice().len() * config.optimizer().state_per_parameter();
        let products = match config.precision() {
            Precision::Bf16 => Products::Bf16,
            _ => Products::Fastest,
        };
        Engine {
            network,
            maps: Maps::new(scaler),
            optimizer: config.optimizer(),
            learning_rate: config.learning_rate(),
            time: 0,
            state: AlignedBuf::zeroed(state),
            products,
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

    pub(crate) fn set_products(&mut self, products: Products) {
        self.products = products;
        self.plan = None;
    }

    fn plan_for(&self, crew: Crew, batch: usize) -> StepPlan<T> {
        let parts = match self.products {
            Products::Plain => None,
            Products::Bf16 => Some(Parts::One),
            Products::Split => Some(Parts::Three),
            Products::Fastest => step::tiles_pay(&self.network, batch).then_some(Parts::Three),
        };
        StepPlan::new(&self.network, batch, crew.threads(), parts)
    }

    /// Makes room for steps on up to `batch` rows. After it, steps allocate nothing.
    pub(crate) fn prepare(&mut self, crew: Crew, batch: usize) {
        if self.plan.as_ref().is_none_or(|plan| plan.batch() != batch) {
            let plan = self.plan_for(crew, batch);
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
        let plan = self.plan_for(crew, rows.max(1));
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
