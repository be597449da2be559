//! Reconstruction errors, and the spread of the data as a baseline for them.

use ae_data::BatchSource;

use crate::blocks::{for_each_block, non_empty_shape};
use crate::error::EvalError;

/// The mean squared error: the mean of `(y - x)²` over all values.
///
/// # Errors
/// [`EvalError::Count`] if the slices differ in length, [`EvalError::Empty`] if they are empty.
pub fn mse(x: &[f32], y: &[f32]) -> Result<f64, EvalError> {
    check_same_len(x, y)?;
    if x.is_empty() {
        return Err(EvalError::Empty { rows: 0, features: 0 });
    }
    let squares = x.iter().zip(y).map(|(x, y)| (f64::from(*y) - f64::from(*x)).powi(2));
    Ok(squares.sum::<f64>() / x.len() as f64)
}

/// The mean variance of the features, each `(1/m) Σ_rows (x - mean)²`.
///
/// This is the MSE of predicting every row by the mean of all rows. Missing values (NaN) are left out of
/// the means and of the count.
///
/// # Errors
/// [`EvalError::Empty`] without rows, or an error from reading them.
pub fn mean_variance(rows: &dyn BatchSource) -> Result<f64, EvalError> {
    mse_of_mean(rows, rows)
}

/// The MSE on `rows` of predicting every row by the mean of the rows of `reference`. Missing values
/// (NaN) are left out of both.
///
/// # Errors
/// [`EvalError::Empty`] if either has no rows, [`EvalError::Width`] if their widths differ, or an error
/// from reading them.
pub fn mse_of_mean(reference: &dyn BatchSource, rows: &dyn BatchSource) -> Result<f64, EvalError> {
    let mean = column_means(reference)?;
    let features = mean.len();
    let (_, got) = non_empty_shape(rows)?;
    if got != features {
        return Err(EvalError::Width { expected: features, got });
    }
    let (mut squares, mut known) = (0.0, 0usize);
    for_each_block(rows, |block| {
        for (x, mean) in block.chunks_exact(features).flat_map(|row| row.iter().zip(&mean)) {
            if !x.is_nan() {
                squares += (f64::from(*x) - mean).powi(2);
                known += 1;
            }
        }
    })?;
    Ok(squares / known.max(1) as f64)
}

/// Checks that both slices have the same length.
pub(crate) fn check_same_len(x: &[f32], y: &[f32]) -> Result<(), EvalError> {
    if x.len() != y.len() {
        return Err(EvalError::Count { what: "values to compare with", expected: x.len(), got: y.len() });
    }
    Ok(())
}

/// The mean of the known values of each feature, `[features]`; 0 if there are none.
pub(crate) fn column_means(rows: &dyn BatchSource) -> Result<Vec<f64>, EvalError> {
    let (_, features) = non_empty_shape(rows)?;
    let mut sums = vec![(0.0, 0usize); features];
    for_each_block(rows, |block| {
        for row in block.chunks_exact(features) {
            for ((sum, known), x) in sums.iter_mut().zip(row).filter(|(_, x)| !x.is_nan()) {
                *sum += f64::from(*x);
                *known += 1;
            }
        }
    })?;
    Ok(sums.into_iter().map(|(sum, known)| sum / known.max(1) as f64).collect())
}

#[cfg(test)]
mod tests {
    use ae_data::{Rows, Subset};

    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(mse(&[0.0, 1.0], &[1.0, 3.0]).unwrap(), 2.5);
        // Means 2 and 10; variances 1 and 100.
        let rows = Rows::new(&[1.0, 0.0, 3.0, 20.0], 2).unwrap();
        assert_eq!(mean_variance(&rows).unwrap(), 50.5);
        // The same rows from a source without a slice.
        let all = Subset::new(&rows, vec![0, 1]).unwrap();
        assert_eq!(mean_variance(&all).unwrap(), 50.5);
        // A missing value neither moves the mean nor counts.
        let rows = Rows::new(&[1.0, 0.0, 3.0, 20.0, f32::NAN, 10.0], 2).unwrap();
        assert_eq!(mean_variance(&rows).unwrap(), (2.0 + 200.0) / 5.0);
        // The mean of other rows: 0 and 4.
        let other = Rows::new(&[-1.0, 4.0, 1.0, 4.0], 2).unwrap();
        assert_eq!(mse_of_mean(&other, &rows).unwrap(), (1.0 + 16.0 + 9.0 + 256.0 + 36.0) / 5.0);
        assert!(mse_of_mean(&other, &Rows::new(&[1.0; 3], 3).unwrap()).is_err());
        let said = mse(&[1.0, 2.0, 3.0], &[1.0, 2.0]).unwrap_err().to_string();
        assert_eq!(said, "expected 3 values to compare with, got 2");
        assert!(matches!(mse(&[], &[]), Err(EvalError::Empty { rows: 0, .. })));
        let said = mse_of_mean(&other, &Rows::new(&[1.0; 6], 3).unwrap()).unwrap_err().to_string();
        assert_eq!(said, "expected rows of 2 features, got 3");
        assert!(mean_variance(&Rows::new(&[], 2).unwrap()).is_err());
    }
}
