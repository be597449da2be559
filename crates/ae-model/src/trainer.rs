//! Training one batch at a time, for programs with their own training loop.

mod file;

use ae_data::{DataError, Schema};
use ae_kernels::Isa;
use ae_kernels::finite::rows_finite;
use ae_kernels::par::{Crew, Pool};

use crate::config::Config;
use crate::engine::{Engine, Products};
use crate::error::Error;
use crate::evaluation::Evaluation;
use crate::model::Autoencoder;
use crate::network::LayerParameters;
use crate::partial::expect_finite;
use crate::scale::Scaler;
use crate::snapshot::EngineView;
use crate::step::{Arithmetic, Totals};
use crate::table::{Table, first_wrong};

/// Trains a network batch by batch, without scaler or epochs: each call makes one update from rows in
/// memory and allocates nothing once warm.
///
/// Use [`Autoencoder`] unless you need your own training loop; [`Trainer::to_model`] makes one of what
/// the loop has learnt, and [`Trainer::from_model`] continues from one. `T` is the arithmetic, `f32` or
/// `f64`, regardless of the configured precision. The configured schedule, epochs and running mean of
/// the weights have no effect.
///
/// A clone continues independently from the same state: the same updates keep both equal. So does what
/// [`Trainer::to_bytes`] has saved.
///
/// ```
/// use ae_model::{Config, Isa, Optimizer, Scaler, Trainer};
///
/// let table: Vec<f32> = (0..100).flat_map(|i| [0.01 * i as f32, 1.0 - 0.01 * i as f32]).collect(); // [100, 2]
/// let config = Config::builder(2).encoding_dim(1).optimizer(Optimizer::ADAM).learning_rate(0.01).build()?;
/// let mut trainer = Trainer::<f32>::new(&config, Isa::active()?, None)?;
/// let losses = trainer.enter(|session| -> Result<Vec<f64>, ae_model::Error> {
///     let batches = (0..200).map(|step| [step % 25, step % 25 + 30, step % 25 + 60]); // rows of each update
///     batches.map(|rows| session.train_batch(&table, &rows)).collect()
/// })?;
/// assert!(losses[199] < losses[0]);
/// let model = trainer.to_model(Scaler::identity(2))?;
/// # assert!(model.is_fitted());
/// # Ok::<(), ae_model::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Trainer<T: Arithmetic> {
    config: Config,
    engine: Engine<T>,
    evaluation: Evaluation<T>,
    pool: Pool,
    /// Of the model that the trainer continued from.
    names: Option<Vec<String>>,
    schema: Option<Schema>,
}

impl<T: Arithmetic> Trainer<T> {
    /// Creates a network with weights drawn from the seed. `threads` as for
    /// [`crate::Autoencoder::set_threads`].
    ///
    /// # Errors
    /// [`Error::Pool`] for zero threads, or if they cannot be started; [`Error::Data`] with
    /// [`DataError::OutOfMemory`] if the parameters do not fit into memory.
    pub fn new(config: &Config, isa: Isa, threads: Option<usize>) -> Result<Self, Error> {
        Engine::<T>::expect_memory(config)?;
        let engine = Engine::new(isa, config, &Scaler::identity(config.input_dim()));
        Ok(Trainer {
            config: config.clone(),
            engine,
            evaluation: Evaluation::new(config.multiply_adds()),
            pool: Pool::new(threads)?,
            names: None,
            schema: None,
        })
    }

    /// Creates a trainer that continues from a model: with its configuration, instruction set, weights,
    /// feature names and schema, and, for a batch top-k latent, threshold. The optimizer starts afresh.
    ///
    /// A trainer does not scale rows: [`Autoencoder::scaled`] brings them to the scale of the weights.
    /// `f32` rounds the weights of an `f64` model. `threads` as for [`Autoencoder::set_threads`].
    ///
    /// # Errors
    /// [`Error::Pool`] for zero threads, or if they cannot be started; [`Error::Parameter`] for a weight
    /// of an `f64` model that is out of range for `f32`.
    pub fn from_model(model: &Autoencoder, threads: Option<usize>) -> Result<Self, Error> {
        let mut trainer = Trainer::new(model.config(), model.engine.isa(), threads)?;
        for (index, layer) in model.layers().iter().map(LayerParameters::cast).enumerate() {
            trainer.set_layer(index, &layer)?;
        }
        if let (Some(latent), Some(of_model)) =
            (trainer.engine.network.batch_top_k_mut(), model.engine.batch_top_k())
        {
            latent.clone_from(of_model);
        }
        (trainer.names, trainer.schema) = (model.names.clone(), model.schema.clone());
        Ok(trainer)
    }

