//! Checkpoints: files from which a training continues as if it had not been stopped.
//!
//! A checkpoint is a model file (`file.rs`) of the weights reached so far, plus what else the training
//! continues from: the tensors of the engine's state (`engine/memory.rs`); `training.best`, the parameters
//! of the best epoch, where early stopping has seen one; and [`Header`], as JSON under `ae.training`. No
//! state of a random generator is needed: what is drawn depends on the seed and the number of updates.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ae_data::{Fingerprint, write_atomically};
use safetensors::tensor::SafeTensors;
use serde::{Deserialize, Serialize};

use super::stopping::{Best, Divergence};
use super::{CurrentEpoch, Progress};
use crate::config::Config;
use crate::engine::{Engine, LatentState, SavedState, tensor};
use crate::error::{Error, FileErrorKind};
use crate::file::{Contents, HeaderInfo, TRAINING_KEY, at, verify_digest};
use crate::history::{EpochRecord, History, StopReason};
use crate::schedule::Plateau;
use crate::step::Arithmetic;

/// The version of what a checkpoint adds to a model file.
const FORMAT: u64 = 1;

/// Where a training writes its checkpoint, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoints {
    path: PathBuf,
    every: Duration,
}

impl Checkpoints {
    /// A checkpoint at `path`, written once a minute and at the end.
    pub fn at(path: impl Into<PathBuf>) -> Checkpoints {
        Checkpoints { path: path.into(), every: Duration::from_secs(60) }
    }

    /// Sets how often the checkpoint is written: after the first update once this much time has passed.
    /// The interval affects no result.
    #[must_use]
    pub fn every(self, every: Duration) -> Checkpoints {
        Checkpoints { every, ..self }
    }

    /// The checkpoint file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A checkpoint's description of its training.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u64,
    /// The fingerprint of the rows, their scaling, what they hold, and the initial weights.
    fingerprint: u64,
    /// The arithmetic its bits depend on: [`Engine::arithmetic`].
    arithmetic: String,
    /// The durations of the finished epochs.
    seconds: Vec<f64>,
    #[serde(rename = "under_way")]
    current_epoch: CurrentEpoch,
    plateau: Plateau,
    divergence: Divergence,
    best: Option<Best>,
    /// Threshold, batches and last value of a batch top-k latent.
    latent: Option<LatentState>,
}

/// The contents of a checkpoint.
#[derive(Debug)]
pub(crate) struct Checkpoint {
    epochs: Vec<EpochRecord>,
    current_epoch: CurrentEpoch,
    plateau: Plateau,
    divergence: Divergence,
    best: Option<(Best, Vec<f64>)>,
    state: SavedState,
}

