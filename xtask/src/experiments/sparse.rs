//! Compares a wide sparse dictionary of images by top-k with one by an L1 penalty that has as many
//! active features.

use std::path::PathBuf;

use ae_model::{
    Activation, Autoencoder, CodePenalty, Config, ConfigBuilder, Latent, Optimizer, Revival, ScalerKind,
    Schedule, Sparsity, TopK,
};
use clap::Args;
use serde_json::{Value, json};

use super::images::Images;
use super::{Settings, fitted};
use crate::failure::Failure;

#[derive(Args, Debug)]
pub(crate) struct Sparse {
    /// Folder with the four files of MNIST, or others in the same layout
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Number of features of the encoding
    #[arg(long, default_value_t = 8192)]
    width: usize,
    /// Active features per row
    #[arg(long, default_value_t = 32)]
    k: usize,
    /// Initial weight of the L1 penalty for the search
    #[arg(long, default_value_t = 0.2)]
    l1: f64,
    #[command(flatten)]
    settings: Settings,
}

/// Rows per update.
const BATCH: usize = 256;
/// Maximum number of L1 weights tried.
const TRIES: usize = 8;
/// Factor by which the L1 penalty may leave more features active than top-k. It never has fewer, which
/// is to its advantage.
const ALLOWED: f64 = 1.1;

/// A trained dictionary.
struct Trained {
    sparsity: Sparsity,
    seconds: f64,
}

impl Trained {
    fn to_json(&self) -> Value {
        let Sparsity { active, dead, variance_explained, .. } = self.sparsity;
        json!({ "l0": active, "dead": dead, "variance_explained": variance_explained, "seconds": self.seconds })
    }
}

impl Sparse {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let images = Images::read(&self.data)?;
        let revival = Revival {
            k: images.train.features() / 2,
            weight: Revival::WEIGHT,
            dead_after: images.train.rows() as u64 / 12,
            bias_lift: Revival::BIAS_LIFT,
        };
        let latent = Latent::TopK(TopK { k: self.k, revival: Some(revival), of_batch: false });
        let top_k = self.train(&images, self.base(&images).latent(latent))?;
        self.settings.summary(&json!({ "top_k": top_k.to_json() }));
        let l1 = self.search(&images, top_k.sparsity.active)?;
        let (weight, at_same, matched) = match &l1 {
            Some((weight, trained)) => (json!(weight), trained.to_json(), true),
            None => (Value::Null, Value::Null, false),
        };
        self.settings.summary(&json!({
            "experiment": "sparse",
            "network": format!("{}-[{}]", images.train.features(), self.width),
            "k": self.k,
            "top_k": top_k.to_json(),
            "l1_weight": weight,
            "l1": at_same,
            "l0_matched": matched,
        }));
        Ok(())
    }

    fn base(&self, images: &Images) -> ConfigBuilder {
        let Settings { epochs, learning_rate, seed, .. } = self.settings;
        Config::builder(images.train.features())
            .hidden_dims([])
            .encoding_dim(self.width)
            .activation(Activation::Linear)
            .encoding_activation(Activation::Relu)
            .scaler(ScalerKind::Centre)
            .optimizer(Optimizer::ADAM)
            .schedule(Schedule::Cosine { end: 0.0 })
            .epochs(epochs.unwrap_or(10))
            .learning_rate(learning_rate.unwrap_or(2e-3))
            .batch_size(BATCH)
            .seed(seed)
    }

    fn train(&self, Images { train, test }: &Images, config: ConfigBuilder) -> Result<Trained, Failure> {
        let (model, seconds) = fitted(Autoencoder::new(config.build()?)?, train, &self.settings)?;
        Ok(Trained { sparsity: model.sparsity(test)?, seconds })
    }

    /// Searches for the weight of the L1 penalty that leaves `active` features active, or slightly more,
    /// by bisecting its logarithm.
    fn search(&self, images: &Images, active: f64) -> Result<Option<(f64, Trained)>, Failure> {
        let (mut low, mut high): (Option<f64>, Option<f64>) = (None, None);
        let mut weight = self.l1;
        for _ in 0..TRIES {
            let penalised = self.base(images).code_penalty(CodePenalty::L1 { weight });
            let trained = self.train(images, penalised)?;
            let ratio = trained.sparsity.active / active;
            self.settings.summary(&json!({ "l1_weight": weight, "tried": trained.to_json() }));
            if (1.0..=ALLOWED).contains(&ratio) {
                return Ok(Some((weight, trained)));
            }
            // A heavier penalty leaves fewer features active.
            if ratio > 1.0 {
                low = Some(weight);
            } else {
                high = Some(weight);
            }
            weight = match (low, high) {
                (Some(low), Some(high)) => (low * high).sqrt(),
                (Some(low), None) => low * ratio.clamp(1.5, 8.0),
                (None, _) => weight * ratio.clamp(0.125, 0.7),
            };
        }
        Ok(None)
    }
}
