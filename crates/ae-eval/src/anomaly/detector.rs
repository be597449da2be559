//! The detector: what it is made of, fitting and scoring.

mod file;

use ae_data::{BatchSource, Dataset};
use ae_model::{Activation, Autoencoder, Config, Noise, Optimizer, Scaler, ScalerKind};

use super::calibration::Calibration;
use super::neighbours::Neighbours;
use super::parts::{self, Part, Tools};
use crate::error::EvalError;
use ae_data::threads;

/// Rows of an update of the detector's own models.
const BATCH: usize = 64;
/// Values of an encoding of the detector's own models.
const WIDTH: usize = 64;
/// Noise that they are trained with, in standard deviations of the features.
const NOISE: f64 = 0.5;
/// Percentile of the calibration that the threshold is until another is set.
const PERCENTILE: f64 = 99.0;
/// Rows that are scored together.
const BLOCK: usize = 4096;
/// The least value of a part that counts in an ensemble, as a share of its median in training: a row that is the same as one of the
/// training rows shall not have the last word.
const FLOOR: f64 = 1e-3;

/// What a score is. All are the higher the more anomalous; `x̂` is the reconstruction of `x`, on scaled features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Score {
    /// `Σ_features (x̂ - x)²`
    Error,
    /// `Σ_features (x̂ - x)² / v`, with `v` the mean squared error of the feature in training and a hundredth of the mean of these over
    /// all features, which keeps one that is rebuilt exactly from deciding alone.
    StandardisedError,
    /// `rᵀ C⁻¹ r` with the residuals `r = x̂ - x` and their second moments `C` in training, with as much added to their diagonal.
    Mahalanobis,
    /// The mean distance to the [`Settings::neighbours`] nearest training rows, in standardised features.
    InputNeighbours,
    /// The same between encodings.
    LatentNeighbours,
    /// `Σ_levels Σ_features (x̂ - x)²` over denoising autoencoders, one for each of [`Settings::noise`].
    Denoising,
    /// The geometric mean of several of these as distances, each over its median in training: 1 is usual, 2 twice as far away as usual.
    /// Distances to neighbours in standardised features, the same with values compressed to `sign z ln(1 + |z|)`, and
    /// between encodings. It is the default because it was the best over many data sets (`cargo xtask experiments adbench`); most of what it
    /// finds is found by the neighbours.
    #[default]
    Ensemble,
}

impl Score {
    /// Every score.
    pub const ALL: [Score; 7] = [
        Score::Error,
        Score::StandardisedError,
        Score::Mahalanobis,
        Score::InputNeighbours,
        Score::LatentNeighbours,
        Score::Denoising,
        Score::Ensemble,
    ];

    /// Its name, as commands spell it.
    pub fn name(self) -> &'static str {
        match self {
            Score::Error => "error",
            Score::StandardisedError => "standardised-error",
            Score::Mahalanobis => "mahalanobis",
            Score::InputNeighbours => "input-neighbours",
            Score::LatentNeighbours => "latent-neighbours",
            Score::Denoising => "denoising",
            Score::Ensemble => "ensemble",
        }
    }
}

/// How a detector is made. The defaults are what was measured to be good on data sets of all kinds; there is nothing to
/// adapt to a set of its own.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// What its scores are.
    pub score: Score,
    /// Neighbours whose distances are averaged; at least 1.
    pub neighbours: usize,
    /// Most training rows that neighbours are looked for in, drawn at random; at least 2. Searching takes time in proportion.
    pub reference_rows: usize,
    /// Updates in training a model, of 64 rows each; at least 1.
    pub updates: usize,
    /// Standard deviations of the noise that [`Score::Denoising`] trains with, in those of the features.
    pub noise: Vec<f64>,
    /// Seed of weights, noise and draws of rows.
    pub seed: u64,
    /// Threads; all cores where there is none. Results do not depend on it.
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

/// Tells rows that are unlike the rows it was fitted on.
#[derive(Debug)]
pub struct Detector {
    score: Score,
    tools: Tools,
    parts: Vec<Part>,
    /// The rows that the parts are made of.
    reference: Dataset,
    /// Median of each part in training, above zero.
    typical: Vec<f64>,
    training_scores: Vec<f64>,
    calibration: Calibration,
    threshold: f64,
}

/// What scores come from, before it is measured on the rows of the reference.
struct Sources {
    score: Score,
    /// At least 1.
    neighbours: usize,
    threads: usize,
    model: Autoencoder,
    /// Those of other levels of noise.
    others: Vec<Autoencoder>,
}

