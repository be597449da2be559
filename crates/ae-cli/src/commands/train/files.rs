//! Output files of a training run: the model, a checkpoint and a log.

use std::path::{Path, PathBuf};

use ae_data::{BatchSource, Fingerprint, Format, train_validation_split};
use ae_model::Config;

use super::log::{self, Log};
use crate::args::TrainArgs;
use crate::failure::Failure;
use crate::inputs::check_file;

/// Output paths, checked before any work is done.
pub(super) struct Files<'a> {
    pub(super) model: PathBuf,
    pub(super) checkpoint: Option<&'a Path>,
    pub(super) log: Option<&'a Path>,
    /// Whether there is a checkpoint to resume from.
    pub(super) resumes: bool,
    /// Whether a file at the model's path will be replaced.
    pub(super) replaces: bool,
}

impl<'a> Files<'a> {
    /// The paths that the flags name; an error if one of them cannot be used.
    pub(super) fn checked(args: &'a TrainArgs) -> Result<Files<'a>, Failure> {
        let model = args.output.clone().unwrap_or_else(|| default_output(&args.data));
        check_model_path("-o", &model)?;
        let (checkpoint, log) = (args.checkpoint.as_deref(), args.log_dir.as_deref());
        let resumes = check_checkpoint(checkpoint, &model)?;
        let others: Vec<&Path> = [Some(model.as_path()), checkpoint].into_iter().flatten().collect();
        log.map(|folder| log::check(folder, resumes, &others)).transpose()?;
        if let Some(folder) = log.filter(|folder| *folder == model || Some(*folder) == checkpoint) {
            return Err(Failure::Usage(format!(
                "--log-dir {}: it must differ from -o and --checkpoint",
                folder.display()
            )));
        }
        let replaces = model.exists();
        Ok(Files { model, checkpoint, log, resumes, replaces })
    }

    /// Opens the log, if one is wanted, of a training run on these rows, validation rows included.
    pub(super) fn open_log(&self, rows: &dyn BatchSource, config: &Config) -> Result<Option<Log>, Failure> {
        let Some(folder) = self.log else { return Ok(None) };
        let (train, _) = train_validation_split(rows, config.validation(), config.seed())?;
        let rows = rows.rows();
        let start = if self.resumes { Log::resume } else { Log::create };
        start(folder, train.len(), run_fingerprint(rows, config)?).map(Some)
    }
}

/// Identifies a training run, whatever its number of epochs, for its log. That the rows are the same is
/// left to the checkpoint to check.
fn run_fingerprint(rows: usize, config: &Config) -> Result<Fingerprint, Failure> {
    let mut settings = serde_json::to_value(config).map_err(|error| Failure::Other(error.to_string()))?;
    settings["epochs"].take();
    Ok(Fingerprint::default().with(&rows.to_string()).with(&settings.to_string()))
}

/// Refuses an unusable checkpoint path or that of the model. Returns whether there is a checkpoint.
fn check_checkpoint(checkpoint: Option<&Path>, model: &Path) -> Result<bool, Failure> {
    let Some(path) = checkpoint else { return Ok(false) };
    check_model_path("--checkpoint", path)?;
    // Where the file is, or would be.
    let place = |path: &Path| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        path.canonicalize().ok().or_else(|| Some(folder.canonicalize().ok()?.join(path.file_name()?)))
    };
    if place(path) == place(model) {
        let text = format!("--checkpoint {}: it must be a different file from -o", path.display());
        return Err(Failure::Usage(text));
    }
    Ok(path.exists())
}

/// Refuses an unusable path for a model.
fn check_model_path(flag: &str, path: &Path) -> Result<(), Failure> {
    let usage = |text: &str| Err(Failure::Usage(format!("{flag} {}: {text}", path.display())));
    if path == Path::new("-") {
        return usage("a model needs a file");
    }
    if Format::of(path).is_ok() {
        return usage("this is the extension of a table; use .safetensors for a model");
    }
    check_file(flag, path)
}

/// `NAME.safetensors` in the current folder, after the file or built-in set that the rows come from.
fn default_output(data: &str) -> PathBuf {
    let name = match data {
        "-" => "model",
        name => Path::new(name).file_name().and_then(|name| name.to_str()).unwrap_or("model"),
    };
    let stem = name.split(['.', ':']).find(|part| !part.is_empty()).unwrap_or("model");
    PathBuf::from(format!("{stem}.safetensors"))
}
