//! The command line: what may be said, and what it means.

mod compare;
mod detect;
mod files;
mod measure;
mod report;
mod validation;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use ae_model::{Image, ImageLayers};
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::kind::{ActivationArg, KindArgs};
pub(crate) use measure::{EvaluateArgs, SweepArgs};

use compare::COMPARE_HELP;
pub(crate) use compare::CompareArgs;
use detect::DETECT_HELP;
pub(crate) use detect::DetectArgs;
use report::REPORT_HELP;
pub(crate) use report::ReportArgs;
pub(crate) use validation::Validation;

/// Autoencoders on the CPU: compress rows of numbers, rebuild them, and score how well.
#[derive(Parser, Debug)]
#[command(
    name = "ae",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "AE_ISA=portable|avx2|avx512|amx in the environment chooses an instruction set where the best that the CPU has is not wanted."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Answers a command line that is no command: help where it is asked for, else what is wrong with it, in one line.
pub(crate) fn refuse(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match error.print() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            let _ = writeln!(std::io::stderr(), "ae: {}", in_one_line(&error.to_string()));
            ExitCode::from(2)
        }
    }
}

/// The message without the usage text that follows it.
pub(crate) fn in_one_line(text: &str) -> String {
    let message = text.split("\n\nUsage:").next().unwrap_or_default();
    let message = message.split("\n\nFor more information").next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let parts: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    format!("{}; --help says what may be given", parts.join(" ").replace(" tip: ", "; "))
}

#[derive(Args, Debug)]
pub(crate) struct Common {
    /// Threads to use [default: all cores]; results do not depend on it
    #[arg(long, global = true, help_heading = "With every command", value_parser = clap::value_parser!(u16).range(1..=1024), value_name = "N")]
    pub(crate) threads: Option<u16>,
    /// One JSON object a line on standard output, everything else on standard error
    #[arg(long, global = true, help_heading = "With every command")]
    pub(crate) json: bool,
    /// No progress and no remarks
    #[arg(long, short, global = true, help_heading = "With every command")]
    pub(crate) quiet: bool,
}

impl Common {
    pub(crate) fn threads(&self) -> Option<usize> {
        self.threads.map(usize::from)
    }
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Train a model on rows and save it
    #[command(after_help = TRAIN_HELP, args_override_self = true)]
    Train(Box<TrainArgs>),
    /// Rows to encodings
    #[command(after_help = "Example: ae encode model.safetensors rows.csv -o codes.csv")]
    Encode(TransformArgs),
    /// Encodings back to rows, in the units of the data
    #[command(
        after_help = "Example: ae decode model.safetensors codes.csv -o rows.csv",
        mut_arg("data", |arg| arg.help("Encodings: a file or -")),
        mut_arg("output", |arg| arg.help(ROWS_OUT))
    )]
    Decode(TransformArgs),
    /// Rows as the model rebuilds them, in the units of the data
    #[command(
        after_help = "Examples:\n  ae reconstruct model.safetensors rows.parquet -o rebuilt.parquet\n  \
        ae reconstruct model.safetensors photos/ -o rebuilt/",
        mut_arg("output", |arg| arg.help(ROWS_OUT))
    )]
    Reconstruct(ReconstructArgs),
    /// Reconstruction error of each row: the larger, the less the row is like the training data
    #[command(after_help = "Errors are measured on scaled features, as in training.\n\n\
        Example: ae score model.safetensors rows.csv -o errors.csv")]
    Score(ScoreArgs),
    /// Which rows are anomalies: a score a row, a flag from a threshold on, a p-value, and the features to blame
    #[command(after_help = DETECT_HELP)]
    Detect(Box<DetectArgs>),
    /// How good a model is on rows: errors, the variance left unexplained, and what a mean and PCA of the same size leave
    #[command(after_help = measure::EVALUATE_HELP)]
    Evaluate(Box<EvaluateArgs>),
    /// A model for each of several encoding sizes: how much smaller do rows get, and at which error
    #[command(after_help = measure::SWEEP_HELP, args_override_self = true)]
    Sweep(Box<SweepArgs>),
    /// Rows that a variational model makes up
    #[command(
        after_help = "Categories, yes and no are drawn as likely as the model says; numbers are what it expects.\n\nExamples:\n  ae generate vae.safetensors --rows 100 -o rows.csv\n  \
        ae generate vae.safetensors --rows 64 -o sheet.png"
    )]
    Generate(GenerateArgs),
    /// Rows on the way from one row to another, through the encodings between theirs
    #[command(after_help = "Example: ae interpolate model.safetensors digits --between 1,2 -o sheet.png")]
    Interpolate(InterpolateArgs),
    /// What each value of a variational encoding stands for: rows along each axis of the latent space
    #[command(
        after_help = "All other values of the encoding are 0, the middle of the prior. In a table the columns code and code_value \
        say which value it is, counted from 0 as in the columns of ae encode, and what it is.\n\nExamples:\n  ae traverse vae.safetensors -o sheet.png\n  \
        ae traverse vae.safetensors --steps 5 -o rows.csv"
    )]
    Traverse(TraverseArgs),
    /// Three maps of the same rows: the model's encoding, principal components and t-SNE, and how well each keeps neighbours
    #[command(after_help = COMPARE_HELP)]
    Compare(CompareArgs),
    /// What there is to say about a model and rows, with plots, as one HTML file
    #[command(after_help = REPORT_HELP)]
    Report(Box<ReportArgs>),
    /// What a model file holds
    Info(InfoArgs),
}

