//! Two simple baseline scores on standardised features.

use ae_data::{Dataset, Rng};

/// Maximum number of training rows searched for neighbours, so that large datasets take minutes rather
/// than hours.
const MAX_ROWS: usize = 20_000;
/// Which neighbour counts: the default of PyOD's kNN.
const NEIGHBOUR: usize = 5;

/// Returns the squared distance to the mean of the training rows, which is 0.
pub(super) fn distance_to_mean(test: &Dataset) -> Vec<f64> {
    let square = |row: &[f32]| row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    test.iter_rows().map(square).collect()
}

/// Returns the squared distance to the fifth nearest training row, or the farthest if there are fewer.
pub(super) fn fifth_neighbour(train: &Dataset, test: &Dataset, seed: u64) -> Vec<f64> {
    let features = train.features().max(1);
    let mut indices: Vec<usize> = (0..train.rows()).collect();
    if indices.len() > MAX_ROWS {
        let mut rng = Rng::new(seed);
        for place in 0..MAX_ROWS {
            let other = place + rng.below(indices.len() - place);
            indices.swap(place, other);
        }
        indices.truncate(MAX_ROWS);
    }
    // Feature by feature, so that the sums of many rows are updated together.
    let columns: Vec<Vec<f32>> =
        (0..features).map(|j| indices.iter().map(|i| train.values()[i * features + j]).collect()).collect();
    let mut distances = vec![0.0f32; indices.len()];
    let place = (NEIGHBOUR - 1).min(indices.len().saturating_sub(1));
    let mut of_row = |row: &[f32]| {
        distances.fill(0.0);
        for (x, column) in row.iter().zip(&columns) {
            for (sum, y) in distances.iter_mut().zip(column) {
                *sum += (x - y) * (x - y);
            }
        }
        if distances.is_empty() {
            0.0
        } else {
            f64::from(*distances.select_nth_unstable_by(place, f32::total_cmp).1)
        }
    };
    test.iter_rows().map(&mut of_row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        let line = Dataset::new(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 1).unwrap();
        let test = Dataset::new(vec![0.0, 6.0], 1).unwrap();
        assert_eq!(fifth_neighbour(&line, &test, 0), [25.0, 16.0]);
        assert_eq!(distance_to_mean(&test), [0.0, 36.0]);
        let few = Dataset::new(vec![1.0, 2.0], 1).unwrap();
        assert_eq!(fifth_neighbour(&few, &test, 0), [4.0, 25.0]);
    }
}
