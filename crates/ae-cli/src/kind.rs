//! Flags for the kind of autoencoder, its objective and regularisation.

use ae_model::{
    Activation, CodePenalty, ConfigBuilder, Dropout, Gaussian, Latent, Loss, Noise, Revival, Schedule, TopK,
    WeightPenalty,
};
use clap::{Args, ValueEnum};

use crate::args::choice;
use crate::failure::Failure;

/// A preset; each part of it can also be chosen by a flag of its own.
#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Kind {
    /// Encoder and decoder only
    #[default]
    Plain,
    /// Corrupts the input in training, by --noise (default masking:0.25)
    Denoising,
    /// Keeps most of the encoding at or near 0, by --top-k or else by --sparsity (default l1:0.01)
    Sparse,
    /// Variational, with a Gaussian latent; --loss defaults to bce with --scale minmax, common or none
    Vae,
}

#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Autoencoder kinds and regularisation")]
pub(crate) struct KindArgs {
    /// Kind of autoencoder [default: plain; denoising for tables with non-numeric columns]
    #[arg(long, value_enum, ignore_case = true)]
    kind: Option<Kind>,
    #[arg(
        long,
        help = "Loss of each row: mse, mae, huber[:DELTA] (1), bce or sigmoid-mse (for features in [0, 1]), gaussian-nll [default: mse; bce for a vae with features in [0, 1]]",
        value_name = "LOSS"
    )]
    loss: Option<Loss>,
    #[arg(
        long,
        help = "Corruption of the input in training: gaussian[:SIGMA] (0.1), masking[:FRACTION] (0.25), salt-and-pepper[:FRACTION] (0.1), swap[:FRACTION] (0.15)",
        value_name = "NOISE"
    )]
    noise: Option<Noise>,
    #[arg(
        long,
        help = "Sparsity penalty on the encoding: l1[:WEIGHT] (0.01), kl[:WEIGHT[:TARGET]] (0.1, 0.05)",
        value_name = "PENALTY"
    )]
    sparsity: Option<CodePenalty>,
    /// Keep the K largest values of each encoding and set the others to zero
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    top_k: Option<usize>,
    /// With --top-k: keep the largest values of a whole batch, K per row on average, instead of K of
    /// each row; outside training, keep those that reach a threshold learned in training (Bussmann et
    /// al. 2024)
    #[arg(long, requires = "top_k", conflicts_with = "revive")]
    batch_top_k: bool,
    /// With --top-k: revive latent features that were not among the K largest for this many rows, by the
    /// auxiliary loss of Gao et al. 2024 and a bias that rises until they are active again
    #[arg(long, value_name = "ROWS", requires = "top_k")]
    revive: Option<u64>,
    /// Weight of the KL divergence of a vae [default: 1; 0.1 for tables with the loss mse and one sample]
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true)]
    beta: Option<f64>,
    /// Epochs over which the KL weight of a vae grows from 0 [default: 0]
    #[arg(long, value_name = "EPOCHS")]
    kl_warm_up: Option<usize>,
    /// KL divergence per latent dimension of a vae that is not penalised, in nats [default: 0]
    #[arg(long, value_name = "NATS", allow_negative_numbers = true)]
    free_bits: Option<f64>,
    /// Latent samples per row in training a vae; from 2 on, the objective is the importance-weighted
    /// bound [default: 1]
    #[arg(long, value_name = "N")]
    samples: Option<usize>,
    /// Activation of the encoding [default: that of the hidden layers; linear for a vae, and for images
    /// without --activation, --sparsity and --contractive; relu with --top-k, sigmoid with --sparsity kl]
    #[arg(long, value_name = "ACTIVATION", value_parser = choice::<Activation>(Activation::ALL.map(Activation::name)), ignore_case = true)]
    encoding_activation: Option<Activation>,
    /// Fraction of the outputs of hidden layers to drop in training
    #[arg(long, default_value_t = 0.0, value_name = "FRACTION", allow_negative_numbers = true)]
    dropout: f64,
    /// Layer normalisation: normalise the outputs of hidden layers over the features of each row
    #[arg(long)]
    layer_norm: bool,
    /// Use the transposes of the encoder's weights as those of the decoder
    #[arg(long)]
    tied_weights: bool,
    /// Penalty on the squared norm of the encoder's Jacobian; for encoders of one layer, for which
    /// --hidden defaults to none
    #[arg(long, value_name = "WEIGHT", allow_negative_numbers = true)]
    contractive: Option<f64>,
    /// Keep the decoder's vector of each latent feature at norm 1; for dictionaries without hidden
    /// layers
    #[arg(long)]
    unit_norm: bool,
    /// Fraction of the inputs to drop in training
    #[arg(long, default_value_t = 0.0, value_name = "FRACTION", allow_negative_numbers = true)]
    input_dropout: f64,
    /// L1 penalty: WEIGHT times the sum of the absolute values of weights and biases
    #[arg(long, default_value_t = 0.0, value_name = "WEIGHT", allow_negative_numbers = true)]
    l1: f64,
    /// L2 penalty: WEIGHT times half the sum of the squares of weights and biases
    #[arg(long, default_value_t = 0.0, value_name = "WEIGHT", allow_negative_numbers = true)]
    l2: f64,
    #[arg(
        long,
        help = "Learning-rate schedule: constant, cosine[:END] (0), one-cycle[:WARM_UP] (0.3), plateau[:FACTOR[:PATIENCE]] (0.5, 5)",
        default_value = "constant",
        value_name = "SCHEDULE"
    )]
    schedule: Schedule,
    /// Gradient clipping: scale the gradient down to this norm if it is larger
    #[arg(long, value_name = "NORM", allow_negative_numbers = true)]
    clip_norm: Option<f64>,
    /// Keep an exponential moving average of the weights with this decay, e.g. 0.999, as the model
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true)]
    ema: Option<f64>,
}

