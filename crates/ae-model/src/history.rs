//! What happened during training.

use serde::{Deserialize, Serialize};

/// One pass over the training rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EpochRecord {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// Mean loss per training row, as minimised but without the weight penalty; each batch before its
    /// update.
    pub train_loss: f64,
    /// Mean of `(x̂ - x)²` over the scaled training rows and features; each batch before its update.
    pub train_mse: f64,
    /// Mean loss per validation row after the epoch, if there are any, without noise, dropout or
    /// penalties. For a variational model, latent samples and the KL divergence count as after any
    /// warm-up, so that with β = 1 and no free bits it is the bound; every epoch uses the same random
    /// numbers.
    pub validation_loss: Option<f64>,
    /// MSE over the validation rows after the epoch, if there are any.
    pub validation_mse: Option<f64>,
    /// The learning rate of the last update.
    pub learning_rate: f64,
    /// Wall time in seconds; 0 in the history of a loaded model, because files do not store times.
    pub seconds: f64,
}

impl History {
    /// The same history without wall times, as model files store it, so that equal data and settings
    /// give equal files.
    #[must_use]
    pub fn without_times(mut self) -> History {
        self.epochs.iter_mut().for_each(|record| record.seconds = 0.0);
        self
    }
}

impl EpochRecord {
    /// The loss that early stopping monitors: the validation loss, else the training loss.
    pub fn monitored(&self) -> f64 {
        self.validation_loss.unwrap_or(self.train_loss)
    }
}

/// Why training ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// The last epoch was completed.
    Finished,
    /// The loss stopped improving.
    EarlyStopping,
    /// The [`crate::CancelToken`] was used. The weights are those of that moment, or the best so far
    /// with early stopping.
    Cancelled,
    /// A callback asked to stop, for this reason.
    Callback(String),
}

/// The course of a training run: every epoch, and how it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct History {
    /// One record per epoch, in order.
    pub epochs: Vec<EpochRecord>,
    /// Why training ended.
    pub stopped: StopReason,
    /// The epoch after which the weights were as the model now holds them, counted from 1: with early
    /// stopping the one with the lowest loss, however training ended; otherwise the last completed one.
    pub kept_epoch: usize,
    /// Rows per update.
    pub batch_size: usize,
    /// Number of training rows.
    pub train_rows: usize,
    /// Number of validation rows.
    pub validation_rows: usize,
}

impl History {
    /// The record of [`History::kept_epoch`].
    pub fn kept(&self) -> Option<&EpochRecord> {
        self.kept_epoch.checked_sub(1).and_then(|index| self.epochs.get(index))
    }
}
