//! Checkpoints: files from which a training goes on as if it had not been stopped.
//!
//! A checkpoint is a model file (`file.rs`) of the weights that the training has reached, with what else it goes on from:
//!
//! | tensor | type | shape |
//! |---|---|---|
//! | `training.parameters` | of the precision | all parameters, in panels |
//! | `training.state` | of the precision | of the optimiser, in panels |
//! | `training.mean`, with a running mean of the weights | of the precision | as the parameters |
//! | `training.best`, where early stopping has seen an epoch | of the precision | as the parameters |
//! | `training.silent`, where features are revived | U64 | `[encoding_dim]` |
//!
//! and, as JSON under `ae.training`, [`Header`]. Nothing random is in it: what is drawn depends on the seed and on how many updates
//! there were.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ae_data::{Fingerprint, write_atomically};
use safetensors::tensor::SafeTensors;
use serde::{Deserialize, Serialize};

use super::stopping::{Best, Divergence};
use super::{Progress, UnderWay};
use crate::config::Config;
use crate::engine::{Engine, Memories, Memory};
use crate::error::{Error, FileErrorKind};
use crate::file::{About, Contents, OF_TRAINING, Stored, TRAINING_KEY, at, check_shape, values};
use crate::history::{EpochRecord, History, StopReason};
use crate::schedule::Plateau;
use crate::step::Arithmetic;

/// The version of what is added to a model file.
const FORMAT: u64 = 1;
/// Updates and epochs beyond which a file is not believed.
const MOST: u64 = 1 << 53;

/// Where a training keeps what it can be gone on from, and how often it writes that down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    path: PathBuf,
    every: Duration,
}

impl Checkpoints {
    /// In this file, once a minute and at the end.
    pub fn at(path: impl Into<PathBuf>) -> Checkpoints {
        Checkpoints { path: path.into(), every: Duration::from_secs(60) }
    }

    /// Written after the first update after so much time. When it is written changes no result.
    #[must_use]
    pub fn every(self, every: Duration) -> Checkpoints {
        Checkpoints { every, ..self }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What a checkpoint says of its training.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u64,
    /// Of the rows and of the weights that training began at.
    fingerprint: u64,
    /// Of the epochs that are over.
    seconds: Vec<f64>,
    under_way: UnderWay,
    plateau: Plateau,
    divergence: Divergence,
    best: Option<Best>,
    /// Threshold, batches and last value of a top-k latent of batches.
    latent: Option<(f64, u64, f64)>,
}

/// What a checkpoint holds.
#[derive(Debug)]
pub(crate) struct Saved {
    epochs: Vec<EpochRecord>,
    under_way: UnderWay,
    plateau: Plateau,
    divergence: Divergence,
    best: Option<(Best, Vec<f64>)>,
    memories: Memories,
}

impl Saved {
    /// Reads the checkpoint, if there is one, of a training of `engine` by `config`. It is refused unless it is of the very same training.
    pub(crate) fn read<T: Arithmetic>(
        checkpoints: &Checkpoints,
        config: &Config,
        fingerprint: Fingerprint,
        rows: usize,
        engine: &Engine<T>,
    ) -> Result<Option<Saved>, Error> {
        let path = checkpoints.path();
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(path, error.into())),
        };
        let (header, there, history) = parsed(&bytes).map_err(|kind| at(path, kind))?;
        let epochs = history.epochs.len();
        let differs = differences(config, &there, epochs).or_else(|| {
            (header.fingerprint != fingerprint.bits())
                .then(|| "its rows or first weights are others".to_owned())
        });
        if let Some(differs) = differs {
            return Err(Error::OtherTraining { path: path.to_owned(), differs });
        }
        let batches = rows.div_ceil(config.batch_size_for(rows));
        Saved::of(&bytes, header, history, batches, engine).map(Some).map_err(|kind| at(path, kind))
    }

    fn of<T: Arithmetic>(
        bytes: &[u8],
        header: Header,
        history: History,
        batches: usize,
        engine: &Engine<T>,
    ) -> Result<Saved, FileErrorKind> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| FileErrorKind::Container(e.to_string()))?;
        let memory = engine.memory();
        let parameters = memory.parameters.len();
        let numbers = |name: &str, len: usize| -> Result<Vec<f64>, FileErrorKind> {
            let name = format!("{OF_TRAINING}{name}");
            check_shape(&file, &name, T::DTYPE, &[len])?;
            Ok(values::<T>(&file, &name)?.into_iter().map(T::to_f64).collect())
        };
        let wrong = |what: &str| Err(FileErrorKind::Settings(format!("{what} of the training cannot be")));
        let Header { seconds, under_way, plateau, divergence, best, latent, .. } = header;
        let epochs = history.epochs.len();
        let updates = (epochs as u64).saturating_mul(batches as u64).saturating_add(under_way.batches as u64);
        if seconds.len() != epochs || under_way.batches > batches || updates > MOST {
            return wrong("the progress");
        }
        if best.as_ref().is_some_and(|best| !(1..=epochs).contains(&best.epoch())) {
            return wrong("the best epoch");
        }
        if latent.is_some() != memory.latent.is_some() || latent.is_some_and(|(_, batches, _)| batches > MOST)
        {
            return wrong("the top-k latent");
        }
        let silent = match memory.silent {
            None => None,
            Some(silent) => {
                let name = format!("{OF_TRAINING}silent");
                check_shape(&file, &name, u64::DTYPE, &[silent.len()])?;
                Some(values::<u64>(&file, &name)?)
            }
        };
        Ok(Saved {
            epochs: (history.epochs.into_iter().zip(seconds))
                .map(|(record, seconds)| EpochRecord { seconds, ..record })
                .collect(),
            under_way,
            plateau,
            divergence,
            best: best
                .map(|best| Ok::<_, FileErrorKind>((best, numbers("best", parameters)?)))
                .transpose()?,
            memories: Memories {
                time: updates,
                parameters: numbers("parameters", parameters)?,
                mean: memory.mean.map(|mean| numbers("mean", mean.len())).transpose()?,
                state: numbers("state", memory.state.len())?,
                silent,
                latent,
            },
        })
    }
}

