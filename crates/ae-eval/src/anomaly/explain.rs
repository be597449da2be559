//! What was found in the cells to blame, and what the model expected there.

use std::ops::Range;

use ae_data::{BatchSource, Column, Kind, Schema};
use ae_model::Autoencoder;

use super::Blame;
use super::columns::Columns;
use super::components::read_known;
use crate::blocks::BLOCK;
use crate::error::EvalError;

/// The values of a blamed cell, as they are written in a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finding {
    /// What the row has; empty if it is missing, or a category that the model does not know
    /// ([`Blame::is_unknown`]).
    pub found: String,
    /// What the model reconstructs instead; a number has more digits than its column if it would
    /// otherwise look like what was found.
    pub expected: String,
}

/// For each row, the values of the cells in `blamed`, which are columns as [`blame`](super::blame())
/// counts them: those found, and those of the row's reconstruction.
///
/// The reconstruction is what the error of a row is measured against. Here it is moved to the range of the
/// training rows ([`Autoencoder::within_limits`]), unless it then looks like what was found. It may lie
/// between what is usual and what was found, the more so the larger the encoding is.
///
/// # Errors
/// [`EvalError::RowCount`] if `blamed` is for another number of rows, [`EvalError::Model`] for rows of
/// another width or with other column names, or an error from reading them.
///
/// ```
/// use ae_data::Rows;
/// use ae_eval::anomaly::{Detector, Settings, explain};
///
/// let table: Vec<[f32; 2]> = (0..200).map(|i| [(i % 9) as f32, 5.0 + (i % 7) as f32]).collect();
/// let rows = Rows::new(table.as_flattened(), 2)?;
/// let detector = Detector::fit(&Settings::default(), &rows)?;
/// let odd = Rows::new(&[4.0, 60.0], 2)?;
/// let findings = explain(detector.model(), &odd, &detector.blame(&odd, 1)?)?;
/// assert_eq!(findings[0][0].found, "60");
/// assert!(findings[0][0].expected.parse::<f32>()? < 60.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn explain(
    model: &Autoencoder,
    rows: &dyn BatchSource,
    blamed: &[Vec<Blame>],
) -> Result<Vec<Vec<Finding>>, EvalError> {
    if blamed.len() != rows.rows() {
        return Err(EvalError::RowCount { what: "blames", expected: rows.rows(), got: blamed.len() });
    }
    // Checks the width and the column names of the rows.
    model.scaled(rows)?;
    let cells = cells(model);
    let mut findings = Vec::with_capacity(blamed.len());
    for (block, blamed) in blamed.chunks(BLOCK).enumerate() {
        let indices: Vec<usize> = (block * BLOCK..).take(blamed.len()).collect();
        let rows = read_known(model, rows, &indices)?;
        let rebuilt = model.reconstruct(&rows)?;
        let usual = model.within_limits(rebuilt.clone())?;
        let of_rows = rows.iter_rows().zip(rebuilt.iter_rows()).zip(usual.iter_rows());
        for (((row, rebuilt), usual), blamed) in of_rows.zip(blamed) {
            let finding = |blame: &Blame| {
                let cell = cells.get(blame.column)?;
                let found = if blame.is_unknown { String::new() } else { cell.text(row) };
                let text = cell.text(usual);
                // With the digits of the column, and within the range, the difference may not show.
                let precise = || cell.precise_number(rebuilt);
                let expected = if text == found { precise().unwrap_or(text) } else { text };
                Some(Finding { found, expected })
            };
            findings.push(blamed.iter().map(|blame| finding(blame).unwrap_or_default()).collect());
        }
    }
    Ok(findings)
}

/// Significant digits of a number that the digits of its column do not tell from what was found.
const DIGITS: usize = 4;

/// A cell of each row.
struct Cell<'m> {
    /// Its column in the model's schema, if there is one.
    column: Option<&'m Column>,
    features: Range<usize>,
}

/// The cells of a row, in the order in which [`Blame`] counts columns.
fn cells(model: &Autoencoder) -> Vec<Cell<'_>> {
    let columns = Columns::new(model.schema(), model.config().input_dim());
    let of_schema = model.schema().into_iter().flat_map(Schema::features).map(Some);
    let of_schema = of_schema.chain(std::iter::repeat(None));
    let places = columns.iter().map(|column| column.features.clone());
    of_schema.zip(places).map(|(column, features)| Cell { column, features }).collect()
}

impl Cell<'_> {
    /// The text of the cell in this row; empty if it is missing.
    fn text(&self, row: &[f32]) -> String {
        match self.column {
            Some(column) => column.text_of(&row[self.features.clone()]),
            None if row[self.features.start].is_nan() => String::new(),
            None => row[self.features.start].to_string(),
        }
    }

    /// The number in the cell, with more digits than its column has; `None` if that holds no numbers.
    fn precise_number(&self, row: &[f32]) -> Option<String> {
        let column = self.column.filter(|column| matches!(column.kind, Kind::Numeric { .. }))?;
        let number = column.value_of(f64::from(row[self.features.start]));
        let rounded = format!("{number:.*e}", DIGITS - 1).parse::<f64>().ok()?;
        number.is_finite().then(|| rounded.to_string())
    }
}

