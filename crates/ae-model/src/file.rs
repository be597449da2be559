//! Model files: safetensors with the configuration in the header.
//!
//! | tensor | type | shape |
//! |---|---|---|
//! | `encoder.{i}.weight` | the model's precision | `[in, out]` |
//! | `encoder.{i}.bias` | the model's precision | `[out]` |
//! | `decoder.{i}.weight`, `decoder.{i}.bias` | same | same |
//! | `scaler.shift`, `scaler.scale` | F64 | `[input_dim]` |
//! | `scaler.limits`, if known: smallest values, then largest | F32 | `[2, input_dim]` |
//! | `latent.threshold`, with a batch top-k latent only | F64 | `[1]` |
//!
//! Tied weights are stored twice, and the decoder's must be the transposes of the encoder's. Weights of
//! convolutions, including transposed ones, are
//! `[kernel, kernel, input channels per group, output channels]`, and their bias `[output channels]`.
//!
//! `__metadata__` holds `ae.config`, a JSON object: `format` (1), `config` ([`Config`]), `fitted`, and
//! `features`, the column names or null. A model of a table also has `schema` ([`Schema`]): what its
//! columns hold and how they become features. A trained model also has `history`, the course of its
//! training, with one array per quantity. Reading executes nothing and checks everything: every tensor
//! that the configuration implies must be present, with its type and shape, no other may be, and every
//! value must be finite.
//!
//! A checkpoint (`train/checkpoint.rs`) is such a file with the rest of the training state, under
//! `ae.training` and in tensors `training.*`. So is the file of an anomaly detector (`ae.detector`,
//! `detector.*`; crate `ae-eval`). Loading a model from either ignores these additions.

mod stored_history;

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use ae_data::{Fingerprint, Schema, write_atomically};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::config::{Config, Latent, Precision, TopK};
use crate::engine::Engine;
use crate::error::{Error, FileErrorKind};
use crate::history::History;
use crate::model::{AnyEngine, Autoencoder};
use crate::network::LayerParameters;
use crate::scale::Scaler;
use crate::step::Arithmetic;
use stored_history::StoredHistory;

/// The format version that this code writes, and the newest that it reads. It increases when the meaning
/// of files changes, not for a new setting: files in which that has its default do not mention it, and
/// older programs report it as unknown otherwise.
const FORMAT: u64 = 1;
/// The key of the model in the header's metadata.
const KEY: &str = "ae.config";
/// The tensor of a batch top-k latent.
const THRESHOLD: &str = "latent.threshold";
/// The tensor of the limits of each feature, which files of models that were not trained on rows, or by
/// earlier programs, do not have.
const LIMITS: &str = "scaler.limits";
/// A checkpoint's key in the header, and the prefix of its tensors' names.
pub(crate) const TRAINING_KEY: &str = "ae.training";
pub(crate) const TRAINING_PREFIX: &str = "training.";
/// What files may hold besides a model: key in the header and prefix of tensor names.
const EXTENSIONS: [(&str, &str); 2] = [(TRAINING_KEY, TRAINING_PREFIX), ("ae.detector", "detector.")];
/// The key of a checkpoint's [`digest`].
const DIGEST_KEY: &str = "ae.digest";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u64,
    config: Config,
    fitted: bool,
    features: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schema: Option<Schema>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    history: Option<StoredHistory>,
}

/// The version alone, to tell a newer file from a damaged one.
#[derive(Deserialize)]
struct Version {
    format: u64,
}

