//! Sizes that callers choose: what does not fit into memory is an error, not the end of the process.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, helpers included")]

use ae_data::{BatchSource, DataError, Dataset, Rows};
use ae_model::{Autoencoder, Config, ConvLayer, Error, ErrorNorm, Latent, Scaler, ScalerKind};

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
        assert!(is_refused(model.mse(&rows)) && is_refused(model.log_likelihood(&rows, 2, 0)));
        assert!(is_refused(model.fit(&rows, &mut [])) && is_refused(model.partial_fit(&rows)));
    }
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
fn wide_rows_give_the_same_encodings_in_smaller_blocks() {
    let wide = ConvLayer { channels: 260, kernel: 1, stride: 1, padding: 0, groups: 1 };
    let config =
        Config::builder(64 * 64).image(64, 64, 1).conv_layers([wide]).hidden_dims([]).encoding_dim(1);
    let model = Autoencoder::new(config.build().unwrap()).unwrap();
    let values: Vec<f32> = (0..20 * 64 * 64).map(|i| (i % 97) as f32 / 97.0).collect();
    let codes = model.encode(&Rows::new(&values, 64 * 64).unwrap()).unwrap();
    for (row, code) in values.chunks_exact(64 * 64).zip(codes.values()) {
        assert_eq!(model.encode(&Rows::new(row, 64 * 64).unwrap()).unwrap().values(), [*code]);
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
