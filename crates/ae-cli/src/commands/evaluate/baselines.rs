//! Baselines on the same rows: the mean, PCA and, for targets, the inputs and a ridge regression.

use ae_data::{BatchSource, Dataset, Subset, memory};
use ae_eval::{EvalError, Pca, Reconstruction, RidgeRegression, RowSet, mse_of_mean};
use ae_model::{Autoencoder, ScaledRows};

use crate::args::EvaluateArgs;
use crate::commands::train::{RIDGE, pca_is_quick};
use crate::failure::{Failure, chain};

/// The reason for a missing number when a value, such as an encoding, overflowed.
pub(super) const NOT_FINITE: &str = "a value is not finite";
/// The reason for leaving out what would take minutes.
pub(super) const TOO_LONG: &str = "it would take too long";

/// A result, or why there is none.
pub(in crate::commands) type Computed<T> = Result<T, &'static str>;

/// Results of the baselines, with errors on the scale of the model.
pub(in crate::commands) struct Baselines {
    /// MSE of predicting the mean of the reference.
    pub(in crate::commands) mean: f64,
    /// MSE of PCA fitted to the reference, and its number of components.
    pub(in crate::commands) pca: Computed<(f64, usize)>,
    /// What to compare with if there are targets.
    pub(super) denoising: Option<Denoising>,
    /// Number of reference rows.
    pub(in crate::commands) reference_rows: usize,
    /// Number of rows that the reference holds too.
    pub(super) known_rows: usize,
}

/// How close simple methods bring the inputs to their targets. In the units of the data, an error of a
/// feature that hardly varies counts no more than that of others.
pub(super) struct Denoising {
    /// MSE of the inputs themselves.
    pub(super) inputs: f64,
    /// MSE of a ridge regression from the inputs, each half of the rows predicted from the other.
    pub(super) regression: Computed<f64>,
    pub(super) in_units: InUnits,
}

/// MSE in the units of the data.
pub(super) struct InUnits {
    pub(super) mean: f64,
    pub(super) pca: Option<f64>,
    pub(super) inputs: f64,
    pub(super) regression: Option<f64>,
}

/// Rows, on the scale of the model, and what they are measured against.
struct Scaled<'a> {
    rows: ScaledRows<'a>,
    targets: Option<ScaledRows<'a>>,
    /// The rows that baselines are fitted to.
    reference: ScaledRows<'a>,
}

impl Baselines {
    /// Also returns PCA fitted to the reference.
    pub(super) fn of(
        args: &EvaluateArgs,
        model: &Autoencoder,
        (rows, targets): (&Dataset, Option<&Dataset>),
        reference: Option<&Dataset>,
    ) -> Result<(Baselines, Computed<Pca>), Failure> {
        let location = [&args.reference, &args.target].into_iter().find_map(|place| place.as_deref());
        let location = location.unwrap_or(&args.data);
        let about = |error| match error {
            EvalError::Model(error) => Failure::with_rows(location, error),
            error => Failure::Other(format!("{location}: {}", chain(&error))),
        };
        let expected = targets.unwrap_or(rows);
        let fitted = reference.unwrap_or(expected);
        let scaled = Scaled {
            rows: model.scaled(rows)?,
            targets: targets.map(|targets| model.scaled(targets)).transpose()?,
            reference: model.scaled(fitted).map_err(|error| Failure::with_rows(location, error))?,
        };
        let mean = mse_of_mean(&scaled.reference, scaled.targets.as_ref().unwrap_or(&scaled.rows));
        let pca = match components(model, fitted) {
            Ok(components) => match Pca::fit(&scaled.reference, components) {
                Ok(pca) => Ok(pca),
                Err(EvalError::DecompositionFailed) => Err("the covariance could not be decomposed"),
                Err(EvalError::Model(ae_model::Error::NotFinite { .. })) => Err(NOT_FINITE),
                Err(error) => return Err(about(error)),
            },
            Err(why) => Err(why),
        };
        let mse_of_pca = |pca: &Pca| match &scaled.targets {
            Some(targets) => pca.mse_against(&scaled.rows, targets),
            None => pca.mse(&scaled.rows),
        };
        let pca_mse = match &pca {
            Ok(pca) => Ok((mse_of_pca(pca).map_err(about)?, pca.components())),
            Err(why) => Err(*why),
        };
        let denoising = match targets {
            Some(targets) => {
                let mean = mse_of_mean(fitted, targets).map_err(about)?;
                Some(Denoising::of(model, &scaled, mean, pca.as_ref().ok()).map_err(about)?)
            }
            None => None,
        };
        let known_rows = match reference {
            Some(reference) => RowSet::of(reference).and_then(|set| set.count(rows)).map_err(about)?,
            None => 0,
        };
        let baselines = Baselines {
            mean: mean.map_err(about)?,
            pca: pca_mse,
            denoising,
            reference_rows: fitted.rows(),
            known_rows,
        };
        Ok((baselines, pca))
    }

