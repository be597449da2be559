//! [`Autoencoder`]: configuration, scaler and network in one.

use ae_data::{
    BatchSource, DataError, Dataset, Fingerprint, Pairs, Schema, check_writable, first_duplicate,
    train_validation_split,
};
use ae_kernels::Isa;
use ae_kernels::par::{Crew, Pool};

use crate::callback::{Callback, CancelToken};
use crate::config::{Config, Precision};
use crate::engine::Engine;
use crate::error::Error;
use crate::file::{Contents, at};
use crate::history::{History, StopReason};
use crate::inference::Inference;
use crate::network::LayerParameters;
use crate::one_row::OneRow;
use crate::scale::{Allowed, MAX_EVALUATED, ScaledRows, Scaler};
use crate::snapshot::{EngineView, Snapshot, expect_width};
use crate::stage::BatchTopKLatent;
use crate::step::Arithmetic;
use crate::summary::Summary;
use crate::train::{self, Checkpoint, CheckpointWriter, Checkpoints, RangeTest, Trained};
use crate::warm_start::{InitialWeights, initialise};

/// How the squared errors of a row's features are combined into its reconstruction error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorNorm {
    /// Their sum.
    #[default]
    Sum,
    /// Their mean over the values that are not missing: the row's contribution to the reported MSE.
    Mean,
}

/// An autoencoder: a scaler, an encoder and a decoder.
///
/// Rows go in and come out in the units of the data. Errors (`reconstruction_error`, `feature_error`,
/// `score`, the losses of [`History`]) are measured on *scaled* features, where the network operates, so
/// that no feature dominates because of its unit. With [`crate::ScalerKind::None`] the two are the same.
///
/// Results depend only on the configuration, the data and the CPU's arithmetic (`AE_ISA`). They are
/// bit-identical for any number of threads and however rows are batched for encoding or scoring.
///
/// Results that do not fit into memory, for rows that a source claims to have, are refused with
/// [`DataError::OutOfMemory`], within [`Error::Data`].
///
/// A clone has its own weights and history, but shares the original's threads and cancel token.
#[derive(Clone, Debug)]
pub struct Autoencoder {
    pub(crate) config: Config,
    pub(crate) scaler: Scaler,
    pub(crate) names: Option<Vec<String>>,
    pub(crate) schema: Option<Schema>,
    pub(crate) fitted: bool,
    /// The history of the training run that produced the weights, if any.
    pub(crate) history: Option<History>,
    pub(crate) engine: AnyEngine,
    pub(crate) pool: Pool,
    cancel: Option<CancelToken>,
    /// The layers that training starts from, if they are not drawn from the seed.
    pub(crate) start: Option<InitialWeights>,
}

/// The engine, in the configuration's precision.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "one of them a model")]
pub(crate) enum AnyEngine {
    F32(Engine<f32>),
    F64(Engine<f64>),
}

impl AnyEngine {
    pub(crate) fn isa(&self) -> Isa {
        self.view().isa()
    }

    pub(crate) fn view(&self) -> EngineView<'_> {
        match self {
            AnyEngine::F32(engine) => EngineView::F32(engine),
            AnyEngine::F64(engine) => EngineView::F64(engine),
        }
    }

    pub(crate) fn batch_top_k(&self) -> Option<&BatchTopKLatent> {
        match self {
            AnyEngine::F32(engine) => engine.network.batch_top_k(),
            AnyEngine::F64(engine) => engine.network.batch_top_k(),
        }
    }

    pub(crate) fn batch_top_k_mut(&mut self) -> Option<&mut BatchTopKLatent> {
        match self {
            AnyEngine::F32(engine) => engine.network.batch_top_k_mut(),
            AnyEngine::F64(engine) => engine.network.batch_top_k_mut(),
        }
    }
}

impl Autoencoder {
    /// Creates an untrained autoencoder with weights drawn from the configuration's seed.
    ///
    /// It runs on the instruction set that [`Isa::active`] names, and on the threads shared by all
    /// models without their own ([`Autoencoder::set_threads`]), as many as rayon's current pool has.
    /// Asking rayon for that number starts its global pool: configure that before the first model.
    ///
    /// # Errors
    /// [`Error::Isa`] for an unusable `AE_ISA`; [`Error::Pool`] if threads cannot be started;
    /// [`Error::Data`] with [`DataError::OutOfMemory`] if the parameters do not fit into memory.
    pub fn new(config: Config) -> Result<Autoencoder, Error> {
        Autoencoder::on(config, Isa::active()?)
    }

