//! Sources of rows.

use std::sync::Arc;

use crate::error::DataError;

/// A source of rows that training and scoring read in batches, in any order; they need not fit in
/// memory.
///
/// The source must not change during a call that it is passed to: the number of rows and the values of
/// each row stay the same.
///
/// [`Dataset`](crate::Dataset) owns its rows, [`Rows`] borrows a slice. A pointer to a source (`&S`,
/// `&mut S`, `Box<S>`, `Arc<S>`) is a source too. Any other type needs the number of its rows, their
/// width, and a way to read some of them:
///
/// ```
/// use ae_data::{BatchSource, DataError};
///
/// /// Sine waves of rising frequency.
/// struct Waves;
///
/// impl BatchSource for Waves {
///     fn rows(&self) -> usize {
///         100
///     }
///     fn features(&self) -> usize {
///         64
///     }
///     fn read_rows(&self, indices: &[usize], out: &mut [f32]) -> Result<(), DataError> {
///         if out.len() != indices.len() * 64 {
///             return Err(DataError::Shape { what: "the requested rows", width: 64, got: out.len() });
///         }
///         for (&index, wave) in indices.iter().zip(out.chunks_exact_mut(64)) {
///             if index >= 100 {
///                 return Err(DataError::RowOutOfRange { index, rows: 100 });
///             }
///             for (time, x) in wave.iter_mut().enumerate() {
///                 *x = (index as f32 * time as f32 / 64.0).sin();
///             }
///         }
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a source of rows",
    label = "rows are expected here: a `BatchSource`",
    note = "`Rows::new(&values, features)` borrows rows that follow each other in one slice, and \
            `Dataset::from_rows(&rows)` copies rows that are separate, such as those of a `Vec<Vec<f32>>`"
)]
pub trait BatchSource: Sync {
    /// Number of rows.
    fn rows(&self) -> usize;

    /// Number of values per row.
    fn features(&self) -> usize;

    /// Names of the features, if any.
    fn names(&self) -> Option<&[String]> {
        None
    }

    /// Copies row `indices[i]` to `out[i * features..][..features]`.
    ///
    /// # Errors
    /// [`DataError::RowOutOfRange`] for an index that is out of range, [`DataError::Shape`] if the
    /// length of `out` is not that of the rows, or any error from reading them ([`DataError::of_source`]
    /// wraps any error).
    fn read_rows(&self, indices: &[usize], out: &mut [f32]) -> Result<(), DataError>;

    /// All values, `[rows, features]`, if they are in memory; this saves a copy.
    fn as_slice(&self) -> Option<&[f32]> {
        None
    }

    /// The target rows, if they are not the rows themselves: as many rows with as many values
    /// ([`Pairs`]).
    fn targets(&self) -> Option<&dyn BatchSource> {
        None
    }

    /// The number of rows at the end that are held out for validation and never trained on
    /// ([`HeldOut`]), instead of a random fraction.
    fn held_out(&self) -> usize {
        0
    }
}

/// Returns all values of a source, if they are in memory and their number is `rows * features`.
pub fn contiguous_values<S: BatchSource + ?Sized>(source: &S) -> Option<&[f32]> {
    source.as_slice().filter(|values| Some(values.len()) == source.rows().checked_mul(source.features()))
}

/// Implements [`BatchSource`] for a pointer to a source: every method is that of the source.
///
/// A blanket implementation over `Deref` would be shorter, but nobody could then implement the trait for
/// a type of their own that dereferences to something else.
macro_rules! forward_to_pointee {
    ($(impl<$S:ident $(: $and:ident)?> for $pointer:ty;)+) => {$(
        impl<$S: BatchSource $(+ $and)? + ?Sized> BatchSource for $pointer {
            fn rows(&self) -> usize {
                (**self).rows()
            }
            fn features(&self) -> usize {
                (**self).features()
            }
            fn names(&self) -> Option<&[String]> {
                (**self).names()
            }
            fn read_rows(&self, indices: &[usize], out: &mut [f32]) -> Result<(), DataError> {
                (**self).read_rows(indices, out)
            }
            fn as_slice(&self) -> Option<&[f32]> {
                (**self).as_slice()
            }
            fn targets(&self) -> Option<&dyn BatchSource> {
                (**self).targets()
            }
            fn held_out(&self) -> usize {
                (**self).held_out()
            }
        }
    )+};
}

forward_to_pointee! {
    impl<S> for &S;
    impl<S> for &mut S;
    impl<S> for Box<S>;
    // An `Arc` can be used from several threads only if its contents may be dropped on any of them.
    impl<S: Send> for Arc<S>;
}

