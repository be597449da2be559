//! The columns to blame for odd rows.

use ae_data::{BatchSource, Dataset};
use ae_model::Autoencoder;

use super::Detector;
use super::columns::{Column, Columns};
use crate::blocks::for_each_block;
use crate::error::EvalError;

/// A column to blame for a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Blame {
    /// Index of the column in [`Schema::features`](ae_data::Schema::features), or of the feature if the model has no schema.
    pub column: usize,
    /// What the column contributes to the row's error.
    pub contribution: f32,
    /// Whether the cell has a category that the model does not know, which is odd whatever its error.
    pub is_unknown: bool,
}

impl Detector {
    /// For each row, the `most` columns to blame, in descending order of their contributions to the
    /// standardised error ([`contributions_by`](Detector::contributions_by)); columns with an unknown
    /// category come first, and those whose cell is missing last.
    ///
    /// Columns are those of the model's schema, or features if it has none.
    ///
    /// ```
    /// use ae_data::Rows;
    /// use ae_eval::anomaly::{Detector, Settings};
    ///
    /// let table: Vec<[f32; 2]> = (0..200).map(|i| [(i % 9) as f32, 5.0 + (i % 7) as f32]).collect();
    /// let rows = Rows::new(table.as_flattened(), 2)?;
    /// let detector = Detector::fit(&Settings::default(), &rows)?;
    /// let blamed = detector.blame(&Rows::new(&[4.0, 60.0], 2)?, 1)?;
    /// assert_eq!(blamed[0][0].column, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`scores`](Detector::scores).
    pub fn blame(&self, rows: &dyn BatchSource, most: usize) -> Result<Vec<Vec<Blame>>, EvalError> {
        let contributions = match self.model().schema() {
            Some(schema) => self.contributions_by(rows, &schema.groups())?,
            None => self.contributions(rows)?,
        };
        blame(self.model(), rows, &contributions, most)
    }
}

/// For each row, the `most` columns to blame, given what each contributes, `[rows, columns]`: in
/// descending order, columns with an unknown category first and contributions of NaN last.
/// [`Detector::blame`] does this with the detector's own contributions.
///
/// Columns are those of the model's schema, or features if it has none.
///
/// # Errors
/// [`EvalError::RowCount`] or [`EvalError::Count`] for contributions of other rows or columns,
/// [`EvalError::Model`] for rows of another width or with other column names, or an error from reading
/// them.
pub fn blame(
    model: &Autoencoder,
    rows: &dyn BatchSource,
    contributions: &Dataset,
    most: usize,
) -> Result<Vec<Vec<Blame>>, EvalError> {
    // Checks the width and the column names of the rows.
    model.scaled(rows)?;
    let columns = Columns::new(model.schema(), rows.features());
    if contributions.rows() != rows.rows() {
        let (expected, got) = (rows.rows(), contributions.rows());
        return Err(EvalError::RowCount { what: "contributions", expected, got });
    }
    if contributions.features() != columns.len() {
        let (expected, got) = (columns.len(), contributions.features());
        return Err(EvalError::Count { what: "columns of contributions", expected, got });
    }
    let mut blamed = Vec::with_capacity(contributions.rows());
    for_each_block(rows, |block| {
        for row in block.chunks_exact(rows.features().max(1)) {
            let contributions = contributions.row(blamed.len()).unwrap_or_default();
            let blame = |(number, (column, contribution)): (usize, (&Column, &f32))| Blame {
                column: number,
                contribution: *contribution,
                is_unknown: column.is_unknown(row),
            };
            let mut all: Vec<Blame> = columns.iter().zip(contributions).enumerate().map(blame).collect();
            let rank = |blame: &Blame| match blame.contribution {
                known if !known.is_nan() => known,
                _ => f32::NEG_INFINITY,
            };
            all.sort_by(|a, b| b.is_unknown.cmp(&a.is_unknown).then(rank(b).total_cmp(&rank(a))));
            all.truncate(most);
            blamed.push(all);
        }
    })?;
    Ok(blamed)
}

#[cfg(test)]
mod tests {
    use ae_data::{ColumnRoles, Rows, Schema, Table};
    use ae_model::Config;

    use super::*;
    use crate::anomaly::{Score, Settings};
    use crate::blocks::BLOCK;

    /// Numbers, categories that follow from them, and unrelated numbers.
    fn table(rows: &[(f64, &str, f64)]) -> Table {
        let names = ["size", "kind", "other"].map(str::to_owned).to_vec();
        let columns = [
            rows.iter().map(|row| row.0.to_string()).collect(),
            rows.iter().map(|row| row.1.to_owned()).collect(),
            rows.iter().map(|row| row.2.to_string()).collect::<Vec<_>>(),
        ];
        Table::new(names, &columns).unwrap()
    }

    fn detector() -> Detector {
        let row = |i: u32| {
            let size = f64::from(i * 7 % 60) / 10.0;
            (size, ["small", "middle", "large"][(size / 2.0) as usize], f64::from(i * 11 % 19) / 10.0)
        };
        let table = table(&(0..240).map(row).collect::<Vec<_>>());
        let schema = Schema::infer(&table, &ColumnRoles::default()).unwrap();
        let rows = schema.encode(&table, None).unwrap().rows;
        let config = Config::builder(rows.features()).encoding_dim(3).mask_missing(true).epochs(40);
        let mut model = Autoencoder::new(config.build().unwrap()).unwrap();
        model.set_schema(schema).unwrap();
        model.fit(&rows, &mut []).unwrap();
        Detector::with_model(&Settings::default(), model, &rows).unwrap()
    }

