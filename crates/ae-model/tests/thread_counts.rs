//! Results have the same bits on any number of threads.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

use ae_data::{Dataset, Fingerprint};
use ae_model::{
    Activation, Autoencoder, CodePenalty, Config, Dropout, ErrorNorm, Gaussian, ImageLayers, Isa, Latent,
    Loss, Noise, Optimizer, Precision, ScalerKind, TopK, Trainer, WeightPenalty,
};
use ae_testing::random::SplitMix64;

const THREADS: [usize; 4] = [1, 2, 3, 7];

/// A hash of the bits of every parameter.
fn hash(model: &Autoencoder) -> u64 {
    let layers = model.layers();
    let values = layers.iter().flat_map(|layer| layer.weights.iter().chain(&layer.bias));
    let bytes: Vec<u8> = values.flat_map(|x| x.to_le_bytes()).collect();
    Fingerprint::default().with_bytes(&bytes).bits()
}

fn rows(count: usize, features: usize) -> Dataset {
    Dataset::new(SplitMix64::new(5).uniform_f32s(count * features, -3.0, 7.0), features).unwrap()
}

/// Batches above and below the size from which work is shared, with short last ones.
#[test]
fn trained_weights_are_the_same_to_the_bit() {
    let settings = [
        (Precision::F32, 32, Activation::Relu, Optimizer::Sgd),
        (Precision::F32, 100, Activation::Tanh, Optimizer::ADAM),
        (Precision::F64, 75, Activation::Sigmoid, Optimizer::NESTEROV),
        (Precision::Bf16, 100, Activation::Relu, Optimizer::MOMENTUM),
    ];
    let data = rows(333, 120);
    for (precision, batch_size, activation, optimizer) in settings {
        let config = Config::builder(120)
            .hidden_dims([300, 161])
            .encoding_dim(17)
            .precision(precision)
            .optimizer(optimizer)
            .activation(activation)
            .scaler(ScalerKind::Standard)
            .learning_rate(1e-3)
            .batch_size(batch_size)
            .validation(0.2)
            .epochs(4)
            .seed(3)
            .build()
            .unwrap();
        let mut results = Vec::new();
        for threads in THREADS {
            let mut model = Autoencoder::new(config.clone()).unwrap();
            let before = hash(&model);
            model.set_threads(Some(threads)).unwrap();
            assert_eq!(model.threads(), threads);
            let history = model.fit(&data, &mut []).unwrap();
            assert_ne!(hash(&model), before, "nothing was learnt");
            let losses: Vec<_> = history
                .epochs
                .iter()
                .map(|e| (e.train_mse.to_bits(), e.validation_mse.unwrap().to_bits()))
                .collect();
            let errors = model.reconstruction_error(&data, ErrorNorm::Sum).unwrap();
            let errors: Vec<u64> = errors.into_iter().map(f64::to_bits).collect();
            results.push((hash(&model), losses, errors, model.encode(&data).unwrap()));
        }
        for (result, threads) in results.iter().zip(THREADS) {
            assert!(
                *result == results[0],
                "{precision:?}, batch {batch_size}: {threads} threads differ from one"
            );
        }
    }
}

