//! CSV and TSV: the delimiter and the header are inferred; errors say where a cell is not a number.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::path::Path;

use csv::{ByteRecord, QuoteStyle, ReaderBuilder, Trim, Writer, WriterBuilder};

use crate::dataset::{Dataset, first_duplicate};
use crate::dataset_builder::{DatasetBuilder, column_name};
use crate::error::DataError;
use crate::labels::Labels;
use crate::read::{Numbers, ReadOptions};
use crate::table::{DEFAULT_ID_NAME, Table, column_index, find_column};
use crate::text::{Parsed, excerpt, is_code, looks_numeric, parse};
use dialect::Dialect;
use quotes::QuoteChecker;

mod dialect;
mod quotes;
mod start;
#[cfg(test)]
mod tests;

/// Bytes at the start of a file from which its delimiter is inferred.
const SNIFF_BYTES: usize = 1 << 16;
/// Maximum number of records inspected among them.
const SNIFF_RECORDS: usize = 20;
/// Candidate delimiters, likeliest first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Records after a text that are searched for a number in the same column.
const HINT_RECORDS: usize = 1000;

/// Reads a table of numbers. `default_delimiter` is that of the format, if it has one.
pub(crate) fn read(
    reader: impl Read,
    path: &Path,
    default_delimiter: Option<u8>,
    options: &ReadOptions,
) -> Result<Numbers, DataError> {
    read_numbers(open_records(reader, path, default_delimiter, options)?, options)
}

/// Reads a table as it is, with every cell as text.
pub(crate) fn read_texts(
    reader: impl Read,
    path: &Path,
    default_delimiter: Option<u8>,
    options: &ReadOptions,
) -> Result<Table, DataError> {
    let mut records = open_records(reader, path, default_delimiter, options)?;
    let mut record = ByteRecord::new();
    let Some(mut line) = records.next(&mut record)? else {
        return Err(DataError::Empty { path: path.to_owned() });
    };
    let expected = record.len();
    let has_header = match options.header {
        Some(has_header) => has_header,
        None => records.starts_with_header(&record, options)?,
    };
    let mut table =
        Table::empty(path, expected, if has_header { Some(header(&record, path)?) } else { None });
    let id = options.id.as_ref().and_then(|id| column_index(id, table.names(), expected));
    let mut is_row = !has_header;
    loop {
        if is_row {
            let (row, got) = (table.rows() + 1, record.len());
            if got != expected {
                return Err(DataError::RaggedRow { path: path.to_owned(), row, line, expected, got });
            }
            for (column, cell) in record.iter().enumerate() {
                let name = || column_name(table.names(), column);
                let plain = if Some(column) == id { Some(cell.into()) } else { records.dialect.plain(cell) };
                let Some(plain) = plain else {
                    return Err(other_point(path, (row, line), name(), cell));
                };
                let Ok(text) = std::str::from_utf8(&plain) else {
                    return Err(not_utf8(path, &format!("row {row} (line {line}), column {}:", name())));
                };
                table.push(column, text);
            }
            table.end_row(line);
        }
        is_row = true;
        match records.next(&mut record)? {
            Some(next) => line = next,
            None => break,
        }
    }
    if table.rows() == 0 { Err(DataError::Empty { path: path.to_owned() }) } else { Ok(table) }
}

/// Opens the records of a file and infers the delimiter if none is given.
fn open_records<'a>(
    mut reader: impl Read + 'a,
    path: &'a Path,
    default_delimiter: Option<u8>,
    options: &'a ReadOptions,
) -> Result<Records<'a, Box<dyn Read + 'a>>, DataError> {
    let dialect = Dialect::new(options, path)?;
    // A pipe returns what is available at the moment, so a single read may not fill the start.
    let mut bytes = Vec::new();
    let sniffed = reader.by_ref().take(SNIFF_BYTES as u64).read_to_end(&mut bytes);
    sniffed.map_err(|error| stream_error(error, path))?;
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        let reason = "it is UTF-16, but UTF-8 is needed: iconv -f utf-16 -t utf-8 converts it";
        return Err(malformed(path, reason.to_owned()));
    }
    let is_whole_file = bytes.len() < SNIFF_BYTES;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let (text, said) = start::without_separator_line(text);
    let skipped_lines = u64::from(said.is_some());
    let known = options.delimiter.or(said).or(default_delimiter);
    let delimiter = |text: &[u8]| known.unwrap_or_else(|| sniff(text, is_whole_file, &dialect));
    start::check_comments(text, path, delimiter)?;
    let delimiter = delimiter(text);
    let has_cr = ends_in_cr(text);
    // The line count relies on every line having an end, including the last one.
    let end: &[u8] = if has_cr { b"\r\n" } else { b"\n" };
    let bytes: Box<dyn Read + 'a> = Box::new(io::Cursor::new(text.to_vec()).chain(reader).chain(end));
    let bytes: Box<dyn Read + 'a> = Box::new(QuoteChecker::new(bytes, delimiter, 1 + skipped_lines));
    let reader = builder(delimiter).buffer_capacity(SNIFF_BYTES).from_reader(bytes);
    Ok(Records { reader, path, dialect, has_cr, skipped_lines, columns: None, peeked: None })
}

