//! Reading: by the ending of a name, from a stream, or a built-in set.

/// How a file is read. The default finds everything out.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// The byte between cells of a CSV file; found out where there is none.
    pub delimiter: Option<u8>,
    /// Whether the first row of a CSV file holds names; found out where there is none.
    pub header: Option<bool>,
    /// The column (by name, else by number from 1) or the array that holds labels instead of values.
    pub label: Option<String>,
    /// The array of an `.npz` file that holds the rows.
    pub array: Option<String>,
    /// What becomes of missing values.
    pub missing: Missing,
}

/// What becomes of missing values: empty cells, `NA`, `NaN`, null.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Missing {
    /// They are an error that says where the first one is and how many there are.
    #[default]
    Reject,
    /// They are kept as NaN.
    Keep,
}
