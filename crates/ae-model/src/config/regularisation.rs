//! What holds a network back beside penalties: its settings, and where they make no sense.

use super::{Config, Latent, Loss, out_of_range};
use crate::error::ConfigError;

/// Least features of a layer that is normalised: of two, only their order would be left.
const NORMALISED: usize = 3;

impl Config {
    /// Whether the outputs of hidden layers are normalised.
    pub fn layer_norm(&self) -> bool {
        self.layer_norm
    }

    /// Whether the decoder's weights are the transposes of the encoder's.
    pub fn tied_weights(&self) -> bool {
        self.tied_weights
    }

    /// Checks what only the whole configuration tells.
    pub(super) fn check_regularisation(&self) -> Result<(), ConfigError> {
        if self.layer_norm {
            self.check_layer_norm()?;
        }
        if self.tied_weights {
            let without = match (self.latent, self.loss) {
                _ if !self.conv_layers.is_empty() => Some("left out with conv_layers"),
                (Latent::Gaussian(_), _) => {
                    Some("left out with a Gaussian latent, whose encoder has twice the outputs")
                }
                (_, Loss::GaussianNll) => {
                    Some("left out with gaussian-nll, whose decoder has twice the outputs")
                }
                _ => None,
            };
            if let Some(allowed) = without {
                return Err(out_of_range("tied_weights", "set", allowed));
            }
        }
        Ok(())
    }

    fn check_layer_norm(&self) -> Result<(), ConfigError> {
        let dims = self.layer_dims();
        let hidden = &dims[1..dims.len() / 2];
        if hidden.is_empty() {
            return Err(out_of_range("layer_norm", "set", "left out without hidden layers, which it is for"));
        }
        match hidden.iter().position(|width| *width < NORMALISED) {
            Some(place) => {
                let convolved = place < self.conv_layers.len();
                let field = if convolved { "the values of an image" } else { "hidden_dims" };
                let allowed = "at least 3 with layer_norm, which leaves only the order of two values";
                Err(out_of_range(field, hidden[place], allowed))
            }
            None => Ok(()),
        }
    }
}
