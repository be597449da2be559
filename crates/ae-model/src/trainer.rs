//! Training one batch at a time, for programs with their own training loop.

use ae_data::DataError;
use ae_kernels::Isa;
use ae_kernels::finite::rows_finite;
use ae_kernels::par::{Crew, Pool};

use crate::config::Config;
use crate::engine::{Engine, Products};
use crate::error::Error;
use crate::network::LayerParameters;
use crate::scale::Scaler;
use crate::step::{Arithmetic, Totals};
use crate::table::{Table, first_wrong};

/// Trains a network batch by batch, without scaler or epochs: each call makes one update from rows in
/// memory and allocates nothing once warm.
///
/// Use [`crate::Autoencoder`] unless you need your own training loop;
/// [`crate::Autoencoder::from_layers`] makes one from the trained layers. `T` is the arithmetic, `f32`
/// or `f64`, regardless of the configured precision. The configured schedule, epochs and running mean of
/// the weights have no effect.
///
/// A clone continues independently from the same state: the same updates keep both equal.
///
/// ```
/// use ae_model::{Autoencoder, Config, Isa, Optimizer, Scaler, Trainer};
///
/// let table: Vec<f32> = (0..100).flat_map(|i| [0.01 * i as f32, 1.0 - 0.01 * i as f32]).collect(); // [100, 2]
/// let config = Config::builder(2).encoding_dim(1).optimizer(Optimizer::ADAM).learning_rate(0.01).build()?;
/// let mut trainer = Trainer::<f32>::new(&config, Isa::active()?, None)?;
/// let losses = trainer.enter(|session| -> Result<Vec<f64>, ae_model::Error> {
///     let batches = (0..200).map(|step| [step % 25, step % 25 + 30, step % 25 + 60]); // rows of each update
///     batches.map(|rows| session.train_batch(&table, &rows)).collect()
/// })?;
/// assert!(losses[199] < losses[0]);
/// let model = Autoencoder::from_layers(config, Scaler::identity(2), &trainer.layers())?;
/// # assert!(model.is_fitted());
/// # Ok::<(), ae_model::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Trainer<T: Arithmetic> {
    engine: Engine<T>,
    pool: Pool,
    features: usize,
}

impl<T: Arithmetic> Trainer<T> {
    /// Creates a network with weights drawn from the seed. `threads` as for
    /// [`crate::Autoencoder::set_threads`].
    ///
    /// # Errors
    /// [`Error::Pool`] for zero threads, or if they cannot be started.
    pub fn new(config: &Config, isa: Isa, threads: Option<usize>) -> Result<Self, Error> {
        let features = config.input_dim();
        let engine = Engine::new(isa, config, &Scaler::identity(features));
        Ok(Trainer { engine, pool: Pool::new(threads)?, features })
    }

    /// Chooses how the products of `f32` steps are computed, if not the fastest way. No effect for
    /// `f64`.
    pub fn set_products(&mut self, products: Products) {
        self.engine.set_products(products);
    }

    /// Runs `work` with a session of the trainer and its threads.
    pub fn enter<R>(&mut self, work: impl FnOnce(&mut Session<'_, T>) -> R) -> R {
        work(&mut Session { crew: self.pool.crew(), engine: &mut self.engine, features: self.features })
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
    engine: &'a mut Engine<T>,
    crew: Crew<'a>,
    features: usize,
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
    /// [`Error::Data`] if the table is not a whole number of rows; [`Error::RowIndex`] for an index
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
        let total = Compiled::train_batch(self.engine, self.crew, table, indices);
        let loss = total.squares / (indices.len() * self.features) as f64;
        if loss.is_finite() {
            return Ok(loss);
        }
        Err(Error::LossNotFinite { learning_rate: self.engine.learning_rate(), loss })
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
        let features = self.features;
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
        let (network, features) = (&self.engine.network, self.features);
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
    fn train_batch(engine: &mut Engine<Self>, crew: Crew<'_>, table: Table<'_>, indices: &[usize]) -> Totals
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
    fn train_batch(engine: &mut Engine<f32>, crew: Crew<'_>, table: Table<'_>, indices: &[usize]) -> Totals {
        engine.train_batch(crew, table, indices)
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
    fn train_batch(engine: &mut Engine<f64>, crew: Crew<'_>, table: Table<'_>, indices: &[usize]) -> Totals {
        engine.train_batch(crew, table, indices)
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
