//! What is chosen from a list: activation, first weights, scaling, arithmetic; and when to stop.

use serde::{Deserialize, Serialize};

/// The activation of a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Activation {
    /// `max(0, z)`; encodings of a narrow layer may fall to zero for good.
    Relu,
    /// `1 / (1 + e^-z)`
    Sigmoid,
    /// `tanh z`
    #[default]
    Tanh,
    /// `z`: with it everywhere the network learns the subspace of PCA.
    Linear,
    /// `z`, or a hundredth of it below 0.
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

    /// Its name, as the command and model files spell it.
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

/// How weights start; biases start at zero.
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

/// How features are scaled before the network sees them; undone on the way out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ScalerKind {
    /// To `[0, 1]` by the smallest and largest value.
    #[default]
    MinMax,
    /// To `[0, 1]` by the smallest and largest value of all features together: for features that share a unit, such as pixels, of which
    /// some hardly ever vary. A validation row that is the first to use one of these would count for more than all others otherwise.
    Common,
    /// To mean 0 and standard deviation 1.
    Standard,
    /// By median and interquartile range: outliers do not move it.
    Robust,
    /// To mean 0, with the units they have: for features that share one, such as pixels, so that what varies more weighs more.
    Centre,
    /// Not at all.
    None,
}

impl ScalerKind {
    /// Whether values that lie in `[0, 1]`, or are scaled to it, stay there: what losses of shares need.
    pub fn keeps_shares(self) -> bool {
        matches!(self, ScalerKind::MinMax | ScalerKind::Common | ScalerKind::None)
    }
}

/// The arithmetic of training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// Double precision: for verification and small data.
    F64,
    /// Mixed precision: the operands of products rounded to bf16, everything else in single precision, the parameters and
    /// their updates included. As fast as it is meant to be only on CPUs with AMX; elsewhere slower than `F32`, with the
    /// same results where no number is denormal, which tiles take for zero.
    Bf16,
}

/// When to stop before the last epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStopping {
    /// Epochs without improvement that are put up with; at least 1.
    pub patience: usize,
    /// By what share the loss must fall below the best so far to count as an improvement; in `[0, 1)`.
    pub min_improvement: f64,
}

impl EarlyStopping {
    /// Stops after this many epochs without any improvement.
    pub fn after(patience: usize) -> Self {
        EarlyStopping { patience, min_improvement: 0.0 }
    }
}
