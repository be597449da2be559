//! What an engine has learnt and counted, to be saved and restored into another engine of the same
//! configuration.

use super::Engine;
use crate::stage::BatchTopKLatent;
use crate::step::Arithmetic;

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
    /// Threshold, batches and last value of the batch top-k latent.
    pub(crate) latent: Option<(f64, u64, f64)>,
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
