//! Programs with their own loops, sources and storage: their inputs are checked, and the models they
//! train come out.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, helpers included")]

use std::sync::atomic::{AtomicUsize, Ordering};

use ae_data::{BatchSource, DataError, Dataset, Pairs};
use ae_model::{
    Activation, Arithmetic, Autoencoder, CancelToken, CodePenalty, Config, ConfigBuilder, Dropout, Error,
    ErrorNorm, History, Isa, Latent, LayerParameters, Noise, Optimizer, Precision, Scaler, ScalerKind,
    StopReason, TopK, Trainer,
};
use ae_testing::chain;
use ae_testing::random::SplitMix64;

const FEATURES: usize = 8;

fn rows(count: usize, seed: u64) -> Dataset {
    Dataset::new(SplitMix64::new(seed).uniform_f32s(count * FEATURES, 0.0, 1.0), FEATURES).unwrap()
}

fn config() -> Config {
    let builder = Config::builder(FEATURES).hidden_dims([6]).encoding_dim(3).optimizer(Optimizer::ADAM);
    builder.learning_rate(0.01).epochs(3).seed(1).build().unwrap()
}

fn weights(model: &Autoencoder) -> Vec<LayerParameters<f64>> {
    model.layers()
}

#[test]
fn a_row_out_of_reach_is_refused_by_partial_fit_before_anything_changes() {
    for scaler in [ScalerKind::MinMax, ScalerKind::None] {
        let config = Config::builder(FEATURES).encoding_dim(3).optimizer(Optimizer::ADAM).scaler(scaler);
        let mut model = Autoencoder::new(config.build().unwrap()).unwrap();
        model.partial_fit(&rows(32, 1)).unwrap();
        let before = weights(&model);
        let mut values = rows(4, 2).values().to_vec();
        values[2 * FEATURES + 5] = 1e25;
        let error = model.partial_fit(&Dataset::new(values.clone(), FEATURES).unwrap()).unwrap_err();
        assert!(matches!(error, Error::Overflow { row: 2, column: 5, .. }), "{error}");
        // Its error has a square, but its gradient has not, which Adam needs.
        values[2 * FEATURES + 5] = 1e12;
        let small = model.partial_fit(&Dataset::new(values, FEATURES).unwrap()).unwrap_err();
        assert!(matches!(small, Error::Overflow { row: 2, column: 5, .. }), "{small}");
        assert_eq!(
            error.to_string(),
            "row 3, column 6: 1e25 is so far outside the range of the training rows that its error or gradient overflows"
        );
        assert_eq!(weights(&model), before);
        assert!(model.partial_fit(&rows(32, 3)).unwrap().is_finite());
    }
}

/// The code is enormous and the decoder ignores it, so the penalty overflows and the error does not.
#[test]
fn a_penalty_that_overflows_alone_is_told() {
    let config = Config::builder(1).encoding_dim(1).activation(Activation::Linear).scaler(ScalerKind::None);
    let config = config.code_penalty(CodePenalty::L1 { weight: 1e6 }).optimizer(Optimizer::Sgd);
    let config = config.learning_rate(1e-30).build().unwrap();
    let layer = |weight| LayerParameters { inputs: 1, outputs: 1, weights: vec![weight], bias: vec![0.0] };
    let layers = [layer(1e33), layer(0.0)];
    let mut trainer = Trainer::<f32>::new(&config, Isa::best(), Some(1)).unwrap();
    layers.iter().enumerate().for_each(|(at, layer)| trainer.set_layer(at, &layer.cast()).unwrap());
    let of_step = trainer.enter(|session| session.train_batch(&[1.0, 2.0], &[0, 1]));
    assert!(matches!(of_step, Err(Error::LossNotFinite { loss: f64::INFINITY, .. })), "{of_step:?}");

    let scaler = Autoencoder::new(config.clone()).unwrap().scaler().clone();
    let mut model = Autoencoder::from_layers(config, scaler, &layers).unwrap();
    let of_update = model.partial_fit(&Dataset::new(vec![1.0, 2.0], 1).unwrap());
    assert!(matches!(of_update, Err(Error::LossNotFinite { loss: f64::INFINITY, .. })), "{of_update:?}");
}

