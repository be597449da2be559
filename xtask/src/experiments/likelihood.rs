//! Variational autoencoders evaluated by the likelihood of test images, after Burda, Grosse &
//! Salakhutdinov 2015.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use ae_data::{BatchSource, DataError, Dataset, Rng, Rows};
use ae_model::{
    Activation, Autoencoder, Config, Error, Gaussian, Latent, Loss, Optimizer, ScalerKind, Schedule,
};
use clap::Args;
use serde_json::{Value, json};

use super::images::Images;
use super::{Settings, fitted, started};
use crate::failure::Failure;

#[derive(Args, Debug)]
pub(crate) struct Vae {
    #[command(flatten)]
    task: Task,
}

#[derive(Args, Debug)]
pub(crate) struct Iwae {
    /// Training stages: samples per row, epochs, and the learning rate if it is not that of
    /// --learning-rate. Going from few samples to many follows section 5.2 of the paper
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "K:EPOCHS[:RATE]",
        default_value = "1:400,5:120:0.001,50:40:0.0005",
        conflicts_with = "epochs"
    )]
    stages: Vec<Stage>,
    #[command(flatten)]
    task: Task,
}

/// Training with a fixed number of samples per row.
#[derive(Clone, Copy, Debug)]
struct Stage {
    samples: usize,
    epochs: usize,
    learning_rate: Option<f64>,
}

impl Stage {
    fn to_json(self) -> Value {
        let Self { samples, epochs, learning_rate } = self;
        json!({ "samples": samples, "epochs": epochs, "learning_rate": learning_rate })
    }
}

impl FromStr for Stage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split(':');
        let counts =
            (words.next().and_then(|k| k.parse().ok()), words.next().and_then(|epochs| epochs.parse().ok()));
        let rate = match words.next() {
            None => Some(None),
            Some(rate) => rate.parse().ok().filter(|rate: &f64| *rate > 0.0).map(Some),
        };
        match (counts, rate, words.next()) {
            ((Some(samples @ 1..), Some(epochs @ 1..)), Some(learning_rate), None) => {
                Ok(Self { samples, epochs, learning_rate })
            }
            _ => Err(format!(
                "expected samples:epochs or samples:epochs:rate, such as 50:30:0.0005, got {text}"
            )),
        }
    }
}

#[derive(Args, Debug)]
struct Task {
    /// Folder with the four files of MNIST, or others in the same layout
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Rows per update
    #[arg(long, default_value_t = 48)]
    batch_size: usize,
    /// Number of test images whose likelihood is estimated
    #[arg(long, default_value_t = 1000)]
    test_rows: usize,
    /// Samples per test image for the estimate
    #[arg(long, default_value_t = 5000)]
    test_samples: usize,
    #[command(flatten)]
    settings: Settings,
}

impl Vae {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let epochs = self.task.settings.epochs.unwrap_or(400);
        self.task.run("vae", &[Stage { samples: 1, epochs, learning_rate: None }], 86.76)
    }
}

impl Iwae {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let published = if self.stages.len() > 1 { 84.88 } else { 84.78 };
        self.task.run("iwae", &self.stages, published)
    }
}

impl Task {
    /// Trains one stage after another, each from the weights of the last, and evaluates each result.
    fn run(&self, name: &str, stages: &[Stage], published: f64) -> Result<(), Failure> {
        let Images { train, test } = Images::read(&self.data)?;
        let seed = self.settings.seed;
        let features = train.features();
        // The test images are binarised only once.
        let rows = self.test_rows.min(test.rows());
        let indices: Vec<usize> = (0..rows).collect();
        let mut images = vec![0.0; rows * features];
        let drawn = Binarised { rows: &test, seed: !seed, read_count: AtomicU64::new(0) };
        drawn.read_rows(&indices, &mut images).map_err(Error::from)?;
        let images = Rows::new(&images, features).map_err(Error::from)?;

        let drawn = Binarised { rows: &train, seed, read_count: AtomicU64::new(0) };
        let mut seconds = 0.0;
        let mut trained: Option<Autoencoder> = None;
        for (index, stage) in stages.iter().enumerate() {
            let config = self.config(features, *stage)?;
            let (model, took) = fitted(started(config, trained.as_ref())?, &drawn, &self.settings)?;
            seconds += took;
            let values = model.log_likelihood(&images, self.test_samples, seed)?;
            let mean = values.iter().sum::<f64>() / rows as f64;
            let deviation = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / rows as f64).sqrt();
            self.settings.summary(&json!({
                "experiment": name,
                "network": model.summary().architecture(),
                "stages": stages[..=index].iter().copied().map(Stage::to_json).collect::<Vec<_>>(),
                "settings": model.config(),
                "seconds": seconds,
                "test_rows": rows,
                "test_samples": self.test_samples,
                "negative_log_likelihood": -mean,
                "standard_error": deviation / (rows as f64).sqrt(),
                "published": published,
            }));
            trained = Some(model);
        }
        Ok(())
    }

    fn config(&self, features: usize, stage: Stage) -> Result<Config, Failure> {
        let Stage { samples, epochs, learning_rate } = stage;
        let Settings { seed, learning_rate: default_rate, .. } = self.settings;
        Ok(Config::builder(features)
            .hidden_dims([200, 200])
            .encoding_dim(50)
            .activation(Activation::Tanh)
            .latent(Latent::Gaussian(Gaussian { samples, ..Gaussian::default() }))
            .loss(Loss::Bce)
            .scaler(ScalerKind::None)
            .optimizer(Optimizer::ADAM)
            .schedule(Schedule::OneCycle { warm_up: 0.1 })
            .ema(0.999)
            .epochs(epochs)
            .learning_rate(learning_rate.or(default_rate).unwrap_or(2e-3))
            .batch_size(self.batch_size)
            .seed(seed)
            .build()?)
    }
}

/// Images whose pixels are binarised anew whenever a row is read: 1 with the pixel's value as the
/// probability.
struct Binarised<'a> {
    rows: &'a Dataset,
    seed: u64,
    /// Number of reads so far. Training reads in a fixed order, on one thread.
    read_count: AtomicU64,
}

impl BatchSource for Binarised<'_> {
    fn rows(&self) -> usize {
        self.rows.rows()
    }

    fn features(&self) -> usize {
        self.rows.features()
    }

    fn read_rows(&self, indices: &[usize], out: &mut [f32]) -> Result<(), DataError> {
        self.rows.read_rows(indices, out)?;
        let read = self.read_count.fetch_add(1, Ordering::Relaxed);
        let mut rng = Rng::new(Rng::new(self.seed ^ read.wrapping_mul(0x9e37_79b9_7f4a_7c15)).next_u64());
        for x in out.iter_mut().filter(|x| **x > 0.0 && **x < 1.0) {
            *x = f32::from(u8::from((rng.unit() as f32) < *x));
        }
        Ok(())
    }
}
