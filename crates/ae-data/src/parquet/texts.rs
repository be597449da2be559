//! Parquet as tables of text: columns of strings, booleans, numbers, dates and times.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnDescriptor, Type};

use super::{
    catch_panics, column_names, malformed, numeric_divisor, open_reader, read_integers, read_numbers,
    read_strings, type_name,
};
use crate::error::DataError;
use crate::read::ReadOptions;
use crate::schema::{TimeFormat, write_time};
use crate::table::Table;
use crate::text::{Parsed, is_missing, parse};

/// Reads every column of a file as text. Nulls become empty cells, and so does a column that is neither
/// readable nor wanted.
pub(crate) fn read_texts(file: File, path: &Path, options: &ReadOptions) -> Result<Table, DataError> {
    catch_panics(path, || read_columns(file, path, options))
}

fn read_columns(file: File, path: &Path, options: &ReadOptions) -> Result<Table, DataError> {
    let reader = open_reader(file, path)?;
    let names = column_names(&reader);
    let mut columns = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        columns.push(match read_column(&reader, path, index) {
            Err(DataError::UnsupportedType { .. }) if !options.wants(name, &names) => None,
            texts => Some(texts?),
        });
    }
    let rows = columns.iter().flatten().next().map_or(0, Vec::len);
    if columns.iter().flatten().any(|column| column.len() != rows) {
        return Err(malformed(path, "its columns differ in length"));
    }
    if rows == 0 {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    let mut table = Table::empty(path, columns.len(), Some(names));
    for row in 0..rows {
        for (index, column) in columns.iter().enumerate() {
            table.push(index, column.as_ref().map_or("", |column| &column[row]));
        }
        table.end_row(0);
    }
    Ok(table)
}

/// Returns the column at this index as text, with nulls as empty cells.
pub(super) fn read_column(
    reader: &SerializedFileReader<File>,
    path: &Path,
    index: usize,
) -> Result<Vec<String>, DataError> {
    let bad = |error: ParquetError| malformed(path, error);
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let descriptor = schema.column(index);
    let divisor = numeric_divisor(&descriptor);
    let times = TimeEncoding::of(&descriptor);
    let is_flat = descriptor.max_rep_level() == 0 && descriptor.max_def_level() <= 1;
    if !is_flat || divisor.is_none() && times.is_none() && !is_string(&descriptor) {
        let dtype = if is_flat { type_name(&descriptor) } else { "nested values".to_owned() };
        let array = format!("column '{}'", descriptor.path().string());
        return Err(DataError::UnsupportedType { path: path.to_owned(), array, dtype });
    }
    // Not via floating point, which does not hold every whole number beyond 2^53, such as the row ids of
    // a large system.
    let is_integer =
        descriptor.physical_type() == PhysicalType::INT64 && (times.is_some() || divisor == Some(1.0));
    let (mut texts, mut values) = (Vec::new(), Vec::new());
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(bad)?;
        let rows = usize::try_from(group.metadata().num_rows()).map_err(|error| malformed(path, error))?;
        let column = group.get_column_reader(index).map_err(bad)?;
        if is_string(&descriptor) {
            read_strings(column, rows, &descriptor, &mut texts).map_err(bad)?;
        } else if is_integer {
            read_integers(column, rows, &descriptor, &mut texts).map_err(bad)?;
        } else {
            read_numbers(column, rows, &descriptor, &mut values).map_err(bad)?;
        }
    }
    if let Some(times) = &times {
        let days = values.iter().map(|days| if days.is_nan() { String::new() } else { days.to_string() });
        texts.extend(days);
        texts.iter_mut().for_each(|count| *count = times.text_of(count));
    } else {
        let divisor = divisor.unwrap_or(1.0);
        texts.extend(values.into_iter().map(|x| text_of(x / divisor, descriptor.physical_type())));
    }
    Ok(texts)
}

/// How a column of dates or times counts from 1970.
struct TimeEncoding {
    /// Seconds per count, as a fraction (numerator, denominator), one of which is 1.
    seconds: (i64, i64),
    format: TimeFormat,
}

