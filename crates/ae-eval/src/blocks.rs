//! Reads rows a block at a time, so that computing something from them needs no copy of them all.

use std::ops::Range;

use ae_data::{BatchSource, contiguous_values};

use crate::error::EvalError;

/// Rows per block.
pub(crate) const BLOCK: usize = 1024;

/// Calls `visit` with consecutive blocks of rows until all have been read.
pub(crate) fn for_each_block(source: &dyn BatchSource, visit: impl FnMut(&[f32])) -> Result<(), EvalError> {
    Ok(ae_data::for_each_block(source, BLOCK, visit)?)
}

/// The numbers of rows and features.
///
/// # Errors
/// [`EvalError::Empty`] if either is 0.
pub(crate) fn non_empty_shape(source: &dyn BatchSource) -> Result<(usize, usize), EvalError> {
    match (source.rows(), source.features()) {
        (rows, features) if rows == 0 || features == 0 => Err(EvalError::Empty { rows, features }),
        shape => Ok(shape),
    }
}

/// Largest number of features of which a matrix of all pairs is made: 2 GiB.
const MAX_PAIRED_FEATURES: usize = 1 << 14;

/// Checks that a matrix of all pairs of this many features is of a reasonable size.
///
/// # Errors
/// [`EvalError::TooManyFeatures`] otherwise.
pub(crate) fn check_pairs(features: usize) -> Result<(), EvalError> {
    match features {
        ..=MAX_PAIRED_FEATURES => Ok(()),
        _ => Err(EvalError::TooManyFeatures { features, max: MAX_PAIRED_FEATURES }),
    }
}

/// Calls `visit` with blocks of consecutive rows of `left` and the same rows of `right`, which must have
/// the same shape; `what` names `right` in errors.
pub(crate) fn for_each_pair(
    left: &dyn BatchSource,
    right: &dyn BatchSource,
    what: &'static str,
    mut visit: impl FnMut(&[f32], &[f32]),
) -> Result<(), EvalError> {
    let (rows, features) = (left.rows(), left.features());
    if right.features() != features {
        return Err(EvalError::Width { expected: features, got: right.features() });
    }
    if right.rows() != rows {
        return Err(EvalError::RowCount { what, expected: rows, got: right.rows() });
    }
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for first in (0..rows).step_by(BLOCK) {
        let range = first..rows.min(first + BLOCK);
        let (left, right) = (block(left, range.clone(), &mut a)?, block(right, range, &mut b)?);
        visit(left, right);
    }
    Ok(())
}

/// The rows of a range: borrowed if they are in memory, else read into `values`.
pub(crate) fn block<'a>(
    source: &'a dyn BatchSource,
    range: Range<usize>,
    values: &'a mut Vec<f32>,
) -> Result<&'a [f32], EvalError> {
    let features = source.features();
    if let Some(all) = contiguous_values(source) {
        return Ok(&all[range.start * features..range.end * features]);
    }
    values.resize(range.len() * features, 0.0);
    source.read_rows(&range.collect::<Vec<_>>(), values)?;
    Ok(values)
}

/// All values, `[rows, features]`.
///
/// # Errors
/// [`EvalError::Empty`] without rows, [`EvalError::Model`] for a value that is not finite, or an error
/// from reading the rows.
pub(crate) fn finite_values(source: &dyn BatchSource) -> Result<Vec<f32>, EvalError> {
    let (rows, features) = non_empty_shape(source)?;
    let mut values = Vec::with_capacity(rows * features);
    for_each_block(source, |block| values.extend_from_slice(block))?;
    match values.iter().position(|x| !x.is_finite()) {
        None => Ok(values),
        Some(index) => Err(not_finite(source, index, values[index])),
    }
}

/// The error for the first value that is not finite, if there is one.
pub(crate) fn first_not_finite(source: &dyn BatchSource) -> Result<Option<EvalError>, EvalError> {
    first_refused(source, |x| !x.is_finite())
}

/// The error for the first infinite value, if there is one; missing values (NaN) are none.
pub(crate) fn first_infinite(source: &dyn BatchSource) -> Result<Option<EvalError>, EvalError> {
    first_refused(source, f32::is_infinite)
}

fn first_refused(
    source: &dyn BatchSource,
    is_refused: impl Fn(f32) -> bool,
) -> Result<Option<EvalError>, EvalError> {
    let (mut found, mut before) = (None, 0);
    for_each_block(source, |block| {
        if found.is_none() {
            let index = block.iter().position(|x| is_refused(*x));
            found = index.map(|index| not_finite(source, before + index, block[index]));
        }
        before += block.len();
    })?;
    Ok(found)
}

/// The error for the value at `index`, counted over all rows, which is not finite.
fn not_finite(source: &dyn BatchSource, index: usize, value: f32) -> EvalError {
    let (row, column) = (index / source.features(), index % source.features());
    let name = source.names().and_then(|names| names.get(column).cloned());
    ae_model::Error::NotFinite { row, column, name, value }.into()
}

/// `Σ_features (x - y)²`, always summed in the same order.
pub(crate) fn squared_distance(x: &[f32], y: &[f32]) -> f64 {
    // Independent sums, so that the loop vectorises.
    let mut sums = [0.0f64; 4];
    let ((x, x_rest), (y, y_rest)) = (x.as_chunks::<4>(), y.as_chunks::<4>());
    for (x, y) in x.iter().zip(y) {
        for lane in 0..4 {
            let difference = f64::from(x[lane]) - f64::from(y[lane]);
            sums[lane] += difference * difference;
        }
    }
    let rest: f64 = x_rest.iter().zip(y_rest).map(|(x, y)| (f64::from(*x) - f64::from(*y)).powi(2)).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}

#[cfg(test)]
mod tests {
    use ae_data::{DataError, Rows};

    use super::*;
    use crate::Pca;
    use crate::anomaly::{Detector, Score, Settings};

    /// A source that claims any number of rows of two zeros.
    struct Claim(usize);

    impl BatchSource for Claim {
        fn rows(&self) -> usize {
            self.0
        }
        fn features(&self) -> usize {
            2
        }
        fn read_rows(&self, _: &[usize], out: &mut [f32]) -> Result<(), DataError> {
            out.fill(0.0);
            Ok(())
        }
    }

    #[test]
    fn results_that_do_not_fit_into_memory_are_refused() {
        let rows = Rows::new(&[0.0, 1.0, 2.0, 5.0, 1.0, 1.0, 3.0, 2.0], 2).unwrap();
        let pca = Pca::fit(&rows, 2).unwrap();
        let settings = Settings { score: Score::InputNeighbours, updates: 1, ..Settings::default() };
        let detector = Detector::fit(&settings, &rows).unwrap();
        for rows in [usize::MAX, usize::MAX / 2, usize::MAX / 16] {
            let rows = Claim(rows);
            for refused in [
                pca.transform(&rows).map(drop),
                pca.reconstruct(&rows).map(drop),
                pca.inverse_transform(&rows).map(drop),
                detector.scores(&rows).map(drop),
                detector.contributions(&rows).map(drop),
                detector.blame(&rows, 1).map(drop),
            ] {
                assert!(
                    matches!(refused, Err(EvalError::Data(DataError::OutOfMemory { .. }))),
                    "{refused:?}"
                );
            }
        }
    }
}
