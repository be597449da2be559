//! Tables as they are in files: columns of text.

use std::path::{Path, PathBuf};

use crate::dataset::{Dataset, first_duplicate};
use crate::error::DataError;
use crate::labels::Labels;
use crate::schema::{decimals, number_text};
use crate::stored_type::StoredType;
use crate::text::is_missing;

/// A table of text with optional column names and, for messages, the file it comes from. A cell is
/// missing if its text is empty, `NA`, `N/A`, `#N/A`, `NaN`, `null`, `None`, `?` or `-` (in any case).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    path: PathBuf,
    names: Option<Vec<String>>,
    columns: Vec<TextColumn>,
    /// For each column, how a format with types stores it.
    stored: Vec<Option<StoredType>>,
    rows: usize,
    /// The line of the file that each row starts on; empty if there are no lines.
    lines: Vec<u64>,
}

/// The cells of a column, concatenated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct TextColumn {
    text: String,
    ends: Vec<usize>,
}

impl TextColumn {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    fn get(&self, row: usize) -> Option<&str> {
        let end = *self.ends.get(row)?;
        let start = row.checked_sub(1).map_or(0, |previous| self.ends[previous]);
        self.text.get(start..end)
    }
}

/// The name of the row ids if the columns have no names.
pub(crate) const DEFAULT_ID_NAME: &str = "id";

/// Returns the column with this name, or else this number from 1.
pub(crate) fn column_index(wanted: &str, names: Option<&[String]>, columns: usize) -> Option<usize> {
    let by_name = names.and_then(|names| names.iter().position(|name| name == wanted));
    by_name.or_else(|| wanted.parse::<usize>().ok()?.checked_sub(1).filter(|index| *index < columns))
}

/// Returns the column of a file with this name, or else this number from 1.
#[cfg(any(feature = "csv", feature = "parquet"))]
pub(crate) fn find_column(
    wanted: &str,
    names: Option<&[String]>,
    columns: usize,
    path: &Path,
) -> Result<usize, DataError> {
    column_index(wanted, names, columns).ok_or_else(|| DataError::NotFound {
        path: path.to_owned(),
        what: "column",
        name: wanted.to_owned(),
        present: match names {
            Some(names) => names.to_vec(),
            None => (1..=columns).map(|n| n.to_string()).collect(),
        },
    })
}

impl Table {
    /// A table without rows.
    pub(crate) fn empty(path: &Path, columns: usize, names: Option<Vec<String>>) -> Table {
        let (columns, stored) = (vec![TextColumn::default(); columns], vec![None; columns]);
        Table { path: path.to_owned(), names, columns, stored, rows: 0, lines: Vec::new() }
    }

    /// A table with these columns and no rows.
    fn without_rows(&self) -> Table {
        let stored = self.stored.clone();
        Table { stored, ..Table::empty(&self.path, self.columns(), self.names.clone()) }
    }

    /// Creates a table from its columns.
    ///
    /// # Errors
    /// [`DataError::Count`] unless there is one name per column and all columns have equally many cells,
    /// [`DataError::DuplicateColumn`] for a repeated name.
    pub fn new<S: AsRef<str>>(names: Vec<String>, columns: &[Vec<S>]) -> Result<Table, DataError> {
        if names.len() != columns.len() {
            let (expected, got) = (columns.len(), names.len());
            return Err(DataError::Count { what: "names", of: "columns", expected, got });
        }
        if let Some(name) = first_duplicate(&names) {
            return Err(DataError::DuplicateColumn { name: name.clone() });
        }
        let rows = columns.first().map_or(0, Vec::len);
        let mut table = Table::empty(Path::new(""), columns.len(), Some(names));
        for (to, from) in table.columns.iter_mut().zip(columns) {
            if from.len() != rows {
                return Err(DataError::Count { what: "cells", of: "rows", expected: rows, got: from.len() });
            }
            from.iter().for_each(|text| to.push(text.as_ref()));
        }
        table.rows = rows;
        Ok(table)
    }

    /// Converts rows to text, with the labels as the last column and missing values as empty cells.
    pub(crate) fn from_dataset(dataset: &Dataset, path: &Path) -> Table {
        let labels = dataset.labels();
        let names = dataset.names().map(|names| {
            let label = labels.map(|_| crate::labels::column_name(names));
            names.iter().cloned().chain(label).collect()
        });
        let mut table = Table::empty(path, dataset.features() + usize::from(labels.is_some()), names);
        for row in 0..dataset.rows() {
            for (column, x) in dataset.row(row).unwrap_or_default().iter().enumerate() {
                table.push(column, &if x.is_nan() { String::new() } else { x.to_string() });
            }
            if let Some(name) = labels.and_then(|labels| labels.name_of(row)) {
                table.push(dataset.features(), name);
            }
            table.rows += 1;
        }
        table
    }

    /// Appends a cell to a column; once each column has one, call [`Table::end_row`].
    pub(crate) fn push(&mut self, column: usize, text: &str) {
        self.columns[column].push(text);
    }

