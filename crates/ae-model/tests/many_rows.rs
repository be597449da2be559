//! More rows than are processed at a time: results in pieces equal results at once.

#![allow(clippy::unwrap_used, reason = "tests, helpers included")]

mod remote;

use ae_data::{BatchSource, Dataset, HeldOut};
use ae_model::{Autoencoder, Config, Error, ErrorNorm, Latent, Loss, Optimizer, Scaler, ScalerKind};
use ae_testing::random::SplitMix64;
use remote::Remote;

/// So wide that a piece has a few hundred rows.
const WIDE: usize = 4096;
const ROWS: usize = 1100;

fn table(rows: usize, features: usize) -> Dataset {
    Dataset::new(SplitMix64::new(5).uniform_f32s(rows * features, 0.0, 1.0), features).unwrap()
}

/// Compares results for rows at the borders of pieces with results for these rows alone.
#[test]
fn later_pieces_are_as_the_first() {
    let data = table(ROWS, WIDE);
    let config = Config::builder(WIDE).hidden_dims([]).encoding_dim(2).scaler(ScalerKind::None);
    let mut model =
        Autoencoder::new(config.latent(Latent::gaussian()).loss(Loss::Mse).build().unwrap()).unwrap();
    let few: Vec<usize> = vec![0, 255, 256, 257, 511, 512, 513, 1023, 1024, ROWS - 1];
    let part = data.select_rows(&few).unwrap();
    let picked = |values: &[f32], width: usize| -> Vec<f32> {
        few.iter().flat_map(|row| values[row * width..][..width].to_vec()).collect()
    };
    for threads in [1, 2] {
        model.set_threads(Some(threads)).unwrap();
        for source in [&data as &dyn BatchSource, &Remote(data.clone())] {
            assert_eq!(
                picked(model.encode(source).unwrap().values(), 2),
                model.encode(&part).unwrap().values()
            );
            let each = model.squared_errors(source).unwrap();
            assert_eq!(picked(each.values(), WIDE), model.squared_errors(&part).unwrap().values());
            for norm in [ErrorNorm::Sum, ErrorNorm::Mean] {
                let errors = model.reconstruction_error(source, norm).unwrap();
                let of_part = model.reconstruction_error(&part, norm).unwrap();
                assert_eq!(few.iter().map(|row| errors[*row]).collect::<Vec<_>>(), of_part);
            }
        }
        let mut broken = data.values().to_vec();
        broken[(ROWS - 1) * WIDE + 7] = f32::NAN;
        let found = model.encode(&Dataset::new(broken, WIDE).unwrap()).unwrap_err();
        assert!(matches!(found, Error::NotFinite { row, column: 7, .. } if row == ROWS - 1), "{found}");
    }
    // Samples depend on a row's position, so the first rows have the same samples in both.
    let head = data.select_rows(&(0..600).collect::<Vec<_>>()).unwrap();
    let (whole, first) =
        (model.log_likelihood(&data, 2, 1).unwrap(), model.log_likelihood(&head, 2, 1).unwrap());
    assert_eq!(whole[..600], first);
    assert!(whole[600..].iter().all(|x| *x != whole[0]));
}

/// More validation rows than are read at a time, and a scaler that needs several reads.
#[test]
fn epochs_are_judged_by_all_rows_set_aside() {
    let held_out = 8192 + 700;
    let data = table(held_out + 300, 3);
    for latent in [Latent::Plain, Latent::gaussian()] {
        let config = Config::builder(3)
            .hidden_dims([])
            .encoding_dim(1)
            .latent(latent)
            .optimizer(Optimizer::Sgd)
            .scaler(ScalerKind::None)
            .epochs(1)
            .build()
            .unwrap();
        let mut model = Autoencoder::new(config).unwrap();
        let history = model.fit(&HeldOut::last(&data, held_out).unwrap(), &mut []).unwrap();
        let last = data.select_rows(&(300..300 + held_out).collect::<Vec<_>>()).unwrap();
        let (found, expected) = (history.epochs[0].validation_mse.unwrap(), model.mse(&last).unwrap());
        assert!((found - expected).abs() < 1e-6 * expected, "{found} {expected}");
    }
    for kind in [ScalerKind::MinMax, ScalerKind::Standard, ScalerKind::Robust, ScalerKind::Centre] {
        let all: Vec<usize> = (0..data.rows()).collect();
        let near = Scaler::fit(kind, &data, &all).unwrap();
        let far = Scaler::fit(kind, &Remote(data.clone()), &all).unwrap();
        assert_eq!((near.shift(), near.scale()), (far.shift(), far.scale()), "{kind:?}");
    }
}
