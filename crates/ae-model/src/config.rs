//! What to train and how: an unchecked builder and the checked configuration it builds.

mod builder;
mod choices;
mod images;
mod objective;
mod regularisation;
mod spelling;

use ae_kernels::conv::Conv2d;
use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::optim::Optimizer;
use crate::schedule::Schedule;
use crate::stage::is_wide_for;
pub use builder::ConfigBuilder;
pub(crate) use builder::check_learning_rate;
pub use choices::{Activation, EarlyStopping, Init, Precision, ScalerKind};
pub(crate) use images::Link;
pub use images::{ConvLayer, Image, ImageLayer, ImageLayers, PoolKind, PoolLayer};
pub use objective::{CodePenalty, Gaussian, Latent, Loss, Noise, Revival, TopK};

/// Dropout in training, drawn anew for every row (Srivastava et al. 2014). The values kept are scaled up
/// to compensate, so that nothing changes outside training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// Fraction of the input values, in `[0, 1)`.
    #[serde(default)]
    pub input: f64,
    /// Fraction of the outputs of every hidden layer, in `[0, 1)`; the encoding is never dropped.
    #[serde(default)]
    pub hidden: f64,
}

/// Penalty on all parameters: `l1 Σ |w| + ½ l2 Σ w²`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightPenalty {
    /// At least 0.
    #[serde(default)]
    pub l1: f64,
    /// At least 0.
    #[serde(default)]
    pub l2: f64,
}

/// A checked configuration: every value is in range. Built by [`ConfigBuilder::build`].
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `input_dim` | - | features per row | 1 to 2²⁴ |
/// | `encoding_dim` | a fifth of `input_dim`, 1 to 256 | values per encoding | 1 to 2²⁴ |
/// | `hidden_dims` | up to two, in geometric steps from input to encoding, at most 1,024 or `encoding_dim` wide; none if the two are close, after convolutions, with a top-k latent, `contractive` or `unit_norm` | widths of the encoder's hidden layers; the decoder mirrors them | at most 64, each 1 to 2²⁴ |
/// | `activation` | tanh | activation of hidden layers and the encoding | |
/// | `init` | Glorot uniform | initial weights | |
/// | `scaler` | min-max | feature scaling | |
/// | `precision` | f32 | arithmetic | |
/// | `optimizer` | Adam | update rule | |
/// | `learning_rate` | [`Optimizer::default_learning_rate`], 0.001 to 0.01 | step size on the mean gradient of `½ Σ_features (x̂ - x)²` | (0, 10⁶] |
/// | `epochs` | 100 | passes over the training rows | 1 to 10⁹ |
/// | `batch_size` | depends on the number of rows, see [`Config::batch_size_for`] | rows per update | 1 to 2²⁴ |
/// | `validation` | 0 | fraction of rows held out for validation | [0, 1) |
/// | `early_stopping` | none | stops when the validation loss (without validation rows, the training loss) stops improving; restores the best weights | patience ≥ 1 |
/// | `seed` | 0 | seed of initial weights, validation split, shuffling, noise, dropout and latent samples | any |
/// | `encoding_activation` | as `activation`; linear for a Gaussian latent, ReLU for top-k | activation of the encoding | |
/// | `loss` | MSE | what is minimised | [`Loss`] |
/// | `noise` | none | corrupts the input in training: denoising | [`Noise`] |
/// | `latent` | plain | [`Latent::Gaussian`]: variational; [`Latent::TopK`]: k-sparse | [`Latent`] |
/// | `code_penalty` | none | penalty on the encoding: sparse | [`CodePenalty`] |
/// | `dropout` | 0, 0 | fraction of inputs, and of hidden-layer outputs, dropped in training | each [0, 1) |
/// | `weight_penalty` | 0, 0 | `l1 Σ abs(w) + ½ l2 Σ w²` over all parameters, added to the objective's gradient | each [0, 10⁶] |
/// | `schedule` | constant | learning-rate schedule | [`Schedule`] |
/// | `clip_norm` | none | clips the global gradient norm | (0, 10¹²] |
/// | `ema` | none | decay of the running mean (EMA) of the weights: [`ConfigBuilder::ema`] | [0, 1) |
/// | `layer_norm` | no | normalises every hidden layer: [`ConfigBuilder::layer_norm`] | needs hidden layers, each at least 3 wide |
/// | `tied_weights` | no | the decoder's weights are the encoder's, transposed: [`ConfigBuilder::tied_weights`] | not with convolutions, [`Latent::Gaussian`] or [`Loss::GaussianNll`] |
/// | `contractive` | none | weight of the contractive penalty: [`ConfigBuilder::contractive`] | (0, 10⁶]; needs an encoder of one dense layer and [`Latent::Plain`]; not with GELU or SiLU |
/// | `unit_norm` | no | keeps the decoder vector of each encoding value at norm 1: [`ConfigBuilder::unit_norm`] | not with hidden layers, convolutions, [`Latent::Gaussian`], [`Loss::GaussianNll`], `tied_weights` or `ema` |
/// | `feature_weights` | all 1 | weight of each feature's loss: [`ConfigBuilder::feature_weights`] | `input_dim` of them, each [0, 10⁶], not all 0 |
/// | `mask_missing` | no | treats NaN as a missing value instead of an error | |
/// | `image` | none | rows are images of this size; needed by `conv_layers`, and kept for code that draws or scales images | has `input_dim` values |
/// | `conv_layers` | none | convolutions and poolings at the start of the encoder; the decoder mirrors them | at most 64; not with bf16 or [`Loss::GaussianNll`] |
///
/// `ConfigBuilder::from(config)` changes some settings of an existing configuration. It keeps every value,
/// also of the settings that were left at their defaults: those do not follow others that change later.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "ConfigBuilder", into = "ConfigBuilder")]
pub struct Config {
    input_dim: usize,
    encoding_dim: usize,
    hidden_dims: Vec<usize>,
    activation: Activation,
    init: Init,
    scaler: ScalerKind,
    precision: Precision,
    optimizer: Optimizer,
    learning_rate: f64,
    epochs: usize,
    batch_size: Option<usize>,
    validation: f64,
    early_stopping: Option<EarlyStopping>,
    seed: u64,
    encoding_activation: Option<Activation>,
    loss: Loss,
    noise: Option<Noise>,
    latent: Latent,
    code_penalty: Option<CodePenalty>,
    dropout: Dropout,
    weight_penalty: WeightPenalty,
    schedule: Schedule,
    clip_norm: Option<f64>,
    ema: Option<f64>,
    mask_missing: bool,
    image: Option<Image>,
    conv_layers: Vec<ImageLayer>,
    layer_norm: bool,
    tied_weights: bool,
    contractive: Option<f64>,
    unit_norm: bool,
    feature_weights: Option<Vec<f64>>,
}

