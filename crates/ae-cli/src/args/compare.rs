//! What `ae compare` is told.

use std::path::PathBuf;

use clap::Args;

use super::DataArgs;

pub(super) const COMPARE_HELP: &str = "\
All maps are of the model's scaled rows, and distances are measured there. Of an encoding wider \
than two values the first two principal components are drawn and measured. Trustworthiness: are \
neighbours on the map neighbours in truth? Continuity: are neighbours in truth neighbours on the \
map? Both are 1 at best and about 0.5 for a map that has nothing to do with the rows. Accuracy, \
where rows have labels: how often the label that most of a row's nearest others on the map have is its own.

The columns written: row (its number in DATA, from 1), file (of images), label, encoding_1, encoding_2, pca_1, pca_2, \
tsne_1, tsne_2.

Examples:
  ae compare model.safetensors digits --plot maps.png
  ae compare model.safetensors rows.csv --label kind --rows 500 -o maps.csv";

#[derive(Args, Debug)]
pub(crate) struct CompareArgs {
    /// Model file
    pub(crate) model: PathBuf,
    /// Rows: a file, a folder of images, -, digits or curves; --label may also name a file of labels, one a line
    pub(crate) data: String,
    /// File of coordinates to write, .csv or .tsv; - is CSV on standard output
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Picture of the maps side by side to draw, .png or .svg
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Rows to map at most, drawn at random; time and memory go with their square
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(4..=10_000), value_name = "N")]
    pub(crate) rows: u32,
    /// Seed of the draw of rows and of t-SNE
    #[arg(long, default_value_t = 0, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: u64,
    /// About how many neighbours t-SNE keeps a row beside [default: 30, or a third of the rows where they are few]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub(crate) perplexity: Option<f64>,
    /// Neighbours that are looked at: fewer than half of the rows
    #[arg(long, default_value_t = 5, value_name = "K", allow_negative_numbers = true)]
    pub(crate) neighbours: usize,
    #[command(flatten)]
    pub(crate) input: DataArgs,
}
