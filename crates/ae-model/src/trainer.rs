//! Training one batch at a time, for programs that bring their own loop.

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

/// A network without scaler or epochs: rows in memory, one update a call, nothing allocated once warm.
///
/// Use [`crate::Autoencoder`] unless the loop around the updates is yours; [`crate::Autoencoder::from_layers`] makes one of what a
/// trainer has learnt. `T` is the arithmetic, `f32` or `f64`,
/// whatever the configuration's precision says; its schedule, epochs and running mean of the weights have no part in it.
///
/// A clone goes on by itself from where this one is: the same updates make both the same.
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
    /// A network with weights drawn from the seed. `threads` as for [`crate::Autoencoder::set_threads`].
    ///
    /// # Errors
    /// [`Error::Pool`] for zero threads or if they cannot be started.
    pub fn new(config: &Config, isa: Isa, threads: Option<usize>) -> Result<Self, Error> {
        let features = config.input_dim();
        let engine = Engine::new(isa, config, &Scaler::identity(features));
        Ok(Trainer { engine, pool: Pool::new(threads)?, features })
    }

    /// Chooses how the products of `f32` steps are computed, where the fastest way is not wanted. Without effect in `f64`.
    pub fn set_products(&mut self, products: Products) {
        self.engine.set_products(products);
    }

    /// Runs `work` with the trainer and its threads at hand.
    pub fn enter<R>(&mut self, work: impl FnOnce(&mut Session<'_, T>) -> R) -> R {
        work(&mut Session { crew: self.pool.crew(), engine: &mut self.engine, features: self.features })
    }

    /// Weights `[in, out]` and biases of every layer, encoder first.
    pub fn layers(&self) -> Vec<LayerParameters<T>> {
        (0..self.engine.network.layers.len()).map(|index| self.engine.network.layer(index)).collect()
    }

    /// Sets the weights and bias of layer `index`. Where weights are tied, those of the decoder follow the encoder's. Vectors that are kept at
    /// norm 1 are so again after the next update.
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`]; [`Error::LayerShape`] for other sizes than the layer's; [`Error::Parameter`] for one that is not finite; [`Error::NotTied`] for weights of the decoder that are
    /// not the transpose of those that they are tied to.
    pub fn set_layer(&mut self, index: usize, values: &LayerParameters<T>) -> Result<(), Error> {
        self.engine.network.check_layer(index, values)?;
        self.engine.set_layer(index, values);
        Ok(())
    }
}

/// A [`Trainer`] with its threads.
#[derive(Debug)]
pub struct Session<'a, T: Arithmetic> {
    engine: &'a mut Engine<T>,
    crew: Crew<'a>,
    features: usize,
}

impl<T: Arithmetic> Session<'_, T> {
    /// Sets the learning rate of the next updates.
    ///
    /// # Errors
    /// [`Error::Config`] unless it is above 0 and at most 1,000,000.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<(), Error> {
        crate::config::check_learning_rate(learning_rate)?;
        self.engine.set_learning_rate(learning_rate);
        Ok(())
    }

    /// One update from the rows `indices` of the row-major `table`, `[_, input_dim]`; returns the mean of `(x̂ - x)²` over
    /// them before it, missing values counting as 0. The first call with a larger batch than any before makes room for it; all others allocate
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Data`] if the table is not whole rows; [`Error::LossNotFinite`] if an update before has taken the parameters out of reach,
    /// when this one has been made too; [`Error::RowIndex`] for an index beyond it; [`Error::NoRows`] for an
    /// empty batch; [`Error::NotFinite`] for an infinite value in one of these rows, or NaN where the configuration does not say that it is a
    /// missing one. After all of these but [`Error::LossNotFinite`] nothing has changed.
    pub fn train_batch(&mut self, table: &[f32], indices: &[usize]) -> Result<f64, Error> {
        self.train(table.into(), indices)
    }

    /// As [`Session::train_batch`] where row `i` of `inputs` should become row `i` of `targets`, which is as long: `x` in the
    /// error is the target. A session that changes from one to the other makes room anew.
    ///
    /// # Errors
    /// As [`Session::train_batch`], and [`Error::Width`] for targets of another length.
    pub fn train_pairs(&mut self, inputs: &[f32], targets: &[f32], indices: &[usize]) -> Result<f64, Error> {
        self.train(Table { rows: inputs, targets: Some(targets) }, indices)
    }

    /// The objective of the rows, `J = (1/m) Σ_rows Σ_features ½ (x̂ - x)²` unless the configuration says otherwise, and its
    /// gradient by every parameter, shaped like [`Trainer::layers`]. What is drawn at random is that of the next update: the same in
    /// every call before it. The gradient of tied weights is at the encoder's; at the decoder's copies of them it is zero. That of
    /// vectors which are kept at norm 1 is whole, with what they have along them.
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

    /// As [`Session::gradients`] for pairs of rows.
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

/// What a [`Session`] does with its engine, compiled in this crate for either type: the loops of all kernels are behind it, which a
/// generic function would compile again in every program that calls it.
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
