//! `ae report`: writes a report on a model and rows, with plots, as one HTML file.

mod curves;
mod destination;
mod figures;
mod history;
mod latent;
mod page;
mod reconstructions;
mod setup;

use std::path::Path;

use ae_data::Dataset;
use ae_eval::SweepTable;
use ae_eval::anomaly::row_errors;
use ae_model::{Autoencoder, Image};
use serde_json::json;

use super::detect::{LabelRule, anomalies};
use super::evaluate::{self, EvaluatedModel, Evaluation, Probe};
use crate::args::{Common, ReportArgs};
use crate::failure::{Failure, chain};
use crate::output::Output;
use destination::Destination;
use history::History;
use page::Page;

pub(crate) fn run(args: &ReportArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    evaluate::check(&args.evaluate)?;
    if args.evaluate.target.is_some() {
        return Err(Failure::Usage("--target is for ae train and ae evaluate".to_owned()));
    }
    let destination = Destination::of(args, common)?;
    let history = args.history.as_deref().map(History::read).transpose()?;
    let sweep = args.sweep.as_deref().map(read_sweep).transpose()?;
    let evaluated = evaluate::load_and_evaluate(&args.evaluate, common, out)?;
    let probe = evaluated.classify(&args.evaluate, out)?.and_then(Result::ok);
    let EvaluatedModel { model, rows, image, evaluation, .. } = evaluated;
    let rule = match (&args.anomaly, &args.normal) {
        (Some(anomaly), _) => Some(LabelRule::Anomaly(anomaly)),
        (None, normal) => normal.as_deref().map(LabelRule::Normal),
    };
    let anomalies = match (rule, rows.labels()) {
        (Some(rule), Some(labels)) => Some(anomalies(labels, rule, &args.evaluate.data, out)?),
        _ => None,
    };
    let errors = errors_by_row(&model, &rows, &args.evaluate.data)?;
    let facts =
        Facts { args, common, model: &model, rows: &rows, image, evaluation: &evaluation, probe, errors };

    let mut page = Page::default();
    figures::key_figures(&facts, &mut page);
    reconstructions::section(&facts, &mut page)?;
    figures::errors(&facts, &mut page);
    latent::section(&facts, &mut page, out)?;
    if let Some(imputation) = &facts.evaluation.imputation {
        figures::imputation(imputation, &mut page);
    }
    let remembered = || facts.model.history().filter(|history| !history.epochs.is_empty()).map(History::from);
    if let Some(history) = history.or_else(remembered) {
        curves::training(&history, &mut page);
    }
    if let Some(sweep) = &sweep {
        curves::sweep(sweep, &mut page);
    }
    if let Some(anomalies) = &anomalies {
        curves::anomalies(&facts, anomalies, &mut page)?;
    }
    setup::section(&facts, &mut page)?;
    destination.write(&page.html(&setup::header(&facts)), page.plots(), out)?;
    out.object(&json!({
        "event": "summary",
        "rows": rows.rows(),
        "sections": page.sections(),
        "plots": page.plots().iter().map(|plot| plot.name).collect::<Vec<_>>(),
        "output": args.output,
        "plots_folder": args.plots,
    }))
}

/// What the sections report on.
struct Facts<'a> {
    args: &'a ReportArgs,
    common: &'a Common,
    model: &'a Autoencoder,
    rows: &'a Dataset,
    image: Option<Image>,
    evaluation: &'a Evaluation,
    probe: Option<Probe>,
    /// Squared error of each row, divided by the number of features; `None` for a row without known
    /// values.
    errors: Vec<Option<f64>>,
}

impl Facts<'_> {
    /// The label of a row, if it has one.
    fn label(&self, row: usize) -> Option<&str> {
        self.rows.labels().and_then(|labels| labels.name_of(row))
    }
}

/// The errors of the rows ([`row_errors`]), divided by the number of features; `None` for rows without
/// known values.
fn errors_by_row(model: &Autoencoder, rows: &Dataset, location: &str) -> Result<Vec<Option<f64>>, Failure> {
    let errors = row_errors(model, rows).map_err(|error| Failure::with_scored_rows(location, error))?;
    let mean =
        |(error, row): (f64, &[f32])| row.iter().any(|x| !x.is_nan()).then(|| error / row.len() as f64);
    Ok(errors.into_iter().zip(rows.iter_rows()).map(mean).collect())
}

/// Reads the results of a sweep; an error if there are none.
fn read_sweep(path: &Path) -> Result<SweepTable, Failure> {
    let failed = |text: String| Failure::Other(format!("--sweep {}: {text}", path.display()));
    if !path.exists() {
        return Err(failed("there is no such file".to_owned()));
    }
    let table =
        SweepTable::load(path).map_err(|error| Failure::Other(format!("--sweep {}", chain(&error))))?;
    if table.points().is_empty() {
        return Err(failed("it has no results".to_owned()));
    }
    Ok(table)
}

/// Formats a whole number with thousands separators.
fn with_thousands_separators(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Whether positive values span more than this factor, so that a log scale shows more.
fn spans_more_than(values: impl Iterator<Item = f64>, factor: f64) -> bool {
    let (mut low, mut high) = (f64::INFINITY, 0.0);
    for value in values.filter(|value| value.is_finite()) {
        (low, high) = (value.min(low), value.max(high));
    }
    low > 0.0 && high > factor * low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        let expected = ["0", "12", "123", "1,234", "123,456", "1,234,567"];
        assert_eq!([0, 12, 123, 1234, 123_456, 1_234_567].map(with_thousands_separators), expected);
    }

    #[test]
    fn values_that_reach_far() {
        assert!(spans_more_than([1.0, 20.0, f64::NAN].into_iter(), 10.0));
        assert!(
            !spans_more_than([0.0, 20.0].into_iter(), 10.0)
                && !spans_more_than([3.0, 20.0].into_iter(), 10.0)
        );
        assert!(!spans_more_than(std::iter::empty(), 10.0));
    }
}
