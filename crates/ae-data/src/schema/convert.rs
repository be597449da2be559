//! Encodes tables as features and decodes features to tables; nothing else converts between the two.

use std::collections::HashMap;

use super::{Column, Kind, Schema, time};
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::table::Table;
use crate::text::{Parsed, excerpt, is_missing, looks_numeric, parse, parse_boolean};

/// A table encoded as features, and what did not match the schema.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Encoded {
    /// `[rows, features]`, with missing values as NaN, and with labels if requested.
    pub rows: Dataset,
    /// Texts unknown to the schema, by column.
    pub unknown: Vec<Unknown>,
    /// Columns of the table that are unknown to the schema; they are ignored.
    pub unexpected: Vec<String>,
    /// Whether columns were matched by position because the table has no names.
    pub by_position: bool,
}

/// Texts of a column that are unknown to the schema.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unknown {
    /// The column.
    pub column: String,
    /// Number of cells with such a text.
    pub cells: usize,
    /// The first such text.
    pub example: String,
}

/// Positions of the columns of a schema in a table.
struct ColumnPositions {
    /// The position of every column that has features.
    features: Vec<usize>,
    label: Option<usize>,
    unexpected: Vec<String>,
    by_position: bool,
}

impl Schema {
    /// Encodes the rows of a table as features. Columns are matched by name, in any order, or by
    /// position if the table has no names. `label` is the column, by name or by number from 1, that
    /// becomes labels. A missing cell is NaN in all features of its column; an unknown category is 0 in
    /// all of them, and an unknown text of a boolean column is NaN.
    ///
    /// # Errors
    /// [`DataError::SchemaMismatch`] for missing columns, [`DataError::NoNames`] for a table without
    /// names and with another number of columns, [`DataError::NotFound`] for a label column that does
    /// not exist, and [`DataError::NotANumber`], [`DataError::TooLarge`] or [`DataError::NotATime`] for
    /// a cell that does not fit its column.
    pub fn encode(&self, table: &Table, label: Option<&str>) -> Result<Encoded, DataError> {
        let positions = self.positions(table, label)?;
        let width = self.width();
        let mut values = vec![0.0f32; table.rows() * width];
        let mut unknown = Vec::new();
        let mut offset = 0;
        for (column, position) in self.features().zip(&positions.features) {
            let encoder = ColumnEncoder { table, index: *position, values: &mut values, offset, width };
            unknown.extend(encoder.encode(column)?);
            offset += column.width();
        }
        let mut rows = Dataset::new(values, width)?.with_names(self.feature_names())?;
        if let Some(label) = positions.label {
            rows = rows.with_labels(table.labels(label))?;
        }
        let ColumnPositions { unexpected, by_position, .. } = positions;
        Ok(Encoded { rows, unknown, unexpected, by_position })
    }

    /// Encodes one row, such as an event that a service receives, whose cells come from `cell` by the
    /// name of their column. Cells are texts as in a file, with a decimal point; without one, or with an
    /// empty one, the cell is missing. So a misspelt name looks like a missing cell: `cell` is called for
    /// each of [`Schema::features`], and [`Encoded::unexpected`] is empty.
    ///
    /// ```
    /// use std::collections::HashMap;
    ///
    /// use ae_data::{ColumnRoles, Schema, Table};
    ///
    /// let columns = [vec!["1.5", "", "2.5"], vec!["red", "blue", "red"]];
    /// let table = Table::new(vec!["size".to_owned(), "colour".to_owned()], &columns)?;
    /// let schema = Schema::infer(&table, &ColumnRoles::default())?;
    /// let event = HashMap::from([("colour", "red"), ("sender", "17")]);
    /// let encoded = schema.encode_row(|column| event.get(column))?;
    /// assert!(encoded.rows.values()[0].is_nan());
    /// assert_eq!(encoded.rows.values()[1..], [0.0, 1.0]);
    /// # Ok::<(), ae_data::DataError>(())
    /// ```
    ///
    /// # Errors
    /// As [`Schema::encode`], for a cell that does not fit its column.
    pub fn encode_row<S: AsRef<str>>(
        &self,
        mut cell: impl FnMut(&str) -> Option<S>,
    ) -> Result<Encoded, DataError> {
        let names: Vec<String> = self.features().map(|column| column.name.clone()).collect();
        let text = |name: &String| cell(name).map_or_else(String::new, |text| text.as_ref().to_owned());
        let cells: Vec<Vec<String>> = names.iter().map(text).map(|text| vec![text]).collect();
        self.encode(&Table::new(names, &cells)?, None)
    }

