//! The stages a row passes through: dense layers, convolutions, and what lies between them.

use ae_kernels::activation::Epilogue;
use ae_kernels::conv::Conv;
use ae_kernels::latent::Divergence;
use ae_kernels::panel::{Panels, PanelsMut};
use ae_kernels::pool::PoolShape;
use ae_kernels::sparse::{self, Active};
use ae_kernels::{Element, Isa};

use crate::config::{CodePenalty, Gaussian, PoolKind, Revival};
use crate::layer::Dense;

/// One stage of a network.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// The dense layer with this index.
    Dense(usize),
    /// A convolution or transposed convolution.
    Conv(Convolution),
    /// Pooling: one pixel for each square of pixels.
    Pool(Pooling),
    /// Up-sampling, the mirror of a pooling.
    UpSample(PoolShape),
    /// Samples codes from the posterior given by the layer below; outside training, returns its means.
    Gaussian(GaussianLatent),
    /// Layer normalisation of each row.
    Normalize(Normalize),
    /// Dropout, in training only.
    Dropout(Dropout),
    /// Keeps the largest values of each row and zeroes the others.
    TopK(TopKLatent),
    /// Keeps the largest values of the batch and zeroes the others; outside training, keeps those that
    /// reach a threshold.
    BatchTopK(BatchTopKLatent),
    /// Passes values through and adds a penalty on them to the loss.
    Penalty(Penalty),
    /// Passes values through and adds a penalty on how they change with the input.
    Contraction(Contraction),
}

/// A convolution or transposed convolution.
#[derive(Clone, Debug)]
pub(crate) struct Convolution {
    /// The index of the layer with its parameters and activation.
    pub(crate) layer: usize,
    pub(crate) map: Conv,
}

impl Convolution {
    /// Computes `y` `[outputs, batch]` from `x` `[inputs, batch]`, or only some of its pixels from
    /// `first` on, and the slopes of the activation if requested. `layer` holds the parameters.
    pub(crate) fn forward<T: Element>(
        &self,
        isa: Isa,
        (layer, all): (&Dense, &[T]),
        x: Panels<'_, T>,
        first: usize,
        y: PanelsMut<'_, T>,
        slopes: Option<PanelsMut<'_, T>>,
    ) {
        let epilogue = Epilogue { activation: layer.activation, slopes };
        self.map.forward(isa, layer.parameters(all), x, first, y, epilogue);
    }
}

/// A pooling.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pooling {
    pub(crate) pool: PoolShape,
    pub(crate) kind: PoolKind,
}

/// The latent of a variational autoencoder, `[2 dim]` to `[dim]`.
#[derive(Clone, Debug)]
pub(crate) struct GaussianLatent {
    pub(crate) dim: usize,
    pub(crate) settings: Gaussian,
    /// Separates its random numbers from those of other stages.
    pub(crate) salt: u64,
}

/// The latent of a k-sparse autoencoder that selects among the values of a whole batch.
#[derive(Clone, Debug)]
pub(crate) struct BatchTopKLatent {
    pub(crate) features: usize,
    /// Values kept per row, on average.
    pub(crate) k: usize,
    /// The running mean of the smallest value kept per batch. Outside training, values below it are
    /// dropped.
    pub(crate) threshold: f64,
    /// Number of batches seen.
    pub(crate) batches: u64,
    /// The smallest value that the last batch kept, 0 before the first. Tells where to look for the next
    /// one, which affects no result.
    pub(crate) last: f64,
}

/// The largest decay of the threshold's running mean, which starts as the plain mean over all batches.
const THRESHOLD_DECAY: f64 = 0.99;
/// Number of batches at which the decay reaches [`THRESHOLD_DECAY`].
const WARM_UP_BATCHES: u64 = 99;

impl BatchTopKLatent {
    /// The latent of a network that has seen no batch.
    pub(crate) fn new(features: usize, k: usize) -> Self {
        BatchTopKLatent { features, k, threshold: 0.0, batches: 0, last: 0.0 }
    }

    /// Continues from the threshold of a trained network.
    pub(crate) fn resume(&mut self, threshold: f64) {
        (self.threshold, self.batches, self.last) = (threshold, WARM_UP_BATCHES, 0.0);
    }

