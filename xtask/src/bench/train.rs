//! Steady-state training steps: data in memory, a different batch per step, best of many windows.

mod kind;

use std::time::{Duration, Instant};

use ae_kernels::Isa;
use ae_kernels::conv::{Conv, Conv2d};
use ae_model::{
    Arithmetic, Config, ConfigBuilder, Image, ImageLayer, ImageLayers, Precision, Session, Trainer,
};
use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use kind::ACTIVATIONS;
pub(super) use kind::Kind;

/// Steps per window, each on its own batch.
const WINDOW: usize = 8;

/// Additional time for the loss to fall: with randomness in the objective, the few timed steps need not
/// show it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Values of `--precision`.
pub(crate) const PRECISIONS: [&str; 3] = ["f32", "f64", "bf16"];
/// Values of `--optimizer`.
pub(crate) const OPTIMIZERS: [&str; 5] = ["sgd", "momentum", "nesterov", "adam", "adamw"];

/// What to time.
#[derive(Args, Debug, Clone)]
pub(crate) struct TrainBench {
    /// Encoder widths from input to encoding, without convolutions, which follow the input; the decoder
    /// mirrors them
    #[arg(long, value_delimiter = ',', default_value = "784,256,128,64,32")]
    pub(crate) dims: Vec<usize>,
    /// Kind of autoencoder
    #[arg(long, value_enum, default_value_t)]
    pub(crate) kind: Kind,
    /// Activation of the hidden layers, and of the encoding unless its kind has another
    #[arg(long, default_value = "relu", value_parser = ACTIVATIONS)]
    pub(crate) activation: String,
    /// Keep this many values of the encoding (a top-k latent)
    #[arg(long, value_name = "K")]
    pub(crate) top_k: Option<usize>,
    /// Convolutions, e.g. '16 3 s2, 32 3 s2'
    #[arg(long, requires = "image")]
    pub(crate) conv: Option<ImageLayers>,
    /// Size of the images, e.g. 28x28
    #[arg(long, requires = "conv")]
    pub(crate) image: Option<Image>,
    /// Rows per step
    #[arg(long, default_value_t = 32)]
    pub(crate) batch: usize,
    /// Number of threads
    #[arg(long, default_value_t = 2)]
    pub(crate) threads: usize,
    /// Numeric precision
    #[arg(long, default_value = "f32", value_parser = PRECISIONS)]
    pub(crate) precision: String,
    /// Optimizer update rule
    #[arg(long, default_value = "sgd", value_parser = OPTIMIZERS)]
    pub(crate) optimizer: String,
    /// Seconds to measure
    #[arg(long, default_value_t = 2.0)]
    pub(crate) seconds: f64,
    /// Print one JSON object instead of text
    #[arg(long)]
    pub(crate) json: bool,
}

impl Default for TrainBench {
    /// The defaults of the command line.
    fn default() -> TrainBench {
        TrainBench {
            dims: vec![784, 256, 128, 64, 32],
            kind: Kind::Plain,
            activation: ACTIVATIONS[0].to_owned(),
            top_k: None,
            conv: None,
            image: None,
            batch: 32,
            threads: 2,
            precision: PRECISIONS[0].to_owned(),
            optimizer: OPTIMIZERS[0].to_owned(),
            seconds: 2.0,
            json: false,
        }
    }
}

impl TrainBench {
    /// Returns a configuration builder for the network and its training.
    pub(super) fn builder(&self) -> Result<ConfigBuilder, Failure> {
        let [input, hidden @ .., encoding] = self.dims.as_slice() else {
            return Err(Failure::Usage("--dims needs an input and an encoding width".to_owned()));
        };
        let builder = Config::builder(*input)
            .hidden_dims(hidden)
            .encoding_dim(*encoding)
            .activation(self.activation.parse()?)
            .precision(self.precision.parse()?)
            .optimizer(self.optimizer.parse()?)
            .learning_rate(1e-4);
        self.of_kind(builder)
    }

