//! Whether rows occur among other rows.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use ae_data::BatchSource;

use crate::blocks::for_each_block;
use crate::error::EvalError;

/// The different rows of a source, by 64-bit hashes: a row that is not among a million others is taken
/// for one of them with a probability of 5e-14.
#[derive(Clone, Debug)]
pub struct RowSet {
    features: usize,
    hashes: HashSet<u64>,
}

impl RowSet {
    /// The set of these rows.
    ///
    /// # Errors
    /// An error from reading the rows.
    pub fn of(rows: &dyn BatchSource) -> Result<RowSet, EvalError> {
        let (features, mut hashes) = (rows.features(), HashSet::new());
        for_each_hash(rows, |hash| {
            hashes.insert(hash);
        })?;
        Ok(RowSet { features, hashes })
    }

    /// How many of these rows are in the set, with the same bits in every value.
    ///
    /// # Errors
    /// [`EvalError::Width`] for rows of another width, or an error from reading them.
    pub fn count(&self, rows: &dyn BatchSource) -> Result<usize, EvalError> {
        if rows.features() != self.features {
            return Err(EvalError::Width { expected: self.features, got: rows.features() });
        }
        let mut count = 0;
        for_each_hash(rows, |hash| count += usize::from(self.hashes.contains(&hash)))?;
        Ok(count)
    }
}

fn for_each_hash(rows: &dyn BatchSource, mut take: impl FnMut(u64)) -> Result<(), EvalError> {
    let features = rows.features().max(1);
    for_each_block(rows, |block| {
        for row in block.chunks_exact(features) {
            let mut hasher = DefaultHasher::new();
            row.iter().for_each(|x| x.to_bits().hash(&mut hasher));
            take(hasher.finish());
        }
    })
}

#[cfg(test)]
mod tests {
    use ae_data::Rows;

    use super::*;

    #[test]
    fn rows_with_the_same_values_are_found() {
        let reference = Rows::new(&[1.0, 2.0, 3.0, f32::NAN, 1.0, 2.0], 2).unwrap();
        let set = RowSet::of(&reference).unwrap();
        let rows = Rows::new(&[3.0, f32::NAN, 2.0, 1.0, 1.0, 2.0, 1.0, 2.0], 2).unwrap();
        assert_eq!(set.count(&rows).unwrap(), 3);
        let said = set.count(&Rows::new(&[1.0; 3], 3).unwrap()).unwrap_err().to_string();
        assert_eq!(said, "expected rows of 2 features, got 3");
    }
}
