//! The arithmetic of training autoencoders on a CPU: slices in, slices out.
//!
//! # Layout
//!
//! Every matrix of a training step is stored in *panels*: 64 bytes of columns at a time (16 for `f32`, 8 for
//! `f64`), rows contiguous within a panel, so that one panel row is one cache line ([`panel`]):
//!
//! | matrix | rows | columns (in panels) |
//! |---|---|---|
//! | activations and deltas of a batch | features | rows of the batch |
//! | weights of a layer, its bias as the last row | inputs + 1 | outputs |
//! | deltas, transposed for the weight gradient | rows of the batch | features |
//!
//! A register tile then reads one operand as vectors along a panel row and the other as scalars, in all three
//! products of training ([`gemm`]), from one copy of the weights and without packing anything.
//!
//! On CPUs that multiply tiles of bf16 there is a second way to compute the products, in mixed precision or, by splitting
//! each operand in three, in that of `f32`: [`tile`].
//!
//! # Contract
//!
//! - Each element of a result is one chain of multiply-adds in a fixed order: rows of a batch, blocks of a matrix
//!   and threads may be divided in any way without changing a bit. Only [`isa::Isa::fuses`] makes a difference.
//! - No kernel allocates. What does, before the work: [`workspace::AlignedBuf`] where it is made or enlarged, the lists of
//!   [`conv::Conv`] and [`sparse::Index`], and [`par::Pool`] when it starts.
//! - Wrong shapes are a caller's bug and panic with the shapes; no data can cause a panic.

pub mod activation;
pub mod contraction;
pub mod conv;
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
pub mod unit;
pub mod update;
pub mod workspace;

pub use isa::{Isa, IsaError};
pub use simd::Element;
