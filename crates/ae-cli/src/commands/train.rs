//! `ae train`: a model from rows, and how good it is.

mod log;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ae_data::{BatchSource, Fingerprint, Format, Pairs, Subset};
use ae_eval::{EvalError, Pca, Reconstruction, TypicalRows, mean_variance, typical_rows};
use ae_model::{
    Autoencoder, Callback, CancelToken, Checkpoints, Config, EarlyStopping, History, Image, Init, Latent,
    Optimizer, Precision, RangeTest, ScalerKind, Sparsity,
};
use log::Log;
use serde_json::json;

use super::progress::Progress;
use crate::args::{Betas, Common, InitArg, OptimizerArg, PrecisionArg, Rate, ScaleArg, TrainArgs};
use crate::failure::Failure;
use crate::inputs::{check_file, check_targets, read_targets};
use crate::kind::Kind;
use crate::output::Output;
use crate::tables;
use crate::training::{TrainingRows, end, length};

/// Multiply-adds up to which principal components are worked out beside the model: some seconds.
const PCA_WORK: f64 = 4e11;
/// Features up to which Adam has a larger usual learning rate, and that rate: on 22 sets of ADBench of 6 to 100 features it left 21.5 % of
/// the variance of validation rows, and 0.001 left 25.7 % (geometric means); on images of 784 pixels 0.001 is better.
const FEW_FEATURES: usize = 128;
const FEW_FEATURES_RATE: f64 = 0.003;
/// Trainings that look for rows which are not to be learnt from.
const ROBUST_STEPS: usize = 2;

