//! CSV and TSV: delimiter and header are found out, text is an error that says where it stands.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder, Trim};

use crate::cells::{Cells, column_name};
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::labels::Labels;
use crate::read::ReadOptions;

/// Bytes at the start of a file from which its delimiter is found out.
const SNIFFED: usize = 1 << 16;
/// Delimiters that are tried, the likelier first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// What stands for a missing value, in lower case.
const MISSING: [&str; 8] = ["", "na", "n/a", "nan", "null", "none", "?", "-"];

/// Reads a table. `delimiter` is that of the format, where it has one.
pub(crate) fn read(
    reader: impl Read,
    path: &Path,
    delimiter: Option<u8>,
    options: &ReadOptions,
) -> Result<Dataset, DataError> {
    let mut reader = BufReader::with_capacity(SNIFFED, reader);
    let start = fill(&mut reader).map_err(|source| DataError::Io { path: path.to_owned(), source })?;
    if start.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    let start = fill(&mut reader).map_err(|source| DataError::Io { path: path.to_owned(), source })?;
    let delimiter = options.delimiter.or(delimiter).unwrap_or_else(|| sniff(start));
    let records = ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(reader);
    Table::read(records, path, delimiter, options)
}

fn fill(reader: &mut impl BufRead) -> io::Result<&[u8]> {
    reader.fill_buf()
}

/// The delimiter that divides the first lines into the same number of cells, the most of them; a comma if none does.
fn sniff(start: &[u8]) -> u8 {
    let cells = |delimiter: u8| {
        let mut reader =
            ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(start);
        // The last line may be cut off.
        let counts: Vec<usize> =
            reader.byte_records().flatten().take(20).map(|record| record.len()).collect();
        let complete = if counts.len() > 1 { &counts[..counts.len() - 1] } else { &counts[..] };
        let first = complete.first().copied().unwrap_or(0);
        let agree = complete.iter().filter(|count| **count == first).count();
        if first > 1 { (agree * 100 / complete.len().max(1), first) } else { (0, 0) }
    };
    DELIMITERS.into_iter().rev().max_by_key(|delimiter| cells(*delimiter)).unwrap_or(b',')
}

/// What is known of a table while its records are read.
struct Table<'a> {
    path: &'a Path,
    names: Option<Vec<String>>,
    columns: usize,
    label: Option<usize>,
    delimiter: u8,
}

impl<'a> Table<'a> {
    fn read<R: Read>(
        mut records: csv::Reader<R>,
        path: &'a Path,
        delimiter: u8,
        options: &ReadOptions,
    ) -> Result<Dataset, DataError> {
        let empty = || DataError::Empty { path: path.to_owned() };
        let mut record = ByteRecord::new();
        // The line of the record, where there is one.
        let mut advance = |record: &mut ByteRecord| match records.read_byte_record(record) {
            Ok(true) => Ok(Some(line_of(record, records.position().line()))),
            Ok(false) => Ok(None),
            Err(error) => {
                Err(DataError::Malformed { path: path.to_owned(), format: "CSV", reason: error.to_string() })
            }
        };
        let Some(mut line) = advance(&mut record)? else { return Err(empty()) };
        let columns = record.len();
        let has_header = options.header.unwrap_or_else(|| {
            record.iter().any(|cell| number(cell).is_none() && !is_missing(cell)) && !record.is_empty()
        });
        let mut names = None;
        let mut pending = !has_header;
        if has_header {
            names = Some(header(&record, path)?);
        }
        let label = match &options.label {
            None => None,
            Some(wanted) => Some(find_label(wanted, names.as_deref(), columns, path)?),
        };
        let mut kept = names.clone();
        if let (Some(names), Some(label)) = (&mut kept, label) {
            names.remove(label);
        }
        let table = Table { path, names, columns, label, delimiter };
        let mut cells = Cells::new(path, columns - usize::from(label.is_some()), kept, options.missing);
        let mut labels: Vec<String> = Vec::new();
        let mut row = 0;
        loop {
            if !pending {
                let Some(next) = advance(&mut record)? else { break };
                line = next;
            }
            pending = false;
            row += 1;
            table.take(row, line, &record, &mut cells, &mut labels)?;
        }
        if row == 0 || columns == usize::from(label.is_some()) {
            return Err(empty());
        }
        let dataset = cells.finish()?;
        if label.is_some() { dataset.with_labels(Labels::from_texts(labels)) } else { Ok(dataset) }
    }

