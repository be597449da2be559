//! Autoencoders on the CPU: configuration, training, encoding, scoring and model files.
//!
//! ```
//! use ae_data::Rows;
//! use ae_model::{Autoencoder, Config, ErrorNorm};
//!
//! let table = [[0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.5, 0.5, 0.5], [0.2, 0.2, 0.8]];
//! let rows = Rows::new(table.as_flattened(), 3)?;
//! let config = Config::builder(3).encoding_dim(1).epochs(200).build()?;
//! let mut model = Autoencoder::new(config)?;
//! let history = model.fit(&rows, &mut [])?;
//! assert!(history.epochs[199].train_mse < history.epochs[0].train_mse);
//! let codes = model.encode(&rows)?; // [4, 1]
//! let errors = model.reconstruction_error(&rows, ErrorNorm::Mean)?; // [4]
//! # assert_eq!((codes.rows(), codes.features(), errors.len()), (4, 1, 4));
//! # Ok::<(), ae_model::Error>(())
//! ```
//!
//! # Losses and errors
//!
//! With m rows, n features, scaled inputs `x` and their reconstructions `x̂`:
//!
//! | name | formula | where |
//! |---|---|---|
//! | objective `J` | `(1/m) Σ_rows Σ_features ½ (x̂ - x)²` | what training differentiates; the learning rate multiplies its gradient |
//! | MSE | mean of `(x̂ - x)²` over rows and features, `2 J / n` | [`History`], [`Autoencoder::mse`] |
//! | score | `-MSE` | [`Autoencoder::score`], larger is better (`ae score` prints per-row errors instead: smaller is better) |
//! | reconstruction error, per row | `Σ_features (x̂ - x)²`, or its mean | [`Autoencoder::reconstruction_error`] with [`ErrorNorm`] |
//! | error, per feature | mean of `(x̂ - x)²` over rows | [`Autoencoder::feature_error`] |
#![forbid(unsafe_code)]

mod callback;
mod config;
mod engine;
mod error;
mod errors;
mod evaluation;
mod file;
pub mod gradcheck;
mod history;
mod inference;
mod init;
mod interpolation;
mod layer;
mod model;
mod network;
mod one_row;
mod optim;
mod partial;
mod scale;
mod schedule;
mod schema;
mod snapshot;
mod sparsity;
mod stage;
mod step;
mod summary;
mod table;
mod threshold;
mod tied;
mod train;
mod trainer;
mod unit_norm;
mod variational;
mod warm_start;

pub use ae_data;
pub use ae_kernels::par::PoolError;
pub use ae_kernels::{Isa, IsaError};
pub use callback::{BatchEnd, Callback, CancelToken, OnEpoch, on_epoch};
pub use config::{
    Activation, CodePenalty, Config, ConfigBuilder, ConvLayer, Dropout, EarlyStopping, Gaussian, Image,
    ImageLayer, ImageLayers, Init, Latent, Loss, Noise, PoolKind, PoolLayer, Precision, Revival, ScalerKind,
    TopK, WeightPenalty,
};
pub use engine::Products;
pub use error::{ConfigError, Error, FileErrorKind};
pub use file::sort_header;
pub use history::{EpochRecord, History, StopReason};
pub use model::{Autoencoder, ErrorNorm};
pub use network::LayerParameters;
pub use one_row::OneRow;
pub use optim::Optimizer;
pub use scale::{ScaledRows, Scaler};
pub use schedule::Schedule;
pub use snapshot::Snapshot;
pub use sparsity::Sparsity;
pub use step::Arithmetic;
pub use summary::Summary;
pub use train::{Checkpoints, RangeTest};
pub use trainer::{Session, Trainer};
pub use variational::Posterior;

/// Compiles and runs the README's code as doctests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
