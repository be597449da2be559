//! Model files: what is read is what was written, bit for bit, and damaged files are refused.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

use std::path::Path;

use ae_data::Dataset;
use ae_model::{
    Activation, Autoencoder, Config, ErrorNorm, Latent, Noise, Precision, Revival, ScalerKind, TopK,
};
use ae_testing::chain;
use ae_testing::random::SplitMix64;

fn data() -> Dataset {
    let names = (0..9).map(|i| format!("feature {i}, \"ä\"")).collect();
    Dataset::new(SplitMix64::new(1).uniform_f32s(40 * 9, -1.0, 2.0), 9).unwrap().with_names(names).unwrap()
}

fn trained(precision: Precision) -> Autoencoder {
    let config = Config::builder(9)
        .hidden_dims([7])
        .encoding_dim(3)
        .activation(Activation::Tanh)
        .scaler(ScalerKind::Standard)
        .precision(precision)
        .validation(0.2)
        .epochs(2)
        .build()
        .unwrap();
    let mut model = Autoencoder::new(config).unwrap();
    model.fit(&data(), &mut []).unwrap();
    model
}

#[test]
fn a_loaded_model_gives_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    for precision in [Precision::F32, Precision::F64] {
        let model = trained(precision);
        let path = folder.path().join("model.safetensors");
        model.save(&path).unwrap();
        let loaded = Autoencoder::load(&path).unwrap();
        assert_eq!(loaded.config(), model.config());
        assert_eq!(loaded.layers(), model.layers());
        assert_eq!(loaded.scaler(), model.scaler());
        assert_eq!(loaded.feature_names(), model.feature_names());
        assert!(loaded.is_fitted());
        assert_eq!(loaded.history().unwrap(), &model.history().unwrap().clone().without_times());
        let codes = model.encode(&data()).unwrap();
        assert_eq!(loaded.encode(&data()).unwrap(), codes);
        assert_eq!(loaded.decode(&codes).unwrap(), model.decode(&codes).unwrap());
        assert_eq!(loaded.reconstruct(&data()).unwrap(), model.reconstruct(&data()).unwrap());
        assert_eq!(
            loaded.reconstruction_error(&data(), ErrorNorm::Sum).unwrap(),
            model.reconstruction_error(&data(), ErrorNorm::Sum).unwrap()
        );
        // Writing it again gives the same file.
        let again = folder.path().join("again.safetensors");
        loaded.save(&again).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&again).unwrap());
    }
}

/// Settings whose names in files are not those of the fields.
#[test]
fn settings_keep_the_names_that_files_have() {
    let revival = Revival { k: 2, weight: 0.5, dead_after: 9, bias_lift: 0.125 };
    let latent = Latent::TopK(TopK { k: 2, revival: Some(revival), of_batch: false });
    let config = |noise| Config::builder(9).encoding_dim(16).noise(noise).latent(latent).build().unwrap();
    for (noise, name) in [
        (Noise::Masking { fraction: 0.25 }, "masking"),
        (Noise::SaltAndPepper { fraction: 0.25 }, "salt-and-pepper"),
        (Noise::Swap { fraction: 0.25 }, "swap"),
    ] {
        let json = serde_json::to_value(config(noise)).unwrap();
        assert_eq!(json["noise"], serde_json::json!({ name: { "share": 0.25 } }));
        assert_eq!(json["latent"]["top-k"]["revival"]["lift"], 0.125);
        assert_eq!(serde_json::from_value::<Config>(json).unwrap(), config(noise));
    }
}

/// The layout that other programs rely on.
#[test]
fn the_file_holds_the_documented_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let model = trained(Precision::F32);
    model.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut shapes: Vec<(String, Vec<usize>)> =
        file.tensors().into_iter().map(|(name, tensor)| (name, tensor.shape().to_vec())).collect();
    shapes.sort();
    let expected = [
        ("decoder.0.bias", vec![7]),
        ("decoder.0.weight", vec![3, 7]),
        ("decoder.1.bias", vec![9]),
        ("decoder.1.weight", vec![7, 9]),
        ("encoder.0.bias", vec![7]),
        ("encoder.0.weight", vec![9, 7]),
        ("encoder.1.bias", vec![3]),
        ("encoder.1.weight", vec![7, 3]),
        ("scaler.limits", vec![2, 9]),
        ("scaler.scale", vec![9]),
        ("scaler.shift", vec![9]),
    ];
    assert_eq!(shapes, expected.map(|(name, shape)| (name.to_owned(), shape)));
    let weight = file.tensor("encoder.0.weight").unwrap();
    let first = f32::from_le_bytes(weight.data()[4..8].try_into().unwrap());
    assert_eq!(f64::from(first), model.layers()[0].weights[1], "row-major");
}

