use proptest::prelude::*;

use super::*;

const SCORES: [f64; 10] = [0.1, 0.9, 0.4, 0.4, 0.8, 0.8, 0.2, 0.35, 0.4, 0.05];
const LABELS: [u8; 10] = [0, 1, 0, 1, 1, 0, 0, 1, 0, 0];

fn labels(of: &[u8]) -> Vec<bool> {
    of.iter().map(|label| *label == 1).collect()
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-12
}

/// Expected values from scikit-learn 1.9.1: `roc_auc_score`, `average_precision_score`,
/// `roc_curve(..., drop_intermediate=False)`, `precision_recall_curve`, `confusion_matrix`,
/// `precision_score`, `recall_score`, `f1_score`.
#[test]
fn as_scikit_learn() {
    let labels = labels(&LABELS);
    assert!(close(roc_auc(&labels, &SCORES).unwrap(), 0.7708333333333334));
    assert!(close(average_precision(&labels, &SCORES).unwrap(), 0.6845238095238095));

    let roc = roc_curve(&labels, &SCORES).unwrap();
    let thresholds = [f64::INFINITY, 0.9, 0.8, 0.4, 0.35, 0.2, 0.1, 0.05];
    let false_rates = [0.0, 0.0, 0.16666666666666666, 0.5, 0.5, 0.6666666666666666, 0.8333333333333334, 1.0];
    let true_rates = [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0];
    assert_eq!(roc.iter().map(|p| p.threshold).collect::<Vec<_>>(), thresholds);
    assert_eq!(roc.iter().map(|p| p.false_positive_rate).collect::<Vec<_>>(), false_rates);
    assert_eq!(roc.iter().map(|p| p.true_positive_rate).collect::<Vec<_>>(), true_rates);

    let pr = pr_curve(&labels, &SCORES).unwrap();
    let precisions = [1.0, 0.6666666666666666, 0.5, 0.5714285714285714, 0.5, 0.4444444444444444, 0.4];
    assert_eq!(pr.iter().map(|p| p.threshold).collect::<Vec<_>>(), thresholds[1..]);
    assert_eq!(pr.iter().map(|p| p.precision).collect::<Vec<_>>(), precisions);
    assert_eq!(pr.iter().map(|p| p.recall).collect::<Vec<_>>(), true_rates[1..]);

    let counts = Confusion::at(&labels, &SCORES, 0.4).unwrap();
    let expected = Confusion { true_positives: 3, false_positives: 3, false_negatives: 1, true_negatives: 3 };
    assert_eq!(counts, expected);
    assert!(close(counts.precision(), 0.5) && close(counts.recall(), 0.75) && close(counts.f1(), 0.6));
}

/// A thousand rows with about ten per score, by a formula that Python evaluates too:
/// `y = (7919 r % 13 == 0)`, `score = 104729 r % 101`, r from 1.
#[test]
fn as_scikit_learn_on_many_ties() {
    let labels: Vec<bool> = (1..=1000u64).map(|r| r * 7919 % 13 == 0).collect();
    let scores: Vec<f64> = (1..=1000u64).map(|r| (r * 104729 % 101) as f64).collect();
    assert!(close(roc_auc(&labels, &scores).unwrap(), 0.547846889952153));
    assert!(close(average_precision(&labels, &scores).unwrap(), 0.08934889887859862));
}

#[test]
fn extremes() {
    let labels = [false, false, true, true];
    assert_eq!(roc_auc(&labels, &[0.0, 1.0, 2.0, f64::INFINITY]).unwrap(), 1.0);
    assert_eq!(roc_auc(&labels, &[3.0, 2.0, 1.0, f64::NEG_INFINITY]).unwrap(), 0.0);
    assert_eq!(roc_auc(&labels, &[1.0; 4]).unwrap(), 0.5);
    assert_eq!(roc_auc(&labels, &[0.0, -0.0, -0.0, 0.0]).unwrap(), 0.5);
    assert_eq!(average_precision(&labels, &[1.0; 4]).unwrap(), 0.5);
    let nothing = Confusion::at(&labels, &[0.0; 4], f64::NAN).unwrap();
    assert_eq!((nothing.true_negatives, nothing.false_negatives), (2, 2));
    assert_eq!((nothing.precision(), nothing.recall(), nothing.f1()), (0.0, 0.0, 0.0));
}

#[test]
fn refusals_say_what_is_wrong() {
    let says = |result: Result<f64, EvalError>| result.unwrap_err().to_string();
    assert_eq!(says(roc_auc(&[true], &[0.0, 1.0])), "1 labels for 2 scores");
    assert_eq!(says(average_precision(&[true, false], &[0.0, f64::NAN])), "the score of row 2 is NaN");
    let one = "both anomalies and other rows are needed, but there are 2 anomalies and 0 others";
    assert_eq!(says(roc_auc(&[true, true], &[0.0, 1.0])), one);
    assert!(matches!(roc_auc(&[], &[]), Err(EvalError::OneClass { positives: 0, negatives: 0 })));
    assert!(roc_curve(&[false], &[0.0]).is_err() && pr_curve(&[false], &[0.0]).is_err());
    assert!(Confusion::at(&[true], &[], 0.0).is_err());
    let most = Confusion { true_positives: usize::MAX, false_positives: usize::MAX, ..Confusion::default() };
    assert_eq!((most.precision(), most.recall(), most.f1()), (1.0, 1.0, 1.0));
}

/// Compares every anomaly with every other row.
fn naive_roc_auc(labels: &[bool], scores: &[f64]) -> f64 {
    let (mut won, mut pairs) = (0.0, 0.0);
    for (_, a) in labels.iter().zip(scores).filter(|(anomaly, _)| **anomaly) {
        for (_, b) in labels.iter().zip(scores).filter(|(anomaly, _)| !**anomaly) {
            pairs += 1.0;
            won += if a > b { 1.0 } else { f64::from(u8::from(a == b)) / 2.0 };
        }
    }
    won / pairs
}

