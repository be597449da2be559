//! `--log-dir`: what became of each epoch, for people with scripts (JSON lines) and for TensorBoard.

use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use ae_eval::EventWriter;
use ae_model::{Callback, EpochRecord};
use serde_json::json;

use crate::failure::Failure;

/// The file of objects, which `ae report --history` reads.
const LINES: &str = "epochs.jsonl";

/// Files that grow by an epoch at a time. When one of them cannot be written, training goes on without them.
pub(super) struct Log {
    lines: File,
    events: EventWriter<File>,
    /// Rows that an epoch learns from.
    rows: usize,
    failed: Option<io::Error>,
}

/// Refuses a folder that holds anything, before time is spent on what goes there: a run never mixes with another one.
pub(super) fn check(folder: &Path) -> Result<(), Failure> {
    let named = |what: &str| format!("--log-dir {}: {what}", folder.display());
    if !folder.exists() {
        return Ok(());
    }
    if !folder.is_dir() {
        return Err(Failure::Usage(named("this is no folder")));
    }
    let mut entries = std::fs::read_dir(folder).map_err(|error| Failure::Other(named(&error.to_string())))?;
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(Failure::Usage(named("it is not empty; each run has a folder of its own"))),
    }
}

impl Log {
    /// Makes the folder and starts the files.
    pub(super) fn create(folder: &Path, rows: usize) -> Result<Log, Failure> {
        let start = || -> io::Result<Log> {
            std::fs::create_dir_all(folder)?;
            let now = wall_time();
            let name = format!("events.out.tfevents.{}.ae", now as u64);
            Ok(Log {
                lines: new_file(folder.join(LINES))?,
                events: EventWriter::new(new_file(folder.join(name))?, now)?,
                rows,
                failed: None,
            })
        };
        start().map_err(|error| Failure::Other(format!("--log-dir {}: {error}", folder.display())))
    }

    /// Why the files end before training did.
    pub(super) fn failed(&self) -> Option<&io::Error> {
        self.failed.as_ref()
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
        writeln!(self.lines, "{object}")?;
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
        self.events.scalars(wall_time(), record.epoch as u64, &known)
    }
}

impl Callback for Log {
    fn on_epoch_end(&mut self, record: &EpochRecord) -> ControlFlow<String> {
        if self.failed.is_none() {
            self.failed = self.write(record).err();
        }
        ControlFlow::Continue(())
    }
}

/// A file that was not there.
fn new_file(path: PathBuf) -> io::Result<File> {
    File::create_new(path)
}

/// Seconds since 1970.
fn wall_time() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
