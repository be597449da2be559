//! Ridge regression from rows to other rows.

use ae_data::{BatchSource, Dataset, memory};
use nalgebra::DMatrix;

use crate::blocks::{check_pairs, first_infinite, for_each_block, for_each_pair, non_empty_shape};
use crate::error::EvalError;
use crate::metrics::column_means;
use crate::pca::centred;

/// Ridge regression from rows to their targets, as many values as features each: the linear baseline for
/// a model that learns targets, such as a denoiser.
///
/// With centred rows `X` `[m, n]` and centred targets `Y` `[m, n]`, the weights are
/// `(XᵀX + λ tr(XᵀX)/n I)⁻¹ XᵀY` (Hastie, Tibshirani & Friedman 2009, sec. 3.4.1). Sums are in double
/// precision. A missing value (NaN) counts as the mean of its feature over the known values of the
/// fitted rows.
///
/// ```
/// use ae_data::Rows;
/// use ae_eval::RidgeRegression;
///
/// let rows = Rows::new(&[0.0, 1.0, 1.0, 3.0, 2.0, 1.0, 3.0, 3.0], 2)?;
/// let sums_and_differences = Rows::new(&[1.0, -1.0, 4.0, -2.0, 3.0, 1.0, 6.0, 0.0], 2)?;
/// let regression = RidgeRegression::fit(&rows, &sums_and_differences, 1e-9)?;
/// let predicted = regression.predict(&Rows::new(&[5.0, 2.0], 2)?)?;
/// assert!((predicted.values()[0] - 7.0).abs() < 1e-5 && (predicted.values()[1] - 3.0).abs() < 1e-5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RidgeRegression {
    input_means: Vec<f64>,
    target_means: Vec<f64>,
    /// `[features, features]`
    weights: DMatrix<f64>,
}

impl RidgeRegression {
    /// Fits the regression to `rows` and their `targets`, one for each, of the same width.
    ///
    /// `ridge` (`λ`), at least 0, is relative to the mean variance of the features; 1e-3 is a good
    /// value.
    ///
    /// # Errors
    /// [`EvalError::Empty`] without rows; [`EvalError::Width`] or [`EvalError::RowCount`] for targets of
    /// another shape; [`EvalError::InvalidSetting`] for a ridge that is negative or not finite;
    /// [`EvalError::TooManyFeatures`] for more than 16,384; [`EvalError::Model`] for an infinite value,
    /// with its row and column; [`EvalError::DecompositionFailed`] if the system cannot be solved,
    /// because the ridge is too small; an error from reading the rows.
    pub fn fit(
        rows: &dyn BatchSource,
        targets: &dyn BatchSource,
        ridge: f64,
    ) -> Result<RidgeRegression, EvalError> {
        check_ridge(ridge)?;
        let (_, features) = non_empty_shape(rows)?;
        check_pairs(features)?;
        let (input_means, target_means) = (column_means(rows)?, column_means(targets)?);
        let mut gram = DMatrix::zeros(features, features);
        let mut cross = DMatrix::zeros(features, features);
        for_each_pair(rows, targets, "the targets", |rows, targets| {
            let x = centred(rows, &input_means);
            let transposed = x.transpose();
            gram.gemm(1.0, &transposed, &x, 1.0);
            cross.gemm(1.0, &transposed, &centred(targets, &target_means), 1.0);
        })?;
        let weights = match solve(gram, &cross, ridge) {
            Some(weights) => weights,
            None => {
                let infinite = [first_infinite(rows)?, first_infinite(targets)?].into_iter().flatten().next();
                return Err(infinite.unwrap_or(EvalError::DecompositionFailed));
            }
        };
        Ok(RidgeRegression { input_means, target_means, weights })
    }

    /// The predicted targets of rows, `[rows, features]`.
    ///
    /// # Errors
    /// [`EvalError::Width`] for rows of another width, [`EvalError::Empty`] for none, or an error from
    /// reading them.
    pub fn predict(&self, rows: &dyn BatchSource) -> Result<Dataset, EvalError> {
        let (count, features) = non_empty_shape(rows)?;
        if features != self.input_means.len() {
            return Err(EvalError::Width { expected: self.input_means.len(), got: features });
        }
        let mut predicted = memory::room("the predictions", count, features)?;
        for_each_block(rows, |block| {
            let outputs = centred(block, &self.input_means) * &self.weights;
            for r in 0..outputs.nrows() {
                predicted.extend((0..features).map(|c| (outputs[(r, c)] + self.target_means[c]) as f32));
            }
        })?;
        Ok(Dataset::new(predicted, features)?)
    }
}

