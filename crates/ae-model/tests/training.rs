//! What `fit` does besides learning: validation, early stopping, divergence, callbacks, cancellation,
//! and refusing input.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

mod remote;

use std::ops::ControlFlow;

use ae_data::{BatchSource, Dataset, HeldOut, Rows};
use ae_model::{
    Activation, Autoencoder, BatchEnd, Callback, CancelToken, Checkpoints, Config, ConfigBuilder,
    EarlyStopping, EpochRecord, Error, ErrorNorm, Loss, Optimizer, Precision, Scaler, ScalerKind, Snapshot,
    StopReason, on_epoch,
};
use ae_testing::random::SplitMix64;
use remote::Remote;

/// Rows on a curve in `features` dimensions, with a little noise.
fn curve(rows: usize, features: usize) -> Dataset {
    let mut random = SplitMix64::new(11);
    let mut values = Vec::new();
    for _ in 0..rows {
        let t = random.uniform() * 3.0;
        let noise = |random: &mut SplitMix64| 0.01 * random.normal();
        values.extend((0..features).map(|f| ((t + f as f64).sin() + noise(&mut random)) as f32));
    }
    Dataset::new(values, features).unwrap()
}

/// Copies all rows of a source.
fn copied(source: &dyn BatchSource) -> Dataset {
    let indices: Vec<usize> = (0..source.rows()).collect();
    let mut values = vec![0.0; source.rows() * source.features()];
    source.read_rows(&indices, &mut values).unwrap();
    Dataset::new(values, source.features()).unwrap()
}

fn fitted(config: Config, data: &dyn BatchSource) -> (Autoencoder, ae_model::History) {
    let mut model = Autoencoder::new(config).unwrap();
    let history = model.fit(data, &mut []).unwrap();
    (model, history)
}

#[test]
fn learning_beats_the_mean_by_far() {
    let data = curve(500, 10);
    for precision in [Precision::F32, Precision::F64] {
        let config = Config::builder(10)
            .optimizer(Optimizer::Sgd)
            .hidden_dims([32])
            .encoding_dim(2)
            .learning_rate(0.05)
            .epochs(60)
            .precision(precision)
            .build()
            .unwrap();
        let (model, history) = fitted(config, &data);
        let (first, last) = (history.epochs[0].train_mse, history.epochs[59].train_mse);
        assert!(last < first / 5.0, "{precision:?}: {first} to {last}");
        let variance = {
            let scaled = copied(&model.scaled(&data).unwrap());
            let n = scaled.rows() as f64;
            let mean =
                |f: usize| scaled.values().iter().skip(f).step_by(10).map(|x| f64::from(*x)).sum::<f64>() / n;
            (0..10)
                .map(|f| {
                    let mean = mean(f);
                    scaled
                        .values()
                        .iter()
                        .skip(f)
                        .step_by(10)
                        .map(|x| (f64::from(*x) - mean).powi(2))
                        .sum::<f64>()
                        / n
                })
                .sum::<f64>()
                / 10.0
        };
        let mse = model.mse(&data).unwrap();
        assert!(mse < 0.1 * variance, "{precision:?}: {mse} of {variance}");
        assert_eq!(history.kept_epoch, 60);
        assert_eq!(history.stopped, StopReason::Finished);
    }
}

#[test]
fn fitting_again_gives_the_same_model() {
    let data = curve(100, 6);
    let config = Config::builder(6).epochs(3).validation(0.2).seed(8).build().unwrap();
    let (mut model, first) = fitted(config, &data);
    let layers = model.layers();
    let second = model.fit(&data, &mut []).unwrap();
    assert_eq!(model.layers(), layers);
    assert_eq!(first.epochs.len(), second.epochs.len());
    for (a, b) in first.epochs.iter().zip(&second.epochs) {
        assert_eq!((a.train_mse, a.validation_mse), (b.train_mse, b.validation_mse));
    }
    assert_eq!((first.train_rows, first.validation_rows), (80, 20));
}

