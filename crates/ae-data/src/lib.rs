//! Rows in and out: tables in memory, sources that are read in batches, and files.
#![forbid(unsafe_code)]

mod dataset;
mod error;
mod labels;
mod read;
mod source;
mod split;

pub use dataset::Dataset;
pub use error::DataError;
pub use labels::Labels;
pub use read::{Missing, ReadOptions};
pub use source::{BatchSource, Rows, Subset};
pub use split::{Rng, validation_split};
