//! The results as text and as a JSON object.

use ae_eval::{Fit, Imputation, ImputationScore, ImputedColumn};
use ae_model::Autoencoder;
use serde_json::{Value, json};

use super::baselines::{Computed, Denoising, InUnits};
use super::{Column, Evaluation, Images, Probe, QUANTILES};
use crate::args::EvaluateArgs;
use crate::commands::train::{latent_line, latent_object};
use crate::failure::Failure;
use crate::output::Output;

/// Unexplained fraction of the variance below which a reconstruction is called good.
const GOOD: f64 = 0.05;
/// Number of worst and of best features to list.
const LISTED_FEATURES: usize = 3;

pub(super) fn lines(
    args: &EvaluateArgs,
    model: &Autoencoder,
    evaluation: &Evaluation,
    out: &mut Output,
) -> Result<(), Failure> {
    let (scaled, units) = totals(model, evaluation);
    let features = evaluation.columns.len();
    out.line(format!("model         {} ({})", args.model.display(), model.summary().architecture()))?;
    let missing = missing(evaluation);
    let missing = if missing == 0 { String::new() } else { format!(", {missing} values missing") };
    out.line(format!("rows          {} ({} rows of {features}{missing})", args.data, evaluation.rows))?;
    if let Some(target) = &args.target {
        out.line(format!("targets       {target}: errors are measured against these"))?;
    }
    out.line(match &args.reference {
        Some(location) => format!(
            "reference     {location} ({} rows): mean and PCA are fitted to them",
            evaluation.baselines.reference_rows
        ),
        None => {
            let what = if args.target.is_some() { "targets" } else { "rows" };
            format!(
                "reference     none (--reference): mean and PCA are fitted to the {what} they are measured on, \
                 which favours them"
            )
        }
    })?;
    out.line("")?;
    out.line(format!("{:<14}{:>14}{:>20}", "", "scaled units", "units of the data"))?;
    let mut pair = |name: &str, of: &dyn Fn(&Fit) -> String| {
        let units = units.as_ref().map_or("-".to_owned(), of);
        out.line(format!("{name:<14}{:>14}{units:>20}", of(&scaled)))
    };
    pair("MSE", &|fit| number(fit.mse()))?;
    pair("MAE", &|fit| number(fit.mae()))?;
    pair("RMSE", &|fit| number(fit.rmse()))?;
    pair("R2", &|fit| fit.r2().map_or("-".to_owned(), |r2| format!("{r2:.4}")))?;
    pair("unexplained", &|fit| fit.unexplained().map_or("-".to_owned(), percent))?;
    out.line("")?;
    let interval = evaluation.interval;
    out.line(format!("MSE           95 % interval {} to {}", number(interval.low), number(interval.high)))?;
    out.line(format!("verdict       {}", verdict(&scaled)))?;
    let quantiles: Vec<String> = QUANTILES
        .iter()
        .zip(&evaluation.quantiles)
        .map(|((name, _), error)| format!("{name} {}", number(*error)))
        .collect();
    out.line(format!("row errors    {}", quantiles.join(", ")))?;
    for line in baseline_lines(model, evaluation, (&scaled, units.as_ref()))
        .into_iter()
        .chain(feature_lines(evaluation))
    {
        out.line(line)?;
    }
    if let Some(imputation) = &evaluation.imputation {
        for line in imputation_lines(imputation, args) {
            out.line(line)?;
        }
    }
    out.line("")?;
    if let Some(images) = &evaluation.images {
        out.line(image_line(images))?;
    }
    if let Some(latent_use) = &evaluation.latent_use {
        out.line(latent_line(latent_use))?;
    }
    Ok(())
}

/// The fit over all features, on the model's scale and in the units of the data; the latter only if
/// every column has units.
fn totals(model: &Autoencoder, evaluation: &Evaluation) -> (Fit, Option<Fit>) {
    let scale = model.scaler().scale();
    let have_units = evaluation.columns.iter().all(|column| column.scale.is_some());
    (evaluation.reconstruction.total(), have_units.then(|| evaluation.reconstruction.total_in_units(scale)))
}

/// Number of missing cells.
fn missing(evaluation: &Evaluation) -> usize {
    let known: usize = evaluation.columns.iter().map(|column| column.fit.known).sum();
    evaluation.rows * evaluation.columns.len() - known
}