/// Sources that are read batch by batch train the same model as rows in memory.
#[test]
fn a_source_out_of_memory_gives_the_same_bits() {
    for scaler in [
        ScalerKind::MinMax,
        ScalerKind::Common,
        ScalerKind::Standard,
        ScalerKind::Robust,
        ScalerKind::Centre,
        ScalerKind::None,
    ] {
        let config =
            Config::builder(20).epochs(2).validation(0.3).batch_size(7).scaler(scaler).build().unwrap();
        let data = curve(60, 20);
        let (near, _) = fitted(config.clone(), &data);
        let remote = Remote(data.clone());
        let (far, _) = fitted(config, &remote);
        assert_eq!(near.layers(), far.layers(), "{scaler:?}");
        assert_eq!(near.scaler(), far.scaler(), "{scaler:?}");
        assert_eq!(near.encode(&data).unwrap(), far.encode(&remote).unwrap(), "{scaler:?}");
    }
}

#[test]
fn early_stopping_keeps_the_best_weights() {
    let data = curve(120, 8);
    // A learning rate so large that the loss soon oscillates.
    let config = Config::builder(8)
        .optimizer(Optimizer::Sgd)
        .hidden_dims([16])
        .encoding_dim(2)
        .activation(Activation::Relu)
        .learning_rate(0.4)
        .epochs(200)
        .batch_size(4)
        .validation(0.25)
        .early_stopping(EarlyStopping::after(3))
        .build()
        .unwrap();
    let (model, history) = fitted(config.clone(), &data);
    assert_eq!(history.stopped, StopReason::EarlyStopping);
    let best = history.epochs.iter().map(EpochRecord::monitored).fold(f64::INFINITY, f64::min);
    let kept = history.kept().unwrap();
    assert_eq!(kept.monitored(), best);
    assert_eq!(kept.epoch + 3, history.epochs.len());
    // The weights are those of that epoch: evaluated again on the validation rows, they give its loss.
    let (_, validation) = ae_data::validation_split(120, 0.25, config.seed()).unwrap();
    let rows = data.select_rows(&validation).unwrap();
    assert!((model.mse(&rows).unwrap() / kept.validation_mse.unwrap() - 1.0).abs() < 1e-12);
    // The loss is half the squared error of a row, in single precision.
    assert!((8.0 / 2.0 * model.mse(&rows).unwrap() / best - 1.0).abs() < 1e-6);
}

#[test]
fn early_stopping_without_validation_watches_the_training_loss() {
    // Rows that cannot be learnt: the loss is flat once the mean is known.
    let data = Dataset::new(SplitMix64::new(2).uniform_f32s(40 * 6, 0.0, 1.0), 6).unwrap();
    let early = EarlyStopping { patience: 2, min_improvement: 0.2 };
    let config = Config::builder(6).encoding_dim(1).epochs(500).early_stopping(early).build().unwrap();
    let (_, history) = fitted(config, &data);
    assert_eq!(history.stopped, StopReason::EarlyStopping);
    assert!(history.epochs.len() < 100, "{} epochs", history.epochs.len());
}

#[test]
fn divergence_is_an_error_that_says_where() {
    let data = curve(64, 8);
    let config = Config::builder(8)
        .optimizer(Optimizer::Sgd)
        .hidden_dims([32, 32])
        .learning_rate(50.0)
        .batch_size(4)
        .build()
        .unwrap();
    let error = Autoencoder::new(config).unwrap().fit(&data, &mut []).unwrap_err();
    let Error::Diverged { epoch, batch, learning_rate, loss, .. } = error else { panic!("{error}") };
    assert!(epoch >= 1 && batch >= 1 && learning_rate == 50.0, "{error}");
    assert!(!loss.is_finite() || loss > 1.0, "{error}");
    assert!(error.to_string().contains("a learning rate below 50"), "{error}");
}

