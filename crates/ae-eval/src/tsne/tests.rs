use ae_testing::random::SplitMix64;

use super::affinities::conditional;
use super::*;
use crate::neighbourhood::{NeighbourOrder, knn_accuracy, trustworthiness};

/// Three groups of twenty rows of ten values, ten standard deviations apart.
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
    assert_eq!(map.len(), 120);
    let order = NeighbourOrder::new(&Rows::new(&map, 2).unwrap(), None).unwrap();
    assert_eq!(knn_accuracy(&order, &labels, 5).unwrap(), 1.0);
    let truth = NeighbourOrder::new(&rows, None).unwrap();
    assert!(trustworthiness(&truth, &order, 5).unwrap() > 0.85);
}

#[test]
fn the_same_bits_for_any_threads_and_others_for_another_seed() {
    let (values, _) = groups();
    let rows = Rows::new(&values, 10).unwrap();
    let bits = |settings: &TsneSettings| -> Vec<u32> {
        tsne(&rows, settings).unwrap().into_iter().map(f32::to_bits).collect()
    };
    let one = bits(&settings(1));
    assert_eq!(one, bits(&settings(2)));
    assert_eq!(one, bits(&settings(3)));
    assert_ne!(one, bits(&TsneSettings { seed: 1, ..settings(1) }));
}

/// The forces of a step against the cost, by central differences.
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
    // Rows of which three are equally near cannot do with fewer neighbours.
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
    // All the same; along a line; of one value; huge.
    for (values, features) in [
        (vec![3.0; 40], 4),
        ((0..40).map(|i| (i / 4) as f32).collect(), 4),
        ((0..10).map(|i| i as f32).collect(), 1),
        ((0..40).map(|i| i as f32 * 1e36).collect(), 4),
    ] {
        for perplexity in [1.0, 3.0, 9.0] {
            let map = with(&values, features, perplexity).unwrap();
            assert!(map.len() == 20 && map.iter().all(|x| x.is_finite()));
        }
    }
    for perplexity in [0.5, 9.5, f64::NAN, f64::INFINITY] {
        let error = with(&[1.0; 40], 4, perplexity).unwrap_err().to_string();
        assert!(error.ends_with("of 10 rows: it must be at least 1 and at most 9"), "{error}");
    }
    assert!(matches!(with(&[1.0; 6], 2, 1.0), Err(EvalError::TooFewRows { rows: 3, least: 4 })));
    let many = vec![1.0; MOST_ROWS + 1];
    assert!(matches!(with(&many, 1, 2.0), Err(EvalError::TooManyRows { .. })));
    assert!(matches!(with(&[f32::NAN; 40], 4, 2.0), Err(EvalError::Model(_))));
}