impl Detector {
    /// Fits a detector, with autoencoders of its own, to `rows`, which should hold few anomalies or none.
    ///
    /// # Errors
    /// [`EvalError::TooFewRows`] for less than two rows, [`EvalError::Setting`], [`EvalError::Model`] for rows that cannot be
    /// learnt from, or what reading them returns.
    pub fn fit(settings: &Settings, rows: &dyn BatchSource) -> Result<Detector, EvalError> {
        settings.check()?;
        let training = parts::sample(rows, settings.updates.saturating_mul(BATCH), settings.seed)?;
        least_rows(&training)?;
        let (first, rest) = match (settings.score, settings.noise.split_first()) {
            (Score::Denoising, Some((first, rest))) => (*first, rest),
            _ => (NOISE, &[][..]),
        };
        let trained = |sigma: f64| -> Result<Autoencoder, EvalError> {
            let mut model =
                Autoencoder::new(settings.config(training.features(), training.rows(), sigma)?)?;
            model.set_threads(settings.threads)?;
            match model.fit(&training, &mut []) {
                // With noise the loss of a handful of rows may jump tenfold from one epoch to the next, which is no divergence; what is
                // beyond any of standardised features is.
                Err(ae_model::Error::Diverged { loss, .. }) if loss < 1e6 => {}
                history => drop(history?),
            }
            Ok(model)
        };
        let model = trained(first)?;
        let others = rest.iter().map(|sigma| trained(*sigma)).collect::<Result<_, _>>()?;
        Detector::assemble(settings, model, others, rows)
    }

    /// The detector of a trained model, by the rows it was trained on or others like them.
    ///
    /// # Errors
    /// As [`Detector::fit`], and [`EvalError::Setting`] for [`Score::Denoising`], which needs models of its own.
    pub fn with_model(
        settings: &Settings,
        model: Autoencoder,
        rows: &dyn BatchSource,
    ) -> Result<Detector, EvalError> {
        settings.check()?;
        if settings.score == Score::Denoising {
            let allowed = "another than denoising for a model that is trained already";
            return Err(EvalError::Setting { field: "the score", allowed });
        }
        Detector::assemble(settings, model, Vec::new(), rows)
    }

    fn assemble(
        settings: &Settings,
        model: Autoencoder,
        others: Vec<Autoencoder>,
        rows: &dyn BatchSource,
    ) -> Result<Detector, EvalError> {
        let reference = parts::sample(rows, settings.reference_rows, settings.seed)?;
        least_rows(&reference)?;
        let Settings { score, neighbours, .. } = *settings;
        let sources = Sources { score, neighbours, threads: settings.threads(), model, others };
        let (tools, parts) = sources.parts(&reference)?;
        let mut typicals = Vec::with_capacity(parts.len());
        let mut measured = Vec::with_capacity(parts.len());
        for part in &parts {
            let values = tools.measure(part, &reference, true)?;
            typicals.push(typical(&values));
            measured.push(values);
        }
        let training_scores = combined(&parts, &typicals, measured);
        let calibration = Calibration::new(training_scores.clone())?;
        let threshold = calibration.threshold_at(PERCENTILE);
        Ok(Detector {
            score,
            tools,
            parts,
            reference,
            typical: typicals,
            training_scores,
            calibration,
            threshold,
        })
    }

    /// What its scores are.
    pub fn score(&self) -> Score {
        self.score
    }

    /// The model that errors and encodings come from (of several denoising models, the first).
    pub fn model(&self) -> &Autoencoder {
        &self.tools.model
    }

    /// The rows it was fitted on, [`Settings::reference_rows`] of them at most.
    pub fn reference(&self) -> &Dataset {
        &self.reference
    }

    /// The scores of [`reference`](Detector::reference), none of these rows its own neighbour.
    pub fn training_scores(&self) -> &[f64] {
        &self.training_scores
    }

    /// The scores that thresholds and p-values come from: [`training_scores`](Detector::training_scores), until there are others.
    pub fn calibration(&self) -> &Calibration {
        &self.calibration
    }

    /// Takes thresholds and p-values from these scores: of normal rows that neither the detector nor its model has seen, best. The threshold
    /// becomes that of the 99th percentile.
    pub fn set_calibration(&mut self, calibration: Calibration) {
        self.threshold = calibration.threshold_at(PERCENTILE);
        self.calibration = calibration;
    }