/// Where gradients are not squared, or do not overflow, only errors limit what an update takes.
#[test]
fn what_an_update_takes_depends_on_what_it_squares() {
    let far = |value: f32| {
        let mut values = rows(4, 2).values().to_vec();
        values[2 * FEATURES + 5] = value;
        Dataset::new(values, FEATURES).unwrap()
    };
    let base = || Config::builder(FEATURES).encoding_dim(3).scaler(ScalerKind::None).learning_rate(1e-30);
    let takes = |config: ConfigBuilder, value: f32| {
        let mut model = Autoencoder::new(config.build().unwrap()).unwrap();
        match model.partial_fit(&far(value)) {
            Ok(_) | Err(Error::LossNotFinite { .. }) => true,
            Err(Error::Overflow { row: 2, column: 5, .. }) => false,
            Err(error) => panic!("{error}"),
        }
    };
    for adam in [Optimizer::ADAM, Optimizer::ADAMW] {
        let base = || base().optimizer(adam);
        assert!(takes(base(), 0.9e9) && !takes(base(), 1.1e9), "{adam:?}");
        assert!(takes(base().clip_norm(1.0), 1.1e9) && !takes(base().clip_norm(1.0), 1.1e18), "{adam:?}");
        assert!(takes(base().precision(Precision::F64), 1.1e18), "{adam:?}");
    }
    let sgd = || base().optimizer(Optimizer::Sgd);
    assert!(takes(sgd(), 0.9e18) && !takes(sgd(), 1.1e18));
    // What counts are scaled values.
    let wide = Scaler::from_parts(vec![0.0; FEATURES], vec![1e9; FEATURES]).unwrap();
    let config = base().optimizer(Optimizer::ADAM).build().unwrap();
    let layers = Autoencoder::new(config.clone()).unwrap().layers();
    let mut model = Autoencoder::from_layers(config, wide, &layers).unwrap();
    model.partial_fit(&far(0.9e18)).unwrap();
    assert!(matches!(model.partial_fit(&far(1.1e18)), Err(Error::Overflow { row: 2, column: 5, .. })));
    // Targets too, and they are said to be what is wrong.
    let mut model = Autoencoder::new(base().optimizer(Optimizer::ADAM).build().unwrap()).unwrap();
    let (near, far) = (rows(4, 2), far(1.1e9));
    let refused = model.partial_fit(&Pairs::new(&near, &far).unwrap()).unwrap_err();
    assert!(matches!(&refused, Error::Targets(inner) if matches!(**inner, Error::Overflow { row: 2, .. })));
    let refused = model.partial_fit(&Pairs::new(&far, &near).unwrap()).unwrap_err();
    assert!(matches!(refused, Error::Overflow { row: 2, column: 5, .. }));
    assert!(!model.is_fitted());
}

#[test]
fn columns_in_another_order_are_refused() {
    let names = |names: [&str; FEATURES]| names.map(str::to_owned).to_vec();
    let named = rows(40, 1).with_names(names(["a", "b", "c", "d", "e", "f", "g", "h"])).unwrap();
    let other = rows(40, 1).with_names(names(["a", "b", "d", "c", "e", "f", "g", "h"])).unwrap();
    let mut model = Autoencoder::new(config()).unwrap();
    model.fit(&named, &mut []).unwrap();
    let message = "column 3 is 'd' where the model has 'c': select the columns by name, in the model's order";
    let errors = [
        model.encode(&other).unwrap_err(),
        model.reconstruct(&other).unwrap_err(),
        model.mse(&other).unwrap_err(),
        model.reconstruction_error(&other, ErrorNorm::Sum).unwrap_err(),
        model.feature_error(&other).unwrap_err(),
        model.scaled(&other).unwrap_err(),
        model.partial_fit(&other).unwrap_err(),
    ];
    assert!(errors.iter().all(|error| error.to_string() == message), "{errors:?}");
    // Rows without names are always accepted, and a new training accepts any names.
    assert!(model.mse(&rows(40, 1)).unwrap() == model.mse(&named).unwrap());
    model.fit(&other, &mut []).unwrap();
    assert!(model.mse(&named).is_err() && model.mse(&other).is_ok());
}

#[test]
fn the_first_update_names_the_columns() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"].map(str::to_owned).to_vec();
    let other = names.iter().rev().cloned().collect();
    let mut model = Autoencoder::new(config()).unwrap();
    model.partial_fit(&rows(40, 1).with_names(names.clone()).unwrap()).unwrap();
    assert_eq!(model.feature_names(), Some(&names[..]));
    let refused = model.partial_fit(&rows(40, 1).with_names(other).unwrap());
    assert!(matches!(refused, Err(Error::Names { column: 0, .. })), "{refused:?}");
}

