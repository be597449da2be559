//! The arguments of `ae evaluate` and `ae sweep`.

use std::path::PathBuf;

use ae_model::Image;
use clap::Args;

use super::{DataArgs, TrainArgs};

pub(super) const EVALUATE_HELP: &str = "\
Errors are measured on scaled features, as in training, and in the units of the data. The unexplained variance is the squared error \
as a fraction of that of predicting each feature's mean: under 5 % is a good reconstruction. Missing values are left out.

The mean and PCA of the same size are fitted to the --reference rows, usually the training rows, and measured on DATA; for PCA, missing \
values are at the mean of the reference. If both have labels, logistic regressions are fitted to the reference, or a sample of it, and \
tested on DATA: on the encodings, the rows themselves and their principal components, standardised.

With --target, each half of the rows is also predicted from a ridge regression from rows to targets on the other half.

For images (a model trained with --image, or --image here), PSNR and SSIM are computed too, in the units of the data.

Examples:
  ae evaluate model.safetensors test.csv --reference train.csv
  ae evaluate people.safetensors people.csv --hide 0.1
  ae evaluate model.safetensors noisy.csv --target clean.csv
  ae evaluate digits.safetensors digits --image 8x8 --range 16 --json";

pub(super) const SWEEP_HELP: &str = "\
Nearly all flags of ae train are available. The models differ in encoding size (--sizes) or in another setting (--vary); all other \
settings are the same, and so are the held-out rows (--validation), on which they are compared with each other and with PCA of the same \
size. The elbow is the size beyond which larger encodings gain less: the point of the curve of validation errors that is farthest below \
its chord, with both axes scaled to [0, 1] (Kneedle, Satopaa et al. 2011).

With -o, each result is written as soon as it is available, and running the sweep again trains only the missing models. Results of other \
settings or data are not mixed in: they are an error, unless --restart replaces them.

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
    /// Target rows, one for each row of DATA, to measure errors against [default: DATA itself]
    #[arg(long, value_name = "DATA")]
    pub(crate) target: Option<String>,
    /// Rows to fit the mean, PCA and classifiers to, usually the training file [default for the mean and
    /// PCA: DATA itself, or its targets]
    #[arg(long, value_name = "DATA")]
    pub(crate) reference: Option<String>,
    /// Size of the images that rows are, height first: 28x28, or 32x32x3 with the channels last
    /// [default: the size the model was trained with]
    #[arg(long, value_name = "SIZE")]
    pub(crate) image: Option<Image>,
    /// Range of possible pixel values (maximum minus minimum), for PSNR and SSIM [default: 255 for a
    /// folder of images, 1 if all values are in [0, 1], else the range of DATA]
    #[arg(long, value_name = "RANGE", allow_negative_numbers = true)]
    pub(crate) range: Option<f64>,
    /// Hide this fraction of the known cells and measure how well the model fills them in, compared with
    /// the mean or the most frequent category
    #[arg(long, value_name = "FRACTION", allow_negative_numbers = true)]
    pub(crate) hide: Option<f64>,
    /// Reference rows to fit the classifiers to, drawn at random; 0 fits none [default: 5000, and none
    /// if that takes too long]
    #[arg(long, value_name = "N")]
    pub(crate) classifier_rows: Option<usize>,
    /// Random seed of the bootstrap interval of the MSE, the hidden cells and the rows for classifiers
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) seed: u64,
}

#[derive(Args, Debug)]
#[command(
    mut_arg("output", |arg| arg.value_name("FILE.csv").help("CSV file of results, updated after each model; the next run continues from it")),
    mut_arg("encoding_dim", |arg| arg.help("Size of the encoding, with --vary [default: a fifth of the features, at most 256 and half the training rows]")),
    mut_arg("validation", |arg| arg.help("Fraction of the rows to hold out and compare the models on, chosen at random, or a file of such rows")),
)]
pub(crate) struct SweepArgs {
    /// Encoding sizes to try, e.g. 2,5,10
    #[arg(long, value_name = "N,N,...", required_unless_present = "vary", conflicts_with = "vary", value_parser = sizes)]
    pub(crate) sizes: Option<Sizes>,
    /// Flag of ae train and values of it to try, e.g. learning-rate=0.001,0.01; separated by semicolons
    /// if they contain commas: 'hidden=64;64,32'
    #[arg(long, value_name = "FLAG=V,V,...", value_parser = vary)]
    pub(crate) vary: Option<Vary>,
    /// Train all models again and replace the results in the file
    #[arg(long, requires = "output")]
    pub(crate) restart: bool,
    #[command(flatten)]
    pub(crate) training: TrainArgs,
}

/// A flag and the values of it to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Vary {
    pub(crate) flag: String,
    pub(crate) values: Vec<String>,
}

fn vary(text: &str) -> Result<Vary, String> {
    let (flag, values) = text.split_once('=').ok_or("expected FLAG=VALUE,VALUE,...")?;
    let flag = flag.trim().trim_start_matches('-').replace('_', "-");
    let values = values.split(if values.contains(';') { ';' } else { ',' });
    let values: Vec<String> = values.map(|value| value.trim().to_owned()).collect();
    if flag.is_empty() || values.iter().any(|value| value.is_empty() || value.contains(['"', '\n', '\r'])) {
        return Err("expected FLAG=VALUE,VALUE,...".to_owned());
    }
    match values.iter().enumerate().find(|(place, value)| values[..*place].contains(value)) {
        Some((_, value)) => Err(format!("'{value}' is given twice")),
        None => Ok(Vary { flag, values }),
    }
}

/// Encoding sizes in ascending order, parsed from one argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sizes(pub(crate) Vec<usize>);

fn sizes(text: &str) -> Result<Sizes, String> {
    let parse = |part: &str| match part.trim().parse::<usize>() {
        Ok(size) if size > 0 => Ok(size),
        _ => Err(format!("'{part}' is not a size: expected positive integers separated by commas")),
    };
    let mut sizes = text.split(',').map(parse).collect::<Result<Vec<_>, _>>()?;
    sizes.sort_unstable();
    match sizes.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("size {} is given twice", pair[0])),
        None => Ok(Sizes(sizes)),
    }
}
