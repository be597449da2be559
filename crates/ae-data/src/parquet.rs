//! Parquet: flat numeric columns, with nulls as missing values.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{Compression, ConvertedType, LogicalType, Repetition, Type as PhysicalType};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnDescriptor, Type};

mod texts;
mod values;

use crate::dataset::{Dataset, first_duplicate};
use crate::dataset_builder::DatasetBuilder;
use crate::error::DataError;
use crate::guard::guarded;
use crate::half::half;
use crate::labels::Labels;
use crate::read::ReadOptions;
use crate::table::find_column;
pub(crate) use texts::{read_texts, write_texts};

/// Rows of a column decoded at a time.
const BATCH: usize = 1 << 14;

/// Largest number of columns that is written.
const MAX_COLUMNS: usize = 1 << 24;

/// Reads the wanted columns of a file; those named by `options.label` and `options.id` become labels and
/// row ids.
pub(crate) fn read(file: File, path: &Path, options: &ReadOptions) -> Result<Dataset, DataError> {
    catch_panics(path, || read_columns(file, path, options))
}

/// Turns a panic of the parser into an error.
fn catch_panics<T>(path: &Path, read: impl FnOnce() -> Result<T, DataError>) -> Result<T, DataError> {
    guarded(read).unwrap_or_else(|panic| Err(malformed(path, format!("its pages are damaged ({panic})"))))
}

fn malformed(path: &Path, reason: impl ToString) -> DataError {
    let reason = reason.to_string().replace('\n', " ");
    DataError::Malformed { path: path.to_owned(), format: "Parquet", reason }
}

/// Opens a file and checks the offsets and sizes of its columns.
fn open_reader(file: File, path: &Path) -> Result<SerializedFileReader<File>, DataError> {
    let reader = SerializedFileReader::new(file).map_err(|error| malformed(path, error))?;
    // The parser takes these to be non-negative and panics otherwise.
    let negative = reader.metadata().row_groups().iter().flat_map(RowGroupMetaData::columns).any(|column| {
        column.dictionary_page_offset().unwrap_or(0) < 0
            || column.data_page_offset() < 0
            || column.compressed_size() < 0
    });
    if negative {
        return Err(malformed(path, "a column has a negative offset or size"));
    }
    Ok(reader)
}

/// Returns the names of the columns, which must be distinct; that of a nested one is its path.
fn column_names(reader: &SerializedFileReader<File>, path: &Path) -> Result<Vec<String>, DataError> {
    let schema = reader.metadata().file_metadata().schema_descr();
    let names: Vec<String> = schema.columns().iter().map(|column| column.path().string()).collect();
    match first_duplicate(&names) {
        Some(name) => Err(malformed(path, format!("two columns are named '{name}'"))),
        None => Ok(names),
    }
}