/// No later loss shows what the last update has done, nor does any validation row.
#[test]
fn the_last_update_may_diverge_too() {
    let data = curve(8, 3);
    let config = |learning_rate: f64| {
        let builder = Config::builder(3).optimizer(Optimizer::Sgd).hidden_dims([8, 8, 8]).epochs(1);
        builder.activation(Activation::Linear).learning_rate(learning_rate).validation(0.0).build().unwrap()
    };
    let error = Autoencoder::new(config(1e6)).unwrap().fit(&data, &mut []).unwrap_err();
    assert!(matches!(error, Error::Diverged { epoch: 1, batch: 1, .. }), "{error}");
    let (model, _) = fitted(config(1e-3), &data);
    assert!(model.mse(&data).unwrap().is_finite());
}

#[test]
fn rows_without_a_known_value_are_refused() {
    let config = Config::builder(3).encoding_dim(1).mask_missing(true).validation(0.0).epochs(1);
    let mut model = Autoencoder::new(config.build().unwrap()).unwrap();
    let mut values = vec![f32::NAN; 3 * 600];
    let error = model.fit(&Rows::new(&values, 3).unwrap(), &mut []).unwrap_err();
    assert_eq!(error.to_string(), "every value of the 600 training rows is missing");
    assert!(!model.is_fitted());
    *values.last_mut().unwrap() = 1.0;
    model.fit(&Rows::new(&values, 3).unwrap(), &mut []).unwrap();
}

struct Watch {
    batches: Vec<BatchEnd>,
    epochs: Vec<usize>,
    stop_after_batch: Option<usize>,
    stop_after_epoch: Option<usize>,
}

impl Watch {
    fn new() -> Watch {
        Watch { batches: Vec::new(), epochs: Vec::new(), stop_after_batch: None, stop_after_epoch: None }
    }
}

impl Callback for Watch {
    fn on_batch_end(&mut self, end: &BatchEnd) -> ControlFlow<String> {
        self.batches.push(*end);
        match self.stop_after_batch {
            Some(count) if self.batches.len() == count => ControlFlow::Break("enough batches".to_owned()),
            _ => ControlFlow::Continue(()),
        }
    }
    fn on_epoch_end(&mut self, record: &EpochRecord, _: &Snapshot<'_>) -> ControlFlow<String> {
        self.epochs.push(record.epoch);
        match self.stop_after_epoch {
            Some(count) if self.epochs.len() == count => ControlFlow::Break("enough epochs".to_owned()),
            _ => ControlFlow::Continue(()),
        }
    }
}

#[test]
fn callbacks_see_everything_and_may_stop() {
    let data = curve(25, 5);
    let config = || Config::builder(5).batch_size(10).epochs(4).build().unwrap();
    let mut watch = Watch::new();
    Autoencoder::new(config()).unwrap().fit(&data, &mut [&mut watch]).unwrap();
    let seen: Vec<_> = watch.batches.iter().map(|end| (end.epoch, end.batch, end.batches)).collect();
    // The last batch of each epoch has the remaining five rows.
    assert_eq!(seen[..4], [(1, 1, 3), (1, 2, 3), (1, 3, 3), (2, 1, 3)]);
    assert_eq!((seen.len(), watch.epochs), (12, vec![1, 2, 3, 4]));

    let mut watch = Watch { stop_after_epoch: Some(2), ..Watch::new() };
    let history = Autoencoder::new(config()).unwrap().fit(&data, &mut [&mut watch]).unwrap();
    assert_eq!(history.stopped, StopReason::Callback("enough epochs".to_owned()));
    assert_eq!(history.epochs.len(), 2);

    let mut watch = Watch { stop_after_batch: Some(4), ..Watch::new() };
    let history = Autoencoder::new(config()).unwrap().fit(&data, &mut [&mut watch]).unwrap();
    assert_eq!(history.stopped, StopReason::Callback("enough batches".to_owned()));
    assert_eq!((history.epochs.len(), history.kept_epoch), (1, 1));
}

