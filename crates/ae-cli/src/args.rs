//! The command line: commands, flags and their help.

mod compare;
mod data;
mod detect;
mod files;
mod measure;
mod report;
mod validation;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use ae_model::{Activation, Image, ImageLayers, Init, Optimizer, Precision};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::kind::KindArgs;
pub(crate) use measure::{EvaluateArgs, SweepArgs};

use compare::COMPARE_HELP;
pub(crate) use compare::CompareArgs;
pub(crate) use data::DataArgs;
use detect::DETECT_HELP;
pub(crate) use detect::DetectArgs;
use report::REPORT_HELP;
pub(crate) use report::ReportArgs;
pub(crate) use validation::Validation;

/// Train autoencoders on the CPU and use them to compress, reconstruct, score and generate rows of data.
#[derive(Parser, Debug)]
#[command(
    name = "ae",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "The best instruction set that the CPU supports is used; AE_ISA=portable, avx2, avx512 or amx in the environment selects another."
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Prints what clap has to say instead of running a command: requested help, or the error in one line.
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

/// The message in one line, without the usage text that follows it.
pub(crate) fn in_one_line(text: &str) -> String {
    let message = text.split("\n\nUsage:").next().unwrap_or_default();
    let message = message.split("\n\nFor more information").next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let parts: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    format!("{}; see --help", parts.join(" ").replace(" tip: ", "; "))
}

#[derive(Args, Debug)]
pub(crate) struct Common {
    /// Threads to use; results do not depend on it [default: all cores]
    #[arg(long, global = true, help_heading = "Global options", value_parser = clap::value_parser!(u16).range(1..=1024), value_name = "N")]
    pub(crate) threads: Option<u16>,
    /// Print one JSON object per line on standard output; everything else goes to standard error
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// Print no progress and no remarks, only results, warnings and errors
    #[arg(long, short, global = true, help_heading = "Global options")]
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
    /// Compress rows to encodings
    #[command(after_help = "Example: ae encode model.safetensors rows.csv -o codes.csv")]
    Encode(EncodeArgs),
    /// Decode encodings back to rows, in the units of the data
    #[command(
        after_help = "Example: ae decode model.safetensors codes.csv -o rows.csv",
        mut_arg("data", |arg| arg.help("Encodings: a file, or - for CSV on standard input")),
        mut_arg("output", |arg| arg.help(ROWS_OUT))
    )]
    Decode(TransformArgs),
    /// Reconstruct rows in the units of the data, or only fill in their missing values
    #[command(
        after_help = "Examples:\n  ae reconstruct model.safetensors rows.parquet -o rebuilt.parquet\n  \
        ae reconstruct model.safetensors photos/ -o rebuilt/",
        mut_arg("output", |arg| arg.help(ROWS_OUT))
    )]
    Reconstruct(ReconstructArgs),
    /// Compute the reconstruction error of each row; large errors mark rows unlike the training data
    #[command(after_help = "Errors are measured on scaled features, as in training.\n\n\
        Example: ae score model.safetensors rows.csv -o errors.csv")]
    Score(ScoreArgs),
    /// Detect anomalies: a score, a flag, a p-value and the features to blame for each row
    #[command(after_help = DETECT_HELP)]
    Detect(Box<DetectArgs>),
    /// Measure how well a model reconstructs rows, compared with the mean and with PCA of the same size
    #[command(after_help = measure::EVALUATE_HELP)]
    Evaluate(Box<EvaluateArgs>),
    /// Train a model for each of several encoding sizes, or values of another setting, and compare them
    #[command(after_help = measure::SWEEP_HELP, args_override_self = true)]
    Sweep(Box<SweepArgs>),
    /// Generate rows from a variational model
    #[command(
        after_help = "Categories and booleans are drawn with the probabilities that the model gives them; numbers and dates are its means, or the nearest that occurred in training where these lie beyond.\n\nExamples:\n  ae generate vae.safetensors --rows 100 -o rows.csv\n  \
        ae generate vae.safetensors --rows 64 -o sheet.png"
    )]
    Generate(GenerateArgs),
    /// Interpolate between two rows, through the encodings between theirs
    #[command(after_help = "Example: ae interpolate model.safetensors digits --between 1,2 -o sheet.png")]
    Interpolate(InterpolateArgs),
    /// Show what each latent dimension of a variational model does, by rows along its axis
    #[command(
        after_help = "All other latent dimensions are 0, the mean of the prior. In a table, the column code holds the number of the \
        dimension, counted from 0 as in the columns of ae encode, and code_value its value.\n\nExamples:\n  ae traverse vae.safetensors -o sheet.png\n  \
        ae traverse vae.safetensors --steps 5 -o rows.csv"
    )]
    Traverse(TraverseArgs),
    /// Map rows to two dimensions by the model's encoding, PCA and t-SNE, and measure how well each
    /// preserves neighbours
    #[command(after_help = COMPARE_HELP)]
    Compare(CompareArgs),
    /// Write a report on a model and rows, with plots, as one HTML file
    #[command(after_help = REPORT_HELP)]
    Report(Box<ReportArgs>),
    /// Show what a model file holds
    Info(InfoArgs),
}

