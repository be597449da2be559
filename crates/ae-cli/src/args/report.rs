//! The arguments of `ae report`.

use std::path::PathBuf;

use clap::Args;

use super::EvaluateArgs;

pub(super) const REPORT_HELP: &str = "\
One self-contained HTML file that loads nothing from the network: key figures, rows next to their reconstructions, errors by row and \
feature, a map of the encodings, and the settings with the command that reproduces the report. The same command gives the same bytes, \
except for the number of threads, the instruction set and the seconds that --compare takes.

Training curves are those stored in the model, or those of --history. --compare adds maps of the same rows by PCA and t-SNE, which take a \
while; --sweep adds errors by encoding size; --label with --anomaly or --normal adds ROC and precision-recall curves of how well the \
reconstruction error separates anomalies from other rows.

Examples:
  ae report model.safetensors rows.csv --reference train.csv -o report.html
  ae report digits.safetensors digits --image 8x8 --compare
  ae report model.safetensors labelled.csv --label kind --anomaly fraud --plots plots";

#[derive(Args, Debug)]
#[command(mut_arg("target", |arg| arg.hide(true)))]
#[command(mut_arg("seed", |arg| arg.help("Random seed of the bootstrap interval of the MSE, the hidden cells, the rows for classifiers and on the map, and t-SNE")))]
pub(crate) struct ReportArgs {
    #[command(flatten)]
    pub(crate) evaluate: EvaluateArgs,
    /// HTML file to write; - is standard output
    #[arg(short, long, default_value = "report.html", value_name = "FILE.html")]
    pub(crate) output: PathBuf,
    /// Label of anomalies, in the --label column
    #[arg(long, value_name = "LABEL", requires = "label")]
    pub(crate) anomaly: Option<String>,
    /// Label of normal rows; all other rows are anomalies
    #[arg(long, value_name = "LABEL", requires = "label", conflicts_with = "anomaly")]
    pub(crate) normal: Option<String>,
    /// Output of `ae train --json`, or epochs.jsonl of --log-dir, to plot instead of the model's history
    #[arg(long, value_name = "FILE.jsonl")]
    pub(crate) history: Option<PathBuf>,
    /// Results of `ae sweep -o` to plot
    #[arg(long, value_name = "FILE.csv")]
    pub(crate) sweep: Option<PathBuf>,
    /// Add the maps of `ae compare`: PCA and t-SNE, and how well each map preserves neighbours
    #[arg(long)]
    pub(crate) compare: bool,
    /// Folder to also write each plot to, as .svg
    #[arg(long, value_name = "FOLDER")]
    pub(crate) plots: Option<PathBuf>,
}
