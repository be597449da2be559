//! Errors, with the numbers that explain them.

use std::path::PathBuf;

use ae_data::DataError;
use ae_kernels::IsaError;
use ae_kernels::par::PoolError;

/// An error of this crate.
///
/// Messages never repeat that of their [`source`](std::error::Error::source), so a program shows all of
/// them, joined by ": ": that of [`Error::File`] is a path, its source says what is wrong with the file.
///
/// ```
/// use std::error::Error;
///
/// let error = ae_model::Autoencoder::from_bytes(b"no model").unwrap_err();
/// let reason = error.source().ok_or("it has a source")?;
/// assert_eq!(error.to_string(), "invalid model");
/// assert!(reason.to_string().starts_with("not a readable model"));
/// # Ok::<(), &str>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of range.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The data source failed.
    #[error(transparent)]
    Data(#[from] DataError),
    /// `AE_ISA` names no available instruction set.
    #[error(transparent)]
    Isa(#[from] IsaError),
    /// The threads could not be started.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Rows, encodings or another input do not have the width that the model expects.
    #[error("the model expects {what} of {expected} values, but got {got}")]
    Width {
        /// What has the wrong width, such as "rows" or "encodings".
        what: &'static str,
        /// The width the model expects.
        expected: usize,
        /// The actual width.
        got: usize,
    },
    /// The columns are not those the model was trained on, or not in the same order.
    #[error(
        "column {} is '{got}' where the model has '{expected}': select the columns by name, in the model's order",
        .column.saturating_add(1)
    )]
    Names {
        /// The first column that differs, counted from 0.
        column: usize,
        /// Its name in the model.
        expected: String,
        /// Its name in the rows.
        got: String,
    },
    /// A given parameter is NaN or infinite.
    #[error("parameter {index} of layer {layer} is not a finite number")]
    Parameter {
        /// The layer, counted from 0.
        layer: usize,
        /// Its position in the layer's weights, row-major, followed by the bias.
        index: usize,
    },
    /// A model cannot be read from bytes or written to them.
    #[error("invalid model")]
    Bytes(#[source] FileErrorKind),
    /// There are no rows, or all of them are held out for validation.
    #[error("{}", no_rows(*.rows, *.validation))]
    NoRows {
        /// Number of rows in the source.
        rows: usize,
        /// Number of rows held out.
        validation: usize,
    },
    /// Every value of the training rows is missing.
    #[error("every value of the {rows} training rows is missing")]
    NoKnownValues {
        /// Number of training rows.
        rows: usize,
    },
    /// A row index is beyond the table.
    #[error("row index {index} is out of range for a table of {rows} rows")]
    RowIndex {
        /// The index, counted from 0.
        index: usize,
        /// Number of rows in the table.
        rows: usize,
    },
    /// A value is NaN or infinite.
    #[error("row {}, {}: {value} is not a finite number", .row.saturating_add(1), column_name(.column, .name))]
    NotFinite {
        /// The row, counted from 0.
        row: usize,
        /// The column, counted from 0.
        column: usize,
        /// Its name, if the source has names.
        name: Option<String>,
        /// The value.
        value: f32,
    },
    /// A value is outside `[0, 1]`, which the loss requires ([`crate::Loss::Bce`],
    /// [`crate::Loss::SigmoidMse`]), and no scaler is configured.
    #[error(
        "row {}, {}: {value} is not between 0 and 1, as the loss requires; a min-max scaler would bring it there",
        .row.saturating_add(1),
        column_name(.column, .name)
    )]
    OutsideUnitRange {
        /// The row, counted from 0.
        row: usize,
        /// The column, counted from 0.
        column: usize,
        /// Its name, if the source has names.
        name: Option<String>,
        /// The value.
        value: f32,
    },
    /// A value is outside the range that the model's existing scaler maps to `[0, 1]`, as the loss
    /// requires.
    #[error(
        "row {}, {}: {value} is not between {low} and {high}, which the model's scaler maps to 0 and 1, as the loss requires",
        .row.saturating_add(1),
        column_name(.column, .name)
    )]
    OutsideScalerRange {
        /// The row, counted from 0.
        row: usize,
        /// The column, counted from 0.
        column: usize,
        /// Its name, if the source has names.
        name: Option<String>,
        /// The value.
        value: f32,
        /// The value that is scaled to 0.
        low: f64,
        /// The value that is scaled to 1.
        high: f64,
    },
    /// A value is so far outside the range the scaler was fitted to that its squared error overflows, in
    /// a validation row (scaled, beyond 1e18), or its gradient, in rows for `partial_fit` (beyond
    /// 1e18, or 1e9 with Adam or AdamW and without clipping, which square it).
    #[error(
        "row {}, {}: {value:e} is so far outside the range of the training rows that its error or gradient overflows",
        .row.saturating_add(1),
        column_name(.column, .name)
    )]
    Overflow {
        /// The row, counted from 0.
        row: usize,
        /// The column, counted from 0.
        column: usize,
        /// Its name, if the source has names.
        name: Option<String>,
        /// The value.
        value: f32,
    },
    /// The range of a feature's values is wider than single precision can hold.
    #[error("{}: its values span {spread:e}, more than a 32-bit float can hold", column_name(.column, .name))]
    Spread {
        /// The column, counted from 0.
        column: usize,
        /// Its name, if the source has names.
        name: Option<String>,
        /// Largest minus smallest value.
        spread: f64,
    },
    /// The model is not variational: it does not define a distribution of its encodings.
    #[error("{what} needs a variational autoencoder, but this model's latent is {latent}")]
    NotVariational {
        /// What was requested.
        what: &'static str,
        /// The kind of latent the model has.
        latent: &'static str,
    },
    /// The model's latent does not select values by a threshold.
    #[error("a threshold needs a top-k latent over whole batches, but this model's latent is {latent}")]
    NoThreshold {
        /// The kind of latent the model has.
        latent: &'static str,
    },
    /// The target rows are invalid.
    #[error("the targets")]
    Targets(#[source] Box<Error>),
    /// Training diverges.
    #[error(
        "training diverged in epoch {epoch}, batch {batch}: the {quantity} is {loss:.4e}{}; try a learning rate below \
         {learning_rate}",
        lowest(.best)
    )]
    Diverged {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The batch, counted from 1.
        batch: usize,
        /// The learning rate.
        learning_rate: f64,
        /// What shows the divergence, such as "mean squared error" or "loss".
        quantity: &'static str,
        /// Its value there.
        loss: f64,
        /// Its lowest value before, if that is known.
        best: Option<f64>,
    },
    /// The error of a single update's rows overflows: earlier updates have made the parameters too
    /// large.
    #[error(
        "the error of the rows is {loss}: an earlier update has made the parameters too large; try a learning rate \
         below {learning_rate}"
    )]
    LossNotFinite {
        /// The learning rate.
        learning_rate: f64,
        /// The mean squared error or the mean loss, infinite or NaN.
        loss: f64,
    },
    /// The number of given layers does not match the configuration.
    #[error("the configuration has {expected} layers, encoder and decoder together, but {got} were given")]
    LayerCount {
        /// Number of layers in the configuration.
        expected: usize,
        /// Number of layers given.
        got: usize,
    },
    /// There is no such layer.
    #[error("there is no layer {index}: the model has {layers}, counted from 0")]
    NoSuchLayer {
        /// Its index, counted from 0.
        index: usize,
        /// Number of layers in the model.
        layers: usize,
    },
    /// A given layer has the wrong shape.
    #[error(
        "layer {layer} has weights [{}, {}] and {} biases, but [{}, {}] with {weights} values and {biases} biases were given",
        .expected.0, .expected.1, .expected.1, .got.0, .got.1
    )]
    LayerShape {
        /// The layer, counted from 0.
        layer: usize,
        /// Inputs and outputs of the layer.
        expected: (usize, usize),
        /// Inputs and outputs given.
        got: (usize, usize),
        /// Number of weights given.
        weights: usize,
        /// Number of biases given.
        biases: usize,
    },
    /// The layers of the model to start from do not match the configuration.
    #[error("the model to start from is {of_other}, but must have the layers of {wanted}")]
    OtherLayers {
        /// The architecture of the configuration.
        wanted: String,
        /// The architecture of the model to start from.
        of_other: String,
    },
    /// The weights of a decoder layer are not the transpose of those they are tied to.
    #[error(
        "layer {layer} is tied to layer {tied_to}: its weights must be the transpose of that layer's, but differ at \
         position {index}"
    )]
    NotTied {
        /// The layer, counted from 0, encoder first.
        layer: usize,
        /// The encoder layer it is tied to.
        tied_to: usize,
        /// The position in row-major order.
        index: usize,
    },
    /// The checkpoint belongs to another training run.
    #[error(
        "{}: the checkpoint belongs to another training run: {differs}; remove the file to start from the beginning",
        .path.display()
    )]
    OtherTraining {
        /// The file.
        path: PathBuf,
        /// How the two differ.
        differs: String,
    },
    /// A model file cannot be read or written.
    #[error("{}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        kind: FileErrorKind,
    },
}

