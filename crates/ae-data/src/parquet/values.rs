//! The types of columns, and columns of text as values of these types.

use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as PhysicalType};
use parquet::schema::types::ColumnDescriptor;

use super::texts::{TimeEncoding, is_string};
use super::{is_unsigned, numeric_divisor};
use crate::schema::{TimeFormat, parse_time};
use crate::stored_type::{MAX_PRECISION, StoredType, StoredUnit, integer_range};
use crate::table::Table;
use crate::text::{Parsed, is_missing, parse, parse_boolean};

const SECONDS_PER_DAY: i64 = 86_400;

/// How the file stores a column; `None` if its values could not be written like that again.
pub(super) fn stored_type(column: &ColumnDescriptor) -> Option<StoredType> {
    if let Some(TimeEncoding { seconds, format }) = TimeEncoding::of(column) {
        let unit = match seconds {
            (SECONDS_PER_DAY, _) => return Some(StoredType::Date),
            (_, 1_000) => StoredUnit::Millis,
            (_, 1_000_000) => StoredUnit::Micros,
            _ => StoredUnit::Nanos,
        };
        return Some(StoredType::Timestamp { unit, utc: format == TimeFormat::Utc });
    }
    if is_string(column) {
        return Some(StoredType::Text);
    }
    numeric_divisor(column)?;
    let is_decimal = matches!(column.logical_type_ref(), Some(LogicalType::Decimal { .. }))
        || column.converted_type() == ConvertedType::DECIMAL;
    match column.physical_type() {
        _ if is_decimal => {
            let digits = |digits: i32| u8::try_from(digits).ok().filter(|digits| *digits <= MAX_PRECISION);
            let (precision, scale) = (digits(column.type_precision())?, digits(column.type_scale())?);
            Some(StoredType::Decimal { precision, scale }).filter(|stored| stored.is_valid())
        }
        PhysicalType::BOOLEAN => Some(StoredType::Boolean),
        PhysicalType::DOUBLE => Some(StoredType::Float64),
        PhysicalType::FLOAT | PhysicalType::FIXED_LEN_BYTE_ARRAY => Some(StoredType::Float32),
        // All of its values are null.
        _ if matches!(column.logical_type_ref(), Some(LogicalType::Unknown)) => None,
        _ => Some(StoredType::Integer { bits: integer_bits(column), signed: !is_unsigned(column) }),
    }
}

fn integer_bits(column: &ColumnDescriptor) -> u8 {
    match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Integer(integer)), _) if matches!(integer.bit_width, 8 | 16 | 32) => {
            integer.bit_width.unsigned_abs()
        }
        (None, ConvertedType::INT_8 | ConvertedType::UINT_8) => 8,
        (None, ConvertedType::INT_16 | ConvertedType::UINT_16) => 16,
        _ if column.physical_type() == PhysicalType::INT32 => 32,
        _ => 64,
    }
}

/// A column to write.
#[derive(Debug, PartialEq)]
pub(super) struct TypedColumn {
    pub(super) values: ColumnValues,
    pub(super) logical: Option<LogicalType>,
}

/// The cells of a column; `None` where they are missing.
#[derive(Debug, PartialEq)]
pub(super) enum ColumnValues {
    Booleans(Vec<Option<bool>>),
    Integers32(Vec<Option<i32>>),
    Integers(Vec<Option<i64>>),
    Floats(Vec<Option<f32>>),
    Numbers(Vec<Option<f64>>),
    Texts,
}

impl ColumnValues {
    pub(super) fn physical_type(&self) -> PhysicalType {
        match self {
            ColumnValues::Booleans(_) => PhysicalType::BOOLEAN,
            ColumnValues::Integers32(_) => PhysicalType::INT32,
            ColumnValues::Integers(_) => PhysicalType::INT64,
            ColumnValues::Floats(_) => PhysicalType::FLOAT,
            ColumnValues::Numbers(_) => PhysicalType::DOUBLE,
            ColumnValues::Texts => PhysicalType::BYTE_ARRAY,
        }
    }
}