fn read_columns(file: File, path: &Path, options: &ReadOptions) -> Result<Dataset, DataError> {
    let bad = |error: ParquetError| malformed(path, error);
    let reader = open_reader(file, path)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let names = column_names(&reader, path)?;
    let find = |wanted: &Option<String>| {
        wanted.as_ref().map(|wanted| find_column(wanted, Some(&names), names.len(), path)).transpose()
    };
    let (label, id) = (find(&options.label)?, find(&options.id)?);
    let mut columns: Vec<Vec<f64>> = Vec::new();
    let (mut texts, mut ids): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    let mut kept = Vec::new();
    for (index, descriptor) in schema.columns().iter().enumerate() {
        let is_wanted = options.wants(&names[index], &names);
        if ![label, id].contains(&Some(index)) && !is_wanted {
            continue;
        }
        let unsupported = |dtype: String| DataError::UnsupportedType {
            path: path.to_owned(),
            array: format!("column '{}'", names[index]),
            dtype,
        };
        if descriptor.max_rep_level() > 0 || descriptor.max_def_level() > 1 {
            return Err(unsupported("nested values".to_owned()));
        }
        if id == Some(index) {
            ids = texts::read_column(&reader, path, index)?;
            if label != id {
                continue;
            }
        }
        if label == Some(index) {
            texts = texts::read_column(&reader, path, index)?;
            continue;
        }
        let Some(divisor) = numeric_divisor(descriptor) else {
            return Err(unsupported(type_name(descriptor)));
        };
        let mut values = Vec::new();
        for group in 0..reader.num_row_groups() {
            let group = reader.get_row_group(group).map_err(bad)?;
            let rows =
                usize::try_from(group.metadata().num_rows()).map_err(|error| malformed(path, error))?;
            let column = group.get_column_reader(index).map_err(bad)?;
            read_numbers(column, rows, descriptor, &mut values).map_err(bad)?;
        }
        values.iter_mut().for_each(|x| *x /= divisor);
        columns.push(values);
        kept.push(names[index].clone());
    }
    let rows = columns.first().map_or(0, Vec::len);
    if columns.iter().any(|column| column.len() != rows) {
        return Err(malformed(path, "its columns differ in length"));
    }
    let mut builder = DatasetBuilder::new(path, columns.len(), Some(kept), options.missing);
    for row in 0..rows {
        columns.iter().try_for_each(|column| builder.push(column[row]))?;
    }
    let mut dataset = builder.finish()?;
    if label.is_some() {
        dataset = dataset.with_labels(Labels::from_texts(texts))?;
    }
    if let Some(id) = id {
        dataset = dataset.with_row_ids(&names[id], ids)?;
    }
    Ok(dataset)
}

/// Whether any column other than the label and the row ids holds booleans.
pub(crate) fn has_booleans(file: File, path: &Path, options: &ReadOptions) -> Result<bool, DataError> {
    catch_panics(path, || any_boolean(file, path, options))
}

fn any_boolean(file: File, path: &Path, options: &ReadOptions) -> Result<bool, DataError> {
    let reader = open_reader(file, path)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let names = column_names(&reader, path)?;
    let non_features = [&options.label, &options.id].into_iter().flatten();
    let non_features = non_features.map(|name| find_column(name, Some(&names), names.len(), path));
    let non_features = non_features.collect::<Result<Vec<_>, _>>()?;
    let mut others = schema.columns().iter().enumerate().filter(|(index, _)| !non_features.contains(index));
    Ok(others.any(|(_, column)| column.physical_type() == PhysicalType::BOOLEAN))
}

/// Returns what stored values are divided by to get numbers; `None` if the column is not numeric.
fn numeric_divisor(column: &ColumnDescriptor) -> Option<f64> {
    let decimal = |scale: i32| 10f64.powi(scale);
    match (column.physical_type(), column.logical_type_ref(), column.converted_type()) {
        // The type of an all-null column.
        (PhysicalType::INT32, Some(LogicalType::Unknown), _) => Some(1.0),
        (PhysicalType::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Decimal { .. }), _)
        | (PhysicalType::FIXED_LEN_BYTE_ARRAY, None, ConvertedType::DECIMAL) => {
            Some(decimal(column.type_scale()))
        }
        (PhysicalType::BOOLEAN | PhysicalType::FLOAT | PhysicalType::DOUBLE, ..) => Some(1.0),
        (PhysicalType::FIXED_LEN_BYTE_ARRAY, Some(LogicalType::Float16), _) => Some(1.0),
        (PhysicalType::INT32 | PhysicalType::INT64, Some(LogicalType::Decimal { .. }), _)
        | (PhysicalType::INT32 | PhysicalType::INT64, None, ConvertedType::DECIMAL) => {
            Some(decimal(column.type_scale()))
        }
        (PhysicalType::INT32 | PhysicalType::INT64, Some(LogicalType::Integer { .. }), _) => Some(1.0),
        (
            PhysicalType::INT32 | PhysicalType::INT64,
            None,
            ConvertedType::NONE
            | ConvertedType::INT_8
            | ConvertedType::INT_16
            | ConvertedType::INT_32
            | ConvertedType::INT_64
            | ConvertedType::UINT_8
            | ConvertedType::UINT_16
            | ConvertedType::UINT_32
            | ConvertedType::UINT_64,
        ) => Some(1.0),
        _ => None,
    }
}