/// How well hidden cells were filled in, as lines of text.
fn imputation_lines(imputation: &Imputation, args: &EvaluateArgs) -> Vec<String> {
    let fraction = percent(args.hide.unwrap_or_default());
    let mut lines = vec![
        String::new(),
        format!("{fraction} of the known cells hidden (seed {}) and filled in by", args.seed),
        format!("{:<24}{:>8}{:>14}{:>18}", "", "hidden", "the model", "mean or mode"),
    ];
    let line =
        |name: &str, is_category: bool, ImputationScore { hidden, model, baseline }: ImputationScore| {
            let figure = |x: f64| if is_category { percent(x) } else { format!("{x:.4}") };
            format!("{name:<24}{hidden:>8}{:>14}{:>18}", figure(model), figure(baseline))
        };
    lines.extend(imputation.numbers().map(|filled| line("numbers, RMSE in sd", false, filled)));
    lines.extend(imputation.categories().map(|filled| line("categories, correct", true, filled)));
    lines.extend(imputation.columns.iter().map(|c| line(&format!("  {}", c.name), c.is_category, c.score())));
    lines
}

/// Formats a number with six decimals, or in scientific notation if it is very small or large.
pub(in crate::commands) fn number(value: f64) -> String {
    if value == 0.0 || (1e-3..1e6).contains(&value.abs()) {
        format!("{value:.6}")
    } else {
        format!("{value:.4e}")
    }
}

pub(in crate::commands) fn percent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

pub(in crate::commands) fn verdict(fit: &Fit) -> String {
    match fit.unexplained() {
        None => "the rows are all the same: there is no variance to explain".to_owned(),
        Some(fraction) if fraction < GOOD => {
            format!("good: {} of the variance is left unexplained, under 5 %", percent(fraction))
        }
        Some(fraction) if fraction < 1.0 => {
            format!(
                "{} of the variance is left unexplained; under 5 % is a good reconstruction",
                percent(fraction)
            )
        }
        Some(_) => "no better than predicting the mean of these rows".to_owned(),
    }
}

/// The errors of the model and of the baselines, as lines of text.
fn baseline_lines(
    model: &Autoencoder,
    evaluation: &Evaluation,
    (scaled, units): (&Fit, Option<&Fit>),
) -> Vec<String> {
    let baselines = &evaluation.baselines;
    // With targets, also in the units of the data.
    let in_units =
        baselines.denoising.as_ref().map(|denoising| &denoising.in_units).filter(|_| units.is_some());
    let of_variance = |mse: f64| {
        let variance = scaled.variance();
        if variance > 0.0 { percent(mse / variance) } else { "-".to_owned() }
    };
    let line = |name: &str, mse: f64, of_units: &dyn Fn(&InUnits) -> Option<f64>| {
        let of_units = in_units.map(|in_units| of_units(in_units).map_or("-".to_owned(), number));
        let of_units = of_units.map_or(String::new(), |text| format!("{text:>20}"));
        format!("{name:<18}{:>14}{:>14}{of_units}", number(mse), of_variance(mse))
    };
    let heading = in_units.map_or("", |_| "   units of the data");
    let mut lines = vec![
        String::new(),
        format!("{:<18}{:>14}{:>14}{heading}", "scaled units", "MSE", "of variance"),
        line("this model", scaled.mse(), &|_| units.map(Fit::mse)),
    ];
    lines.push(match baselines.pca {
        Ok((mse, components)) => line(&format!("PCA with {components}"), mse, &|units| units.pca),
        Err(why) => format!("PCA with {:<9}not computed: {why}", model.config().encoding_dim()),
    });
    if let Some(Denoising { regression, .. }) = &baselines.denoising {
        lines.push(match regression {
            Ok(mse) => line("ridge regression", *mse, &|units| units.regression),
            Err(why) => format!("ridge regression  not computed: {why}"),
        });
    }
    lines.push(line("the mean", baselines.mean, &|units| Some(units.mean)));
    if let Some(Denoising { inputs, .. }) = &baselines.denoising {
        lines.push(line("the inputs", *inputs, &|units| Some(units.inputs)));
    }
    lines
}

/// The features that are reconstructed worst and best, by MSE; the best among those with a smaller error
/// than their mean.
fn feature_lines(evaluation: &Evaluation) -> Vec<String> {
    let features = &evaluation.columns;
    let mut order: Vec<&Column> = features.iter().collect();
    order.sort_by(|a, b| b.fit.mse().total_cmp(&a.fit.mse()));
    let mut lines = vec![String::new(), format!("{:<24}{:>14}{:>12}", "features", "MSE", "R2")];
    let line = |kind: &str, Column { name, fit, .. }: &Column| {
        let r2 = fit.r2().map_or("-".to_owned(), |r2| format!("{r2:.4}"));
        format!("{kind:<6}{name:<18}{:>14}{r2:>12}", number(fit.mse()))
    };
    let (worst, others) = order.split_at(LISTED_FEATURES.min(order.len()));
    lines.extend(worst.iter().map(|column| line("worst", column)));
    // An error no smaller than that of the mean is no achievement.
    let learnt: Vec<&&Column> =
        others.iter().filter(|column| column.fit.r2().is_some_and(|r2| r2 > 0.0)).collect();
    let best = learnt.len().saturating_sub(LISTED_FEATURES);
    lines.extend(learnt[best..].iter().map(|column| line("best", column)));
    let constant = features.iter().filter(|column| column.fit.r2().is_none()).count();
    if constant > 0 {
        lines.push(format!("{constant} features do not vary and have no R2"));
    }
    lines
}

