//! The training history as stored in model files: one array per quantity.
//!
//! Wall times are left out, so that equal data and settings give equal files.

use serde::{Deserialize, Serialize};

use crate::history::{EpochRecord, History, StopReason};

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredHistory {
    stopped: StopReason,
    kept_epoch: usize,
    batch_size: usize,
    train_rows: usize,
    validation_rows: usize,
    train_loss: Vec<f64>,
    train_mse: Vec<f64>,
    /// `None` without validation rows.
    validation_loss: Option<Vec<f64>>,
    validation_mse: Option<Vec<f64>>,
    learning_rate: Vec<f64>,
}

impl From<&History> for StoredHistory {
    fn from(history: &History) -> StoredHistory {
        let epochs = &history.epochs;
        let column = |value: fn(&EpochRecord) -> f64| epochs.iter().map(value).collect();
        StoredHistory {
            stopped: history.stopped.clone(),
            kept_epoch: history.kept_epoch,
            batch_size: history.batch_size,
            train_rows: history.train_rows,
            validation_rows: history.validation_rows,
            train_loss: column(|record| record.train_loss),
            train_mse: column(|record| record.train_mse),
            validation_loss: epochs.iter().map(|record| record.validation_loss).collect(),
            validation_mse: epochs.iter().map(|record| record.validation_mse).collect(),
            learning_rate: column(|record| record.learning_rate),
        }
    }
}

impl StoredHistory {
    /// Returns the history, without times, or what is wrong with it.
    pub(super) fn history(self) -> Result<History, String> {
        let epochs = self.train_mse.len();
        let columns = [
            ("train_loss", Some(&self.train_loss)),
            ("validation_loss", self.validation_loss.as_ref()),
            ("validation_mse", self.validation_mse.as_ref()),
            ("learning_rate", Some(&self.learning_rate)),
        ];
        for (name, column) in columns {
            if let Some(values) = column.filter(|values| values.len() != epochs) {
                return Err(format!("the history has {epochs} epochs and {} of {name}", values.len()));
            }
        }
        if self.kept_epoch > epochs {
            return Err(format!("the history has {epochs} epochs and keeps epoch {}", self.kept_epoch));
        }
        let of = |column: &Option<Vec<f64>>, index: usize| {
            column.as_ref().and_then(|values| values.get(index)).copied()
        };
        let records = self.train_loss.iter().zip(&self.train_mse).zip(&self.learning_rate).enumerate();
        let epochs = records
            .map(|(index, ((train_loss, train_mse), learning_rate))| EpochRecord {
                epoch: index + 1,
                train_loss: *train_loss,
                train_mse: *train_mse,
                validation_loss: of(&self.validation_loss, index),
                validation_mse: of(&self.validation_mse, index),
                learning_rate: *learning_rate,
                seconds: 0.0,
            })
            .collect();
        Ok(History {
            epochs,
            stopped: self.stopped,
            kept_epoch: self.kept_epoch,
            batch_size: self.batch_size,
            train_rows: self.train_rows,
            validation_rows: self.validation_rows,
        })
    }
}
