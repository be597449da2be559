//! Rows with targets: training on pairs.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

mod parameters;
mod remote;

use ae_data::{BatchSource, DataError, Dataset, Pairs, Subset, validation_split};
use ae_model::gradcheck::{self, Settings};
use ae_model::{
    Activation, Autoencoder, Config, ConvLayer, Error, ErrorNorm, Isa, Latent, LayerParameters, Optimizer,
    Precision, Products, ScalerKind, Trainer,
};
use ae_testing::chain;
use ae_testing::naive::{self, NaiveNet};
use ae_testing::random::SplitMix64;
use parameters::{fill, flat};
use remote::Remote;

const FEATURES: usize = 12;

/// Rows on a curve, with asymmetric noise and without.
fn pair(rows: usize) -> (Dataset, Dataset) {
    let mut random = SplitMix64::new(4);
    let clean: Vec<f32> = (0..rows * FEATURES)
        .map(|i| ((i / FEATURES) as f32 * 0.37 + (i % FEATURES) as f32 * 0.5).sin() * 3.0 + 1.0)
        .collect();
    let noisy = clean.iter().map(|x| x + random.uniform_in(0.0, 2.0) as f32).collect();
    (Dataset::new(noisy, FEATURES).unwrap(), Dataset::new(clean, FEATURES).unwrap())
}

fn config() -> ae_model::ConfigBuilder {
    Config::builder(FEATURES)
        .hidden_dims([20])
        .encoding_dim(4)
        .validation(0.2)
        .epochs(30)
        .batch_size(16)
        .optimizer(Optimizer::ADAM)
        .learning_rate(3e-3)
        .seed(9)
}

fn fitted(config: Config, data: &dyn BatchSource) -> (Autoencoder, ae_model::History) {
    let mut model = Autoencoder::new(config).unwrap();
    let history = model.fit(data, &mut []).unwrap();
    (model, history)
}

/// Every kind of product against naive loops that share no code with it.
#[test]
fn gradients_are_those_of_a_naive_network() {
    for (rows, hidden) in [(1, 7), (17, 33), (100, 64)] {
        let mut random = SplitMix64::new(rows as u64);
        let [inputs, targets] = [(); 2].map(|()| random.uniform_f32s(rows * 23, -1.0, 1.0));
        let config = Config::builder(23)
            .hidden_dims([hidden])
            .encoding_dim(5)
            .activation(Activation::Tanh)
            .scaler(ScalerKind::None)
            .seed(3)
            .build()
            .unwrap();
        let layers = Trainer::<f32>::new(&config, Isa::best(), Some(1)).unwrap().layers();
        let wide = |values: &[f32]| values.iter().map(|x| f64::from(*x)).collect::<Vec<_>>();
        let net = NaiveNet {
            dims: config.layer_dims(),
            weights: layers.iter().map(|layer| wide(&layer.weights)).collect(),
            biases: layers.iter().map(|layer| wide(&layer.bias)).collect(),
            activation: naive::Activation::Tanh,
        };
        let expected = net.gradients(&naive::widen(&inputs), &naive::widen(&targets));
        let gradients: Vec<f64> = expected
            .weights
            .iter()
            .zip(&expected.biases)
            .flat_map(|(w, b)| w.iter().chain(b))
            .copied()
            .collect();
        let norm = gradients.iter().map(|g| g * g).sum::<f64>().sqrt();
        let indices: Vec<usize> = (0..rows).collect();
        for isa in Isa::available() {
            for products in [Products::Plain, Products::Split] {
                let mut trainer = Trainer::<f32>::new(&config, isa, Some(2)).unwrap();
                trainer.set_products(products);
                let (objective, layers) =
                    trainer.enter(|session| session.gradients_of_pairs(&inputs, &targets, &indices)).unwrap();
                let squares: f64 = flat(&layers).iter().zip(&gradients).map(|(a, b)| (a - b).powi(2)).sum();
                assert!(squares.sqrt() <= 1e-5 * norm, "{isa}, {products:?}, {rows} rows");
                assert!((objective - expected.loss).abs() <= 1e-5 * expected.loss, "{isa}, {products:?}");
            }
        }
    }
}