#[test]
fn a_token_cancels() {
    let data = curve(25, 5);
    let mut model =
        Autoencoder::new(Config::builder(5).batch_size(10).epochs(1000).build().unwrap()).unwrap();
    let token = CancelToken::new();
    model.set_cancel_token(token.clone());
    let mut cancel_in_third = on_epoch(|record, _| {
        if record.epoch == 3 {
            token.cancel();
        }
        ControlFlow::Continue(())
    });
    let history = model.fit(&data, &mut [&mut cancel_in_third]).unwrap();
    assert_eq!(history.stopped, StopReason::Cancelled);
    assert_eq!(history.epochs.len(), 3);
}

#[test]
fn partial_fit_continues_where_it_was() {
    let data = curve(64, 6);
    let mut model =
        Autoencoder::new(Config::builder(6).optimizer(Optimizer::Sgd).learning_rate(0.1).build().unwrap())
            .unwrap();
    let losses: Vec<f64> = (0..50).map(|_| model.partial_fit(&data).unwrap()).collect();
    assert!(losses[49] < losses[0] / 2.0, "{} to {}", losses[0], losses[49]);
    let scaler = model.scaler().clone();
    let other = Dataset::new(vec![100.0; 12], 6).unwrap();
    model.partial_fit(&other).unwrap();
    assert!(model.scaler().shift() == scaler.shift() && model.scaler().scale() == scaler.scale());
}

#[test]
fn data_that_cannot_be_learnt_from_is_refused() {
    let config = || Config::builder(3).epochs(2).validation(0.5).build().unwrap();
    let rows = |values: &[f32]| Dataset::new(values.to_vec(), 3).unwrap();
    let named = |values: &[f32]| {
        rows(values).with_names(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]).unwrap()
    };
    let max = f32::MAX;
    let cases: [(Dataset, &str); 7] = [
        (Dataset::new(vec![0.0; 8], 4).unwrap(), "the model expects rows of 3 values, but got 4"),
        (rows(&[]), "there are no rows"),
        (rows(&[1.0, 2.0, 3.0, 4.0, f32::NAN, 6.0]), "row 2, column 2: NaN is not a finite number"),
        (named(&[1.0, 2.0, f32::INFINITY, 4.0, 5.0, 6.0]), "row 1, column 'c': inf is not a finite number"),
        (rows(&[1.0, 2.0, 3.0, 4.0, 5.0, f32::NEG_INFINITY]), "row 2, column 3: -inf is not a finite number"),
        (
            named(&[1.0, max, 3.0, 1.0, -max, 3.0, 2.0, max, 2.0, 0.0, -max, 1.0]),
            "column 'b': its values span",
        ),
        (Dataset::new(vec![], 0).unwrap(), "the model expects rows of 3 values, but got 0"),
    ];
    for (data, message) in cases {
        let mut model = Autoencoder::new(config()).unwrap();
        let before = model.layers();
        let error = model.fit(&data, &mut []).unwrap_err().to_string();
        assert!(error.starts_with(message), "'{error}' instead of '{message}'");
        assert_eq!(model.layers(), before, "nothing changes before the data is known to be good");
    }
}

#[test]
fn rows_that_do_not_fit_the_model_are_refused() {
    let model = Autoencoder::new(Config::builder(4).encoding_dim(2).build().unwrap()).unwrap();
    let values = [1.0, 2.0, f32::NAN, 4.0, 5.0, 6.0];
    let three = Rows::new(&values, 3).unwrap();
    let four = Rows::new(&values[..4], 4).unwrap();
    let two = Rows::new(&values, 2).unwrap();
    let messages = [
        (model.encode(&three).unwrap_err().to_string(), "the model expects rows of 4 values, but got 3"),
        (model.decode(&three).unwrap_err().to_string(), "the model expects encodings of 2 values, but got 3"),
        (model.encode(&four).unwrap_err().to_string(), "row 1, column 3: NaN is not a finite number"),
        (model.decode(&two).unwrap_err().to_string(), "row 2, column 1: NaN is not a finite number"),
        (model.mse(&four).unwrap_err().to_string(), "row 1, column 3: NaN is not a finite number"),
        (model.mse(&Rows::new(&[], 4).unwrap()).unwrap_err().to_string(), "there are no rows"),
    ];
    for (got, expected) in messages {
        assert_eq!(got, expected);
    }
    let none = Rows::new(&[], 4).unwrap();
    assert_eq!(model.encode(&none).unwrap().rows(), 0);
    assert!(model.reconstruction_error(&none, ErrorNorm::Sum).unwrap().is_empty());
}

