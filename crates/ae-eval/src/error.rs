//! The error type.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The values do not fill whole rows.
    #[error("{values} values do not fill whole rows of {features}")]
    Shape {
        /// Number of values.
        values: usize,
        /// Values per row.
        features: usize,
    },
    /// There is no data.
    #[error("there are no values: {rows} rows of {features} features")]
    Empty {
        /// Number of rows.
        rows: usize,
        /// Features per row.
        features: usize,
    },
    /// Rows have the wrong number of features.
    #[error("expected rows of {expected} features, got {got}")]
    Width {
        /// The required number of features.
        expected: usize,
        /// The actual number of features.
        got: usize,
    },
    /// A slice has the wrong length.
    #[error("expected {expected} {what}, got {got}")]
    Count {
        /// What was counted.
        what: &'static str,
        /// The required number.
        expected: usize,
        /// The actual number.
        got: usize,
    },
    /// The rows could not be read.
    #[error(transparent)]
    Data(#[from] ae_data::DataError),
    /// More components than the rows or features allow.
    #[error("{wanted} components requested, but {rows} rows of {features} features have at most {max}")]
    Components {
        /// Number of components requested.
        wanted: usize,
        /// Number of rows.
        rows: usize,
        /// Number of features.
        features: usize,
        /// The maximum number of components.
        max: usize,
    },
    /// The class labels do not fit the rows.
    #[error("{labels} labels for {rows} rows: each row needs a label below {classes}")]
    Classes {
        /// Number of rows.
        rows: usize,
        /// Number of labels.
        labels: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A matrix decomposition failed, which constant features or copies of others can cause.
    #[error("the covariance could not be decomposed: a feature may be constant or a combination of others")]
    DecompositionFailed,
    /// The coordinates of t-SNE overflowed, which rows that are extremely far apart can cause.
    #[error("t-SNE diverged: a coordinate is not finite")]
    TsneDiverged,
    /// An optimization did not converge, which weak regularisation can cause.
    #[error(
        "the classifier did not converge in {steps} steps (largest partial derivative {gradient:e}); try a smaller C"
    )]
    NotConverged {
        /// Number of steps made.
        steps: usize,
        /// The largest partial derivative in magnitude.
        gradient: f64,
    },
    /// The numbers of labels and scores differ.
    #[error("{labels} labels for {scores} scores")]
    Labels {
        /// Number of labels.
        labels: usize,
        /// Number of scores.
        scores: usize,
    },
    /// All rows are of one kind, so there is nothing to tell apart.
    #[error(
        "both anomalies and other rows are needed, but there are {positives} anomalies and {negatives} others"
    )]
    OneClass {
        /// Number of anomalies.
        positives: usize,
        /// Number of other rows.
        negatives: usize,
    },
    /// A score is NaN, which cannot be ordered.
    #[error("the score of row {} is NaN", .row.saturating_add(1))]
    NanScore {
        /// Index of the row, from 0.
        row: usize,
    },
    /// There are no scores to derive a threshold from.
    #[error("there are no scores")]
    NoScores,
    /// A fraction or a percentile is out of range.
    #[error("{value} is out of range: {what} must be {allowed}")]
    FractionOutOfRange {
        /// What it is.
        what: &'static str,
        /// The value given.
        value: f64,
        /// The values allowed.
        allowed: &'static str,
    },
    /// A setting is out of range.
    #[error("{field} must be {allowed}")]
    InvalidSetting {
        /// The setting.
        field: &'static str,
        /// The values allowed.
        allowed: &'static str,
    },
    /// There are fewer neighbours than requested, or the measure is undefined for so many.
    #[error("{neighbours} neighbours are out of range: for {rows} rows the number must be from 1 to {max}")]
    Neighbours {
        /// Number of neighbours requested.
        neighbours: usize,
        /// Number of rows.
        rows: usize,
        /// The maximum number of neighbours.
        max: usize,
    },
    /// The perplexity is out of range for the number of rows.
    #[error("perplexity {perplexity} is out of range: for {rows} rows it must be from 1 to {}", .rows.saturating_sub(1))]
    Perplexity {
        /// The perplexity requested.
        perplexity: f64,
        /// Number of rows.
        rows: usize,
    },
    /// There are too many rows to compare all pairs of them.
    #[error("{rows} rows are too many to compare all pairs: the maximum is {max}; take a sample")]
    TooManyRows {
        /// Number of rows.
        rows: usize,
        /// The maximum number of rows.
        max: usize,
    },
    /// There are too many features for a matrix with a value for every pair of them.
    #[error("{features} features are too many for a matrix of all pairs of them: the maximum is {max}")]
    TooManyFeatures {
        /// Number of features.
        features: usize,
        /// The maximum number of features.
        max: usize,
    },
    /// Two tables of the same rows have different numbers of rows.
    #[error("expected {expected} rows of {what}, got {got}")]
    RowCount {
        /// The table with the wrong number of rows.
        what: &'static str,
        /// The required number of rows.
        expected: usize,
        /// The actual number of rows.
        got: usize,
    },
    /// There are too few rows.
    #[error("{rows} rows are too few: at least {min} are needed")]
    TooFewRows {
        /// Number of rows.
        rows: usize,
        /// The minimum number of rows.
        min: usize,
    },
    /// Every value is missing, so there is nothing to measure.
    #[error("every value is missing")]
    NoValues,
    /// The images are smaller than the window of SSIM.
    #[error("SSIM needs images of at least {min}x{min} pixels, but these are {height}x{width}")]
    SmallImages {
        /// Height of the images in pixels.
        height: usize,
        /// Width of the images in pixels.
        width: usize,
        /// The minimum of both.
        min: usize,
    },
    /// A results file is damaged or not a results file.
    #[error("{}: line {line}: {what}", .path.display())]
    Results {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there, including the name of the column if one is at fault.
        what: String,
    },
    /// The model could not be trained or used.
    #[error(transparent)]
    Model(#[from] ae_model::Error),
}

impl From<ae_model::ConfigError> for EvalError {
    fn from(error: ae_model::ConfigError) -> EvalError {
        EvalError::Model(error.into())
    }
}