impl Error {
    /// Wraps the error as one about the targets.
    pub(crate) fn of_targets(self) -> Error {
        Error::Targets(Box::new(self))
    }
}

/// The lowest value before divergence, as part of a message.
fn lowest(best: &Option<f64>) -> String {
    best.map_or_else(String::new, |best| format!(" after {best:.4e} at its lowest"))
}

fn column_name(column: &usize, name: &Option<String>) -> String {
    match name {
        Some(name) => format!("column '{name}'"),
        None => format!("column {}", column.saturating_add(1)),
    }
}

/// An invalid setting.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The value is not allowed.
    #[error("{field} is {value}, but must be {allowed}")]
    OutOfRange {
        /// The setting.
        field: &'static str,
        /// Its value.
        value: String,
        /// The values that are allowed.
        allowed: String,
    },
    /// A text is not the setting that it should spell.
    #[error("'{text}' is not {expected}")]
    Syntax {
        /// The text.
        text: String,
        /// What it should be, and what is wrong with it.
        expected: String,
    },
    /// A convolution or pooling does not fit its input.
    #[error("the layer '{layer}' cannot follow {chain}: {reason}")]
    Convolution {
        /// The layer, as written on the command line.
        layer: String,
        /// The image sizes before it, from the input on.
        chain: String,
        /// Why it does not fit.
        reason: String,
    },
}

