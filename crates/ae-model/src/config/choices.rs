//! Choices from a list: activation, initial weights, scaling, arithmetic; and early stopping.

use serde::{Deserialize, Serialize};

/// The activation of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Activation {
    /// `max(0, z)`; values of a narrow encoding may become zero for good.
    Relu,
    /// `1 / (1 + e^-z)`
    Sigmoid,
    /// `tanh z`
    #[default]
    Tanh,
    /// `z`: used everywhere, it makes the network learn the subspace of PCA.
    Linear,
    /// `z`, or `0.01 z` below 0.
    LeakyRelu,
    /// `z`, or `e^z - 1` below 0.
    Elu,
    /// `ln(1 + e^z)`
    Softplus,
    /// `z (1 + tanh(√(2/π) (z + 0.044715 z³))) / 2`
    Gelu,
    /// `z / (1 + e^-z)`, also called swish.
    Silu,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Activation; 9] = [
        Activation::Relu,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Linear,
        Activation::LeakyRelu,
        Activation::Elu,
        Activation::Softplus,
        Activation::Gelu,
        Activation::Silu,
    ];

    /// The name used by the command line and model files.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Relu => "relu",
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
            Activation::Linear => "linear",
            Activation::LeakyRelu => "leaky-relu",
            Activation::Elu => "elu",
            Activation::Softplus => "softplus",
            Activation::Gelu => "gelu",
            Activation::Silu => "silu",
        }
    }

    pub(crate) fn kernel(self) -> ae_kernels::activation::Activation {
        use ae_kernels::activation::Activation as Kernel;
        match self {
            Activation::Relu => Kernel::Relu,
            Activation::Sigmoid => Kernel::Sigmoid,
            Activation::Tanh => Kernel::Tanh,
            Activation::Linear => Kernel::Linear,
            Activation::LeakyRelu => Kernel::LeakyRelu,
            Activation::Elu => Kernel::Elu,
            Activation::Softplus => Kernel::Softplus,
            Activation::Gelu => Kernel::Gelu,
            Activation::Silu => Kernel::Silu,
        }
    }
}

/// How weights are initialised; biases start at zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Init {
    /// Uniform on `±√(6 / (in + out))` (Glorot & Bengio 2010, eq. 16).
    #[default]
    GlorotUniform,
    /// Normal with `σ = √(2 / (in + out))`: the same variance.
    GlorotNormal,
    /// Uniform on `±√(6 / in)` (He et al. 2015, sec. 2.2), for ReLU.
    HeUniform,
    /// Normal with `σ = √(2 / in)` (He et al. 2015, eq. 10), for ReLU.
    HeNormal,
}

impl Init {
    /// Every initialisation.
    pub const ALL: [Init; 4] = [Init::GlorotUniform, Init::GlorotNormal, Init::HeUniform, Init::HeNormal];

    /// The name used by the command line and model files.
    pub fn name(self) -> &'static str {
        match self {
            Init::GlorotUniform => "glorot-uniform",
            Init::GlorotNormal => "glorot-normal",
            Init::HeUniform => "he-uniform",
            Init::HeNormal => "he-normal",
        }
    }
}

/// How features are scaled before they enter the network; undone on its output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ScalerKind {
    /// To `[0, 1]` by each feature's smallest and largest value.
    #[default]
    MinMax,
    /// To `[0, 1]` by the smallest and largest value of all features together: for features that share a
    /// unit, such as pixels, some of which hardly ever vary. With separate scales, a validation row that
    /// is the first to use such a feature would outweigh all others.
    Common,
    /// To mean 0 and standard deviation 1.
    Standard,
    /// By median and interquartile range, which outliers do not affect.
    Robust,
    /// To mean 0 in their own units: for features that share one, such as pixels, so that what varies
    /// more weighs more.
    Centre,
    /// Not at all.
    None,
}

impl ScalerKind {
    /// Every kind of scaling.
    pub const ALL: [ScalerKind; 6] = [
        ScalerKind::MinMax,
        ScalerKind::Common,
        ScalerKind::Standard,
        ScalerKind::Robust,
        ScalerKind::Centre,
        ScalerKind::None,
    ];

    /// The name used by the command line and model files.
    pub fn name(self) -> &'static str {
        match self {
            ScalerKind::MinMax => "minmax",
            ScalerKind::Common => "common",
            ScalerKind::Standard => "standard",
            ScalerKind::Robust => "robust",
            ScalerKind::Centre => "centre",
            ScalerKind::None => "none",
        }
    }

    /// Whether scaled values lie in `[0, 1]` (given such values, for [`ScalerKind::None`]), as
    /// [`crate::Loss::Bce`] and [`crate::Loss::SigmoidMse`] require.
    pub fn keeps_unit_range(self) -> bool {
        matches!(self, ScalerKind::MinMax | ScalerKind::Common | ScalerKind::None)
    }
}

/// Numeric precision of training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Double precision: for verification and small data.
    F64,
    /// Mixed precision: the operands of products are rounded to bf16, everything else, including the
    /// parameters and their updates, is in single precision. Fast only on CPUs with AMX; slower than
    /// `F32` elsewhere, with the same results unless numbers are denormal, which AMX tiles take for
    /// zero.
    Bf16,
}

impl Precision {
    /// Every precision.
    pub const ALL: [Precision; 3] = [Precision::F32, Precision::F64, Precision::Bf16];

    /// The name used by the command line and model files.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::F64 => "f64",
            Precision::Bf16 => "bf16",
        }
    }
}

/// When to stop training before the last epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// Epochs without improvement before training stops; at least 1.
    pub patience: usize,
    /// Fraction by which the loss must fall below the best so far to count as an improvement, in
    /// `[0, 1)`.
    pub min_improvement: f64,
}

impl EarlyStopping {
    /// Stops after this many epochs without any improvement.
    pub fn after(patience: usize) -> Self {
        EarlyStopping { patience, min_improvement: 0.0 }
    }
}
