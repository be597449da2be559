//! `ae evaluate`: measures how well a model reconstructs rows, compared with the mean and PCA.

mod baselines;
mod classifiers;
mod report;

pub(super) use report::{number, percent, verdict};

use ae_data::{BatchSource, Dataset, Pairs};
use ae_eval::{
    Fit, IMPUTATION_ROUNDS, ImageErrors, Imputation, Interval, LatentUse, Pca, Reconstruction, data_range,
    quantile,
};
use ae_model::{Autoencoder, Image, Latent};

use super::train::few_active;
use crate::args::{Common, EvaluateArgs};
use crate::failure::{Failure, chain};
use crate::inputs::{check_standard_input, load, read_companion, read_images_for, read_targets};
use crate::output::Output;
use crate::pictures;
use baselines::{Baselines, Computed};
pub(super) use classifiers::Probe;

/// Bootstrap samples for the interval of the MSE.
const RESAMPLES: usize = 1000;
/// Confidence level of the interval of the MSE.
const LEVEL: f64 = 0.95;
/// Quantiles of the row errors to report.
const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)];

pub(crate) fn run(args: &EvaluateArgs, common: &Common, out: &mut Output) -> Result<(), Failure> {
    check(args)?;
    let evaluated = load_and_evaluate(args, common, out)?;
    let EvaluatedModel { model, evaluation, .. } = &evaluated;
    report::lines(args, model, evaluation, out)?;
    let probe = evaluated.classify(args, out)?;
    if let Some(probe) = &probe {
        out.line(classifiers::line(probe, evaluation.baselines.reference_rows))?;
    }
    if let Some(few) = evaluation.latent_use.as_ref().and_then(|used| few_active(used, model.config())) {
        out.warn(few);
    }
    out.object(&report::object(args, model, evaluation, probe.as_ref()))
}

/// A model, the rows it is measured on, and the results.
pub(super) struct EvaluatedModel {
    pub(super) model: Autoencoder,
    pub(super) rows: Dataset,
    pub(super) image: Option<Image>,
    pub(super) evaluation: Evaluation,
    reference: Option<Dataset>,
    /// PCA of the reference, or of what the rows are measured against.
    pca: Computed<Pca>,
}

/// Reads the files and measures the model, once the arguments are checked.
pub(super) fn load_and_evaluate(
    args: &EvaluateArgs,
    common: &Common,
    out: &Output,
) -> Result<EvaluatedModel, Failure> {
    let model = load(&args.model, common.threads())?;
    let image = args.image.or(model.config().image());
    if args.range.is_some() && image.is_none() {
        return Err(Failure::Usage("--range is for images: give their size with --image".to_owned()));
    }
    if args.hide.is_some() && !model.config().mask_missing() {
        let text = "--hide: the model was trained without --missing mask, so it cannot fill in values";
        return Err(Failure::Usage(text.to_owned()));
    }
    let rows = read_images_for(&model, image, &args.data, &args.input, out)?;
    let targets = match &args.target {
        Some(target) => {
            let allow_missing = model.config().mask_missing();
            Some(read_targets(&rows, &args.data, target, &args.input, (allow_missing, image), out)?)
        }
        None => None,
    };
    let reference = match &args.reference {
        Some(location) => Some(read_companion(&model, image, (location, &args.input), true, out)?),
        None => None,
    };
    let (evaluation, pca) = evaluate(args, &model, image, (&rows, targets.as_ref()), reference.as_ref())?;
    if let Some(warning) = evaluation.baselines.warning(args, rows.rows()) {
        out.warn(warning);
    }
    Ok(EvaluatedModel { model, rows, image, evaluation, reference, pca })
}

/// Refuses invalid arguments before any file is read.
pub(super) fn check(args: &EvaluateArgs) -> Result<(), Failure> {
    if args.range.is_some_and(|range| !(range > 0.0 && range.is_finite())) {
        return Err(Failure::Usage("--range: it must be above 0 and finite".to_owned()));
    }
    if args.hide.is_some_and(|fraction| !(fraction > 0.0 && fraction < 1.0)) {
        return Err(Failure::Usage("--hide: it must be above 0 and below 1".to_owned()));
    }
    check_standard_input(&[
        ("DATA", Some(&args.data)),
        ("--target", args.target.as_deref()),
        ("--reference", args.reference.as_deref()),
    ])
}