    fn positions(&self, table: &Table, label: Option<&str>) -> Result<ColumnPositions, DataError> {
        let label = label.map(|label| table.find(label)).transpose()?;
        let Some(names) = table.names() else {
            // Either all columns that the schema was inferred from, or only those that have features.
            let featured = self.columns.iter().enumerate().filter(|(_, column)| column.width() > 0);
            let featured: Vec<usize> = featured.map(|(index, _)| index).collect();
            let without_label: Vec<usize> =
                (0..table.columns()).filter(|index| Some(*index) != label).collect();
            let features = match table.columns() {
                count if count == self.columns.len() => featured,
                _ if without_label.len() == featured.len() => without_label,
                _ => {
                    return Err(DataError::NoNames {
                        wanted: self.features().map(|c| c.name.clone()).collect(),
                    });
                }
            };
            return Ok(ColumnPositions { features, label, unexpected: Vec::new(), by_position: true });
        };
        let positions: HashMap<&str, usize> = names.iter().map(String::as_str).zip(0..).collect();
        // The label column may also be a feature: a plot may be coloured by a column that the model was
        // trained on.
        let position = |column: &Column| positions.get(column.name.as_str()).copied();
        let found: Vec<Option<usize>> = self.features().map(position).collect();
        let unexpected: Vec<String> = names
            .iter()
            .enumerate()
            .filter(|(index, name)| {
                Some(*index) != label && !self.columns.iter().any(|column| column.name == **name)
            })
            .map(|(_, name)| name.clone())
            .collect();
        let missing = self.features().zip(&found).filter(|(_, position)| position.is_none());
        let missing: Vec<String> = missing.map(|(column, _)| column.name.clone()).collect();
        if !missing.is_empty() {
            return Err(DataError::SchemaMismatch { path: table.path().to_owned(), missing, unexpected });
        }
        Ok(ColumnPositions {
            features: found.into_iter().flatten().collect(),
            label,
            unexpected,
            by_position: false,
        })
    }

    /// Decodes rows of features to a table of the columns that have features, with the labels, if any,
    /// as the last column. Numbers are rounded to the digits after the decimal point that the column
    /// came with, a category is the one with the largest value, and NaN becomes an empty cell.
    ///
    /// # Errors
    /// [`DataError::Shape`] for rows of another width.
    pub fn decode(&self, rows: &Dataset) -> Result<Table, DataError> {
        self.check_width(rows)?;
        let mut names: Vec<String> = self.features().map(|column| column.name.clone()).collect();
        let label = rows.labels().map(|_| match self.label() {
            Some(label) => label.to_owned(),
            None => crate::labels::column_name(&names),
        });
        names.extend(label);
        let mut columns: Vec<Vec<String>> = Vec::with_capacity(names.len());
        let mut offset = 0;
        for column in self.features() {
            let cells = rows.iter_rows();
            columns.push(cells.map(|row| column.text_of(&row[offset..offset + column.width()])).collect());
            offset += column.width();
        }
        if let Some(labels) = rows.labels() {
            let texts = (0..labels.len()).map(|row| labels.name_of(row).unwrap_or_default().to_owned());
            columns.push(texts.collect());
        }
        let mut table = Table::new(names, &columns)?;
        self.features().enumerate().for_each(|(index, column)| table.set_stored_type(index, column.stored));
        Ok(table)
    }

