//! What makes the kind of autoencoder: the loss, input corruption, the latent and penalties.

use ae_kernels::loss;
use serde::{Deserialize, Serialize};

use super::{at_least_zero, out_of_range};
use crate::error::ConfigError;

/// The loss per row, summed over its features. Training differentiates its mean over the rows of a
/// batch.
///
/// `x` are the scaled features, `o` the outputs of the last layer, which is linear.
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
        /// Where the loss becomes linear; above 0.
        delta: f64,
    },
    /// Binary cross-entropy, `-x ln p - (1 - x) ln (1 - p)`, with the reconstruction
    /// `p = 1 / (1 + e^-o)`. Requires features in `[0, 1]`: scaled by [`crate::ScalerKind::MinMax`] or
    /// [`crate::ScalerKind::Common`], or in that range already with [`crate::ScalerKind::None`]. In rows
    /// that are only evaluated, values beyond it count as 0 or 1.
    Bce,
    /// `½ (p - x)²` with the same `p` and the same requirement: a squared error whose reconstructions
    /// stay within `[0, 1]`.
    SigmoidMse,
    /// Gaussian negative log-likelihood, `½ (ln 2π + v + (o - x)² e^-v)`. The network outputs the mean
    /// `o`, which is the reconstruction, and the log-variance `v` of every feature; `v` is clamped to
    /// [-30, 20], with a slope of 0 beyond.
    GaussianNll,
}

impl Loss {
    /// The name used by the command line.
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

    /// Whether reconstructions lie in `[0, 1]`, as features then must too.
    pub(crate) fn needs_unit_range(self) -> bool {
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

/// How a denoising autoencoder's input is corrupted, anew for every row in training; the target stays
/// clean. All kinds act on scaled features.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Noise {
    /// Adds a normally distributed number to every value.
    Gaussian {
        /// Standard deviation, above 0.
        sigma: f64,
    },
    /// Sets values to 0 (Vincent et al. 2008).
    Masking {
        /// Fraction of the values, in `(0, 1]`.
        #[serde(rename = "share")]
        fraction: f64,
    },
    /// Sets values to 0 or 1 (Vincent et al. 2010).
    SaltAndPepper {
        /// Fraction of the values, in `(0, 1]`.
        #[serde(rename = "share")]
        fraction: f64,
    },
    /// Replaces values by another batch row's value of the same feature, so that every feature keeps its
    /// distribution.
    Swap {
        /// Fraction of the values, in `(0, 1]`.
        #[serde(rename = "share")]
        fraction: f64,
    },
}

impl Noise {
    pub(super) fn check(self) -> Result<(), ConfigError> {
        match self {
            Noise::Gaussian { sigma } if !(sigma > 0.0 && sigma <= 1e6) => {
                Err(out_of_range("noise.sigma", sigma, "above 0 and at most 1000000"))
            }
            Noise::Gaussian { .. } => Ok(()),
            Noise::Masking { fraction } | Noise::SaltAndPepper { fraction } | Noise::Swap { fraction } => {
                if fraction > 0.0 && fraction <= 1.0 {
                    return Ok(());
                }
                Err(out_of_range("noise.fraction", fraction, "above 0 and at most 1"))
            }
        }
    }
}

/// What becomes of the encoder's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Latent {
    /// The encoder's output as it is.
    #[default]
    Plain,
    /// A variational autoencoder (Kingma & Welling 2014): the encoder outputs means and log-variances of
    /// a Gaussian with independent dimensions, from which training samples the encoding. The objective
    /// adds `beta KL(q(z|x) ‖ N(0, 1))` to the loss of each row. Outside training, encodings are the
    /// means.
    Gaussian(Gaussian),
    /// A k-sparse autoencoder (Makhzani & Frey 2013; for wide ones, Gao et al. 2024): keeps the k
    /// largest values of the encoder's output and zeros the rest, in training and outside. Ties go to
    /// the features that come first. Gradients flow through kept values that are not zero.
    /// [`TopK::of_batch`] selects among the values of a whole batch instead.
    TopK(TopK),
}

/// The settings of [`Latent::TopK`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopK {
    /// Number of values of an encoding that are kept: from 1 to all of them.
    pub k: usize,
    /// Whether and how features that are no longer active are revived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revival: Option<Revival>,
    /// Whether training keeps the `k m` largest values of a batch of `m` rows instead of k of each row,
    /// so that rows that need more have more (BatchTopK, Bussmann et al. 2024); equal values are all
    /// kept or all dropped.
    ///
    /// Outside training, values are kept that reach a threshold, so that a row's encoding does not
    /// depend on other rows: the running mean, over the batches, of the smallest value kept; 0 before
    /// any training. Not with [`TopK::revival`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_batch: bool,
}

