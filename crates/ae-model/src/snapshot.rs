//! A model as it is, for callbacks and for [`Autoencoder`](crate::Autoencoder) itself.

use ae_data::{BatchSource, Dataset, memory};
use ae_kernels::Isa;
use ae_kernels::par::Crew;

use crate::config::Config;
use crate::engine::Engine;
use crate::error::Error;
use crate::inference::{Part, Source, TASK_ROWS};
use crate::model::{ErrorNorm, expect_names, inference, known_values, targets_of};
use crate::network::LayerParameters;
use crate::scale::Scaler;
use crate::step::Arithmetic;
use crate::table::{Feed, Table, check_values};

/// A model in training, as it is at the end of an epoch: what a [`Callback`](crate::Callback) may look
/// at.
///
/// Its methods are those of [`Autoencoder`](crate::Autoencoder), in the same units, and run on the
/// threads of the training. Creating it costs nothing. With a running mean of the weights, it has the
/// means, like the model that training leaves.
#[derive(Clone, Copy, Debug)]
pub struct Snapshot<'a> {
    pub(crate) config: &'a Config,
    pub(crate) scaler: &'a Scaler,
    pub(crate) names: Option<&'a [String]>,
    /// Whether the names are those of rows that the model has learnt from.
    pub(crate) fitted: bool,
    pub(crate) engine: EngineView<'a>,
    pub(crate) crew: Crew<'a>,
}

/// An engine of either arithmetic.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EngineView<'a> {
    F32(&'a Engine<f32>),
    F64(&'a Engine<f64>),
}

impl EngineView<'_> {
    pub(crate) fn isa(self) -> Isa {
        match self {
            EngineView::F32(engine) => engine.network.isa,
            EngineView::F64(engine) => engine.network.isa,
        }
    }
}

/// Multiply-adds of all rows, roughly, below which waking the pool would take longer than the work.
const WORTH_WAKING: usize = 1 << 22;

/// Whether rows with so many multiply-adds each are worth waking the pool for, outside training.
pub(crate) fn worth_waking(multiply_adds: usize, rows: usize) -> bool {
    rows.saturating_mul(multiply_adds) >= WORTH_WAKING
}

/// Values per thread that are checked, or read, before they enter the network: 4 MiB stay in a cache.
const STAGED_VALUES: usize = 1 << 20;