/// Convolutions, and sparsely decoded codes.
#[test]
fn other_stages_agree_with_finite_differences() {
    let of_images = Config::builder(36).image(6, 6, 1).conv_layers([ConvLayer::new(3, 3, 2)]).encoding_dim(4);
    let sparse = Config::builder(36).encoding_dim(40).latent(Latent::top_k(3)).hidden_dims([]);
    for builder in [of_images, sparse] {
        let config = builder.activation(Activation::Tanh).scaler(ScalerKind::None).seed(5);
        let config = config.encoding_activation(Activation::Linear).build().unwrap();
        let mut random = SplitMix64::new(8);
        let [inputs, targets] = [(); 2].map(|()| random.uniform_f32s(19 * 36, -1.0, 1.0));
        let indices: Vec<usize> = (0..19).collect();
        for isa in Isa::available() {
            let mut trainer = Trainer::<f64>::new(&config, isa, Some(1)).unwrap();
            let mut layers = trainer.layers();
            let mut gradients = |layers: &[LayerParameters<f64>]| {
                layers.iter().enumerate().for_each(|(index, layer)| trainer.set_layer(index, layer).unwrap());
                trainer.enter(|session| session.gradients_of_pairs(&inputs, &targets, &indices)).unwrap()
            };
            let (parameters, (_, found)) = (flat(&layers), gradients(&layers));
            let settings = Settings { step: 2e-5, tolerance: 3e-6, ..Settings::default() };
            let report = gradcheck::compare(&settings, &parameters, &flat(&found), |values| {
                fill(&mut layers, values);
                gradients(&layers).0
            });
            assert!(report.passes(&settings), "{isa}: {report:?}");
        }
    }
}

/// Inputs may be far from targets: a model of pairs removes the noise, which a plain one keeps.
#[test]
fn noise_is_taken_away() {
    let (noisy, clean) = pair(300);
    let pairs = Pairs::new(&noisy, &clean).unwrap();
    let (of_pairs, _) = fitted(config().build().unwrap(), &pairs);
    let (plain, _) = fitted(config().build().unwrap(), &noisy);
    let off = |model: &Autoencoder| {
        let rebuilt = model.reconstruct(&noisy).unwrap();
        let squares = rebuilt.values().iter().zip(clean.values()).map(|(a, b)| f64::from(a - b).powi(2));
        squares.sum::<f64>() / rebuilt.values().len() as f64
    };
    // The noise has mean one and variance a third.
    assert!(off(&of_pairs) < 0.3, "{}", off(&of_pairs));
    assert!(off(&plain) > 1.0, "{}", off(&plain));
}

/// Inputs and targets share one scaler, fitted to the targets; all errors are against the targets.
#[test]
fn errors_are_against_the_targets() {
    let (noisy, clean) = pair(150);
    let pairs = Pairs::new(&noisy, &clean).unwrap();
    for scaler in
        [ScalerKind::MinMax, ScalerKind::Common, ScalerKind::Standard, ScalerKind::Robust, ScalerKind::None]
    {
        let (model, history) = fitted(config().epochs(3).scaler(scaler).build().unwrap(), &pairs);
        let (_, validation) = validation_split(150, 0.2, 9).unwrap();
        let (train, _) = validation_split(150, 0.2, 9).unwrap();
        assert_eq!(*model.scaler(), ae_model::Scaler::fit(scaler, &clean, &train).unwrap());
        let rebuilt = model.reconstruct(&noisy).unwrap();
        let scale = model.scaler().scale();
        let by_hand = |row: usize| -> f64 {
            let (x, y) = (rebuilt.row(row).unwrap(), clean.row(row).unwrap());
            let each = x.iter().zip(y).zip(scale);
            each.map(|((x, y), scale)| (f64::from(x - y) / scale).powi(2)).sum()
        };
        let errors = model.reconstruction_error(&pairs, ErrorNorm::Sum).unwrap();
        for (row, error) in errors.iter().enumerate() {
            let expected = by_hand(row);
            assert!((error - expected).abs() <= 1e-4 * expected, "{scaler:?}: {error} {expected}");
        }
        let subset = Subset::new(&pairs, validation).unwrap();
        let (of_fit, mse) = (history.epochs[2].validation_mse.unwrap(), model.mse(&subset).unwrap());
        assert!((of_fit - mse).abs() <= 1e-6 * mse, "{of_fit} {mse}");
        let by_feature: f64 = model.feature_error(&pairs).unwrap().iter().sum();
        let by_cell: f64 = model.squared_errors(&pairs).unwrap().values().iter().map(|x| f64::from(*x)).sum();
        let total: f64 = errors.iter().sum();
        assert!(
            (by_feature * 150.0 - total).abs() <= 1e-4 * total && (by_cell - total).abs() <= 1e-4 * total
        );
    }
}

