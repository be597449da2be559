//! Values on their way into a table: what is missing or too large is noticed here, whatever the format.

use std::path::Path;

use crate::dataset::Dataset;
use crate::error::DataError;
use crate::read::Missing;

/// A table that grows cell by cell, in row-major order.
pub(crate) struct Cells<'a> {
    path: &'a Path,
    names: Option<Vec<String>>,
    features: usize,
    policy: Missing,
    values: Vec<f32>,
    first_missing: Option<usize>,
    missing: usize,
}

impl<'a> Cells<'a> {
    pub(crate) fn new(path: &'a Path, features: usize, names: Option<Vec<String>>, policy: Missing) -> Self {
        Cells { path, names, features, policy, values: Vec::new(), first_missing: None, missing: 0 }
    }

    /// Takes the next cell; NaN is a missing value.
    pub(crate) fn push(&mut self, x: f64) -> Result<(), DataError> {
        let narrow = x as f32;
        if narrow.is_nan() {
            self.first_missing.get_or_insert(self.values.len());
            self.missing += 1;
        } else if narrow.is_infinite() && x.is_finite() {
            let (row, column) = self.place(self.values.len());
            return Err(DataError::TooLarge {
                path: self.path.to_owned(),
                row,
                column,
                value: format!("{x:e}"),
            });
        }
        self.values.push(narrow);
        Ok(())
    }

    /// Takes cells that are numbers within the range of `f32`.
    pub(crate) fn extend(&mut self, cells: impl Iterator<Item = f32>) {
        self.values.extend(cells);
    }

    /// Row (from 1) and column, in words, of the cell of this index.
    fn place(&self, index: usize) -> (usize, String) {
        let width = self.features.max(1);
        (index / width + 1, column_name(self.names.as_deref(), index % width))
    }

    /// The table.
    pub(crate) fn finish(self) -> Result<Dataset, DataError> {
        let path = self.path.to_owned();
        if self.values.is_empty() {
            return Err(DataError::Empty { path });
        }
        if let (Missing::Reject, Some(index)) = (self.policy, self.first_missing) {
            let (row, column) = self.place(index);
            return Err(DataError::MissingValue { path, row, column, count: self.missing });
        }
        let dataset = Dataset::new(self.values, self.features)?;
        match self.names {
            Some(names) => dataset.with_names(names),
            None => Ok(dataset),
        }
    }
}

/// The column in words: its name in quotes, else its number counted from 1.
pub(crate) fn column_name(names: Option<&[String]>, index: usize) -> String {
    match names.and_then(|names| names.get(index)) {
        Some(name) => format!("'{name}'"),
        None => (index + 1).to_string(),
    }
}
