//! Parquet as tables of text: columns of strings, booleans, numbers, dates and times.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::{ColumnDescriptor, Type};

use super::values::{ColumnValues, TypedColumn, stored_type};
use super::{
    catch_panics, column_names, malformed, numeric_divisor, open_reader, read_integers, read_numbers,
    read_strings, type_name,
};
use crate::error::DataError;
use crate::read::ReadOptions;
use crate::schema::{TimeFormat, write_time};
use crate::table::Table;
use crate::text::is_missing;

/// Reads every column of a file as text. Nulls become empty cells, and so does a column that is neither
/// readable nor wanted.
pub(crate) fn read_texts(file: File, path: &Path, options: &ReadOptions) -> Result<Table, DataError> {
    catch_panics(path, || read_columns(file, path, options))
}

fn read_columns(file: File, path: &Path, options: &ReadOptions) -> Result<Table, DataError> {
    let reader = open_reader(file, path)?;
    let names = column_names(&reader, path)?;
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
    for (index, descriptor) in reader.metadata().file_metadata().schema_descr().columns().iter().enumerate() {
        table.set_stored_type(index, stored_type(descriptor));
    }
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
pub(super) struct TimeEncoding {
    /// Seconds per count, as a fraction (numerator, denominator), one of which is 1.
    pub(super) seconds: (i64, i64),
    pub(super) format: TimeFormat,
}

impl TimeEncoding {
    pub(super) fn of(column: &ColumnDescriptor) -> Option<TimeEncoding> {
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

pub(super) fn is_string(column: &ColumnDescriptor) -> bool {
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

/// Writes columns as they were stored; of unknown ones, those of which all known cells are 64-bit whole
/// numbers as such, other numeric columns as doubles and all others as strings. Missing cells become
/// nulls.
pub(crate) fn write_texts(table: &Table, out: impl Write + Send) -> io::Result<()> {
    write_columns(table, out).map_err(io::Error::other)
}

fn write_columns(table: &Table, out: impl Write + Send) -> Result<(), ParquetError> {
    let columns: Vec<TypedColumn> =
        (0..table.columns()).map(|column| TypedColumn::of(table, column)).collect();
    let mut fields = Vec::new();
    for (index, TypedColumn { values, logical }) in columns.iter().enumerate() {
        let name = table.name_of(index);
        let digits = match logical {
            Some(LogicalType::Decimal(decimal)) => (decimal.precision, decimal.scale),
            _ => (-1, -1),
        };
        let field = Type::primitive_type_builder(&name, values.physical_type())
            .with_logical_type(logical.clone())
            .with_precision(digits.0)
            .with_scale(digits.1)
            .with_repetition(Repetition::OPTIONAL);
        fields.push(Arc::new(field.build()?));
    }
    let schema = Type::group_type_builder("schema").with_fields(fields).build()?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for (index, TypedColumn { values, .. }) in columns.into_iter().enumerate() {
        let Some(mut column) = group.next_column()? else { continue };
        match values {
            ColumnValues::Booleans(cells) => write_cells::<BoolType>(&mut column, cells)?,
            ColumnValues::Integers32(cells) => write_cells::<Int32Type>(&mut column, cells)?,
            ColumnValues::Integers(cells) => write_cells::<Int64Type>(&mut column, cells)?,
            ColumnValues::Floats(cells) => write_cells::<FloatType>(&mut column, cells)?,
            ColumnValues::Numbers(cells) => write_cells::<DoubleType>(&mut column, cells)?,
            ColumnValues::Texts => {
                let cells = table.column(index);
                let cells = cells.map(|text| (!is_missing(text)).then(|| ByteArray::from(text)));
                write_cells::<ByteArrayType>(&mut column, cells.collect())?;
            }
        }
        column.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(())
}

/// Writes the cells of a column, with `None` as null.
fn write_cells<T: DataType>(
    column: &mut SerializedColumnWriter<'_>,
    cells: Vec<Option<T::T>>,
) -> Result<(), ParquetError> {
    let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
    let values: Vec<T::T> = cells.into_iter().flatten().collect();
    column.typed::<T>().write_batch(&values, Some(&levels), None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_second_keep_the_zeros_in_front_of_them() {
        let text = |counts: i64, format: TimeFormat, count: &str| {
            TimeEncoding { seconds: (1, counts), format }.text_of(count)
        };
        assert_eq!(text(1_000, TimeFormat::Space, "5"), "1970-01-01 00:00:00.005");
        assert_eq!(text(1_000_000, TimeFormat::Utc, "-999990"), "1969-12-31T23:59:59.00001Z");
        assert_eq!(text(1_000_000_000, TimeFormat::Space, "1000000001"), "1970-01-01 00:00:01.000000001");
    }
}