impl TimeEncoding {
    fn of(column: &ColumnDescriptor) -> Option<TimeEncoding> {
        let parts = |counts: i64, in_utc: bool| TimeEncoding {
            seconds: (1, counts),
            format: if in_utc { TimeFormat::Utc } else { TimeFormat::Space },
        };
        match (column.physical_type(), column.logical_type_ref(), column.converted_type()) {
            (PhysicalType::INT32, Some(LogicalType::Date), _)
            | (PhysicalType::INT32, None, ConvertedType::DATE) => {
                Some(TimeEncoding { seconds: (86_400, 1), format: TimeFormat::Date })
            }
            (PhysicalType::INT64, Some(LogicalType::Timestamp(stamp)), _) => {
                let counts = match stamp.unit {
                    TimeUnit::MILLIS => 1_000,
                    TimeUnit::MICROS => 1_000_000,
                    TimeUnit::NANOS => 1_000_000_000,
                };
                Some(parts(counts, stamp.is_adjusted_to_u_t_c))
            }
            (PhysicalType::INT64, None, ConvertedType::TIMESTAMP_MILLIS) => Some(parts(1_000, true)),
            (PhysicalType::INT64, None, ConvertedType::TIMESTAMP_MICROS) => Some(parts(1_000_000, true)),
            _ => None,
        }
    }

    /// Returns the text of a count, with as many fractional digits of a second as it needs; empty if
    /// there is no count.
    fn text_of(&self, count: &str) -> String {
        let Ok(count) = count.parse::<i64>() else { return String::new() };
        let (seconds, counts) = self.seconds;
        let text = write_time(count.div_euclid(counts).saturating_mul(seconds), self.format);
        let rest = count.rem_euclid(counts);
        if rest == 0 {
            return text;
        }
        let width = counts.ilog10() as usize;
        let digits = format!("{rest:0width$}");
        let (zone, digits) = (if text.ends_with('Z') { "Z" } else { "" }, digits.trim_end_matches('0'));
        format!("{}.{digits}{zone}", text.trim_end_matches('Z'))
    }
}

fn is_string(column: &ColumnDescriptor) -> bool {
    let logical = column.logical_type_ref();
    column.physical_type() == PhysicalType::BYTE_ARRAY
        && matches!(logical, None | Some(LogicalType::String | LogicalType::Enum))
}

fn text_of(x: f64, stored: PhysicalType) -> String {
    match stored {
        _ if x.is_nan() => String::new(),
        PhysicalType::BOOLEAN => (x != 0.0).to_string(),
        PhysicalType::FLOAT => (x as f32).to_string(),
        _ => x.to_string(),
    }
}

/// Writes columns of which all known cells are 64-bit whole numbers as such, other numeric columns as
/// doubles and all others as strings. Missing cells become nulls.
pub(crate) fn write_texts(table: &Table, out: impl Write + Send) -> io::Result<()> {
    write_columns(table, out).map_err(io::Error::other)
}

fn write_columns(table: &Table, out: impl Write + Send) -> Result<(), ParquetError> {
    let columns: Vec<ColumnValues> =
        (0..table.columns()).map(|column| ColumnValues::of(table, column)).collect();
    let mut fields = Vec::new();
    for (column, cells) in columns.iter().enumerate() {
        let name = table.name_of(column);
        let field = match cells {
            ColumnValues::Integers(_) => Type::primitive_type_builder(&name, PhysicalType::INT64),
            ColumnValues::Numbers(_) => Type::primitive_type_builder(&name, PhysicalType::DOUBLE),
            ColumnValues::Texts => Type::primitive_type_builder(&name, PhysicalType::BYTE_ARRAY)
                .with_logical_type(Some(LogicalType::String)),
        };
        fields.push(Arc::new(field.with_repetition(Repetition::OPTIONAL).build()?));
    }
    let schema = Type::group_type_builder("schema").with_fields(fields).build()?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for (index, cells) in columns.into_iter().enumerate() {
        let Some(mut column) = group.next_column()? else { continue };
        match cells {
            ColumnValues::Integers(cells) => {
                let (levels, values) = levels(cells);
                column.typed::<Int64Type>().write_batch(&values, Some(&levels), None)?;
            }
            ColumnValues::Numbers(cells) => {
                let (levels, values) = levels(cells);
                column.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
            }
            ColumnValues::Texts => {
                let levels: Vec<i16> = table.column(index).map(|text| i16::from(!is_missing(text))).collect();
                let known = table.column(index).filter(|text| !is_missing(text));
                let values: Vec<ByteArray> = known.map(ByteArray::from).collect();
                column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None)?;
            }
        }
        column.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(())
}