/// Where rows go that may be images.
const ROWS_OUT: &str = "File to write, of a format told by its ending; - is CSV on standard output; NAME/ or a folder that is there takes \
images, one a row";

const TRAIN_HELP: &str = "\
DATA is a file (.csv .tsv .idx -ubyte, each also with .gz; .npy .npz .parquet), a folder of images (.png .jpg .jpeg), - for CSV on \
standard input, or a built-in set: digits (1,797 scans of 8x8 pixels), curves[:ROWS[:SEED]] (generated, 28x28 pixels).

Columns may hold numbers, yes or no, texts, dates and times: what each holds is found out, said, and kept in the model. Columns of texts \
that are mostly different, or more than 256, are left out, with a remark.

Images of a folder are scaled to --image, or have one size; the model remembers it. Where they lie in folders of the folder, the names of \
these are their labels (--label label).

Ctrl-C ends training after the current update and saves the model: its best weights so far, or with --early-stopping 0 the last ones; a \
second one kills. With --checkpoint the same command goes on from there. While --robust still chooses rows, nothing is saved.

Examples:
  ae train digits
  ae train rows.csv --hidden 64,32 --encoding-dim 8 -o model.safetensors
  ae train people.csv --categorical postcode --drop id
  ae train photos/ --image 28x28 --encoding-dim 16
  ae train connections.csv --label kind --normal usual
  ae train rows.npy --epochs 500 --checkpoint rows.checkpoint
  ae train digits --kind denoising --noise gaussian:0.3
  ae train noisy.csv --target clean.csv
  ae train digits --kind vae --beta 1 --activation silu";

/// How rows are read.
#[derive(Args, Debug, Clone)]
pub(crate) struct DataArgs {
    /// Character between the cells of a CSV file [default: found out]
    #[arg(help_heading = "How rows are read", long, value_name = "CHAR", value_parser = delimiter)]
    pub(crate) delimiter: Option<u8>,
    /// The first line of the CSV file holds names [default: found out]
    #[arg(help_heading = "How rows are read", long)]
    pub(crate) header: bool,
    /// The first line of the CSV file holds values
    #[arg(help_heading = "How rows are read", long, conflicts_with = "header")]
    pub(crate) no_header: bool,
    /// Column that holds labels, not values: a name, or a number counted from 1 (in .npz: an array; of a folder of images: label, the names of its folders)
    #[arg(help_heading = "How rows are read", long, value_name = "COLUMN")]
    pub(crate) label: Option<String>,
    /// Column that names the rows (CSV, Parquet), not values: a name, or a number counted from 1; it is written beside what is found out
    /// about each row
    #[arg(help_heading = "How rows are read", long, value_name = "COLUMN")]
    pub(crate) id: Option<String>,
    /// Array of an .npz file that holds the rows [default: X, x, data, or the only table]
    #[arg(help_heading = "How rows are read", long, value_name = "NAME")]
    pub(crate) array: Option<String>,
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text {
        "\\t" | "tab" => Ok(b'\t'),
        _ => match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
            _ => Err("a single character is needed (or \\t)".to_owned()),
        },
    }
}