impl Autoencoder {
    /// Writes the model to `path`.
    ///
    /// The file appears whole or not at all: it is written to a temporary file next to `path`, synced
    /// and renamed. It holds what using the model requires, not the optimizer's state.
    ///
    /// # Errors
    /// [`Error::File`] if it cannot be written, or if parameters are not finite, as after divergence; an
    /// existing file at `path` is then unchanged.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let bytes = self.written().map_err(|kind| at(path, kind))?;
        write_atomically(path, |file| file.write_all(&bytes)).map_err(|error| at(path, error.into()))
    }

    /// Reads a model that [`save`](Autoencoder::save) wrote. To train it further, see
    /// [`Autoencoder::warm_start`] and [`partial_fit`](Autoencoder::partial_fit):
    /// [`fit`](Autoencoder::fit) starts afresh.
    ///
    /// # Errors
    /// [`Error::File`] for a file that cannot be read or is inconsistent: other sizes, settings that
    /// cannot be, or values that are not finite. It has no checksum, so that weights may be edited:
    /// damage to their digits is not noticed. [`Error::Isa`] as for [`Autoencoder::new`].
    pub fn load(path: impl AsRef<Path>) -> Result<Autoencoder, Error> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| at(path, error.into()))?;
        Autoencoder::read(&bytes).map_err(|error| match error {
            Failure::Kind(kind) => at(path, kind),
            Failure::Other(error) => error,
        })
    }

    /// Returns the bytes of the file that [`save`](Autoencoder::save) would write.
    ///
    /// # Errors
    /// [`Error::Bytes`] if parameters are not finite.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        self.written().map_err(Error::Bytes)
    }

    /// Reads a model from the bytes of its file.
    ///
    /// # Errors
    /// As [`load`](Autoencoder::load), with [`Error::Bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Autoencoder, Error> {
        Autoencoder::read(bytes).map_err(|error| match error {
            Failure::Kind(kind) => Error::Bytes(kind),
            Failure::Other(error) => error,
        })
    }

    fn written(&self) -> Result<Vec<u8>, FileErrorKind> {
        let contents = Contents {
            config: &self.config,
            scaler: &self.scaler,
            names: self.names.as_deref(),
            schema: self.schema.as_ref(),
        };
        let about = (self.fitted, self.history.as_ref());
        match &self.engine {
            AnyEngine::F32(engine) => contents.assemble(engine, about)?.into_bytes(),
            AnyEngine::F64(engine) => contents.assemble(engine, about)?.into_bytes(),
        }
    }

    fn read(bytes: &[u8]) -> Result<Autoencoder, Failure> {
        let (metadata, header) = read_header(bytes)?;
        check_columns(&header.config, header.features.as_deref(), header.schema.as_ref())?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| FileErrorKind::Container(e.to_string()))?;
        // Sizes are checked against the tensors in the file before memory is allocated for the network.
        let float = match header.config.precision() {
            Precision::F32 | Precision::Bf16 => Dtype::F32,
            Precision::F64 => Dtype::F64,
        };
        let features = header.config.input_dim();
        let mut expected: Vec<(String, Dtype, Vec<usize>)> = vec![
            ("scaler.shift".to_owned(), Dtype::F64, vec![features]),
            ("scaler.scale".to_owned(), Dtype::F64, vec![features]),
        ];
        let shapes = header.config.weight_shapes();
        for (index, shape) in shapes.iter().enumerate() {
            let [weight, bias] = layer_names(index, shapes.len() / 2);
            expected.push((weight, float, shape.clone()));
            expected.push((bias, float, shape.last().copied().into_iter().collect()));
        }
        if matches!(header.config.latent(), Latent::TopK(TopK { of_batch: true, .. })) {
            expected.push((THRESHOLD.to_owned(), Dtype::F64, vec![1]));
        }
        let has_limits = file.names().contains(&LIMITS);
        if has_limits {
            expected.push((LIMITS.to_owned(), Dtype::F32, vec![2, features]));
        }
        for (name, dtype, shape) in &expected {
            check_shape(&file, name, *dtype, shape)?;
        }
        let extensions = EXTENSIONS.into_iter().filter(|(key, _)| metadata.contains_key(*key));
        let extensions: Vec<&str> = extensions.map(|(_, names)| names).collect();
        let is_known = |name: &str| {
            expected.iter().any(|e| e.0 == name) || extensions.iter().any(|names| name.starts_with(names))
        };
        if let Some(name) = file.names().into_iter().find(|name| !is_known(name)) {
            return Err(FileErrorKind::UnexpectedTensor { name: name.to_owned() }.into());
        }

        let shift: Vec<f64> = values(&file, "scaler.shift")?;
        let scale: Vec<f64> = values(&file, "scaler.scale")?;
        let usable = |name: &str, values: &[f64], is_usable: fn(f64) -> bool| match values
            .iter()
            .position(|x| !is_usable(*x))
        {
            Some(index) => {
                Err(FileErrorKind::TensorValue { name: name.to_owned(), index, value: values[index] })
            }
            None => Ok(()),
        };
        usable("scaler.scale", &scale, Scaler::may_scale)?;
        usable("scaler.shift", &shift, Scaler::may_shift)?;
        let mut model = Autoencoder::new(header.config).map_err(Failure::Other)?;
        let scaler = Scaler::from_parts(shift, scale);
        model.scaler = scaler.ok_or_else(|| FileErrorKind::Settings("the scaler is invalid".to_owned()))?;
        if has_limits {
            let limits: Vec<f32> = values(&file, LIMITS)?;
            let (low, high) = limits.split_at(features);
            let limits = low.iter().zip(high).map(|(low, high)| [*low, *high]).collect();
            let wrong = |index: usize| {
                let value = f64::from(low[index]);
                FileErrorKind::TensorValue { name: LIMITS.to_owned(), index, value }
            };
            model.scaler = model.scaler.with_limits(limits).map_err(wrong)?;
        }
        model.names = header.features;
        model.schema = header.schema;
        model.fitted = header.fitted;
        model.history =
            header.history.map(StoredHistory::history).transpose().map_err(FileErrorKind::Settings)?;
        match &mut model.engine {
            AnyEngine::F32(engine) => load_parameters(engine, &file, &model.scaler)?,
            AnyEngine::F64(engine) => load_parameters(engine, &file, &model.scaler)?,
        }
        Ok(model)
    }
}

