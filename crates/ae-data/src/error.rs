//! What can be wrong with data.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

#[cfg(feature = "images")]
use crate::images::ImageSize;

/// An error of this crate. Rows and columns in messages count from 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// Values do not fill whole rows.
    #[error("{}", shape_message(.what, *.width, *.got))]
    Shape {
        /// What they should be.
        what: &'static str,
        /// Values of a row.
        width: usize,
        /// Values there are.
        got: usize,
    },
    /// Not as many as needed.
    #[error("{got} {what} for {expected} {of}")]
    Count {
        /// What there should be one of for each.
        what: &'static str,
        /// What they belong to.
        of: &'static str,
        /// How many of those there are.
        expected: usize,
        /// How many were given.
        got: usize,
    },
    /// What a source of one's own says of its rows ([`DataError::of_source`]).
    #[error("the source of the rows: {0}")]
    Source(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row index beyond the rows.
    #[error("row {} was asked for, but there are {rows} rows", .index.saturating_add(1))]
    RowOutOfRange {
        /// The index, counted from 0.
        index: usize,
        /// Rows there are.
        rows: usize,
    },
    /// A fraction outside [0, 1).
    #[error("a validation fraction must be from 0 to below 1, not {value}")]
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
    /// Columns that are needed are not there.
    #[error("{} missing; there are {}", columns_are(.missing), quoted(.present))]
    MissingColumns {
        /// Those that are needed and not there.
        missing: Vec<String>,
        /// Those that are there.
        present: Vec<String>,
    },
    /// Columns are needed by name, but these have none.
    #[error("columns are needed by name ({}), but the data has no header", quoted(.wanted))]
    NoNames {
        /// The names.
        wanted: Vec<String>,
    },
    /// The columns of a table are not those of the schema.
    #[error("{}: {} missing{}", at(.path), columns_are(.missing), and_unexpected(.unexpected))]
    Columns {
        /// The file.
        path: PathBuf,
        /// Those that are needed and not there.
        missing: Vec<String>,
        /// Those that are there and not known.
        unexpected: Vec<String>,
    },
    /// Two things were asked of one column.
    #[error("{}: column '{name}' was given two kinds: label, numeric, categorical or dropped", at(.path))]
    ChosenTwice {
        /// The file.
        path: PathBuf,
        /// The column.
        name: String,
    },
    /// A column has more different texts than categories may be.
    #[error("{}: column '{name}' has {levels} different texts: categories are at most {most}", at(.path))]
    TooManyLevels {
        /// The file.
        path: PathBuf,
        /// The column.
        name: String,
        /// Different texts there are.
        levels: usize,
        /// The most there can be.
        most: usize,
    },
    /// No column of a table can be learnt from.
    #[error("{}: no column is left to learn from: all are labels, identifiers, empty or dropped", at(.path))]
    NoFeatures {
        /// The file.
        path: PathBuf,
    },
    /// A cell of a column of times holds something else.
    #[error("{}: row {row}, column '{column}': '{text}' is no date or time like 2024-05-01 or 2024-05-01 12:30:00", at(.path))]
    NotATime {
        /// The file.
        path: PathBuf,
        /// The row of data, counted from 1.
        row: usize,
        /// Name of the column.
        column: String,
        /// The text.
        text: String,
    },
    /// The format holds numbers only, but the table has texts.
    #[error("{}: {format} files hold numbers only, but the table has texts: .csv, .tsv and .parquet hold both", at(.path))]
    TextsInNumbers {
        /// The file.
        path: PathBuf,
        /// The format.
        format: &'static str,
    },
    /// Reading or writing failed.
    #[error("{}: {source}", at(.path))]
    Io {
        /// The file, or `-`.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The ending of the name is not one of a known format.
    #[error("{}: unknown kind of file; known endings are {known}", at(.path))]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// The endings that are known here.
        known: &'static str,
    },
    /// The format is known, but this build leaves it out, or it can only be read.
    #[error("{}: {format} files cannot be {action} by this build", at(.path))]
    FormatUnavailable {
        /// The file.
        path: PathBuf,
        /// The format.
        format: &'static str,
        /// "read" or "written".
        action: &'static str,
    },
    /// The name of a built-in set is followed by something else than its settings.
    #[error(
        "'{location}' is no built-in set; curves are named curves, curves:ROWS or curves:ROWS:SEED, with 1 to 1000000 rows"
    )]
    BuiltIn {
        /// What was given.
        location: String,
    },
    /// A folder holds no images.
    #[error("{}: no images (.png, .jpg, .jpeg) in this folder{}", at(.path), and_others(*.others))]
    NoImages {
        /// The folder.
        path: PathBuf,
        /// Other files in it.
        others: usize,
    },
    /// Labels were asked for, but not every image lies in a folder whose name could be one.
    #[error("{}: no labels: they are the names of folders, and some images lie in none", at(.path))]
    NoFolders {
        /// The folder.
        path: PathBuf,
    },
    /// Images that should have one size have several.
    #[error(
        "{}: the image has {}x{} pixels, but {} has {}x{} (height and width)",
        at(.path), .got.0, .got.1, .first.display(), .expected.0, .expected.1
    )]
    ImageSizes {
        /// The first file of another size.
        path: PathBuf,
        /// Its height and width.
        got: (usize, usize),
        /// The file before all others.
        first: PathBuf,
        /// The height and width of that.
        expected: (usize, usize),
    },
    /// An image needs too much memory, or claims to.
    #[error("{}: an image of {height}x{width} pixels is too large: {} MiB are the most", at(.path), .most >> 20)]
    ImageTooLarge {
        /// The file.
        path: PathBuf,
        /// Rows of pixels.
        height: usize,
        /// Pixels of a row.
        width: usize,
        /// The most bytes that its pixels may have.
        most: usize,
    },
    /// The images of a folder do not fit into memory.
    #[cfg(feature = "images")]
    #[error("{}: {images} images of {size} do not fit into memory", at(.path))]
    TooManyPixels {
        /// The folder.
        path: PathBuf,
        /// How many there are.
        images: usize,
        /// The size that they would have.
        size: ImageSize,
    },
    /// A size that images cannot have.
    #[cfg(feature = "images")]
    #[error("{size} is no size of an image: height and width must be at least 1, channels 1 or 3")]
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
    /// A cell holds a text that is no number.
    #[error("{}: row {row}{}, column {column}: '{text}' is not a number{hint}", at(.path), on_line(*.line))]
    NotANumber {
        /// The file.
        path: PathBuf,
        /// The row of data, counted from 1.
        row: usize,
        /// The line of the file, counted from 1; 0 where there are no lines.
        line: u64,
        /// Name of the column in quotes, else its number counted from 1.
        column: String,
        /// The text.
        text: String,
        /// What may help, after a semicolon, or nothing.
        hint: String,
    },
    /// A number is too large for single precision.
    #[error("{}: row {row}, column {column}: {value} does not fit a 32-bit float", at(.path))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The row of data, counted from 1.
        row: usize,
        /// Name of the column in quotes, else its number counted from 1.
        column: String,
        /// The value.
        value: String,
    },
    /// Cells are empty or not a number (`NaN`, `NA`, null).
    #[error("{}: row {row}, column {column}: the value is missing{}", at(.path), in_all(*.count))]
    MissingValue {
        /// The file.
        path: PathBuf,
        /// The row of the first one, counted from 1.
        row: usize,
        /// Name of its column in quotes, else its number counted from 1.
        column: String,
        /// How many are missing in all.
        count: usize,
    },
    /// A row has more or fewer cells than the first one.
    #[error("{}: row {row} (line {line}) has {got} cells, but {expected} are expected", at(.path))]
    RaggedRow {
        /// The file.
        path: PathBuf,
        /// The row of data, counted from 1.
        row: usize,
        /// The line of the file, counted from 1.
        line: u64,
        /// Cells of the first row.
        expected: usize,
        /// Cells of this row.
        got: usize,
    },
    /// The file ends before its header says so.
    #[error("{}: cut short: {expected} bytes of values are announced, {got} are there", at(.path))]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Bytes announced.
        expected: u64,
        /// Bytes there.
        got: u64,
    },
    /// A column or array does not hold numbers of a supported type.
    #[error("{}: {array} holds {dtype}; numbers are needed", at(.path))]
    UnsupportedType {
        /// The file.
        path: PathBuf,
        /// The column or array, e.g. `column 'name'` or `array 'X'`.
        array: String,
        /// Its type.
        dtype: String,
    },
    /// The file is damaged or not of the format its name says.
    #[error("{}: not a valid {format} file: {reason}", at(.path))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The format.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The array or column that was asked for is not there.
    #[error("{}: no {what} '{name}'; there are {}", at(.path), quoted(.present))]
    NotThere {
        /// The file.
        path: PathBuf,
        /// "array" or "column".
        what: &'static str,
        /// Its name.
        name: String,
        /// Those that are there.
        present: Vec<String>,
    },
}

impl DataError {
    /// An error of a source of one's own ([`crate::BatchSource`]), whatever it is.
    pub fn of_source(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DataError {
        DataError::Source(error.into())
    }
}

/// The file; a table that comes from none has no path.
fn at(path: &Path) -> Cow<'_, str> {
    if path.as_os_str().is_empty() { "the table".into() } else { path.to_string_lossy() }
}

fn shape_message(what: &str, width: usize, got: usize) -> String {
    match what {
        "rows" => format!("{got} values are not whole rows of {width}"),
        _ => format!("room for {got} values does not fit {what}, {width} values each"),
    }
}

/// `'a', 'b'`, the first twenty.
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
    if names.is_empty() { String::new() } else { format!("; not expected: {}", quoted(names)) }
}

fn on_line(line: u64) -> String {
    if line > 0 { format!(" (line {line})") } else { String::new() }
}

fn and_others(files: usize) -> String {
    match files {
        0 => String::new(),
        1 => ", but another file".to_owned(),
        files => format!(", but {files} other files"),
    }
}

fn in_all(count: usize) -> String {
    if count > 1 { format!(" ({count} in all)") } else { String::new() }
}
