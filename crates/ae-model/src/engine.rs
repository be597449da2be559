//! A network in one arithmetic, with everything its training steps need to keep.

mod memory;

use ae_data::DataError;
use ae_kernels::par::Crew;
use ae_kernels::tile::Parts;
use ae_kernels::update::{self, Rule};
use ae_kernels::workspace::AlignedBuf;
use ae_kernels::{Element, Isa};

use crate::config::{Config, Latent, Precision, Revival, TopK, WeightPenalty};
use crate::layer::Dense;
use crate::network::{LayerParameters, Network, unpack_layer};
use crate::optim::Optimizer;
use crate::scale::{Maps, Scaler};
use crate::step::{self, Arena, Arithmetic, Batch, Draws, StepPlan, Totals};
use crate::table::Table;
use crate::tied::Layers;
pub(crate) use memory::{LatentState, SavedState, tensor};

/// How the matrix products of `f32` training steps are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Products {
    /// Whichever way was measured to be fastest for the network, the batch size and the CPU: split into
    /// bf16 on tiles if the CPU has them and the products are large enough, plain otherwise. The choice
    /// does not depend on the number of threads.
    #[default]
    Fastest,
    /// Plain `f32` multiply-adds.
    Plain,
    /// Splits each operand into three bf16 numbers, which is no less exact than [`Products::Plain`].
    /// Emulated, and slow, on CPUs without AMX.
    Split,
    /// Rounds operands to bf16: mixed precision.
    Bf16,
}

/// A network and the state of its training.
#[derive(Clone, Debug)]
pub(crate) struct Engine<T: Arithmetic> {
    pub(crate) network: Network<T>,
    pub(crate) maps: Maps<T>,
    optimizer: Optimizer,
    learning_rate: f64,
    penalties: Penalties,
    clip_norm: Option<f64>,
    seed: u64,
    /// Number of updates so far.
    updates: u64,
    /// Epochs so far, including the fraction of the current one.
    epochs: f64,
    state: AlignedBuf<T>,
    /// The gradients of all parameters; empty unless an update needs them all before it changes any.
    gradients: AlignedBuf<T>,
    /// One value per vector that is kept at unit norm.
    lines: AlignedBuf<T>,
    mean: Option<RunningMean<T>>,
    products: Products,
    /// Indexed by [`Engine::slot`]: 1 for batches that [`Products::Fastest`] computes on tiles, else 0.
    workspaces: [Option<StepWorkspace<T>>; 2],
    dead_features: Option<DeadFeatures>,
}

/// The plan of a step and the memory it runs in.
#[derive(Clone, Debug)]
struct StepWorkspace<T: Arithmetic> {
    plan: StepPlan<T>,
    arena: Arena<T>,
}

/// Tracks the features of a sparse code that have been inactive for long.
#[derive(Clone, Debug)]
struct DeadFeatures {
    settings: Revival,
    /// The configured learning rate, which the schedule scales.
    base_learning_rate: f64,
    /// Rows since each feature was last active.
    rows_since_active: Vec<u64>,
    /// The dead features, in ascending order.
    dead: Vec<u32>,
}

impl DeadFeatures {
    fn new(features: usize, settings: Revival, base_learning_rate: f64) -> Self {
        DeadFeatures {
            settings,
            base_learning_rate,
            rows_since_active: vec![0; features],
            dead: Vec::with_capacity(features),
        }
    }

    fn reset(&mut self) {
        self.rows_since_active.fill(0);
        self.dead.clear();
    }

    /// Updates the counts after a batch of `rows` rows. `active` calls its argument with each active
    /// feature and its value. Returns the mean of these values.
    fn after_batch(&mut self, rows: usize, active: impl FnOnce(&mut dyn FnMut(u32, f64))) -> f64 {
        self.rows_since_active.iter_mut().for_each(|count| *count = count.saturating_add(rows as u64));
        let (mut sum, mut count) = (0.0, 0_usize);
        active(&mut |feature, value| {
            self.rows_since_active[feature as usize] = 0;
            (sum, count) = (sum + value, count + 1);
        });
        self.find_dead();
        sum / count.max(1) as f64
    }

    fn find_dead(&mut self) {
        self.dead.clear();
        let (counts, after) = (self.rows_since_active.iter().enumerate(), self.settings.dead_after);
        self.dead.extend(counts.filter(|(_, rows)| **rows >= after).map(|(feature, _)| feature as u32));
    }