fn type_name(column: &ColumnDescriptor) -> String {
    match column.logical_type_ref() {
        Some(LogicalType::String) => "text".to_owned(),
        Some(logical) => format!("{logical:?}").split([' ', '(']).next().unwrap_or_default().to_lowercase(),
        None if column.physical_type() == PhysicalType::BYTE_ARRAY => "text or bytes".to_owned(),
        None => column.physical_type().to_string().to_lowercase(),
    }
}

fn is_unsigned(column: &ColumnDescriptor) -> bool {
    match column.logical_type_ref() {
        Some(LogicalType::Integer(integer)) => !integer.is_signed,
        _ => matches!(
            column.converted_type(),
            ConvertedType::UINT_8 | ConvertedType::UINT_16 | ConvertedType::UINT_32 | ConvertedType::UINT_64
        ),
    }
}

fn read_numbers(
    column: ColumnReader,
    rows: usize,
    descriptor: &ColumnDescriptor,
    values: &mut Vec<f64>,
) -> Result<(), ParquetError> {
    let unsigned = is_unsigned(descriptor);
    let optional = descriptor.max_def_level() > 0;
    match column {
        ColumnReader::BoolColumnReader(r) => {
            read_each_number(r, rows, optional, |x| f64::from(u8::from(*x)), values)
        }
        ColumnReader::Int32ColumnReader(r) if unsigned => {
            read_each_number(r, rows, optional, |x| f64::from(*x as u32), values)
        }
        ColumnReader::Int32ColumnReader(r) => read_each_number(r, rows, optional, |x| f64::from(*x), values),
        ColumnReader::Int64ColumnReader(r) if unsigned => {
            read_each_number(r, rows, optional, |x| *x as u64 as f64, values)
        }
        ColumnReader::Int64ColumnReader(r) => read_each_number(r, rows, optional, |x| *x as f64, values),
        ColumnReader::FloatColumnReader(r) => read_each_number(r, rows, optional, |x| f64::from(*x), values),
        ColumnReader::DoubleColumnReader(r) => read_each_number(r, rows, optional, |x| *x, values),
        ColumnReader::FixedLenByteArrayColumnReader(r) => {
            let is_half = matches!(descriptor.logical_type_ref(), Some(LogicalType::Float16));
            let value = |x: &parquet::data_type::FixedLenByteArray| match x.data() {
                [low, high] if is_half => half(u16::from_le_bytes([*low, *high])),
                bytes => big_endian(bytes),
            };
            read_each_number(r, rows, optional, value, values)
        }
        _ => Err(ParquetError::General("a column of numbers has an unexpected physical type".to_owned())),
    }
}

/// Converts a big-endian whole number in two's complement, as decimals are stored.
fn big_endian(bytes: &[u8]) -> f64 {
    let Some((first, rest)) = bytes.split_first() else { return 0.0 };
    rest.iter().fold(f64::from(*first as i8), |sum, byte| 256.0 * sum + f64::from(*byte))
}

fn read_strings(
    column: ColumnReader,
    rows: usize,
    descriptor: &ColumnDescriptor,
    texts: &mut Vec<String>,
) -> Result<(), ParquetError> {
    let ColumnReader::ByteArrayColumnReader(reader) = column else {
        return Err(ParquetError::General("a column of text has an unexpected physical type".to_owned()));
    };
    for_each_value(reader, rows, descriptor.max_def_level() > 0, |value: Option<&ByteArray>| {
        texts.push(value.map(|v| String::from_utf8_lossy(v.data()).into_owned()).unwrap_or_default());
    })
}

