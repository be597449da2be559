//! The models of a sweep: for encoding sizes, or for values of another flag of `ae train`.

use std::ffi::OsString;

use ae_eval::{SweepPoint, SweepSetting};
use ae_model::Config;

use super::super::train::configure;
use crate::args::{Rate, SweepArgs, TrainArgs, Validation};
use crate::failure::Failure;
use crate::inputs::check_output;
use crate::settings;
use crate::training::TrainingRows;

/// Flags that all models share, so that they can be compared: the rows, the held-out rows, the scale of
/// errors, and the outputs.
const SHARED_FLAGS: [&str; 27] = [
    "array",
    "categorical",
    "config",
    "decimal",
    "delimiter",
    "drop",
    "header",
    "help",
    "id",
    "image",
    "json",
    "label",
    "missing",
    "na-values",
    "no-header",
    "normal",
    "numeric",
    "output",
    "quiet",
    "restart",
    "scale",
    "seed",
    "sizes",
    "thousands",
    "threads",
    "validation",
    "vary",
];

/// One model of a sweep.
pub(super) struct Trial {
    /// The flag and its value; `None` if sizes are varied.
    pub(super) setting: Option<SweepSetting>,
    pub(super) config: Config,
}

impl Trial {
    /// Size of the encoding.
    pub(super) fn size(&self) -> usize {
        self.config.encoding_dim()
    }

    /// Its name in messages.
    pub(super) fn name(&self) -> String {
        trial_name(self.setting.as_ref(), self.size())
    }

    /// The value that distinguishes it from the others.
    pub(super) fn value(&self) -> String {
        value(self.setting.as_ref(), self.size())
    }
}

/// The name in messages of a model of this setting and size.
pub(super) fn trial_name(setting: Option<&SweepSetting>, size: usize) -> String {
    setting.map_or_else(|| format!("size {size}"), SweepSetting::to_string)
}

/// The value of the setting, or the size if there is none.
pub(super) fn value(setting: Option<&SweepSetting>, size: usize) -> String {
    setting.map_or_else(|| size.to_string(), |setting| setting.value.clone())
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
        Some(vary) if SHARED_FLAGS.contains(&vary.flag.as_str()) => {
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
    if training.validation == Validation::Fraction(0.0) {
        return Err(Failure::Usage(
            "--validation: it must be above 0, as models are compared on held-out rows".to_owned(),
        ));
    }
    Ok(())
}

/// All models to train, in the given order; sizes in ascending order.
pub(super) fn all(args: &SweepArgs, rows: &TrainingRows) -> Result<Vec<Trial>, Failure> {
    if let Some(vary) = &args.vary {
        let settings = vary.values.iter();
        let settings = settings.map(|value| SweepSetting { name: vary.flag.clone(), value: value.clone() });
        let words = settings::expanded_args("sweep", args.training.config.as_deref())?;
        let trial = |setting: SweepSetting| {
            Ok(Trial { config: config_with_setting(&words, &setting, rows)?, setting: Some(setting) })
        };
        return settings.map(trial).collect();
    }
    let sizes = args.sizes.iter().flat_map(|sizes| &sizes.0);
    sizes.map(|size| Ok(Trial { setting: None, config: config_with_size(args, *size, rows)? })).collect()
}

/// The configuration that would give this result now; an error if this sweep varies something else.
pub(super) fn config_of(
    args: &SweepArgs,
    point: &SweepPoint,
    rows: &TrainingRows,
) -> Result<Config, Failure> {
    let flag = point.setting.as_ref().map(|setting| &setting.name);
    if flag != args.vary.as_ref().map(|vary| &vary.flag) {
        return Err(Failure::Other("another setting is varied".to_owned()));
    }
    match &point.setting {
        None => config_with_size(args, point.size, rows),
        Some(setting) => {
            let words = settings::expanded_args("sweep", args.training.config.as_deref())?;
            config_with_setting(&words, setting, rows)
        }
    }
}

fn config_with_size(args: &SweepArgs, size: usize, rows: &TrainingRows) -> Result<Config, Failure> {
    configure(&args.training, Some(size), rows).map_err(|failure| match failure {
        Failure::Usage(text) => Failure::Usage(text.replacen("--encoding-dim", "--sizes", 1)),
        failure => failure,
    })
}

fn config_with_setting(
    words: &[OsString],
    setting: &SweepSetting,
    rows: &TrainingRows,
) -> Result<Config, Failure> {
    let training = settings::with_setting(words, setting)?;
    check_training(&training)?;
    configure(&training, training.encoding_dim, rows).map_err(|failure| match failure {
        Failure::Usage(text) => Failure::Usage(format!("--vary {setting}: {text}")),
        failure => failure,
    })
}
