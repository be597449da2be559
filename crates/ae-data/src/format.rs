//! File formats and the endings that identify them.

use std::path::Path;

use crate::error::DataError;

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// `.csv`, `.csv.gz`: the delimiter is inferred.
    Csv,
    /// `.tsv`, `.tsv.gz`: tab-separated.
    Tsv,
    /// `.npy`
    Npy,
    /// `.npz`
    Npz,
    /// `.idx`, `-ubyte`, and names like `images.idx3`, each also with `.gz`.
    Idx,
    /// `.parquet`
    Parquet,
}

/// The endings, for messages.
const ENDINGS: &str = ".csv, .tsv (also .gz), .npy, .npz, .idx and -ubyte (also .gz), .parquet";

impl Format {
    /// Returns the format that a file name indicates.
    ///
    /// # Errors
    /// [`DataError::UnknownFormat`], which lists the supported endings.
    pub fn of(path: impl AsRef<Path>) -> Result<Format, DataError> {
        Format::of_path(path.as_ref())
    }

    fn of_path(path: &Path) -> Result<Format, DataError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let (stem, packed) = match name.strip_suffix(".gz") {
            Some(stem) => (stem, true),
            None => (name.as_str(), false),
        };
        let ending = stem.rsplit_once('.').map(|(_, ending)| ending);
        let idx = stem.ends_with("-ubyte")
            || ending
                .and_then(|ending| ending.strip_prefix("idx"))
                .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        match ending {
            _ if idx => Ok(Format::Idx),
            Some("csv") => Ok(Format::Csv),
            Some("tsv") => Ok(Format::Tsv),
            Some("npy") if !packed => Ok(Format::Npy),
            Some("npz") if !packed => Ok(Format::Npz),
            Some("parquet") if !packed => Ok(Format::Parquet),
            _ => Err(DataError::UnknownFormat { path: path.to_owned(), supported: ENDINGS }),
        }
    }

    /// The name for messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Format::Csv => "CSV",
            Format::Tsv => "TSV",
            Format::Npy | Format::Npz => "NumPy",
            Format::Idx => "IDX",
            Format::Parquet => "Parquet",
        }
    }

    pub(crate) fn unavailable(self, path: &Path, action: &'static str) -> DataError {
        DataError::FormatUnavailable { path: path.to_owned(), format: self.name(), action }
    }

    /// Whether files can be read as text, with numbers in the digits they were written with.
    pub fn holds_text(self) -> bool {
        matches!(self, Format::Csv | Format::Tsv | Format::Parquet)
    }

    /// Whether this build can write files of this format.
    pub fn is_writable(self) -> bool {
        match self {
            Format::Csv | Format::Tsv => cfg!(feature = "csv"),
            Format::Npy | Format::Npz => cfg!(feature = "npy"),
            Format::Parquet => cfg!(feature = "parquet"),
            Format::Idx => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_tell_formats() {
        let cases = [
            ("a.csv", Some(Format::Csv)),
            ("a.b/A.CSV.GZ", Some(Format::Csv)),
            ("a.tsv", Some(Format::Tsv)),
            ("a.npy", Some(Format::Npy)),
            ("a.npz", Some(Format::Npz)),
            ("t10k-images-idx3-ubyte", Some(Format::Idx)),
            ("train-images-idx3-ubyte.gz", Some(Format::Idx)),
            ("train-images.idx3.gz", Some(Format::Idx)),
            ("a.idx", Some(Format::Idx)),
            ("a.parquet", Some(Format::Parquet)),
            ("a.npy.gz", None),
            ("a.txt", None),
            ("csv", None),
            ("idx", None),
            (".csv", Some(Format::Csv)),
            ("model", None),
            ("a.idxx", None),
        ];
        for (name, format) in cases {
            assert_eq!(Format::of(Path::new(name)).ok(), format, "{name}");
        }
    }
}
