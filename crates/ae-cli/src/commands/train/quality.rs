//! How good a trained model is, compared with the mean and linear models of the same rows.

use ae_data::{BatchSource, Subset};
use ae_eval::{EvalError, LatentUse, Pca, Reconstruction, RidgeRegression, mean_variance};
use ae_model::{Autoencoder, Latent, Sparsity};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::Output;

/// Most multiply-adds to spend on PCA for comparison: a few seconds.
const PCA_WORK: f64 = 4e11;
/// Strength of the ridge regression from inputs to targets.
pub(crate) const RIDGE: f64 = 1e-3;

/// Whether PCA of this many rows takes at most a few seconds.
pub(crate) fn pca_is_quick(rows: usize, features: usize) -> bool {
    let (rows, width) = (rows as f64, features as f64);
    rows * width * width.min(rows) + 10.0 * width.min(rows).powi(3) <= PCA_WORK
}

/// Linear models of the training rows.
struct Linear {
    /// PCA of the rows, or of the targets if there are any.
    pca: Option<Pca>,
    /// From the rows to their targets, if there are any.
    regression: Option<RidgeRegression>,
}

impl Linear {
    fn fit(model: &Autoencoder, train: &Subset<'_>) -> Result<Linear, Failure> {
        let features = train.features();
        let components = model.config().encoding_dim().min(train.rows()).min(features);
        if !pca_is_quick(train.rows(), features) {
            return Ok(Linear { pca: None, regression: None });
        }
        let scaled_targets = train.targets().map(|targets| model.scaled(targets)).transpose()?;
        let scaled = model.scaled(train)?;
        // As many components as features reconstruct every row exactly: nothing to compare with.
        let pca = if components < features {
            Some(Pca::fit(scaled_targets.as_ref().unwrap_or(&scaled), components)?)
        } else {
            None
        };
        let regression = match scaled_targets.map(|targets| RidgeRegression::fit(&scaled, &targets, RIDGE)) {
            // The rows do not vary.
            None | Some(Err(EvalError::DecompositionFailed)) => None,
            Some(regression) => Some(regression?),
        };
        Ok(Linear { pca, regression })
    }
}

/// Errors on the training or the validation rows, in scaled units.
pub(super) struct SplitErrors {
    /// Number of rows.
    pub(super) rows: usize,
    pub(super) mse: f64,
    /// MSE of predicting the mean of these rows.
    pub(super) baseline_mse: f64,
    /// MSE of PCA fitted to the training rows.
    pub(super) pca: Option<f64>,
    /// MSE between the inputs themselves and their targets, if there are targets.
    pub(super) input_mse: Option<f64>,
    /// MSE of the ridge regression fitted to the training rows, if there are targets.
    pub(super) regression: Option<f64>,
}

impl SplitErrors {
    fn of(model: &Autoencoder, data: &dyn BatchSource, linear: &Linear) -> Result<SplitErrors, Failure> {
        let (rows, mse) = (data.rows(), model.mse(data)?);
        let (scaled, pca) = (model.scaled(data)?, linear.pca.as_ref());
        Ok(match data.targets() {
            None => SplitErrors {
                rows,
                mse,
                baseline_mse: mean_variance(&scaled)?,
                pca: pca.map(|pca| pca.mse(&scaled)).transpose()?,
                input_mse: None,
                regression: None,
            },
            Some(targets) => {
                let targets = model.scaled(targets)?;
                let regression = linear.regression.as_ref();
                let regression = regression.map(|regression| regression.predict(&scaled)).transpose()?;
                let mse_of =
                    |found| Ok::<_, Failure>(Reconstruction::compare(&targets, found)?.total().mse());
                SplitErrors {
                    rows,
                    mse,
                    baseline_mse: mean_variance(&targets)?,
                    pca: pca.map(|pca| pca.mse_against(&scaled, &targets)).transpose()?,
                    input_mse: Some(mse_of(&scaled)?),
                    regression: regression.as_ref().map(|found| mse_of(found)).transpose()?,
                }
            }
        })
    }
}