    /// Ends a row that started on this line of the file.
    pub(crate) fn end_row(&mut self, line: u64) {
        self.rows += 1;
        self.lines.push(line);
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// Names of the columns, if any.
    pub fn names(&self) -> Option<&[String]> {
        self.names.as_deref()
    }

    /// The file it comes from; empty for a table made in memory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of a column, or `column` and its number from 1.
    pub fn name_of(&self, column: usize) -> String {
        match self.names.as_ref().and_then(|names| names.get(column)) {
            Some(name) => name.clone(),
            None => format!("column {}", column.saturating_add(1)),
        }
    }

    /// The text of a cell; empty if out of range.
    pub fn cell(&self, row: usize, column: usize) -> &str {
        self.columns.get(column).and_then(|texts| texts.get(row)).unwrap_or_default()
    }

    /// The cells of a row.
    pub fn row(&self, row: usize) -> impl Iterator<Item = &str> {
        (0..self.columns()).map(move |column| self.cell(row, column))
    }

    /// The cells of a column.
    pub fn column(&self, column: usize) -> impl Iterator<Item = &str> {
        (0..self.rows).map(move |row| self.cell(row, column))
    }

    /// How a format with types stores a column: as the file did that the table comes from, or the rows
    /// that a schema was inferred from. `None` if that is unknown.
    pub fn stored_type(&self, column: usize) -> Option<StoredType> {
        self.stored.get(column).copied().flatten()
    }

    /// Sets how a format with types stores a column, if that is known.
    pub(crate) fn set_stored_type(&mut self, column: usize, stored: Option<StoredType>) {
        if let Some(slot) = self.stored.get_mut(column) {
            *slot = stored;
        }
    }

    /// Returns the table with another column before the others.
    ///
    /// # Errors
    /// [`DataError::Count`] unless there is one cell per row, [`DataError::DuplicateColumn`] for a name
    /// that another column has.
    pub fn with_first_column<S: AsRef<str>>(mut self, name: String, cells: &[S]) -> Result<Table, DataError> {
        if cells.len() != self.rows {
            let (expected, got) = (self.rows, cells.len());
            return Err(DataError::Count { what: "cells", of: "rows", expected, got });
        }
        if let Some(names) = &mut self.names {
            if names.contains(&name) {
                return Err(DataError::DuplicateColumn { name });
            }
            names.insert(0, name);
        }
        let mut column = TextColumn::default();
        cells.iter().for_each(|text| column.push(text.as_ref()));
        self.columns.insert(0, column);
        self.stored.insert(0, None);
        Ok(self)
    }

    /// The line of the file that a row starts on; 0 if there are no lines.
    pub(crate) fn line(&self, row: usize) -> u64 {
        self.lines.get(row).copied().unwrap_or(0)
    }

    /// Returns the index of the column with this name, or else this number from 1.
    ///
    /// # Errors
    /// [`DataError::NotFound`], which lists the columns.
    pub fn find(&self, wanted: &str) -> Result<usize, DataError> {
        column_index(wanted, self.names(), self.columns()).ok_or_else(|| DataError::NotFound {
            path: self.path.clone(),
            what: "column",
            name: wanted.to_owned(),
            present: (0..self.columns()).map(|column| self.name_of(column)).collect(),
        })
    }

    /// Uses the cells of a column of this table as the ids of `rows`.
    ///
    /// # Errors
    /// [`DataError::Count`] unless the table has as many rows.
    pub fn attach_row_ids(&self, column: usize, rows: Dataset) -> Result<Dataset, DataError> {
        let name =
            self.names.as_ref().and_then(|names| names.get(column)).map_or(DEFAULT_ID_NAME, String::as_str);
        rows.with_row_ids(name, self.column(column).map(str::to_owned).collect())
    }

    /// Returns the cells of a column as labels.
    pub fn labels(&self, column: usize) -> Labels {
        Labels::from_texts(self.column(column))
    }

    /// Returns the rows at these indices, in this order. Indices out of range are skipped.
    #[must_use]
    pub fn select_rows(&self, indices: &[usize]) -> Table {
        let mut selected = self.without_rows();
        for row in indices.iter().copied().filter(|row| *row < self.rows) {
            (0..self.columns()).for_each(|column| selected.push(column, self.cell(row, column)));
            selected.end_row(self.line(row));
        }
        selected
    }

    /// Fills missing cells with the values of `rows`, which are the rows of this table in the same
    /// order; feature `j` fills column `columns[j]`. Known cells keep their exact text, and the others are
    /// rounded to as many digits after the decimal point as these have.
    ///
    /// # Errors
    /// [`DataError::Shape`] for rows of another width, [`DataError::Count`] for another number of rows.
    pub fn fill_missing(&self, columns: &[usize], rows: &Dataset) -> Result<Table, DataError> {
        if columns.len() != rows.features() {
            return Err(DataError::Shape { what: "the columns", width: columns.len(), got: rows.features() });
        }
        if rows.rows() != self.rows() {
            let (expected, got) = (self.rows(), rows.rows());
            return Err(DataError::Count { what: "rows with values", of: "rows", expected, got });
        }
        let mut features = vec![None; self.columns()];
        for (feature, column) in columns.iter().enumerate() {
            if let Some(slot) = features.get_mut(*column) {
                *slot = Some((feature, decimals(self, *column)));
            }
        }
        Ok(self.replace_cells(|row, column, text| {
            let (feature, decimals) = features[column].filter(|_| is_missing(text))?;
            Some(number_text(f64::from(rows.row(row)?[feature]), decimals))
        }))
    }

    /// Returns the table with every cell for which `replace(row, column, text)` returns a text replaced
    /// by it.
    #[must_use]
    pub fn replace_cells(&self, mut replace: impl FnMut(usize, usize, &str) -> Option<String>) -> Table {
        let mut table = self.without_rows();
        for row in 0..self.rows {
            for column in 0..self.columns() {
                let text = self.cell(row, column);
                match replace(row, column, text) {
                    Some(other) => table.push(column, &other),
                    None => table.push(column, text),
                }
            }
            table.end_row(self.line(row));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let cells = [vec!["1", "", "3"], vec!["x", "y", "x"]];
        Table::new(vec!["a".to_owned(), "b".to_owned()], &cells).unwrap()
    }

    #[test]
    fn cells_and_columns_are_found() {
        let table = sample();
        assert_eq!((table.rows(), table.columns()), (3, 2));
        assert_eq!(table.row(2).collect::<Vec<_>>(), ["3", "x"]);
        assert_eq!((table.cell(1, 0), table.cell(3, 0), table.cell(0, 2)), ("", "", ""));
        assert_eq!((table.find("b").unwrap(), table.find("1").unwrap()), (1, 0));
        assert_eq!(table.find("3").unwrap_err().to_string(), "the table: no column '3'; there are 'a', 'b'");
        assert_eq!(table.labels(1).codes(), [0, 1, 0]);
    }

    #[test]
    fn rows_are_picked_and_cells_replaced() {
        let picked = sample().select_rows(&[2, 7, 0]);
        assert_eq!(picked.column(0).collect::<Vec<_>>(), ["3", "1"]);
        let filled = sample().replace_cells(|row, _, text| text.is_empty().then(|| format!("row {row}")));
        assert_eq!(filled.column(0).collect::<Vec<_>>(), ["1", "row 1", "3"]);
    }

    #[test]
    fn shapes_are_checked() {
        let names = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let uneven = [vec!["1"], vec!["1", "2"]];
        assert!(Table::new(names(&["a"]), &uneven).is_err());
        assert!(Table::new(names(&["a", "b"]), &uneven).is_err());
        assert!(Table::new(names(&["a", "a"]), &[vec!["1"], vec!["2"]]).is_err());
    }

    #[test]
    fn a_column_can_be_put_before_the_others() {
        let name = "id".to_owned();
        let table = sample().with_first_column(name.clone(), &["7", "8", "9"]).unwrap();
        assert_eq!(
            (table.names().unwrap(), table.cell(1, 0), table.cell(1, 2)),
            (&["id", "a", "b"].map(str::to_owned)[..], "8", "y")
        );
        assert!(table.with_first_column(name.clone(), &["7", "8", "9"]).is_err());
        assert!(sample().with_first_column(name, &["7"]).is_err());
    }

    #[test]
    fn names_go_before_numbers() {
        let names = ["2", "b"].map(str::to_owned).to_vec();
        let table = Table::new(names, &[vec!["x"], vec!["y"]]).unwrap();
        assert_eq!((table.find("2").unwrap(), table.find("1").unwrap()), (0, 0));
    }

    #[test]
    fn missing_cells_are_filled_by_the_features_of_their_columns() {
        let names = ["a", "b", "c"].map(str::to_owned).to_vec();
        let table =
            Table::new(names, &[vec!["1", "", "3"], vec!["?", "y", "z"], vec!["", "5.25", "NA"]]).unwrap();
        let rows = Dataset::new(vec![10.0, 20.0, 30.0, 40.7, 50.0, 60.0], 2).unwrap();
        let filled = table.fill_missing(&[2, 0], &rows).unwrap();
        let column = |index| filled.column(index).collect::<Vec<_>>();
        assert_eq!((column(0), column(1)), (vec!["1", "41", "3"], vec!["?", "y", "z"]));
        assert_eq!(column(2), ["10.00", "5.25", "50.00"]);
        assert!(table.fill_missing(&[2], &rows).is_err() && table.fill_missing(&[2, 0, 1], &rows).is_err());
        assert!(table.select_rows(&[0, 1]).fill_missing(&[2, 0], &rows).is_err());
    }

    #[test]
    fn rows_of_numbers_are_texts_with_empty_cells() {
        let rows = Dataset::new(vec![0.1, f32::NAN, -3.0, 4.0], 2).unwrap();
        let rows = rows.with_labels(Labels::from_texts(["x", "y"])).unwrap();
        let table = Table::from_dataset(&rows, Path::new(""));
        assert_eq!(table.row(0).collect::<Vec<_>>(), ["0.1", "", "x"]);
        assert_eq!(table.row(1).collect::<Vec<_>>(), ["-3", "4", "y"]);
    }
}
