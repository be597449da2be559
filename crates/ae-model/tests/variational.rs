//! What only variational autoencoders can do, checked by numerical integration.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

use ae_data::{DataError, Dataset};
use ae_model::{
    Activation, Autoencoder, Config, ConfigBuilder, Error, Gaussian, Latent, LayerParameters, Loss,
    Optimizer, Posterior, Precision, ScalerKind,
};
use ae_testing::random::SplitMix64;

/// Rows of four values that depend on one latent number.
fn rows(count: usize) -> Dataset {
    let mut random = SplitMix64::new(4);
    let values = (0..count)
        .flat_map(|_| {
            let t = random.uniform_in(-2.0, 2.0);
            [t, -t, 0.5 * t, t * t - 1.0].map(|z: f64| (1.0 / (1.0 + (-2.0 * z).exp())) as f32)
        })
        .collect();
    Dataset::new(values, 4).unwrap()
}

fn trained(loss: Loss, precision: Precision) -> Autoencoder {
    let config = Config::builder(4)
        .hidden_dims([8])
        .encoding_dim(1)
        .activation(Activation::Tanh)
        .latent(Latent::gaussian())
        .loss(loss)
        .scaler(ScalerKind::None)
        .optimizer(Optimizer::ADAM)
        .learning_rate(0.01)
        .epochs(30)
        .precision(precision)
        .build()
        .unwrap();
    let mut model = Autoencoder::new(config).unwrap();
    model.fit(&rows(400), &mut []).unwrap();
    model
}

/// `ln ∫ p(x | z) N(z; 0, 1) dz`, summed over a grid.
fn integral(model: &Autoencoder, x: &[f32], log_density: impl Fn(f64, f64) -> f64) -> f64 {
    let grid: Vec<f32> = (-1600..=1600).map(|i| i as f32 / 200.0).collect();
    let decoded = model.decode(&Dataset::new(grid.clone(), 1).unwrap()).unwrap();
    let terms = grid.iter().zip(decoded.values().chunks_exact(4)).map(|(z, y)| {
        let prior = -0.5 * (f64::from(z * z) + (2.0 * std::f64::consts::PI).ln());
        prior + x.iter().zip(y).map(|(x, y)| log_density(f64::from(*x), f64::from(*y))).sum::<f64>()
    });
    (terms.map(f64::exp).sum::<f64>() / 200.0).ln()
}

/// The validation loss is the bound that training optimizes, estimated with samples. The posterior mean
/// alone would give less.
#[test]
fn validation_losses_are_the_bound() {
    let (all, fraction) = (rows(2000), 0.5);
    for (samples, threads) in [(1, 1), (20, 1), (20, 3)] {
        let latent = Latent::Gaussian(Gaussian {
            samples,
            warm_up: if samples == 1 { 3 } else { 0 },
            ..Gaussian::default()
        });
        let builder = Config::builder(4).hidden_dims([8]).encoding_dim(1).activation(Activation::Tanh);
        let builder = builder.latent(latent).loss(Loss::Bce).scaler(ScalerKind::None).learning_rate(0.01);
        let config = builder.epochs(6).validation(fraction).build().unwrap();
        let (_, held_out) = ae_data::validation_split(all.rows(), fraction, config.seed()).unwrap();
        let mut model = Autoencoder::new(config).unwrap();
        model.set_threads(Some(threads)).unwrap();
        let history = model.fit(&all, &mut []).unwrap();
        let found = history.epochs[5].validation_loss.unwrap();
        let held_out = all.select_rows(&held_out).unwrap();
        // For one sample, the bound averaged over many samples.
        let expected = if samples == 1 {
            bound_of_one_sample(&model, &held_out)
        } else {
            let likelihoods = model.log_likelihood(&held_out, samples, 5).unwrap();
            -likelihoods.iter().sum::<f64>() / held_out.rows() as f64
        };
        assert!((found - expected).abs() < 0.01 * expected, "{samples}: {found} for {expected}");
        let (mse, expected) = (history.epochs[5].validation_mse.unwrap(), model.mse(&held_out).unwrap());
        assert!((mse - expected).abs() < 1e-6 * expected, "{mse} for {expected}");
    }
}

