//! Sizes that callers choose: what does not fit into memory is an error, not the end of the process.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, helpers included")]

use ae_data::{BatchSource, DataError, Dataset, HeldOut, Rows};
use ae_model::{Autoencoder, Config, ConvLayer, Error, ErrorNorm, Gaussian, Latent, Scaler, ScalerKind};

/// A source that claims any number of rows of zeros.
struct Claim {
    rows: usize,
    features: usize,
}

impl BatchSource for Claim {
    fn rows(&self) -> usize {
        self.rows
    }
    fn features(&self) -> usize {
        self.features
    }
    fn read_rows(&self, _: &[usize], out: &mut [f32]) -> Result<(), DataError> {
        out.fill(0.0);
        Ok(())
    }
}

fn is_refused<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Data(DataError::OutOfMemory { .. })))
}

#[test]
fn more_rows_than_fit_into_memory_are_refused() {
    let config = Config::builder(2).encoding_dim(1).latent(Latent::gaussian()).build().unwrap();
    let mut model = Autoencoder::new(config).unwrap();
    for rows in [usize::MAX, usize::MAX / 2, usize::MAX / 8] {
        let (rows, codes) = (Claim { rows, features: 2 }, Claim { rows, features: 1 });
        assert!(is_refused(model.encode(&rows)) && is_refused(model.decode(&codes)));
        assert!(is_refused(model.reconstruct(&rows)) && is_refused(model.impute(&rows, 1)));
        assert!(is_refused(model.reconstruction_error(&rows, ErrorNorm::Mean)));
        assert!(is_refused(model.squared_errors(&rows)) && is_refused(model.residuals(&rows)));
        assert!(is_refused(model.log_likelihood(&rows, 2, 0)));
        assert!(is_refused(model.fit(&rows, &mut [])) && is_refused(model.partial_fit(&rows)));
    }
}

/// More values of a batch than processes can address.
#[test]
fn batches_that_do_not_fit_into_memory_are_refused() {
    let rows = Claim { rows: 1 << 20, features: 1 };
    let latent = Latent::Gaussian(Gaussian { samples: 1024, ..Gaussian::default() });
    let config = Config::builder(1).hidden_dims([1 << 16]).encoding_dim(1).latent(latent).epochs(1);
    let mut model = Autoencoder::new(config.batch_size(1 << 20).validation(0.0).build().unwrap()).unwrap();
    assert!(is_refused(model.fit(&rows, &mut [])) && is_refused(model.partial_fit(&rows)));
    // The model is as usable as before.
    let one = Claim { rows: 1, features: 1 };
    assert_eq!(model.encode(&one).unwrap().rows(), 1);
}

#[test]
fn more_generated_rows_than_fit_into_memory_are_refused() {
    // 10⁹ encodings of 2¹⁶ values are more than processes can address.
    let config = Config::builder(1).hidden_dims([]).encoding_dim(1 << 16).latent(Latent::gaussian());
    let model = Autoencoder::new(config.build().unwrap()).unwrap();
    let said = model.generate(1_000_000_000, 0).unwrap_err().to_string();
    assert_eq!(said, "the encodings do not fit into memory: 1000000000 rows of 65536 values");
}

/// Where a row has more than a million values within the network, fewer rows go through it together.
#[test]
fn wide_rows_give_the_same_results_in_smaller_blocks() {
    let wide = ConvLayer { channels: 260, kernel: 1, stride: 1, padding: 0, groups: 1 };
    let features = 64 * 64;
    let config =
        Config::builder(features).image(64, 64, 1).conv_layers([wide]).hidden_dims([]).encoding_dim(1);
    let mut model = Autoencoder::new(config.scaler(ScalerKind::None).epochs(1).build().unwrap()).unwrap();
    let values: Vec<f32> = (0..18 * features).map(|i| (i % 97) as f32 / 97.0).collect();
    let rows = Dataset::new(values, features).unwrap();
    // The rows that are held out are validated together.
    let history = model.fit(&HeldOut::last(&rows, 17).unwrap(), &mut []).unwrap();
    let codes = model.encode(&rows).unwrap();
    let errors = model.reconstruction_error(&rows, ErrorNorm::Sum).unwrap();
    let cells = model.squared_errors(&rows).unwrap();
    let expected = errors[1..].iter().sum::<f64>() / (17 * features) as f64;
    assert!((history.epochs[0].validation_mse.unwrap() / expected - 1.0).abs() < 1e-6);
    for index in [0, 17] {
        let row = Rows::new(rows.row(index).unwrap(), features).unwrap();
        assert_eq!(model.encode(&row).unwrap().row(0), codes.row(index));
        assert_eq!(model.reconstruction_error(&row, ErrorNorm::Sum).unwrap(), [errors[index]]);
        assert_eq!(model.squared_errors(&row).unwrap().row(0), cells.row(index));
    }
}

#[test]
fn rows_without_features_have_nothing_to_scale() {
    for kind in [ScalerKind::None, ScalerKind::Standard, ScalerKind::MinMax, ScalerKind::Robust] {
        let scaler = Scaler::fit(kind, &Claim { rows: 3, features: 0 }, &[0]).unwrap();
        assert!(scaler.scale().is_empty(), "{kind:?}");
        let refused = Scaler::fit(kind, &Dataset::default(), &[0]);
        assert!(matches!(refused, Err(Error::Data(DataError::RowOutOfRange { index: 0, rows: 0 }))));
    }
}
