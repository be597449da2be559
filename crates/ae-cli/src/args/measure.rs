//! The arguments of the commands that measure: `ae evaluate`, `ae sweep`.

use std::path::PathBuf;

use ae_model::Image;
use clap::Args;

use super::{DataArgs, TrainArgs};

pub(super) const EVALUATE_HELP: &str = "\
Errors are measured on scaled features, as in training, and in the units of the data. The share of the variance left unexplained is \
that of the squared errors in those of predicting each feature's mean: under 5 % is a good reconstruction. Missing values are left out.

The mean and PCA of the same size are fitted to the --reference rows, as a rule those the model was trained on, and measured on DATA. \
If both have labels, a logistic regression learns from the reference and is tried on DATA: on the encodings, the rows themselves and \
their principal components, standardised.

For images (a model trained with --image, or --image here) there are PSNR and SSIM too, in the units of the data.

Examples:
  ae evaluate model.safetensors test.csv --reference train.csv
  ae evaluate people.safetensors people.csv --hide 0.1
  ae evaluate model.safetensors noisy.csv --target clean.csv
  ae evaluate digits.safetensors digits --image 8x8 --range 16 --json";

pub(super) const SWEEP_HELP: &str = "\
Nearly all flags of ae train are flags here. All models have the same settings and the same rows held out (--validation), on which they are compared with each other and with PCA of \
the same size. They differ in the size of their encodings (--sizes) or in another setting (--vary). The elbow is the size from which more pays less: the point farthest below the chord of the curve of validation errors, \
both axes scaled to [0, 1] (Kneedle, Satopaa et al. 2011).

With -o each result is written as soon as it is there, and a sweep that is run again trains only what is missing. Results of other \
settings or data are not mixed in: that is an error, unless --restart replaces them.

Examples:
  ae sweep digits --sizes 2,5,10,20,50
  ae sweep rows.csv --sizes 2,4,8 --hidden 64 -o sizes.csv
  ae sweep digits --vary learning-rate=0.003,0.01,0.03 --encoding-dim 10";

#[derive(Args, Debug)]
pub(crate) struct EvaluateArgs {
    /// Model file
    pub(crate) model: PathBuf,
    /// Rows: a file, a folder of images, -, digits or curves
    pub(crate) data: String,
    #[command(flatten)]
    pub(crate) input: DataArgs,
    /// What the rows should become, row for row: errors are measured against these [default: DATA itself]
    #[arg(long, value_name = "DATA")]
    pub(crate) target: Option<String>,
    /// Rows that the mean, PCA and classifiers are fitted to: the training file [default: DATA itself, or its
    /// targets]
    #[arg(long, value_name = "DATA")]
    pub(crate) reference: Option<String>,
    /// Size of the images that rows are: 28x28, or 32x32x3 with the channels of a pixel together [default: as the model was told]
    #[arg(long, value_name = "SIZE")]
    pub(crate) image: Option<Image>,
    /// Largest minus smallest value that images can have, for PSNR and SSIM [default: 255 for a folder of
    /// images, 1 if all values are in [0, 1], else what DATA spans]
    #[arg(long, value_name = "RANGE", allow_negative_numbers = true)]
    pub(crate) range: Option<f64>,
    /// Hide this share of the known cells, and say how well the model fills them in, beside mean and most frequent category
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub(crate) hide: Option<f64>,
    /// Seed of the samples that the interval of the MSE comes from, and of the cells to hide
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
}

#[derive(Args, Debug)]
#[command(
    mut_arg("output", |arg| arg.value_name("FILE.csv").help("CSV file of the results, written after each model and read again by the next run")),
    mut_arg("encoding_dim", |arg| arg.help("Values of an encoding, with --vary [default: a fifth of the features, 256 at most]")),
    mut_arg("validation", |arg| arg.help("Share of the rows that the models are compared on and do not learn from; or a file of such rows")),
)]
pub(crate) struct SweepArgs {
    /// Encoding sizes to try, e.g. 2,5,10
    #[arg(long, value_name = "N,N,...", required_unless_present = "vary", conflicts_with = "vary", value_parser = sizes)]
    pub(crate) sizes: Option<Sizes>,
    /// Another flag of ae train and the values of it to try, e.g. learning-rate=0.001,0.01, or with semicolons between values that hold
    /// commas: 'hidden=64;64,32'
    #[arg(long, value_name = "FLAG=V,V,...", value_parser = vary)]
    pub(crate) vary: Option<Vary>,
    /// Train all models again, and replace the results that the file has
    #[arg(long, requires = "output")]
    pub(crate) restart: bool,
    #[command(flatten)]
    pub(crate) training: TrainArgs,
}

/// A flag and values of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vary {
    pub(crate) flag: String,
    pub(crate) values: Vec<String>,
}

fn vary(text: &str) -> Result<Vary, String> {
    let (flag, values) = text.split_once('=').ok_or("a flag, = and values of it are needed")?;
    let flag = flag.trim().trim_start_matches('-').replace('_', "-");
    let values = values.split(if values.contains(';') { ';' } else { ',' });
    let values: Vec<String> = values.map(|value| value.trim().to_owned()).collect();
    if flag.is_empty() || values.iter().any(|value| value.is_empty() || value.contains(['"', '\n', '\r'])) {
        return Err("a flag, = and values of it are needed".to_owned());
    }
    match values.iter().enumerate().find(|(place, value)| values[..*place].contains(value)) {
        Some((_, value)) => Err(format!("'{value}' is given twice")),
        None => Ok(Vary { flag, values }),
    }
}

/// Encoding sizes as one argument, rising.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sizes(pub(crate) Vec<usize>);

fn sizes(text: &str) -> Result<Sizes, String> {
    let parse = |part: &str| match part.trim().parse::<usize>() {
        Ok(size) if size > 0 => Ok(size),
        _ => Err(format!("'{part}' is not a size: whole numbers from 1, divided by commas")),
    };
    let mut sizes = text.split(',').map(parse).collect::<Result<Vec<_>, _>>()?;
    sizes.sort_unstable();
    match sizes.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("size {} is given twice", pair[0])),
        None => Ok(Sizes(sizes)),
    }
}
