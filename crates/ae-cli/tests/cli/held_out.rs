//! `--validation FILE`: a separate file of validation rows.

use super::*;

/// Rows of three related numbers, from `first` on.
fn rows(first: u32, count: u32) -> Vec<[f64; 3]> {
    let row = |i: u32| {
        let t = f64::from(i) / 10.0;
        [t.sin(), t.cos(), t.sin() * t.cos()]
    };
    (first..first + count).map(row).collect()
}

/// The rows with their columns in this order, after a column of row ids.
fn table(order: [usize; 3], rows: &[[f64; 3]]) -> String {
    let names = order.map(|column| ["a", "b", "c"][column]).join(",");
    let line = |(i, row): (usize, &[f64; 3])| {
        format!("r{i},{}\n", order.map(|column| row[column].to_string()).join(","))
    };
    format!("day,{names}\n") + &rows.iter().enumerate().map(line).collect::<String>()
}

const TRAIN: [&str; 12] = [
    "train",
    "early.csv",
    "--id",
    "day",
    "--encoding-dim",
    "2",
    "--hidden",
    "none",
    "--epochs",
    "6",
    "--early-stopping",
    "0",
];

#[test]
fn rows_of_a_file_are_validated_on_and_not_learnt_from() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, "early.csv", table([0, 1, 2], &rows(0, 60)));
    write(at, "late.csv", table([2, 0, 1], &rows(60, 15)));
    let ended = ae(at, &[&TRAIN[..], &["--validation", "late.csv", "-o", "held.safetensors"]].concat());
    assert!(ended.out.contains("60 rows of 3, validated on 15 rows of late.csv"), "{}", ended.out);
    ae(at, &[&TRAIN[..], &["--validation", "0", "-o", "alone.safetensors"]].concat());
    let codes = |model: &str| ae(at, &["encode", model, "late.csv", "--id", "day"]).out;
    assert_eq!(codes("held.safetensors"), codes("alone.safetensors"));
    // The validation error is that of the file.
    let json = [&TRAIN[..], &["--validation", "late.csv", "-o", "held.safetensors", "--json"]].concat();
    let summary = ae(at, &json).summary();
    let score = ae(at, &["score", "held.safetensors", "late.csv", "--id", "day", "--json"]).summary();
    let (expected, found) = (score["mse"].as_f64().unwrap(), summary["validation_mse"].as_f64().unwrap());
    assert!((found - expected).abs() < 1e-5 * expected, "{summary} {score}");
    // It works from a settings file and for a sweep, too.
    write(
        at,
        "settings.toml",
        "validation = 'late.csv'\nid = 'day'\nepochs = 2\nthreads = 1\nsizes = [1, 2]\nquiet = true\n",
    );
    ae(at, &["sweep", "early.csv", "--config", "settings.toml", "-o", "sizes.csv"]);
    assert_eq!(std::fs::read_to_string(at.join("sizes.csv")).unwrap().lines().count(), 3);
}

#[test]
fn rows_of_tables_and_what_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let people = tables::people();
    write(at, "people.csv", &people);
    let head: Vec<&str> = people.lines().take(12).collect();
    write(at, "late.csv", head.join("\n") + "\n");
    let train = ["train", "people.csv", "--drop", "name", "--epochs", "2", "-o", "p.safetensors"];
    let ended = ae(at, &[&train[..], &["--validation", "late.csv"]].concat());
    assert!(ended.out.contains("validated on 11 rows of late.csv"), "{}", ended.out);
    for (arguments, says) in [
        (&["--validation", "nowhere.csv"][..], "nowhere.csv: No such file"),
        (&["--validation", "1.5"], "--validation: 1.5 is out of range"),
        (
            &["--validation", "late.csv", "--target", "late.csv"],
            "--validation: with --target, it must be a fraction",
        ),
    ] {
        let ended = ae_with(at, &[&train[..], arguments].concat(), b"", &[]);
        assert_ne!(ended.status, Some(0), "{arguments:?}");
        assert!(ended.err.contains(says), "{}", ended.err);
    }
    write(
        at,
        "numbers.csv",
        rows(0, 30).iter().map(|row| format!("{},{}\n", row[0], row[1])).collect::<String>(),
    );
    write(at, "wide.csv", rows(0, 30).iter().map(|[a, b, c]| format!("{a},{b},{c}\n")).collect::<String>());
    let ended =
        ae_with(at, &["train", "numbers.csv", "--validation", "wide.csv", "-o", "n.safetensors"], b"", &[]);
    assert_eq!(ended.status, Some(1));
    assert!(ended.err.contains("--validation wide.csv: "), "{}", ended.err);
}

/// Outliers are dropped from training and validation rows separately; the latter are not learnt from.
#[test]
fn a_robust_training_learns_from_no_held_out_row() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, "early.csv", table([0, 1, 2], &rows(0, 60)));
    write(at, "late.csv", table([2, 0, 1], &rows(60, 25)));
    let train = |validation: &str, model: &str| {
        let more = ["--validation", validation, "--robust", "0.1", "-o", model, "--json"];
        ae(at, &[&TRAIN[..], &more].concat()).summary()
    };
    let held = train("late.csv", "held.safetensors");
    // A tenth of 60 and of 25, rounded down.
    let counts = ["rows", "train_rows", "validation_rows"].map(|key| held[key].as_u64().unwrap());
    assert_eq!(counts, [85, 54, 23]);
    let aside: Vec<u64> =
        held["outliers"].as_array().unwrap().iter().map(|row| row.as_u64().unwrap()).collect();
    assert_eq!((aside.len(), aside.iter().filter(|row| **row > 60).count()), (8, 2), "{aside:?}");
    let alone = train("0", "alone.safetensors");
    assert_eq!(alone["outliers"].as_array().unwrap()[..], held["outliers"].as_array().unwrap()[..6]);
    let codes = |model: &str| ae(at, &["encode", model, "late.csv", "--id", "day"]).out;
    assert_eq!(codes("held.safetensors"), codes("alone.safetensors"));
}

/// A model that overfits its few rows gets a warning, but not one for which new rows are a little worse.
#[test]
fn rows_that_are_learnt_by_heart_are_called_so() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let mut random = ae_data::Rng::new(5);
    let mut noise = || {
        let row = |_| (0..6).map(|_| random.unit().to_string()).collect::<Vec<_>>().join(",") + "\n";
        (0..20).map(row).collect::<String>()
    };
    write(at, "early.csv", noise());
    write(at, "late.csv", noise());
    let says = "the validation error is over twice the training error";
    let train = |more: &[&str]| {
        let train = ["train", "early.csv", "--validation", "late.csv", "--encoding-dim", "2", "--json"];
        let ended = ae(at, &[&train[..], &["--early-stopping", "0", "-o", "m.safetensors"], more].concat());
        let summary = ended.summary();
        let [validation, learnt] = ["validation_mse", "train_mse"].map(|key| summary[key].as_f64().unwrap());
        (validation / learnt, ended.err)
    };
    let (ratio, said) =
        train(&["--hidden", "64", "--encoding-dim", "3", "--learning-rate", "0.01", "--epochs", "600"]);
    assert!(ratio > 2.0 && said.contains(says), "{ratio} {said}");
    let (ratio, said) = train(&["--hidden", "none", "--activation", "linear", "--epochs", "100"]);
    assert!((1.0..2.0).contains(&ratio) && !said.contains(says), "{ratio} {said}");
}
