//! Regularisation other than penalties on values: its settings, and where they do not apply.

use ae_kernels::conv::Conv2d;

use super::{Activation, Config, Latent, Loss, out_of_range};
use crate::error::ConfigError;

/// Smallest width of a normalised layer: of two values, only their order would be left.
const MIN_NORMALISED_WIDTH: usize = 3;

impl Config {
    /// Whether the outputs of hidden layers are normalised.
    pub fn layer_norm(&self) -> bool {
        self.layer_norm
    }

    /// Whether the decoder's weights are the transposes of the encoder's.
    pub fn tied_weights(&self) -> bool {
        self.tied_weights
    }

    /// Weight of the contractive penalty.
    pub fn contractive(&self) -> Option<f64> {
        self.contractive
    }

    /// Whether decoder vectors are kept at norm 1.
    pub fn unit_norm(&self) -> bool {
        self.unit_norm
    }

    /// Checks what depends on the whole configuration.
    pub(super) fn check_regularisation(&self) -> Result<(), ConfigError> {
        if self.layer_norm {
            self.check_layer_norm()?;
        }
        if self.tied_weights {
            self.check_tied_weights()?;
        }
        if self.unit_norm {
            self.check_unit_norm()?;
        }
        self.contractive.map_or(Ok(()), |weight| self.check_contractive(weight))
    }

    fn check_tied_weights(&self) -> Result<(), ConfigError> {
        let allowed = match (self.latent, self.loss) {
            _ if !self.conv_layers.is_empty() => "left out with conv_layers",
            (Latent::Gaussian(_), _) => {
                "left out with a Gaussian latent, whose encoder has twice the outputs"
            }
            (_, Loss::GaussianNll) => "left out with gaussian-nll, whose decoder has twice the outputs",
            _ => return Ok(()),
        };
        Err(out_of_range("tied_weights", "set", allowed))
    }

    fn check_unit_norm(&self) -> Result<(), ConfigError> {
        let allowed = match (self.latent, self.loss) {
            _ if !self.hidden_dims.is_empty() || !self.conv_layers.is_empty() => {
                "left out with hidden layers or convolutions: it is for the vectors of a dictionary"
            }
            (Latent::Gaussian(_), _) => "left out with a Gaussian latent",
            (_, Loss::GaussianNll) => "left out with gaussian-nll, whose decoder outputs variances too",
            _ if self.tied_weights => "left out with tied_weights, whose vectors are the encoder's",
            _ if self.ema.is_some() => "left out with ema: a mean of vectors of norm 1 is shorter",
            _ => return Ok(()),
        };
        Err(out_of_range("unit_norm", "set", allowed))
    }

    fn check_contractive(&self, weight: f64) -> Result<(), ConfigError> {
        if !(weight > 0.0 && weight <= 1e6) {
            return Err(out_of_range("contractive", weight, "above 0 and at most 1000000"));
        }
        let allowed = match (self.latent, self.encoding_activation()) {
            _ if !self.hidden_dims.is_empty() || !self.conv_layers.is_empty() => {
                "left out with hidden layers or convolutions: it is for an encoder of one dense layer"
            }
            (Latent::Gaussian(_) | Latent::TopK(_), _) => "left out with a Gaussian or top-k latent",
            (_, Activation::Gelu | Activation::Silu) => {
                "left out with a gelu or silu encoding, whose derivatives do not follow from its values"
            }
            _ => return Ok(()),
        };
        Err(out_of_range("contractive", weight, allowed))
    }

    fn check_layer_norm(&self) -> Result<(), ConfigError> {
        // Poolings are not normalised.
        let values = |c: Conv2d| c.output_size().map_or(0, |[height, width]| height * width * c.channels_out);
        let convolved = self.convolutions().into_iter().map(|c| ("the values of an image", values(c)));
        let dense = self.hidden_dims.iter().map(|width| ("hidden_dims", *width));
        let mut hidden = convolved.chain(dense).peekable();
        if hidden.peek().is_none() {
            return Err(out_of_range("layer_norm", "set", "left out without hidden layers to normalise"));
        }
        match hidden.find(|(_, width)| *width < MIN_NORMALISED_WIDTH) {
            Some((field, width)) => {
                let allowed = "at least 3 with layer_norm, which would leave only the order of two values";
                Err(out_of_range(field, width, allowed))
            }
            None => Ok(()),
        }
    }
}
