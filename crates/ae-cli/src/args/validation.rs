//! `--validation`: a fraction of the rows, or a separate file of rows.

use std::str::FromStr;

/// The rows to validate on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Validation {
    /// A fraction of the training rows, chosen at random.
    Fraction(f64),
    /// All rows at this location.
    Rows(String),
}

impl Validation {
    /// The fraction of the training rows to hold out; 0 if separate rows are given.
    pub(crate) fn fraction(&self) -> f64 {
        match self {
            Validation::Fraction(fraction) => *fraction,
            Validation::Rows(_) => 0.0,
        }
    }

    /// The location of separate validation rows.
    pub(crate) fn location(&self) -> Option<&str> {
        match self {
            Validation::Fraction(_) => None,
            Validation::Rows(location) => Some(location),
        }
    }
}

impl FromStr for Validation {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Validation, Self::Err> {
        Ok(text.parse().map_or_else(|_| Validation::Rows(text.to_owned()), Validation::Fraction))
    }
}
