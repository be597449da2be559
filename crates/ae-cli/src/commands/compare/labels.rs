//! Labels that are in a file of their own.

use std::path::{Path, PathBuf};

use ae_data::{Format, Labels, ReadOptions};

use crate::failure::Failure;

/// A file that `--label` names.
pub(super) struct LabelFile(PathBuf);

impl LabelFile {
    /// What names a file, or has the ending of one, is one; anything else is a column.
    pub(super) fn named(label: &str) -> Option<LabelFile> {
        let path = Path::new(label);
        (path.is_file() || Format::of(path).is_ok()).then(|| LabelFile(path.to_owned()))
    }

    /// Its labels, one for each of so many rows.
    pub(super) fn labels(&self, rows: usize) -> Result<Labels, Failure> {
        let labels = match Format::of(&self.0) {
            Ok(Format::Csv | Format::Tsv) | Err(_) => self.lines(rows)?,
            Ok(_) => self.numbers()?,
        };
        if labels.len() != rows {
            return Err(self.failure(format!("{} labels for {rows} rows", labels.len())));
        }
        Ok(labels)
    }

    fn failure(&self, text: impl std::fmt::Display) -> Failure {
        Failure::Other(format!("--label {}: {text}", self.0.display()))
    }

    /// One a line; a line more than rows is the first, which names the column.
    fn lines(&self, rows: usize) -> Result<Labels, Failure> {
        let text = std::fs::read_to_string(&self.0).map_err(|error| self.failure(error))?;
        let mut lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().map(str::trim).collect();
        if let Some(line) = lines.iter().position(|line| line.is_empty()) {
            return Err(self.failure(format!("line {} is empty, but holds the label of a row", line + 1)));
        }
        if lines.len() == rows + 1 {
            lines.remove(0);
        }
        let bare = |line: &str| {
            let inner = line.strip_prefix('"').and_then(|line| line.strip_suffix('"'));
            inner.map_or_else(|| line.to_owned(), |inner| inner.replace("\"\"", "\""))
        };
        Ok(Labels::from_texts(lines.into_iter().map(bare)))
    }

    /// Whole numbers of one column.
    fn numbers(&self) -> Result<Labels, Failure> {
        let location = self.0.to_str().ok_or_else(|| self.failure("its name is not UTF-8"))?;
        let table = ae_data::read(location, &ReadOptions::default()).map_err(|error| self.failure(error))?;
        if table.features() != 1 {
            return Err(self.failure(format!("{} columns, but labels are one", table.features())));
        }
        if let Some(row) = table.values().iter().position(|x| x.fract() != 0.0) {
            let value = table.values()[row];
            return Err(self.failure(format!("row {}: {value} is no label: whole numbers are", row + 1)));
        }
        Ok(Labels::from_integers(table.values().iter().map(|x| *x as i64)))
    }
}
