//! Optimisers: plain settings that become, for each step, the rule that the kernels apply to each tile of the gradient.

use ae_kernels::update::Rule;
use serde::{Deserialize, Serialize};

use crate::config::out_of_range;
use crate::error::ConfigError;

/// Features up to which Adam's usual learning rate is the larger one: on 22 sets of ADBench of 6 to 100 features it left 21.5 % of the
/// variance of validation rows, and the smaller one 25.7 % (geometric means); on images of 784 pixels that is better.
const FEW_FEATURES: usize = 128;

/// The rule by which gradients `g` (means over the rows of a batch) change parameters, biases included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
#[non_exhaustive]
pub enum Optimizer {
    /// `W ← W - α g`
    Sgd,
    /// `v ← μ v + g`, `W ← W - α v` (Polyak 1964).
    Momentum {
        /// `μ`, in `[0, 1)`.
        momentum: f64,
    },
    /// `v ← μ v + g`, `W ← W - α (g + μ v)` (Nesterov 1983, in the form of Bengio,
    /// Boulanger-Lewandowski & Pascanu 2013, equation 7).
    Nesterov {
        /// `μ`, in `[0, 1)`.
        momentum: f64,
    },
    /// Adam (Kingma & Ba 2015, algorithm 1).
    Adam {
        /// Decay of the mean of the gradients, in `[0, 1)`.
        beta1: f64,
        /// Decay of the mean of their squares, in `[0, 1)`.
        beta2: f64,
        /// `ε`, added to the root of that mean; from 1e-20 to 1.
        epsilon: f64,
    },
    /// Adam with decoupled weight decay (after Loshchilov & Hutter 2019, algorithm 2, but with the decay in units of the learning rate, as in
    /// PyTorch's `AdamW`): every step also shrinks every parameter by `α` times `weight_decay` of itself.
    AdamW {
        /// As for [`Optimizer::Adam`].
        beta1: f64,
        /// As for [`Optimizer::Adam`].
        beta2: f64,
        /// As for [`Optimizer::Adam`].
        epsilon: f64,
        /// In `[0, 1]`.
        weight_decay: f64,
    },
}

/// Adam: at the usual rates it left 21.5 % of the variance of validation rows on 22 sets of ADBench, and plain SGD 37.9 % (geometric means).
impl Default for Optimizer {
    fn default() -> Optimizer {
        Optimizer::ADAM
    }
}

impl Optimizer {
    /// [`Optimizer::Momentum`] with the usual 0.9.
    pub const MOMENTUM: Optimizer = Optimizer::Momentum { momentum: 0.9 };
    /// [`Optimizer::Nesterov`] with the usual 0.9.
    pub const NESTEROV: Optimizer = Optimizer::Nesterov { momentum: 0.9 };
    /// [`Optimizer::Adam`] with the defaults of its authors.
    pub const ADAM: Optimizer = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };
    /// [`Optimizer::AdamW`] with those and a decay of 0.01.
    pub const ADAMW: Optimizer =
        Optimizer::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01 };

    /// The name of the rule, as the command and the benchmarks spell it.
    pub fn name(self) -> &'static str {
        match self {
            Optimizer::Sgd => "sgd",
            Optimizer::Momentum { .. } => "momentum",
            Optimizer::Nesterov { .. } => "nesterov",
            Optimizer::Adam { .. } => "adam",
            Optimizer::AdamW { .. } => "adamw",
        }
    }

    /// The rule of this name with its usual settings.
    pub fn named(name: &str) -> Option<Optimizer> {
        [Optimizer::Sgd, Optimizer::MOMENTUM, Optimizer::NESTEROV, Optimizer::ADAM, Optimizer::ADAMW]
            .into_iter()
            .find(|rule| rule.name() == name)
    }

    /// A learning rate that does for most rows of so many features where none is given. Steps of Adam are as large as the rate says, however
    /// large gradients are: the wider a layer, the more they change together.
    pub fn usual_learning_rate(self, features: usize) -> f64 {
        match self {
            Optimizer::Sgd => 0.01,
            Optimizer::Momentum { .. } | Optimizer::Nesterov { .. } => 0.003,
            Optimizer::Adam { .. } | Optimizer::AdamW { .. } if features <= FEW_FEATURES => 0.003,
            Optimizer::Adam { .. } | Optimizer::AdamW { .. } => 0.001,
        }
    }

    /// State values that each parameter has.
    pub fn state_per_parameter(self) -> usize {
        self.rule(0.0, 1, 1).state()
    }

    /// Whether every setting is in its range.
    pub(crate) fn check(self) -> Result<(), ConfigError> {
        let below_one = |field, value: f64| match value {
            0.0..1.0 => Ok(()),
            _ => Err(out_of_range(field, value, "from 0 to below 1")),
        };
        match self {
            Optimizer::Sgd => Ok(()),
            Optimizer::Momentum { momentum } | Optimizer::Nesterov { momentum } => {
                below_one("momentum", momentum)
            }
            Optimizer::Adam { beta1, beta2, epsilon } => {
                below_one("beta1", beta1)?;
                below_one("beta2", beta2)?;
                // In single precision the squares of gradients under 1e-22 are 0: beside a smaller epsilon such a gradient would be an enormous step.
                if (1e-20..=1.0).contains(&epsilon) {
                    return Ok(());
                }
                Err(out_of_range("epsilon", epsilon, "from 1e-20 to 1"))
            }
            Optimizer::AdamW { beta1, beta2, epsilon, weight_decay } => {
                Optimizer::Adam { beta1, beta2, epsilon }.check()?;
                match weight_decay {
                    0.0..=1.0 => Ok(()),
                    _ => Err(out_of_range("weight_decay", weight_decay, "from 0 to 1")),
                }
            }
        }
    }

    /// What update number `time` (from 1) does with the gradient summed over `rows` rows.
    pub(crate) fn rule(self, learning_rate: f64, rows: usize, time: u64) -> Rule<f64> {
        let scale = 1.0 / rows.max(1) as f64;
        match self {
            Optimizer::Sgd => Rule::Sgd { step: learning_rate * scale },
            Optimizer::Momentum { momentum } => Rule::Momentum { scale, rate: learning_rate, momentum },
            Optimizer::Nesterov { momentum } => Rule::Nesterov { scale, rate: learning_rate, momentum },
            Optimizer::Adam { beta1, beta2, epsilon } => {
                adam(learning_rate, scale, time, [beta1, beta2, epsilon], 0.0)
            }
            Optimizer::AdamW { beta1, beta2, epsilon, weight_decay } => {
                adam(learning_rate, scale, time, [beta1, beta2, epsilon], weight_decay)
            }
        }
    }
}

fn adam(
    learning_rate: f64,
    scale: f64,
    time: u64,
    [beta1, beta2, epsilon]: [f64; 3],
    decay: f64,
) -> Rule<f64> {
    // Beyond this many updates the corrections are one to the last bit for any beta that is not itself nearly one.
    let time = i32::try_from(time).unwrap_or(i32::MAX);
    Rule::Adam {
        scale,
        rate: learning_rate / (1.0 - beta1.powi(time)),
        beta1,
        new1: 1.0 - beta1,
        beta2,
        new2: 1.0 - beta2,
        unbias: 1.0 / (1.0 - beta2.powi(time)),
        epsilon,
        keep: 1.0 - learning_rate * decay,
    }
}