    /// Raises the biases of the dead features of `encoder`, given the mean active value of the last
    /// batch.
    fn lift_biases<T: Element>(&self, encoder: &Dense, mean: f64, learning_rate: f64, parameters: &mut [T]) {
        let step =
            T::from_f64(self.settings.bias_lift * mean.max(0.0) * learning_rate / self.base_learning_rate);
        for &feature in &self.dead {
            let bias = &mut parameters[encoder.bias_at::<T>(feature as usize)];
            *bias = *bias + step;
        }
    }
}

/// Penalties that the objective adds to the losses of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Penalties {
    /// `l1` and `l2` of all parameters.
    weights: [f64; 2],
    /// The weight of the contractive penalty.
    contraction: Option<f64>,
}

/// A running mean of the parameters.
#[derive(Clone, Debug)]
struct RunningMean<T> {
    /// The decay: the fraction of the mean that an update keeps.
    decay: f64,
    values: AlignedBuf<T>,
    /// Whether the two are swapped: the network holds the mean, and `values` the parameters.
    swapped: bool,
}

/// Elements per task when all parameters are processed.
const CHUNK: usize = 1 << 14;

/// Copies of the parameters in memory while a network is set up, besides those that training keeps: the
/// parameters themselves, and the drawn weights of a layer, twice, once in double precision.
const COPIES: usize = 4;

impl<T: Arithmetic> Engine<T> {
    /// Checks that there is memory for an engine of this configuration.
    ///
    /// # Errors
    /// [`DataError::OutOfMemory`] otherwise.
    pub(crate) fn expect_memory(config: &Config) -> Result<(), DataError> {
        let kept = config.optimizer().state_per_parameter() + usize::from(config.ema().is_some());
        ae_data::memory::room::<T>("the parameters", config.parameter_count(), COPIES + kept).map(drop)
    }

    pub(crate) fn new(isa: Isa, config: &Config, scaler: &Scaler) -> Self {
        let network = Network::new(isa, config);
        let len = network.parameters.as_slice().len();
        let products = match config.precision() {
            Precision::Bf16 => Products::Bf16,
            _ => Products::Fastest,
        };
        let WeightPenalty { l1, l2 } = config.weight_penalty();
        let penalties = Penalties { weights: [l1, l2], contraction: config.contractive() };
        let waits = config.clip_norm().is_some()
            || penalties != Penalties::default()
            || config.tied_weights()
            || config.unit_norm();
        let mut engine = Engine {
            maps: Maps::new(scaler),
            optimizer: config.optimizer(),
            learning_rate: config.learning_rate(),
            penalties,
            clip_norm: config.clip_norm(),
            seed: config.seed(),
            updates: 0,
            epochs: f64::INFINITY,
            state: AlignedBuf::zeroed(len * config.optimizer().state_per_parameter()),
            gradients: AlignedBuf::zeroed(if waits { len } else { 0 }),
            lines: AlignedBuf::zeroed(network.lines()),
            mean: config.ema().map(|decay| RunningMean {
                decay,
                values: AlignedBuf::zeroed(len),
                swapped: false,
            }),
            network,
            products,
            workspaces: [None, None],
            dead_features: match config.latent() {
                Latent::TopK(TopK { revival: Some(revival), .. }) => {
                    Some(DeadFeatures::new(config.encoding_dim(), revival, config.learning_rate()))
                }
                _ => None,
            },
        };
        engine.restart_mean();
        engine
    }

    pub(crate) fn set_scaler(&mut self, scaler: &Scaler) {
        self.maps = Maps::new(scaler);
    }

    /// Number of updates so far.
    pub(crate) fn updates(&self) -> u64 {
        self.updates
    }

    /// The learning rate of the next updates.
    pub(crate) fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// Sets the configured learning rate, which is also that of the next updates.
    pub(crate) fn configure_learning_rate(&mut self, learning_rate: f64) {
        self.set_learning_rate(learning_rate);
        if let Some(dead_features) = &mut self.dead_features {
            dead_features.base_learning_rate = learning_rate;
        }
    }

    /// Sets the learning rate of the next updates.
    pub(crate) fn set_learning_rate(&mut self, learning_rate: f64) {
        self.learning_rate = learning_rate;
    }

