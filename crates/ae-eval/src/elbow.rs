//! The elbow of a curve: the point beyond which more pays little.

/// Finds the elbow of a falling curve through the points `(x, y)`, where `x` must be increasing, and
/// returns its index.
///
/// The method is Kneedle (Satopää, Albrecht, Irwin & Raghavan 2011, "Finding a 'Kneedle' in a haystack",
/// sec. III), without its smoothing. Both axes are scaled to [0, 1],
/// `x̂ = (x - min x) / (max x - min x)` and `ŷ` alike. The elbow is the point farthest below the chord
/// from the first point to the last: the one with the largest `ŷ₁ + (ŷₘ - ŷ₁) x̂ - ŷ`, which is
/// proportional to the distance from the chord. Of equally far points it is the first.
///
/// Returns `None` for fewer than three points, slices of different lengths, values that are not finite,
/// `x` that is not increasing, or a curve that does not fall or is nowhere below its chord.
pub fn elbow(x: &[f64], y: &[f64]) -> Option<usize> {
    let rises = x.windows(2).all(|pair| pair[0] < pair[1]);
    let is_finite = x.iter().chain(y).all(|value| value.is_finite());
    if x.len() < 3 || x.len() != y.len() || !rises || !is_finite {
        return None;
    }
    let (x, y) = (normalised(x)?, normalised(y)?);
    let (first, last) = (*y.first()?, *y.last()?);
    if last >= first {
        return None;
    }
    let mut best = None;
    // Rounding alone must not give a straight line an elbow.
    let mut deepest = 1e-12;
    for (index, (x, y)) in x.iter().zip(&y).enumerate() {
        let depth = first + (last - first) * x - y;
        if depth > deepest {
            (best, deepest) = (Some(index), depth);
        }
    }
    best
}

/// The values scaled to [0, 1]; `None` if they are all equal.
fn normalised(values: &[f64]) -> Option<Vec<f64>> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let spread = high - low;
    (spread > 0.0 && spread.is_finite()).then(|| values.iter().map(|value| (value - low) / spread).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        // x̂ = 0, .25, .5, .75, 1; ŷ = 1, .3, .2, .1, 0; below the chord 0, .45, .3, .15, 0.
        assert_eq!(elbow(&[1.0, 2.0, 3.0, 4.0, 5.0], &[11.0, 4.0, 3.0, 2.0, 1.0]), Some(1));
        // Uneven steps: x̂ = 0, 1/16, 3/16, 6/16, 1; ŷ = 1, .6, .4, .1, 0; depths 0, .34, .41, .525, 0.
        assert_eq!(elbow(&[2.0, 5.0, 11.0, 20.0, 50.0], &[10.0, 6.0, 4.0, 1.0, 0.0]), Some(3));
        // A very shallow curve: the depth is a hundredth.
        assert_eq!(elbow(&[1.0, 2.0, 3.0], &[10.0, 4.9, 0.0]), Some(1));
        // 1/x is farthest from the chord of [1, 16] where its slope is the chord's, -1/16: at 4.
        let x: Vec<f64> = (1..=16).map(f64::from).collect();
        let y: Vec<f64> = x.iter().map(|x| 1.0 / x).collect();
        assert_eq!(elbow(&x, &y), Some(3));
    }

    #[test]
    fn of_points_equally_far_the_first() {
        // Depths 0, 1/4, 1/4, 1/8, 0, exactly.
        assert_eq!(elbow(&[0.0, 1.0, 2.0, 3.0, 4.0], &[8.0, 4.0, 2.0, 1.0, 0.0]), Some(1));
    }

    #[test]
    fn curves_without_an_elbow() {
        let x = [1.0, 2.0, 3.0];
        assert_eq!(elbow(&x, &[3.0, 2.0, 1.0]), None, "a line");
        assert_eq!(elbow(&x, &[3.0, 2.9, 1.0]), None, "bent the other way");
        assert_eq!(elbow(&x, &[1.0, 0.0, 3.0]), None, "rises");
        assert_eq!(elbow(&x, &[1.0; 3]), None, "flat");
        assert_eq!(elbow(&x, &[3.0, 1.0, 3.0]), None, "ends where it began");
        assert_eq!(elbow(&x, &[3.0, f64::NAN, 1.0]), None);
        assert_eq!(elbow(&[1.0, 1.0, 2.0], &[3.0, 1.0, 0.0]), None);
        assert_eq!(elbow(&x[..2], &[3.0, 1.0]), None);
        assert_eq!(elbow(&x, &[3.0, 1.0]), None);
        assert_eq!(elbow(&[], &[]), None);
    }
}