#[test]
fn encodings_are_never_missing() {
    let config = Config::builder(4).encoding_dim(2).mask_missing(true).build().unwrap();
    let model = Autoencoder::new(config).unwrap();
    let error = model.decode(&Rows::new(&[1.0, f32::NAN], 2).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "row 1, column 2: NaN is not a finite number");
}

#[test]
fn centring_keeps_the_units() {
    let data = Dataset::new(vec![1.0, 10.0, 3.0, 10.0, 8.0, 10.0], 2).unwrap();
    let scaler = Scaler::fit(ScalerKind::Centre, &data, &[0, 1, 2]).unwrap();
    assert_eq!((scaler.shift(), scaler.scale()), (&[4.0, 10.0][..], &[1.0, 1.0][..]));
    let error = Scaler::fit(ScalerKind::Centre, &data, &[0, 3]).unwrap_err();
    assert!(error.to_string().contains("row 4 is out of range: there are 3 rows"), "{error}");
}

#[test]
fn losses_of_shares_refuse_what_is_none() {
    let data = Dataset::new(vec![0.0, 0.5, 1.0, 1.5], 2).unwrap();
    for loss in [Loss::Bce, Loss::SigmoidMse] {
        let builder = || Config::builder(2).encoding_dim(1).loss(loss).epochs(1).validation(0.0);
        let mut model = Autoencoder::new(builder().scaler(ScalerKind::None).build().unwrap()).unwrap();
        let error = model.fit(&data, &mut []).unwrap_err();
        assert!(matches!(error, Error::OutsideUnitRange { row: 1, column: 1, .. }), "{error}");
        assert!(error.to_string().starts_with("row 2, column 2: 1.5 is not between 0 and 1"), "{error}");
        assert!(model.partial_fit(&data).is_err());
        let mut scaled = Autoencoder::new(builder().build().unwrap()).unwrap();
        scaled.fit(&data, &mut []).unwrap();
        // Reconstructions lie between the smallest and largest values seen, whatever the input.
        let far = Dataset::new(vec![-1e3, 1e3, 1e6, -1e6], 2).unwrap();
        let rebuilt = scaled.reconstruct(&far).unwrap();
        let values = rebuilt.values();
        assert!(values.iter().all(|x| (0.0..=1.5).contains(x)), "{loss:?}: {values:?}");
        assert!(builder().scaler(ScalerKind::Standard).build().is_err());
    }
}

#[test]
fn scaling_is_undone_on_the_way_out() {
    // Exact reconstruction is not required, but constants must come back as they went in.
    let mut values = Vec::new();
    for i in 0..50u8 {
        values.extend([1_600_000_000.0 + f32::from(i) * 256.0, 7.25, f32::from(i % 5), 1e-9 * f32::from(i)]);
    }
    let data = Dataset::new(values, 4).unwrap();
    for scaler in [ScalerKind::MinMax, ScalerKind::Standard, ScalerKind::Robust] {
        let config = Config::builder(4)
            .optimizer(Optimizer::Sgd)
            .hidden_dims([16])
            .encoding_dim(3)
            .scaler(scaler)
            .learning_rate(0.05)
            .epochs(300)
            .batch_size(5)
            .build()
            .unwrap();
        let (model, _) = fitted(config, &data);
        let scaled = copied(&model.scaled(&data).unwrap());
        assert!(scaled.values().iter().all(|x| x.abs() <= 3.0), "{scaler:?}: every feature is of order one");
        let rebuilt = model.reconstruct(&data).unwrap();
        for (x, y) in data.values().chunks(4).zip(rebuilt.values().chunks(4)) {
            assert!((x[0] - y[0]).abs() < 3_000.0, "{scaler:?}: {x:?} {y:?}");
            assert!((x[1] - y[1]).abs() < 0.05, "{scaler:?}: {x:?} {y:?}");
            assert!((x[3] - y[3]).abs() < 1e-8, "{scaler:?}: {x:?} {y:?}");
        }
    }
}

