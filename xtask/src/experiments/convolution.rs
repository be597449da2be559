//! Compares convolutions with dense layers of the same encoding size and no fewer parameters.

use std::path::PathBuf;

use ae_model::{
    Activation, Autoencoder, Config, ConfigBuilder, Image, ImageLayers, Optimizer, ScalerKind, Schedule,
};
use clap::Args;
use serde_json::{Value, json};

use super::images::Images;
use super::{Settings, fitted, mean_error};
use crate::failure::Failure;

#[derive(Args, Debug)]
pub(crate) struct Convolution {
    /// Folder with the four files of MNIST, or others in the same layout
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Image size: HEIGHTxWIDTH, or HEIGHTxWIDTHxCHANNELS
    #[arg(long, default_value = "28x28")]
    image: Image,
    /// Convolution and pooling layers of the encoder
    #[arg(long, default_value = "16 3 s2, 32 3 s2")]
    conv: ImageLayers,
    /// Size of the encoding
    #[arg(long, default_value_t = 32)]
    encoding: usize,
    /// Rows per update
    #[arg(long, default_value_t = 128)]
    batch_size: usize,
    #[command(flatten)]
    settings: Settings,
}

/// A trained network.
struct Trained {
    network: String,
    parameters: usize,
    test_error: f64,
    train_error: f64,
    seconds: f64,
}

impl Trained {
    fn to_json(&self) -> Value {
        json!({
            "network": self.network,
            "parameters": self.parameters,
            "train_error": self.train_error,
            "test_error": self.test_error,
            "seconds": self.seconds,
        })
    }
}

impl Convolution {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let images = Images::read(&self.data)?;
        let features = images.train.features();
        let Image { height, width, channels } = self.image;
        let conv = self.base(features).hidden_dims([]).image(height, width, channels);
        let conv = self.train(&images, conv.conv_layers(self.conv.0.clone()))?;
        // The narrowest hidden layer that gives the dense network no fewer parameters.
        let (sizes, code) = (features as f64, self.encoding as f64);
        let fixed = sizes + code;
        let hidden =
            ((conv.parameters as f64 - fixed) / (2.0 * (sizes + code + 1.0))).ceil().max(1.0) as usize;
        let dense = self.train(&images, self.base(features).hidden_dims([hidden]))?;
        self.settings.summary(&json!({
            "experiment": "conv",
            "conv": conv.to_json(),
            "dense": dense.to_json(),
            "lower_by": 1.0 - conv.test_error / dense.test_error,
        }));
        Ok(())
    }

    fn base(&self, features: usize) -> ConfigBuilder {
        let Settings { epochs, learning_rate, seed, .. } = self.settings;
        Config::builder(features)
            .encoding_dim(self.encoding)
            .activation(Activation::Silu)
            .encoding_activation(Activation::Linear)
            .scaler(ScalerKind::None)
            .optimizer(Optimizer::ADAM)
            .schedule(Schedule::OneCycle { warm_up: 0.1 })
            .epochs(epochs.unwrap_or(30))
            .learning_rate(learning_rate.unwrap_or(3e-3))
            .batch_size(self.batch_size)
            .seed(seed)
    }

    fn train(&self, Images { train, test }: &Images, config: ConfigBuilder) -> Result<Trained, Failure> {
        let (model, seconds) = fitted(Autoencoder::new(config.build()?)?, train, &self.settings)?;
        let summary = model.summary();
        Ok(Trained {
            network: summary.architecture(),
            parameters: summary.parameters,
            train_error: mean_error(&model, train)?,
            test_error: mean_error(&model, test)?,
            seconds,
        })
    }
}
