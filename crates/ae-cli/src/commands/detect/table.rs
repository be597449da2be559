//! The results of each row, as a table or as JSON.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use ae_data::Dataset;
use ae_eval::anomaly::Finding;
use serde_json::{Value, json};

use super::Detection;
use crate::failure::Failure;
use crate::inputs::TableDestination;
use crate::output::Output;
use crate::tables;

/// Number of the most often blamed features to name.
const MOST_BLAMED: usize = 5;

/// The results to write.
pub(super) struct Table<'a> {
    pub(super) detection: &'a Detection,
    pub(super) flags: &'a [bool],
    pub(super) names: Option<&'a [String]>,
    /// For the row ids, which are written in formats that hold text.
    pub(super) rows: &'a Dataset,
    /// The rows to write, in order.
    pub(super) written: Vec<usize>,
    /// Whether to write their numbers too.
    pub(super) is_numbered: bool,
}

/// The column of row numbers.
const ROW: &str = "row";
/// The largest row number such that single precision holds all up to it.
const MAX_NUMBER: usize = 1 << 24;

impl Table<'_> {
    /// Prints a JSON object for each row.
    pub(super) fn objects(&self, out: &mut Output) -> Result<(), Failure> {
        let row_ids = tables::row_id_column(self.rows, &[ROW, "score", "flag", "blamed", "p_value"]);
        for row in self.written.iter().copied() {
            let findings = self.detection.findings.as_ref().map(|findings| &findings[row]);
            let blamed: Vec<Value> = self.detection.blamed[row]
                .iter()
                .enumerate()
                .filter(|(_, blame)| !blame.contribution.is_nan())
                .map(|(place, blame)| {
                    let mut object =
                        json!({ "feature": self.name(blame.column), "error": blame.contribution });
                    if let Some(Finding { found, expected }) =
                        findings.and_then(|findings| findings.get(place))
                    {
                        object["found"] = json!(found);
                        object["expected"] = json!(expected);
                    }
                    object
                })
                .collect();
            let mut object = json!({
                "row": row + 1,
                "score": self.detection.scores[row],
                "flag": self.flags[row],
                "blamed": blamed,
            });
            if let Some(p_values) = &self.detection.p_values {
                object["p_value"] = json!(p_values[row]);
            }
            if let Some((name, ids)) = &row_ids {
                object[name] = json!(ids[row]);
            }
            out.object(&object)?;
        }
        Ok(())
    }

    /// Writes a table, with the names of features if the format holds text, else with numbers from 1.
    pub(super) fn write(&self, destination: &TableDestination, out: &mut Output) -> Result<(), Failure> {
        if destination.is_numeric() {
            tables::remark_unwritten_ids(self.rows, destination, out);
            return destination.write(&self.numbers()?, out);
        }
        tables::write_table(&self.texts()?, destination, out)
    }

    fn columns(&self) -> Vec<String> {
        let mut columns = Vec::new();
        columns.extend(self.is_numbered.then(|| ROW.to_owned()));
        columns.extend(["score".to_owned(), "flag".to_owned()]);
        columns.extend(self.detection.p_values.as_ref().map(|_| "p_value".to_owned()));
        let kinds: &[&str] = match self.detection.findings {
            Some(_) => &["blamed", "found", "expected"],
            None => &["blamed"],
        };
        columns.extend(
            (1..=self.width()).flat_map(|place| kinds.iter().map(move |kind| format!("{kind}_{place}"))),
        );
        columns
    }

    /// Number of features that are blamed for each row: the same for all.
    fn width(&self) -> usize {
        self.detection.blamed.first().map_or(0, Vec::len)
    }

    fn texts(&self) -> Result<ae_data::Table, Failure> {
        let mut names = self.columns();
        let column =
            |text: &dyn Fn(usize) -> String| self.written.iter().map(|row| text(*row)).collect::<Vec<_>>();
        let Detection { scores, p_values, blamed, findings, .. } = self.detection;
        let mut columns: Vec<Vec<String>> = Vec::with_capacity(names.len());
        columns.extend(self.is_numbered.then(|| column(&|row| (row + 1).to_string())));
        columns.push(column(&|row| scores[row].to_string()));
        columns.push(column(&|row| u8::from(self.flags[row]).to_string()));
        columns.extend(p_values.as_ref().map(|p_values| column(&|row| p_values[row].to_string())));
        for place in 0..self.width() {
            // Missing cells are not to blame.
            let is_blamed = |row: usize| !blamed[row][place].contribution.is_nan();
            let of_rows = |text: &dyn Fn(usize) -> String| {
                column(&|row| if is_blamed(row) { text(row) } else { String::new() })
            };
            columns.push(of_rows(&|row| self.name(blamed[row][place].column)));
            if let Some(findings) = findings {
                columns.push(of_rows(&|row| findings[row][place].found.clone()));
                columns.push(of_rows(&|row| findings[row][place].expected.clone()));
            }
        }
        if let Some((name, ids)) = tables::row_id_column(self.rows, &names) {
            names.insert(0, name);
            columns.insert(0, column(&|row| ids[row].clone()));
        }
        Ok(ae_data::Table::new(names, &columns)?)
    }

    fn numbers(&self) -> Result<Dataset, Failure> {
        let columns = self.columns();
        if self.is_numbered && self.written.iter().any(|row| *row >= MAX_NUMBER) {
            let text = "--top: .npy and .npz files hold row numbers up to 16,777,216; write a table instead";
            return Err(Failure::Usage(text.to_owned()));
        }
        let mut values = Vec::with_capacity(columns.len() * self.written.len());
        for row in self.written.iter().copied() {
            values.extend(self.is_numbered.then_some((row + 1) as f32));
            values.extend([self.detection.scores[row] as f32, f32::from(u8::from(self.flags[row]))]);
            values.extend(self.detection.p_values.as_ref().map(|p_values| p_values[row] as f32));
            values.extend(self.detection.blamed[row].iter().map(|blame| match blame.contribution.is_nan() {
                true => f32::NAN,
                false => (blame.column + 1) as f32,
            }));
        }
        Ok(Dataset::new(values, columns.len())?.with_names(columns)?)
    }

    /// The features that are blamed first for most of the flagged rows, with the number of these rows.
    pub(super) fn most_blamed(&self) -> Vec<(String, usize)> {
        let mut counts = BTreeMap::new();
        let flagged = self.detection.blamed.iter().zip(self.flags).filter(|(_, flag)| **flag);
        let first = flagged.filter_map(|(blamed, _)| blamed.first());
        first.for_each(|blame| *counts.entry(blame.column).or_insert(0) += 1);
        let mut order: Vec<(usize, usize)> = counts.into_iter().collect();
        order.sort_by_key(|(_, count)| Reverse(*count));
        order.into_iter().take(MOST_BLAMED).map(|(column, count)| (self.name(column), count)).collect()
    }

    fn name(&self, feature: usize) -> String {
        self.names.and_then(|names| names.get(feature).cloned()).unwrap_or_else(|| (feature + 1).to_string())
    }
}