/// One scale for all features, so that a feature which hardly varies in the fitted rows is not blown up.
#[test]
fn features_that_share_a_unit_share_a_scale() {
    let rows = |values: &[f32]| Dataset::new(values.to_vec(), 3).unwrap();
    let scaler = |data: &Dataset| {
        let all: Vec<usize> = (0..data.rows()).collect();
        Scaler::fit(ScalerKind::Common, data, &all)
    };
    let found = scaler(&rows(&[5.0, 255.0, 1e-6, 5.0, 10.0, 0.0])).unwrap();
    assert_eq!((found.shift(), found.scale()), (&[0.0; 3][..], &[255.0; 3][..]));
    let same = scaler(&rows(&[7.0; 6])).unwrap();
    assert_eq!((same.shift(), same.scale()), (&[7.0; 3][..], &[1.0; 3][..]));
    let none = scaler(&rows(&[])).unwrap();
    assert_eq!((none.shift(), none.scale()), (&[0.0; 3][..], &[1.0; 3][..]));
    let far = scaler(&rows(&[-3e38, -2e38, 0.0, -3e38, 3e38, 2e38])).unwrap_err();
    assert!(matches!(far, Error::Spread { column: 1, .. }), "{far}");
    // Values in [0, 1], as the cross-entropy needs them, and missing values where they are allowed.
    let config = Config::builder(3).scaler(ScalerKind::Common).loss(Loss::Bce).mask_missing(true).epochs(2);
    let data = rows(&[5.0, f32::NAN, 1e-6, f32::NAN, 10.0, 0.0, 255.0, 3.0, f32::NAN]);
    let (model, _) = fitted(config.validation(0.0).build().unwrap(), &data);
    assert_eq!(model.scaler().scale(), &[255.0; 3]);
    assert!(model.reconstruct(&data).unwrap().values().iter().all(|x| (0.0..=255.0).contains(x)));
}

/// Rows on a line, some values missing: the model learns the line from the others and fills them in.
#[test]
fn missing_values_are_learnt_around_and_filled_in() {
    let whole: Vec<f32> =
        (0..300).flat_map(|i| [1.0, -2.0, 0.5, 3.0].map(|slope| 5.0 + slope * (i % 30) as f32)).collect();
    let mut holes = whole.clone();
    holes.iter_mut().step_by(9).for_each(|x| *x = f32::NAN);
    let data = Dataset::new(holes.clone(), 4).unwrap();
    let base = Config::builder(4).hidden_dims([8]).encoding_dim(1).epochs(150).validation(0.1);
    let base = base.optimizer(Optimizer::ADAM).learning_rate(0.01);
    let strict = Autoencoder::new(base.clone().build().unwrap()).unwrap().fit(&data, &mut []);
    assert!(matches!(strict, Err(Error::NotFinite { .. })), "{strict:?}");

    let mut model = Autoencoder::new(base.mask_missing(true).build().unwrap()).unwrap();
    let history = model.fit(&data, &mut []).unwrap();
    assert!(history.epochs.iter().all(|epoch| epoch.train_mse.is_finite()));
    let rebuilt = model.reconstruct(&data).unwrap();
    let mut worst = 0f32;
    for ((given, whole), rebuilt) in holes.iter().zip(&whole).zip(rebuilt.values()) {
        assert!(rebuilt.is_finite());
        if given.is_nan() {
            worst = worst.max((whole - rebuilt).abs());
        }
    }
    // The values range over up to 87.
    assert!(worst < 15.0, "off by {worst}");
    let (mse, by_row) =
        (model.mse(&data).unwrap(), model.reconstruction_error(&data, ErrorNorm::Sum).unwrap());
    let known = holes.iter().filter(|x| !x.is_nan()).count() as f64;
    assert!((mse - by_row.iter().sum::<f64>() / known).abs() < 1e-12);
    let mut code = [0.0];
    assert!(model.one_row().unwrap().encode(&holes[..4], &mut code).is_ok());
    assert_eq!(code, model.encode(&data).unwrap().values()[..1]);
    assert!(model.one_row().unwrap().decode(&[f32::NAN], &mut [0.0; 4]).is_err(), "a code is never missing");
    holes[1] = f32::INFINITY;
    assert!(matches!(model.mse(&Dataset::new(holes, 4).unwrap()), Err(Error::NotFinite { column: 1, .. })));
}

