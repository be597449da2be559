//! Early stopping and divergence: ends training when the loss no longer falls, or grows without bound.

use ae_kernels::workspace::AlignedBuf;
use serde::{Deserialize, Serialize};

use crate::config::EarlyStopping;
use crate::engine::Engine;
use crate::error::Error;
use crate::history::EpochRecord;
use crate::step::Arithmetic;

/// Early stopping: the best loss so far, and the weights after its epoch.
pub(super) struct Stopper<T> {
    settings: Option<EarlyStopping>,
    best: Option<Best>,
    weights: AlignedBuf<T>,
}

/// The best epoch so far.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Best {
    loss: f64,
    epoch: usize,
    /// The threshold of a batch top-k latent, which belongs to the weights.
    threshold: f64,
}

impl Best {
    pub(super) fn epoch(&self) -> usize {
        self.epoch
    }
}

impl<T: Arithmetic> Stopper<T> {
    pub(super) fn new(settings: Option<EarlyStopping>, engine: &Engine<T>) -> Self {
        let len = if settings.is_some() { engine.network.parameters.as_slice().len() } else { 0 };
        Stopper { settings, best: None, weights: AlignedBuf::zeroed(len) }
    }

    /// Records an epoch.
    pub(super) fn after_epoch(&mut self, record: &EpochRecord, engine: &Engine<T>) {
        let Some(settings) = self.settings else { return };
        let (loss, best) = (record.monitored(), self.best.map_or(f64::INFINITY, |best| best.loss));
        if improves(loss, best, settings.min_improvement) {
            let threshold = engine.network.batch_top_k().map_or(0.0, |latent| latent.threshold);
            self.best = Some(Best { loss, epoch: record.epoch, threshold });
            self.weights.as_mut_slice().copy_from_slice(engine.network.parameters.as_slice());
        }
    }

    /// Whether the patience is exhausted after `epochs` epochs.
    pub(super) fn is_out_of_patience(&self, epochs: usize) -> bool {
        match (self.settings, self.best) {
            (Some(settings), Some(best)) => epochs.saturating_sub(best.epoch) >= settings.patience,
            _ => false,
        }
    }

    /// The epoch with the lowest loss, if early stopping is on and has seen one.
    pub(super) fn best_epoch(&self) -> Option<usize> {
        self.best.map(|best| best.epoch)
    }

    /// Restores the best weights; further training would continue from them too.
    pub(super) fn restore_best(&self, engine: &mut Engine<T>) {
        let Some(best) = self.best else { return };
        engine.set_parameters(self.weights.as_slice());
        if let Some(latent) = engine.network.batch_top_k_mut() {
            latent.threshold = best.threshold;
        }
    }

    /// The best epoch and its weights.
    pub(super) fn state(&self) -> Option<(Best, &[T])> {
        Some((self.best?, self.weights.as_slice()))
    }

    /// Restores the best epoch and its weights.
    pub(super) fn restore(&mut self, best: Best, weights: &[f64]) {
        self.best = Some(best);
        let out = self.weights.as_mut_slice().iter_mut();
        out.zip(weights).for_each(|(out, x)| *out = T::from_f64(*x));
    }
}

/// Whether `loss` is below `best` by the given `fraction` of its magnitude. Losses that are log
/// densities may be negative.
fn improves(loss: f64, best: f64, fraction: f64) -> bool {
    let margin = if best.is_finite() { fraction * best.abs() } else { 0.0 };
    loss < best - margin
}

/// An epoch whose loss exceeds the lowest one so far by this factor, and also exceeds that of the first
/// epoch, is not noise.
const EPOCH_GROWTH: f64 = 10.0;
/// A batch whose loss exceeds the untrained network's by this factor is beyond what unusual rows
/// explain.
const BATCH_GROWTH: f64 = 1e12;

/// Detects divergence.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Divergence {
    learning_rate: f64,
    /// The error of the first batch, before any update.
    untrained: Option<f64>,
    first: Option<f64>,
    lowest: Option<f64>,
}

impl Divergence {
    pub(super) fn new(learning_rate: f64) -> Self {
        Divergence { learning_rate, untrained: None, first: None, lowest: None }
    }

    /// Checks the mean squared error of a batch: fails if it is not finite, or out of all proportion to
    /// the untrained network's.
    pub(super) fn after_batch(&mut self, epoch: usize, batch: usize, mse: f64) -> Result<(), Error> {
        let untrained = *self.untrained.get_or_insert(mse);
        if !mse.is_finite() || (untrained > 0.0 && mse > untrained * BATCH_GROWTH) {
            return Err(self.mse_error(epoch, batch, mse));
        }
        Ok(())
    }

    /// Checks the mean loss of a batch: fails if it is not finite.
    pub(super) fn after_loss(&mut self, epoch: usize, batch: usize, loss: f64) -> Result<(), Error> {
        if loss.is_finite() { Ok(()) } else { Err(self.error(epoch, batch, "loss", loss, None)) }
    }

