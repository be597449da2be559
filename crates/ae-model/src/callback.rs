//! Observing training, and stopping it.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::history::EpochRecord;
use crate::snapshot::Snapshot;

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
/// The methods do nothing unless overridden. Returning `Break` ends training with the given reason.
/// [`on_epoch`] makes a callback of a closure.
pub trait Callback {
    /// Called once before training resumes from a checkpoint, with the completed epochs, possibly none.
    fn on_resume(&mut self, epochs: &[EpochRecord]) {
        let _ = epochs;
    }

    /// Called after each update. Keep it short: all threads wait for it.
    fn on_batch_end(&mut self, end: &BatchEnd) -> ControlFlow<String> {
        let _ = end;
        ControlFlow::Continue(())
    }

    /// Called after each epoch, with the model as it is.
    fn on_epoch_end(&mut self, record: &EpochRecord, model: &Snapshot<'_>) -> ControlFlow<String> {
        let _ = (record, model);
        ControlFlow::Continue(())
    }
}

/// A closure as a [`Callback`], see [`on_epoch`].
#[derive(Clone, Copy, Debug)]
pub struct OnEpoch<F>(F);

/// Makes a callback of a closure that is called after each epoch, with its record and the model as it
/// is.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use ae_data::Rows;
/// use ae_model::{Autoencoder, Config, StopReason, on_epoch};
///
/// let rows = Rows::new(&[0.0, 0.1, 0.4, 0.5, 0.9, 1.0], 2)?;
/// let probe = Rows::new(&[0.4, 0.5], 2)?;
/// let mut model = Autoencoder::new(Config::builder(2).encoding_dim(1).epochs(100).build()?)?;
/// let mut course = Vec::new();
/// let mut watch = on_epoch(|record, model| {
///     // A failure to look at the model is no reason to stop training.
///     course.extend(model.reconstruct(&probe));
///     match record.train_mse {
///         mse if mse < 0.1 || record.epoch == 20 => ControlFlow::Break(format!("an MSE of {mse:.3}")),
///         _ => ControlFlow::Continue(()),
///     }
/// });
/// let history = model.fit(&rows, &mut [&mut watch])?;
/// assert!(matches!(history.stopped, StopReason::Callback(_)));
/// assert_eq!(course.len(), history.epochs.len());
/// # Ok::<(), ae_model::Error>(())
/// ```
pub fn on_epoch<F>(closure: F) -> OnEpoch<F>
where
    F: FnMut(&EpochRecord, &Snapshot<'_>) -> ControlFlow<String>,
{
    OnEpoch(closure)
}

impl<F> Callback for OnEpoch<F>
where
    F: FnMut(&EpochRecord, &Snapshot<'_>) -> ControlFlow<String>,
{
    fn on_epoch_end(&mut self, record: &EpochRecord, model: &Snapshot<'_>) -> ControlFlow<String> {
        self.0(record, model)
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