    /// Makes a fitted model of what has been learnt: with the trainer's configuration, instruction set
    /// and threads, its weights and, for a batch top-k latent, threshold; and with the feature names and
    /// the schema of the model that it continued from ([`Trainer::from_model`]), if any.
    ///
    /// `scaler` is what was applied to the rows, [`Scaler::identity`] if nothing was. The weights are
    /// the very same in a model of the trainer's precision.
    ///
    /// # Errors
    /// [`Error::Width`] unless the scaler has as many features as the configuration;
    /// [`Error::Parameter`] for a weight that is not a finite number, or not one in the model's
    /// precision; [`Error::Pool`].
    pub fn to_model(&self, scaler: Scaler) -> Result<Autoencoder, Error> {
        let new = Autoencoder::on(self.config.clone(), self.engine.network.isa)?;
        let mut model = new.with_layers(scaler, &self.layers())?;
        if let (Some(latent), Some(trained)) =
            (model.engine.batch_top_k_mut(), self.engine.network.batch_top_k())
        {
            latent.clone_from(trained);
        }
        model.pool = self.pool.clone();
        (model.names, model.schema) = (self.names.clone(), self.schema.clone());
        Ok(model)
    }

    /// Chooses how the products of `f32` steps are computed, if not the fastest way. No effect for
    /// `f64`.
    pub fn set_products(&mut self, products: Products) {
        self.engine.set_products(products);
    }