    /// Checks the losses of an epoch: fails if any is not finite, or if the training error is far above
    /// the lowest one and above the first one.
    pub(super) fn after_epoch(
        &mut self,
        epoch: usize,
        batch: usize,
        record: &EpochRecord,
    ) -> Result<(), Error> {
        let measured = [
            ("mean squared error of the validation rows", record.validation_mse),
            ("loss of the validation rows", record.validation_loss),
        ];
        for (quantity, value) in measured {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                return Err(self.error(epoch, batch, quantity, value, None));
            }
        }
        let loss = record.train_mse;
        let first = *self.first.get_or_insert(loss);
        let lowest = *self.lowest.get_or_insert(loss);
        if !loss.is_finite() || (loss > lowest * EPOCH_GROWTH && loss > first) {
            return Err(self.mse_error(epoch, batch, loss));
        }
        self.lowest = Some(lowest.min(loss));
        Ok(())
    }

    /// The error for a mean squared error of training rows.
    fn mse_error(&self, epoch: usize, batch: usize, mse: f64) -> Error {
        let lowest = [self.lowest, self.untrained].into_iter().flatten().reduce(f64::min);
        let lowest = lowest.filter(|lowest| lowest.is_finite());
        self.error(epoch, batch, "mean squared error", mse, lowest)
    }

    fn error(
        &self,
        epoch: usize,
        batch: usize,
        quantity: &'static str,
        loss: f64,
        best: Option<f64>,
    ) -> Error {
        Error::Diverged { epoch, batch, learning_rate: self.learning_rate, quantity, loss, best }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(train: f64, validation: Option<f64>) -> EpochRecord {
        EpochRecord {
            epoch: 1,
            train_loss: train,
            train_mse: train,
            validation_loss: validation,
            validation_mse: validation,
            learning_rate: 0.1,
            seconds: 0.0,
        }
    }

    #[test]
    fn improvements_are_fractions_of_either_sign() {
        let infinity = f64::INFINITY;
        for (loss, best, fraction, expected) in [
            (0.5, infinity, 0.05, true),
            (0.94, 1.0, 0.05, true),
            (0.96, 1.0, 0.05, false),
            (-80.0, infinity, 0.05, true),
            (-84.1, -80.0, 0.05, true),
            (-83.9, -80.0, 0.05, false),
            (-79.0, -80.0, 0.05, false),
            (-1.0, 0.0, 0.05, true),
            (0.0, 0.0, 0.0, false),
            (f64::NAN, infinity, 0.0, false),
        ] {
            assert_eq!(improves(loss, best, fraction), expected, "{loss} after {best}, by {fraction}");
        }
    }

    #[test]
    fn divergence_is_told_from_noise() {
        let cases: [(&[f64], Option<usize>, &str); 7] = [
            (&[0.5, 0.4, 0.3], None, "falling"),
            (&[0.5, 0.1, 0.4], None, "noise below the first"),
            (&[0.5, 1e-14, 1e-12], None, "rounding noise of an exact fit"),
            (&[0.5, 0.1, 1.1], Some(3), "ten times the lowest and above the first"),
            (&[0.5, f64::NAN], Some(2), "not a number"),
            (&[f64::INFINITY], Some(1), "infinite"),
            (&[0.0, 0.0, 0.0], None, "exactly zero"),
        ];
        for (losses, expected, name) in cases {
            let mut divergence = Divergence::new(0.1);
            let found =
                losses.iter().position(|loss| divergence.after_epoch(1, 1, &record(*loss, None)).is_err());
            assert_eq!(found.map(|i| i + 1), expected, "{name}");
        }
        assert!(Divergence::new(0.1).after_epoch(1, 1, &record(0.5, Some(f64::NAN))).is_err());
    }

    #[test]
    fn a_batch_diverges_only_beyond_all_relation() {
        let mut divergence = Divergence::new(0.1);
        for mse in [0.5, 1e6, 0.0] {
            assert!(divergence.after_batch(1, 1, mse).is_ok(), "{mse}");
        }
        assert!(divergence.after_batch(1, 4, 1e12).is_err());
    }

    #[test]
    fn the_error_says_what_diverged() {
        let mut divergence = Divergence::new(0.1);
        divergence.after_batch(1, 1, 0.5).unwrap();
        let infinite = EpochRecord { validation_loss: Some(f64::INFINITY), ..record(0.5, Some(0.5)) };
        for (error, what) in [
            (
                divergence.after_batch(2, 5, f64::NAN),
                "the mean squared error is NaN after 5.0000e-1 at its lowest;",
            ),
            (divergence.after_loss(2, 5, f64::INFINITY), "the loss is inf;"),
            (divergence.after_epoch(2, 5, &infinite), "the loss of the validation rows is inf;"),
            (divergence.after_epoch(2, 5, &record(f64::NAN, None)), "the mean squared error is NaN after"),
        ] {
            let error = error.unwrap_err().to_string();
            for part in ["epoch 2", "batch 5", "below 0.1", what] {
                assert!(error.contains(part), "{part} is not in: {error}");
            }
        }
    }
}