impl Snapshot<'_> {
    /// The configuration.
    pub fn config(&self) -> &Config {
        self.config
    }

    /// The scaler, fitted to the training rows.
    pub fn scaler(&self) -> &Scaler {
        self.scaler
    }

    /// As [`Autoencoder::layers`](crate::Autoencoder::layers).
    pub fn layers(&self) -> Vec<LayerParameters<f64>> {
        match self.engine {
            EngineView::F32(engine) => layers(engine),
            EngineView::F64(engine) => layers(engine),
        }
    }

    /// As [`Autoencoder::encode`](crate::Autoencoder::encode): `[rows, encoding_dim]`.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::Names`], [`Error::NotFinite`], or what reading `data` returns.
    pub fn encode(&self, data: &dyn BatchSource) -> Result<Dataset, Error> {
        self.through(Part::Encoder, data)
    }

    /// As [`Autoencoder::decode`](crate::Autoencoder::decode): `[rows, input_dim]`, in the units of the
    /// data.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::NotFinite`], or what reading `codes` returns.
    pub fn decode(&self, codes: &dyn BatchSource) -> Result<Dataset, Error> {
        self.through(Part::Decoder, codes)
    }

    /// As [`Autoencoder::reconstruct`](crate::Autoencoder::reconstruct): `[rows, input_dim]`, in the
    /// units of the data.
    ///
    /// # Errors
    /// As [`Snapshot::encode`].
    pub fn reconstruct(&self, data: &dyn BatchSource) -> Result<Dataset, Error> {
        self.through(Part::Whole, data)
    }

    /// As [`Autoencoder::reconstruction_error`](crate::Autoencoder::reconstruction_error): `[rows]`, on
    /// scaled features.
    ///
    /// # Errors
    /// As [`Snapshot::encode`], and [`Error::Targets`] for invalid targets.
    pub fn reconstruction_error(&self, data: &dyn BatchSource, norm: ErrorNorm) -> Result<Vec<f64>, Error> {
        let features = self.config.input_dim();
        self.expect_rows(data)?;
        let rows = data.rows();
        let mut errors = memory::zeros("the errors", rows, 1)?;
        let targets = targets_of(data)?;
        self.staged(Part::Whole, data, targets, rows, |first, table, crew| {
            let out = &mut errors[first..][..table.rows.len() / features];
            self.row_errors(table, crew, out);
            if norm == ErrorNorm::Mean {
                for (error, row) in out.iter_mut().zip(table.expected().chunks_exact(features)) {
                    *error /= known_values(row).max(1) as f64;
                }
            }
        })?;
        Ok(errors)
    }

    fn row_errors(&self, table: Table<'_>, crew: Crew<'_>, out: &mut [f64]) {
        let source = Source { table, indices: None };
        match self.engine {
            EngineView::F32(e) => inference(e, crew).row_errors(source, out),
            EngineView::F64(e) => inference(e, crew).row_errors(source, out),
        }
    }

    /// As [`Autoencoder::mse`](crate::Autoencoder::mse), on scaled features.
    ///
    /// # Errors
    /// As [`Snapshot::reconstruction_error`], and [`Error::NoRows`].
    pub fn mse(&self, data: &dyn BatchSource) -> Result<f64, Error> {
        if data.rows() == 0 {
            return Err(Error::NoRows { rows: 0, validation: 0 });
        }
        let features = self.config.input_dim();
        self.expect_rows(data)?;
        let rows = data.rows();
        let (mut errors, mut sum, mut known) = (Vec::new(), 0.0, 0);
        self.staged(Part::Whole, data, targets_of(data)?, rows, |_, table, crew| {
            errors.resize(table.rows.len() / features, 0.0);
            self.row_errors(table, crew, &mut errors);
            sum = errors.iter().fold(sum, |sum, error| sum + error);
            known += known_values(table.expected());
        })?;
        Ok(sum / known.max(1) as f64)
    }

    pub(crate) fn through(&self, part: Part, data: &dyn BatchSource) -> Result<Dataset, Error> {
        let (from, to) = part.widths(self.config.input_dim(), self.config.encoding_dim());
        match part {
            Part::Decoder => expect_width("encodings", from, data)?,
            Part::Encoder | Part::Posterior | Part::Whole => self.expect_rows(data)?,
        }
        let rows = data.rows();
        let (what, named) = match part {
            Part::Encoder | Part::Posterior => ("the encodings", false),
            Part::Decoder | Part::Whole => ("the decoded rows", true),
        };
        let mut out = memory::zeros(what, rows, to)?;
        self.staged(part, data, None, rows, |first, table, crew| {
            let out = &mut out[first * to..][..table.rows.len() / from * to];
            let source = Source { table, indices: None };
            match self.engine {
                EngineView::F32(e) => inference(e, crew).run(part, source, out),
                EngineView::F64(e) => inference(e, crew).run(part, source, out),
            }
        })?;
        let out = Dataset::new(out, to)?;
        if named { self.named(out) } else { Ok(out) }
    }

    pub(crate) fn named(&self, rows: Dataset) -> Result<Dataset, Error> {
        match self.names {
            Some(names) => Ok(rows.with_names(names.to_vec())?),
            None => Ok(rows),
        }
    }

    /// Checks that rows have the model's width and, if both have names, its column names in its order.
    pub(crate) fn expect_rows(&self, data: &dyn BatchSource) -> Result<(), Error> {
        expect_width("rows", self.config.input_dim(), data)?;
        match (self.names, data.names()) {
            (Some(expected), Some(got)) if self.fitted => expect_names(expected, got),
            _ => Ok(()),
        }
    }

    /// Calls `work(first, table, crew)` for the first `rows` rows and targets, in checked pieces, in
    /// order.
    pub(crate) fn staged(
        &self,
        part: Part,
        data: &dyn BatchSource,
        targets: Option<&dyn BatchSource>,
        rows: usize,
        mut work: impl FnMut(usize, Table<'_>, Crew<'_>),
    ) -> Result<(), Error> {
        let features = data.features();
        let allow_missing = self.config.mask_missing() && part != Part::Decoder;
        let isa = self.engine.isa();
        let crew = self.crew.for_work(worth_waking(self.config.multiply_adds(), rows));
        match self.engine {
            EngineView::F32(e) => inference(e, crew).expect_memory(part, rows, targets.is_some())?,
            EngineView::F64(e) => inference(e, crew).expect_memory(part, rows, targets.is_some())?,
        }
        // Whole tasks, equally many per thread.
        let tasks = (STAGED_VALUES / features.max(1) / TASK_ROWS).max(1);
        let staged = tasks * TASK_ROWS * crew.threads();
        let mut feed = Feed::new(data, targets, staged.min(rows))?;
        for first in (0..rows).step_by(staged) {
            let indices: Vec<usize> = (first..rows.min(first + staged)).collect();
            let (table, positions) = feed.rows(&indices)?;
            // A source in memory comes as a whole, one that is read as this piece alone.
            let table = table.part(positions.first().copied().unwrap_or(0), positions.len(), features);
            check_values((isa, crew), data, first, table.rows, allow_missing)?;
            if let (Some(source), Some(values)) = (targets, table.targets) {
                check_values((isa, crew), source, first, values, allow_missing).map_err(Error::of_targets)?;
            }
            work(first, table, crew);
        }
        Ok(())
    }
}

/// Checks the width of rows or encodings.
pub(crate) fn expect_width(what: &'static str, expected: usize, data: &dyn BatchSource) -> Result<(), Error> {
    if data.features() == expected {
        return Ok(());
    }
    Err(Error::Width { what, expected, got: data.features() })
}

fn layers<T: Arithmetic>(engine: &Engine<T>) -> Vec<LayerParameters<f64>> {
    (0..engine.network.layers.len()).map(|index| engine.network.layer(index).cast()).collect()
}
