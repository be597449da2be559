//! Labels from a separate file.

use std::path::{Path, PathBuf};

use ae_data::{Format, Labels, ReadOptions};

use crate::failure::Failure;

/// A file that `--label` names.
pub(super) struct LabelFile(PathBuf);

impl LabelFile {
    /// The file, if `label` names an existing one or has the extension of one; else it is a column.
    pub(super) fn named(label: &str) -> Option<LabelFile> {
        let path = Path::new(label);
        (path.is_file() || Format::of(path).is_ok()).then(|| LabelFile(path.to_owned()))
    }

    /// Reads the labels of this many rows.
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

    /// Reads a label per line. If there is one line more than rows, the first one is a header.
    fn lines(&self, rows: usize) -> Result<Labels, Failure> {
        let text = std::fs::read_to_string(&self.0).map_err(|error| self.failure(error))?;
        let mut lines: Vec<&str> = text.trim_start_matches('\u{feff}').lines().map(str::trim).collect();
        if let Some(line) = lines.iter().position(|line| line.is_empty()) {
            return Err(self.failure(format!("line {} is empty, but every row needs a label", line + 1)));
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

    /// Reads a single column of whole numbers.
    fn numbers(&self) -> Result<Labels, Failure> {
        let location = self.0.to_str().ok_or_else(|| self.failure("its name is not UTF-8"))?;
        let table = ae_data::read(location, &ReadOptions::default()).map_err(|error| self.failure(error))?;
        if table.features() != 1 {
            return Err(
                self.failure(format!("{} columns, but labels must be a single one", table.features()))
            );
        }
        if let Some(row) = table.values().iter().position(|x| x.fract() != 0.0) {
            let value = table.values()[row];
            return Err(
                self.failure(format!("row {}: {value} is not a label: labels are whole numbers", row + 1))
            );
        }
        Ok(Labels::from_integers(table.values().iter().map(|x| *x as i64)))
    }
}
