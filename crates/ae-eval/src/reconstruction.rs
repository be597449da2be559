//! Reconstruction errors by value, feature and row, and the fraction of variance unexplained.

use ae_data::{BatchSource, Rng};
use ae_model::Autoencoder;

use crate::blocks::for_each_pair;
use crate::error::EvalError;
use crate::metrics::column_means;

/// Sums over known values `x` and their reconstructions `x̂`, for one or more features.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Fit {
    /// Number of values that are not missing.
    pub known: usize,
    /// `Σ (x̂ - x)²`
    pub squares: f64,
    /// `Σ |x̂ - x|`
    pub absolute: f64,
    /// `Σ (x - μ)²`, where `μ` is the mean of each feature over the same rows.
    pub total: f64,
}

impl Fit {
    /// Mean of `(x̂ - x)²`; like all means here, 0 without values.
    pub fn mse(&self) -> f64 {
        self.squares / self.known.max(1) as f64
    }

    /// Mean of `|x̂ - x|`.
    pub fn mae(&self) -> f64 {
        self.absolute / self.known.max(1) as f64
    }

    /// `√MSE`
    pub fn rmse(&self) -> f64 {
        self.mse().sqrt()
    }

    /// Mean of `(x - μ)²`.
    pub fn variance(&self) -> f64 {
        self.total / self.known.max(1) as f64
    }

    /// The fraction of variance unexplained, `Σ (x̂ - x)² / Σ (x - μ)²`; `None` if nothing varies.
    pub fn unexplained(&self) -> Option<f64> {
        (self.total > 0.0).then(|| self.squares / self.total)
    }

    /// `R² = 1 - Σ (x̂ - x)² / Σ (x - μ)²`; `None` if nothing varies. Over several features this is
    /// scikit-learn's `r2_score` with `multioutput="variance_weighted"`.
    pub fn r2(&self) -> Option<f64> {
        self.unexplained().map(|fraction| 1.0 - fraction)
    }

    /// The sums for values that are `scale` times as large.
    #[must_use]
    pub fn scaled(&self, scale: f64) -> Fit {
        let square = scale * scale;
        Fit {
            known: self.known,
            squares: self.squares * square,
            absolute: self.absolute * scale.abs(),
            total: self.total * square,
        }
    }

    fn add(&mut self, other: &Fit) {
        self.known += other.known;
        self.squares += other.squares;
        self.absolute += other.absolute;
        self.total += other.total;
    }
}

/// An interval of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// Rows compared with their reconstructions, summed by feature and by row. Missing values (NaN) are left
/// out of all sums.
#[derive(Clone, Debug, PartialEq)]
pub struct Reconstruction {
    features: Vec<Fit>,
    /// Squared error and number of known values of each row.
    rows: Vec<(f64, usize)>,
}

impl Reconstruction {
    /// Compares rows `[rows, features]` with their reconstructions of the same shape, both on the scale
    /// on which errors are to be measured.
    ///
    /// # Errors
    /// [`EvalError::Empty`] without rows, [`EvalError::Width`] or [`EvalError::RowCount`] for
    /// reconstructions of another shape, [`EvalError::NoValues`] if every value is missing, or an error
    /// from reading the rows.
    pub fn compare(
        rows: &dyn BatchSource,
        reconstructions: &dyn BatchSource,
    ) -> Result<Reconstruction, EvalError> {
        measure(rows, reconstructions, |x, y| (f64::from(y) - f64::from(x)).powi(2))
    }

    /// Reconstructs rows, in the units of the data, with a model and compares them on the model's scale:
    /// with their targets if the source has targets, else with the rows themselves.
    ///
    /// # Errors
    /// As [`Reconstruction::compare`], or an error from the model.
    pub fn evaluate(model: &Autoencoder, data: &dyn BatchSource) -> Result<Reconstruction, EvalError> {
        // Not from the reconstructions: in the units of the data, a small error of a large value would
        // be lost to rounding.
        let squares = model.squared_errors(data)?;
        measure(&model.scaled(data.targets().unwrap_or(data))?, &squares, |_, square| f64::from(square))
    }

    /// The sums of each feature, `[features]`.
    pub fn features(&self) -> &[Fit] {
        &self.features
    }

    /// The sums over all features.
    pub fn total(&self) -> Fit {
        let mut total = Fit::default();
        self.features.iter().for_each(|feature| total.add(feature));
        total
    }