#[derive(Args, Debug)]
pub(crate) struct TrainArgs {
    /// Rows to train on: a file, a folder of images, -, digits or curves
    pub(crate) data: String,
    /// What the rows should become: as many rows of as many values, row for row, such as clean ones of noisy ones; both are scaled by
    /// what these are
    #[arg(long, value_name = "DATA")]
    pub(crate) target: Option<String>,
    /// Model file to write [default: named after DATA, in this folder]
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) input: DataArgs,
    /// Columns of texts or numbers that are categories, divided by commas: names, or numbers counted from 1 [default: found out]
    #[arg(long, value_name = "COLUMNS", value_parser = names)]
    pub(crate) categorical: Option<Names>,
    /// Columns that are numbers [default: found out]
    #[arg(long, value_name = "COLUMNS", value_parser = names)]
    pub(crate) numeric: Option<Names>,
    /// Columns to leave out
    #[arg(long, value_name = "COLUMNS", value_parser = names)]
    pub(crate) drop: Option<Names>,
    /// What the losses of columns count, e.g. price=3,'pay day=0.5', instead of 1 each; errors, scores and MSE count all alike
    #[arg(long, value_name = "COLUMN=W,...", value_parser = feature_weights)]
    pub(crate) feature_weights: Option<FeatureWeights>,
    /// Train on the rows that have this label in the column of --label, and on no others
    #[arg(long, value_name = "LABEL", requires = "label")]
    pub(crate) normal: Option<String>,
    /// Widths of the layers between input and encoding, e.g. 256,128,64, or none; the decoder mirrors them
    /// [default: gradual steps; none after convolutions, and with --top-k, --contractive or --unit-norm]
    #[arg(long, value_name = "WIDTHS", value_parser = widths)]
    pub(crate) hidden: Option<Widths>,
    /// Convolutions before the hidden layers, each with channels, kernel and stride, e.g. '16 3 s2, 32 3 s2' (after them 'p0' for a
    /// padding other than half the kernel, 'g4' for groups of channels), and between them 'pool 2' or 'avgpool 2' for the largest value
    /// or the mean of squares of 2x2 pixels; the decoder mirrors them
    #[arg(long, value_name = "LAYERS")]
    pub(crate) conv: Option<ImageLayers>,
    /// Size of the images that rows are, height first: 28x28, or 32x32x3 with the channels of a pixel together; those of a folder are
    /// scaled to it [default for a folder: the size that all have]
    #[arg(long, value_name = "SIZE")]
    pub(crate) image: Option<Image>,
    /// Values of an encoding [default: a fifth of the features, 256 at most]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) encoding_dim: Option<usize>,
    /// Activation of the hidden layers and the encoding
    #[arg(long, value_enum, default_value = "tanh")]
    pub(crate) activation: ActivationArg,
    /// Distribution of the first weights
    #[arg(long, value_enum, default_value = "glorot-uniform")]
    pub(crate) init: InitArg,
    /// Passes over the training rows
    #[arg(long, default_value_t = 100, value_name = "N", allow_negative_numbers = true)]
    pub(crate) epochs: usize,
    /// Rows of an update [default: 8 to 128, by the number of rows]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) batch_size: Option<usize>,
    /// Step of the updates, or auto, by a test of growing rates [default: for adam 0.003 up to 128 features and 0.001 from there on, 0.01 for sgd, 0.003 with momentum]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    pub(crate) learning_rate: Option<Rate>,
    /// Rule of the updates
    #[arg(long, value_enum, default_value = "adam")]
    pub(crate) optimizer: OptimizerArg,
    /// Share of the velocity that remains, for momentum and nesterov [default: 0.9]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub(crate) momentum: Option<f64>,
    /// Decays of the two means of adam and adamw [default: 0.9,0.999]
    #[arg(long, value_name = "B1,B2", value_parser = betas, allow_negative_numbers = true)]
    pub(crate) betas: Option<Betas>,
    /// Decay of the weights, for adamw [default: 0.01]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub(crate) weight_decay: Option<f64>,
    /// Seed of weights, split, shuffles, noise, dropout and samples
    #[arg(long, default_value_t = 0, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: u64,
    /// Arithmetic
    #[arg(long, value_enum, default_value = "f32")]
    pub(crate) precision: PrecisionArg,
    /// Scaling of each feature; categories stay 0 and 1 [default: minmax; common for images; standard for tables with other columns than
    /// numbers, and with --missing mask]
    #[arg(long, value_enum)]
    pub(crate) scale: Option<ScaleArg>,
    /// Share of the rows to validate on instead of learning from, drawn at random; or a file of rows to validate on, such as the latest
    #[arg(long, default_value = "0.1", value_name = "SHARE|FILE", allow_negative_numbers = true)]
    pub(crate) validation: Validation,
    /// What missing values are: an error, or left out of the loss and filled in by reconstruct [default: reject; mask for tables with
    /// other columns than numbers]
    #[arg(long, value_enum)]
    pub(crate) missing: Option<MissingArg>,
    /// Stop after this many epochs without a better validation loss, keeping the best weights; 0 never stops
    #[arg(long, default_value_t = 20, value_name = "EPOCHS", allow_negative_numbers = true)]
    pub(crate) early_stopping: usize,
    /// Share of the rows that may be anomalies, below 0.5: two trainings find those with the largest errors, which are then not learnt from
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub(crate) robust: Option<f64>,
    /// Folder to make for a log of this training: epochs.jsonl with an object an epoch, and an event file for TensorBoard
    #[arg(long, value_name = "FOLDER")]
    pub(crate) log_dir: Option<PathBuf>,
    /// File that keeps where training is, written now and then and at the end: the same command goes on from there, to the same model as at
    /// one go (with a schedule that does not depend on them, more --epochs may be asked for)
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Seconds from one checkpoint to the next
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "checkpoint")]
    pub(crate) checkpoint_every: u32,
    /// TOML file of flags, without their dashes: hidden = [64, 32]; those of the command line win
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) kind: KindArgs,
}