/// Reads the header: all its texts, and the model's part.
fn read_header(bytes: &[u8]) -> Result<(HashMap<String, String>, Header), FileErrorKind> {
    read_text(bytes, KEY, FORMAT)
}

/// Reads the header: all its texts, and the one under `key`, which is JSON with a format version of at
/// most `newest`.
pub(crate) fn read_text<H: DeserializeOwned>(
    bytes: &[u8],
    key: &'static str,
    newest: u64,
) -> Result<(HashMap<String, String>, H), FileErrorKind> {
    let (_, metadata) =
        SafeTensors::read_metadata(bytes).map_err(|error| FileErrorKind::Container(error.to_string()))?;
    let texts = metadata.metadata().clone().unwrap_or_default();
    let json = texts.get(key).ok_or(FileErrorKind::NotAModel { key })?;
    let settings = |error: serde_json::Error| FileErrorKind::Settings(error.to_string());
    let Version { format } = serde_json::from_str(json).map_err(settings)?;
    if !(1..=newest).contains(&format) {
        return Err(FileErrorKind::Version { version: format, supported: newest });
    }
    let header = serde_json::from_str(json).map_err(settings)?;
    Ok((texts, header))
}

/// Checks that the names of features and the schema are those of a model of this configuration.
pub(crate) fn check_columns(
    config: &Config,
    names: Option<&[String]>,
    schema: Option<&Schema>,
) -> Result<(), FileErrorKind> {
    let inputs = config.input_dim();
    if let Some(names) = names.filter(|names| names.len() != inputs) {
        return Err(FileErrorKind::Settings(format!("{} feature names for {inputs} features", names.len())));
    }
    if let Some(name) = names.and_then(ae_data::first_duplicate) {
        return Err(FileErrorKind::Settings(format!("two features named '{name}'")));
    }
    let is_of_model = |schema: &Schema| {
        schema.width() == inputs && names.is_none_or(|names| names == schema.feature_names())
    };
    if schema.is_none_or(is_of_model) {
        return Ok(());
    }
    Err(FileErrorKind::Settings("the schema does not match the model's features".to_owned()))
}

