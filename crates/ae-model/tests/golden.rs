//! Files of every release stay readable: models written by earlier releases, and what they compute.
//!
//! `golden/v1/` was written by version 0.1.0, together with `expected.json`. Such a folder never
//! changes; a release that changes the format gets a folder of its own, written by
//! `cargo test -p ae-model --test golden -- --ignored`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, helpers included")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use ae_data::{ColumnRoles, Dataset, Schema, Table};
use ae_model::{
    Activation, Autoencoder, BatchEnd, Callback, Checkpoints, Config, ConfigBuilder, ErrorNorm, Gaussian,
    ImageLayers, Isa, Latent, Loss, Optimizer, Precision, ScalerKind, TopK,
};

/// Encodings and reconstructions of [`rows`] by each model.
type Expected = BTreeMap<String, [Vec<f32>; 2]>;

fn folder(version: u64) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{version}"))
}

/// Five rows of numbers in [0, 1] that must never change.
fn rows(features: usize) -> Dataset {
    let values = (0..5 * features).map(|i| (i * 37 % 101) as f32 / 101.0).collect();
    Dataset::new(values, features).unwrap()
}

/// Twelve rows with a column of each kind.
fn people() -> Table {
    let towns = ["Bonn", "Köln", "Bonn", "", "Ulm", "Köln"].repeat(2);
    let numbers = |by: usize| (0..12).map(|i| (i * by % 13).to_string()).collect::<Vec<_>>();
    let yes = (0..12).map(|i| if i % 3 == 0 { "yes" } else { "no" }.to_owned()).collect();
    let days = (0..12).map(|i| format!("2024-05-{:02}", 3 * i % 28 + 1)).collect();
    let towns = towns.into_iter().map(str::to_owned).collect();
    let names = ["age", "town", "member", "since", "height"].map(str::to_owned).to_vec();
    Table::new(names, &[numbers(5), towns, yes, days, numbers(7)]).unwrap()
}

fn base(features: usize) -> ConfigBuilder {
    Config::builder(features)
        .encoding_dim(2)
        .hidden_dims([4])
        .optimizer(Optimizer::ADAM)
        .epochs(3)
        .batch_size(4)
        .seed(3)
}

/// A configuration for each kind of file.
fn kinds() -> Vec<(&'static str, Config)> {
    let ImageLayers(conv) = "2 3 s2, pool 2".parse().unwrap();
    let batch_top_k = Latent::TopK(TopK { k: 2, revival: None, of_batch: true });
    let kinds = [
        ("dense", base(5).scaler(ScalerKind::Standard).activation(Activation::Silu).validation(0.2)),
        ("double", base(5).precision(Precision::F64).tied_weights(true)),
        ("images", base(36).image(6, 6, 1).conv_layers(conv).hidden_dims([])),
        ("batch-top-k", base(6).hidden_dims([]).encoding_dim(12).latent(batch_top_k).unit_norm(true)),
        (
            "variational",
            base(5).latent(Latent::Gaussian(Gaussian::default())).loss(Loss::Bce).layer_norm(true),
        ),
    ];
    kinds.into_iter().map(|(name, builder)| (name, builder.build().unwrap())).collect()
}

/// A model of a table, with its schema.
fn of_a_table() -> (Autoencoder, Dataset) {
    let table = people();
    let schema = Schema::infer(&table, &ColumnRoles::default()).unwrap().with_quantiles(&table).unwrap();
    let rows = schema.encode(&table, None).unwrap().rows;
    let config = base(rows.features()).scaler(ScalerKind::Standard).mask_missing(true).build().unwrap();
    let mut model = Autoencoder::new(config).unwrap();
    model.set_schema(schema).unwrap();
    (model, rows)
}

/// The model and rows of the checkpointed training; portable, so that every machine can resume it.
fn interrupted() -> (Autoencoder, Dataset) {
    let config = base(5).epochs(4).ema(0.9).build().unwrap();
    (Autoencoder::on(config, Isa::named("portable").unwrap()).unwrap(), rows(5))
}

struct StopAfter(usize);

impl Callback for StopAfter {
    fn on_batch_end(&mut self, _: &BatchEnd) -> ControlFlow<String> {
        self.0 -= 1;
        if self.0 == 0 { ControlFlow::Break("enough".to_owned()) } else { ControlFlow::Continue(()) }
    }
}