/// Largest layer width and largest batch.
const MAX_DIM: usize = 1 << 24;

impl Config {
    /// Starts a configuration for rows of `input_dim` features.
    pub fn builder(input_dim: usize) -> ConfigBuilder {
        ConfigBuilder::new(input_dim)
    }

    /// Features per row.
    pub fn input_dim(&self) -> usize {
        self.input_dim
    }
    /// Values per encoding.
    pub fn encoding_dim(&self) -> usize {
        self.encoding_dim
    }
    /// Widths of the encoder's hidden layers.
    pub fn hidden_dims(&self) -> &[usize] {
        &self.hidden_dims
    }
    /// Activation of hidden layers and the encoding.
    pub fn activation(&self) -> Activation {
        self.activation
    }
    /// Distribution of the initial weights.
    pub fn init(&self) -> Init {
        self.init
    }
    /// Feature scaling.
    pub fn scaler(&self) -> ScalerKind {
        self.scaler
    }
    /// Arithmetic.
    pub fn precision(&self) -> Precision {
        self.precision
    }
    /// Update rule.
    pub fn optimizer(&self) -> Optimizer {
        self.optimizer
    }
    /// Learning rate, before any schedule.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate
    }
    /// Replaces the learning rate.
    ///
    /// # Errors
    /// [`ConfigError`] unless it is above 0 and at most 1,000,000.
    pub fn with_learning_rate(self, learning_rate: f64) -> Result<Config, ConfigError> {
        check_learning_rate(learning_rate)?;
        Ok(Config { learning_rate, ..self })
    }
    /// Passes over the training rows.
    pub fn epochs(&self) -> usize {
        self.epochs
    }
    /// Rows per update, if set; see [`Config::batch_size_for`].
    pub fn batch_size(&self) -> Option<usize> {
        self.batch_size
    }
    /// Fraction of rows held out for validation.
    pub fn validation(&self) -> f64 {
        self.validation
    }
    /// When to stop early.
    pub fn early_stopping(&self) -> Option<EarlyStopping> {
        self.early_stopping
    }
    /// Seed of initial weights, validation split, shuffling, noise, dropout and latent samples.
    pub fn seed(&self) -> u64 {
        self.seed
    }
    /// Activation of the encoding.
    pub fn encoding_activation(&self) -> Activation {
        let usual = match self.latent {
            Latent::Plain => self.activation,
            Latent::Gaussian(_) => Activation::Linear,
            Latent::TopK(_) => Activation::Relu,
        };
        self.encoding_activation.unwrap_or(usual)
    }
    /// Loss per row.
    pub fn loss(&self) -> Loss {
        self.loss
    }
    /// Corruption of the input in training.
    pub fn noise(&self) -> Option<Noise> {
        self.noise
    }
    /// Kind of latent: plain, Gaussian or top-k.
    pub fn latent(&self) -> Latent {
        self.latent
    }
    /// Penalty on the values of the encoding.
    pub fn code_penalty(&self) -> Option<CodePenalty> {
        self.code_penalty
    }
    /// Dropout rates in training.
    pub fn dropout(&self) -> Dropout {
        self.dropout
    }
    /// Penalty on the parameters.
    pub fn weight_penalty(&self) -> WeightPenalty {
        self.weight_penalty
    }
    /// Learning-rate schedule.
    pub fn schedule(&self) -> Schedule {
        self.schedule
    }
    /// Largest norm of the gradient of all parameters together; a longer gradient is scaled down to it.
    pub fn clip_norm(&self) -> Option<f64> {
        self.clip_norm
    }
    /// Decay of a running mean (EMA) of the weights, which is what is then validated and kept.
    pub fn ema(&self) -> Option<f64> {
        self.ema
    }
    /// Weights of the features' losses, unless all are 1.
    pub fn feature_weights(&self) -> Option<&[f64]> {
        self.feature_weights.as_deref()
    }
    /// Whether NaN is a missing value, which contributes neither loss nor gradient, rather than an
    /// error.
    pub fn mask_missing(&self) -> bool {
        self.mask_missing
    }

    /// The same network with the importance-weighted objective over this many samples, and no other
    /// randomness.
    pub(crate) fn for_importance_weighting(&self, samples: usize, seed: u64) -> Config {
        let latent = Latent::Gaussian(Gaussian { samples, ..Gaussian::default() });
        // Feature weights have no place in a likelihood.
        Config { latent, seed, feature_weights: None, ..self.for_evaluation() }
    }

    /// The same objective with no randomness except the latent samples, to compute losses with.
    pub(crate) fn for_evaluation(&self) -> Config {
        Config {
            optimizer: Optimizer::Sgd,
            noise: None,
            ema: None,
            dropout: Dropout::default(),
            weight_penalty: WeightPenalty::default(),
            ..self.clone()
        }
    }

    /// Size of the images, if rows are images.
    pub fn image(&self) -> Option<Image> {
        self.image
    }
    /// Convolutions and poolings at the start of the encoder.
    pub fn conv_layers(&self) -> &[ImageLayer] {
        &self.conv_layers
    }

    fn chain(&self) -> (Vec<Link>, Vec<Image>) {
        match self.image.map(|image| images::chain(image, &self.conv_layers)) {
            Some(Ok(chain)) if !self.conv_layers.is_empty() => chain,
            // The builder refuses layers that do not fit.
            _ => <_>::default(),
        }
    }

    /// The image layers with their sizes. The decoder has their mirrors in reverse order.
    pub(crate) fn links(&self) -> Vec<Link> {
        self.chain().0
    }

    /// The convolutions among [`Config::links`].
    pub(crate) fn convolutions(&self) -> Vec<Conv2d> {
        let conv = |link| match link {
            Link::Conv(shape) => Some(shape),
            Link::Pool(..) => None,
        };
        self.links().into_iter().filter_map(conv).collect()
    }

    /// Sizes of the images before, between and after the encoder's convolutions and poolings; empty
    /// without any.
    pub fn images(&self) -> Vec<Image> {
        self.chain().1
    }

    /// Shape of the weights of every layer, as in model files: `[in, out]`, or for convolutions
    /// `[kernel, kernel, input channels per group, output channels]`.
    pub(crate) fn weight_shapes(&self) -> Vec<Vec<usize>> {
        let convolutions = self.convolutions();
        let shapes = self.layer_shapes();
        let count = shapes.len();
        let of_layer = |(index, (inputs, outputs)): (usize, (usize, usize))| match convolutions
            .get(index.min(count - 1 - index))
        {
            Some(Conv2d { kernel, .. }) => {
                vec![*kernel, *kernel, inputs / (kernel * kernel), outputs]
            }
            None => vec![inputs, outputs],
        };
        shapes.into_iter().enumerate().map(of_layer).collect()
    }

    /// Approximate number of multiply-adds per row in a forward pass.
    pub(crate) fn multiply_adds(&self) -> usize {
        let more = self.convolutions().into_iter().map(|shape| {
            let [height, width] = shape.output_size().unwrap_or_default();
            let Conv2d { channels_in, channels_out, kernel, groups, .. } = shape;
            2 * height * width * kernel * kernel * channels_in / groups * channels_out
        });
        let once = self.layer_shapes().iter().map(|(inputs, outputs)| (inputs + 1) * outputs).sum::<usize>();
        once + more.sum::<usize>()
    }

    /// Rows per update when training on `rows` rows: the configured size, else the next power of two
    /// from a hundredth of the rows, at least 8 and at most 128, so that an epoch has 50 to 113 updates
    /// (fewer below 400 rows, more above 14,400); never more than there are rows.
    pub fn batch_size_for(&self, rows: usize) -> usize {
        let auto = (rows / 100).next_power_of_two().clamp(8, 128);
        self.batch_size.unwrap_or(auto).clamp(1, rows.max(1))
    }

    /// Widths of all activations, input to output: input, results of convolutions and poolings, hidden
    /// layers, encoding, and back.
    pub fn layer_dims(&self) -> Vec<usize> {
        let mut dims = vec![self.input_dim];
        dims.extend(self.images().into_iter().skip(1).map(Image::features));
        dims.extend(&self.hidden_dims);
        let half = dims.len();
        dims.push(self.encoding_dim);
        dims.extend_from_within(..half);
        dims[half + 1..].reverse();
        dims
    }

    /// `(inputs, outputs)` of every layer with weights.
    ///
    /// These are neighbours in [`Config::layer_dims`], with these exceptions: the encoder's last layer
    /// with a Gaussian latent and the decoder's last with [`Loss::GaussianNll`] have twice the outputs,
    /// for means and log-variances; the weights of convolutions are
    /// `[kernel positions * input channels / groups, output channels]`.
    pub fn layer_shapes(&self) -> Vec<(usize, usize)> {
        let (dims, images) = (self.layer_dims(), self.conv_layers.len());
        let dense = dims[images..dims.len() - images].windows(2).map(|pair| (pair[0], pair[1]));
        let convolutions = self.convolutions();
        let window = |c: &Conv2d, channels: usize| c.kernel * c.kernel * channels / c.groups;
        let mut shapes: Vec<(usize, usize)> =
            convolutions.iter().map(|c| (window(c, c.channels_in), c.channels_out)).collect();
        shapes.extend(dense);
        if matches!(self.latent, Latent::Gaussian(_)) {
            shapes[convolutions.len() + self.hidden_dims.len()].1 *= 2;
        }
        let up = convolutions.iter().rev();
        shapes.extend(up.map(|c| (window(c, c.channels_out), c.channels_in)));
        if let Some(last) = shapes.last_mut() {
            last.1 = self.loss.kernel().outputs(last.1);
        }
        shapes
    }

    /// Whether training can take the path that computes active features only, which [`Revival`] needs.
    fn is_plain_dictionary(&self) -> bool {
        let Latent::TopK(TopK { k, of_batch: false, .. }) = self.latent else { return false };
        self.hidden_dims.is_empty()
            && self.conv_layers.is_empty()
            && self.loss == Loss::Mse
            && matches!(self.encoding_activation(), Activation::Relu | Activation::Linear)
            && is_wide_for(self.encoding_dim, k)
            && self.code_penalty.is_none()
            && self.dropout.input == 0.0
            && self.feature_weights.is_none()
    }

    /// Number of weights and biases: `Σ (in + 1) out` over the layers. Tied weights count once.
    pub fn parameter_count(&self) -> usize {
        let shapes = self.layer_shapes();
        let own = if self.tied_weights { shapes.len() / 2 } else { shapes.len() };
        let weights = |index: usize, inputs: usize| if index < own { inputs } else { 0 };
        shapes
            .iter()
            .enumerate()
            .map(|(index, (inputs, outputs))| (weights(index, *inputs) + 1) * outputs)
            .sum()
    }
}

