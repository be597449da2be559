//! Baselines on the same rows: the mean, PCA and logistic regressions.

use std::collections::HashMap;

use ae_data::{BatchSource, Dataset, Labels};
use ae_eval::{EvalError, LogisticProbe, Pca, Reconstruction, mse_of_mean};
use ae_model::Autoencoder;

use crate::args::EvaluateArgs;
use crate::commands::train::{is_complete, pca_is_quick};
use crate::failure::{Failure, chain};

/// Inverse regularisation strength of the classifiers.
const C: f64 = 1.0;
/// Most multiply-adds to spend on the classifiers (a few seconds), and about how many passes over the
/// rows a fit takes.
const PROBE_WORK: f64 = 2e11;
const PASSES_PER_FIT: f64 = 200.0;
/// The reason for a missing number when a value, such as an encoding, overflowed.
const NOT_FINITE: &str = "a value is not finite";

/// A result, or why there is none.
pub(in crate::commands) type Computed<T> = Result<T, &'static str>;

/// Results of the baselines, with errors on the scale of the model.
pub(in crate::commands) struct Baselines {
    /// MSE of predicting the mean of the reference.
    pub(in crate::commands) mean: f64,
    /// MSE of PCA fitted to the reference, and its number of components.
    pub(in crate::commands) pca: Computed<(f64, usize)>,
    /// MSE between the inputs themselves and their targets, if there are targets.
    pub(in crate::commands) input_mse: Option<f64>,
    /// Number of reference rows.
    pub(in crate::commands) reference_rows: usize,
    /// Accuracies of the classifiers, if there is a reference and both have labels.
    pub(in crate::commands) probe: Option<Computed<Probe>>,
}

/// Accuracies of logistic regressions on encodings, scaled rows and principal components.
pub(in crate::commands) struct Probe {
    pub(in crate::commands) encodings: f64,
    pub(in crate::commands) rows: f64,
    pub(in crate::commands) pca: Computed<f64>,
    /// Number of classes in the reference.
    pub(in crate::commands) classes: usize,
}

impl Baselines {
    pub(in crate::commands) fn of(
        args: &EvaluateArgs,
        model: &Autoencoder,
        (rows, targets): (&Dataset, Option<&Dataset>),
        reference: Option<&Dataset>,
    ) -> Result<Baselines, Failure> {
        let location = [&args.reference, &args.target].into_iter().find_map(|place| place.as_deref());
        let location = location.unwrap_or(&args.data);
        let about = |error| match error {
            EvalError::Model(error) => Failure::with_rows(location, error),
            error => Failure::Other(format!("{location}: {}", chain(&error))),
        };
        let expected = targets.unwrap_or(rows);
        let fitted = reference.unwrap_or(expected);
        let (scaled, scaled_targets) = (model.scaled(rows)?, model.scaled(expected)?);
        let scaled_reference = model.scaled(fitted).map_err(|error| Failure::with_rows(location, error))?;
        let mean = mse_of_mean(&scaled_reference, &scaled_targets).map_err(about)?;
        let pca = components(model, &[rows, expected, fitted]);
        let pca = match pca {
            Ok(components) => match Pca::fit(&scaled_reference, components) {
                Ok(pca) => Ok(pca),
                Err(EvalError::DecompositionFailed) => Err("the covariance could not be decomposed"),
                Err(EvalError::Model(ae_model::Error::NotFinite { .. })) => Err(NOT_FINITE),
                Err(error) => return Err(about(error)),
            },
            Err(why) => Err(why),
        };
        let probe = match reference {
            Some(reference) => probe(model, rows, reference, &pca).map_err(about)?,
            None => None,
        };
        let pca = match pca {
            Ok(pca) => {
                let mse = match targets {
                    Some(_) => pca.mse_against(&scaled, &scaled_targets),
                    None => pca.mse(&scaled),
                };
                Ok((mse.map_err(about)?, pca.components()))
            }
            Err(why) => Err(why),
        };
        let input_mse = match targets {
            Some(_) => Some(Reconstruction::compare(&scaled_targets, &scaled).map_err(about)?.total().mse()),
            None => None,
        };
        Ok(Baselines { mean, pca, input_mse, reference_rows: fitted.rows(), probe })
    }
}

/// The number of principal components, of the last of these rows, to compare with.
fn components(model: &Autoencoder, rows: &[&Dataset; 3]) -> Computed<usize> {
    let [.., reference] = rows;
    let (count, features) = (reference.rows(), reference.features());
    let components = model.config().encoding_dim().min(count);
    if rows.iter().any(|rows| !is_complete(*rows)) {
        return Err("values are missing");
    }
    if components >= features {
        return Err("as many components as features reconstruct every row");
    }
    if pca_is_quick(count, features) { Ok(components) } else { Err("it would take too long") }
}

/// Fits classifiers to the reference and tests them on the rows.
fn probe(
    model: &Autoencoder,
    rows: &Dataset,
    reference: &Dataset,
    pca: &Computed<Pca>,
) -> Result<Option<Computed<Probe>>, EvalError> {
    let (Some(labels), Some(known)) = (rows.labels(), reference.labels()) else { return Ok(None) };
    if !is_complete(rows) || !is_complete(reference) {
        return Ok(Some(Err("values are missing")));
    }
    if known.codes().iter().all(|code| Some(code) == known.codes().first()) {
        return Ok(Some(Err("the reference has one class only")));
    }
    // Forward and backward.
    let work = 2.0
        * PASSES_PER_FIT
        * reference.rows() as f64
        * reference.features() as f64
        * known.names().len() as f64;
    if work > PROBE_WORK {
        return Ok(Some(Err("it would take too long")));
    }
    let expected_classes = expected_classes(labels, known);
    let accuracy = |train: &dyn BatchSource, test: &dyn BatchSource| -> Result<Computed<f64>, EvalError> {
        let classes = known.names().len();
        match LogisticProbe::fit(train, known.codes(), classes, C) {
            Ok(probe) => {
                let found = probe.classify(test)?;
                let hits = found
                    .iter()
                    .zip(&expected_classes)
                    .filter(|(found, expected)| Some(**found) == **expected)
                    .count();
                Ok(Ok(hits as f64 / expected_classes.len().max(1) as f64))
            }
            Err(EvalError::NotConverged { .. }) => Ok(Err("it did not converge")),
            Err(EvalError::Model(ae_model::Error::NotFinite { .. })) => Ok(Err(NOT_FINITE)),
            Err(error) => Err(error),
        }
    };
    let (scaled_reference, scaled) = (model.scaled(reference)?, model.scaled(rows)?);
    let encodings = accuracy(&model.encode(reference)?, &model.encode(rows)?)?;
    let plain = accuracy(&scaled_reference, &scaled)?;
    let of_pca = match pca {
        Ok(pca) => accuracy(&pca.transform(&scaled_reference)?, &pca.transform(&scaled)?)?,
        Err(why) => Err(*why),
    };
    Ok(Some(match (encodings, plain) {
        (Ok(encodings), Ok(rows)) => Ok(Probe { encodings, rows, pca: of_pca, classes: known.names().len() }),
        (Err(why), _) | (_, Err(why)) => Err(why),
    }))
}

/// For each row, the class in the reference that has its label; `None` if the reference does not know
/// the label, which no classifier can then predict.
fn expected_classes(labels: &Labels, known: &Labels) -> Vec<Option<u32>> {
    let classes: HashMap<&str, u32> = known.names().iter().map(String::as_str).zip(0..).collect();
    (0..labels.len()).map(|row| labels.name_of(row).and_then(|name| classes.get(name).copied())).collect()
}
