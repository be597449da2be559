//! Training progress: a bar on a terminal, a few lines elsewhere, or a JSON object per epoch.

use std::io::Write;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ae_model::{BatchEnd, Callback, EpochRecord, Snapshot};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

/// Shows training progress.
pub(crate) enum Progress {
    Bar {
        bar: ProgressBar,
        epochs: u64,
        shown: Instant,
        last: Option<EpochRecord>,
    },
    /// A line for the first epoch, for every `every`-th one and for the last.
    Lines {
        epochs: usize,
        every: usize,
    },
    Json,
    Silent,
}

/// Minimum time between two redraws of the bar.
const FRAME: Duration = Duration::from_millis(80);
/// About how many lines a whole training run prints.
const LINES: usize = 20;

impl Progress {
    pub(crate) fn bar(epochs: usize) -> Progress {
        let bar = ProgressBar::new(epochs as u64 * 1000);
        // If the template were invalid, there would still be a bar in the default style.
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {msg}  {eta} left") {
            bar.set_style(style.progress_chars("━╸ "));
        }
        Progress::Bar { bar, epochs: epochs as u64, shown: Instant::now(), last: None }
    }

    pub(crate) fn lines(epochs: usize) -> Progress {
        Progress::Lines { epochs, every: epochs.div_ceil(LINES) }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Progress::Bar { bar, .. } = self {
            bar.finish_and_clear();
        }
    }
}

fn losses(record: &EpochRecord) -> String {
    match record.validation_mse {
        Some(validation) => format!("train MSE {:.6}  validation MSE {validation:.6}", record.train_mse),
        None => format!("train MSE {:.6}", record.train_mse),
    }
}

impl Callback for Progress {
    fn on_resume(&mut self, epochs: &[EpochRecord]) {
        let text = format!("resuming after epoch {}", epochs.len());
        match self {
            Progress::Bar { bar, last, .. } => {
                *last = epochs.last().copied();
                bar.println(text);
            }
            Progress::Lines { .. } => {
                let _ = writeln!(std::io::stderr(), "{text}");
            }
            Progress::Json => {
                // A closed output is noticed after the next epoch.
                let object = json!({ "event": "resumed", "epochs": epochs.len() });
                let _ = writeln!(std::io::stdout(), "{object}");
            }
            Progress::Silent => {}
        }
    }

    fn on_batch_end(&mut self, end: &BatchEnd) -> ControlFlow<String> {
        if let Progress::Bar { bar, epochs, shown, last } = self
            && shown.elapsed() >= FRAME
        {
            *shown = Instant::now();
            bar.set_position((end.epoch as u64 - 1) * 1000 + (end.batch * 1000 / end.batches) as u64);
            let losses = last.as_ref().map_or_else(|| format!("batch MSE {:.6}", end.mse), losses);
            bar.set_message(format!("epoch {}/{epochs}  {losses}", end.epoch));
        }
        ControlFlow::Continue(())
    }

    fn on_epoch_end(&mut self, record: &EpochRecord, _: &Snapshot<'_>) -> ControlFlow<String> {
        match self {
            Progress::Bar { last, .. } => *last = Some(*record),
            Progress::Lines { epochs, every } => {
                if record.epoch == 1 || record.epoch.is_multiple_of(*every) || record.epoch == *epochs {
                    let text = format!("epoch {:>4}/{epochs}  {}", record.epoch, losses(record));
                    let _ = writeln!(std::io::stderr(), "{text}");
                }
            }
            Progress::Json => {
                let object = json!({
                    "event": "epoch",
                    "epoch": record.epoch,
                    "train_mse": record.train_mse,
                    "validation_mse": record.validation_mse,
                    "seconds": record.seconds,
                });
                if writeln!(std::io::stdout(), "{object}").is_err() {
                    return ControlFlow::Break("standard output was closed".to_owned());
                }
            }
            Progress::Silent => {}
        }
        ControlFlow::Continue(())
    }
}