#[test]
fn the_range_test_finds_a_rate_that_learns() {
    let data = curve(600, 10);
    let base = || Config::builder(10).hidden_dims([32]).encoding_dim(2).epochs(20).batch_size(32);
    for optimizer in [Optimizer::Sgd, Optimizer::ADAM] {
        let model = Autoencoder::new(base().optimizer(optimizer).build().unwrap()).unwrap();
        let before = model.layers();
        let found = model.range_test(&data).unwrap();
        assert_eq!(found, model.range_test(&data).unwrap());
        assert!(model.layers() == before && !model.is_fitted());
        assert_eq!(found.rates.len(), found.losses.len());
        assert_eq!(found.suggestion, found.lowest_loss_rate / 10.0);
        let steps: Vec<f64> = found.rates.windows(2).map(|pair| pair[1] / pair[0]).collect();
        assert!(steps.iter().all(|step| (step - steps[0]).abs() < 1e-9), "{steps:?}");
        // The running mean of a single loss is that loss: about half the squared error of a row, with
        // initial weights.
        let fresh = 5.0 * model.mse(&data).unwrap();
        assert!((found.losses[0] / fresh - 1.0).abs() < 0.5, "{} {fresh}", found.losses[0]);
        assert!(found.rates.is_sorted() && found.rates.contains(&found.lowest_loss_rate));
        // Training became unstable before the largest rate.
        assert!(
            found.rates.last().unwrap() < &10.0 && found.suggestion < found.lowest_loss_rate,
            "{found:?}"
        );
        let trained = |rate: f64| {
            let config = base().optimizer(optimizer).learning_rate(rate).build().unwrap();
            fitted(config, &data).1.epochs[19].train_mse
        };
        assert!(trained(found.suggestion) < 0.5 * trained(found.suggestion / 30.0), "{optimizer:?}");
    }
    let model = Autoencoder::new(base().build().unwrap()).unwrap();
    assert!(matches!(model.range_test(&curve(5, 9)), Err(Error::Width { .. })));
    assert!(matches!(model.range_test(&curve(0, 10)), Err(Error::NoRows { .. })));
}

/// However training ends, early stopping leaves the best weights.
#[test]
fn a_callback_that_stops_training_leaves_the_best_weights() {
    let rows = curve(60, 3);
    let config = Config::builder(rows.features()).encoding_dim(1).epochs(60).validation(0.3);
    let config = config.early_stopping(EarlyStopping::after(50)).learning_rate(0.2).seed(2).build().unwrap();
    let mut seen: Vec<f64> = Vec::new();
    let mut model = Autoencoder::new(config).unwrap();
    let mut stop = on_epoch(|record, _| {
        seen.push(record.monitored());
        if record.epoch == 40 {
            ControlFlow::Break("time is up".to_owned())
        } else {
            ControlFlow::Continue(())
        }
    });
    let history = model.fit(&rows, &mut [&mut stop]).unwrap();
    let best = seen.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).unwrap().0 + 1;
    assert!(best < 40, "{best}: the test needs a training that gets worse");
    assert_eq!((history.epochs.len(), history.kept_epoch), (40, best));
    let (_, held_out) = ae_data::validation_split(rows.rows(), 0.3, 2).unwrap();
    let error = model.mse(&rows.select_rows(&held_out).unwrap()).unwrap();
    let expected = history.epochs[best - 1].validation_mse.unwrap();
    assert!((error - expected).abs() < 1e-6 * expected, "{error} for {expected}");
}

