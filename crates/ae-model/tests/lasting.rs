//! What outlasts a training: models continued by single updates, from files, or in another configuration
//! keep their state.

#![allow(clippy::unwrap_used, reason = "tests")]

use ae_data::{Dataset, digits};
use ae_model::{
    Autoencoder, Config, ConfigBuilder, EarlyStopping, EpochRecord, Error, ErrorNorm, Gaussian, Latent, Loss,
    Optimizer, ScalerKind, Schedule, StopReason, TopK,
};
use ae_testing::random::SplitMix64;

fn base() -> ConfigBuilder {
    Config::builder(64).hidden_dims([24]).encoding_dim(6).optimizer(Optimizer::ADAM).epochs(6).seed(3)
}

fn batch_top_k() -> ConfigBuilder {
    base().hidden_dims([]).encoding_dim(40).latent(Latent::TopK(TopK { k: 4, revival: None, of_batch: true }))
}

fn fitted(config: ConfigBuilder) -> Autoencoder {
    let mut model = Autoencoder::new(config.build().unwrap()).unwrap();
    model.fit(&digits().unwrap(), &mut []).unwrap();
    model
}

fn reloaded(model: &Autoencoder) -> Autoencoder {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    model.save(&path).unwrap();
    Autoencoder::load(&path).unwrap()
}

/// A configuration whose updates change next to nothing.
fn barely(config: ConfigBuilder) -> ConfigBuilder {
    config.learning_rate(1e-12)
}

