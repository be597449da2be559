//! What can go wrong, with the numbers.

use std::path::PathBuf;

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
    /// There is nothing to work with.
    #[error("there are no values: {rows} rows of {features} features")]
    Empty {
        /// Rows there are.
        rows: usize,
        /// Features of each.
        features: usize,
    },
    /// Rows of another width than those they go with.
    #[error("rows of {got} features, but {expected} are needed")]
    Width {
        /// Features that there should be.
        expected: usize,
        /// Features that there are.
        got: usize,
    },
    /// Another number of values than what they go with has.
    #[error("{got} {what}, but {expected} are needed")]
    Count {
        /// What there is a wrong number of.
        what: &'static str,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        got: usize,
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
    /// Classes do not fit the rows.
    #[error("{labels} labels for {rows} rows: each row needs one below {classes}")]
    Classes {
        /// Rows.
        rows: usize,
        /// Labels there are.
        labels: usize,
        /// Classes there are.
        classes: usize,
    },
    /// A decomposition found no solution, which features that are constant can cause, or copies of others.
    #[error("the covariance could not be decomposed: do all features vary, and is none made of others?")]
    NoConvergence,
    /// A search for the best parameters did not get there, which a small penalty can cause.
    #[error(
        "the classifier has not converged after {steps} steps: the largest partial derivative is {gradient:e}; a smaller C would help"
    )]
    NotConverged {
        /// Steps made.
        steps: usize,
        /// The largest partial derivative.
        gradient: f64,
    },
    /// As many labels as scores are needed.
    #[error("{labels} labels for {scores} scores")]
    Labels {
        /// Labels there are.
        labels: usize,
        /// Scores there are.
        scores: usize,
    },
    /// Rows of one kind only cannot be told apart.
    #[error(
        "anomalies and other rows are needed, but there are {positives} anomalies and {negatives} others"
    )]
    OneClass {
        /// Anomalies there are.
        positives: usize,
        /// Other rows there are.
        negatives: usize,
    },
    /// A score is NaN, which has no place in an order.
    #[error("the score of row {} is NaN", .row.saturating_add(1))]
    NanScore {
        /// The row, counted from 0.
        row: usize,
    },
    /// There are no scores to find a threshold in.
    #[error("there are no scores")]
    NoScores,
    /// A share or a percentile that is none.
    #[error("{value} is out of range: {what} must be {allowed}")]
    Share {
        /// What it is.
        what: &'static str,
        /// What was given.
        value: f64,
        /// What would do.
        allowed: &'static str,
    },
    /// A setting of the detector that is out of range.
    #[error("{field} must be {allowed}")]
    Setting {
        /// The setting.
        field: &'static str,
        /// What would do.
        allowed: &'static str,
    },
    /// Neighbours that are not all there, or are so many that the measure has no scale.
    #[error("{neighbours} neighbours of {rows} rows: they must be at least 1 and at most {most}")]
    Neighbours {
        /// Neighbours asked for.
        neighbours: usize,
        /// Rows.
        rows: usize,
        /// The most there can be.
        most: usize,
    },
    /// A perplexity that the rows cannot have.
    #[error("perplexity {perplexity} of {rows} rows: it must be at least 1 and at most {}", .rows.saturating_sub(1))]
    Perplexity {
        /// Perplexity asked for.
        perplexity: f64,
        /// Rows.
        rows: usize,
    },
    /// More rows than every pair of them can be looked at.
    #[error("{rows} rows are too many to compare every pair of them: at most {most}; take a sample of them")]
    TooManyRows {
        /// Rows there are.
        rows: usize,
        /// The most there can be.
        most: usize,
    },
    /// Two tables that should be about the same rows are not.
    #[error("{got} rows of {what}, but there are {expected}")]
    RowCount {
        /// What there is a wrong number of.
        what: &'static str,
        /// Rows that there should be.
        expected: usize,
        /// Rows that there are.
        got: usize,
    },
    /// More rows are needed.
    #[error("{rows} rows are too few: at least {least} are needed")]
    TooFewRows {
        /// Rows there are.
        rows: usize,
        /// Rows that are needed.
        least: usize,
    },
    /// There is nothing to measure: every value is missing.
    #[error("every value is missing")]
    NoValues,
    /// Images are too small for the window of SSIM.
    #[error("SSIM needs images of at least {least}x{least} pixels, but these are {height}x{width}")]
    SmallImages {
        /// Lines of an image.
        height: usize,
        /// Pixels of a line.
        width: usize,
        /// The least there must be of either.
        least: usize,
    },
    /// A file of results is none, or is damaged.
    #[error("{}: line {line}: {what}", .path.display())]
    Results {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there, with the column's name where it is one.
        what: String,
    },
    /// The model could not be trained or used.
    #[error(transparent)]
    Model(#[from] ae_model::Error),
}