/// How dead features are revived: those not among the k largest for `dead_after` training rows.
///
/// With the auxiliary loss of Gao et al. 2024, sec. A.2 ("AuxK"), dead features learn what the others
/// leave: the loss of each row gains `weight ½ ‖ê - e‖²`, where `e = x - x̂` is the row's residual,
/// treated as a constant, and `ê` its reconstruction from the largest values of dead features alone,
/// without the bias. That shapes dead features but does not make them win. So, as in competitive
/// learning with a conscience (DeSieno 1988), every update also raises the bias of a dead feature until
/// it is active again: by `bias_lift a ρ`, where `a` is the mean of the batch's active values and `ρ`
/// the fraction of the configured learning rate that the schedule leaves.
///
/// Requires [`Loss::Mse`], a ReLU or linear encoding at least four times as wide as k, and none of
/// hidden layers, convolutions, code penalty, dropout, feature weights and [`TopK::of_batch`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revival {
    /// Largest number of dead features that take part in each row, from 1 to the width of the encoding.
    /// Half the width of the rows is usual.
    pub k: usize,
    /// Weight of the auxiliary loss, above 0; usually 1/32.
    pub weight: f64,
    /// Number of training rows without activity after which a feature is dead; at least 1.
    pub dead_after: u64,
    /// How fast the bias of a dead feature rises: by this fraction of the mean active value per update,
    /// in [0, 1]; 0 leaves it unchanged.
    #[serde(default, rename = "lift")]
    pub bias_lift: f64,
}

impl TopK {
    /// Keeps the k largest values of each row, without revival. `TopK { of_batch: true, ..TopK::new(k) }`
    /// selects among those of a whole batch.
    pub fn new(k: usize) -> TopK {
        TopK { k, revival: None, of_batch: false }
    }
}

impl Revival {
    /// The weight used by Gao et al. 2024.
    pub const WEIGHT: f64 = 1.0 / 32.0;
    /// Fast enough that a feature is dead for some ten updates only; ten times as much disturbs the
    /// others (MNIST, 8,192 features).
    pub const BIAS_LIFT: f64 = 0.02;

    /// Revives up to `k` features per row that have been inactive for `dead_after` training rows, with
    /// the usual weight and bias lift.
    pub fn new(k: usize, dead_after: u64) -> Revival {
        Revival { k, weight: Revival::WEIGHT, dead_after, bias_lift: Revival::BIAS_LIFT }
    }
}

/// The settings of [`Latent::Gaussian`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gaussian {
    /// Weight of the KL divergence, at least 0 (`β` of Higgins et al. 2017); 1 gives the evidence lower
    /// bound.
    pub beta: f64,
    /// Epochs over which that weight grows linearly from 0 (Bowman et al. 2016); 0 for none. Early
    /// stopping and [`Schedule::Plateau`](crate::Schedule::Plateau) begin after them.
    pub warm_up: usize,
    /// Nats by which each dimension of each row may diverge at no cost, at least 0. (Kingma et al. 2016,
    /// sec. C.8, apply it to the mean over a batch instead of each row.)
    pub free_bits: f64,
    /// Samples per row, at least 1. With more than one the objective is the importance-weighted bound of
    /// Burda et al. 2015, eq. 8, and `beta`, `free_bits` and `warm_up` must be 1, 0 and 0.
    pub samples: usize,
}

impl Default for Gaussian {
    fn default() -> Self {
        Gaussian { beta: 1.0, warm_up: 0, free_bits: 0.0, samples: 1 }
    }
}

impl Latent {
    /// The latent of a variational autoencoder with default settings.
    pub fn gaussian() -> Latent {
        Latent::Gaussian(Gaussian::default())
    }

    /// The latent of a k-sparse autoencoder, without revival.
    pub fn top_k(k: usize) -> Latent {
        Latent::TopK(TopK::new(k))
    }

    /// Its kind in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Latent::Plain => "plain",
            Latent::Gaussian(_) => "variational",
            Latent::TopK(_) => "top-k",
        }
    }

    /// Epochs until the KL divergence counts in full.
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
                let Some(Revival { k: dead, weight, dead_after, bias_lift }) = revival else { return Ok(()) };
                super::in_range("latent.revival.k", dead, 1, encoding_dim)?;
                if !(weight > 0.0 && weight <= 1e6) {
                    return Err(out_of_range("latent.revival.weight", weight, "above 0 and at most 1000000"));
                }
                if dead_after == 0 {
                    return Err(out_of_range("latent.revival.dead_after", dead_after, "at least 1"));
                }
                if !(0.0..=1.0).contains(&bias_lift) {
                    return Err(out_of_range("latent.revival.lift", bias_lift, "from 0 to 1"));
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
            let allowed = "1 unless beta, free_bits and warm_up have their defaults: the importance-weighted bound has none of them";
            return Err(out_of_range("latent.samples", samples, allowed));
        }
        Ok(())
    }
}

/// Largest number of samples per row in training.
const MAX_SAMPLES: usize = 1024;

/// A penalty on each value of the encoding, added to the loss of its row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum CodePenalty {
    /// `weight |a|`, which drives most values close to 0.
    L1 {
        /// Weight of the penalty, above 0.
        weight: f64,
    },
    /// `weight KL(target ‖ ρ)` for the mean `ρ` of each value over the batch (Ng 2011, sec. 3), added
    /// once per row. Requires sigmoid encodings, which lie in `(0, 1)`.
    Kl {
        /// Weight of the penalty, above 0.
        weight: f64,
        /// The target mean, in `(0, 1)`.
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