/// The mean over the rows of `KL - E ln p(x | z)`, with the expectation summed over a grid of the noise.
fn bound_of_one_sample(model: &Autoencoder, rows: &Dataset) -> f64 {
    let noise: Vec<f64> = (-40..=40).map(|i| f64::from(i) / 10.0).collect();
    let weights: Vec<f64> = noise.iter().map(|e| (-0.5 * e * e).exp()).collect();
    let total: f64 = weights.iter().sum();
    // Mean and log-variance, computed from the layers in f64.
    let layers = model.layers();
    let bound = |row: &[f32]| {
        let through = |x: &[f64], layer: &LayerParameters<f64>| -> Vec<f64> {
            let sum = |j: usize| {
                x.iter().enumerate().map(|(i, x)| x * layer.weights[i * layer.outputs + j]).sum::<f64>()
            };
            (0..layer.outputs).map(|j| sum(j) + layer.bias[j]).collect()
        };
        let tanh = |x: Vec<f64>| x.into_iter().map(f64::tanh).collect::<Vec<_>>();
        let x: Vec<f64> = row.iter().map(|x| f64::from(*x)).collect();
        let posterior = through(&tanh(through(&x, &layers[0])), &layers[1]);
        let (mean, v) = (posterior[0], posterior[1]);
        let divergence = 0.5 * (mean * mean + v.exp() - v - 1.0);
        let loss = |e: &f64| -> f64 {
            let logits = through(&tanh(through(&[mean + (0.5 * v).exp() * e], &layers[2])), &layers[3]);
            logits.iter().zip(&x).map(|(o, x)| o.max(0.0) + (-o.abs()).exp().ln_1p() - x * o).sum()
        };
        divergence + noise.iter().zip(&weights).map(|(e, w)| w * loss(e)).sum::<f64>() / total
    };
    rows.values().chunks_exact(4).map(bound).sum::<f64>() / rows.rows() as f64
}

#[test]
fn likelihood_nears_the_integral() {
    let bernoulli = |x: f64, p: f64| x * p.ln() + (1.0 - x) * (1.0 - p).ln();
    let normal = |x: f64, y: f64| -0.5 * ((x - y).powi(2) + (2.0 * std::f64::consts::PI).ln());
    let data = rows(7);
    for (loss, precision) in [
        (Loss::Bce, Precision::F32),
        (Loss::Mse, Precision::F32),
        (Loss::SigmoidMse, Precision::F32),
        (Loss::Bce, Precision::F64),
    ] {
        let model = trained(loss, precision);
        // Not a multiple of the number of samples per pass.
        let estimates = model.log_likelihood(&data, 20_011, 3).unwrap();
        for (row, estimate) in estimates.iter().enumerate() {
            let x = data.row(row).unwrap();
            let exact = match loss {
                Loss::Bce => integral(&model, x, bernoulli),
                _ => integral(&model, x, normal),
            };
            assert!((estimate - exact).abs() < 0.01, "{loss}, row {row}: {estimate} for {exact}");
        }
        // A lower bound in expectation: fewer samples give a lower estimate.
        let few = model.log_likelihood(&data, 2, 3).unwrap();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        assert!(mean(&few) < mean(&estimates) + 0.05, "{few:?}");
    }
}

/// A decoder that outputs variances too. They are computed from its parameters, since reconstructions
/// are only the means.
#[test]
fn likelihood_of_variances_that_are_learnt() {
    let model = trained(Loss::GaussianNll, Precision::F64);
    let layers = model.layers();
    let data = rows(3);
    let estimates = model.log_likelihood(&data, 40_009, 3).unwrap();
    let dense = |x: &[f64], layer: &LayerParameters<f64>| -> Vec<f64> {
        let of = |out: usize| {
            let products =
                x.iter().enumerate().map(|(from, x)| x * layer.weights[from * layer.outputs + out]);
            layer.bias[out] + products.sum::<f64>()
        };
        (0..layer.outputs).map(of).collect()
    };
    let tau = 2.0 * std::f64::consts::PI;
    for (row, estimate) in estimates.iter().enumerate() {
        let x = data.row(row).unwrap();
        let density = |z: f64| {
            let hidden: Vec<f64> = dense(&[z], &layers[2]).into_iter().map(f64::tanh).collect();
            let o = dense(&hidden, &layers[3]);
            let of_feature = |j: usize| {
                let by = f64::from(x[j]) - o[j];
                -0.5 * (tau.ln() + o[4 + j] + by * by * (-o[4 + j]).exp())
            };
            (-0.5 * (z * z + tau.ln()) + (0..4).map(of_feature).sum::<f64>()).exp()
        };
        let exact = ((-16_000..=16_000).map(|i| density(f64::from(i) / 2000.0)).sum::<f64>() / 2000.0).ln();
        // Where variances are small, sample weights are uneven and estimates rough.
        assert!((estimate - exact).abs() < 0.2, "row {row}: {estimate} for {exact}");
    }
}

