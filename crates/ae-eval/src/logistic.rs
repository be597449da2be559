//! A linear probe of encodings by multinomial logistic regression.

use ae_data::{BatchSource, memory};
use nalgebra::{DMatrix, DMatrixView};

use crate::blocks::{BLOCK, block, first_not_finite, for_each_block};
use crate::error::EvalError;
use crate::lbfgs::{self, Termination};
use crate::metrics::column_means;
use crate::probe::{WEIGHTS, check};
use ae_data::threads;

/// Convergence tolerance of the largest partial derivative of the objective: a tenth of scikit-learn's.
/// A hundredth of this takes minutes instead of seconds for 60,000 images, and predicts the same
/// classes.
const TOLERANCE: f64 = 1e-5;
/// Steps after which the optimization is given up.
const MAX_STEPS: usize = 2000;

/// A linear classifier: multinomial logistic regression with an L2 penalty, on standardised features.
///
/// Over the weights `W` `[features, classes]` and the biases, which are not penalised, it minimises
/// `½ ‖W‖² + C Σ_rows -ln p(class | row)` with `p = softmax(Wᵀx + b)` (Hastie, Tibshirani & Friedman
/// 2009, sec. 4.4). This is scikit-learn's `LogisticRegression(C)` after its `StandardScaler`; for two
/// classes, of which scikit-learn penalises the weights of one, its `LogisticRegression(2 C)`. Constant
/// features are left out.
///
/// L-BFGS starts from zero and ends when no partial derivative of the mean over the rows exceeds 1e-5.
/// It works in double precision and sums in a fixed order, so that the same rows give the same
/// classifier.
#[derive(Clone, Debug)]
pub struct LogisticProbe {
    mean: Vec<f64>,
    /// The reciprocal of each feature's standard deviation; 0 for a constant feature.
    inverse_std: Vec<f64>,
    /// `[features, classes]`
    weights: DMatrix<f64>,
    bias: Vec<f64>,
}

impl LogisticProbe {
    /// Fits a classifier to `rows` and their classes, `classes` of them numbered from 0.
    ///
    /// `c` (`C`), above 0, is the weight of the rows relative to the penalty; 1 is a good value.
    ///
    /// # Errors
    /// [`EvalError::Classes`] unless every row has a class below `classes`; [`EvalError::Empty`] without
    /// rows; [`EvalError::InvalidSetting`] for a `c` that is not positive and finite or for more than
    /// 65,536 classes; [`EvalError::Data`] for weights that do not fit into memory;
    /// [`EvalError::Model`] for a value that is not finite, with its row and column;
    /// [`EvalError::NotConverged`] for a `c` that is too large.
    pub fn fit(
        rows: &dyn BatchSource,
        labels: &[u32],
        classes: usize,
        c: f64,
    ) -> Result<LogisticProbe, EvalError> {
        LogisticProbe::fit_with_tolerance(rows, labels, classes, c, TOLERANCE)
    }

    fn fit_with_tolerance(
        rows: &dyn BatchSource,
        labels: &[u32],
        classes: usize,
        c: f64,
        tolerance: f64,
    ) -> Result<LogisticProbe, EvalError> {
        if !(c > 0.0 && c.is_finite()) {
            return Err(EvalError::InvalidSetting { field: "C", allowed: "above 0 and finite" });
        }
        let features = check(rows, labels, classes)?;
        // The memory of L-BFGS is some twenty times that.
        drop(memory::room::<f64>(WEIGHTS, features.saturating_add(1).saturating_mul(20), classes)?);
        let mean = column_means(rows)?;
        let mut squares = vec![0.0; features];
        for_each_block(rows, |block| {
            for row in block.chunks_exact(features) {
                for ((square, x), mean) in squares.iter_mut().zip(row).zip(&mean) {
                    *square += (f64::from(*x) - mean).powi(2);
                }
            }
        })?;
        if !squares.iter().all(|square| square.is_finite()) {
            return Err(first_not_finite(rows)?.unwrap_or(EvalError::DecompositionFailed));
        }
        let inverse_std = squares.iter().map(|square| {
            let deviation = (square / labels.len() as f64).sqrt();
            if deviation > 0.0 { 1.0 / deviation } else { 0.0 }
        });
        let mut probe = LogisticProbe {
            inverse_std: inverse_std.collect(),
            mean,
            weights: DMatrix::zeros(features, classes),
            bias: vec![0.0; classes],
        };
        let mut parameters = vec![0.0; (features + 1) * classes];
        let termination = lbfgs::minimise(&mut parameters, tolerance, MAX_STEPS, |parameters, gradient| {
            probe.set(parameters);
            probe.objective(rows, labels, c, gradient)
        })?;
        let Termination { converged, steps, gradient } = termination;
        if !converged {
            return Err(EvalError::NotConverged { steps, gradient });
        }
        probe.set(&parameters);
        Ok(probe)
    }

