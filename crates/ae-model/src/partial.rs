//! Learning from rows as they arrive.

use ae_data::{BatchSource, memory};

use crate::config::Precision;
use crate::error::Error;
use crate::model::{AnyEngine, Autoencoder, known_values, targets_of};
use crate::optim::Optimizer;
use crate::scale::{Allowed, MAX_EVALUATED, MAX_SQUARED, Scaler};
use crate::table::Feed;

impl Autoencoder {
    /// Runs one update on all rows of `data` together and returns their MSE before it.
    ///
    /// The first call on an unfitted model fits the scaler to these rows; later calls keep it. If the
    /// first rows may be few, give the model a scale beforehand ([`Autoencoder::from_layers`]). After
    /// [`fit`](Autoencoder::fit), updates continue with the optimizer's state, at the configured
    /// learning rate ([`set_learning_rate`](Autoencoder::set_learning_rate)) without the schedule. In a
    /// model loaded from a file, the optimizer starts anew.
    ///
    /// # Errors
    /// As [`fit`](Autoencoder::fit), except that [`Error::Overflow`] is about any of these rows and
    /// [`Error::LossNotFinite`] takes the place of [`Error::Diverged`]. Also [`Error::Names`], before
    /// anything changes, for columns that are not the model's.
    pub fn partial_fit(&mut self, data: &dyn BatchSource) -> Result<f64, Error> {
        self.view().expect_rows(data)?;
        self.expect_fine_names(data.names())?;
        let rows = data.rows();
        if rows == 0 {
            return Err(Error::NoRows { rows, validation: 0 });
        }
        let indices = memory::indices(0..rows)?;
        let kind = if self.fitted { crate::ScalerKind::None } else { self.config.scaler() };
        let fit = |kind, source, unit_only| {
            Scaler::fit_allowed(
                kind,
                source,
                &indices,
                Allowed { missing: self.config.mask_missing(), unit_only },
            )
        };
        let targets = targets_of(data)?;
        let of_targets = |error: Error| if targets.is_some() { Error::of_targets(error) } else { error };
        if targets.is_some() {
            fit(crate::ScalerKind::None, data, false)?;
        }
        let expected = targets.unwrap_or(data);
        let scaler = fit(kind, expected, !self.fitted && self.needs_unit_targets()).map_err(of_targets)?;
        let scaler = match self.fitted {
            true => self.scaler.extended_by(&scaler),
            false => self.leave_indicators_unscaled(scaler),
        };
        if self.fitted {
            self.expect_unit_range(expected, &indices).map_err(of_targets)?;
        }
        if self.config.precision() != Precision::F64 {
            // A single update on such a row would make the parameters, and what the optimizer remembers,
            // too large.
            let squares = matches!(self.config.optimizer(), Optimizer::Adam { .. } | Optimizer::AdamW { .. });
            let bound = match squares && self.config.clip_norm().is_none() {
                true => MAX_SQUARED,
                false => MAX_EVALUATED,
            };
            scaler.expect_no_overflow(data, &indices, bound)?;
            if let Some(targets) = targets {
                scaler.expect_no_overflow(targets, &indices, bound).map_err(of_targets)?;
            }
        }
        if !self.fitted {
            self.names = data.names().map(<[String]>::to_vec);
        }
        let mut feed = Feed::new(data, targets, rows)?;
        let (table, indices) = feed.rows(&indices)?;
        self.history = None;
        let Autoencoder { engine, pool, fitted, .. } = self;
        let total = match engine {
            AnyEngine::F32(engine) => {
                if !*fitted {
                    engine.set_scaler(&scaler);
                }
                engine.train_batch_outside_fit(pool.crew(), table, indices)?
            }
            AnyEngine::F64(engine) => {
                if !*fitted {
                    engine.set_scaler(&scaler);
                }
                engine.train_batch_outside_fit(pool.crew(), table, indices)?
            }
        };
        // With the limits of these rows.
        (self.scaler, self.fitted) = (scaler, true);
        let mse = total.squares / known_values(table.expected()).max(1) as f64;
        let learning_rate = self.config.learning_rate();
        expect_finite(learning_rate, mse)?;
        expect_finite(learning_rate, total.loss / indices.len() as f64)?;
        Ok(mse)
    }

    /// Sets the learning rate of subsequent updates and training runs.
    ///
    /// # Errors
    /// [`Error::Config`] unless it is above 0 and at most 1,000,000.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<(), Error> {
        self.config = self.config.clone().with_learning_rate(learning_rate)?;
        match &mut self.engine {
            AnyEngine::F32(engine) => engine.configure_learning_rate(learning_rate),
            AnyEngine::F64(engine) => engine.configure_learning_rate(learning_rate),
        }
        Ok(())
    }
}

/// Refuses the mean squared error or the mean loss of a batch that is not finite. The loss may overflow
/// alone, by its penalties.
pub(crate) fn expect_finite(learning_rate: f64, loss: f64) -> Result<(), Error> {
    if loss.is_finite() { Ok(()) } else { Err(Error::LossNotFinite { learning_rate, loss }) }
}
