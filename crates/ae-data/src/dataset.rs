//! In-memory rows.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::error::DataError;
use crate::labels::Labels;
use crate::memory;
use crate::source::{BatchSource, copy_rows};

/// Returns the first name that occurs earlier in the list.
pub fn first_duplicate(names: &[String]) -> Option<&String> {
    let mut seen = HashSet::new();
    names.iter().find(|name| !seen.insert(*name))
}

/// Rows of numbers in memory, `[rows, features]` in row-major order, with optional feature names, labels
/// and row ids.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Dataset {
    values: Vec<f32>,
    features: usize,
    names: Option<Vec<String>>,
    labels: Option<Labels>,
    row_ids: Option<RowIds>,
}

/// What identifies the rows, and the name of the column that holds it.
#[derive(Debug, Clone, PartialEq)]
struct RowIds {
    name: String,
    ids: Vec<String>,
}

impl Dataset {
    /// Creates a dataset of rows with `features` values each.
    ///
    /// # Errors
    /// [`DataError::Shape`] if the values do not fill whole rows.
    pub fn new(values: Vec<f32>, features: usize) -> Result<Self, DataError> {
        let whole = if features == 0 { values.is_empty() } else { values.len().is_multiple_of(features) };
        if !whole {
            return Err(DataError::Shape { what: "rows", width: features, got: values.len() });
        }
        Ok(Dataset { values, features, names: None, labels: None, row_ids: None })
    }

    /// Copies rows that are separate, such as those of a `Vec<Vec<f32>>`.
    ///
    /// ```
    /// use ae_data::Dataset;
    ///
    /// let measurements = vec![vec![0.1, 0.9], vec![0.2, 0.8], vec![0.3, 0.7]];
    /// let rows = Dataset::from_rows(&measurements)?;
    /// assert_eq!((rows.rows(), rows.features()), (3, 2));
    ///
    /// let ragged = Dataset::from_rows([vec![0.1, 0.9], vec![0.2]]).unwrap_err();
    /// assert_eq!(ragged.to_string(), "the table: row 2 has 1 cells, but 2 are expected");
    /// # Ok::<(), ae_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::RaggedRow`] for the first row of another width than the rows before it,
    /// [`DataError::Empty`] if there are no rows or no values in them.
    pub fn from_rows(rows: impl IntoIterator<Item = impl AsRef<[f32]>>) -> Result<Self, DataError> {
        let mut values = Vec::new();
        let mut features = None;
        for (row, number) in rows.into_iter().zip(1..) {
            let row = row.as_ref();
            let expected = *features.get_or_insert(row.len());
            if row.len() != expected {
                let path = PathBuf::new();
                return Err(DataError::RaggedRow { path, row: number, line: 0, expected, got: row.len() });
            }
            values.extend_from_slice(row);
        }
        if values.is_empty() {
            return Err(DataError::Empty { path: PathBuf::new() });
        }
        Dataset::new(values, features.unwrap_or(0))
    }

    /// Sets the names of the features.
    ///
    /// # Errors
    /// [`DataError::Count`] unless there is one name per feature, [`DataError::DuplicateColumn`] for a
    /// repeated name.
    pub fn with_names(mut self, names: Vec<String>) -> Result<Self, DataError> {
        if names.len() != self.features {
            return Err(DataError::Count {
                what: "names",
                of: "features",
                expected: self.features,
                got: names.len(),
            });
        }
        if let Some(name) = first_duplicate(&names) {
            return Err(DataError::DuplicateColumn { name: name.clone() });
        }
        self.names = Some(names);
        Ok(self)
    }

    /// Sets the names of the features, one for each, which are known to be distinct.
    #[cfg(feature = "images")]
    pub(crate) fn with_distinct_names(mut self, names: Vec<String>) -> Self {
        debug_assert_eq!(names.len(), self.features, "one name per feature");
        self.names = Some(names);
        self
    }

    /// Sets the labels of the rows.
    ///
    /// # Errors
    /// [`DataError::Count`] unless there is one label per row.
    pub fn with_labels(mut self, labels: Labels) -> Result<Self, DataError> {
        if labels.len() != self.rows() {
            return Err(DataError::Count {
                what: "labels",
                of: "rows",
                expected: self.rows(),
                got: labels.len(),
            });
        }
        self.labels = Some(labels);
        Ok(self)
    }