/// Pairs of equal rows train exactly like plain rows, and so do sources that are not in memory.
#[test]
fn equal_pairs_are_rows() {
    let (noisy, clean) = pair(120);
    let config = config().epochs(3).build().unwrap();
    let (plain, _) = fitted(config.clone(), &clean);
    let (paired, _) = fitted(config.clone(), &Pairs::new(&clean, &clean).unwrap());
    assert_eq!(plain.layers(), paired.layers());

    let (near, _) = fitted(config.clone(), &Pairs::new(&noisy, &clean).unwrap());
    assert_ne!(near.layers(), plain.layers());
    let (far, far_targets) = (Remote(noisy.clone()), Remote(clean.clone()));
    for (inputs, targets) in
        [(&far as &dyn BatchSource, &far_targets as &dyn BatchSource), (&noisy, &far_targets), (&far, &clean)]
    {
        let pairs = Pairs::new(inputs, targets).unwrap();
        let (model, _) = fitted(config.clone(), &pairs);
        assert_eq!(model.layers(), near.layers());
        assert_eq!(model.mse(&pairs).unwrap(), near.mse(&Pairs::new(&noisy, &clean).unwrap()).unwrap());
    }
    // A model trained on pairs can train on rows again.
    let mut model = near;
    model.fit(&clean, &mut []).unwrap();
    assert_eq!(model.layers(), plain.layers());
}

#[test]
fn threads_change_no_bit() {
    let (noisy, clean) = pair(333);
    let pairs = Pairs::new(&noisy, &clean).unwrap();
    for precision in [Precision::F32, Precision::F64, Precision::Bf16] {
        let learnt = [1, 2, 3, 7].map(|threads| {
            let config = config().hidden_dims([150]).batch_size(100).precision(precision).epochs(2);
            let mut model = Autoencoder::new(config.build().unwrap()).unwrap();
            model.set_threads(Some(threads)).unwrap();
            let history = model.fit(&pairs, &mut []).unwrap();
            let losses = history
                .epochs
                .iter()
                .map(|epoch| (epoch.train_mse, epoch.validation_mse))
                .collect::<Vec<_>>();
            (model.layers(), losses, model.reconstruction_error(&pairs, ErrorNorm::Sum).unwrap())
        });
        assert!(learnt.iter().all(|result| *result == learnt[0]), "{precision:?}");
    }
}

/// Values missing on one side only.
#[test]
fn missing_values() {
    let (noisy, clean) = pair(100);
    let holed = |data: &Dataset, from: usize| {
        let mut values = data.values().to_vec();
        values.iter_mut().skip(from).step_by(7).for_each(|x| *x = f32::NAN);
        Dataset::new(values, FEATURES).unwrap()
    };
    let (inputs, targets) = (holed(&noisy, 0), holed(&clean, 3));
    let pairs = Pairs::new(&inputs, &targets).unwrap();
    let (model, history) = fitted(config().mask_missing(true).build().unwrap(), &pairs);
    assert!(history.epochs.last().unwrap().train_mse < history.epochs[0].train_mse);
    let known = targets.values().iter().filter(|x| !x.is_nan()).count();
    let errors: f64 = model.reconstruction_error(&pairs, ErrorNorm::Sum).unwrap().iter().sum();
    assert!((model.mse(&pairs).unwrap() - errors / known as f64).abs() < 1e-12);
    let [sums, means] =
        [ErrorNorm::Sum, ErrorNorm::Mean].map(|norm| model.reconstruction_error(&pairs, norm).unwrap());
    for ((sum, mean), row) in sums.iter().zip(means).zip(targets.iter_rows()) {
        assert_eq!(mean, sum / row.iter().filter(|x| !x.is_nan()).count() as f64);
    }
    // A value missing from a target does not count; a value missing from an input merely enters as zero.
    let cells = model.squared_errors(&pairs).unwrap();
    for (cell, target) in cells.values().iter().zip(targets.values()) {
        assert!(if target.is_nan() { *cell == 0.0 } else { *cell >= 0.0 });
    }
}

