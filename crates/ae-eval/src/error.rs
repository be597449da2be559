//! What can go wrong, with the numbers.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// Values do not fill whole rows.
    #[error("{values} values are not whole rows of {features}")]
    Shape {
        /// Values there are.
        values: usize,
        /// Values of a row.
        features: usize,
    },
    /// The rows could not be read.
    #[error(transparent)]
    Data(#[from] ae_data::DataError),
    /// More components than rows or features allow.
    #[error("{wanted} components were asked for, but {rows} rows of {features} features have at most {most}")]
    Components {
        /// Components asked for.
        wanted: usize,
        /// Rows.
        rows: usize,
        /// Features.
        features: usize,
        /// The most there can be.
        most: usize,
    },
    /// Labels do not fit the rows.
    #[error("{labels} labels for {rows} rows: each row needs one below {classes}")]
    Labels {
        /// Rows.
        rows: usize,
        /// Labels there are.
        labels: usize,
        /// Classes there are.
        classes: usize,
    },
    /// A decomposition found no solution, which values that are not finite can cause, or features that are constant.
    #[error("the covariance could not be decomposed: are all values finite, and do the features vary?")]
    NoConvergence,
}