/// What the defaults of a kind depend on.
pub(crate) struct Surroundings {
    /// The kind, unless a flag names one.
    pub(crate) kind: Kind,
    /// The activation that a flag names.
    pub(crate) activation: Option<Activation>,
    /// Whether rows are images.
    pub(crate) images: bool,
    /// Whether the scaling may confine values to `[0, 1]`.
    pub(crate) unit_interval: bool,
    pub(crate) features: usize,
}

/// Weight of the KL divergence for tables: the squared error is then a likelihood with a variance of 0.1,
/// as is usual of what standardised columns do not share. With 1, encodings of tables hold next to nothing:
/// they leave 32 instead of 24 % of the variance of seven columns of diamonds, and 53 instead of 22 % of
/// taxi rides.
const TABLE_BETA: f64 = 0.1;

impl KindArgs {
    /// The kind that a flag names, or the default.
    pub(crate) fn kind(&self, default: Kind) -> Kind {
        self.kind.unwrap_or(default)
    }

    /// Applies the flags to a configuration.
    pub(crate) fn apply(
        &self,
        mut builder: ConfigBuilder,
        surroundings: &Surroundings,
    ) -> Result<ConfigBuilder, Failure> {
        let Surroundings { kind, unit_interval, features, images, .. } = *surroundings;
        let kind = self.kind(kind);
        let noise = self.noise.or((kind == Kind::Denoising).then_some(Noise::Masking { fraction: 0.25 }));
        let sparsity = self
            .sparsity
            .or((kind == Kind::Sparse && self.top_k.is_none()).then_some(CodePenalty::L1 { weight: 0.01 }));
        let default_loss = if kind == Kind::Vae && unit_interval { Loss::Bce } else { Loss::Mse };
        let loss = self.loss.unwrap_or(default_loss);
        // The bound of several samples has no other weight than 1.
        let usual = Gaussian::default();
        let is_weighted = !images && loss == Loss::Mse && self.samples.unwrap_or(usual.samples) == 1;
        let default_beta = if is_weighted { TABLE_BETA } else { usual.beta };
        builder = builder
            .loss(loss)
            .latent(self.latent(kind, default_beta, features)?)
            .dropout(Dropout { input: self.input_dropout, hidden: self.dropout })
            .weight_penalty(WeightPenalty { l1: self.l1, l2: self.l2 })
            .layer_norm(self.layer_norm)
            .tied_weights(self.tied_weights)
            .unit_norm(self.unit_norm)
            .schedule(self.schedule);
        if let Some(noise) = noise {
            builder = builder.noise(noise);
        }
        if let Some(penalty) = sparsity {
            builder = builder.code_penalty(penalty);
        }
        let is_dense = kind != Kind::Vae && self.top_k.is_none();
        let default_activation = match sparsity {
            Some(CodePenalty::Kl { .. }) => Some(Activation::Sigmoid),
            _ if !surroundings.images || surroundings.activation.is_some() || !is_dense => None,
            None if self.contractive.is_none() => Some(Activation::Linear),
            // Such penalties would only make an encoding without bounds small.
            _ => Some(Activation::Tanh),
        };
        if let Some(activation) = self.encoding_activation.or(default_activation) {
            builder = builder.encoding_activation(activation);
        }
        // Of the variance of validation images, these leave less than tanh: 19 instead of 22 % of the
        // scanned digits in 8 values; of MNIST after five epochs 24 instead of 35 % in 16 values, after
        // three epochs of two convolutions 12 instead of 26 % in 32. On tables they are better on some
        // and much worse on others.
        let hidden = if surroundings.images { Activation::Silu } else { Activation::Tanh };
        builder = builder.activation(surroundings.activation.unwrap_or(hidden));
        if let Some(weight) = self.contractive {
            builder = builder.contractive(weight);
        }
        if let Some(norm) = self.clip_norm {
            builder = builder.clip_norm(norm);
        }
        if let Some(decay) = self.ema {
            builder = builder.ema(decay);
        }
        Ok(builder)
    }

    /// Fewest values of an encoding that these flags allow.
    pub(crate) fn min_encoding_dim(&self) -> usize {
        self.top_k.unwrap_or(1).max(1)
    }

    fn latent(&self, kind: Kind, default_beta: f64, features: usize) -> Result<Latent, Failure> {
        let given = [
            ("--beta", self.beta.is_some()),
            ("--kl-warm-up", self.kl_warm_up.is_some()),
            ("--free-bits", self.free_bits.is_some()),
            ("--samples", self.samples.is_some()),
        ];
        if kind != Kind::Vae {
            return match given.iter().find(|(_, given)| *given) {
                Some((flag, _)) => Err(Failure::Usage(format!("{flag} is for --kind vae"))),
                None => Ok(self.top_k.map_or(Latent::Plain, |k| {
                    // Half the width of the rows, as in the paper.
                    let half = (features / 2).max(1);
                    let revival = self.revive.map(|dead_after| Revival::new(half, dead_after));
                    Latent::TopK(TopK { revival, of_batch: self.batch_top_k, ..TopK::new(k) })
                })),
            };
        }
        if self.top_k.is_some() {
            return Err(Failure::Usage("--top-k is not for --kind vae".to_owned()));
        }
        let default = Gaussian::default();
        Ok(Latent::Gaussian(Gaussian {
            beta: self.beta.unwrap_or(default_beta),
            warm_up: self.kl_warm_up.unwrap_or(default.warm_up),
            free_bits: self.free_bits.unwrap_or(default.free_bits),
            samples: self.samples.unwrap_or(default.samples),
        }))
    }
}
