//! `--log-dir`: a log of the epochs as JSON lines, for scripts, and as TensorBoard events.

use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ae_data::Fingerprint;
use ae_eval::EventWriter;
use ae_model::{Callback, EpochRecord, Snapshot};
use serde_json::json;

use crate::failure::Failure;

/// The file of JSON lines, which `ae report --history` reads.
const LINES: &str = "epochs.jsonl";
/// How the names of event files begin, and how those of this program end.
const EVENTS: &str = "events.out.tfevents.";
const OUR_EVENTS: &str = ".ae";

/// Log files that grow with each epoch. If writing fails, training continues without them.
pub(super) struct Log {
    folder: PathBuf,
    /// Identifies the training run in the names of its event files.
    training: Fingerprint,
    files: Option<Files>,
    /// Number of training rows.
    rows: usize,
    failed: Option<io::Error>,
}

struct Files {
    lines: File,
    events: EventWriter<File>,
}

/// Refuses a folder that holds anything but the `others`, files of this run, so that runs never mix.
///
/// If a checkpoint is resumed (`resumes`), there may be a log too; [`Log::resume`] checks whose it is.
pub(super) fn check(folder: &Path, resumes: bool, others: &[&Path]) -> Result<(), Failure> {
    let named = |what: &str| format!("--log-dir {}: {what}", folder.display());
    let place = |path: &Path| path.canonicalize().ok();
    let others: Vec<PathBuf> = others.iter().filter_map(|path| place(path)).collect();
    if !folder.exists() {
        return Ok(());
    }
    if !folder.is_dir() {
        return Err(Failure::Usage(named("this is not a folder")));
    }
    let failed = |error: io::Error| Failure::Other(named(&error.to_string()));
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_ours = place(&path).is_some_and(|path| others.contains(&path));
        if !is_ours && !(resumes && is_of_a_log(&path)) {
            return Err(Failure::Usage(named("it is not empty; each run needs a folder of its own")));
        }
    }
    Ok(())
}

fn is_of_a_log(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == LINES) || is_events(path, OUR_EVENTS)
}

fn is_events(path: &Path, ending: &str) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.starts_with(EVENTS) && name.ends_with(ending)
}

/// The event files in a folder whose names end with `ending`.
fn events_of(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| is_events(path, ending)).collect()
}

/// How the names of a training run's event files end.
fn ending(training: Fingerprint) -> String {
    format!(".{:016x}{OUR_EVENTS}", training.bits())
}

impl Log {
    /// Creates the folder and starts the files.
    pub(super) fn create(folder: &Path, rows: usize, training: Fingerprint) -> Result<Log, Failure> {
        let files = Files::start(folder, training)
            .map_err(|error| Failure::Other(format!("--log-dir {}: {error}", folder.display())))?;
        Ok(Log { files: Some(files), folder: folder.to_owned(), training, rows, failed: None })
    }

    /// A log that replaces the existing one of the same training run as soon as the run resumes; an
    /// error if there is the log of another run.
    pub(super) fn resume(folder: &Path, rows: usize, training: Fingerprint) -> Result<Log, Failure> {
        let log = Log { folder: folder.to_owned(), training, files: None, rows, failed: None };
        let (known, own) = (events_of(folder, OUR_EVENTS), events_of(folder, &ending(training)));
        if known.len() != own.len() || (own.is_empty() && folder.join(LINES).exists()) {
            let text = format!("--log-dir {}: it holds the log of another training run", folder.display());
            return Err(Failure::Usage(text));
        }
        Ok(log)
    }

    /// Why writing stopped before training did, if it did.
    pub(super) fn failed(&self) -> Option<&io::Error> {
        self.failed.as_ref()
    }

    /// Writes the epoch unless writing has failed before.
    fn add(&mut self, record: &EpochRecord) {
        if self.failed.is_none() {
            self.failed = self.write(record).err();
        }
    }

    fn write(&mut self, record: &EpochRecord) -> io::Result<()> {
        let rate = self.rows as f64 / record.seconds;
        let object = json!({
            "event": "epoch",
            "epoch": record.epoch,
            "train_loss": record.train_loss,
            "validation_loss": record.validation_loss,
            "train_mse": record.train_mse,
            "validation_mse": record.validation_mse,
            "learning_rate": record.learning_rate,
            "seconds": record.seconds,
            "rows_per_second": rate,
        });
        let files = match &mut self.files {
            Some(files) => files,
            None => self.files.insert(Files::start(&self.folder, self.training)?),
        };
        writeln!(files.lines, "{object}")?;
        let values = [
            ("loss/train", Some(record.train_loss)),
            ("loss/validation", record.validation_loss),
            ("mse/train", Some(record.train_mse)),
            ("mse/validation", record.validation_mse),
            ("learning_rate", Some(record.learning_rate)),
            ("speed/seconds", Some(record.seconds)),
            ("speed/rows_per_second", Some(rate)),
        ];
        let known: Vec<(&str, f64)> =
            values.into_iter().filter_map(|(tag, value)| Some((tag, value?))).collect();
        files.events.scalars(wall_time(), record.epoch as u64, &known)
    }
}

impl Files {
    /// Starts the files, replacing those of the same training run.
    fn start(folder: &Path, training: Fingerprint) -> io::Result<Files> {
        std::fs::create_dir_all(folder)?;
        for path in events_of(folder, &ending(training)) {
            std::fs::remove_file(path)?;
        }
        let now = wall_time();
        let events = format!("{EVENTS}{}{}", now as u64, ending(training));
        Ok(Files {
            lines: File::create(folder.join(LINES))?,
            events: EventWriter::new(new_file(folder.join(events))?, now)?,
        })
    }
}

impl Callback for Log {
    fn on_resume(&mut self, epochs: &[EpochRecord]) {
        for record in epochs {
            self.add(record);
        }
    }

    fn on_epoch_end(&mut self, record: &EpochRecord, _: &Snapshot<'_>) -> ControlFlow<String> {
        self.add(record);
        ControlFlow::Continue(())
    }
}

/// Creates a file; an error if it exists.
fn new_file(path: PathBuf) -> io::Result<File> {
    File::create_new(path)
}

/// Seconds since 1970.
fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
