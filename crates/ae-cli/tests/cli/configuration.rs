//! The flags of `ae train` end up in the model's configuration, with their exact values.

use serde_json::json;

use super::*;

const MODEL: &str = "m.safetensors";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "rows.csv", table());
    folder
}

fn trained_with(folder: &Path, flags: &[&str]) -> Value {
    let train = ["train", "rows.csv", "--epochs", "1", "-q", "-o", MODEL];
    ae(folder, &[&train[..], flags].concat());
    ae(folder, &["info", MODEL, "--json"]).summary()["config"].clone()
}

/// The configuration of a model trained for one epoch with these flags, separated by spaces.
fn config(folder: &Path, flags: &str) -> Value {
    trained_with(folder, &flags.split_whitespace().collect::<Vec<_>>())
}

/// Compares the settings at the JSON pointers of `expected`.
fn expect(found: &Value, expected: &Value, flags: &str) {
    for (pointer, value) in expected.as_object().unwrap() {
        assert_eq!(found.pointer(pointer).unwrap_or(&Value::Null), value, "{flags}: {pointer} of {found}");
    }
}

/// Compares the whole configuration, so that a flag that changes another setting is noticed too.
#[test]
fn every_setting_has_the_value_that_its_flag_says() {
    let folder = folder();
    let flags = "--hidden 6,5 --encoding-dim 3 --activation elu --encoding-activation softplus --init he-uniform \
        --epochs 2 --batch-size 7 --learning-rate 0.02 --optimizer adamw --betas 0.8,0.95 --weight-decay 0.03 --seed 11 \
        --precision f64 --scale robust --validation 0.2 --early-stopping 4 --loss huber:0.5 --noise gaussian:0.15 \
        --sparsity l1:0.02 --dropout 0.1 --input-dropout 0.2 --l1 0.003 --l2 0.004 --schedule cosine:0.25 \
        --clip-norm 2.5 --ema 0.75 --layer-norm";
    let expected = json!({
        "input_dim": 4,
        "hidden_dims": [6, 5],
        "encoding_dim": 3,
        "activation": "elu",
        "encoding_activation": "softplus",
        "init": "he-uniform",
        "epochs": 2,
        "batch_size": 7,
        "learning_rate": 0.02,
        "optimizer": { "adamw": { "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-8, "weight_decay": 0.03 } },
        "seed": 11,
        "precision": "f64",
        "scaler": "robust",
        "validation": 0.2,
        "early_stopping": { "patience": 4, "min_improvement": 0.0 },
        "loss": { "huber": { "delta": 0.5 } },
        "noise": { "gaussian": { "sigma": 0.15 } },
        "code_penalty": { "l1": { "weight": 0.02 } },
        "dropout": { "input": 0.2, "hidden": 0.1 },
        "weight_penalty": { "l1": 0.003, "l2": 0.004 },
        "schedule": { "cosine": { "end": 0.25 } },
        "clip_norm": 2.5,
        "ema": 0.75,
        "layer_norm": true,
    });
    assert_eq!(config(folder.path(), flags), expected);
}

/// Settings that do not combine with those above.
#[test]
fn settings_of_kinds_have_the_values_that_their_flags_say() {
    let folder = folder();
    for (flags, expected) in [
        (
            "--optimizer nesterov --momentum 0.7 --tied-weights --sparsity kl:0.2:0.1 --schedule one-cycle:0.4",
            json!({
                "/optimizer": { "nesterov": { "momentum": 0.7 } },
                "/tied_weights": true,
                "/code_penalty": { "kl": { "weight": 0.2, "target": 0.1 } },
                "/encoding_activation": "sigmoid",
                "/activation": "tanh",
                "/schedule": { "one-cycle": { "warm_up": 0.4 } },
                "/learning_rate": 0.003,
            }),
        ),
        (
            "--optimizer momentum --momentum 0.6 --contractive 0.3 --schedule plateau:0.4:3 --noise swap:0.35",
            json!({
                "/optimizer": { "momentum": { "momentum": 0.6 } },
                "/contractive": 0.3,
                "/hidden_dims": [],
                "/schedule": { "plateau": { "factor": 0.4, "patience": 3 } },
                "/noise": { "swap": { "share": 0.35 } },
                "/tied_weights": null,
            }),
        ),
        (
            "--kind vae --beta 0.5 --kl-warm-up 3 --free-bits 0.125 --optimizer adam --betas 0.85,0.99",
            json!({
                "/latent/gaussian": { "beta": 0.5, "warm_up": 3, "free_bits": 0.125, "samples": 1 },
                "/optimizer/adam": { "beta1": 0.85, "beta2": 0.99, "epsilon": 1e-8 },
                "/loss": null,
                "/scaler": "standard",
            }),
        ),
        (
            "--kind vae --samples 4 --scale standard",
            json!({
                "/latent/gaussian": { "beta": 1.0, "warm_up": 0, "free_bits": 0.0, "samples": 4 },
                "/loss": null,
            }),
        ),
        (
            "--top-k 1 --revive 77 --encoding-dim 4 --encoding-activation linear",
            // Half the width of the rows, as in the paper.
            json!({
                "/latent/top-k": { "k": 1, "revival": { "k": 2, "weight": 0.03125, "dead_after": 77, "lift": 0.02 } },
                "/encoding_activation": "linear",
            }),
        ),
        (
            "--top-k 2 --batch-top-k --encoding-dim 3 --unit-norm",
            json!({ "/latent/top-k": { "k": 2, "of_batch": true }, "/unit_norm": true, "/code_penalty": null }),
        ),
        ("--missing mask", json!({ "/mask_missing": true, "/scaler": "standard" })),
        ("--missing reject --early-stopping 0", json!({ "/mask_missing": null, "/early_stopping": null })),
        (
            "--optimizer adamw",
            json!({ "/optimizer/adamw/weight_decay": 0.01, "/optimizer/adamw/beta2": 0.999 }),
        ),
        ("--optimizer nesterov", json!({ "/optimizer/nesterov/momentum": 0.9 })),
    ] {
        expect(&config(folder.path(), flags), &expected, flags);
    }
}

#[test]
fn layers_of_images_are_those_that_are_said() {
    let folder = folder();
    let flags = ["--image", "2x2", "--conv", "3 1 s1 p0, 6 2 s1 p1 g3, avgpool 2", "--encoding-dim", "2"];
    let expected = json!({
        "/image": { "height": 2, "width": 2, "channels": 1 },
        "/conv_layers": [
            { "channels": 3, "kernel": 1, "stride": 1, "padding": 0 },
            { "channels": 6, "kernel": 2, "stride": 1, "padding": 1, "groups": 3 },
            { "pool": "mean", "size": 2 },
        ],
    });
    expect(&trained_with(folder.path(), &flags), &expected, "--conv");
    let expected = json!({ "/image": { "height": 1, "width": 2, "channels": 2 }, "/conv_layers": null });
    expect(&config(folder.path(), "--image 1x2x2"), &expected, "--image");
}

/// Every possible value of the flags with a fixed list of values.
#[test]
fn names_stand_for_what_they_name() {
    let folder = folder();
    let lists: [(&str, &str, &[&str]); 5] = [
        (
            "--activation",
            "activation",
            &["relu", "sigmoid", "tanh", "linear", "leaky-relu", "elu", "softplus", "gelu", "silu"],
        ),
        ("--init", "init", &["glorot-uniform", "glorot-normal", "he-uniform", "he-normal"]),
        ("--scale", "scaler", &["minmax", "common", "standard", "robust", "centre", "none"]),
        ("--precision", "precision", &["f32", "f64", "bf16"]),
        ("--loss", "loss", &["mae", "bce", "sigmoid-mse", "gaussian-nll"]),
    ];
    for (flag, key, values) in lists {
        for value in values {
            assert_eq!(config(folder.path(), &format!("{flag} {value}"))[key], *value, "{flag}");
        }
    }
    assert_eq!(config(folder.path(), "--optimizer sgd")["optimizer"], "sgd");
    for (alias, meant) in [("global", "common"), ("center", "centre")] {
        assert_eq!(config(folder.path(), &format!("--scale {alias}"))["scaler"], meant);
    }
}

/// The defaults of each kind, which other flags override.
#[test]
fn kinds_are_starting_points() {
    let folder = folder();
    for (flags, noise, penalty) in [
        ("--kind plain", Value::Null, Value::Null),
        ("--kind denoising", json!({ "masking": { "share": 0.25 } }), Value::Null),
        ("--kind denoising --noise masking:0.5", json!({ "masking": { "share": 0.5 } }), Value::Null),
        ("--kind sparse", Value::Null, json!({ "l1": { "weight": 0.01 } })),
        ("--kind sparse --sparsity l1:0.5", Value::Null, json!({ "l1": { "weight": 0.5 } })),
        ("--kind sparse --top-k 1", Value::Null, Value::Null),
    ] {
        let found = config(folder.path(), flags);
        assert_eq!((&found["noise"], &found["code_penalty"]), (&noise, &penalty), "{flags}");
    }
}

/// `auto` uses the rate that the range test suggests, not the default.
#[test]
fn a_rate_that_is_found_is_the_one_that_is_kept() {
    let folder = folder();
    let train = ["train", "rows.csv", "--learning-rate", "auto", "--epochs", "1", "--json", "-o", MODEL];
    let ended = ae(folder.path(), &train);
    let test = &ended.objects()[0];
    assert_eq!(test["event"], "range_test");
    let (rates, losses) = (test["rates"].as_array().unwrap(), test["losses"].as_array().unwrap());
    let least =
        losses.iter().map(|loss| loss.as_f64().unwrap()).enumerate().min_by(|a, b| a.1.total_cmp(&b.1));
    let expected = 0.1 * rates[least.unwrap().0].as_f64().unwrap();
    let kept = ae(folder.path(), &["info", MODEL, "--json"]).summary()["config"]["learning_rate"].clone();
    assert_eq!((&test["suggestion"], &ended.summary()["learning_rate"]), (&kept, &kept));
    assert!((kept.as_f64().unwrap() / expected - 1.0).abs() < 1e-9, "{kept} {expected}");
}

/// Tables have another scale, and another weight of the divergence, than images, unless flags say so.
#[test]
fn variational_defaults_depend_on_what_rows_are() {
    let folder = folder();
    for (data, flags, [scaler, loss], beta) in [
        ("rows.csv", "", ["standard", "mse"], 0.1),
        ("rows.csv", "--beta 2", ["standard", "mse"], 2.0),
        ("rows.csv", "--scale minmax", ["minmax", "bce"], 1.0),
        ("rows.csv", "--loss gaussian-nll", ["standard", "gaussian-nll"], 1.0),
        ("digits", "", ["common", "bce"], 1.0),
        ("digits", "--loss mse", ["common", "mse"], 1.0),
    ] {
        let train = ["train", data, "--kind", "vae", "--epochs", "1", "-q", "-o", MODEL];
        ae(folder.path(), &train.into_iter().chain(flags.split_whitespace()).collect::<Vec<_>>());
        let config = &ae(folder.path(), &["info", MODEL, "--json"]).summary()["config"];
        // The default of the library is left out.
        let found = [&config["scaler"], &config["loss"]].map(|text| text.as_str().unwrap_or("mse"));
        assert_eq!(found, [scaler, loss], "{data} {flags}");
        assert_eq!(config["latent"]["gaussian"]["beta"], beta, "{data} {flags}: {config}");
    }
}

/// Images have other activations than tables, unless a flag or a penalty asks for others.
#[test]
fn activations_depend_on_what_rows_are() {
    let folder = folder();
    for (data, flags, [hidden, code]) in [
        ("rows.csv", "", ["tanh", "-"]),
        ("digits", "", ["silu", "linear"]),
        ("digits", "--activation relu", ["relu", "-"]),
        ("digits", "--encoding-activation elu", ["silu", "elu"]),
        ("digits", "--kind sparse", ["silu", "tanh"]),
        ("digits", "--sparsity kl", ["silu", "sigmoid"]),
        ("digits", "--contractive 0.1", ["silu", "tanh"]),
        ("digits", "--kind vae", ["silu", "-"]),
        ("digits", "--top-k 2 --encoding-dim 8", ["silu", "-"]),
    ] {
        let train = ["train", data, "--epochs", "1", "-q", "-o", MODEL];
        ae(folder.path(), &train.into_iter().chain(flags.split_whitespace()).collect::<Vec<_>>());
        let config = &ae(folder.path(), &["info", MODEL, "--json"]).summary()["config"];
        let name = |setting: &str| config[setting].as_str().unwrap_or("-").to_owned();
        let found = [name("activation"), name("encoding_activation")];
        assert_eq!(found, [hidden, code].map(str::to_owned), "{data} {flags}");
    }
}