/// Refuses a ridge that is negative or not finite.
pub(crate) fn check_ridge(ridge: f64) -> Result<(), EvalError> {
    match ridge >= 0.0 && ridge.is_finite() {
        true => Ok(()),
        false => Err(EvalError::InvalidSetting { field: "ridge", allowed: "at least 0 and finite" }),
    }
}

/// `(G + λ tr(G)/n I)⁻¹ C` for the product `G` `[n, n]` of centred rows with themselves and their
/// product `C` `[n, outputs]` with the targets; `None` if values are not finite or the system is
/// singular.
pub(crate) fn solve(mut gram: DMatrix<f64>, cross: &DMatrix<f64>, ridge: f64) -> Option<DMatrix<f64>> {
    if !gram.iter().chain(cross.iter()).all(|value| value.is_finite()) {
        return None;
    }
    let strength = ridge * gram.trace() / gram.nrows() as f64;
    for i in 0..gram.nrows() {
        gram[(i, i)] += strength;
    }
    Some(gram.cholesky()?.solve(cross))
}

#[cfg(test)]
mod tests {
    use ae_data::Rows;

    use super::*;

    fn rows(values: &[f32], features: usize) -> Rows<'_> {
        Rows::new(values, features).unwrap()
    }

    /// One feature: the weight has a closed form.
    #[test]
    fn one_feature_by_hand() {
        let (x, y) = ([0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 4.0, 9.0]);
        // Σ (x - 1.5)² = 5, Σ (x - 1.5) (y - 3.5) = 15; the ridge adds half of 5 to 5.
        for (ridge, weight) in [(0.0, 3.0), (0.5, 2.0)] {
            let fitted = RidgeRegression::fit(&rows(&x, 1), &rows(&y, 1), ridge).unwrap();
            let predicted = fitted.predict(&rows(&[2.5], 1)).unwrap();
            assert!((f64::from(predicted.values()[0]) - (3.5 + weight)).abs() < 1e-6, "{ridge}");
        }
    }

    /// A missing value is at the mean of its feature, here 1.5.
    #[test]
    fn missing_values_are_at_the_mean() {
        let (x, y) = ([0.0, 1.0, 2.0, 3.0, f32::NAN], [0.0, 1.0, 4.0, 9.0, 3.5]);
        let fitted = RidgeRegression::fit(&rows(&x, 1), &rows(&y, 1), 0.0).unwrap();
        let predicted = fitted.predict(&rows(&[2.5, f32::NAN], 1)).unwrap();
        assert!((predicted.values()[0] - 6.5).abs() < 1e-6 && (predicted.values()[1] - 3.5).abs() < 1e-6);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let said = |x: &[f32], y: &[f32], ridge| {
            RidgeRegression::fit(&rows(x, 2), &rows(y, 2), ridge).unwrap_err().to_string()
        };
        let six = [1.0, 2.0, 3.0, 5.0, 8.0, 4.0];
        assert_eq!(said(&six, &six[..4], 0.1), "expected 3 rows of the targets, got 2");
        assert!(
            said(&six, &[0.0, f32::INFINITY, 0.0, 0.0, 0.0, 0.0], 0.1).starts_with("row 1, column 2: inf")
        );
        assert!(said(&six, &six, -1.0).contains("ridge"));
        let same = RidgeRegression::fit(&rows(&[1.0; 6], 2), &rows(&six, 2), 0.0);
        assert!(matches!(same, Err(EvalError::DecompositionFailed)));
        let fitted = RidgeRegression::fit(&rows(&six, 2), &rows(&six, 2), 0.1).unwrap();
        let said = fitted.predict(&rows(&six, 3)).unwrap_err().to_string();
        assert_eq!(said, "expected rows of 2 features, got 3");
    }
}