    /// The most probable class of each row.
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
            let x = self.standardised(block);
            let x = DMatrixView::from_slice(&x, self.mean.len(), block.len() / self.mean.len());
            for output in self.outputs(x).column_iter() {
                let best =
                    (1..output.len()).fold(0, |best, c| if output[c] > output[best] { c } else { best });
                found.push(best as u32);
            }
        })?;
        Ok(found)
    }

    /// The fraction of rows that are classified correctly.
    ///
    /// # Errors
    /// [`EvalError::Classes`] if the number of labels is not that of the rows or a label is too large,
    /// or as [`LogisticProbe::classify`].
    pub fn accuracy(&self, rows: &dyn BatchSource, labels: &[u32]) -> Result<f64, EvalError> {
        check(rows, labels, self.bias.len())?;
        let found = self.classify(rows)?;
        let right = found.iter().zip(labels).filter(|(found, label)| found == label).count();
        Ok(right as f64 / labels.len() as f64)
    }

    /// Sets the weights, column by column, and then the biases.
    fn set(&mut self, parameters: &[f64]) {
        let (weights, bias) = parameters.split_at(self.weights.len());
        self.weights.copy_from_slice(weights);
        self.bias.copy_from_slice(bias);
    }

    /// The standardised rows, row-major.
    fn standardised(&self, block: &[f32]) -> Vec<f64> {
        let mut values = Vec::with_capacity(block.len());
        for row in block.chunks_exact(self.mean.len()) {
            let scales = self.mean.iter().zip(&self.inverse_std);
            values.extend(
                row.iter().zip(scales).map(|(x, (mean, inverse_std))| (f64::from(*x) - mean) * inverse_std),
            );
        }
        values
    }

    /// The outputs for the rows in the columns of `x`, one column each.
    fn outputs(&self, x: DMatrixView<'_, f64>) -> DMatrix<f64> {
        let mut outputs = DMatrix::from_fn(self.bias.len(), x.ncols(), |class, _| self.bias[class]);
        outputs.gemm(1.0, &self.weights.transpose(), &x, 1.0);
        outputs
    }

    /// The objective, divided by `C` times the number of rows, and its gradient. Blocks of rows are
    /// distributed over threads and their contributions summed in order.
    fn objective(
        &self,
        rows: &dyn BatchSource,
        labels: &[u32],
        c: f64,
        gradient: &mut [f64],
    ) -> Result<f64, EvalError> {
        let penalty = 1.0 / (labels.len() as f64 * c);
        let mut parts: Vec<Option<Result<PartialObjective, EvalError>>> =
            (0..labels.len().div_ceil(BLOCK)).map(|_| None).collect();
        threads::for_each_chunk(threads::count(None), &mut parts, 1, |index, part| {
            part.fill_with(|| Some(self.part(rows, labels, index)));
        });
        let mut total = PartialObjective {
            value: 0.5 * penalty * self.weights.norm_squared(),
            weight_gradient: &self.weights * penalty,
            bias_gradient: vec![0.0; self.bias.len()],
        };
        for part in parts.into_iter().flatten() {
            let PartialObjective { value, weight_gradient, bias_gradient } = part?;
            total.value += value;
            total.weight_gradient += weight_gradient;
            total.bias_gradient.iter_mut().zip(bias_gradient).for_each(|(sum, delta)| *sum += delta);
        }
        let (weights, bias) = gradient.split_at_mut(self.weights.len());
        weights.copy_from_slice(total.weight_gradient.as_slice());
        bias.copy_from_slice(&total.bias_gradient);
        Ok(total.value)
    }

    /// The contribution of the rows of block `index` to the objective.
    fn part(
        &self,
        rows: &dyn BatchSource,
        labels: &[u32],
        index: usize,
    ) -> Result<PartialObjective, EvalError> {
        let (features, classes) = self.weights.shape();
        let row_weight = 1.0 / labels.len() as f64;
        let range = index * BLOCK..labels.len().min((index + 1) * BLOCK);
        let labels = &labels[range.clone()];
        let x = self.standardised(block(rows, range, &mut Vec::new())?);
        let x = DMatrixView::from_slice(&x, features, labels.len());
        let mut outputs = self.outputs(x);
        let (mut value, mut bias_gradient) = (0.0, vec![0.0; classes]);
        for (mut row, label) in outputs.column_iter_mut().zip(labels) {
            let (label, max_output) = (*label as usize, row.max());
            let label_output = row[label] - max_output;
            row.apply(|z| *z = (*z - max_output).exp());
            let sum = row.sum();
            value += row_weight * (sum.ln() - label_output);
            // The derivative with respect to the outputs.
            row.apply(|p| *p *= row_weight / sum);
            row[label] -= row_weight;
            bias_gradient.iter_mut().zip(row.iter()).for_each(|(sum, delta)| *sum += delta);
        }
        Ok(PartialObjective { value, weight_gradient: x * outputs.transpose(), bias_gradient })
    }
}

