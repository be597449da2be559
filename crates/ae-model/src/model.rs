//! The autoencoder that users hold: configuration, scaling and network together.

use ae_data::{
    BatchSource, DataError, Dataset, Fingerprint, Pairs, Schema, check_writable, division, first_repeated,
};
use ae_kernels::Isa;
use ae_kernels::par::{Crew, Pool};

use crate::bulk::{Bulk, Part, Source, TASK_ROWS};
use crate::callback::{Callback, CancelToken};
use crate::config::{Config, Precision};
use crate::continuing::{Start, begin};
use crate::engine::Engine;
use crate::error::Error;
use crate::file::{Contents, at};
use crate::history::{History, StopReason};
use crate::network::LayerParameters;
use crate::one_row::OneRow;
use crate::scale::{Allowed, ScaledRows, Scaler};
use crate::step::Arithmetic;
use crate::summary::Summary;
use crate::table::{Feed, Table, check_values};
use crate::train::{self, Checkpoints, Keeper, RangeTest, Saved, Trained};

/// How the squared errors of a row's features become its reconstruction error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorNorm {
    /// Their sum.
    #[default]
    Sum,
    /// Their mean over the values that are not missing: the row's share of what is reported as MSE.
    Mean,
}

/// An autoencoder: a scaler, an encoder and a decoder.
///
/// Rows go in and come out in the units of the data. Errors (`reconstruction_error`, `feature_error`, `score`, the
/// losses of [`History`]) are measured on *scaled* features, where the network works, so that no feature
/// dominates by its unit; with [`crate::ScalerKind::None`] the two are the same.
///
/// Results depend on the configuration, the data and the arithmetic of the CPU (`AE_ISA`) alone: the number of threads changes no
/// bit, nor does the way in which rows are batched when they are encoded or scored.
///
/// A clone has weights and a course of its own; threads and cancel token are those of the original.
#[derive(Clone, Debug)]
pub struct Autoencoder {
    pub(crate) config: Config,
    pub(crate) scaler: Scaler,
    pub(crate) names: Option<Vec<String>>,
    pub(crate) schema: Option<Schema>,
    pub(crate) fitted: bool,
    /// Of the training that made the weights, where one did.
    pub(crate) history: Option<History>,
    pub(crate) engine: AnyEngine,
    pub(crate) pool: Pool,
    cancel: Option<CancelToken>,
    /// The layers that training starts from, where they are not drawn.
    pub(crate) start: Option<Start>,
}

/// The engine in the arithmetic of the configuration.
#[derive(Clone, Debug)]
#[allow(clippy::large_enum_variant, reason = "one of them a model")]
pub(crate) enum AnyEngine {
    F32(Engine<f32>),
    F64(Engine<f64>),
}

impl AnyEngine {
    pub(crate) fn isa(&self) -> Isa {
        match self {
            AnyEngine::F32(engine) => engine.network.isa,
            AnyEngine::F64(engine) => engine.network.isa,
        }
    }
}

/// Multiply-adds, about, below which rows go through the network on the calling thread: waking a pool takes longer.
const WORTH_WAKING: usize = 1 << 22;
/// Values a thread that are checked, and read where the source is not in memory, before they are sent through the network: 4 MiB, few
/// enough to be still in a cache by then.
const STAGED_VALUES: usize = 1 << 20;

impl Autoencoder {
    /// An untrained autoencoder, its weights drawn from the configuration's seed. It runs on as many threads as rayon's current pool has,
    /// from those that all models share which were not given their own ([`Autoencoder::set_threads`]), and on the instruction set that
    /// [`Isa::active`] names. To ask rayon for its number of threads starts rayon's global pool, so a program that configures that pool must
    /// do so before its first model.
    ///
    /// # Errors
    /// [`Error::Isa`] if `AE_ISA` names no available instruction set; [`Error::Pool`] if threads cannot be started.
    pub fn new(config: Config) -> Result<Autoencoder, Error> {
        Autoencoder::on(config, Isa::active()?)
    }

