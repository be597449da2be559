//! Kinds of autoencoders whose steps can be timed.

use ae_model::{Activation, CodePenalty, ConfigBuilder, Image, ImageLayers, Latent, Loss, Noise, TopK};
use clap::ValueEnum;

use super::TrainBench;
use crate::failure::Failure;

/// Values of `--activation`.
pub(in crate::bench) const ACTIVATIONS: [&str; 3] = ["relu", "tanh", "sigmoid"];
/// Images and convolutions of [`Kind::Conv`] by default.
const IMAGE: Image = Image { height: 28, width: 28, channels: 1 };
const CONVOLUTIONS: &str = "16 3 s2, 32 3 s2";
/// Number of values that [`Kind::TopK`] and [`Kind::BatchTopK`] keep by default.
const KEPT: usize = 32;
/// The L1 weight of `ae train --kind sparse`.
const L1: f64 = 0.01;
/// The weight and the target mean activation of `--sparsity kl`.
const KL: (f64, f64) = (0.1, 0.05);
/// Standard deviation of the Gaussian noise.
const SIGMA: f64 = 0.3;
/// Weight of the contractive penalty.
const CONTRACTION: f64 = 0.1;

/// Kinds of autoencoders.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The plain autoencoder
    #[default]
    Plain,
    /// Gaussian noise on the input with a standard deviation of 0.3
    Denoising,
    /// An L1 penalty on the encoding
    Sparse,
    /// A KL-divergence penalty on the mean activations of a sigmoid encoding
    KlSparse,
    /// Only the largest values of each encoding: 32 unless --top-k is given
    TopK,
    /// Only the largest values of the encodings of a batch: 32 per row on average unless --top-k is
    /// given
    BatchTopK,
    /// A Gaussian latent and binary cross-entropy
    Vae,
    /// Convolutions before the dense layers: '16 3 s2, 32 3 s2' on 28x28 unless --conv and --image are
    /// given
    Conv,
    /// Layer normalisation of the hidden layers
    LayerNorm,
    /// Tied weights: the decoder uses the transposed weights of the encoder
    Tied,
    /// A contractive penalty on a single-layer sigmoid encoder
    Contractive,
    /// Decoder vectors of unit norm, for dictionaries without hidden layers
    UnitNorm,
}

impl Kind {
    /// Returns the name used on the command line.
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

impl TrainBench {
    /// Adds what the requested kind needs to the configuration.
    pub(super) fn of_kind(&self, mut builder: ConfigBuilder) -> Result<ConfigBuilder, Failure> {
        builder = match self.kind {
            Kind::Plain | Kind::TopK | Kind::BatchTopK | Kind::Conv => builder,
            Kind::Denoising => builder.noise(Noise::Gaussian { sigma: SIGMA }),
            Kind::Sparse => builder.code_penalty(CodePenalty::L1 { weight: L1 }),
            Kind::KlSparse => builder
                .code_penalty(CodePenalty::Kl { weight: KL.0, target: KL.1 })
                .encoding_activation(Activation::Sigmoid),
            Kind::Vae => builder.latent(Latent::gaussian()).loss(Loss::Bce),
            Kind::LayerNorm => builder.layer_norm(true),
            Kind::Tied => builder.tied_weights(true),
            Kind::Contractive => builder.contractive(CONTRACTION).encoding_activation(Activation::Sigmoid),
            Kind::UnitNorm => builder.unit_norm(true),
        };
        if let Some(k) = self.kept() {
            let of_batch = self.kind == Kind::BatchTopK;
            builder = builder.latent(Latent::TopK(TopK { k, revival: None, of_batch }));
        }
        if let Some((image, layers)) = self.images()? {
            builder = builder.image(image.height, image.width, image.channels).conv_layers(layers.0);
        }
        Ok(builder)
    }

    /// Returns the number of values of an encoding that are kept, if not all are.
    pub(super) fn kept(&self) -> Option<usize> {
        self.top_k.or(matches!(self.kind, Kind::TopK | Kind::BatchTopK).then_some(KEPT))
    }

    /// Returns the image size and the convolutions, if there are any.
    pub(super) fn images(&self) -> Result<Option<(Image, ImageLayers)>, Failure> {
        match (self.image, &self.conv) {
            (Some(image), Some(layers)) => Ok(Some((image, layers.clone()))),
            _ if self.kind == Kind::Conv => {
                let layers = CONVOLUTIONS.parse::<ImageLayers>()?;
                Ok(Some((IMAGE, layers)))
            }
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Training steps of every kind reduce the loss.
    #[test]
    fn every_kind_trains() {
        for kind in Kind::value_variants() {
            let dims = match kind {
                Kind::Conv => vec![784, 8],
                Kind::TopK => vec![24, 64],
                // Wide enough for the code path that follows the active features.
                Kind::BatchTopK => vec![24, 128],
                Kind::Contractive | Kind::UnitNorm => vec![24, 8],
                _ => vec![24, 16, 8],
            };
            let bench = TrainBench {
                dims,
                batch: 16,
                threads: 1,
                kind: *kind,
                seconds: 0.1,
                ..TrainBench::default()
            };
            let object = bench.measure().unwrap_or_else(|failure| panic!("{kind:?}: {failure}"));
            assert!(object["samples_per_s"].as_f64().unwrap() > 0.0, "{object}");
            assert_eq!(object.get("kind").is_some(), *kind != Kind::Plain, "{object}");
            assert_eq!(object.get("conv").is_some(), *kind == Kind::Conv, "{object}");
        }
    }
}
