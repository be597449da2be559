//! Sections on key figures, on the errors of rows and features, and on imputation.

use ae_eval::chart::{Axes, Mark, Scale, bars, escaped, histogram};
use ae_eval::{Fit, Imputation, ImputationScore, ImputedColumn, quantile};

use super::page::{Page, details, grid, paragraph, table};
use super::{Facts, spans_more_than, with_thousands_separators};
use crate::commands::evaluate::{number, percent, verdict};

/// Most features in the bar chart: those with the largest errors.
const MAX_BARS: usize = 30;
/// Most features in a table.
const MAX_TABLE_ROWS: usize = 1000;
/// Bins of the histogram.
const BINS: usize = 40;

pub(super) fn key_figures(facts: &Facts<'_>, page: &mut Page) {
    let evaluation = facts.evaluation;
    let fit = evaluation.reconstruction.total();
    let of_variance = |mse: f64| {
        let variance = fit.variance();
        if variance > 0.0 { format!("{} of the variance", percent(mse / variance)) } else { String::new() }
    };
    let interval = evaluation.interval;
    let mut tiles = vec![
        tile(
            "MSE",
            &number(fit.mse()),
            &format!("scaled units; 95 % interval {} to {}", number(interval.low), number(interval.high)),
        ),
        tile("R²", &fit.r2().map_or("none".to_owned(), |r2| format!("{r2:.4}")), "at best 1"),
        tile("Unexplained variance", &fit.unexplained().map_or("none".to_owned(), percent), &verdict(&fit)),
    ];
    tiles.push(match evaluation.baselines.pca {
        Ok((mse, components)) => {
            let better = if fit.mse() < mse { "the model is better" } else { "PCA is better" };
            let parts = [of_variance(mse), better.to_owned()].into_iter().filter(|part| !part.is_empty());
            let note = parts.collect::<Vec<_>>().join("; ");
            tile(&format!("PCA with {components}, MSE"), &number(mse), &note)
        }
        Err(why) => tile("PCA", "none", &format!("not computed: {why}")),
    });
    tiles.push(tile(
        "Predicting the mean, MSE",
        &number(evaluation.baselines.mean),
        &of_variance(evaluation.baselines.mean),
    ));
    let (from, to) = (facts.model.config().input_dim(), facts.model.config().encoding_dim());
    tiles.push(tile(
        "Compression",
        &format!("{:.1}×", facts.model.summary().compression),
        &format!("{} values to {}", with_thousands_separators(from), with_thousands_separators(to)),
    ));
    if let Some(images) = &evaluation.images {
        let ssim = images.errors.ssim.map_or(String::new(), |ssim| format!("; SSIM {ssim:.4}"));
        let note = format!("mean over images, range {}{ssim}", images.range);
        tiles.push(tile("PSNR", &format!("{:.2} dB", images.errors.psnr), &note));
    }
    if let Some(probe) = &facts.probe {
        let note = format!(
            "accuracy on encodings; {} on rows; fitted to {} rows",
            percent(probe.rows),
            with_thousands_separators(probe.fitted_rows)
        );
        tiles.push(tile("Linear probe", &percent(probe.encodings), &note));
    }
    let fitted = match &facts.args.evaluate.reference {
        Some(location) => format!("Mean and PCA are fitted to {location}."),
        None => {
            "Mean and PCA are fitted to the rows that they are measured on, which favours them.".to_owned()
        }
    };
    let body = format!("<dl class=\"tiles\">\n{}</dl>\n{}", tiles.concat(), paragraph(&fitted));
    page.section("figures", "Key figures", body);
}

fn tile(name: &str, value: &str, note: &str) -> String {
    format!(
        "<div><dt>{}</dt><dd class=\"value\">{}</dd><dd>{}</dd></div>\n",
        escaped(name),
        escaped(value),
        escaped(note)
    )
}