/// Help for an output of rows that may be images.
const ROWS_OUT: &str = "File to write, in the format of its extension, or a folder (NAME/, or one that exists) for one image per row; \
- is CSV on standard output [default: -]";

const TRAIN_HELP: &str = "\
DATA is a file (.csv .tsv .idx -ubyte, each also with .gz; .npy .npz .parquet), a folder of images (.png .jpg .jpeg), - for CSV on \
standard input, or a built-in set: digits (1,797 scans of 8x8 pixels), curves[:ROWS[:SEED]] (generated, 28x28 pixels).

Columns may hold numbers, booleans, categories, dates and times. The kind of each column is inferred, printed and stored in the model. \
Columns of mostly distinct texts, or of more than 256 different ones, are left out, with a remark.

Images in a folder are resized to --image, or must have one size; the model remembers it. Where images are in subfolders, the names of \
these are the labels (--label label).

Ctrl-C ends training after the current update and saves the model: the best weights so far, or with --early-stopping 0 the last ones. A \
second Ctrl-C exits at once. With --checkpoint, the same command resumes from there. While --robust is still choosing rows, nothing is saved.

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

#[derive(Args, Debug)]
pub(crate) struct TrainArgs {
    /// Rows to train on: a file, a folder of images, -, digits or curves
    pub(crate) data: String,
    /// Rows to learn to output instead of DATA itself, such as clean rows for noisy ones: one for each
    /// row of DATA, of the same width; the scaling is fitted to them and applied to both
    #[arg(long, value_name = "DATA")]
    pub(crate) target: Option<String>,
    /// Model file to write [default: named after DATA, in the current folder]
    #[arg(short, long, value_name = "MODEL")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) input: DataArgs,
    /// Columns to treat as categories: names or numbers (from 1), separated by commas [default:
    /// inferred]
    #[arg(long, value_name = "COLUMNS", value_parser = names)]
    pub(crate) categorical: Option<ColumnNames>,
    /// Columns to treat as numbers [default: inferred]
    #[arg(long, value_name = "COLUMNS", value_parser = names)]
    pub(crate) numeric: Option<ColumnNames>,
    /// Columns to leave out
    #[arg(long, value_name = "COLUMNS", value_parser = names)]
    pub(crate) drop: Option<ColumnNames>,
    /// Weights of columns in the loss, e.g. price=3,'pay day=0.5' [default: 1 each]; errors, scores and
    /// MSE are not weighted
    #[arg(long, value_name = "COLUMN=W,...", value_parser = feature_weights)]
    pub(crate) feature_weights: Option<FeatureWeights>,
    /// Train only on the rows that have this label in the --label column
    #[arg(long, value_name = "LABEL", requires = "label")]
    pub(crate) normal: Option<String>,
    /// Widths of the hidden layers between input and encoding, e.g. 256,128,64, or none; the decoder
    /// mirrors them [default: geometric steps; none after convolutions, or with --top-k, --contractive
    /// or --unit-norm]
    #[arg(long, value_name = "WIDTHS", value_parser = widths)]
    pub(crate) hidden: Option<Widths>,
    /// Convolutions before the hidden layers: '16 3 s2, 32 3 s2' are two, of 16 and 32 channels, kernel
    /// 3 and stride 2. A p0 after these sets a padding other than half the kernel, g4 the groups of
    /// channels; 'pool 2' and 'avgpool 2' in between are max and average pooling over 2x2 pixels. The
    /// decoder mirrors them all
    #[arg(long, value_name = "LAYERS")]
    pub(crate) conv: Option<ImageLayers>,
    /// Size of the images that rows are, height first: 28x28, or 32x32x3 with the channels last; images
    /// in a folder are resized to it [default for a folder: the size that all have]
    #[arg(long, value_name = "SIZE")]
    pub(crate) image: Option<Image>,
    /// Size of the encoding [default: a fifth of the features, at most 256 and half the training rows]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) encoding_dim: Option<usize>,
    /// Activation of the hidden layers, and of the encoding unless that has another [default: silu for
    /// images, else tanh]
    #[arg(long, value_parser = choice::<Activation>(Activation::ALL.map(Activation::name)), ignore_case = true)]
    pub(crate) activation: Option<Activation>,
    /// Distribution of the initial weights
    #[arg(long, default_value = "glorot-uniform", value_parser = choice::<Init>(Init::ALL.map(Init::name)), ignore_case = true)]
    pub(crate) init: Init,
    /// Passes over the training rows
    #[arg(long, default_value_t = 100, value_name = "N", allow_negative_numbers = true)]
    pub(crate) epochs: usize,
    /// Rows per update [default: 8 to 128, depending on the number of rows]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) batch_size: Option<usize>,
    /// Learning rate, or auto to choose one with a learning-rate range test [default: for adam and adamw
    /// 0.003 up to 128 features and 0.001 beyond, for sgd 0.01, for momentum and nesterov 0.003]
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    pub(crate) learning_rate: Option<Rate>,
    /// Optimizer
    #[arg(long, default_value = "adam", value_parser = choice::<Optimizer>(OPTIMIZERS), ignore_case = true)]
    pub(crate) optimizer: Optimizer,
    /// Momentum coefficient, for momentum and nesterov [default: 0.9]
    #[arg(long, value_name = "COEFFICIENT", allow_negative_numbers = true)]
    pub(crate) momentum: Option<f64>,
    /// Decay rates of the two moment estimates, for adam and adamw [default: 0.9,0.999]
    #[arg(long, value_name = "B1,B2", value_parser = betas, allow_negative_numbers = true)]
    pub(crate) betas: Option<Betas>,
    /// Weight decay, for adamw [default: 0.01]
    #[arg(long, value_name = "COEFFICIENT", allow_negative_numbers = true)]
    pub(crate) weight_decay: Option<f64>,
    /// Random seed of initial weights, validation split, shuffling, noise, dropout and sampling
    #[arg(long, default_value_t = 0, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: u64,
    /// Floating-point precision; bf16 is mixed precision, faster than f32 on CPUs with AMX and slower on others
    #[arg(long, default_value = "f32", value_parser = choice::<Precision>(Precision::ALL.map(Precision::name)), ignore_case = true)]
    pub(crate) precision: Precision,
    /// Scaling of the features; categories stay 0 and 1 [default: minmax; common for images; standard
    /// for tables with non-numeric columns and with --missing mask]
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) scale: Option<ScaleArg>,
    /// Fraction of the rows to hold out for validation, chosen at random, or a file of validation rows,
    /// such as the latest ones
    #[arg(long, default_value = "0.1", value_name = "FRACTION|FILE", allow_negative_numbers = true)]
    pub(crate) validation: Validation,
    /// Reject missing values, or mask them: they are left out of the loss, and reconstruct fills them in
    /// [default: reject; mask for tables with non-numeric columns]
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) missing: Option<MissingArg>,
    /// Stop after this many epochs without a lower validation loss, keeping the best weights; 0 disables
    /// it
    #[arg(long, default_value_t = 20, value_name = "EPOCHS", allow_negative_numbers = true)]
    pub(crate) early_stopping: usize,
    /// Fraction of the rows that may be anomalies, below 0.5: two training runs find that many rows with
    /// the largest errors, and the model is then trained without them
    #[arg(long, value_name = "FRACTION", allow_negative_numbers = true)]
    pub(crate) robust: Option<f64>,
    /// Folder to create for a log of the training run: epochs.jsonl, with an object per epoch, and an
    /// event file for TensorBoard
    #[arg(long, value_name = "FOLDER")]
    pub(crate) log_dir: Option<PathBuf>,
    /// Checkpoint file, written at intervals and at the end: the same command resumes from it, and ends
    /// with the same model as an uninterrupted run (--epochs may be raised if the schedule does not
    /// depend on it)
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// Seconds between checkpoints
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "checkpoint")]
    pub(crate) checkpoint_every: u32,
    /// TOML file of flags without dashes, e.g. hidden = [64, 32]; the command line takes precedence
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) kind: KindArgs,
}