/// How good a model is on its training and validation rows.
pub(super) struct Quality {
    pub(super) train: SplitErrors,
    pub(super) validation: Option<SplitErrors>,
    /// On the training rows, for sparse models.
    pub(super) sparsity: Option<Sparsity>,
    /// On the training rows, for variational models.
    pub(super) latent_use: Option<LatentUse>,
}

impl Quality {
    /// Measures a model on the rows that it was trained with.
    pub(super) fn of(model: &Autoencoder, data: &dyn BatchSource) -> Result<Quality, Failure> {
        let config = model.config();
        let (train, validation) = ae_data::train_validation_split(data, config.validation(), config.seed())?;
        let train = Subset::new(data, train)?;
        let linear = Linear::fit(model, &train)?;
        let measure = |rows: &Subset<'_>| SplitErrors::of(model, rows, &linear);
        let validation =
            if validation.is_empty() { None } else { Some(measure(&Subset::new(data, validation)?)?) };
        let sparsity = if model.is_sparse() { Some(model.sparsity(&train)?) } else { None };
        let latent_use = match config.latent() {
            Latent::Gaussian(_) => Some(LatentUse::of(&model.posterior(&train)?)),
            _ => None,
        };
        Ok(Quality { train: measure(&train)?, validation, sparsity, latent_use })
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
        self.print_targets(out)?;
        if let Some(Sparsity { active, dead, variance_explained, .. }) = self.sparsity {
            out.line(format!(
                "sparsity      {active:.1} of {size} features active, {:.1} % never active, {:.1} % of variance explained",
                100.0 * dead,
                100.0 * variance_explained,
            ))?;
        }
        if let Some(latent_use) = &self.latent_use {
            out.line(latent_line(latent_use))?;
        }
        out.line("")
    }

    /// Prints how far the inputs, and what a linear model makes of them, are from the targets.
    fn print_targets(&self, out: &mut Output) -> Result<(), Failure> {
        let splits = [("train", Some(&self.train)), ("validation", self.validation.as_ref())];
        let of = |mse: &dyn Fn(&SplitErrors) -> Option<f64>| {
            let texts =
                splits.iter().filter_map(|(name, errors)| Some(format!("{:.6} ({name})", mse((*errors)?)?)));
            texts.collect::<Vec<_>>().join(", ")
        };
        let given = of(&|errors| errors.input_mse);
        if !given.is_empty() {
            out.line(format!("the inputs    MSE to their targets {given}"))?;
        }
        let regression = of(&|errors| errors.regression);
        if !regression.is_empty() {
            out.line(format!("regression    MSE of a ridge regression to the targets {regression}"))?;
        }
        Ok(())
    }

    /// The same as fields of the JSON summary.
    pub(super) fn fields(&self) -> Value {
        let validation = self.validation.as_ref();
        json!({
            "train_mse": self.train.mse,
            "train_variance": self.train.baseline_mse,
            "train_pca_mse": self.train.pca,
            "train_given_mse": self.train.input_mse,
            "train_ridge_mse": self.train.regression,
            "validation_mse": validation.map(|errors| errors.mse),
            "validation_variance": validation.map(|errors| errors.baseline_mse),
            "validation_pca_mse": validation.and_then(|errors| errors.pca),
            "validation_given_mse": validation.and_then(|errors| errors.input_mse),
            "validation_ridge_mse": validation.and_then(|errors| errors.regression),
            "sparsity": self.sparsity.map(|sparsity| json!({
                "active": sparsity.active,
                "dead": sparsity.dead,
                "variance_explained": sparsity.variance_explained,
            })),
            "latent": self.latent_use.as_ref().map(latent_object),
        })
    }
}

/// How a variational model uses its latent dimensions, as a line of text.
pub(crate) fn latent_line(latent_use: &LatentUse) -> String {
    format!(
        "latent        {} of {} dimensions active, KL divergence {:.3} nats per row",
        latent_use.active,
        latent_use.divergences.len(),
        latent_use.divergence(),
    )
}

/// The same as a JSON object.
pub(crate) fn latent_object(latent_use: &LatentUse) -> Value {
    json!({
        "active": latent_use.active,
        "dimensions": latent_use.divergences.len(),
        "divergence": latent_use.divergence(),
        "divergences": latent_use.divergences,
    })
}
