//! How good a trained model is, compared with the mean and PCA, and warnings about its training.

use ae_data::{BatchSource, Subset};
use ae_eval::{Pca, Reconstruction, mean_variance};
use ae_model::{Autoencoder, Config, History, Latent, Optimizer, Sparsity};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::Output;

/// Most multiply-adds to spend on PCA for comparison: a few seconds.
const PCA_WORK: f64 = 4e11;
/// Whether PCA of this many rows takes at most a few seconds.
pub(crate) fn pca_is_quick(rows: usize, features: usize) -> bool {
    let (rows, width) = (rows as f64, features as f64);
    rows * width * width.min(rows) + 10.0 * width.min(rows).powi(3) <= PCA_WORK
}

/// Whether the rows are in memory and have no missing values.
pub(crate) fn is_complete(rows: &dyn BatchSource) -> bool {
    rows.as_slice().is_some_and(|values| !values.iter().any(|x| x.is_nan()))
}

/// Errors on the training or the validation rows, in scaled units.
struct SplitErrors {
    mse: f64,
    /// MSE of predicting the mean of these rows.
    baseline_mse: f64,
    /// MSE of PCA fitted to the training rows.
    pca: Option<f64>,
    /// MSE between the inputs themselves and their targets, if there are targets.
    input_mse: Option<f64>,
}

impl SplitErrors {
    fn of(model: &Autoencoder, rows: &dyn BatchSource, pca: Option<&Pca>) -> Result<SplitErrors, Failure> {
        let scaled = model.scaled(rows)?;
        let mse = model.mse(rows)?;
        Ok(match rows.targets() {
            None => SplitErrors {
                mse,
                baseline_mse: mean_variance(&scaled)?,
                pca: pca.map(|pca| pca.mse(&scaled)).transpose()?,
                input_mse: None,
            },
            Some(targets) => {
                let targets = model.scaled(targets)?;
                SplitErrors {
                    mse,
                    baseline_mse: mean_variance(&targets)?,
                    pca: pca.map(|pca| pca.mse_against(&scaled, &targets)).transpose()?,
                    input_mse: Some(Reconstruction::compare(&targets, &scaled)?.total().mse()),
                }
            }
        })
    }
}

/// Unexplained fraction of the variance from which on a variational model counts as collapsed.
const COLLAPSED: f64 = 0.9;
/// Fraction of dead latent features from which on there is a warning.
const MANY_DEAD: f64 = 0.1;

/// How good a model is on its training and validation rows.
pub(super) struct Quality {
    train: SplitErrors,
    validation: Option<SplitErrors>,
    /// On the training rows, for sparse models.
    sparsity: Option<Sparsity>,
}

impl Quality {
    /// Measures a model on the rows that it was trained with; PCA only if they are `complete`.
    pub(super) fn of(
        model: &Autoencoder,
        data: &dyn BatchSource,
        complete: bool,
    ) -> Result<Quality, Failure> {
        let config = model.config();
        let features = config.input_dim();
        let (train, validation) = ae_data::train_validation_split(data, config.validation(), config.seed())?;
        let train = Subset::new(data, train)?;
        let components = config.encoding_dim().min(train.rows()).min(features);
        // As many components as features reconstruct every row exactly: nothing to compare with.
        let compares = complete && components < features && pca_is_quick(train.rows(), features);
        let pca = if compares {
            let expected = train.targets().unwrap_or(&train);
            Some(Pca::fit(&model.scaled(expected)?, components)?)
        } else {
            None
        };
        let measure = |rows: &Subset<'_>| SplitErrors::of(model, rows, pca.as_ref());
        let validation =
            if validation.is_empty() { None } else { Some(measure(&Subset::new(data, validation)?)?) };
        let sparsity = if model.is_sparse() { Some(model.sparsity(&train)?) } else { None };
        Ok(Quality { train: measure(&train)?, validation, sparsity })
    }

