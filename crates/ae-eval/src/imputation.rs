//! How well a model fills in missing values: known cells are hidden from it, and what it fills in is
//! compared with their true values.

use ae_data::{Dataset, Kind, Rng};
use ae_model::Autoencoder;

use crate::error::EvalError;

/// The number of rounds of [`Autoencoder::impute`] that detectors and the command use.
pub const IMPUTATION_ROUNDS: usize = 3;

/// How well hidden cells were filled in, by column.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Imputation {
    /// The columns in which cells were hidden, in order. Numeric columns that do not vary are left out.
    pub columns: Vec<ImputedColumn>,
}

/// How well the hidden cells of a column were filled in.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImputedColumn {
    /// The name of the column; its number, from 1, if it has none.
    pub name: String,
    /// Whether the column holds categories, that is booleans or texts.
    pub is_category: bool,
    /// Number of hidden cells.
    pub hidden: usize,
    /// For numbers, the sum of squared errors in units of the column's variance; for categories, the
    /// number of correct cells.
    pub model: f64,
    /// The same for filling in the mean or the most frequent category.
    pub baseline: f64,
}

/// How well the hidden cells of one or more columns of a kind were filled in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImputationScore {
    /// Number of hidden cells.
    pub hidden: usize,
    /// For numbers, the root mean squared error in standard deviations of the columns; for categories,
    /// the fraction of correct cells.
    pub model: f64,
    /// The same for filling in the mean or the most frequent category.
    pub baseline: f64,
}

impl ImputedColumn {
    /// The figures of this column: an error for numbers, a fraction for categories.
    pub fn score(&self) -> ImputationScore {
        combine(std::iter::once(self), self.is_category).unwrap_or(ImputationScore {
            hidden: 0,
            model: 0.0,
            baseline: 0.0,
        })
    }
}

fn combine<'a>(
    columns: impl Iterator<Item = &'a ImputedColumn>,
    is_category: bool,
) -> Option<ImputationScore> {
    let (mut hidden, mut model, mut baseline) = (0, 0.0, 0.0);
    for column in columns {
        hidden += column.hidden;
        model += column.model;
        baseline += column.baseline;
    }
    let mean = |sum: f64| if is_category { sum / hidden as f64 } else { (sum / hidden as f64).sqrt() };
    (hidden > 0).then(|| ImputationScore { hidden, model: mean(model), baseline: mean(baseline) })
}

impl Imputation {
    /// Hides known cells of `rows` `[rows, features]`, has the model fill them in, and compares.
    ///
    /// Each known cell is hidden with probability `fraction`, a categorical cell with all of its
    /// features; the same seed hides the same cells. Cells with a category that the model does not know
    /// are never hidden. `rounds` is as for [`Autoencoder::impute`]; [`IMPUTATION_ROUNDS`] is usual. Means, variances and frequencies
    /// are those of the known cells of `reference`, or else of the cells of `rows` that were not hidden.
    /// Numbers are compared in the units of the data.
    ///
    /// # Errors
    /// [`EvalError::FractionOutOfRange`] unless `fraction` is above 0 and below 1,
    /// [`EvalError::NoValues`] if nothing is hidden, or an error from the model, which must mask missing
    /// values.
    pub fn evaluate(
        model: &Autoencoder,
        rows: &Dataset,
        reference: Option<&Dataset>,
        fraction: f64,
        rounds: usize,
        seed: u64,
    ) -> Result<Imputation, EvalError> {
        if !(fraction > 0.0 && fraction < 1.0) {
            let allowed = "above 0 and below 1";
            return Err(EvalError::FractionOutOfRange {
                what: "the fraction of hidden cells",
                value: fraction,
                allowed,
            });
        }
        let features = model.config().input_dim();
        let mut widths = [Some(rows), reference].into_iter().flatten().map(Dataset::features);
        if let Some(got) = widths.find(|got| *got != features) {
            let what = "rows";
            return Err(ae_model::Error::Width { what, expected: features, got }.into());
        }
        let columns = columns(model, rows);
        let mut hidden = vec![Vec::new(); columns.len()];
        let mut values = rows.values().to_vec();
        let mut rng = Rng::new(seed);
        for (index, row) in values.chunks_exact_mut(features).enumerate() {
            for (column, hidden) in columns.iter().zip(&mut hidden) {
                let cell = &mut row[column.offset..][..column.width];
                let draw = rng.unit();
                if column.is_known(cell) && draw < fraction {
                    cell.fill(f32::NAN);
                    hidden.push(index);
                }
            }
        }
        let gaps = Dataset::new(values, features)?;
        let filled = model.impute(&gaps, rounds)?;
        let reference = reference.unwrap_or(&gaps);
        let found = columns.iter().zip(&hidden).filter(|(_, hidden)| !hidden.is_empty());
        let columns: Vec<ImputedColumn> =
            found.filter_map(|(column, hidden)| column.compare(rows, &filled, reference, hidden)).collect();
        if columns.is_empty() { Err(EvalError::NoValues) } else { Ok(Imputation { columns }) }
    }

