//! What is written of each row.

use std::io::{self, Write};

use ae_data::{Dataset, Format};
use serde_json::{Value, json};

use super::Found;
use crate::failure::Failure;
use crate::inputs::Target;
use crate::output::{Output, quoted};
use crate::tables::FILE;

/// Features that are named of those that are blamed most often.
const MOST_BLAMED: usize = 5;

/// The rows of the result.
pub(super) struct Table<'a> {
    pub(super) found: &'a Found,
    pub(super) flags: &'a [bool],
    pub(super) names: Option<&'a [String]>,
    /// The files that the rows come from, for formats that hold texts.
    pub(super) files: Option<&'a [String]>,
    /// Features to name for each row.
    pub(super) blamed: usize,
}

impl Table<'_> {
    /// An object a row.
    pub(super) fn objects(&self, out: &mut Output) -> Result<(), Failure> {
        for row in 0..self.flags.len() {
            let blamed: Vec<Value> = self
                .blamed(row)
                .into_iter()
                .map(|(feature, share)| json!({ "feature": self.name(feature), "error": share }))
                .collect();
            let mut object = json!({
                "row": row + 1,
                "score": self.found.scores[row],
                "flag": self.flags[row],
                "blamed": blamed,
            });
            if let Some(p_values) = &self.found.p_values {
                object["p_value"] = json!(p_values[row]);
            }
            if let Some(files) = self.files {
                object[FILE] = json!(files[row]);
            }
            out.object(&object)?;
        }
        Ok(())
    }

    /// A table, with names in CSV and TSV, and with numbers of features, from 1, in formats that hold nothing but numbers.
    pub(super) fn write(&self, target: &Target, out: &mut Output) -> Result<(), Failure> {
        let Target::File(path) = target else { return Ok(self.text(out.stream(), ",")?) };
        let separator = match Format::of(path)? {
            Format::Csv => ",",
            Format::Tsv => "\t",
            _ => return target.write(&self.numbers()?, out),
        };
        if path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz")) {
            return target.write(&self.numbers()?, out);
        }
        ae_data::write_atomically(path, |file| self.text(file, separator))
            .map_err(|error| Failure::Other(format!("{}: {error}", path.display())))?;
        out.note(format!("{} rows written to {}", self.flags.len(), path.display()));
        Ok(())
    }

    fn columns(&self) -> Vec<String> {
        let mut columns = vec!["score".to_owned(), "flag".to_owned()];
        columns.extend(self.found.p_values.as_ref().map(|_| "p_value".to_owned()));
        columns.extend((1..=self.width()).map(|place| format!("blamed_{place}")));
        columns
    }

    /// Features that are named a row.
    fn width(&self) -> usize {
        self.blamed.min(self.found.contributions.features())
    }

    fn text(&self, out: impl Write, separator: &str) -> io::Result<()> {
        let mut out = io::BufWriter::new(out);
        let mut columns = self.columns();
        if self.files.is_some() {
            columns.insert(0, FILE.to_owned());
        }
        writeln!(out, "{}", columns.join(separator))?;
        for row in 0..self.flags.len() {
            let mut cells: Vec<String> =
                self.files.map(|files| quoted(&files[row], separator)).into_iter().collect();
            cells.extend([self.found.scores[row].to_string(), u8::from(self.flags[row]).to_string()]);
            cells.extend(self.found.p_values.as_ref().map(|p_values| p_values[row].to_string()));
            cells.extend(
                self.blamed(row).into_iter().map(|(feature, _)| quoted(&self.name(feature), separator)),
            );
            writeln!(out, "{}", cells.join(separator))?;
        }
        out.flush()
    }

    fn numbers(&self) -> Result<Dataset, Failure> {
        let columns = self.columns();
        let mut values = Vec::with_capacity(columns.len() * self.flags.len());
        for row in 0..self.flags.len() {
            values.extend([self.found.scores[row] as f32, f32::from(u8::from(self.flags[row]))]);
            values.extend(self.found.p_values.as_ref().map(|p_values| p_values[row] as f32));
            values.extend(self.blamed(row).into_iter().map(|(feature, _)| (feature + 1) as f32));
        }
        Ok(Dataset::new(values, columns.len())?.with_names(columns)?)
    }

    /// The features that add most to a row's error, falling, each with what it adds.
    fn blamed(&self, row: usize) -> Vec<(usize, f32)> {
        let errors = self.found.contributions.row(row).unwrap_or_default();
        let mut all: Vec<(usize, f32)> = errors.iter().copied().enumerate().collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1));
        all.truncate(self.blamed);
        all
    }

    /// The features that are first to blame for most of the flagged rows, and for how many.
    pub(super) fn most_blamed(&self) -> Vec<(String, usize)> {
        let mut counts = vec![0; self.found.contributions.features()];
        let flagged = (0..self.flags.len()).filter(|row| self.flags[*row]);
        flagged
            .filter_map(|row| self.blamed(row).first().copied())
            .for_each(|(feature, _)| counts[feature] += 1);
        let mut order: Vec<usize> = (0..counts.len()).filter(|feature| counts[*feature] > 0).collect();
        order.sort_by(|a, b| counts[*b].cmp(&counts[*a]));
        order.into_iter().take(MOST_BLAMED).map(|feature| (self.name(feature), counts[feature])).collect()
    }

    fn name(&self, feature: usize) -> String {
        self.names.and_then(|names| names.get(feature).cloned()).unwrap_or_else(|| (feature + 1).to_string())
    }
}
