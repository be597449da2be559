//! The format of detector files: a model file with additional tensors.
//!
//! | tensor | type | shape |
//! |---|---|---|
//! | `detector.reference` | F32 | `[rows, features]` |
//! | `detector.typical` | F64 | `[components]` |
//! | `detector.training_scores` | F64 | `[rows]` |
//! | `detector.calibration` | F64 | `[scores]` |
//! | `detector.threshold` | F64 | `[1]` |
//! | `detector.model.{i}`, from 1, one for each further denoising model | U8 | its file, `[bytes]` |
//!
//! `ae.detector` in the header is a JSON object with `format`, `score` and `neighbours`. Formats 2 to 4 are
//! the same with other scores ([`Edition::Columns`], [`Edition::Residuals`], [`Edition::Known`]); in
//! format 4, the reference has missing values where the rows had. Files of earlier formats keep the scores
//! that they were calibrated with, and detectors to which the difference is none are saved in them. Loading
//! a model from such a file ignores all of this. Everything else that scores need is recomputed from the
//! reference rows, bit for bit on the same kind of CPU.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;

use ae_data::{Dataset, memory, threads, write_atomically};
use ae_model::{Autoencoder, FileErrorKind, sort_header};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde::{Deserialize, Serialize};

use super::{Block, Calibration, Detector, Edition, Score, UnfittedDetector, check_row_count};
use crate::error::EvalError;

/// The latest version of what is added to a model file.
const FORMAT: u64 = 4;
const KEY: &str = "ae.detector";
/// The header entry of every model.
const MODEL_KEY: &str = "ae.config";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u64,
    score: String,
    neighbours: usize,
}

/// The version alone, to tell a newer file from a damaged one.
#[derive(Deserialize)]
struct Version {
    format: u64,
}

impl Detector {
    /// Writes the detector to `path`: its model, the reference rows, the calibration and the threshold.
    ///
    /// The file appears whole or not at all. It is also a model file, from which [`Autoencoder::load`]
    /// reads the model.
    ///
    /// # Errors
    /// [`EvalError::Model`] with [`ae_model::Error::File`] if it cannot be written; an existing file at
    /// `path` is then left unchanged.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), EvalError> {
        let path = path.as_ref();
        let bytes = self.to_bytes().map_err(|error| at(path, error))?;
        write_atomically(path, |file| file.write_all(&bytes)).map_err(|error| at(path, kind(error.into())))
    }

    /// Reads a detector that [`save`](Detector::save) wrote. It uses all cores.
    ///
    /// # Errors
    /// [`EvalError::Model`] with [`ae_model::Error::File`] for a file that cannot be read, is damaged,
    /// or holds only a model ([`FileErrorKind::NotADetector`]).
    pub fn load(path: impl AsRef<Path>) -> Result<Detector, EvalError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| at(path, kind(error.into())))?;
        Detector::from_bytes(&bytes).map_err(|error| at(path, error))
    }

    /// The contents of the file that [`save`](Detector::save) would write.
    ///
    /// # Errors
    /// [`EvalError::Model`] for a model with parameters that are not finite.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EvalError> {
        let model = self.context.model.to_bytes()?;
        let (texts, file) = opened(&model)?;
        let header = Header {
            format: match self.edition {
                Edition::Features => 1,
                Edition::Columns => 2,
                Edition::Residuals => 3,
                Edition::Known => FORMAT,
            },
            score: self.score.name().to_owned(),
            // Already limited to one less than the number of reference rows.
            neighbours: self.context.neighbours,
        };
        let json = serde_json::to_string(&header).map_err(|error| settings(error.to_string()))?;
        let texts = texts.into_iter().chain([(KEY.to_owned(), json)]).collect();
        let rows = &self.reference.known;
        let shape = vec![rows.rows(), rows.features()];
        let reference = rows.values().iter().flat_map(|x| x.to_le_bytes()).collect();
        let mut added = vec![("detector.reference".to_owned(), Dtype::F32, shape, reference)];
        for (name, values) in [
            ("typical", &self.scales[..]),
            ("training_scores", &self.training_scores),
            ("calibration", self.calibration.scores()),
            ("threshold", &[self.threshold]),
        ] {
            let bytes = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            added.push((format!("detector.{name}"), Dtype::F64, vec![values.len()], bytes));
        }
        for (index, model) in self.context.further_models.iter().enumerate() {
            let bytes = model.to_bytes()?;
            added.push((further(index), Dtype::U8, vec![bytes.len()], bytes));
        }
        let mut views = file.tensors();
        for (name, dtype, shape, bytes) in &added {
            let view = TensorView::new(*dtype, shape.clone(), bytes).map_err(container)?;
            views.push((name.clone(), view));
        }
        let file = safetensors::serialize(views, Some(texts)).map_err(container)?;
        // The same detector must give the same bytes.
        sort_header(&file).ok_or_else(|| settings("no header".to_owned()))
    }

    /// Reads a detector from the contents of its file.
    ///
    /// # Errors
    /// As [`load`](Detector::load), with [`ae_model::Error::Bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Detector, EvalError> {
        let (texts, file) = opened(bytes)?;
        // The header decides, before anything is read from the file.
        let Some(json) = texts.get(KEY) else {
            let is_model = texts.contains_key(MODEL_KEY);
            return Err(kind(if is_model {
                FileErrorKind::NotADetector
            } else {
                FileErrorKind::NotAModel { key: MODEL_KEY }
            }));
        };
        let model = Autoencoder::from_bytes(bytes)?;
        let Version { format } = serde_json::from_str(json).map_err(|error| settings(error.to_string()))?;
        let edition = match format {
            1 => Edition::Features,
            2 => Edition::Columns,
            3 => Edition::Residuals,
            FORMAT => Edition::Known,
            version => return Err(kind(FileErrorKind::Version { version, supported: FORMAT })),
        };
        let header: Header = serde_json::from_str(json).map_err(|error| settings(error.to_string()))?;
        let score = header.score.parse::<Score>();
        let score = score.map_err(|_| settings(format!("unknown score '{}'", header.score)))?;
        if header.neighbours == 0 {
            return Err(settings("neighbours must be at least 1".to_owned()));
        }
        let reference = read_reference(&file, &model, edition)?;
        let rows = reference.rows();
        let mut further_models = Vec::new();
        while let Ok(tensor) = file.tensor(&further(further_models.len())) {
            let other = Autoencoder::from_bytes(tensor.data())?;
            if other.config().input_dim() != reference.features() {
                return Err(settings("a further model has other features".to_owned()));
            }
            further_models.push(other);
        }
        let known = 5 + further_models.len();
        let beside = |name: &&str| name.starts_with("detector.");
        if file.names().into_iter().filter(beside).count() != known {
            return Err(settings("unknown detector tensors".to_owned()));
        }
        let unfitted = UnfittedDetector {
            score,
            edition,
            neighbours: header.neighbours,
            threads: threads::count(None),
            model,
            further_models,
        };
        let reference = Block::new(&unfitted.model, reference, &memory::indices(0..rows)?)?;
        let (context, components) = unfitted.components(&reference)?;
        let scales = numbers(&file, "typical", components.len())?;
        if let Some(index) = scales.iter().position(|x| !(x.is_finite() && *x > 0.0)) {
            return Err(wrong_value("typical", index, scales[index]));
        }
        let training_scores = numbers(&file, "training_scores", rows)?;
        let count = file.tensor("detector.calibration").map_or(1, |tensor| tensor.shape().iter().product());
        let calibration = Calibration::new(numbers(&file, "calibration", count)?)
            .map_err(|error| settings(format!("calibration: {error}")))?;
        let threshold = numbers(&file, "threshold", 1)?[0];
        Ok(Detector {
            score,
            edition,
            context,
            components,
            reference,
            scales,
            training_scores,
            calibration,
            threshold,
        })
    }
}

