//! Autoencoders evaluated by the sum of squared errors per image.

use std::path::PathBuf;

use ae_data::Dataset;
use ae_eval::Pca;
use ae_model::{
    Activation, Autoencoder, Config, ConfigBuilder, Error, Loss, Noise, Optimizer, ScalerKind, Schedule,
};
use clap::Args;
use serde_json::json;

use super::images::Images;
use super::{Settings, fitted, mean_error, started};
use crate::failure::Failure;

#[derive(Args, Debug)]
pub(crate) struct MnistDeep {
    /// Folder with the four files of MNIST, or others in the same layout
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Standard deviation of the input noise in training
    #[arg(long, default_value_t = 0.0)]
    noise: f64,
    /// Decoupled weight decay of AdamW; 0 is plain Adam
    #[arg(long, default_value_t = 0.0)]
    weight_decay: f64,
    /// Rows per update
    #[arg(long, default_value_t = 128)]
    batch_size: usize,
    /// Loss per row: mse, or with sigmoid outputs bce or sigmoid-mse
    #[arg(long, default_value = "bce")]
    loss: Loss,
    /// Further epochs that train on the squared error of the pixels itself
    #[arg(long, default_value_t = 0)]
    finish_epochs: usize,
    /// Learning rate of these epochs
    #[arg(long, default_value_t = 2e-4)]
    finish_rate: f64,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Args, Debug)]
pub(crate) struct Curves {
    /// Rows per update
    #[arg(long, default_value_t = 64)]
    batch_size: usize,
    /// Loss per row: mse, or with sigmoid outputs bce or sigmoid-mse
    #[arg(long, default_value = "bce")]
    loss: Loss,
    #[command(flatten)]
    settings: Settings,
}

impl MnistDeep {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let Images { train, test } = Images::read(&self.data)?;
        let Settings { epochs, learning_rate, .. } = self.settings;
        let mut config = base(train.features(), &[1000, 500, 250], 30)
            .epochs(epochs.unwrap_or(40))
            .learning_rate(learning_rate.unwrap_or(1e-3))
            .batch_size(self.batch_size)
            .loss(self.loss);
        if self.noise > 0.0 {
            config = config.noise(Noise::Gaussian { sigma: self.noise });
        }
        if self.weight_decay > 0.0 {
            let Self { weight_decay, .. } = *self;
            let (beta1, beta2, epsilon) = (0.9, 0.999, 1e-8);
            config = config.optimizer(Optimizer::AdamW { beta1, beta2, epsilon, weight_decay });
        }
        let mut stages = vec![config.clone()];
        if self.finish_epochs > 0 {
            let finish = config.loss(Loss::SigmoidMse).epochs(self.finish_epochs);
            stages.push(finish.learning_rate(self.finish_rate));
        }
        let published = Published { autoencoder: 3.00, components: 30, pca: 13.87 };
        compare("mnist-deep", &stages, (&train, &test), published, &self.settings)
    }
}

impl Curves {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let all = ae_data::curves(30_000, self.settings.seed).map_err(Error::from)?;
        let features = all.features();
        let mut train = all.into_values();
        let test = train.split_off(20_000 * features);
        let part = |values| Dataset::new(values, features).map_err(Error::from);
        let (train, test) = (part(train)?, part(test)?);
        let Settings { epochs, learning_rate, .. } = self.settings;
        let config = base(features, &[400, 200, 100, 50, 25], 6)
            .epochs(epochs.unwrap_or(150))
            .learning_rate(learning_rate.unwrap_or(2e-3))
            .batch_size(self.batch_size)
            .loss(self.loss);
        let published = Published { autoencoder: 1.44, components: 18, pca: 5.90 };
        compare("curves", &[config], (&train, &test), published, &self.settings)
    }
}

/// The settings both have in common, including a one-cycle learning rate and a running mean of the
/// weights.
fn base(features: usize, hidden: &[usize], code: usize) -> ConfigBuilder {
    Config::builder(features)
        .hidden_dims(hidden)
        .encoding_dim(code)
        .activation(Activation::Silu)
        .encoding_activation(Activation::Linear)
        .scaler(ScalerKind::None)
        .optimizer(Optimizer::ADAM)
        .schedule(Schedule::OneCycle { warm_up: 0.1 })
        .ema(0.999)
}

/// Errors on test images in the paper: of its autoencoder, and of this many principal components.
struct Published {
    autoencoder: f64,
    components: usize,
    pca: f64,
}

/// Trains one stage after another, each from the weights of the last, and compares each result with principal
/// components and the paper.
fn compare(
    name: &str,
    stages: &[ConfigBuilder],
    (train, test): (&Dataset, &Dataset),
    published: Published,
    settings: &Settings,
) -> Result<(), Failure> {
    let features = train.features();
    let pca = |components| match Pca::fit(train, components).and_then(|pca| pca.mse(test)) {
        Ok(mse) => Ok(mse * features as f64),
        Err(error) => Err(Failure::Wrong(error.to_string())),
    };
    let same = pca(published.components)?;
    let mut seconds = 0.0;
    let mut trained: Option<Autoencoder> = None;
    for (index, stage) in stages.iter().enumerate() {
        let config = stage.clone().seed(settings.seed).build()?;
        let code = config.encoding_dim();
        let (model, took) = fitted(started(config, trained.as_ref())?, train, settings)?;
        seconds += took;
        settings.summary(&json!({
            "experiment": name,
            "network": model.summary().architecture(),
            "stage": index + 1,
            "settings": model.config(),
            "train_rows": train.rows(),
            "test_rows": test.rows(),
            "seconds": seconds,
            "train_error": mean_error(&model, train)?,
            "test_error": mean_error(&model, test)?,
            "pca_test_error": if code == published.components { same } else { pca(code)? },
            "published_test_error": published.autoencoder,
            "published_pca_components": published.components,
            "published_pca_test_error": published.pca,
            "same_pca_test_error": same,
        }));
        trained = Some(model);
    }
    Ok(())
}