/// For a row with missing values, this is the likelihood of the known ones.
#[test]
fn likelihood_of_rows_with_gaps() {
    let normal = |x: f64, y: f64| -0.5 * ((x - y).powi(2) + (2.0 * std::f64::consts::PI).ln());
    let bernoulli = |x: f64, p: f64| x * p.ln() + (1.0 - x) * (1.0 - p).ln();
    let mut values = rows(5).values().to_vec();
    [1, 6, 7, 8, 9, 10].into_iter().for_each(|at: usize| values[at] = f32::NAN);
    let data = Dataset::new(values, 4).unwrap();
    for loss in [Loss::Mse, Loss::SigmoidMse, Loss::Bce] {
        let config = ConfigBuilder::from(trained(loss, Precision::F32).config().clone()).mask_missing(true);
        let mut model = Autoencoder::new(config.build().unwrap()).unwrap();
        model.fit(&rows(400), &mut []).unwrap();
        let estimates = model.log_likelihood(&data, 20_000, 3).unwrap();
        for (row, estimate) in estimates.iter().enumerate() {
            let of_known = |x: f64, y: f64| match loss {
                _ if x.is_nan() => 0.0,
                Loss::Bce => bernoulli(x, y),
                _ => normal(x, y),
            };
            let exact = integral(&model, data.row(row).unwrap(), of_known);
            assert!((estimate - exact).abs() < 0.01, "{loss}, row {row}: {estimate} for {exact}");
        }
    }
}

#[test]
fn made_up_rows_depend_on_the_seed_and_their_place() {
    let model = trained(Loss::Bce, Precision::F32);
    let many = model.generate(100, 5).unwrap();
    assert_eq!((many.rows(), many.features()), (100, 4));
    assert!(many.values().iter().all(|x| (0.0..=1.0).contains(x)));
    assert_eq!(model.generate(3, 5).unwrap().values(), &many.values()[..12]);
    assert_ne!(model.generate(3, 6).unwrap().values(), &many.values()[..12]);
    assert_eq!(model.generate(0, 5).unwrap().rows(), 0);
    // They vary like the data: the first two values mirror each other.
    let (mut least, mut most) = (1f32, 0f32);
    for row in many.values().chunks_exact(4) {
        least = least.min(row[0]);
        most = most.max(row[0]);
        assert!((row[0] + row[1] - 1.0).abs() < 0.3, "{row:?}");
    }
    assert!(most - least > 0.4, "{least} to {most}");
}

#[test]
fn ends_of_an_interpolation_are_the_reconstructions() {
    let model = trained(Loss::Bce, Precision::F32);
    let data = rows(2);
    let way = model.interpolate(data.row(0).unwrap(), data.row(1).unwrap(), 5).unwrap();
    let ends = model.reconstruct(&data).unwrap();
    assert_eq!(way.rows(), 5);
    assert_eq!((way.row(0), way.row(4)), (ends.row(0), ends.row(1)));
    let codes = model.encode(&data).unwrap();
    let quarter = 0.75 * codes.values()[0] + 0.25 * codes.values()[1];
    let expected = model.decode(&Dataset::new(vec![quarter], 1).unwrap()).unwrap();
    for (found, expected) in way.row(1).unwrap().iter().zip(expected.values()) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
    assert!(matches!(model.interpolate(&[0.0; 3], &[0.0; 4], 5), Err(Error::Width { got: 3, .. })));
    assert!(matches!(model.interpolate(&[0.0; 4], &[0.0; 4], 1), Err(Error::Config(_))));
    assert!(matches!(model.interpolate(&[f32::NAN; 4], &[0.0; 4], 2), Err(Error::NotFinite { .. })));
}

