//! Regularisation by normalised layers and tied weights: gradients against finite differences of the
//! objective, every way in and out of a model, files, and refusals.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

mod parameters;

use ae_data::Dataset;
use ae_kernels::Element;
use ae_model::gradcheck::{self, Report, Settings};
use ae_model::{
    Activation, Arithmetic, Autoencoder, Config, ConfigBuilder, ConvLayer, Dropout, EarlyStopping, ErrorNorm,
    Isa, Latent, LayerParameters, Loss, Noise, Optimizer, Precision, Products, ScalerKind, Trainer,
    WeightPenalty,
};
use ae_testing::chain;
use ae_testing::random::SplitMix64;
use parameters::{fill, flat};
use proptest::prelude::*;

fn table(rows: usize, features: usize, seed: u64) -> Vec<f32> {
    SplitMix64::new(seed).uniform_f32s(rows * features, 0.05, 0.95)
}

/// A trainer with nonzero biases, so that they are tested too.
fn trainer<T: Arithmetic>(config: &Config, isa: Isa, threads: usize, products: Products) -> Trainer<T> {
    let mut trainer = Trainer::new(config, isa, Some(threads)).unwrap();
    trainer.set_products(products);
    let mut random = SplitMix64::new(!config.seed());
    for index in 0..trainer.layers().len() {
        let mut layer = trainer.layers().swap_remove(index);
        layer.bias.iter_mut().for_each(|b| *b = T::from_f32(random.uniform_in(-0.3, 0.3) as f32));
        trainer.set_layer(index, &layer).unwrap();
    }
    trainer
}

/// Sets all parameters, except tied weights, which follow the encoder's.
fn set<T: Arithmetic>(trainer: &mut Trainer<T>, layers: &[LayerParameters<T>], tied: bool) {
    for (index, layer) in layers.iter().enumerate() {
        let mut layer = layer.clone();
        if tied && index >= layers.len() / 2 {
            layer.weights = trainer.layers().swap_remove(index).weights;
        }
        trainer.set_layer(index, &layer).unwrap();
    }
}

/// Steps small enough for the curvature of a stretched layer.
const SETTINGS: Settings = Settings { step: 2e-5, tolerance: 3e-6, kinks: 0.5 };

/// Compares the gradient of every parameter with finite differences.
fn compare(config: &Config, isa: Isa, rows: usize) -> Report {
    let table = table(rows, config.input_dim(), config.seed());
    let rows: Vec<usize> = (0..rows).collect();
    let mut trainer = trainer::<f64>(config, isa, 1, Products::Plain);
    let (_, gradients) = trainer.enter(|session| session.gradients(&table, &rows)).unwrap();
    let mut layers = trainer.layers();
    gradcheck::compare(&SETTINGS, &flat(&layers), &flat(&gradients), |values| {
        fill(&mut layers, values);
        set(&mut trainer, &layers, config.tied_weights());
        trainer.enter(|session| session.gradients(&table, &rows)).unwrap().0
    })
}

/// Transposes `[inputs, outputs]` to `[outputs, inputs]`.
fn transposed<T: Element>(weights: &[T], inputs: usize, outputs: usize) -> Vec<T> {
    (0..weights.len()).map(|at| weights[at % inputs * outputs + at / inputs]).collect()
}

/// Whether the decoder's weights are the transposes of the encoder's, to the bit.
fn are_tied<T: Element>(layers: &[LayerParameters<T>]) -> bool {
    let bits = |weights: &[T]| weights.iter().map(|w| w.to_f64().to_bits()).collect::<Vec<_>>();
    layers.iter().zip(layers.iter().rev()).take(layers.len() / 2).all(|(below, above)| {
        bits(&transposed(&below.weights, below.inputs, below.outputs)) == bits(&above.weights)
    })
}

