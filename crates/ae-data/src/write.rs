//! Writing: the ending of a name gives the format, and files appear whole or not at all.

use std::path::Path;

use crate::atomic::write_atomically;
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::format::Format;
use crate::table::Table;

/// Writes rows to a file whose format is given by its ending; IDX cannot be written. Names become a
/// header or column names, and labels the last column (in `.npz` the array `y`; `.npy` holds a single
/// array and no labels). Without names, a CSV file has no header. Its numbers read back bit for bit;
/// missing ones are written as `nan`.
///
/// # Errors
/// [`DataError::UnknownFormat`] and [`DataError::FormatUnavailable`] for an ending that cannot be
/// written, [`DataError::Io`] otherwise; an existing file at `path` is then unchanged.
pub fn write(dataset: &Dataset, path: impl AsRef<Path>) -> Result<(), DataError> {
    write_dataset(dataset, path.as_ref())
}

fn write_dataset(dataset: &Dataset, path: &Path) -> Result<(), DataError> {
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

/// Calls `fill` with the delimiter of the format; its output is gzipped if the path ends in `.gz`.
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

/// Writes rows to a stream as CSV.
///
/// # Errors
/// [`DataError::Io`], with `-` as the path.
#[cfg(feature = "csv")]
pub fn write_csv(dataset: &Dataset, out: impl std::io::Write) -> Result<(), DataError> {
    crate::csv::write(dataset, out, b',').map_err(|source| DataError::Io { path: "-".into(), source })
}

/// Writes a table of text to a file whose format is given by its ending: CSV, TSV or Parquet. In
/// Parquet, columns whose known cells are all numbers become numeric, all others text.
///
/// # Errors
/// [`DataError::TextInNumericFormat`] for formats that hold only numbers, otherwise those of
/// [`write()`].
pub fn write_table(table: &Table, path: impl AsRef<Path>) -> Result<(), DataError> {
    write_texts(table, path.as_ref())
}

fn write_texts(table: &Table, path: &Path) -> Result<(), DataError> {
    let format = Format::of(path)?;
    match format {
        Format::Npy | Format::Npz => {
            return Err(DataError::TextInNumericFormat { path: path.to_owned(), format: format.name() });
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

/// Writes a table of text to a stream as CSV.
///
/// # Errors
/// [`DataError::Io`], with `-` as the path.
#[cfg(feature = "csv")]
pub fn write_csv_table(table: &Table, out: impl std::io::Write) -> Result<(), DataError> {
    crate::csv::write_texts(table, out, b',').map_err(|source| DataError::Io { path: "-".into(), source })
}
