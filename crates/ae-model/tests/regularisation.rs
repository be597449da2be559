//! What holds networks back: normalised layers. Gradients against differences of the objective, every way in and out of a model, files, and
//! what is refused.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

use ae_data::Dataset;
use ae_kernels::Element;
use ae_model::gradcheck::{self, Report, Settings};
use ae_model::{
    Activation, Arithmetic, Autoencoder, Config, ConfigBuilder, ConvLayer, Dropout, ErrorNorm, Isa, Latent,
    LayerParameters, Noise, Precision, Products, ScalerKind, Trainer,
};
use ae_testing::random::SplitMix64;
use proptest::prelude::*;

fn table(rows: usize, features: usize, seed: u64) -> Vec<f32> {
    SplitMix64::new(seed).uniform_f32s(rows * features, 0.05, 0.95)
}

/// A trainer whose biases are not zero, so that they are tested too.
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

fn flat<T: Element>(layers: &[LayerParameters<T>]) -> Vec<f64> {
    layers.iter().flat_map(|layer| layer.weights.iter().chain(&layer.bias)).map(|x| x.to_f64()).collect()
}

/// Steps that the curvature of a stretched layer still allows.
const SETTINGS: Settings = Settings { step: 2e-5, tolerance: 3e-6, kinks: 0.5 };

/// What differences say of the gradient of every parameter.
fn compare(config: &Config, isa: Isa, rows: usize) -> Report {
    let table = table(rows, config.input_dim(), config.seed());
    let rows: Vec<usize> = (0..rows).collect();
    let mut trainer = trainer::<f64>(config, isa, 1, Products::Plain);
    let (_, gradients) = trainer.enter(|session| session.gradients(&table, &rows)).unwrap();
    let mut layers = trainer.layers();
    gradcheck::compare(&SETTINGS, &flat(&layers), &flat(&gradients), |values| {
        let mut rest = values;
        for (index, layer) in layers.iter_mut().enumerate() {
            for target in [&mut layer.weights, &mut layer.bias] {
                let (head, tail) = rest.split_at(target.len());
                target.copy_from_slice(head);
                rest = tail;
            }
            trainer.set_layer(index, layer).unwrap();
        }
        trainer.enter(|session| session.gradients(&table, &rows)).unwrap().0
    })
}

/// That rows take the same way through a model in training, in bulk, one by one and from a file, in every precision.
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
        let mut one = model.one_row();
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

/// That no number of threads changes a bit of what is learnt, and what that is.
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
    let base = Config::builder(24).hidden_dims([40, 11]).encoding_dim(5).layer_norm(true).learning_rate(1e-3);
    every_way_agrees(&base, 24);
    let wide =
        Config::builder(70).hidden_dims([150, 33]).encoding_dim(5).layer_norm(true).learning_rate(1e-4);
    threads_change_nothing(&wide.dropout(Dropout { input: 0.1, hidden: 0.2 }));
    // A hidden layer above a sparse code.
    every_way_agrees(&base.latent(Latent::top_k(2)).activation(Activation::Relu), 24);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Between convolutions, whose values are normalised over all pixels and channels.
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
    assert_eq!(says, "layer_norm is set, but must be left out without hidden layers, which it is for");
    assert!(refused(base().hidden_dims([5, 2])).starts_with("hidden_dims is 2, but must be at least 3"));
    // A setting at its default is not in the file.
    let json = |on| serde_json::to_string(&base().hidden_dims([3]).layer_norm(on).build().unwrap()).unwrap();
    assert!(json(true).contains("\"layer_norm\":true") && !json(false).contains("layer_norm"));
    assert!(serde_json::from_str::<Config>(&json(true)).unwrap().layer_norm());
}
