//! The detector: its settings, fitting and scoring.

mod edition;
mod file;

use ae_data::{BatchSource, Dataset, memory};
use ae_kernels::Isa;
use ae_model::{Activation, Autoencoder, Config, Noise, Optimizer, ScalerKind};

use super::calibration::Calibration;
use super::columns::Columns;
use super::components::{self, Block, ScoreComponent, ScoringContext};
use super::coordinates::Coordinates;
use super::neighbours::Neighbours;
use super::score::Score;
use crate::blocks::check_pairs;
use crate::error::EvalError;
use crate::row_set::RowSet;
use crate::sampling::sample_rows;
use ae_data::threads;
use edition::Edition;

/// Rows per update of the detector's own models.
const BATCH: usize = 64;
/// Encoding dimension of the detector's own models.
const WIDTH: usize = 64;
/// Standard deviation of their training noise, in standard deviations of the features.
const NOISE: f64 = 0.5;
/// Restarts of a training run that diverges, each at a third of the last learning rate.
const RESTARTS: usize = 3;
/// Percentile of the calibration scores that is the default threshold.
const PERCENTILE: f64 = 99.0;
/// Rows scored together.
const BLOCK: usize = 4096;
/// Lower bound of a component's value in the ensemble, as a fraction of its median in training, so that
/// a row identical to a training row (at distance 0) does not decide the score alone.
const FLOOR: f64 = 1e-3;

/// Settings of a detector. The defaults were measured to work well on data sets of all kinds; they need
/// no tuning for a particular one.
///
/// ```
/// use ae_eval::anomaly::{Score, Settings};
///
/// let settings = Settings { score: Score::InputNeighbours, neighbours: 5, ..Settings::default() };
/// # assert_eq!(settings.seed, 0);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The score that the detector computes.
    pub score: Score,
    /// Number of nearest neighbours whose distances are averaged; at least 1.
    pub neighbours: usize,
    /// Maximum number of training rows to search for neighbours, drawn at random; at least 2. The time
    /// of a search is proportional to it.
    pub reference_rows: usize,
    /// Updates when training a model, each on 64 rows; at least 1.
    pub updates: usize,
    /// Noise levels for [`Score::Denoising`], in standard deviations of the features.
    pub noise: Vec<f64>,
    /// Seed of the weights, the noise and the sampling of rows.
    pub seed: u64,
    /// Number of threads; `None` means all cores. Results do not depend on it.
    pub threads: Option<usize>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            score: Score::default(),
            neighbours: 2,
            reference_rows: 4096,
            updates: 200,
            noise: vec![0.2, 0.5, 1.0],
            seed: 0,
            threads: None,
        }
    }
}

/// Scores rows by how much they differ from the rows it was fitted on.
///
/// Errors count columns as [`row_errors`](super::row_errors) does. Distances need every value. If the
/// model masks missing values
/// ([`ConfigBuilder::mask_missing`](ae_model::ConfigBuilder::mask_missing)), it fills them in, as by
/// [`Autoencoder::impute`] with [`IMPUTATION_ROUNDS`](crate::IMPUTATION_ROUNDS), in rows of the
/// reference and in rows to be scored; otherwise they are errors. A cell that was filled in has hardly any
/// error, so in [`Score::StandardisedError`] and [`Score::Error`] it counts as much as the mean of the known
/// ones of its row; other scores take it as filled in. The models that [`Detector::fit`] trains do not mask.
///
/// ```
/// use ae_data::Rows;
/// use ae_eval::anomaly::{Detector, Settings};
/// use ae_model::{Autoencoder, Config};
///
/// let table: Vec<[f32; 2]> = (0..200).map(|i| [i as f32, (2 * i + i % 7) as f32]).collect();
/// let rows = Rows::new(table.as_flattened(), 2)?;
/// let mut model = Autoencoder::new(Config::builder(2).encoding_dim(1).mask_missing(true).build()?)?;
/// model.fit(&rows, &mut [])?;
/// let detector = Detector::with_model(&Settings::default(), model, &rows)?;
/// let scores = detector.scores(&Rows::new(&[100.0, 203.0, 100.0, f32::NAN], 2)?)?;
/// assert!(scores.iter().all(|score| score.is_finite()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Detector {
    score: Score,
    edition: Edition,
    context: ScoringContext,
    components: Vec<ScoreComponent>,
    /// The rows that the components were computed from.
    reference: Block,
    /// Median of each component in training, positive.
    scales: Vec<f64>,
    training_scores: Vec<f64>,
    calibration: Calibration,
    threshold: f64,
}

