//! The section on the latent space: a map of the encodings.

use ae_data::Dataset;
use ae_eval::chart::{Colouring, ScatterPlot, scatter};
use ae_eval::{Classes, sample_rows};

use super::page::{Page, grid, table};
use super::{Facts, with_thousands_separators};
use crate::commands::compare::{MapSettings, components, default_neighbours, maps, to_plane};
use crate::commands::evaluate::number;
use crate::commands::train::pca_is_quick;
use crate::failure::Failure;
use crate::output::Output;
use crate::tables;

/// Most rows on the map.
const MAX_POINTS: usize = 2000;

pub(super) fn section(facts: &Facts<'_>, page: &mut Page, out: &Output) -> Result<(), Failure> {
    let (all, seed) = (facts.rows.rows(), facts.args.evaluate.seed);
    let drawn = sample_rows(all, MAX_POINTS, seed)?;
    let rows = facts.rows.select_rows(&drawn)?;
    let codes = facts.model.encode(&rows)?;
    let width = codes.features();
    let first_two =
        || -> Vec<f32> { codes.iter_rows().flat_map(|code| code.iter().take(2).copied()).collect() };
    let (points, what) = match width {
        0 | 1 => (to_plane(codes.values(), 1), "encodings of one value, from left to right".to_owned()),
        2 => (codes.values().to_vec(), "encodings of 2 values".to_owned()),
        _ if codes.rows() > 2 && pca_is_quick(codes.rows(), width) => match components(&codes) {
            Ok((points, percent)) => (
                points,
                format!("first 2 principal components of {width} values ({percent:.1} % of their variance)"),
            ),
            // If all encodings are the same, there are no components.
            Err(_) => (first_two(), format!("first 2 of {width} values")),
        },
        _ => (first_two(), format!("first 2 of {width} values")),
    };
    let errors: Vec<f64> = drawn.iter().map(|row| facts.errors[*row].unwrap_or(f64::NAN)).collect();
    let tooltips = tooltips(facts, &drawn);
    let (colouring, colours) = colouring(&rows, &errors);
    let which = if drawn.len() == all {
        format!("all {} rows", with_thousands_separators(all))
    } else {
        format!(
            "{} of {} rows, drawn with seed {seed}",
            with_thousands_separators(drawn.len()),
            with_thousands_separators(all)
        )
    };
    let caption = format!("Latent space: {what}; {which}, {colours}.");
    let svg = scatter(&ScatterPlot { title: &caption, points: &points, tooltips: &tooltips, colouring });
    let figure = page.plot("latent", svg, &caption);
    let body = match facts.args.compare {
        true => {
            let rows = tables::for_maps(facts.model, rows.clone(), &facts.args.evaluate.data, out)?;
            comparison(facts, page, &rows, &drawn, &figure)?
        }
        false => grid(&figure),
    };
    page.section("latent", "Latent space", body);
    Ok(())
}

/// The tooltip of each of the drawn rows.
fn tooltips(facts: &Facts<'_>, drawn: &[usize]) -> Vec<String> {
    let tooltip = |row: &usize| {
        let label = facts.label(*row).map_or(String::new(), |label| format!(", label {label}"));
        let error = facts.errors[*row].map_or_else(|| "unknown".to_owned(), number);
        format!("row {}{label}, error {error}", row + 1)
    };
    drawn.iter().map(tooltip).collect()
}

fn colouring<'a>(rows: &'a Dataset, errors: &'a [f64]) -> (Colouring<'a>, &'static str) {
    match rows.labels() {
        Some(labels) => (
            Colouring::Classes(Classes { names: labels.names(), codes: labels.codes() }),
            "coloured by label",
        ),
        None => (Colouring::Values("error", errors), "coloured by error"),
    }
}

/// The map of the encodings next to those of PCA and t-SNE, and how well each preserves neighbours.
fn comparison(
    facts: &Facts<'_>,
    page: &mut Page,
    rows: &Dataset,
    drawn: &[usize],
    encoding: &str,
) -> Result<String, Failure> {
    let evaluate = &facts.args.evaluate;
    let neighbours = default_neighbours(rows.rows());
    let settings = MapSettings {
        location: &evaluate.data,
        neighbours,
        perplexity: None,
        seed: evaluate.seed,
        threads: facts.common.threads(),
    };
    let (maps, _) = maps(&settings, facts.model, rows, drawn)?;
    let errors: Vec<f64> = drawn.iter().map(|row| facts.errors[*row].unwrap_or(f64::NAN)).collect();
    let (tooltips, (colouring, _)) = (tooltips(facts, drawn), colouring(rows, &errors));
    let mut figures = encoding.to_owned();
    for map in &maps {
        let (name, caption) = match map.key {
            // Already drawn.
            "encoding" => continue,
            "pca" => ("pca", format!("PCA {}.", map.remark)),
            _ => ("tsne", format!("t-SNE, {}.", map.remark)),
        };
        let svg =
            scatter(&ScatterPlot { title: &caption, points: &map.points, tooltips: &tooltips, colouring });
        figures += &page.plot(name, svg, &caption);
    }
    let mut columns = ["map", "trustworthiness", "continuity"].map(str::to_owned).to_vec();
    columns.extend(rows.labels().map(|_| format!("{neighbours}-NN accuracy")));
    columns.push("seconds".to_owned());
    let lines: Vec<Vec<String>> = maps
        .iter()
        .map(|map| {
            let mut line = vec![map.name.clone()];
            line.extend([map.trustworthiness, map.continuity].map(|measure| format!("{measure:.4}")));
            line.extend(map.accuracy.map(|accuracy| format!("{accuracy:.4}")));
            line.push(format!("{:.2}", map.seconds));
            line
        })
        .collect();
    let caption = format!(
        "How well each map preserves the {neighbours} nearest neighbours of {} rows (1 is best)",
        with_thousands_separators(rows.rows())
    );
    Ok(grid(&figures) + &table(&caption, &columns, &lines))
}
