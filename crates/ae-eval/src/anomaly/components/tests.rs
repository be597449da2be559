//! Compares each score with its formula, given the outputs of the models for a few rows, with neighbours
//! found by brute force.

use ae_data::{Dataset, Rows};
use ae_model::{Activation, Autoencoder, Config, Optimizer, ScalerKind};
use ae_testing::random::SplitMix64;

use crate::anomaly::{Detector, Score, Settings};

const FEATURES: usize = 4;
const NEIGHBOURS: usize = 3;

/// Rows of four related features of different scales.
fn table(count: usize, seed: u64, spread: f32) -> Vec<f32> {
    let numbers = SplitMix64::new(seed).normal_f32s(count * FEATURES);
    let row =
        |n: &[f32]| [5.0 + n[0], 20.0 * (n[0] + 0.3 * n[1]), 0.1 * n[2], 300.0 + 7.0 * (n[2] - 0.5 * n[3])];
    numbers.iter().map(|x| spread * x).collect::<Vec<_>>().chunks_exact(FEATURES).flat_map(row).collect()
}

/// Thirteen rows, so that one of them is the median.
fn reference() -> Vec<f32> {
    table(13, 1, 1.0)
}

/// Rows of the same kind, and some that are farther out.
fn others() -> Vec<f32> {
    [table(3, 2, 1.0), table(3, 3, 4.0)].concat()
}

fn rows(values: &[f32]) -> Rows<'_> {
    Rows::new(values, FEATURES).unwrap()
}

fn settings(score: Score) -> Settings {
    Settings { score, neighbours: NEIGHBOURS, updates: 30, ..Settings::default() }
}

/// A detector with a model whose scaling differs from that of the neighbours.
fn detector(score: Score) -> Detector {
    let config = Config::builder(FEATURES)
        .hidden_dims([])
        .encoding_dim(2)
        .activation(Activation::Tanh)
        .scaler(ScalerKind::MinMax)
        .optimizer(Optimizer::ADAM)
        .learning_rate(0.02)
        .epochs(40)
        .build()
        .unwrap();
    let mut model = Autoencoder::new(config).unwrap();
    model.fit(&rows(&reference()), &mut []).unwrap();
    Detector::with_model(&settings(score), model, &rows(&reference())).unwrap()
}

/// One vector per row.
fn wide(table: &Dataset) -> Vec<Vec<f64>> {
    (0..table.rows()).map(|row| table.row(row).unwrap().iter().map(|x| f64::from(*x)).collect()).collect()
}

fn close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() < 2e-4 * b, "{found:?} {expected:?}");
    }
}

/// Rows minus the mean of the reference, divided by its standard deviation with the divisor m, not m -
/// 1.
fn standardised(values: &[f32]) -> Vec<Vec<f64>> {
    let reference = reference();
    let column = |j: usize| reference.iter().skip(j).step_by(FEATURES).map(|x| f64::from(*x));
    let moments: Vec<(f64, f64)> = (0..FEATURES)
        .map(|j| {
            let mean = column(j).sum::<f64>() / 13.0;
            (mean, (column(j).map(|x| (x - mean).powi(2)).sum::<f64>() / 13.0).sqrt())
        })
        .collect();
    let row =
        |row: &[f32]| row.iter().zip(&moments).map(|(x, (mean, sd))| (f64::from(*x) - mean) / sd).collect();
    values.chunks_exact(FEATURES).map(row).collect()
}

/// `sign z ln(1 + |z|)`
fn logarithmic(rows: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let one = |z: f64| if z < 0.0 { -(1.0 - z).ln() } else { (1.0 + z).ln() };
    rows.into_iter().map(|row| row.into_iter().map(one).collect()).collect()
}

/// The mean of the three smallest distances to rows of the reference; with `exclude_self`, the rows are
/// the reference, and none is its own neighbour.
fn nearest(rows: &[Vec<f64>], reference: &[Vec<f64>], exclude_self: bool) -> Vec<f64> {
    let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum::<f64>().sqrt();
    let of_row = |(i, row): (usize, &Vec<f64>)| {
        let others = reference.iter().enumerate().filter(|(j, _)| !exclude_self || i != *j);
        let mut all: Vec<f64> = others.map(|(_, other)| distance(row, other)).collect();
        all.sort_by(f64::total_cmp);
        all[..NEIGHBOURS].iter().sum::<f64>() / NEIGHBOURS as f64
    };
    rows.iter().enumerate().map(of_row).collect()
}

#[test]
fn the_error_is_the_sum_of_squares() {
    let detector = detector(Score::Error);
    let residuals = wide(&detector.model().residuals(&rows(&others())).unwrap());
    let expected: Vec<f64> = residuals.iter().map(|row| row.iter().map(|r| r * r).sum()).collect();
    close(&detector.scores(&rows(&others())).unwrap(), &expected);
}

#[test]
fn the_standardised_error_is_over_that_of_training() {
    let detector = detector(Score::StandardisedError);
    let training = wide(&detector.model().squared_errors(&rows(&reference())).unwrap());
    let means: Vec<f64> =
        (0..FEATURES).map(|j| training.iter().map(|row| row[j]).sum::<f64>() / 13.0).collect();
    let hundredth = 0.01 * means.iter().sum::<f64>() / FEATURES as f64;
    let squares = wide(&detector.model().squared_errors(&rows(&others())).unwrap());
    let of_row =
        |row: &Vec<f64>| row.iter().zip(&means).map(|(square, mean)| square / (mean + hundredth)).sum();
    let expected: Vec<f64> = squares.iter().map(of_row).collect();
    close(&detector.scores(&rows(&others())).unwrap(), &expected);
}