fn builder(delimiter: u8) -> ReaderBuilder {
    let mut builder = ReaderBuilder::new();
    builder.delimiter(delimiter).has_headers(false).flexible(true).trim(Trim::All);
    builder
}

fn malformed(path: &Path, reason: String) -> DataError {
    DataError::Malformed { path: path.to_owned(), format: "CSV", reason }
}

/// The error for a part of a file that is not UTF-8, and how to convert the file.
fn not_utf8(path: &Path, what: &str) -> DataError {
    let hint = "if the file is Latin-1, iconv -f windows-1252 -t utf-8 converts it";
    malformed(path, format!("{what} not UTF-8; {hint}"))
}

/// The error for a number with a point in a file with another decimal separator.
fn other_point(path: &Path, (row, line): (usize, u64), column: String, cell: &[u8]) -> DataError {
    let hint = "; where decimals are separated by commas, a point can only group digits".to_owned();
    DataError::NotANumber { path: path.to_owned(), row, line, column, text: excerpt(cell), hint }
}

/// Keeps the kind of an underlying I/O error, on which the caller may act.
fn write_error(error: csv::Error) -> io::Error {
    let kind = match error.kind() {
        csv::ErrorKind::Io(error) => error.kind(),
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

/// A compressed stream reports damage as an I/O error.
fn stream_error(error: io::Error, path: &Path) -> DataError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => malformed(path, "the compressed stream is truncated".to_owned()),
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => malformed(path, error.to_string()),
        _ => DataError::Io { path: path.to_owned(), source: error },
    }
}

/// Infers the delimiter: the one that splits the first lines into equally many cells; among several, the
/// one that gives the most numbers (`1,5;2,5` holds two), then the most cells. A comma if there is none.
fn sniff(start: &[u8], is_whole_file: bool, dialect: &Dialect<'_>) -> u8 {
    let score = |delimiter: u8| {
        let mut reader = builder(delimiter).from_reader(start);
        let mut records: Vec<ByteRecord> =
            reader.byte_records().map_while(Result::ok).take(SNIFF_RECORDS).collect();
        if !is_whole_file && records.len() < SNIFF_RECORDS && records.len() > 1 {
            // The last one may be truncated.
            records.pop();
        }
        let columns = records.first().map_or(0, ByteRecord::len);
        if columns < 2 {
            return (0, 0, 0);
        }
        let agreeing = records.iter().filter(|record| record.len() == columns).count();
        let cells = records.iter().map(ByteRecord::len).sum::<usize>();
        let numbers = records.iter().flatten().filter(|cell| dialect.looks_numeric(cell)).count();
        (100 * agreeing / records.len(), 100 * numbers / cells.max(1), columns)
    };
    let candidates = DELIMITERS.into_iter().filter(|byte| *byte != b',' || !dialect.has_decimal_comma());
    candidates.rev().max_by_key(|delimiter| score(*delimiter)).unwrap_or(b',')
}

/// Whether the first line ends in a carriage return and a line feed.
fn ends_in_cr(start: &[u8]) -> bool {
    start.iter().position(|byte| *byte == b'\n').is_some_and(|end| start[..end].ends_with(b"\r"))
}

/// The records of a file, without blank lines.
struct Records<'a, R> {
    reader: csv::Reader<R>,
    path: &'a Path,
    dialect: Dialect<'a>,
    has_cr: bool,
    /// Lines of the file before those that are read.
    skipped_lines: u64,
    /// Cells per record, once the first one has been read.
    columns: Option<usize>,
    /// The next record, if it has been peeked at.
    peeked: Option<(ByteRecord, Option<u64>)>,
}