impl Checkpoint {
    /// Reads the checkpoint, if there is one, of a training of `engine` by `config`. Refuses it unless
    /// it belongs to this very training.
    pub(crate) fn read<T: Arithmetic>(
        checkpoints: &Checkpoints,
        config: &Config,
        fingerprint: Fingerprint,
        rows: usize,
        engine: &Engine<T>,
    ) -> Result<Option<Checkpoint>, Error> {
        let path = checkpoints.path();
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(path, error.into())),
        };
        let (file, header, there, history) = parsed(&bytes).map_err(|kind| at(path, kind))?;
        let epochs = history.epochs.len();
        let begun = epochs + usize::from(header.current_epoch.batches > 0);
        let batch_size = config.batch_size_for(rows);
        let arithmetic = engine.arithmetic(batch_size);
        let differs = differences((config, begun), &there, rows).or_else(|| {
            if header.fingerprint != fingerprint.bits() {
                return Some("its rows, their scale or its first weights are others".to_owned());
            }
            let there = &header.arithmetic;
            (there != arithmetic).then(|| {
                format!("its arithmetic is {there}, and here it is {arithmetic}: another CPU, or AE_ISA")
            })
        });
        match differs {
            // Nothing had been learnt yet.
            Some(_) if begun == 0 => return Ok(None),
            Some(differs) => return Err(Error::OtherTraining { path: path.to_owned(), differs }),
            None => {}
        }
        let batches = rows.div_ceil(batch_size);
        Checkpoint::of(&file, header, history, (config, batches), engine)
            .map(Some)
            .map_err(|kind| at(path, kind))
    }

    fn of<T: Arithmetic>(
        file: &SafeTensors<'_>,
        header: Header,
        history: History,
        (config, batches): (&Config, usize),
        engine: &Engine<T>,
    ) -> Result<Checkpoint, FileErrorKind> {
        let view = engine.state_view();
        let wrong = |what: &str| Err(FileErrorKind::Settings(format!("{what} of the training cannot be")));
        let Header { seconds, current_epoch, plateau, divergence, best, latent, .. } = header;
        let epochs = history.epochs.len();
        let updates =
            (epochs as u64).saturating_mul(batches as u64).saturating_add(current_epoch.batches as u64);
        if seconds.len() != epochs || current_epoch.batches > batches {
            return wrong("the progress");
        }
        let stops_early = config.early_stopping().is_some();
        if best.as_ref().is_some_and(|best| !stops_early || !(1..=epochs).contains(&best.epoch())) {
            return wrong("the best epoch");
        }
        Ok(Checkpoint {
            epochs: (history.epochs.into_iter().zip(seconds))
                .map(|(record, seconds)| EpochRecord { seconds, ..record })
                .collect(),
            current_epoch,
            plateau,
            divergence,
            best: best
                .map(|best| Ok::<_, FileErrorKind>((best, view.parameters_named("best", file)?)))
                .transpose()?,
            state: view.read(file, (updates, latent))?,
        })
    }
}

/// The tensors of a checkpoint, its header, and the configuration and history of its training.
fn parsed(bytes: &[u8]) -> Result<(SafeTensors<'_>, Header, Config, History), FileErrorKind> {
    let HeaderInfo { config, history, texts } = HeaderInfo::read(bytes)?;
    let text = texts.get(TRAINING_KEY).ok_or(FileErrorKind::NotACheckpoint)?;
    let settings = |error: serde_json::Error| FileErrorKind::Settings(error.to_string());
    let value: serde_json::Value = serde_json::from_str(text).map_err(settings)?;
    match value["format"].as_u64() {
        Some(version) if version > FORMAT => {
            return Err(FileErrorKind::Version { version, supported: FORMAT });
        }
        _ => {}
    }
    let file = SafeTensors::deserialize(bytes).map_err(|e| FileErrorKind::Container(e.to_string()))?;
    verify_digest(&file, &texts)?;
    let header: Header = serde_json::from_value(value).map_err(settings)?;
    let history = history.ok_or_else(|| FileErrorKind::Settings("it has no history".to_owned()))?;
    Ok((file, header, config, history))
}

/// Why a training of `config` on `rows` rows cannot continue from a checkpoint of a training of `there`
/// in which `begun` epochs had begun; `None` if it can.
fn differences((config, begun): (&Config, usize), there: &Config, rows: usize) -> Option<String> {
    let of = |config: &Config| match serde_json::to_value(config) {
        Ok(serde_json::Value::Object(settings)) => settings,
        _ => serde_json::Map::new(),
    };
    let same_batches = config.batch_size_for(rows) == there.batch_size_for(rows);
    let (of_here, of_there) = (of(config), of(there));
    let names: BTreeSet<&String> = of_here.keys().chain(of_there.keys()).collect();
    let differs = |name: &&&String| match name.as_str() {
        "epochs" => false,
        "batch_size" => !same_batches,
        _ => of_here.get(**name) != of_there.get(**name),
    };
    let value = |settings: &serde_json::Map<String, serde_json::Value>, name: &String| {
        settings.get(name).map_or_else(|| "unset".to_owned(), ToString::to_string)
    };
    let differences: Vec<String> = (names.iter().filter(differs))
        .map(|name| {
            format!("its {name} is {}, and here it is {}", value(&of_there, name), value(&of_here, name))
        })
        .collect();
    if !differences.is_empty() {
        return Some(differences.join("; "));
    }
    if there.epochs() != config.epochs() && !config.schedule().is_open_ended() {
        let schedule = config.schedule().name();
        return Some(format!(
            "its epochs are {}, and here they are {}, on which the {schedule} schedule depends",
            there.epochs(),
            config.epochs()
        ));
    }
    (begun > config.epochs())
        .then(|| format!("it is in epoch {begun} already, and epochs is {}", config.epochs()))
}

