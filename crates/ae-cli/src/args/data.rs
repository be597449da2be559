//! The flags about reading rows from a file.

use clap::Args;

/// How rows are read from a file.
#[derive(Args, Debug, Clone)]
pub(crate) struct DataArgs {
    /// Character that separates the cells of a CSV file [default: detected]
    #[arg(help_heading = "Input options", long, value_name = "CHAR", value_parser = delimiter)]
    pub(crate) delimiter: Option<u8>,
    /// Decimal separator of a CSV file, a point or a comma [default: .]
    #[arg(help_heading = "Input options", long, value_name = "CHAR", value_parser = decimal)]
    pub(crate) decimal: Option<u8>,
    /// Character between groups of three digits in a CSV file, e.g. , in 1,234.5 [default: none]
    #[arg(help_heading = "Input options", long, value_name = "CHAR", value_parser = thousands)]
    pub(crate) thousands: Option<u8>,
    /// Cells of a CSV file that are missing values, besides the usual ones: texts or numbers such as
    /// -999, separated by commas
    #[arg(help_heading = "Input options", long, value_name = "TEXT,...", value_parser = missing_texts, allow_hyphen_values = true)]
    pub(crate) na_values: Option<MissingTexts>,
    /// The first line of the CSV file holds column names [default: detected]
    #[arg(help_heading = "Input options", long)]
    pub(crate) header: bool,
    /// The first line of the CSV file holds values
    #[arg(help_heading = "Input options", long, conflicts_with = "header")]
    pub(crate) no_header: bool,
    /// Column that holds labels and is not a feature: a name, or a number counted from 1 (in .npz: an
    /// array; for a folder of images: label, the names of its subfolders)
    #[arg(help_heading = "Input options", long, value_name = "COLUMN")]
    pub(crate) label: Option<String>,
    /// Column that identifies the rows and is not a feature (CSV, Parquet): a name, or a number counted
    /// from 1; it is written next to the results of each row
    #[arg(help_heading = "Input options", long, value_name = "COLUMN")]
    pub(crate) id: Option<String>,
    /// Array of an .npz file that holds the rows [default: X, x, data, or the only two-dimensional one]
    #[arg(help_heading = "Input options", long, value_name = "NAME")]
    pub(crate) array: Option<String>,
}

/// Texts of missing values, parsed from one argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MissingTexts(pub(crate) Vec<String>);

fn missing_texts(text: &str) -> Result<MissingTexts, String> {
    let texts: Vec<String> = text.split(',').map(|text| text.trim().to_owned()).collect();
    match texts.iter().any(String::is_empty) {
        true => Err(format!("'{text}' is not a list of texts separated by commas")),
        false => Ok(MissingTexts(texts)),
    }
}

fn delimiter(text: &str) -> Result<u8, String> {
    match text {
        "\\t" | "tab" => Ok(b'\t'),
        _ => match text.as_bytes() {
            [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(*byte),
            _ => Err("a single character is needed (or \\t)".to_owned()),
        },
    }
}

fn decimal(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte @ (b'.' | b',')] => Ok(*byte),
        _ => Err("a point or a comma is needed".to_owned()),
    }
}

fn thousands(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte @ (b'.' | b',' | b' ' | b'\'' | b'_')] => Ok(*byte),
        _ => Err("a point, a comma, a space, an apostrophe or an underscore is needed".to_owned()),
    }
}
