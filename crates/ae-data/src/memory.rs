//! Allocations whose size comes from a file, a setting or a caller: too large a one is an error instead of
//! the end of the process.

use std::hint::black_box;
use std::ops::Range;
#[cfg(any(feature = "csv", feature = "idx", feature = "npy", feature = "parquet"))]
use std::path::Path;

use crate::error::DataError;

/// Allocates zeros for `rows` rows of `width` values each.
///
/// ```
/// let codes: Vec<f32> = ae_data::memory::zeros("the encodings", 2, 3)?;
/// assert_eq!(codes, [0.0; 6]);
/// let refused = ae_data::memory::zeros::<f32>("the encodings", usize::MAX, 2);
/// assert!(refused.unwrap_err().to_string().starts_with("the encodings do not fit into memory"));
/// # Ok::<(), ae_data::DataError>(())
/// ```
///
/// # Errors
/// [`DataError::OutOfMemory`], which says what `what` needs, if there is no memory for it.
pub fn zeros<T: Clone + Default>(what: &'static str, rows: usize, width: usize) -> Result<Vec<T>, DataError> {
    // Only asks whether there is so much. `vec!` then gets pages that the system has cleared, which the
    // threads that fill them are the first to touch; cleared here, they would be touched by this thread.
    let room: Vec<T> = room(what, rows, width)?;
    let count = rows * width;
    drop(black_box(room));
    Ok(vec![T::default(); count])
}

/// Makes an empty vector with room for `rows` rows of `width` values each.
///
/// # Errors
/// As [`zeros`].
pub fn room<T>(what: &'static str, rows: usize, width: usize) -> Result<Vec<T>, DataError> {
    let refused = || DataError::OutOfMemory { what, rows, width };
    let count = rows.checked_mul(width).ok_or_else(refused)?;
    let mut room = Vec::new();
    black_box(&mut room).try_reserve_exact(count).map_err(|_| refused())?;
    Ok(room)
}

/// Makes room for `more` values of a file, which may decompress to any number of them.
///
/// # Errors
/// [`DataError::FileTooLarge`] if there is no memory for them.
#[cfg(any(feature = "csv", feature = "idx", feature = "npy", feature = "parquet"))]
pub(crate) fn grow<T>(values: &mut Vec<T>, more: usize, path: &Path) -> Result<(), DataError> {
    values.try_reserve(more).map_err(|_| DataError::FileTooLarge { path: path.to_owned() })
}

/// Collects row indices.
///
/// # Errors
/// [`DataError::OutOfMemory`] if there is no memory for them.
pub fn indices(rows: Range<usize>) -> Result<Vec<usize>, DataError> {
    let mut indices = Vec::new();
    let refused = |_| DataError::OutOfMemory { what: "the row indices", rows: rows.len(), width: 1 };
    indices.try_reserve_exact(rows.len()).map_err(refused)?;
    indices.extend(rows);
    Ok(indices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_an_error() {
        let said = zeros::<f64>("the errors", 1 << 60, 3).unwrap_err().to_string();
        assert_eq!(said, format!("the errors do not fit into memory: {} rows of 3 values", 1u64 << 60));
        for (rows, width) in [(usize::MAX, 1), (usize::MAX, usize::MAX), (1, usize::MAX / 4)] {
            assert!(zeros::<f32>("rows", rows, width).is_err(), "{rows} {width}");
        }
        assert!(indices(0..usize::MAX).is_err() && indices(3..usize::MAX / 8).is_err());
        assert!(zeros::<u8>("bytes", 0, usize::MAX).unwrap().is_empty());
        assert_eq!(indices(3..5).unwrap(), [3, 4]);
    }
    #[cfg(any(feature = "csv", feature = "idx", feature = "npy", feature = "parquet"))]
    #[test]
    fn files_that_do_not_fit_are_named() {
        let mut values = vec![1u32];
        let said = grow(&mut values, usize::MAX / 8, Path::new("t.csv")).unwrap_err().to_string();
        assert_eq!(said, "t.csv: its values do not fit into memory");
        assert!(grow(&mut values, 10, Path::new("t.csv")).is_ok() && values.capacity() > 10);
    }
}
