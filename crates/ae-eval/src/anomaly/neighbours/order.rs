//! The order in which rows and features are compared.

/// Iterations of the power method; the direction only has to be a good one.
const ROUNDS: usize = 8;

/// The features in descending order of their variance.
pub(super) fn by_variance(rows: &[f32], features: usize) -> Vec<usize> {
    let count = (rows.len() / features.max(1)).max(1) as f64;
    let mut moments = vec![(0.0, 0.0); features];
    for row in rows.chunks_exact(features.max(1)) {
        for ((sum, squares), x) in moments.iter_mut().zip(row) {
            let x = f64::from(*x);
            *sum += x;
            *squares += x * x;
        }
    }
    let variance = |(sum, squares): (f64, f64)| squares - sum * sum / count;
    let mut order: Vec<usize> = (0..features).collect();
    order.sort_by(|a, b| variance(moments[*b]).total_cmp(&variance(moments[*a])));
    order
}

pub(super) fn project(direction: &[f64], row: &[f32]) -> f64 {
    direction.iter().zip(row).map(|(d, x)| d * f64::from(*x)).sum()
}

/// A unit vector near the direction of the largest variance, by the power method on the centred rows.
pub(super) fn principal_direction(rows: &[f32], features: usize) -> Vec<f64> {
    let count = (rows.len() / features.max(1)).max(1) as f64;
    let mut mean = vec![0.0; features];
    for row in rows.chunks_exact(features.max(1)) {
        for (mean, x) in mean.iter_mut().zip(row) {
            *mean += f64::from(*x) / count;
        }
    }
    // An irregular start, which is unlikely to be orthogonal to any direction that matters.
    let mut direction: Vec<f64> = (0..features).map(|j| 1.0 + ((j * 7 + 3) % 11) as f64 / 11.0).collect();
    normalise(&mut direction);
    for _ in 0..ROUNDS {
        let offset: f64 = direction.iter().zip(&mean).map(|(d, mean)| d * mean).sum();
        let mut next = vec![0.0; features];
        for row in rows.chunks_exact(features.max(1)) {
            let along = project(&direction, row) - offset;
            for ((next, x), mean) in next.iter_mut().zip(row).zip(&mean) {
                *next += along * (f64::from(*x) - mean);
            }
        }
        if !normalise(&mut next) {
            break;
        }
        direction = next;
    }
    direction
}

/// Scales a direction to length one; returns false if it has none.
fn normalise(direction: &mut [f64]) -> bool {
    let norm = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
    if !(norm.is_finite() && norm > 0.0) {
        return false;
    }
    direction.iter_mut().for_each(|x| *x /= norm);
    true
}