    /// All numeric columns together; `None` if there are none.
    pub fn numbers(&self) -> Option<ImputationScore> {
        combine(self.columns.iter().filter(|column| !column.is_category), false)
    }

    /// All categorical columns together; `None` if there are none.
    pub fn categories(&self) -> Option<ImputationScore> {
        combine(self.columns.iter().filter(|column| column.is_category), true)
    }
}

/// A column and its features.
struct Column<'a> {
    name: String,
    schema_column: Option<&'a ae_data::Column>,
    offset: usize,
    width: usize,
}

fn columns<'a>(model: &'a Autoencoder, rows: &Dataset) -> Vec<Column<'a>> {
    let mut offset = 0;
    match model.schema() {
        Some(schema) => {
            let column = |column: &'a ae_data::Column| {
                offset += column.width();
                let (width, name) = (column.width(), column.name.clone());
                Column { name, schema_column: Some(column), offset: offset - width, width }
            };
            schema.features().map(column).collect()
        }
        None => {
            let name = |index: usize| {
                rows.names().map_or_else(|| (index + 1).to_string(), |names| names[index].clone())
            };
            (0..rows.features())
                .map(|index| Column { name: name(index), schema_column: None, offset: index, width: 1 })
                .collect()
        }
    }
}

impl Column<'_> {
    fn is_category(&self) -> bool {
        self.schema_column.is_some_and(ae_data::Column::is_indicator)
    }

    fn cell<'r>(&self, rows: &'r Dataset, row: usize) -> &'r [f32] {
        &rows.row(row).unwrap_or_default()[self.offset..][..self.width]
    }

    fn is_known(&self, cell: &[f32]) -> bool {
        let unknown =
            self.schema_column.is_some_and(|column| matches!(column.kind, Kind::Categorical { .. }))
                && cell.iter().all(|x| *x == 0.0);
        !cell[0].is_nan() && !unknown
    }

    /// The category of a cell as text.
    fn category(&self, cell: &[f32]) -> String {
        self.schema_column.map_or_else(String::new, |column| column.text_of(cell))
    }

    /// The number in a cell, in the units of the data.
    fn number(&self, cell: &[f32]) -> f64 {
        let x = f64::from(cell[0]);
        self.schema_column.map_or(x, |column| column.value_of(x))
    }

    fn compare(
        &self,
        rows: &Dataset,
        filled: &Dataset,
        reference: &Dataset,
        hidden: &[usize],
    ) -> Option<ImputedColumn> {
        let cells = (0..reference.rows()).map(|row| self.cell(reference, row));
        let known: Vec<&[f32]> = cells.filter(|cell| self.is_known(cell)).collect();
        let pairs = hidden.iter().map(|row| (self.cell(rows, *row), self.cell(filled, *row)));
        let (model, baseline) = if self.is_category() {
            let mut counts = std::collections::BTreeMap::<String, usize>::new();
            known.iter().for_each(|cell| *counts.entry(self.category(cell)).or_default() += 1);
            // The first of equally frequent ones.
            let (mode, _) = counts.into_iter().rev().max_by_key(|(_, count)| *count)?;
            pairs.fold((0.0, 0.0), |(model, baseline), (x, y)| {
                let truth = self.category(x);
                let right = |found: &str| f64::from(u8::from(found == truth));
                (model + right(&self.category(y)), baseline + right(&mode))
            })
        } else {
            let count = known.len() as f64;
            let mean = known.iter().map(|cell| self.number(cell)).sum::<f64>() / count;
            let variance = known.iter().map(|cell| (self.number(cell) - mean).powi(2)).sum::<f64>() / count;
            if !(variance > 0.0) {
                return None;
            }
            pairs.fold((0.0, 0.0), |(model, baseline), (x, y)| {
                let error = |found: f64| (found - self.number(x)).powi(2) / variance;
                (model + error(self.number(y)), baseline + error(mean))
            })
        };
        Some(ImputedColumn {
            name: self.name.clone(),
            is_category: self.is_category(),
            hidden: hidden.len(),
            model,
            baseline,
        })
    }
}

