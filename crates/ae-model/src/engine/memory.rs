//! What an engine has learnt and counted, to be saved and restored into another engine of the same
//! configuration. In a file it is these tensors, and the rest as JSON:
//!
//! | tensor | type | shape |
//! |---|---|---|
//! | `training.parameters` | of the arithmetic | all parameters, in panels |
//! | `training.state` | of the arithmetic | of the optimizer, in panels |
//! | `training.mean`, with a running mean of the weights | of the arithmetic | as the parameters |
//! | `training.silent`, where features are revived | U64 | `[encoding_dim]` |

use safetensors::tensor::SafeTensors;

use super::Engine;
use crate::error::FileErrorKind;
use crate::file::{Container, Stored, TRAINING_PREFIX, any_values, check_shape, expect_finite};
use crate::stage::BatchTopKLatent;
use crate::step::Arithmetic;

/// The largest number of updates or batches accepted from a file.
const MAX_COUNT: u64 = 1 << 53;

/// Everything the next updates depend on besides the configuration and the number of updates.
pub(crate) struct StateView<'a, T> {
    /// In panels, like everything with a value per parameter.
    pub(crate) parameters: &'a [T],
    /// The running mean of the parameters, if there is one.
    pub(crate) mean: Option<&'a [T]>,
    /// The optimizer state.
    pub(crate) state: &'a [T],
    /// Rows since each feature of a sparse code was last active, if dead features are revived.
    pub(crate) rows_since_active: Option<&'a [u64]>,
    /// The batch top-k latent, if there is one.
    pub(crate) latent: Option<&'a BatchTopKLatent>,
}

/// An owned [`StateView`], with the same lengths. `f64` holds the numbers of either arithmetic exactly.
#[derive(Debug)]
pub(crate) struct SavedState {
    pub(crate) updates: u64,
    pub(crate) parameters: Vec<f64>,
    pub(crate) mean: Option<Vec<f64>>,
    pub(crate) state: Vec<f64>,
    pub(crate) rows_since_active: Option<Vec<u64>>,
    pub(crate) latent: Option<LatentState>,
}

/// Threshold, batches and last value of the batch top-k latent.
pub(crate) type LatentState = (f64, u64, f64);

impl<T: Arithmetic> StateView<'_, T> {
    /// Adds the tensors to a file.
    pub(crate) fn put(&self, file: &mut Container) -> Result<(), FileErrorKind> {
        file.put(tensor("parameters"), vec![self.parameters.len()], self.parameters)?;
        if let Some(mean) = self.mean {
            file.put(tensor("mean"), vec![mean.len()], mean)?;
        }
        // A mean of squares may have become infinite, which makes steps of zero.
        file.put_any(tensor("state"), vec![self.state.len()], self.state);
        if let Some(rows_since_active) = self.rows_since_active {
            file.put(tensor("silent"), vec![rows_since_active.len()], rows_since_active)?;
        }
        Ok(())
    }

    /// What the file has to hold of the latent besides.
    pub(crate) fn latent(&self) -> Option<LatentState> {
        self.latent.map(|latent| (latent.threshold, latent.batches, latent.last))
    }

    /// Reads a state like this one from a file that holds these numbers besides.
    pub(crate) fn read(
        &self,
        file: &SafeTensors<'_>,
        (updates, latent): (u64, Option<LatentState>),
    ) -> Result<SavedState, FileErrorKind> {
        let wrong = |what: &str| Err(FileErrorKind::Settings(format!("{what} of the training cannot be")));
        if updates > MAX_COUNT {
            return wrong("the number of updates");
        }
        let is_possible = |(threshold, batches, last): LatentState| {
            threshold.is_finite() && last.is_finite() && batches <= MAX_COUNT
        };
        if latent.is_some() != self.latent.is_some() || latent.is_some_and(|latent| !is_possible(latent)) {
            return wrong("the top-k latent");
        }
        let rows_since_active = match self.rows_since_active {
            None => None,
            Some(rows_since_active) => {
                check_shape(file, &tensor("silent"), u64::DTYPE, &[rows_since_active.len()])?;
                Some(any_values(file, &tensor("silent"))?)
            }
        };
        Ok(SavedState {
            updates,
            parameters: self.parameters_named("parameters", file)?,
            mean: self.mean.map(|_| self.parameters_named("mean", file)).transpose()?,
            state: numbers::<T>(file, "state", self.state.len())?,
            rows_since_active,
            latent,
        })
    }

    /// Reads finite values for all parameters from the tensor of this name.
    pub(crate) fn parameters_named(
        &self,
        name: &str,
        file: &SafeTensors<'_>,
    ) -> Result<Vec<f64>, FileErrorKind> {
        let values = numbers::<T>(file, name, self.parameters.len())?;
        expect_finite(&tensor(name), &values)?;
        Ok(values)
    }
}

/// The full name of a tensor.
pub(crate) fn tensor(name: &str) -> String {
    format!("{TRAINING_PREFIX}{name}")
}

fn numbers<T: Arithmetic>(file: &SafeTensors<'_>, name: &str, len: usize) -> Result<Vec<f64>, FileErrorKind> {
    check_shape(file, &tensor(name), T::DTYPE, &[len])?;
    let values: Vec<T> = any_values(file, &tensor(name))?;
    Ok(values.into_iter().map(T::to_f64).collect())
}

impl<T: Arithmetic> Engine<T> {
    pub(crate) fn state_view(&self) -> StateView<'_, T> {
        let used = self.network.parameters.as_slice();
        let (parameters, mean) = match &self.mean {
            None => (used, None),
            Some(mean) if mean.swapped => (mean.values.as_slice(), Some(used)),
            Some(mean) => (used, Some(mean.values.as_slice())),
        };
        StateView {
            parameters,
            mean,
            state: self.state.as_slice(),
            rows_since_active: self
                .dead_features
                .as_ref()
                .map(|dead_features| dead_features.rows_since_active.as_slice()),
            latent: self.network.batch_top_k(),
        }
    }

    /// Whether the network currently holds the running mean of its parameters.
    pub(crate) fn uses_mean(&self) -> bool {
        self.mean.as_ref().is_some_and(|mean| mean.swapped)
    }

    /// Restores a saved state.
    pub(crate) fn restore(&mut self, saved: &SavedState) {
        self.use_mean(false);
        narrow(&saved.parameters, self.network.parameters.as_mut_slice());
        narrow(&saved.state, self.state.as_mut_slice());
        if let (Some(mean), Some(values)) = (&mut self.mean, &saved.mean) {
            narrow(values, mean.values.as_mut_slice());
        }
        if let (Some(dead_features), Some(rows_since_active)) =
            (&mut self.dead_features, &saved.rows_since_active)
        {
            dead_features.rows_since_active.copy_from_slice(rows_since_active);
            dead_features.find_dead();
        }
        if let (Some(latent), Some(of_latent)) = (self.network.batch_top_k_mut(), saved.latent) {
            (latent.threshold, latent.batches, latent.last) = of_latent;
        }
        self.updates = saved.updates;
    }
}

fn narrow<T: Arithmetic>(values: &[f64], out: &mut [T]) {
    assert_eq!(values.len(), out.len(), "a state of another network");
    out.iter_mut().zip(values).for_each(|(out, x)| *out = T::from_f64(*x));
}
