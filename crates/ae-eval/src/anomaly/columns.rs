//! The columns that features belong to, and the squared errors of rows and of their columns.

use std::ops::Range;

use ae_data::{BatchSource, Dataset, Kind, Schema};
use ae_model::{Autoencoder, ErrorNorm};

use crate::blocks::for_each_block;
use crate::error::EvalError;

/// The squared error of each row, on scaled features, where every column counts.
///
/// It is `Σ (x̂ - x)²` over the features of the known cells, times the number of columns and divided by
/// that of the known cells: a missing cell counts as much as the mean of the row's known ones. Otherwise,
/// a row would look the more normal the less is known of it. Columns are those of the model's schema, or
/// features if it has none. A row without a known cell has error 0.
///
/// A category that the schema does not know adds 1. It is a category of its own, whose indicator is 1
/// and reconstructed as 0, so it is as wrong as a known one that the model holds to be impossible.
///
/// # Errors
/// As [`Autoencoder::reconstruction_error`].
///
/// ```
/// use ae_data::Rows;
/// use ae_eval::anomaly::row_errors;
/// use ae_model::{Autoencoder, Config};
///
/// let model = Autoencoder::new(Config::builder(3).encoding_dim(1).mask_missing(true).build()?)?;
/// let rows = Rows::new(&[1.0, 2.0, f32::NAN], 3)?;
/// let known: f32 = model.squared_errors(&rows)?.values()[..2].iter().sum();
/// assert!((row_errors(&model, &rows)?[0] - 1.5 * f64::from(known)).abs() < 1e-5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn row_errors(model: &Autoencoder, rows: &dyn BatchSource) -> Result<Vec<f64>, EvalError> {
    Columns::new(model.schema(), model.config().input_dim()).row_errors(model, rows)
}

/// The squared error of each column of each row, on scaled features, `[rows, columns]`: NaN where the
/// cell is missing, and otherwise what it adds to [`row_errors`]. They have the names of the columns if
/// the model has a schema, else those of the features.
///
/// # Errors
/// As [`Autoencoder::squared_errors`].
pub fn column_errors(model: &Autoencoder, rows: &dyn BatchSource) -> Result<Dataset, EvalError> {
    let squares = model.squared_errors(rows)?;
    let (features, columns) = (squares.features(), Columns::new(model.schema(), squares.features()));
    let sums = match model.schema() {
        Some(schema) => schema.sum_by_column(&squares)?,
        None => squares,
    };
    let names = sums.names().or(rows.names()).map(<[String]>::to_vec);
    let mut errors = sums.values().to_vec();
    let mut of_rows = errors.chunks_exact_mut(columns.len().max(1));
    for_each_block(rows.targets().unwrap_or(rows), |block| {
        for (row, errors) in block.chunks_exact(features.max(1)).zip(&mut of_rows) {
            for (column, error) in columns.iter().zip(errors) {
                if column.is_missing(row) {
                    *error = f32::NAN;
                } else if column.is_unknown(row) {
                    *error += 1.0;
                }
            }
        }
    })?;
    let errors = Dataset::new(errors, columns.len())?;
    Ok(match names {
        Some(names) => errors.with_names(names)?,
        None => errors,
    })
}

/// A column of a schema, or a feature.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Its features; at least one.
    pub(super) features: Range<usize>,
    pub(super) is_categorical: bool,
}

impl Column {
    /// Whether its cell in this row is missing.
    fn is_missing(&self, row: &[f32]) -> bool {
        row[self.features.start].is_nan()
    }

    /// Whether the row has an unknown category here: all features are 0.
    pub(super) fn is_unknown(&self, row: &[f32]) -> bool {
        self.is_categorical && row[self.features.clone()].iter().all(|x| *x == 0.0)
    }
}

/// The columns of rows, in order.
#[derive(Clone, Debug)]
pub(super) struct Columns(Vec<Column>);

