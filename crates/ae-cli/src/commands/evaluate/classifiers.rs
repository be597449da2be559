//! Logistic regressions on encodings, rows and principal components.

use std::collections::HashMap;

use ae_data::{BatchSource, Dataset, Labels};
use ae_eval::{EvalError, LogisticProbe, Pca, sample_rows};
use ae_model::Autoencoder;

use super::baselines::{Computed, NOT_FINITE, TOO_LONG};
use super::{EvaluatedModel, percent};
use crate::args::EvaluateArgs;
use crate::failure::{Failure, chain};
use crate::output::Output;

/// Inverse regularisation strength of the classifiers.
const C: f64 = 1.0;
/// Reference rows to fit to, unless `--classifier-rows` says otherwise.
const DEFAULT_ROWS: usize = 5000;
/// Most multiply-adds to spend on a default classifier (a few seconds), and about how many passes over
/// the rows a fit takes.
const MAX_WORK: f64 = 2e11;
const PASSES_PER_FIT: f64 = 200.0;

/// Accuracies of logistic regressions.
pub(in crate::commands) struct Probe {
    pub(in crate::commands) encodings: f64,
    pub(in crate::commands) rows: f64,
    pub(in crate::commands) pca: Computed<f64>,
    /// Number of classes in the reference.
    pub(in crate::commands) classes: usize,
    /// Number of reference rows that the classifiers are fitted to.
    pub(in crate::commands) fitted_rows: usize,
}

impl EvaluatedModel {
    /// Fits classifiers to the reference, or a sample of it, and tests them on the rows; `None` unless
    /// there is a reference and both have labels. Remarks on each fit, as they take a while.
    pub(in crate::commands) fn classify(
        &self,
        args: &EvaluateArgs,
        out: &Output,
    ) -> Result<Option<Computed<Probe>>, Failure> {
        let location = args.reference.as_deref().unwrap_or(&args.data);
        let Some(reference) = &self.reference else { return Ok(None) };
        let max = args.classifier_rows.unwrap_or(DEFAULT_ROWS);
        if max == 0 {
            return Ok(None);
        }
        let drawn = sample_rows(reference.rows(), max, args.seed)?;
        let drawn = reference.select_rows(&drawn)?;
        let fits = Fits { model: &self.model, rows: &self.rows, reference: &drawn, pca: &self.pca, out };
        fits.run(args.classifier_rows.is_some()).map_err(|error| match error {
            EvalError::Model(error) => Failure::with_rows(location, error),
            error => Failure::Other(format!("{location}: {}", chain(&error))),
        })
    }
}

/// What classifiers are fitted to and tested on.
struct Fits<'a> {
    model: &'a Autoencoder,
    rows: &'a Dataset,
    reference: &'a Dataset,
    pca: &'a Computed<Pca>,
    out: &'a Output,
}

impl Fits<'_> {
    /// Fits and tests the classifiers, however long it takes if `unlimited`.
    fn run(&self, unlimited: bool) -> Result<Option<Computed<Probe>>, EvalError> {
        let Fits { model, rows, reference, .. } = *self;
        let (Some(labels), Some(known)) = (rows.labels(), reference.labels()) else { return Ok(None) };
        if [rows, reference].iter().any(|rows| rows.values().iter().any(|x| x.is_nan())) {
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
        if work > MAX_WORK && !unlimited {
            return Ok(Some(Err(TOO_LONG)));
        }
        let expected = expected_classes(labels, known);
        let (scaled_reference, scaled) = (model.scaled(reference)?, model.scaled(rows)?);
        let encodings =
            self.accuracy("encodings", &model.encode(reference)?, &model.encode(rows)?, &expected)?;
        let plain = self.accuracy("rows", &scaled_reference, &scaled, &expected)?;
        let pca = match self.pca {
            Ok(pca) => {
                let of_rows = pca.transform(&scaled)?;
                self.accuracy("PCA", &pca.transform(&scaled_reference)?, &of_rows, &expected)?
            }
            Err(why) => Err(*why),
        };
        let (classes, fitted_rows) = (known.names().len(), reference.rows());
        Ok(Some(match (encodings, plain) {
            (Ok(encodings), Ok(rows)) => Ok(Probe { encodings, rows, pca, classes, fitted_rows }),
            (Err(why), _) | (_, Err(why)) => Err(why),
        }))
    }

    /// The fraction of the `test` rows whose class a classifier fitted to the `train` rows finds.
    fn accuracy(
        &self,
        what: &str,
        train: &dyn BatchSource,
        test: &dyn BatchSource,
        expected: &[Option<u32>],
    ) -> Result<Computed<f64>, EvalError> {
        let Some(known) = self.reference.labels() else { return Ok(Err("there are no labels")) };
        self.out.note(format!("fitting a logistic regression on {what} to {} rows", train.rows()));
        match LogisticProbe::fit(train, known.codes(), known.names().len(), C) {
            Ok(probe) => {
                let found = probe.classify(test)?;
                let hits = found
                    .iter()
                    .zip(expected)
                    .filter(|(found, expected)| Some(**found) == **expected)
                    .count();
                Ok(Ok(hits as f64 / expected.len().max(1) as f64))
            }
            Err(EvalError::NotConverged { .. }) => Ok(Err("it did not converge")),
            Err(EvalError::Model(ae_model::Error::NotFinite { .. })) => Ok(Err(NOT_FINITE)),
            Err(error) => Err(error),
        }
    }
}

/// For each row, the class in the reference that has its label; `None` if the reference does not know
/// the label, which no classifier can then predict.
fn expected_classes(labels: &Labels, known: &Labels) -> Vec<Option<u32>> {
    let classes: HashMap<&str, u32> = known.names().iter().map(String::as_str).zip(0..).collect();
    (0..labels.len()).map(|row| labels.name_of(row).and_then(|name| classes.get(name).copied())).collect()
}

/// The accuracies as a line of text.
pub(super) fn line(probe: &Computed<Probe>, reference_rows: usize) -> String {
    match probe {
        Ok(Probe { encodings, rows, pca, classes, fitted_rows }) => {
            let pca = pca.map_or("not computed".to_owned(), percent);
            let fitted = match *fitted_rows == reference_rows {
                true => String::new(),
                false => format!(", fitted to {fitted_rows} of the {reference_rows} reference rows"),
            };
            format!(
                "classifier    logistic regression accuracy: {} on encodings, {} on rows, {pca} on PCA ({classes} classes{fitted})",
                percent(*encodings),
                percent(*rows),
            )
        }
        Err(why) if *why == TOO_LONG => {
            format!("classifier    not computed: {why}; --classifier-rows fits to that many rows")
        }
        Err(why) => format!("classifier    not computed: {why}"),
    }
}
