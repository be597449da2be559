//! Where rows come from.

use crate::error::DataError;

/// Rows that training and scoring read in batches, in any order; they need not fit in memory.
pub trait BatchSource: Sync {
    /// Rows.
    fn rows(&self) -> usize;

    /// Values of a row.
    fn features(&self) -> usize;

    /// Names of the features, where they have names.
    fn names(&self) -> Option<&[String]> {
        None
    }

    /// Copies row `indices[i]` to `out[i * features..][..features]`.
    ///
    /// # Errors
    /// [`DataError::RowOutOfRange`] for an index beyond the rows, [`DataError::Shape`] if `out` is not as long as
    /// the rows together, or whatever reading them returns.
    fn read_rows(&self, indices: &[usize], out: &mut [f32]) -> Result<(), DataError>;

    /// All values, `[rows, features]`, where they are in memory: saves a copy.
    fn as_slice(&self) -> Option<&[f32]> {
        None
    }
}

/// Copies rows of a row-major table.
pub(crate) fn copy_rows(
    values: &[f32],
    features: usize,
    indices: &[usize],
    out: &mut [f32],
) -> Result<(), DataError> {
    check_out(features, indices, out)?;
    if features == 0 {
        return Ok(());
    }
    let rows = values.len() / features;
    for (&index, to) in indices.iter().zip(out.chunks_exact_mut(features)) {
        if index >= rows {
            return Err(DataError::RowOutOfRange { index, rows });
        }
        to.copy_from_slice(&values[index * features..][..features]);
    }
    Ok(())
}

fn check_out(features: usize, indices: &[usize], out: &[f32]) -> Result<(), DataError> {
    if out.len() == indices.len() * features {
        return Ok(());
    }
    Err(DataError::Shape { what: "the rows asked for", width: features, got: out.len() })
}

/// Borrowed rows, `[rows, features]` in row-major order.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    values: &'a [f32],
    features: usize,
}

impl<'a> Rows<'a> {
    /// Rows of `features` values each.
    ///
    /// # Errors
    /// [`DataError::Shape`] if the values are not whole rows.
    pub fn new(values: &'a [f32], features: usize) -> Result<Rows<'a>, DataError> {
        let whole = if features == 0 { values.is_empty() } else { values.len().is_multiple_of(features) };
        if !whole {
            return Err(DataError::Shape { what: "rows", width: features, got: values.len() });
        }
        Ok(Rows { values, features })
    }
}

impl BatchSource for Rows<'_> {
    fn rows(&self) -> usize {
        self.values.len().checked_div(self.features).unwrap_or(0)
    }
    fn features(&self) -> usize {
        self.features
    }
    fn read_rows(&self, indices: &[usize], out: &mut [f32]) -> Result<(), DataError> {
        copy_rows(self.values, self.features, indices, out)
    }
    fn as_slice(&self) -> Option<&[f32]> {
        Some(self.values)
    }
}

/// Some rows of another source, without a copy.
pub struct Subset<'a> {
    source: &'a dyn BatchSource,
    indices: Vec<usize>,
}

impl<'a> Subset<'a> {
    /// The rows of these indices, in this order.
    ///
    /// # Errors
    /// [`DataError::RowOutOfRange`] for an index beyond the source.
    pub fn new(source: &'a dyn BatchSource, indices: Vec<usize>) -> Result<Subset<'a>, DataError> {
        let rows = source.rows();
        match indices.iter().find(|index| **index >= rows) {
            Some(&index) => Err(DataError::RowOutOfRange { index, rows }),
            None => Ok(Subset { source, indices }),
        }
    }
}

impl std::fmt::Debug for Subset<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subset of {} of {} rows", self.indices.len(), self.source.rows())
    }
}

impl BatchSource for Subset<'_> {
    fn rows(&self) -> usize {
        self.indices.len()
    }
    fn features(&self) -> usize {
        self.source.features()
    }
    fn names(&self) -> Option<&[String]> {
        self.source.names()
    }
    fn read_rows(&self, indices: &[usize], out: &mut [f32]) -> Result<(), DataError> {
        let rows = self.indices.len();
        let of_source: Vec<usize> = indices
            .iter()
            .map(|&index| self.indices.get(index).copied().ok_or(DataError::RowOutOfRange { index, rows }))
            .collect::<Result<_, _>>()?;
        self.source.read_rows(&of_source, out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_read_through_to_their_source() {
        let values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        let rows = Rows::new(&values, 2).unwrap();
        let subset = Subset::new(&rows, vec![2, 0]).unwrap();
        let mut out = [0.0; 4];
        subset.read_rows(&[1, 0], &mut out).unwrap();
        assert_eq!(out, [0.0, 1.0, 4.0, 5.0]);
        let error = subset.read_rows(&[2, 0], &mut out).unwrap_err().to_string();
        assert_eq!(error, "row 3 was asked for, but there are 2 rows");
        assert!(subset.read_rows(&[0], &mut out).is_err());
        assert!(Subset::new(&rows, vec![3]).is_err());
    }
}