    /// Sets how many epochs have passed, including a fraction; warm-ups depend on it.
    pub(crate) fn set_epochs(&mut self, epochs: f64) {
        self.epochs = epochs;
    }

    /// Draws new weights and clears the optimizer state.
    pub(crate) fn reset(&mut self, config: &Config) {
        self.network.reset(config);
        self.state.as_mut_slice().fill(T::ZERO);
        self.updates = 0;
        if let Some(dead_features) = &mut self.dead_features {
            dead_features.reset();
        }
        self.restart_mean();
    }

    /// Sets the parameters of layer `index`, whose sizes must match, and restarts the running mean.
    pub(crate) fn set_layer(&mut self, index: usize, layer: &LayerParameters<T>) {
        self.network.set_layer(index, layer);
        self.restart_mean();
    }

    /// Sets all parameters, both those in use and those that training continues from.
    pub(crate) fn set_parameters(&mut self, parameters: &[T]) {
        self.network.parameters.as_mut_slice().copy_from_slice(parameters);
        self.restart_mean();
    }

    /// Restarts the running mean, if there is one, at the current parameters.
    pub(crate) fn restart_mean(&mut self) {
        if let Some(mean) = &mut self.mean {
            mean.values.as_mut_slice().copy_from_slice(self.network.parameters.as_slice());
            mean.swapped = false;
        }
    }

    /// Puts the running mean, if there is one, into the network, or the parameters back.
    pub(crate) fn use_mean(&mut self, wanted: bool) {
        if let Some(mean) = &mut self.mean
            && mean.swapped != wanted
        {
            std::mem::swap(&mut mean.values, &mut self.network.parameters);
            mean.swapped = wanted;
        }
    }