/// Checks that training, bulk, row-by-row and reloaded computations agree, in every precision.
fn every_way_agrees(builder: &ConfigBuilder, features: usize) {
    let rows = Dataset::new(table(75, features, 4), features).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for precision in [Precision::F32, Precision::F64, Precision::Bf16] {
        let builder = builder.clone().precision(precision).scaler(ScalerKind::None).epochs(3).batch_size(32);
        let config = builder.build().unwrap();
        let mut model = Autoencoder::new(config.clone()).unwrap();
        let objective = match precision {
            Precision::F64 => {
                let mut trainer = Trainer::<f64>::new(&config, Isa::best(), Some(1)).unwrap();
                let all: Vec<usize> = (0..75).collect();
                trainer.enter(|session| session.gradients(rows.values(), &all)).unwrap().0
            }
            _ => {
                let mut trainer = Trainer::<f32>::new(&config, Isa::best(), Some(1)).unwrap();
                trainer.set_products(Products::Plain);
                let all: Vec<usize> = (0..75).collect();
                trainer.enter(|session| session.gradients(rows.values(), &all)).unwrap().0
            }
        };
        let errors = model.reconstruction_error(&rows, ErrorNorm::Sum).unwrap();
        let outside = errors.iter().sum::<f64>() / 150.0;
        assert!(
            (objective - outside).abs() <= 1e-5 * outside,
            "{precision:?}: {objective} in training, {outside}"
        );

        let before = model.mse(&rows).unwrap();
        let history = model.fit(&rows, &mut []).unwrap();
        assert!(
            history.epochs[2].train_mse.is_finite() && model.mse(&rows).unwrap() < before,
            "{precision:?}"
        );
        let (codes, rebuilt) = (model.encode(&rows).unwrap(), model.reconstruct(&rows).unwrap());
        let again = model.decode(&codes).unwrap();
        let apart =
            again.values().iter().zip(rebuilt.values()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(apart <= 1e-5, "{precision:?}: decoded {apart} apart from rebuilt");
        let mut one = model.one_row().unwrap();
        let (mut code, mut row) = (vec![0.0; codes.features()], vec![0.0; features]);
        for index in [0, 15, 16, 74] {
            let given = &rows.values()[index * features..][..features];
            one.encode(given, &mut code).unwrap();
            assert_eq!(
                code,
                codes.values()[index * code.len()..][..code.len()],
                "{precision:?}, row {index}"
            );
            one.reconstruct(given, &mut row).unwrap();
            assert_eq!(row, rebuilt.values()[index * features..][..features], "{precision:?}, row {index}");
        }
        let path = folder.path().join("model.safetensors");
        model.save(&path).unwrap();
        let loaded = Autoencoder::load(&path).unwrap();
        assert_eq!(loaded.config(), model.config());
        assert_eq!(loaded.reconstruct(&rows).unwrap(), rebuilt);
    }
}

/// The parameters after four updates on `threads` threads.
fn learnt(config: &Config, products: Products, threads: usize) -> Vec<f64> {
    let table = table(131, config.input_dim(), 8);
    let mut trainer = trainer::<f32>(config, Isa::best(), threads, products);
    trainer.enter(|session| {
        for step in 0..4 {
            let rows: Vec<usize> = (0..97).map(|i| (i * 7 + step * 31) % 131).collect();
            session.train_batch(&table, &rows).unwrap();
        }
    });
    flat(&trainer.layers())
}

fn threads_change_nothing(builder: &ConfigBuilder) {
    let config = builder.clone().build().unwrap();
    for products in [Products::Plain, Products::Split, Products::Bf16] {
        let one = learnt(&config, products, 1);
        assert!(one.iter().all(|x| x.is_finite()), "{products:?}");
        for threads in [2, 3] {
            assert!(learnt(&config, products, threads) == one, "{products:?}, {threads} threads");
        }
    }
}

fn refused(builder: ConfigBuilder) -> String {
    builder.build().unwrap_err().to_string()
}

#[test]
fn normalised_models_agree_with_themselves() {
    let base = Config::builder(24)
        .optimizer(Optimizer::Sgd)
        .hidden_dims([40, 11])
        .encoding_dim(5)
        .layer_norm(true)
        .learning_rate(1e-3);
    every_way_agrees(&base, 24);
    let wide = Config::builder(70)
        .optimizer(Optimizer::Sgd)
        .hidden_dims([150, 33])
        .encoding_dim(5)
        .layer_norm(true)
        .learning_rate(1e-4);
    threads_change_nothing(&wide.dropout(Dropout { input: 0.1, hidden: 0.2 }));
    // A hidden layer above a sparse code.
    every_way_agrees(&base.latent(Latent::top_k(2)).activation(Activation::Relu), 24);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Normalisation between convolutions, over all pixels and channels.
    #[test]
    fn normalised_images_agree_with_differences(
        activation in prop::sample::select(vec![Activation::Tanh, Activation::Silu, Activation::Softplus]),
        stride in 1..=2usize,
        hidden in prop::collection::vec(3..6usize, 0..=1),
        rows in 1..=20usize,
        seed in any::<u64>(),
    ) {
        let config = Config::builder(24)
            .image(4, 3, 2)
            .conv_layers([ConvLayer::new(3, 3, stride)])
            .hidden_dims(hidden)
            .encoding_dim(2)
            .activation(activation)
            .noise(Noise::Gaussian { sigma: 0.1 })
            .layer_norm(true)
            .seed(seed)
            .build()
            .unwrap();
        for isa in Isa::available() {
            let report = compare(&config, isa, rows);
            prop_assert!(report.passes(&SETTINGS), "{isa}: {report:?}");
        }
    }
}

#[test]
fn norms_that_make_no_sense_are_refused() {
    let base = || Config::builder(10).encoding_dim(2).layer_norm(true);
    assert!(base().hidden_dims([3]).build().is_ok());
    let says = refused(base().hidden_dims([]));
    assert_eq!(says, "layer_norm is set, but must be left out without hidden layers to normalise");
    assert!(refused(base().hidden_dims([5, 2])).starts_with("hidden_dims is 2, but must be at least 3"));
    // A setting at its default is not written.
    let json = |on| serde_json::to_string(&base().hidden_dims([3]).layer_norm(on).build().unwrap()).unwrap();
    assert!(json(true).contains("\"layer_norm\":true") && !json(false).contains("layer_norm"));
    assert!(serde_json::from_str::<Config>(&json(true)).unwrap().layer_norm());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// The gradient of tied weights is the sum over both places, with penalties counted once.
    #[test]
    fn tied_gradients_agree_with_differences(
        widths in prop::collection::vec(3..=7usize, 2..=4),
        activation in prop::sample::select(Activation::ALL.to_vec()),
        top_k in any::<bool>(),
        layer_norm in any::<bool>(),
        penalty in prop::sample::select(vec![[0.0, 0.0], [0.01, 0.0], [0.002, 0.3]]),
        rows in 1..=20usize,
        seed in any::<u64>(),
    ) {
        let [input, hidden @ .., code] = widths.as_slice() else { unreachable!() };
        // Wide enough for a dictionary to be computed sparsely.
        let code = if top_k { 2 * code } else { *code };
        let builder = Config::builder(*input)
            .hidden_dims(hidden)
            .encoding_dim(code)
            .activation(activation)
            .latent(if top_k { Latent::top_k(1) } else { Latent::Plain })
            .weight_penalty(WeightPenalty { l1: penalty[0], l2: penalty[1] })
            .layer_norm(layer_norm && !hidden.is_empty())
            .dropout(Dropout { input: 0.0, hidden: 0.2 })
            .seed(seed);
        let config = builder.clone().tied_weights(true).build().unwrap();
        let (table, all) = (table(rows, *input, seed), (0..rows).collect::<Vec<_>>());
        for isa in Isa::available() {
            let report = compare(&config, isa, rows);
            prop_assume!(report.kinks as f64 <= SETTINGS.kinks * (report.compared + report.kinks) as f64);
            prop_assert!(report.passes(&SETTINGS), "{isa}: {report:?}");

            // The same network untied, with its gradients combined here.
            let mut tied = trainer::<f64>(&config, isa, 1, Products::Plain);
            let free = builder.clone().weight_penalty(WeightPenalty::default()).build().unwrap();
            let mut untied = trainer::<f64>(&free, isa, 1, Products::Plain);
            let layers = tied.layers();
            prop_assert!(are_tied(&layers));
            set(&mut untied, &layers, false);
            let (_, got) = tied.enter(|session| session.gradients(&table, &all)).unwrap();
            let (_, parts) = untied.enter(|session| session.gradients(&table, &all)).unwrap();
            let half = layers.len() / 2;
            for (index, got) in got.iter().enumerate() {
                let other = &parts[layers.len() - 1 - index];
                let other = transposed(&other.weights, other.inputs, other.outputs);
                for (at, g) in got.weights.iter().enumerate() {
                    let w = layers[index].weights[at];
                    let cost = penalty[0] * if w == 0.0 { 0.0 } else { w.signum() } + penalty[1] * w;
                    let sum = parts[index].weights[at] + other[at] + cost;
                    let expected = if index < half { sum } else { 0.0 };
                    prop_assert!((g - expected).abs() <= 1e-12 * (1.0 + expected.abs()), "{isa}: {g} for {expected}");
                }
            }
        }
    }
}

/// The two copies stay equal under every update rule, penalty, running mean, precision and thread count.
#[test]
fn tied_weights_stay_tied_to_the_bit() {
    let rules = [Optimizer::Sgd, Optimizer::MOMENTUM, Optimizer::NESTEROV, Optimizer::ADAM, Optimizer::ADAMW];
    let (input, rows) = (37, 131);
    let base = Config::builder(input).tied_weights(true).scaler(ScalerKind::None).learning_rate(1e-3);
    let deep = base.clone().hidden_dims([50, 19]).encoding_dim(17);
    let sparse = base.encoding_dim(90).latent(Latent::top_k(5));
    let data = Dataset::new(table(rows, input, 3), input).unwrap();
    for (index, optimizer) in rules.into_iter().enumerate() {
        for builder in [&deep, &sparse] {
            let mut builder = builder.clone().optimizer(optimizer);
            if index % 2 == 0 {
                builder = builder.weight_penalty(WeightPenalty { l1: 1e-4, l2: 1e-3 }).clip_norm(0.5);
            }
            for products in [Products::Plain, Products::Split, Products::Bf16] {
                let config = builder.clone().build().unwrap();
                let mut trainer = trainer::<f32>(&config, Isa::best(), 2, products);
                let before = trainer.layers();
                trainer.enter(|session| {
                    for step in 0..5 {
                        let rows: Vec<usize> = (0..97).map(|i| (i * 7 + step * 31) % rows).collect();
                        session.train_batch(data.values(), &rows).unwrap();
                    }
                });
                let after = trainer.layers();
                assert!(are_tied(&after), "{optimizer:?}, {products:?}");
                for (before, after) in before.iter().zip(&after) {
                    assert!(before.weights != after.weights && before.bias != after.bias, "{optimizer:?}");
                }
            }
            // The running mean, and the weights of the best epoch.
            let early = EarlyStopping::after(2);
            let config = builder.ema(0.9).epochs(6).validation(0.2).early_stopping(early).build().unwrap();
            let mut model = Autoencoder::new(config).unwrap();
            model.fit(&data, &mut []).unwrap();
            assert!(are_tied(&model.layers()), "{optimizer:?}: the mean");
            model.partial_fit(&data).unwrap();
            assert!(are_tied(&model.layers()), "{optimizer:?}: after one more update");
        }
    }
    threads_change_nothing(&deep.weight_penalty(WeightPenalty { l1: 1e-4, l2: 1e-3 }));
    threads_change_nothing(&sparse);
}

/// A step of plain gradient descent follows the gradient, in both copies.
#[test]
fn a_tied_step_follows_its_gradient() {
    let config = Config::builder(9)
        .optimizer(Optimizer::Sgd)
        .hidden_dims([6])
        .encoding_dim(4)
        .tied_weights(true)
        .learning_rate(0.3);
    let config = config.build().unwrap();
    let (table, all) = (table(13, 9, 2), (0..13).collect::<Vec<_>>());
    let mut trainer = trainer::<f64>(&config, Isa::best(), 1, Products::Plain);
    let before = trainer.layers();
    let (_, gradients) = trainer.enter(|session| session.gradients(&table, &all)).unwrap();
    trainer.enter(|session| session.train_batch(&table, &all)).unwrap();
    let after = trainer.layers();
    for index in 0..2 {
        let steps = before[index].weights.iter().zip(&gradients[index].weights).zip(&after[index].weights);
        for ((before, g), after) in steps {
            assert!((before - 0.3 * g - after).abs() <= 1e-15, "{before} - 0.3 {g} is not {after}");
        }
    }
}

#[test]
fn tied_models_agree_with_themselves() {
    let base = Config::builder(24).optimizer(Optimizer::Sgd).tied_weights(true).learning_rate(1e-3);
    every_way_agrees(&base.clone().hidden_dims([40, 11]).encoding_dim(5).layer_norm(true), 24);
    every_way_agrees(&base.encoding_dim(100).latent(Latent::top_k(3)), 24);
}

#[test]
fn what_is_not_tied_is_refused() {
    let base = || Config::builder(9).hidden_dims([4]).encoding_dim(3).tied_weights(true);
    let config = base().build().unwrap();
    assert_eq!(config.parameter_count(), 9 * 4 + 4 * 3 + 4 + 3 + 4 + 9);
    let says = refused(base().latent(Latent::gaussian()));
    assert!(says.starts_with("tied_weights is set, but must be left out with a Gaussian latent"), "{says}");
    assert!(refused(base().loss(Loss::GaussianNll)).contains("left out with gaussian-nll"));
    let images = base().image(3, 3, 1).conv_layers([ConvLayer::new(3, 3, 1)]);
    assert!(refused(images).contains("left out with conv_layers"));

    let mut trainer = Trainer::<f32>::new(&config, Isa::best(), Some(1)).unwrap();
    let mut layer = trainer.layers().swap_remove(3);
    layer.weights[7] += 1.0;
    let says = trainer.set_layer(3, &layer).unwrap_err().to_string();
    assert!(says.starts_with("layer 3 is tied to layer 0") && says.ends_with("at position 7"), "{says}");

    // A file whose copies differ.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    Autoencoder::new(config).unwrap().save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor("decoder.0.weight").unwrap().data();
    let at = tensor.as_ptr() as usize - bytes.as_ptr() as usize;
    let mut changed = bytes.clone();
    changed[at + 4 * 2] ^= 1;
    std::fs::write(&path, changed).unwrap();
    let says = chain(&Autoencoder::load(&path).unwrap_err());
    let expected =
        "tensor 'decoder.0.weight' is tied to 'encoder.1.weight', but is not its transpose at position 2";
    assert!(says.ends_with(expected), "{says}");
}