impl<R: Read> Records<'_, R> {
    /// Reads the next record and returns the line it starts on, or `None` at the end.
    fn next(&mut self, record: &mut ByteRecord) -> Result<Option<u64>, DataError> {
        if let Some((peeked, line)) = self.peeked.take() {
            *record = peeked;
            return Ok(line);
        }
        loop {
            match self.reader.read_byte_record(record) {
                Ok(false) => return Ok(None),
                // The parser skips empty lines, but not lines of spaces.
                Ok(true)
                    if self.columns.is_some_and(|n| n > 1) && record.len() == 1 && record[0].is_empty() => {}
                Ok(true) => {
                    self.columns.get_or_insert(record.len());
                    return Ok(Some(self.line_of(record)));
                }
                Err(error) => {
                    let reason = error.to_string();
                    return Err(match error.into_kind() {
                        csv::ErrorKind::Io(error) => stream_error(error, self.path),
                        _ => malformed(self.path, reason),
                    });
                }
            }
        }
    }

    /// Returns the next record without consuming it; an empty one at the end.
    fn peek(&mut self) -> Result<&ByteRecord, DataError> {
        let mut record = ByteRecord::new();
        let line = self.next(&mut record)?;
        Ok(&self.peeked.insert((record, line)).0)
    }

    /// Returns the line on which the record just read starts. The record's own position is of no use: it
    /// lies before any blank lines that were skipped.
    fn line_of(&self, record: &ByteRecord) -> u64 {
        let inside = record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
        // The parser counts line feeds and stops after the first character of a line break.
        let line = self.reader.position().line().saturating_sub(inside + u64::from(!self.has_cr));
        line + self.skipped_lines
    }

    /// Whether the first record, which has been read, is a header.
    fn starts_with_header(&mut self, first: &ByteRecord, options: &ReadOptions) -> Result<bool, DataError> {
        let non_features = non_feature_columns(options);
        self.peek()?;
        let second = self.peeked.as_ref().map(|(second, _)| second);
        Ok(second.is_none_or(|second| is_header(first, second, &non_features, &self.dialect)))
    }
}

fn read_numbers<R: Read>(mut records: Records<'_, R>, options: &ReadOptions) -> Result<Numbers, DataError> {
    let path = records.path;
    let mut record = ByteRecord::new();
    let Some(mut line) = records.next(&mut record)? else {
        return Err(DataError::Empty { path: path.to_owned() });
    };
    let columns = record.len();
    let has_header = match options.header {
        Some(has_header) => has_header,
        None => records.starts_with_header(&record, options)?,
    };
    let names = if has_header { Some(header(&record, path)?) } else { None };
    let label = match &options.label {
        None => None,
        Some(wanted) => Some(find_column(wanted, names.as_deref(), columns, path)?),
    };
    let id = match &options.id {
        None => None,
        Some(wanted) => Some(find_column(wanted, names.as_deref(), columns, path)?),
    };
    let wanted = options.columns.as_ref().zip(names.as_ref());
    let wanted = wanted.filter(|(wanted, names)| wanted.iter().all(|name| names.contains(name)));
    let is_kept = |column: usize| {
        Some(column) != label
            && Some(column) != id
            && wanted.is_none_or(|(wanted, names)| wanted.contains(&names[column]))
    };
    let kept: Vec<bool> = (0..columns).map(is_kept).collect();
    let mut left_out: Vec<usize> = label.into_iter().chain(id).collect();
    left_out.sort_unstable();
    left_out.dedup();
    if columns == left_out.len() {
        let what = if id.is_none() { "the label" } else { "the row ids and the label" };
        return Err(malformed(path, format!("there is no column besides {what}")));
    }
    let kept_names = names.as_ref().map(|names| {
        let kept = names.iter().zip(&kept).filter(|(_, kept)| **kept);
        kept.map(|(name, _)| name.clone()).collect()
    });
    let width = kept.iter().filter(|kept| **kept).count();
    let builder = DatasetBuilder::new(path, width, kept_names, options.missing).without_columns(left_out);
    let (labels, ids) = (Vec::new(), Vec::new());
    let has_codes = false;
    let mut table =
        NumericTable { path, names, columns, label, id, kept, builder, labels, ids, row: 0, has_codes };
    let mut is_row = !has_header;
    loop {
        if is_row {
            table.push(&record, line, &mut records)?;
        }
        is_row = true;
        match records.next(&mut record)? {
            Some(next) => line = next,
            None => break,
        }
    }
    let mut dataset = table.builder.finish()?;
    if label.is_some() {
        dataset = dataset.with_labels(Labels::from_texts(table.labels))?;
    }
    if let Some(id) = id {
        let name = table.names.as_ref().map_or(DEFAULT_ID_NAME, |names| &names[id]);
        dataset = dataset.with_row_ids(name, table.ids)?;
    }
    Ok(Numbers { rows: dataset, has_codes: table.has_codes })
}

