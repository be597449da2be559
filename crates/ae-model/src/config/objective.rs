//! What makes the kinds of autoencoders: the loss, the corruption of the input, the latent, the penalties.

use ae_kernels::loss;
use serde::{Deserialize, Serialize};

use super::{at_least_zero, out_of_range};
use crate::error::ConfigError;

/// The loss of a row, summed over its features; its mean over the rows of a batch is what is differentiated. `x` are the scaled
/// features, `o` the outputs of the last layer, which is linear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Loss {
    /// `½ (o - x)²`
    #[default]
    Mse,
    /// `|o - x|`
    Mae,
    /// `½ (o - x)²` up to `|o - x| = delta`, then `delta (|o - x| - ½ delta)` (Huber 1964).
    Huber {
        /// Where the line begins; above 0.
        delta: f64,
    },
    /// `-x ln p - (1 - x) ln (1 - p)` with `p = 1 / (1 + e^-o)`, which is what the row is reconstructed as. For features in
    /// `[0, 1]`: with [`crate::ScalerKind::MinMax`] or [`crate::ScalerKind::Common`], or [`crate::ScalerKind::None`] on such data.
    Bce,
    /// `½ (p - x)²` with the same `p`, for the same features: a squared error whose reconstructions stay within `[0, 1]`.
    SigmoidMse,
    /// `½ (ln 2π + v + (o - x)² e^-v)`: the network says the mean `o` and the log-variance `v` of every feature, which counts as within
    /// [-30, 20] with a slope of 0 beyond. Rows are reconstructed as their means.
    GaussianNll,
}

impl Loss {
    /// Its name, as the command spells it.
    pub fn name(self) -> &'static str {
        match self {
            Loss::Mse => "mse",
            Loss::Mae => "mae",
            Loss::Huber { .. } => "huber",
            Loss::Bce => "bce",
            Loss::SigmoidMse => "sigmoid-mse",
            Loss::GaussianNll => "gaussian-nll",
        }
    }

    pub(crate) fn kernel(self) -> loss::Loss {
        match self {
            Loss::Mse => loss::Loss::SquaredError,
            Loss::Mae => loss::Loss::AbsoluteError,
            Loss::Huber { delta } => loss::Loss::Huber { delta },
            Loss::Bce => loss::Loss::BinaryCrossEntropy,
            Loss::SigmoidMse => loss::Loss::SigmoidSquaredError,
            Loss::GaussianNll => loss::Loss::GaussianNll,
        }
    }

    /// Whether rows are reconstructed as shares of 1, which features must then be too.
    pub(crate) fn of_shares(self) -> bool {
        matches!(self, Loss::Bce | Loss::SigmoidMse)
    }

    pub(super) fn check(self) -> Result<(), ConfigError> {
        match self {
            Loss::Huber { delta } if !(delta > 0.0 && delta <= 1e6) => {
                Err(out_of_range("loss.delta", delta, "above 0 and at most 1000000"))
            }
            _ => Ok(()),
        }
    }
}

/// How the input of a denoising autoencoder is corrupted, anew for every row that is trained on; the target stays clean. All act on
/// scaled features.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Noise {
    /// A normal number is added to every value.
    Gaussian {
        /// Its standard deviation, above 0.
        sigma: f64,
    },
    /// Values become 0 (Vincent et al. 2008).
    Masking {
        /// The share of them, in `(0, 1]`.
        share: f64,
    },
    /// Values become 0 or 1 (Vincent et al. 2010).
    SaltAndPepper {
        /// The share of them, in `(0, 1]`.
        share: f64,
    },
    /// Values become those that another row of the batch has in the same feature: every feature keeps its distribution.
    Swap {
        /// The share of them, in `(0, 1]`.
        share: f64,
    },
}