/// Converts the texts of a column; `None` if one that is not missing cannot be converted.
fn all<'a, T>(
    texts: impl Iterator<Item = &'a str>,
    value: impl Fn(&str) -> Option<T>,
) -> Option<Vec<Option<T>>> {
    texts.map(|text| if is_missing(text) { Some(None) } else { value(text).map(Some) }).collect()
}

impl TypedColumn {
    /// Converts a column to the type that it is stored as, if all of its known cells are values of it,
    /// else to the type that they look like.
    pub(super) fn of(table: &Table, column: usize) -> TypedColumn {
        let stored = table.stored_type(column).and_then(|stored| TypedColumn::stored(table, column, stored));
        stored.unwrap_or_else(|| TypedColumn::inferred(table, column))
    }

    fn text() -> TypedColumn {
        TypedColumn { values: ColumnValues::Texts, logical: Some(LogicalType::String) }
    }

    fn stored(table: &Table, column: usize, stored: StoredType) -> Option<TypedColumn> {
        let texts = || table.column(column);
        let (values, logical) = match stored {
            StoredType::Boolean => (ColumnValues::Booleans(all(texts(), parse_boolean)?), None),
            StoredType::Float32 => (ColumnValues::Floats(all(texts(), |text| text.parse().ok())?), None),
            StoredType::Float64 => (ColumnValues::Numbers(all(texts(), |text| text.parse().ok())?), None),
            StoredType::Integer { bits, signed } => {
                let range = integer_range(bits, signed);
                let number = |text: &str| text.parse().ok().filter(|x: &i128| range.contains(x));
                let logical = LogicalType::integer(i8::try_from(bits).ok()?, signed);
                // Unsigned numbers are stored as the signed ones with the same bits.
                let values = if bits <= 32 {
                    ColumnValues::Integers32(all(texts(), |text| Some(number(text)? as i32))?)
                } else {
                    ColumnValues::Integers(all(texts(), |text| Some(number(text)? as i64))?)
                };
                (values, Some(logical))
            }
            StoredType::Decimal { precision, scale } => {
                let cells = all(texts(), |text| scaled(text, precision, scale))?;
                let logical = LogicalType::decimal(scale.into(), precision.into());
                (ColumnValues::Integers(cells), Some(logical))
            }
            StoredType::Date => {
                let days = |text: &str| Some(parse_time(text, TimeFormat::Date)?.div_euclid(SECONDS_PER_DAY));
                let cells = all(texts(), |text| days(text).and_then(|days| i32::try_from(days).ok()))?;
                (ColumnValues::Integers32(cells), Some(LogicalType::Date))
            }
            StoredType::Timestamp { unit, utc } => {
                let (unit, digits) = match unit {
                    StoredUnit::Millis => (TimeUnit::MILLIS, 3),
                    StoredUnit::Micros => (TimeUnit::MICROS, 6),
                    StoredUnit::Nanos => (TimeUnit::NANOS, 9),
                };
                let cells = all(texts(), |text| count(text, digits))?;
                (ColumnValues::Integers(cells), Some(LogicalType::timestamp(utc, unit)))
            }
            StoredType::Text => return Some(TypedColumn::text()),
        };
        Some(TypedColumn { values, logical })
    }

    /// Converts a column to numbers if these read back as they are written: not text, not codes such as
    /// `007`, and not whole numbers that a double would show with other digits.
    fn inferred(table: &Table, column: usize) -> TypedColumn {
        // A column of only missing cells could hold anything; it is written as doubles.
        let whole = |text: &str| text.parse().ok().filter(|x: &i64| x.to_string() == text);
        let number = |text: &str| match parse(text.as_bytes()) {
            Parsed::Number(_) | Parsed::TooLarge => text.parse().ok().filter(|x| keeps_digits(text, *x)),
            Parsed::Missing | Parsed::Text => None,
        };
        let values = match all(table.column(column), whole) {
            Some(cells) if cells.iter().any(Option::is_some) => Some(ColumnValues::Integers(cells)),
            _ => all(table.column(column), number).map(ColumnValues::Numbers),
        };
        values.map_or_else(TypedColumn::text, |values| TypedColumn { values, logical: None })
    }
}

