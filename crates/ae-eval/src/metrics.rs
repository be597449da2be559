//! Errors of reconstructions, and the spread of the data that they are measured against.

use crate::error::EvalError;

/// Mean of `(y - x)²` over all values.
///
/// # Errors
/// [`EvalError::Shape`] if the slices differ in length or are empty.
pub fn mse(x: &[f32], y: &[f32]) -> Result<f64, EvalError> {
    if x.len() != y.len() || x.is_empty() {
        return Err(EvalError::Shape { values: y.len(), features: x.len() });
    }
    let squares = x.iter().zip(y).map(|(x, y)| (f64::from(*y) - f64::from(*x)).powi(2));
    Ok(squares.sum::<f64>() / x.len() as f64)
}

/// The mean over the features of their variance `(1/m) Σ_rows (x - mean)²`: the MSE of predicting every row by the mean
/// of all rows.
///
/// # Errors
/// [`EvalError::Shape`] if the values are not whole rows or there are none.
pub fn mean_variance(rows: &[f32], features: usize) -> Result<f64, EvalError> {
    if features == 0 || rows.is_empty() || !rows.len().is_multiple_of(features) {
        return Err(EvalError::Shape { values: rows.len(), features });
    }
    let mean = column_means(rows, features);
    let squares = rows
        .chunks_exact(features)
        .flat_map(|row| row.iter().zip(&mean).map(|(x, mean)| (f64::from(*x) - mean).powi(2)));
    Ok(squares.sum::<f64>() / rows.len() as f64)
}

/// The mean of each feature, `[features]`; the caller has checked the shape.
pub(crate) fn column_means(rows: &[f32], features: usize) -> Vec<f64> {
    let count = (rows.len() / features) as f64;
    let mut mean = vec![0.0; features];
    for row in rows.chunks_exact(features) {
        for (sum, x) in mean.iter_mut().zip(row) {
            *sum += f64::from(*x);
        }
    }
    mean.iter_mut().for_each(|sum| *sum /= count);
    mean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(mse(&[0.0, 1.0], &[1.0, 3.0]).unwrap(), 2.5);
        // Means 2 and 10; variances 1 and 100.
        assert_eq!(mean_variance(&[1.0, 0.0, 3.0, 20.0], 2).unwrap(), 50.5);
        assert!(mse(&[0.0], &[]).is_err() && mse(&[], &[]).is_err());
        assert!(mean_variance(&[1.0; 3], 2).is_err() && mean_variance(&[], 2).is_err());
    }
}