impl Noise {
    pub(super) fn check(self) -> Result<(), ConfigError> {
        match self {
            Noise::Gaussian { sigma } if !(sigma > 0.0 && sigma <= 1e6) => {
                Err(out_of_range("noise.sigma", sigma, "above 0 and at most 1000000"))
            }
            Noise::Gaussian { .. } => Ok(()),
            Noise::Masking { share } | Noise::SaltAndPepper { share } | Noise::Swap { share } => {
                if share > 0.0 && share <= 1.0 {
                    return Ok(());
                }
                Err(out_of_range("noise.share", share, "above 0 and at most 1"))
            }
        }
    }
}

/// What the encoding is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Latent {
    /// The encoder's output.
    #[default]
    Plain,
    /// A draw from a Gaussian with independent dimensions, whose means and log-variances the encoder says (Kingma & Welling 2014): a
    /// variational autoencoder. The objective adds `beta KL(q(z|x) ‖ N(0, 1))` to the loss of each row. Encodings outside
    /// training are the means.
    Gaussian(Gaussian),
    /// The k largest values of the encoder's output, zeros elsewhere, in training and outside: a k-sparse autoencoder (Makhzani &
    /// Frey 2013; wide ones as Gao et al. 2024). Of equal values those of the first features are kept. Gradients go through kept values that
    /// are not zero. [`TopK::of_batch`] chooses among the values of a whole batch instead.
    TopK(TopK),
}

/// The settings of [`Latent::TopK`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopK {
    /// Values of an encoding that are kept: from 1 to all of them.
    pub k: usize,
    /// How features that are no longer active are brought back, where they should be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revival: Option<Revival>,
    /// Whether training keeps the `k m` largest values of the `m` rows of a batch instead of k of each row, so that rows which need more
    /// have more (BatchTopK, Bussmann et al. 2024); of values that are equal all or none. Outside training the values are kept that
    /// reach a threshold, the running mean of that smallest value over the batches, so that a row's encoding does not depend on
    /// others; before any training it is 0. Not with [`TopK::revival`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_batch: bool,
}

/// How features come back that are dead: have not been among the k largest for `dead_after` rows of training.
///
/// By the auxiliary loss of Gao et al. 2024, sec. A.2 ("AuxK"), dead features learn what the others leave: to the loss of each row comes
/// `weight ½ ‖ê - e‖²`, where `e = x - x̂` is what is left of the row, taken as given, and `ê` is made from the largest values of dead
/// features alone, without the bias. That shapes them, but does not make them win. So, as in competitive learning with a conscience
/// (DeSieno 1988), the bias of a dead feature rises with every update until it is active again: by `lift a ρ`, where `a` is the mean of the
/// active values of the batch and `ρ` the share of the configured learning rate that the schedule leaves.
///
/// For squared error, networks without hidden layers, ReLU or linear encodings at least four times as wide as k, and neither penalties of
/// the code nor dropout.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revival {
    /// Dead features that take part in each row, at most; from 1 to the width of the encoding. Half the width of the rows is usual.
    pub k: usize,
    /// The factor of the loss, above 0; usually 1/32.
    pub weight: f64,
    /// Rows without activity after which a feature is dead; at least 1.
    pub dead_after: u64,
    /// How fast the bias of a dead feature rises: by this share of the mean active value an update, in [0, 1]; 0 leaves it as it is.
    #[serde(default)]
    pub lift: f64,
}

impl Revival {
    /// The factor of Gao et al. 2024.
    pub const WEIGHT: f64 = 1.0 / 32.0;
    /// Fast enough that a feature is dead for some ten updates; ten times as much disturbs the others (MNIST, 8,192 features).
    pub const LIFT: f64 = 0.02;
}

/// The settings of [`Latent::Gaussian`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gaussian {
    /// The factor of the divergence, at least 0 (`β` of Higgins et al. 2017); 1 for the bound on the likelihood.
    pub beta: f64,
    /// Epochs over which it grows linearly from 0 (Bowman et al. 2016); 0 for none.
    pub warm_up: usize,
    /// Nats that each dimension of each row may diverge for free; at least 0. (Kingma et al. 2016, sec. C.8, compare the mean over a batch
    /// with it; here it is each row by itself.)
    pub free_bits: f64,
    /// Samples of each row, from 1. With more than one the objective is the importance-weighted bound of Burda et al. 2015,
    /// eq. 8, and `beta` and `free_bits` must be 1 and 0.
    pub samples: usize,
}

