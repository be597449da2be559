//! What holds a network back beside penalties: its settings, and where they make no sense.

use super::{Config, out_of_range};
use crate::error::ConfigError;

/// Least features of a layer that is normalised: of two, only their order would be left.
const NORMALISED: usize = 3;

impl Config {
    /// Whether the outputs of hidden layers are normalised.
    pub fn layer_norm(&self) -> bool {
        self.layer_norm
    }

    /// Checks what only the whole configuration tells.
    pub(super) fn check_regularisation(&self) -> Result<(), ConfigError> {
        if self.layer_norm {
            self.check_layer_norm()?;
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