#[cfg(test)]
mod tests {
    use ae_data::{ColumnRoles, Schema, Table};
    use ae_model::{Config, Optimizer, ScalerKind};

    use super::*;

    /// Each column can be predicted from the others.
    fn table() -> Table {
        let names = ["x", "y", "kind", "large"].map(str::to_owned).to_vec();
        let mut columns = vec![Vec::new(); 4];
        for i in 0..200 {
            let t = f64::from(i % 40) / 40.0;
            columns[0].push(format!("{t:.3}"));
            columns[1].push(format!("{:.3}", 5.0 - 3.0 * t));
            columns[2].push(["low", "middle", "high"][(3.0 * t) as usize].to_owned());
            columns[3].push(if t < 0.5 { "no" } else { "yes" }.to_owned());
        }
        Table::new(names, &columns).unwrap()
    }

    fn trained() -> (Autoencoder, Dataset) {
        let schema = Schema::infer(&table(), &ColumnRoles::default()).unwrap();
        let rows = schema.encode(&table(), None).unwrap().rows;
        let config = Config::builder(rows.features())
            .hidden_dims([12])
            .encoding_dim(3)
            .scaler(ScalerKind::Standard)
            .optimizer(Optimizer::ADAM)
            .learning_rate(0.01)
            .noise(ae_model::Noise::Masking { fraction: 0.3 })
            .mask_missing(true)
            .epochs(150)
            .build()
            .unwrap();
        let mut model = Autoencoder::new(config).unwrap();
        model.set_schema(schema).unwrap();
        model.fit(&rows, &mut []).unwrap();
        (model, rows)
    }

    #[test]
    fn a_model_fills_in_better_than_means_and_modes() {
        let (model, rows) = trained();
        let found = Imputation::evaluate(&model, &rows, None, 0.1, 2, 1).unwrap();
        assert_eq!(found.columns.len(), 4);
        assert!(found.columns.iter().all(|column| (5..40).contains(&column.hidden)), "{found:?}");
        let (numbers, categories) = (found.numbers().unwrap(), found.categories().unwrap());
        assert!(
            numbers.model < 0.6 * numbers.baseline && (numbers.baseline - 1.0).abs() < 0.3,
            "{numbers:?}"
        );
        assert!(categories.model > categories.baseline + 0.2, "{categories:?}");
        assert_eq!(Imputation::evaluate(&model, &rows, None, 0.1, 2, 1).unwrap(), found);
        assert_ne!(Imputation::evaluate(&model, &rows, None, 0.1, 2, 2).unwrap(), found);
    }

