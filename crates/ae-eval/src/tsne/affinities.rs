//! Affinities of rows, from the distances between them.

use super::ROWS_AT_A_TIME;
use crate::blocks::squared_distance;
use ae_data::threads;

/// Tolerance for the entropy of a row's neighbours, which should be the logarithm of the perplexity.
const TOLERANCE: f64 = 1e-5;
/// Maximum steps of the bisection: enough to halve or double a `f64` as far as it is of use.
const MAX_BISECTIONS: usize = 200;

/// `p_ij = (p_j|i + p_i|j) / (2m)`, `[rows, rows]`, for rows `[rows, features]`; the diagonal is 0 and
/// the sum 1.
pub(super) fn joint_affinities(values: &[f32], features: usize, perplexity: f64, threads: usize) -> Vec<f64> {
    let count = values.len() / features;
    let of = |row: usize| &values[row * features..][..features];
    let mut joint = vec![0.0; count * count];
    threads::for_each_chunk(threads, &mut joint, ROWS_AT_A_TIME * count, |chunk, joint| {
        for (place, to_others) in joint.chunks_exact_mut(count).enumerate() {
            let row = chunk * ROWS_AT_A_TIME + place;
            for (other, distance) in to_others.iter_mut().enumerate() {
                *distance = squared_distance(of(row), of(other));
            }
            conditional(to_others, row, perplexity);
        }
    });
    let normaliser = 1.0 / (2.0 * count as f64);
    for row in 0..count {
        for other in row + 1..count {
            let both = normaliser * (joint[row * count + other] + joint[other * count + row]);
            joint[row * count + other] = both;
            joint[other * count + row] = both;
        }
    }
    joint
}

/// Turns the squared distances `d_j` of row `own` to each row into `p_j|i = exp(-β d_j) / Σ exp(-β d)`,
/// whose entropy `H = -Σ p ln p` is the logarithm of the perplexity. As H falls with β, bisection finds
/// β.
pub(super) fn conditional(distances: &mut [f64], own: usize, perplexity: f64) {
    // With the smallest distance subtracted from all, only the weights of distant rows underflow.
    distances[own] = f64::INFINITY;
    let min = distances.iter().copied().fold(f64::INFINITY, f64::min);
    // Dividing by the mean makes the search start near its end, whatever the units of the rows.
    let others = (distances.len() - 1) as f64;
    let mean = distances.iter().filter(|d| d.is_finite()).map(|d| d - min).sum::<f64>() / others;
    if mean > 0.0 {
        distances.iter_mut().for_each(|d| *d = (*d - min) / mean);
    } else {
        distances.iter_mut().for_each(|d| *d = 0.0);
    }
    distances[own] = f64::INFINITY;
    let target = perplexity.ln();
    let (mut low, mut high, mut beta) = (0.0, f64::INFINITY, 1.0);
    for _ in 0..MAX_BISECTIONS {
        let (mut sum, mut weighted) = (0.0, 0.0);
        for d in distances.iter().filter(|d| d.is_finite()) {
            let weight = (-beta * d).exp();
            sum += weight;
            weighted += weight * d;
        }
        // H = ln Σ exp(-β d) + β Σ p d
        let entropy = f64::ln(sum) + beta * weighted / sum;
        if (entropy - target).abs() < TOLERANCE {
            break;
        }
        if entropy > target {
            low = beta;
        } else {
            high = beta;
        }
        beta = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * beta };
    }
    let mut sum = 0.0;
    for d in distances.iter_mut() {
        *d = if d.is_finite() { (-beta * *d).exp() } else { 0.0 };
        sum += *d;
    }
    distances.iter_mut().for_each(|d| *d /= sum);
}
