//! The arguments of `ae compare`.

use std::path::PathBuf;

use clap::Args;

use super::DataArgs;

pub(super) const COMPARE_HELP: &str = "\
All maps are of the rows as the model scales them, and true neighbours are those of the scaled rows. Encodings \
of more than two values are mapped by their first two principal components. Trustworthiness: are neighbours on \
the map true neighbours? Continuity: are true neighbours also neighbours on the map? Both are at best 1, and about \
0.5 for a map that has nothing to do with the rows. With labels, the accuracy of k nearest neighbours on the map: \
how often a row's label is the most common one among its neighbours.

Output columns: row (its number in DATA, from 1), file (of images) or the column of --id, label, encoding_1, \
encoding_2, pca_1, pca_2, tsne_1, tsne_2.

Examples:
  ae compare model.safetensors digits --plot maps.png
  ae compare model.safetensors rows.csv --label kind --rows 500 -o maps.csv";

#[derive(Args, Debug)]
pub(crate) struct CompareArgs {
    /// Model file
    pub(crate) model: PathBuf,
    /// Rows: a file, a folder of images, -, digits or curves; --label may also be a file, a label per
    /// line
    pub(crate) data: String,
    /// File to write the coordinates to, .csv or .tsv; - is CSV on standard output
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Image file for a plot of the maps side by side, .png or .svg
    #[arg(long, value_name = "FILE")]
    pub(crate) plot: Option<PathBuf>,
    /// Maximum number of rows to map, drawn at random; time and memory grow with its square
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(4..=10_000), value_name = "N")]
    pub(crate) rows: u32,
    /// Random seed of the drawn rows and of t-SNE
    #[arg(long, default_value_t = 0, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: u64,
    /// Perplexity of t-SNE, roughly the number of neighbours per row that it preserves [default: 30, or
    /// a third of the rows if they are few]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub(crate) perplexity: Option<f64>,
    /// Neighbours per row to measure the maps by: fewer than half of the rows [default: 5, or as many as
    /// the rows allow if they are few]
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub(crate) neighbours: Option<usize>,
    #[command(flatten)]
    pub(crate) input: DataArgs,
}
