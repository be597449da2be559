//! Compute kernels for training autoencoders on CPUs: slices in, slices out.
//!
//! # Layout
//!
//! Every matrix of a training step is stored in *panels* that are 64 bytes wide (16 columns for `f32`, 8
//! for `f64`). Rows are contiguous within a panel, so that one panel row, a *line*, is one cache line
//! ([`panel`]):
//!
//! | matrix | rows | columns (in panels) |
//! |---|---|---|
//! | activations and deltas of a batch | features | rows of the batch |
//! | weights of a layer, its bias as the last row | inputs + 1 | outputs |
//! | deltas, transposed for the weight gradient | rows of the batch | features |
//!
//! In all three products of training ([`gemm`]), a register tile then reads one operand as vectors along
//! a panel row and the other as scalars, from one copy of the weights and without packing anything.
//!
//! On CPUs that multiply tiles of bf16 there is a second way to compute the products, in mixed precision
//! or, by splitting each operand in three, at `f32` precision: [`tile`].
//!
//! # Contract
//!
//! - Each element of a result is accumulated by multiply-adds in a fixed order: the rows of a batch, the
//!   blocks of a matrix and the threads may be divided in any way without changing a bit. Only
//!   [`isa::Isa::fuses`] makes a difference.
//! - No kernel allocates. Memory is allocated before the work: by [`workspace::AlignedBuf`] when it is
//!   created or grown, for the lists of [`conv::Conv`] and [`sparse::Index`], and by [`par::Pool`] when
//!   it starts.
//! - Wrong shapes are a bug in the caller and panic with the shapes; no data can cause a panic.

pub mod activation;
pub mod contraction;
pub mod conv;
pub mod distance;
pub mod finite;
pub mod gemm;
pub mod isa;
pub mod latent;
pub mod loss;
pub mod math;
pub mod noise;
pub mod norm;
pub mod panel;
pub mod par;
pub mod pool;
pub mod simd;
pub mod sparse;
pub mod tied;
pub mod tile;
mod trace;
pub mod unit_norm;
pub mod update;
pub mod workspace;

pub use isa::{Isa, IsaError};
pub use simd::Element;
