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
    /// The eigenvalue decomposition found no solution, which values that are not finite can cause.
    #[error("the eigenvalues of the covariance could not be found: are all values finite?")]
    NoConvergence,
}