    /// Like [`Autoencoder::new`], on the given instruction set.
    ///
    /// # Errors
    /// As [`Autoencoder::new`], except for [`Error::Isa`].
    pub fn on(config: Config, isa: Isa) -> Result<Autoencoder, Error> {
        let scaler = Scaler::identity(config.input_dim());
        let engine = match config.precision() {
            Precision::F32 | Precision::Bf16 => {
                Engine::<f32>::expect_memory(&config)?;
                AnyEngine::F32(Engine::new(isa, &config, &scaler))
            }
            Precision::F64 => {
                Engine::<f64>::expect_memory(&config)?;
                AnyEngine::F64(Engine::new(isa, &config, &scaler))
            }
        };
        let pool = Pool::new(None)?;
        Ok(Autoencoder {
            config,
            scaler,
            names: None,
            schema: None,
            fitted: false,
            history: None,
            engine,
            pool,
            cancel: None,
            start: None,
        })
    }

    /// Gives the model its own threads, counting the caller's; `None` returns it to the shared ones.
    /// Changes speed, never results. When many models train at once, one thread each is best.
    ///
    /// # Errors
    /// [`Error::Pool`] for zero threads, or if they cannot be started.
    pub fn set_threads(&mut self, threads: Option<usize>) -> Result<(), Error> {
        self.pool = Pool::new(threads)?;
        Ok(())
    }

    /// The number of threads the model uses, including the caller's.
    pub fn threads(&self) -> usize {
        self.pool.crew().threads()
    }

    /// Lets `token` stop a [`fit`](Autoencoder::fit) from another thread; `None` removes the token. With
    /// a token that has already been used, `fit` returns at once and changes nothing.
    pub fn set_cancel_token(&mut self, token: impl Into<Option<CancelToken>>) {
        self.cancel = token.into();
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The scaler; the identity before the first fit.
    pub fn scaler(&self) -> &Scaler {
        &self.scaler
    }

    /// Names of the features, if the training data had them. Rows with other names, or these in another
    /// order, are rejected ([`Error::Names`]); [`ae_data::Dataset::select_columns`] reorders columns.
    pub fn feature_names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    /// Whether [`fit`](Autoencoder::fit) or [`partial_fit`](Autoencoder::partial_fit) has run.
    pub fn is_fitted(&self) -> bool {
        self.fitted
    }

    /// What the last [`fit`](Autoencoder::fit) returned, even for a loaded model; `None` before it,
    /// after one that failed in mid-training, and after [`partial_fit`](Autoencoder::partial_fit). A
    /// call that refuses its rows changes nothing, nor this.
    pub fn history(&self) -> Option<&History> {
        self.history.as_ref()
    }

    /// The model as it is, as training shows it to callbacks.
    pub(crate) fn view(&self) -> Snapshot<'_> {
        Snapshot {
            config: &self.config,
            scaler: &self.scaler,
            names: self.names.as_deref(),
            fitted: self.fitted,
            engine: self.engine.view(),
            crew: self.pool.crew(),
        }
    }

    /// Architecture, parameter count and compression at a glance.
    pub fn summary(&self) -> Summary {
        let columns = self.schema.as_ref().map(|schema| schema.features().count());
        Summary { columns, ..Summary::of(&self.config) }
    }

    /// Weights `[in, out]` and biases of every layer, encoder first; exact in either precision.
    pub fn layers(&self) -> Vec<LayerParameters<f64>> {
        self.view().layers()
    }

