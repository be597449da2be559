//! What to train and how: an unchecked builder, and the checked configuration it builds.

use serde::{Deserialize, Serialize};

use crate::error::ConfigError;
use crate::optim::Optimizer;

/// The activation of every hidden layer and of the encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Activation {
    /// `max(0, z)`; encodings of a narrow layer may fall to zero for good.
    Relu,
    /// `1 / (1 + e^-z)`
    Sigmoid,
    /// `tanh z`
    #[default]
    Tanh,
}

/// How weights start; biases start at zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Init {
    /// Uniform on `±√(6 / (in + out))` (Glorot & Bengio 2010, eq. 16).
    #[default]
    GlorotUniform,
    /// Normal with `σ = √(2 / (in + out))`: the same variance.
    GlorotNormal,
    /// Uniform on `±√(6 / in)` (He et al. 2015, sec. 2.2), for ReLU.
    HeUniform,
    /// Normal with `σ = √(2 / in)` (He et al. 2015, eq. 10), for ReLU.
    HeNormal,
}

/// How features are scaled before the network sees them; undone on the way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ScalerKind {
    /// To `[0, 1]` by the smallest and largest value.
    #[default]
    MinMax,
    /// To mean 0 and standard deviation 1.
    Standard,
    /// By median and interquartile range: outliers do not move it.
    Robust,
    /// Not at all.
    None,
}

/// The arithmetic of training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Double precision: for verification and small data.
    F64,
    /// Mixed precision: the operands of products rounded to bf16, everything else in single precision, the parameters and
    /// their updates included. As fast as it is meant to be only on CPUs with AMX; elsewhere slower than `F32`, with the
    /// same results.
    Bf16,
}

/// When to stop before the last epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// Epochs without improvement that are put up with; at least 1.
    pub patience: usize,
    /// By what share the loss must fall below the best so far to count as an improvement; in `[0, 1)`.
    pub min_improvement: f64,
}

impl EarlyStopping {
    /// Stops after this many epochs without any improvement.
    pub fn after(patience: usize) -> Self {
        EarlyStopping { patience, min_improvement: 0.0 }
    }
}

/// A checked configuration: every value is in its range. Built by [`ConfigBuilder::build`].
///
/// | name | default | purpose | range |
/// |---|---|---|---|
/// | `input_dim` | - | features of a row | 1 to 2²⁴ |
/// | `encoding_dim` | a fifth of `input_dim`, at least 1 | values of an encoding | 1 to 2²⁴ |
/// | `hidden_dims` | geometric steps from input to encoding, none where they are close | encoder layers between them; the decoder mirrors them | each 1 to 2²⁴, at most 64 |
/// | `activation` | tanh | of hidden layers and the encoding | |
/// | `init` | Glorot uniform | first weights | |
/// | `scaler` | min-max | scaling of features | |
/// | `precision` | f32 | arithmetic | |
/// | `optimizer` | SGD | rule of the updates | |
/// | `learning_rate` | by the optimizer, 0.01 for SGD | step on the mean gradient of `½ Σ_features (x̂ - x)²` | (0, 10⁶] |
/// | `epochs` | 100 | passes over the training rows | 1 to 10⁹ |
/// | `batch_size` | by the number of rows, see [`Config::batch_size_for`] | rows of an update | 1 to 2²⁴ |
/// | `validation` | 0 | share of rows set aside to measure, not to learn from | [0, 1) |
/// | `early_stopping` | none | on the validation loss, else on the training loss; restores the best weights | patience ≥ 1 |
/// | `seed` | 0 | of weights, split and shuffles | any |
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
}

/// The values of a configuration, not yet checked.
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
    #[serde(default)]
    optimizer: Optimizer,
    learning_rate: Option<f64>,
    epochs: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch_size: Option<usize>,
    #[serde(default)]
    validation: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    early_stopping: Option<EarlyStopping>,
    #[serde(default)]
    seed: u64,
}

/// Largest width of a layer and largest batch.
const MAX_DIM: usize = 1 << 24;
/// Most hidden layers of an encoder.
const MAX_HIDDEN: usize = 64;
/// Most parameters of a network: 8 GiB of single precision.
const MAX_PARAMETERS: u128 = 1 << 31;

