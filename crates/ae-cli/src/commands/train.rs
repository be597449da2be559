//! `ae train`: a model from rows, and how good it is.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ae_data::{BatchSource, Dataset, Subset};
use ae_eval::{Pca, mean_variance};
use ae_model::{
    Autoencoder, CancelToken, Config, EarlyStopping, History, Image, Init, Optimizer, Precision, RangeTest,
    ScalerKind, Sparsity, StopReason,
};
use serde_json::json;

use super::progress::Progress;
use crate::args::{Betas, Common, InitArg, OptimizerArg, PrecisionArg, Rate, ScaleArg, TrainArgs};
use crate::failure::Failure;
use crate::inputs::check_output;
use crate::kind::Kind;
use crate::output::Output;
use crate::tables;
use crate::training::TrainingRows;

/// Multiply-adds up to which principal components are worked out beside the model: some seconds.
const PCA_WORK: f64 = 4e11;

pub(crate) fn run(args: &TrainArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    let path = args.output.clone().unwrap_or_else(|| default_output(&args.data));
    check_output(&path)?;
    let training = TrainingRows::read(args, out)?;
    let config = configure(args, args.encoding_dim, &training)?;
    let (config, tested) = tuned(config, args, common, &training)?;
    let replaced = path.exists();
    let mut model = training.model(config)?;
    let data = &training.rows;
    if common.threads.is_some() {
        model.set_threads(common.threads())?;
    }
    model.set_cancel_token(stop_on_interrupt());

    if out.is_watched() || !common.quiet {
        out.line(format!("data          {} ({} rows of {})", args.data, data.rows(), data.features()))?;
        for line in training.schema.iter().flat_map(tables::lines) {
            out.line(line)?;
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
    let start = Instant::now();
    let history = model.fit(data, &mut [&mut progress]);
    let elapsed = start.elapsed();
    progress.finish();
    let history = history.map_err(|error| Failure::with_rows(&args.data, error))?;
    // Before anything that could still fail: the work is not to be lost.
    model.save(&path)?;

    let quality = Quality::of(&model, data)?;
    report(out, &model, &history, elapsed, &quality)?;
    out.line(format!("saved         {}{}", path.display(), if replaced { " (replaced)" } else { "" }))?;
    for warning in quality.warnings(&history) {
        out.note(format!("warning: {warning}"));
    }
    out.object(&json!({
        "event": "summary",
        "rows": data.rows(),
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
        "validation_mse": quality.validation.as_ref().map(|part| part.mse),
        "validation_variance": quality.validation.as_ref().map(|part| part.variance),
        "validation_pca_mse": quality.validation.as_ref().and_then(|part| part.pca),
        "sparsity": quality.sparsity.map(|sparsity| json!({
            "active": sparsity.active,
            "dead": sparsity.dead,
            "variance_explained": sparsity.variance_explained,
        })),
        "model": path,
    }))
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
    let (usual_scale, usual_optimizer, usual_kind) = match training.is_mixed() {
        // As far as columns vary, they weigh the same; and gaps in what is known teach to fill gaps in.
        true => (ScaleArg::Standard, Some(OptimizerArg::Adam), Kind::Denoising),
        false => (ScaleArg::Minmax, None, Kind::Plain),
    };
    let scaler = match args.scale.unwrap_or(usual_scale) {
        ScaleArg::Minmax => ScalerKind::MinMax,
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
    if let Some(optimizer) = optimizer(args, args.optimizer.or(usual_optimizer))? {
        builder = builder.optimizer(optimizer);
    }
    if let Some(widths) = &args.hidden {
        builder = builder.hidden_dims(widths.0.clone());
    }
    if let (Some(Image { height, width, channels }), Some(layers)) = (args.image, &args.conv) {
        builder = builder.image(height, width, channels).conv_layers(layers.0.clone());
    }
    if let Some(dim) = encoding_dim {
        builder = builder.encoding_dim(dim);
    }
    if let Some(Rate::Given(rate)) = args.learning_rate {
        builder = builder.learning_rate(rate);
    }
    if let Some(rows) = args.batch_size {
        builder = builder.batch_size(rows);
    }
    if args.early_stopping > 0 {
        builder = builder.early_stopping(EarlyStopping::after(args.early_stopping));
    }
    Ok(args.kind.apply(builder, scaler, features, usual_kind)?.build()?)
}

/// The configuration with a learning rate found by a range test on the rows, where that is asked for.
fn tuned(
    config: Config,
    args: &TrainArgs,
    common: &Common,
    training: &TrainingRows,
) -> Result<(Config, Option<RangeTest>), Failure> {
    if args.learning_rate != Some(Rate::Auto) {
        return Ok((config, None));
    }
    let mut model = training.model(config.clone())?;
    model.set_threads(common.threads())?;
    let test = model.range_test(&training.rows).map_err(|error| Failure::with_rows(&args.data, error))?;
    Ok((config.with_learning_rate(test.suggestion)?, Some(test)))
}

/// The rule of the updates with its settings, where there is one; a setting that belongs to another rule is refused.
fn optimizer(args: &TrainArgs, rule: Option<OptimizerArg>) -> Result<Option<Optimizer>, Failure> {
    let given = [
        ("--momentum", args.momentum.is_some(), "momentum and nesterov"),
        ("--betas", args.betas.is_some(), "adam and adamw"),
        ("--weight-decay", args.weight_decay.is_some(), "adamw"),
    ];
    let [momentum, betas, decay] = match rule {
        None | Some(OptimizerArg::Sgd) => [false, false, false],
        Some(OptimizerArg::Momentum | OptimizerArg::Nesterov) => [true, false, false],
        Some(OptimizerArg::Adam) => [false, true, false],
        Some(OptimizerArg::Adamw) => [false, true, true],
    };
    for ((flag, given, rules), used) in given.into_iter().zip([momentum, betas, decay]) {
        if given && !used {
            return Err(Failure::Usage(format!("{flag} is for --optimizer {rules}")));
        }
    }
    let Betas(beta1, beta2) = args.betas.unwrap_or(Betas(0.9, 0.999));
    let (momentum, epsilon) = (args.momentum.unwrap_or(0.9), 1e-8);
    Ok(rule.map(|rule| match rule {
        OptimizerArg::Sgd => Optimizer::Sgd,
        OptimizerArg::Momentum => Optimizer::Momentum { momentum },
        OptimizerArg::Nesterov => Optimizer::Nesterov { momentum },
        OptimizerArg::Adam => Optimizer::Adam { beta1, beta2, epsilon },
        OptimizerArg::Adamw => {
            let weight_decay = args.weight_decay.unwrap_or(0.01);
            Optimizer::AdamW { beta1, beta2, epsilon, weight_decay }
        }
    }))
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

/// Errors of one part of the rows, in scaled units.
struct Part {
    mse: f64,
    /// MSE of predicting the mean of these rows.
    variance: f64,
    /// MSE of principal components fitted to the training rows.
    pca: Option<f64>,
}

struct Quality {
    train: Part,
    validation: Option<Part>,
    /// Of the training rows, for sparse models.
    sparsity: Option<Sparsity>,
}

impl Quality {
    fn of(model: &Autoencoder, data: &Dataset) -> Result<Quality, Failure> {
        let config = model.config();
        let features = config.input_dim();
        let (train, validation) = ae_data::validation_split(data.rows(), config.validation(), config.seed())?;
        let train = Subset::new(data, train)?;
        let components = config.encoding_dim().min(train.rows()).min(features);
        let scaled = model.scaled(&train)?;
        let complete = !data.values().iter().any(|x| x.is_nan());
        // As many components as features rebuild every row: nothing to compare with.
        let compares = complete && components < features && pca_is_quick(train.rows(), features);
        let pca = if compares { Some(Pca::fit(&scaled, components)?) } else { None };
        let measure = |rows: &Subset<'_>| -> Result<Part, Failure> {
            let scaled = model.scaled(rows)?;
            Ok(Part {
                mse: model.mse(rows)?,
                variance: mean_variance(&scaled)?,
                pca: pca.as_ref().map(|pca| pca.mse(&scaled)).transpose()?,
            })
        };
        let validation =
            if validation.is_empty() { None } else { Some(measure(&Subset::new(data, validation)?)?) };
        let sparsity = if model.is_sparse() { Some(model.sparsity(&train)?) } else { None };
        Ok(Quality { train: measure(&train)?, validation, sparsity })
    }

    fn warnings(&self, history: &History) -> Vec<String> {
        let mut warnings = Vec::new();
        let part = self.validation.as_ref().unwrap_or(&self.train);
        if part.variance == 0.0 {
            warnings.push("the rows are all the same: there is nothing to learn".to_owned());
        } else if part.mse >= part.variance {
            warnings.push(
                "the model is no better than predicting the mean: raise --epochs or --learning-rate"
                    .to_owned(),
            );
        } else if part.pca.is_some_and(|pca| part.mse > pca) {
            warnings.push(format!(
                "PCA of the same size is better: after {} epochs the model may need more, or a larger --learning-rate",
                history.epochs.len()
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
    elapsed: Duration,
    quality: &Quality,
) -> Result<(), Failure> {
    let ended = match &history.stopped {
        StopReason::Finished => String::new(),
        StopReason::EarlyStopping => ", stopped early".to_owned(),
        StopReason::Cancelled => ", interrupted".to_owned(),
        StopReason::Callback(reason) => format!(", stopped: {reason}"),
        _ => String::new(),
    };
    let kept = if history.kept_epoch == history.epochs.len() {
        String::new()
    } else {
        format!(", weights of epoch {}", history.kept_epoch)
    };
    out.line(format!(
        "training      {} epochs of {} rows in batches of {}: {:.2} s{ended}{kept}",
        history.epochs.len(),
        history.train_rows,
        history.batch_size,
        elapsed.as_secs_f64(),
    ))?;
    out.line("")?;
    let size = model.config().encoding_dim();
    out.line(format!(
        "{:<14}{:>12}{:>14}{:>18}",
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
        out.line(format!("{name:<14}{:>12.6}{:>14}{pca:>18}", part.mse, share(part.mse)))
    };
    row("train", &quality.train)?;
    if let Some(part) = &quality.validation {
        row("validation", part)?;
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
