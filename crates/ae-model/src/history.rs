//! What happened during training.

use serde::{Deserialize, Serialize};

/// One pass over the training rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EpochRecord {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// Mean over the training rows of what is minimised, each batch before its update, without what the weights cost.
    pub train_loss: f64,
    /// Mean of `(x̂ - x)²` over the scaled training rows and features, each batch before its update.
    pub train_mse: f64,
    /// Mean over the validation rows after the epoch, where there are any, of what is minimised, without noise, dropout or penalties. That of
    /// a variational model is the bound itself, with its samples and its divergence in full, by the same random numbers after every epoch.
    pub validation_loss: Option<f64>,
    /// The MSE over the validation rows after the epoch, where there are any.
    pub validation_mse: Option<f64>,
    /// The learning rate of the last update.
    pub learning_rate: f64,
    /// Wall time in seconds; 0 in the history of a loaded model, for files do not depend on it.
    pub seconds: f64,
}

impl History {
    /// The same course without the seconds that it took, as model files keep it: equal data and settings give equal ones.
    #[must_use]
    pub fn without_times(mut self) -> History {
        self.epochs.iter_mut().for_each(|record| record.seconds = 0.0);
        self
    }
}

impl EpochRecord {
    /// What early stopping watches: the validation loss, else the training loss.
    pub fn monitored(&self) -> f64 {
        self.validation_loss.unwrap_or(self.train_loss)
    }
}

/// Why training ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StopReason {
    /// After the last epoch.
    Finished,
    /// The loss no longer improved.
    EarlyStopping,
    /// Its [`crate::CancelToken`] was used; the weights are those of that moment, or with early stopping the best so far.
    Cancelled,
    /// A callback asked for it, with this reason.
    Callback(String),
}

/// Every epoch, and how it ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct History {
    /// One record an epoch, in order.
    pub epochs: Vec<EpochRecord>,
    /// Why training ended.
    pub stopped: StopReason,
    /// The epoch after which the weights were as the model now holds them, counted from 1: with early stopping the
    /// one with the lowest loss, however training ended; else the last whole one.
    pub kept_epoch: usize,
    /// Rows of an update.
    pub batch_size: usize,
    /// Rows that were learnt from.
    pub train_rows: usize,
    /// Rows that were set aside.
    pub validation_rows: usize,
}

impl History {
    /// The record of [`History::kept_epoch`].
    pub fn kept(&self) -> Option<&EpochRecord> {
        self.kept_epoch.checked_sub(1).and_then(|index| self.epochs.get(index))
    }
}
