//! From scores to decisions: thresholds and p-values.
//!
//! As everywhere in this crate, a row is flagged if its score is at least the threshold.

use crate::error::EvalError;

/// The scores of rows that are known or assumed to be normal.
///
/// A detector's scores of its own training rows are somewhat too low; for valid p-values use rows that
/// it has not seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Ascending.
    scores: Vec<f64>,
}

impl Calibration {
    /// Creates a calibration from these scores.
    ///
    /// # Errors
    /// [`EvalError::NoScores`] without scores, [`EvalError::NanScore`] if one is NaN.
    pub fn new(mut scores: Vec<f64>) -> Result<Calibration, EvalError> {
        if scores.is_empty() {
            return Err(EvalError::NoScores);
        }
        if let Some(row) = scores.iter().position(|score| score.is_nan()) {
            return Err(EvalError::NanScore { row });
        }
        scores.sort_unstable_by(f64::total_cmp);
        Ok(Calibration { scores })
    }

    /// The scores in ascending order.
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// The given percentile of the calibration scores, interpolated linearly as by `numpy.percentile`.
    ///
    /// # Errors
    /// [`EvalError::FractionOutOfRange`] unless `percent` is from 0 to 100.
    pub fn percentile(&self, percent: f64) -> Result<f64, EvalError> {
        check_percentile(percent)?;
        Ok(self.percentile_unchecked(percent))
    }

    fn percentile_unchecked(&self, percent: f64) -> f64 {
        let position = percent / 100.0 * (self.scores.len() - 1) as f64;
        let (low, fraction) = (position.floor() as usize, position.fract());
        let (a, b) = (self.scores[low], self.scores[(low + 1).min(self.scores.len() - 1)]);
        // The second condition also avoids NaN where both are infinite.
        if fraction == 0.0 || a == b { a } else { a + fraction * (b - a) }
    }

    /// A threshold that flags about `100 - percent` percent of rows like these.
    ///
    /// This is the [`percentile`](Calibration::percentile), except where ties there would flag more
    /// rows: then it is the next larger score, or just above the largest if there is none.
    ///
    /// # Errors
    /// As [`percentile`](Calibration::percentile).
    pub fn threshold(&self, percent: f64) -> Result<f64, EvalError> {
        check_percentile(percent)?;
        Ok(self.threshold_at(percent))
    }

    /// [`threshold`](Calibration::threshold) for a percentile that is known to be valid.
    pub(super) fn threshold_at(&self, percent: f64) -> f64 {
        let threshold = self.percentile_unchecked(percent);
        let rows = self.scores.len();
        let flagged = rows - self.scores.partition_point(|score| *score < threshold);
        let wanted = ((100.0 - percent) / 100.0 * rows as f64).ceil().max(1.0) as usize;
        if flagged <= wanted {
            return threshold;
        }
        let above = self.scores.partition_point(|score| *score <= threshold);
        self.scores.get(above).copied().unwrap_or(threshold.next_up())
    }

    /// The conformal p-value of a score,
    /// `(1 + #{calibration scores ≥ score}) / (1 + #{calibration scores})`; 1 for NaN (Vovk et al. 2005;
    /// for outliers Bates et al. 2023, eq. 2).
    ///
    /// For a row of the same kind as the calibration rows, the p-value is at most p with probability at
    /// most p. Flagging rows whose p-value is at most p therefore gives a false-alarm rate of at most p
    /// on average.
    pub fn p_value(&self, score: f64) -> f64 {
        let below = self.scores.partition_point(|other| !(*other >= score));
        let at_least = if score.is_nan() { self.scores.len() } else { self.scores.len() - below };
        (1 + at_least) as f64 / (1 + self.scores.len()) as f64
    }
}

fn check_percentile(percent: f64) -> Result<(), EvalError> {
    if (0.0..=100.0).contains(&percent) {
        return Ok(());
    }
    Err(EvalError::FractionOutOfRange { what: "the percentile", value: percent, allowed: "from 0 to 100" })
}

/// The threshold that flags a `fraction` of these scores, rounded to whole rows, and any rows tied with
/// the last of them; infinite if that rounds to no row.
///
/// # Errors
/// [`EvalError::FractionOutOfRange`] unless `fraction` is above 0 and at most 1; [`EvalError::NoScores`]
/// without scores, [`EvalError::NanScore`] if one is NaN.
pub fn contamination_threshold(scores: &[f64], fraction: f64) -> Result<f64, EvalError> {
    if !(fraction > 0.0 && fraction <= 1.0) {
        let allowed = "above 0 and at most 1";
        return Err(EvalError::FractionOutOfRange {
            what: "the fraction of anomalies",
            value: fraction,
            allowed,
        });
    }
    let sorted = Calibration::new(scores.to_vec())?.scores;
    let flagged = (fraction * sorted.len() as f64).round() as usize;
    Ok(if flagged == 0 { f64::INFINITY } else { sorted[sorted.len() - flagged] })
}

#[cfg(test)]
mod tests {
    use ae_testing::random::SplitMix64;

    use super::*;

