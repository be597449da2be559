//! Defaults of `ae train`, and its warnings with what may help.

use super::*;

const MODEL: &str = "model.safetensors";

/// The single validation row of twelve rows says nothing about the model.
#[test]
fn a_few_validation_rows_warn_of_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = table().lines().take(13).map(|line| format!("{line}\n")).collect();
    let args = ["train", "-", "--encoding-dim", "1", "--epochs", "1", "-o", "m.safetensors"];
    let ended = ae_with(folder.path(), &args, rows.as_bytes(), &[]);
    let warnings: Vec<&str> = ended.err.lines().filter(|line| line.contains("warning: ")).collect();
    // The training rows do.
    let says = ["ae: warning: the model is no better than", "ae: warning: PCA of the same size is better"];
    assert!(warnings.len() == 1 && says.iter().any(|says| warnings[0].starts_with(says)), "{}", ended.err);
}

/// What may help depends on how training ended.
#[test]
fn advice_fits_how_training_ended() {
    let folder = tempfile::tempdir().unwrap();
    let said = |hidden: &str, more: &[&str]| {
        let args = ["train", "digits", "--encoding-dim", "10", "--learning-rate", "1e-5", "--hidden", hidden];
        ae(folder.path(), &[&args[..], &["--scale", "standard", "-q", "-o", "m.safetensors"], more].concat())
            .err
    };
    let short = said("64", &["--epochs", "40", "--early-stopping", "0"]);
    assert!(
        short.contains("PCA of the same size is better: after 40 epochs, the model may need more"),
        "{short}"
    );
    let early = ["--learning-rate", "0.03", "--early-stopping", "1"];
    let wide = said("3", &early);
    assert!(
        wide.contains("training stopped early, so more epochs would not help, but --hidden none or wider"),
        "{wide}"
    );
    let none = said("none", &early);
    assert!(none.contains("hidden layers (--hidden) or --encoding-activation linear may"), "{none}");
}

/// Until the warm-up is over, the loss that early stopping goes by is not what is minimised.
#[test]
fn a_warm_up_that_is_not_over_is_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let said = |epochs: &str| {
        let args = ["train", "digits", "--kind", "vae", "--kl-warm-up", "3", "--epochs", epochs, "-o", MODEL];
        ae(folder.path(), &args).err
    };
    let warning = "warning: training ended within the 3 epochs of --kl-warm-up: ";
    assert!(said("3").contains(warning));
    assert!(!said("4").contains(warning));
}

/// By default, encodings have at most half as many values as there are training rows.
#[test]
fn few_rows_have_small_encodings() {
    let folder = tempfile::tempdir().unwrap();
    let row = |i: usize| (0..60).map(|j| ((i * 7 + j * 5) % 13).to_string()).collect::<Vec<_>>().join(",");
    write(folder.path(), "wide.csv", (0..10).map(|i| row(i) + "\n").collect::<String>());
    let size = |more: &[&str]| {
        let args = ["train", "wide.csv", "--epochs", "1", "-o", "m.safetensors", "--json"];
        let dims = &ae(folder.path(), &[&args[..], more].concat()).summary()["layer_dims"];
        let dims = dims.as_array().unwrap();
        dims[dims.len() / 2].as_u64().unwrap()
    };
    // A fifth of the features is 12.
    assert_eq!(size(&[]), 4);
    assert_eq!(size(&["--validation", "0"]), 5);
    assert_eq!(size(&["--encoding-dim", "12"]), 12);
    assert_eq!(size(&["--top-k", "7"]), 7);
}

/// Names of choices are understood in any case.
#[test]
fn choices_are_read_in_any_case() {
    let folder = tempfile::tempdir().unwrap();
    let args = ["train", "digits", "--activation", "ReLU", "--optimizer", "AdamW", "--scale", "Standard"];
    ae(folder.path(), &[&args[..], &["--kind", "VAE", "--epochs", "1", "-o", MODEL]].concat());
    let info = ae(folder.path(), &["info", MODEL, "--json"]).summary();
    assert_eq!(
        (&info["config"]["activation"], &info["config"]["scaler"]),
        (&"relu".into(), &"standard".into())
    );
}