    /// Trains from scratch on the rows of `data`: sets the validation fraction aside, fits the scaler to
    /// the rest, draws the weights from the seed and runs the epochs. What the model has learnt before,
    /// loaded or not, is lost: to continue from it, fit a model made by [`Autoencoder::warm_start`],
    /// which starts from the other model's weights and keeps its scaler.
    ///
    /// From [`ae_data::Pairs`] it learns to map each row to its target: one scaler, fitted to the
    /// targets, scales both, and noise is added to the rows. All errors are then measured against the
    /// targets. With [`ae_data::HeldOut`] it validates on the held-out rows, whatever the fraction.
    ///
    /// # Errors
    /// Before anything changes: [`Error::Width`], [`Error::NoRows`], [`Error::NoKnownValues`],
    /// [`Error::NotFinite`], [`Error::OutsideUnitRange`] or [`Error::Spread`] for unusable data;
    /// [`Error::Names`] or [`Error::Data`] for column names that differ from the schema's or occur twice;
    /// [`Error::Overflow`] for validation rows whose errors would overflow; [`Error::Targets`] for
    /// targets with one of these faults, or not one per row. Later: [`Error::Data`] with
    /// [`DataError::OutOfMemory`] if the values of a batch do not fit into memory, [`Error::Diverged`], or
    /// what reading `data` returns; the weights are then those of that moment.
    pub fn fit(
        &mut self,
        data: &dyn BatchSource,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<History, Error> {
        self.train(data, None, callbacks)
    }

    /// Like [`fit`](Autoencoder::fit), but can be interrupted at any time and resumed.
    ///
    /// The training state is written to the file of `checkpoints` at the start, periodically and at the
    /// end. If the file exists, training resumes from it and ends with the very bits of an uninterrupted
    /// run. So running the same program again finishes the work, or returns the finished model at once.
    ///
    /// Settings and rows must be the same. Only the number of epochs may change, but not below those
    /// begun nor under a learning-rate schedule that depends on it. CPUs whose bits differ (with and
    /// without AMX, or without fused multiply-adds) cannot resume each other's runs. The file is kept;
    /// it is also a model file of the current weights, for [`Autoencoder::load`].
    ///
    /// # Errors
    /// As [`fit`](Autoencoder::fit); before anything changes also [`Error::OtherTraining`] for a
    /// checkpoint of other rows or settings, and [`Error::File`] for a file that is not one or cannot be
    /// read or written. Writes that fail during training are retried. If the last one fails, that is
    /// [`Error::File`] too, but the model is trained, with its history, and the previous file remains.
    pub fn fit_resumable(
        &mut self,
        data: &dyn BatchSource,
        checkpoints: &Checkpoints,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<History, Error> {
        self.train(data, Some(checkpoints), callbacks)
    }

    fn train(
        &mut self,
        data: &dyn BatchSource,
        checkpoints: Option<&Checkpoints>,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<History, Error> {
        if self.cancel.as_ref().is_some_and(CancelToken::is_cancelled) {
            return Ok(History {
                epochs: Vec::new(),
                stopped: StopReason::Cancelled,
                kept_epoch: 0,
                batch_size: self.config.batch_size_for(0),
                train_rows: 0,
                validation_rows: 0,
            });
        }
        let (train, validation, scaler) = self.prepared(data)?;
        let mut saved = None;
        let mut kept = None;
        if let Some(checkpoints) = checkpoints {
            let path = checkpoints.path();
            // Reading a pipe or a device might never end.
            if path.exists() && !path.is_file() {
                let error = std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file");
                return Err(at(path, error.into()));
            }
            check_writable(path).map_err(|error| at(path, error.into()))?;
            let print = self.fingerprint(data, &scaler)?;
            let (config, rows) = (&self.config, train.len());
            saved = match &self.engine {
                AnyEngine::F32(engine) => Checkpoint::read(checkpoints, config, print, rows, engine),
                AnyEngine::F64(engine) => Checkpoint::read(checkpoints, config, print, rows, engine),
            }?;
            kept = Some((checkpoints, print));
        }
        self.scaler = scaler;
        self.names = data.names().map(<[String]>::to_vec);
        let Autoencoder { config, scaler, engine, pool, cancel, start, names, schema, .. } = self;
        let contents = Contents { config, scaler, names: names.as_deref(), schema: schema.as_ref() };
        let writer = kept.map(|(checkpoints, print)| CheckpointWriter::new(checkpoints, contents, print));
        let cancel = cancel.as_ref();
        let names = names.as_deref();
        let task = train::Task { config, scaler, names, data, train, validation, cancel, writer, saved };
        let trained = match engine {
            AnyEngine::F32(engine) => {
                initialise(engine, config, scaler, start.as_ref());
                train::fit(engine, task, pool.crew(), callbacks)
            }
            AnyEngine::F64(engine) => {
                initialise(engine, config, scaler, start.as_ref());
                train::fit(engine, task, pool.crew(), callbacks)
            }
        };
        self.fitted = true;
        self.history = trained.as_ref().ok().map(|trained| trained.history.clone());
        let Trained { history, written } = trained?;
        written.map(|()| history)
    }

    /// The fingerprint of a training run on these rows with this scaler.
    fn fingerprint(&self, data: &dyn BatchSource, scaler: &Scaler) -> Result<Fingerprint, Error> {
        let bytes: Vec<u8> =
            scaler.shift().iter().chain(scaler.scale()).flat_map(|x| x.to_le_bytes()).collect();
        let print = Fingerprint::of(data)?.with_bytes(&bytes);
        let print = match &self.schema {
            // A schema that cannot be serialised cannot be saved either.
            Some(schema) => print.with(&serde_json::to_string(schema).unwrap_or_default()),
            None => print,
        };
        Ok(self.start.iter().fold(print, |print, start| start.add_to_fingerprint(print)))
    }

    /// Runs a learning-rate range test for [`fit`](Autoencoder::fit) on `data`, without changing the
    /// model: at most a few hundred updates of the weights that it would start from, at rates that grow
    /// from 1e-6 until training is unstable.
    ///
    /// # Errors
    /// As [`fit`](Autoencoder::fit); [`Error::Diverged`] if even the smallest rates are too large.
    pub fn range_test(&self, data: &dyn BatchSource) -> Result<RangeTest, Error> {
        let (train, validation, scaler) = self.prepared(data)?;
        let Autoencoder { config, engine, pool, .. } = self;
        let (scaler, names) = (&scaler, data.names());
        let (cancel, writer, saved) = (None, None, None);
        let task = train::Task { config, scaler, names, data, train, validation, cancel, writer, saved };
        match engine {
            AnyEngine::F32(engine) => {
                let mut fresh = Engine::<f32>::new(engine.network.isa, config, scaler);
                initialise(&mut fresh, config, scaler, self.start.as_ref());
                train::range_test(&mut fresh, task, pool.crew())
            }
            AnyEngine::F64(engine) => {
                let mut fresh = Engine::<f64>::new(engine.network.isa, config, scaler);
                initialise(&mut fresh, config, scaler, self.start.as_ref());
                train::range_test(&mut fresh, task, pool.crew())
            }
        }
    }

    /// Returns training rows, validation rows and the scaler fitted to the former; checks all of them.
    fn prepared(&self, data: &dyn BatchSource) -> Result<(Vec<usize>, Vec<usize>, Scaler), Error> {
        match self.start {
            // The columns of the model that training starts from, whose scaler it keeps.
            Some(_) => self.view().expect_rows(data)?,
            None => expect_width("rows", self.config.input_dim(), data)?,
        }
        self.expect_fine_names(data.names())?;
        let rows = data.rows();
        let (train, validation) = train_validation_split(data, self.config.validation(), self.config.seed())?;
        if train.is_empty() {
            return Err(Error::NoRows { rows, validation: validation.len() });
        }
        // Only checked: fitting the scaler to validation rows would leak their range into training.
        let unit_only = self.start.is_none() && self.needs_unit_targets();
        let fit = |kind, source, rows: &[usize], unit_only| {
            let allowed = Allowed { missing: self.config.mask_missing(), unit_only };
            Scaler::fit_allowed(kind, source, rows, allowed)
        };
        let (kind, targets) = (self.config.scaler(), targets_of(data)?);
        let of_targets = |error: Error| if targets.is_some() { Error::of_targets(error) } else { error };
        if targets.is_some() {
            fit(crate::ScalerKind::None, data, &validation, false)?;
            fit(crate::ScalerKind::None, data, &train, false)?;
        }
        let expected = targets.unwrap_or(data);
        if self.config.mask_missing() && !has_known_values(expected, &train)? {
            return Err(of_targets(Error::NoKnownValues { rows: train.len() }));
        }
        fit(crate::ScalerKind::None, expected, &validation, unit_only).map_err(of_targets)?;
        let scaler = fit(kind, expected, &train, unit_only).map_err(of_targets)?;
        let scaler = match &self.start {
            None => self.leave_indicators_unscaled(scaler),
            Some(_) => {
                self.expect_unit_range(expected, &train).map_err(of_targets)?;
                self.scaler.extended_by(&scaler)
            }
        };
        if self.config.precision() != Precision::F64 {
            scaler.expect_no_overflow(data, &validation, MAX_EVALUATED)?;
            if let Some(targets) = targets {
                scaler.expect_no_overflow(targets, &validation, MAX_EVALUATED).map_err(of_targets)?;
            }
        }
        Ok((train, validation, scaler))
    }

    /// Whether expected values must lie in `[0, 1]` unscaled: the loss needs it and there is no scaler.
    pub(crate) fn needs_unit_targets(&self) -> bool {
        self.config.scaler() == crate::ScalerKind::None && self.config.loss().needs_unit_range()
    }

    /// Checks that the model's scaler maps these rows to `[0, 1]`, if the loss needs it.
    pub(crate) fn expect_unit_range(&self, expected: &dyn BatchSource, rows: &[usize]) -> Result<(), Error> {
        let needed = self.config.loss().needs_unit_range();
        if needed { self.scaler.expect_unit_range(expected, rows) } else { Ok(()) }
    }

    /// The model set up for single rows: calls allocate nothing and wake no threads. [`OneRow::new`] does
    /// the same for a model behind an [`Arc`](std::sync::Arc).
    ///
    /// ```
    /// # use ae_data::Rows;
    /// use ae_model::{Autoencoder, Config, ErrorNorm};
    /// # let rows = Rows::new(&[0.0, 0.1, 0.4, 0.5, 0.9, 1.0], 2)?;
    /// # let mut model = Autoencoder::new(Config::builder(2).encoding_dim(1).epochs(2).build()?)?;
    /// # model.fit(&rows, &mut [])?;
    ///
    /// let mut one = model.one_row()?;
    /// let mut code = [0.0];
    /// for row in [[0.2, 0.3], [0.7, 0.1]] {
    ///     one.encode(&row, &mut code)?;
    ///     println!("{code:?}, error {:.3}", one.error(&row, ErrorNorm::Sum)?);
    /// }
    /// # Ok::<(), ae_model::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`OneRow::new`].
    pub fn one_row(&self) -> Result<OneRow<&Autoencoder>, Error> {
        OneRow::new(self)
    }

    /// Encodes the rows as `[rows, encoding_dim]`.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::Names`], [`Error::NotFinite`], or what reading `data` returns.
    pub fn encode(&self, data: &dyn BatchSource) -> Result<Dataset, Error> {
        self.view().encode(data)
    }

    /// Decodes encodings `[rows, encoding_dim]` into rows in the units of the data.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::NotFinite`], or what reading `codes` returns.
    pub fn decode(&self, codes: &dyn BatchSource) -> Result<Dataset, Error> {
        self.view().decode(codes)
    }

    /// Reconstructs the rows, in the units of the data.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::Names`], [`Error::NotFinite`], or what reading `data` returns.
    pub fn reconstruct(&self, data: &dyn BatchSource) -> Result<Dataset, Error> {
        self.view().reconstruct(data)
    }

    /// The rows of `data` on the scale on which errors are measured.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::Names`].
    pub fn scaled<'a>(&'a self, data: &'a dyn BatchSource) -> Result<ScaledRows<'a>, Error> {
        self.view().expect_rows(data)?;
        Ok(ScaledRows::new(data, &self.scaler))
    }

    /// Checks that names can go into a model file: one per feature, distinct, and those of any schema.
    pub(crate) fn expect_fine_names(&self, names: Option<&[String]>) -> Result<(), Error> {
        let Some(names) = names else { return Ok(()) };
        let (expected, got) = (self.config.input_dim(), names.len());
        if got != expected {
            return Err(DataError::Count { what: "names", of: "features", expected, got }.into());
        }
        if let Some(name) = first_duplicate(names) {
            return Err(DataError::DuplicateColumn { name: name.clone() }.into());
        }
        match self.schema.as_ref().map(Schema::feature_names) {
            Some(of_schema) => expect_names(&of_schema, names),
            None => Ok(()),
        }
    }
}

/// Checks that columns have the same names in the same order.
pub(crate) fn expect_names(expected: &[String], got: &[String]) -> Result<(), Error> {
    match expected.iter().zip(got).position(|(a, b)| a != b) {
        Some(column) => {
            let (expected, got) = (expected[column].clone(), got[column].clone());
            Err(Error::Names { column, expected, got })
        }
        None => Ok(()),
    }
}

/// The targets of a source, if any; checks that there is one per row.
pub(crate) fn targets_of(data: &dyn BatchSource) -> Result<Option<&dyn BatchSource>, Error> {
    let Some(targets) = data.targets() else { return Ok(None) };
    match Pairs::new(data, targets) {
        Ok(_) => Ok(Some(targets)),
        Err(error) => Err(Error::of_targets(error.into())),
    }
}

/// Values that are read at a time in search of one that is not missing.
const READ_VALUES: usize = 1 << 14;

/// Whether any value of these rows is not missing.
fn has_known_values(data: &dyn BatchSource, rows: &[usize]) -> Result<bool, Error> {
    let at_a_time = (READ_VALUES / data.features().max(1)).clamp(1, rows.len().max(1));
    let mut values = vec![0.0; at_a_time * data.features()];
    for rows in rows.chunks(at_a_time) {
        let values = &mut values[..rows.len() * data.features()];
        data.read_rows(rows, values)?;
        if known_values(values) > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Counts the values that are not missing.
pub(crate) fn known_values(values: &[f32]) -> usize {
    values.iter().map(|x| usize::from(!x.is_nan())).sum()
}

pub(crate) fn inference<'a, T: Arithmetic>(engine: &'a Engine<T>, crew: Crew<'a>) -> Inference<'a, T> {
    Inference { network: &engine.network, maps: &engine.maps, crew }
}