/// Calls `take` with consecutive blocks of at most `rows_at_a_time` rows until all rows have been read.
///
/// # Errors
/// Any error from reading the rows.
pub fn for_each_block(
    source: &dyn BatchSource,
    rows_at_a_time: usize,
    mut take: impl FnMut(&[f32]),
) -> Result<(), DataError> {
    let (rows, features, most) = (source.rows(), source.features(), rows_at_a_time.max(1));
    if let Some(values) = contiguous_values(source) {
        values.chunks(most.saturating_mul(features).max(1)).for_each(take);
        return Ok(());
    }
    let mut values = vec![0.0; most.min(rows) * features];
    for first in (0..rows).step_by(most) {
        let indices: Vec<usize> = (first..rows.min(first.saturating_add(most))).collect();
        let block = &mut values[..indices.len() * features];
        source.read_rows(&indices, block)?;
        take(block);
    }
    Ok(())
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
    if indices.len().checked_mul(features) == Some(out.len()) {
        return Ok(());
    }
    Err(DataError::Shape { what: "the requested rows", width: features, got: out.len() })
}

/// Borrowed rows, `[rows, features]` in row-major order.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    values: &'a [f32],
    features: usize,
}

impl<'a> Rows<'a> {
    /// Creates rows of `features` values each.
    ///
    /// # Errors
    /// [`DataError::Shape`] if the values do not fill whole rows.
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

/// Rows and their targets, for example noisy and clean ones. Row `i` of one belongs to row `i` of the
/// other.
///
/// ```
/// use ae_data::{BatchSource, Pairs, Rows};
///
/// let (noisy, clean) = (Rows::new(&[0.1, 0.9, 0.6, 0.4], 2)?, Rows::new(&[0.0, 1.0, 0.5, 0.5], 2)?);
/// let pairs = Pairs::new(&noisy, &clean)?;
/// assert_eq!(pairs.targets().and_then(BatchSource::as_slice), clean.as_slice());
/// # Ok::<(), ae_data::DataError>(())
/// ```
#[derive(Clone, Copy)]
pub struct Pairs<'a> {
    inputs: &'a dyn BatchSource,
    targets: &'a dyn BatchSource,
}

impl<'a> Pairs<'a> {
    /// Pairs `inputs` with `targets`.
    ///
    /// # Errors
    /// [`DataError::Count`] if the numbers of rows or of values per row differ.
    pub fn new(inputs: &'a dyn BatchSource, targets: &'a dyn BatchSource) -> Result<Pairs<'a>, DataError> {
        let (rows, features) = (inputs.rows(), inputs.features());
        if targets.rows() != rows {
            let (what, of) = ("target rows", "rows");
            return Err(DataError::Count { what, of, expected: rows, got: targets.rows() });
        }
        if targets.features() != features {
            let (what, of) = ("values per target row", "values per row");
            return Err(DataError::Count { what, of, expected: features, got: targets.features() });
        }
        Ok(Pairs { inputs, targets })
    }
}

impl std::fmt::Debug for Pairs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} Pairs of rows", self.inputs.rows())
    }
}

impl BatchSource for Pairs<'_> {
    fn rows(&self) -> usize {
        self.inputs.rows()
    }
    fn features(&self) -> usize {
        self.inputs.features()
    }
    fn names(&self) -> Option<&[String]> {
        self.inputs.names()
    }
    fn read_rows(&self, indices: &[usize], out: &mut [f32]) -> Result<(), DataError> {
        self.inputs.read_rows(indices, out)
    }
    fn as_slice(&self) -> Option<&[f32]> {
        self.inputs.as_slice()
    }
    fn targets(&self) -> Option<&dyn BatchSource> {
        Some(self.targets)
    }
    fn held_out(&self) -> usize {
        self.inputs.held_out()
    }
}

/// Rows of which the last are held out for validation: the most recent ones of a time series, those of
/// other people or machines than the rest, or those of a separate file appended with
/// [`crate::Dataset::followed_by`]. Training uses only the rows before them, whatever fraction its
/// configuration holds out.
///
/// ```
/// use ae_data::{BatchSource, HeldOut, Rows};
///
/// let rows = Rows::new(&[0.0, 0.1, 0.2, 0.3], 1)?;
/// let divided = HeldOut::last(&rows, 1)?;
/// assert_eq!(ae_data::train_validation_split(&divided, 0.5, 0)?, (vec![0, 1, 2], vec![3]));
/// # Ok::<(), ae_data::DataError>(())
/// ```
#[derive(Clone, Copy)]
pub struct HeldOut<'a> {
    source: &'a dyn BatchSource,
    count: usize,
}

impl<'a> HeldOut<'a> {
    /// Holds out the last `count` rows of `source`.
    ///
    /// # Errors
    /// [`DataError::Count`] if there are fewer rows.
    pub fn last(source: &'a dyn BatchSource, count: usize) -> Result<HeldOut<'a>, DataError> {
        let rows = source.rows();
        if count > rows {
            return Err(DataError::Count { what: "rows held out", of: "rows", expected: rows, got: count });
        }
        Ok(HeldOut { source, count })
    }
}

impl std::fmt::Debug for HeldOut<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HeldOut, the last {} of {} rows", self.count, self.source.rows())
    }
}

