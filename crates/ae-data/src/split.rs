//! Reproducible splits of rows.

use crate::error::DataError;
use crate::memory;
use crate::source::BatchSource;

/// A small random number generator whose stream never changes: SplitMix64 (Steele, Lea & Flood 2014),
/// with the output function of its reference implementation.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// Creates a generator from a seed.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// Returns the next 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns a number below `limit`, which must not be 0; the bias is at most `limit / 2⁶⁴`.
    pub fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.next_u64()) * limit as u128) >> 64) as usize
    }

    /// Returns a multiple of 2⁻⁵³ in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Splits the rows of a source into training and validation rows, both ascending: by
/// [`BatchSource::held_out`] if the source holds rows out, else by [`validation_split`].
///
/// # Errors
/// [`DataError::Fraction`] unless the fraction is in [0, 1), [`DataError::OutOfMemory`] for more rows than
/// there is memory for their indices.
pub fn train_validation_split(
    source: &dyn BatchSource,
    fraction: f64,
    seed: u64,
) -> Result<(Vec<usize>, Vec<usize>), DataError> {
    check(fraction)?;
    let (rows, held_out) = (source.rows(), source.held_out());
    if held_out == 0 {
        return validation_split(rows, fraction, seed);
    }
    let first = rows.saturating_sub(held_out);
    Ok((memory::indices(0..first)?, memory::indices(first..rows)?))
}

/// Splits the rows `0..rows` at random into training rows and a `fraction` of validation rows, both
/// ascending. With two or more rows and a fraction above 0, each part gets at least one row.
///
/// # Errors
/// [`DataError::Fraction`] unless the fraction is in [0, 1), [`DataError::OutOfMemory`] for more rows than
/// there is memory for their indices.
pub fn validation_split(
    rows: usize,
    fraction: f64,
    seed: u64,
) -> Result<(Vec<usize>, Vec<usize>), DataError> {
    check(fraction)?;
    let wanted = (rows as f64 * fraction).round() as usize;
    let count = if fraction > 0.0 && rows > 1 { wanted.clamp(1, rows - 1) } else { 0 };
    let mut rng = Rng::new(seed);
    let mut order: Vec<usize> = memory::indices(0..rows)?;
    // The first `count` places of a Fisher–Yates shuffle.
    for place in 0..count {
        let other = place + rng.below(rows - place);
        order.swap(place, other);
    }
    let mut train = order.split_off(count);
    order.sort_unstable();
    train.sort_unstable();
    Ok((train, order))
}

fn check(fraction: f64) -> Result<(), DataError> {
    if (0.0..1.0).contains(&fraction) { Ok(()) } else { Err(DataError::Fraction { value: fraction }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_in_exactly_one_part() {
        for (rows, fraction, expected) in [
            (10, 0.0, 0),
            (10, 0.2, 2),
            (2, 0.9, 1),
            (2, 0.01, 1),
            (1, 0.5, 0),
            (0, 0.5, 0),
            (1000, 0.333, 333),
        ] {
            let (train, validation) = validation_split(rows, fraction, 7).unwrap();
            assert_eq!(validation.len(), expected, "{rows} rows, {fraction}");
            assert!(train.is_sorted() && validation.is_sorted(), "{rows} rows, {fraction}");
            let mut all = [train, validation].concat();
            all.sort_unstable();
            assert_eq!(all, (0..rows).collect::<Vec<_>>());
        }
        assert_ne!(validation_split(100, 0.5, 1).unwrap(), validation_split(100, 0.5, 2).unwrap());
        assert_eq!(validation_split(100, 0.05, 1).unwrap().1, GOLDEN);
    }

    const GOLDEN: [usize; 5] = [3, 46, 56, 74, 97];

    /// The first numbers of `splitmix64.c` (Sebastiano Vigna, 2015) with `x = 1234567`.
    #[test]
    fn the_stream_is_that_of_the_reference() {
        let mut rng = Rng::new(1_234_567);
        let stream: Vec<u64> = (0..3).map(|_| rng.next_u64()).collect();
        assert_eq!(stream, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
        // The first one divided by 2^64.
        assert_eq!(Rng::new(1_234_567).below(100_000), 35_007);
        assert!((Rng::new(1_234_567).unit() - 0.350_079_542_021).abs() < 1e-12);
    }

    #[test]
    fn fractions_outside_their_range_are_refused() {
        for fraction in [-0.1, 1.0, f64::NAN, f64::INFINITY] {
            assert!(validation_split(10, fraction, 0).is_err(), "{fraction}");
        }
    }

    #[test]
    fn more_rows_than_there_is_memory_for_are_refused() {
        for rows in [usize::MAX, usize::MAX / 8, usize::MAX / 16] {
            let split = validation_split(rows, 0.1, 0);
            assert!(matches!(split, Err(DataError::OutOfMemory { .. })), "{rows}");
        }
    }
}
