//! Models that start from the weights of others.

#![allow(clippy::unwrap_used, reason = "tests")]

use ae_data::{ColumnRoles, Dataset, Schema, Table, digits};
use ae_model::{
    Autoencoder, Config, ConfigBuilder, Error, ErrorNorm, Gaussian, Latent, Loss, Optimizer, ScalerKind,
};

fn base() -> ConfigBuilder {
    Config::builder(64).hidden_dims([24]).encoding_dim(6).optimizer(Optimizer::ADAM).epochs(8).seed(3)
}

fn fitted(config: ConfigBuilder, rows: &Dataset) -> Autoencoder {
    let mut model = Autoencoder::new(config.build().unwrap()).unwrap();
    model.fit(rows, &mut []).unwrap();
    model
}

#[test]
fn it_is_the_other_model_until_it_is_trained() {
    let rows = digits().unwrap();
    let first = fitted(base(), &rows);
    let config = base().optimizer(Optimizer::Sgd).learning_rate(1e-30).epochs(2);
    for config in [config.clone(), config.ema(0.9)] {
        let mut next = Autoencoder::warm_start(config.build().unwrap(), &first).unwrap();
        assert!(next.is_fitted());
        let errors = |model: &Autoencoder| model.reconstruction_error(&rows, ErrorNorm::Sum).unwrap();
        assert_eq!(errors(&next), errors(&first));
        // Rows of another range: the scale is still that of the weights.
        let half = Dataset::new(rows.values().iter().map(|x| x / 2.0).collect(), 64).unwrap();
        next.fit(&half, &mut []).unwrap();
        assert_eq!(errors(&next), errors(&first));
        assert_eq!(next.scaler(), first.scaler());
    }
}

#[test]
fn it_has_the_columns_of_the_other_model() {
    let names = ["size", "weight"].map(str::to_owned).to_vec();
    let columns =
        [["0.5", "1.5", "2.5", "1"], ["3", "1", "2", "4"]].map(|cells| cells.map(str::to_owned).to_vec());
    let table = Table::new(names.clone(), &columns).unwrap();
    let schema = Schema::infer(&table, &ColumnRoles::default()).unwrap();
    let rows = schema.encode(&table, None).unwrap().rows;
    let config = Config::builder(rows.features()).encoding_dim(1).epochs(1).build().unwrap();
    let mut first = Autoencoder::new(config.clone()).unwrap();
    first.set_schema(schema.clone()).unwrap();
    first.fit(&rows, &mut []).unwrap();
    let next = Autoencoder::warm_start(config, &first).unwrap();
    assert_eq!((next.schema(), next.feature_names()), (Some(&schema), Some(&names[..])));
}

#[test]
fn training_goes_on_and_each_fit_begins_there() {
    let rows = digits().unwrap();
    let first = fitted(base(), &rows);
    let mut next = Autoencoder::warm_start(base().build().unwrap(), &first).unwrap();
    let once = next.fit(&rows, &mut []).unwrap();
    let layers = next.layers();
    // The loss is half the sum of squares; before its next update, the first model has the same loss.
    assert!(once.epochs[0].train_loss < 0.5 * 64.0 * first.mse(&rows).unwrap() * 1.05);
    assert!(next.mse(&rows).unwrap() < first.mse(&rows).unwrap());
    next.fit(&rows, &mut []).unwrap();
    assert_eq!(next.layers(), layers);
}

#[test]
fn one_sample_first_and_many_later() {
    let rows = digits().unwrap();
    let with = |samples: usize| {
        let latent = Latent::Gaussian(Gaussian { samples, ..Gaussian::default() });
        base().latent(latent).loss(Loss::Bce).scaler(ScalerKind::MinMax)
    };
    let first = fitted(with(1), &rows);
    let mut next = Autoencoder::warm_start(with(5).epochs(3).build().unwrap(), &first).unwrap();
    let history = next.fit(&rows, &mut []).unwrap();
    // It starts where the other ended, not from new weights.
    let fresh = Autoencoder::new(with(5).epochs(3).build().unwrap()).unwrap().fit(&rows, &mut []).unwrap();
    let first_loss = |history: &ae_model::History| history.epochs[0].train_loss;
    assert!(
        first_loss(&history) < 0.9 * first_loss(&fresh),
        "{} and {}",
        first_loss(&history),
        first_loss(&fresh)
    );
    assert!(history.epochs[2].train_loss < first_loss(&history));
    assert_eq!(next.config().latent(), with(5).build().unwrap().latent());
}

#[test]
fn other_layers_are_refused() {
    let rows = digits().unwrap();
    let first = fitted(base(), &rows);
    for config in [base().encoding_dim(7), base().hidden_dims([]), base().latent(Latent::gaussian())] {
        let refused = Autoencoder::warm_start(config.build().unwrap(), &first).unwrap_err();
        assert!(matches!(refused, Error::OtherLayers { .. }), "{refused}");
        assert!(refused.to_string().contains("64-24-[6]-24-64"), "{refused}");
    }
}

/// A scale belongs to a column: in another order, columns would be scaled by each other's.
#[test]
fn columns_are_those_of_the_other_model() {
    let named = |names: [&str; 2]| {
        let values = (0..40).flat_map(|i| [i as f32, 1000.0 - i as f32]).collect();
        Dataset::new(values, 2).unwrap().with_names(names.map(str::to_owned).to_vec()).unwrap()
    };
    let config = || Config::builder(2).encoding_dim(1).epochs(2);
    let first = fitted(config(), &named(["up", "down"]));
    let mut next = Autoencoder::warm_start(config().build().unwrap(), &first).unwrap();
    assert!(matches!(next.fit(&named(["down", "up"]), &mut []), Err(Error::Names { .. })));
    assert!(matches!(next.range_test(&named(["down", "up"])), Err(Error::Names { .. })));
    next.fit(&named(["up", "down"]), &mut []).unwrap();
}

#[test]
fn a_range_test_is_of_the_weights_that_training_starts_from() {
    let rows = digits().unwrap();
    let warm = Autoencoder::warm_start(base().build().unwrap(), &fitted(base(), &rows)).unwrap();
    let fresh = Autoencoder::new(base().build().unwrap()).unwrap();
    let [warm, fresh] = [warm, fresh].map(|model| model.range_test(&rows).unwrap().losses[0]);
    assert!(warm < 0.7 * fresh, "{warm} {fresh}");
}
