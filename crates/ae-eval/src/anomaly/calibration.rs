//! From scores to decisions: thresholds and p-values.
//!
//! A row is flagged where its score is at least the threshold, as everywhere in this crate.

use crate::error::EvalError;

/// The scores of rows that are known, or taken, to be normal.
///
/// The scores that a detector gives its own training rows are somewhat too low; for p-values that hold what they promise, use rows
/// that it has not seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// Rising.
    scores: Vec<f64>,
}

impl Calibration {
    /// The calibration by these scores.
    ///
    /// # Errors
    /// [`EvalError::NoScores`], [`EvalError::NanScore`].
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

    /// The scores, rising.
    pub fn scores(&self) -> &[f64] {
        &self.scores
    }

    /// The score below which `percent` of 100 calibration scores are, linear between two of them (`numpy.percentile`).
    ///
    /// # Errors
    /// [`EvalError::Share`] unless `percent` is from 0 to 100.
    pub fn percentile(&self, percent: f64) -> Result<f64, EvalError> {
        check_percentile(percent)?;
        Ok(self.at(percent))
    }

    fn at(&self, percent: f64) -> f64 {
        let place = percent / 100.0 * (self.scores.len() - 1) as f64;
        let (low, share) = (place.floor() as usize, place.fract());
        let (a, b) = (self.scores[low], self.scores[(low + 1).min(self.scores.len() - 1)]);
        // Also where both are infinite.
        if share == 0.0 || a == b { a } else { a + share * (b - a) }
    }

    /// The score from which on rows are flagged so that of rows like these about `100 - percent` of 100 are:
    /// [`percentile`](Calibration::percentile), but where more than that are tied there, the next larger score; above all where there is none.
    ///
    /// # Errors
    /// As [`percentile`](Calibration::percentile).
    pub fn threshold(&self, percent: f64) -> Result<f64, EvalError> {
        check_percentile(percent)?;
        Ok(self.threshold_at(percent))
    }

    /// [`threshold`](Calibration::threshold) of a percentile that is one.
    pub(super) fn threshold_at(&self, percent: f64) -> f64 {
        let threshold = self.at(percent);
        let rows = self.scores.len();
        let flagged = rows - self.scores.partition_point(|score| *score < threshold);
        let wanted = ((100.0 - percent) / 100.0 * rows as f64).ceil().max(1.0) as usize;
        if flagged <= wanted {
            return threshold;
        }
        let above = self.scores.partition_point(|score| *score <= threshold);
        self.scores.get(above).copied().unwrap_or(threshold.next_up())
    }

    /// The conformal p-value of a score, `(1 + #{calibration scores ≥ score}) / (1 + #{calibration scores})` (Vovk et al. 2005; for
    /// outliers Bates et al. 2023, eq. 2). If the row is of the kind of the calibration rows, it is at most p with probability at
    /// most p; flagging rows with a p-value of at most p thus gives at most a share p of false alarms on average. 1 for NaN.
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
    Err(EvalError::Share { what: "a percentile", value: percent, allowed: "from 0 to 100" })
}

/// The threshold that flags `share` of these scores, rounded to whole rows, and rows that are tied with the last one; infinite where
/// that is none.
///
/// # Errors
/// [`EvalError::Share`] unless `share` is above 0 and at most 1; [`EvalError::NoScores`], [`EvalError::NanScore`].
pub fn contamination_threshold(scores: &[f64], share: f64) -> Result<f64, EvalError> {
    if !(share > 0.0 && share <= 1.0) {
        let allowed = "above 0 and at most 1";
        return Err(EvalError::Share { what: "a share of anomalies", value: share, allowed });
    }
    let sorted = Calibration::new(scores.to_vec())?.scores;
    let flagged = (share * sorted.len() as f64).round() as usize;
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
        // Without ties it is the percentile.
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

    /// The promise: on rows of the same kind, a share of at most p has a p-value of at most p.
    #[test]
    fn false_alarms_are_as_promised() {
        let (mut alarms, rounds) = (0, 4000);
        for seed in 0..rounds {
            let mut scores: Vec<f64> =
                SplitMix64::new(seed).normal_f32s(20).into_iter().map(f64::from).collect();
            let score = scores.pop().unwrap();
            alarms += usize::from(Calibration::new(scores).unwrap().p_value(score) <= 0.1);
        }
        let share = alarms as f64 / rounds as f64;
        // 19 scores: exactly 0.1 in expectation; four standard deviations.
        assert!((share - 0.1).abs() < 4.0 * (0.09f64 / rounds as f64).sqrt(), "{share}");
    }

    #[test]
    fn the_share_of_contamination_is_rounded_to_the_nearest_row() {
        let scores: Vec<f64> = (0..10).map(f64::from).collect();
        for (share, flagged) in [(0.14, 1), (0.16, 2), (0.04, 0), (0.06, 1), (0.94, 9), (0.96, 10)] {
            let threshold = contamination_threshold(&scores, share).unwrap();
            assert_eq!(scores.iter().filter(|score| **score >= threshold).count(), flagged, "{share}");
        }
    }

    #[test]
    fn contamination_flags_that_share() {
        let scores = [5.0, 1.0, 4.0, 2.0, 3.0, 3.0, 0.0, 0.5, 0.1, 0.2];
        let flagged = |share| {
            let threshold = contamination_threshold(&scores, share).unwrap();
            scores.iter().filter(|score| **score >= threshold).count()
        };
        assert_eq!((flagged(0.1), flagged(0.2), flagged(1.0), flagged(0.01)), (1, 2, 10, 0));
        // Of two rows that are tied, both.
        assert_eq!(flagged(0.3), 4);
        for wrong in [0.0, -0.1, 1.1, f64::NAN] {
            assert!(matches!(contamination_threshold(&scores, wrong), Err(EvalError::Share { .. })));
        }
        assert!(matches!(contamination_threshold(&[], 0.1), Err(EvalError::NoScores)));
        assert!(matches!(Calibration::new(vec![0.0, f64::NAN]), Err(EvalError::NanScore { row: 1 })));
    }
}