    /// As [`Autoencoder::new`] on an instruction set of the caller's choice.
    ///
    /// # Errors
    /// [`Error::Pool`] if threads cannot be started.
    pub fn on(config: Config, isa: Isa) -> Result<Autoencoder, Error> {
        let scaler = Scaler::identity(config.input_dim());
        let engine = match config.precision() {
            Precision::F32 | Precision::Bf16 => AnyEngine::F32(Engine::new(isa, &config, &scaler)),
            Precision::F64 => AnyEngine::F64(Engine::new(isa, &config, &scaler)),
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

    /// Gives the model its own threads, of which the caller's is one; `None` returns to those that models share. Changes speed, never
    /// results. Where many models train at once, each is best off with one.
    ///
    /// # Errors
    /// [`Error::Pool`] for zero threads or if they cannot be started.
    pub fn set_threads(&mut self, threads: Option<usize>) -> Result<(), Error> {
        self.pool = Pool::new(threads)?;
        Ok(())
    }

    /// How many threads work for it, the caller's among them.
    pub fn threads(&self) -> usize {
        self.pool.crew().threads()
    }

    /// Lets `token` stop a [`fit`](Autoencoder::fit) from another thread, or nothing any more. With a token that was used already, `fit`
    /// returns at once and changes nothing.
    pub fn set_cancel_token(&mut self, token: impl Into<Option<CancelToken>>) {
        self.cancel = token.into();
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The scaler: the identity before the first fit.
    pub fn scaler(&self) -> &Scaler {
        &self.scaler
    }

    /// Names of the features it was trained on, where the data had names. Rows whose columns have other names, or the same in another
    /// order, are refused ([`Error::Names`]); [`ae_data::Dataset::select_columns`] brings them into this order.
    pub fn feature_names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    /// Whether [`fit`](Autoencoder::fit) or [`partial_fit`](Autoencoder::partial_fit) has run.
    pub fn is_fitted(&self) -> bool {
        self.fitted
    }

    /// What the last [`fit`](Autoencoder::fit) returned, also of a model that was loaded; none before it, after one that failed, and since
    /// [`partial_fit`](Autoencoder::partial_fit).
    pub fn history(&self) -> Option<&History> {
        self.history.as_ref()
    }

    /// Sizes at a glance.
    pub fn summary(&self) -> Summary {
        Summary::of(&self.config)
    }

    /// The threshold of a top-k latent of batches.
    pub(crate) fn threshold(&self) -> Option<f64> {
        match &self.engine {
            AnyEngine::F32(engine) => engine.network.batch_top_k().map(|latent| latent.threshold),
            AnyEngine::F64(engine) => engine.network.batch_top_k().map(|latent| latent.threshold),
        }
    }

    /// Weights `[in, out]` and biases of every layer, encoder first; exact in either precision.
    pub fn layers(&self) -> Vec<LayerParameters<f64>> {
        match &self.engine {
            AnyEngine::F32(engine) => layers(engine),
            AnyEngine::F64(engine) => layers(engine),
        }
    }

    /// Trains afresh on the rows of `data`: sets aside the validation share, fits the scaler on the rest, draws the
    /// weights from the seed and runs the epochs. (A model made by [`Autoencoder::continuing`] begins at the other's weights, on its
    /// scale.)
    ///
    /// Of [`ae_data::Pairs`] it learns to make each target from its row. Both are scaled alike, by one scaler that is fitted to the
    /// targets; noise of the configuration is added to the rows. Of [`ae_data::HeldOut`] it validates on the rows that are held out,
    /// whatever the share. What measures errors, here and in the other methods, compares with the
    /// targets wherever the source has some.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::NoRows`], [`Error::NotFinite`], [`Error::NotInUnit`] and [`Error::Spread`] for data that cannot be learnt
    /// from, [`Error::Names`] and [`Error::Data`] for columns with other names than the schema's or the same name twice, before anything changes, and [`Error::FarOut`] for rows set aside whose errors could not be told; [`Error::Targets`] for targets of which one of these is true, or that are not one for each row;
    /// [`Error::Diverged`], or what reading `data` returns. After either of these in the midst of training the weights are those of the
    /// moment.
    pub fn fit(
        &mut self,
        data: &dyn BatchSource,
        callbacks: &mut [&mut dyn Callback],
    ) -> Result<History, Error> {
        self.train(data, None, callbacks)
    }

    /// As [`fit`](Autoencoder::fit), but so that it can be stopped at any time, whatever stops it: what it takes to go on is written to the
    /// file of `checkpoints` at the beginning, now and then, and at the end, and where that file is there, training goes on from it, to the
    /// very bits that it would have come to at one go. So the same program run again finishes the work, and one that finished it before gets
    /// the same model at once.
    ///
    /// Settings and rows have to be the same; only the epochs may be more, or fewer than planned, unless the learning rate follows a schedule
    /// that depends on them. CPUs whose bits differ (with AMX and without it, or without fused multiply-adds) do not go on from each
    /// other's. The file stays where it is. It is a model file too, of the weights at that moment, which [`Autoencoder::load`] reads.
    ///
    /// # Errors
    /// As [`fit`](Autoencoder::fit); before anything changes [`Error::OtherTraining`] for a checkpoint of other rows or settings, and
    /// [`Error::File`] for a file that is no checkpoint or cannot be read or written. One that cannot be written on the way is tried again
    /// later. If the last one cannot, that is [`Error::File`] too, of a model that is trained all the same and has its
    /// [`history`](Autoencoder::history), and the one before it is still there.
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
                let error =
                    std::io::Error::new(std::io::ErrorKind::InvalidInput, "a checkpoint needs a file");
                return Err(at(path, error.into()));
            }
            check_writable(path).map_err(|error| at(path, error.into()))?;
            let print = self.fingerprint(data, &scaler)?;
            saved = match &self.engine {
                AnyEngine::F32(engine) => Saved::read(checkpoints, &self.config, print, train.len(), engine),
                AnyEngine::F64(engine) => Saved::read(checkpoints, &self.config, print, train.len(), engine),
            }?;
            kept = Some((checkpoints, print));
        }
        self.scaler = scaler;
        self.names = data.names().map(<[String]>::to_vec);
        let Autoencoder { config, scaler, engine, pool, cancel, start, names, schema, .. } = self;
        let contents = Contents { config, scaler, names: names.as_deref(), schema: schema.as_ref() };
        let keeper = kept.map(|(checkpoints, print)| Keeper::new(checkpoints, contents, print));
        let task = train::Task { config, data, train, validation, cancel: cancel.as_ref(), keeper, saved };
        let trained = match engine {
            AnyEngine::F32(engine) => {
                begin(engine, config, scaler, start.as_ref());
                train::fit(engine, task, pool.crew(), callbacks)
            }
            AnyEngine::F64(engine) => {
                begin(engine, config, scaler, start.as_ref());
                train::fit(engine, task, pool.crew(), callbacks)
            }
        };
        self.fitted = true;
        self.history = trained.as_ref().ok().map(|trained| trained.history.clone());
        let Trained { history, written } = trained?;
        written.map(|()| history)
    }

