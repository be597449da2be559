//! Maps values by their rank: a monotone, invertible map to normal scores.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Maximum number of knots that are equally many ranks apart. Towards either end there are more, each at
/// half the distance of the one before.
const KNOTS: usize = 64;

/// A strictly increasing, piecewise linear map from values to normal scores: the `p`-quantile becomes
/// `Φ⁻¹(p)`. A column of any distribution then has a mean of about 0 and a standard deviation of about
/// 1, and only values far outside the range seen are extreme. Equal values share the middle of their
/// ranks. Beyond both ends the map continues with its mean slope, so it is invertible everywhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Quantiles {
    values: Vec<f64>,
    scores: Vec<f64>,
}

/// The serialized form of a map, not yet validated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    values: Vec<f64>,
    scores: Vec<f64>,
}

impl TryFrom<Unchecked> for Quantiles {
    type Error = &'static str;

    fn try_from(Unchecked { values, scores }: Unchecked) -> Result<Quantiles, &'static str> {
        let map = Quantiles { values, scores };
        if map.is_valid() {
            return Ok(map);
        }
        Err("quantiles that are not strictly increasing, or not as many values as scores")
    }
}

impl Quantiles {
    /// Creates the map from these values, without those that are NaN or infinite.
    pub fn fit(values: impl IntoIterator<Item = f32>) -> Quantiles {
        let mut sorted: Vec<f32> = values.into_iter().filter(|x| x.is_finite()).collect();
        sorted.sort_unstable_by(f32::total_cmp);
        let count = sorted.len();
        let mut map = Quantiles { values: Vec::new(), scores: Vec::new() };
        for rank in ranks(count) {
            let value = sorted[rank];
            if map.values.last().is_some_and(|last| *last >= f64::from(value)) {
                continue;
            }
            let below = sorted.partition_point(|x| *x < value);
            let through = sorted.partition_point(|x| *x <= value);
            map.values.push(f64::from(value));
            map.scores.push(normal_quantile((below + through) as f64 / (2 * count) as f64));
        }
        if map.values.is_empty() {
            map = Quantiles { values: vec![0.0], scores: vec![0.0] };
        }
        map
    }

    /// Returns the score of a value.
    pub fn score(&self, value: f64) -> f64 {
        interpolate(&self.values, &self.scores, value)
    }

    /// Returns the value that has this score.
    pub fn value(&self, score: f64) -> f64 {
        interpolate(&self.scores, &self.values, score)
    }

    /// Whether the map is valid: as many scores as values, all finite and strictly increasing.
    fn is_valid(&self) -> bool {
        let is_increasing =
            |x: &[f64]| x.iter().all(|x| x.is_finite()) && x.windows(2).all(|pair| pair[0] < pair[1]);
        !self.values.is_empty()
            && self.values.len() == self.scores.len()
            && is_increasing(&self.values)
            && is_increasing(&self.scores)
    }
}

/// Returns the ranks of the knots among `count` values, ascending. Without those in the tails, the
/// outermost values would have nearly the same score, however far apart they are.
fn ranks(count: usize) -> BTreeSet<usize> {
    let Some(last) = count.checked_sub(1) else { return BTreeSet::new() };
    let even = (0..KNOTS).map(|knot| knot * last / (KNOTS - 1));
    let halves =
        std::iter::successors(Some(last / (KNOTS - 1)), |rank| Some(rank / 2)).take_while(|rank| *rank > 0);
    even.chain(halves.flat_map(|rank| [rank, last - rank])).collect()
}

/// Interpolates `y` at `position` on the line through the points `(x, y)`, which continues beyond them
/// with its mean slope, or with slope 1 for a single point.
fn interpolate(x: &[f64], y: &[f64], position: f64) -> f64 {
    let last = x.len() - 1;
    let line = |from: usize, through: [usize; 2]| {
        let [a, b] = through;
        let slope = if a == b { 1.0 } else { (y[b] - y[a]) / (x[b] - x[a]) };
        y[from] + slope * (position - x[from])
    };
    match x.partition_point(|x| *x <= position) {
        0 => line(0, [0, last]),
        above if above > last => line(last, [0, last]),
        above => line(above - 1, [above - 1, above]),
    }
}