impl Columns {
    pub(super) fn new(schema: Option<&Schema>, features: usize) -> Columns {
        let Some(schema) = schema else {
            let column = |j| Column { features: j..j + 1, is_categorical: false };
            return Columns((0..features).map(column).collect());
        };
        let mut end = 0;
        let column = |column: &ae_data::Column| {
            let start = end;
            end += column.width();
            let is_categorical = matches!(column.kind, Kind::Categorical { .. });
            Column { features: start..end, is_categorical }
        };
        Columns(schema.features().map(column).collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Column> {
        self.0.iter()
    }

    pub(super) fn categorical(&self) -> impl Iterator<Item = &Column> {
        self.0.iter().filter(|column| column.is_categorical)
    }

    /// The columns where the row has an unknown category.
    pub(super) fn unknown<'a>(&'a self, row: &'a [f32]) -> impl Iterator<Item = &'a Column> {
        self.categorical().filter(|column| column.is_unknown(row))
    }

    /// The number of columns per column that is known in this row; 1 if none is.
    pub(super) fn per_known(&self, row: &[f32]) -> f64 {
        match self.0.iter().filter(|column| !column.is_missing(row)).count() {
            0 => 1.0,
            known => self.len() as f64 / known as f64,
        }
    }

    /// As the function [`row_errors`], with these columns.
    pub(super) fn row_errors(
        &self,
        model: &Autoencoder,
        rows: &dyn BatchSource,
    ) -> Result<Vec<f64>, EvalError> {
        let mut errors = model.reconstruction_error(rows, ErrorNorm::Sum)?;
        let mut of_rows = errors.iter_mut();
        for_each_block(rows.targets().unwrap_or(rows), |block| {
            for (row, error) in block.chunks_exact(rows.features().max(1)).zip(&mut of_rows) {
                *error = (*error + self.unknown(row).count() as f64) * self.per_known(row);
            }
        })?;
        Ok(errors)
    }
}

#[cfg(test)]
mod tests {
    use ae_data::{ColumnRoles, Table};
    use ae_model::Config;

    use super::*;

    /// A model of a number, three categories and another number, and rows for it: complete, without a
    /// number, without a category, with an unknown one, and empty.
    fn model_and_rows() -> (Autoencoder, Dataset) {
        let column = |texts: &[&str]| texts.iter().map(|x| (*x).to_owned()).collect::<Vec<_>>();
        let names = || ["size", "kind", "other"].map(str::to_owned).to_vec();
        let training =
            [column(&["1", "2", "3", "4"]), column(&["a", "b", "c", "a"]), column(&["5", "3", "8", "1"])];
        let training = Table::new(names(), &training).unwrap();
        let roles = ColumnRoles { categorical: vec!["kind".to_owned()], ..ColumnRoles::default() };
        let schema = Schema::infer(&training, &roles).unwrap();
        let rows = schema.encode(&training, None).unwrap().rows;
        let config = Config::builder(5).encoding_dim(2).mask_missing(true).epochs(3).build().unwrap();
        let mut model = Autoencoder::new(config).unwrap();
        model.set_schema(schema.clone()).unwrap();
        model.fit(&rows, &mut []).unwrap();
        let odd = [
            column(&["2", "", "2", "2", ""]),
            column(&["b", "b", "", "z", ""]),
            column(&["7", "7", "7", "7", ""]),
        ];
        (model, schema.encode(&Table::new(names(), &odd).unwrap(), None).unwrap().rows)
    }

    #[test]
    fn missing_cells_count_as_much_as_the_mean_of_the_known_ones() {
        let (model, rows) = model_and_rows();
        let squares = model.squared_errors(&rows).unwrap();
        let sum = |row: usize| squares.row(row).unwrap().iter().map(|x| f64::from(*x)).sum::<f64>();
        let errors = row_errors(&model, &rows).unwrap();
        // Two of three columns are known, whether one feature is missing or three.
        let expected = [sum(0), 1.5 * sum(1), 1.5 * sum(2), sum(3) + 1.0, 0.0];
        for (error, expected) in errors.iter().zip(expected) {
            assert!((error - expected).abs() <= 1e-5 * expected, "{errors:?} {expected:?}");
        }
    }

    #[test]
    fn errors_of_columns_add_up_to_those_of_rows_and_are_unknown_for_missing_cells() {
        let (model, rows) = model_and_rows();
        let (columns, errors) = (column_errors(&model, &rows).unwrap(), row_errors(&model, &rows).unwrap());
        assert_eq!(columns.names().unwrap(), ["size", "kind", "other"]);
        let missing: Vec<Vec<bool>> =
            columns.iter_rows().map(|row| row.iter().map(|x| x.is_nan()).collect()).collect();
        let none = [false; 3];
        assert_eq!(missing, [none, [true, false, false], [false, true, false], none, [true; 3]]);
        for row in [0, 3] {
            let sum: f64 = columns.row(row).unwrap().iter().map(|x| f64::from(*x)).sum();
            assert!((sum - errors[row]).abs() < 1e-5 * sum, "{sum} {}", errors[row]);
        }
        // An unknown category is at least as wrong as an indicator that is 1 and reconstructed as 0.
        assert!(columns.row(3).unwrap()[1] >= 1.0);
    }
}
