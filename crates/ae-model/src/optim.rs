//! Optimisers: plain settings that become, for each step, the rule fused into the weight gradients.

use ae_kernels::Element;
use ae_kernels::update::{Gradient, Sgd};
use serde::{Deserialize, Serialize};

/// The rule by which gradients change parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Optimizer {
    /// `W ← W - α ∂J/∂W`
    #[default]
    Sgd,
}

impl Optimizer {
    /// State values that each parameter has.
    pub fn state_per_parameter(self) -> usize {
        match self {
            Optimizer::Sgd => 0,
        }
    }

    /// What this step does with the gradient summed over `rows` rows.
    pub(crate) fn update<T: Element>(self, learning_rate: f64, rows: usize) -> Update<T> {
        match self {
            Optimizer::Sgd => Update::Sgd(Sgd { step: T::from_f64(learning_rate / rows as f64) }),
        }
    }
}

/// What one step does with the summed gradient of each parameter.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Update<T> {
    /// Writes the mean gradient in the place of the parameters.
    Gradient(Gradient<T>),
    Sgd(Sgd<T>),
}