#[test]
fn the_error_of_an_update_is_that_of_the_known_values() {
    let mut values = rows(40, 1).values().to_vec();
    values.iter_mut().step_by(3).for_each(|x| *x = f32::NAN);
    let data = Dataset::new(values, FEATURES).unwrap();
    let config = Config::builder(FEATURES).encoding_dim(3).mask_missing(true).build().unwrap();
    let mut model = Autoencoder::new(config).unwrap();
    model.partial_fit(&data).unwrap();
    let expected = model.mse(&data).unwrap();
    assert!((model.partial_fit(&data).unwrap() / expected - 1.0).abs() < 1e-5);
}

#[test]
fn a_used_token_leaves_the_model_as_it_is() {
    let (mut model, token) = (Autoencoder::new(config()).unwrap(), CancelToken::new());
    model.fit(&rows(50, 1), &mut []).unwrap();
    let before = weights(&model);
    model.set_cancel_token(token.clone());
    token.cancel();
    let history = model.fit(&rows(50, 2), &mut []).unwrap();
    assert!(
        history.stopped == StopReason::Cancelled && history.epochs.is_empty() && history.kept().is_none()
    );
    assert_eq!(weights(&model), before);
    model.set_cancel_token(None);
    assert_eq!(model.fit(&rows(50, 2), &mut []).unwrap().stopped, StopReason::Finished);
    assert_ne!(weights(&model), before);
}

#[test]
fn a_trainer_refuses_what_is_no_number() {
    let mut trainer = Trainer::<f32>::new(&config(), Isa::best(), Some(1)).unwrap();
    let before = trainer.layers();
    let good = rows(4, 1).values().to_vec();
    for (at, value) in [(0, f32::NAN), (FEATURES + 3, f32::INFINITY), (4 * FEATURES - 1, f32::NEG_INFINITY)] {
        let mut bad = good.clone();
        bad[at] = value;
        trainer.enter(|session| {
            let error = session.train_batch(&bad, &[3, 1, 0]).unwrap_err();
            let Error::NotFinite { row, column, .. } = error else { panic!("{error}") };
            assert_eq!(row * FEATURES + column, at);
            let error = session.train_pairs(&good, &bad, &[0, 1, 3]).unwrap_err();
            assert!(matches!(error, Error::Targets(_)), "{error}");
            assert!(session.gradients(&bad, &[0, 1, 3]).is_err());
            // Rows that are not requested may hold anything.
            session.gradients(&bad, &[2]).unwrap();
        });
    }
    assert_eq!(trainer.layers(), before);
    let masked = Config::builder(FEATURES).encoding_dim(3).mask_missing(true).build().unwrap();
    let mut trainer = Trainer::<f32>::new(&masked, Isa::best(), Some(1)).unwrap();
    let missing = vec![f32::NAN; FEATURES];
    assert_eq!(trainer.enter(|session| session.train_batch(&missing, &[0])).unwrap(), 0.0);
    assert!(trainer.layers().iter().flat_map(|layer| &layer.weights).all(|x| x.is_finite()));
}

#[test]
fn what_a_loop_of_ones_own_has_learnt_is_a_model() {
    let (data, config) = (rows(64, 1), config());
    let mut trainer = Trainer::<f32>::new(&config, Isa::best(), Some(1)).unwrap();
    let all: Vec<usize> = (0..64).collect();
    let mse = trainer.enter(|session| {
        for step in 0..200 {
            session.set_learning_rate(0.02 / (1.0 + f64::from(step))).unwrap();
            session.train_batch(data.values(), &all).unwrap();
        }
        assert!(session.set_learning_rate(f64::NAN).is_err() && session.set_learning_rate(0.0).is_err());
        // The rate is too small to change anything, so this is the error of the parameters as they are.
        session.set_learning_rate(1e-30).unwrap();
        session.train_batch(data.values(), &all).unwrap()
    });
    let scaler = Scaler::identity(FEATURES);
    let model = trainer.to_model(scaler.clone()).unwrap();
    assert!(model.is_fitted() && (model.mse(&data).unwrap() - mse).abs() < 1e-6 * mse);

    let layers = trainer.layers();
    let from = |scaler: Scaler, layers: &[LayerParameters<f32>]| {
        Autoencoder::from_layers(config.clone(), scaler, layers).unwrap_err().to_string()
    };
    assert_eq!(from(Scaler::identity(5), &layers), "the model expects a scaler of 8 values, but got 5");
    assert_eq!(
        from(scaler.clone(), &layers[1..]),
        "the configuration has 4 layers, encoder and decoder together, but 3 were given"
    );
    let mut other = layers.clone();
    other[1].weights.pop();
    assert!(from(scaler.clone(), &other).starts_with("layer 1 has weights ["));
    let mut other = layers;
    other[2].bias[1] = f32::NAN;
    assert_eq!(from(scaler, &other), "parameter 19 of layer 2 is not a finite number");
}