    /// Fills the missing cells of `table` with the decoded values of `rows`, which are its rows in the
    /// same order. Known cells and columns without features stay as they are, and so do stored types; in
    /// a table without them, they are those of the schema.
    ///
    /// # Errors
    /// Those of [`Schema::encode`] for the columns, [`DataError::Shape`] for rows of another width,
    /// [`DataError::Count`] for another number of rows.
    pub fn fill_missing(
        &self,
        table: &Table,
        label: Option<&str>,
        rows: &Dataset,
    ) -> Result<Table, DataError> {
        self.check_width(rows)?;
        if rows.rows() != table.rows() {
            let (expected, got) = (table.rows(), rows.rows());
            return Err(DataError::Count { what: "reconstructed rows", of: "rows", expected, got });
        }
        let positions = self.positions(table, label)?;
        let mut sources = vec![None; table.columns()];
        let mut offset = 0;
        for (column, position) in self.features().zip(&positions.features) {
            sources[*position] = Some((column, offset));
            offset += column.width();
        }
        let mut filled = table.replace_cells(|row, index, text| {
            let (column, offset) = sources[index].filter(|_| is_missing(text))?;
            Some(column.text_of(&rows.row(row)?[offset..offset + column.width()]))
        });
        for (column, position) in self.features().zip(&positions.features) {
            filled.set_stored_type(*position, table.stored_type(*position).or(column.stored));
        }
        Ok(filled)
    }

    /// Counts the missing cells of columns that have features, which are those that
    /// [`Schema::fill_missing`] fills.
    ///
    /// # Errors
    /// Those of [`Schema::encode`] for the columns.
    pub fn missing_cells(&self, table: &Table, label: Option<&str>) -> Result<usize, DataError> {
        let positions = self.positions(table, label)?;
        let in_column = |position: &usize| table.column(*position).filter(|text| is_missing(text)).count();
        Ok(positions.features.iter().map(in_column).sum())
    }

    /// Sums values of features by column, `[rows, columns with features]`: for squared errors, this is
    /// the error of each column. NaN counts as 0.
    ///
    /// # Errors
    /// [`DataError::Shape`] for rows of another width.
    pub fn sum_by_column(&self, values: &Dataset) -> Result<Dataset, DataError> {
        self.check_width(values)?;
        let groups = self.groups();
        let names: Vec<String> = self.features().map(|column| column.name.clone()).collect();
        let mut sums = vec![0.0f32; values.rows() * names.len()];
        for (row, sums) in values.iter_rows().zip(sums.chunks_exact_mut(names.len())) {
            for (x, group) in row.iter().zip(&groups).filter(|(x, _)| !x.is_nan()) {
                sums[*group] += x;
            }
        }
        Dataset::new(sums, names.len())?.with_names(names)
    }

    pub(super) fn check_width(&self, rows: &Dataset) -> Result<(), DataError> {
        if rows.features() == self.width() {
            return Ok(());
        }
        Err(DataError::Shape { what: "the columns", width: self.width(), got: rows.features() })
    }
}

impl Column {
    /// Decodes the values of its features to text; empty for NaN.
    pub fn text_of(&self, values: &[f32]) -> String {
        let first = f64::from(values.first().copied().unwrap_or(f32::NAN));
        if first.is_nan() {
            return String::new();
        }
        match &self.kind {
            Kind::Numeric { decimals } => {
                let value = self.value_of(first);
                number_text(self.stored.map_or(value, |stored| stored.clamp(value)), *decimals)
            }
            Kind::Boolean { no, yes } => if first >= 0.5 { yes } else { no }.clone(),
            Kind::Categorical { levels } => levels.get(argmax(values)).cloned().unwrap_or_default(),
            Kind::Time { format, origin } => {
                time::write(origin.saturating_add(self.value_of(first).round() as i64), *format)
            }
            Kind::Label | Kind::Dropped { .. } => String::new(),
        }
    }

    /// Decodes a feature to the number, or to the seconds since the earliest time.
    pub fn value_of(&self, feature: f64) -> f64 {
        self.quantiles.as_ref().map_or(feature, |quantiles| quantiles.value(feature))
    }
}

