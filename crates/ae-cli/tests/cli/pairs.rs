//! `--target`: learning to output other rows than the inputs.

use super::*;

/// A folder with `clean.csv` and a noisy version of it, `noisy.csv`.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let curve = |i: usize, j: usize| 2.0 * (i as f64 * 0.11 + j as f64).sin();
    let file = |noise: f64| -> String {
        let row = |i: usize| {
            let cells =
                (0..6).map(|j| (curve(i, j) + noise * ((i * 7 + j * 13) % 11) as f64 / 11.0).to_string());
            cells.collect::<Vec<_>>().join(",") + "\n"
        };
        "a,b,c,d,e,f\n".to_owned() + &(0..200).map(row).collect::<String>()
    };
    write(folder.path(), "clean.csv", file(0.0));
    write(folder.path(), "noisy.csv", file(1.5));
    folder
}

const TRAIN: [&str; 11] = [
    "train",
    "noisy.csv",
    "--hidden",
    "16",
    "--encoding-dim",
    "2",
    "--optimizer",
    "adam",
    "--learning-rate",
    "0.01",
    "--json",
];

fn number(object: &Value, key: &str) -> f64 {
    object[key].as_f64().unwrap_or_else(|| panic!("{key}: {}", object[key]))
}

#[test]
fn noise_is_taken_away_and_measured() {
    let dir = folder();
    let folder = dir.path();
    let trained =
        ae(folder, &[&TRAIN[..], &["--target", "clean.csv", "-o", "pairs.safetensors"]].concat()).summary();
    assert_eq!(trained["target"], "clean.csv");
    let (mse, given) = (number(&trained, "validation_mse"), number(&trained, "validation_given_mse"));
    assert!(mse < 0.5 * given, "{mse} {given}");

    let evaluate = ["evaluate", "pairs.safetensors", "noisy.csv"];
    let against = ae(folder, &[&evaluate[..], &["--target", "clean.csv", "--json"]].concat()).summary();
    let plain = ae(folder, &[&evaluate[..], &["--json"]].concat()).summary();
    // Compute the errors by hand, in the units of the data.
    ae(folder, &["reconstruct", "pairs.safetensors", "noisy.csv", "-o", "rebuilt.csv"]);
    let values = |name: &str| -> Vec<f64> {
        let text = std::fs::read_to_string(folder.join(name)).unwrap();
        cells(&text)[1..].iter().flatten().map(|cell| cell.parse().unwrap()).collect()
    };
    let mse =
        |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>() / a.len() as f64;
    let (reconstructed, clean, noisy) = (values("rebuilt.csv"), values("clean.csv"), values("noisy.csv"));
    for (found, targets) in [(&against, &clean), (&plain, &noisy)] {
        let (found, expected) = (number(&found["original"], "mse"), mse(&reconstructed, targets));
        assert!((found - expected).abs() < 1e-4 * expected, "{found} {expected}");
    }
    // All features range over about 4 units. The inputs are further from the targets than the outputs.
    let given = number(&against, "given_mse");
    assert!((given - mse(&noisy, &clean) / 16.0).abs() < 0.01 * given, "{given}");
    assert!(number(&against["scaled"], "mse") < 0.5 * given);
    assert!(number(&against, "pca_mse") > 0.0 && plain["given_mse"].is_null());

    let lines = ae(folder, &[&evaluate[..], &["--target", "clean.csv"]].concat()).out;
    assert!(lines.contains("targets       clean.csv: errors are measured against these"), "{lines}");
    assert!(lines.contains("the inputs"), "{lines}");
    assert!(lines.contains("of variance   units of the data\nthis model  "), "{lines}");

    // A ridge regression, both in training and here, takes away much of the noise too. The units of the
    // data are those of the files.
    let (ridge, pca) = (number(&against, "ridge_mse"), number(&against, "pca_mse"));
    assert!(ridge < 0.5 * given && number(&trained, "validation_ridge_mse") < 0.5 * given, "{ridge} {given}");
    let in_units = &against["original_baselines"];
    assert!((number(in_units, "given_mse") - mse(&noisy, &clean)).abs() < 1e-4 * mse(&noisy, &clean));
    for (name, scaled) in [("ridge_mse", ridge), ("pca_mse", pca), ("mean_mse", number(&against, "mean_mse"))]
    {
        let ratio = number(in_units, name) / scaled;
        assert!((ratio / 16.0 - 1.0).abs() < 0.1, "{name}: {ratio}");
    }
    assert!(plain["original_baselines"].is_null() && plain["ridge_mse"].is_null());
}

/// Columns of targets are matched by name. Targets equal to the inputs change nothing.
#[test]
fn columns_are_matched_and_equal_rows_change_nothing() {
    let dir = folder();
    let folder = dir.path();
    let turned: String = std::fs::read_to_string(folder.join("clean.csv"))
        .unwrap()
        .lines()
        .map(|line| line.split(',').rev().collect::<Vec<_>>().join(",") + "\n")
        .collect();
    write(folder, "turned.csv", turned);
    let train = |rest: &[&str]| {
        let short = [&TRAIN[..], &["--epochs", "3", "-o", "model.safetensors"], rest].concat();
        ae(folder, &short);
        std::fs::read(folder.join("model.safetensors")).unwrap()
    };
    assert!(train(&["--target", "clean.csv"]) == train(&["--target", "turned.csv"]));
    assert!(train(&["--target", "noisy.csv"]) == train(&[]));
    assert!(
        train(&["--target", "clean.csv", "--threads", "1"])
            == train(&["--target", "clean.csv", "--threads", "2"])
    );
}

/// Target columns with other names are matched by position.
#[test]
fn targets_may_have_other_names() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "noisy.csv", table());
    write(folder.path(), "clean.csv", table().replacen("height,width", "tall,wide", 1));
    let at = folder.path();
    let train = [
        "train",
        "noisy.csv",
        "--target",
        "clean.csv",
        "--encoding-dim",
        "2",
        "--epochs",
        "2",
        "-o",
        "m.safetensors",
    ];
    ae(at, &train);
    ae(at, &["evaluate", "m.safetensors", "noisy.csv", "--target", "clean.csv"]);
}