/// Held-out rows are used for validation and never learnt from.
#[test]
fn rows_that_are_held_out_are_validated_on() {
    let (early, late) = (curve(80, 4), curve(100, 4));
    let late = late.select_rows(&(80..100).collect::<Vec<_>>()).unwrap();
    let all = early.followed_by(&late).unwrap();
    let config = Config::builder(4).encoding_dim(2).epochs(15).seed(4).validation(0.5).build().unwrap();
    let (model, history) = fitted(config.clone(), &HeldOut::last(&all, 20).unwrap());
    assert_eq!((history.train_rows, history.validation_rows), (80, 20));
    let expected = history.epochs[14].validation_mse.unwrap();
    assert!((model.mse(&late).unwrap() - expected).abs() < 1e-6 * expected);
    // The same as without them, to the bit.
    let alone = ConfigBuilder::from(config.clone()).validation(0.0).build().unwrap();
    let (without, _) = fitted(alone, &early);
    assert_eq!(model.layers(), without.layers());
    assert_eq!(model.scaler(), without.scaler());
    // Checkpoints work too, but not for a training with other held-out rows.
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = Checkpoints::at(folder.path().join("a.checkpoint"));
    let resumable = |rows: &dyn BatchSource| {
        let mut model = Autoencoder::new(config.clone()).unwrap();
        model.fit_resumable(rows, &checkpoints, &mut []).map(|_| model.layers())
    };
    assert_eq!(resumable(&HeldOut::last(&all, 20).unwrap()).unwrap(), model.layers());
    assert!(matches!(resumable(&HeldOut::last(&all, 19).unwrap()), Err(Error::OtherTraining { .. })));
    let none = fitted_error(&config, &HeldOut::last(&early, 80).unwrap());
    assert!(matches!(none, Error::NoRows { rows: 80, validation: 80 }), "{none}");
    assert!(HeldOut::last(&early, 81).is_err());
}

fn fitted_error(config: &Config, data: &dyn BatchSource) -> Error {
    Autoencoder::new(config.clone()).unwrap().fit(data, &mut []).unwrap_err()
}

/// At the end of an epoch, a callback sees the model that training would return.
#[test]
fn callbacks_see_the_model() {
    let names = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
    let data = curve(40, 5).with_names(names.clone()).unwrap();
    for precision in [Precision::F32, Precision::F64] {
        let config = Config::builder(5).encoding_dim(2).epochs(3).batch_size(10).ema(0.5);
        let mut model = Autoencoder::new(config.precision(precision).build().unwrap()).unwrap();
        let mut last = None;
        let mut watch = on_epoch(|record, model| {
            let rebuilt = model.reconstruct(&data).unwrap();
            assert_eq!(rebuilt.names(), Some(&names[..]));
            let decoded = model.decode(&model.encode(&data).unwrap()).unwrap();
            // Encodings are rounded to single precision on their way out.
            let apart = decoded.values().iter().zip(rebuilt.values()).map(|(a, b)| (a - b).abs());
            assert!(apart.fold(0.0, f32::max) < 1e-6);
            let reordered = data.clone().with_names(names.iter().rev().cloned().collect()).unwrap();
            assert!(matches!(model.encode(&reordered), Err(Error::Names { .. })));
            let error = model.mse(&data).unwrap();
            last = Some((record.epoch, rebuilt, error, model.layers(), model.scaler().clone()));
            ControlFlow::Continue(())
        });
        model.fit(&data, &mut [&mut watch]).unwrap();
        let (epoch, rebuilt, error, layers, scaler) = last.unwrap();
        assert_eq!((epoch, &scaler), (3, model.scaler()));
        assert_eq!(rebuilt.values(), model.reconstruct(&data).unwrap().values());
        assert_eq!((error, layers), (model.mse(&data).unwrap(), model.layers()));
    }
}