/// Returns the index of the largest value, the first among equals.
fn argmax(values: &[f32]) -> usize {
    let better = |best: usize, index: usize| if values[index] > values[best] { index } else { best };
    (1..values.len()).fold(0, better)
}

/// Writes a number, rounded to this many digits after the decimal point; without a number of digits, the
/// shortest text that reads back as the same `f32`.
pub(crate) fn number_text(x: f64, decimals: Option<u8>) -> String {
    let text = match decimals {
        Some(digits) => format!("{x:.*}", usize::from(digits)),
        None => (x as f32).to_string(),
    };
    // No negative zero.
    match text.strip_prefix('-') {
        Some(rest) if rest.bytes().all(|byte| matches!(byte, b'0' | b'.')) => rest.to_owned(),
        _ => text,
    }
}

/// The cells of a column, and where their features go.
struct ColumnEncoder<'a> {
    table: &'a Table,
    /// The column's index in the table.
    index: usize,
    values: &'a mut [f32],
    /// Index of the column's first feature.
    offset: usize,
    /// Number of features of all columns.
    width: usize,
}

impl ColumnEncoder<'_> {
    /// Encodes the column and returns the texts that are unknown.
    fn encode(self, column: &Column) -> Result<Option<Unknown>, DataError> {
        let levels: HashMap<&str, usize> = match &column.kind {
            Kind::Categorical { levels } => levels.iter().map(String::as_str).zip(0..).collect(),
            _ => HashMap::new(),
        };
        let mut unknown: Option<Unknown> = None;
        let score = |x: f64| column.quantiles.as_ref().map_or(x, |quantiles| quantiles.score(x)) as f32;
        for row in 0..self.table.rows() {
            let text = self.table.cell(row, self.index);
            let features = &mut self.values[row * self.width + self.offset..][..column.width()];
            if is_missing(text) {
                features.fill(f32::NAN);
                continue;
            }
            match &column.kind {
                Kind::Numeric { .. } => features[0] = score(f64::from(number(self.table, row, self.index)?)),
                Kind::Time { origin, format } => match time::parse_as(text, *format) {
                    Some(seconds) => features[0] = score(seconds.saturating_sub(*origin) as f64),
                    None => return Err(not_a_time(self.table, row, self.index)),
                },
                Kind::Boolean { .. } if parse_boolean(text).is_some() => {
                    features[0] = f32::from(u8::from(parse_boolean(text) == Some(true)));
                }
                Kind::Categorical { .. } if levels.contains_key(text) => features[levels[text]] = 1.0,
                _ => {
                    // Neither yes nor no.
                    if matches!(column.kind, Kind::Boolean { .. }) {
                        features.fill(f32::NAN);
                    }
                    let first = || Unknown {
                        column: column.name.clone(),
                        cells: 0,
                        example: excerpt(text.as_bytes()),
                    };
                    unknown.get_or_insert_with(first).cells += 1;
                }
            }
        }
        Ok(unknown)
    }
}

fn number(table: &Table, row: usize, column: usize) -> Result<f32, DataError> {
    let text = table.cell(row, column);
    let (path, column, row) = (table.path().to_owned(), format!("'{}'", table.name_of(column)), row + 1);
    match parse(text.as_bytes()) {
        Parsed::Number(x) => Ok(x),
        Parsed::Missing => Ok(f32::NAN),
        Parsed::TooLarge => Err(DataError::TooLarge { path, row, column, value: excerpt(text.as_bytes()) }),
        Parsed::Text => {
            let hint = if looks_numeric(text.as_bytes()) {
                "; numbers must have a decimal point and no thousands separators".to_owned()
            } else {
                String::new()
            };
            let line = table.line(row - 1);
            Err(DataError::NotANumber { path, row, line, column, text: excerpt(text.as_bytes()), hint })
        }
    }
}

fn not_a_time(table: &Table, row: usize, column: usize) -> DataError {
    DataError::NotATime {
        path: table.path().to_owned(),
        row: row + 1,
        column: table.name_of(column),
        text: excerpt(table.cell(row, column).as_bytes()),
    }
}
