//! How formats with typed columns store the values of a column.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// How a format with typed columns (Parquet) stores the values of a column. Texts of a table that fit it
/// are written in it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum StoredType {
    /// Truth values.
    Boolean,
    /// Whole numbers.
    Integer {
        /// Width: 8, 16, 32 or 64.
        bits: u8,
        /// Whether they may be negative.
        signed: bool,
    },
    /// Single-precision numbers.
    Float32,
    /// Double-precision numbers.
    Float64,
    /// Decimal numbers of at most 18 digits.
    Decimal {
        /// Maximum number of digits.
        precision: u8,
        /// Digits after the decimal point.
        scale: u8,
    },
    /// Days.
    Date,
    /// Points in time.
    Timestamp {
        /// What they are counted in.
        unit: StoredUnit,
        /// Whether they are in UTC, and not in an unknown local time.
        utc: bool,
    },
    /// Text.
    Text,
}

/// The unit of stored points in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StoredUnit {
    /// Thousandths of a second.
    Millis,
    /// Millionths of a second.
    Micros,
    /// Billionths of a second.
    Nanos,
}

/// Maximum number of digits of a 64-bit decimal number.
pub(crate) const MAX_PRECISION: u8 = 18;

impl StoredType {
    /// Whether widths and digits are those of a possible type.
    pub(crate) fn is_valid(self) -> bool {
        match self {
            StoredType::Integer { bits, .. } => matches!(bits, 8 | 16 | 32 | 64),
            StoredType::Decimal { precision, scale } => {
                (1..=MAX_PRECISION).contains(&precision) && scale <= precision
            }
            _ => true,
        }
    }

    /// Returns the nearest number that the type holds.
    pub(crate) fn clamp(self, x: f64) -> f64 {
        let StoredType::Integer { bits, signed } = self else { return x };
        let range = integer_range(bits, signed);
        let (low, high) = (*range.start() as f64, *range.end() as f64);
        // The largest 64-bit number is no double: it rounds to one that is too large.
        x.clamp(low, if bits > 32 { high.next_down() } else { high })
    }
}

/// The whole numbers of a valid width.
pub(crate) fn integer_range(bits: u8, signed: bool) -> RangeInclusive<i128> {
    let numbers = 1i128 << bits.min(64);
    if signed { -numbers / 2..=numbers / 2 - 1 } else { 0..=numbers - 1 }
}
