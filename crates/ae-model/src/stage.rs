//! What a row goes through on its way: dense layers, convolutions, and what is between them.

use ae_kernels::activation::Epilogue;
use ae_kernels::conv::Conv;
use ae_kernels::latent::Divergence;
use ae_kernels::panel::{Panels, PanelsMut};
use ae_kernels::{Element, Isa};

use crate::config::{CodePenalty, Gaussian};
use crate::layer::Dense;

/// One step of the way.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// The layer of this index.
    Dense(usize),
    /// A convolution or transposed convolution.
    Conv(Convolution),
    /// Draws codes from the posterior that the layer below says; outside training they are its means.
    Gaussian(GaussianLatent),
    /// Drops values, in training.
    Dropout(Dropout),
    /// Leaves values as they are, for a price.
    Penalty(Penalty),
}

/// A convolution or transposed convolution.
#[derive(Clone, Debug)]
pub(crate) struct Convolution {
    /// The layer of this index has its parameters and its activation.
    pub(crate) layer: usize,
    pub(crate) map: Conv,
}

impl Convolution {
    /// `x` `[inputs, batch]` to `y` `[outputs, batch]`, and to the slopes of the activation where they are asked for. `layer` is the
    /// one with its parameters.
    pub(crate) fn forward<T: Element>(
        &self,
        isa: Isa,
        layer: &Dense,
        all: &[T],
        x: Panels<'_, T>,
        y: PanelsMut<'_, T>,
        slopes: Option<PanelsMut<'_, T>>,
    ) {
        let epilogue = Epilogue { activation: layer.activation, slopes };
        self.map.forward(isa, layer.parameters(all), x, y, epilogue);
    }
}

/// The latent of a variational autoencoder, `[2 dim]` to `[dim]`.
#[derive(Clone, Debug)]
pub(crate) struct GaussianLatent {
    pub(crate) dim: usize,
    pub(crate) settings: Gaussian,
    /// Tells its random numbers from those of other stages.
    pub(crate) salt: u64,
}

/// Dropout of a share of the values.
#[derive(Clone, Debug)]
pub(crate) struct Dropout {
    pub(crate) share: f64,
    pub(crate) features: usize,
    /// Tells its random numbers from those of other stages.
    pub(crate) salt: u64,
}

/// A penalty of the encoding.
#[derive(Clone, Debug)]
pub(crate) struct Penalty {
    pub(crate) features: usize,
    pub(crate) penalty: CodePenalty,
}

impl GaussianLatent {
    /// What its divergence costs when it has grown to `share` of its weight.
    pub(crate) fn divergence<T: Element>(&self, share: f64) -> Divergence<T> {
        let Gaussian { beta, free_bits, .. } = self.settings;
        Divergence { weight: T::from_f64(beta * share), free: T::from_f64(free_bits) }
    }
}

impl Stage {
    /// The layer whose parameters and activation it has, if any.
    pub(crate) fn layer(&self) -> Option<usize> {
        match self {
            Stage::Dense(layer) | Stage::Conv(Convolution { layer, .. }) => Some(*layer),
            _ => None,
        }
    }

    /// How many samples it makes of a row.
    pub(crate) fn copies(&self) -> usize {
        match self {
            Stage::Gaussian(latent) => latent.settings.samples,
            _ => 1,
        }
    }

    /// Whether it works on the values where they are.
    pub(crate) fn in_place(&self) -> bool {
        matches!(self, Stage::Penalty(_))
    }

    /// Whether it needs to have seen the whole batch before it can say what its values cost.
    pub(crate) fn awaits_batch(&self) -> bool {
        matches!(self, Stage::Penalty(Penalty { penalty: CodePenalty::Kl { .. }, .. }))
    }
}
