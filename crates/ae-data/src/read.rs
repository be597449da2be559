//! Reading: files by their ending, standard input, and built-in datasets.

use std::io::{self, Read};
use std::path::Path;

use crate::dataset::Dataset;
use crate::error::DataError;
use crate::format::Format;
use crate::table::Table;

/// Options for reading. By default everything is inferred.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// The delimiter of a CSV file. If `None`, it is what a first line such as `sep=;` says, or inferred.
    pub delimiter: Option<u8>,
    /// The decimal separator of a CSV file; a point if `None`.
    pub decimal: Option<u8>,
    /// The character between groups of three digits in a CSV file, if there is one.
    pub thousands: Option<u8>,
    /// Cells of a CSV file that are missing values, besides those that always are ([`Missing`]): texts in
    /// any case, and numbers however they are written. Row ids are not affected.
    pub missing_texts: Vec<String>,
    /// Whether the first row of a CSV file is a header. If `None`, it is when all of its cells are text,
    /// when one of them is the name in `label` or `id`, or when it has text where the next row has a
    /// number.
    pub header: Option<bool>,
    /// The column (by name, else by number from 1) or the array that holds labels rather than values.
    pub label: Option<String>,
    /// The column of a CSV or Parquet file (by name, else by number from 1) that holds row ids
    /// ([`Dataset::row_ids`]) rather than values.
    pub id: Option<String>,
    /// The names of the wanted columns. If a CSV or Parquet file has all of them, other columns are left
    /// out and need not be numeric.
    pub columns: Option<Vec<String>>,
    /// Columns of a Parquet file, by name, that may be unreadable; [`read`] leaves them out.
    pub ignored_columns: Vec<String>,
    /// The array of an `.npz` file that holds the rows. If `None`: `X`, `x` or `data`, or the only array
    /// with two or more dimensions.
    pub array: Option<String>,
    /// Number of threads that decode images; all cores if `None`. The rows do not depend on it.
    pub threads: Option<usize>,
    /// The size that the images of a folder are scaled to.
    #[cfg(feature = "images")]
    pub image: Option<crate::images::ImageSize>,
    /// How missing values are treated.
    pub missing: Missing,
}

impl ReadOptions {
    /// Whether to read the column `name` of a file with these `names`; a nested one has a name such as
    /// `column.list.element`.
    #[cfg(feature = "parquet")]
    pub(crate) fn wants(&self, name: &str, names: &[String]) -> bool {
        let is_of = |column: &String| {
            name.strip_prefix(column.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let columns = self.columns.as_ref().filter(|columns| columns.iter().all(|one| names.contains(one)));
        columns.is_none_or(|columns| columns.iter().any(is_of)) && !self.ignored_columns.iter().any(is_of)
    }
}

/// How missing values are treated: null, NaN, and in CSV an empty cell, `NA`, `N/A`, `#N/A`, `NaN`,
/// `null`, `None`, `?` or `-` (in any case).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// They are an error, which says where the first one is and how many there are.
    #[default]
    Reject,
    /// They are kept as NaN.
    Keep,
}

/// Reads rows from `location`:
///
/// | location | rows |
/// |---|---|
/// | `digits` | 1,797 scanned digits of 8 x 8 pixels, with labels |
/// | `curves`, `curves:ROWS`, `curves:ROWS:SEED` | generated images of 28 x 28 pixels (default: 10,000, seed 0) |
/// | `-` | CSV from standard input |
/// | a folder | its PNG and JPEG images, as `read_images` reads them |
/// | a path | a file whose format is given by its ending ([`Format`]) |
///
/// A location that starts with `curves:` is never a file; use `./curves:1.csv` for one. Likewise,
/// `./digits` is a folder of that name.
///
/// # Errors
/// [`DataError`] if the file cannot be read, is damaged or has no rows, or if it holds text or (unless kept)
/// missing values.
pub fn read(location: impl AsRef<Path>, options: &ReadOptions) -> Result<Dataset, DataError> {
    read_numbers(location.as_ref(), options).map(|numbers| numbers.rows)
}

fn read_numbers(path: &Path, options: &ReadOptions) -> Result<Numbers, DataError> {
    if let Some(dataset) = built_in(path) {
        return dataset.map(Numbers::from);
    }
    if is_standard_input(path) {
        return csv(io::stdin().lock(), path, None, options);
    }
    #[cfg(feature = "images")]
    if let Some(folder) = folder(path) {
        return crate::images::read_images(folder, options).map(|images| images.rows.into());
    }
    if path.is_dir() {
        let source = io::Error::new(io::ErrorKind::IsADirectory, "a folder, not a file");
        return Err(DataError::Io { path: path.to_owned(), source });
    }
    let last = path.as_os_str().as_encoded_bytes().last();
    if last.is_some_and(|byte| std::path::is_separator(char::from(*byte))) {
        let source = io::Error::new(io::ErrorKind::NotFound, "no such folder");
        return Err(DataError::Io { path: path.to_owned(), source });
    }
    let rows: Result<Dataset, DataError> = match Format::of(path)? {
        Format::Csv => return csv(open(path)?, path, None, options),
        Format::Tsv => return csv(open(path)?, path, Some(b'\t'), options),
        #[cfg(feature = "npy")]
        Format::Npy => crate::npy::read_npy(io::BufReader::new(open(path)?), path, options),
        #[cfg(feature = "npy")]
        Format::Npz => crate::npy::read_npz(io::BufReader::new(open(path)?), path, options),
        #[cfg(feature = "idx")]
        Format::Idx => crate::idx::read_file(path, options),
        #[cfg(feature = "parquet")]
        Format::Parquet => crate::parquet::read(open(path)?, path, options),
        #[allow(unreachable_patterns, reason = "reached where a format's feature is off")]
        format => Err(format.unavailable(path, "read")),
    };
    rows.map(Numbers::from)
}

/// Returns the path of a folder that a location names, unless it names a built-in dataset.
pub fn folder<P: AsRef<Path> + ?Sized>(location: &P) -> Option<&Path> {
    let path = location.as_ref();
    (!is_built_in(path) && path.is_dir()).then_some(path)
}

/// Rows of numbers, or a table that also holds text.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Content {
    /// Every value is a number.
    Numbers(Dataset),
    /// Some values other than labels are not numbers, or some columns are better left out.
    Table(Table),
}