/// What the header says about a model.
pub(crate) struct HeaderInfo {
    pub(crate) config: Config,
    pub(crate) history: Option<History>,
    /// All texts of the header.
    pub(crate) texts: HashMap<String, String>,
}

impl HeaderInfo {
    pub(crate) fn read(bytes: &[u8]) -> Result<HeaderInfo, FileErrorKind> {
        let (texts, header) = read_header(bytes)?;
        let history =
            header.history.map(StoredHistory::history).transpose().map_err(FileErrorKind::Settings)?;
        Ok(HeaderInfo { config: header.config, history, texts })
    }
}

/// A failure to which the caller still has to add the path.
enum Failure {
    Kind(FileErrorKind),
    Other(Error),
}

impl From<FileErrorKind> for Failure {
    fn from(kind: FileErrorKind) -> Failure {
        Failure::Kind(kind)
    }
}

pub(crate) fn at(path: &Path, kind: FileErrorKind) -> Error {
    Error::File { path: path.to_owned(), kind }
}

/// Tensor names of the weights and bias of layer `index` if the encoder has `encoder_layers` layers.
fn layer_names(index: usize, encoder_layers: usize) -> [String; 2] {
    let (side, index) =
        if index < encoder_layers { ("encoder", index) } else { ("decoder", index - encoder_layers) };
    [format!("{side}.{index}.weight"), format!("{side}.{index}.bias")]
}

/// What a model file holds besides the layers.
#[derive(Clone, Copy)]
pub(crate) struct Contents<'a> {
    pub(crate) config: &'a Config,
    pub(crate) scaler: &'a Scaler,
    pub(crate) names: Option<&'a [String]>,
    pub(crate) schema: Option<&'a Schema>,
}

impl Contents<'_> {
    /// Assembles the file of the model with the layers of `engine`; `fitted` and `history` say whether
    /// and how it was trained.
    pub(crate) fn assemble<T: Arithmetic>(
        &self,
        engine: &Engine<T>,
        (fitted, history): (bool, Option<&History>),
    ) -> Result<Container, FileErrorKind> {
        let header = Header {
            format: FORMAT,
            config: self.config.clone(),
            fitted,
            features: self.names.map(<[String]>::to_vec),
            schema: self.schema.cloned(),
            history: history.map(StoredHistory::from),
        };
        let json = serde_json::to_string(&header).map_err(|e| FileErrorKind::Settings(e.to_string()))?;
        let mut file = Container::new(HashMap::from([(KEY.to_owned(), json)]));
        for (index, shape) in self.config.weight_shapes().into_iter().enumerate() {
            let LayerParameters { outputs, weights, bias: offsets, .. } = engine.network.layer(index);
            let [weight, bias] = layer_names(index, engine.network.encoder_layers);
            file.put(weight, shape, &weights)?;
            file.put(bias, vec![outputs], &offsets)?;
        }
        file.put("scaler.shift".to_owned(), vec![self.scaler.shift().len()], self.scaler.shift())?;
        file.put("scaler.scale".to_owned(), vec![self.scaler.scale().len()], self.scaler.scale())?;
        if let Some(limits) = self.scaler.stored_limits() {
            let ends = [0, 1].map(|end| limits.iter().map(move |limits| limits[end]));
            let values: Vec<f32> = ends.into_iter().flatten().collect();
            file.put(LIMITS.to_owned(), vec![2, limits.len()], &values)?;
        }
        if let Some(latent) = engine.network.batch_top_k() {
            file.put(THRESHOLD.to_owned(), vec![1], &[latent.threshold])?;
        }
        Ok(file)
    }
}

/// A file being assembled.
pub(crate) struct Container {
    metadata: HashMap<String, String>,
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
}

impl Container {
    /// A file without tensors, with these texts in its header.
    pub(crate) fn new(metadata: HashMap<String, String>) -> Container {
        Container { metadata, tensors: Vec::new() }
    }

