//! Errors of reconstructions, and the spread of the data that they are measured against.

use ae_data::BatchSource;

use crate::blocks::for_each_block;
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
/// [`EvalError::Shape`] if there are no rows, or what reading them returns.
pub fn mean_variance(rows: &dyn BatchSource) -> Result<f64, EvalError> {
    let mean = column_means(rows)?;
    let features = mean.len();
    let mut squares = 0.0;
    for_each_block(rows, |block| {
        let of_block = block
            .chunks_exact(features)
            .flat_map(|row| row.iter().zip(&mean).map(|(x, mean)| (f64::from(*x) - mean).powi(2)));
        squares += of_block.sum::<f64>();
    })?;
    Ok(squares / (rows.rows() * features) as f64)
}

/// The mean of each feature, `[features]`.
pub(crate) fn column_means(rows: &dyn BatchSource) -> Result<Vec<f64>, EvalError> {
    let (count, features) = (rows.rows(), rows.features());
    if count == 0 || features == 0 {
        return Err(EvalError::Shape { values: count * features, features });
    }
    let mut mean = vec![0.0; features];
    for_each_block(rows, |block| {
        for row in block.chunks_exact(features) {
            for (sum, x) in mean.iter_mut().zip(row) {
                *sum += f64::from(*x);
            }
        }
    })?;
    mean.iter_mut().for_each(|sum| *sum /= count as f64);
    Ok(mean)
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
        // The same rows without a slice to lend.
        let all = Subset::new(&rows, vec![0, 1]).unwrap();
        assert_eq!(mean_variance(&all).unwrap(), 50.5);
        assert!(mse(&[0.0], &[]).is_err() && mse(&[], &[]).is_err());
        assert!(mean_variance(&Rows::new(&[], 2).unwrap()).is_err());
    }
}