    /// The sums of groups of features, such as the features of one column, by group number.
    ///
    /// `groups[j]` is the group of feature `j`. The features of a group count as one value per row.
    /// Groups are numbered from 0 to less than the number of features; features with a larger group
    /// number are left out.
    pub fn grouped(&self, groups: &[usize]) -> Vec<Fit> {
        let mut fits: Vec<Option<Fit>> = Vec::new();
        let known = self.features.iter().zip(groups).filter(|(_, group)| **group < self.features.len());
        for (feature, group) in known {
            if fits.len() <= *group {
                fits.resize(*group + 1, None);
            }
            match &mut fits[*group] {
                Some(fit) => fit.add(&Fit { known: 0, ..*feature }),
                first => *first = Some(*feature),
            }
        }
        fits.into_iter().map(Option::unwrap_or_default).collect()
    }

    /// The sums over all features if feature `j` were `scale[j]` times as large. With the scale of the
    /// model's scaler, these are errors in the units of the data. Features beyond the end of `scale` are
    /// not scaled.
    pub fn total_in_units(&self, scale: &[f64]) -> Fit {
        let mut total = Fit::default();
        let scales = scale.iter().copied().chain(std::iter::repeat(1.0));
        self.features.iter().zip(scales).for_each(|(feature, scale)| total.add(&feature.scaled(scale)));
        total
    }

    /// The mean squared error of each row over its known values; rows without known values are left out.
    pub fn row_errors(&self) -> Vec<f64> {
        self.known_rows().map(|(squares, known)| squares / known as f64).collect()
    }

    /// The mean squared error of each row over its known values; `None` for rows without any.
    pub fn errors_by_row(&self) -> Vec<Option<f64>> {
        self.rows.iter().map(|(squares, known)| (*known > 0).then(|| squares / *known as f64)).collect()
    }

    /// The confidence interval of the MSE at `level`, by the bootstrap over rows.
    ///
    /// Its ends are the quantiles `(1 ± level) / 2` of the MSE of `resamples` samples of as many rows,
    /// drawn with replacement (Efron & Tibshirani 1993, sec. 13.3). Of more than 100,000 rows, as
    /// many groups are drawn instead, into which the rows are dealt at random: the mean varies as much,
    /// and five million rows take seconds instead of minutes. The same seed gives the same interval.
    ///
    /// # Errors
    /// [`EvalError::FractionOutOfRange`] for a level outside (0, 1), [`EvalError::InvalidSetting`] for
    /// no resamples or more than 1,000,000.
    pub fn mse_interval(&self, resamples: usize, level: f64, seed: u64) -> Result<Interval, EvalError> {
        if !(level > 0.0 && level < 1.0) {
            let allowed = "above 0 and below 1";
            return Err(EvalError::FractionOutOfRange {
                what: "the level of the interval",
                value: level,
                allowed,
            });
        }
        if !(1..=1_000_000).contains(&resamples) {
            return Err(EvalError::InvalidSetting {
                field: "the number of resamples",
                allowed: "from 1 to 1,000,000",
            });
        }
        let mut rng = Rng::new(seed);
        let rows = dealt(self.known_rows().collect(), MAX_DRAWN, &mut rng);
        let mut found: Vec<f64> = (0..resamples)
            .map(|_| {
                let (mut squares, mut known) = (0.0, 0usize);
                for _ in 0..rows.len() {
                    let (square, count) = rows[rng.below(rows.len())];
                    squares += square;
                    known += count;
                }
                squares / known.max(1) as f64
            })
            .collect();
        found.sort_unstable_by(f64::total_cmp);
        let at = |p| quantile(&found, p).ok_or(EvalError::NoValues);
        Ok(Interval { low: at((1.0 - level) / 2.0)?, high: at((1.0 + level) / 2.0)? })
    }

    fn known_rows(&self) -> impl Iterator<Item = (f64, usize)> + '_ {
        self.rows.iter().copied().filter(|(_, known)| *known > 0)
    }
}

/// The most rows, or groups of rows, that are drawn for a resample.
const MAX_DRAWN: usize = 100_000;

