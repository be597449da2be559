//! The models of a sweep: for encoding sizes, or for values of another flag of `ae train`.

use std::ffi::OsString;

use ae_eval::SweepPoint;
use ae_model::Config;

use super::super::train::configure;
use crate::args::{Rate, SweepArgs, TrainArgs, Validation};
use crate::failure::Failure;
use crate::inputs::check_output;
use crate::settings;
use crate::training::TrainingRows;

/// Flags that all models share, so that they can be compared: the rows, the held-out rows, the scale of
/// errors, and the outputs.
const COMMON: [&str; 24] = [
    "array",
    "categorical",
    "config",
    "delimiter",
    "drop",
    "header",
    "help",
    "id",
    "image",
    "json",
    "label",
    "missing",
    "no-header",
    "normal",
    "numeric",
    "output",
    "quiet",
    "restart",
    "scale",
    "seed",
    "sizes",
    "threads",
    "validation",
    "vary",
];

/// One model of a sweep.
pub(super) struct Trial {
    /// `flag=value`; empty if sizes are varied.
    pub(super) setting: String,
    pub(super) config: Config,
}

impl Trial {
    /// Size of the encoding.
    pub(super) fn size(&self) -> usize {
        self.config.encoding_dim()
    }

    /// Its name in messages.
    pub(super) fn name(&self) -> String {
        named(&self.setting, self.size())
    }

    /// The value that distinguishes it from the others.
    pub(super) fn value(&self) -> String {
        value(&self.setting, self.size())
    }
}

/// The name in messages of a model of this setting and size.
pub(super) fn named(setting: &str, size: usize) -> String {
    if setting.is_empty() { format!("size {size}") } else { setting.to_owned() }
}

/// The value of the setting, or the size if the setting is empty.
pub(super) fn value(setting: &str, size: usize) -> String {
    setting.split_once('=').map_or_else(|| size.to_string(), |(_, value)| value.to_owned())
}

/// Refuses invalid arguments before any file is read.
pub(super) fn check(args: &SweepArgs) -> Result<(), Failure> {
    let training = &args.training;
    match &args.vary {
        None if training.encoding_dim.is_some() => {
            return Err(Failure::Usage("--encoding-dim: the sizes of a sweep are set by --sizes".to_owned()));
        }
        Some(vary) if vary.flag == "encoding-dim" => {
            return Err(Failure::Usage(
                "--vary encoding-dim: the sizes of a sweep are set by --sizes".to_owned(),
            ));
        }
        Some(vary) if COMMON.contains(&vary.flag.as_str()) => {
            let text = format!(
                "--vary {}: all models of a sweep share this setting, so that they can be compared",
                vary.flag
            );
            return Err(Failure::Usage(text));
        }
        _ => {}
    }
    check_training(training)?;
    let Some(path) = &training.output else { return Ok(()) };
    if !path.extension().is_some_and(|end| end.eq_ignore_ascii_case("csv")) {
        return Err(Failure::Usage(format!("-o {}: results are written as .csv", path.display())));
    }
    check_output(path)
}

fn check_training(training: &TrainArgs) -> Result<(), Failure> {
    if training.log_dir.is_some() {
        return Err(Failure::Usage("--log-dir is for ae train: -o keeps the results of a sweep".to_owned()));
    }
    if training.checkpoint.is_some() {
        let text = "--checkpoint is for ae train: a sweep resumes from its -o file";
        return Err(Failure::Usage(text.to_owned()));
    }
    if training.robust.is_some() {
        return Err(Failure::Usage("--robust is for ae train".to_owned()));
    }
    if training.target.is_some() {
        return Err(Failure::Usage("--target is for ae train and ae evaluate".to_owned()));
    }
    if training.learning_rate == Some(Rate::Auto) {
        return Err(Failure::Usage(
            "--learning-rate: auto is for ae train; a sweep needs a number".to_owned(),
        ));
    }
    if training.validation == Validation::Share(0.0) {
        return Err(Failure::Usage(
            "--validation: it must be above 0, as models are compared on held-out rows".to_owned(),
        ));
    }
    Ok(())
}

/// All models to train, in the given order; sizes in ascending order.
pub(super) fn all(args: &SweepArgs, rows: &TrainingRows) -> Result<Vec<Trial>, Failure> {
    if let Some(vary) = &args.vary {
        let settings = vary.values.iter().map(|value| format!("{}={value}", vary.flag));
        let words = settings::words("sweep", args.training.config.as_deref())?;
        let trial = |setting: String| Ok(Trial { config: varied(&words, &setting, rows)?, setting });
        return settings.map(trial).collect();
    }
    let sizes = args.sizes.iter().flat_map(|sizes| &sizes.0);
    sizes.map(|size| Ok(Trial { setting: String::new(), config: sized(args, *size, rows)? })).collect()
}

/// The configuration that would give this result now; an error if this sweep varies something else.
pub(super) fn again(args: &SweepArgs, point: &SweepPoint, rows: &TrainingRows) -> Result<Config, Failure> {
    let flag = point.setting.split_once('=').map(|(flag, _)| flag);
    if flag != args.vary.as_ref().map(|vary| vary.flag.as_str()) {
        return Err(Failure::Other("another setting is varied".to_owned()));
    }
    match flag {
        None => sized(args, point.size, rows),
        Some(_) => {
            let words = settings::words("sweep", args.training.config.as_deref())?;
            varied(&words, &point.setting, rows)
        }
    }
}

fn sized(args: &SweepArgs, size: usize, rows: &TrainingRows) -> Result<Config, Failure> {
    configure(&args.training, Some(size), rows).map_err(|failure| match failure {
        Failure::Usage(text) => Failure::Usage(text.replacen("--encoding-dim", "--sizes", 1)),
        failure => failure,
    })
}

fn varied(words: &[OsString], setting: &str, rows: &TrainingRows) -> Result<Config, Failure> {
    let varied = settings::varied(words, setting)?;
    check_training(&varied)?;
    configure(&varied, varied.encoding_dim, rows).map_err(|failure| match failure {
        Failure::Usage(text) => Failure::Usage(format!("--vary {setting}: {text}")),
        failure => failure,
    })
}
