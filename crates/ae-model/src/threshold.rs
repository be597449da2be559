//! The threshold of a top-k latent over whole batches, which belongs to the weights.

use crate::config::out_of_range;
use crate::error::Error;
use crate::model::Autoencoder;

impl Autoencoder {
    /// The smallest value of an encoding that a top-k latent over whole batches
    /// ([`crate::TopK::of_batch`]) keeps outside training: a running mean over the updates, 0 before the
    /// first. `None` for other latents.
    pub fn latent_threshold(&self) -> Option<f64> {
        self.engine.batch_top_k().map(|latent| latent.threshold)
    }

    /// Sets the [`latent_threshold`](Autoencoder::latent_threshold), as for weights from another
    /// program: a lower one keeps more values. [`partial_fit`](Autoencoder::partial_fit) continues its
    /// running mean; [`fit`](Autoencoder::fit) replaces it.
    ///
    /// # Errors
    /// [`Error::NoThreshold`] for a latent without one; [`Error::Config`] unless it is finite. It may be
    /// negative, as values of an encoding may.
    pub fn set_latent_threshold(&mut self, threshold: f64) -> Result<(), Error> {
        let kind = self.config.latent().name();
        let latent = self.engine.batch_top_k_mut().ok_or(Error::NoThreshold { latent: kind })?;
        if !threshold.is_finite() {
            return Err(out_of_range("threshold", threshold, "a finite number").into());
        }
        latent.resume(threshold);
        Ok(())
    }
}