/// Names of columns as one argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names(pub(crate) Vec<String>);

fn names(text: &str) -> Result<Names, String> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    match names.iter().any(String::is_empty) {
        true => Err(format!("'{text}' is not a list of columns, divided by commas")),
        false => Ok(Names(names)),
    }
}

/// Columns and what their losses count.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FeatureWeights(pub(crate) Vec<(String, f64)>);

fn feature_weights(text: &str) -> Result<FeatureWeights, String> {
    let parse = |part: &str| {
        let (name, weight) = part.rsplit_once('=')?;
        Some((name.trim().to_owned(), weight.trim().parse().ok()?))
    };
    let weights: Option<Vec<(String, f64)>> = text.split(',').map(parse).collect();
    weights.map(FeatureWeights).ok_or_else(|| {
        format!("'{text}' is not a list of columns with their weights, such as price=3,size=0.5")
    })
}

/// Hidden widths as one argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Widths(pub(crate) Vec<usize>);

fn widths(text: &str) -> Result<Widths, String> {
    if text == "none" {
        return Ok(Widths(Vec::new()));
    }
    let parse = |part: &str| match part.trim().parse::<usize>() {
        Ok(width) if width > 0 => Ok(width),
        _ => Err(format!("'{part}' is not a width: whole numbers from 1, divided by commas, or none")),
    };
    text.split(',').map(parse).collect::<Result<_, _>>().map(Widths)
}

/// A learning rate, or the wish to have one found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rate {
    Given(f64),
    Auto,
}

impl FromStr for Rate {
    type Err = String;
    fn from_str(text: &str) -> Result<Rate, String> {
        match text {
            "auto" => Ok(Rate::Auto),
            number => {
                number.parse().map(Rate::Given).map_err(|_| format!("'{text}' is neither a number nor auto"))
            }
        }
    }
}

/// Two decays as one argument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Betas(pub(crate) f64, pub(crate) f64);

fn betas(text: &str) -> Result<Betas, String> {
    let wrong = || format!("'{text}' is not two numbers divided by a comma");
    let (first, second) = text.split_once(',').ok_or_else(wrong)?;
    let parse = |part: &str| part.trim().parse::<f64>().map_err(|_| wrong());
    Ok(Betas(parse(first)?, parse(second)?))
}

