use ae_testing::random::SplitMix64;

use super::affinities::conditional;
use super::*;
use crate::neighbourhood::{NeighbourOrder, knn_accuracy, trustworthiness};

/// Three groups of twenty rows of ten values, whose means are ten standard deviations from 0 on three
/// axes.
fn groups() -> (Vec<f32>, Vec<u32>) {
    let mut values = SplitMix64::new(5).normal_f32s(60 * 10);
    for (row, values) in values.chunks_exact_mut(10).enumerate() {
        values[row % 3] += 10.0;
    }
    (values, (0..60).map(|row| row % 3).collect())
}

fn settings(threads: usize) -> TsneSettings {
    TsneSettings { perplexity: 10.0, threads: Some(threads), ..TsneSettings::default() }
}

#[test]
fn groups_stay_apart() {
    let (values, labels) = groups();
    let rows = Rows::new(&values, 10).unwrap();
    let map = tsne(&rows, &settings(1)).unwrap();
    assert_eq!((map.rows(), map.features()), (60, 2));
    let order = NeighbourOrder::new(&map, None).unwrap();
    assert_eq!(knn_accuracy(&order, &labels, 5).unwrap(), 1.0);
    let truth = NeighbourOrder::new(&rows, None).unwrap();
    assert!(trustworthiness(&truth, &order, 5).unwrap() > 0.85);
}

#[test]
fn the_same_bits_for_any_threads_and_others_for_another_seed() {
    let (values, _) = groups();
    let rows = Rows::new(&values, 10).unwrap();
    let bits = |settings: &TsneSettings| -> Vec<u32> {
        tsne(&rows, settings).unwrap().values().iter().map(|x| x.to_bits()).collect()
    };
    let one = bits(&settings(1));
    assert_eq!(one, bits(&settings(2)));
    assert_eq!(one, bits(&settings(3)));
    assert_ne!(one, bits(&TsneSettings { seed: 1, ..settings(1) }));
}

/// Compares the forces of a step with the cost, by central differences.
#[test]
fn forces_are_the_gradient() {
    let (values, _) = groups();
    let (values, count) = (&values[..110], 11);
    let p = joint_affinities(values, 10, 3.0, 1);
    assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    let spread = SplitMix64::new(9).normal_f32s(2 * count);
    let at =
        [0, 1].map(|axis| spread.iter().skip(axis).step_by(2).map(|x| f64::from(*x)).collect::<Vec<_>>());
    let cost = |at: &[Vec<f64>; 2]| -> f64 {
        let w =
            |i: usize, j: usize| 1.0 / (1.0 + (at[0][i] - at[0][j]).powi(2) + (at[1][i] - at[1][j]).powi(2));
        let pairs = || (0..count).flat_map(|i| (0..count).filter(move |j| *j != i).map(move |j| (i, j)));
        let total: f64 = pairs().map(|(i, j)| w(i, j)).sum();
        pairs().map(|(i, j)| p[i * count + j] * (p[i * count + j] / (w(i, j) / total)).ln()).sum()
    };
    let forces: Vec<Forces> =
        (0..count).map(|row| Forces::on(row, &at[0], &at[1], &p[row * count..][..count])).collect();
    let total: f64 = forces.iter().map(|forces| forces.weight - 1.0).sum();
    for (row, forces) in forces.iter().enumerate() {
        for axis in 0..2 {
            let moved = |by: f64| {
                let mut at = at.clone();
                at[axis][row] += by;
                cost(&at)
            };
            let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            let exact = 4.0 * (forces.attraction[axis] - forces.repulsion[axis] / total);
            assert!((numeric - exact).abs() < 1e-7, "row {row}: {numeric} {exact}");
        }
    }
}