    fn take(
        &self,
        row: usize,
        line: u64,
        record: &ByteRecord,
        cells: &mut Cells<'_>,
        labels: &mut Vec<String>,
    ) -> Result<(), DataError> {
        if record.len() != self.columns {
            return Err(DataError::RaggedRow {
                path: self.path.to_owned(),
                row,
                line,
                expected: self.columns,
                got: record.len(),
            });
        }
        for (column, cell) in record.iter().enumerate() {
            if Some(column) == self.label {
                labels.push(String::from_utf8_lossy(cell).into_owned());
            } else if let Some(x) = number(cell) {
                cells.push(x)?;
            } else if is_missing(cell) {
                cells.push(f64::NAN)?;
            } else {
                return Err(self.not_a_number(row, line, column, cell));
            }
        }
        Ok(())
    }

    fn not_a_number(&self, row: usize, line: u64, column: usize, cell: &[u8]) -> DataError {
        let text: String = String::from_utf8_lossy(cell).chars().take(40).collect();
        let comma = self.delimiter != b',' && number(text.replacen(',', ".", 1).as_bytes()).is_some();
        let hint = if comma {
            "; decimals need a point"
        } else {
            "; leave the column out of the file, or name it as the label"
        };
        DataError::NotANumber {
            path: self.path.to_owned(),
            row,
            line,
            column: column_name(self.names.as_deref(), column),
            text,
            hint: hint.to_owned(),
        }
    }
}

/// The line on which a record starts, the parser being on line `after` behind it. The parser's own position of a record
/// comes before the blank lines that it skipped.
fn line_of(record: &ByteRecord, after: u64) -> u64 {
    let before = record.position().map_or(0, csv::Position::line);
    let inside = record.as_slice().iter().filter(|byte| **byte == b'\n').count() as u64;
    // Behind a last record without a line break the parser is still on its line.
    if before + inside == after { before } else { after.saturating_sub(1 + inside) }
}

/// The names of a header; a column without one is called by its number.
fn header(record: &ByteRecord, path: &Path) -> Result<Vec<String>, DataError> {
    let names: Vec<String> = record
        .iter()
        .enumerate()
        .map(|(i, cell)| match String::from_utf8_lossy(cell) {
            name if name.is_empty() => format!("column {}", i + 1),
            name => name.into_owned(),
        })
        .collect();
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        None => Ok(names),
        Some(pair) => Err(DataError::Malformed {
            path: path.to_owned(),
            format: "CSV",
            reason: format!("two columns are named '{}'", pair[0]),
        }),
    }
}

fn find_label(
    wanted: &str,
    names: Option<&[String]>,
    columns: usize,
    path: &Path,
) -> Result<usize, DataError> {
    let by_name = names.and_then(|names| names.iter().position(|name| name == wanted));
    let by_number = || wanted.parse::<usize>().ok().filter(|n| (1..=columns).contains(n)).map(|n| n - 1);
    by_name.or_else(by_number).ok_or_else(|| DataError::NotThere {
        path: path.to_owned(),
        what: "column",
        name: wanted.to_owned(),
        present: match names {
            Some(names) => names.to_vec(),
            None => (1..=columns).map(|n| n.to_string()).collect(),
        },
    })
}

