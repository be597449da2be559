//! What an engine has learnt and counted: to be written down, and put back into another one of the same configuration.

use super::Engine;
use crate::stage::BatchTopKLatent;
use crate::step::Arithmetic;

/// All that the next updates depend on beside the configuration and the number of updates.
pub(crate) struct Memory<'a, T> {
    /// In panels, as everything that has a value for each parameter.
    pub(crate) parameters: &'a [T],
    /// The running mean of the parameters.
    pub(crate) mean: Option<&'a [T]>,
    /// The optimiser's state.
    pub(crate) state: &'a [T],
    /// Rows since each feature of a sparse code was last active, where features are revived.
    pub(crate) silent: Option<&'a [u64]>,
    /// A top-k latent of batches.
    pub(crate) latent: Option<&'a BatchTopKLatent>,
}

/// What [`Memory`] holds, by itself; numbers of either arithmetic are exact in `f64`. Each is as long as there.
#[derive(Debug)]
pub(crate) struct Memories {
    pub(crate) time: u64,
    pub(crate) parameters: Vec<f64>,
    pub(crate) mean: Option<Vec<f64>>,
    pub(crate) state: Vec<f64>,
    pub(crate) silent: Option<Vec<u64>>,
    /// Threshold, batches and last value of a top-k latent of batches.
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

    /// Whether the network has the running mean of its parameters.
    pub(crate) fn uses_mean(&self) -> bool {
        self.mean.as_ref().is_some_and(|mean| mean.swapped)
    }

    /// Goes on from there.
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