pub(super) fn errors(facts: &Facts<'_>, page: &mut Page) {
    let mut errors: Vec<f64> = facts.errors.iter().flatten().copied().collect();
    errors.sort_unstable_by(f64::total_cmp);
    let at = |p| quantile(&errors, p).unwrap_or_default();
    let (median, p99, most) = (at(0.5), at(0.99), at(1.0));
    let is_log = spans_more_than(errors.iter().copied(), 1.0) && most > 30.0 * median;
    let axes = Axes {
        title: "Histogram of the mean squared error per row",
        x: if is_log { "error per row (scaled units, log scale)" } else { "error per row (scaled units)" },
        y: "rows",
        x_scale: if is_log { Scale::Log } else { Scale::Linear },
        y_scale: Scale::Linear,
    };
    let drawn = histogram(&axes, &errors, BINS, &[Mark { at: p99, name: "p99" }]);
    let caption = format!(
        "Mean squared error per row: median {}, 99th percentile {}, maximum {}.",
        number(median),
        number(p99),
        number(most)
    );
    let mut figures = page.plot("errors", drawn, &caption);

    let features: Vec<Fit> = facts.evaluation.columns.iter().map(|column| column.fit).collect();
    let mut order: Vec<usize> = (0..features.len()).collect();
    order.sort_by(|a, b| features[*b].mse().total_cmp(&features[*a].mse()));
    let name = |index: usize| {
        facts.evaluation.columns.get(index).map_or(String::new(), |column| column.name.clone())
    };
    let worst: Vec<(String, f64)> =
        order.iter().take(MAX_BARS).map(|index| (name(*index), features[*index].mse())).collect();
    let which = match features.len() {
        count if count > MAX_BARS => {
            format!("the {MAX_BARS} of {} features with the largest errors", with_thousands_separators(count))
        }
        count => format!("all {count} features, largest first"),
    };
    let caption = format!("Mean squared error (scaled units) of {which}.");
    figures += &page.plot("features", bars(&caption, &worst), &caption);

    let rows: Vec<Vec<String>> = order
        .iter()
        .take(MAX_TABLE_ROWS)
        .map(|index| {
            let fit = &features[*index];
            let r2 = fit.r2().map_or("does not vary".to_owned(), |r2| format!("{r2:.4}"));
            vec![name(*index), number(fit.mse()), number(fit.mae()), r2]
        })
        .collect();
    let columns = ["feature", "MSE", "MAE", "R²"].map(str::to_owned);
    let caption = match features.len() {
        count if count > MAX_TABLE_ROWS => {
            format!(
                "The {MAX_TABLE_ROWS} features with the largest errors, of {}",
                with_thousands_separators(count)
            )
        }
        count => format!("Errors of all {count} features"),
    };
    let list = details(&caption, &table(&caption, &columns, &rows));
    page.section("errors", "Errors", grid(&figures) + &list);
}

/// The section on how well hidden cells were filled in.
pub(super) fn imputation(imputation: &Imputation, page: &mut Page) {
    let figure = |value: f64, is_category| if is_category { percent(value) } else { format!("{value:.4}") };
    let row =
        |name: &str, is_category: bool, ImputationScore { hidden, model, baseline }: ImputationScore| {
            let measure = if is_category { "accuracy" } else { "RMSE in standard deviations" };
            let figures = [figure(model, is_category), figure(baseline, is_category)];
            let [model, baseline] = figures;
            vec![name.to_owned(), measure.to_owned(), with_thousands_separators(hidden), model, baseline]
        };
    let all =
        [("all numbers", false, imputation.numbers()), ("all categories", true, imputation.categories())];
    let mut rows: Vec<Vec<String>> =
        all.into_iter().filter_map(|(name, kind, filled)| Some(row(name, kind, filled?))).collect();
    let each = |column: &ImputedColumn| row(&column.name, column.is_category, column.score());
    rows.extend(imputation.columns.iter().map(each));
    let columns = ["column", "measure", "hidden", "model", "mean or most frequent"].map(str::to_owned);
    let caption = "How well the model fills in cells that were hidden from it";
    page.section("imputation", "Missing values", table(caption, &columns, &rows));
}