    /// Adds a tensor, whose values must be finite.
    pub(crate) fn put<T: Stored>(
        &mut self,
        name: String,
        shape: Vec<usize>,
        values: &[T],
    ) -> Result<(), FileErrorKind> {
        expect_finite(&name, values)?;
        self.put_any(name, shape, values);
        Ok(())
    }

    /// Adds a tensor with any values.
    pub(crate) fn put_any<T: Stored>(&mut self, name: String, shape: Vec<usize>, values: &[T]) {
        let mut bytes = Vec::with_capacity(size_of_val(values));
        values.iter().for_each(|x| x.append(&mut bytes));
        self.tensors.push((name, T::DTYPE, shape, bytes));
    }

    /// Adds the digest of everything added so far, for [`verify_digest`].
    pub(crate) fn add_digest(&mut self) {
        let tensors = self.tensors.iter().map(|(name, _, _, bytes)| (name.as_str(), bytes.as_slice()));
        let digest = digest(&self.metadata, tensors.collect());
        self.set_metadata(DIGEST_KEY, digest);
    }

    /// Adds a text to the header.
    pub(crate) fn set_metadata(&mut self, key: &str, text: String) {
        self.metadata.insert(key.to_owned(), text);
    }

    pub(crate) fn into_bytes(self) -> Result<Vec<u8>, FileErrorKind> {
        let container = |error: safetensors::SafeTensorError| FileErrorKind::Container(error.to_string());
        let mut views = Vec::with_capacity(self.tensors.len());
        for (name, dtype, shape, bytes) in &self.tensors {
            views.push((name.as_str(), TensorView::new(*dtype, shape.clone(), bytes).map_err(container)?));
        }
        let is_sorted = self.metadata.len() < 2;
        let file = safetensors::serialize(views, Some(self.metadata)).map_err(container)?;
        if is_sorted {
            return Ok(file);
        }
        sort_header(&file).ok_or_else(|| FileErrorKind::Container("no header".to_owned()))
    }
}

/// Sorts the header of a safetensors file by key. Texts come in arbitrary order otherwise, but the same
/// contents should give the same bytes. For programs that add to model files, as anomaly detectors do;
/// `None` unless there is a header.
pub fn sort_header(file: &[u8]) -> Option<Vec<u8>> {
    const BEFORE: usize = 8;
    let (length, rest) = file.split_first_chunk::<BEFORE>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (header, data) = rest.split_at_checked(length)?;
    let header: serde_json::Value = serde_json::from_slice(header).ok()?;
    // `serde_json` sorts the keys of objects.
    let mut header = header.to_string().into_bytes();
    header.resize(header.len().next_multiple_of(BEFORE), b' ');
    Some([&(header.len() as u64).to_le_bytes()[..], &header, data].concat())
}

/// A digest of the header's texts and the tensors.
fn digest(texts: &HashMap<String, String>, mut tensors: Vec<(&str, &[u8])>) -> String {
    tensors.sort_unstable_by_key(|(name, _)| *name);
    let mut texts: Vec<(&String, &String)> = texts.iter().filter(|(key, _)| *key != DIGEST_KEY).collect();
    texts.sort_unstable();
    let of_texts =
        texts.into_iter().fold(Fingerprint::default(), |print, (key, text)| print.with(key).with(text));
    let print = tensors.into_iter().fold(of_texts, |print, (name, bytes)| print.with(name).with_bytes(bytes));
    format!("{:016x}", print.bits())
}

/// Checks that a file holds what was sealed.
pub(crate) fn verify_digest(
    file: &SafeTensors<'_>,
    texts: &HashMap<String, String>,
) -> Result<(), FileErrorKind> {
    let names = file.names();
    let tensors = names.into_iter().filter_map(|name| Some((name, file.tensor(name).ok()?.data())));
    let found = digest(texts, tensors.collect());
    if texts.get(DIGEST_KEY) == Some(&found) { Ok(()) } else { Err(FileErrorKind::Damaged) }
}

