//! `--validation`: a share of the rows, or rows of their own.

use std::str::FromStr;

/// What a training is validated on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Validation {
    /// A share of the rows, drawn at random.
    Share(f64),
    /// All rows from this place.
    Rows(String),
}

impl Validation {
    /// The share of the training rows.
    pub(crate) fn share(&self) -> f64 {
        match self {
            Validation::Share(share) => *share,
            Validation::Rows(_) => 0.0,
        }
    }

    /// Where rows of their own come from.
    pub(crate) fn location(&self) -> Option<&str> {
        match self {
            Validation::Share(_) => None,
            Validation::Rows(location) => Some(location),
        }
    }
}

impl FromStr for Validation {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Validation, Self::Err> {
        Ok(text.parse().map_or_else(|_| Validation::Rows(text.to_owned()), Validation::Share))
    }
}
