//! Dead features of top-k latents: the gradient that revives them, and that it does revive them.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

use ae_data::Dataset;
use ae_model::{
    Activation, Arithmetic, Autoencoder, Config, ConfigBuilder, Isa, Latent, Loss, Optimizer, Products,
    Revival, ScalerKind, TopK, Trainer,
};
use ae_testing::random::SplitMix64;

fn dictionary(input: usize, code: usize, k: usize, revival: Option<Revival>) -> ConfigBuilder {
    Config::builder(input)
        .encoding_dim(code)
        .latent(Latent::TopK(TopK { k, revival, of_batch: false }))
        .scaler(ScalerKind::None)
        .seed(5)
}

/// The features of the code that have a gradient.
fn active(bias: &[f64]) -> Vec<bool> {
    bias.iter().map(|g| *g != 0.0).collect()
}

/// The gradient of a dead feature's parameters is the derivative of the objective, where the residual of
/// the rows counts as a constant and does not change with them. Other parameters have the same gradient
/// as without revival.
#[test]
fn the_gradient_is_that_of_the_auxiliary_loss() {
    let (input, code, k, rows) = (6, 24, 3, 9);
    let table = SplitMix64::new(3).uniform_f32s(rows * input, -1.0, 1.0);
    let all: Vec<usize> = (0..rows).collect();
    for (most, isa) in [2, 8, 24].into_iter().flat_map(|most| Isa::available().map(move |isa| (most, isa))) {
        let revival = Revival { k: most, weight: 0.5, dead_after: 1, bias_lift: 0.0 };
        let trainer = |revival| {
            let config = dictionary(input, code, k, revival).learning_rate(1e-300).build().unwrap();
            Trainer::<f64>::new(&config, isa, Some(1)).unwrap()
        };
        let (_, without) = trainer(None).enter(|session| session.gradients(&table, &all).unwrap());
        let alive = active(&without[0].bias);
        assert!((1..code).contains(&alive.iter().filter(|alive| **alive).count()));

        let mut trainer = trainer(Some(revival));
        trainer.enter(|session| session.train_batch(&table, &all).unwrap());
        let (_, with) = trainer.enter(|session| session.gradients(&table, &all).unwrap());
        assert_eq!(with[1].bias, without[1].bias, "{isa}");
        let mut revived = 0;
        let mut layers = trainer.layers();
        let scale = 1e-2f64;
        for feature in 0..code {
            let places = (0..input)
                .map(|i| (0, i * code + feature))
                .chain((0..input).map(|j| (1, feature * input + j)));
            for (layer, at) in places {
                let gradient = with[layer].weights[at];
                if alive[feature] {
                    assert_eq!(gradient, without[layer].weights[at], "{isa}: {layer} {at}");
                    continue;
                }
                let value = layers[layer].weights[at];
                let mut objective = |value: f64| {
                    layers[layer].weights[at] = value;
                    trainer.set_layer(layer, &layers[layer]).unwrap();
                    trainer.enter(|session| session.gradients(&table, &all).unwrap().0)
                };
                let h = 1e-5;
                let numeric = (objective(value + h) - objective(value - h)) / (2.0 * h);
                objective(value);
                assert!(
                    (gradient - numeric).abs() < 1e-7 * scale.max(numeric.abs() * 10.0),
                    "{isa}: {gradient} {numeric}"
                );
                revived += usize::from(gradient != 0.0);
            }
        }
        assert!(revived > 20, "{isa}: {revived} with a gradient");
    }
}

/// Dead features learn nothing from missing values, not even that their residual is zero.
#[test]
fn dead_features_learn_nothing_of_missing_values() {
    let (input, code, k, rows) = (6, 24, 3, 9);
    let mut table = SplitMix64::new(3).uniform_f32s(rows * input, -1.0, 1.0);
    table.iter_mut().skip(2).step_by(input).for_each(|x| *x = f32::NAN);
    let all: Vec<usize> = (0..rows).collect();
    let revival = Revival { k: 8, weight: 0.5, dead_after: 1, bias_lift: 0.0 };
    let config = dictionary(input, code, k, Some(revival)).learning_rate(1e-300).mask_missing(true);
    for isa in Isa::available() {
        let mut trainer = Trainer::<f64>::new(&config.clone().build().unwrap(), isa, Some(1)).unwrap();
        trainer.enter(|session| session.train_batch(&table, &all).unwrap());
        let (_, gradients) = trainer.enter(|session| session.gradients(&table, &all).unwrap());
        let of_output = |j: usize| gradients[1].weights.iter().skip(j).step_by(input);
        assert!(of_output(2).all(|g| *g == 0.0), "{isa}: {:?}", of_output(2).collect::<Vec<_>>());
        assert!(
            of_output(1).filter(|g| **g != 0.0).count() > k,
            "{isa}: dead features should learn the rest"
        );
    }
}

