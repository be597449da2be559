//! Translates flags to a model configuration.

use ae_data::BatchSource;
use ae_model::{Config, EarlyStopping, Image, ImageLayer, Optimizer, RangeTest, ScalerKind};

use crate::args::{Betas, Common, FeatureWeights, Rate, ScaleArg, TrainArgs};
use crate::failure::Failure;
use crate::kind::{Kind, Surroundings};
use crate::training::TrainingRows;

/// The configuration that the flags describe, with an encoding of this size if given.
pub(crate) fn configure(
    args: &TrainArgs,
    encoding_dim: Option<usize>,
    training: &TrainingRows,
) -> Result<Config, Failure> {
    let features = training.rows.features();
    let (default_scale, default_kind) = match training.is_mixed() {
        // Standardised columns weigh the same, and denoising teaches filling in missing values.
        true => (ScaleArg::Standard, Kind::Denoising),
        false if training.are_pixels => (ScaleArg::Common, Kind::Plain),
        // Missing values enter the network as 0, which should be the mean.
        false if training.mask_missing => (ScaleArg::Standard, Kind::Plain),
        // Between their minimum and maximum, values vary so little that encodings of them would cost
        // more than they explain.
        false if args.kind.kind(Kind::Plain) == Kind::Vae => (ScaleArg::Standard, Kind::Plain),
        false => (ScaleArg::Minmax, Kind::Plain),
    };
    let scaler = match args.scale.unwrap_or(default_scale) {
        ScaleArg::Minmax => ScalerKind::MinMax,
        ScaleArg::Common => ScalerKind::Common,
        ScaleArg::Standard => ScalerKind::Standard,
        ScaleArg::Robust => ScalerKind::Robust,
        ScaleArg::Centre => ScalerKind::Centre,
        // Quantiles are scaled by the schema.
        ScaleArg::Quantile | ScaleArg::None => ScalerKind::None,
    };
    let mut builder = Config::builder(features)
        .init(args.init)
        .scaler(scaler)
        .precision(args.precision)
        .mask_missing(training.mask_missing)
        .epochs(args.epochs)
        .validation(args.validation.fraction())
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
            return Err(Failure::Usage("--conv: give the size of the images with --image".to_owned()));
        }
        builder = builder.conv_layers(layers.0.clone());
    }
    builder = builder.encoding_dim(match encoding_dim {
        Some(dim) => dim,
        None => default_encoding_dim(args, training)?,
    });
    if let Some(Rate::Given(rate)) = args.learning_rate {
        builder = builder.learning_rate(rate);
    }
    if let Some(rows) = args.batch_size {
        builder = builder.batch_size(rows);
    }
    if let Some(weights) = &args.feature_weights {
        builder = builder.feature_weights(weights_of_features(weights, training)?);
    }
    if args.early_stopping > 0 {
        builder = builder.early_stopping(EarlyStopping::after(args.early_stopping));
    }
    let unit_interval = scaler.keeps_unit_range() && args.scale != Some(ScaleArg::Quantile);
    let (activation, images) = (args.activation, training.are_pixels);
    let surroundings = Surroundings { kind: default_kind, activation, images, unit_interval, features };
    let config = args.kind.apply(builder, &surroundings)?.build()?;
    let convolves = config.conv_layers().iter().any(|layer| matches!(layer, ImageLayer::Conv(_)));
    if config.dropout().hidden > 0.0 && config.hidden_dims().is_empty() && !convolves {
        let text = "--dropout: there are no hidden layers whose outputs could be dropped; --input-dropout drops inputs";
        return Err(Failure::Usage(text.to_owned()));
    }
    Ok(config)
}

/// The default size of the encoding: that of the library, but at most half the training rows. As many
/// values as rows could tell them all apart without having learnt anything about them.
fn default_encoding_dim(args: &TrainArgs, training: &TrainingRows) -> Result<usize, Failure> {
    let usual = Config::builder(training.rows.features()).build()?.encoding_dim();
    let most = training.train_rows(args)? / 2;
    Ok(usual.min(most.max(args.kind.min_encoding_dim())))
}

/// The weight of each feature; all features of a column have the column's weight.
fn weights_of_features(
    FeatureWeights(given): &FeatureWeights,
    training: &TrainingRows,
) -> Result<Vec<f64>, Failure> {
    let features = training.rows.features();
    let numbered = || (1..=features).map(|number| number.to_string()).collect();
    let (columns, groups): (Vec<String>, Vec<usize>) = match &training.schema {
        Some(schema) => (schema.features().map(|column| column.name.clone()).collect(), schema.groups()),
        None => (training.rows.names().map_or_else(numbered, <[String]>::to_vec), (0..features).collect()),
    };
    let mut weights = vec![1.0; features];
    for (name, weight) in given {
        let column = columns
            .iter()
            .position(|column| column == name)
            .ok_or_else(|| Failure::Usage(format!("--feature-weights: the model has no column '{name}'")))?;
        let of_column = weights.iter_mut().zip(&groups).filter(|(_, group)| **group == column);
        of_column.for_each(|(of_feature, _)| *of_feature = *weight);
    }
    Ok(weights)
}

/// With `--learning-rate auto`, replaces the learning rate by one found by a range test on the rows.
pub(super) fn tune_learning_rate(
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

/// The optimizer with its settings. Refuses settings of other optimizers.
fn optimizer(args: &TrainArgs) -> Result<Optimizer, Failure> {
    let given = [
        ("--momentum", args.momentum.is_some(), "momentum and nesterov"),
        ("--betas", args.betas.is_some(), "adam and adamw"),
        ("--weight-decay", args.weight_decay.is_some(), "adamw"),
    ];
    let mut optimizer = args.optimizer;
    let used = match &mut optimizer {
        Optimizer::Momentum { momentum } | Optimizer::Nesterov { momentum } => {
            *momentum = args.momentum.unwrap_or(*momentum);
            [true, false, false]
        }
        Optimizer::Adam { beta1, beta2, .. } => {
            Betas(*beta1, *beta2) = args.betas.unwrap_or(Betas(*beta1, *beta2));
            [false, true, false]
        }
        Optimizer::AdamW { beta1, beta2, weight_decay, .. } => {
            Betas(*beta1, *beta2) = args.betas.unwrap_or(Betas(*beta1, *beta2));
            *weight_decay = args.weight_decay.unwrap_or(*weight_decay);
            [false, true, true]
        }
        _ => [false, false, false],
    };
    for ((flag, given, rules), used) in given.into_iter().zip(used) {
        if given && !used {
            return Err(Failure::Usage(format!("{flag} is for --optimizer {rules}")));
        }
    }
    Ok(optimizer)
}