impl BatchSource for HeldOut<'_> {
    fn rows(&self) -> usize {
        self.source.rows()
    }
    fn features(&self) -> usize {
        self.source.features()
    }
    fn names(&self) -> Option<&[String]> {
        self.source.names()
    }
    fn read_rows(&self, indices: &[usize], out: &mut [f32]) -> Result<(), DataError> {
        self.source.read_rows(indices, out)
    }
    fn as_slice(&self) -> Option<&[f32]> {
        self.source.as_slice()
    }
    fn targets(&self) -> Option<&dyn BatchSource> {
        self.source.targets()
    }
    fn held_out(&self) -> usize {
        self.count
    }
}

/// A selection of rows from another source, without a copy. Held-out rows at the end of the selection
/// stay held out.
pub struct Subset<'a> {
    source: &'a dyn BatchSource,
    indices: Vec<usize>,
    /// The same selection from the targets.
    targets: Option<Box<Subset<'a>>>,
}

impl<'a> Subset<'a> {
    /// Selects the rows at these indices, in this order.
    ///
    /// # Errors
    /// [`DataError::RowOutOfRange`] for an index that is out of range.
    pub fn new(source: &'a dyn BatchSource, indices: Vec<usize>) -> Result<Subset<'a>, DataError> {
        let rows = source.rows();
        if let Some(&index) = indices.iter().find(|index| **index >= rows) {
            return Err(DataError::RowOutOfRange { index, rows });
        }
        let targets = source.targets().map(|targets| Subset::new(targets, indices.clone())).transpose()?;
        Ok(Subset { source, indices, targets: targets.map(Box::new) })
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
    fn targets(&self) -> Option<&dyn BatchSource> {
        self.targets.as_deref().map(|targets| targets as &dyn BatchSource)
    }
    fn held_out(&self) -> usize {
        let first = self.source.rows().saturating_sub(self.source.held_out());
        self.indices.iter().rev().take_while(|index| **index >= first).count()
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
        assert_eq!(error, "row 3 is out of range: there are 2 rows");
        assert!(subset.read_rows(&[0], &mut out).is_err());
        assert!(Subset::new(&rows, vec![3]).is_err());
        assert!(subset.targets().is_none());
    }

    #[test]
    fn pairs_stay_together() {
        let (inputs, targets) = ([0.0, 1.0, 2.0, 3.0], [10.0, 11.0, 12.0, 13.0]);
        let (inputs, targets) = (Rows::new(&inputs, 2).unwrap(), Rows::new(&targets, 2).unwrap());
        let pairs = Pairs::new(&inputs, &targets).unwrap();
        assert_eq!(pairs.as_slice(), inputs.as_slice());
        assert_eq!(pairs.targets().unwrap().as_slice(), targets.as_slice());
        let subset = Subset::new(&pairs, vec![1]).unwrap();
        let mut out = [0.0; 2];
        subset.read_rows(&[0], &mut out).unwrap();
        assert_eq!(out, [2.0, 3.0]);
        subset.targets().unwrap().read_rows(&[0], &mut out).unwrap();
        assert_eq!(out, [12.0, 13.0]);
    }

    #[test]
    fn pairs_are_of_the_same_shape() {
        let rows = Rows::new(&[0.0; 6], 2).unwrap();
        let fewer = Pairs::new(&rows, &Rows::new(&[0.0; 4], 2).unwrap()).unwrap_err().to_string();
        assert_eq!(fewer, "2 target rows for 3 rows");
        let wider = Pairs::new(&rows, &Rows::new(&[0.0; 9], 3).unwrap()).unwrap_err().to_string();
        assert_eq!(wider, "3 values per target row for 2 values per row");
    }

    /// Held-out rows that come before others are trained on.
    #[test]
    fn what_is_held_out_stays_so_at_the_end_of_a_subset() {
        let rows = Rows::new(&[0.0; 6], 1).unwrap();
        let held_out = HeldOut::last(&rows, 2).unwrap();
        for (indices, learnt) in
            [(vec![0, 2, 5, 4], 2), (vec![5, 0, 3, 4], 3), (vec![3, 4], 1), (vec![4, 0], 2)]
        {
            let subset = Subset::new(&held_out, indices.clone()).unwrap();
            let expected = ((0..learnt).collect(), (learnt..indices.len()).collect());
            assert_eq!(crate::train_validation_split(&subset, 0.0, 0).unwrap(), expected, "{indices:?}");
        }
    }

    #[test]
    fn pairs_and_pointers_hold_out_what_their_rows_do() {
        let rows = Rows::new(&[0.0; 6], 2).unwrap();
        let held_out = HeldOut::last(&rows, 2).unwrap();
        assert_eq!(Pairs::new(&held_out, &rows).unwrap().held_out(), 2);
        fn of(source: impl BatchSource) -> usize {
            source.held_out()
        }
        let boxed: Box<dyn BatchSource + '_> = Box::new(held_out);
        assert_eq!((of(&boxed), of(boxed), of(Arc::new(held_out))), (2, 2, 2));
        assert!(HeldOut::last(&rows, 3).is_ok() && HeldOut::last(&rows, 4).is_err());
    }
}
