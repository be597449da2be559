//! The unchecked values of a configuration, and the checks.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::{
    Activation, CodePenalty, Config, Dropout, EarlyStopping, Image, ImageLayer, Init, Latent, Loss, MAX_DIM,
    Noise, Precision, ScalerKind, TopK, WeightPenalty, at_least_zero, images, in_range, out_of_range,
};
use crate::error::ConfigError;
use crate::optim::Optimizer;
use crate::schedule::Schedule;

/// Largest number of hidden layers in an encoder.
const MAX_HIDDEN: usize = 64;
/// Largest number of parameters in a network: 8 GiB in single precision.
const MAX_PARAMETERS: u128 = 1 << 31;

/// Builds a [`Config`]; its table lists all settings with defaults and ranges.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigBuilder {
    input_dim: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding_dim: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hidden_dims: Option<Vec<usize>>,
    #[serde(default)]
    activation: Activation,
    #[serde(default)]
    init: Init,
    #[serde(default)]
    scaler: ScalerKind,
    #[serde(default)]
    precision: Precision,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    optimizer: Option<Optimizer>,
    learning_rate: Option<f64>,
    #[serde(default = "default_epochs")]
    epochs: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch_size: Option<usize>,
    #[serde(default)]
    validation: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    early_stopping: Option<EarlyStopping>,
    #[serde(default)]
    seed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding_activation: Option<Activation>,
    #[serde(default, skip_serializing_if = "is_default")]
    loss: Loss,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    noise: Option<Noise>,
    #[serde(default, skip_serializing_if = "is_default")]
    latent: Latent,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code_penalty: Option<CodePenalty>,
    #[serde(default, skip_serializing_if = "is_default")]
    dropout: Dropout,
    #[serde(default, skip_serializing_if = "is_default")]
    weight_penalty: WeightPenalty,
    #[serde(default, skip_serializing_if = "is_default")]
    schedule: Schedule,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clip_norm: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ema: Option<f64>,
    #[serde(default, skip_serializing_if = "is_default")]
    mask_missing: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<Image>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    conv_layers: Vec<ImageLayer>,
    #[serde(default, skip_serializing_if = "is_default")]
    layer_norm: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    tied_weights: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contractive: Option<f64>,
    #[serde(default, skip_serializing_if = "is_default")]
    unit_norm: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    feature_weights: Option<Vec<f64>>,
}

impl ConfigBuilder {
    pub(super) fn new(input_dim: usize) -> Self {
        ConfigBuilder {
            input_dim,
            encoding_dim: None,
            hidden_dims: None,
            activation: Activation::default(),
            init: Init::default(),
            scaler: ScalerKind::default(),
            precision: Precision::default(),
            optimizer: None,
            learning_rate: None,
            epochs: default_epochs(),
            batch_size: None,
            validation: 0.0,
            early_stopping: None,
            seed: 0,
            encoding_activation: None,
            loss: Loss::default(),
            noise: None,
            latent: Latent::default(),
            code_penalty: None,
            dropout: Dropout::default(),
            weight_penalty: WeightPenalty::default(),
            schedule: Schedule::default(),
            clip_norm: None,
            ema: None,
            mask_missing: false,
            image: None,
            conv_layers: Vec::new(),
            layer_norm: false,
            tied_weights: false,
            contractive: None,
            unit_norm: false,
            feature_weights: None,
        }
    }

