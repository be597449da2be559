//! Reproducible random values.

/// A generator of uniform values: SplitMix64 (Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Creates a generator whose values depend only on the seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// Returns `count` values between `low` and `high`.
    pub fn uniform(&mut self, count: usize, low: f64, high: f64) -> Vec<f32> {
        (0..count).map(|_| (low + (high - low) * self.next()) as f32).collect()
    }

    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_spread() {
        let values = Random::new(0).uniform(1000, -1.0, 3.0);
        let mean = values.iter().sum::<f32>() / 1000.0;
        assert!(values.iter().all(|x| (-1.0..=3.0).contains(x)) && (mean - 1.0).abs() < 0.1, "{mean}");
    }
}
