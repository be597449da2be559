//! Labels that mark anomalies, and how well scores agree with them.

use ae_data::Labels;
use ae_eval::{Confusion, average_precision, roc_auc};
use serde_json::{Value, json};

use super::Detection;
use crate::failure::Failure;
use crate::output::Output;

/// The label that separates anomalies from other rows.
#[derive(Clone, Copy)]
pub(in crate::commands) enum LabelRule<'a> {
    /// The label of anomalies.
    Anomaly(&'a str),
    /// The label of all other rows.
    Normal(&'a str),
}

impl<'a> LabelRule<'a> {
    pub(in crate::commands) fn new(anomaly: &'a str, normal: Option<&'a str>) -> LabelRule<'a> {
        normal.map_or(LabelRule::Anomaly(anomaly), LabelRule::Normal)
    }

    /// Whether each row is an anomaly; `None` for rows without a label. If only one label is used,
    /// though, rows without it are of the other kind.
    pub(super) fn classify(self, labels: &Labels) -> Vec<Option<bool>> {
        let (LabelRule::Anomaly(wanted) | LabelRule::Normal(wanted)) = self;
        let others = labels.names().iter().any(|name| !name.is_empty() && name != wanted);
        let class = |row: usize| match labels.name_of(row).filter(|name| !name.is_empty()) {
            Some(name) => Some((name == wanted) == matches!(self, LabelRule::Anomaly(_))),
            None if others => None,
            None => Some(matches!(self, LabelRule::Normal(_))),
        };
        (0..labels.len()).map(class).collect()
    }
}

/// Which rows are anomalies, by labels requested with `--label`; an error unless there are both
/// anomalies and other rows. Remarks on rows without a label.
pub(in crate::commands) fn anomalies(
    labels: &Labels,
    rule: LabelRule<'_>,
    location: &str,
    out: &Output,
) -> Result<Vec<Option<bool>>, Failure> {
    let anomalies = rule.classify(labels);
    if !anomalies.contains(&Some(false)) || !anomalies.contains(&Some(true)) {
        let (name, flag, has_all) = match rule {
            LabelRule::Anomaly(name) => (name, "--anomaly", anomalies.contains(&Some(true))),
            LabelRule::Normal(name) => (name, "--normal", anomalies.contains(&Some(false))),
        };
        let what = if has_all { "every row" } else { "no row" };
        let names = labels.names().iter().filter(|name| !name.is_empty());
        return Err(Failure::Other(format!(
            "{location}: {what} has the label '{name}' that {flag} names; labels: {}",
            names.take(8).cloned().collect::<Vec<_>>().join(", ")
        )));
    }
    let unknown = anomalies.iter().filter(|class| class.is_none()).count();
    if unknown > 0 {
        out.note(format!("{location}: {unknown} rows have no label and are left out of the quality figures"));
    }
    Ok(anomalies)
}

/// How well scores separate anomalies from other rows, by their labels.
pub(super) struct Quality {
    counts: Confusion,
    roc_auc: f64,
    pr_auc: f64,
}

impl Quality {
    pub(super) fn of(anomalies: &[Option<bool>], detection: &Detection) -> Result<Quality, Failure> {
        let known =
            anomalies.iter().zip(&detection.scores).filter_map(|(class, score)| Some(((*class)?, *score)));
        let (anomalies, scores): (Vec<bool>, Vec<f64>) = known.unzip();
        Ok(Quality {
            counts: Confusion::at(&anomalies, &scores, detection.threshold)?,
            roc_auc: roc_auc(&anomalies, &scores)?,
            pr_auc: average_precision(&anomalies, &scores)?,
        })
    }

    pub(super) fn object(&self) -> Value {
        let Quality { counts, roc_auc, pr_auc } = self;
        json!({
            "precision": counts.precision(),
            "recall": counts.recall(),
            "f1": counts.f1(),
            "roc_auc": roc_auc,
            "pr_auc": pr_auc,
            "true_positives": counts.true_positives,
            "false_positives": counts.false_positives,
            "false_negatives": counts.false_negatives,
            "true_negatives": counts.true_negatives,
        })
    }

    pub(super) fn lines(&self) -> [String; 8] {
        let Quality { counts, roc_auc, pr_auc } = self;
        [
            format!("precision     {:.4}", counts.precision()),
            format!("recall        {:.4}", counts.recall()),
            format!("F1            {:.4}", counts.f1()),
            format!("ROC-AUC       {roc_auc:.4}"),
            format!("PR-AUC        {pr_auc:.4}"),
            format!("{:<14}{:>9} {:>9}", "", "flagged", "not"),
            format!("{:<14}{:>9} {:>9}", "anomalies", counts.true_positives, counts.false_negatives),
            format!("{:<14}{:>9} {:>9}", "others", counts.false_positives, counts.true_negatives),
        ]
    }
}