/// What a checkpoint says, and the settings and the course of its training.
fn parsed(bytes: &[u8]) -> Result<(Header, Config, History), FileErrorKind> {
    let About { config, history, texts } = About::read(bytes)?;
    let text = texts.get(TRAINING_KEY).ok_or(FileErrorKind::NotACheckpoint)?;
    let settings = |error: serde_json::Error| FileErrorKind::Settings(error.to_string());
    let value: serde_json::Value = serde_json::from_str(text).map_err(settings)?;
    match value["format"].as_u64() {
        Some(version) if version != FORMAT => {
            return Err(FileErrorKind::Version { version, supported: FORMAT });
        }
        _ => {}
    }
    let header: Header = serde_json::from_value(value).map_err(settings)?;
    let history = history.ok_or_else(|| FileErrorKind::Settings("it has no history".to_owned()))?;
    Ok((header, config, history))
}

/// What keeps a training of `config` from going on where one of `there` was after so many epochs.
fn differences(config: &Config, there: &Config, epochs: usize) -> Option<String> {
    let of = |config: &Config| match serde_json::to_value(config) {
        Ok(serde_json::Value::Object(settings)) => settings,
        _ => serde_json::Map::new(),
    };
    let (here, there) = (of(config), of(there));
    if epochs > config.epochs() {
        return Some(format!("it is {epochs} epochs long already, and epochs is {}", config.epochs()));
    }
    let names: std::collections::BTreeSet<&String> = here.keys().chain(there.keys()).collect();
    let mut different = names.into_iter().filter(|name| here.get(*name) != there.get(*name));
    // Where no setting depends on how long it is to be, a training may become longer or shorter.
    let name = different.find(|name| name.as_str() != "epochs" || !config.schedule().is_open_ended())?;
    let value = |settings: &serde_json::Map<String, serde_json::Value>| {
        settings.get(name).map_or_else(|| "none".to_owned(), ToString::to_string)
    };
    Some(format!("its {name} is {}, and here it is {}", value(&there), value(&here)))
}