/// Rows of numbers, and what a reader noticed about their texts.
pub(crate) struct Numbers {
    pub(crate) rows: Dataset,
    /// Whether a number has a leading zero, so that it may be a code rather than a number.
    pub(crate) has_codes: bool,
}

impl From<Dataset> for Numbers {
    fn from(rows: Dataset) -> Numbers {
        Numbers { rows, has_codes: false }
    }
}

/// Reads rows as [`read`] does if every column holds numbers to train on; otherwise a table as
/// [`read_table`] does. Besides text, that is for booleans of Parquet, and where [`Schema::infer`]
/// leaves a column out, or takes its numbers for codes. Standard input is read into memory.
///
/// [`Schema::infer`]: crate::Schema::infer
///
/// # Errors
/// Those of [`read`] and [`read_table`].
pub fn read_content(location: impl AsRef<Path>, options: &ReadOptions) -> Result<Content, DataError> {
    let path = location.as_ref();
    if is_standard_input(path) {
        let bytes = standard_input()?;
        let numbers = csv(bytes.as_slice(), path, None, options);
        return content(numbers, || texts(bytes.as_slice(), path, None, options), options);
    }
    #[cfg(feature = "parquet")]
    if !is_built_in(path)
        && path.is_file()
        && matches!(Format::of(path), Ok(Format::Parquet))
        && crate::parquet::has_booleans(open(path)?, path, options)?
    {
        return read_table(path, options).map(Content::Table);
    }
    content(read_numbers(path, options), || read_table(path, options), options)
}

/// The numbers if all columns are numeric, else the table.
fn content(
    numbers: Result<Numbers, DataError>,
    read_table: impl FnOnce() -> Result<Table, DataError>,
    options: &ReadOptions,
) -> Result<Content, DataError> {
    let may_be_special = match &numbers {
        Ok(Numbers { rows, has_codes }) => {
            *has_codes
                || rows.names().is_some_and(|names| names.iter().any(|name| crate::text::is_unnamed(name)))
                || options.missing == Missing::Keep && has_empty_column(rows)
        }
        Err(DataError::MissingValue { .. }) => true,
        Err(DataError::NotANumber { .. } | DataError::UnsupportedType { .. }) => {
            return read_table().map(Content::Table);
        }
        Err(_) => false,
    };
    if may_be_special {
        let table = read_table()?;
        let non_features = [&options.label, &options.id].into_iter().flatten();
        let non_features = non_features.map(|name| table.find(name)).collect::<Result<Vec<_>, _>>()?;
        if !crate::schema::is_numeric(&table, &non_features) {
            return Ok(Content::Table(table));
        }
    }
    numbers.map(|numbers| Content::Numbers(numbers.rows))
}