fn load(bytes: &[u8]) -> Result<Autoencoder, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    std::fs::write(&path, bytes).unwrap();
    let prefix = format!("{}: ", path.display());
    Autoencoder::load(&path).map_err(|error| {
        let text = chain(&error);
        assert!(text.starts_with(&prefix) && !text.contains('\n'), "{text}");
        text[prefix.len()..].to_owned()
    })
}

/// A safetensors file with this header and data.
fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn good() -> (String, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("good.safetensors");
    trained(Precision::F32).save(&path).unwrap();
    let bytes = std::fs::read(path).unwrap();
    let len = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    (String::from_utf8(bytes[8..8 + len].to_vec()).unwrap(), bytes[8 + len..].to_vec())
}

#[test]
fn altered_files_are_refused_with_a_reason() {
    let (header, data) = good();
    assert!(load(&with_header(&header, &data)).is_ok());
    let swapped = |from: &str, to: &str| {
        assert!(header.contains(from), "{from} is not in {header}");
        with_header(&header.replace(from, to), &data)
    };
    let mut not_finite = data.clone();
    let start_of = |name: &str| -> usize {
        let offsets = header.split(name).nth(1).unwrap().split("\"data_offsets\":[").nth(1).unwrap();
        offsets.split(',').next().unwrap().parse().unwrap()
    };
    let place = start_of("decoder.0.bias");
    not_finite[place..place + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut no_scale = data.clone();
    let start = start_of("scaler.scale");
    no_scale[start..start + 8].copy_from_slice(&(-1.0f64).to_le_bytes());
    let mut tiny_scale = data.clone();
    tiny_scale[start..start + 8].copy_from_slice(&1e-320f64.to_le_bytes());
    let start = start_of("scaler.limits");
    let mut reversed_limits = data.clone();
    reversed_limits[start..start + 4].copy_from_slice(&f32::MAX.to_le_bytes());
    let start = start_of("scaler.shift");
    let mut far_shift = data.clone();
    far_shift[start..start + 8].copy_from_slice(&(-1e300f64).to_le_bytes());
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", vec![], "not a readable model"),
        ("seven bytes", vec![0; 7], "not a readable model"),
        ("zeros", vec![0; 5000], "not a readable model"),
        (
            "a header longer than the file",
            [&u64::MAX.to_le_bytes(), &[b'{'; 100][..]].concat(),
            "not a readable model",
        ),
        ("a header that is no JSON", with_header("{{{", &[]), "not a readable model"),
        ("no tensors, no metadata", with_header("{}", &[]), "lacks 'ae.config'"),
        (
            "another program's model",
            with_header("{\"__metadata__\":{\"a\":\"b\"}}", &[]),
            "lacks 'ae.config'",
        ),
        ("cut in the data", with_header(&header, &data[..data.len() - 1]), "not a readable model"),
        ("data beyond the end", with_header(&header, &[&data[..], &[0]].concat()), "not a readable model"),
        (
            "a later format",
            swapped("\\\"format\\\":1", "\\\"format\\\":2"),
            "format version 2, but this program reads versions 1 to 1",
        ),
        (
            "no format",
            swapped("\\\"format\\\":1,", ""),
            "invalid settings in the header: missing field `format`",
        ),
        ("an unknown setting", swapped("\\\"fitted\\\"", "\\\"fittted\\\""), "unknown field `fittted`"),
        ("an impossible setting", swapped("\\\"epochs\\\":2", "\\\"epochs\\\":0"), "epochs is 0"),
        (
            "a hostile size",
            swapped("\\\"input_dim\\\":9", "\\\"input_dim\\\":16777216"),
            "feature names for 16777216",
        ),
        ("a negative size", swapped("\\\"input_dim\\\":9", "\\\"input_dim\\\":-9"), "invalid settings"),
        (
            "another hidden width",
            swapped("\\\"hidden_dims\\\":[7]", "\\\"hidden_dims\\\":[8]"),
            "the settings imply F32 [9, 8]",
        ),
        (
            "another encoding",
            swapped("\\\"encoding_dim\\\":3", "\\\"encoding_dim\\\":4"),
            "the settings imply F32 [7, 4]",
        ),
        (
            "another precision",
            swapped("\\\"precision\\\":\\\"f32\\\"", "\\\"precision\\\":\\\"f64\\\""),
            "imply F64",
        ),
        (
            "a tensor renamed",
            swapped("decoder.1.bias", "decoder.9.bias"),
            "tensor 'decoder.1.bias' is missing",
        ),
        ("integers for floats", swapped("\"dtype\":\"F32\"", "\"dtype\":\"I32\""), "is I32"),
        ("not a number", with_header(&header, &not_finite), "holds NaN at position 0"),
        (
            "a scale below zero",
            with_header(&header, &no_scale),
            "tensor 'scaler.scale' holds -1.0 at position 0",
        ),
        (
            "a scale that single precision cannot divide by",
            with_header(&header, &tiny_scale),
            "tensor 'scaler.scale' holds 1e-320 at",
        ),
        (
            "a shift beyond single precision",
            with_header(&header, &far_shift),
            "tensor 'scaler.shift' holds -1e300 at",
        ),
        (
            "a lower limit above the upper one",
            with_header(&header, &reversed_limits),
            "tensor 'scaler.limits' holds 3.4028234663852886e38 at position 0",
        ),
        ("a name twice", swapped("feature 2,", "feature 1,"), "two features named 'feature 1,"),
        (
            "a name missing",
            swapped("\\\"feature 0, \\\\\\\"ä\\\\\\\"\\\",", ""),
            "8 feature names for 9 features",
        ),
        (
            "an epoch that was not",
            swapped("\\\"kept_epoch\\\":2", "\\\"kept_epoch\\\":3"),
            "2 epochs and keeps epoch 3",
        ),
        (
            "a column too long",
            swapped("\\\"learning_rate\\\":[", "\\\"learning_rate\\\":[1,"),
            "2 epochs and 3 of learning_rate",
        ),
        (
            "a training without a number",
            swapped("\\\"train_mse\\\":[", "\\\"train_mse\\\":[null,"),
            "invalid type: null",
        ),
    ];
    for (name, bytes, expected) in cases {
        match load(&bytes) {
            Ok(_) => panic!("{name}: accepted"),
            Err(message) => {
                assert!(message.contains(expected), "{name}: '{message}' instead of '{expected}'");
            }
        }
    }
}