#[test]
fn partial_fits_and_range_tests() {
    let (noisy, clean) = pair(80);
    let pairs = Pairs::new(&noisy, &clean).unwrap();
    let mut model = Autoencoder::new(config().build().unwrap()).unwrap();
    let first = model.partial_fit(&pairs).unwrap();
    let all: Vec<usize> = (0..80).collect();
    assert_eq!(*model.scaler(), ae_model::Scaler::fit(ScalerKind::MinMax, &clean, &all).unwrap());
    for _ in 0..50 {
        model.partial_fit(&pairs).unwrap();
    }
    assert!(model.partial_fit(&pairs).unwrap() < first);
    let of_pairs = model.range_test(&pairs).unwrap();
    assert_ne!(of_pairs.losses, model.range_test(&noisy).unwrap().losses);
}

#[test]
fn what_does_not_fit_is_refused() {
    /// Targets of any shape.
    struct Odd(Dataset, Dataset);
    impl BatchSource for Odd {
        fn rows(&self) -> usize {
            self.0.rows()
        }
        fn features(&self) -> usize {
            self.0.features()
        }
        fn read_rows(&self, indices: &[usize], out: &mut [f32]) -> Result<(), DataError> {
            self.0.read_rows(indices, out)
        }
        fn targets(&self) -> Option<&dyn BatchSource> {
            Some(&self.1)
        }
    }
    let (noisy, clean) = pair(40);
    let mut model = Autoencoder::new(config().build().unwrap()).unwrap();
    let odd = Odd(noisy.clone(), pair(39).1);
    let expected = "the targets: 39 target rows for 40 rows";
    for error in [
        model.fit(&odd, &mut []).unwrap_err(),
        model.partial_fit(&odd).unwrap_err(),
        model.mse(&odd).unwrap_err(),
        model.squared_errors(&odd).unwrap_err(),
        model.feature_error(&odd).unwrap_err(),
        model.range_test(&odd).unwrap_err(),
    ] {
        assert_eq!(chain(&error), expected);
    }
    assert!(!model.is_fitted());
    let mut values = clean.values().to_vec();
    values[FEATURES + 2] = f32::NAN;
    let holed = Dataset::new(values, FEATURES).unwrap();
    let error = model.fit(&Pairs::new(&noisy, &holed).unwrap(), &mut []).unwrap_err();
    assert!(matches!(&error, Error::Targets(inner) if matches!(**inner, Error::NotFinite { row: 1, .. })));
    assert_eq!(chain(&error), "the targets: row 2, column 3: NaN is not a finite number");
    let pairs = Pairs::new(&noisy, &holed).unwrap();
    for error in [model.mse(&pairs).unwrap_err(), model.squared_errors(&pairs).unwrap_err()] {
        assert_eq!(chain(&error), "the targets: row 2, column 3: NaN is not a finite number");
    }
    let error = model.fit(&Pairs::new(&holed, &clean).unwrap(), &mut []).unwrap_err();
    assert_eq!(error.to_string(), "row 2, column 3: NaN is not a finite number");
    let mut trainer = Trainer::<f32>::new(model.config(), Isa::best(), Some(1)).unwrap();
    let short = trainer.enter(|session| session.train_pairs(&[0.0; 24], &[0.0; 12], &[0]).unwrap_err());
    assert!(matches!(short, Error::Width { what: "targets", expected: 24, got: 12 }));
}