/// Whether there is a column without any known value.
fn has_empty_column(rows: &Dataset) -> bool {
    let mut known = vec![false; rows.features()];
    for row in rows.iter_rows() {
        known.iter_mut().zip(row).for_each(|(known, x)| *known |= !x.is_nan());
    }
    known.contains(&false)
}

/// Reads a table of text from the same locations as [`read`]: CSV and Parquet as they are, with labels
/// among the columns, and numbers of other formats as text that reads back bit for bit. Missing values
/// are never an error here.
///
/// # Errors
/// [`DataError`] if the file cannot be read, is damaged, or holds no rows.
pub fn read_table(location: impl AsRef<Path>, options: &ReadOptions) -> Result<Table, DataError> {
    let path = location.as_ref();
    if is_standard_input(path) {
        return texts(standard_input()?.as_slice(), path, None, options);
    }
    if !is_built_in(path) && !path.is_dir() {
        match Format::of(path)? {
            Format::Csv => return texts(open(path)?, path, None, options),
            Format::Tsv => return texts(open(path)?, path, Some(b'\t'), options),
            #[cfg(feature = "parquet")]
            Format::Parquet => return crate::parquet::read_texts(open(path)?, path, options),
            _ => {}
        }
    }
    let options = ReadOptions { missing: Missing::Keep, ..options.clone() };
    Ok(Table::from_dataset(&read(path, &options)?, path))
}

/// Reads rows as [`read`] does and, from formats that hold text, also the table that [`read_table`]
/// returns. Standard input is read into memory.
///
/// # Errors
/// Those of [`read`] and [`read_table`].
pub fn read_with_table(
    location: impl AsRef<Path>,
    options: &ReadOptions,
) -> Result<(Dataset, Option<Table>), DataError> {
    let path = location.as_ref();
    if is_standard_input(path) {
        let bytes = standard_input()?;
        let rows = csv(bytes.as_slice(), path, None, options)?.rows;
        return Ok((rows, Some(texts(bytes.as_slice(), path, None, options)?)));
    }
    let rows = read(path, options)?;
    let as_texts = !is_built_in(path) && !path.is_dir() && Format::of(path)?.holds_text();
    Ok((rows, if as_texts { Some(read_table(path, options)?) } else { None }))
}

fn is_standard_input(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn standard_input() -> Result<Vec<u8>, DataError> {
    let mut bytes = Vec::new();
    match io::stdin().lock().read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(source) => Err(DataError::Io { path: "-".into(), source }),
    }
}

#[cfg(feature = "csv")]
fn texts(
    reader: impl Read,
    path: &Path,
    delimiter: Option<u8>,
    options: &ReadOptions,
) -> Result<Table, DataError> {
    let reader = maybe_gzip(io::BufReader::new(reader))
        .map_err(|source| DataError::Io { path: path.to_owned(), source })?;
    crate::csv::read_texts(reader, path, delimiter, options)
}

#[cfg(not(feature = "csv"))]
fn texts(_: impl Read, path: &Path, _: Option<u8>, _: &ReadOptions) -> Result<Table, DataError> {
    Err(Format::Csv.unavailable(path, "read"))
}

fn open(path: &Path) -> Result<std::fs::File, DataError> {
    std::fs::File::open(path).map_err(|source| DataError::Io { path: path.to_owned(), source })
}

#[cfg(feature = "csv")]
fn csv(
    reader: impl Read,
    path: &Path,
    delimiter: Option<u8>,
    options: &ReadOptions,
) -> Result<Numbers, DataError> {
    let reader = maybe_gzip(io::BufReader::new(reader))
        .map_err(|source| DataError::Io { path: path.to_owned(), source })?;
    crate::csv::read(reader, path, delimiter, options)
}

#[cfg(not(feature = "csv"))]
fn csv(_: impl Read, path: &Path, _: Option<u8>, _: &ReadOptions) -> Result<Numbers, DataError> {
    Err(Format::Csv.unavailable(path, "read"))
}

/// Returns the stream, decompressed if it is gzipped.
#[cfg(any(feature = "csv", feature = "idx"))]
pub(crate) fn maybe_gzip<'a>(mut reader: impl io::BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
    if reader.fill_buf()?.starts_with(&[0x1f, 0x8b]) {
        Ok(Box::new(flate2::bufread::MultiGzDecoder::new(reader)))
    } else {
        Ok(Box::new(reader))
    }
}

/// Whether `location` names a built-in dataset, which needs no file.
pub fn is_built_in(location: impl AsRef<Path>) -> bool {
    let location = location.as_ref().to_str();
    cfg!(feature = "builtin")
        && location.is_some_and(|name| name == "digits" || name.split(':').next() == Some("curves"))
}

