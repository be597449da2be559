//! What can go wrong, with the numbers.

use std::path::PathBuf;

use ae_data::DataError;
use ae_kernels::IsaError;
use ae_kernels::par::PoolError;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of its range.
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
    /// The rows are not as wide as the model expects.
    #[error("the model expects {what} of {expected} values, but these have {got}")]
    Width {
        /// "rows" or "encodings".
        what: &'static str,
        /// What the model expects.
        expected: usize,
        /// What there is.
        got: usize,
    },
    /// The columns are not those that the model was trained on, or not in their order.
    #[error(
        "column {} is '{got}' where the model has '{expected}': select the columns by name, in the order of the model's",
        .column.saturating_add(1)
    )]
    Names {
        /// The first that differs, counted from 0.
        column: usize,
        /// Its name in the model.
        expected: String,
        /// Its name in the rows.
        got: String,
    },
    /// A parameter that a model is to have is NaN or infinite.
    #[error("parameter {index} of layer {layer} is not a finite number")]
    Parameter {
        /// The layer, counted from 0.
        layer: usize,
        /// The place in its weights, row-major, and then its bias.
        index: usize,
    },
    /// A model cannot be made of bytes, or bytes of it.
    #[error("the model: {0}")]
    Bytes(#[source] FileErrorKind),
    /// There are no rows, or none that are not set aside.
    #[error("{}", no_rows(*.rows, *.validation))]
    NoRows {
        /// Rows of the source.
        rows: usize,
        /// Rows set aside.
        validation: usize,
    },
    /// A row index is beyond the table.
    #[error("row index {index} is beyond a table of {rows} rows")]
    RowIndex {
        /// The index, counted from 0.
        index: usize,
        /// Rows of the table.
        rows: usize,
    },
    /// A value is NaN or infinite.
    #[error("row {}, {}: {value} is not a finite number", .row.saturating_add(1), column_name(.column, .name))]
    NotFinite {
        /// The row, counted from 0.
        row: usize,
        /// The column, counted from 0.
        column: usize,
        /// Its name, where the source has names.
        name: Option<String>,
        /// The value.
        value: f32,
    },
    /// A value is outside `[0, 1]`, where the loss compares shares ([`crate::Loss::Bce`], [`crate::Loss::SigmoidMse`]) and nothing scales the values.
    #[error(
        "row {}, {}: {value} is not between 0 and 1, as the loss needs it; a min-max scaler would make it so",
        .row.saturating_add(1),
        column_name(.column, .name)
    )]
    NotInUnit {
        /// The row, counted from 0.
        row: usize,
        /// The column, counted from 0.
        column: usize,
        /// Its name, where the source has names.
        name: Option<String>,
        /// The value.
        value: f32,
    },
    /// A value is beyond what the scaler that a model has takes to `[0, 1]`, where the loss compares shares.
    #[error(
        "row {}, {}: {value} is not between {low} and {high}, which the model's scaler takes to 0 and 1, as the loss needs it",
        .row.saturating_add(1),
        column_name(.column, .name)
    )]
    BeyondScale {
        /// The row, counted from 0.
        row: usize,
        /// The column, counted from 0.
        column: usize,
        /// Its name, where the source has names.
        name: Option<String>,
        /// The value.
        value: f32,
        /// What is scaled to 0.
        low: f64,
        /// What is scaled to 1.
        high: f64,
    },
    /// A value is so far from those that the scaler was fitted to that its squared error overflows: one of rows set aside for validation, or
    /// of later ones.
    #[error(
        "row {}, {}: {value:e} is so far outside the range of the training rows that its squared error overflows",
        .row.saturating_add(1),
        column_name(.column, .name)
    )]
    FarOut {
        /// The row, counted from 0.
        row: usize,
        /// The column, counted from 0.
        column: usize,
        /// Its name, where the source has names.
        name: Option<String>,
        /// The value.
        value: f32,
    },
    /// A feature spreads wider than single precision can hold.
    #[error("{}: its values spread over {spread:e}, more than a 32-bit float can hold", column_name(.column, .name))]
    Spread {
        /// The column, counted from 0.
        column: usize,
        /// Its name, where the source has names.
        name: Option<String>,
        /// Largest minus smallest value.
        spread: f64,
    },
    /// Only a variational autoencoder says how its encodings are distributed.
    #[error("{what} needs a variational autoencoder, but this model's encoding is {latent}")]
    NotVariational {
        /// What was asked for.
        what: &'static str,
        /// What its encoding is.
        latent: &'static str,
    },
    /// The target rows are invalid.
    #[error("the targets: {0}")]
    Targets(#[source] Box<Error>),
    /// Training does not converge.
    #[error(
        "training diverged in epoch {epoch}, batch {batch}: the mean squared error is {loss:.4e} after {best:.4e} at best; \
         a learning rate below {learning_rate} should help"
    )]
    Diverged {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The batch, counted from 1.
        batch: usize,
        /// The learning rate.
        learning_rate: f64,
        /// The mean squared error there.
        loss: f64,
        /// The lowest one before it.
        best: f64,
    },
    /// The error of the rows of a single update overflows: the parameters are out of reach.
    #[error(
        "the mean squared error is {loss}: an update before has taken the parameters out of reach; a learning rate below \
         {learning_rate} should help"
    )]
    LossNotFinite {
        /// The learning rate.
        learning_rate: f64,
        /// The mean squared error, infinite or NaN.
        loss: f64,
    },
    /// A model has another number of layers.
    #[error("the configuration has {expected} layers, encoder and decoder together, but {got} are given")]
    LayerCount {
        /// Layers of the configuration.
        expected: usize,
        /// Layers that are given.
        got: usize,
    },
    /// There is no such layer.
    #[error("there is no layer {index}: {layers} layers are counted from 0")]
    NoSuchLayer {
        /// Its index, counted from 0.
        index: usize,
        /// Layers there are.
        layers: usize,
    },
    /// A layer has another shape.
    #[error(
        "layer {layer} has weights [{}, {}] and {} biases, but [{}, {}] of {weights} values and {biases} biases are given",
        .expected.0, .expected.1, .expected.1, .got.0, .got.1
    )]
    LayerShape {
        /// The layer, counted from 0.
        layer: usize,
        /// Inputs and outputs of the layer.
        expected: (usize, usize),
        /// Inputs and outputs that are given.
        got: (usize, usize),
        /// How many weights are given.
        weights: usize,
        /// How many biases are given.
        biases: usize,
    },
    /// A model to start from has other layers.
    #[error("the model to start from is {of_other}, but the layers must be those of {wanted}")]
    OtherLayers {
        /// The architecture of the configuration.
        wanted: String,
        /// The architecture of the model to start from.
        of_other: String,
    },
    /// The weights of a layer of the decoder are not those that they are tied to.
    #[error(
        "layer {layer} is tied to layer {tied_to}: its weights must be the transpose of that one's, but differ at \
         position {index}"
    )]
    NotTied {
        /// The layer, counted from 0, encoder first.
        layer: usize,
        /// The layer of the encoder.
        tied_to: usize,
        /// The position in row-major order.
        index: usize,
    },
    /// There is a checkpoint, but not one of this training.
    #[error(
        "{}: the checkpoint is of another training: {differs}; without the file training starts at the beginning",
        .path.display()
    )]
    OtherTraining {
        /// The file.
        path: PathBuf,
        /// In what the two differ.
        differs: String,
    },
    /// A model file cannot be read or written.
    #[error("{}: {kind}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        kind: FileErrorKind,
    },
}

