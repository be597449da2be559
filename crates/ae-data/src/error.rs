//! The error type of this crate.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

#[cfg(feature = "images")]
use crate::images::ImageSize;

/// An error of this crate. Messages count rows and columns from 1.
///
/// A message never repeats that of its [`source`](std::error::Error::source), so a program shows both:
/// the message of [`DataError::Io`] is the file, that of its source what went wrong with it.
///
/// ```
/// use std::error::Error;
///
/// let error = ae_data::read("no-such-folder/", &ae_data::ReadOptions::default()).unwrap_err();
/// let cause = error.source().ok_or("there is a cause")?;
/// assert_eq!(format!("{error}: {cause}"), "no-such-folder/: no such folder");
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Values do not fill the rows they should.
    #[error("{}", shape_message(.what, *.width, *.got))]
    Shape {
        /// What the values are for.
        what: &'static str,
        /// Values per row.
        width: usize,
        /// Values given.
        got: usize,
    },
    /// The number of items is not the number expected.
    #[error("{got} {what} for {expected} {of}")]
    Count {
        /// The items.
        what: &'static str,
        /// What there should be one item for each of.
        of: &'static str,
        /// Items expected.
        expected: usize,
        /// Items given.
        got: usize,
    },
    /// An error of a user-defined source ([`DataError::of_source`]).
    #[error("reading from the row source failed")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row index is out of range.
    #[error("row {} is out of range: there are {rows} rows", .index.saturating_add(1))]
    RowOutOfRange {
        /// The index, counted from 0.
        index: usize,
        /// Number of rows.
        rows: usize,
    },
    /// There is no memory for something whose size a file, a setting or the caller determines.
    #[error("{what} do not fit into memory: {rows} rows of {width} values")]
    OutOfMemory {
        /// What needs it, in the plural.
        what: &'static str,
        /// Number of rows.
        rows: usize,
        /// Values per row.
        width: usize,
    },
    /// There is no memory for the values of a file.
    #[error("{}: its values do not fit into memory", .path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A validation fraction is outside [0, 1).
    #[error("the validation fraction must be at least 0 and less than 1, not {value}")]
    Fraction {
        /// The fraction.
        value: f64,
    },
    /// Two columns have the same name.
    #[error("two columns are named '{name}'")]
    DuplicateColumn {
        /// The name.
        name: String,
    },
    /// Required columns are missing.
    #[error("{} missing; there are {}", columns_are(.missing), quoted(.present))]
    MissingColumns {
        /// The missing columns.
        missing: Vec<String>,
        /// The columns present.
        present: Vec<String>,
    },
    /// Columns are required by name, but the data has no names.
    #[error("columns are needed by name ({}), but the data has no header", quoted(.wanted))]
    NoNames {
        /// The required names.
        wanted: Vec<String>,
    },
    /// A table lacks columns of the schema.
    #[error("{}: {} missing{}", at(.path), columns_are(.missing), and_unexpected(.unexpected))]
    SchemaMismatch {
        /// The file.
        path: PathBuf,
        /// The missing columns.
        missing: Vec<String>,
        /// The columns of the table that the schema does not have.
        unexpected: Vec<String>,
    },
    /// A column is given more than one role.
    #[error("{}: column '{name}' is given two roles (label, numeric, categorical or dropped)", at(.path))]
    ConflictingRoles {
        /// The file.
        path: PathBuf,
        /// The column.
        name: String,
    },
    /// A column has more distinct values than a categorical column may have.
    #[error("{}: column '{name}' has {levels} distinct values; a categorical column can have at most {max}", at(.path))]
    TooManyLevels {
        /// The file.
        path: PathBuf,
        /// The column.
        name: String,
        /// Number of distinct values.
        levels: usize,
        /// Maximum number of categories.
        max: usize,
    },
    /// No column of a table becomes a feature.
    #[error("{}: no column is left to train on: all are labels, identifiers, empty or dropped", at(.path))]
    NoFeatures {
        /// The file.
        path: PathBuf,
    },
    /// A cell in a column of times is not a date or time.
    #[error("{}: row {row}, column '{column}': '{text}' is not a date or time such as 2024-05-01 or 2024-05-01 12:30:00", at(.path))]
    NotATime {
        /// The file.
        path: PathBuf,
        /// The row of data, counted from 1.
        row: usize,
        /// Name of the column.
        column: String,
        /// The text of the cell.
        text: String,
    },
    /// The format holds only numbers, but the table has text.
    #[error("{}: {format} files hold numbers only, but the table has text; .csv, .tsv and .parquet hold both", at(.path))]
    TextInNumericFormat {
        /// The file.
        path: PathBuf,
        /// The format.
        format: &'static str,
    },
    /// Reading or writing failed.
    #[error("{}", at(.path))]
    Io {
        /// The file, or `-`.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The file name does not end like that of a supported format.
    #[error("{}: unknown file format; supported endings are {supported}", at(.path))]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// The supported endings.
        supported: &'static str,
    },
    /// The format is known, but this build cannot read or write it.
    #[error("{}: {format} files cannot be {action} by this build", at(.path))]
    FormatUnavailable {
        /// The file.
        path: PathBuf,
        /// The format.
        format: &'static str,
        /// "read" or "written".
        action: &'static str,
    },
    /// The settings after the name of a built-in dataset are invalid.
    #[error(
        "'{location}' is not a built-in dataset; use curves, curves:ROWS or curves:ROWS:SEED, with 1 to 1000000 rows"
    )]
    BuiltIn {
        /// The location given.
        location: String,
    },
    /// A folder has no images.
    #[error("{}: no images (.png, .jpg, .jpeg) in this folder{}", at(.path), and_others(*.others))]
    NoImages {
        /// The folder.
        path: PathBuf,
        /// Number of other files in it.
        others: usize,
    },
    /// Labels are required, but not every image is in a subfolder, whose name would be its label.
    #[error("{}: no labels: labels are folder names, and some images are in no subfolder", at(.path))]
    NoFolders {
        /// The folder.
        path: PathBuf,
    },
    /// Images differ in size, and no common size is set.
    #[error(
        "{}: the image has {}x{} pixels, but {} has {}x{} (height and width)",
        at(.path), .got.0, .got.1, .first.display(), .expected.0, .expected.1
    )]
    ImageSizes {
        /// The first file of another size.
        path: PathBuf,
        /// Its height and width.
        got: (usize, usize),
        /// The first file of all.
        first: PathBuf,
        /// Its height and width.
        expected: (usize, usize),
    },
    /// An image needs too much memory, or its header claims so.
    #[error("{}: an image of {height}x{width} pixels is too large: the limit is {} MiB", at(.path), .max_bytes >> 20)]
    ImageTooLarge {
        /// The file.
        path: PathBuf,
        /// Height in pixels.
        height: usize,
        /// Width in pixels.
        width: usize,
        /// Maximum number of bytes.
        max_bytes: usize,
    },
    /// Images have more values than a row may have.
    #[cfg(feature = "images")]
    #[error("{}: images of {size} are too large: they have {} values, but a row can have at most {max}", at(.path), .size.features())]
    TooManyFeatures {
        /// The folder.
        path: PathBuf,
        /// The size of an image.
        size: ImageSize,
        /// Maximum number of values.
        max: usize,
    },
    /// The images of a folder do not fit into memory.
    #[cfg(feature = "images")]
    #[error("{}: {images} images of {size} do not fit into memory", at(.path))]
    TooManyPixels {
        /// The folder.
        path: PathBuf,
        /// Number of images.
        images: usize,
        /// The size of each.
        size: ImageSize,
    },
    /// An image size is invalid.
    #[cfg(feature = "images")]
    #[error("{size} is not a valid image size: height and width must be at least 1, channels 1 or 3")]
    ImageSize {
        /// The size.
        size: ImageSize,
    },
    /// There are no rows.
    #[error("{}: no rows", at(.path))]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A cell is not a number.
    #[error("{}: row {row}{}, column {column}: '{text}' is not a number{hint}", at(.path), on_line(*.line))]
    NotANumber {
        /// The file.
        path: PathBuf,
        /// The row of data, counted from 1.
        row: usize,
        /// The line of the file, counted from 1; 0 if there are no lines.
        line: u64,
        /// Name of the column in quotes, or its number counted from 1.
        column: String,
        /// The text of the cell.
        text: String,
        /// A hint that starts with a semicolon, or nothing.
        hint: String,
    },
    /// A number is too large for a 32-bit float.
    #[error("{}: row {row}, column {column}: {value} does not fit a 32-bit float", at(.path))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The row of data, counted from 1.
        row: usize,
        /// Name of the column in quotes, or its number counted from 1.
        column: String,
        /// The value.
        value: String,
    },
    /// A value is missing: empty, NaN, null or the like.
    #[error("{}: row {row}, column {column}: the value is missing{}", at(.path), in_all(*.count))]
    MissingValue {
        /// The file.
        path: PathBuf,
        /// The row of the first missing value, counted from 1.
        row: usize,
        /// Name of its column in quotes, or its number counted from 1.
        column: String,
        /// Total number of missing values.
        count: usize,
    },
    /// One character is both the decimal and the thousands separator.
    #[error("{}: '{separator}' cannot separate both decimals and thousands", at(.path))]
    Separators {
        /// The file.
        path: PathBuf,
        /// The character.
        separator: char,
    },
    /// A row has more or fewer cells than expected.
    #[error("{}: row {row}{} has {got} cells, but {expected} are expected", at(.path), on_line(*.line))]
    RaggedRow {
        /// The file.
        path: PathBuf,
        /// The row of data, counted from 1.
        row: usize,
        /// The line of the file, counted from 1; 0 if there are no lines.
        line: u64,
        /// Number of cells of the first row.
        expected: usize,
        /// Number of cells of this row.
        got: usize,
    },
    /// The file is shorter than its header says.
    #[error("{}: truncated: {expected} bytes of values expected, {got} found", at(.path))]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes of values announced.
        expected: u64,
        /// Bytes of values found.
        got: u64,
    },
    /// A column or array has an unsupported type.
    #[error("{}: {array} holds {dtype}; numbers are needed", at(.path))]
    UnsupportedType {
        /// The file.
        path: PathBuf,
        /// The column or array, e.g. `column 'name'` or `array 'X'`.
        array: String,
        /// Its type.
        dtype: String,
    },
    /// The file is damaged, or not of the format that its name says.
    #[error("{}: not a valid {format} file: {reason}", at(.path))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The format.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// A requested array or column does not exist.
    #[error("{}: no {what} '{name}'; there are {}", at(.path), quoted(.present))]
    NotFound {
        /// The file.
        path: PathBuf,
        /// "array" or "column".
        what: &'static str,
        /// Its name.
        name: String,
        /// The names that exist.
        present: Vec<String>,
    },
}