    /// Warnings about what may be wrong, with what may help.
    pub(super) fn warnings(&self, config: &Config, history: &History) -> Vec<String> {
        let mut warnings = Vec::new();
        let errors = self.validation.as_ref().unwrap_or(&self.train);
        if errors.baseline_mse == 0.0 {
            warnings.push("the rows are all the same: there is nothing to learn".to_owned());
        } else if matches!(config.latent(), Latent::Gaussian(_))
            && errors.mse >= COLLAPSED * errors.baseline_mse
        {
            warnings.push(
                "the encodings carry almost no information (posterior collapse): --kl-warm-up, --free-bits, a smaller --beta or more --epochs may help"
                    .to_owned(),
            );
        } else if errors.mse >= errors.baseline_mse {
            warnings.push(
                "the model is no better than predicting the mean: raise --epochs or --learning-rate"
                    .to_owned(),
            );
        } else if errors.input_mse.is_some_and(|input_mse| errors.mse >= input_mse) {
            warnings.push(format!(
                "the inputs are closer to the targets than the outputs are: after {} epochs, the model may need more, or a \
                 larger --encoding-dim",
                history.epochs.len()
            ));
        } else if errors.pca.is_some_and(|pca| errors.mse > pca) {
            let otherwise = match config.optimizer() {
                Optimizer::Adam { .. } | Optimizer::AdamW { .. } => "a larger --learning-rate",
                _ => "--optimizer adam",
            };
            warnings.push(format!(
                "PCA of the same size is better: after {} epochs, the model may need more, or {otherwise}",
                history.epochs.len()
            ));
        }
        if let Some(Sparsity { dead, .. }) = self.sparsity.filter(|sparsity| sparsity.dead > MANY_DEAD) {
            warnings.push(format!(
                "{:.1} % of the features are never active: --revive ROWS, more --epochs, a larger --top-k or a smaller --encoding-dim may help",
                100.0 * dead
            ));
        }
        if self.validation.as_ref().is_some_and(|errors| errors.mse > 2.0 * self.train.mse) {
            warnings.push("the validation error is over twice the training error: more rows or a smaller model may help".to_owned());
        }
        warnings
    }

    /// Prints the errors as a table, for an encoding of `size` values.
    pub(super) fn print(&self, out: &mut Output, size: usize) -> Result<(), Failure> {
        out.line("")?;
        out.line(format!(
            "{:<14}{:>12}{:>14}{:>22}",
            "scaled units",
            "MSE",
            "of variance",
            format!("PCA with {size}")
        ))?;
        let mut row = |name: &str, errors: &SplitErrors| {
            let of_variance = |mse: f64| {
                if errors.baseline_mse > 0.0 {
                    format!("{:.1} %", 100.0 * mse / errors.baseline_mse)
                } else {
                    "-".to_owned()
                }
            };
            let pca = errors
                .pca
                .map_or("not computed".to_owned(), |mse| format!("{mse:.6} {:>8}", of_variance(mse)));
            out.line(format!("{name:<14}{:>12.6}{:>14}{pca:>22}", errors.mse, of_variance(errors.mse)))
        };
        row("train", &self.train)?;
        if let Some(errors) = &self.validation {
            row("validation", errors)?;
        }
        let input_mse = [("train", Some(&self.train)), ("validation", self.validation.as_ref())];
        let input_mse = input_mse
            .iter()
            .filter_map(|(name, errors)| Some(format!("{:.6} ({name})", (*errors)?.input_mse?)));
        let input_mse: Vec<String> = input_mse.collect();
        if !input_mse.is_empty() {
            out.line(format!("the inputs    MSE to their targets {}", input_mse.join(", ")))?;
        }
        if let Some(Sparsity { active, dead, variance_explained, .. }) = self.sparsity {
            out.line(format!(
                "sparsity      {active:.1} of {size} features active, {:.1} % never active, {:.1} % of variance explained",
                100.0 * dead,
                100.0 * variance_explained,
            ))?;
        }
        out.line("")
    }

    /// The same as fields of the JSON summary.
    pub(super) fn fields(&self) -> Value {
        let validation = self.validation.as_ref();
        json!({
            "train_mse": self.train.mse,
            "train_variance": self.train.baseline_mse,
            "train_pca_mse": self.train.pca,
            "train_given_mse": self.train.input_mse,
            "validation_mse": validation.map(|errors| errors.mse),
            "validation_variance": validation.map(|errors| errors.baseline_mse),
            "validation_pca_mse": validation.and_then(|errors| errors.pca),
            "validation_given_mse": validation.and_then(|errors| errors.input_mse),
            "sparsity": self.sparsity.map(|sparsity| json!({
                "active": sparsity.active,
                "dead": sparsity.dead,
                "variance_explained": sparsity.variance_explained,
            })),
        })
    }
}