    /// Records the smallest value that a batch kept, if it is finite.
    pub(crate) fn update_threshold(&mut self, smallest: Option<f64>) {
        let Some(smallest) = smallest.filter(|smallest| smallest.is_finite()) else { return };
        let decay = THRESHOLD_DECAY.min(self.batches as f64 / (self.batches + 1) as f64);
        self.threshold = decay * self.threshold + (1.0 - decay) * smallest;
        self.batches += 1;
        self.last = smallest;
    }
}

/// The latent of a k-sparse autoencoder.
#[derive(Clone, Debug)]
pub(crate) struct TopKLatent {
    pub(crate) features: usize,
    pub(crate) k: usize,
    pub(crate) revival: Option<Revival>,
}

/// How many times `k` the number of features must be for sparse computation to pay.
const MIN_WIDTH_FACTOR: usize = 4;

/// Whether a code of which `k` values are active is so wide that computing from these alone pays.
pub(crate) fn is_wide_for(features: usize, k: usize) -> bool {
    k.saturating_mul(MIN_WIDTH_FACTOR) <= features
}

impl TopKLatent {
    /// Whether to compute from active features only.
    pub(crate) fn is_wide(&self) -> bool {
        is_wide_for(self.features, self.k)
    }

    /// Elements that a block of `rows` rows needs: the active features, and scratch memory to find them.
    pub(crate) fn memory_len<T: Element>(&self, rows: usize) -> usize {
        sparse::active_len(self.k * rows, rows) + sparse::scratch_len::<T>(self.k)
    }

    /// Selects the largest values of each row of `codes`, in the first elements of `memory`.
    pub(crate) fn select<'m, T: Element>(
        &self,
        isa: Isa,
        codes: Panels<'_, T>,
        memory: &'m mut [T],
    ) -> Active<'m, T> {
        let rows = codes.cols();
        let (active, scratch) = memory.split_at_mut(sparse::active_len(self.k * rows, rows));
        sparse::select(isa, self.k, codes, active, scratch);
        Active::new(active, self.k * rows, rows)
    }
}

/// Layer normalisation ([`ae_kernels::norm`]).
#[derive(Clone, Debug)]
pub(crate) struct Normalize {
    pub(crate) features: usize,
}

/// Dropout of a fraction of the values.
#[derive(Clone, Debug)]
pub(crate) struct Dropout {
    pub(crate) fraction: f64,
    pub(crate) features: usize,
    /// Separates its random numbers from those of other stages.
    pub(crate) salt: u64,
}

/// A penalty on the encoding.
#[derive(Clone, Debug)]
pub(crate) struct Penalty {
    pub(crate) features: usize,
    pub(crate) penalty: CodePenalty,
}

/// The contractive penalty of the encoder ([`ae_kernels::contraction`]), whose only layer is below.
#[derive(Clone, Debug)]
pub(crate) struct Contraction {
    pub(crate) features: usize,
    pub(crate) weight: f64,
}

impl GaussianLatent {
    /// The divergence term, warmed up to the given `fraction` of its weight.
    pub(crate) fn divergence<T: Element>(&self, fraction: f64) -> Divergence<T> {
        let Gaussian { beta, free_bits, .. } = self.settings;
        Divergence { weight: T::from_f64(beta * fraction), free_nats: T::from_f64(free_bits) }
    }
}

impl Stage {
    /// The index of its layer, if it has parameters.
    pub(crate) fn layer(&self) -> Option<usize> {
        match self {
            Stage::Dense(layer) | Stage::Conv(Convolution { layer, .. }) => Some(*layer),
            _ => None,
        }
    }

    /// Whether it operates on images.
    pub(crate) fn is_image_stage(&self) -> bool {
        matches!(self, Stage::Conv(_) | Stage::Pool(_) | Stage::UpSample(_))
    }

    /// The number of samples it draws per row.
    pub(crate) fn samples_per_row(&self) -> usize {
        match self {
            Stage::Gaussian(latent) => latent.settings.samples,
            _ => 1,
        }
    }

    /// Whether it operates in place.
    pub(crate) fn in_place(&self) -> bool {
        matches!(self, Stage::Penalty(_) | Stage::Contraction(_) | Stage::TopK(_) | Stage::BatchTopK(_))
    }

    /// Whether it must see the whole batch before it can compute its penalty or select its values.
    pub(crate) fn needs_whole_batch(&self) -> bool {
        matches!(self, Stage::BatchTopK(_) | Stage::Penalty(Penalty { penalty: CodePenalty::Kl { .. }, .. }))
    }
}
