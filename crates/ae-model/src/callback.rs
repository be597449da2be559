//! Watching training, and stopping it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::history::EpochRecord;

/// Where training is after an update.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct BatchEnd {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// The batch, counted from 1.
    pub batch: usize,
    /// Batches of an epoch.
    pub batches: usize,
    /// Mean of `(x̂ - x)²` over the batch before its update.
    pub mse: f64,
}

/// Watches training. The methods do nothing unless overridden; breaking ends training with the reason given. A closure over the epochs is a
/// callback too:
///
/// ```
/// use std::ops::ControlFlow;
///
/// use ae_data::Rows;
/// use ae_model::{Autoencoder, Config, EpochRecord, StopReason};
///
/// let rows = Rows::new(&[0.0, 0.1, 0.4, 0.5, 0.9, 1.0], 2)?;
/// let mut model = Autoencoder::new(Config::builder(2).encoding_dim(1).epochs(100).build()?)?;
/// let mut good_enough = |record: &EpochRecord| match record.train_mse {
///     mse if mse < 0.1 || record.epoch == 20 => ControlFlow::Break(format!("an MSE of {mse:.3}")),
///     _ => ControlFlow::Continue(()),
/// };
/// let history = model.fit(&rows, &mut [&mut good_enough])?;
/// assert!(matches!(history.stopped, StopReason::Callback(_)));
/// # Ok::<(), ae_model::Error>(())
/// ```
pub trait Callback: Send {
    /// Called once before training goes on from a checkpoint, with the epochs that are over, of which there may be none.
    fn on_resume(&mut self, epochs: &[EpochRecord]) {
        let _ = epochs;
    }

    /// After each update. Keep it short: the threads wait.
    fn on_batch_end(&mut self, end: &BatchEnd) -> ControlFlow<String> {
        let _ = end;
        ControlFlow::Continue(())
    }

    /// After each epoch.
    fn on_epoch_end(&mut self, record: &EpochRecord) -> ControlFlow<String> {
        let _ = record;
        ControlFlow::Continue(())
    }
}

/// Callbacks made of a closure over the epochs.
impl<F: FnMut(&EpochRecord) -> ControlFlow<String> + Send> Callback for F {
    fn on_epoch_end(&mut self, record: &EpochRecord) -> ControlFlow<String> {
        self(record)
    }
}

/// Stops training from another thread, after the update under way.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that has not been used.
    pub fn new() -> Self {
        CancelToken::default()
    }

    /// Asks training to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it has been asked to.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
