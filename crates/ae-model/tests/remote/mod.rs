//! A source that is not entirely in memory.

use ae_data::{BatchSource, DataError, Dataset};

/// Gives access to the rows of a data set, but not to a slice of all of them.
pub(crate) struct Remote(pub(crate) Dataset);

impl BatchSource for Remote {
    fn rows(&self) -> usize {
        self.0.rows()
    }
    fn features(&self) -> usize {
        self.0.features()
    }
    fn read_rows(&self, indices: &[usize], out: &mut [f32]) -> Result<(), DataError> {
        self.0.read_rows(indices, out)
    }
}
