//! Writing: by the ending of a name, files that appear whole or not at all.

use std::path::Path;

use crate::atomic::write_atomically;
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::format::Format;
use crate::table::Table;

/// Writes the rows to a file whose format is told by its ending; IDX is only read. Names become a header or column
/// names, labels a last column (in `.npz` the array `y`; not in `.npy`, which holds one array). Without names a CSV file has
/// no header. Its numbers read back as the same bits, missing ones as `nan`.
///
/// # Errors
/// [`DataError::UnknownFormat`] and [`DataError::FormatUnavailable`] for an ending that cannot be written,
/// [`DataError::Io`] otherwise; a file that was at `path` is then as it was.
pub fn write(dataset: &Dataset, path: &Path) -> Result<(), DataError> {
    let format = Format::of(path)?;
    if !format.is_writable() {
        return Err(format.unavailable(path, "written"));
    }
    write_atomically(path, |file| match format {
        #[cfg(feature = "csv")]
        Format::Csv | Format::Tsv => {
            delimited(path, format, file, |out, delimiter| crate::csv::write(dataset, out, delimiter))
        }
        #[cfg(feature = "npy")]
        Format::Npy => crate::npy::write_npy(dataset, file),
        #[cfg(feature = "npy")]
        Format::Npz => crate::npy::write_npz(dataset, file),
        #[cfg(feature = "parquet")]
        Format::Parquet => crate::parquet::write(dataset, file),
        #[allow(unreachable_patterns, reason = "reached where a format's feature is off")]
        _ => {
            let _ = (dataset, file);
            Err(std::io::ErrorKind::Unsupported.into())
        }
    })
    .map_err(|source| DataError::Io { path: path.to_owned(), source })
}

/// Has `fill` write to `file` with the delimiter of the format, packed where the path ends in `.gz`.
#[cfg(feature = "csv")]
fn delimited(
    path: &Path,
    format: Format,
    file: &mut dyn std::io::Write,
    fill: impl FnOnce(&mut dyn std::io::Write, u8) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let delimiter = if format == Format::Tsv { b'\t' } else { b',' };
    if !path.extension().is_some_and(|end| end.eq_ignore_ascii_case("gz")) {
        return fill(file, delimiter);
    }
    let mut packer = flate2::write::GzEncoder::new(file, flate2::Compression::default());
    fill(&mut packer, delimiter)?;
    packer.finish().map(|_| ())
}

/// Writes the rows as CSV to a stream.
///
/// # Errors
/// [`DataError::Io`], with `-` as the path.
#[cfg(feature = "csv")]
pub fn write_csv(dataset: &Dataset, out: impl std::io::Write) -> Result<(), DataError> {
    crate::csv::write(dataset, out, b',').map_err(|source| DataError::Io { path: "-".into(), source })
}

/// Writes a table of texts to a file whose format is told by its ending: CSV, TSV, or Parquet, where columns in which every known cell is a
/// number are numbers and all others texts.
///
/// # Errors
/// [`DataError::TextsInNumbers`] for formats that hold numbers only, else as [`write()`].
pub fn write_table(table: &Table, path: &Path) -> Result<(), DataError> {
    let format = Format::of(path)?;
    match format {
        Format::Npy | Format::Npz => {
            return Err(DataError::TextsInNumbers { path: path.to_owned(), format: format.name() });
        }
        _ if !format.is_writable() => return Err(format.unavailable(path, "written")),
        _ => {}
    }
    write_atomically(path, |file| match format {
        #[cfg(feature = "csv")]
        Format::Csv | Format::Tsv => {
            delimited(path, format, file, |out, delimiter| crate::csv::write_texts(table, out, delimiter))
        }
        #[cfg(feature = "parquet")]
        Format::Parquet => crate::parquet::write_texts(table, file),
        #[allow(unreachable_patterns, reason = "reached where a format's feature is off")]
        _ => {
            let _ = (table, file);
            Err(std::io::ErrorKind::Unsupported.into())
        }
    })
    .map_err(|source| DataError::Io { path: path.to_owned(), source })
}

/// Writes a table of texts as CSV to a stream.
///
/// # Errors
/// [`DataError::Io`], with `-` as the path.
#[cfg(feature = "csv")]
pub fn write_csv_table(table: &Table, out: impl std::io::Write) -> Result<(), DataError> {
    crate::csv::write_texts(table, out, b',').map_err(|source| DataError::Io { path: "-".into(), source })
}
