//! Tables of texts in Parquet: columns of strings, booleans and numbers.

use std::fs::File;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnDescriptor, Type};

use super::{malformed, number_scale, opened, panic_text, read_numbers, read_strings, read_whole, type_name};
use crate::error::DataError;
use crate::schema::{TimeForm, write_time};
use crate::table::Table;
use crate::text::{Parsed, is_missing, parse};

/// Reads every column of a file as texts; nulls as empty ones.
pub(crate) fn read_texts(file: File, path: &Path) -> Result<Table, DataError> {
    // As for numbers: a panic of the parser is damage to the file.
    let read = catch_unwind(AssertUnwindSafe(|| read_columns(file, path)));
    read.unwrap_or_else(|panic| Err(malformed(path, panic_text(&*panic))))
}

fn read_columns(file: File, path: &Path) -> Result<Table, DataError> {
    let reader = opened(file, path)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let names: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
    let mut columns = Vec::with_capacity(names.len());
    for index in 0..names.len() {
        columns.push(column(&reader, path, index)?);
    }
    let rows = columns.first().map_or(0, Vec::len);
    if columns.iter().any(|column| column.len() != rows) {
        return Err(malformed(path, "its columns differ in length"));
    }
    if rows == 0 {
        return Err(DataError::Empty { path: path.to_owned() });
    }
    let mut table = Table::empty(path, columns.len(), Some(names));
    for row in 0..rows {
        columns.iter().enumerate().for_each(|(index, column)| table.push(index, &column[row]));
        table.end_row(0);
    }
    Ok(table)
}

/// The column of this index as texts, nulls as empty ones.
pub(super) fn column(
    reader: &SerializedFileReader<File>,
    path: &Path,
    index: usize,
) -> Result<Vec<String>, DataError> {
    let bad = |error: ParquetError| malformed(path, error);
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let descriptor = schema.column(index);
    let scale = number_scale(&descriptor);
    let times = Times::of(&descriptor);
    let is_flat = descriptor.max_rep_level() == 0 && descriptor.max_def_level() <= 1;
    if !is_flat || scale.is_none() && times.is_none() && !is_string(&descriptor) {
        let dtype = if is_flat { type_name(&descriptor) } else { "nested values".to_owned() };
        let array = format!("column '{}'", descriptor.path().string());
        return Err(DataError::UnsupportedType { path: path.to_owned(), array, dtype });
    }
    // Not by way of floating point: of whole numbers past 2^53, such as those that count rows of a large system, it does not hold all.
    let is_whole = times.is_none() && scale == Some(1.0) && descriptor.physical_type() == PhysicalType::INT64;
    let (mut texts, mut values) = (Vec::new(), Vec::new());
    for group in 0..reader.num_row_groups() {
        let group = reader.get_row_group(group).map_err(bad)?;
        let rows = usize::try_from(group.metadata().num_rows()).map_err(|error| malformed(path, error))?;
        let column = group.get_column_reader(index).map_err(bad)?;
        if is_string(&descriptor) {
            read_strings(column, rows, &descriptor, &mut texts).map_err(bad)?;
        } else if is_whole {
            read_whole(column, rows, &descriptor, &mut texts).map_err(bad)?;
        } else {
            read_numbers(column, rows, &descriptor, &mut values).map_err(bad)?;
        }
    }
    let scale = scale.unwrap_or(1.0);
    texts.extend(values.into_iter().map(|x| match &times {
        Some(times) => times.text_of(x),
        None => text_of(x * scale, descriptor.physical_type()),
    }));
    Ok(texts)
}

/// How a column of dates or times counts from 1970 on.
struct Times {
    /// Seconds of a count, or counts of a second, as a quotient.
    seconds: (f64, f64),
    form: TimeForm,
}