    /// Sets the number of values per encoding.
    pub fn encoding_dim(mut self, dim: usize) -> Self {
        self.encoding_dim = Some(dim);
        self
    }
    /// Sets the widths of the encoder's hidden layers; the decoder mirrors them.
    pub fn hidden_dims(mut self, dims: impl Into<Vec<usize>>) -> Self {
        self.hidden_dims = Some(dims.into());
        self
    }
    /// Sets the activation of hidden layers and the encoding.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }
    /// Sets the distribution of the initial weights.
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }
    /// Sets the feature scaling.
    pub fn scaler(mut self, scaler: ScalerKind) -> Self {
        self.scaler = scaler;
        self
    }
    /// Sets the arithmetic.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }
    /// Sets the optimizer.
    pub fn optimizer(mut self, optimizer: Optimizer) -> Self {
        self.optimizer = Some(optimizer);
        self
    }
    /// Sets the learning rate.
    pub fn learning_rate(mut self, learning_rate: f64) -> Self {
        self.learning_rate = Some(learning_rate);
        self
    }
    /// Sets the number of passes over the training rows.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }
    /// Sets the number of rows per update.
    pub fn batch_size(mut self, rows: impl Into<Option<usize>>) -> Self {
        self.batch_size = rows.into();
        self
    }
    /// Sets the fraction of rows held out for validation.
    pub fn validation(mut self, fraction: f64) -> Self {
        self.validation = fraction;
        self
    }
    /// Enables early stopping.
    pub fn early_stopping(mut self, early_stopping: impl Into<Option<EarlyStopping>>) -> Self {
        self.early_stopping = early_stopping.into();
        self
    }
    /// Sets the seed of initial weights, validation split, shuffling, noise, dropout and latent samples.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }
    /// Sets the activation of the encoding, if it differs from that of the hidden layers.
    pub fn encoding_activation(mut self, encoding_activation: Activation) -> Self {
        self.encoding_activation = Some(encoding_activation);
        self
    }
    /// Sets the loss per row.
    pub fn loss(mut self, loss: Loss) -> Self {
        self.loss = loss;
        self
    }
    /// Sets how the input is corrupted in training.
    pub fn noise(mut self, noise: impl Into<Option<Noise>>) -> Self {
        self.noise = noise.into();
        self
    }
    /// Sets the kind of latent.
    pub fn latent(mut self, latent: Latent) -> Self {
        self.latent = latent;
        self
    }
    /// Sets the penalty on the values of the encoding.
    pub fn code_penalty(mut self, code_penalty: impl Into<Option<CodePenalty>>) -> Self {
        self.code_penalty = code_penalty.into();
        self
    }
    /// Sets the dropout rates in training.
    pub fn dropout(mut self, dropout: Dropout) -> Self {
        self.dropout = dropout;
        self
    }
    /// Sets the penalty on the parameters.
    pub fn weight_penalty(mut self, weight_penalty: WeightPenalty) -> Self {
        self.weight_penalty = weight_penalty;
        self
    }
    /// Sets the learning-rate schedule.
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }
    /// Clips the gradient of all parameters together to this norm; a longer one is scaled down to it.
    pub fn clip_norm(mut self, clip_norm: impl Into<Option<f64>>) -> Self {
        self.clip_norm = clip_norm.into();
        self
    }
    /// Keeps a running mean (EMA) of the weights, which is what is then validated and kept. The decay is
    /// the fraction of the mean that each update leaves (less at first).
    pub fn ema(mut self, ema: impl Into<Option<f64>>) -> Self {
        self.ema = ema.into();
        self
    }
    /// Treats NaN in the data as a missing value, which contributes neither loss nor gradient, instead
    /// of an error.
    ///
    /// A missing value enters the network as 0 of its scaled feature. With [`ScalerKind::Standard`] that
    /// is the mean, which imputes far better than the smallest value, as with [`ScalerKind::MinMax`].
    pub fn mask_missing(mut self, mask_missing: bool) -> Self {
        self.mask_missing = mask_missing;
        self
    }

    /// Declares rows to be images of this size, with features in the order (y, x, channel): for
    /// [`ConfigBuilder::conv_layers`], and for code that draws or scales images for the model.
    pub fn image(mut self, height: usize, width: usize, channels: usize) -> Self {
        self.image = Some(Image { height, width, channels });
        self
    }
    /// Sets convolutions and poolings at the start of the encoder, before the hidden layers. The decoder
    /// ends with their mirrors in reverse order: transposed convolutions and upsampling. Requires
    /// [`ConfigBuilder::image`].
    pub fn conv_layers<L: Into<ImageLayer>>(mut self, conv_layers: impl IntoIterator<Item = L>) -> Self {
        self.conv_layers = conv_layers.into_iter().map(Into::into).collect();
        self
    }

    /// Normalises the outputs of every hidden layer, including convolutions, to mean 0 and variance 1
    /// over the features of each row (Ba, Kiros & Hinton 2016), after the activation and before dropout.
    /// Input, encoding and output are left as they are.
    ///
    /// There is no gain or bias. Normalisation before the activation would need them to reach its curve;
    /// after it, the dense layer above absorbs both, `W (g ⊙ y + b) + c = (W diag g) y + (W b + c)`, so
    /// they would add parameters but no functions. (A convolution above absorbs them if they are the
    /// same at all pixels.)
    pub fn layer_norm(mut self, layer_norm: bool) -> Self {
        self.layer_norm = layer_norm;
        self
    }

    /// Ties the decoder's weights to the transposes of the encoder's (as in Vincent et al. 2010), which
    /// halves the number of weights. The decoder has its own biases. Gradients are summed over both
    /// places, and weight penalties count tied weights once.
    pub fn tied_weights(mut self, tied_weights: bool) -> Self {
        self.tied_weights = tied_weights;
        self
    }

    /// Adds the contractive penalty `weight ‖∂h/∂x‖²` to each row's loss: the sum of the squared
    /// derivatives of all values of the encoding with respect to all inputs of the encoder, corrupted or
    /// dropped as these may be (Rifai et al. 2011).
    ///
    /// Encodings then change only where the rows do. This requires an encoder of one layer, for which
    /// the penalty is exact; with a linear encoding it amounts to a penalty on the squared weights.
    pub fn contractive(mut self, weight: impl Into<Option<f64>>) -> Self {
        self.contractive = weight.into();
        self
    }

    /// Keeps the decoder vector of each value of the encoding (what one unit of it adds to a row) at
    /// norm 1, from the initial weights on and after every update.
    ///
    /// This is for dictionaries: codes then say how much of a direction there is, and cannot evade a
    /// penalty by being small. The component of each gradient along its vector, including that of weight
    /// penalties, is removed before the optimizer sees it (Bricken et al. 2023; Gao et al. 2024), so
    /// that it leaves no trace in the state of Adam or momentum.
    pub fn unit_norm(mut self, unit_norm: bool) -> Self {
        self.unit_norm = unit_norm;
        self
    }

    /// Weights the features' losses, one factor each: the loss of a row becomes `Σ_features w loss`.
    ///
    /// A feature of weight 0 is encoded and reconstructed, but its reconstruction is not trained.
    /// Errors, scores and MSE count all features equally, and likelihoods ignore the weights. `None` is
    /// 1 for each.
    pub fn feature_weights(mut self, weights: impl Into<Option<Vec<f64>>>) -> Self {
        self.feature_weights = weights.into();
        self
    }

    /// Checks every value and chooses sizes that were left open.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for the first value out of range (see the table at [`Config`]);
    /// [`ConfigError::Convolution`] for a convolution or pooling that does not fit its input.
    pub fn build(self) -> Result<Config, ConfigError> {
        self.check_kind()?;
        in_range("input_dim", self.input_dim, 1, MAX_DIM)?;
        let encoding_dim = self.encoding_dim.unwrap_or((self.input_dim / 5).clamp(1, DEFAULT_MAX_ENCODING));
        in_range("encoding_dim", encoding_dim, 1, MAX_DIM)?;
        self.latent.check_width(encoding_dim)?;
        self.check_images()?;
        self.check_training()?;
        self.check_weights()?;
        let hidden_dims = self.default_hidden_dims(encoding_dim);
        let hidden_dims = self.hidden_dims.unwrap_or(hidden_dims);
        in_range("the number of hidden_dims", hidden_dims.len(), 0, MAX_HIDDEN)?;
        for &dim in &hidden_dims {
            in_range("hidden_dims", dim, 1, MAX_DIM)?;
        }
        let optimizer = self.optimizer.unwrap_or_default();
        optimizer.check()?;
        let learning_rate = self.learning_rate.unwrap_or(optimizer.default_learning_rate(self.input_dim));
        check_learning_rate(learning_rate)?;
        let config = Config {
            input_dim: self.input_dim,
            encoding_dim,
            hidden_dims,
            activation: self.activation,
            init: self.init,
            scaler: self.scaler,
            precision: self.precision,
            optimizer,
            learning_rate,
            epochs: self.epochs,
            batch_size: self.batch_size,
            validation: self.validation,
            early_stopping: self.early_stopping,
            seed: self.seed,
            encoding_activation: self.encoding_activation,
            loss: self.loss,
            noise: self.noise,
            latent: self.latent,
            code_penalty: self.code_penalty,
            dropout: self.dropout,
            weight_penalty: self.weight_penalty,
            schedule: self.schedule,
            clip_norm: self.clip_norm,
            ema: self.ema,
            mask_missing: self.mask_missing,
            image: self.image,
            conv_layers: self.conv_layers,
            layer_norm: self.layer_norm,
            tied_weights: self.tied_weights,
            contractive: self.contractive,
            unit_norm: self.unit_norm,
            feature_weights: self.feature_weights,
        };
        config.check_regularisation()?;
        if matches!(config.latent, Latent::TopK(TopK { revival: Some(_), .. }))
            && !config.is_plain_dictionary()
        {
            let allowed = "left out, or combined with mse, a ReLU or linear encoding at least 4 k wide, and none of: \
                hidden layers, conv_layers, code_penalty, dropout, feature_weights, of_batch";
            return Err(out_of_range("latent.revival", "set", allowed));
        }
        let parameters: u128 = config.layer_shapes().iter().map(|(i, o)| (*i as u128 + 1) * *o as u128).sum();
        if parameters > MAX_PARAMETERS {
            return Err(out_of_range("the number of parameters", parameters, "at most 2147483648"));
        }
        Ok(config)
    }

    /// Checks image size and image layers.
    fn check_images(&self) -> Result<(), ConfigError> {
        let Some(image) = self.image else {
            let allowed = "left out without image: convolutions and poolings need the size of the images";
            let refused = !self.conv_layers.is_empty();
            return if refused { Err(out_of_range("conv_layers", "set", allowed)) } else { Ok(()) };
        };
        if !self.conv_layers.is_empty() {
            images::chain(image, &self.conv_layers)?;
        }
        if image.features() != self.input_dim {
            let size = format!("{image} ({} values)", image.features());
            return Err(out_of_range("image", size, &format!("of input_dim = {} values", self.input_dim)));
        }
        if self.conv_layers.is_empty() {
            return Ok(());
        }
        if self.precision == Precision::Bf16 {
            return Err(out_of_range("precision", "bf16", "f32 or f64 with conv_layers"));
        }
        if self.loss == Loss::GaussianNll {
            return Err(out_of_range(
                "loss",
                self.loss.name(),
                "mse, mae, huber, bce or sigmoid-mse with conv_layers",
            ));
        }
        Ok(())
    }

    /// Hidden widths if none are given.
    fn default_hidden_dims(&self, encoding_dim: usize) -> Vec<usize> {
        match (self.latent, self.conv_layers.as_slice()) {
            (Latent::Plain | Latent::Gaussian(_), []) if self.contractive.is_none() && !self.unit_norm => {
                gradual_compression(self.input_dim, encoding_dim)
            }
            // A dictionary, whose features are directions of the rows themselves; images that have
            // already become small; or a penalty for a single layer.
            _ => Vec::new(),
        }
    }

    /// Checks the settings of the training loop.
    fn check_training(&self) -> Result<(), ConfigError> {
        in_range("epochs", self.epochs, 1, 1_000_000_000)?;
        if let Some(rows) = self.batch_size {
            in_range("batch_size", rows, 1, MAX_DIM)?;
        }
        if !(0.0..1.0).contains(&self.validation) {
            return Err(out_of_range("validation", self.validation, "from 0 to below 1"));
        }
        if let Some(early) = self.early_stopping {
            in_range("early_stopping.patience", early.patience, 1, 1_000_000_000)?;
            if !(0.0..1.0).contains(&early.min_improvement) {
                return Err(out_of_range(
                    "early_stopping.min_improvement",
                    early.min_improvement,
                    "from 0 to below 1",
                ));
            }
        }
        Ok(())
    }

    /// Checks the feature weights.
    fn check_weights(&self) -> Result<(), ConfigError> {
        let Some(weights) = &self.feature_weights else { return Ok(()) };
        let allowed = format!("{} weights, one per feature, from 0 to 1000000, not all 0", self.input_dim);
        let refuse = |value: &dyn Display| Err(out_of_range("feature_weights", value, &allowed));
        if weights.len() != self.input_dim {
            return refuse(&format!("{} weights", weights.len()));
        }
        match weights.iter().find(|weight| !(0.0..=1e6).contains(*weight)) {
            Some(weight) => refuse(weight),
            None if weights.iter().all(|weight| *weight == 0.0) => refuse(&0),
            None => Ok(()),
        }
    }

    /// Checks the settings that make the kind of autoencoder.
    fn check_kind(&self) -> Result<(), ConfigError> {
        self.loss.check()?;
        self.latent.check()?;
        self.schedule.check()?;
        self.noise.map_or(Ok(()), Noise::check)?;
        self.code_penalty.map_or(Ok(()), CodePenalty::check)?;
        for (field, fraction) in
            [("dropout.input", self.dropout.input), ("dropout.hidden", self.dropout.hidden)]
        {
            if !(0.0..1.0).contains(&fraction) {
                return Err(out_of_range(field, fraction, "from 0 to below 1"));
            }
        }
        at_least_zero("weight_penalty.l1", self.weight_penalty.l1)?;
        at_least_zero("weight_penalty.l2", self.weight_penalty.l2)?;
        if let Some(norm) = self.clip_norm
            && !(norm > 0.0 && norm <= 1e12)
        {
            return Err(out_of_range("clip_norm", norm, "above 0 and at most 10^12"));
        }
        if let Some(fraction) = self.ema
            && !(0.0..1.0).contains(&fraction)
        {
            return Err(out_of_range("ema", fraction, "from 0 to below 1"));
        }
        if self.loss.needs_unit_range() && !self.scaler.keeps_unit_range() {
            let name = self.loss.name();
            let allowed = format!(
                "mse, mae, huber or gaussian-nll with a scaler that leaves [0, 1], or {name} with minmax, common or none"
            );
            return Err(out_of_range("loss", name, &allowed));
        }
        let code = self.encoding_activation.unwrap_or(self.activation);
        match (self.latent, self.code_penalty) {
            (Latent::Gaussian(_), _) if self.encoding_activation.is_some_and(|a| a != Activation::Linear) => {
                Err(out_of_range("encoding_activation", code.name(), "linear with a Gaussian latent"))
            }
            (Latent::Gaussian(_), Some(_)) => {
                Err(out_of_range("code_penalty", "set", "left out with a Gaussian latent, which has its own"))
            }
            (Latent::TopK(_), Some(CodePenalty::Kl { .. })) => {
                Err(out_of_range("code_penalty", "kl", "l1 or left out with a top-k latent"))
            }
            (_, Some(CodePenalty::Kl { .. })) if code != Activation::Sigmoid => {
                Err(out_of_range("encoding_activation", code.name(), "sigmoid with a KL penalty"))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a setting has its default and can be left out of the serialised form.
fn is_default<S: Default + PartialEq>(setting: &S) -> bool {
    *setting == S::default()
}

/// Largest encoding and hidden layer chosen by default. Rows with very many columns are usually few, and
/// layers in proportion to the columns would not fit into memory.
const DEFAULT_MAX_ENCODING: usize = 256;
const DEFAULT_MAX_HIDDEN: f64 = 1024.0;

/// Hidden widths that shrink (or grow) from input to encoding by equal factors: just enough of them that
/// no factor exceeds 2.5, but at most two.
fn gradual_compression(input: usize, encoding: usize) -> Vec<usize> {
    let ratio = input as f64 / encoding as f64;
    let layers = (ratio.max(1.0 / ratio).ln() / 2.5f64.ln()).floor().min(2.0) as usize;
    let step = ratio.powf(1.0 / (layers + 1) as f64);
    let most = DEFAULT_MAX_HIDDEN.max(encoding as f64);
    (1..=layers).map(|i| (input as f64 / step.powi(i as i32)).round().clamp(1.0, most) as usize).collect()
}

impl TryFrom<ConfigBuilder> for Config {
    type Error = ConfigError;
    fn try_from(builder: ConfigBuilder) -> Result<Config, ConfigError> {
        builder.build()
    }
}

impl From<Config> for ConfigBuilder {
    fn from(config: Config) -> ConfigBuilder {
        ConfigBuilder {
            input_dim: config.input_dim,
            encoding_dim: Some(config.encoding_dim),
            hidden_dims: Some(config.hidden_dims),
            activation: config.activation,
            init: config.init,
            scaler: config.scaler,
            precision: config.precision,
            optimizer: Some(config.optimizer),
            learning_rate: Some(config.learning_rate),
            epochs: config.epochs,
            batch_size: config.batch_size,
            validation: config.validation,
            early_stopping: config.early_stopping,
            seed: config.seed,
            encoding_activation: config.encoding_activation,
            loss: config.loss,
            noise: config.noise,
            latent: config.latent,
            code_penalty: config.code_penalty,
            dropout: config.dropout,
            weight_penalty: config.weight_penalty,
            schedule: config.schedule,
            clip_norm: config.clip_norm,
            ema: config.ema,
            mask_missing: config.mask_missing,
            image: config.image,
            conv_layers: config.conv_layers,
            layer_norm: config.layer_norm,
            tied_weights: config.tied_weights,
            contractive: config.contractive,
            unit_norm: config.unit_norm,
            feature_weights: config.feature_weights,
        }
    }
}

fn default_epochs() -> usize {
    100
}

pub(crate) fn check_learning_rate(learning_rate: f64) -> Result<(), ConfigError> {
    if learning_rate > 0.0 && learning_rate <= 1e6 {
        Ok(())
    } else {
        Err(out_of_range("learning_rate", learning_rate, "above 0 and at most 1000000"))
    }
}