    /// That of a training on these rows with this scaler.
    fn fingerprint(&self, data: &dyn BatchSource, scaler: &Scaler) -> Result<Fingerprint, Error> {
        let bytes: Vec<u8> =
            scaler.shift().iter().chain(scaler.scale()).flat_map(|x| x.to_le_bytes()).collect();
        let print = Fingerprint::of(data)?.with_bytes(&bytes);
        let print = match &self.schema {
            // Where it cannot be written down, it cannot be saved either.
            Some(schema) => print.with(&serde_json::to_string(schema).unwrap_or_default()),
            None => print,
        };
        Ok(self.start.iter().fold(print, |print, start| start.mark(print)))
    }

    /// The learning-rate range test of [`fit`](Autoencoder::fit) on `data`: a few hundred updates at most, of fresh weights, with learning
    /// rates from 1e-6 on that grow until training becomes unstable. The model itself is not changed.
    ///
    /// # Errors
    /// As [`fit`](Autoencoder::fit); [`Error::Diverged`] if even the smallest rates are too large.
    pub fn range_test(&self, data: &dyn BatchSource) -> Result<RangeTest, Error> {
        let (train, validation, scaler) = self.prepared(data)?;
        let Autoencoder { config, engine, pool, .. } = self;
        let task = train::Task { config, data, train, validation, cancel: None, keeper: None, saved: None };
        match engine {
            AnyEngine::F32(engine) => {
                let mut fresh = Engine::<f32>::new(engine.network.isa, config, &scaler);
                train::range_test(&mut fresh, task, pool.crew())
            }
            AnyEngine::F64(engine) => {
                let mut fresh = Engine::<f64>::new(engine.network.isa, config, &scaler);
                train::range_test(&mut fresh, task, pool.crew())
            }
        }
    }

