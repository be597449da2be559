//! The encodings as a map.

use ae_eval::chart::{Colouring, Dots, dots};
use ae_eval::{Classes, sample_rows};

use super::page::{Page, grid};
use super::{Facts, grouped};
use crate::commands::compare::{components, plane};
use crate::commands::evaluate::number;
use crate::commands::train::pca_is_quick;
use crate::failure::Failure;

/// Most rows on the map.
const MOST: usize = 2000;

pub(super) fn section(facts: &Facts<'_>, page: &mut Page) -> Result<(), Failure> {
    let (all, seed) = (facts.rows.rows(), facts.args.evaluate.seed);
    let drawn = sample_rows(all, MOST, seed);
    let rows = facts.rows.select_rows(&drawn)?;
    let codes = facts.model.encode(&rows)?;
    let wide = codes.features();
    let first_two = || -> Vec<f32> {
        codes.values().chunks_exact(wide.max(1)).flat_map(|code| code.iter().take(2).copied()).collect()
    };
    let (points, what) = match wide {
        0 | 1 => (plane(codes.values(), 1), "encodings of one value, from left to right".to_owned()),
        2 => (codes.values().to_vec(), "encodings of 2 values".to_owned()),
        _ if codes.rows() > 2 && pca_is_quick(codes.rows(), wide) => match components(&codes) {
            Ok((points, share)) => (
                points,
                format!("first 2 principal components of {wide} values ({share:.1} % of their variance)"),
            ),
            // Codes that are all the same have no components.
            Err(_) => (first_two(), format!("first 2 of {wide} values")),
        },
        _ => (first_two(), format!("first 2 of {wide} values")),
    };
    let errors: Vec<f64> = drawn.iter().map(|row| facts.errors[*row].unwrap_or(f64::NAN)).collect();
    let notes: Vec<String> = drawn
        .iter()
        .zip(&errors)
        .map(|(row, error)| {
            let label = facts.label(*row).map_or(String::new(), |label| format!(", label {label}"));
            let error = if error.is_nan() { "unknown".to_owned() } else { number(*error) };
            format!("row {}{label}, error {error}", row + 1)
        })
        .collect();
    let (colouring, colours) = match rows.labels() {
        Some(labels) => (
            Colouring::Classes(Classes { names: labels.names(), codes: labels.codes() }),
            "coloured by label",
        ),
        None => (Colouring::Values("error", &errors), "coloured by error"),
    };
    let which = if drawn.len() == all {
        format!("all {} rows", grouped(all))
    } else {
        format!("{} of {} rows, drawn with seed {seed}", grouped(drawn.len()), grouped(all))
    };
    let caption = format!("Latent space: {what}; {which}, {colours}.");
    let svg = dots(&Dots { title: &caption, points: &points, notes: &notes, colouring });
    let figure = page.plot("latent", svg, &caption);
    page.section("latent", "Latent space", grid(&figure));
    Ok(())
}