/// What scores are computed from, before anything is measured on the reference rows.
struct UnfittedDetector {
    score: Score,
    edition: Edition,
    /// At least 1.
    neighbours: usize,
    threads: usize,
    model: Autoencoder,
    /// Models of the other noise levels.
    further_models: Vec<Autoencoder>,
}

impl Detector {
    /// Trains autoencoders on `rows`, which should hold few or no anomalies, and fits a detector.
    ///
    /// # Errors
    /// [`EvalError::TooFewRows`] for fewer than two rows, [`EvalError::InvalidSetting`] for a setting
    /// that is out of range, [`EvalError::TooManyFeatures`] for more than 16,384 with
    /// [`Score::Mahalanobis`], [`EvalError::Model`] for rows that a model cannot learn from, or an error
    /// from reading them.
    pub fn fit(settings: &Settings, rows: &dyn BatchSource) -> Result<Detector, EvalError> {
        settings.check()?;
        settings.score.check_features(rows.features())?;
        check_row_count(rows)?;
        let drawn = sample_rows(rows.rows(), settings.updates.saturating_mul(BATCH), settings.seed)?;
        let training = components::read(rows, &drawn)?;
        let (first, rest) = match (settings.score, settings.noise.split_first()) {
            (Score::Denoising, Some((first, rest))) => (*first, rest),
            _ => (NOISE, &[][..]),
        };
        let trained = |sigma: f64| -> Result<Autoencoder, EvalError> {
            let mut model =
                Autoencoder::new(settings.config(training.features(), training.rows(), sigma)?)?;
            model.set_threads(settings.threads)?;
            for _ in 0..RESTARTS {
                match model.fit(&training, &mut []) {
                    Err(ae_model::Error::Diverged { learning_rate, .. }) => {
                        model.set_learning_rate(learning_rate / 3.0)?;
                    }
                    history => return history.map(|_| model).map_err(EvalError::from),
                }
            }
            match model.fit(&training, &mut []) {
                // With noise, the loss on a handful of rows may jump tenfold between epochs without
                // diverging; only a loss beyond any that standardised features can have is divergence.
                Err(ae_model::Error::Diverged { loss, .. }) if loss < 1e6 => Ok(model),
                history => history.map(|_| model).map_err(EvalError::from),
            }
        };
        let model = trained(first)?;
        let further_models = rest.iter().map(|sigma| trained(*sigma)).collect::<Result<_, _>>()?;
        Detector::assemble(settings, model, further_models, rows)
    }

    /// Creates a detector from a trained model and the rows it was trained on, or similar ones.
    ///
    /// # Errors
    /// As [`Detector::fit`], and [`EvalError::InvalidSetting`] for [`Score::Denoising`], which needs
    /// models of its own.
    pub fn with_model(
        settings: &Settings,
        model: Autoencoder,
        rows: &dyn BatchSource,
    ) -> Result<Detector, EvalError> {
        settings.check()?;
        if settings.score == Score::Denoising {
            let allowed = "other than denoising for a model that is already trained";
            return Err(EvalError::InvalidSetting { field: "the score", allowed });
        }
        Detector::assemble(settings, model, Vec::new(), rows)
    }

    fn assemble(
        settings: &Settings,
        model: Autoencoder,
        further_models: Vec<Autoencoder>,
        rows: &dyn BatchSource,
    ) -> Result<Detector, EvalError> {
        check_row_count(rows)?;
        // Checks the width and the column names of the rows.
        model.scaled(rows)?;
        let drawn = sample_rows(rows.rows(), settings.reference_rows, settings.seed)?;
        let reference = Block::new(&model, components::read_known(&model, rows, &drawn)?, &drawn)?;
        let Settings { score, neighbours, .. } = *settings;
        let edition = Edition::of(score, &model);
        let threads = settings.threads();
        let unfitted = UnfittedDetector { score, edition, neighbours, threads, model, further_models };
        let (context, components) = unfitted.components(&reference)?;
        let mut scales = Vec::with_capacity(components.len());
        let mut measured = Vec::with_capacity(components.len());
        for component in &components {
            let values = context.measure(component, &reference, true)?;
            scales.push(typical(&values));
            measured.push(values);
        }
        let training_scores = combine_components(&components, &scales, measured);
        let calibration = Calibration::new(training_scores.clone())?;
        let threshold = calibration.threshold_at(PERCENTILE);
        Ok(Detector {
            score,
            edition,
            context,
            components,
            reference,
            scales,
            training_scores,
            calibration,
            threshold,
        })
    }

    /// The score that the detector computes.
    pub fn score(&self) -> Score {
        self.score
    }

