//! How well scores separate anomalies from other rows: ROC and precision-recall curves, the areas under
//! them, and counts at a threshold.
//!
//! There are P anomalies (`true`) and N other rows. A row is *flagged* if `score >= threshold`; TP and
//! FP are the numbers of anomalies and of other rows that are flagged. Thresholds are the distinct
//! scores, descending, so rows with equal scores are always flagged together. Definitions and edge cases
//! are those of scikit-learn 1.9 (`sklearn.metrics`). Scores may be infinite, but not NaN.

use crate::error::EvalError;

/// A point of a ROC curve (Fawcett 2006, sec. 4).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RocPoint {
    /// The lowest score that is flagged; infinite at the point (0, 0), where no row is.
    pub threshold: f64,
    /// `FP / N`
    pub false_positive_rate: f64,
    /// `TP / P`
    pub true_positive_rate: f64,
}

/// A point of a precision-recall curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PrPoint {
    /// The lowest score that is flagged.
    pub threshold: f64,
    /// `TP / (TP + FP)`
    pub precision: f64,
    /// `TP / P`
    pub recall: f64,
}

/// The area under the ROC curve, in `m log m` time for m rows.
///
/// This is the probability that an anomaly scores higher than another row, where ties count half (the
/// Mann-Whitney statistic divided by `P N`; `roc_auc_score`).
///
/// ```
/// let area = ae_eval::roc_auc(&[false, false, true, true], &[0.1, 0.4, 0.35, 0.8])?;
/// assert_eq!(area, 0.75);
/// # Ok::<(), ae_eval::EvalError>(())
/// ```
///
/// # Errors
/// [`EvalError::Labels`] for different numbers of labels and scores, [`EvalError::OneClass`] without
/// anomalies or without other rows, [`EvalError::NanScore`] if a score is NaN.
pub fn roc_auc(anomalies: &[bool], scores: &[f64]) -> Result<f64, EvalError> {
    let counts = ThresholdCounts::new(anomalies, scores)?;
    let (positives, negatives) = (counts.positives as f64, counts.negatives as f64);
    let (mut area, mut last) = (0.0, ThresholdCount::default());
    for count in &counts.all {
        let width = (count.false_positives - last.false_positives) as f64;
        area += width * (count.true_positives + last.true_positives) as f64 / 2.0;
        last = *count;
    }
    Ok(area / positives / negatives)
}

/// The area under the precision-recall curve as average precision (`average_precision_score`):
/// `Σ (recall(t) - recall(t'))  precision(t)` over the thresholds `t`, where `t'` is the next higher
/// threshold. This is a sum of steps, without interpolation between points.
///
/// # Errors
/// As [`roc_auc`].
pub fn average_precision(anomalies: &[bool], scores: &[f64]) -> Result<f64, EvalError> {
    let counts = ThresholdCounts::new(anomalies, scores)?;
    let (mut area, mut found) = (0.0, 0);
    for count in &counts.all {
        area += (count.true_positives - found) as f64 * count.precision();
        found = count.true_positives;
    }
    Ok(area / counts.positives as f64)
}

/// The ROC curve from (0, 0) to (1, 1), with one point per threshold (`roc_curve` with
/// `drop_intermediate=False`).
///
/// # Errors
/// As [`roc_auc`].
pub fn roc_curve(anomalies: &[bool], scores: &[f64]) -> Result<Vec<RocPoint>, EvalError> {
    let counts = ThresholdCounts::new(anomalies, scores)?;
    let (positives, negatives) = (counts.positives as f64, counts.negatives as f64);
    let start = ThresholdCount { threshold: f64::INFINITY, ..ThresholdCount::default() };
    let point = |count: &ThresholdCount| RocPoint {
        threshold: count.threshold,
        false_positive_rate: count.false_positives as f64 / negatives,
        true_positive_rate: count.true_positives as f64 / positives,
    };
    Ok(std::iter::once(&start).chain(&counts.all).map(point).collect())
}

/// The precision-recall curve by ascending recall, with one point per threshold
/// (`precision_recall_curve` in reverse, without the point at recall 0 that it adds).
///
/// # Errors
/// As [`roc_auc`].
pub fn pr_curve(anomalies: &[bool], scores: &[f64]) -> Result<Vec<PrPoint>, EvalError> {
    let counts = ThresholdCounts::new(anomalies, scores)?;
    let point = |count: &ThresholdCount| PrPoint {
        threshold: count.threshold,
        precision: count.precision(),
        recall: count.true_positives as f64 / counts.positives as f64,
    };
    Ok(counts.all.iter().map(point).collect())
}

/// The point of the precision-recall curve with the highest recall among those with at least this
/// precision; `None` if no threshold reaches it. Of several, the one with the highest precision.
///
/// The labelled scores should be of rows that the detector has not seen, and later rows will reach the
/// precision only on average.
///
/// ```
/// use ae_eval::threshold_for_precision;
///
/// let (anomalies, scores) = ([false, false, true, true, false], [0.1, 0.4, 0.35, 0.8, 0.2]);
/// let point = threshold_for_precision(&anomalies, &scores, 0.6)?.expect("a threshold reaches 60 %");
/// assert_eq!((point.threshold, point.recall), (0.35, 1.0));
/// # Ok::<(), ae_eval::EvalError>(())
/// ```
///
/// # Errors
/// As [`roc_auc`]; [`EvalError::FractionOutOfRange`] unless `precision` is from 0 to 1.
pub fn threshold_for_precision(
    anomalies: &[bool],
    scores: &[f64],
    precision: f64,
) -> Result<Option<PrPoint>, EvalError> {
    check_fraction("the precision", precision)?;
    let curve = pr_curve(anomalies, scores)?;
    let enough = curve.into_iter().filter(|point| point.precision >= precision);
    Ok(enough.max_by(|a, b| a.recall.total_cmp(&b.recall).then(a.precision.total_cmp(&b.precision))))
}