/// What is measured of a model on rows.
pub(super) struct Evaluation {
    /// The columns of the table, or the features if there is no schema.
    pub(super) columns: Vec<Column>,
    pub(super) rows: usize,
    pub(super) reconstruction: Reconstruction,
    pub(super) interval: Interval,
    /// The row errors at [`QUANTILES`].
    quantiles: Vec<f64>,
    pub(super) baselines: Baselines,
    pub(super) images: Option<Images>,
    pub(super) imputation: Option<Imputation>,
    /// For variational models.
    latent_use: Option<LatentUse>,
}

/// How well a column is reconstructed.
pub(super) struct Column {
    pub(super) name: String,
    pub(super) fit: Fit,
    /// Factor that converts errors to the units of the data; none for categories and quantile scaling.
    scale: Option<f64>,
}

fn columns(model: &Autoencoder, rows: &Dataset, reconstruction: &Reconstruction) -> Vec<Column> {
    let scales = model.scaler().scale();
    let Some(schema) = model.schema() else {
        let names = model.feature_names().or(rows.names());
        let name = |at: usize| names.map_or_else(|| (at + 1).to_string(), |names| names[at].clone());
        let features = reconstruction.features().iter().zip(scales).enumerate();
        return features
            .map(|(at, (fit, scale))| Column { name: name(at), fit: *fit, scale: Some(*scale) })
            .collect();
    };
    let fits = reconstruction.grouped(&schema.groups());
    let mut at = 0;
    let column = |(column, fit): (&ae_data::Column, Fit)| {
        let scale = scales[at];
        at += column.width();
        let is_scaled = !column.is_indicator() && column.quantiles.is_none();
        Column { name: column.name.clone(), fit, scale: is_scaled.then_some(scale) }
    };
    schema.features().zip(fits).map(column).collect()
}

/// Similarity of images and their reconstructions, and the settings of its measurement.
pub(super) struct Images {
    pub(super) size: Image,
    pub(super) range: f64,
    pub(super) errors: ImageErrors,
}

fn evaluate(
    args: &EvaluateArgs,
    model: &Autoencoder,
    image: Option<Image>,
    (rows, targets): (&Dataset, Option<&Dataset>),
    reference: Option<&Dataset>,
) -> Result<(Evaluation, Computed<Pca>), Failure> {
    let about = |error| match error {
        ae_eval::EvalError::Model(error) => Failure::with_pairs(&args.data, args.target.as_deref(), error),
        error => Failure::Other(format!("{}: {}", args.data, chain(&error))),
    };
    if let Some(image) = image.filter(|image| image.features() != rows.features()) {
        return Err(Failure::Usage(format!(
            "--image: {} has no images of {image}: its rows have {} values",
            args.data,
            rows.features()
        )));
    }
    let pairs = targets.map(|targets| Pairs::new(rows, targets)).transpose()?;
    let source: &dyn BatchSource = pairs.as_ref().map_or(rows, |pairs| pairs);
    let expected = targets.unwrap_or(rows);
    let reconstruction = Reconstruction::evaluate(model, source).map_err(about)?;
    let mut errors = reconstruction.row_errors();
    errors.sort_unstable_by(f64::total_cmp);
    let quantiles = QUANTILES.iter().filter_map(|(_, p)| quantile(&errors, *p)).collect();
    let interval = reconstruction.mse_interval(RESAMPLES, LEVEL, args.seed)?;
    let (baselines, pca) = Baselines::of(args, model, (rows, targets), reference)?;
    let images = match image {
        Some(size) => {
            let range = match args.range {
                Some(range) => range,
                None if pictures::are_pixel_levels(rows.names()) => f64::from(pictures::WHITE),
                None => data_range(expected).map_err(about)?,
            };
            let reconstructed = model.reconstruct(rows)?;
            let errors = ImageErrors::compare(expected, &reconstructed, size, range).map_err(about)?;
            Some(Images { size, range, errors })
        }
        None => None,
    };
    let imputation = match args.hide {
        Some(fraction) => Some(
            Imputation::evaluate(model, rows, reference, fraction, IMPUTATION_ROUNDS, args.seed)
                .map_err(about)?,
        ),
        None => None,
    };
    let latent_use = match model.config().latent() {
        Latent::Gaussian(_) => Some(LatentUse::of(&model.posterior(rows)?)),
        _ => None,
    };
    let columns = columns(model, rows, &reconstruction);
    let evaluation = Evaluation {
        columns,
        rows: rows.rows(),
        reconstruction,
        interval,
        quantiles,
        baselines,
        images,
        imputation,
        latent_use,
    };
    Ok((evaluation, pca))
}
