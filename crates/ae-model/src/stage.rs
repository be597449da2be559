//! What a row goes through on its way: dense layers, convolutions, and what is between them.

use ae_kernels::activation::Epilogue;
use ae_kernels::conv::Conv;
use ae_kernels::latent::Divergence;
use ae_kernels::panel::{Panels, PanelsMut};
use ae_kernels::pool::Pool;
use ae_kernels::sparse::{self, Active};
use ae_kernels::{Element, Isa};

use crate::config::{CodePenalty, Gaussian, PoolKind, Revival};
use crate::layer::Dense;

/// One step of the way.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    /// The layer of this index.
    Dense(usize),
    /// A convolution or transposed convolution.
    Conv(Convolution),
    /// One pixel for each square of pixels.
    Pool(Pooling),
    /// The mirror of a pooling.
    UpSample(Pool),
    /// Draws codes from the posterior that the layer below says; outside training they are its means.
    Gaussian(GaussianLatent),
    /// Normalises the values of each row.
    Normalize(Normalize),
    /// Drops values, in training.
    Dropout(Dropout),
    /// Leaves the largest values of each row and makes the others zero.
    TopK(TopKLatent),
    /// Leaves the largest values of the batch and makes the others zero; outside training those that reach a threshold.
    BatchTopK(BatchTopKLatent),
    /// Leaves values as they are, for a price.
    Penalty(Penalty),
    /// Leaves values as they are, for a price of how they change with the input.
    Contraction(Contraction),
}

/// A convolution or transposed convolution.
#[derive(Clone, Debug)]
pub(crate) struct Convolution {
    /// The layer of this index has its parameters and its activation.
    pub(crate) layer: usize,
    pub(crate) map: Conv,
}

impl Convolution {
    /// `x` `[inputs, batch]` to `y` `[outputs, batch]`, or to that of some of the pixels from `first` on, and to the slopes of the
    /// activation where they are asked for. `layer` is the one with its parameters.
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
    pub(crate) pool: Pool,
    pub(crate) kind: PoolKind,
}

/// The latent of a variational autoencoder, `[2 dim]` to `[dim]`.
#[derive(Clone, Debug)]
pub(crate) struct GaussianLatent {
    pub(crate) dim: usize,
    pub(crate) settings: Gaussian,
    /// Tells its random numbers from those of other stages.
    pub(crate) salt: u64,
}

/// The latent of a k-sparse autoencoder that chooses among the values of a whole batch.
#[derive(Clone, Debug)]
pub(crate) struct BatchTopKLatent {
    pub(crate) features: usize,
    /// Values kept a row, in the mean.
    pub(crate) k: usize,
    /// Below it values are dropped outside training: the running mean of the smallest that batches kept.
    pub(crate) threshold: f64,
    /// Batches that it has seen.
    pub(crate) batches: u64,
    /// The smallest value that the last of them kept, 0 before: where to look for the next one, which changes no result.
    pub(crate) last: f64,
}

/// What a batch leaves of the threshold at most. At first it is the mean of all batches.
const THRESHOLD_KEEP: f64 = 0.99;
/// Batches after which it leaves so much.
const ENOUGH: u64 = 99;

impl BatchTopKLatent {
    /// That of a network which has seen no batch.
    pub(crate) fn new(features: usize, k: usize) -> Self {
        BatchTopKLatent { features, k, threshold: 0.0, batches: 0, last: 0.0 }
    }

    /// Goes on from the threshold that a trained network had.
    pub(crate) fn resume(&mut self, threshold: f64) {
        (self.threshold, self.batches, self.last) = (threshold, ENOUGH, 0.0);
    }

    /// Takes note of the smallest value that a batch has kept, where it is one.
    pub(crate) fn follow(&mut self, least: Option<f64>) {
        let Some(least) = least.filter(|least| least.is_finite()) else { return };
        let keep = THRESHOLD_KEEP.min(self.batches as f64 / (self.batches + 1) as f64);
        self.threshold = keep * self.threshold + (1.0 - keep) * least;
        self.batches += 1;
        self.last = least;
    }
}

/// The latent of a k-sparse autoencoder.
#[derive(Clone, Debug)]
pub(crate) struct TopKLatent {
    pub(crate) features: usize,
    pub(crate) k: usize,
    pub(crate) revival: Option<Revival>,
}

/// How many times as many features as are kept a code must have for the sparse way to pay.
const WIDER: usize = 4;

impl TopKLatent {
    /// Whether to compute active features only.
    pub(crate) fn is_wide(&self) -> bool {
        self.k.saturating_mul(WIDER) <= self.features
    }

    /// Elements that a block of `rows` rows needs: the active features, and memory to find them.
    pub(crate) fn memory<T: Element>(&self, rows: usize) -> usize {
        sparse::active_len(self.k * rows, rows) + sparse::scratch_len::<T>(self.k)
    }

    /// The largest values of each row of `codes`, in the first elements of `memory`.
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

/// The contractive penalty of the encoder ([`ae_kernels::contraction`]), whose only layer is below.
#[derive(Clone, Debug)]
pub(crate) struct Contraction {
    pub(crate) features: usize,
    pub(crate) weight: f64,
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

    /// Whether it works on images.
    pub(crate) fn is_of_images(&self) -> bool {
        matches!(self, Stage::Conv(_) | Stage::Pool(_) | Stage::UpSample(_))
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
        matches!(self, Stage::Penalty(_) | Stage::Contraction(_) | Stage::TopK(_) | Stage::BatchTopK(_))
    }

    /// Whether it needs to have seen the whole batch before it can say what its values cost or which it keeps.
    pub(crate) fn awaits_batch(&self) -> bool {
        matches!(self, Stage::BatchTopK(_) | Stage::Penalty(Penalty { penalty: CodePenalty::Kl { .. }, .. }))
    }
}
