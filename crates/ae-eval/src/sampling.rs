//! Random samples of rows.

use crate::error::EvalError;

/// Samples `max` of `rows` row indices without replacement, or all if there are no more, and returns
/// them in ascending order. Every set of rows is equally likely; the same seed gives the same set.
///
/// # Errors
/// [`EvalError::Data`] with [`DataError::OutOfMemory`](ae_data::DataError::OutOfMemory) for more rows than
/// there is memory for their indices.
pub fn sample_rows(rows: usize, max: usize, seed: u64) -> Result<Vec<usize>, EvalError> {
    let mut indices = ae_data::memory::indices(0..rows)?;
    if rows > max {
        let mut rng = ae_data::Rng::new(seed);
        // The first positions of a Fisher–Yates shuffle.
        for place in 0..max {
            indices.swap(place, place + rng.below(rows - place));
        }
        indices.truncate(max);
        indices.sort_unstable();
    }
    Ok(indices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_drawn_once() {
        assert_eq!(sample_rows(4, 4, 1).unwrap(), [0, 1, 2, 3]);
        assert_eq!(sample_rows(0, 4, 1).unwrap(), [0; 0]);
        let sampled = sample_rows(1000, 100, 1).unwrap();
        assert!(
            sampled.len() == 100 && sampled.windows(2).all(|pair| pair[0] < pair[1]) && sampled[99] < 1000
        );
        assert_eq!(sampled, sample_rows(1000, 100, 1).unwrap());
        assert_ne!(sampled, sample_rows(1000, 100, 2).unwrap());
        for max in [4, usize::MAX] {
            assert!(matches!(sample_rows(usize::MAX, max, 1), Err(EvalError::Data(_))), "{max}");
        }
    }

    #[test]
    fn every_row_is_as_likely_as_another() {
        let mut sampled = [0.0f64; 20];
        for seed in 0..2000 {
            sample_rows(20, 5, seed).unwrap().into_iter().for_each(|row| sampled[row] += 1.0);
        }
        // The expectation is 500; the bound is five standard deviations.
        let far = 5.0 * (2000.0f64 * 0.25 * 0.75).sqrt();
        assert!(sampled.iter().all(|count| (count - 500.0).abs() < far), "{sampled:?}");
    }
}