pub(crate) fn run(args: &TrainArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let path = args.output.clone().unwrap_or_else(|| default_output(&args.data));
    check_model_path("-o", &path)?;
    let goes_on = check_checkpoint(args.checkpoint.as_deref(), &path)?;
    let others: Vec<&Path> =
        [Some(path.as_path()), args.checkpoint.as_deref()].into_iter().flatten().collect();
    args.log_dir.as_deref().map(|folder| log::check(folder, goes_on, &others)).transpose()?;
    check_targets(&args.data, args.target.as_deref())?;
    if let Some(share) = args.robust.filter(|share| !(*share > 0.0 && *share < 0.5)) {
        let text = format!("--robust: {share} is out of range: it must be above 0 and below 0.5");
        return Err(Failure::Usage(text));
    }
    let training = TrainingRows::read(args, out)?;
    let data = &training.rows;
    let targets = match &args.target {
        Some(_) if training.schema.is_some() => {
            let text = "--target is for rows of numbers, taken as they are, not for tables of other columns";
            return Err(Failure::Usage(text.to_owned()));
        }
        Some(target) => {
            let how = (training.masks, training.image);
            Some(read_targets(data, &args.data, target, &args.input, how, out)?)
        }
        None => None,
    };
    let pairs = targets.as_ref().map(|targets| Pairs::new(data, targets)).transpose()?;
    let source: &dyn BatchSource = pairs.as_ref().map_or(data, |pairs| pairs);
    let config = configure(args, args.encoding_dim, &training)?;
    let (config, tested) = tuned(config, args, common, (&training, source))?;
    let complete = [Some(source), source.targets()].into_iter().flatten().all(is_complete);
    let token = stop_on_interrupt();
    if args.robust.is_some() {
        out.note(format!("{ROBUST_STEPS} trainings first, to find the rows with the largest errors"));
    }
    let typical = typical(&config, args, common, (&training, source), &token)?;
    // Without those of `typical.dropped`, where there are some.
    let kept = typical.as_ref().map(|rows| Subset::new(source, rows.kept.clone())).transpose()?;
    let source: &dyn BatchSource = kept.as_ref().map_or(source, |kept| kept);
    let replaced = path.exists();
    let mut model = training.model(config)?;
    if common.threads.is_some() {
        model.set_threads(common.threads())?;
    }
    model.set_cancel_token(token.clone());

    if out.is_watched() || !common.quiet {
        out.line(format!("data          {} ({} rows of {})", args.data, data.rows(), data.features()))?;
        for line in training.schema.iter().flat_map(tables::lines) {
            out.line(line)?;
        }
        if let Some(target) = &args.target {
            out.line(format!(
                "targets       {target}: what the rows should become, and what the scaling is fitted to"
            ))?;
        }
        if let Some(TypicalRows { dropped, .. }) = &typical {
            out.line(format!(
                "set aside     {} rows with the largest errors: {}",
                dropped.len(),
                listed(dropped)
            ))?;
        }
        out.line(model.summary().to_string())?;
        if let Some(RangeTest { suggestion, .. }) = &tested {
            out.line(format!(
                "learning rate {suggestion:.2e}, a tenth of the rate at which the loss of the test was least"
            ))?;
        }
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
    let mut log = match &args.log_dir {
        Some(folder) => {
            let config = model.config();
            let (train, _) = ae_data::validation_split(source.rows(), config.validation(), config.seed())?;
            let print = identity(source.rows(), config)?;
            let start = if goes_on { Log::again } else { Log::create };
            Some(start(folder, train.len(), print)?)
        }
        None => None,
    };
    let mut callbacks: Vec<&mut dyn Callback> = vec![&mut progress];
    callbacks.extend(log.as_mut().map(|log| log as &mut dyn Callback));
    let start = Instant::now();
    let checkpoints = args
        .checkpoint
        .as_ref()
        .map(|path| Checkpoints::at(path).every(Duration::from_secs(args.checkpoint_every.into())));
    let history = match &checkpoints {
        Some(checkpoints) => model.fit_resumable(source, checkpoints, &mut callbacks),
        None => model.fit(source, &mut callbacks),
    };
    let elapsed = start.elapsed();
    progress.finish();
    // Before anything that could still fail: the work is not to be lost.
    // Where only the checkpoint failed, there is a history all the same.
    let is_trained = model.history().is_some();
    if is_trained {
        model.save(&path)?;
    }
    let history = history.map_err(|error| {
        if is_trained {
            out.note(format!("the model is saved as {}, but it cannot be gone on from", path.display()));
        }
        Failure::with_pairs(&args.data, args.target.as_deref(), error)
    })?;

    let quality = Quality::of(&model, source, complete)?;
    let took = format!("{:.2} s{}", elapsed.as_secs_f64(), if goes_on { " in this run" } else { "" });
    report(out, &model, &history, &took, &quality)?;
    out.line(format!("saved         {}{}", path.display(), if replaced { " (replaced)" } else { "" }))?;
    if let Some(path) = &args.checkpoint {
        let more = if token.is_cancelled() { ", from which the same command goes on" } else { "" };
        out.line(format!("checkpoint    {}{more}", path.display()))?;
    }
    if let (Some(folder), Some(log)) = (&args.log_dir, &log) {
        out.line(format!("log           {}", folder.display()))?;
        if let Some(error) = log.failed() {
            out.note(format!("warning: the log in {} is not whole: {error}", folder.display()));
        }
    }
    for warning in quality.warnings(model.config(), &history) {
        out.note(format!("warning: {warning}"));
    }
    out.object(&json!({
        "event": "summary",
        "rows": data.rows(),
        "target": args.target,
        "set_aside": typical.map(|rows| rows.dropped.iter().map(|row| row + 1).collect::<Vec<_>>()),
        "features": data.features(),
        "train_rows": history.train_rows,
        "validation_rows": history.validation_rows,
        "layer_dims": model.summary().layer_dims,
        "parameters": model.summary().parameters,
        "compression": model.summary().compression,
        "batch_size": history.batch_size,
        "learning_rate": model.config().learning_rate(),
        "epochs": history.epochs.len(),
        "stopped": history.stopped,
        "kept_epoch": history.kept_epoch,
        "seconds": elapsed.as_secs_f64(),
        "train_mse": quality.train.mse,
        "train_variance": quality.train.variance,
        "train_pca_mse": quality.train.pca,
        "train_given_mse": quality.train.given,
        "validation_mse": quality.validation.as_ref().map(|part| part.mse),
        "validation_variance": quality.validation.as_ref().map(|part| part.variance),
        "validation_pca_mse": quality.validation.as_ref().and_then(|part| part.pca),
        "validation_given_mse": quality.validation.as_ref().and_then(|part| part.given),
        "sparsity": quality.sparsity.map(|sparsity| json!({
            "active": sparsity.active,
            "dead": sparsity.dead,
            "variance_explained": sparsity.variance_explained,
        })),
        "model": path,
        "checkpoint": args.checkpoint,
        "log": args.log_dir,
    }))
}

/// The rows to learn from and those with the largest errors, where that is asked for.
fn typical(
    config: &Config,
    args: &TrainArgs,
    common: &Common,
    (training, source): (&TrainingRows, &dyn BatchSource),
    token: &CancelToken,
) -> Result<Option<TypicalRows>, Failure> {
    let Some(share) = args.robust else { return Ok(None) };
    let mut model = training.model(config.clone())?;
    model.set_threads(common.threads())?;
    model.set_cancel_token(token.clone());
    let found =
        typical_rows(&mut model, source, share, ROBUST_STEPS, &mut []).map_err(|error| match error {
            EvalError::Model(error) => Failure::with_pairs(&args.data, args.target.as_deref(), error),
            error => error.into(),
        })?;
    if token.is_cancelled() {
        return Err(Failure::Other("interrupted while rows were chosen: there is no model yet".to_owned()));
    }
    Ok(Some(found))
}

/// The numbers of the first rows, counted from 1.
fn listed(rows: &[usize]) -> String {
    const MOST: usize = 12;
    let mut numbers: Vec<String> = rows.iter().take(MOST).map(|row| (row + 1).to_string()).collect();
    if rows.len() > MOST {
        numbers.push("...".to_owned());
    }
    numbers.join(", ")
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

/// The configuration that the flags describe, with an encoding of this size.
pub(crate) fn configure(
    args: &TrainArgs,
    encoding_dim: Option<usize>,
    training: &TrainingRows,
) -> Result<Config, Failure> {
    let features = training.rows.features();
    let (usual_scale, usual_kind) = match training.is_mixed() {
        // As far as columns vary, they weigh the same; and gaps in what is known teach to fill gaps in.
        true => (ScaleArg::Standard, Kind::Denoising),
        false if training.are_pixels => (ScaleArg::Common, Kind::Plain),
        false => (ScaleArg::Minmax, Kind::Plain),
    };
    let scaler = match args.scale.unwrap_or(usual_scale) {
        ScaleArg::Minmax => ScalerKind::MinMax,
        ScaleArg::Common => ScalerKind::Common,
        ScaleArg::Standard => ScalerKind::Standard,
        ScaleArg::Robust => ScalerKind::Robust,
        ScaleArg::Centre => ScalerKind::Centre,
        // Ranks are on a scale of their own.
        ScaleArg::Quantile | ScaleArg::None => ScalerKind::None,
    };
    let mut builder = Config::builder(features)
        .activation(args.activation.activation())
        .init(match args.init {
            InitArg::GlorotUniform => Init::GlorotUniform,
            InitArg::GlorotNormal => Init::GlorotNormal,
            InitArg::HeUniform => Init::HeUniform,
            InitArg::HeNormal => Init::HeNormal,
        })
        .scaler(scaler)
        .precision(match args.precision {
            PrecisionArg::F32 => Precision::F32,
            PrecisionArg::F64 => Precision::F64,
            PrecisionArg::Bf16 => Precision::Bf16,
        })
        .mask_missing(training.masks)
        .epochs(args.epochs)
        .validation(args.validation)
        .seed(args.seed);
    builder = builder.optimizer(optimizer(args)?);
    if let Some(widths) = &args.hidden {
        builder = builder.hidden_dims(widths.0.clone());
    }
    if let Some(Image { height, width, channels }) = training.image {
        builder = builder.image(height, width, channels);
    }
    if let Some(layers) = &args.conv {
        if training.image.is_none() {
            return Err(Failure::Usage("--conv: --image has to say which size the images have".to_owned()));
        }
        builder = builder.conv_layers(layers.0.clone());
    }
    if let Some(dim) = encoding_dim {
        builder = builder.encoding_dim(dim);
    }
    match args.learning_rate {
        Some(Rate::Given(rate)) => builder = builder.learning_rate(rate),
        None if features <= FEW_FEATURES && takes_steps_of_a_size(args.optimizer) => {
            builder = builder.learning_rate(FEW_FEATURES_RATE);
        }
        _ => {}
    }
    if let Some(rows) = args.batch_size {
        builder = builder.batch_size(rows);
    }
    if args.early_stopping > 0 {
        builder = builder.early_stopping(EarlyStopping::after(args.early_stopping));
    }
    let shares = scaler.keeps_shares() && args.scale != Some(ScaleArg::Quantile);
    Ok(args.kind.apply(builder, shares, features, usual_kind)?.build()?)
}

/// The configuration with a learning rate found by a range test on the rows, where that is asked for.
fn tuned(
    config: Config,
    args: &TrainArgs,
    common: &Common,
    (training, source): (&TrainingRows, &dyn BatchSource),
) -> Result<(Config, Option<RangeTest>), Failure> {
    if args.learning_rate != Some(Rate::Auto) {
        return Ok((config, None));
    }
    let mut model = training.model(config.clone())?;
    model.set_threads(common.threads())?;
    let about = |error| Failure::with_pairs(&args.data, args.target.as_deref(), error);
    let test = model.range_test(source).map_err(about)?;
    Ok((config.with_learning_rate(test.suggestion)?, Some(test)))
}

/// Whether steps are as large as the learning rate says, however large gradients are: the wider a layer, the more they change together.
fn takes_steps_of_a_size(rule: OptimizerArg) -> bool {
    matches!(rule, OptimizerArg::Adam | OptimizerArg::Adamw)
}

/// The rule of the updates with its settings; a setting that belongs to another rule is refused.
fn optimizer(args: &TrainArgs) -> Result<Optimizer, Failure> {
    let given = [
        ("--momentum", args.momentum.is_some(), "momentum and nesterov"),
        ("--betas", args.betas.is_some(), "adam and adamw"),
        ("--weight-decay", args.weight_decay.is_some(), "adamw"),
    ];
    let [momentum, betas, decay] = match args.optimizer {
        OptimizerArg::Sgd => [false, false, false],
        OptimizerArg::Momentum | OptimizerArg::Nesterov => [true, false, false],
        OptimizerArg::Adam => [false, true, false],
        OptimizerArg::Adamw => [false, true, true],
    };
    for ((flag, given, rules), used) in given.into_iter().zip([momentum, betas, decay]) {
        if given && !used {
            return Err(Failure::Usage(format!("{flag} is for --optimizer {rules}")));
        }
    }
    let Betas(beta1, beta2) = args.betas.unwrap_or(Betas(0.9, 0.999));
    let (momentum, epsilon) = (args.momentum.unwrap_or(0.9), 1e-8);
    Ok(match args.optimizer {
        OptimizerArg::Sgd => Optimizer::Sgd,
        OptimizerArg::Momentum => Optimizer::Momentum { momentum },
        OptimizerArg::Nesterov => Optimizer::Nesterov { momentum },
        OptimizerArg::Adam => Optimizer::Adam { beta1, beta2, epsilon },
        OptimizerArg::Adamw => {
            let weight_decay = args.weight_decay.unwrap_or(0.01);
            Optimizer::AdamW { beta1, beta2, epsilon, weight_decay }
        }
    })
}

/// A token with which the first Ctrl-C ends training in order; the second one ends it at once.
pub(crate) fn stop_on_interrupt() -> CancelToken {
    let token = CancelToken::new();
    let held = token.clone();
    // Without a handler Ctrl-C ends the program, as it does anywhere.
    let _ = ctrlc::set_handler(move || {
        if held.is_cancelled() {
            std::process::exit(130);
        }
        held.cancel();
    });
    token
}

/// Whether principal components of so many rows are worked out in some seconds.
pub(crate) fn pca_is_quick(rows: usize, features: usize) -> bool {
    let (rows, width) = (rows as f64, features as f64);
    rows * width * width.min(rows) + 10.0 * width.min(rows).powi(3) <= PCA_WORK
}

/// Whether rows in memory lack no value.
pub(crate) fn is_complete(rows: &dyn BatchSource) -> bool {
    rows.as_slice().is_some_and(|values| !values.iter().any(|x| x.is_nan()))
}

/// Errors of one part of the rows, in scaled units.
struct Part {
    mse: f64,
    /// MSE of predicting the mean of these rows.
    variance: f64,
    /// MSE of principal components fitted to the training rows.
    pca: Option<f64>,
    /// MSE of rows that have targets, left as they are.
    given: Option<f64>,
}

impl Part {
    fn of(model: &Autoencoder, rows: &dyn BatchSource, pca: Option<&Pca>) -> Result<Part, Failure> {
        let scaled = model.scaled(rows)?;
        let mse = model.mse(rows)?;
        Ok(match rows.targets() {
            None => Part {
                mse,
                variance: mean_variance(&scaled)?,
                pca: pca.map(|pca| pca.mse(&scaled)).transpose()?,
                given: None,
            },
            Some(targets) => {
                let targets = model.scaled(targets)?;
                Part {
                    mse,
                    variance: mean_variance(&targets)?,
                    pca: pca.map(|pca| pca.mse_against(&scaled, &targets)).transpose()?,
                    given: Some(Reconstruction::of(&targets, &scaled)?.total().mse()),
                }
            }
        })
    }
}

/// The share of the variance that a variational model leaves when its encodings are hardly more than the prior.
const COLLAPSED: f64 = 0.9;
/// A share of features that are never active which is worth a word.
const MANY_DEAD: f64 = 0.1;

/// How good a model is on the rows that it has learnt from and on those held out.
struct Quality {
    train: Part,
    validation: Option<Part>,
    /// Of the training rows, for sparse models.
    sparsity: Option<Sparsity>,
}

impl Quality {
    fn of(model: &Autoencoder, data: &dyn BatchSource, complete: bool) -> Result<Quality, Failure> {
        let config = model.config();
        let features = config.input_dim();
        let (train, validation) = ae_data::validation_split(data.rows(), config.validation(), config.seed())?;
        let train = Subset::new(data, train)?;
        let components = config.encoding_dim().min(train.rows()).min(features);
        // As many components as features rebuild every row: nothing to compare with.
        let compares = complete && components < features && pca_is_quick(train.rows(), features);
        let pca = if compares {
            let expected = train.targets().unwrap_or(&train);
            Some(Pca::fit(&model.scaled(expected)?, components)?)
        } else {
            None
        };
        let measure = |rows: &Subset<'_>| Part::of(model, rows, pca.as_ref());
        let validation =
            if validation.is_empty() { None } else { Some(measure(&Subset::new(data, validation)?)?) };
        let sparsity = if model.is_sparse() { Some(model.sparsity(&train)?) } else { None };
        Ok(Quality { train: measure(&train)?, validation, sparsity })
    }

    fn warnings(&self, config: &Config, history: &History) -> Vec<String> {
        let mut warnings = Vec::new();
        let part = self.validation.as_ref().unwrap_or(&self.train);
        if part.variance == 0.0 {
            warnings.push("the rows are all the same: there is nothing to learn".to_owned());
        } else if matches!(config.latent(), Latent::Gaussian(_)) && part.mse >= COLLAPSED * part.variance {
            warnings.push(
                "encodings say next to nothing about the rows: --kl-warm-up, --free-bits, a smaller --beta or more --epochs may help"
                    .to_owned(),
            );
        } else if part.mse >= part.variance {
            warnings.push(
                "the model is no better than predicting the mean: raise --epochs or --learning-rate"
                    .to_owned(),
            );
        } else if part.given.is_some_and(|given| part.mse >= given) {
            warnings.push(format!(
                "the rows are nearer to their targets as they are: after {} epochs the model may need more, or a larger \
                 --encoding-dim",
                history.epochs.len()
            ));
        } else if part.pca.is_some_and(|pca| part.mse > pca) {
            let otherwise = match config.optimizer() {
                Optimizer::Adam { .. } | Optimizer::AdamW { .. } => "a larger --learning-rate",
                _ => "--optimizer adam",
            };
            warnings.push(format!(
                "PCA of the same size is better: after {} epochs the model may need more, or {otherwise}",
                history.epochs.len()
            ));
        }
        if let Some(Sparsity { dead, .. }) = self.sparsity.filter(|sparsity| sparsity.dead > MANY_DEAD) {
            warnings.push(format!(
                "{:.1} % of the features are never active: --revive ROWS, more --epochs, a larger --top-k or a smaller --encoding-dim would help",
                100.0 * dead
            ));
        }
        if self.validation.as_ref().is_some_and(|part| part.mse > 2.0 * self.train.mse) {
            warnings.push("the validation error is over twice the training error: more rows or a smaller model would help".to_owned());
        }
        warnings
    }
}

fn report(
    out: &mut Output,
    model: &Autoencoder,
    history: &History,
    took: &str,
    quality: &Quality,
) -> Result<(), Failure> {
    let (length, end) = (length(history), end(history));
    out.line(format!("training      {length}: {took}{end}"))?;
    out.line("")?;
    let size = model.config().encoding_dim();
    out.line(format!(
        "{:<14}{:>12}{:>14}{:>22}",
        "scaled units",
        "MSE",
        "of variance",
        format!("PCA with {size}")
    ))?;
    let mut row = |name: &str, part: &Part| {
        let share = |mse: f64| {
            if part.variance > 0.0 { format!("{:.1} %", 100.0 * mse / part.variance) } else { "-".to_owned() }
        };
        let pca = part.pca.map_or("not computed".to_owned(), |mse| format!("{mse:.6} {:>8}", share(mse)));
        out.line(format!("{name:<14}{:>12.6}{:>14}{pca:>22}", part.mse, share(part.mse)))
    };
    row("train", &quality.train)?;
    if let Some(part) = &quality.validation {
        row("validation", part)?;
    }
    let given = [("train", Some(&quality.train)), ("validation", quality.validation.as_ref())];
    let given = given.iter().filter_map(|(name, part)| Some(format!("{:.6} ({name})", (*part)?.given?)));
    let given: Vec<String> = given.collect();
    if !given.is_empty() {
        out.line(format!("as they were  MSE of the rows themselves to their targets {}", given.join(", ")))?;
    }
    if let Some(Sparsity { active, dead, variance_explained }) = quality.sparsity {
        out.line(format!(
            "sparsity      {active:.1} of {size} values active, {:.1} % never, {:.1} % of variance explained",
            100.0 * dead,
            100.0 * variance_explained,
        ))?;
    }
    out.line("")
}
