//! The effect of input noise on the features of one wide layer, after Vincent et al. 2008: a linear
//! classifier on the encodings of a denoising autoencoder and of the same one without noise.

use std::path::PathBuf;

use ae_data::Dataset;
use ae_eval::LinearProbe;
use ae_model::{Activation, Autoencoder, Config, Loss, Noise, Optimizer, ScalerKind, Schedule};
use clap::Args;
use serde_json::json;

use super::Settings;
use super::images::{Classes, Images};
use crate::failure::Failure;

#[derive(Args, Debug)]
pub(crate) struct Denoising {
    /// Folder with the four files of MNIST, or others in the same layout
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Fraction of the pixels that are set to 0
    #[arg(long = "share", default_value_t = 0.25)]
    fraction: f64,
    /// Number of seeds, starting from --seed
    #[arg(long, default_value_t = 5)]
    seeds: u64,
    #[command(flatten)]
    settings: Settings,
}

/// Strength of the classifier's ridge penalty.
const RIDGE: f64 = 1e-4;

impl Denoising {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let images = Images::read(&self.data)?;
        let classes = Classes::read(&self.data)?;
        let mut gains = Vec::new();
        for seed in self.settings.seed..self.settings.seed + self.seeds {
            let plain = self.accuracy(&images, &classes, None, seed)?;
            let noise = Noise::Masking { fraction: self.fraction };
            let denoising = self.accuracy(&images, &classes, Some(noise), seed)?;
            gains.push(100.0 * (denoising - plain));
            self.settings.summary(&json!({
                "seed": seed,
                "plain_accuracy": plain,
                "denoising_accuracy": denoising,
            }));
        }
        let least = gains.iter().copied().fold(f64::INFINITY, f64::min);
        self.settings.summary(&json!({
            "experiment": "denoising",
            "share": self.fraction,
            "seeds": self.seeds,
            "mean_gain_points": gains.iter().sum::<f64>() / gains.len().max(1) as f64,
            "least_gain_points": least,
        }));
        Ok(())
    }

    /// Returns the accuracy on the test images.
    fn accuracy(
        &self,
        images: &Images,
        classes: &Classes,
        noise: Option<Noise>,
        seed: u64,
    ) -> Result<f64, Failure> {
        let Images { train, test } = images;
        let mut builder = Config::builder(train.features())
            .hidden_dims([])
            .encoding_dim(1000)
            .activation(Activation::Sigmoid)
            .loss(Loss::Bce)
            .scaler(ScalerKind::None)
            .optimizer(Optimizer::ADAM)
            .schedule(Schedule::Cosine { end: 0.0 })
            .epochs(self.settings.epochs.unwrap_or(20))
            .learning_rate(self.settings.learning_rate.unwrap_or(1e-3))
            .batch_size(128)
            .seed(seed);
        if let Some(noise) = noise {
            builder = builder.noise(noise);
        }
        let mut model = Autoencoder::new(builder.build()?)?;
        model.fit(train, &mut [])?;
        let encode = |rows: &Dataset| model.encode(rows);
        let (of_train, of_test) = (encode(train)?, encode(test)?);
        let probe = LinearProbe::fit(&of_train, &classes.train, classes.count, RIDGE)
            .and_then(|probe| probe.accuracy(&of_test, &classes.test));
        probe.map_err(|error| Failure::Wrong(error.to_string()))
    }
}