    /// The rows to train on and those set aside, and the scaler that is fitted to the first; checks all of them.
    fn prepared(&self, data: &dyn BatchSource) -> Result<(Vec<usize>, Vec<usize>, Scaler), Error> {
        self.expect_width("rows", self.config.input_dim(), data)?;
        self.expect_fine_names(data)?;
        let rows = data.rows();
        let (train, validation) = division(data, self.config.validation(), self.config.seed())?;
        if train.is_empty() {
            return Err(Error::NoRows { rows, validation: validation.len() });
        }
        // Validation rows are only checked; fitting on them would leak their range into training.
        let shares = self.start.is_none() && self.takes_shares();
        let fit = |kind, source, rows: &[usize], shares| {
            Scaler::fit_allowed(
                kind,
                source,
                rows,
                Allowed { missing: self.config.mask_missing(), unit_only: shares },
            )
        };
        let (kind, targets) = (self.config.scaler(), targets_of(data)?);
        let of_targets = |error: Error| if targets.is_some() { Error::of_targets(error) } else { error };
        if targets.is_some() {
            fit(crate::ScalerKind::None, data, &validation, false)?;
            fit(crate::ScalerKind::None, data, &train, false)?;
        }
        let expected = targets.unwrap_or(data);
        fit(crate::ScalerKind::None, expected, &validation, shares).map_err(of_targets)?;
        let scaler = fit(kind, expected, &train, shares).map_err(of_targets)?;
        let scaler = match &self.start {
            None => self.keeping_indicators(scaler),
            Some(_) => {
                self.expect_shares(expected, &train).map_err(of_targets)?;
                self.scaler.clone()
            }
        };
        if self.config.precision() != Precision::F64 {
            scaler.expect_near(data, &validation)?;
            if let Some(targets) = targets {
                scaler.expect_near(targets, &validation).map_err(of_targets)?;
            }
        }
        Ok((train, validation, scaler))
    }

    /// Whether the values that should come out must be shares of 1 as they are: the loss compares shares, and nothing scales the values.
    pub(crate) fn takes_shares(&self) -> bool {
        self.config.scaler() == crate::ScalerKind::None && self.config.loss().of_shares()
    }

    /// That the scaler the model has takes these rows to shares of 1, if its loss compares shares.
    pub(crate) fn expect_shares(&self, expected: &dyn BatchSource, rows: &[usize]) -> Result<(), Error> {
        if self.config.loss().of_shares() { self.scaler.expect_shares(expected, rows) } else { Ok(()) }
    }

