//! What only variational autoencoders can do, against an integral that can be worked out.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

use ae_data::Dataset;
use ae_model::{
    Activation, Autoencoder, Config, ConfigBuilder, Error, Latent, Loss, Optimizer, Precision, ScalerKind,
};
use ae_testing::random::SplitMix64;

/// Rows of four values that follow one hidden number.
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

/// `ln ∫ p(x | z) N(z; 0, 1) dz` by sums over a grid.
fn integral(model: &Autoencoder, x: &[f32], log_density: impl Fn(f64, f64) -> f64) -> f64 {
    let grid: Vec<f32> = (-1600..=1600).map(|i| i as f32 / 200.0).collect();
    let decoded = model.decode(&Dataset::new(grid.clone(), 1).unwrap()).unwrap();
    let terms = grid.iter().zip(decoded.values().chunks_exact(4)).map(|(z, y)| {
        let prior = -0.5 * (f64::from(z * z) + (2.0 * std::f64::consts::PI).ln());
        prior + x.iter().zip(y).map(|(x, y)| log_density(f64::from(*x), f64::from(*y))).sum::<f64>()
    });
    (terms.map(f64::exp).sum::<f64>() / 200.0).ln()
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
        // Not a multiple of the samples of a pass.
        let estimates = model.log_likelihood(&data, 20_011, 3).unwrap();
        for (row, estimate) in estimates.iter().enumerate() {
            let x = data.row(row).unwrap();
            let exact = match loss {
                Loss::Bce => integral(&model, x, bernoulli),
                _ => integral(&model, x, normal),
            };
            assert!((estimate - exact).abs() < 0.01, "{loss}, row {row}: {estimate} for {exact}");
        }
        // A lower bound in expectation: fewer samples say less.
        let few = model.log_likelihood(&data, 2, 3).unwrap();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        assert!(mean(&few) < mean(&estimates) + 0.05, "{few:?}");
    }
}

/// Of a row with gaps it is the likelihood of what is known.
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
    // They vary as the data does: the first two values mirror each other.
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
    assert!(matches!(model.interpolate(&[0.0; 3], &[0.0; 4], 5), Err(Error::Width { got: 3, .. })));
    assert!(matches!(model.interpolate(&[0.0; 4], &[0.0; 4], 1), Err(Error::Config(_))));
    assert!(matches!(model.interpolate(&[f32::NAN; 4], &[0.0; 4], 2), Err(Error::NotFinite { .. })));
}

#[test]
fn what_is_not_variational_says_so() {
    let data = rows(20);
    let mut plain = Autoencoder::new(Config::builder(4).epochs(1).build().unwrap()).unwrap();
    plain.fit(&data, &mut []).unwrap();
    assert!(matches!(plain.generate(3, 0), Err(Error::NotVariational { .. })));
    assert!(matches!(plain.log_likelihood(&data, 10, 0), Err(Error::NotVariational { .. })));
    let model = trained(Loss::Mae, Precision::F32);
    assert!(matches!(model.log_likelihood(&data, 10, 0), Err(Error::Config(_))), "no likelihood");
    let model = trained(Loss::Bce, Precision::F32);
    assert!(matches!(model.log_likelihood(&data, 1, 0), Err(Error::Config(_))), "one sample");
}