    /// Sets what identifies the rows. `name` says what the ids are: `file`, or the name of a column.
    ///
    /// # Errors
    /// [`DataError::Count`] unless there is one id per row.
    pub fn with_row_ids(mut self, name: &str, ids: Vec<String>) -> Result<Self, DataError> {
        if ids.len() != self.rows() {
            let (expected, got) = (self.rows(), ids.len());
            return Err(DataError::Count { what: "ids", of: "rows", expected, got });
        }
        self.row_ids = Some(RowIds { name: name.to_owned(), ids });
        Ok(self)
    }

    /// Returns these rows followed by those of `other`. Columns are matched by name if both have names;
    /// labels and row ids are kept if both have them.
    ///
    /// # Errors
    /// [`DataError::Count`] for rows of another width, [`DataError::MissingColumns`] for a column that
    /// `other` lacks.
    pub fn followed_by(&self, other: &Dataset) -> Result<Dataset, DataError> {
        let other = match (&self.names, &other.names) {
            (Some(names), Some(present)) if names != present => &other.select_columns(names)?,
            _ => other,
        };
        if other.features != self.features {
            let (expected, got) = (self.features, other.features);
            return Err(DataError::Count {
                what: "features in the appended rows",
                of: "features",
                expected,
                got,
            });
        }
        let mut joined = Dataset::new([self.values(), other.values()].concat(), self.features)?;
        joined.names = self.names.clone().or_else(|| other.names.clone());
        if let (Some(labels), Some(others)) = (&self.labels, &other.labels) {
            let texts = [labels, others].into_iter().flat_map(|labels| {
                (0..labels.len()).map(|row| labels.name_of(row).unwrap_or_default().to_owned())
            });
            joined.labels = Some(Labels::from_texts(texts));
        }
        if let (Some(own), Some(others)) = (&self.row_ids, &other.row_ids) {
            let ids = [&own.ids[..], &others.ids[..]].concat();
            joined.row_ids = Some(RowIds { name: own.name.clone(), ids });
        }
        Ok(joined)
    }

    /// Applies `change` to the values of each row; names, labels and identifiers stay.
    #[must_use]
    pub fn map_rows(mut self, change: impl FnMut(&mut [f32])) -> Dataset {
        self.values.chunks_exact_mut(self.features.max(1)).for_each(change);
        self
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.features).unwrap_or(0)
    }

    /// Number of values per row.
    pub fn features(&self) -> usize {
        self.features
    }

    /// All values, `[rows, features]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Consumes the dataset and returns all values, `[rows, features]`.
    pub fn into_values(self) -> Vec<f32> {
        self.values
    }

    /// The row at this index, if there is one.
    pub fn row(&self, index: usize) -> Option<&[f32]> {
        (index < self.rows()).then(|| &self.values[index * self.features..][..self.features])
    }

    /// All rows, in order, as slices of [`features`](Dataset::features) values.
    ///
    /// ```
    /// let rows = ae_data::Dataset::from_rows([[1.0, 2.0], [3.0, 4.0]])?;
    /// let sums: Vec<f32> = rows.iter_rows().map(|row| row.iter().sum()).collect();
    /// assert_eq!(sums, [3.0, 7.0]);
    /// # Ok::<(), ae_data::DataError>(())
    /// ```
    pub fn iter_rows(&self) -> impl ExactSizeIterator<Item = &[f32]> + DoubleEndedIterator + Clone {
        // Without features there are no values, and so no rows.
        self.values.chunks_exact(self.features.max(1))
    }

    /// Names of the features, if any.
    pub fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    /// Labels of the rows, if any.
    pub fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    /// What identifies the rows, if anything does.
    pub fn row_ids(&self) -> Option<&[String]> {
        self.row_ids.as_ref().map(|all| all.ids.as_slice())
    }

    /// What the row ids are: `file`, or the name of the column that they come from.
    pub fn row_id_name(&self) -> Option<&str> {
        self.row_ids.as_ref().map(|all| all.name.as_str())
    }

    /// Returns the columns with these names, in this order, without the others.
    ///
    /// # Errors
    /// [`DataError::MissingColumns`], which lists every missing column, and [`DataError::NoNames`] if
    /// the features have no names.
    pub fn select_columns(&self, wanted: &[String]) -> Result<Dataset, DataError> {
        let Some(names) = &self.names else { return Err(DataError::NoNames { wanted: wanted.to_vec() }) };
        let positions: Vec<Option<usize>> =
            wanted.iter().map(|name| names.iter().position(|have| have == name)).collect();
        let missing: Vec<String> = wanted
            .iter()
            .zip(&positions)
            .filter(|(_, position)| position.is_none())
            .map(|(n, _)| n.clone())
            .collect();
        if !missing.is_empty() {
            return Err(DataError::MissingColumns { missing, present: names.clone() });
        }
        let positions: Vec<usize> = positions.into_iter().flatten().collect();
        let mut values = Vec::with_capacity(self.rows() * positions.len());
        for row in self.iter_rows() {
            values.extend(positions.iter().map(|&position| row[position]));
        }
        let mut selected = Dataset::new(values, positions.len())?.with_names(wanted.to_vec())?;
        selected.labels.clone_from(&self.labels);
        selected.row_ids.clone_from(&self.row_ids);
        Ok(selected)
    }

    /// Returns the rows at these indices, in this order, with their labels and ids.
    ///
    /// # Errors
    /// [`DataError::RowOutOfRange`] for an index that is out of range, [`DataError::OutOfMemory`] for more
    /// rows than fit into memory.
    pub fn select_rows(&self, indices: &[usize]) -> Result<Dataset, DataError> {
        let rows = self.rows();
        if let Some(&index) = indices.iter().find(|index| **index >= rows) {
            return Err(DataError::RowOutOfRange { index, rows });
        }
        let mut values = memory::zeros("the selected rows", indices.len(), self.features)?;
        copy_rows(&self.values, self.features, indices, &mut values)?;
        let labels = self.labels.as_ref().map(|labels| labels.select(indices));
        let row_ids = self.row_ids.as_ref().map(|all| {
            let ids = indices.iter().map(|index| all.ids[*index].clone()).collect();
            RowIds { name: all.name.clone(), ids }
        });
        Ok(Dataset { values, features: self.features, names: self.names.clone(), labels, row_ids })
    }
}