impl Config {
    /// Starts a configuration for rows of `input_dim` features.
    pub fn builder(input_dim: usize) -> ConfigBuilder {
        ConfigBuilder {
            input_dim,
            encoding_dim: None,
            hidden_dims: None,
            activation: Activation::default(),
            init: Init::default(),
            scaler: ScalerKind::default(),
            precision: Precision::default(),
            optimizer: Optimizer::default(),
            learning_rate: None,
            epochs: 100,
            batch_size: None,
            validation: 0.0,
            early_stopping: None,
            seed: 0,
        }
    }

    /// Features of a row.
    pub fn input_dim(&self) -> usize {
        self.input_dim
    }
    /// Values of an encoding.
    pub fn encoding_dim(&self) -> usize {
        self.encoding_dim
    }
    /// Widths of the encoder's layers between input and encoding.
    pub fn hidden_dims(&self) -> &[usize] {
        &self.hidden_dims
    }
    /// Activation of hidden layers and encoding.
    pub fn activation(&self) -> Activation {
        self.activation
    }
    /// Distribution of the first weights.
    pub fn init(&self) -> Init {
        self.init
    }
    /// Scaling of features.
    pub fn scaler(&self) -> ScalerKind {
        self.scaler
    }
    /// Arithmetic.
    pub fn precision(&self) -> Precision {
        self.precision
    }
    /// Rule of the updates.
    pub fn optimizer(&self) -> Optimizer {
        self.optimizer
    }
    /// Step of the updates.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate
    }
    /// Passes over the training rows.
    pub fn epochs(&self) -> usize {
        self.epochs
    }
    /// Rows of an update, where set.
    pub fn batch_size(&self) -> Option<usize> {
        self.batch_size
    }
    /// Share of rows set aside.
    pub fn validation(&self) -> f64 {
        self.validation
    }
    /// When to stop early.
    pub fn early_stopping(&self) -> Option<EarlyStopping> {
        self.early_stopping
    }
    /// Seed of weights, split and shuffles.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Rows of an update when training on `rows` rows: the set size, else 8 to 128 so that an epoch has about a hundred
    /// updates (8 below 1,000 rows, 128 from 12,800 on); never more than there are rows.
    pub fn batch_size_for(&self, rows: usize) -> usize {
        let auto = (rows / 100).next_power_of_two().clamp(8, 128);
        self.batch_size.unwrap_or(auto).clamp(1, rows.max(1))
    }

    /// Widths of all layers: input, hidden, encoding, hidden, output.
    pub fn layer_dims(&self) -> Vec<usize> {
        let mut dims = vec![self.input_dim];
        dims.extend(&self.hidden_dims);
        dims.push(self.encoding_dim);
        dims.extend(self.hidden_dims.iter().rev());
        dims.push(self.input_dim);
        dims
    }

    /// Weights and biases: `Σ (in + 1) out` over the layers.
    pub fn parameter_count(&self) -> usize {
        self.layer_dims().windows(2).map(|pair| (pair[0] + 1) * pair[1]).sum()
    }
}

