//! The arguments of `ae detect`.

use std::path::PathBuf;

use ae_eval::anomaly::Score;
use clap::Args;

use super::{TransformArgs, choice};

pub(super) const DETECT_HELP: &str = "\
The higher the score, the less a row is like the reference; rows with at least the threshold are flagged. The reference is a set of rows \
taken to be normal, usually the training rows: distances are measured to them, and errors compared with theirs. A model file does not \
contain them, so that it stays small and reveals no more than the range of each feature; a detector file (--save) does. Without a \
reference, the score is the model's squared error, and the threshold must be given by --threshold or --contamination.

Scores: error is the squared reconstruction error; standardised-error divides that of each feature by its usual error; mahalanobis also \
takes correlations into account; input-neighbours and latent-neighbours are mean distances to the nearest reference rows (--neighbours), between \
rows and between encodings; ensemble is the geometric mean of three such distances and, for \
tables with categories, mahalanobis.

Output columns: file (of images) or the column of --id, with --top the number of the row from 1, score, flag (1 or 0), with a reference \
p_value ((1 + calibration rows with at least this score) / (1 + calibration rows)), and blamed_1, ...: the names or numbers of the \
features that add most to the row's error (with a reference, its standardised error); missing cells are never to blame. With --explain, each is followed by found_1, ..., the row's \
value, which is empty if it is an unknown category, and expected_1, ..., that of the row's reconstruction, within the range of the \
training rows.

Examples:
  ae detect model.safetensors new.csv --reference train.csv -o found.csv
  ae detect model.safetensors labelled.csv --reference train.csv --percentile 95 --label fraud
  ae detect model.safetensors labelled.csv --reference train.csv --label kind --normal usual
  ae detect model.safetensors new.csv --reference train.csv --save detector.safetensors
  ae detect detector.safetensors newer.csv --explain --top 20
  ae detect model.safetensors new.csv --contamination 0.02";

#[derive(Args, Debug)]
pub(crate) struct DetectArgs {
    #[command(flatten)]
    pub(crate) transform: TransformArgs,
    /// Rows taken to be normal, usually the training file
    #[arg(long, value_name = "DATA")]
    pub(crate) reference: Option<String>,
    /// Normal rows that the model has not seen, for thresholds and p-values [default: the reference]
    #[arg(long, value_name = "DATA", requires = "reference")]
    pub(crate) calibrate: Option<String>,
    /// Number of nearest reference rows whose distances are averaged [default: 2], at most all others; with more
    /// of them, anomalies in the reference that resemble each other hide each other less
    #[arg(long, value_name = "N", requires = "reference", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) neighbours: Option<u32>,
    /// Maximum number of reference rows to use, drawn at random [default: 4096]; a row takes time in proportion, and
    /// the reference itself is scored first
    #[arg(long, value_name = "N", requires = "reference", value_parser = clap::value_parser!(u32).range(2..=10_000_000))]
    pub(crate) reference_rows: Option<u32>,
    /// Anomaly score [default: ensemble with --reference, error without]
    #[arg(long, value_name = "SCORE", value_parser = choice::<Score>(detect_scores()), ignore_case = true)]
    pub(crate) score: Option<Score>,
    /// Flag rows with at least this score
    #[arg(long, value_name = "VALUE", group = "limit", allow_negative_numbers = true)]
    pub(crate) threshold: Option<f64>,
    /// Flag rows with at least this percentile of the calibration scores [default: 99]
    #[arg(long, value_name = "P", group = "limit", allow_negative_numbers = true)]
    pub(crate) percentile: Option<f64>,
    /// Flag this fraction of the rows
    #[arg(long, value_name = "FRACTION", group = "limit", allow_negative_numbers = true)]
    pub(crate) contamination: Option<f64>,
    /// Save the detector to this file: the model, reference, calibration scores and threshold; passed as
    /// MODEL, it needs no --reference
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// Write only this many rows, those with the highest scores, highest first, each with its number from 1
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) top: Option<u32>,
    /// Number of features to blame for each row
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) blame: usize,
    /// Also write what was found in each blamed feature, and what the model expected instead
    #[arg(long)]
    pub(crate) explain: bool,
    /// Label of anomalies, with --label
    #[arg(long, value_name = "LABEL", default_value = "1")]
    pub(crate) anomaly: String,
    /// Label of normal rows, with --label; all others are anomalies, which are skipped in the reference
    #[arg(long, value_name = "LABEL", requires = "label", conflicts_with = "anomaly")]
    pub(crate) normal: Option<String>,
}

/// Scores that a trained model can compute; the others need models of their own.
fn detect_scores() -> Vec<&'static str> {
    Score::ALL.into_iter().filter(|score| *score != Score::Denoising).map(Score::name).collect()
}