/// Counts all rows at every threshold.
fn naive_average_precision(labels: &[bool], scores: &[f64]) -> f64 {
    let mut thresholds = scores.to_vec();
    thresholds.sort_by(|a, b| b.partial_cmp(a).unwrap());
    thresholds.dedup();
    let (mut area, mut last) = (0.0, 0.0);
    for threshold in thresholds {
        let counts = Confusion::at(labels, scores, threshold).unwrap();
        area += (counts.recall() - last) * counts.precision();
        last = counts.recall();
    }
    area
}

proptest! {
    /// Few distinct scores, so most are tied.
    #[test]
    fn areas_are_those_of_counting(rows in prop::collection::vec((any::<bool>(), 0u8..12), 2..60)) {
        let labels: Vec<bool> = rows.iter().map(|row| row.0).collect();
        let scores: Vec<f64> = rows.iter().map(|row| f64::from(row.1) / 3.0).collect();
        prop_assume!(labels.contains(&true) && labels.contains(&false));
        let area = roc_auc(&labels, &scores).unwrap();
        prop_assert!(close(area, naive_roc_auc(&labels, &scores)));
        prop_assert!(close(average_precision(&labels, &scores).unwrap(), naive_average_precision(&labels, &scores)));
        // The area returned is the area under the curve returned.
        let curve = roc_curve(&labels, &scores).unwrap();
        let trapezia = curve.windows(2).map(|pair| {
            let width = pair[1].false_positive_rate - pair[0].false_positive_rate;
            width * (pair[0].true_positive_rate + pair[1].true_positive_rate) / 2.0
        });
        prop_assert!(close(area, trapezia.sum()));
        // The points of the other curve are what counting at their thresholds gives.
        for point in pr_curve(&labels, &scores).unwrap() {
            let counts = Confusion::at(&labels, &scores, point.threshold).unwrap();
            prop_assert!(close(point.precision, counts.precision()) && close(point.recall, counts.recall()));
        }
        // Reversing all labels and scores changes nothing.
        let turned: Vec<bool> = labels.iter().map(|label| !label).collect();
        let negated: Vec<f64> = scores.iter().map(|score| -score).collect();
        prop_assert!(close(area, roc_auc(&turned, &negated).unwrap()));
    }
}

#[test]
fn thresholds_for_a_precision_or_recall() {
    let labels = labels(&LABELS);
    let threshold = |precision| {
        threshold_for_precision(&labels, &SCORES, precision).unwrap().map(|point| point.threshold)
    };
    // Precisions 1, 2/3, 1/2, 4/7, 1/2, 4/9, 2/5 at recalls 1/4, 1/2, 3/4, 1, 1, 1, 1.
    assert_eq!([1.0, 0.6, 0.5, 0.0].map(threshold), [0.9, 0.8, 0.35, 0.35].map(Some));
    let threshold = |recall| threshold_for_recall(&labels, &SCORES, recall).unwrap().threshold;
    assert_eq!([0.0, 0.25, 0.3, 0.6, 1.0].map(threshold), [0.9, 0.9, 0.8, 0.35, 0.35]);
    // The row with the highest score is not an anomaly, so no threshold has a precision of 1.
    assert_eq!(threshold_for_precision(&[true, false], &[0.0, 1.0], 0.6).unwrap(), None);
    for wrong in [-0.1, 1.1, f64::NAN] {
        let refused = threshold_for_precision(&labels, &SCORES, wrong);
        assert!(matches!(refused, Err(EvalError::FractionOutOfRange { what: "the precision", .. })));
        let refused = threshold_for_recall(&labels, &SCORES, wrong);
        assert!(matches!(refused, Err(EvalError::FractionOutOfRange { what: "the recall", .. })));
    }
    assert!(matches!(threshold_for_precision(&[true], &[], 0.5), Err(EvalError::Labels { .. })));
    assert!(matches!(threshold_for_recall(&[true], &[0.0], 0.5), Err(EvalError::OneClass { .. })));
}

proptest! {
    /// Counting at every threshold finds none that is better.
    #[test]
    fn no_threshold_is_better(
        rows in prop::collection::vec((any::<bool>(), 0u8..12), 2..40), wanted in 0u8..=12,
    ) {
        let labels: Vec<bool> = rows.iter().map(|row| row.0).collect();
        let scores: Vec<f64> = rows.iter().map(|row| f64::from(row.1) / 3.0).collect();
        prop_assume!(labels.contains(&true) && labels.contains(&false));
        let wanted = f64::from(wanted) / 12.0;
        let at = |threshold: f64| {
            let counts = Confusion::at(&labels, &scores, threshold).unwrap();
            (counts.precision(), counts.recall())
        };
        let best = |first: fn((f64, f64)) -> (f64, f64)| {
            let all = scores.iter().map(|threshold| first(at(*threshold)));
            all.filter(|(_, reached)| *reached >= wanted).max_by(|a, b| a.partial_cmp(b).unwrap())
        };
        let found = threshold_for_precision(&labels, &scores, wanted).unwrap();
        prop_assert_eq!(found.map(|point| (point.recall, point.precision)), best(|(p, r)| (r, p)));
        if let Some(point) = found {
            prop_assert_eq!(at(point.threshold), (point.precision, point.recall));
        }
        let found = threshold_for_recall(&labels, &scores, wanted).unwrap();
        prop_assert_eq!(Some((found.precision, found.recall)), best(|(p, r)| (p, r)));
        prop_assert_eq!(at(found.threshold), (found.precision, found.recall));
    }
}
