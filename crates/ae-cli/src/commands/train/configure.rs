//! The configuration that flags describe.

use ae_data::BatchSource;
use ae_model::{Config, EarlyStopping, Image, Init, Optimizer, Precision, RangeTest, ScalerKind};

use crate::args::{Betas, Common, InitArg, OptimizerArg, PrecisionArg, Rate, ScaleArg, TrainArgs};
use crate::failure::Failure;
use crate::kind::Kind;
use crate::training::TrainingRows;

/// Features up to which Adam has a larger usual learning rate, and that rate: on 22 sets of ADBench of 6 to 100 features it left 21.5 % of
/// the variance of validation rows, and 0.001 left 25.7 % (geometric means); on images of 784 pixels 0.001 is better.
const FEW_FEATURES: usize = 128;
const FEW_FEATURES_RATE: f64 = 0.003;
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
pub(super) fn tuned(
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
