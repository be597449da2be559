//! `ae train`: trains a model on rows and reports how good it is.

mod advice;
mod configure;
mod files;
mod log;
mod quality;

use std::time::{Duration, Instant};

use ae_data::{BatchSource, Dataset, Pairs, Subset};
use ae_eval::{EvalError, TrimmedRows, trim_outliers};
use ae_model::{Autoencoder, Callback, CancelToken, Checkpoints, Config, History, RangeTest};
use serde_json::{Value, json};

use super::progress::Progress;
use crate::args::{Common, TrainArgs};
use crate::failure::Failure;
use crate::inputs::{check_standard_input, read_targets};
use crate::output::Output;
use crate::tables;
use crate::training::{TrainingRows, end, length};
pub(crate) use advice::few_active;
pub(crate) use configure::configure;
use configure::tune_learning_rate;
use files::Files;
use log::Log;
use quality::Quality;
pub(crate) use quality::{RIDGE, latent_line, latent_object, pca_is_quick};

/// Training runs that look for outliers before the model is trained without them.
const TRIMMING_STEPS: usize = 2;

pub(crate) fn run(args: &TrainArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let files = Files::checked(args)?;
    check_standard_input(&[("DATA", Some(&args.data)), ("--target", args.target.as_deref())])?;
    if let Some(fraction) = args.robust.filter(|fraction| !(*fraction > 0.0 && *fraction < 0.5)) {
        let text = format!("--robust: {fraction} is out of range: it must be above 0 and below 0.5");
        return Err(Failure::Usage(text));
    }
    let training = TrainingRows::read(args, out)?;
    let data = &training.rows;
    let targets = match &args.target {
        Some(_) if training.schema.is_some() => {
            let text = "--target is for rows of plain numbers: no other columns, --categorical, --numeric, --drop or --scale quantile";
            return Err(Failure::Usage(text.to_owned()));
        }
        Some(target) => {
            let how = (training.mask_missing, training.image);
            Some(read_targets(data, &args.data, target, &args.input, how, out)?)
        }
        None => None,
    };
    let pairs = targets.as_ref().map(|targets| Pairs::new(data, targets)).transpose()?;
    let held_out = training.with_held_out()?;
    let source: &dyn BatchSource = pairs.as_ref().map_or(&held_out, |pairs| pairs);
    let config = configure(args, args.encoding_dim, &training)?;
    let (config, tested) = tune_learning_rate(config, args, common, (&training, source))?;
    let token = stop_on_interrupt();
    if args.robust.is_some() {
        out.note(format!(
            "--robust: {TRIMMING_STEPS} training runs first, to find the rows with the largest errors"
        ));
    }
    let trimmed = trim(&config, args, common, (&training, source), &token)?;
    if trimmed.is_some() {
        out.note("errors are over the rows that are kept, for training and for validation: over all rows they are larger");
    }
    // Without `trimmed.dropped`, if there are any.
    let kept = trimmed.as_ref().map(|rows| Subset::new(source, rows.kept.clone())).transpose()?;
    let source: &dyn BatchSource = kept.as_ref().map_or(source, |kept| kept);
    let mut model = training.model(config)?;
    if common.threads.is_some() {
        model.set_threads(common.threads())?;
    }
    model.set_cancel_token(token.clone());
    if out.is_watched() || !common.quiet {
        announce(out, args, &training, (trimmed.as_ref(), tested.as_ref()), &model)?;
    }
    if let Some(RangeTest { rates, losses, suggestion, .. }) = &tested {
        out.object(&json!({
            "event": "range_test", "rates": rates, "losses": losses, "suggestion": suggestion,
        }))?;
    }

    let epochs = model.config().epochs();
    let mut progress = match (out.is_json(), out.is_watched(), common.quiet) {
        (true, ..) => Progress::Json,
        (_, true, _) => Progress::bar(epochs),
        (_, _, true) => Progress::Silent,
        _ => Progress::lines(epochs),
    };
    let mut log = files.open_log(source, model.config())?;
    let mut callbacks: Vec<&mut dyn Callback> = vec![&mut progress];
    callbacks.extend(log.as_mut().map(|log| log as &mut dyn Callback));
    let start = Instant::now();
    let history = match files.checkpoint {
        Some(path) => {
            let every = Duration::from_secs(args.checkpoint_every.into());
            model.fit_resumable(source, &Checkpoints::at(path).every(every), &mut callbacks)
        }
        None => model.fit(source, &mut callbacks),
    };
    let elapsed = start.elapsed();
    progress.finish();
    // Save before anything else can fail, so that the work is not lost. If only the checkpoint failed,
    // there is a history all the same.
    let is_trained = model.history().is_some();
    if is_trained {
        model.save(&files.model)?;
    }
    let history = history.map_err(|error| {
        if is_trained {
            let path = files.model.display();
            out.note(format!("the model is saved as {path}, but training cannot be resumed from it"));
        }
        Failure::with_pairs(&args.data, args.target.as_deref(), error)
    })?;

    let quality = Quality::of(&model, source)?;
    let took = format!("{:.2} s{}", elapsed.as_secs_f64(), if files.resumes { " in this run" } else { "" });
    out.line(format!("training      {}: {took}{}", length(&history), end(&history)))?;
    quality.print(out, model.config().encoding_dim())?;
    print_files(out, &files, token.is_cancelled(), log.as_ref())?;
    for warning in advice::warnings(&quality, model.config(), &history) {
        out.warn(warning);
    }
    let run = Run { args, files: &files, data, trimmed: trimmed.as_ref(), elapsed };
    out.object(&run.summary(&model, &history, &quality))
}