impl<T: Arithmetic> Progress<T> {
    /// Goes on from there, with the engine.
    pub(super) fn recall(&mut self, saved: Saved, engine: &mut Engine<T>) {
        engine.recall(&saved.memories);
        self.history.epochs.extend(saved.epochs);
        (self.under_way, self.plateau, self.divergence) = (saved.under_way, saved.plateau, saved.divergence);
        if let Some((best, weights)) = saved.best {
            self.stopper.recall(best, &weights);
        }
    }
}

/// Writes the checkpoints of a training.
pub(crate) struct Keeper<'a> {
    checkpoints: &'a Checkpoints,
    contents: Contents<'a>,
    fingerprint: Fingerprint,
    written: Instant,
}

impl<'a> Keeper<'a> {
    pub(crate) fn new(
        checkpoints: &'a Checkpoints,
        contents: Contents<'a>,
        fingerprint: Fingerprint,
    ) -> Self {
        Keeper { checkpoints, contents, fingerprint, written: Instant::now() }
    }

    /// Whether it is time.
    pub(super) fn is_due(&self) -> bool {
        self.written.elapsed() >= self.checkpoints.every
    }

    /// As [`Keeper::write`], but not with weights that have just become infinite, which the next batch will tell of.
    pub(super) fn write_on_the_way<T: Arithmetic>(
        &mut self,
        engine: &mut Engine<T>,
        progress: &Progress<T>,
    ) -> Result<(), Error> {
        match self.write(engine, progress) {
            Err(Error::File { kind: FileErrorKind::TensorValue { .. }, .. }) => Ok(()),
            written => written,
        }
    }

    /// Writes down where the training is.
    pub(super) fn write<T: Arithmetic>(
        &mut self,
        engine: &mut Engine<T>,
        progress: &Progress<T>,
    ) -> Result<(), Error> {
        let path = self.checkpoints.path();
        let used = engine.uses_mean();
        engine.use_mean(true);
        let bytes = self.bytes(engine, progress);
        engine.use_mean(used);
        let bytes = bytes.map_err(|kind| at(path, kind))?;
        write_atomically(path, |file| std::io::Write::write_all(file, &bytes))
            .map_err(|error| at(path, error.into()))?;
        self.written = Instant::now();
        Ok(())
    }

    fn bytes<T: Arithmetic>(
        &self,
        engine: &Engine<T>,
        progress: &Progress<T>,
    ) -> Result<Vec<u8>, FileErrorKind> {
        let Progress { history, under_way, plateau, divergence, stopper } = progress;
        let so_far =
            History { stopped: StopReason::Cancelled, kept_epoch: history.epochs.len(), ..history.clone() };
        let Memory { parameters, mean, state, silent, latent } = engine.memory();
        let mut file = self.contents.with(engine, (true, Some(&so_far)))?;
        let mut put =
            |name: &str, values: &[T]| file.put(format!("{OF_TRAINING}{name}"), vec![values.len()], values);
        put("parameters", parameters)?;
        put("state", state)?;
        mean.map(|mean| put("mean", mean)).transpose()?;
        let best = stopper.memory();
        best.map(|(_, weights)| put("best", weights)).transpose()?;
        if let Some(silent) = silent {
            file.put(format!("{OF_TRAINING}silent"), vec![silent.len()], silent)?;
        }
        let header = Header {
            format: FORMAT,
            fingerprint: self.fingerprint.bits(),
            seconds: history.epochs.iter().map(|record| record.seconds).collect(),
            under_way: *under_way,
            plateau: *plateau,
            divergence: *divergence,
            best: best.map(|(best, _)| best),
            latent: latent.map(|latent| (latent.threshold, latent.batches, latent.last)),
        };
        let json = serde_json::to_string(&header).map_err(|e| FileErrorKind::Settings(e.to_string()))?;
        file.note(TRAINING_KEY, json);
        file.into_bytes()
    }
}
