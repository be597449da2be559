//! The results as text and as a JSON object.

use ae_eval::{Filled, FilledColumn, Fit, Imputation};
use ae_model::Autoencoder;
use serde_json::{Value, json};

use super::baselines::{Known, Probe};
use super::{Column, Found, Images, QUANTILES};
use crate::args::EvaluateArgs;
use crate::failure::Failure;
use crate::output::Output;

/// Unexplained fraction of the variance below which a reconstruction is called good.
const GOOD: f64 = 0.05;
/// Number of worst and of best features to list.
const SHOWN: usize = 3;

pub(super) fn lines(
    args: &EvaluateArgs,
    model: &Autoencoder,
    found: &Found,
    out: &mut Output,
) -> Result<(), Failure> {
    let (scaled, units) = totals(model, found);
    let features = found.columns.len();
    out.line(format!("model         {} ({})", args.model.display(), model.summary().architecture()))?;
    let missing = missing(found);
    let missing = if missing == 0 { String::new() } else { format!(", {missing} values missing") };
    out.line(format!("rows          {} ({} rows of {features}{missing})", args.data, found.rows))?;
    if let Some(target) = &args.target {
        out.line(format!("targets       {target}: errors are measured against these"))?;
    }
    out.line(match &args.reference {
        Some(location) => format!(
            "reference     {location} ({} rows): mean and PCA are fitted to them",
            found.baselines.reference_rows
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
    let interval = found.interval;
    out.line(format!("MSE           95 % interval {} to {}", number(interval.low), number(interval.high)))?;
    out.line(format!("verdict       {}", verdict(&scaled)))?;
    let quantiles: Vec<String> = QUANTILES
        .iter()
        .zip(&found.quantiles)
        .map(|((name, _), error)| format!("{name} {}", number(*error)))
        .collect();
    out.line(format!("row errors    {}", quantiles.join(", ")))?;
    for line in baseline_lines(model, found, &scaled).into_iter().chain(feature_lines(found)) {
        out.line(line)?;
    }
    if let Some(imputation) = &found.imputation {
        for line in imputation_lines(imputation, args) {
            out.line(line)?;
        }
    }
    if found.images.is_some() || found.baselines.probe.is_some() {
        out.line("")?;
    }
    if let Some(images) = &found.images {
        out.line(image_line(images))?;
    }
    if let Some(probe) = &found.baselines.probe {
        out.line(probe_line(probe))?;
    }
    Ok(())
}

/// The fit over all features, on the model's scale and in the units of the data; the latter only if
/// every column has units.
fn totals(model: &Autoencoder, found: &Found) -> (Fit, Option<Fit>) {
    let scale = model.scaler().scale();
    let have_units = found.columns.iter().all(|column| column.scale.is_some());
    (found.reconstruction.total(), have_units.then(|| found.reconstruction.total_in_units(scale)))
}

/// Number of missing cells.
fn missing(found: &Found) -> usize {
    let known: usize = found.columns.iter().map(|column| column.fit.known).sum();
    found.rows * found.columns.len() - known
}

/// How well hidden cells were filled in, as lines of text.
fn imputation_lines(found: &Imputation, args: &EvaluateArgs) -> Vec<String> {
    let share = percent(args.hide.unwrap_or_default());
    let mut lines = vec![
        String::new(),
        format!("{share} of the known cells hidden (seed {}) and filled in by", args.seed),
        format!("{:<24}{:>8}{:>14}{:>18}", "", "hidden", "the model", "mean or mode"),
    ];
    let line = |name: &str, is_category: bool, Filled { hidden, model, usual }: Filled| {
        let figure = |x: f64| if is_category { percent(x) } else { format!("{x:.4}") };
        format!("{name:<24}{hidden:>8}{:>14}{:>18}", figure(model), figure(usual))
    };
    lines.extend(found.numbers().map(|filled| line("numbers, RMSE in sd", false, filled)));
    lines.extend(found.categories().map(|filled| line("categories, correct", true, filled)));
    lines.extend(found.columns.iter().map(|c| line(&format!("  {}", c.name), c.is_category, c.filled())));
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

pub(in crate::commands) fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

pub(in crate::commands) fn verdict(fit: &Fit) -> String {
    match fit.unexplained() {
        None => "the rows are all the same: there is no variance to explain".to_owned(),
        Some(share) if share < GOOD => {
            format!("good: {} of the variance is left unexplained, under 5 %", percent(share))
        }
        Some(share) if share < 1.0 => {
            format!(
                "{} of the variance is left unexplained; under 5 % is a good reconstruction",
                percent(share)
            )
        }
        Some(_) => "no better than predicting the mean of these rows".to_owned(),
    }
}

fn baseline_lines(model: &Autoencoder, found: &Found, scaled: &Fit) -> Vec<String> {
    let share = |mse: f64| {
        let variance = scaled.variance();
        if variance > 0.0 { percent(mse / variance) } else { "-".to_owned() }
    };
    let line = |name: &str, mse: f64| format!("{name:<14}{:>14}{:>14}", number(mse), share(mse));
    let mut lines = vec![
        String::new(),
        format!("{:<14}{:>14}{:>14}", "scaled units", "MSE", "of variance"),
        line("this model", scaled.mse()),
    ];
    lines.push(match found.baselines.pca {
        Ok((mse, components)) => line(&format!("PCA with {components}"), mse),
        Err(why) => format!("PCA with {:<5}not computed: {why}", model.config().encoding_dim()),
    });
    lines.push(line("the mean", found.baselines.mean));
    lines.extend(found.baselines.given.map(|mse| line("the inputs", mse)));
    lines
}

/// The features that are reconstructed worst and best, by R², among those that vary.
fn feature_lines(found: &Found) -> Vec<String> {
    let features = &found.columns;
    let mut order: Vec<(usize, f64)> =
        features.iter().enumerate().filter_map(|(index, column)| Some((index, column.fit.r2()?))).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let mut lines = vec![String::new(), format!("{:<24}{:>14}{:>12}", "features", "MSE", "R2")];
    let line = |kind: &str, (index, r2): &(usize, f64)| {
        let Column { name, fit, .. } = &features[*index];
        format!("{kind:<6}{name:<18}{:>14}{r2:>12.4}", number(fit.mse()))
    };
    let worst = SHOWN.min(order.len());
    let best = SHOWN.min(order.len() - worst);
    lines.extend(order[..worst].iter().map(|feature| line("worst", feature)));
    lines.extend(order[order.len() - best..].iter().map(|feature| line("best", feature)));
    let constant = features.len() - order.len();
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

fn probe_line(probe: &Known<Probe>) -> String {
    match probe {
        Ok(probe) => {
            let pca = probe.pca.map_or("not computed".to_owned(), percent);
            format!(
                "classifier    logistic regression accuracy: {} on encodings, {} on rows, {pca} on PCA ({} classes)",
                percent(probe.encodings),
                percent(probe.rows),
                probe.classes
            )
        }
        Err(why) => format!("classifier    not computed: {why}"),
    }
}

pub(super) fn object(args: &EvaluateArgs, model: &Autoencoder, found: &Found) -> Value {
    let (scaled, units) = totals(model, found);
    let errors = |fit: &Fit| {
        json!({
            "mse": fit.mse(),
            "mae": fit.mae(),
            "rmse": fit.rmse(),
            "r2": fit.r2(),
            "unexplained": fit.unexplained(),
        })
    };
    let features: Vec<Value> = found
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
    let filled =
        |Filled { hidden, model, usual }: Filled| json!({ "hidden": hidden, "model": model, "usual": usual });
    let imputation = found.imputation.as_ref().map(|imputation| {
        let column = |column: &FilledColumn| {
            let kind = if column.is_category { "category" } else { "number" };
            let Filled { hidden, model, usual } = column.filled();
            json!({ "column": column.name, "kind": kind, "hidden": hidden, "model": model, "usual": usual })
        };
        json!({
            "share": args.hide,
            "numbers_rmse": imputation.numbers().map(filled),
            "categories_right": imputation.categories().map(filled),
            "columns": imputation.columns.iter().map(column).collect::<Vec<_>>(),
        })
    });
    let quantiles = QUANTILES.iter().zip(&found.quantiles);
    let quantiles: serde_json::Map<String, Value> =
        quantiles.map(|((name, _), error)| ((*name).to_owned(), Value::from(*error))).collect();
    let baselines = &found.baselines;
    json!({
        "event": "summary",
        "model": args.model,
        "rows": found.rows,
        "features": found.columns.len(),
        "missing": missing(found),
        "target": args.target,
        "reference": args.reference,
        "reference_rows": baselines.reference_rows,
        "scaled": errors(&scaled),
        "original": units.as_ref().map(errors),
        "mse_interval": [found.interval.low, found.interval.high],
        "good": scaled.unexplained().map(|share| share < GOOD),
        "verdict": verdict(&scaled),
        "row_error": quantiles,
        "mean_mse": baselines.mean,
        "given_mse": baselines.given,
        "pca_mse": baselines.pca.ok().map(|(mse, _)| mse),
        "pca_components": baselines.pca.ok().map(|(_, components)| components),
        "pca_note": baselines.pca.err(),
        "per_feature": features,
        "imputation": imputation,
        "images": found.images.as_ref().map(|images| json!({
            "size": images.size.to_string(),
            "range": images.range,
            "psnr": images.errors.psnr,
            "ssim": images.errors.ssim,
            "exact": images.errors.exact,
        })),
        "probe": baselines.probe.as_ref().and_then(|probe| probe.as_ref().ok()).map(|probe| json!({
            "classes": probe.classes,
            "encodings": probe.encodings,
            "rows": probe.rows,
            "pca": probe.pca.ok(),
        })),
    })
}