/// Returns for each cell whether it is present, and the values of those that are.
fn levels<T>(cells: Vec<Option<T>>) -> (Vec<i16>, Vec<T>) {
    (cells.iter().map(|cell| i16::from(cell.is_some())).collect(), cells.into_iter().flatten().collect())
}

/// The cells of a column; `None` where they are missing.
#[derive(Debug, PartialEq)]
enum ColumnValues {
    Integers(Vec<Option<i64>>),
    Numbers(Vec<Option<f64>>),
    Texts,
}

impl ColumnValues {
    /// Converts a column to numbers if these read back as they are written: not text, not codes such as
    /// `007`, and not whole numbers that a double would show with other digits.
    fn of(table: &Table, column: usize) -> ColumnValues {
        fn all<'a, T>(
            texts: impl Iterator<Item = &'a str>,
            number: impl Fn(&str) -> Option<T>,
        ) -> Option<Vec<Option<T>>> {
            let cell = |text: &str| if is_missing(text) { Some(None) } else { number(text).map(Some) };
            texts.map(cell).collect()
        }
        // A column of only missing cells could hold anything; it is written as doubles.
        let whole = |text: &str| text.parse().ok().filter(|x: &i64| x.to_string() == text);
        let number = |text: &str| match parse(text.as_bytes()) {
            Parsed::Number(_) | Parsed::TooLarge => text.parse().ok().filter(|x| keeps_digits(text, *x)),
            Parsed::Missing | Parsed::Text => None,
        };
        match all(table.column(column), whole) {
            Some(cells) if cells.iter().any(Option::is_some) => ColumnValues::Integers(cells),
            _ => all(table.column(column), number).map_or(ColumnValues::Texts, ColumnValues::Numbers),
        }
    }
}

/// Whether `text` keeps its digits as the double `x`: it must have no leading zeros, and a whole number
/// beyond 2^53 must print as the same digits, as one written from a float does.
fn keeps_digits(text: &str, x: f64) -> bool {
    const EXACT: u128 = 1 << f64::MANTISSA_DIGITS;
    let digits = text.strip_prefix('-').unwrap_or(text).as_bytes();
    if let [b'0', second, ..] = digits
        && second.is_ascii_digit()
    {
        return false;
    }
    text.parse()
        .map_or(true, |whole: i128| whole.unsigned_abs() <= EXACT || x.to_string() == whole.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_whose_digits_a_double_keeps_are_numbers() {
        for text in ["1.5", "9007199254740992", "1700000000000000000", "1e300", "0.5", "0"] {
            assert!(keeps_digits(text, text.parse().unwrap()), "{text}");
        }
        for x in [1.7e18f32, 1.234_567_8e30, -3.0e37, f32::MAX] {
            assert!(keeps_digits(&x.to_string(), x.to_string().parse().unwrap()), "{x}");
        }
        for text in ["9007199254740993", "-9223372036854775807", "18446744073709551615", "007", "-01"] {
            assert!(!keeps_digits(text, text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn parts_of_a_second_keep_the_zeros_in_front_of_them() {
        let text = |counts: i64, format: TimeFormat, count: &str| {
            TimeEncoding { seconds: (1, counts), format }.text_of(count)
        };
        assert_eq!(text(1_000, TimeFormat::Space, "5"), "1970-01-01 00:00:00.005");
        assert_eq!(text(1_000_000, TimeFormat::Utc, "-999990"), "1969-12-31T23:59:59.00001Z");
        assert_eq!(text(1_000_000_000, TimeFormat::Space, "1000000001"), "1970-01-01 00:00:01.000000001");
    }

    #[test]
    fn columns_are_what_their_cells_are() {
        let of = |cells: &[&str]| {
            let table = Table::new(vec!["a".to_owned()], &[cells.to_vec()]).unwrap();
            ColumnValues::of(&table, 0)
        };
        assert_eq!(
            of(&["9007199254740993", "", "-5"]),
            ColumnValues::Integers(vec![Some(9_007_199_254_740_993), None, Some(-5)])
        );
        assert_eq!(of(&["1", "2.5"]), ColumnValues::Numbers(vec![Some(1.0), Some(2.5)]));
        assert_eq!(of(&["", "NA"]), ColumnValues::Numbers(vec![None, None]));
        assert_eq!(of(&["01000", "2000"]), ColumnValues::Texts);
        assert_eq!(of(&["18446744073709551615"]), ColumnValues::Texts);
        assert_eq!(of(&["1", "x"]), ColumnValues::Texts);
    }
}
