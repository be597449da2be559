//! Rows that arrive one by one get the bits that they get in a table, for every kind of network without
//! convolutions, for which `conv.rs` has tests.

#![allow(clippy::unwrap_used, reason = "tests, helpers included")]

use ae_data::Dataset;
use ae_model::{
    Activation, Autoencoder, Config, ConfigBuilder, Dropout, ErrorNorm, Gaussian, Isa, Latent, Loss,
    Precision, ScalerKind, TopK,
};
use ae_testing::random::SplitMix64;

const FEATURES: usize = 37;

/// Rows in [0, 1], of which `missing` values are absent.
fn rows(missing: usize) -> Dataset {
    let mut random = SplitMix64::new(11);
    let mut values = random.uniform_f32s(20 * FEATURES, 0.0, 1.0);
    for k in 0..missing {
        values[k * 31 % (20 * FEATURES)] = f32::NAN;
    }
    Dataset::new(values, FEATURES).unwrap()
}

/// `NaN` compares equal to itself.
fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

fn check(name: &str, config: ConfigBuilder, missing: usize) {
    let data = rows(missing);
    for (isa, precision) in Isa::available().flat_map(|isa| [(isa, Precision::F32), (isa, Precision::F64)]) {
        let name = format!("{name}, {precision:?} on {isa}");
        let config = config.clone().precision(precision).epochs(2).batch_size(8).build().unwrap();
        let mut model = Autoencoder::on(config, isa).unwrap();
        model.fit(&data, &mut []).unwrap();
        let (codes, rebuilt) = (model.encode(&data).unwrap(), model.reconstruct(&data).unwrap());
        let decoded = model.decode(&codes).unwrap();
        let sums = model.reconstruction_error(&data, ErrorNorm::Sum).unwrap();
        let means = model.reconstruction_error(&data, ErrorNorm::Mean).unwrap();
        let mut one = model.one_row().unwrap();
        let (mut code, mut row) = (vec![0.0; codes.features()], vec![0.0; FEATURES]);
        for index in 0..data.rows() {
            let name = format!("row {index} of {name}");
            let given = data.row(index).unwrap();
            one.encode(given, &mut code).unwrap();
            assert_eq!(bits(&code), bits(codes.row(index).unwrap()), "encoding of {name}");
            one.decode(&code, &mut row).unwrap();
            assert_eq!(bits(&row), bits(decoded.row(index).unwrap()), "decoding of {name}");
            one.reconstruct(given, &mut row).unwrap();
            assert_eq!(bits(&row), bits(rebuilt.row(index).unwrap()), "reconstruction of {name}");
            assert_eq!(one.error(given, ErrorNorm::Sum).unwrap(), sums[index], "error of {name}");
            assert_eq!(one.error(given, ErrorNorm::Mean).unwrap(), means[index], "mean error of {name}");
        }
        assert!(sums.iter().all(|x| x.is_finite() && *x > 0.0), "{name}: {sums:?}");
    }
}

#[test]
fn a_wrong_value_is_told_with_the_name_of_its_column() {
    let names = ["height", "width"].map(str::to_owned).to_vec();
    let data = Dataset::new((0..20).map(|i| (i % 7) as f32).collect(), 2).unwrap().with_names(names).unwrap();
    let mut model = Autoencoder::new(Config::builder(2).encoding_dim(2).epochs(1).build().unwrap()).unwrap();
    model.fit(&data, &mut []).unwrap();
    let mut one = model.one_row().unwrap();
    let error = one.encode(&[1.0, f32::NAN], &mut [0.0; 2]).unwrap_err();
    assert_eq!(error.to_string(), "row 1, column 'width': NaN is not a finite number");
    let error = one.decode(&[1.0, f32::NAN], &mut [0.0; 2]).unwrap_err();
    assert_eq!(error.to_string(), "row 1, column 2: NaN is not a finite number");
}

fn base() -> ConfigBuilder {
    Config::builder(FEATURES).hidden_dims([65, 20]).encoding_dim(9).scaler(ScalerKind::Standard)
}

#[test]
fn dense_networks() {
    check("plain", base(), 0);
    check("without scaling", base().scaler(ScalerKind::None).activation(Activation::Gelu), 0);
    check("without hidden layers", base().hidden_dims([]), 0);
    check("missing values", base().mask_missing(true), 50);
    check("dropout", base().dropout(Dropout { input: 0.1, hidden: 0.2 }), 0);
    check("contractive", base().hidden_dims([]).contractive(0.1).encoding_activation(Activation::Sigmoid), 0);
    check("tied", base().tied_weights(true), 0);
}

#[test]
fn likelihoods() {
    let unit = || base().scaler(ScalerKind::None);
    check("Bernoulli", unit().loss(Loss::Bce), 0);
    check("squared error of sigmoids", unit().loss(Loss::SigmoidMse), 0);
    check("Gaussian", base().loss(Loss::GaussianNll), 0);
    check("variational", base().latent(Latent::Gaussian(Gaussian::default())), 0);
    check(
        "variational, Gaussian likelihood, missing values",
        base().latent(Latent::Gaussian(Gaussian::default())).loss(Loss::GaussianNll).mask_missing(true),
        50,
    );
}

#[test]
fn codes_and_stages_that_need_panels() {
    check("top-k", base().encoding_dim(40).latent(Latent::TopK(TopK::new(5))), 0);
    check(
        "top-k of the batch",
        base().encoding_dim(40).latent(Latent::TopK(TopK { of_batch: true, ..TopK::new(5) })),
        0,
    );
    check("layer normalisation", base().layer_norm(true), 0);
}
