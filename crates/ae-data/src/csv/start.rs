//! Lines that some programs write before the rows.

use std::path::Path;

use csv::ByteRecord;

use super::{builder, malformed};
use crate::error::DataError;
use crate::text::excerpt;

/// Returns the text after a first line such as `sep=;`, which spreadsheet programs write, and the
/// delimiter that it names; the whole text if there is no such line.
pub(super) fn without_separator_line(text: &[u8]) -> (&[u8], Option<u8>) {
    match (may_name_separator(text), text.get(4..).unwrap_or_default()) {
        (true, [delimiter, b'\r', b'\n', rest @ ..] | [delimiter, b'\n', rest @ ..])
            if delimiter.is_ascii() && !matches!(delimiter, b'"' | b'\r' | b'\n') =>
        {
            (rest, Some(*delimiter))
        }
        _ => (text, None),
    }
}

/// Whether a text starts like a line that names a delimiter.
pub(super) fn may_name_separator(text: &[u8]) -> bool {
    text.get(..4).is_some_and(|key| key.eq_ignore_ascii_case(b"sep="))
}

/// Refuses comments before the first row: lines that start with `#` and have another number of cells
/// than what follows them. `delimiter` returns the delimiter of a text.
pub(super) fn check_comments(
    text: &[u8],
    path: &Path,
    delimiter: impl FnOnce(&[u8]) -> u8,
) -> Result<(), DataError> {
    let mut rest = text;
    let mut comments = Vec::new();
    while rest.starts_with(b"#") {
        let end = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
        let (line, others) = rest.split_at(end);
        comments.push(line);
        rest = others;
    }
    if comments.is_empty() || rest.is_empty() {
        return Ok(());
    }
    let delimiter = delimiter(rest);
    let cells = |text: &[u8]| {
        let mut record = ByteRecord::new();
        let read = builder(delimiter).from_reader(text).read_byte_record(&mut record);
        read.is_ok_and(|read| read).then_some(record.len())
    };
    let expected = cells(rest);
    match comments.iter().position(|line| cells(line) != expected) {
        None => Ok(()),
        Some(index) => Err(malformed(
            path,
            format!(
                "line {} is a comment ('{}'): remove the lines before the column names",
                index + 1,
                excerpt(comments[index].trim_ascii())
            ),
        )),
    }
}