    /// The warning that the baselines look too good, as most rows are in the reference.
    pub(super) fn warning(&self, args: &EvaluateArgs, rows: usize) -> Option<String> {
        let reference = args.reference.as_ref().filter(|_| 2 * self.known_rows > rows)?;
        Some(format!(
            "{}: {} of {rows} rows are in {reference} too: the mean, PCA and classifiers look better on rows that they were fitted to",
            args.data, self.known_rows
        ))
    }
}

impl Denoising {
    fn of(
        model: &Autoencoder,
        scaled: &Scaled<'_>,
        mean_in_units: f64,
        pca: Option<&Pca>,
    ) -> Result<Denoising, EvalError> {
        let targets = scaled.targets.as_ref().unwrap_or(&scaled.rows);
        let mse = |found: &dyn BatchSource| {
            let found = Reconstruction::compare(targets, found)?;
            let in_units = found.total_in_units(model.scaler().scale()).mse();
            Ok::<_, EvalError>((found.total().mse(), in_units))
        };
        let (inputs, inputs_in_units) = mse(&scaled.rows)?;
        let pca = pca.map(|pca| mse(&pca.reconstruct(&scaled.rows)?)).transpose()?;
        let regression = match predict_by_halves(&scaled.rows, targets)? {
            Ok(predicted) => Ok(mse(&predicted)?),
            Err(why) => Err(why),
        };
        let in_units = InUnits {
            mean: mean_in_units,
            pca: pca.map(|(_, in_units)| in_units),
            inputs: inputs_in_units,
            regression: regression.ok().map(|(_, in_units)| in_units),
        };
        Ok(Denoising { inputs, regression: regression.map(|(mse, _)| mse), in_units })
    }
}

/// The number of principal components of the reference to compare with.
fn components(model: &Autoencoder, reference: &Dataset) -> Computed<usize> {
    let (count, features) = (reference.rows(), reference.features());
    let components = model.config().encoding_dim().min(count);
    if components >= features {
        return Err("as many components as features reconstruct every row");
    }
    if pca_is_quick(count, features) { Ok(components) } else { Err(TOO_LONG) }
}

/// Predicts the targets of every other row by a ridge regression fitted to the rows in between, so that
/// no row is predicted from its own target.
fn predict_by_halves(
    rows: &dyn BatchSource,
    targets: &dyn BatchSource,
) -> Result<Computed<Dataset>, EvalError> {
    let (count, features) = (rows.rows(), rows.features());
    if count < 2 {
        return Ok(Err("one row is too few"));
    }
    if !pca_is_quick(count, features) {
        return Ok(Err(TOO_LONG));
    }
    let mut predicted = memory::zeros("the predictions", count, features)?;
    for half in 0..2 {
        let own: Vec<usize> = (half..count).step_by(2).collect();
        let others: Vec<usize> = (1 - half..count).step_by(2).collect();
        let [known, known_targets] = [Subset::new(rows, others.clone())?, Subset::new(targets, others)?];
        let regression = match RidgeRegression::fit(&known, &known_targets, RIDGE) {
            Ok(regression) => regression,
            Err(EvalError::DecompositionFailed) => return Ok(Err("the rows are all the same")),
            Err(EvalError::Model(ae_model::Error::NotFinite { .. })) => return Ok(Err(NOT_FINITE)),
            Err(error) => return Err(error),
        };
        let found = regression.predict(&Subset::new(rows, own.clone())?)?;
        for (row, found) in own.into_iter().zip(found.iter_rows()) {
            predicted[row * features..][..features].copy_from_slice(found);
        }
    }
    Ok(Ok(Dataset::new(predicted, features)?))
}