    /// The score from which on a row counts as an anomaly.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Sets the threshold, which files keep.
    ///
    /// # Errors
    /// [`EvalError::Setting`] for NaN.
    pub fn set_threshold(&mut self, threshold: f64) -> Result<(), EvalError> {
        if threshold.is_nan() {
            return Err(EvalError::Setting { field: "the threshold", allowed: "a number" });
        }
        self.threshold = threshold;
        Ok(())
    }

    /// Threads that it works with; all cores for `None`. Results do not depend on it.
    ///
    /// # Errors
    /// [`EvalError::Model`] for a number of threads that cannot be.
    pub fn set_threads(&mut self, threads: Option<usize>) -> Result<(), EvalError> {
        for model in std::iter::once(&mut self.tools.model).chain(&mut self.tools.others) {
            model.set_threads(threads)?;
        }
        self.tools.threads = threads::count(threads);
        Ok(())
    }

    /// The score of each row. Rows are read and scored a block at a time; a score that overflows is infinite, never NaN.
    ///
    /// # Errors
    /// [`EvalError::Model`] for rows of another width or with other names of columns, and values that are not finite, or what reading them returns.
    pub fn scores(&self, rows: &dyn BatchSource) -> Result<Vec<f64>, EvalError> {
        self.scores_with(rows, false)
    }

    /// As [`scores`](Detector::scores), for the rows it was fitted on: a training row at no distance at all is taken for the row itself
    /// and is not its neighbour, once a row.
    ///
    /// # Errors
    /// As [`scores`](Detector::scores).
    pub fn scores_of_training_rows(&self, rows: &dyn BatchSource) -> Result<Vec<f64>, EvalError> {
        self.scores_with(rows, true)
    }

    fn scores_with(&self, rows: &dyn BatchSource, own: bool) -> Result<Vec<f64>, EvalError> {
        let mut scores = Vec::with_capacity(rows.rows());
        self.in_blocks(rows, |block| {
            let measured = self.parts.iter().map(|part| self.tools.measure(part, block, own));
            scores.extend(combined(&self.parts, &self.typical, measured.collect::<Result<_, _>>()?));
            Ok(())
        })?;
        Ok(scores)
    }

    /// What each feature adds to the standardised error of each row, `(x̂ - x)² / v`, `[rows, features]`: which features are not
    /// as the others would have them. About 1 each for rows like those in training.
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

    /// As [`contributions`](Detector::contributions) of groups of features, `[rows, groups]`, where `groups[j]` is that of feature `j`:
    /// `Σ (x̂ - x)² / Σ v` over the features of a group, which is about 1 too, however many they are; 0 for a group of none.
    ///
    /// # Errors
    /// As [`scores`](Detector::scores), [`EvalError::Count`] unless there is a group a feature, and [`EvalError::Setting`] for more groups than
    /// features.
    pub fn contributions_by(&self, rows: &dyn BatchSource, groups: &[usize]) -> Result<Dataset, EvalError> {
        if groups.len() != rows.features() {
            let (expected, got) = (rows.features(), groups.len());
            return Err(EvalError::Count { what: "groups of features", expected, got });
        }
        let count = groups.iter().max().map_or(0, |most| most.saturating_add(1));
        if count > groups.len() {
            let allowed = "numbered from 0, one a feature at most";
            return Err(EvalError::Setting { field: "groups of features", allowed });
        }
        let mut variances = vec![0.0; count];
        groups.iter().zip(&self.tools.variances).for_each(|(group, v)| variances[*group] += v);
        let mut values = Vec::with_capacity(rows.rows() * count);
        let mut sums = vec![0.0; count];
        self.in_blocks(rows, |block| {
            let squares = self.tools.model.squared_errors(block)?;
            for row in squares.values().chunks_exact(squares.features().max(1)) {
                sums.fill(0.0);
                row.iter().zip(groups).for_each(|(x, group)| sums[*group] += f64::from(*x));
                let share = |(sum, v): (&f64, &f64)| if *v > 0.0 { (sum / v) as f32 } else { 0.0 };
                values.extend(sums.iter().zip(&variances).map(share));
            }
            Ok(())
        })?;
        Ok(Dataset::new(values, count)?)
    }

