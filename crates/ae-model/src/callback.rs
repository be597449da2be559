//! Observing training, and stopping it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::history::EpochRecord;

/// The state of training after an update.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct BatchEnd {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// The batch, counted from 1.
    pub batch: usize,
    /// Batches per epoch.
    pub batches: usize,
    /// Mean of `(x̂ - x)²` over the batch before its update.
    pub mse: f64,
}

/// Observes training.
///
/// The methods do nothing unless overridden. Returning `Break` ends training with the given reason. A
/// closure over [`EpochRecord`]s is a callback too:
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
    /// Called once before training resumes from a checkpoint, with the completed epochs, possibly none.
    fn on_resume(&mut self, epochs: &[EpochRecord]) {
        let _ = epochs;
    }

    /// Called after each update. Keep it short: all threads wait for it.
    fn on_batch_end(&mut self, end: &BatchEnd) -> ControlFlow<String> {
        let _ = end;
        ControlFlow::Continue(())
    }

    /// Called after each epoch.
    fn on_epoch_end(&mut self, record: &EpochRecord) -> ControlFlow<String> {
        let _ = record;
        ControlFlow::Continue(())
    }
}

/// A closure called after each epoch is a callback.
impl<F: FnMut(&EpochRecord) -> ControlFlow<String> + Send> Callback for F {
    fn on_epoch_end(&mut self, record: &EpochRecord) -> ControlFlow<String> {
        self(record)
    }
}

/// Stops training from another thread, after the current update.
#[derive(Clone, Debug, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Creates an unused token.
    pub fn new() -> Self {
        CancelToken::default()
    }

    /// Asks training to stop.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether [`CancelToken::cancel`] has been called.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