/// Parses a decimal number as a count of the units of its last digit.
fn scaled(text: &str, precision: u8, scale: u8) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let (fraction, scale) = (fraction.trim_end_matches('0'), usize::from(scale));
    let is_number = fraction.len() <= scale && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let count: i64 = format!("{whole}{fraction:0<scale$}").parse().ok().filter(|_| is_number)?;
    (count.unsigned_abs() < 10u64.checked_pow(precision.into())?).then_some(count)
}

/// Parses a point in time as a count from 1970, in units of this many digits of a second.
fn count(text: &str, digits: u32) -> Option<i64> {
    let width = digits as usize;
    let seconds = parse_time(text, TimeFormat::Utc)?;
    let fraction = text.get("2024-05-01T12:30:00".len()..).and_then(|rest| rest.strip_prefix('.'));
    let fraction = fraction.unwrap_or_default();
    let end = fraction.find(|c: char| !c.is_ascii_digit()).unwrap_or(fraction.len()).min(width);
    let parts: i64 = format!("{:0<width$}", &fraction[..end]).parse().ok()?;
    seconds.checked_mul(10i64.checked_pow(digits)?)?.checked_add(parts)
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

    fn of(cells: &[&str], stored: Option<StoredType>) -> TypedColumn {
        let mut table = Table::new(vec!["a".to_owned()], &[cells.to_vec()]).unwrap();
        table.set_stored_type(0, stored);
        TypedColumn::of(&table, 0)
    }

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
    fn columns_of_unknown_type_are_what_their_cells_are() {
        let of = |cells: &[&str]| of(cells, None).values;
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

    #[test]
    fn cells_are_values_of_the_stored_type() {
        let values = |cells: &[&str], stored| of(cells, Some(stored)).values;
        assert_eq!(
            values(&["false", "", "true"], StoredType::Boolean),
            ColumnValues::Booleans(vec![Some(false), None, Some(true)])
        );
        let byte = |signed| StoredType::Integer { bits: 8, signed };
        assert_eq!(
            values(&["-128", "127"], byte(true)),
            ColumnValues::Integers32(vec![Some(-128), Some(127)])
        );
        let word = StoredType::Integer { bits: 32, signed: false };
        assert_eq!(values(&["4294967295"], word), ColumnValues::Integers32(vec![Some(-1)]));
        let long = StoredType::Integer { bits: 64, signed: false };
        assert_eq!(values(&["18446744073709551615"], long), ColumnValues::Integers(vec![Some(-1)]));
        let decimal = StoredType::Decimal { precision: 4, scale: 2 };
        assert_eq!(
            values(&["1.5", "-0.25", "99.990", "7"], decimal),
            ColumnValues::Integers([150, -25, 9999, 700].map(Some).to_vec())
        );
        assert_eq!(
            values(&["1969-12-31", "2024-03-01"], StoredType::Date),
            ColumnValues::Integers32(vec![Some(-1), Some(19_783)])
        );
        let stamp = |unit| StoredType::Timestamp { unit, utc: true };
        assert_eq!(
            values(&["1969-12-31T23:59:59.5Z", "1970-01-01T00:00:01Z"], stamp(StoredUnit::Millis)),
            ColumnValues::Integers(vec![Some(-500), Some(1000)])
        );
        assert_eq!(
            values(&["1970-01-01 00:00:00.000000001"], stamp(StoredUnit::Nanos)),
            ColumnValues::Integers(vec![Some(1)])
        );
        assert_eq!(values(&["1", "2"], StoredType::Text), ColumnValues::Texts);
        // Where a cell is no value of the type, cells are what they look like.
        assert_eq!(values(&["128"], byte(true)), ColumnValues::Integers(vec![Some(128)]));
        assert_eq!(values(&["-1"], byte(false)), ColumnValues::Integers(vec![Some(-1)]));
        assert_eq!(values(&["1.5"], byte(true)), ColumnValues::Numbers(vec![Some(1.5)]));
        assert_eq!(values(&["1.005"], decimal), ColumnValues::Numbers(vec![Some(1.005)]));
        assert_eq!(values(&["100"], decimal), ColumnValues::Integers(vec![Some(100)]));
        assert_eq!(values(&["x"], StoredType::Date), ColumnValues::Texts);
    }
}