    fn in_blocks(
        &self,
        rows: &dyn BatchSource,
        mut work: impl FnMut(&Dataset) -> Result<(), EvalError>,
    ) -> Result<(), EvalError> {
        // That they are as wide as the model's, with its names.
        self.tools.model.scaled(rows)?;
        let expected = rows.features();
        let count = rows.rows();
        for first in (0..count).step_by(BLOCK) {
            let indices: Vec<usize> = (first..count.min(first + BLOCK)).collect();
            let block = parts::read(rows, &indices)?;
            if let Some(at) = block.values().iter().position(|x| !x.is_finite()) {
                let (row, column) = (first + at / expected, at % expected);
                let name = rows.names().and_then(|names| names.get(column).cloned());
                let value = block.values()[at];
                return Err(ae_model::Error::NotFinite { row, column, name, value }.into());
            }
            work(&block)?;
        }
        Ok(())
    }
}

/// One score a row from the parts' values.
fn combined(parts: &[Part], typical: &[f64], mut measured: Vec<Vec<f64>>) -> Vec<f64> {
    if measured.len() == 1 {
        return measured.pop().unwrap_or_default();
    }
    let rows = measured.first().map_or(0, Vec::len);
    let mut logs = vec![0.0; rows];
    for ((part, typical), values) in parts.iter().zip(typical).zip(&measured) {
        let power = if part.is_squared() { 0.5 } else { 1.0 };
        for (log, value) in logs.iter_mut().zip(values) {
            *log += power * (value / typical).max(FLOOR).ln();
        }
    }
    let share = 1.0 / parts.len() as f64;
    logs.into_iter().map(|log| (share * log).exp()).collect()
}

impl Sources {
    /// What is measured, by these rows.
    fn parts(self, reference: &Dataset) -> Result<(Tools, Vec<Part>), EvalError> {
        let all: Vec<usize> = (0..reference.rows()).collect();
        let tools = Tools {
            scaler: Scaler::fit(ScalerKind::Standard, reference, &all)?,
            variances: Tools::variances_of(&self.model.squared_errors(reference)?),
            model: self.model,
            others: self.others,
            neighbours: self.neighbours.min(reference.rows() - 1),
            threads: self.threads,
        };
        let features = reference.features();
        let input = |tools: &Tools| Part::Input(Neighbours::new(&tools.standardised(reference), features));
        let latent = |tools: &Tools| -> Result<Part, EvalError> {
            let codes = tools.model.encode(reference)?;
            Ok(Part::Latent(Neighbours::new(codes.values(), codes.features())))
        };
        let parts = match self.score {
            Score::Error | Score::Denoising => vec![Part::Error],
            Score::StandardisedError => vec![Part::StandardisedError],
            Score::Mahalanobis => vec![Part::Mahalanobis(tools.residual_factor(reference)?)],
            Score::InputNeighbours => vec![input(&tools)],
            Score::LatentNeighbours => vec![latent(&tools)?],
            Score::Ensemble => {
                let values = parts::compressed(tools.standardised(reference));
                let compressed = Part::Compressed(Neighbours::new(&values, features));
                vec![input(&tools), compressed, latent(&tools)?]
            }
        };
        Ok((tools, parts))
    }
}

impl Settings {
    fn check(&self) -> Result<(), EvalError> {
        let refuse = |field, allowed| Err(EvalError::Setting { field, allowed });
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
            return refuse("noise", "at least one level");
        }
        if self.threads == Some(0) {
            return refuse("threads", "at least 1");
        }
        Ok(())
    }

    fn threads(&self) -> usize {
        threads::count(self.threads)
    }

    /// The model's configuration: one hidden layer, as wide for any number of features. What keeps it from copying its input is the
    /// noise, of standard deviation `sigma`.
    fn config(&self, features: usize, rows: usize, sigma: f64) -> Result<Config, EvalError> {
        let updates_an_epoch = rows.div_ceil(BATCH);
        Config::builder(features)
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
            .build()
            .map_err(|error| ae_model::Error::from(error).into())
    }
}

fn least_rows(rows: &Dataset) -> Result<(), EvalError> {
    if rows.rows() < 2 || rows.features() == 0 {
        return Err(EvalError::TooFewRows { rows: rows.rows(), least: 2 });
    }
    Ok(())
}

/// The median; the mean where that is 0, as for rows of which more than half have a twin; 1 where that is no positive number.
fn typical(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    [median, mean].into_iter().find(|x| x.is_finite() && *x > 0.0).unwrap_or(1.0)
}

#[cfg(test)]
mod tests;