/// The columns that are not features (label and row ids), as named in the options.
fn non_feature_columns(options: &ReadOptions) -> Vec<&str> {
    [&options.label, &options.id].into_iter().flatten().map(String::as_str).collect()
}

/// Whether the first record is a header: all of its cells are text, or one of them is a name in
/// `non_features`, or it has text above a number in the second record. Text above text is no evidence,
/// since `5.1,setosa` is often a row. A column that `non_features` gives by number is ignored, because
/// some labels look like numbers (`na`, `inf`).
fn is_header(first: &ByteRecord, second: &ByteRecord, non_features: &[&str], dialect: &Dialect<'_>) -> bool {
    let is_text = |cell: &[u8]| !dialect.looks_numeric(cell);
    if first.iter().any(|cell| is_text(cell) && non_features.iter().any(|name| name.as_bytes() == cell)) {
        return true;
    }
    let numbers: Vec<usize> =
        non_features.iter().filter_map(|name| name.parse::<usize>().ok()?.checked_sub(1)).collect();
    let is_evidence = |column: &usize| !numbers.contains(column);
    let cells = || first.iter().enumerate().filter(|(column, _)| is_evidence(column));
    cells().all(|(_, cell)| is_text(cell))
        || cells()
            .any(|(column, above)| is_text(above) && second.get(column).is_some_and(|below| !is_text(below)))
}

/// Returns the names in a header; an empty one becomes `column` and its number.
fn header(record: &ByteRecord, path: &Path) -> Result<Vec<String>, DataError> {
    let name = |(i, cell): (usize, &[u8])| match std::str::from_utf8(cell) {
        Ok("") => Ok(format!("column {}", i + 1)),
        Ok(name) => Ok(name.to_owned()),
        Err(_) => Err(not_utf8(path, &format!("the name of column {} is", i + 1))),
    };
    let names: Vec<String> = record.iter().enumerate().map(name).collect::<Result<_, _>>()?;
    match first_duplicate(&names) {
        None => Ok(names),
        Some(name) => Err(malformed(path, format!("two columns are named '{name}'"))),
    }
}

/// A table of numbers while it is being read.
struct NumericTable<'a> {
    path: &'a Path,
    names: Option<Vec<String>>,
    columns: usize,
    label: Option<usize>,
    /// The column of row ids.
    id: Option<usize>,
    /// For each column, whether it holds wanted values.
    kept: Vec<bool>,
    builder: DatasetBuilder<'a>,
    labels: Vec<String>,
    ids: Vec<String>,
    /// Rows so far.
    row: usize,
    /// Whether a number so far has a leading zero.
    has_codes: bool,
}