    /// Runs `work` with a session of the trainer and its threads.
    pub fn enter<R>(&mut self, work: impl FnOnce(&mut Session<'_, T>) -> R) -> R {
        let Trainer { config, engine, evaluation, pool, .. } = self;
        work(&mut Session { config, engine, evaluation, crew: pool.crew() })
    }

    /// Weights `[in, out]` and biases of every layer, encoder first.
    pub fn layers(&self) -> Vec<LayerParameters<T>> {
        (0..self.engine.network.layers.len()).map(|index| self.engine.network.layer(index)).collect()
    }

    /// Sets the weights and bias of layer `index`. Tied weights of the decoder follow the encoder's.
    /// Vectors kept at norm 1 are normalised again by the next update.
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`]; [`Error::LayerShape`] for sizes other than the layer's;
    /// [`Error::Parameter`] for a parameter that is not finite; [`Error::NotTied`] for decoder weights
    /// that are not the transpose of those they are tied to.
    pub fn set_layer(&mut self, index: usize, values: &LayerParameters<T>) -> Result<(), Error> {
        self.engine.network.check_layer(index, values)?;
        self.engine.set_layer(index, values);
        Ok(())
    }
}

/// A [`Trainer`] at work with its threads, see [`Trainer::enter`].
#[derive(Debug)]
pub struct Session<'a, T: Arithmetic> {
    config: &'a Config,
    engine: &'a mut Engine<T>,
    evaluation: &'a mut Evaluation<T>,
    crew: Crew<'a>,
}

impl<T: Arithmetic> Session<'_, T> {
    /// Sets the learning rate of subsequent updates.
    ///
    /// # Errors
    /// [`Error::Config`] unless it is above 0 and at most 1,000,000.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<(), Error> {
        crate::config::check_learning_rate(learning_rate)?;
        self.engine.set_learning_rate(learning_rate);
        Ok(())
    }

    /// Runs one update on the rows `indices` of the row-major `table`, `[_, input_dim]`.
    ///
    /// Returns the mean of `(x̂ - x)²` over them before the update, missing values counting as 0.
    /// Allocates memory in the first call with a larger batch than any before, or with one so small that
    /// it is computed another way; all other calls allocate nothing.
    ///
    /// # Errors
    /// [`Error::Data`] if the table is not a whole number of rows, or the values of the batch do not fit
    /// into memory; [`Error::RowIndex`] for an index
    /// beyond it; [`Error::NoRows`] for an empty batch; [`Error::NotFinite`] for an infinite value in
    /// one of these rows, or for NaN unless the configuration declares it a missing value. Nothing has
    /// changed then. [`Error::LossNotFinite`] if an earlier update has driven the parameters so far that
    /// the error overflows; this update has been made as well.
    pub fn train_batch(&mut self, table: &[f32], indices: &[usize]) -> Result<f64, Error> {
        self.train(table.into(), indices)
    }

    /// Like [`Session::train_batch`], but row `i` of `inputs` should become row `i` of `targets`, which
    /// has the same length: `x` in the error is the target. Switching between the two reallocates
    /// memory.
    ///
    /// # Errors
    /// As [`Session::train_batch`], and [`Error::Width`] for targets of a different length.
    pub fn train_pairs(&mut self, inputs: &[f32], targets: &[f32], indices: &[usize]) -> Result<f64, Error> {
        self.train(Table { rows: inputs, targets: Some(targets) }, indices)
    }

    /// Computes the MSE of the rows `indices` of the row-major `table`, `[_, input_dim]`, with the
    /// weights as they are: the mean of `(x̂ - x)²` over their known values, without noise, dropout or
    /// sampling. Changes nothing, and allocates only for more rows than ever before.
    ///
    /// The model that [`Trainer::to_model`] makes has the same [`Autoencoder::mse`] on these rows, bit
    /// for bit if its precision is the trainer's and its scaler [`crate::Scaler::identity`]. It is
    /// infinite where errors overflow.
    ///
    /// # Errors
    /// As [`Session::train_batch`], except for [`Error::LossNotFinite`].
    ///
    /// ```
    /// # use ae_model::{Config, Isa, Trainer};
    /// # let table: Vec<f32> = (0..100).flat_map(|i| [0.01 * i as f32, 1.0 - 0.01 * i as f32]).collect();
    /// # let mut trainer = Trainer::<f32>::new(&Config::builder(2).encoding_dim(1).build()?, Isa::active()?, None)?;
    /// let (training, validation): (Vec<usize>, Vec<usize>) = (0..100).partition(|row| row % 5 > 0);
    /// let best = trainer.enter(|session| -> Result<f64, ae_model::Error> {
    ///     let mut best = f64::INFINITY;
    ///     for _ in 0..10 {
    ///         session.train_batch(&table, &training)?;
    ///         best = best.min(session.evaluate(&table, &validation)?);
    ///     }
    ///     Ok(best)
    /// })?;
    /// # assert!(best.is_finite());
    /// # Ok::<(), ae_model::Error>(())
    /// ```
    pub fn evaluate(&mut self, table: &[f32], indices: &[usize]) -> Result<f64, Error> {
        self.evaluated(table.into(), indices)
    }

    /// Like [`Session::evaluate`], for pairs of rows as in [`Session::train_pairs`].
    ///
    /// # Errors
    /// As [`Session::train_pairs`], except for [`Error::LossNotFinite`].
    pub fn evaluate_pairs(
        &mut self,
        inputs: &[f32],
        targets: &[f32],
        indices: &[usize],
    ) -> Result<f64, Error> {
        self.evaluated(Table { rows: inputs, targets: Some(targets) }, indices)
    }

    /// Computes the objective over the rows, `J = (1/m) Σ_rows Σ_features ½ (x̂ - x)²` unless configured
    /// otherwise, and its gradient with respect to every parameter, shaped like [`Trainer::layers`].
    ///
    /// Random numbers are those of the next update, so repeated calls before it agree. The gradient of
    /// tied weights is at the encoder's; at the decoder's copies it is zero. That of vectors kept at
    /// norm 1 is complete, including its component along each vector.
    ///
    /// # Errors
    /// As [`Session::train_batch`].
    pub fn gradients(
        &mut self,
        table: &[f32],
        indices: &[usize],
    ) -> Result<(f64, Vec<LayerParameters<T>>), Error> {
        self.gradients_of(table.into(), indices)
    }

    /// Like [`Session::gradients`], for pairs of rows as in [`Session::train_pairs`].
    ///
    /// # Errors
    /// As [`Session::train_pairs`].
    pub fn gradients_of_pairs(
        &mut self,
        inputs: &[f32],
        targets: &[f32],
        indices: &[usize],
    ) -> Result<(f64, Vec<LayerParameters<T>>), Error> {
        self.gradients_of(Table { rows: inputs, targets: Some(targets) }, indices)
    }

    fn train(&mut self, table: Table<'_>, indices: &[usize]) -> Result<f64, Error> {
        self.check(table, indices)?;
        self.engine.reserve(self.crew, table, indices.len())?;
        let total = Compiled::train_batch(self.engine, self.crew, table, indices);
        let mse = total.squares / (indices.len() * self.config.input_dim()) as f64;
        let learning_rate = self.engine.learning_rate();
        expect_finite(learning_rate, mse)?;
        expect_finite(learning_rate, total.loss / indices.len() as f64)?;
        Ok(mse)
    }

    fn evaluated(&mut self, table: Table<'_>, indices: &[usize]) -> Result<f64, Error> {
        self.check(table, indices)?;
        Ok(Compiled::evaluate(self.evaluation, self.engine, self.crew, table, indices))
    }

    fn gradients_of(
        &mut self,
        table: Table<'_>,
        indices: &[usize],
    ) -> Result<(f64, Vec<LayerParameters<T>>), Error> {
        self.check(table, indices)?;
        Ok(Compiled::gradients(self.engine, self.crew, table, indices))
    }

    fn check(&self, Table { rows: table, targets }: Table<'_>, indices: &[usize]) -> Result<(), Error> {
        let features = self.config.input_dim();
        if !table.len().is_multiple_of(features) {
            return Err(DataError::Shape { what: "rows", width: features, got: table.len() }.into());
        }
        if let Some(targets) = targets.filter(|targets| targets.len() != table.len()) {
            return Err(Error::Width { what: "targets", expected: table.len(), got: targets.len() });
        }
        let rows = table.len() / features;
        if indices.is_empty() {
            return Err(Error::NoRows { rows: 0, validation: 0 });
        }
        if let Some(&index) = indices.iter().find(|index| **index >= rows) {
            return Err(Error::RowIndex { index, rows });
        }
        self.check_rows(table, indices)?;
        match targets {
            Some(targets) => self.check_rows(targets, indices).map_err(Error::of_targets),
            None => Ok(()),
        }
    }

    fn check_rows(&self, table: &[f32], indices: &[usize]) -> Result<(), Error> {
        let (network, features) = (&self.engine.network, self.config.input_dim());
        let may_miss = network.objective.mask_missing;
        if rows_finite((network.isa, self.crew), table, features, indices) {
            return Ok(());
        }
        for &row in indices {
            if let Some((column, value)) = first_wrong(&table[row * features..][..features], may_miss) {
                return Err(Error::NotFinite { row, column, name: None, value });
            }
        }
        Ok(())
    }
}

/// The engine calls of a [`Session`], compiled in this crate for both types: generic functions would
/// compile the loops of all kernels again in every program that calls them.
pub(crate) trait Compiled: Sized {
    fn view(engine: &Engine<Self>) -> EngineView<'_>
    where
        Self: Arithmetic;
    fn train_batch(engine: &mut Engine<Self>, crew: Crew<'_>, table: Table<'_>, indices: &[usize]) -> Totals
    where
        Self: Arithmetic;
    fn evaluate(
        evaluation: &mut Evaluation<Self>,
        engine: &Engine<Self>,
        crew: Crew<'_>,
        table: Table<'_>,
        indices: &[usize],
    ) -> f64
    where
        Self: Arithmetic;
    fn gradients(
        engine: &mut Engine<Self>,
        crew: Crew<'_>,
        table: Table<'_>,
        indices: &[usize],
    ) -> (f64, Vec<LayerParameters<Self>>)
    where
        Self: Arithmetic;
}

impl Compiled for f32 {
    fn view(engine: &Engine<f32>) -> EngineView<'_> {
        EngineView::F32(engine)
    }
    fn train_batch(engine: &mut Engine<f32>, crew: Crew<'_>, table: Table<'_>, indices: &[usize]) -> Totals {
        engine.train_batch(crew, table, indices)
    }
    fn evaluate(
        evaluation: &mut Evaluation<f32>,
        engine: &Engine<f32>,
        crew: Crew<'_>,
        table: Table<'_>,
        indices: &[usize],
    ) -> f64 {
        evaluation.mse(engine, crew, table, indices)
    }
    fn gradients(
        engine: &mut Engine<f32>,
        crew: Crew<'_>,
        table: Table<'_>,
        indices: &[usize],
    ) -> (f64, Vec<LayerParameters<f32>>) {
        engine.gradients(crew, table, indices)
    }
}

impl Compiled for f64 {
    fn view(engine: &Engine<f64>) -> EngineView<'_> {
        EngineView::F64(engine)
    }
    fn train_batch(engine: &mut Engine<f64>, crew: Crew<'_>, table: Table<'_>, indices: &[usize]) -> Totals {
        engine.train_batch(crew, table, indices)
    }
    fn evaluate(
        evaluation: &mut Evaluation<f64>,
        engine: &Engine<f64>,
        crew: Crew<'_>,
        table: Table<'_>,
        indices: &[usize],
    ) -> f64 {
        evaluation.mse(engine, crew, table, indices)
    }
    fn gradients(
        engine: &mut Engine<f64>,
        crew: Crew<'_>,
        table: Table<'_>,
        indices: &[usize],
    ) -> (f64, Vec<LayerParameters<f64>>) {
        engine.gradients(crew, table, indices)
    }
}
