//! All that a detector says about a row.

use ae_data::BatchSource;

use super::{Blame, Detector, Finding, explain};
use crate::error::EvalError;

/// What a detector says about a row ([`Detector::judge`]).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Verdict {
    /// The [score](super::Score): the higher, the more anomalous.
    pub score: f64,
    /// The fraction of normal rows with such a score or a higher one, as far as the
    /// [calibration](Detector::calibration) tells.
    pub p_value: f64,
    /// Whether the score reaches the detector's [threshold](Detector::threshold).
    pub is_anomaly: bool,
    /// The columns to blame, the first most of all, each with what was found there and what was expected.
    pub blamed: Vec<(Blame, Finding)>,
}

impl Detector {
    /// Judges rows: scores, p-values and flags them, and explains at most `most` columns of each.
    ///
    /// A service that judges events of a table with columns of all kinds, one by one:
    ///
    /// ```
    /// use std::collections::HashMap;
    ///
    /// use ae_data::{ColumnRoles, Schema, Table};
    /// use ae_eval::anomaly::{Detector, Settings};
    /// use ae_model::{Autoencoder, Config, Optimizer, ScalerKind};
    ///
    /// // Orders, whose price follows from their size. Usually from `ae_data::read_table`.
    /// let sizes: Vec<&str> = ["small", "large", "huge"].repeat(100);
    /// let price = |(i, size): (usize, &&str)| (10 * size.len() * size.len() + i % 7).to_string();
    /// let prices: Vec<String> = sizes.iter().enumerate().map(price).collect();
    /// let sizes = sizes.into_iter().map(str::to_owned).collect();
    /// let table = Table::new(vec!["size".to_owned(), "price".to_owned()], &[sizes, prices])?;
    ///
    /// let schema = Schema::infer(&table, &ColumnRoles::default())?;
    /// let rows = schema.encode(&table, None)?.rows;
    /// let config = Config::builder(schema.width())
    ///     .encoding_dim(2)
    ///     .scaler(ScalerKind::Standard)
    ///     .optimizer(Optimizer::ADAM)
    ///     .learning_rate(0.003)
    ///     .mask_missing(true)
    ///     .build()?;
    /// let mut model = Autoencoder::new(config)?;
    /// model.set_schema(schema)?;
    /// model.fit(&rows, &mut [])?;
    /// let detector = Detector::with_model(&Settings::default(), model, &rows)?;
    ///
    /// // One event. The detector can be shared by threads, and saved to a file for the service.
    /// let schema = detector.model().schema().ok_or("no schema")?;
    /// let event = HashMap::from([("size", "small"), ("price", "900")]);
    /// let encoded = schema.encode_row(|column| event.get(column))?;
    /// for verdict in detector.judge(&encoded.rows, 1)? {
    ///     assert!(verdict.is_anomaly && verdict.p_value < 0.01);
    ///     let (blame, finding) = &verdict.blamed[0];
    ///     let column = schema.features().nth(blame.column).map(|column| &column.name[..]);
    ///     assert_eq!((column, &finding.found[..]), (Some("price"), "900"));
    ///     println!("score {:.1}: price {} instead of {}", verdict.score, finding.found, finding.expected);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`scores`](Detector::scores).
    pub fn judge(&self, rows: &dyn BatchSource, most: usize) -> Result<Vec<Verdict>, EvalError> {
        let scores = self.scores(rows)?;
        let blamed = self.blame(rows, most)?;
        let findings = explain(self.model(), rows, &blamed)?;
        let verdict = |(score, (blamed, findings)): (f64, (Vec<Blame>, Vec<Finding>))| Verdict {
            score,
            p_value: self.calibration().p_value(score),
            is_anomaly: score >= self.threshold(),
            blamed: blamed.into_iter().zip(findings).collect(),
        };
        Ok(scores.into_iter().zip(blamed.into_iter().zip(findings)).map(verdict).collect())
    }
}

#[cfg(test)]
mod tests {
    use ae_data::Dataset;

    use super::*;
    use crate::anomaly::Settings;

    #[test]
    fn a_verdict_is_what_the_parts_say() {
        let values: Vec<f32> = (0..200).flat_map(|i| [i as f32, (2 * i + i % 7) as f32]).collect();
        let mut detector = Detector::fit(&Settings::default(), &Dataset::new(values, 2).unwrap()).unwrap();
        let rows = Dataset::new(vec![100.0, 203.0, 100.0, 20.0, 3.0, 500.0], 2).unwrap();
        let scores = detector.scores(&rows).unwrap();
        // A score at the threshold reaches it.
        detector.set_threshold(scores[1]).unwrap();
        let verdicts = detector.judge(&rows, 2).unwrap();
        let blamed = detector.blame(&rows, 2).unwrap();
        let findings = explain(detector.model(), &rows, &blamed).unwrap();
        assert_eq!(verdicts.len(), 3);
        for (row, verdict) in verdicts.iter().enumerate() {
            assert_eq!(verdict.score, scores[row]);
            assert_eq!(verdict.p_value, detector.calibration().p_value(scores[row]));
            let expected: Vec<_> = blamed[row].iter().copied().zip(findings[row].iter().cloned()).collect();
            assert_eq!(verdict.blamed, expected);
        }
        assert!(!verdicts[0].is_anomaly && verdicts[1].is_anomaly);
        assert_eq!(verdicts[2].is_anomaly, scores[2] >= scores[1]);
        // Each row is judged alone.
        let alone = Dataset::new(vec![100.0, 20.0], 2).unwrap();
        assert_eq!(detector.judge(&alone, 2).unwrap(), verdicts[1..2]);
        assert!(detector.judge(&rows, 0).unwrap().iter().all(|verdict| verdict.blamed.is_empty()));
        assert!(detector.judge(&Dataset::new(vec![1.0], 1).unwrap(), 1).is_err());
    }
}