impl Times {
    fn of(column: &ColumnDescriptor) -> Option<Times> {
        let parts = |counts: f64, in_utc: bool| Times {
            seconds: (1.0, counts),
            form: if in_utc { TimeForm::Utc } else { TimeForm::Space },
        };
        match (column.physical_type(), column.logical_type_ref(), column.converted_type()) {
            (PhysicalType::INT32, Some(LogicalType::Date), _)
            | (PhysicalType::INT32, None, ConvertedType::DATE) => {
                Some(Times { seconds: (86_400.0, 1.0), form: TimeForm::Date })
            }
            (PhysicalType::INT64, Some(LogicalType::Timestamp(stamp)), _) => {
                let counts = match stamp.unit {
                    TimeUnit::MILLIS => 1e3,
                    TimeUnit::MICROS => 1e6,
                    TimeUnit::NANOS => 1e9,
                };
                Some(parts(counts, stamp.is_adjusted_to_u_t_c))
            }
            (PhysicalType::INT64, None, ConvertedType::TIMESTAMP_MILLIS) => Some(parts(1e3, true)),
            (PhysicalType::INT64, None, ConvertedType::TIMESTAMP_MICROS) => Some(parts(1e6, true)),
            _ => None,
        }
    }

    /// The text of a count; of none, an empty one.
    fn text_of(&self, count: f64) -> String {
        let seconds = (count * self.seconds.0 / self.seconds.1).floor();
        if count.is_nan() { String::new() } else { write_time(seconds as i64, self.form) }
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

/// Writes columns in which every known cell is a number as doubles, the others as strings; missing cells as nulls.
pub(crate) fn write_texts(table: &Table, out: impl Write + Send) -> io::Result<()> {
    write_columns(table, out).map_err(io::Error::other)
}

fn write_columns(table: &Table, out: impl Write + Send) -> Result<(), ParquetError> {
    let numbers: Vec<Option<Vec<Option<f64>>>> = (0..table.columns()).map(|c| numbers(table, c)).collect();
    let mut fields = Vec::new();
    for (column, numbers) in numbers.iter().enumerate() {
        let name = table.name_of(column);
        let field = match numbers {
            Some(_) => Type::primitive_type_builder(&name, PhysicalType::DOUBLE),
            None => Type::primitive_type_builder(&name, PhysicalType::BYTE_ARRAY)
                .with_logical_type(Some(LogicalType::String)),
        };
        fields.push(Arc::new(field.with_repetition(Repetition::OPTIONAL).build()?));
    }
    let schema = Type::group_type_builder("schema").with_fields(fields).build()?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for (index, numbers) in numbers.into_iter().enumerate() {
        let Some(mut column) = group.next_column()? else { continue };
        match numbers {
            Some(cells) => {
                let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
                let values: Vec<f64> = cells.into_iter().flatten().collect();
                column.typed::<DoubleType>().write_batch(&values, Some(&levels), None)?;
            }
            None => {
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

/// The numbers of a column, none of missing cells; nothing if a cell is a text, or a whole number that a double would show with other digits.
fn numbers(table: &Table, column: usize) -> Option<Vec<Option<f64>>> {
    let cell = |text: &str| match parse(text.as_bytes()) {
        Parsed::Missing => Some(None),
        Parsed::Number(_) | Parsed::TooLarge => {
            text.parse().ok().filter(|x| keeps_digits(text, *x)).map(Some)
        }
        Parsed::Text => None,
    };
    table.column(column).map(cell).collect()
}

/// Whether a whole number has the same digits as the double `x` that it becomes. Those of a float do, however large it is.
fn keeps_digits(text: &str, x: f64) -> bool {
    const EXACT: u128 = 1 << f64::MANTISSA_DIGITS;
    text.parse()
        .map_or(true, |whole: i128| whole.unsigned_abs() <= EXACT || x.to_string() == whole.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_whose_digits_a_double_keeps_are_numbers() {
        for text in ["1.5", "9007199254740992", "1700000000000000000", "1e300", "007"] {
            assert!(keeps_digits(text, text.parse().unwrap()), "{text}");
        }
        for x in [1.7e18f32, 1.234_567_8e30, -3.0e37, f32::MAX] {
            assert!(keeps_digits(&x.to_string(), x.to_string().parse().unwrap()), "{x}");
        }
        for text in ["9007199254740993", "-9223372036854775807", "18446744073709551615"] {
            assert!(!keeps_digits(text, text.parse().unwrap()), "{text}");
        }
    }
}