    #[test]
    fn unknown_categories_are_blamed_before_larger_errors() {
        let detector = detector();
        let schema = detector.model().schema().unwrap();
        let odd = table(&[(3.0, "none such", 40.0), (3.0, "middle", 40.0), (3.0, "", 40.0)]);
        let rows = schema.encode(&odd, None).unwrap().rows;
        let blamed = detector.blame(&rows, 3).unwrap();
        let columns = |row: usize| blamed[row].iter().map(|blame| blame.column).collect::<Vec<_>>();
        assert_eq!(columns(0)[..2], [1, 2]);
        // Of a known category, the error decides.
        assert_eq!((columns(1)[0], columns(2)[0]), (2, 2));
        // Nothing is to blame for a cell that is missing.
        assert!(columns(2)[2] == 1 && blamed[2][2].contribution.is_nan());
        let unknown: Vec<bool> = blamed.iter().flatten().map(|blame| blame.is_unknown).collect();
        assert_eq!(unknown, [true, false, false, false, false, false, false, false, false]);
        assert!(blamed[0][0].contribution < blamed[0][1].contribution, "{:?}", blamed[0]);
        // The contributions are those of columns.
        let contributions = detector.contributions_by(&rows, &schema.groups()).unwrap();
        for (row, blamed) in blamed.iter().enumerate() {
            for blame in blamed {
                let expected = contributions.row(row).unwrap()[blame.column];
                assert_eq!(blame.contribution.to_bits(), expected.to_bits());
            }
        }
        // A number that is 0 is no unknown category.
        let zero = schema.encode(&table(&[(0.0, "small", 0.0)]), None).unwrap().rows;
        assert!(detector.blame(&zero, 3).unwrap()[0].iter().all(|blame| !blame.is_unknown));
        assert!(detector.blame(&rows, 0).unwrap().iter().all(Vec::is_empty));
        assert_eq!(detector.blame(&rows, 2).unwrap()[1], blamed[1][..2]);
    }

    /// Of more rows than are read at a time, each has its own contributions.
    #[test]
    fn without_a_schema_columns_are_features() {
        let model = Autoencoder::new(Config::builder(3).encoding_dim(1).build().unwrap()).unwrap();
        let rows = BLOCK + 5;
        let mut contributions = vec![0.0; rows * 3];
        (0..rows).for_each(|row| contributions[row * 3 + row % 3] = row as f32 + 0.5);
        let contributions = Dataset::new(contributions, 3).unwrap();
        let zeros = vec![0.0; rows * 3];
        let blamed = blame(&model, &Rows::new(&zeros, 3).unwrap(), &contributions, 1).unwrap();
        assert_eq!(blamed.len(), rows);
        for (row, blamed) in blamed.iter().enumerate() {
            let expected = Blame { column: row % 3, contribution: row as f32 + 0.5, is_unknown: false };
            assert_eq!(*blamed, [expected], "row {row}");
        }
    }

    #[test]
    fn contributions_must_be_those_of_the_rows() {
        let detector = detector();
        let rows = detector.reference();
        let refused = |values: &[f32], features| {
            let contributions = Dataset::new(values.to_vec(), features).unwrap();
            blame(detector.model(), rows, &contributions, 1).unwrap_err().to_string()
        };
        assert_eq!(refused(&[0.0; 6], 3), "expected 240 rows of contributions, got 2");
        assert_eq!(refused(&[0.0; 480], 2), "expected 3 columns of contributions, got 2");
        let narrow = detector.blame(&Rows::new(&[0.0; 4], 2).unwrap(), 1);
        assert!(matches!(
            narrow,
            Err(EvalError::Model(ae_model::Error::Width { .. }) | EvalError::Count { .. })
        ));
    }

    /// An unknown category is at least as odd as a rare one, by every score that looks at rows.
    #[test]
    fn unknown_categories_are_as_odd_as_rare_ones() {
        let row = |i: u32| (f64::from(i * 7 % 60) / 10.0, if i == 9 { "rare" } else { "usual" }, 1.0);
        let training = table(&(0..240).map(row).collect::<Vec<_>>());
        let schema = Schema::infer(&training, &ColumnRoles::default()).unwrap();
        let rows = schema.encode(&training, None).unwrap().rows;
        let config = Config::builder(rows.features()).encoding_dim(2).epochs(40).build().unwrap();
        let mut model = Autoencoder::new(config).unwrap();
        model.set_schema(schema.clone()).unwrap();
        model.fit(&rows, &mut []).unwrap();
        let odd = table(&[(3.0, "usual", 1.0), (3.0, "rare", 1.0), (3.0, "none such", 1.0)]);
        let odd = schema.encode(&odd, None).unwrap().rows;
        for score in [Score::InputNeighbours, Score::StandardisedError, Score::Mahalanobis] {
            let settings = Settings { score, ..Settings::default() };
            let scores = Detector::with_model(&settings, model.clone(), &rows).unwrap();
            let scores = scores.scores(&odd).unwrap();
            assert!(scores[2] > 0.9 * scores[1] && scores[2] > 2.0 * scores[0], "{score}: {scores:?}");
        }
    }
}