/// A row's encoding and error do not depend on the rows it is processed with.
#[test]
fn rows_do_not_depend_on_their_company() {
    let data = rows(150, 30);
    let model =
        Autoencoder::new(Config::builder(30).optimizer(Optimizer::Sgd).encoding_dim(5).build().unwrap())
            .unwrap();
    let codes = model.encode(&data).unwrap();
    let errors = model.reconstruction_error(&data, ErrorNorm::Mean).unwrap();
    let rebuilt = model.reconstruct(&data).unwrap();
    let mut one = model.one_row().unwrap();
    let (mut code, mut row) = (vec![0.0; 5], vec![0.0; 30]);
    for index in [0, 15, 16, 63, 64, 149] {
        let x = data.row(index).unwrap();
        one.encode(x, &mut code).unwrap();
        assert_eq!(code, codes.row(index).unwrap(), "row {index}");
        one.reconstruct(x, &mut row).unwrap();
        assert_eq!(row, rebuilt.row(index).unwrap(), "row {index}");
        one.decode(&code, &mut row).unwrap();
        assert_eq!(row, rebuilt.row(index).unwrap(), "row {index}");
        assert_eq!(one.error(x, ErrorNorm::Mean).unwrap(), errors[index], "row {index}");
    }
    assert!(one.encode(&[0.0; 29], &mut code).is_err() && one.encode(&[0.0; 30], &mut row).is_err());
    assert!(one.error(&[f32::NAN; 30], ErrorNorm::Sum).is_err());
    for row in [0, 15, 16, 63, 64, 149] {
        let alone = Dataset::new(data.row(row).unwrap().to_vec(), 30).unwrap();
        assert_eq!(model.encode(&alone).unwrap().values(), codes.row(row).unwrap(), "row {row}");
        assert_eq!(
            model.reconstruction_error(&alone, ErrorNorm::Mean).unwrap(),
            errors[row..=row],
            "row {row}"
        );
    }
}

/// The optimizer state belongs to the parameters, however they were divided among threads.
#[test]
fn threads_may_change_between_updates() {
    let data = rows(64, 120);
    for precision in [Precision::F32, Precision::Bf16, Precision::F64] {
        let builder = Config::builder(120).hidden_dims([300, 161]).encoding_dim(17).precision(precision);
        let config = builder.optimizer(Optimizer::ADAM).learning_rate(1e-3).epochs(1).build().unwrap();
        let trained = |threads: [usize; 4]| {
            let mut model = Autoencoder::new(config.clone()).unwrap();
            for (update, threads) in threads.into_iter().enumerate() {
                model.set_threads(Some(threads)).unwrap();
                // Each batch is larger than the last, so that each needs a new plan.
                let some = data.select_rows(&(0..40 + 8 * update).collect::<Vec<_>>()).unwrap();
                model.partial_fit(&some).unwrap();
            }
            hash(&model)
        };
        assert_eq!(trained([7, 1, 3, 2]), trained([1, 1, 1, 1]), "{precision:?}");
    }
}

/// Large batches are processed in rounds of one block per thread, so in one round if threads are many.
#[test]
fn rounds_change_no_bit() {
    const FEATURES: usize = 40;
    let base = || Config::builder(FEATURES).hidden_dims([33]).encoding_dim(7).optimizer(Optimizer::ADAM);
    let kinds = [
        ("plain", base()),
        ("in double precision", base().precision(Precision::F64)),
        ("clipped and penalised", base().clip_norm(0.5).weight_penalty(WeightPenalty { l1: 0.0, l2: 0.01 })),
        ("noisy", {
            base()
                .noise(Noise::Swap { fraction: 0.2 })
                .dropout(Dropout { input: 0.0, hidden: 0.2 })
                .layer_norm(true)
        }),
        ("masked", base().mask_missing(true).activation(Activation::Silu)),
        ("of several samples", {
            let latent = Gaussian { samples: 3, ..Gaussian::default() };
            base().latent(Latent::Gaussian(latent)).loss(Loss::Bce)
        }),
    ];
    let mut values = SplitMix64::new(9).uniform_f32s(1100 * FEATURES, 0.0, 1.0);
    let whole = Dataset::new(values.clone(), FEATURES).unwrap();
    values.iter_mut().step_by(17).for_each(|x| *x = f32::NAN);
    let holes = Dataset::new(values, FEATURES).unwrap();
    for (name, config) in kinds {
        let config = config.learning_rate(1e-3).build().unwrap();
        let data = if name == "masked" { &holes } else { &whole };
        let trained = |threads: usize| {
            let mut trainer = Trainer::<f64>::new(&config, Isa::best(), Some(threads)).unwrap();
            let indices: Vec<usize> = (0..1100).rev().collect();
            let gradients = trainer.enter(|s| s.gradients(data.values(), &indices).unwrap());
            let mut model = Autoencoder::new(config.clone()).unwrap();
            model.set_threads(Some(threads)).unwrap();
            let losses: Vec<u64> = [1100, 600, 1099]
                .map(|rows| data.select_rows(&(0..rows).collect::<Vec<_>>()).unwrap())
                .iter()
                .map(|rows| model.partial_fit(rows).unwrap().to_bits())
                .collect();
            (gradients, losses, hash(&model))
        };
        let in_one_go = trained(20);
        for threads in [1, 2, 3] {
            assert!(trained(threads) == in_one_go, "{name}: {threads} threads");
        }
    }
}