    /// The model that errors and encodings come from; of several denoising models, the first.
    pub fn model(&self) -> &Autoencoder {
        &self.context.model
    }

    /// The rows the detector was fitted on, at most [`Settings::reference_rows`], with missing values
    /// filled in.
    pub fn reference(&self) -> &Dataset {
        self.reference.complete()
    }

    /// The scores of the [`reference`](Detector::reference) rows, where no row is its own neighbour.
    pub fn training_scores(&self) -> &[f64] {
        &self.training_scores
    }

    /// The scores that thresholds and p-values come from; initially the
    /// [`training_scores`](Detector::training_scores).
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// Sets the scores that thresholds and p-values come from, preferably of normal rows that neither
    /// the detector nor its model has seen, and resets the threshold to their 99th percentile.
    pub fn set_calibration(&mut self, calibration: Calibration) {
        self.threshold = calibration.threshold_at(PERCENTILE);
        self.calibration = calibration;
    }

    /// The threshold: rows that score at least this count as anomalies.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Sets the threshold, which is saved with the detector.
    ///
    /// # Errors
    /// [`EvalError::InvalidSetting`] for NaN.
    pub fn set_threshold(&mut self, threshold: f64) -> Result<(), EvalError> {
        if threshold.is_nan() {
            return Err(EvalError::InvalidSetting { field: "the threshold", allowed: "a number" });
        }
        self.threshold = threshold;
        Ok(())
    }

    /// Sets the number of threads; `None` means all cores. Results do not depend on it.
    ///
    /// # Errors
    /// [`EvalError::Model`] for zero threads, or if they cannot be started.
    pub fn set_threads(&mut self, threads: Option<usize>) -> Result<(), EvalError> {
        for model in std::iter::once(&mut self.context.model).chain(&mut self.context.further_models) {
            model.set_threads(threads)?;
        }
        self.context.threads = threads::count(threads);
        Ok(())
    }

    /// The score of each row. Rows are read and scored a block at a time; a score that overflows is
    /// infinite, never NaN.
    ///
    /// # Errors
    /// [`EvalError::Model`] for rows of another width or with other column names, or values that are not
    /// finite, except for missing ones that the model masks; or an error from reading them.
    pub fn scores(&self, rows: &dyn BatchSource) -> Result<Vec<f64>, EvalError> {
        self.scores_with(rows, false)
    }

    /// Like [`scores`](Detector::scores), for rows that the detector was fitted on: for each row, one
    /// training row at distance 0 is taken to be the row itself and not counted as a neighbour.
    ///
    /// # Errors
    /// As [`scores`](Detector::scores).
    pub fn scores_excluding_self(&self, rows: &dyn BatchSource) -> Result<Vec<f64>, EvalError> {
        self.scores_with(rows, true)
    }

    /// How many of the rows are, bit for bit, among the [`reference`](Detector::reference) rows. If they
    /// are the same rows and not just equal ones, [`scores`](Detector::scores) finds each to be its own
    /// neighbour, and their scores are too low.
    ///
    /// # Errors
    /// As [`scores`](Detector::scores).
    pub fn count_in_reference(&self, rows: &dyn BatchSource) -> Result<usize, EvalError> {
        let reference = RowSet::of(self.reference())?;
        let mut count = 0;
        self.for_each_block(rows, true, |block| {
            count += reference.count(block.complete())?;
            Ok(())
        })?;
        Ok(count)
    }

    fn scores_with(&self, rows: &dyn BatchSource, exclude_self: bool) -> Result<Vec<f64>, EvalError> {
        let mut scores = memory::room("the scores", rows.rows(), 1)?;
        self.for_each_block(rows, !self.context.leaves_out_missing, |block| {
            let measured =
                self.components.iter().map(|component| self.context.measure(component, block, exclude_self));
            scores.extend(combine_components(
                &self.components,
                &self.scales,
                measured.collect::<Result<_, _>>()?,
            ));
            Ok(())
        })?;
        Ok(scores)
    }

    /// The contribution of each feature to the standardised error of each row, `(x̂ - x)² / v`,
    /// `[rows, features]`; NaN where the value is missing.
    ///
    /// Large values mark features that do not fit the others; for rows like those in training they
    /// average about 1, however many of the feature's values are missing. [`blame`](Detector::blame) ranks them by row.
    ///
    /// # Errors
    /// As [`scores`](Detector::scores).
    pub fn contributions(&self, rows: &dyn BatchSource) -> Result<Dataset, EvalError> {
        let table = self.contributions_by(rows, &(0..rows.features()).collect::<Vec<_>>())?;
        match rows.names() {
            Some(names) => Ok(table.with_names(names.to_vec())?),
            None => Ok(table),
        }
    }

