//! Evaluation of autoencoders: reconstruction metrics with baselines to compare them with, anomaly
//! detection ([`anomaly`]), imputation, maps, sweeps, charts and images.
//!
//! Rows come from any [`BatchSource`](ae_data::BatchSource), on the scale on which errors are to be
//! measured (for a model, its `scaled` rows), and are read a block at a time.
#![forbid(unsafe_code)]

pub mod anomaly;
mod blocks;
pub mod chart;
mod elbow;
mod error;
mod events;
mod images;
mod imputation;
mod latent_use;
mod lbfgs;
mod logistic;
mod metrics;
mod neighbourhood;
mod pca;
mod probe;
mod ranking;
mod reconstruction;
mod ridge;
mod row_set;
mod sampling;
mod scatter;
mod sheet;
mod sweep;
mod traversal;
mod trimming;
mod tsne;

pub use ae_model;
pub use elbow::elbow;
pub use error::EvalError;
pub use events::EventWriter;
pub use images::{ImageErrors, data_range, psnr, ssim};
pub use imputation::{IMPUTATION_ROUNDS, Imputation, ImputationScore, ImputedColumn};
pub use latent_use::LatentUse;
pub use logistic::LogisticProbe;
pub use metrics::{mean_variance, mse, mse_of_mean};
pub use neighbourhood::{NeighbourOrder, continuity, knn_accuracy, trustworthiness};
pub use pca::Pca;
pub use probe::LinearProbe;
pub use ranking::{
    Confusion, PrPoint, RocPoint, average_precision, pr_curve, roc_auc, roc_curve, threshold_for_precision,
    threshold_for_recall,
};
pub use reconstruction::{Fit, Interval, Reconstruction, quantile};
pub use ridge::RidgeRegression;
pub use row_set::RowSet;
pub use sampling::sample_rows;
pub use scatter::{Classes, Panel, Scatter};
pub use sheet::{Sheet, SheetStyle};
pub use sweep::{SweepPoint, SweepSetting, SweepTable, Winner};
pub use traversal::{Traversal, traverse};
pub use trimming::{TrimmedRows, trim_outliers};
pub use tsne::{TsneSettings, tsne};

/// Compiles and runs the README's code as doctests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