/// The point of the precision-recall curve with the highest precision among those with at least this
/// recall. Of several, the one with the highest recall. There always is one, as the lowest score as a
/// threshold flags all anomalies.
///
/// # Errors
/// As [`roc_auc`]; [`EvalError::FractionOutOfRange`] unless `recall` is from 0 to 1.
pub fn threshold_for_recall(anomalies: &[bool], scores: &[f64], recall: f64) -> Result<PrPoint, EvalError> {
    check_fraction("the recall", recall)?;
    let curve = pr_curve(anomalies, scores)?;
    // The last point has all anomalies.
    let enough = curve.into_iter().filter(|point| point.recall >= recall);
    enough
        .max_by(|a, b| a.precision.total_cmp(&b.precision).then(a.recall.total_cmp(&b.recall)))
        .ok_or(EvalError::NoScores)
}

fn check_fraction(what: &'static str, value: f64) -> Result<(), EvalError> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(EvalError::FractionOutOfRange { what, value, allowed: "from 0 to 1" })
}

/// The confusion matrix of flagged rows and anomalies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    /// Anomalies that are flagged.
    pub true_positives: usize,
    /// Other rows that are flagged.
    pub false_positives: usize,
    /// Anomalies that are not flagged.
    pub false_negatives: usize,
    /// Other rows that are not flagged.
    pub true_negatives: usize,
}

impl Confusion {
    /// Counts rows, flagging those that score at least `threshold`; NaN flags none. The labels may all
    /// be of one kind.
    ///
    /// # Errors
    /// [`EvalError::Labels`] for different numbers of labels and scores, [`EvalError::NanScore`] if a
    /// score is NaN.
    pub fn at(anomalies: &[bool], scores: &[f64], threshold: f64) -> Result<Confusion, EvalError> {
        check(anomalies, scores)?;
        let mut counts = Confusion::default();
        for (anomaly, score) in anomalies.iter().zip(scores) {
            let place = match (anomaly, *score >= threshold) {
                (true, true) => &mut counts.true_positives,
                (false, true) => &mut counts.false_positives,
                (true, false) => &mut counts.false_negatives,
                (false, false) => &mut counts.true_negatives,
            };
            *place += 1;
        }
        Ok(counts)
    }

    /// `TP / (TP + FP)`; 0 if nothing is flagged.
    pub fn precision(&self) -> f64 {
        ratio(self.true_positives, self.true_positives.saturating_add(self.false_positives))
    }

    /// `TP / P`; 0 without anomalies.
    pub fn recall(&self) -> f64 {
        ratio(self.true_positives, self.true_positives.saturating_add(self.false_negatives))
    }

    /// The harmonic mean of precision and recall, `2 TP / (2 TP + FP + FN)`; 0 if that is 0 / 0.
    pub fn f1(&self) -> f64 {
        let twice = self.true_positives.saturating_mul(2);
        let wrong = self.false_positives.saturating_add(self.false_negatives);
        ratio(twice, twice.saturating_add(wrong))
    }
}

fn ratio(part: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { part as f64 / of as f64 }
}

fn check(anomalies: &[bool], scores: &[f64]) -> Result<(), EvalError> {
    if anomalies.len() != scores.len() {
        return Err(EvalError::Labels { labels: anomalies.len(), scores: scores.len() });
    }
    match scores.iter().position(|score| score.is_nan()) {
        Some(row) => Err(EvalError::NanScore { row }),
        None => Ok(()),
    }
}

/// The rows flagged at a threshold.
#[derive(Clone, Copy, Default)]
struct ThresholdCount {
    threshold: f64,
    true_positives: usize,
    false_positives: usize,
}

impl ThresholdCount {
    fn precision(&self) -> f64 {
        ratio(self.true_positives, self.true_positives + self.false_positives)
    }
}

/// All thresholds, descending.
struct ThresholdCounts {
    all: Vec<ThresholdCount>,
    positives: usize,
    negatives: usize,
}

impl ThresholdCounts {
    fn new(anomalies: &[bool], scores: &[f64]) -> Result<ThresholdCounts, EvalError> {
        check(anomalies, scores)?;
        let positives = anomalies.iter().filter(|anomaly| **anomaly).count();
        let negatives = anomalies.len() - positives;
        if positives == 0 || negatives == 0 {
            return Err(EvalError::OneClass { positives, negatives });
        }
        let mut rows: Vec<(f64, bool)> = scores.iter().copied().zip(anomalies.iter().copied()).collect();
        rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let mut all: Vec<ThresholdCount> = Vec::new();
        let mut now = ThresholdCount::default();
        for (score, anomaly) in rows {
            // `==`, so that -0 and 0, which `total_cmp` distinguishes, are one threshold.
            if all.last().is_none_or(|last| last.threshold != score) {
                all.push(now);
            }
            if anomaly {
                now.true_positives += 1;
            } else {
                now.false_positives += 1;
            }
            now.threshold = score;
            if let Some(last) = all.last_mut() {
                *last = now;
            }
        }
        Ok(ThresholdCounts { all, positives, negatives })
    }
}

#[cfg(test)]
mod tests;