/// Sums of squares and of known values of each row, or if there are more than `most`, of that many groups
/// into which the rows are dealt at random: rows that repeat themselves with some period must not end up
/// in the same groups.
fn dealt(rows: Vec<(f64, usize)>, most: usize, rng: &mut Rng) -> Vec<(f64, usize)> {
    if rows.len() <= most {
        return rows;
    }
    let mut groups = vec![(0.0, 0); most];
    for (squares, known) in rows {
        let (of_squares, of_known) = &mut groups[rng.below(most)];
        *of_squares += squares;
        *of_known += known;
    }
    groups
}

/// Sums over `rows` and their counterparts in `others`, from which `square` computes the squared error
/// of a value.
fn measure(
    rows: &dyn BatchSource,
    others: &dyn BatchSource,
    square: impl Fn(f32, f32) -> f64,
) -> Result<Reconstruction, EvalError> {
    let means = column_means(rows)?;
    let features = means.len();
    let mut sums =
        Reconstruction { features: vec![Fit::default(); features], rows: Vec::with_capacity(rows.rows()) };
    for_each_pair(rows, others, "the reconstructions", |rows, others| {
        for (row, other) in rows.chunks_exact(features).zip(others.chunks_exact(features)) {
            let (mut squares, mut known) = (0.0, 0);
            for (((x, y), mean), fit) in row.iter().zip(other).zip(&means).zip(&mut sums.features) {
                if x.is_nan() {
                    continue;
                }
                let error = square(*x, *y);
                fit.add(&Fit {
                    known: 1,
                    squares: error,
                    absolute: error.sqrt(),
                    total: (f64::from(*x) - mean).powi(2),
                });
                squares += error;
                known += 1;
            }
            sums.rows.push((squares, known));
        }
    })?;
    if sums.known_rows().next().is_none() {
        return Err(EvalError::NoValues);
    }
    Ok(sums)
}

/// The quantile `p`, from 0 to 1, of values in ascending order, with linear interpolation (Hyndman & Fan
/// 1996, type 7; NumPy's default). `None` without values or for a `p` out of range.
pub fn quantile(sorted: &[f64], p: f64) -> Option<f64> {
    if !(0.0..=1.0).contains(&p) {
        return None;
    }
    let position = p * sorted.len().checked_sub(1)? as f64;
    let low = *sorted.get(position.floor() as usize)?;
    match sorted.get(position.ceil() as usize) {
        // Equal values may be infinite, and their difference NaN.
        Some(high) if *high != low => Some(low + position.fract() * (high - low)),
        _ => Some(low),
    }
}

#[cfg(test)]
mod tests {
    use ae_data::{Rows, Subset};
    use ae_model::Config;

    use super::*;

    const TRUE: [f32; 18] = [0., 1., 4., 1., 2., 4.5, 2., 0.5, 3., 3., 3., 8., 4., 2.5, 6., 6., 1.5, 7.];
    const RECONSTRUCTED: [f32; 18] =
        [0.5, 1.25, 4., 1., 1.5, 5., 2.5, 1., 3.5, 2., 2.5, 7., 4.5, 2., 6.5, 5., 2., 6.];

