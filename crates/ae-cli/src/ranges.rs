//! Remarks on columns with values outside those that a model knows.

use ae_data::{Dataset, Schema};
use ae_model::{Autoencoder, ScalerKind};

use crate::failure::Failure;
use crate::output::Output;

/// Fewest rows outside a range to remark on: a few of them may just be anomalies.
const MIN_ROWS: usize = 5;
/// The fraction of the rows outside a range from which on they are remarked on. Of any distribution, at
/// most 1/9 lies more than three standard deviations from its mean (Chebyshev), so with as many rows
/// there, the rows are of another distribution.
const MIN_FRACTION: f64 = 0.2;
/// Width of the range about a mean, in standard deviations to either side.
const DEVIATIONS: f64 = 3.0;
/// Columns to name.
const MAX_NAMED: usize = 8;

/// The usual values of each feature: from the first to the second, inclusive.
struct Ranges {
    limits: Vec<(f32, f32)>,
    /// What they are the range of.
    what: &'static str,
}

/// Remarks on each column of numbers or times where many of the rows, read from `location`, lie outside
/// the range of the `reference`, or without it outside that of the training rows as far as the model's
/// scaler tells: all of these rows then look anomalous. Pixels are not checked.
pub(crate) fn remark_outside(
    model: &Autoencoder,
    reference: Option<&Dataset>,
    (location, rows): (&str, &Dataset),
    out: &Output,
) -> Result<(), Failure> {
    let ranges = match reference {
        Some(reference) => Some(Ranges::of_rows(reference)),
        None => Ranges::of_training(model),
    };
    let Some(Ranges { limits, what }) = ranges.filter(|_| model.config().image().is_none()) else {
        return Ok(());
    };
    let mut counts = vec![0usize; limits.len()];
    for row in rows.iter_rows() {
        for ((count, x), (low, high)) in counts.iter_mut().zip(row).zip(&limits) {
            *count += usize::from(x < low || x > high);
        }
    }
    let is_number = match model.schema() {
        Some(schema) => schema.indicators().iter().map(|indicator| !indicator).collect(),
        None => vec![true; limits.len()],
    };
    let are_many = |count: usize| count >= MIN_ROWS && count as f64 >= MIN_FRACTION * rows.rows() as f64;
    let found: Vec<usize> =
        (0..limits.len()).filter(|feature| is_number[*feature] && are_many(counts[*feature])).collect();
    let names = model.feature_names().or(rows.names());
    for feature in found.iter().copied().take(MAX_NAMED) {
        let name = match names.and_then(|names| names.get(feature)) {
            Some(name) => format!("'{name}'"),
            None => (feature + 1).to_string(),
        };
        let [low, high] = texts(model.schema(), feature, limits[feature])?;
        out.note(format!(
            "{location}, column {name}: {} of {} rows lie outside {what}, {low} to {high}, and may look anomalous for that alone",
            counts[feature],
            rows.rows()
        ));
    }
    if found.len() > MAX_NAMED {
        out.note(format!("{location}: so they do in {} other columns", found.len() - MAX_NAMED));
    }
    Ok(())
}

impl Ranges {
    /// What the rows span.
    fn of_rows(rows: &Dataset) -> Ranges {
        let mut limits = vec![(f32::INFINITY, f32::NEG_INFINITY); rows.features()];
        for row in rows.iter_rows() {
            for ((low, high), x) in limits.iter_mut().zip(row) {
                (*low, *high) = (low.min(*x), high.max(*x));
            }
        }
        Ranges { limits, what: "the reference's range" }
    }

    /// What the scaler knows of the training rows: their range, or their means and standard deviations.
    fn of_training(model: &Autoencoder) -> Option<Ranges> {
        let (from, to, what) = match model.config().scaler() {
            ScalerKind::MinMax => (0.0, 1.0, "the training rows' range"),
            ScalerKind::Standard => {
                (-DEVIATIONS, DEVIATIONS, "three standard deviations about the training rows' mean")
            }
            _ => return None,
        };
        let scaler = model.scaler();
        let limits = scaler.shift().iter().zip(scaler.scale());
        let limits =
            limits.map(|(shift, scale)| ((shift + from * scale) as f32, (shift + to * scale) as f32));
        Some(Ranges { limits: limits.collect(), what })
    }
}

/// The limits of a feature as its column writes them.
fn texts(schema: Option<&Schema>, feature: usize, (low, high): (f32, f32)) -> Result<[String; 2], Failure> {
    let Some(schema) = schema else { return Ok([low.to_string(), high.to_string()]) };
    let mut values = vec![0.0; 2 * schema.width()];
    (values[feature], values[schema.width() + feature]) = (low, high);
    let decoded = schema.decode(&Dataset::new(values, schema.width())?)?;
    let column = schema.groups()[feature];
    Ok([0, 1].map(|row| decoded.cell(row, column).to_owned()))
}
