//! `ae info`: shows what a model or detector file holds.

use serde_json::json;

use crate::args::InfoArgs;
use crate::failure::Failure;
use crate::inputs::{load, load_detector};
use crate::output::Output;
use crate::tables;
use crate::training::{end, length};

/// Names to show of a long list.
const SHOWN: usize = 8;

pub(crate) fn run(args: &InfoArgs, out: &mut Output) -> Result<(), Failure> {
    let model = load(&args.model, None)?;
    let bytes = std::fs::metadata(&args.model).map(|file| file.len()).unwrap_or(0);
    let (config, summary) = (model.config(), model.summary());
    out.line(format!("model         {} ({bytes} bytes)", args.model.display()))?;
    out.line(summary.to_string())?;
    let settings = serde_json::to_value(config).map_err(|error| Failure::Other(error.to_string()))?;
    let by_rank = model.schema().is_some_and(|schema| schema.columns().iter().any(|c| c.quantiles.is_some()));
    let scaling = if by_rank { "quantile" } else { settings["scaler"].as_str().unwrap_or_default() };
    out.line(format!("scaling       {scaling}"))?;
    let batch = config.batch_size().map_or("by the number of rows".to_owned(), |rows| rows.to_string());
    out.line(format!(
        "training      {} at {}, batch size {batch}, up to {} epochs, seed {}",
        config.optimizer().name(),
        config.learning_rate(),
        config.epochs(),
        config.seed()
    ))?;
    if let Some(history) = model.history() {
        out.line(format!("trained       {}{}", length(history), end(history)))?;
    }
    if let Some(image) = config.image() {
        out.line(format!("images        {image}"))?;
    }
    for line in model.schema().into_iter().flat_map(tables::column_lines) {
        out.line(line)?;
    }
    out.line(match model.feature_names() {
        None => format!("features      {}, without names", config.input_dim()),
        Some(names) if names.len() > SHOWN => {
            format!("features      {}, ... ({} in all)", names[..SHOWN].join(", "), names.len())
        }
        Some(names) => format!("features      {}", names.join(", ")),
    })?;
    let detector = load_detector(&args.model, None)?;
    if let Some(detector) = &detector {
        out.line(format!(
            "detector      {}, with {} reference rows and {} calibration scores, threshold {:.6}",
            detector.score().name(),
            detector.reference().rows(),
            detector.calibration().scores().len(),
            detector.threshold()
        ))?;
    }
    out.object(&json!({
        "event": "info",
        "model": args.model,
        "bytes": bytes,
        "layer_dims": summary.layer_dims,
        "parameters": summary.parameters,
        "compression": summary.compression,
        "fitted": model.is_fitted(),
        "trained": model.history().map(|history| {
            json!({
                "epochs": history.epochs.len(),
                "stopped": history.stopped,
                "kept_epoch": history.kept_epoch,
                "batch_size": history.batch_size,
                "train_rows": history.train_rows,
                "validation_rows": history.validation_rows,
                "train_mse": history.kept().map(|record| record.train_mse),
                "validation_mse": history.kept().and_then(|record| record.validation_mse),
            })
        }),
        "features": model.feature_names(),
        "schema": model.schema(),
        "config": settings,
        "detector": detector.map(|detector| {
            json!({
                "score": detector.score().name(),
                "reference_rows": detector.reference().rows(),
                "calibration_scores": detector.calibration().scores().len(),
                "threshold": detector.threshold(),
            })
        }),
    }))
}