#[test]
fn rows_get_their_perplexity() {
    let perplexity = |p: &[f64]| (-p.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f64>()).exp();
    for scale in [1e-12, 1.0, 1e20] {
        for wanted in [1.5, 5.0, 30.0, 48.9] {
            let mut p: Vec<f64> = (0..50).map(|i| scale * f64::from(i * i)).collect();
            conditional(&mut p, 0, wanted);
            assert!((perplexity(&p) - wanted).abs() < 1e-3, "{wanted}: {}", perplexity(&p));
            assert!(p[0] == 0.0 && (p.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }
    // If three rows are equally near, the perplexity cannot be less than 3.
    let mut p = [0.0, 1.0, 1.0, 1.0, 5.0];
    conditional(&mut p, 0, 1.0);
    assert_eq!(p, [0.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0, 0.0]);
    let mut p = [0.0; 5];
    conditional(&mut p, 2, 2.0);
    assert_eq!(p, [0.25, 0.25, 0.0, 0.25, 0.25]);
}

#[test]
fn awkward_rows() {
    let with = |values: &[f32], features: usize, perplexity: f64| {
        tsne(&Rows::new(values, features).unwrap(), &TsneSettings { perplexity, ..settings(1) })
    };
    // All equal; along a line; one feature; huge.
    for (values, features) in [
        (vec![3.0; 40], 4),
        ((0..40).map(|i| (i / 4) as f32).collect(), 4),
        ((0..10).map(|i| i as f32).collect(), 1),
        ((0..40).map(|i| i as f32 * 1e36).collect(), 4),
    ] {
        for perplexity in [1.0, 3.0, 9.0] {
            let map = with(&values, features, perplexity).unwrap();
            assert!(map.values().len() == 20 && map.values().iter().all(|x| x.is_finite()));
        }
    }
    for perplexity in [0.5, 9.5, f64::NAN, f64::INFINITY] {
        let error = with(&[1.0; 40], 4, perplexity).unwrap_err().to_string();
        assert!(error.ends_with("for 10 rows it must be from 1 to 9"), "{error}");
    }
    assert!(matches!(with(&[1.0; 6], 2, 1.0), Err(EvalError::TooFewRows { rows: 3, min: 4 })));
    let many = vec![1.0; MAX_ROWS + 1];
    assert!(matches!(with(&many, 1, 2.0), Err(EvalError::TooManyRows { .. })));
    assert!(matches!(with(&[f32::NAN; 40], 4, 2.0), Err(EvalError::Model(_))));
}

/// Also of coordinates that only single precision cannot hold.
#[test]
fn an_overflow_is_named() {
    for value in [f64::NAN, f64::INFINITY, 1e39, -1e39] {
        let mut layout = Layout::new(&cloud(12), 5, 0).unwrap();
        layout.positions[1][7] = value;
        let error = layout.into_map().unwrap_err().to_string();
        assert_eq!(error, "t-SNE diverged: a coordinate is not finite");
    }
    assert_eq!(Layout::new(&cloud(12), 5, 0).unwrap().into_map().unwrap().values().len(), 24);
}

fn squared(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| (x - y).powi(2)).sum()
}

/// `p_ij` of rows, with each `β_i` by bisection between 0 and a value that is too large.
fn affinities(values: &[f32], features: usize, perplexity: f64) -> Vec<Vec<f64>> {
    let rows: Vec<Vec<f64>> =
        values.chunks_exact(features).map(|row| row.iter().map(|x| f64::from(*x)).collect()).collect();
    let count = rows.len();
    let conditional = |i: usize, beta: f64| -> Vec<f64> {
        let weight = |j: usize| if i == j { 0.0 } else { (-beta * squared(&rows[i], &rows[j])).exp() };
        let sum: f64 = (0..count).map(weight).sum();
        (0..count).map(|j| weight(j) / sum).collect()
    };
    let entropy = |p: &[f64]| -p.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f64>();
    let each: Vec<Vec<f64>> = (0..count)
        .map(|i| {
            let (mut low, mut high) = (0.0, 8.0);
            for _ in 0..60 {
                let middle = (low + high) / 2.0;
                if entropy(&conditional(i, middle)) > perplexity.ln() { low = middle } else { high = middle }
            }
            conditional(i, low)
        })
        .collect();
    (0..count)
        .map(|i| (0..count).map(|j| (each[i][j] + each[j][i]) / (2.0 * count as f64)).collect())
        .collect()
}

/// `w_ij` of points in the plane, and their sum.
fn weights(at: &[[f64; 2]]) -> (Vec<Vec<f64>>, f64) {
    let weight = |i: usize, j: usize| if i == j { 0.0 } else { 1.0 / (1.0 + squared(&at[i], &at[j])) };
    let all: Vec<Vec<f64>> = (0..at.len()).map(|i| (0..at.len()).map(|j| weight(i, j)).collect()).collect();
    let total = all.iter().flatten().sum();
    (all, total)
}

/// `Σ p ln(p / q)`
fn divergence(p: &[Vec<f64>], map: &[f32]) -> f64 {
    let at: Vec<[f64; 2]> = map.as_chunks::<2>().0.iter().map(|at| at.map(f64::from)).collect();
    let (w, total) = weights(&at);
    let pairs = p.iter().flatten().zip(w.iter().flatten()).filter(|(p, _)| **p > 0.0);
    pairs.map(|(p, w)| p * (p / (w / total)).ln()).sum()
}

/// Rows without groups.
fn cloud(count: usize) -> Vec<f32> {
    SplitMix64::new(8).normal_f32s(count * 5)
}

#[test]
fn affinities_are_those_of_all_pairs() {
    let values = cloud(20);
    let found = joint_affinities(&values, 5, 4.0, 1);
    for (found, expected) in found.iter().zip(affinities(&values, 5, 4.0).iter().flatten()) {
        assert!((found - expected).abs() <= 1e-3 * expected, "{found} {expected}");
    }
}

#[test]
fn the_divergence_falls_far() {
    let values = cloud(60);
    let p = affinities(&values, 5, 8.0);
    let after = |iterations: usize| {
        let settings =
            TsneSettings { perplexity: 8.0, iterations, threads: Some(1), ..TsneSettings::default() };
        divergence(&p, tsne(&Rows::new(&values, 5).unwrap(), &settings).unwrap().values())
    };
    let (first, last) = (after(0), after(1000));
    assert!(first > 1.5 && last < 0.7, "{first} {last}");
}

/// Steps with momentum and gains, computed from the formulas.
#[test]
fn steps_have_momentum_and_gains() {
    let (count, values) = (12, cloud(12));
    let joint = joint_affinities(&values, 5, 3.0, 1);
    let p: Vec<&[f64]> = joint.chunks_exact(count).collect();
    let mut layout = Layout::new(&values, 5, 0).unwrap();
    let mut at: Vec<[f64; 2]> =
        (0..count).map(|row| [layout.positions[0][row], layout.positions[1][row]]).collect();
    let (mut last, mut gains) = (vec![[0.0; 2]; count], vec![[1.0f64; 2]; count]);
    // By then gains have risen and fallen, and the effect of rounding on the coordinates is still small.
    for iteration in 0..25 {
        let (momentum, factor) = if iteration < 15 { (0.5, 12.0) } else { (0.8, 1.0) };
        let (w, total) = weights(&at);
        let before = at.clone();
        for i in 0..count {
            for axis in 0..2 {
                let pull = |j: usize| {
                    (factor * p[i][j] - w[i][j] / total) * w[i][j] * (before[i][axis] - before[j][axis])
                };
                let gradient = 4.0 * (0..count).map(pull).sum::<f64>();
                let downhill = last[i][axis] * gradient < 0.0;
                gains[i][axis] = if downhill { gains[i][axis] + 0.2 } else { gains[i][axis] * 0.8 };
                last[i][axis] = momentum * last[i][axis] - 50.0 * gains[i][axis] * gradient;
                at[i][axis] += last[i][axis];
            }
        }
        layout.step(&joint, momentum, factor, 1);
        let size = at.iter().flatten().fold(0.0f64, |size, x| size.max(x.abs()));
        for (row, expected) in at.iter().enumerate() {
            let error = (0..2).map(|axis| (layout.positions[axis][row] - expected[axis]).abs()).sum::<f64>();
            assert!(error < 1e-6 * size, "step {iteration}, row {row}: {expected:?}");
        }
    }
    assert!(gains.iter().flatten().any(|gain| *gain > 1.5) && gains.iter().flatten().any(|gain| *gain < 0.5));
}

#[test]
fn attraction_is_stronger_at_first() {
    let values = cloud(12);
    let joint = joint_affinities(&values, 5, 3.0, 1);
    let mut layout = Layout::new(&values, 5, 0).unwrap();
    for iteration in 1..=253 {
        let (momentum, attraction) = if iteration <= 250 { (0.5, 12.0) } else { (0.8, 1.0) };
        layout.step(&joint, momentum, attraction, 1);
        if [1, 249, 250, 251, 253].contains(&iteration) {
            let settings = TsneSettings { perplexity: 3.0, iterations: iteration, ..settings(1) };
            let map = tsne(&Rows::new(&values, 5).unwrap(), &settings).unwrap();
            let expected: Vec<f32> = (0..24).map(|i| layout.positions[i % 2][i / 2] as f32).collect();
            assert_eq!(map.values(), expected, "{iteration} iterations");
        }
    }
}

/// The first step of a row at 1, for as many rows at 1 as at 0, without attraction and with gains
/// `gain`, divided by the gradient: each row is pushed by `m/2` others with weight 1/2, and
/// `Σ w = m (m/2 - 1 + m/4)`.
fn first_step(count: usize, gain: f64) -> f64 {
    let mut layout = Layout {
        positions: [(0..count).map(|row| (row % 2) as f64).collect(), vec![0.0; count]],
        steps: [vec![0.0; count], vec![0.0; count]],
        gains: [vec![gain; count], vec![gain; count]],
        forces: vec![Forces::default(); count],
    };
    layout.step(&vec![0.0; count * count], 0.5, 1.0, 2);
    assert_eq!(layout.positions[1], vec![0.0; count]);
    let m = count as f64;
    let gradient = 4.0 * (m / 2.0 * 0.25) / (m * (0.75 * m - 1.0));
    (layout.positions[0][1] - 1.0) / gradient
}

#[test]
fn the_rate_grows_with_the_rows() {
    for (count, rate) in [(480, 50.0), (2640, 55.0)] {
        let step = first_step(count, 1.0);
        assert!((step / (0.8 * rate) - 1.0).abs() < 1e-9, "{count}: {step}");
    }
}

#[test]
fn gains_are_a_hundredth_at_least() {
    for (gain, expected) in [(0.0125, 0.5), (0.0115, 0.5), (0.001, 0.5), (0.025, 1.0)] {
        let step = first_step(16, gain);
        assert!((step / expected - 1.0).abs() < 1e-9, "{gain}: {step}");
    }
}
