//! What an engine has learnt and counted, to be saved and restored into another engine of the same
//! configuration.

use super::Engine;
use crate::stage::BatchTopKLatent;
use crate::step::Arithmetic;

/// Everything the next updates depend on besides the configuration and the number of updates.
pub(crate) struct Memory<'a, T> {
    /// In panels, like everything with a value per parameter.
    pub(crate) parameters: &'a [T],
    /// The running mean of the parameters, if there is one.
    pub(crate) mean: Option<&'a [T]>,
    /// The optimizer state.
    pub(crate) state: &'a [T],
    /// Rows since each feature of a sparse code was last active, if dead features are revived.
    pub(crate) silent: Option<&'a [u64]>,
    /// The batch top-k latent, if there is one.
    pub(crate) latent: Option<&'a BatchTopKLatent>,
}

/// An owned [`Memory`], with the same lengths. `f64` holds the numbers of either arithmetic exactly.
#[derive(Debug)]
pub(crate) struct Memories {
    pub(crate) time: u64,
    pub(crate) parameters: Vec<f64>,
    pub(crate) mean: Option<Vec<f64>>,
    pub(crate) state: Vec<f64>,
    pub(crate) silent: Option<Vec<u64>>,
    /// Threshold, batches and last value of the batch top-k latent.
    pub(crate) latent: Option<(f64, u64, f64)>,
}

impl<T: Arithmetic> Engine<T> {
    pub(crate) fn memory(&self) -> Memory<'_, T> {
        let used = self.network.parameters.as_slice();
        let (parameters, mean) = match &self.mean {
            None => (used, None),
            Some(mean) if mean.swapped => (mean.values.as_slice(), Some(used)),
            Some(mean) => (used, Some(mean.values.as_slice())),
        };
        Memory {
            parameters,
            mean,
            state: self.state.as_slice(),
            silent: self.deaths.as_ref().map(|deaths| deaths.silent.as_slice()),
            latent: self.network.batch_top_k(),
        }
    }

    /// Whether the network currently holds the running mean of its parameters.
    pub(crate) fn uses_mean(&self) -> bool {
        self.mean.as_ref().is_some_and(|mean| mean.swapped)
    }

    /// Restores a saved state.
    pub(crate) fn recall(&mut self, memories: &Memories) {
        self.use_mean(false);
        narrow(&memories.parameters, self.network.parameters.as_mut_slice());
        narrow(&memories.state, self.state.as_mut_slice());
        if let (Some(mean), Some(saved)) = (&mut self.mean, &memories.mean) {
            narrow(saved, mean.values.as_mut_slice());
        }
        if let (Some(deaths), Some(silent)) = (&mut self.deaths, &memories.silent) {
            deaths.silent.copy_from_slice(silent);
            deaths.find_dead();
        }
        if let (Some(latent), Some(saved)) = (self.network.batch_top_k_mut(), memories.latent) {
            (latent.threshold, latent.batches, latent.last) = saved;
        }
        self.time = memories.time;
    }
}

fn narrow<T: Arithmetic>(values: &[f64], out: &mut [T]) {
    assert_eq!(values.len(), out.len(), "a memory of another network");
    out.iter_mut().zip(values).for_each(|(out, x)| *out = T::from_f64(*x));
}