/// The number that a cell holds; texts such as `inf` and `1e400` are numbers, `nan` is not.
fn number(cell: &[u8]) -> Option<f64> {
    let x: f64 = std::str::from_utf8(cell).ok()?.parse().ok()?;
    // A finite text that overflows f64 parses as infinite: keep it recognisably too large for f32.
    let says_infinite = cell.iter().any(|byte| matches!(byte, b'n' | b'N'));
    if x.is_infinite() && !says_infinite {
        Some(f64::MAX.copysign(x))
    } else {
        Some(x).filter(|x| !x.is_nan())
    }
}

fn is_missing(cell: &[u8]) -> bool {
    MISSING.iter().any(|text| cell.eq_ignore_ascii_case(text.as_bytes()))
}

/// Writes the table: a line of names where there are names, shortest numbers that read back as the same bits,
/// and the labels as a last column.
pub(crate) fn write(dataset: &Dataset, out: impl Write, delimiter: u8) -> io::Result<()> {
    let mut writer = csv::WriterBuilder::new().delimiter(delimiter).from_writer(out);
    if let Some(names) = dataset.names() {
        let label = dataset.labels().map(|_| crate::labels::column_name(names));
        writer.write_record(names.iter().chain(label.as_ref())).map_err(io_error)?;
    }
    for (row, values) in dataset.values().chunks_exact(dataset.features().max(1)).enumerate() {
        for x in values {
            writer.write_field(x.to_string()).map_err(io_error)?;
        }
        if let Some(label) = dataset.labels().and_then(|labels| labels.name_of(row)) {
            writer.write_field(label).map_err(io_error)?;
        }
        writer.write_record(None::<&[u8]>).map_err(io_error)?;
    }
    writer.flush()
}