/// The entries of the header, and the tensors.
fn opened(bytes: &[u8]) -> Result<(HashMap<String, String>, SafeTensors<'_>), EvalError> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(container)?;
    let file = SafeTensors::deserialize(bytes).map_err(container)?;
    Ok((metadata.metadata().clone().unwrap_or_default(), file))
}

/// The tensor name of the further model at this index.
fn further(index: usize) -> String {
    format!("detector.model.{}", index + 1)
}

/// The rows that the detector was fitted on, with the model's column names.
fn read_reference(
    file: &SafeTensors<'_>,
    model: &Autoencoder,
    edition: Edition,
) -> Result<Dataset, EvalError> {
    let features = model.config().input_dim();
    let rows = file.tensor("detector.reference").ok().and_then(|tensor| tensor.shape().first().copied());
    let bytes = data(file, "reference", Dtype::F32, &[rows.unwrap_or_default(), features])?;
    let values: Vec<f32> = bytes.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect();
    let may_miss = edition >= Edition::Known && model.config().mask_missing();
    if let Some(index) = values.iter().position(|x| !(x.is_finite() || may_miss && x.is_nan())) {
        return Err(wrong_value("reference", index, f64::from(values[index])));
    }
    let rows = Dataset::new(values, features)?;
    check_row_count(&rows)?;
    match model.feature_names() {
        Some(names) => Ok(rows.with_names(names.to_vec())?),
        None => Ok(rows),
    }
}

/// The `count` values of a tensor, none of them NaN.
fn numbers(file: &SafeTensors<'_>, name: &str, count: usize) -> Result<Vec<f64>, EvalError> {
    let bytes = data(file, name, Dtype::F64, &[count])?;
    let values: Vec<f64> = bytes.as_chunks().0.iter().map(|x| f64::from_le_bytes(*x)).collect();
    match values.iter().position(|x| x.is_nan()) {
        Some(index) => Err(wrong_value(name, index, f64::NAN)),
        None => Ok(values),
    }
}

/// The bytes of a tensor, whose type and shape are checked.
fn data<'a>(
    file: &SafeTensors<'a>,
    name: &str,
    dtype: Dtype,
    shape: &[usize],
) -> Result<&'a [u8], EvalError> {
    let name = format!("detector.{name}");
    let Ok(tensor) = file.tensor(&name) else { return Err(kind(FileErrorKind::MissingTensor { name })) };
    if tensor.dtype() != dtype || tensor.shape() != shape {
        let got = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
        return Err(kind(FileErrorKind::TensorShape { name, got, expected: format!("{dtype:?} {shape:?}") }));
    }
    Ok(tensor.data())
}

fn kind(kind: FileErrorKind) -> EvalError {
    ae_model::Error::Bytes(kind).into()
}

fn settings(what: String) -> EvalError {
    kind(FileErrorKind::Settings(what))
}

fn container(error: safetensors::SafeTensorError) -> EvalError {
    kind(FileErrorKind::Container(error.to_string()))
}

fn wrong_value(name: &str, index: usize, value: f64) -> EvalError {
    kind(FileErrorKind::TensorValue { name: format!("detector.{name}"), index, value })
}

/// Adds the path of the file to an error about its bytes.
fn at(path: &Path, error: EvalError) -> EvalError {
    match error {
        EvalError::Model(ae_model::Error::Bytes(kind)) => {
            ae_model::Error::File { path: path.to_owned(), kind }.into()
        }
        error => error,
    }
}

#[cfg(test)]
mod tests;