/// What is wrong with a model file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileErrorKind {
    /// Reading or writing failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is not a safetensors file, or a damaged one.
    #[error("not a readable model: {0}")]
    Container(String),
    /// It is a safetensors file, but not a model.
    #[error("a safetensors file, but not a model of this program: its header lacks '{key}'")]
    NotAModel {
        /// The key missing in the header's metadata.
        key: &'static str,
    },
    /// It is a model, but not a checkpoint that training could resume from.
    #[error("a model, but not a training checkpoint")]
    NotACheckpoint,
    /// It is a model, but not an anomaly detector.
    #[error("a model, but not an anomaly detector")]
    NotADetector,
    /// Its contents are not what was written.
    #[error("damaged: its contents are not what was written")]
    Damaged,
    /// Its format version is unknown to this program; a later one may know it.
    #[error("format version {version}, but this program reads versions 1 to {supported}")]
    Version {
        /// The file's version.
        version: u64,
        /// The newest supported version.
        supported: u64,
    },
    /// The settings in its header are invalid.
    #[error("invalid settings in the header: {0}")]
    Settings(String),
    /// A tensor is missing.
    #[error("tensor '{name}' is missing")]
    MissingTensor {
        /// Its name.
        name: String,
    },
    /// A tensor does not belong to the model that the header describes.
    #[error("tensor '{name}' does not belong to the model that the header describes")]
    UnexpectedTensor {
        /// Its name.
        name: String,
    },
    /// A tensor does not have the type or shape that the header implies.
    #[error("tensor '{name}' is {got}, but the settings imply {expected}")]
    TensorShape {
        /// Its name.
        name: String,
        /// Its type and shape.
        got: String,
        /// The expected type and shape.
        expected: String,
    },
    /// Tied weights are not transposes of each other.
    #[error("tensor '{name}' is tied to '{tied_to}', but is not its transpose at position {index}")]
    NotTied {
        /// Its name.
        name: String,
        /// The name of the encoder's tensor.
        tied_to: String,
        /// The position in row-major order.
        index: usize,
    },
    /// A tensor holds NaN or infinity, or a scale or shift that is out of range for single precision.
    #[error("tensor '{name}' holds {value:?} at position {index}")]
    TensorValue {
        /// Its name.
        name: String,
        /// The position in row-major order.
        index: usize,
        /// The value.
        value: f64,
    },
}

fn no_rows(rows: usize, validation: usize) -> String {
    match (rows, validation) {
        (0, _) => "there are no rows".to_owned(),
        _ => format!("no rows to train on: of {rows} rows, {validation} are held out for validation"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    /// A file's message alone names the file; whoever prints the chain repeats nothing.
    #[test]
    fn no_message_contains_its_source() {
        let io = || std::io::Error::other("the disk is full");
        let path = || PathBuf::from("m.safetensors");
        let wrong = Error::NotFinite { row: 1, column: 2, name: None, value: f32::NAN };
        let config = ConfigError::OutOfRange { field: "k", value: "0".to_owned(), allowed: "1".to_owned() };
        let errors = [
            (Error::File { path: path(), kind: io().into() }, "m.safetensors: the disk is full"),
            (
                Error::Bytes(FileErrorKind::NotADetector),
                "invalid model: a model, but not an anomaly detector",
            ),
            (wrong.of_targets(), "the targets: row 2, column 3: NaN is not a finite number"),
            (config.into(), "k is 0, but must be 1"),
        ];
        for (error, expected) in errors {
            let (mut chain, mut at) = (vec![error.to_string()], error.source());
            while let Some(source) = at {
                let text = source.to_string();
                assert!(chain.iter().all(|message| !message.contains(&text)), "{chain:?} and {text}");
                chain.push(text);
                at = source.source();
            }
            assert_eq!(chain.join(": "), expected);
        }
    }
}