#[derive(Args, Debug)]
pub(crate) struct TransformArgs {
    /// Model file
    pub(crate) model: PathBuf,
    /// Rows: a file, a folder of images, -, digits or curves
    pub(crate) data: String,
    /// File to write, of a format told by its ending; - is CSV on standard output
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) input: DataArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ReconstructArgs {
    #[command(flatten)]
    pub(crate) transform: TransformArgs,
    /// Keep the rows as they are, and fill in their missing values only: in three rounds, each from what the last one filled in
    #[arg(long)]
    pub(crate) fill: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ScoreArgs {
    #[command(flatten)]
    pub(crate) transform: TransformArgs,
    /// The squared error of every feature instead of one error a row
    #[arg(long)]
    pub(crate) per_feature: bool,
    /// Sum or mean of the squared errors of a row
    #[arg(long, value_enum, default_value = "sum", conflicts_with = "per_feature")]
    pub(crate) norm: NormArg,
}

#[derive(Args, Debug)]
pub(crate) struct GenerateArgs {
    /// Model file
    pub(crate) model: PathBuf,
    /// Rows to make up
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000_000), value_name = "N")]
    pub(crate) rows: u32,
    /// Seed of the encodings
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) drawn: DrawnArgs,
}

#[derive(Args, Debug)]
pub(crate) struct InterpolateArgs {
    /// Model file
    pub(crate) model: PathBuf,
    /// Rows: a file, a folder of images, -, digits or curves
    pub(crate) data: String,
    /// The two rows, counted from 1
    #[arg(long, default_value = "1,2", value_name = "A,B", value_parser = two_rows)]
    pub(crate) between: (usize, usize),
    /// Rows to make, the two ends included
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) steps: usize,
    #[command(flatten)]
    pub(crate) drawn: DrawnArgs,
    #[command(flatten)]
    pub(crate) input: DataArgs,
}

#[derive(Args, Debug)]
pub(crate) struct TraverseArgs {
    /// File of a variational model
    pub(crate) model: PathBuf,
    /// Rows of each axis, which are a line of a sheet
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u16).range(2..=1000), value_name = "N")]
    pub(crate) steps: u16,
    /// How far an axis is followed to either side, in standard deviations of the prior
    #[arg(long, default_value_t = 3.0, value_name = "SIGMAS", allow_negative_numbers = true)]
    pub(crate) extent: f32,
    #[command(flatten)]
    pub(crate) drawn: DrawnArgs,
}

/// Where rows go that may be images.
#[derive(Args, Debug)]
pub(crate) struct DrawnArgs {
    /// File to write, of a format told by its ending; .png draws the rows as images, grey or of three channels, and a folder gets an
    /// image a row (not for traverse); - is CSV on standard output
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Lines of an image and pixels of a line, or also its channels, as for train, for .png [default: as the model was told, else
    /// square]
    #[arg(long, value_name = "HxW", value_parser = image_size)]
    pub(crate) image: Option<Image>,
}

fn two_rows(text: &str) -> Result<(usize, usize), String> {
    let wrong = || format!("'{text}' is not two numbers of rows, counted from 1, divided by a comma");
    let (first, second) = text.split_once(',').ok_or_else(wrong)?;
    let parse = |part: &str| part.trim().parse().ok().filter(|row| *row > 0).ok_or_else(wrong);
    Ok((parse(first)?, parse(second)?))
}

/// The size of an image that can be drawn.
fn image_size(text: &str) -> Result<Image, String> {
    match text.parse() {
        Ok(image @ Image { height, width, .. }) if height.max(width) <= 4096 => Ok(image),
        _ => Err(format!("'{text}' is not a size like 28x28")),
    }
}

#[derive(Args, Debug)]
pub(crate) struct InfoArgs {
    /// Model file
    pub(crate) model: PathBuf,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
pub(crate) enum InitArg {
    GlorotUniform,
    GlorotNormal,
    HeUniform,
    HeNormal,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
pub(crate) enum OptimizerArg {
    Sgd,
    Momentum,
    Nesterov,
    Adam,
    Adamw,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
pub(crate) enum PrecisionArg {
    F32,
    F64,
    Bf16,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScaleArg {
    /// To [0, 1] by the smallest and largest value
    Minmax,
    /// To [0, 1] by the smallest and largest value of all features together: for features that share a unit, such as pixels
    #[value(alias = "global")]
    Common,
    /// To mean 0 and standard deviation 1
    Standard,
    /// By median and interquartile range
    Robust,
    /// To mean 0, in its own unit: for features that share one
    #[value(alias = "center")]
    Centre,
    /// By rank, to a normal distribution: for heavy tails
    Quantile,
    /// Not at all
    None,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissingArg {
    Reject,
    Mask,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
pub(crate) enum NormArg {
    Sum,
    Mean,
}