impl Default for Gaussian {
    fn default() -> Self {
        Gaussian { beta: 1.0, warm_up: 0, free_bits: 0.0, samples: 1 }
    }
}

impl Latent {
    /// A variational autoencoder with the usual bound.
    pub fn gaussian() -> Latent {
        Latent::Gaussian(Gaussian::default())
    }

    /// A k-sparse autoencoder.
    pub fn top_k(k: usize) -> Latent {
        Latent::TopK(TopK { k, revival: None, of_batch: false })
    }

    /// Epochs through which the KL divergence rises to all that it counts.
    pub(crate) fn warm_up(self) -> usize {
        match self {
            Latent::Gaussian(Gaussian { warm_up, .. }) => warm_up,
            Latent::Plain | Latent::TopK(_) => 0,
        }
    }

    /// Checks what depends on the width of the encoding.
    pub(super) fn check_width(self, encoding_dim: usize) -> Result<(), ConfigError> {
        match self {
            Latent::TopK(TopK { k, revival, .. }) => {
                super::in_range("latent.k", k, 1, encoding_dim)?;
                let Some(Revival { k: dead, weight, dead_after, lift }) = revival else { return Ok(()) };
                super::in_range("latent.revival.k", dead, 1, encoding_dim)?;
                if !(weight > 0.0 && weight <= 1e6) {
                    return Err(out_of_range("latent.revival.weight", weight, "above 0 and at most 1000000"));
                }
                if dead_after == 0 {
                    return Err(out_of_range("latent.revival.dead_after", dead_after, "at least 1"));
                }
                if !(0.0..=1.0).contains(&lift) {
                    return Err(out_of_range("latent.revival.lift", lift, "from 0 to 1"));
                }
                Ok(())
            }
            Latent::Plain | Latent::Gaussian(_) => Ok(()),
        }
    }

    pub(super) fn check(self) -> Result<(), ConfigError> {
        let Latent::Gaussian(Gaussian { beta, free_bits, samples, warm_up }) = self else { return Ok(()) };
        at_least_zero("latent.beta", beta)?;
        at_least_zero("latent.free_bits", free_bits)?;
        super::in_range("latent.samples", samples, 1, MAX_SAMPLES)?;
        super::in_range("latent.warm_up", warm_up, 0, 1_000_000_000)?;
        if samples > 1 && (beta != 1.0 || free_bits != 0.0 || warm_up != 0) {
            let allowed = "1 with beta, free_bits or warm_up of their own: the importance-weighted bound has none of them";
            return Err(out_of_range("latent.samples", samples, allowed));
        }
        Ok(())
    }
}

/// Most samples of a row in training.
const MAX_SAMPLES: usize = 1024;

/// What each value of an encoding costs, beside the loss of its row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum CodePenalty {
    /// `weight |a|`: most values come to lie near 0.
    L1 {
        /// Its factor, above 0.
        weight: f64,
    },
    /// `weight KL(target ‖ ρ)` for the mean `ρ` of each value over the batch (Ng 2011, sec. 3), for sigmoid encodings, which are in
    /// `(0, 1)`; counted once a row.
    Kl {
        /// Its factor, above 0.
        weight: f64,
        /// The mean that is aimed at, in `(0, 1)`.
        target: f64,
    },
}

impl CodePenalty {
    pub(super) fn check(self) -> Result<(), ConfigError> {
        let (CodePenalty::L1 { weight } | CodePenalty::Kl { weight, .. }) = self;
        if !(weight > 0.0 && weight <= 1e6) {
            return Err(out_of_range("code_penalty.weight", weight, "above 0 and at most 1000000"));
        }
        if let CodePenalty::Kl { target, .. } = self
            && !(target > 0.0 && target < 1.0)
        {
            return Err(out_of_range("code_penalty.target", target, "above 0 and below 1"));
        }
        Ok(())
    }
}
