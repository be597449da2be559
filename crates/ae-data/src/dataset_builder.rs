//! Collects values into a dataset and checks for missing and too large ones, whatever the format.

use std::path::Path;

use crate::dataset::Dataset;
use crate::error::DataError;
use crate::memory;
use crate::read::Missing;

/// A dataset that is filled cell by cell, in row-major order.
pub(crate) struct DatasetBuilder<'a> {
    path: &'a Path,
    names: Option<Vec<String>>,
    features: usize,
    /// Indices of the columns of the file that are not part of the dataset, ascending.
    left_out: Vec<usize>,
    policy: Missing,
    values: Vec<f32>,
    first_missing: Option<usize>,
    missing: usize,
}

impl<'a> DatasetBuilder<'a> {
    pub(crate) fn new(path: &'a Path, features: usize, names: Option<Vec<String>>, policy: Missing) -> Self {
        let values = Vec::new();
        DatasetBuilder {
            path,
            names,
            features,
            left_out: Vec::new(),
            policy,
            values,
            first_missing: None,
            missing: 0,
        }
    }

    /// Makes messages count columns as in a file that has others at these ascending indices.
    #[cfg(feature = "csv")]
    pub(crate) fn without_columns(mut self, indices: Vec<usize>) -> Self {
        self.left_out = indices;
        self
    }

    /// Appends the next cell; NaN is a missing value.
    pub(crate) fn push(&mut self, x: f64) -> Result<(), DataError> {
        let narrow = x as f32;
        if narrow.is_nan() {
            self.first_missing.get_or_insert(self.values.len());
            self.missing += 1;
        } else if narrow.is_infinite() && x.is_finite() {
            return Err(self.too_large(format!("{x:e}")));
        }
        memory::grow(&mut self.values, 1, self.path)?;
        self.values.push(narrow);
        Ok(())
    }

    /// Returns the error for the next cell, a finite number beyond the range of `f32`.
    pub(crate) fn too_large(&self, value: String) -> DataError {
        let (row, column) = self.location(self.values.len());
        DataError::TooLarge { path: self.path.to_owned(), row, column, value }
    }

    /// Whether any cell of this column so far is a number.
    #[cfg(feature = "csv")]
    pub(crate) fn has_number(&self, column: usize) -> bool {
        self.values.iter().skip(column).step_by(self.features.max(1)).any(|x| !x.is_nan())
    }

    /// Appends cells that are known to be numbers within the range of `f32`.
    #[cfg(feature = "idx")]
    pub(crate) fn extend(&mut self, cells: impl ExactSizeIterator<Item = f32>) -> Result<(), DataError> {
        memory::grow(&mut self.values, cells.len(), self.path)?;
        self.values.extend(cells);
        Ok(())
    }

    /// Returns the row (from 1) and the column, in words, of the cell at this index.
    fn location(&self, index: usize) -> (usize, String) {
        let width = self.features.max(1);
        let mut column = index % width;
        // Names are those of the dataset; numbers are those of the file.
        if self.names.is_none() {
            for left_out in &self.left_out {
                column += usize::from(*left_out <= column);
            }
        }
        (index / width + 1, column_name(self.names.as_deref(), column))
    }

    /// Returns the dataset, or the error for an empty one or a missing value.
    pub(crate) fn finish(self) -> Result<Dataset, DataError> {
        let path = self.path.to_owned();
        if self.values.is_empty() {
            return Err(DataError::Empty { path });
        }
        if let (Missing::Reject, Some(index)) = (self.policy, self.first_missing) {
            let (row, column) = self.location(index);
            return Err(DataError::MissingValue { path, row, column, count: self.missing });
        }
        let dataset = Dataset::new(self.values, self.features)?;
        match self.names {
            Some(names) => dataset.with_names(names),
            None => Ok(dataset),
        }
    }
}

/// Returns the column in words: its name in quotes, or its number counted from 1.
pub(crate) fn column_name(names: Option<&[String]>, index: usize) -> String {
    match names.and_then(|names| names.get(index)) {
        Some(name) => format!("'{name}'"),
        None => (index + 1).to_string(),
    }
}