    /// The model for rows that come one by one: no memory taken and no thread woken a call.
    ///
    /// ```
    /// # use ae_data::Rows;
    /// use ae_model::{Autoencoder, Config, ErrorNorm};
    /// # let rows = Rows::new(&[0.0, 0.1, 0.4, 0.5, 0.9, 1.0], 2)?;
    /// # let mut model = Autoencoder::new(Config::builder(2).encoding_dim(1).epochs(2).build()?)?;
    /// # model.fit(&rows, &mut [])?;
    ///
    /// let mut one = model.one_row();
    /// let mut code = [0.0];
    /// for row in [[0.2, 0.3], [0.7, 0.1]] {
    ///     one.encode(&row, &mut code)?;
    ///     println!("{code:?}, error {:.3}", one.error(&row, ErrorNorm::Sum)?);
    /// }
    /// # Ok::<(), ae_model::Error>(())
    /// ```
    pub fn one_row(&self) -> OneRow<'_> {
        OneRow::new(self)
    }

    /// The encodings of the rows, `[rows, encoding_dim]`.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::Names`], [`Error::NotFinite`], or what reading `data` returns.
    pub fn encode(&self, data: &dyn BatchSource) -> Result<Dataset, Error> {
        self.through(Part::Encoder, data)
    }

    /// The rows that encodings `[rows, encoding_dim]` stand for, in the units of the data.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::NotFinite`], or what reading `codes` returns.
    pub fn decode(&self, codes: &dyn BatchSource) -> Result<Dataset, Error> {
        self.through(Part::Decoder, codes)
    }

    /// The rows as the autoencoder rebuilds them, in the units of the data.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::Names`], [`Error::NotFinite`], or what reading `data` returns.
    pub fn reconstruct(&self, data: &dyn BatchSource) -> Result<Dataset, Error> {
        self.through(Part::Whole, data)
    }

    /// Rows on the way from one row to another, in the units of the data: decodes `steps` encodings on the line between theirs, both
    /// ends included, `[steps, input_dim]`.
    ///
    /// # Errors
    /// [`Error::Width`] for rows of another width, [`Error::NotFinite`], and [`Error::Config`] for fewer than two steps or more than 1,000,000.
    pub fn interpolate(&self, from: &[f32], to: &[f32], steps: usize) -> Result<Dataset, Error> {
        crate::config::in_range("steps", steps, 2, 1_000_000)?;
        let features = self.config.input_dim();
        if let Some(row) = [from, to].iter().find(|row| row.len() != features) {
            return Err(Error::Width { what: "rows", expected: features, got: row.len() });
        }
        let ends = self.encode(&Dataset::new([from, to].concat(), features)?)?;
        let (dim, last) = (self.config.encoding_dim(), (steps - 1) as f32);
        let (from, to) = ends.values().split_at(dim);
        let at = |share: f32| from.iter().zip(to).map(move |(a, b)| a * (1.0 - share) + b * share);
        let codes = (0..steps).flat_map(|step| at(step as f32 / last)).collect();
        self.decode(&Dataset::new(codes, dim)?)
    }

    /// The rows `data` on the scale on which errors are measured.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::Names`].
    pub fn scaled<'a>(&'a self, data: &'a dyn BatchSource) -> Result<ScaledRows<'a>, Error> {
        self.expect_rows(data)?;
        Ok(ScaledRows::new(data, &self.scaler))
    }

    fn through(&self, part: Part, data: &dyn BatchSource) -> Result<Dataset, Error> {
        let (input, code) = (self.config.input_dim(), self.config.encoding_dim());
        let (from, to) = match part {
            Part::Encoder => (input, code),
            Part::Decoder => (code, input),
            Part::Whole => (input, input),
        };
        match part {
            Part::Decoder => self.expect_width("encodings", from, data)?,
            Part::Encoder | Part::Whole => self.expect_rows(data)?,
        }
        let rows = data.rows();
        let mut out = vec![0.0; rows * to];
        self.staged(part, data, None, rows, |first, table, crew| {
            let out = &mut out[first * to..][..table.rows.len() / from * to];
            match &self.engine {
                AnyEngine::F32(e) => bulk(e, crew).run(part, Source { table, indices: None }, out),
                AnyEngine::F64(e) => bulk(e, crew).run(part, Source { table, indices: None }, out),
            }
        })?;
        let out = Dataset::new(out, to)?;
        if part == Part::Encoder { Ok(out) } else { self.named(out) }
    }

    pub(crate) fn named(&self, rows: Dataset) -> Result<Dataset, Error> {
        match &self.names {
            Some(names) => Ok(rows.with_names(names.clone())?),
            None => Ok(rows),
        }
    }

    /// That rows are as wide as those that the model is for, and that their columns have the same names where both have names: in
    /// another order they would be other rows.
    pub(crate) fn expect_rows(&self, data: &dyn BatchSource) -> Result<(), Error> {
        self.expect_width("rows", self.config.input_dim(), data)?;
        match (&self.names, data.names()) {
            (Some(expected), Some(got)) if self.fitted => expect_names(expected, got),
            _ => Ok(()),
        }
    }

    /// That the names of rows to learn from are such as a model file holds: one a feature, no two alike, and those of the schema if there is one.
    pub(crate) fn expect_fine_names(&self, data: &dyn BatchSource) -> Result<(), Error> {
        let Some(names) = data.names() else { return Ok(()) };
        if names.len() != data.features() {
            let (expected, got) = (data.features(), names.len());
            return Err(DataError::Count { what: "names", of: "features", expected, got }.into());
        }
        if let Some(name) = first_repeated(names) {
            return Err(DataError::DuplicateColumn { name: name.clone() }.into());
        }
        match self.schema.as_ref().map(Schema::feature_names) {
            Some(of_schema) => expect_names(&of_schema, names),
            None => Ok(()),
        }
    }

    pub(crate) fn expect_width(
        &self,
        what: &'static str,
        expected: usize,
        data: &dyn BatchSource,
    ) -> Result<(), Error> {
        if data.features() == expected {
            return Ok(());
        }
        Err(Error::Width { what, expected, got: data.features() })
    }

    /// Calls `work(first, table, crew)` with consecutive pieces of the first `rows` rows of the source and of its targets, each checked for values
    /// that `part` can take.
    pub(crate) fn staged(
        &self,
        part: Part,
        data: &dyn BatchSource,
        targets: Option<&dyn BatchSource>,
        rows: usize,
        mut work: impl FnMut(usize, Table<'_>, Crew<'_>),
    ) -> Result<(), Error> {
        let features = data.features();
        let may_miss = self.config.mask_missing() && part != Part::Decoder;
        let isa = self.engine.isa();
        let worth_sharing = rows.saturating_mul(self.config.multiply_adds()) >= WORTH_WAKING;
        let crew = self.pool.crew().for_work(worth_sharing);
        // Whole tasks, the same number for each thread.
        let tasks = (STAGED_VALUES / features.max(1) / TASK_ROWS).max(1);
        let staged = tasks * TASK_ROWS * crew.threads();
        let mut feed = Feed::new(data, targets, staged.min(rows));
        for first in (0..rows).step_by(staged) {
            let indices: Vec<usize> = (first..rows.min(first + staged)).collect();
            let (table, places) = feed.rows(&indices)?;
            // What is in memory is there as a whole, what is read by itself.
            let table = table.part(places.first().copied().unwrap_or(0), places.len(), features);
            check_values((isa, crew), data, first, table.rows, may_miss)?;
            if let (Some(source), Some(values)) = (targets, table.targets) {
                check_values((isa, crew), source, first, values, may_miss).map_err(Error::of_targets)?;
            }
            work(first, table, crew);
        }
        Ok(())
    }
}