#[cfg(test)]
mod tests {
    use ae_data::{ColumnRoles, Dataset, Rows, Schema, Table};
    use ae_model::Config;

    use super::*;
    use crate::anomaly::{Detector, Settings};

    /// Sizes, whose kinds follow from them, and their doubles.
    fn table(rows: &[(&str, &str, &str)]) -> Table {
        let names = ["size", "kind", "double"].map(str::to_owned).to_vec();
        let column = |of: fn(&(&str, &str, &str)) -> String| rows.iter().map(of).collect::<Vec<_>>();
        let columns =
            [column(|row| row.0.to_owned()), column(|row| row.1.to_owned()), column(|row| row.2.to_owned())];
        Table::new(names, &columns).unwrap()
    }

    #[test]
    fn cells_are_explained_as_a_table_would_write_them() {
        let numbers: Vec<(String, &str, String)> = (0..300)
            .map(|i| (format!("{:.1}", f64::from(i % 30) / 10.0), i % 30))
            .map(|(size, i)| (size, if i < 15 { "small" } else { "large" }, format!("{}", 2 * i)))
            .collect();
        let rows: Vec<_> = numbers.iter().map(|row| (&row.0[..], row.1, &row.2[..])).collect();
        let training = table(&rows);
        let schema = Schema::infer(&training, &ColumnRoles::default()).unwrap();
        let encoded = schema.encode(&training, None).unwrap().rows;
        let config = Config::builder(encoded.features())
            .encoding_dim(1)
            .mask_missing(true)
            .epochs(60)
            .learning_rate(1e-2)
            .build()
            .unwrap();
        let mut model = Autoencoder::new(config).unwrap();
        model.set_schema(schema.clone()).unwrap();
        model.fit(&encoded, &mut []).unwrap();
        let detector = Detector::with_model(&Settings::default(), model, &encoded).unwrap();
        let odd = [
            ("2.5", "small", "50"),
            ("0.2", "none such", "4"),
            ("1.0", "small", ""),
            ("0.5", "small", "900"),
        ];
        let odd = schema.encode(&table(&odd), None).unwrap().rows;
        let blamed = detector.blame(&odd, 3).unwrap();
        let findings = explain(detector.model(), &odd, &blamed).unwrap();
        let of = |row: usize, column: usize| {
            let place = blamed[row].iter().position(|blame| blame.column == column).unwrap();
            let Finding { found, expected } = &findings[row][place];
            (&found[..], &expected[..])
        };
        assert_eq!(of(0, 1), ("small", "large"));
        assert!(matches!(of(1, 1), ("", "small" | "large")), "{:?}", of(1, 1));
        assert!(blamed[1][0].is_unknown && blamed[1][0].column == 1);
        assert_eq!(of(2, 2).0, "");
        assert!(of(2, 2).1.parse::<i32>().is_ok(), "{:?}", of(2, 2));
        assert_eq!((blamed[3][0].column, of(3, 2).0), (2, "900"));
        // A difference that the digits of the column do not show, shown.
        let close = schema.encode(&table(&[("1.0", "small", "20")]), None).unwrap().rows;
        let blame = |column: usize| Blame { column, contribution: 1.0, is_unknown: false };
        let close = explain(detector.model(), &close, &[vec![blame(0), blame(2)]]).unwrap();
        for Finding { found, expected } in &close[0] {
            let digits = expected.bytes().filter(u8::is_ascii_digit).count();
            assert!(found != expected && digits <= DIGITS + 1, "{found} {expected}");
        }
        // As many digits as the column has.
        assert_eq!(of(0, 0).0, "2.5");
        assert_eq!(of(0, 0).1.split_once('.').unwrap().1.len(), 1, "{:?}", of(0, 0));
    }

    #[test]
    fn features_without_a_schema_are_numbers_and_other_rows_are_refused() {
        let training: Vec<f32> = (0..200).flat_map(|i| [(i % 9) as f32, 0.5 * (i % 9) as f32]).collect();
        let rows = Rows::new(&training, 2).unwrap();
        let detector = Detector::fit(&Settings::default(), &rows).unwrap();
        let odd = Dataset::new(vec![3.0, 7.25], 2).unwrap();
        let blamed = detector.blame(&odd, 2).unwrap();
        let findings = explain(detector.model(), &odd, &blamed).unwrap();
        let mut found: Vec<&str> = findings[0].iter().map(|finding| &finding.found[..]).collect();
        found.sort_unstable();
        assert_eq!(found, ["3", "7.25"]);
        let reconstructed = detector.model().reconstruct(&odd).unwrap();
        let reconstructed = detector.model().within_limits(reconstructed).unwrap();
        for (finding, blame) in findings[0].iter().zip(&blamed[0]) {
            assert_eq!(finding.expected, reconstructed.values()[blame.column].to_string());
        }
        let error = explain(detector.model(), &rows, &blamed).unwrap_err();
        assert!(matches!(error, EvalError::RowCount { expected: 200, got: 1, .. }), "{error}");
    }
}