fn answers(model: &Autoencoder, rows: &Dataset) -> [Vec<f32>; 2] {
    [model.encode(rows).unwrap(), model.reconstruct(rows).unwrap()].map(|table| table.values().to_vec())
}

fn expect(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (x, y) in found.iter().zip(expected) {
        assert!((x - y).abs() <= 1e-5 * y.abs().max(1.0), "{what}: {x} for {y}");
    }
}

/// The rows that a model of the folder was run on.
fn rows_of(model: &Autoencoder) -> Dataset {
    match model.schema() {
        Some(schema) => schema.encode(&people(), None).unwrap().rows,
        None => rows(model.config().input_dim()),
    }
}

#[test]
fn models_of_every_release_are_read() {
    let text = std::fs::read_to_string(folder(1).join("expected.json")).unwrap();
    let expected: Expected = serde_json::from_str(&text).unwrap();
    assert_eq!(expected.len(), kinds().len() + 2);
    for (name, [codes, rebuilt]) in &expected {
        let model = Autoencoder::load(folder(1).join(name).with_extension("safetensors")).unwrap();
        let [found_codes, found_rebuilt] = answers(&model, &rows_of(&model));
        expect(&found_codes, codes, name);
        expect(&found_rebuilt, rebuilt, name);
        assert!(model.is_fitted(), "{name}");
        if let Some((_, config)) = kinds().iter().find(|(kind, _)| kind == name) {
            assert_eq!(model.config(), config, "{name}");
        }
        // Written in today's format, it is the same model.
        let again = Autoencoder::from_bytes(&model.to_bytes().unwrap()).unwrap();
        assert_eq!(
            (again.config(), again.layers(), again.schema()),
            (model.config(), model.layers(), model.schema())
        );
    }
}

#[test]
fn trainings_of_every_release_go_on() {
    let folder_of_copy = tempfile::tempdir().unwrap();
    let copy = folder_of_copy.path().join("checkpoint.safetensors");
    std::fs::copy(folder(1).join("checkpoint.safetensors"), &copy).unwrap();
    let (mut resumed, rows) = interrupted();
    let history = resumed.fit_resumable(&rows, &Checkpoints::at(&copy), &mut []).unwrap();
    let (mut whole, _) = interrupted();
    whole.fit(&rows, &mut []).unwrap();
    assert_eq!(history.epochs.len(), 4);
    let [codes, rebuilt] = answers(&whole, &rows);
    let [found_codes, found_rebuilt] = answers(&resumed, &rows);
    expect(&found_codes, &codes, "codes");
    expect(&found_rebuilt, &rebuilt, "rows");
    let errors = resumed.reconstruction_error(&rows, ErrorNorm::Mean).unwrap();
    assert!(errors.iter().all(|error| error.is_finite()));
}

/// Writes the folder of the current version; refuses to touch an existing one.
#[test]
#[ignore = "writes files that are part of the sources"]
fn write_files_of_this_release() {
    let folder = folder(1);
    assert!(!folder.exists(), "{} is there already, and stays as it is", folder.display());
    std::fs::create_dir_all(&folder).unwrap();
    let mut expected = Expected::new();
    let mut keep = |name: &str, model: &Autoencoder| {
        model.save(folder.join(name).with_extension("safetensors")).unwrap();
        expected.insert(name.to_owned(), answers(model, &rows_of(model)));
    };
    for (name, config) in kinds() {
        let mut model = Autoencoder::new(config).unwrap();
        model.fit(&rows(model.config().input_dim()), &mut []).unwrap();
        keep(name, &model);
    }
    let (mut model, table) = of_a_table();
    model.fit(&table, &mut []).unwrap();
    keep("table", &model);
    let (mut model, table) = interrupted();
    let checkpoint = folder.join("checkpoint.safetensors");
    model.fit_resumable(&table, &Checkpoints::at(&checkpoint), &mut [&mut StopAfter(5)]).unwrap();
    let model = Autoencoder::load(&checkpoint).unwrap();
    expected.insert("checkpoint".to_owned(), answers(&model, &table));
    std::fs::write(folder.join("expected.json"), serde_json::to_string(&expected).unwrap() + "\n").unwrap();
}