    fn rows(values: &[f32], features: usize) -> Rows<'_> {
        Rows::new(values, features).unwrap()
    }

    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-12, "{value} {expected}");
    }

    /// Expected values from scikit-learn 1.9.1 and, for quantiles, NumPy.
    #[test]
    fn as_scikit_learn() {
        let found = Reconstruction::compare(&rows(&TRUE, 3), &rows(&RECONSTRUCTED, 3)).unwrap();
        let total = found.total();
        near(total.r2().unwrap(), 0.8516333938294011);
        near(total.mae(), 0.5416666666666666);
        near(total.mse(), 0.37847222222222215);
        near(total.rmse(), 0.37847222222222215f64.sqrt());
        let each = [0.8821428571428571, 0.7, 0.8489702517162472];
        let mses = [0.4583333333333333, 0.21875, 0.4583333333333333];
        for ((feature, r2), mse) in found.features().iter().zip(each).zip(mses) {
            near(feature.r2().unwrap(), r2);
            near(feature.mse(), mse);
        }
        let sorted = [1., 1., 2., 3., 4., 5., 6., 9.];
        for (p, expected) in [(0.5, 3.5), (0.9, 6.9), (0.99, 8.79), (0.0, 1.0), (1.0, 9.0)] {
            near(quantile(&sorted, p).unwrap(), expected);
        }
        assert_eq!(
            (quantile(&[], 0.5), quantile(&sorted, 1.1), quantile(&sorted, f64::NAN)),
            (None, None, None)
        );
    }

    #[test]
    fn missing_values_are_left_out() {
        // One missing value, and a row of missing values only; errors 1, 2 and 3.
        let x = [0.0, 10.0, 4.0, f32::NAN, f32::NAN, f32::NAN];
        let y = [1.0, 12.0, 7.0, 5.0, 5.0, 5.0];
        let found = Reconstruction::compare(&rows(&x, 2), &rows(&y, 2)).unwrap();
        let total = found.total();
        assert_eq!((total.known, total.squares, total.absolute, total.total), (3, 14.0, 6.0, 8.0));
        assert_eq!(found.row_errors(), [2.5, 9.0]);
        assert_eq!(found.errors_by_row(), [Some(2.5), Some(9.0), None]);
        assert_eq!((found.features()[1].r2(), found.features()[1].unexplained()), (None, None));
        // Ten times the second feature: 1 + 9 and 400.
        assert_eq!(found.total_in_units(&[1.0, 10.0]).squares, 410.0);
        assert_eq!(found.total_in_units(&[1.0, 10.0]).absolute, 24.0);
        assert!(matches!(
            Reconstruction::compare(&rows(&[f32::NAN; 2], 2), &rows(&[0.0; 2], 2)),
            Err(EvalError::NoValues)
        ));
    }

    #[test]
    fn features_of_a_column_are_one() {
        let found =
            Reconstruction::compare(&rows(&[0.0, 1.0, 2.0, 1.0, 0.0, 2.0], 3), &rows(&[0.5; 6], 3)).unwrap();
        let columns = found.grouped(&[1, 1, 0]);
        assert_eq!((columns.len(), columns[1].known, columns[1].squares), (2, 2, 1.0));
        assert_eq!((columns[0], columns[1].total), (found.features()[2], 1.0));
        assert_eq!(found.grouped(&[0, 1, 2]), found.features());
    }

    #[test]
    fn rows_without_a_slice_and_in_blocks() {
        let x: Vec<f32> = (0..2500 * 2).map(|i| (i % 13) as f32).collect();
        let y: Vec<f32> = x.iter().map(|x| x + 1.0).collect();
        let (x, y) = (rows(&x, 2), rows(&y, 2));
        let reversed = |rows| Subset::new(rows, (0..2500).rev().collect()).unwrap();
        let found = Reconstruction::compare(&reversed(&x), &reversed(&y)).unwrap();
        assert_eq!((found.total().known, found.total().squares), (5000, 5000.0));
        assert!(matches!(Reconstruction::compare(&x, &rows(&[0.0; 2], 2)), Err(EvalError::RowCount { .. })));
        let message = |(x, x_wide): (&[f32], usize), (y, y_wide): (&[f32], usize)| {
            Reconstruction::compare(&rows(x, x_wide), &rows(y, y_wide)).unwrap_err().to_string()
        };
        let six = [0.0; 6];
        assert_eq!(message((&six, 2), (&six[..4], 2)), "expected 3 rows of the reconstructions, got 2");
        assert_eq!(message((&six, 2), (&six, 3)), "expected rows of 2 features, got 3");
        assert_eq!(message((&[], 2), (&[], 2)), "there are no values: 0 rows of 2 features");
    }

    #[test]
    fn intervals_are_the_bootstraps_and_reproducible() {
        // Half of the rows have error 0, half 1: the MSE of a sample of 400 is binomial, with standard
        // deviation 1/40.
        let x = vec![0.0; 400];
        let y: Vec<f32> = (0..400).map(|i| (i % 2) as f32).collect();
        let found = Reconstruction::compare(&rows(&x, 1), &rows(&y, 1)).unwrap();
        let interval = found.mse_interval(1000, 0.95, 7).unwrap();
        assert!((interval.low - (0.5 - 1.96 / 40.0)).abs() < 0.008, "{interval:?}");
        assert!((interval.high - (0.5 + 1.96 / 40.0)).abs() < 0.008, "{interval:?}");
        assert_eq!(found.mse_interval(1000, 0.95, 7).unwrap(), interval);
        assert_ne!(found.mse_interval(1000, 0.95, 8).unwrap(), interval);
        for level in [0.0, 1.0, f64::NAN] {
            assert!(matches!(found.mse_interval(10, level, 0), Err(EvalError::FractionOutOfRange { .. })));
        }
        assert!(matches!(found.mse_interval(0, 0.9, 0), Err(EvalError::InvalidSetting { .. })));
        let alone = Reconstruction::compare(&rows(&[1.0], 1), &rows(&[3.0], 1)).unwrap();
        assert_eq!(alone.mse_interval(10, 0.95, 0).unwrap(), Interval { low: 4.0, high: 4.0 });
    }

    /// The same for other levels: the interval of 90 % is narrower than that of 95 % by 0.008 on either
    /// side.
    #[test]
    fn intervals_are_as_wide_as_their_level() {
        let x = vec![0.0; 400];
        let y: Vec<f32> = (0..400).map(|i| (i % 2) as f32).collect();
        let found = Reconstruction::compare(&rows(&x, 1), &rows(&y, 1)).unwrap();
        // Quantiles of the normal distribution.
        for (level, deviations) in [(0.95, 1.960), (0.9, 1.645), (0.5, 0.674)] {
            let Interval { low, high } = found.mse_interval(4000, level, 1).unwrap();
            assert!((low - (0.5 - deviations / 40.0)).abs() < 0.003, "{level}: {low}");
            assert!((high - (0.5 + deviations / 40.0)).abs() < 0.003, "{level}: {high}");
        }
    }

    /// Of very many rows, groups are drawn, whose mean varies as much.
    #[test]
    fn intervals_of_very_many_rows_are_as_wide() {
        let count = 3 * MAX_DRAWN + 1000;
        let y: Vec<f32> = (0..count).map(|i| (i % 2) as f32).collect();
        let found = Reconstruction::compare(&rows(&vec![0.0; count], 1), &rows(&y, 1)).unwrap();
        let Interval { low, high } = found.mse_interval(300, 0.9, 1).unwrap();
        let expected = 1.645 * 0.5 / (count as f64).sqrt();
        for side in [0.5 - low, high - 0.5] {
            assert!((side / expected - 1.0).abs() < 0.2, "{low} {high} {expected}");
        }
        let sums: Vec<(f64, usize)> = (0..25).map(|i| (f64::from(i), 1)).collect();
        assert_eq!(dealt(sums.clone(), 25, &mut Rng::new(1)), sums);
        let groups = dealt(sums, 10, &mut Rng::new(1));
        let whole = groups.iter().fold((0.0, 0), |(a, b), (x, n)| (a + x, b + n));
        assert_eq!((groups.len(), whole), (10, (300.0, 25)));
    }

    /// Rows count by their known values: half of the rows have one, with error 1, and half have nine,
    /// with error 0.
    #[test]
    fn intervals_are_of_the_mean_over_all_values() {
        let one = [[0.0; 1].as_slice(), &[f32::NAN; 8]].concat();
        let x = [one, vec![1.0; 9]].concat().repeat(200);
        let found = Reconstruction::compare(&rows(&x, 9), &rows(&vec![1.0; x.len()], 9)).unwrap();
        assert_eq!(found.total().mse(), 0.1);
        // A fraction p of rows with one value gives an MSE of p / (9 - 8 p), whose slope at 1/2 is 9/25;
        // p has standard deviation 1/40.
        let Interval { low, high } = found.mse_interval(2000, 0.95, 3).unwrap();
        let half = 1.96 * 9.0 / 25.0 / 40.0;
        assert!((low - (0.1 - half)).abs() < 0.003 && (high - (0.1 + half)).abs() < 0.003, "{low} {high}");
    }

    /// Errors on the model's scale are the model's own; in the units of the data they are those of its
    /// reconstructions.
    #[test]
    fn models() {
        let data = rows(&TRUE, 3);
        let config = Config::builder(3).encoding_dim(2).hidden_dims([]).epochs(3).build().unwrap();
        let mut model = Autoencoder::new(config).unwrap();
        model.fit(&data, &mut []).unwrap();
        let found = Reconstruction::evaluate(&model, &data).unwrap();
        let mse = model.mse(&data).unwrap();
        assert!((found.total().mse() - mse).abs() < 1e-6 * mse);
        let reconstructed = model.reconstruct(&data).unwrap();
        let plain = Reconstruction::compare(&data, &reconstructed).unwrap().total();
        let units = found.total_in_units(model.scaler().scale());
        for (a, b) in [(units.mse(), plain.mse()), (units.mae(), plain.mae()), (units.total, plain.total)] {
            assert!((a - b).abs() < 1e-5 * b, "{a} {b}");
        }
    }
}
