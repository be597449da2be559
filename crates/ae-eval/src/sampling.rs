//! Some of the rows, drawn at random.

/// The indices of `most` of `rows` rows, drawn from the seed without replacement, each set of rows as likely as another; all of them
/// where there are no more. In ascending order.
pub fn sample_rows(rows: usize, most: usize, seed: u64) -> Vec<usize> {
    let mut indices: Vec<usize> = (0..rows).collect();
    if rows > most {
        let mut rng = ae_data::Rng::new(seed);
        // The first places of a Fisher–Yates shuffle.
        for place in 0..most {
            indices.swap(place, place + rng.below(rows - place));
        }
        indices.truncate(most);
        indices.sort_unstable();
    }
    indices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_drawn_once() {
        assert_eq!(sample_rows(4, 4, 1), [0, 1, 2, 3]);
        assert_eq!(sample_rows(0, 4, 1), [0; 0]);
        let drawn = sample_rows(1000, 100, 1);
        assert!(drawn.len() == 100 && drawn.windows(2).all(|pair| pair[0] < pair[1]) && drawn[99] < 1000);
        assert_eq!(drawn, sample_rows(1000, 100, 1));
        assert_ne!(drawn, sample_rows(1000, 100, 2));
    }

    #[test]
    fn every_row_is_as_likely_as_another() {
        let mut drawn = [0.0f64; 20];
        for seed in 0..2000 {
            sample_rows(20, 5, seed).into_iter().for_each(|row| drawn[row] += 1.0);
        }
        // 500 in expectation; five standard deviations.
        let far = 5.0 * (2000.0f64 * 0.25 * 0.75).sqrt();
        assert!(drawn.iter().all(|count| (count - 500.0).abs() < far), "{drawn:?}");
    }
}