    /// Measures and returns the JSON object of `--json`.
    pub(crate) fn measure(&self) -> Result<Value, Failure> {
        let isa = Isa::active()?;
        let config = self.builder()?.build()?;
        let step = match config.precision() {
            Precision::F64 => self.time::<f64>(&config, isa)?,
            _ => self.time::<f32>(&config, isa)?,
        };
        let seconds = step.as_secs_f64();
        let batch = self.batch as f64;
        let flops = flops_of(&config) as f64 * batch;
        let mut object = json!({
            "dims": self.dims,
            "batch": self.batch,
            "threads": self.threads,
            "precision": self.precision,
            "optimizer": self.optimizer,
            "isa": isa.name(),
            "samples_per_s": rounded(batch / seconds, 1),
            "us_per_step": rounded(seconds * 1e6, 2),
            "gflops": rounded(flops / seconds / 1e9, 2),
        });
        // Only settings other than the plain ones are named. Operations are those of the plain step,
        // most of which a sparse step can skip.
        if self.kind != Kind::Plain {
            object["kind"] = json!(self.kind.name());
        }
        if self.activation != ACTIVATIONS[0] {
            object["activation"] = json!(self.activation);
        }
        if let Some(k) = self.kept() {
            object["top_k"] = json!(k);
        }
        if let Some((image, layers)) = self.images()? {
            let layers: Vec<String> = layers.0.iter().map(ToString::to_string).collect();
            object["image"] = json!(image.to_string());
            object["conv"] = json!(layers.join(", "));
        }
        Ok(object)
    }

    fn time<T: Arithmetic>(&self, config: &Config, isa: Isa) -> Result<Duration, Failure> {
        if self.batch == 0 || !(self.seconds >= 0.0 && self.seconds <= 3600.0) {
            return Err(Failure::Usage("--batch must be at least 1, --seconds from 0 to 3600".to_owned()));
        }
        let table = uniform_rows(WINDOW * self.batch * config.input_dim());
        let batches: Vec<Vec<usize>> =
            (0..WINDOW).map(|step| (step * self.batch..(step + 1) * self.batch).collect()).collect();
        let mut trainer = Trainer::<T>::new(config, isa, Some(self.threads))?;
        let limit = Duration::from_secs_f64(self.seconds);
        let best = trainer.enter(|session| {
            let window = |session: &mut Session<'_, T>| -> Result<(Duration, f64), ae_model::Error> {
                let start = Instant::now();
                let mut mse = 0.0;
                for indices in &batches {
                    mse += session.train_batch(&table, indices)?;
                }
                Ok((start.elapsed(), mse / WINDOW as f64))
            };
            let (_, first) = window(session)?;
            for _ in 0..2 {
                window(session)?;
            }
            let begin = Instant::now();
            let mut best = Duration::MAX;
            let mut last = first;
            while begin.elapsed() < limit || best == Duration::MAX {
                let (elapsed, mse) = window(session)?;
                best = best.min(elapsed);
                last = mse;
            }
            let begin = Instant::now();
            while last.is_finite() && !(last < first) && begin.elapsed() < PATIENCE {
                (_, last) = window(session)?;
            }
            Ok::<_, ae_model::Error>((best, first, last))
        });
        let (best, first, last) = best?;
        // The steps must actually train.
        if !(last.is_finite() && last < first) {
            return Err(Failure::Wrong(format!("the loss went from {first} to {last}")));
        }
        Ok(best / WINDOW as u32)
    }
}

/// Like [`flops_per_sample`], including convolutions without their products with padding.
fn flops_of(config: &Config) -> usize {
    let images = config.images();
    let dims = config.layer_dims();
    let convolutions: Vec<usize> = images
        .iter()
        .zip(config.conv_layers())
        .filter_map(|(image, layer)| {
            let ImageLayer::Conv(layer) = layer else { return None };
            let Image { height, width, channels: channels_in } = *image;
            let (channels_out, kernel) = (layer.channels, layer.kernel);
            let (stride, padding, groups) = (layer.stride, layer.padding, layer.groups);
            let shape = Conv2d { height, width, channels_in, channels_out, kernel, stride, padding, groups };
            Conv::down(shape).map(|conv| conv.multiply_adds())
        })
        .collect();
    let of_images = config.conv_layers().len();
    let dense = &dims[of_images..dims.len() - of_images];
    let Some(first) = convolutions.first() else { return flops_per_sample(dense) };
    let products = dense.windows(2).map(|pair| pair[0] * pair[1]).sum::<usize>();
    6 * (products + 2 * convolutions.iter().sum::<usize>()) - 2 * first
}

/// Returns the floating-point operations per row and step: for every weight, 2 each for the forward
/// pass, the input gradient (except in the first layer) and the weight gradient.
pub(crate) fn flops_per_sample(layer_dims: &[usize]) -> usize {
    let weights: usize = layer_dims.windows(2).map(|pair| pair[0] * pair[1]).sum();
    6 * weights - 2 * layer_dims[0] * layer_dims[1]
}

/// Reproducible values in [0, 1).
pub(crate) fn uniform_rows(len: usize) -> Vec<f32> {
    let mut rng = ae_testing::random::SplitMix64::new(0);
    (0..len).map(|_| rng.uniform() as f32).collect()
}

/// Rounds `x` to this many decimal places.
pub(crate) fn rounded(x: f64, places: i32) -> f64 {
    let scale = 10f64.powi(places);
    (x * scale).round() / scale
}
