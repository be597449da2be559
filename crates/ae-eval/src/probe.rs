//! A linear probe of encodings by ridge regression.

use ae_data::{BatchSource, memory};
use nalgebra::DMatrix;

use crate::blocks::{check_pairs, first_not_finite, for_each_block, non_empty_shape};
use crate::error::EvalError;
use crate::metrics::column_means;
use crate::ridge::{check_ridge, solve};

/// A linear classifier: ridge regression onto the indicators of the classes, where the largest output
/// wins.
///
/// With centred rows `X` `[m, n]` and centred indicators `Y` `[m, classes]`, the weights are
/// `(XᵀX + λ tr(XᵀX)/n I)⁻¹ XᵀY` (Hastie, Tibshirani & Friedman 2009, sec. 3.4.1 and 4.2). They have a
/// closed form, so that comparing two sets of features does not compare two optimizers. Sums are in
/// double precision.
#[derive(Clone, Debug)]
pub struct LinearProbe {
    mean: Vec<f64>,
    class_fractions: Vec<f64>,
    /// `[features, classes]`
    weights: DMatrix<f64>,
}

impl LinearProbe {
    /// Fits a classifier to `rows` and their classes, `classes` of them numbered from 0.
    ///
    /// `ridge` (`λ`), at least 0, is relative to the mean variance of the features; 1e-4 is a good
    /// value.
    ///
    /// # Errors
    /// [`EvalError::Classes`] unless every row has a class below `classes`; [`EvalError::Empty`] without
    /// rows; [`EvalError::InvalidSetting`] for a ridge that is negative or not finite or for more than
    /// 65,536 classes; [`EvalError::TooManyFeatures`] for more than 16,384;
    /// [`EvalError::Model`] for a value that is not finite, with its row and column;
    /// [`EvalError::DecompositionFailed`] if the system cannot be solved, because the ridge is too
    /// small.
    pub fn fit(
        rows: &dyn BatchSource,
        labels: &[u32],
        classes: usize,
        ridge: f64,
    ) -> Result<LinearProbe, EvalError> {
        check_ridge(ridge)?;
        let features = check(rows, labels, classes)?;
        check_pairs(features)?;
        let mut target = DMatrix::from_vec(features, classes, memory::zeros(WEIGHTS, features, classes)?);
        let mean = column_means(rows)?;
        let mut class_fractions = vec![0.0; classes];
        labels.iter().for_each(|label| class_fractions[*label as usize] += 1.0 / labels.len() as f64);
        let mut gram = DMatrix::zeros(features, features);
        let mut first = 0;
        for_each_block(rows, |block| {
            let count = block.len() / features;
            let x = centred(block, &mean);
            let y = DMatrix::from_fn(count, classes, |r, c| {
                f64::from(u8::from(labels[first + r] as usize == c)) - class_fractions[c]
            });
            gram.gemm(1.0, &x.transpose(), &x, 1.0);
            target.gemm(1.0, &x.transpose(), &y, 1.0);
            first += count;
        })?;
        match solve(gram, &target, ridge) {
            Some(weights) => Ok(LinearProbe { mean, class_fractions, weights }),
            None => Err(first_not_finite(rows)?.unwrap_or(EvalError::DecompositionFailed)),
        }
    }

    /// The class of each row.
    ///
    /// # Errors
    /// [`EvalError::Width`] for rows of another width, [`EvalError::Model`] for a value that is not
    /// finite, or an error from reading them.
    pub fn classify(&self, rows: &dyn BatchSource) -> Result<Vec<u32>, EvalError> {
        if rows.features() != self.mean.len() {
            return Err(EvalError::Width { expected: self.mean.len(), got: rows.features() });
        }
        if let Some(error) = first_not_finite(rows)? {
            return Err(error);
        }
        let mut found = memory::room("the classes", rows.rows(), 1)?;
        for_each_block(rows, |block| {
            let outputs = centred(block, &self.mean) * &self.weights;
            for r in 0..outputs.nrows() {
                let value = |c: usize| outputs[(r, c)] + self.class_fractions[c];
                let best = (1..self.class_fractions.len())
                    .fold(0, |best, c| if value(c) > value(best) { c } else { best });
                found.push(best as u32);
            }
        })?;
        Ok(found)
    }