/// The objective of some rows, and its derivatives.
struct PartialObjective {
    value: f64,
    weight_gradient: DMatrix<f64>,
    bias_gradient: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use ae_data::Rows;

    use super::*;

    /// The first thousand digits and the rest, with labels.
    fn digits() -> [(Vec<f32>, Vec<u32>); 2] {
        let digits = ae_data::digits().unwrap();
        let labels = digits.labels().unwrap();
        let codes = (0..labels.len()).map(|row| labels.name_of(row).unwrap().parse().unwrap());
        let codes: Vec<u32> = codes.collect();
        let (train, test) = digits.values().split_at(1000 * 64);
        [(train.to_vec(), codes[..1000].to_vec()), (test.to_vec(), codes[1000..].to_vec())]
    }

    /// scikit-learn 1.9.1: `StandardScaler`, then `LogisticRegression(C, tol=1e-11, max_iter=100000)`.
    #[test]
    fn as_scikit_learn() {
        let [(train, labels), (test, test_labels)] = digits();
        let (train, test) = (Rows::new(&train, 64).unwrap(), Rows::new(&test, 64).unwrap());
        let golden = [
            (1.0, 0.9335006273525721, 0.025656693587144397, 78.22434771933915, 0.1877195242835223),
            (0.01, 0.9121706398996235, 0.40699803362864057, 6.5896356484120115, 0.14155318633683137),
        ];
        for (c, accuracy, loss, squares, weight) in golden {
            let probe = LogisticProbe::fit_with_tolerance(&train, &labels, 10, c, 1e-7).unwrap();
            assert!((probe.accuracy(&test, &test_labels).unwrap() - accuracy).abs() < 1e-12, "{c}");
            let near = |value: f64, expected: f64| {
                assert!((value - expected).abs() < 2e-4 * expected.abs(), "{c}: {value} {expected}");
            };
            near(probe.weights.norm_squared(), squares);
            near(probe.weights[(20, 3)], weight);
            let objective = probe.objective(&train, &labels, c, &mut vec![0.0; 650]).unwrap();
            near(objective, loss + squares / (2000.0 * c));
            // The first column of pixels is blank in all of them.
            assert!((0..10).all(|class| probe.weights[(0, class)] == 0.0));
        }
    }

