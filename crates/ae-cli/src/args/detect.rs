//! What `ae detect` is told.

use std::path::PathBuf;

use ae_eval::anomaly::Score;
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::TransformArgs;

pub(super) const DETECT_HELP: &str = "\
The higher a score, the less a row is like the reference; rows are flagged from the threshold on. The reference is a set of rows that \
are taken to be normal, as a rule those the model was trained on: distances and usual errors are theirs. A model file does \
not hold them, so that it stays small and gives no row away; the file of a detector (--save) does. Without them the score is the model's \
squared error, and the threshold has to be said with --threshold or --contamination.

Scores: error is the squared error, standardised-error that with each feature's over its usual one, mahalanobis the same with \
correlations; input-neighbours and latent-neighbours are mean distances to the two nearest rows of the reference and their encodings; \
ensemble is the geometric mean of three distances.

The columns written: file (of images) or the column of --id, score, flag (1 or 0), with a reference p_value ((1 + calibration rows that are at \
least as odd) / (1 + calibration rows)), and for each of the features that add most to the row's standardised error its name or number (blamed_1, ...).

Examples:
  ae detect model.safetensors new.csv --reference train.csv -o found.csv
  ae detect model.safetensors labelled.csv --reference train.csv --percentile 95 --label fraud
  ae detect model.safetensors labelled.csv --reference train.csv --label kind --normal usual
  ae detect model.safetensors new.csv --reference train.csv --save detector.safetensors
  ae detect detector.safetensors newer.csv
  ae detect model.safetensors new.csv --contamination 0.02";

#[derive(Args, Debug)]
pub(crate) struct DetectArgs {
    #[command(flatten)]
    pub(crate) transform: TransformArgs,
    /// Rows that are taken to be normal: the training file; of more than 4,096, so many drawn at random
    #[arg(long, value_name = "DATA")]
    pub(crate) reference: Option<String>,
    /// Normal rows that the model has not seen, which thresholds and p-values then come from [default: the reference]
    #[arg(long, value_name = "DATA", requires = "reference")]
    pub(crate) calibrate: Option<String>,
    /// Score [default: ensemble with --reference, error without]
    #[arg(long, value_name = "SCORE", value_parser = PossibleValuesParser::new(detect_scores()))]
    pub(crate) score: Option<String>,
    /// Flag rows with this score or more
    #[arg(long, value_name = "VALUE", group = "limit", allow_negative_numbers = true)]
    pub(crate) threshold: Option<f64>,
    /// Flag rows from the score on that this many percent of the calibration rows are below [default: 99]
    #[arg(long, value_name = "P", group = "limit", allow_negative_numbers = true)]
    pub(crate) percentile: Option<f64>,
    /// Flag this share of the rows
    #[arg(long, value_name = "SHARE", group = "limit", allow_negative_numbers = true)]
    pub(crate) contamination: Option<f64>,
    /// Keep the detector in this file: MODEL, the reference, its scores and the threshold; given as MODEL it needs no --reference
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// Features to blame for each row
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) blame: usize,
    /// The label that anomalies have, with --label
    #[arg(long, value_name = "LABEL", default_value = "1")]
    pub(crate) anomaly: String,
    /// The label that all rows have that are no anomalies, with --label; in the reference others are passed over
    #[arg(long, value_name = "LABEL", requires = "label", conflicts_with = "anomaly")]
    pub(crate) normal: Option<String>,
}

/// Scores of a model that is trained already: the others need models of their own.
fn detect_scores() -> Vec<&'static str> {
    Score::ALL.into_iter().filter(|score| *score != Score::Denoising).map(Score::name).collect()
}
