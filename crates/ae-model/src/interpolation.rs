//! Interpolation between rows, by their encodings.

use ae_data::{Dataset, memory};

use crate::error::Error;
use crate::model::Autoencoder;

impl Autoencoder {
    /// Interpolates between two rows, in the units of the data: decodes `steps` encodings evenly spaced
    /// on the line between theirs, both ends included, to `[steps, input_dim]`.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::NotFinite`], [`Error::Config`] for `steps` outside 2 to 1,000,000, and
    /// [`Error::Data`] with [`DataError::OutOfMemory`](ae_data::DataError::OutOfMemory) for more rows than
    /// fit into memory.
    pub fn interpolate(&self, from: &[f32], to: &[f32], steps: usize) -> Result<Dataset, Error> {
        crate::config::in_range("steps", steps, 2, 1_000_000)?;
        let features = self.config().input_dim();
        if let Some(row) = [from, to].iter().find(|row| row.len() != features) {
            return Err(Error::Width { what: "rows", expected: features, got: row.len() });
        }
        let ends = self.encode(&Dataset::new([from, to].concat(), features)?)?;
        let (dim, last) = (self.config().encoding_dim(), (steps - 1) as f32);
        let (from, to) = ends.values().split_at(dim);
        let at = |fraction: f32| from.iter().zip(to).map(move |(a, b)| a * (1.0 - fraction) + b * fraction);
        let mut codes = memory::room("the encodings", steps, dim)?;
        codes.extend((0..steps).flat_map(|step| at(step as f32 / last)));
        self.decode(&Dataset::new(codes, dim)?)
    }
}