impl<T: Arithmetic> Progress<T> {
    /// Restores the saved progress and the engine's state.
    pub(super) fn restore(&mut self, saved: Checkpoint, engine: &mut Engine<T>) {
        engine.restore(&saved.state);
        self.history.epochs.extend(saved.epochs);
        (self.current_epoch, self.plateau, self.divergence) =
            (saved.current_epoch, saved.plateau, saved.divergence);
        if let Some((best, weights)) = saved.best {
            self.stopper.restore(best, &weights);
        }
    }
}

/// Writes the checkpoints of a training.
pub(crate) struct CheckpointWriter<'a> {
    checkpoints: &'a Checkpoints,
    contents: Contents<'a>,
    fingerprint: Fingerprint,
    written: Instant,
}

impl<'a> CheckpointWriter<'a> {
    pub(crate) fn new(
        checkpoints: &'a Checkpoints,
        contents: Contents<'a>,
        fingerprint: Fingerprint,
    ) -> Self {
        CheckpointWriter { checkpoints, contents, fingerprint, written: Instant::now() }
    }

    /// Whether the next checkpoint is due.
    pub(super) fn is_due(&self) -> bool {
        self.written.elapsed() >= self.checkpoints.every
    }

    /// Writes a checkpoint while training goes on. A failure is retried at the next interval: the
    /// weights may just have become infinite, which the next batch will report, or the disk may be full.
    pub(super) fn try_to_write<T: Arithmetic>(&mut self, engine: &mut Engine<T>, progress: &Progress<T>) {
        let _ = self.write(engine, progress, false);
        self.written = Instant::now();
    }

    /// Writes a checkpoint of the current progress or, if training has `ended`, of its end.
    pub(super) fn write<T: Arithmetic>(
        &mut self,
        engine: &mut Engine<T>,
        progress: &Progress<T>,
        ended: bool,
    ) -> Result<(), Error> {
        let path = self.checkpoints.path();
        let used = engine.uses_mean();
        engine.use_mean(true);
        let bytes = self.bytes(engine, progress, ended);
        engine.use_mean(used);
        let bytes = bytes.map_err(|kind| at(path, kind))?;
        write_atomically(path, |file| std::io::Write::write_all(file, &bytes))
            .map_err(|error| at(path, error.into()))
    }

    fn bytes<T: Arithmetic>(
        &self,
        engine: &Engine<T>,
        progress: &Progress<T>,
        ended: bool,
    ) -> Result<Vec<u8>, FileErrorKind> {
        let Progress { history, current_epoch, plateau, divergence, stopper } = progress;
        let stopped = if ended { history.stopped.clone() } else { StopReason::Cancelled };
        let so_far = History { stopped, kept_epoch: history.epochs.len(), ..history.clone() };
        let view = engine.state_view();
        let mut file = self.contents.assemble(engine, (true, Some(&so_far)))?;
        view.put(&mut file)?;
        let best = stopper.state();
        if let Some((_, weights)) = best {
            file.put(tensor("best"), vec![weights.len()], weights)?;
        }
        let header = Header {
            format: FORMAT,
            fingerprint: self.fingerprint.bits(),
            arithmetic: engine.arithmetic(history.batch_size).to_owned(),
            seconds: history.epochs.iter().map(|record| record.seconds).collect(),
            current_epoch: *current_epoch,
            plateau: *plateau,
            divergence: *divergence,
            best: best.map(|(best, _)| best),
            latent: view.latent(),
        };
        let json = serde_json::to_string(&header).map_err(|e| FileErrorKind::Settings(e.to_string()))?;
        file.set_metadata(TRAINING_KEY, json);
        file.add_digest();
        file.into_bytes()
    }
}