/// The error of the stream below, as it was, so that a closed pipe is known for one.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::Missing;

    fn parse(text: &str, options: &ReadOptions) -> Result<Dataset, String> {
        read(text.as_bytes(), Path::new("t.csv"), None, options).map_err(|error| error.to_string())
    }

    #[test]
    fn forms_of_tables() {
        let auto = ReadOptions::default();
        let cases: [(&str, &[f32], usize, Option<&[&str]>); 10] = [
            ("1,2\n3,4\n", &[1.0, 2.0, 3.0, 4.0], 2, None),
            ("1,2\n3,4", &[1.0, 2.0, 3.0, 4.0], 2, None),
            ("a,b\r\n1,2\r\n", &[1.0, 2.0], 2, Some(&["a", "b"])),
            ("\u{feff}a;b\n1.5;-2e3\n", &[1.5, -2000.0], 2, Some(&["a", "b"])),
            ("a\tb\n1\t2\n", &[1.0, 2.0], 2, Some(&["a", "b"])),
            ("1|2|3\n4|5|6\n", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, None),
            ("\"a, b\",\"c \"\"d\"\"\"\n\"1\", 2 \n", &[1.0, 2.0], 2, Some(&["a, b", "c \"d\""])),
            ("x\n\n1\n\n2\n\n", &[1.0, 2.0], 1, Some(&["x"])),
            ("1\n", &[1.0], 1, None),
            ("a,\n1,2\n", &[1.0, 2.0], 2, Some(&["a", "column 2"])),
        ];
        for (text, values, features, names) in cases {
            let dataset = parse(text, &auto).unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!((dataset.values(), dataset.features()), (values, features), "{text:?}");
            let expected = names.map(|names| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
            assert_eq!(dataset.names().map(<[String]>::to_vec), expected, "{text:?}");
        }
    }

    #[test]
    fn options_override_what_is_found_out() {
        let with = |change: &dyn Fn(&mut ReadOptions)| {
            let mut options = ReadOptions::default();
            change(&mut options);
            options
        };
        let dataset = parse("1,2\n3,4\n", &with(&|o| o.header = Some(true))).unwrap();
        assert_eq!((dataset.rows(), dataset.names().unwrap()), (1, &["1".to_owned(), "2".to_owned()][..]));
        let dataset = parse("1 2\n3 4\n", &with(&|o| o.delimiter = Some(b' '))).unwrap();
        assert_eq!(dataset.values(), [1.0, 2.0, 3.0, 4.0]);
        let dataset =
            parse("a,kind\n1,x\n2,y\n3,x\n", &with(&|o| o.label = Some("kind".to_owned()))).unwrap();
        assert_eq!(
            (dataset.values(), dataset.labels().unwrap().codes()),
            (&[1.0, 2.0, 3.0][..], &[0, 1, 0][..])
        );
        let dataset = parse("9,1\n8,2\n", &with(&|o| o.label = Some("1".to_owned()))).unwrap();
        assert_eq!((dataset.values(), dataset.labels().unwrap().name_of(0)), (&[1.0, 2.0][..], Some("9")));
        let dataset = parse("a,b\n1,\nNA,4\n", &with(&|o| o.missing = Missing::Keep)).unwrap();
        assert_eq!(dataset.values().iter().filter(|x| x.is_nan()).count(), 2);
        let dataset = parse("a\ninf\n-inf\n", &ReadOptions::default()).unwrap();
        assert_eq!(dataset.values(), [f32::INFINITY, f32::NEG_INFINITY]);
    }

    #[test]
    fn errors_say_where() {
        let labelled = |name: &str| ReadOptions { label: Some(name.to_owned()), ..ReadOptions::default() };
        let auto = ReadOptions::default();
        let cases: [(&str, &ReadOptions, &str); 14] = [
            ("", &auto, "t.csv: no rows"),
            ("\n\n", &auto, "t.csv: no rows"),
            ("a,b\n", &auto, "t.csv: no rows"),
            ("a,b\n1,2\n3\n", &auto, "t.csv: row 2 (line 3) has 1 cells, but 2 are expected"),
            ("a,b\n1,2\n\n3,4,5\n", &auto, "t.csv: row 2 (line 4) has 3 cells, but 2 are expected"),
            (
                "a,b\n1,2\n3,red\n",
                &auto,
                "t.csv: row 2 (line 3), column 'b': 'red' is not a number; leave the column out of the file, or name it as the label",
            ),
            (
                "a;b\n1;2,5\n",
                &auto,
                "t.csv: row 1 (line 2), column 'b': '2,5' is not a number; decimals need a point",
            ),
            ("a,b\n1,\n,4\n", &auto, "t.csv: row 1, column 'b': the value is missing (2 in all)"),
            ("1,2\n3,NaN\n", &auto, "t.csv: row 2, column 2: the value is missing"),
            ("a\n1e39\n", &auto, "t.csv: row 1, column 'a': 1e39 does not fit a 32-bit float"),
            ("a,a\n1,2\n", &auto, "t.csv: not a valid CSV file: two columns are named 'a'"),
            ("a,b\n1,2\n", &labelled("c"), "t.csv: no column 'c'; there are 'a', 'b'"),
            ("1,2\n1,2\n", &labelled("3"), "t.csv: no column '3'; there are '1', '2'"),
            ("a\n1\n", &labelled("a"), "t.csv: no rows"),
        ];
        for (text, options, message) in cases {
            assert_eq!(parse(text, options).unwrap_err(), message, "{text:?}");
        }
        assert!(parse("a\n1e400\n", &auto).unwrap_err().contains("does not fit a 32-bit float"));
    }

    #[test]
    fn no_bytes_cause_a_panic() {
        let good = b"\xef\xbb\xbf\"a\",b;c\n1,\"2\n3\",4\r\n5,6,7\n";
        for len in 0..good.len() {
            let _ = read(&good[..len], Path::new("t"), None, &ReadOptions::default());
        }
        let mut rng = crate::split::Rng::new(1);
        for _ in 0..5000 {
            let mut bytes = good.to_vec();
            for _ in 0..3 {
                let place = rng.below(bytes.len());
                bytes[place] = rng.next_u64() as u8;
            }
            let _ = read(&bytes[..], Path::new("t"), None, &ReadOptions::default());
        }
    }
}