/// A number type that files can hold.
pub(crate) trait Stored: Copy {
    const DTYPE: Dtype;
    fn append(self, bytes: &mut Vec<u8>);
    fn all_of(bytes: &[u8]) -> Vec<Self>;
    /// Returns the value if it is NaN or infinite.
    fn not_finite(self) -> Option<f64>;
}

impl Stored for f32 {
    const DTYPE: Dtype = Dtype::F32;
    fn append(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_le_bytes());
    }
    fn all_of(bytes: &[u8]) -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }
    fn not_finite(self) -> Option<f64> {
        (!self.is_finite()).then_some(self.into())
    }
}

impl Stored for f64 {
    const DTYPE: Dtype = Dtype::F64;
    fn append(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_le_bytes());
    }
    fn all_of(bytes: &[u8]) -> Vec<f64> {
        bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect()
    }
    fn not_finite(self) -> Option<f64> {
        (!self.is_finite()).then_some(self)
    }
}

impl Stored for u64 {
    const DTYPE: Dtype = Dtype::U64;
    fn append(self, bytes: &mut Vec<u8>) {
        bytes.extend(self.to_le_bytes());
    }
    fn all_of(bytes: &[u8]) -> Vec<u64> {
        bytes.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect()
    }
    fn not_finite(self) -> Option<f64> {
        None
    }
}

pub(crate) fn check_shape(
    file: &SafeTensors<'_>,
    name: &str,
    dtype: Dtype,
    shape: &[usize],
) -> Result<(), FileErrorKind> {
    let name = name.to_owned();
    let Ok(tensor) = file.tensor(&name) else { return Err(FileErrorKind::MissingTensor { name }) };
    if tensor.dtype() != dtype || tensor.shape() != shape {
        let got = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
        return Err(FileErrorKind::TensorShape { name, got, expected: format!("{dtype:?} {shape:?}") });
    }
    Ok(())
}

/// The values of a tensor whose type has been checked; they must be finite.
fn values<T: Stored>(file: &SafeTensors<'_>, name: &str) -> Result<Vec<T>, FileErrorKind> {
    let values = any_values(file, name)?;
    expect_finite(name, &values)?;
    Ok(values)
}

/// The values of a tensor whose type has been checked.
pub(crate) fn any_values<T: Stored>(file: &SafeTensors<'_>, name: &str) -> Result<Vec<T>, FileErrorKind> {
    match file.tensor(name) {
        Ok(tensor) => Ok(T::all_of(tensor.data())),
        Err(_) => Err(FileErrorKind::MissingTensor { name: name.to_owned() }),
    }
}

pub(crate) fn expect_finite<T: Stored>(name: &str, values: &[T]) -> Result<(), FileErrorKind> {
    match values.iter().enumerate().find_map(|(index, x)| Some((index, x.not_finite()?))) {
        None => Ok(()),
        Some((index, value)) => Err(FileErrorKind::TensorValue { name: name.to_owned(), index, value }),
    }
}

fn load_parameters<T: Arithmetic>(
    engine: &mut Engine<T>,
    file: &SafeTensors<'_>,
    scaler: &Scaler,
) -> Result<(), FileErrorKind> {
    engine.set_scaler(scaler);
    for index in 0..engine.network.layers.len() {
        let [weight, bias] = layer_names(index, engine.network.encoder_layers);
        let parameters = LayerParameters {
            inputs: engine.network.layers[index].inputs,
            outputs: engine.network.layers[index].outputs,
            weights: values(file, &weight)?,
            bias: values(file, &bias)?,
        };
        let network = &engine.network;
        if let (Some(other), Some(index)) = (network.tied_to(index), network.first_untied(index, &parameters))
        {
            let [tied_to, _] = layer_names(other, network.encoder_layers);
            return Err(FileErrorKind::NotTied { name: weight, tied_to, index });
        }
        engine.network.set_layer(index, &parameters);
    }
    if let Some(latent) = engine.network.batch_top_k_mut()
        && let [threshold] = values(file, THRESHOLD)?[..]
    {
        latent.resume(threshold);
    }
    engine.restart_mean();
    Ok(())
}
