//! Where a training goes: the model, a checkpoint, a log.

use std::path::{Path, PathBuf};

use ae_data::{BatchSource, Fingerprint, Format, division};
use ae_model::Config;

use super::log::{self, Log};
use crate::args::TrainArgs;
use crate::failure::Failure;
use crate::inputs::check_file;

/// Paths that have been looked at before time is spent on what is written there.
pub(super) struct Files<'a> {
    pub(super) model: PathBuf,
    pub(super) checkpoint: Option<&'a Path>,
    pub(super) log: Option<&'a Path>,
    /// Whether there is a checkpoint to go on from.
    pub(super) goes_on: bool,
    /// Whether there is a model already.
    pub(super) replaces: bool,
}

impl<'a> Files<'a> {
    /// Those that the flags name; refuses what cannot be.
    pub(super) fn checked(args: &'a TrainArgs) -> Result<Files<'a>, Failure> {
        let model = args.output.clone().unwrap_or_else(|| default_output(&args.data));
        check_model_path("-o", &model)?;
        let (checkpoint, log) = (args.checkpoint.as_deref(), args.log_dir.as_deref());
        let goes_on = check_checkpoint(checkpoint, &model)?;
        let others: Vec<&Path> = [Some(model.as_path()), checkpoint].into_iter().flatten().collect();
        log.map(|folder| log::check(folder, goes_on, &others)).transpose()?;
        if log.is_some_and(|folder| folder == model || Some(folder) == checkpoint) {
            return Err(Failure::Usage(format!(
                "--log-dir {}: -o and --checkpoint are to be others",
                model.display()
            )));
        }
        let replaces = model.exists();
        Ok(Files { model, checkpoint, log, goes_on, replaces })
    }

    /// The log, where one is kept, of a training on these rows, those set aside among them.
    pub(super) fn open_log(&self, rows: &dyn BatchSource, config: &Config) -> Result<Option<Log>, Failure> {
        let Some(folder) = self.log else { return Ok(None) };
        let (train, _) = division(rows, config.validation(), config.seed())?;
        let rows = rows.rows();
        let start = if self.goes_on { Log::again } else { Log::create };
        start(folder, train.len(), identity(rows, config)?).map(Some)
    }
}

/// By which logs of trainings are told, however many epochs these are to have; whether the rows are the same, the checkpoint says.
fn identity(rows: usize, config: &Config) -> Result<Fingerprint, Failure> {
    let mut settings = serde_json::to_value(config).map_err(|error| Failure::Other(error.to_string()))?;
    settings["epochs"].take();
    Ok(Fingerprint::default().with(&rows.to_string()).with(&settings.to_string()))
}

/// Refuses what is no path for a checkpoint beside that model. Says whether there is one to go on from.
fn check_checkpoint(checkpoint: Option<&Path>, model: &Path) -> Result<bool, Failure> {
    let Some(path) = checkpoint else { return Ok(false) };
    check_model_path("--checkpoint", path)?;
    // Where it is, or would be.
    let place = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        path.canonicalize().ok().or_else(|| Some(folder.canonicalize().ok()?.join(path.file_name()?)))
    };
    if place(path) == place(model) {
        let text = format!("--checkpoint {}: -o is to be another file", path.display());
        return Err(Failure::Usage(text));
    }
    Ok(path.exists())
}

/// Refuses what is no path for a model.
fn check_model_path(flag: &str, path: &Path) -> Result<(), Failure> {
    let usage = |text: &str| Err(Failure::Usage(format!("{flag} {}: {text}", path.display())));
    if path == Path::new("-") {
        return usage("a model needs a file");
    }
    if Format::of(path).is_ok() {
        return usage("this is the ending of a table; .safetensors is that of a model");
    }
    check_file(flag, path)
}

/// `NAME.safetensors` in this folder, after the file or set that the rows come from.
fn default_output(data: &str) -> PathBuf {
    let name = match data {
        "-" => "model",
        name => Path::new(name).file_name().and_then(|name| name.to_str()).unwrap_or("model"),
    };
    let stem = name.split(['.', ':']).find(|part| !part.is_empty()).unwrap_or("model");
    PathBuf::from(format!("{stem}.safetensors"))
}