#[test]
fn a_stream_may_know_its_scale_from_the_start() {
    let wide = |count, seed| {
        let values = rows(count, seed).values().iter().map(|x| x * 1e4).collect();
        Dataset::new(values, FEATURES).unwrap()
    };
    let scaler = Scaler::from_parts(vec![0.0; FEATURES], vec![1e4; FEATURES]).unwrap();
    let new = Autoencoder::new(config()).unwrap();
    let mut model = Autoencoder::from_layers(config(), scaler.clone(), &new.layers()).unwrap();
    for step in 0..50 {
        model.partial_fit(&wide(1, step)).unwrap();
    }
    assert_eq!(*model.scaler(), scaler);
    assert!(model.mse(&wide(100, 99)).unwrap() < 0.3);
    model.set_learning_rate(1e-30).unwrap();
    let before = weights(&model);
    model.partial_fit(&wide(1, 100)).unwrap();
    assert!(weights(&model) == before && model.config().learning_rate() == 1e-30);
    assert!(model.set_learning_rate(-1.0).is_err());
}

#[test]
fn clones_go_on_by_themselves() {
    let mut model = Autoencoder::new(config()).unwrap();
    model.set_threads(Some(2)).unwrap();
    model.fit(&rows(40, 1), &mut []).unwrap();
    let before = weights(&model);
    let mut clone = model.clone();
    clone.partial_fit(&rows(16, 2)).unwrap();
    assert_eq!(weights(&model), before);
    assert_ne!(weights(&clone), before);
    model.partial_fit(&rows(16, 2)).unwrap();
    assert_eq!(weights(&model), weights(&clone));

    let (table, indices) = (rows(16, 3), [3, 1, 4, 15]);
    let mut trainer = Trainer::<f64>::new(&config(), Isa::best(), Some(2)).unwrap();
    let losses = |trainer: &mut Trainer<f64>| {
        trainer.enter(|session| [(); 5].map(|()| session.train_batch(table.values(), &indices).unwrap()))
    };
    losses(&mut trainer);
    let mut twin = trainer.clone();
    assert_eq!(losses(&mut trainer), losses(&mut twin));
    assert_eq!(trainer.layers(), twin.layers());
}

#[test]
fn a_model_goes_through_memory() {
    let mut model = Autoencoder::new(config()).unwrap();
    model.fit(&rows(50, 1), &mut []).unwrap();
    let bytes = model.to_bytes().unwrap();
    let back = Autoencoder::from_bytes(&bytes).unwrap();
    assert_eq!(weights(&back), weights(&model));
    assert_eq!(back.to_bytes().unwrap(), bytes);
    let error = Autoencoder::from_bytes(&bytes[..bytes.len() / 2]).unwrap_err();
    assert!(matches!(error, Error::Bytes(_)) && chain(&error).starts_with("invalid model: not a"), "{error}");
}

/// Rows of a service that loses its connection, or has more rows every time it is asked.
struct Service {
    fails: bool,
    asked: AtomicUsize,
}

impl BatchSource for Service {
    fn rows(&self) -> usize {
        10 + self.asked.fetch_add(1, Ordering::Relaxed)
    }
    fn features(&self) -> usize {
        FEATURES
    }
    fn read_rows(&self, _: &[usize], out: &mut [f32]) -> Result<(), DataError> {
        out.fill(0.5);
        if self.fails { Err(DataError::of_source(std::io::Error::other("connection reset"))) } else { Ok(()) }
    }
    fn as_slice(&self) -> Option<&[f32]> {
        // Fewer values than it claims.
        Some(&[0.5; 3])
    }
}

