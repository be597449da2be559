//! Optional sections: training curves, the results of a sweep, and how well errors separate anomalies.

use ae_eval::chart::{Axes, Line, Mark, Scale, Stroke, bars, lines};
use ae_eval::{
    SweepPoint, SweepSetting, SweepTable, Winner, average_precision, elbow, pr_curve, roc_auc, roc_curve,
};

use super::history::History;
use super::page::{Page, details, grid, table};
use super::{Facts, spans_more_than, with_thousands_separators};
use crate::commands::evaluate::{number, percent};
use crate::failure::Failure;

pub(super) fn training(history: &History, page: &mut Page) {
    let epochs = &history.epochs;
    let train: Vec<(f64, f64)> = epochs.iter().map(|epoch| (epoch.number as f64, epoch.train)).collect();
    let validation: Vec<(f64, f64)> =
        epochs.iter().filter_map(|epoch| Some((epoch.number as f64, epoch.validation?))).collect();
    let is_log = spans_more_than(train.iter().chain(&validation).map(|(_, error)| *error), 5.0);
    let axes = Axes {
        title: "Training and validation error by epoch",
        x: "epoch",
        y: if is_log { "MSE (scaled units, log scale)" } else { "MSE (scaled units)" },
        x_scale: Scale::Linear,
        y_scale: if is_log { Scale::Log } else { Scale::Linear },
    };
    let mut drawn = vec![Line { name: "training", points: &train, stroke: Stroke::Solid }];
    if !validation.is_empty() {
        drawn.push(Line { name: "validation", points: &validation, stroke: Stroke::Dashed });
    }
    // Which need not be the epoch with the lowest error: the loss decides.
    let kept = history.kept();
    let marks: Vec<Mark<'_>> =
        kept.iter().map(|epoch| Mark { at: epoch.number as f64, name: "kept" }).collect();
    let count = with_thousands_separators(epochs.len());
    let caption = match (validation.is_empty(), kept.map(|epoch| (epoch.number, epoch.validation))) {
        (true, _) => format!("{count} epochs, without validation."),
        (false, Some((epoch, Some(error)))) => {
            format!(
                "{count} epochs; the weights are those of epoch {epoch}, with a validation error of {}.",
                number(error)
            )
        }
        (false, _) => format!("{count} epochs."),
    };
    let figure = page.plot("training", lines(&axes, &drawn, &marks), &caption);
    page.section("training", "Training", grid(&figure));
}

/// The results of a sweep: errors by encoding size, or by values of another setting.
pub(super) fn sweep(sweep: &SweepTable, page: &mut Page) {
    if sweep.points().iter().all(|point| point.setting.is_none()) {
        sizes(sweep, page);
    } else {
        settings(sweep, page);
    }
}

fn settings(sweep: &SweepTable, page: &mut Page) {
    let name = |point: &SweepPoint| point.setting.as_ref().map_or(String::new(), SweepSetting::to_string);
    let errors: Vec<(String, f64)> = sweep.points().iter().map(|point| (name(point), point.mse)).collect();
    let best = errors.iter().min_by(|a, b| a.1.total_cmp(&b.1));
    let caption = match best {
        Some((setting, _)) => {
            format!("Validation error (scaled units) by setting; {setting} has the lowest.")
        }
        None => "Validation error by setting.".to_owned(),
    };
    let figure = page.plot("settings", bars("Validation error by setting", &errors), &caption);
    let list = results(sweep, "setting", name);
    page.section("settings", "Settings tried", grid(&figure) + &list);
}

fn sizes(sweep: &SweepTable, page: &mut Page) {
    let points = sweep.points();
    let model: Vec<(f64, f64)> = points.iter().map(|point| (point.size as f64, point.mse)).collect();
    let pca: Vec<(f64, f64)> =
        points.iter().filter_map(|point| Some((point.size as f64, point.pca?))).collect();
    let (sizes, errors): (Vec<f64>, Vec<f64>) = model.iter().copied().unzip();
    let elbow = elbow(&sizes, &errors).and_then(|index| points.get(index));
    let is_log = spans_more_than(model.iter().chain(&pca).map(|(_, error)| *error), 5.0);
    let axes = Axes {
        title: "Validation error by encoding size",
        x: "encoding size",
        y: if is_log { "validation MSE (scaled units, log scale)" } else { "validation MSE (scaled units)" },
        x_scale: if spans_more_than(sizes.iter().copied(), 20.0) { Scale::Log } else { Scale::Linear },
        y_scale: if is_log { Scale::Log } else { Scale::Linear },
    };
    let mut drawn = vec![Line { name: "model", points: &model, stroke: Stroke::Solid }];
    if !pca.is_empty() {
        drawn.push(Line { name: "PCA", points: &pca, stroke: Stroke::Dashed });
    }
    let marks: Vec<Mark<'_>> =
        elbow.iter().map(|point| Mark { at: point.size as f64, name: "elbow" }).collect();
    let caption = match elbow {
        Some(point) => format!(
            "Validation error by encoding size; the elbow is at {}: beyond it, larger encodings gain less.",
            point.size
        ),
        None => "Validation error by encoding size; there is no elbow.".to_owned(),
    };
    let figure = page.plot("sizes", lines(&axes, &drawn, &marks), &caption);
    let list = results(sweep, "size", |point| point.size.to_string());
    page.section("sizes", "Encoding sizes", grid(&figure) + &list);
}