    /// A hidden outlier does not affect the mean that it is compared with.
    #[test]
    fn means_without_a_reference_are_of_what_was_not_hidden() {
        let mut values: Vec<f32> = (0..60).flat_map(|row| [(row % 3) as f32, (row % 5) as f32]).collect();
        values[2 * 7] = 1000.0;
        let rows = Dataset::new(values, 2).unwrap();
        let config = Config::builder(2).encoding_dim(1).hidden_dims([]).mask_missing(true).epochs(1);
        let mut model = Autoencoder::new(config.build().unwrap()).unwrap();
        model.fit(&rows, &mut []).unwrap();
        // Cells are drawn row by row.
        let is_hidden = |seed: u64| {
            let mut rng = Rng::new(seed);
            (0..120).map(|_| rng.unit() < 0.2).collect::<Vec<bool>>()
        };
        let seed = (0..).find(|seed| is_hidden(*seed)[2 * 7]).unwrap();
        let column = |offset: usize, hidden: bool| -> Vec<f64> {
            let all = is_hidden(seed);
            let places = (offset..120).step_by(2).filter(|place| all[*place] == hidden);
            places.map(|place| f64::from(rows.values()[place])).collect()
        };
        let found = Imputation::evaluate(&model, &rows, None, 0.2, 1, seed).unwrap();
        for (offset, imputed) in found.columns.iter().enumerate() {
            let (known, hidden) = (column(offset, false), column(offset, true));
            let mean = known.iter().sum::<f64>() / known.len() as f64;
            let squares = |values: &[f64]| values.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
            let expected = squares(&hidden) / (squares(&known) / known.len() as f64);
            assert_eq!(imputed.hidden, hidden.len());
            assert!((imputed.baseline - expected).abs() < 1e-9 * expected, "{imputed:?} {expected}");
        }
        assert!(found.columns[0].baseline > 1e6, "{found:?}");
    }

    /// The most frequent category is that of the cells that are left. Here both are equally frequent,
    /// and the first in alphabetical order is right only if more of the other are hidden.
    #[test]
    fn modes_without_a_reference_are_of_what_was_not_hidden() {
        let (model, rows) = trained();
        let large = |row: usize| rows.row(row).unwrap()[5] == 1.0;
        let mut differing = 0;
        for seed in 0..20 {
            let found = Imputation::evaluate(&model, &rows, None, 0.3, 1, seed).unwrap();
            let mut rng = Rng::new(seed);
            let (mut hidden, mut known) = ([0usize; 2], [0usize; 2]);
            for row in 0..rows.rows() {
                let draws = [(); 4].map(|()| rng.unit());
                let counts = if draws[3] < 0.3 { &mut hidden } else { &mut known };
                counts[usize::from(large(row))] += 1;
            }
            let mode = usize::from(known[1] > known[0]);
            assert_eq!(found.columns[3].baseline, hidden[mode] as f64, "{seed}");
            differing += mode;
        }
        assert!(differing > 0);
    }

    /// Sums by hand: means and modes are those of the reference, and unknown categories are not hidden.
    #[test]
    fn means_and_modes_are_of_the_reference() {
        let (model, rows) = trained();
        // x is always 2 and its mean in the reference 0.4875; the category is always unknown.
        let odd: Vec<f32> =
            rows.values()[..50 * 6].chunks(6).flat_map(|_| [2.0, 4.0, 0.0, 0.0, 0.0, 1.0]).collect();
        let odd = Dataset::new(odd, 6).unwrap();
        let found = Imputation::evaluate(&model, &odd, Some(&rows), 0.5, 1, 3).unwrap();
        let names: Vec<&str> = found.columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, ["x", "y", "large"]);
        let mean = 0.4875;
        let variance = (0..40).map(|i| (f64::from(i) / 40.0 - mean).powi(2)).sum::<f64>() / 40.0;
        let expected = (2.0 - mean) / variance.sqrt();
        assert!((found.columns[0].score().baseline - expected).abs() < 1e-4 * expected);
        // As many yes as no: the first in alphabetical order, which is wrong for all rows here.
        assert_eq!(found.columns[2].score().baseline, 0.0);
        for fraction in [0.0, 1.0, f64::NAN] {
            assert!(matches!(
                Imputation::evaluate(&model, &rows, None, fraction, 1, 0),
                Err(EvalError::FractionOutOfRange { .. })
            ));
        }
        let narrow = Dataset::new(vec![0.0; 2], 2).unwrap();
        assert!(matches!(Imputation::evaluate(&model, &narrow, None, 0.1, 1, 0), Err(EvalError::Model(_))));
    }
}