/// Reads integers as text.
fn read_integers(
    column: ColumnReader,
    rows: usize,
    descriptor: &ColumnDescriptor,
    texts: &mut Vec<String>,
) -> Result<(), ParquetError> {
    let ColumnReader::Int64ColumnReader(reader) = column else {
        return Err(ParquetError::General("a column of numbers has an unexpected physical type".to_owned()));
    };
    let unsigned = is_unsigned(descriptor);
    let text = |x: &i64| if unsigned { (*x as u64).to_string() } else { x.to_string() };
    for_each_value(reader, rows, descriptor.max_def_level() > 0, |value| {
        texts.push(value.map(text).unwrap_or_default());
    })
}

fn read_each_number<T: DataType>(
    reader: ColumnReaderImpl<T>,
    rows: usize,
    optional: bool,
    number: impl Fn(&T::T) -> f64,
    values: &mut Vec<f64>,
) -> Result<(), ParquetError> {
    for_each_value(reader, rows, optional, |value| values.push(value.map_or(f64::NAN, &number)))
}

/// Calls `take` for each row, with `None` for a null.
fn for_each_value<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    rows: usize,
    optional: bool,
    mut take: impl FnMut(Option<&T::T>),
) -> Result<(), ParquetError> {
    let mut left = rows;
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    while left > 0 {
        levels.clear();
        values.clear();
        let levels_of = optional.then_some(&mut levels);
        let (count, ..) = reader.read_records(left.min(BATCH), levels_of, None, &mut values)?;
        if count == 0 {
            return Err(ParquetError::General(format!("a column ends {left} rows early")));
        }
        if optional {
            let mut present = values.iter();
            for level in levels.iter().take(count) {
                take(if *level > 0 { present.next() } else { None });
            }
        } else {
            values.iter().take(count).for_each(|value| take(Some(value)));
        }
        left = left.saturating_sub(count);
    }
    Ok(())
}

/// Writes one column of 32-bit floats per feature (`x0`, `x1`, ... if there are no names), and the
/// labels as text.
pub(crate) fn write(dataset: &Dataset, out: impl Write + Send) -> io::Result<()> {
    write_columns(dataset, out).map_err(io::Error::other)
}

fn write_columns(dataset: &Dataset, out: impl Write + Send) -> Result<(), ParquetError> {
    // Every column has an entry in the file, even without rows.
    if dataset.features() > MAX_COLUMNS {
        let features = dataset.features();
        return Err(ParquetError::General(format!(
            "{features} columns are too many for a Parquet file: the maximum is {MAX_COLUMNS}"
        )));
    }
    let names: Vec<String> = match dataset.names() {
        Some(names) => names.to_vec(),
        None => (0..dataset.features()).map(|i| format!("x{i}")).collect(),
    };
    let mut fields = Vec::new();
    for name in &names {
        let field =
            Type::primitive_type_builder(name, PhysicalType::FLOAT).with_repetition(Repetition::REQUIRED);
        fields.push(Arc::new(field.build()?));
    }
    if dataset.labels().is_some() {
        let name = crate::labels::column_name(&names);
        let field = Type::primitive_type_builder(&name, PhysicalType::BYTE_ARRAY)
            .with_logical_type(Some(LogicalType::String))
            .with_repetition(Repetition::REQUIRED);
        fields.push(Arc::new(field.build()?));
    }
    let schema = Type::group_type_builder("schema").with_fields(fields).build()?;
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for feature in 0..dataset.features() {
        let values: Vec<f32> =
            dataset.values().iter().skip(feature).step_by(dataset.features()).copied().collect();
        if let Some(mut column) = group.next_column()? {
            column.typed::<FloatType>().write_batch(&values, None, None)?;
            column.close()?;
        }
    }
    if let Some(labels) = dataset.labels() {
        let texts: Vec<ByteArray> =
            (0..labels.len()).map(|row| ByteArray::from(labels.name_of(row).unwrap_or_default())).collect();
        if let Some(mut column) = group.next_column()? {
            column.typed::<ByteArrayType>().write_batch(&texts, None, None)?;
            column.close()?;
        }
    }
    group.close()?;
    writer.close()?;
    Ok(())
}