impl DataError {
    /// Wraps any error of a user-defined [`crate::BatchSource`].
    pub fn of_source(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DataError {
        DataError::Source(error.into())
    }
}

/// The file in words; a table made in memory has no path.
fn at(path: &Path) -> Cow<'_, str> {
    if path.as_os_str().is_empty() { "the table".into() } else { path.to_string_lossy() }
}

fn shape_message(what: &str, width: usize, got: usize) -> String {
    match what {
        "rows" => format!("{got} values are not whole rows of {width}"),
        _ => format!("{got} values do not match {what} ({width} values each)"),
    }
}

/// `'a', 'b'`, at most twenty.
fn quoted(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(20).map(|name| format!("'{name}'")).collect();
    let more = names.len().saturating_sub(20);
    if more > 0 { format!("{} and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

fn columns_are(names: &[String]) -> String {
    if names.len() == 1 {
        format!("column {} is", quoted(names))
    } else {
        format!("columns {} are", quoted(names))
    }
}

fn and_unexpected(names: &[String]) -> String {
    if names.is_empty() { String::new() } else { format!("; unexpected: {}", quoted(names)) }
}

fn on_line(line: u64) -> String {
    if line > 0 { format!(" (line {line})") } else { String::new() }
}

fn and_others(files: usize) -> String {
    match files {
        0 => String::new(),
        1 => ", but 1 other file".to_owned(),
        files => format!(", but {files} other files"),
    }
}

fn in_all(count: usize) -> String {
    if count > 1 { format!(" ({count} in all)") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use std::error::Error;
    use std::io;

    use super::*;

    /// The variants with a source; each of the others says everything itself.
    #[test]
    fn no_message_repeats_its_source() {
        let full = || io::Error::other("the disk is full");
        for (error, expected) in [
            (DataError::Io { path: "rows.csv".into(), source: full() }, "rows.csv: the disk is full"),
            (DataError::of_source(full()), "reading from the row source failed: the disk is full"),
            (DataError::of_source("timeout"), "reading from the row source failed: timeout"),
        ] {
            let source = error.source().unwrap().to_string();
            assert!(!error.to_string().contains(&source), "{error}");
            assert_eq!(ae_testing::chain(&error), expected);
        }
    }
}