/// Importance sampling by hand: rows are drawn from the posterior and weighted by `p(x, z) / q(z | x)`.
/// That nears the likelihood only if means and variances are what they say.
#[test]
fn the_posterior_is_the_one_that_the_model_samples() {
    let model = trained(Loss::Bce, Precision::F64);
    let data = rows(3);
    let posterior = model.posterior(&data).unwrap();
    assert_eq!(*posterior.means(), model.encode(&data).unwrap());
    let draws = 4000;
    for (at, x) in data.iter_rows().enumerate() {
        let (mean, log_variance) = (posterior.means().values()[at], posterior.log_variances().values()[at]);
        let same = |value| Dataset::new(vec![value; draws], 1).unwrap();
        let repeated = Posterior::new(same(mean), same(log_variance)).unwrap();
        let codes = repeated.sample(at as u64).unwrap();
        let decoded = model.decode(&codes).unwrap();
        let weights = codes.values().iter().zip(decoded.iter_rows()).map(|(z, y)| {
            let (z, mean, log_variance) = (f64::from(*z), f64::from(mean), f64::from(log_variance));
            let prior = -0.5 * z * z;
            let density = -0.5 * ((z - mean).powi(2) / log_variance.exp() + log_variance);
            let likelihood: f64 = x
                .iter()
                .zip(y)
                .map(|(x, y)| {
                    let (x, y) = (f64::from(*x), f64::from(*y));
                    x * y.ln() + (1.0 - x) * (1.0 - y).ln()
                })
                .sum();
            (likelihood + prior - density).exp()
        });
        let estimate = (weights.sum::<f64>() / draws as f64).ln();
        let exact = integral(&model, x, |x, y| x * y.ln() + (1.0 - x) * (1.0 - y).ln());
        assert!((estimate - exact).abs() < 0.01, "row {at}: {estimate} for {exact}");
    }
}

#[test]
fn divergences_are_those_of_gaussians() {
    let table = |values: &[f32]| Dataset::new(values.to_vec(), 2).unwrap();
    // ½ (μ² + σ² - 1 - ln σ²): 0 for the prior, ½ for a mean of 1, ½ (e - 2) for a log-variance of 1.
    let posterior = Posterior::new(table(&[1.0, 0.0, 0.0, 0.0]), table(&[0.0, 0.0, 1.0, 0.0])).unwrap();
    let expected = (0.5 + 0.5 * (1f64.exp() - 2.0)) / 2.0;
    let [first, second] = posterior.divergences()[..] else { panic!("two dimensions") };
    assert!((first - expected).abs() < 1e-12 && second == 0.0, "{first} for {expected}, {second}");
    assert_eq!(Posterior::new(table(&[]), table(&[])).unwrap().divergences(), [0.0, 0.0]);
    let other = Posterior::new(table(&[0.0, 0.0]), table(&[]));
    assert!(matches!(other, Err(Error::Data(DataError::Count { expected: 1, got: 0, .. }))));
}

#[test]
fn what_is_not_variational_says_so() {
    let data = rows(20);
    let mut plain = Autoencoder::new(Config::builder(4).epochs(1).build().unwrap()).unwrap();
    plain.fit(&data, &mut []).unwrap();
    assert!(matches!(plain.generate(3, 0), Err(Error::NotVariational { .. })));
    assert!(matches!(plain.posterior(&data), Err(Error::NotVariational { .. })));
    assert!(matches!(plain.log_likelihood(&data, 10, 0), Err(Error::NotVariational { .. })));
    let model = trained(Loss::Mae, Precision::F32);
    assert!(matches!(model.log_likelihood(&data, 10, 0), Err(Error::Config(_))), "no likelihood");
    let model = trained(Loss::Bce, Precision::F32);
    assert!(matches!(model.log_likelihood(&data, 1, 0), Err(Error::Config(_))), "one sample");
    let beyond = Dataset::new(vec![0.5, 0.5, 1.5, 0.5], 4).unwrap();
    let refused = model.log_likelihood(&beyond, 10, 0);
    assert!(matches!(refused, Err(Error::OutsideScalerRange { row: 0, column: 2, .. })), "{refused:?}");
}
