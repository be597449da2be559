//! One module per command; `encode`, `decode` and `reconstruct` share one, as do `generate`,
//! `interpolate` and `traverse`.

pub(crate) mod compare;
pub(crate) mod detect;
pub(crate) mod evaluate;
pub(crate) mod generate;
pub(crate) mod info;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod score;
pub(crate) mod sweep;
pub(crate) mod train;
pub(crate) mod transform;