    /// The fraction of rows that are classified correctly.
    ///
    /// # Errors
    /// [`EvalError::Classes`] if the number of labels is not that of the rows or a label is too large,
    /// or as [`LinearProbe::classify`].
    pub fn accuracy(&self, rows: &dyn BatchSource, labels: &[u32]) -> Result<f64, EvalError> {
        check(rows, labels, self.class_fractions.len())?;
        let found = self.classify(rows)?;
        let right = found.iter().zip(labels).filter(|(found, label)| found == label).count();
        Ok(right as f64 / labels.len() as f64)
    }
}

/// What errors call the parameters of a classifier.
pub(crate) const WEIGHTS: &str = "the weights of the classifier";
/// Largest number of classes.
const MAX_CLASSES: usize = 1 << 16;

/// The number of features, after checking that every row has a valid class and that there are not too
/// many classes.
pub(crate) fn check(rows: &dyn BatchSource, labels: &[u32], classes: usize) -> Result<usize, EvalError> {
    let (count, features) = non_empty_shape(rows)?;
    if classes > MAX_CLASSES {
        return Err(EvalError::InvalidSetting { field: "classes", allowed: "at most 65,536" });
    }
    if labels.len() != count || labels.iter().any(|label| *label as usize >= classes) {
        return Err(EvalError::Classes { rows: count, labels: labels.len(), classes });
    }
    Ok(features)
}

fn centred(block: &[f32], mean: &[f64]) -> DMatrix<f64> {
    let features = mean.len();
    DMatrix::from_fn(block.len() / features, features, |r, c| f64::from(block[r * features + c]) - mean[c])
}

#[cfg(test)]
mod tests {
    use ae_data::Rows;

    use super::*;

    /// Three groups around the corners of a triangle.
    fn groups() -> (Vec<f32>, Vec<u32>) {
        let corners = [[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]];
        let offset = |i: usize| [(i % 5) as f32 * 0.2, (i % 7) as f32 * 0.1];
        let rows = (0..90).flat_map(|i| [0, 1].map(|j| corners[i % 3][j] + offset(i)[j])).collect();
        (rows, (0..90).map(|i| (i % 3) as u32).collect())
    }

    #[test]
    fn groups_that_a_line_divides_are_told_apart() {
        let (values, labels) = groups();
        let rows = Rows::new(&values, 2).unwrap();
        let probe = LinearProbe::fit(&rows, &labels, 3, 1e-4).unwrap();
        assert_eq!(probe.classify(&rows).unwrap(), labels);
        assert_eq!(probe.accuracy(&rows, &labels).unwrap(), 1.0);
        let wrong: Vec<u32> = labels.iter().map(|label| (label + 1) % 3).collect();
        assert_eq!(probe.accuracy(&rows, &wrong).unwrap(), 0.0);
    }

    /// One feature, two classes: the weight has a closed form.
    #[test]
    fn one_feature_by_hand() {
        let rows = Rows::new(&[0.0, 1.0, 2.0, 3.0], 1).unwrap();
        let probe = LinearProbe::fit(&rows, &[0, 0, 1, 1], 2, 0.0).unwrap();
        // Σ (x - 1.5) (y - 0.5) / Σ (x - 1.5)² = 2 / 5
        assert!((probe.weights[(0, 1)] - 0.4).abs() < 1e-12 && (probe.weights[(0, 0)] + 0.4).abs() < 1e-12);
    }