/// The parameters after training, and how many features were active in the last rows.
fn trained<T: Arithmetic>(revival: Option<Revival>, threads: usize, products: Products) -> (Vec<T>, usize) {
    let (input, code, k, rows) = (16, 128, 4, 256);
    let table = SplitMix64::new(8).uniform_f32s(rows * input, -1.0, 1.0);
    let config = dictionary(input, code, k, revival).optimizer(Optimizer::ADAM).learning_rate(0.003).build();
    let mut trainer = Trainer::<T>::new(&config.unwrap(), Isa::best(), Some(threads)).unwrap();
    trainer.set_products(products);
    let mut encoder = trainer.layers().remove(0);
    // Half of the features are too small to be among the largest.
    for line in encoder.weights.chunks_exact_mut(code) {
        line.iter_mut().step_by(2).for_each(|w| *w = *w * T::from_f64(0.01));
    }
    trainer.set_layer(0, &encoder).unwrap();
    trainer.enter(|session| {
        for step in 0..400 {
            let batch: Vec<usize> = (0..64).map(|i| (i + step * 64) % rows).collect();
            session.train_batch(&table, &batch).unwrap();
        }
    });
    // In a network without revival, only active features have a gradient.
    let config = dictionary(input, code, k, None).build().unwrap();
    let mut plain = Trainer::<T>::new(&config, Isa::best(), Some(1)).unwrap();
    for (index, layer) in trainer.layers().iter().enumerate() {
        plain.set_layer(index, layer).unwrap();
    }
    let all: Vec<usize> = (0..rows).collect();
    let ever = plain.enter(|session| session.gradients(&table, &all).unwrap().1);
    let used = ever[1].weights.chunks(input).filter(|line| line.iter().any(|g| *g != T::ZERO)).count();
    let layers = trainer.layers();
    (layers.into_iter().flat_map(|layer| layer.weights).collect(), used)
}

#[test]
fn dead_features_come_back() {
    let (_, without) = trained::<f32>(None, 1, Products::Plain);
    assert!(without <= 64, "{without}");
    let loss = Revival { k: 8, weight: Revival::WEIGHT, dead_after: 640, bias_lift: 0.0 };
    let bias = Revival { weight: 1e-9, bias_lift: Revival::BIAS_LIFT, ..loss };
    let both = [loss, bias].into_iter();
    for (revival, products) in both.flat_map(|by| [(by, Products::Plain), (by, Products::Split)]) {
        let (parameters, with) = trained::<f32>(Some(revival), 1, products);
        assert!(with > without + 32, "{with} after revival, {without} without");
        assert!(parameters.iter().all(|w| w.is_finite()));
        assert_eq!(trained::<f32>(Some(revival), 2, products), (parameters, with));
    }
}

/// Biases are lifted by the fraction that the schedule leaves of the configured rate, whenever that was
/// set.
#[test]
fn a_rate_that_is_set_later_is_one_that_was_configured() {
    let rows = Dataset::new(SplitMix64::new(2).uniform_f32s(64 * 6, -1.0, 1.0), 6).unwrap();
    let fitted = |configured: f64, later: Option<f64>| {
        let revival = Revival { k: 8, weight: 0.5, dead_after: 1, bias_lift: 0.05 };
        let config = dictionary(6, 24, 3, Some(revival)).optimizer(Optimizer::Sgd).epochs(3);
        let config = config.learning_rate(configured).batch_size(8).build().unwrap();
        let mut model = Autoencoder::new(config).unwrap();
        later.into_iter().for_each(|rate| model.set_learning_rate(rate).unwrap());
        model.fit(&rows, &mut []).unwrap();
        model.layers()
    };
    assert_eq!(fitted(1e-4, Some(1e-3)), fitted(1e-3, None));
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let revival = Revival { k: 4, weight: Revival::WEIGHT, dead_after: 100, bias_lift: 0.1 };
    let base = || dictionary(6, 24, 3, Some(revival));
    assert!(base().build().is_ok());
    let with = |change: Revival| dictionary(6, 24, 3, Some(change)).build().is_ok();
    assert!(!with(Revival { k: 0, ..revival }) && !with(Revival { k: 25, ..revival }));
    assert!(!with(Revival { weight: 0.0, ..revival }) && !with(Revival { weight: f64::NAN, ..revival }));
    assert!(!with(Revival { dead_after: 0, ..revival }));
    assert!(
        !with(Revival { bias_lift: -0.1, ..revival }) && !with(Revival { bias_lift: f64::NAN, ..revival })
    );
    assert!(base().hidden_dims([5]).build().is_err());
    assert!(base().loss(Loss::Mae).build().is_err());
    assert!(base().encoding_activation(Activation::Tanh).build().is_err());
    assert!(dictionary(6, 11, 3, Some(revival)).build().is_err());
    let json = serde_json::to_string(&base().build().unwrap()).unwrap();
    assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), base().build().unwrap());
}