/// The largest difference between the parameters.
fn apart(a: &Autoencoder, b: &Autoencoder) -> f64 {
    let flat = |model: &Autoencoder| -> Vec<f64> {
        model.layers().into_iter().flat_map(|layer| [layer.weights, layer.bias].concat()).collect()
    };
    flat(a).iter().zip(flat(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn an_update_after_loading_goes_on_from_what_was_loaded() {
    let rows = digits().unwrap();
    let kinds = [
        base().ema(0.999),
        base().ema(0.999).latent(Latent::gaussian()),
        base().ema(0.9).tied_weights(true),
        batch_top_k().ema(0.99),
        batch_top_k().unit_norm(true),
        base(),
    ];
    for kind in kinds {
        let model = Autoencoder::warm_start(barely(kind.clone()).build().unwrap(), &fitted(kind)).unwrap();
        let mut loaded = reloaded(&model);
        loaded.partial_fit(&rows).unwrap();
        let error = apart(&loaded, &model);
        assert!(error < 1e-5, "{:?}: parameters moved by {error:e}", model.config());
    }
}

#[test]
fn a_threshold_goes_on_too() {
    let rows = digits().unwrap();
    let model = fitted(batch_top_k());
    let active = model.sparsity(&rows).unwrap().active;
    assert!((3.0..5.0).contains(&active), "{active} active");
    let mut next = Autoencoder::warm_start(barely(batch_top_k()).build().unwrap(), &model).unwrap();
    assert!(next.encode(&rows).unwrap() == model.encode(&rows).unwrap());
    next.fit(&rows, &mut []).unwrap();
    assert!((next.sparsity(&rows).unwrap().active - active).abs() < 0.5);
    // A single batch, even one of identical rows, does not determine the threshold.
    let mut loaded = reloaded(&next);
    let black = Dataset::new(vec![0.0; 64 * 20], 64).unwrap();
    loaded.partial_fit(&black).unwrap();
    assert!((loaded.sparsity(&rows).unwrap().active - active).abs() < 0.5);
}

#[test]
fn a_continued_dictionary_has_vectors_of_norm_one() {
    let model = fitted(batch_top_k());
    let next = Autoencoder::warm_start(batch_top_k().unit_norm(true).build().unwrap(), &model).unwrap();
    let decoder = &next.layers()[1];
    for line in decoder.weights.chunks_exact(decoder.outputs) {
        let norm = line.iter().map(|w| w * w).sum::<f64>().sqrt();
        assert!((norm - 1.0).abs() < 1e-5, "{norm}");
    }
}

/// If large batches are computed on tiles and small ones are not, earlier batches must not matter.
#[test]
fn updates_do_not_depend_on_the_size_of_earlier_batches() {
    let rows = Dataset::new(SplitMix64::new(8).uniform_f32s(100 * 260, 0.0, 1.0), 260).unwrap();
    let few = rows.select_rows(&(0..20).collect::<Vec<_>>()).unwrap();
    let config = Config::builder(260).optimizer(Optimizer::Sgd).encoding_dim(400).batch_size(90).epochs(1);
    let mut model = Autoencoder::new(config.build().unwrap()).unwrap();
    model.fit(&rows, &mut []).unwrap();
    let mut reloaded = reloaded(&model);
    model.partial_fit(&few).unwrap();
    reloaded.partial_fit(&few).unwrap();
    assert_eq!(apart(&model, &reloaded), 0.0);
}

#[test]
fn updates_after_a_fit_have_the_configured_rate() {
    let rows = digits().unwrap();
    for schedule in [Schedule::Cosine { end: 0.0 }, Schedule::OneCycle { warm_up: 0.1 }] {
        let config = base().optimizer(Optimizer::Sgd).learning_rate(0.05).schedule(schedule);
        let mut model = fitted(config.clone());
        let same = Autoencoder::warm_start(config.build().unwrap(), &model).unwrap();
        model.partial_fit(&rows).unwrap();
        let (mut other, before) = (reloaded(&same), apart(&model, &same));
        other.partial_fit(&rows).unwrap();
        assert!(before > 1e-4, "{schedule:?}: the update changed parameters by {before:e}");
        assert_eq!(model.layers(), other.layers(), "{schedule:?}: loaded or not");
    }
}

/// After a fit, the KL divergence counts in full, whether or not its warm-up had ended.
#[test]
fn updates_after_a_fit_count_all_of_the_divergence() {
    let rows = digits().unwrap();
    let latent = Latent::Gaussian(Gaussian { warm_up: 100, ..Gaussian::default() });
    let config = base().optimizer(Optimizer::Sgd).latent(latent);
    let mut model = fitted(config.clone());
    let mut loaded = reloaded(&model);
    // The noise of a step depends on its number, which a file does not hold. The updates are compared by
    // size, where it does not matter.
    let moved = |model: &mut Autoencoder| {
        let before = reloaded(model);
        model.partial_fit(&rows).unwrap();
        apart(model, &before)
    };
    let (one, other) = (moved(&mut model), moved(&mut loaded));
    assert!((one / other - 1.0).abs() < 0.1, "{one:e} and {other:e}");
}

/// A training is not stopped by a KL divergence whose weight grows, whichever loss it monitors, nor is its
/// rate reduced.
#[test]
fn patience_begins_after_the_warm_up() {
    let rows = digits().unwrap();
    let latent = Latent::Gaussian(Gaussian { warm_up: 30, beta: 4.0, ..Gaussian::default() });
    let plateau = Schedule::Plateau { factor: 0.5, patience: 3 };
    for validation in [0.0, 0.2] {
        let config = base().latent(latent).epochs(60).learning_rate(3e-3).validation(validation);
        let config = config.early_stopping(EarlyStopping::after(3)).schedule(plateau);
        let mut model = Autoencoder::new(config.build().unwrap()).unwrap();
        let history = model.fit(&rows, &mut []).unwrap();
        let monitored = |epoch: &EpochRecord| epoch.validation_loss.unwrap_or(epoch.train_loss);
        let losses: Vec<f64> = history.epochs.iter().map(monitored).collect();
        let rises = losses[..30].windows(4).any(|window| window[1..].iter().all(|loss| *loss >= window[0]));
        assert!(rises, "{validation}: the loss should rise during the warm-up: {losses:?}");
        assert!(history.kept_epoch > 30, "{validation}: kept epoch {}", history.kept_epoch);
        let rates = history.epochs[..30].iter().map(|epoch| epoch.learning_rate);
        assert!(rates.into_iter().all(|rate| rate == 3e-3), "{validation}: {:?}", history.epochs);
    }
}

/// Further training continues from the best weights, even if a running mean is in use.
#[test]
fn an_update_goes_on_from_the_weights_that_were_restored() {
    let rows = digits().unwrap();
    let config = base().ema(0.5).epochs(40).learning_rate(0.03).validation(0.3);
    let config = config.batch_size(16).early_stopping(EarlyStopping::after(2));
    let mut model = Autoencoder::new(config.build().unwrap()).unwrap();
    let history = model.fit(&rows, &mut []).unwrap();
    assert_eq!(history.stopped, StopReason::EarlyStopping);
    let before = reloaded(&model);
    model.partial_fit(&rows).unwrap();
    // Adam moves a parameter by about its rate at most; the last epoch's weights were several updates
    // away.
    let moved = apart(&model, &before);
    assert!(moved < 0.05, "{moved:e}");
}

#[test]
fn a_model_that_cannot_be_loaded_is_not_saved() {
    let rows = digits().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model");
    fitted(base()).save(&path).unwrap();
    let good = std::fs::read(&path).unwrap();
    let wild = base().optimizer(Optimizer::Sgd).activation(ae_model::Activation::Relu).learning_rate(1e6);
    let mut model = Autoencoder::new(wild.build().unwrap()).unwrap();
    assert!(matches!(model.fit(&rows, &mut []), Err(Error::Diverged { .. })));
    // More updates, in case all weights were still finite.
    while model.partial_fit(&rows).is_ok() {}
    let error = ae_testing::chain(&model.save(&path).unwrap_err());
    assert!(error.contains("tensor 'encoder."), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), good);
}

#[test]
fn shares_are_told_by_the_scaler_that_is_used() {
    let rows = digits().unwrap();
    let twice = Dataset::new(rows.values().iter().map(|x| x * 2.0).collect(), 64).unwrap();
    for loss in [Loss::Bce, Loss::SigmoidMse] {
        let config = base().loss(loss).scaler(ScalerKind::MinMax);
        let mut model = fitted(config.clone());
        model.partial_fit(&rows).unwrap();
        let error = model.partial_fit(&twice).unwrap_err();
        assert!(matches!(error, Error::OutsideScalerRange { .. }), "{error}");
        assert!(error.to_string().contains("is not between 0 and "), "{error}");
        let mut next = Autoencoder::warm_start(config.build().unwrap(), &model).unwrap();
        assert!(matches!(next.fit(&twice, &mut []), Err(Error::OutsideScalerRange { .. })));
        next.fit(&rows, &mut []).unwrap();
        // A scaler that does not map to [0, 1] is detected too.
        let standard = fitted(base().scaler(ScalerKind::Standard));
        let config = base().loss(loss).scaler(ScalerKind::MinMax).build().unwrap();
        let refused = Autoencoder::warm_start(config, &standard).unwrap().fit(&rows, &mut []);
        assert!(matches!(refused, Err(Error::OutsideScalerRange { .. })), "{refused:?}");
    }
}

/// Only targets must be in [0, 1].
#[test]
fn what_goes_in_need_not_be_shares() {
    let rows = digits().unwrap();
    let targets = Dataset::new(rows.values().iter().map(|x| x / 16.0).collect(), 64).unwrap();
    let pairs = ae_data::Pairs::new(&rows, &targets).unwrap();
    let config = base().loss(Loss::Bce).scaler(ScalerKind::None);
    let mut model = Autoencoder::new(config.build().unwrap()).unwrap();
    model.fit(&pairs, &mut []).unwrap();
    assert!(model.fit(&rows, &mut []).is_err());
    let swapped = ae_data::Pairs::new(&targets, &rows).unwrap();
    assert!(matches!(model.fit(&swapped, &mut []), Err(Error::Targets(_))));
}

/// Values that overflow single precision when scaled have an infinite error, in either direction.
#[test]
fn what_overflows_is_no_missing_value() {
    let mut values: Vec<f32> = (0..400).map(|i| ((i * 37) % 101) as f32 / 101.0).collect();
    values.chunks_exact_mut(4).for_each(|row| row[1] *= 0.01);
    let rows = Dataset::new(values, 4).unwrap();
    let far =
        Dataset::new([[0.5, 9.969_21e36, 0.5, 0.5], [0.5, -9.969_21e36, 0.5, 0.5]].concat(), 4).unwrap();
    for activation in [ae_model::Activation::Tanh, ae_model::Activation::Relu] {
        for mask in [false, true] {
            let config = Config::builder(4).hidden_dims([6]).encoding_dim(2).activation(activation).epochs(5);
            let mut model = Autoencoder::new(config.mask_missing(mask).build().unwrap()).unwrap();
            model.fit(&rows, &mut []).unwrap();
            let errors = model.reconstruction_error(&far, ErrorNorm::Sum).unwrap();
            assert_eq!(errors, [f64::INFINITY; 2], "{activation:?}");
            let mut cells = model.squared_errors(&far).unwrap();
            assert!(cells.row(0).unwrap()[1] == f32::INFINITY && cells.row(1).unwrap()[1] == f32::INFINITY);
            cells = model.squared_errors(&rows).unwrap();
            let residuals = model.residuals(&rows).unwrap();
            assert!(residuals.values().iter().zip(cells.values()).all(|(d, square)| d * d == *square));
            assert!(
                model.one_row().unwrap().error(far.row(0).unwrap(), ErrorNorm::Sum).unwrap().is_infinite()
            );
        }
    }
}

#[test]
fn a_row_set_aside_that_is_too_far_is_named() {
    let mut values: Vec<f32> = (0..800).map(|i| ((i * 37) % 101) as f32 / 101.0).collect();
    let config = Config::builder(4).hidden_dims([6]).encoding_dim(2).epochs(2).validation(0.4);
    let fit = |values: &[f32], precision| {
        let config = config.clone().precision(precision).build().unwrap();
        let mut model = Autoencoder::new(config).unwrap();
        model.fit(&Dataset::new(values.to_vec(), 4).unwrap(), &mut []).map(drop)
    };
    let mut found = 0;
    for row in 0..10 {
        let kept = values[row * 4 + 2];
        values[row * 4 + 2] = 9e36;
        match fit(&values, ae_model::Precision::F32) {
            Ok(()) => {}
            Err(error) => {
                assert!(matches!(error, Error::Overflow { row: at, column: 2, .. } if at == row), "{error}");
                fit(&values, ae_model::Precision::F64).unwrap();
                found += 1;
            }
        }
        values[row * 4 + 2] = kept;
    }
    assert!(found > 0, "none of the ten rows was set aside");
}

#[test]
fn variance_explained_passes_over_what_is_missing() {
    let mut values = digits().unwrap().values().to_vec();
    values.iter_mut().step_by(7).for_each(|x| *x = f32::NAN);
    let rows = Dataset::new(values.clone(), 64).unwrap();
    let config = batch_top_k().mask_missing(true).epochs(2);
    let mut model = Autoencoder::new(config.build().unwrap()).unwrap();
    model.fit(&rows, &mut []).unwrap();
    let found = model.sparsity(&rows).unwrap().variance_explained;
    let (shift, scale) = (model.scaler().shift().to_vec(), model.scaler().scale().to_vec());
    let mut spread = 0.0;
    for column in 0..64 {
        let of_column = values.iter().skip(column).step_by(64).filter(|x| !x.is_nan());
        let scaled: Vec<f64> = of_column.map(|x| (f64::from(*x) - shift[column]) / scale[column]).collect();
        let mean = scaled.iter().sum::<f64>() / scaled.len() as f64;
        spread += scaled.iter().map(|x| (x - mean).powi(2)).sum::<f64>();
    }
    let errors: f64 = model.reconstruction_error(&rows, ErrorNorm::Sum).unwrap().iter().sum();
    assert!((found - (1.0 - errors / spread)).abs() < 1e-5, "{found} for {}", 1.0 - errors / spread);
}

#[test]
fn odd_settings_are_refused_or_do_what_they_say() {
    // Spreads that single precision cannot divide by give no NaN.
    let tiny: Vec<f32> = (0..40).flat_map(|i| [i as f32, f32::from_bits(i as u32 % 5)]).collect();
    let tiny = Dataset::new(tiny, 2).unwrap();
    let mut model = Autoencoder::new(Config::builder(2).encoding_dim(1).epochs(3).build().unwrap()).unwrap();
    model.fit(&tiny, &mut []).unwrap();
    assert!(model.mse(&tiny).unwrap().is_finite());
    for epsilon in [0.0, 1e-50, 2.0, f64::NAN] {
        let adam = Optimizer::Adam { beta1: 0.9, beta2: 0.999, epsilon };
        assert!(base().optimizer(adam).build().is_err(), "{epsilon:e}");
    }
    // A gradient whose square overflows is clipped, not dropped.
    let large = Dataset::new((0..80).map(|i| ((i % 7) as f32 - 3.0) * 1e10).collect(), 2).unwrap();
    let config = Config::builder(2).hidden_dims([]).encoding_dim(1).activation(ae_model::Activation::Linear);
    let config = config.scaler(ScalerKind::None).clip_norm(0.5).learning_rate(1.0).optimizer(Optimizer::Sgd);
    let mut model = Autoencoder::new(config.build().unwrap()).unwrap();
    let before = reloaded(&model);
    let _ = model.partial_fit(&large);
    let moved = apart(&model, &before);
    assert!(moved > 0.05 && moved <= 0.5 + 1e-3, "the update moved a parameter by {moved:e}");
    let vae = fitted(base().latent(Latent::gaussian()).epochs(1));
    assert!(matches!(vae.generate(usize::MAX, 1), Err(Error::Config(_))));
    assert_eq!(vae.generate(0, 1).unwrap().rows(), 0);
}