pub(crate) fn in_range(
    field: &'static str,
    value: usize,
    low: usize,
    high: usize,
) -> Result<(), ConfigError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::OutOfRange { field, value: value.to_string(), allowed: format!("from {low} to {high}") })
}

pub(crate) fn out_of_range(field: &'static str, value: impl ToString, allowed: &str) -> ConfigError {
    ConfigError::OutOfRange { field, value: value.to_string(), allowed: allowed.to_owned() }
}

fn at_least_zero(field: &'static str, value: f64) -> Result<(), ConfigError> {
    match value {
        0.0..=1e6 => Ok(()),
        _ => Err(out_of_range(field, value, "from 0 to 1000000")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worked(input: usize, hidden: &[usize], encoding: usize) -> Config {
        Config::builder(input).hidden_dims(hidden).encoding_dim(encoding).build().unwrap()
    }

    #[test]
    fn worked_sizes() {
        assert_eq!(worked(100, &[50], 10).parameter_count(), 11_210);
        assert_eq!(worked(100, &[50, 25], 10).layer_dims(), [100, 50, 25, 10, 25, 50, 100]);
    }

    #[test]
    fn open_sizes_shrink_gradually() {
        let auto = |input| Config::builder(input).build().unwrap();
        assert_eq!(auto(100).encoding_dim(), 20);
        assert_eq!(auto(100).hidden_dims(), [45]);
        assert_eq!(auto(3).layer_dims(), [3, 2, 1, 2, 3]);
        assert_eq!(auto(1).layer_dims(), [1, 1, 1]);
        let mnist = Config::builder(784).encoding_dim(32).build().unwrap();
        assert_eq!(mnist.layer_dims(), [784, 270, 93, 32, 93, 270, 784]);
    }

    #[test]
    fn open_batch_size_follows_the_rows() {
        let config = Config::builder(4).build().unwrap();
        let sizes = [
            (0, 1),
            (3, 3),
            (50, 8),
            (899, 8),
            (900, 16),
            (1_700, 32),
            (5_000, 64),
            (6_499, 64),
            (6_500, 128),
            (10_000_000, 128),
        ];
        for (rows, expected) in sizes {
            assert_eq!(config.batch_size_for(rows), expected, "{rows} rows");
        }
        assert_eq!(Config::builder(4).batch_size(32).build().unwrap().batch_size_for(10), 10);
    }

    #[test]
    fn each_edge_of_the_table_is_checked() {
        let base = || Config::builder(10);
        type Case = (&'static str, ConfigBuilder, bool);
        let early = |patience, min_improvement| EarlyStopping { patience, min_improvement };
        let cases: Vec<Case> = vec![
            ("input_dim 0", Config::builder(0), false),
            ("input_dim above", Config::builder(MAX_DIM + 1), false),
            ("encoding_dim 0", base().encoding_dim(0), false),
            ("encoding_dim wider than the input", base().encoding_dim(11), true),
            ("a hidden 0", base().hidden_dims([5, 0]), false),
            ("no hidden", base().hidden_dims([]), true),
            ("65 hidden", base().hidden_dims(vec![3; 65]), false),
            ("too many parameters", base().hidden_dims([MAX_DIM, MAX_DIM]), false),
            ("learning_rate 0", base().learning_rate(0.0), false),
            ("learning_rate negative", base().learning_rate(-0.1), false),
            ("learning_rate NaN", base().learning_rate(f64::NAN), false),
            ("learning_rate infinite", base().learning_rate(f64::INFINITY), false),
            ("learning_rate large", base().learning_rate(1e6), true),
            ("epochs 0", base().epochs(0), false),
            ("batch_size 0", base().batch_size(0), false),
            ("validation 1", base().validation(1.0), false),
            ("validation NaN", base().validation(f64::NAN), false),
            ("validation negative", base().validation(-0.1), false),
            ("validation 0.5", base().validation(0.5), true),
            ("patience 0", base().early_stopping(early(0, 0.0)), false),
            ("improvement NaN", base().early_stopping(early(1, f64::NAN)), false),
            ("improvement 1", base().early_stopping(early(1, 1.0)), false),
            ("early stopping", base().early_stopping(early(1, 0.5)), true),
        ];
        for (name, builder, fine) in cases {
            assert_eq!(builder.build().is_ok(), fine, "{name}");
        }
    }

    #[test]
    fn json_round_trip_keeps_everything() {
        let config = Config::builder(20)
            .activation(Activation::Relu)
            .init(Init::HeNormal)
            .scaler(ScalerKind::Robust)
            .precision(Precision::F64)
            .early_stopping(EarlyStopping::after(3))
            .validation(0.25)
            .batch_size(7)
            .seed(9)
            .build()
            .unwrap();
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
        assert!(serde_json::from_str::<Config>(&json.replace("\"epochs\":100", "\"epochs\":0")).is_err());
    }
}