fn image_line(images: &Images) -> String {
    let errors = &images.errors;
    let similarity = match errors.ssim {
        Some(similarity) => format!("SSIM {similarity:.4}"),
        None if images.size.height < 11 || images.size.width < 11 => {
            "no SSIM: its window needs 11x11 pixels".to_owned()
        }
        None => "no SSIM: every image has missing values".to_owned(),
    };
    format!(
        "images        of {}: PSNR {:.2} dB, {similarity} (means over images, in units of the data, range {})",
        images.size, errors.psnr, images.range
    )
}

pub(super) fn object(
    args: &EvaluateArgs,
    model: &Autoencoder,
    evaluation: &Evaluation,
    probe: Option<&Computed<Probe>>,
) -> Value {
    let (scaled, units) = totals(model, evaluation);
    let errors = |fit: &Fit| {
        json!({
            "mse": fit.mse(),
            "mae": fit.mae(),
            "rmse": fit.rmse(),
            "r2": fit.r2(),
            "unexplained": fit.unexplained(),
        })
    };
    let features: Vec<Value> = evaluation
        .columns
        .iter()
        .map(|Column { name, fit, scale }| {
            let units = scale.map(|scale| fit.scaled(scale));
            json!({
                "feature": name,
                "mse": fit.mse(),
                "mae": fit.mae(),
                "r2": fit.r2(),
                "original_mse": units.map(|fit| fit.mse()),
                "original_mae": units.map(|fit| fit.mae()),
            })
        })
        .collect();
    let filled = |ImputationScore { hidden, model, baseline }: ImputationScore| json!({ "hidden": hidden, "model": model, "usual": baseline });
    let imputation = evaluation.imputation.as_ref().map(|imputation| {
        let column = |column: &ImputedColumn| {
            let kind = if column.is_category { "category" } else { "number" };
            let ImputationScore { hidden, model, baseline } = column.score();
            json!({ "column": column.name, "kind": kind, "hidden": hidden, "model": model, "usual": baseline })
        };
        json!({
            "share": args.hide,
            "numbers_rmse": imputation.numbers().map(filled),
            "categories_right": imputation.categories().map(filled),
            "columns": imputation.columns.iter().map(column).collect::<Vec<_>>(),
        })
    });
    let quantiles = QUANTILES.iter().zip(&evaluation.quantiles);
    let quantiles: serde_json::Map<String, Value> =
        quantiles.map(|((name, _), error)| ((*name).to_owned(), Value::from(*error))).collect();
    let baselines = &evaluation.baselines;
    json!({
        "event": "summary",
        "model": args.model,
        "rows": evaluation.rows,
        "features": evaluation.columns.len(),
        "missing": missing(evaluation),
        "target": args.target,
        "reference": args.reference,
        "reference_rows": baselines.reference_rows,
        "rows_in_reference": args.reference.as_ref().map(|_| baselines.known_rows),
        "scaled": errors(&scaled),
        "original": units.as_ref().map(errors),
        "mse_interval": [evaluation.interval.low, evaluation.interval.high],
        "good": scaled.unexplained().map(|fraction| fraction < GOOD),
        "verdict": verdict(&scaled),
        "row_error": quantiles,
        "mean_mse": baselines.mean,
        "given_mse": baselines.denoising.as_ref().map(|denoising| denoising.inputs),
        "ridge_mse": baselines.denoising.as_ref().and_then(|denoising| denoising.regression.ok()),
        "original_baselines": baselines.denoising.as_ref().map(|Denoising { in_units, .. }| json!({
            "mean_mse": in_units.mean,
            "pca_mse": in_units.pca,
            "given_mse": in_units.inputs,
            "ridge_mse": in_units.regression,
        })),
        "pca_mse": baselines.pca.ok().map(|(mse, _)| mse),
        "pca_components": baselines.pca.ok().map(|(_, components)| components),
        "pca_note": baselines.pca.err(),
        "per_feature": features,
        "imputation": imputation,
        "images": evaluation.images.as_ref().map(|images| json!({
            "size": images.size.to_string(),
            "range": images.range,
            "psnr": images.errors.psnr,
            "ssim": images.errors.ssim,
            "exact": images.errors.exact,
        })),
        "latent": evaluation.latent_use.as_ref().map(latent_object),
        "probe": probe.and_then(|probe| probe.as_ref().ok()).map(|probe| json!({
            "classes": probe.classes,
            "fitted_rows": probe.fitted_rows,
            "encodings": probe.encodings,
            "rows": probe.rows,
            "pca": probe.pca.ok(),
        })),
    })
}