/// All results as a table. Its first column has this name and identifies the model by `which`.
fn results(sweep: &SweepTable, name: &str, which: impl Fn(&SweepPoint) -> String) -> String {
    let points = sweep.points();
    let columns = [name, "compression", "validation MSE", "unexplained", "PCA MSE", "better", "epochs"];
    let rows: Vec<Vec<String>> = points
        .iter()
        .map(|point| {
            vec![
                which(point),
                format!("{:.1}×", point.compression),
                number(point.mse),
                point.unexplained().map_or("none".to_owned(), percent),
                point.pca.map_or("none".to_owned(), number),
                match point.winner() {
                    Some(Winner::Pca) => "PCA".to_owned(),
                    Some(winner) => winner.name().to_owned(),
                    None => String::new(),
                },
                point.epochs.to_string(),
            ]
        })
        .collect();
    let caption = format!("Results of {} models", points.len());
    details(&caption, &table(&caption, &columns.map(str::to_owned), &rows))
}

pub(super) fn anomalies(
    facts: &Facts<'_>,
    anomalies: &[Option<bool>],
    page: &mut Page,
) -> Result<(), Failure> {
    // Leave out rows without an error, which have no known values, and rows without a label.
    let (known, scores): (Vec<bool>, Vec<f64>) = anomalies
        .iter()
        .zip(&facts.errors)
        .filter_map(|(anomaly, error)| Some(((*anomaly)?, (*error)?)))
        .unzip();
    let about = |error| Failure::Other(format!("{}: {error}", facts.args.evaluate.data));
    let count = known.iter().filter(|anomaly| **anomaly).count();
    let fraction = count as f64 / known.len().max(1) as f64;
    let unit = Scale::Fixed(0.0, 1.0);

    let area = roc_auc(&known, &scores).map_err(about)?;
    let curve = roc_curve(&known, &scores).map_err(about)?;
    let points: Vec<(f64, f64)> =
        curve.iter().map(|point| (point.false_positive_rate, point.true_positive_rate)).collect();
    let axes = Axes {
        title: "ROC curve of the reconstruction error",
        x: "false positive rate",
        y: "true positive rate",
        x_scale: unit,
        y_scale: unit,
    };
    let chance = [(0.0, 0.0), (1.0, 1.0)];
    let drawn = [
        Line { name: "error", points: &points, stroke: Stroke::Solid },
        Line { name: "chance", points: &chance, stroke: Stroke::Dotted },
    ];
    let caption = format!(
        "ROC curve: the area is {area:.4}, the probability that an anomaly has a larger error than another row; {} anomalies among {} rows.",
        with_thousands_separators(count),
        with_thousands_separators(known.len())
    );
    let mut figures = page.plot("roc", lines(&axes, &drawn, &[]), &caption);

    let area = average_precision(&known, &scores).map_err(about)?;
    let curve = pr_curve(&known, &scores).map_err(about)?;
    let points: Vec<(f64, f64)> = curve.iter().map(|point| (point.recall, point.precision)).collect();
    let axes = Axes {
        title: "Precision-recall curve of the reconstruction error",
        x: "recall (fraction of anomalies found)",
        y: "precision (fraction of flags that are right)",
        x_scale: unit,
        y_scale: unit,
    };
    let chance = [(0.0, fraction), (1.0, fraction)];
    let drawn = [
        Line { name: "error", points: &points, stroke: Stroke::Solid },
        Line { name: "chance", points: &chance, stroke: Stroke::Dotted },
    ];
    let caption = format!(
        "Precision-recall curve: the area (average precision) is {area:.4}; that of chance is {fraction:.4}."
    );
    figures += &page.plot("precision_recall", lines(&axes, &drawn, &[]), &caption);
    page.section("anomalies", "Anomalies", grid(&figures));
    Ok(())
}