#[test]
fn sources_may_fail_and_may_be_wrong_about_themselves() {
    let mut model = Autoencoder::new(config()).unwrap();
    model.fit(&rows(50, 1), &mut []).unwrap();
    let service = |fails| Service { fails, asked: AtomicUsize::new(0) };
    let error = model.encode(&service(true)).unwrap_err();
    assert_eq!(error.to_string(), "reading from the row source failed");
    assert_eq!(std::error::Error::source(&error).unwrap().to_string(), "connection reset");
    assert!(model.encode(&service(false)).unwrap().rows() >= 10);
    assert!(model.reconstruction_error(&service(false), ErrorNorm::Mean).unwrap().len() >= 10);
    assert!(model.mse(&service(false)).unwrap().is_finite());
    assert_eq!(
        model.mse(&Dataset::new(Vec::new(), FEATURES).unwrap()).unwrap_err().to_string(),
        "there are no rows"
    );
}

#[test]
fn settings_may_be_left_out_of_json() {
    let config: Config = serde_json::from_str(r#"{"input_dim": 5}"#).unwrap();
    assert_eq!(config, Config::builder(5).build().unwrap());
}

/// A loop's own model is what the trainer was, threshold included, and the trainer made of it goes on
/// from there.
fn round_trip<T: Arithmetic>(precision: Precision) {
    let (data, all) = (rows(300, 1), (0..300).collect::<Vec<_>>());
    let of_batch = Latent::TopK(TopK { of_batch: true, ..TopK::new(3) });
    for latent in [of_batch, Latent::Plain, Latent::top_k(3)] {
        let config = Config::builder(FEATURES).encoding_dim(24).latent(latent).precision(precision);
        let config = config.optimizer(Optimizer::ADAM).learning_rate(0.01).build().unwrap();
        for isa in Isa::available() {
            let mut trainer = Trainer::<T>::new(&config, isa, Some(3)).unwrap();
            let evaluated = trainer.enter(|session| {
                all.chunks(50).for_each(|batch| _ = session.train_batch(data.values(), batch).unwrap());
                session.evaluate(data.values(), &all).unwrap()
            });
            let mut model = trainer.to_model(Scaler::identity(FEATURES)).unwrap();
            assert_eq!(model.mse(&data).unwrap().to_bits(), evaluated.to_bits(), "{isa}, {latent:?}");
            assert_eq!((model.threads(), model.config()), (3, &config));
            let active = model.sparsity(&data).unwrap().active;
            if latent == of_batch {
                let scaler = Scaler::identity(FEATURES);
                let lost = Autoencoder::from_layers(config.clone(), scaler, &trainer.layers()).unwrap();
                assert!(active < lost.sparsity(&data).unwrap().active, "without its threshold");
                assert!(model.latent_threshold().unwrap() > 0.0);
            }

            let mut again = Trainer::<T>::from_model(&model, Some(1)).unwrap();
            assert_eq!(again.layers(), trainer.layers());
            let back = again.to_model(Scaler::identity(FEATURES)).unwrap();
            assert_eq!(back.latent_threshold(), model.latent_threshold());
            assert_eq!(back.sparsity(&data).unwrap().active, active);
            assert_eq!(back.encode(&data).unwrap().values(), model.encode(&data).unwrap().values());
            again.enter(|session| session.train_batch(data.values(), &all).unwrap());
            assert_ne!(again.layers(), trainer.layers());
            // The running mean behind the threshold goes on as the trainer's does.
            trainer.enter(|session| session.train_batch(data.values(), &all).unwrap());
            model.partial_fit(&data).unwrap();
            for trainer in [&trainer, &again] {
                let threshold = trainer.to_model(Scaler::identity(FEATURES)).unwrap().latent_threshold();
                assert_eq!(threshold, model.latent_threshold(), "{isa}");
            }
        }
    }
}

#[test]
fn a_trainer_becomes_a_model_and_a_model_a_trainer() {
    round_trip::<f32>(Precision::F32);
    round_trip::<f64>(Precision::F64);
    let trainer = Trainer::<f32>::new(&config(), Isa::best(), Some(1)).unwrap();
    let error = trainer.to_model(Scaler::identity(5)).unwrap_err().to_string();
    assert_eq!(error, "the model expects a scaler of 8 values, but got 5");
}

/// A model that a trainer has gone on with still knows its columns.
#[test]
fn a_trainer_keeps_the_columns_of_a_model() {
    let names: Vec<String> = (0..FEATURES).map(|j| format!("column {j}")).collect();
    let data = rows(20, 1).with_names(names.clone()).unwrap();
    let mut model = Autoencoder::new(config()).unwrap();
    model.fit(&data, &mut []).unwrap();
    let trainer = Trainer::<f32>::from_model(&model, Some(1)).unwrap();
    let mut again = trainer.to_model(model.scaler().clone()).unwrap();
    assert_eq!(again.feature_names(), Some(&names[..]));
    let swapped = rows(20, 1).with_names(names.iter().rev().cloned().collect()).unwrap();
    assert!(matches!(again.encode(&swapped), Err(Error::Names { .. })));

    again.set_feature_names(names.iter().rev().cloned().collect()).unwrap();
    assert!(again.encode(&swapped).is_ok());
    for (wrong, says) in [
        (names[1..].to_vec(), "7 names for 8 features"),
        ([&names[1..], &names[1..2]].concat(), "two columns are named 'column 1'"),
    ] {
        let error = again.set_feature_names(wrong).unwrap_err();
        assert!(
            error.to_string().contains(says)
                || std::error::Error::source(&error).is_some_and(|e| e.to_string().contains(says)),
            "{error:?}"
        );
    }
}

#[test]
fn a_threshold_belongs_to_a_latent_over_whole_batches() {
    let of_batch = Latent::TopK(TopK { of_batch: true, ..TopK::new(3) });
    let config = Config::builder(FEATURES).encoding_dim(24).latent(of_batch).build().unwrap();
    let mut model = Autoencoder::new(config).unwrap();
    let data = rows(20, 1);
    assert_eq!(model.latent_threshold(), Some(0.0));
    let before = model.sparsity(&data).unwrap().active;
    model.set_latent_threshold(0.1).unwrap();
    assert_eq!(model.latent_threshold(), Some(0.1));
    assert!(model.sparsity(&data).unwrap().active < before);
    for bad in [f64::NAN, f64::INFINITY] {
        let error = model.set_latent_threshold(bad).unwrap_err().to_string();
        assert_eq!(error, format!("threshold is {bad}, but must be a finite number"));
    }
    assert_eq!(model.latent_threshold(), Some(0.1));
    for latent in [Latent::Plain, Latent::top_k(2), Latent::gaussian()] {
        let config = Config::builder(FEATURES).encoding_dim(3).latent(latent).build().unwrap();
        let mut model = Autoencoder::new(config).unwrap();
        assert_eq!(model.latent_threshold(), None);
        assert!(matches!(model.set_latent_threshold(0.1), Err(Error::NoThreshold { .. })));
    }
}

/// Evaluation has neither noise nor dropout nor samples, counts known values only, and changes nothing.
#[test]
fn a_loop_of_ones_own_can_validate() {
    let mut values = rows(200, 7).values().to_vec();
    values.iter_mut().step_by(13).for_each(|x| *x = f32::NAN);
    let targets = rows(200, 8);
    let builder =
        Config::builder(FEATURES).hidden_dims([9]).encoding_dim(3).noise(Noise::Gaussian { sigma: 0.5 });
    let dropout = Dropout { input: 0.2, hidden: 0.5 };
    let builder = builder.latent(Latent::gaussian()).dropout(dropout).mask_missing(true);
    let indices: Vec<usize> = (0..200).rev().step_by(2).collect();
    let picked = |values: &[f32]| {
        let rows = indices.iter().flat_map(|row| values[row * FEATURES..][..FEATURES].to_vec());
        Dataset::new(rows.collect(), FEATURES).unwrap()
    };
    for threads in [1, 3] {
        let config = builder.clone().build().unwrap();
        let mut trainer = Trainer::<f32>::new(&config, Isa::best(), Some(threads)).unwrap();
        let [mse, of_pairs] = trainer.enter(|session| {
            session.train_batch(&values, &indices).unwrap();
            let mse = session.evaluate(&values, &indices).unwrap();
            let of_pairs = session.evaluate_pairs(&values, targets.values(), &indices).unwrap();
            assert_eq!(session.evaluate(&values, &indices).unwrap(), mse);
            assert!(matches!(session.evaluate(&values, &[]), Err(Error::NoRows { .. })));
            assert!(matches!(session.evaluate(&values, &[200]), Err(Error::RowIndex { .. })));
            assert!(matches!(session.evaluate(&[f32::INFINITY; 8], &[0]), Err(Error::NotFinite { .. })));
            assert!(matches!(session.evaluate_pairs(&values, &[], &[0]), Err(Error::Width { .. })));
            [mse, of_pairs]
        });
        let layers = trainer.layers();
        let model = trainer.to_model(Scaler::identity(FEATURES)).unwrap();
        assert_eq!(model.mse(&picked(&values)).unwrap().to_bits(), mse.to_bits());
        let pairs = (picked(&values), picked(targets.values()));
        let pairs = Pairs::new(&pairs.0, &pairs.1).unwrap();
        assert_eq!(model.mse(&pairs).unwrap().to_bits(), of_pairs.to_bits());
        assert_eq!(trainer.layers(), layers);
    }
}

/// Neither the threads that share its rows nor an earlier evaluation of more rows changes a bit.
#[test]
fn an_evaluation_depends_on_its_rows_alone() {
    // So wide that several threads are worth waking for the longer ones.
    let config = Config::builder(FEATURES).hidden_dims([2000]).encoding_dim(3).build().unwrap();
    let (data, mut trainer) = (rows(300, 1), Trainer::<f32>::new(&config, Isa::best(), Some(3)).unwrap());
    let mut model = trainer.to_model(Scaler::identity(FEATURES)).unwrap();
    model.set_threads(Some(1)).unwrap();
    trainer.enter(|session| {
        for count in [300, 130, 40, 300] {
            let indices: Vec<usize> = (0..count).map(|row| row * 7 % 300).collect();
            let expected = model.mse(&data.select_rows(&indices).unwrap()).unwrap();
            let found = session.evaluate(data.values(), &indices).unwrap();
            assert_eq!(found.to_bits(), expected.to_bits(), "{count} rows");
        }
    });
}

#[test]
fn a_threshold_that_was_set_is_a_running_mean_until_the_next_fit() {
    let of_batch = Latent::TopK(TopK { of_batch: true, ..TopK::new(3) });
    let config = Config::builder(FEATURES).encoding_dim(24).latent(of_batch).epochs(2).build().unwrap();
    let mut model = Autoencoder::new(config).unwrap();
    let data = rows(300, 1);
    model.fit(&data, &mut []).unwrap();
    let fitted = model.latent_threshold().unwrap();
    for threshold in [50.0, -50.0] {
        model.set_latent_threshold(threshold).unwrap();
        model.partial_fit(&data).unwrap();
        // An update keeps 99 % of it. Values of an encoding are far smaller.
        let kept = model.latent_threshold().unwrap();
        assert!((kept - 0.99 * threshold).abs() < 0.1, "{kept} of {threshold}");
    }
    model.fit(&data, &mut []).unwrap();
    assert_eq!(model.latent_threshold(), Some(fitted));
}

#[test]
fn a_trainer_may_have_another_precision_than_its_model() {
    let config = Config::builder(FEATURES).encoding_dim(3).precision(Precision::F64).build().unwrap();
    let model = Autoencoder::new(config.clone()).unwrap();
    let trainer = Trainer::<f32>::from_model(&model, Some(3)).unwrap();
    for (rounded, exact) in trainer.layers().iter().zip(model.layers()) {
        assert_eq!(rounded.weights, exact.weights.iter().map(|w| *w as f32).collect::<Vec<_>>());
    }
    let back = trainer.to_model(Scaler::identity(FEATURES)).unwrap();
    assert_eq!((back.config(), back.threads()), (&config, 3));
    assert_eq!(weights(&back), trainer.layers().iter().map(LayerParameters::cast).collect::<Vec<_>>());
    // Finite, but not in single precision.
    let mut layers = model.layers();
    layers[0].bias[2] = 1e39;
    let large = Autoencoder::from_layers(config, Scaler::identity(FEATURES), &layers).unwrap();
    assert!(matches!(Trainer::<f32>::from_model(&large, None), Err(Error::Parameter { layer: 0, .. })));
    let exact = Trainer::<f64>::from_model(&large, None).unwrap();
    assert_eq!(exact.layers(), layers);
}

#[test]
fn a_history_goes_through_json() {
    let mut model = Autoencoder::new(config()).unwrap();
    let history = model.fit(&rows(50, 1), &mut []).unwrap();
    let json = serde_json::to_string(&history).unwrap();
    assert_eq!(serde_json::from_str::<History>(&json).unwrap(), history);
}
