//! What `ae report` is told.

use std::path::PathBuf;

use clap::Args;

use super::EvaluateArgs;

pub(super) const REPORT_HELP: &str = "\
One HTML file that needs nothing else, not even a network: key figures, rows beside their reconstructions, errors of rows and \
features, a map of the encodings, and the settings with the command that makes the report again. The same inputs give the same \
bytes, but for the threads, the instruction set and the seconds that --compare has taken.

The curves of the training are those that the model remembers, or with --history others. With --compare, maps of the same rows by PCA \
and t-SNE, which take a while; with --sweep, errors against encoding sizes; with --label and --anomaly, how well the reconstruction error \
tells anomalies from the rest, as ROC and precision-recall curves.

Examples:
  ae report model.safetensors rows.csv --reference train.csv -o report.html
  ae report digits.safetensors digits --image 8x8 --compare
  ae report model.safetensors labelled.csv --label kind --anomaly fraud --plots plots";

#[derive(Args, Debug)]
#[command(mut_arg("target", |arg| arg.hide(true)))]
#[command(mut_arg("seed", |arg| arg.help("Seed of the samples: those of the interval of the MSE, and the rows on the map")))]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) evaluate: EvaluateArgs,
    /// File to write, .html; - is standard output
    #[arg(short, long, default_value = "report.html", value_name = "FILE.html")]
    pub(crate) output: PathBuf,
    /// Label of the rows that are anomalies, in the column of --label
    #[arg(long, value_name = "LABEL", requires = "label")]
    pub(crate) anomaly: Option<String>,
    /// Label of the rows that are none; all others are anomalies
    #[arg(long, value_name = "LABEL", requires = "label", conflicts_with = "anomaly")]
    pub(crate) normal: Option<String>,
    /// What `ae train --json` printed, instead of the training that the model remembers
    #[arg(long, value_name = "FILE.jsonl")]
    pub(crate) history: Option<PathBuf>,
    /// What `ae sweep -o` wrote
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) sweep: Option<PathBuf>,
    /// The maps of `ae compare` as well: the encoding beside PCA and t-SNE, and how well each keeps neighbours
    #[arg(long)]
    pub(crate) compare: bool,
    /// Folder that each plot is written to as well, as .svg
    #[arg(long, value_name = "FOLDER")]
    pub(crate) plots: Option<PathBuf>,
}