/// Solves a system by elimination without pivoting, which is enough for second moments.
fn solved(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let n = right.len();
    for i in 0..n {
        for k in (0..n).filter(|k| *k != i) {
            let factor = matrix[k][i] / matrix[i][i];
            for j in 0..n {
                matrix[k][j] -= factor * matrix[i][j];
            }
            right[k] -= factor * right[i];
        }
    }
    (0..n).map(|i| right[i] / matrix[i][i]).collect()
}

#[test]
fn the_mahalanobis_distance_is_by_the_second_moments() {
    let detector = detector(Score::Mahalanobis);
    let training = wide(&detector.model().residuals(&rows(&reference())).unwrap());
    let moment = |i: usize, j: usize| training.iter().map(|row| row[i] * row[j]).sum::<f64>() / 13.0;
    let hundredth = 0.01 * (0..FEATURES).map(|i| moment(i, i)).sum::<f64>() / FEATURES as f64;
    let with_ridge = |i: usize, j: usize| moment(i, j) + if i == j { hundredth } else { 0.0 };
    let moments: Vec<Vec<f64>> =
        (0..FEATURES).map(|i| (0..FEATURES).map(|j| with_ridge(i, j)).collect()).collect();
    let residuals = wide(&detector.model().residuals(&rows(&others())).unwrap());
    let of_row = |r: &Vec<f64>| solved(moments.clone(), r.clone()).iter().zip(r).map(|(x, r)| x * r).sum();
    let expected: Vec<f64> = residuals.iter().map(of_row).collect();
    close(&detector.scores(&rows(&others())).unwrap(), &expected);
}

#[test]
fn input_neighbours_are_near_in_standardised_features() {
    let detector = detector(Score::InputNeighbours);
    let training = standardised(&reference());
    let expected = nearest(&standardised(&others()), &training, false);
    close(&detector.scores(&rows(&others())).unwrap(), &expected);
    close(detector.training_scores(), &nearest(&training, &training, true));
}

#[test]
fn latent_neighbours_are_near_in_encodings() {
    let detector = detector(Score::LatentNeighbours);
    let codes = |values: &[f32]| wide(&detector.model().encode(&rows(values)).unwrap());
    let expected = nearest(&codes(&others()), &codes(&reference()), false);
    close(&detector.scores(&rows(&others())).unwrap(), &expected);
    close(detector.training_scores(), &nearest(&codes(&reference()), &codes(&reference()), true));
}

/// For each level alone, there is a detector with the same model.
#[test]
fn denoising_adds_up_all_levels() {
    let of = |noise: &[f64]| {
        let settings = Settings { noise: noise.to_vec(), ..settings(Score::Denoising) };
        Detector::fit(&settings, &rows(&reference())).unwrap()
    };
    let mut sums = vec![0.0; 6];
    for level in [0.2, 0.5, 1.0] {
        let detector = of(&[level]);
        let errors = wide(&detector.model().squared_errors(&rows(&others())).unwrap());
        let errors: Vec<f64> = errors.iter().map(|row| row.iter().sum()).collect();
        close(&detector.scores(&rows(&others())).unwrap(), &errors);
        sums.iter_mut().zip(&errors).for_each(|(sum, error)| *sum += error);
    }
    close(&of(&[0.2, 0.5, 1.0]).scores(&rows(&others())).unwrap(), &sums);
}

#[test]
fn the_ensemble_is_the_geometric_mean_over_medians() {
    let detector = detector(Score::Ensemble);
    let spaces = |values: &[f32]| {
        let codes = wide(&detector.model().encode(&rows(values)).unwrap());
        [standardised(values), logarithmic(standardised(values)), codes]
    };
    let (mut of_others, mut of_training) = ([1.0; 6], [1.0; 13]);
    for (training, others) in spaces(&reference()).iter().zip(&spaces(&others())) {
        let own = nearest(training, training, true);
        let mut sorted = own.clone();
        sorted.sort_by(f64::total_cmp);
        let median = sorted[6];
        of_training.iter_mut().zip(&own).for_each(|(product, x)| *product *= x / median);
        let values = nearest(others, training, false);
        of_others.iter_mut().zip(&values).for_each(|(product, x)| *product *= x / median);
    }
    close(&detector.scores(&rows(&others())).unwrap(), &of_others.map(f64::cbrt));
    close(detector.training_scores(), &of_training.map(f64::cbrt));
}

#[test]
fn variances_are_over_known_cells() {
    let squares = Dataset::new(vec![1.0, 9.0, 5.0, 3.0, 7.0, 5.0], 3).unwrap();
    let known = Dataset::new(vec![0.0, f32::NAN, f32::NAN, 0.0, 0.0, f32::NAN], 3).unwrap();
    // Means of 2 and 7, and a ridge of a hundredth of theirs.
    let found = super::ScoringContext::variances_of(&squares, &known);
    for (found, expected) in found.iter().zip([2.045, 7.045, 4.5]) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }
}