/// No damage to the bytes may cause a panic.
#[test]
fn damaged_files_never_panic() {
    let (header, data) = good();
    let bytes = with_header(&header, &data);
    for len in (0..bytes.len()).step_by(13) {
        assert!(load(&bytes[..len]).is_err(), "{len} of {} bytes", bytes.len());
    }
    let mut random = SplitMix64::new(3);
    for _ in 0..800 {
        let mut damaged = bytes.clone();
        for _ in 0..1 + random.below(3) {
            // Damage in the header can do the most harm.
            let end = if random.below(4) > 0 { 8 + header.len() } else { bytes.len() };
            let place = random.below(end);
            damaged[place] = random.next_u64() as u8;
        }
        let _ = load(&damaged);
    }
}

/// Once a model has learnt more, its history no longer describes its weights.
#[test]
fn a_history_belongs_to_its_weights() {
    let mut model = trained(Precision::F32);
    assert_eq!(model.history().map(|history| history.epochs.len()), Some(2));
    model.partial_fit(&data()).unwrap();
    assert!(model.history().is_none());
    let history = model.fit(&data(), &mut []).unwrap();
    assert_eq!(model.history(), Some(&history));
}

#[test]
fn a_failed_save_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let model = trained(Precision::F32);
    let nowhere = folder.path().join("no/such/folder/model.safetensors");
    let error = chain(&model.save(&nowhere).unwrap_err());
    assert!(error.starts_with(&nowhere.display().to_string()), "{error}");
    let path = folder.path().join("model.safetensors");
    model.save(&path).unwrap();
    // A folder cannot be replaced by a file.
    let occupied = folder.path().join("occupied");
    std::fs::create_dir_all(occupied.join("inner")).unwrap();
    assert!(model.save(&occupied).is_err());
    let left: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing temporary is left: {left:?}");
    assert!(Autoencoder::load(Path::new("/")).is_err());
}
