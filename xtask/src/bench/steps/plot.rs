//! Plots rows per second over batch sizes, with a panel for each network and number of threads.

use std::fmt::Write;

use ae_eval::chart::{Axes, Line, Scale, Stroke, labelled_lines};
use serde_json::Value;

use crate::bench::peers::rate;

/// Size of a panel as drawn by ae-eval, plus a margin.
const PANEL: (f64, f64) = (416.0, 296.0);
/// Panels per row.
const COLUMNS: usize = 2;

/// The data of a panel.
struct Panel<'a> {
    dims: &'a Value,
    threads: &'a Value,
    rows: Vec<&'a Value>,
}

/// Draws these rows of the table, ours and the peers', as SVG.
pub(super) fn panels(rows: &[Value], peers: &[&str]) -> String {
    let mut panels: Vec<Panel<'_>> = Vec::new();
    for row in rows {
        let (dims, threads) = (&row["dims"], &row["threads"]);
        match panels.iter_mut().find(|panel| panel.dims == dims && panel.threads == threads) {
            Some(panel) => panel.rows.push(row),
            None => panels.push(Panel { dims, threads, rows: vec![row] }),
        }
    }
    let columns = panels.len().clamp(1, COLUMNS);
    let width = PANEL.0 * columns as f64;
    let height = PANEL.1 * panels.len().div_ceil(COLUMNS) as f64;
    // An explicit background keeps black lines visible on dark pages.
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    for (place, panel) in panels.iter().enumerate() {
        let x = PANEL.0 * (place % COLUMNS) as f64 + 8.0;
        let y = PANEL.1 * (place / COLUMNS) as f64 + 8.0;
        let _ = write!(svg, "<g transform=\"translate({x} {y})\">\n{}</g>\n", panel.drawn(peers));
    }
    svg.push_str("</svg>\n");
    svg
}

impl Panel<'_> {
    fn drawn(&self, peers: &[&str]) -> String {
        let points = |rate_of: &dyn Fn(&Value) -> Option<f64>| -> Vec<(f64, f64)> {
            let mut points: Vec<(f64, f64)> =
                self.rows.iter().filter_map(|row| row["batch"].as_f64().zip(rate_of(row))).collect();
            points.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
            points
        };
        let mut series = vec![("ours", points(&rate))];
        series.extend(peers.iter().map(|peer| (*peer, points(&|row| row[*peer].as_f64()))));
        series.retain(|(_, points)| !points.is_empty());
        let lines: Vec<Line<'_>> = series
            .iter()
            .map(|(name, points)| {
                let stroke = if *name == "ours" { Stroke::Solid } else { Stroke::Dashed };
                Line { name, points, stroke }
            })
            .collect();
        let (dims, threads) = (layers(self.dims), self.threads);
        let y = format!("rows/s, {dims}");
        let plural = if *threads == 1 { "" } else { "s" };
        let x = format!("rows per step ({threads} thread{plural})");
        let title = format!("Training steps of {dims}: rows per second by rows per step");
        let axes = Axes { title: &title, x: &x, y: &y, x_scale: Scale::Log, y_scale: Scale::Log };
        labelled_lines(&axes, &lines)
    }
}

/// Returns all widths, including those of the decoder.
fn layers(dims: &Value) -> String {
    let widths: Vec<String> = dims.as_array().into_iter().flatten().map(Value::to_string).collect();
    let mirrored = widths.iter().chain(widths.iter().rev().skip(1));
    mirrored.map(String::as_str).collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_panel_for_each_network() {
        let row = |dims: &Value, batch: usize, rate: f64| json!({"dims": dims, "batch": batch, "threads": 2, "samples_per_s": rate, "numpy": rate / 2.0, "jax": null});
        let (small, large) = (json!([8, 4]), json!([9, 5, 2]));
        let rows = [row(&small, 1, 10.0), row(&small, 32, 90.0), row(&large, 1, 5.0)];
        let svg = panels(&rows, &["numpy", "jax"]);
        assert_eq!((svg.matches("<svg ").count(), svg.matches("</svg>").count()), (3, 3));
        assert_eq!((svg.matches(">numpy<").count(), svg.matches(">jax<").count()), (2, 0), "{svg}");
        assert!(svg.contains("rows/s, 8-4-8") && svg.contains("rows/s, 9-5-2-5-9"), "{svg}");
    }
}