/// If threads have few rows each, they divide the outputs of products rather than the rows, whatever
/// lies between the products.
#[test]
fn threads_without_rows_of_their_own_change_no_bit() {
    const FEATURES: usize = 403;
    let base = || {
        Config::builder(FEATURES)
            .hidden_dims([330])
            .encoding_dim(50)
            .epochs(1)
            .batch_size(40)
            .optimizer(Optimizer::ADAM)
    };
    let images = |layers: &str| layers.parse::<ImageLayers>().unwrap().0;
    let top_k = |of_batch| Latent::TopK(TopK { k: 3, revival: None, of_batch });
    let kinds = [
        ("plain", base()),
        ("with weights that no L2 holds", base().hidden_dims([700])),
        ("in double precision", base().precision(Precision::F64)),
        ("in mixed precision", base().precision(Precision::Bf16)),
        ("in mixed precision, with more between the layers", {
            let dropout = Dropout { input: 0.1, hidden: 0.2 };
            let mixed =
                base().precision(Precision::Bf16).activation(Activation::Gelu).hidden_dims([330, 200]);
            mixed.layer_norm(true).dropout(dropout)
        }),
        ("with slopes that are kept", base().activation(Activation::Silu)),
        (
            "denoising",
            base().noise(Noise::Gaussian { sigma: 0.3 }).dropout(Dropout { input: 0.1, hidden: 0.2 }),
        ),
        ("normalised", base().layer_norm(true).activation(Activation::Gelu)),
        ("masked", base().mask_missing(true).scaler(ScalerKind::Standard)),
        ("variational", base().latent(Latent::Gaussian(Gaussian::default()))),
        ("of several samples", {
            let latent = Gaussian { samples: 3, ..Gaussian::default() };
            base().latent(Latent::Gaussian(latent)).loss(Loss::Bce)
        }),
        ("sparse in the mean of the batch", {
            base()
                .code_penalty(CodePenalty::Kl { target: 0.1, weight: 0.1 })
                .encoding_activation(Activation::Sigmoid)
        }),
        ("the largest of each row", base().latent(top_k(false))),
        ("the largest of the batch", base().latent(top_k(true))),
        ("of images", base().image(31, 13, 1).conv_layers(images("6 3 s2, 40 3 g2, pool 2")).hidden_dims([])),
        ("of images, with slopes that are kept", {
            let base = base().image(31, 13, 1).conv_layers(images("18 3 s2, 5 3"));
            base.activation(Activation::Silu).noise(Noise::Masking { fraction: 0.2 }).layer_norm(true)
        }),
        ("tied, contractive", base().hidden_dims([]).encoding_dim(400).tied_weights(true).contractive(0.1)),
    ];
    let data = Dataset::new(SplitMix64::new(9).uniform_f32s(59 * FEATURES, 0.0, 1.0), FEATURES).unwrap();
    for (name, config) in kinds {
        let config = config.build().unwrap();
        let trained = |threads: usize| {
            let mut model = Autoencoder::new(config.clone()).unwrap();
            model.set_threads(Some(threads)).unwrap();
            for rows in [59, 1, 2, 17] {
                model.partial_fit(&data.select_rows(&(0..rows).collect::<Vec<_>>()).unwrap()).unwrap();
            }
            hash(&model)
        };
        let expected = trained(1);
        for threads in [2, 4, 19] {
            assert_eq!(trained(threads), expected, "{name}: {threads} threads");
        }
    }
}