/// Prints the data and the model before training.
fn announce(
    out: &mut Output,
    args: &TrainArgs,
    training: &TrainingRows,
    (trimmed, tested): (Option<&TrimmedRows>, Option<&RangeTest>),
    model: &Autoencoder,
) -> Result<(), Failure> {
    out.line(training.line(args))?;
    for line in training.schema.iter().flat_map(tables::column_lines) {
        out.line(line)?;
    }
    if let Some(target) = &args.target {
        out.line(format!("targets       {target}: the rows to output; the scaling is fitted to them"))?;
    }
    if let Some(TrimmedRows { dropped, .. }) = trimmed {
        let (count, row_list) = (dropped.len(), row_list(dropped));
        out.line(format!("outliers      {count} rows with the largest errors: {row_list}"))?;
    }
    out.line(model.summary().to_string())?;
    if let Some(RangeTest { suggestion, .. }) = tested {
        out.line(format!(
            "learning rate {suggestion:.2e}, a tenth of the rate with the lowest loss in the range test"
        ))?;
    }
    Ok(())
}

/// Prints which files were written.
fn print_files(
    out: &mut Output,
    files: &Files<'_>,
    interrupted: bool,
    log: Option<&Log>,
) -> Result<(), Failure> {
    let replaced = if files.replaces { " (replaced)" } else { "" };
    out.line(format!("saved         {}{replaced}", files.model.display()))?;
    if let Some(path) = files.checkpoint {
        let more = if interrupted { ", from which the same command resumes" } else { "" };
        out.line(format!("checkpoint    {}{more}", path.display()))?;
    }
    if let (Some(folder), Some(log)) = (files.log, log) {
        out.line(format!("log           {}", folder.display()))?;
        if let Some(error) = log.failed() {
            out.warn(format!("the log in {} is incomplete: {error}", folder.display()));
        }
    }
    Ok(())
}

/// What the JSON summary says about a run besides the model.
struct Run<'a> {
    args: &'a TrainArgs,
    files: &'a Files<'a>,
    data: &'a Dataset,
    trimmed: Option<&'a TrimmedRows>,
    elapsed: Duration,
}

impl Run<'_> {
    fn summary(&self, model: &Autoencoder, history: &History, quality: &Quality) -> Value {
        let (sizes, config) = (model.summary(), model.config());
        let dropped = |rows: &TrimmedRows| rows.dropped.iter().map(|row| row + 1).collect::<Vec<_>>();
        let mut summary = json!({
            "event": "summary",
            "rows": self.data.rows(),
            "target": self.args.target,
            "outliers": self.trimmed.map(dropped),
            "features": self.data.features(),
            "train_rows": history.train_rows,
            "validation_rows": history.validation_rows,
            "layer_dims": sizes.layer_dims,
            "parameters": sizes.parameters,
            "compression": sizes.compression,
            "batch_size": history.batch_size,
            "learning_rate": config.learning_rate(),
            "epochs": history.epochs.len(),
            "stopped": history.stopped,
            "kept_epoch": history.kept_epoch,
            "seconds": self.elapsed.as_secs_f64(),
            "model": self.files.model,
            "checkpoint": self.files.checkpoint,
            "log": self.files.log,
        });
        if let (Some(summary), Value::Object(of_quality)) = (summary.as_object_mut(), quality.fields()) {
            summary.extend(of_quality);
        }
        summary
    }
}

/// With `--robust`, divides the rows into those to learn from and those with the largest errors.
fn trim(
    config: &Config,
    args: &TrainArgs,
    common: &Common,
    (training, source): (&TrainingRows, &dyn BatchSource),
    token: &CancelToken,
) -> Result<Option<TrimmedRows>, Failure> {
    let Some(fraction) = args.robust else { return Ok(None) };
    let mut model = training.model(config.clone())?;
    model.set_threads(common.threads())?;
    model.set_cancel_token(token.clone());
    let found =
        trim_outliers(&mut model, source, fraction, TRIMMING_STEPS, &mut []).map_err(
            |error| match error {
                EvalError::Model(error) => Failure::with_pairs(&args.data, args.target.as_deref(), error),
                error => error.into(),
            },
        )?;
    if token.is_cancelled() {
        return Err(Failure::Other(
            "interrupted while --robust was choosing rows: there is no model yet".to_owned(),
        ));
    }
    Ok(Some(found))
}

/// The numbers of the first few rows, counted from 1, as text.
fn row_list(rows: &[usize]) -> String {
    const MOST: usize = 12;
    let mut numbers: Vec<String> = rows.iter().take(MOST).map(|row| (row + 1).to_string()).collect();
    if rows.len() > MOST {
        numbers.push("...".to_owned());
    }
    numbers.join(", ")
}

/// A token that the first Ctrl-C cancels, so that training ends in order; the second one exits at once.
pub(crate) fn stop_on_interrupt() -> CancelToken {
    let token = CancelToken::new();
    let held = token.clone();
    // If the handler cannot be set, Ctrl-C ends the process, as usual.
    let _ = ctrlc::set_handler(move || {
        if held.is_cancelled() {
            std::process::exit(130);
        }
        held.cancel();
    });
    token
}
