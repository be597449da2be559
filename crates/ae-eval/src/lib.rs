//! What a reconstruction is worth: metrics, and the baselines to compare it with.
//!
//! Rows are row-major `[rows, features]` slices of `f32`, on the scale on which errors are to be measured (for a
//! model, its `scaled` rows).
#![forbid(unsafe_code)]

mod error;
mod metrics;
mod pca;

pub use error::EvalError;
pub use metrics::{mean_variance, mse};
pub use pca::Pca;