/// Values of `--optimizer`; their settings have flags of their own.
const OPTIMIZERS: [&str; 5] = ["sgd", "momentum", "nesterov", "adam", "adamw"];

/// Parses one of these names, which the help lists; with `ignore_case`, in any case.
pub(crate) fn choice<T>(names: impl IntoIterator<Item = &'static str>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names).try_map(|name| name.to_lowercase().parse())
}

/// Column names, parsed from one argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnNames(pub(crate) Vec<String>);

fn names(text: &str) -> Result<ColumnNames, String> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    match names.iter().any(String::is_empty) {
        true => Err(format!("'{text}' is not a list of columns separated by commas")),
        false => Ok(ColumnNames(names)),
    }
}

/// Columns and the weights of their losses.
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

/// Widths of the hidden layers, parsed from one argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Widths(pub(crate) Vec<usize>);

fn widths(text: &str) -> Result<Widths, String> {
    if text == "none" {
        return Ok(Widths(Vec::new()));
    }
    let parse = |part: &str| match part.trim().parse::<usize>() {
        Ok(width) if width > 0 => Ok(width),
        _ => Err(format!("'{part}' is not a width: expected positive integers separated by commas, or none")),
    };
    text.split(',').map(parse).collect::<Result<_, _>>().map(Widths)
}