    #[test]
    fn the_gradient_agrees_with_differences() {
        let [(train, labels), _] = digits();
        let rows = Rows::new(&train[..37 * 64], 64).unwrap();
        let mut probe = LogisticProbe::fit(&rows, &labels[..37], 10, 0.1).unwrap();
        let at: Vec<f64> = (0..650).map(|i| ((i * 7) % 11) as f64 * 0.03 - 0.15).collect();
        let mut gradient = vec![0.0; 650];
        let mut value = |parameters: &[f64], gradient: &mut [f64]| {
            probe.set(parameters);
            probe.objective(&rows, &labels[..37], 0.3, gradient).unwrap()
        };
        value(&at, &mut gradient);
        for index in (0..650).step_by(13) {
            let mut difference = [1e-5, -1e-5].map(|h| {
                let mut moved = at.clone();
                moved[index] += h;
                value(&moved, &mut vec![0.0; 650])
            });
            difference[0] -= difference[1];
            let numeric = difference[0] / 2e-5;
            assert!((gradient[index] - numeric).abs() < 1e-8, "{index}: {} {numeric}", gradient[index]);
        }
    }

    /// Rows that are read in blocks, from a source without a slice, give the same bits; so does another
    /// run.
    #[test]
    fn the_same_rows_give_the_same_classifier() {
        let [(train, labels), _] = digits();
        let twice = [&train[..], &train[..]].concat();
        let (rows, labels) = (Rows::new(&twice, 64).unwrap(), [&labels[..], &labels[..]].concat());
        let far = ae_data::Subset::new(&rows, (0..2000).collect()).unwrap();
        let near = LogisticProbe::fit(&rows, &labels, 10, 0.01).unwrap();
        assert_eq!(near.weights, LogisticProbe::fit(&far, &labels, 10, 0.01).unwrap().weights);
        assert_eq!(near.weights, LogisticProbe::fit(&rows, &labels, 10, 0.01).unwrap().weights);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let rows = Rows::new(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], 2).unwrap();
        let fit = |labels: &[u32], c| LogisticProbe::fit(&rows, labels, 2, c);
        assert!(matches!(fit(&[0, 1], 1.0), Err(EvalError::Classes { .. })));
        assert!(matches!(fit(&[0, 1, 2], 1.0), Err(EvalError::Classes { .. })));
        for c in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(fit(&[0, 1, 1], c), Err(EvalError::InvalidSetting { .. })));
        }
        for classes in [65_537, u32::MAX as usize, usize::MAX] {
            let refused = LogisticProbe::fit(&rows, &[0, 1, 1], classes, 1.0);
            assert!(matches!(refused, Err(EvalError::InvalidSetting { field: "classes", .. })), "{classes}");
        }
        for wrong in [f32::NAN, f32::INFINITY] {
            let values = [1.0, wrong, 2.0, 1.0];
            let holed = Rows::new(&values, 2).unwrap();
            let said = LogisticProbe::fit(&holed, &[0, 1], 2, 1.0).unwrap_err().to_string();
            assert!(said.starts_with("row 1, column 2: "), "{said}");
        }
        let probe = fit(&[0, 1, 1], 1.0).unwrap();
        let said = probe.classify(&Rows::new(&[0.0; 3], 3).unwrap()).unwrap_err().to_string();
        assert_eq!(said, "expected rows of 2 features, got 3");
        assert!(probe.accuracy(&rows, &[0]).is_err());
        let same = Rows::new(&[1.0; 6], 2).unwrap();
        let of_shares = LogisticProbe::fit(&same, &[0, 1, 1], 2, 1.0).unwrap();
        assert_eq!(of_shares.classify(&same).unwrap(), [1, 1, 1]);
    }
}