    /// `numpy.percentile([3, 1, 4, 1, 5, 9, 2, 6], …)`.
    #[test]
    fn percentiles_as_numpy() {
        let calibration = Calibration::new(vec![3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]).unwrap();
        for (percent, expected) in
            [(0.0, 1.0), (10.0, 1.0), (50.0, 3.5), (90.0, 6.9), (99.0, 8.79), (100.0, 9.0)]
        {
            let got = calibration.percentile(percent).unwrap();
            assert!((got - expected).abs() < 1e-12, "{percent}: {got}");
        }
        assert!(calibration.percentile(100.1).is_err() && calibration.percentile(f64::NAN).is_err());
        let infinite = Calibration::new(vec![0.0, f64::INFINITY, f64::INFINITY]).unwrap();
        assert_eq!(infinite.percentile(75.0).unwrap(), f64::INFINITY);
    }

    #[test]
    fn ties_do_not_flag_more_than_is_wanted() {
        let flagged = |scores: &[f64], percent: f64| {
            let threshold = Calibration::new(scores.to_vec()).unwrap().threshold(percent).unwrap();
            scores.iter().filter(|score| **score >= threshold).count()
        };
        let all_alike = [0.25; 50];
        assert_eq!(flagged(&all_alike, 99.0), 0);
        let mut tied_at_the_end = [0.0; 100];
        tied_at_the_end[..20].fill(1.0);
        assert_eq!((flagged(&tied_at_the_end, 99.0), flagged(&tied_at_the_end, 80.0)), (0, 20));
        tied_at_the_end[0] = 2.0;
        assert_eq!(flagged(&tied_at_the_end, 90.0), 1);
        // Without ties the threshold is the percentile.
        for rows in [1, 2, 3, 99, 100, 101, 1000] {
            let scores: Vec<f64> = (0..rows).map(f64::from).collect();
            let calibration = Calibration::new(scores).unwrap();
            for percent in [0.0, 12.5, 50.0, 99.0, 100.0] {
                assert_eq!(calibration.threshold(percent).unwrap(), calibration.percentile(percent).unwrap());
            }
        }
    }

    #[test]
    fn p_values_count_what_is_at_least_as_odd() {
        let calibration = Calibration::new(vec![1.0, 2.0, 2.0, 3.0]).unwrap();
        for (score, expected) in [(0.0, 1.0), (1.0, 1.0), (1.5, 0.8), (2.0, 0.8), (3.0, 0.4), (3.1, 0.2)] {
            assert!((calibration.p_value(score) - expected).abs() < 1e-12, "{score}");
        }
        assert_eq!(calibration.p_value(f64::INFINITY), 0.2);
        assert_eq!(calibration.p_value(f64::NAN), 1.0);
    }

    /// The guarantee: of rows of the same kind, at most a fraction p has a p-value of at most p.
    #[test]
    fn false_alarms_are_as_promised() {
        let (mut alarms, rounds) = (0, 4000);
        for seed in 0..rounds {
            let mut scores: Vec<f64> =
                SplitMix64::new(seed).normal_f32s(20).into_iter().map(f64::from).collect();
            let score = scores.pop().unwrap();
            alarms += usize::from(Calibration::new(scores).unwrap().p_value(score) <= 0.1);
        }
        let fraction = alarms as f64 / rounds as f64;
        // With 19 scores the expectation is exactly 0.1; the bound is four standard deviations.
        assert!((fraction - 0.1).abs() < 4.0 * (0.09f64 / rounds as f64).sqrt(), "{fraction}");
    }

    #[test]
    fn the_fraction_of_anomalies_is_rounded_to_the_nearest_row() {
        let scores: Vec<f64> = (0..10).map(f64::from).collect();
        for (fraction, flagged) in [(0.14, 1), (0.16, 2), (0.04, 0), (0.06, 1), (0.94, 9), (0.96, 10)] {
            let threshold = contamination_threshold(&scores, fraction).unwrap();
            assert_eq!(scores.iter().filter(|score| **score >= threshold).count(), flagged, "{fraction}");
        }
    }

    #[test]
    fn contamination_flags_that_fraction() {
        let scores = [5.0, 1.0, 4.0, 2.0, 3.0, 3.0, 0.0, 0.5, 0.1, 0.2];
        let flagged = |fraction| {
            let threshold = contamination_threshold(&scores, fraction).unwrap();
            scores.iter().filter(|score| **score >= threshold).count()
        };
        assert_eq!((flagged(0.1), flagged(0.2), flagged(1.0), flagged(0.01)), (1, 2, 10, 0));
        // Both of two tied rows.
        assert_eq!(flagged(0.3), 4);
        for wrong in [0.0, -0.1, 1.1, f64::NAN] {
            assert!(matches!(
                contamination_threshold(&scores, wrong),
                Err(EvalError::FractionOutOfRange { .. })
            ));
        }
        assert!(matches!(contamination_threshold(&[], 0.1), Err(EvalError::NoScores)));
        assert!(matches!(Calibration::new(vec![0.0, f64::NAN]), Err(EvalError::NanScore { row: 1 })));
    }
}