/// `Φ⁻¹(p)` for `p` in (0, 1), to a relative error of 1.15e-9: Peter Acklam's rational approximation
/// (2003).
fn normal_quantile(p: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969683028665376e1,
        2.209460984245205e2,
        -2.759285104469687e2,
        1.38357751867269e2,
        -3.066479806614716e1,
        2.506628277459239,
    ];
    const B: [f64; 6] = [
        -5.447609879822406e1,
        1.615858368580409e2,
        -1.556989798598866e2,
        6.680131188771972e1,
        -1.328068155288572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784894002430293e-3,
        -3.223964580411365e-1,
        -2.400758277161838,
        -2.549732539343734,
        4.374664141464968,
        2.938163982698783,
    ];
    const D: [f64; 5] =
        [7.784695709041462e-3, 3.224671290700398e-1, 2.445134137142996, 3.754408661907416, 1.0];
    let polynomial = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |p: f64| {
        let q = (-2.0 * p.ln()).sqrt();
        polynomial(&C, q) / polynomial(&D, q)
    };
    if p < 0.02425 {
        tail(p)
    } else if p > 1.0 - 0.02425 {
        -tail(1.0 - p)
    } else {
        let q = p - 0.5;
        q * polynomial(&A, q * q) / polynomial(&B, q * q)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Expected values from `scipy.stats.norm.ppf`.
    #[test]
    fn quantiles_of_the_normal_distribution() {
        for (p, expected) in [
            (0.5, 0.0),
            (0.975, 1.959963984540054),
            (0.01, -2.3263478740408408),
            (1e-6, -4.753424308822899),
            (0.999, 3.090232306167813),
        ] {
            let found = normal_quantile(p);
            assert!((found - expected).abs() <= 2e-9 * (1.0 + expected.abs()), "{p}: {found}");
        }
    }

    #[test]
    fn equal_values_share_a_rank() {
        let map = Quantiles::fit([0.0, 0.0, 0.0, 5.0]);
        assert!((map.score(0.0) - normal_quantile(0.375)).abs() < 1e-12);
        assert!((map.score(5.0) - normal_quantile(0.875)).abs() < 1e-12);
        let constant = Quantiles::fit([7.0, 7.0]);
        assert_eq!((constant.score(7.0), constant.score(9.0), constant.value(1.0)), (0.0, 2.0, 8.0));
        assert_eq!(Quantiles::fit([f32::NAN]).score(3.0), 3.0);
    }

    #[test]
    fn only_valid_maps_are_deserialised() {
        let read = serde_json::from_str::<Quantiles>;
        for text in [
            r#"{"values":[],"scores":[]}"#,
            r#"{"values":[1.0],"scores":[]}"#,
            r#"{"values":[1.0,1.0],"scores":[0.0,1.0]}"#,
            r#"{"values":[1.0,2.0],"scores":[1.0,0.0]}"#,
        ] {
            let said = read(text).unwrap_err().to_string();
            assert!(said.starts_with("quantiles that are not strictly increasing"), "{said}");
        }
        assert!(read(r#"{"values":[1.0],"scores":[0.0],"more":1}"#).is_err());
        let map = Quantiles::fit([1.0, 3.0, 4.0]);
        assert_eq!(read(&serde_json::to_string(&map).unwrap()).unwrap(), map);
    }

    #[test]
    fn heavy_tails_are_drawn_in() {
        let map = Quantiles::fit((0..1000).map(|i| (i as f32 / 50.0).exp()));
        let scores: Vec<f64> = (0..1000).map(|i| map.score(f64::from((i as f32 / 50.0).exp()))).collect();
        let mean = scores.iter().sum::<f64>() / 1000.0;
        let variance = scores.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 1000.0;
        assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.1, "{mean} {variance}");
        assert!(map.values.len() <= 2 * KNOTS);
        // Even with the heaviest tails, the outermost values have distinct scores.
        let cauchy = |p: f64| (std::f64::consts::PI * (p - 0.5)).tan();
        let map = Quantiles::fit((0..20_000).map(|i| cauchy((f64::from(i) + 0.5) / 20_000.0) as f32));
        for (p, score) in [(0.99, 2.326), (0.995, 2.576), (0.999, 3.090), (0.001, -3.090)] {
            let found = map.score(cauchy(p));
            assert!((found - score).abs() < 0.2, "{p}: {found} for {score}");
        }
    }

    proptest! {
        #[test]
        fn maps_rise_and_have_an_inverse(
            values in prop::collection::vec(-1e6f32..1e6, 1..300),
            probes in prop::collection::vec(-3e6f64..3e6, 2..20),
        ) {
            let map = Quantiles::fit(values.iter().copied());
            prop_assert!(map.is_valid());
            let mut probes = probes;
            probes.sort_unstable_by(f64::total_cmp);
            probes.dedup();
            for pair in probes.windows(2) {
                prop_assert!(map.score(pair[0]) <= map.score(pair[1]));
            }
            for x in probes.into_iter().chain(values.into_iter().map(f64::from)) {
                let back = map.value(map.score(x));
                prop_assert!((back - x).abs() <= 1e-6 * (1.0 + x.abs()), "{} {}", x, back);
            }
        }
    }
}