#[cfg(feature = "builtin")]
fn built_in(location: &Path) -> Option<Result<Dataset, DataError>> {
    let location = location.to_str()?;
    if location == "digits" {
        return Some(crate::builtin::digits());
    }
    let mut parts = location.split(':');
    if parts.next() != Some("curves") {
        return None;
    }
    let rows = parts.next().map_or(Ok(10_000), str::parse::<usize>);
    let seed = parts.next().map_or(Ok(0), str::parse::<u64>);
    let curves = match (rows, seed, parts.next()) {
        (Ok(rows), Ok(seed), None) => crate::builtin::curves(rows, seed).ok(),
        _ => None,
    };
    Some(curves.ok_or_else(|| DataError::BuiltIn { location: location.to_owned() }))
}

#[cfg(not(feature = "builtin"))]
fn built_in(_: &Path) -> Option<Result<Dataset, DataError>> {
    None
}

#[cfg(all(test, feature = "csv", feature = "builtin"))]
mod tests {
    use std::io::Write;

    use super::*;

    fn load(location: &str) -> Result<Dataset, String> {
        read(location, &ReadOptions::default()).map_err(|error| ae_testing::chain(&error))
    }

    #[test]
    fn built_in_sets_are_named() {
        assert_eq!(load("digits").unwrap().rows(), 1797);
        assert_eq!(load("curves:7").unwrap(), crate::builtin::curves(7, 0).unwrap());
        assert_eq!(load("curves:7:3").unwrap(), crate::builtin::curves(7, 3).unwrap());
        let message =
            "is not a built-in dataset; use curves, curves:ROWS or curves:ROWS:SEED, with 1 to 1000000 rows";
        for location in ["curves:", "curves:0", "curves:1000001", "curves:x", "curves:5:-1", "curves:5:1:2"] {
            assert_eq!(load(location).unwrap_err(), format!("'{location}' {message}"));
        }
        assert!(load("./digits").unwrap_err().starts_with("./digits: unknown file format"));
        assert_eq!(load("no-such/").unwrap_err(), "no-such/: no such folder");
        assert!(load("no/curves.csv").unwrap_err().starts_with("no/curves.csv: "));
    }

    /// File systems of other platforms may not allow such names.
    #[cfg(target_os = "linux")]
    #[test]
    fn names_need_not_be_unicode() {
        use std::os::unix::ffi::OsStrExt;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(std::ffi::OsStr::from_bytes(b"\xe9t\xe9.csv"));
        std::fs::write(&path, "a,b\n1,2\n").unwrap();
        assert_eq!(read(&path, &ReadOptions::default()).unwrap().values(), [1.0, 2.0]);
        assert_eq!(read_table(path, &ReadOptions::default()).unwrap().rows(), 1);
    }

    /// Gzip is recognised by its first bytes, not by the name.
    #[test]
    fn packed_files_cut_short_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("packed.csv");
        let location = path.to_str().unwrap();
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(b"a,b\n1,2\n3,4\n").unwrap();
        let packed = packer.finish().unwrap();
        std::fs::write(&path, &packed).unwrap();
        assert_eq!(load(location).unwrap().values(), [1.0, 2.0, 3.0, 4.0]);
        for len in 2..packed.len() {
            std::fs::write(&path, &packed[..len]).unwrap();
            let expected = format!("{location}: not a valid CSV file: the compressed stream is truncated");
            assert_eq!(load(location).unwrap_err(), expected, "{len} bytes");
        }
    }

    #[cfg(feature = "parquet")]
    #[test]
    fn columns_are_wanted_with_all_that_is_in_them() {
        let names = ["l.list.element", "length", "x"].map(str::to_owned);
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        type Case = (Option<&'static [&'static str]>, &'static [&'static str], &'static [&'static str]);
        let cases: [Case; 4] = [
            (None, &[], &["l.list.element", "length", "x"]),
            (None, &["l"], &["length", "x"]),
            (Some(&["length", "x"]), &["x"], &["length"]),
            (Some(&["length", "elsewhere"]), &["x"], &["l.list.element", "length"]),
        ];
        for (columns, ignored_columns, expected) in cases {
            let columns = columns.map(list);
            let options =
                ReadOptions { columns, ignored_columns: list(ignored_columns), ..ReadOptions::default() };
            let wanted: Vec<&String> = names.iter().filter(|name| options.wants(name, &names)).collect();
            assert_eq!(wanted, expected);
        }
    }
}