    /// Like [`contributions`](Detector::contributions), for groups of features, `[rows, groups]`.
    ///
    /// `groups[j]` is the group of feature `j`. The contribution of a group is `Σ (x̂ - x)² / Σ v` over
    /// its features that are not missing, which is also about 1 for typical rows whatever the group's
    /// size; NaN if all of them are missing, and 0 for an empty group. An unknown category adds 1 to the squares of its column, as in
    /// [`row_errors`](super::row_errors).
    ///
    /// # Errors
    /// As [`scores`](Detector::scores); [`EvalError::Count`] unless every feature has a group, and
    /// [`EvalError::InvalidSetting`] for more groups than features.
    pub fn contributions_by(&self, rows: &dyn BatchSource, groups: &[usize]) -> Result<Dataset, EvalError> {
        if groups.len() != rows.features() {
            let (expected, got) = (rows.features(), groups.len());
            return Err(EvalError::Count { what: "groups of features", expected, got });
        }
        let count = groups.iter().max().map_or(0, |max| max.saturating_add(1));
        if count > groups.len() {
            let allowed = "numbered from 0, at most one per feature";
            return Err(EvalError::InvalidSetting { field: "groups of features", allowed });
        }
        let model = &self.context.model;
        let mut is_empty = vec![true; count];
        groups.iter().for_each(|group| is_empty[*group] = false);
        let mut values = memory::room("the contributions", rows.rows(), count)?;
        // Of the squared errors in each group, and of their usual values.
        let (mut sums, mut usual) = (vec![0.0; count], vec![0.0; count]);
        self.for_each_block(rows, true, |block| {
            let squares = model.squared_errors(block.complete())?;
            for (squares, row) in squares.iter_rows().zip(block.known.iter_rows()) {
                sums.fill(0.0);
                usual.fill(0.0);
                let features = squares.iter().zip(row).zip(groups).zip(&self.context.variances);
                for (((square, _), group), v) in features.filter(|(((_, x), _), _)| !x.is_nan()) {
                    sums[*group] += f64::from(*square);
                    usual[*group] += v;
                }
                let unknown = self.context.columns.unknown(row);
                unknown.for_each(|column| sums[groups[column.features.start]] += 1.0);
                values.extend(
                    sums.iter()
                        .zip(&usual)
                        .zip(&is_empty)
                        .map(|((sum, usual), is_empty)| if *is_empty { 0.0 } else { (sum / usual) as f32 }),
                );
            }
            Ok(())
        })?;
        Ok(Dataset::new(values, count)?)
    }

    /// Calls `work` with blocks of rows, whose missing values are filled in if they are to be `complete`.
    fn for_each_block(
        &self,
        rows: &dyn BatchSource,
        complete: bool,
        mut work: impl FnMut(&Block) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        // Checks the width and the column names of the rows.
        self.context.model.scaled(rows)?;
        let count = rows.rows();
        for first in (0..count).step_by(BLOCK) {
            let indices: Vec<usize> = (first..count.min(first + BLOCK)).collect();
            let known = components::read_known(&self.context.model, rows, &indices)?;
            let block = match complete {
                true => Block::new(&self.context.model, known, &indices)?,
                false => Block::as_known(known),
            };
            work(&block)?;
        }
        Ok(())
    }
}

/// Combines the values of the components into one score per row.
fn combine_components(
    components: &[ScoreComponent],
    scales: &[f64],
    mut measured: Vec<Vec<f64>>,
) -> Vec<f64> {
    if measured.len() == 1 {
        return measured.pop().unwrap_or_default();
    }
    let rows = measured.first().map_or(0, Vec::len);
    let mut logs = vec![0.0; rows];
    for ((component, scale), values) in components.iter().zip(scales).zip(&measured) {
        let power = if component.is_squared() { 0.5 } else { 1.0 };
        for (log, value) in logs.iter_mut().zip(values) {
            *log += power * (value / scale).max(FLOOR).ln();
        }
    }
    let weight = 1.0 / components.len() as f64;
    logs.into_iter().map(|log| (weight * log).exp()).collect()
}