impl ConfigBuilder {
    /// Values of an encoding.
    pub fn encoding_dim(mut self, dim: usize) -> Self {
        self.encoding_dim = Some(dim);
        self
    }
    /// Widths of the encoder's layers between input and encoding; the decoder mirrors them.
    pub fn hidden_dims(mut self, dims: impl Into<Vec<usize>>) -> Self {
        self.hidden_dims = Some(dims.into());
        self
    }
    /// Activation of hidden layers and encoding.
    pub fn activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }
    /// Distribution of the first weights.
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }
    /// Scaling of features.
    pub fn scaler(mut self, scaler: ScalerKind) -> Self {
        self.scaler = scaler;
        self
    }
    /// Arithmetic.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }
    /// Rule of the updates.
    pub fn optimizer(mut self, optimizer: Optimizer) -> Self {
        self.optimizer = optimizer;
        self
    }
    /// Step of the updates.
    pub fn learning_rate(mut self, learning_rate: f64) -> Self {
        self.learning_rate = Some(learning_rate);
        self
    }
    /// Passes over the training rows.
    pub fn epochs(mut self, epochs: usize) -> Self {
        self.epochs = epochs;
        self
    }
    /// Rows of an update.
    pub fn batch_size(mut self, rows: usize) -> Self {
        self.batch_size = Some(rows);
        self
    }
    /// Share of rows set aside to measure, not to learn from.
    pub fn validation(mut self, share: f64) -> Self {
        self.validation = share;
        self
    }
    /// When to stop early.
    pub fn early_stopping(mut self, early_stopping: EarlyStopping) -> Self {
        self.early_stopping = Some(early_stopping);
        self
    }
    /// Seed of weights, split and shuffles.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Checks every value and chooses the sizes that were left open.
    ///
    /// # Errors
    /// [`ConfigError::OutOfRange`] for the first value outside its range (the table at [`Config`]).
    pub fn build(self) -> Result<Config, ConfigError> {
        in_range("input_dim", self.input_dim, 1, MAX_DIM)?;
        let encoding_dim = self.encoding_dim.unwrap_or((self.input_dim / 5).max(1));
        in_range("encoding_dim", encoding_dim, 1, MAX_DIM)?;
        let hidden_dims =
            self.hidden_dims.unwrap_or_else(|| gradual_compression(self.input_dim, encoding_dim));
        in_range("the number of hidden_dims", hidden_dims.len(), 0, MAX_HIDDEN)?;
        for &dim in &hidden_dims {
            in_range("hidden_dims", dim, 1, MAX_DIM)?;
        }
        in_range("epochs", self.epochs, 1, 1_000_000_000)?;
        if let Some(rows) = self.batch_size {
            in_range("batch_size", rows, 1, MAX_DIM)?;
        }
        self.optimizer.check()?;
        let learning_rate = self.learning_rate.unwrap_or(self.optimizer.usual_learning_rate());
        if !(learning_rate > 0.0 && learning_rate <= 1e6) {
            return Err(out_of_range("learning_rate", learning_rate, "above 0 and at most 1000000"));
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
        let config = Config {
            input_dim: self.input_dim,
            encoding_dim,
            hidden_dims,
            activation: self.activation,
            init: self.init,
            scaler: self.scaler,
            precision: self.precision,
            optimizer: self.optimizer,
            learning_rate,
            epochs: self.epochs,
            batch_size: self.batch_size,
            validation: self.validation,
            early_stopping: self.early_stopping,
            seed: self.seed,
        };
        let parameters: u128 =
            config.layer_dims().windows(2).map(|pair| (pair[0] as u128 + 1) * pair[1] as u128).sum();
        if parameters > MAX_PARAMETERS {
            return Err(out_of_range("the number of parameters", parameters, "at most 2147483648"));
        }
        Ok(config)
    }
}

fn in_range(field: &'static str, value: usize, low: usize, high: usize) -> Result<(), ConfigError> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(ConfigError::OutOfRange { field, value: value.to_string(), allowed: format!("from {low} to {high}") })
}

pub(crate) fn out_of_range(field: &'static str, value: impl ToString, allowed: &str) -> ConfigError {
    ConfigError::OutOfRange { field, value: value.to_string(), allowed: allowed.to_owned() }
}

/// Hidden widths that shrink (or grow) from input to encoding by equal factors, none above two and a half, two at most.
fn gradual_compression(input: usize, encoding: usize) -> Vec<usize> {
    let ratio = input as f64 / encoding as f64;
    let layers = (ratio.max(1.0 / ratio).ln() / 2.5f64.ln()).floor().min(2.0) as usize;
    let step = ratio.powf(1.0 / (layers + 1) as f64);
    (1..=layers).map(|i| (input as f64 / step.powi(i as i32)).round().max(1.0) as usize).collect()
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
            optimizer: config.optimizer,
            learning_rate: Some(config.learning_rate),
            epochs: config.epochs,
            batch_size: config.batch_size,
            validation: config.validation,
            early_stopping: config.early_stopping,
            seed: config.seed,
        }
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
        let sizes = [(0, 1), (3, 3), (50, 8), (1_500, 16), (5_000, 64), (60_000, 128), (10_000_000, 128)];
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