/// A learning rate, or `auto` for one found by a range test.
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

/// The two decay rates of Adam, parsed from one argument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Betas(pub(crate) f64, pub(crate) f64);

fn betas(text: &str) -> Result<Betas, String> {
    let wrong = || format!("'{text}' is not two numbers separated by a comma");
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
    /// File to write, in the format of its extension; - is CSV on standard output [default: -]
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) input: DataArgs,
}

#[derive(Args, Debug)]
pub(crate) struct EncodeArgs {
    #[command(flatten)]
    pub(crate) transform: TransformArgs,
    /// Also write the logarithms of the variances of a variational model's encodings, in columns
    /// code_0_log_variance, code_1_log_variance, ... after those of the means
    #[arg(long)]
    pub(crate) log_variances: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ReconstructArgs {
    #[command(flatten)]
    pub(crate) transform: TransformArgs,
    /// Keep the known values and only fill in the missing ones, in three rounds, each starting from what
    /// the last one filled in
    #[arg(long)]
    pub(crate) fill: bool,
}

#[derive(Args, Debug)]
pub(crate) struct ScoreArgs {
    #[command(flatten)]
    pub(crate) transform: TransformArgs,
    /// Write the squared error of every feature instead of one error per row; empty for missing cells
    #[arg(long)]
    pub(crate) per_feature: bool,
    /// Sum of a row's squared errors, or that divided by the number of features
    #[arg(long, value_enum, ignore_case = true, default_value = "sum", conflicts_with = "per_feature")]
    pub(crate) norm: NormArg,
}

#[derive(Args, Debug)]
pub(crate) struct GenerateArgs {
    /// Model file
    pub(crate) model: PathBuf,
    /// Number of rows to generate
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000_000), value_name = "N")]
    pub(crate) rows: u32,
    /// Random seed of the encodings
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) rows_output: RowsOutputArgs,
}

#[derive(Args, Debug)]
pub(crate) struct InterpolateArgs {
    /// Model file
    pub(crate) model: PathBuf,
    /// Rows: a file, a folder of images, -, digits or curves
    pub(crate) data: String,
    /// The two rows to interpolate between, counted from 1
    #[arg(long, default_value = "1,2", value_name = "A,B", value_parser = two_rows)]
    pub(crate) between: (usize, usize),
    /// Number of rows to write, including both ends
    #[arg(long, default_value_t = 10, value_name = "N")]
    pub(crate) steps: usize,
    #[command(flatten)]
    pub(crate) rows_output: RowsOutputArgs,
    #[command(flatten)]
    pub(crate) input: DataArgs,
}

#[derive(Args, Debug)]
pub(crate) struct TraverseArgs {
    /// File of a variational model
    pub(crate) model: PathBuf,
    /// Rows per axis; in a .png, each axis is one line of images
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u16).range(2..=1000), value_name = "N")]
    pub(crate) steps: u16,
    /// How far to follow each axis in both directions, in standard deviations of the prior
    #[arg(long, default_value_t = 3.0, value_name = "SIGMAS", allow_negative_numbers = true)]
    pub(crate) extent: f32,
    #[command(flatten)]
    pub(crate) rows_output: RowsOutputArgs,
}

/// Where to write rows that may be images.
#[derive(Args, Debug)]
pub(crate) struct RowsOutputArgs {
    /// File to write, in the format of its extension: .png is a contact sheet of the rows as images,
    /// greyscale or RGB; a folder gets one image per row (not for traverse); - is CSV on standard output
    /// [default: -]
    #[arg(short, long, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
    /// Size of the images in a .png, height first, optionally with channels, as for train [default: the
    /// size the model was trained with, else square]
    #[arg(long, value_name = "HxW", value_parser = image_size)]
    pub(crate) image: Option<Image>,
}

fn two_rows(text: &str) -> Result<(usize, usize), String> {
    let wrong = || format!("'{text}' is not two row numbers, counted from 1 and separated by a comma");
    let (first, second) = text.split_once(',').ok_or_else(wrong)?;
    let parse = |part: &str| part.trim().parse().ok().filter(|row| *row > 0).ok_or_else(wrong);
    Ok((parse(first)?, parse(second)?))
}

/// The size of an image, small enough to draw.
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

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScaleArg {
    /// To [0, 1], by the minimum and maximum of each feature
    Minmax,
    /// To [0, 1], by the minimum and maximum over all features, which share a unit, such as pixels
    #[value(alias = "global")]
    Common,
    /// To mean 0 and standard deviation 1
    Standard,
    /// By median and interquartile range
    Robust,
    /// To mean 0, keeping the unit: for features that share one
    #[value(alias = "center")]
    Centre,
    /// By rank, to a normal distribution: for heavy tails
    Quantile,
    /// No scaling
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