impl UnfittedDetector {
    /// Prepares the scoring context and the components, given the reference rows.
    fn components(self, block: &Block) -> Result<(ScoringContext, Vec<ScoreComponent>), EvalError> {
        let reference = block.complete();
        self.score.check_features(reference.features())?;
        let isa = Isa::active().map_err(ae_model::Error::from)?;
        let counts_columns = self.edition >= Edition::Columns;
        let schema = self.model.schema().filter(|_| counts_columns);
        let columns = Columns::new(schema, reference.features());
        let by_known = self.edition >= Edition::Known;
        let counted = if by_known { &block.known } else { reference };
        let context = ScoringContext {
            leaves_out_missing: counts_columns
                && self.score == Score::Error
                && self.model.config().mask_missing(),
            by_known,
            coordinates: Coordinates::fit(columns.clone(), reference)?,
            columns,
            variances: ScoringContext::variances_of(&self.model.squared_errors(reference)?, counted),
            model: self.model,
            further_models: self.further_models,
            neighbours: self.neighbours.min(reference.rows() - 1),
            threads: self.threads,
        };
        let input = |context: &ScoringContext| -> Result<ScoreComponent, EvalError> {
            let values = context.coordinates.of(reference)?;
            Ok(ScoreComponent::Input(Neighbours::new(isa, &values, context.coordinates.width())?))
        };
        let latent = |context: &ScoringContext| -> Result<ScoreComponent, EvalError> {
            let codes = context.model.encode(reference)?;
            Ok(ScoreComponent::Latent(Neighbours::new(isa, codes.values(), codes.features())?))
        };
        let components = match self.score {
            Score::Error | Score::Denoising => vec![ScoreComponent::Error],
            Score::StandardisedError => vec![ScoreComponent::StandardisedError],
            Score::Mahalanobis => vec![ScoreComponent::Mahalanobis(context.residual_factor(reference)?)],
            Score::InputNeighbours => vec![input(&context)?],
            Score::LatentNeighbours => vec![latent(&context)?],
            Score::Ensemble => {
                let values = components::compress_values(context.coordinates.of(reference)?);
                let width = context.coordinates.width();
                let compressed = ScoreComponent::Compressed(Neighbours::new(isa, &values, width)?);
                let mut components = vec![input(&context)?, compressed, latent(&context)?];
                if self.edition.has_residuals(&context.model) {
                    let factor = context.residual_factor(reference)?;
                    components.push(ScoreComponent::Mahalanobis(factor));
                }
                components
            }
        };
        Ok((context, components))
    }
}

impl Score {
    /// Checks that what the score needs for this many features is of a reasonable size.
    fn check_features(self, features: usize) -> Result<(), EvalError> {
        if self == Score::Mahalanobis { check_pairs(features) } else { Ok(()) }
    }
}

impl Settings {
    fn check(&self) -> Result<(), EvalError> {
        let refuse = |field, allowed| Err(EvalError::InvalidSetting { field, allowed });
        if self.neighbours == 0 {
            return refuse("neighbours", "at least 1");
        }
        if self.reference_rows < 2 {
            return refuse("reference_rows", "at least 2");
        }
        if self.updates == 0 {
            return refuse("updates", "at least 1");
        }
        if self.score == Score::Denoising && self.noise.is_empty() {
            return refuse("noise", "one or more levels");
        }
        if self.threads == Some(0) {
            return refuse("threads", "at least 1");
        }
        Ok(())
    }

    fn threads(&self) -> usize {
        threads::count(self.threads)
    }

    /// The configuration of a model: one hidden layer, equally wide for any number of features. The
    /// noise, of standard deviation `sigma`, keeps it from copying its input.
    fn config(&self, features: usize, rows: usize, sigma: f64) -> Result<Config, EvalError> {
        let updates_an_epoch = rows.div_ceil(BATCH);
        let config = Config::builder(features)
            .hidden_dims([])
            .encoding_dim(WIDTH)
            .activation(Activation::Tanh)
            .noise(Noise::Gaussian { sigma })
            .scaler(ScalerKind::Standard)
            .optimizer(Optimizer::ADAM)
            .learning_rate(0.003)
            .batch_size(BATCH)
            .epochs(self.updates.div_ceil(updates_an_epoch))
            .seed(self.seed)
            .build()?;
        Ok(config)
    }
}

fn check_row_count(rows: &dyn BatchSource) -> Result<(), EvalError> {
    if rows.rows() < 2 || rows.features() == 0 {
        return Err(EvalError::TooFewRows { rows: rows.rows(), min: 2 });
    }
    Ok(())
}

/// The median; if that is 0, as when more than half of the rows have a twin, the mean; 1 if neither is
/// positive and finite.
fn typical(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    [median, mean].into_iter().find(|x| x.is_finite() && *x > 0.0).unwrap_or(1.0)
}

#[cfg(test)]
mod tests;
