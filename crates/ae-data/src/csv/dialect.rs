//! How numbers and missing values are written in a file, and these cells as they usually are.

use std::borrow::Cow;
use std::path::Path;

use crate::error::DataError;
use crate::read::ReadOptions;
use crate::text::{Parsed, looks_numeric, parse};

/// How numbers and missing values are written.
pub(super) struct Dialect<'a> {
    decimal: u8,
    thousands: Option<u8>,
    missing_texts: &'a [String],
    /// Those of the texts that are numbers.
    missing_numbers: Vec<f32>,
}

impl<'a> Dialect<'a> {
    /// The dialect that the options describe.
    ///
    /// # Errors
    /// [`DataError::Separators`] if one character would have two meanings.
    pub(super) fn new(options: &'a ReadOptions, path: &Path) -> Result<Dialect<'a>, DataError> {
        let (decimal, thousands) = (options.decimal.unwrap_or(b'.'), options.thousands);
        if thousands == Some(decimal) {
            return Err(DataError::Separators { path: path.to_owned(), separator: char::from(decimal) });
        }
        let missing_texts = options.missing_texts.as_slice();
        let mut dialect = Dialect { decimal, thousands, missing_texts, missing_numbers: Vec::new() };
        let numbers = missing_texts.iter().filter_map(|text| {
            let texts = [dialect.with_point(text.as_bytes()), Some(text.clone().into_bytes())];
            texts.into_iter().flatten().find_map(|text| number(&text))
        });
        dialect.missing_numbers = numbers.collect();
        Ok(dialect)
    }

    /// Whether commas are decimal, so that they separate no cells.
    pub(super) fn has_decimal_comma(&self) -> bool {
        self.decimal == b','
    }

    /// The cell with a decimal point, without separators between thousands, and empty if it is missing.
    /// `None` for a number whose point is neither decimal nor between thousands.
    pub(super) fn plain<'c>(&self, cell: &'c [u8]) -> Option<Cow<'c, [u8]>> {
        let has_notation = self.decimal != b'.' || self.thousands.is_some();
        if !has_notation && self.missing_texts.is_empty() {
            return Some(Cow::Borrowed(cell));
        }
        let with_point = if has_notation { self.with_point(cell).map(Cow::Owned) } else { None };
        let is_plain = with_point.is_none();
        let plain = with_point.unwrap_or(Cow::Borrowed(cell));
        if self.is_missing(cell, &plain) {
            return Some(Cow::Borrowed(b""));
        }
        let has_other_point =
            is_plain && self.decimal != b'.' && cell.contains(&b'.') && number(cell).is_some();
        (!has_other_point).then_some(plain)
    }

    /// Whether the cell is not text.
    pub(super) fn looks_numeric(&self, cell: &[u8]) -> bool {
        looks_numeric(self.plain(cell).as_deref().unwrap_or(cell))
    }

    fn is_missing(&self, cell: &[u8], plain: &[u8]) -> bool {
        self.missing_texts.iter().any(|text| cell.eq_ignore_ascii_case(text.as_bytes()))
            || !self.missing_numbers.is_empty()
                && number(plain).is_some_and(|x| self.missing_numbers.contains(&x))
    }

    /// The cell with a decimal point and without separators between thousands, if it is a number and has
    /// the decimal separator or these.
    fn with_point(&self, cell: &[u8]) -> Option<Vec<u8>> {
        let mut parts = cell.splitn(2, |byte| *byte == self.decimal);
        let (whole, fraction) = (parts.next()?, parts.next());
        let digits = whole.strip_prefix(b"-").or_else(|| whole.strip_prefix(b"+")).unwrap_or(whole);
        let is_grouped = self.thousands.is_some_and(|separator| {
            let mut groups = digits.split(|byte| *byte == separator);
            let first = groups.next().unwrap_or_default();
            digits.contains(&separator)
                && (1..=3).contains(&first.len())
                && groups.all(|group| group.len() == 3)
        });
        let mut plain: Vec<u8> =
            whole.iter().copied().filter(|byte| !is_grouped || Some(*byte) != self.thousands).collect();
        if fraction.is_none() && !is_grouped || plain.contains(&b'.') {
            return None;
        }
        if let Some(fraction) = fraction {
            plain.push(b'.');
            plain.extend_from_slice(fraction);
        }
        number(&plain).map(|_| plain)
    }
}

/// The number in a cell with a decimal point, infinite if it is too large.
fn number(cell: &[u8]) -> Option<f32> {
    match parse(cell) {
        Parsed::Number(x) => Some(x),
        Parsed::TooLarge => Some(f32::INFINITY),
        Parsed::Missing | Parsed::Text => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(decimal: u8, thousands: Option<u8>, missing: &[&str], cell: &str) -> Option<String> {
        let options = ReadOptions {
            decimal: Some(decimal),
            thousands,
            missing_texts: missing.iter().map(|text| (*text).to_owned()).collect(),
            ..ReadOptions::default()
        };
        let dialect = Dialect::new(&options, Path::new("t.csv")).unwrap();
        dialect.plain(cell.as_bytes()).map(|cell| String::from_utf8(cell.into_owned()).unwrap())
    }

    #[test]
    fn numbers_get_a_decimal_point() {
        for (decimal, thousands, cell, expected) in [
            (b',', None, "50,95", "50.95"),
            (b',', None, "-0,5e3", "-0.5e3"),
            (b',', None, "7", "7"),
            (b',', None, "1,2,3", "1,2,3"),
            (b',', None, "Aue, West", "Aue, West"),
            (b',', None, "01.05.2024", "01.05.2024"),
            (b',', Some(b'.'), "1.234,50", "1234.50"),
            (b',', Some(b'.'), "-1.234.567", "-1234567"),
            (b',', Some(b'.'), "1.2,5", "1.2,5"),
            (b',', Some(b' '), "12 345,5", "12345.5"),
            (b'.', Some(b','), "148,332.29", "148332.29"),
            (b'.', Some(b','), "48332.29", "48332.29"),
            (b'.', Some(b','), "1,5", "1,5"),
            (b'.', Some(b','), "Aue,Ost", "Aue,Ost"),
        ] {
            assert_eq!(plain(decimal, thousands, &[], cell).as_deref(), Some(expected), "{cell}");
        }
    }

    /// Such a point could be decimal or between thousands.
    #[test]
    fn points_beside_decimal_commas_are_refused() {
        assert_eq!(plain(b',', None, &[], "1.234"), None);
        assert_eq!(plain(b',', Some(b'.'), &[], "50.95"), None);
        assert_eq!(plain(b',', Some(b'.'), &[], "1.234").as_deref(), Some("1234"));
    }

    #[test]
    fn missing_values_are_texts_or_numbers() {
        for (cell, is_missing) in [
            ("-999", true),
            ("-999,0", true),
            ("Unknown", true),
            ("-99", false),
            ("-999x", false),
            ("999", false),
        ] {
            let found = plain(b',', None, &["-999", "unknown"], cell).unwrap();
            assert_eq!(found.is_empty(), is_missing, "{cell}");
        }
        assert_eq!(plain(b'.', None, &["-999"], "-999.00").as_deref(), Some(""));
    }

    #[test]
    fn separators_must_differ() {
        let options = ReadOptions { thousands: Some(b'.'), ..ReadOptions::default() };
        let error = Dialect::new(&options, Path::new("t.csv")).err().unwrap().to_string();
        assert_eq!(error, "t.csv: '.' cannot separate both decimals and thousands");
    }
}