    /// Names the arithmetic of steps on `batch` rows: CPUs and ways of computing with the same name give
    /// the same bits.
    pub(crate) fn arithmetic(&self, batch: usize) -> &'static str {
        match self.products {
            _ if matches!(self.network.isa, Isa::Portable(_)) => "portable",
            Products::Bf16 => "bf16",
            Products::Split => "split",
            Products::Fastest if step::tiles_pay(&self.network, batch) => "split",
            Products::Fastest | Products::Plain => "fused",
        }
    }

    pub(crate) fn set_products(&mut self, products: Products) {
        self.products = products;
        self.workspaces = [None, None];
    }

    /// Sets whether the next steps are given targets.
    pub(crate) fn set_paired(&mut self, paired: bool) {
        if self.network.objective.paired != paired {
            self.network.objective.paired = paired;
            self.workspaces = [None, None];
        }
    }

    fn plan_for(&self, crew: Crew<'_>, batch: usize) -> StepPlan<T> {
        let parts = match self.products {
            Products::Plain => None,
            Products::Bf16 => Some(Parts::One),
            Products::Split => Some(Parts::Three),
            Products::Fastest => step::tiles_pay(&self.network, batch).then_some(Parts::Three),
        };
        StepPlan::new(&self.network, batch, crew.threads(), parts)
    }

    /// The index into [`Engine::workspaces`] for a batch. It depends only on the number of rows, not on
    /// earlier batches: computing a batch another way gives other bits.
    fn slot(&self, rows: usize) -> usize {
        usize::from(self.products == Products::Fastest && step::tiles_pay(&self.network, rows))
    }

    fn new_workspace(&self, crew: Crew<'_>, batch: usize) -> StepWorkspace<T> {
        let plan = self.plan_for(crew, batch);
        StepWorkspace { arena: plan.arena(), plan }
    }

    /// Allocates the memory for steps on up to `batch` rows. Such steps then allocate nothing, except
    /// the first one with so few rows that it is computed another way.
    ///
    /// # Errors
    /// [`DataError::OutOfMemory`] if there is no memory for them.
    pub(crate) fn prepare(&mut self, crew: Crew<'_>, batch: usize) -> Result<(), DataError> {
        self.expect_workspace(crew, batch, |plan| plan.batch() == batch)
    }

    /// Like [`Engine::prepare`], for an update on `rows` rows of `table`, but keeps memory for more rows.
    ///
    /// # Errors
    /// As [`Engine::prepare`].
    pub(crate) fn reserve(&mut self, crew: Crew<'_>, table: Table<'_>, rows: usize) -> Result<(), DataError> {
        self.set_paired(table.targets.is_some());
        self.expect_workspace(crew, rows, |plan| plan.batch() >= rows)
    }

    /// Allocates the workspace for `rows` rows unless there is one that fits.
    fn expect_workspace(
        &mut self,
        crew: Crew<'_>,
        rows: usize,
        fits: impl Fn(&StepPlan<T>) -> bool,
    ) -> Result<(), DataError> {
        let slot = self.slot(rows);
        let fits = |plan: &StepPlan<T>| fits(plan) && plan.threads() == crew.threads();
        if self.workspaces[slot].as_ref().is_none_or(|workspace| !fits(&workspace.plan)) {
            // Its memory may be what the new one needs.
            self.workspaces[slot] = None;
            let plan = self.plan_for(crew, rows);
            plan.expect_memory()?;
            self.workspaces[slot] = Some(StepWorkspace { arena: plan.arena(), plan });
        }
        Ok(())
    }

    /// Takes the workspace for `rows` rows out of its slot; the caller must put it back.
    fn take_workspace(&mut self, crew: Crew<'_>, rows: usize) -> (usize, StepWorkspace<T>) {
        let slot = self.slot(rows);
        let fits = |plan: &StepPlan<T>| plan.batch() >= rows && plan.threads() == crew.threads();
        let workspace = self.workspaces[slot].take().filter(|workspace| fits(&workspace.plan));
        (slot, workspace.unwrap_or_else(|| self.new_workspace(crew, rows)))
    }

    fn draws(&self) -> Draws {
        Draws { seed: self.seed, step: self.updates, epochs: self.epochs }
    }

    /// Runs one update on the rows `indices` of `table`; returns their summed losses before it.
    pub(crate) fn train_batch(&mut self, crew: Crew<'_>, table: Table<'_>, indices: &[usize]) -> Totals {
        self.set_paired(table.targets.is_some());
        let (slot, mut workspace) = self.take_workspace(crew, indices.len());
        let StepWorkspace { plan, arena } = &mut workspace;
        let draws = self.draws();
        let dead = self.dead_features.as_ref().map_or(&[][..], |dead_features| &dead_features.dead);
        let batch = Batch { dead, ..Batch::new(table, indices, Some(self.maps.scaling()), draws) };
        let totals = plan.rows_phase(&self.network, crew, batch, arena);
        if let Some(latent) = self.network.batch_top_k_mut() {
            latent.update_threshold(plan.batch_threshold(arena));
        }
        let mean_active = self.dead_features.as_mut().map(|dead_features| {
            dead_features.after_batch(indices.len(), |each| plan.each_active(indices.len(), arena, each))
        });
        self.updates += 1;
        let (layers, parameters) = self.network.layers_and_parameters();
        let Layers { isa, layers: places, .. } = layers;
        let state = self.state.as_mut_slice();
        let gradients = self.gradients.as_mut_slice();
        if gradients.is_empty() {
            let rule = self.optimizer.rule(self.learning_rate, indices.len(), self.updates);
            let changed = (&mut *parameters, state);
            plan.parameters_phase((isa, places), crew, arena, rule, changed);
        } else {
            let of = (layers, &*parameters);
            let mut norm = collect_gradients(plan, of, crew, indices.len(), arena, self.penalties, gradients);
            if layers.unit_norm.is_some() {
                layers.remove_parallel_gradients(crew, parameters, gradients, self.lines.as_mut_slice());
                norm = layers.penalised_norm([0.0; 2], parameters, gradients);
            }
            let factor = self.clip_norm.map_or(1.0, |most| if norm > most { most / norm } else { 1.0 });
            let rule = self.optimizer.rule(self.learning_rate, 1, self.updates).with_gradient_factor(factor);
            plan.apply_phase(isa, crew, gradients, rule, (&mut *parameters, state));
            layers.copy_to_decoder(crew, parameters);
            layers.normalise(crew, parameters, self.lines.as_mut_slice());
        }
        if let (Some(dead_features), Some(mean)) = (&self.dead_features, mean_active) {
            dead_features.lift_biases(&places[0], mean, self.learning_rate, parameters);
        }
        if let Some(RunningMean { decay, values, .. }) = &mut self.mean {
            // At first an update keeps less of the mean, which averages few updates yet (as in
            // TensorFlow's ExponentialMovingAverage).
            let decay = decay.min((1.0 + self.updates as f64) / (10.0 + self.updates as f64));
            let parameters = &*parameters;
            crew.for_each_chunk(values.as_mut_slice(), CHUNK, |index, values| {
                let parameters = &parameters[index * CHUNK..][..values.len()];
                update::update_moving_average(isa, T::from_f64(1.0 - decay), parameters, values);
            });
        }
        self.workspaces[slot] = Some(workspace);
        totals
    }

    /// Like [`Engine::train_batch`], for an update outside `fit`: if there is a running mean of the
    /// parameters, the network is left with it.
    ///
    /// # Errors
    /// As [`Engine::prepare`]; nothing has changed then.
    pub(crate) fn train_batch_outside_fit(
        &mut self,
        crew: Crew<'_>,
        table: Table<'_>,
        indices: &[usize],
    ) -> Result<Totals, DataError> {
        self.reserve(crew, table, indices.len())?;
        self.use_mean(false);
        let totals = self.train_batch(crew, table, indices);
        self.use_mean(true);
        Ok(totals)
    }

    /// Copies the weights of an engine with the same layers.
    pub(crate) fn copy_weights_from(&mut self, of: &Engine<T>) {
        self.network.parameters.as_mut_slice().copy_from_slice(of.network.parameters.as_slice());
    }

    /// Computes the loss of each row into `out`, with the random numbers of step `step`, without
    /// updating anything.
    pub(crate) fn losses_at(
        &mut self,
        crew: Crew<'_>,
        step: u64,
        table: Table<'_>,
        indices: &[usize],
        out: &mut [f64],
    ) {
        self.set_paired(table.targets.is_some());
        let (slot, mut workspace) = self.take_workspace(crew, indices.len());
        let StepWorkspace { plan, arena } = &mut workspace;
        let draws = Draws { step, ..self.draws() };
        let batch = Batch::new(table, indices, Some(self.maps.scaling()), draws);
        plan.losses(&self.network, crew, batch, arena, out);
        self.workspaces[slot] = Some(workspace);
    }

    /// Computes the objective, the mean loss of the rows plus the penalties of the parameters, and its
    /// gradient, layer by layer.
    pub(crate) fn gradients(
        &mut self,
        crew: Crew<'_>,
        table: Table<'_>,
        indices: &[usize],
    ) -> (f64, Vec<LayerParameters<T>>) {
        let rows = indices.len();
        self.set_paired(table.targets.is_some());
        let plan = self.plan_for(crew, rows.max(1));
        let mut arena = plan.arena();
        let dead = self.dead_features.as_ref().map_or(&[][..], |dead_features| &dead_features.dead);
        let batch = Batch { dead, ..Batch::new(table, indices, Some(self.maps.scaling()), self.draws()) };
        let totals = plan.rows_phase(&self.network, crew, batch, &mut arena);
        let (layers, parameters) = self.network.layers_and_parameters();
        let mut gradients = AlignedBuf::zeroed(parameters.len());
        let of = (layers, &*parameters);
        collect_gradients(&plan, of, crew, rows, &mut arena, self.penalties, gradients.as_mut_slice());
        let cost = layers.penalty(self.penalties.weights, parameters);
        let objective = totals.loss / rows.max(1) as f64 + cost;
        (objective, layers.layers.iter().map(|layer| unpack_layer(layer, gradients.as_slice())).collect())
    }
}

/// Computes into `gradients` the mean gradients over the batch that phase 1 left in the arena, including
/// those of the penalties. Returns their norm.
fn collect_gradients<T: Arithmetic>(
    plan: &StepPlan<T>,
    (layers, parameters): (Layers<'_>, &[T]),
    crew: Crew<'_>,
    rows: usize,
    arena: &mut Arena<T>,
    penalties: Penalties,
    gradients: &mut [T],
) -> f64 {
    let mean = Rule::Gradient { scale: 1.0 / rows.max(1) as f64 };
    let at = (layers.isa, layers.layers);
    plan.parameters_phase(at, crew, arena, mean, (&mut *gradients, &mut []));
    if let Some(weight) = penalties.contraction {
        plan.add_contractive_gradient(at, weight, rows, arena, parameters, gradients);
    }
    layers.fold_tied_gradients(crew, gradients);
    layers.penalised_norm(penalties.weights, parameters, gradients)
}