impl BatchSource for Dataset {
    fn rows(&self) -> usize {
        Dataset::rows(self)
    }
    fn features(&self) -> usize {
        self.features
    }
    fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }
    fn read_rows(&self, indices: &[usize], out: &mut [f32]) -> Result<(), DataError> {
        copy_rows(&self.values, self.features, indices, out)
    }
    fn as_slice(&self) -> Option<&[f32]> {
        Some(&self.values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    fn sample() -> Dataset {
        Dataset::new(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3)
            .unwrap()
            .with_names(names(&["a", "b", "c"]))
            .unwrap()
    }

    #[test]
    fn shapes_are_checked() {
        let cases: [(Result<Dataset, DataError>, &str); 5] = [
            (Dataset::new(vec![0.0; 5], 2), "5 values are not whole rows of 2"),
            (Dataset::new(vec![0.0; 5], 0), "5 values are not whole rows of 0"),
            (sample().with_names(names(&["a"])), "1 names for 3 features"),
            (sample().with_row_ids("file", names(&["a"])), "1 ids for 2 rows"),
            (sample().with_names(names(&["a", "b", "a"])), "two columns are named 'a'"),
        ];
        for (result, message) in cases {
            assert_eq!(result.unwrap_err().to_string(), message);
        }
        assert_eq!(Dataset::new(Vec::new(), 0).unwrap().rows(), 0);
    }

    #[test]
    fn separate_rows_are_copied_in_order() {
        let rows = Dataset::from_rows(vec![vec![1.0, 2.0], vec![3.0, 4.0], vec![5.0, 6.0]]).unwrap();
        assert_eq!(rows, Dataset::new(vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 2).unwrap());
        assert_eq!(Dataset::from_rows(rows.iter_rows()).unwrap(), rows);
        assert_eq!((rows.iter_rows().len(), Dataset::default().iter_rows().len()), (3, 0));
        assert_eq!(rows.iter_rows().next_back(), rows.row(2));
    }

    #[test]
    fn separate_rows_are_of_one_width() {
        let message = |rows: &[&[f32]]| Dataset::from_rows(rows).unwrap_err().to_string();
        let wider: &[f32] = &[1.0, 2.0, 3.0];
        let ragged = message(&[&[1.0, 2.0], &[3.0, 4.0], wider, &[5.0]]);
        assert_eq!(ragged, "the table: row 3 has 3 cells, but 2 are expected");
        let narrow = message(&[&[1.0, 2.0], &[3.0], &[4.0]]);
        assert_eq!(narrow, "the table: row 2 has 1 cells, but 2 are expected");
        assert_eq!(message(&[&[], &[1.0]]), "the table: row 2 has 1 cells, but 0 are expected");
        assert_eq!(
            (message(&[]), message(&[&[], &[]])),
            ("the table: no rows".into(), "the table: no rows".into())
        );
    }

    #[test]
    fn columns_are_found_by_name() {
        let picked = sample().select_columns(&names(&["c", "a"])).unwrap();
        assert_eq!(picked.values(), [3.0, 1.0, 6.0, 4.0]);
        let error = sample().select_columns(&names(&["c", "x", "y"])).unwrap_err();
        assert_eq!(error.to_string(), "columns 'x', 'y' are missing; there are 'a', 'b', 'c'");
    }

    #[test]
    fn rows_are_picked_with_their_labels() {
        let labelled = sample().with_labels(Labels::from_texts(["no", "yes"])).unwrap();
        let labelled = labelled.with_row_ids("file", names(&["x.png", "y.png"])).unwrap();
        let picked = labelled.select_rows(&[1, 1, 0]).unwrap();
        assert_eq!(picked.values(), [4.0, 5.0, 6.0, 4.0, 5.0, 6.0, 1.0, 2.0, 3.0]);
        assert_eq!(picked.labels().unwrap().name_of(2), Some("no"));
        assert_eq!(picked.row_ids().unwrap(), ["y.png", "y.png", "x.png"]);
        assert_eq!(picked.row_id_name(), Some("file"));
        assert!(labelled.select_rows(&[2]).is_err());
        let wide = Dataset::new(Vec::new(), usize::MAX).unwrap();
        let refused = wide.select_rows(&[0]);
        assert!(matches!(refused, Err(DataError::RowOutOfRange { index: 0, rows: 0 })), "{refused:?}");
        assert!(wide.select_rows(&[]).unwrap().values().is_empty());
        assert_eq!(labelled.row(2), None);
        // 2²² rows of 2²⁴ values are more than processes can address.
        let wide = Dataset::new(vec![0.0; 1 << 24], 1 << 24).unwrap();
        let refused = wide.select_rows(&vec![0; 1 << 22]);
        assert!(matches!(refused, Err(DataError::OutOfMemory { .. })), "{:?}", refused.err());
    }

    #[test]
    fn changed_rows_keep_everything_else() {
        let labelled = sample().with_labels(Labels::from_texts(["no", "yes"])).unwrap();
        let changed = labelled.clone().map_rows(|row| row[0] = -row[0]);
        assert_eq!(changed.values(), [-1.0, 2.0, 3.0, -4.0, 5.0, 6.0]);
        assert_eq!((changed.names(), changed.labels()), (labelled.names(), labelled.labels()));
    }

    #[test]
    fn rows_behind_others_have_their_columns_by_name() {
        let first = sample().with_labels(Labels::from_texts(["no", "yes"])).unwrap();
        let reordered =
            Dataset::new(vec![9.0, 7.0, 8.0], 3).unwrap().with_names(names(&["c", "a", "b"])).unwrap();
        let joined =
            first.followed_by(&reordered.with_labels(Labels::from_texts(["maybe"])).unwrap()).unwrap();
        assert_eq!(joined.values(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]);
        assert_eq!(joined.labels().unwrap().names(), ["maybe", "no", "yes"]);
        assert_eq!(joined.labels().unwrap().codes(), [1, 2, 0]);
        let bare = Dataset::new(vec![9.0, 7.0, 8.0], 3).unwrap();
        assert_eq!(first.followed_by(&bare).unwrap().row(2).unwrap(), [9.0, 7.0, 8.0]);
        assert!(first.followed_by(&bare).unwrap().labels().is_none());
        assert!(first.followed_by(&Dataset::new(vec![9.0, 7.0], 2).unwrap()).is_err());
    }

    #[test]
    fn rows_behind_others_keep_their_ids() {
        let identified = sample().with_row_ids("file", names(&["x", "y"])).unwrap();
        let joined = identified.followed_by(&identified.select_rows(&[1]).unwrap()).unwrap();
        assert_eq!(
            (joined.row_id_name(), joined.row_ids().unwrap()),
            (Some("file"), &names(&["x", "y", "y"])[..])
        );
        assert!(identified.followed_by(&sample()).unwrap().row_ids().is_none());
    }
}
