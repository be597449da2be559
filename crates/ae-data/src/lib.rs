//! Reading and writing rows: in-memory tables, sources read in batches, and files.
//!
//! ```
//! # #[cfg(all(feature = "builtin", feature = "csv"))] {
//! let digits = ae_data::read("digits", &ae_data::ReadOptions::default())?;
//! assert_eq!((digits.rows(), digits.features()), (1797, 64));
//! let few = digits.select_rows(&[0, 1, 2])?;
//! let mut csv = Vec::new();
//! ae_data::write_csv(&few, &mut csv)?;
//! # }
//! # Ok::<(), ae_data::DataError>(())
//! ```
//!
//! Each format is a Cargo feature: `csv`, `npy`, `idx`, `parquet`, `images` (folders of images), and
//! `builtin` for the datasets that need no file. Without any of them the crate consists of [`Dataset`],
//! [`BatchSource`] and a few small utilities, and depends on no parser.
#![forbid(unsafe_code)]

mod atomic;
#[cfg(feature = "builtin")]
mod builtin;
#[cfg(feature = "csv")]
mod csv;
mod dataset;
#[cfg(any(feature = "csv", feature = "idx", feature = "npy", feature = "parquet"))]
mod dataset_builder;
mod error;
mod fingerprint;
mod format;
mod guard;
#[cfg(any(feature = "npy", feature = "parquet"))]
mod half;
#[cfg(feature = "idx")]
mod idx;
#[cfg(feature = "images")]
mod images;
mod labels;
pub mod memory;
#[cfg(feature = "npy")]
mod npy;
#[cfg(feature = "parquet")]
mod parquet;
mod read;
mod schema;
mod source;
mod split;
mod stored_type;
mod table;
mod text;
pub mod threads;
mod write;

pub use atomic::{check_writable, write_atomically};
#[cfg(feature = "builtin")]
pub use builtin::{curves, digits};
pub use dataset::{Dataset, first_duplicate};
pub use error::DataError;
pub use fingerprint::Fingerprint;
pub use format::Format;
pub use guard::silence_caught_panics;
#[cfg(feature = "images")]
pub use images::{ImageSize, Images, read_images, write_image};
pub use labels::Labels;
pub use read::{
    Content, Missing, ReadOptions, folder, is_built_in, read, read_content, read_table, read_with_table,
};
pub use schema::{Column, ColumnRoles, DropReason, Encoded, Kind, Quantiles, Schema, TimeFormat, Unknown};
pub use source::{BatchSource, HeldOut, Pairs, Rows, Subset, contiguous_values, for_each_block};
pub use split::{Rng, train_validation_split, validation_split};
pub use stored_type::{StoredType, StoredUnit};
pub use table::Table;
pub use write::{write, write_table};
#[cfg(feature = "csv")]
pub use write::{write_csv, write_csv_table};
