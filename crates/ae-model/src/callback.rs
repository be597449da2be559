//! Watching training, and stopping it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::history::EpochRecord;

/// Where training is after an update.
#[derive(Clone, Copy, Debug, PartialEq)]
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

/// Watches training. The methods do nothing unless overridden; breaking ends training with the reason given.
pub trait Callback: Send {
    /// Before a training that goes on from a checkpoint: the epochs that are over, of which there may be none.
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