impl Error {
    /// The error, about the targets of rows.
    pub(crate) fn of_targets(self) -> Error {
        Error::Targets(Box::new(self))
    }
}

fn column_name(column: &usize, name: &Option<String>) -> String {
    match name {
        Some(name) => format!("column '{name}'"),
        None => format!("column {}", column.saturating_add(1)),
    }
}

/// A setting is out of its range.
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
        /// What would be allowed.
        allowed: String,
    },
    /// A convolution or pooling does not fit what comes before it.
    #[error("the layer '{layer}' cannot follow {chain}: {reason}")]
    Convolution {
        /// The layer, as the command spells it.
        layer: String,
        /// The sizes of the images before it, from the input on.
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
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// It is no safetensors file, or a damaged one.
    #[error("not a readable model: {0}")]
    Container(String),
    /// It is a safetensors file of something else.
    #[error("a safetensors file, but not a model of this program: its header lacks '{key}'")]
    NotAModel {
        /// The missing key of the header's metadata.
        key: &'static str,
    },
    /// It is a model, but not one that training could go on from.
    #[error("a model, but no checkpoint of a training")]
    NotACheckpoint,
    /// It is a model, but holds no detector of anomalies.
    #[error("a model, but no detector of anomalies")]
    NotADetector,
    /// It is not what was written.
    #[error("damaged: its contents are not those that were written")]
    Damaged,
    /// It is of a version that this program does not know; later programs may.
    #[error("format version {version}, but this program reads versions from 1 to {supported}")]
    Version {
        /// Its version.
        version: u64,
        /// The newest that can be read.
        supported: u64,
    },
    /// The settings in its header are not valid.
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
    /// A tensor is not of the type or shape that the header implies.
    #[error("tensor '{name}' is {got}, but the settings imply {expected}")]
    TensorShape {
        /// Its name.
        name: String,
        /// Type and shape it has.
        got: String,
        /// Type and shape it should have.
        expected: String,
    },
    /// Weights that are tied are not each other's transposes.
    #[error("tensor '{name}' is tied to '{tied_to}', but is not its transpose at position {index}")]
    NotTied {
        /// Its name.
        name: String,
        /// That of the encoder's tensor.
        tied_to: String,
        /// The position in row-major order.
        index: usize,
    },
    /// A tensor holds NaN or infinity, or a scale or shift that single precision cannot divide by or take away.
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
        _ => format!("no rows to train on: {rows} rows, of which {validation} are set aside for validation"),
    }
}