    /// Two orthogonal features with sums of squares 4 and 16: ridge 0.5 adds half of their mean, which
    /// is 5, to each.
    #[test]
    fn ridge_is_relative_to_the_mean_variance() {
        let rows = Rows::new(&[8.0, -1.0, 8.0, -5.0, 6.0, -1.0, 6.0, -5.0], 2).unwrap();
        let probe = LinearProbe::fit(&rows, &[1, 1, 1, 0], 2, 0.5).unwrap();
        // Σ (x - mean) (y - 3/4) is 1 and 2.
        for (feature, weight) in [1.0 / (4.0 + 5.0), 2.0 / (16.0 + 5.0)].into_iter().enumerate() {
            assert!((probe.weights[(feature, 1)] - weight).abs() < 1e-12, "{}", probe.weights);
            assert!((probe.weights[(feature, 0)] + weight).abs() < 1e-12, "{}", probe.weights);
        }
    }

    /// If the features are uninformative, the most frequent class is the best guess.
    #[test]
    fn rows_that_say_nothing_are_of_the_most_frequent_class() {
        let values: Vec<f32> = (0..20).map(|i| if i % 2 == 0 { 3.0 } else { 5.0 }).collect();
        let labels: Vec<u32> = (0..20).map(|i| u32::from(i >= 2)).collect();
        let rows = Rows::new(&values, 1).unwrap();
        let probe = LinearProbe::fit(&rows, &labels, 2, 1e-4).unwrap();
        assert_eq!(probe.classify(&rows).unwrap(), [1; 20]);
        assert_eq!(probe.accuracy(&rows, &labels).unwrap(), 0.9);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let (values, labels) = groups();
        let rows = Rows::new(&values, 2).unwrap();
        let labels_error = |labels: &[u32], classes| {
            matches!(LinearProbe::fit(&rows, labels, classes, 0.1), Err(EvalError::Classes { .. }))
        };
        assert!(labels_error(&labels[1..], 3) && labels_error(&labels, 2));
        let none = Rows::new(&[], 2).unwrap();
        assert!(matches!(LinearProbe::fit(&none, &[], 3, 0.1), Err(EvalError::Empty { .. })));
        for ridge in [-1.0, f64::NAN, f64::INFINITY] {
            let refused = LinearProbe::fit(&rows, &labels, 3, ridge);
            assert!(matches!(refused, Err(EvalError::InvalidSetting { field: "ridge", .. })), "{ridge}");
        }
        let mut holed = values.clone();
        holed[2 * 77 + 1] = f32::NAN;
        let said = LinearProbe::fit(&Rows::new(&holed, 2).unwrap(), &labels, 3, 0.1).unwrap_err().to_string();
        assert!(said.starts_with("row 78, column 2: NaN"), "{said}");
        for classes in [65_537, usize::MAX / 2, usize::MAX] {
            let refused = LinearProbe::fit(&rows, &labels, classes, 0.1);
            assert!(matches!(refused, Err(EvalError::InvalidSetting { field: "classes", .. })), "{classes}");
        }
        let wide = vec![0.0; 2 * 60_000];
        let refused = LinearProbe::fit(&Rows::new(&wide, 60_000).unwrap(), &[0, 1], 2, 0.1);
        assert!(matches!(refused, Err(EvalError::TooManyFeatures { features: 60_000, .. })));
        let same = Rows::new(&[1.0; 180], 2).unwrap();
        assert!(matches!(LinearProbe::fit(&same, &labels, 3, 0.0), Err(EvalError::DecompositionFailed)));
        let probe = LinearProbe::fit(&rows, &labels, 3, 0.1).unwrap();
        let said = probe.classify(&Rows::new(&holed, 2).unwrap()).unwrap_err().to_string();
        assert!(said.starts_with("row 78, column 2: NaN"), "{said}");
        let said = probe.classify(&Rows::new(&values, 3).unwrap()).unwrap_err().to_string();
        assert_eq!(said, "expected rows of 2 features, got 3");
    }
}