impl NumericTable<'_> {
    /// Adds a record as the next row. `records` are those after it.
    fn push<R: Read>(
        &mut self,
        record: &ByteRecord,
        line: u64,
        records: &mut Records<'_, R>,
    ) -> Result<(), DataError> {
        self.row += 1;
        let (row, expected, got) = (self.row, self.columns, record.len());
        if got != expected {
            return Err(DataError::RaggedRow { path: self.path.to_owned(), row, line, expected, got });
        }
        for (column, cell) in record.iter().enumerate() {
            if !self.kept[column] {
                let places = [("label", self.label, &mut self.labels), ("id", self.id, &mut self.ids)];
                for (what, _, texts) in places.into_iter().filter(|(_, place, _)| *place == Some(column)) {
                    let plain = if what == "id" { None } else { records.dialect.plain(cell) };
                    let text = std::str::from_utf8(plain.as_deref().unwrap_or(cell)).map_err(|_| {
                        not_utf8(self.path, &format!("the {what} of row {row} (line {line}) is"))
                    })?;
                    texts.push(text.to_owned());
                }
                continue;
            }
            let Some(plain) = records.dialect.plain(cell) else {
                let column = column_name(self.names.as_deref(), column);
                return Err(other_point(self.path, (row, line), column, cell));
            };
            match parse(&plain) {
                Parsed::Number(x) => {
                    self.has_codes |= is_code(cell);
                    self.builder.push(f64::from(x))?;
                }
                Parsed::Missing => self.builder.push(f64::NAN)?,
                Parsed::TooLarge => return Err(self.builder.too_large(excerpt(cell))),
                Parsed::Text => {
                    return Err(DataError::NotANumber {
                        path: self.path.to_owned(),
                        row,
                        line,
                        column: column_name(self.names.as_deref(), column),
                        text: excerpt(cell),
                        hint: self.hint(column, cell, records).to_owned(),
                    });
                }
            }
        }
        Ok(())
    }

    /// Returns what may help with the text in this cell.
    fn hint<R: Read>(&self, column: usize, cell: &[u8], records: &mut Records<'_, R>) -> &'static str {
        if looks_numeric(cell) {
            return "; numbers must have a decimal point and no thousands separators";
        }
        let place = self.kept[..column].iter().filter(|kept| **kept).count();
        let mut record = ByteRecord::new();
        let mut following = std::iter::from_fn(|| {
            let read = matches!(records.next(&mut record), Ok(Some(_)));
            read.then(|| record.get(column).is_some_and(|cell| matches!(parse(cell), Parsed::Number(_))))
        });
        if self.builder.has_number(place) || following.by_ref().take(HINT_RECORDS).any(|is_number| is_number)
        {
            return "";
        }
        match self.label {
            None => "; the column holds text: remove it from the file, or use it as the label or the row ids",
            Some(_) => "; the column holds text: remove it from the file",
        }
    }
}

/// A writer of these texts among others. Where one holds what reading may take for a delimiter, all texts
/// are quoted, so that they read back as they are.
fn writer<'t, W: Write>(out: W, delimiter: u8, mut texts: impl Iterator<Item = &'t str>) -> Writer<W> {
    let is_ambiguous = |text: &str| {
        let mut bytes = text.bytes();
        bytes.any(|byte| byte != delimiter && DELIMITERS.contains(&byte))
            || start::may_name_separator(text.as_bytes())
    };
    let quotes = if texts.any(is_ambiguous) { QuoteStyle::NonNumeric } else { QuoteStyle::Necessary };
    WriterBuilder::new().delimiter(delimiter).quote_style(quotes).from_writer(out)
}

/// Writes the table: a header if there are names, the shortest numbers that read back bit for bit, and
/// the labels as the last column.
pub(crate) fn write(dataset: &Dataset, out: impl Write, delimiter: u8) -> io::Result<()> {
    let labels = dataset
        .labels()
        .into_iter()
        .flat_map(|labels| (0..labels.len()).filter_map(|row| labels.name_of(row)));
    let names = dataset.names().unwrap_or_default().iter().map(String::as_str);
    let mut writer = writer(out, delimiter, names.chain(labels));
    if let Some(names) = dataset.names() {
        let label = dataset.labels().map(|_| crate::labels::column_name(names));
        writer.write_record(names.iter().chain(label.as_ref())).map_err(write_error)?;
    }
    let mut text = String::new();
    for (row, values) in dataset.iter_rows().enumerate() {
        for x in values {
            text.clear();
            if x.is_nan() {
                text.push_str("nan");
            } else {
                write!(text, "{x}").map_err(io::Error::other)?;
            }
            writer.write_field(&text).map_err(write_error)?;
        }
        if let Some(label) = dataset.labels().and_then(|labels| labels.name_of(row)) {
            writer.write_field(label).map_err(write_error)?;
        }
        writer.write_record(None::<&[u8]>).map_err(write_error)?;
    }
    writer.flush()
}

/// Writes the table as it is, with a header if there are names.
pub(crate) fn write_texts(table: &Table, out: impl Write, delimiter: u8) -> io::Result<()> {
    let cells = (0..table.rows()).flat_map(|row| table.row(row));
    let names = table.names().unwrap_or_default().iter().map(String::as_str);
    let mut writer = writer(out, delimiter, names.chain(cells));
    if let Some(names) = table.names() {
        writer.write_record(names).map_err(write_error)?;
    }
    for row in 0..table.rows() {
        writer.write_record(table.row(row)).map_err(write_error)?;
    }
    writer.flush()
}