/// That columns have the same names, in the same order.
pub(crate) fn expect_names(expected: &[String], got: &[String]) -> Result<(), Error> {
    match expected.iter().zip(got).position(|(a, b)| a != b) {
        Some(column) => {
            let (expected, got) = (expected[column].clone(), got[column].clone());
            Err(Error::Names { column, expected, got })
        }
        None => Ok(()),
    }
}

/// The targets of a source, one for each row, where it has targets.
pub(crate) fn targets_of(data: &dyn BatchSource) -> Result<Option<&dyn BatchSource>, Error> {
    let Some(targets) = data.targets() else { return Ok(None) };
    match Pairs::new(data, targets) {
        Ok(_) => Ok(Some(targets)),
        Err(error) => Err(Error::of_targets(error.into())),
    }
}

/// Values that are not missing.
pub(crate) fn known_values(values: &[f32]) -> usize {
    values.iter().map(|x| usize::from(!x.is_nan())).sum()
}

pub(crate) fn bulk<'a, T: Arithmetic>(engine: &'a Engine<T>, crew: Crew<'a>) -> Bulk<'a, T> {
    Bulk { network: &engine.network, maps: &engine.maps, crew }
}

fn layers<T: Arithmetic>(engine: &Engine<T>) -> Vec<LayerParameters<f64>> {
    let wide = |values: Vec<T>| values.into_iter().map(T::to_f64).collect();
    (0..engine.network.layers.len())
        .map(|index| {
            let LayerParameters { inputs, outputs, weights, bias } = engine.network.layer(index);
            LayerParameters { inputs, outputs, weights: wide(weights), bias: wide(bias) }
        })
        .collect()
}
