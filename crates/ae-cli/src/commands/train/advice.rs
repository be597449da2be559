//! Warnings about a training run, with what may help.

use ae_eval::LatentUse;
use ae_model::{Config, Gaussian, History, Latent, Optimizer, ScalerKind, Sparsity, StopReason};

use super::quality::{Quality, SplitErrors};

/// Fewest validation rows from which anything is concluded.
const MIN_VALIDATION_ROWS: usize = 10;
/// Unexplained fraction of the variance from which on a variational model counts as collapsed.
const COLLAPSED: f64 = 0.9;
/// Fraction of the latent dimensions below which few are active.
const FEW_ACTIVE: f64 = 0.25;
/// Features from which min-max scaling may be why a model learns nothing: 500 rows of 20,000 correlated
/// columns kept 105 % of their variance with it, and 9 % with standard scaling.
const MANY_FEATURES: usize = 1000;
/// Fraction of dead latent features from which on there is a warning.
const MANY_DEAD: f64 = 0.1;

/// Warnings about what may be wrong, with what may help.
pub(super) fn warnings(quality: &Quality, config: &Config, history: &History) -> Vec<String> {
    let validation = quality.validation.as_ref().filter(|errors| errors.rows >= MIN_VALIDATION_ROWS);
    let errors = validation.unwrap_or(&quality.train);
    let mut warnings = Vec::new();
    if quality.train.rows == 1 {
        warnings.push("there is one training row: nothing can be learnt from it".to_owned());
    } else if quality.train.baseline_mse == 0.0 {
        warnings.push("the training rows are all the same: there is nothing to learn".to_owned());
    } else if let Some(warning) = collapse(quality, errors, config) {
        warnings.push(warning);
    } else {
        warnings.extend(too_large(errors, config, history));
    }
    if let Some(Sparsity { dead, .. }) = quality.sparsity.filter(|sparsity| sparsity.dead > MANY_DEAD) {
        warnings.push(format!(
            "{:.1} % of the features are never active: --revive ROWS, more --epochs, a larger --top-k or a smaller --encoding-dim may help",
            100.0 * dead
        ));
    }
    warnings.extend(unfinished_warm_up(config, history));
    if validation.is_some_and(|errors| errors.mse > 2.0 * quality.train.mse) {
        warnings.push(
            "the validation error is over twice the training error: more rows or a smaller model may help"
                .to_owned(),
        );
    }
    warnings
}

/// The warning about a variational model that ignores its latent dimensions, or most of them.
fn collapse(quality: &Quality, errors: &SplitErrors, config: &Config) -> Option<String> {
    let latent_use = quality.latent_use.as_ref()?;
    if errors.mse >= COLLAPSED * errors.baseline_mse {
        return Some(
            "the encodings carry almost no information (posterior collapse): --kl-warm-up, --free-bits, a smaller --beta or more --epochs may help"
                .to_owned(),
        );
    }
    few_active(latent_use, config)
}

/// The warning about a variational model few of whose latent dimensions are active.
pub(crate) fn few_active(LatentUse { active, divergences }: &LatentUse, config: &Config) -> Option<String> {
    let dimensions = divergences.len();
    if *active as f64 >= FEW_ACTIVE * dimensions as f64 {
        return None;
    }
    let beta = match config.latent() {
        Latent::Gaussian(gaussian) => gaussian.beta,
        _ => return None,
    };
    let active = if *active == 0 { "none".to_owned() } else { format!("only {active}") };
    Some(format!(
        "{active} of {dimensions} latent dimensions are active: a --beta below {beta}, --kl-warm-up or --free-bits may \
         activate more, and a smaller --encoding-dim may lose nothing"
    ))
}

/// The warning about a training that ended by its number of epochs before the divergence counted in full.
fn unfinished_warm_up(config: &Config, history: &History) -> Option<String> {
    let Latent::Gaussian(Gaussian { warm_up, .. }) = config.latent() else { return None };
    let epochs = history.epochs.len();
    (history.stopped == StopReason::Finished && epochs <= warm_up).then(|| {
        format!(
            "training ended within the {warm_up} epochs of --kl-warm-up: no epoch minimised the whole loss, and none was \
             chosen by it; raise --epochs or lower --kl-warm-up"
        )
    })
}

/// The warning about an error that is larger than that of a simpler method.
fn too_large(errors: &SplitErrors, config: &Config, history: &History) -> Option<String> {
    let is_worse_than = |mse: Option<f64>| mse.is_some_and(|mse| errors.mse > mse);
    if errors.mse >= errors.baseline_mse {
        // Inputs of 0 to 1 are about 0.5 on average, so the sums of many of them saturate the first layer.
        let is_wide = config.scaler() == ScalerKind::MinMax && config.input_dim() >= MANY_FEATURES;
        let remedy = if is_wide { "--scale standard may help" } else { "raise --epochs or --learning-rate" };
        return Some(format!("the model is no better than predicting the mean: {remedy}"));
    }
    let what = if errors.input_mse.is_some_and(|input_mse| errors.mse >= input_mse) {
        "the inputs are closer to the targets than the outputs are"
    } else if is_worse_than(errors.regression) {
        "a ridge regression from the inputs to the targets is better"
    } else if is_worse_than(errors.pca) {
        "PCA of the same size is better"
    } else {
        return None;
    };
    Some(format!("{what}: {}", remedy(config, history)))
}

/// What may make a model better, by how its training ended.
fn remedy(config: &Config, history: &History) -> String {
    let epochs = history.epochs.len();
    match history.stopped {
        StopReason::Finished => {
            let otherwise = match config.optimizer() {
                Optimizer::Adam { .. } | Optimizer::AdamW { .. } => "a larger --learning-rate",
                _ => "--optimizer adam",
            };
            format!("after {epochs} epochs, the model may need more, or {otherwise}")
        }
        StopReason::EarlyStopping => {
            format!(
                "training stopped early, so more epochs would not help, but {} may",
                other_settings(config)
            )
        }
        _ => format!("training was ended after {epochs} of {} epochs", config.epochs()),
    }
}

/// Settings that may make a model better which more epochs would not improve.
fn other_settings(config: &Config) -> &'static str {
    match config.latent() {
        Latent::Gaussian(_) => return "a smaller --beta or a larger --encoding-dim",
        Latent::TopK(_) => return "a larger --top-k",
        _ => {}
    }
    match (config.code_penalty(), config.noise(), config.hidden_dims()) {
        (Some(_), ..) => "a smaller weight of --sparsity",
        (None, None, []) => "hidden layers (--hidden) or --encoding-activation linear",
        (None, Some(_), []) => "hidden layers (--hidden) or --kind plain",
        (None, _, _) => "--hidden none or wider hidden layers (--hidden)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_a_quarter_of_the_dimensions_are_few() {
        let latent = Latent::Gaussian(Gaussian { beta: 2.0, ..Gaussian::default() });
        let config = Config::builder(9).latent(latent).build().unwrap();
        let of_eight = |active| few_active(&LatentUse { divergences: vec![0.0; 8], active }, &config);
        assert_eq!(of_eight(2), None);
        let said = of_eight(1).unwrap();
        assert!(said.starts_with("only 1 of 8 latent dimensions are active: a --beta below 2, "), "{said}");
    }
}
