//! How rows are read: flags override detection.

use super::*;

const MODEL: &str = "m.safetensors";

/// The output of `ae info` for a model trained on the file for one epoch, with these input flags.
fn info(folder: &Path, file: &str, flags: &[&str]) -> Value {
    let train = ["train", file, "--epochs", "1", "--encoding-dim", "1", "-q", "-o", MODEL];
    ae(folder, &[&train[..], flags].concat());
    ae(folder, &["info", MODEL, "--json"]).summary()
}

/// The names of the file's columns, as read.
fn columns(folder: &Path, file: &str, flags: &[&str]) -> Vec<String> {
    let info = info(folder, file, flags);
    let of_schema = || info["schema"]["columns"].as_array().unwrap().iter().map(|column| &column["name"]);
    let names: Vec<&Value> = match info["features"].as_array() {
        Some(names) if info["schema"].is_null() => names.iter().collect(),
        _ => of_schema().collect(),
    };
    names.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn cells_end_where_the_delimiter_is() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // A delimiter that is never detected.
    let rows: String = (0..20).map(|i| format!("{i}:{}:{}\n", i * i, 40 - i)).collect();
    write(at, "colons.csv", format!("a:b:c\n{rows}"));
    assert_eq!(columns(at, "colons.csv", &["--delimiter", ":"]), ["a", "b", "c"]);
    let score = ["score", MODEL, "colons.csv", "--delimiter", ":"];
    assert_eq!(ae(at, &score).cells().len(), 21);
    // A delimiter that would not be chosen, as another one splits the lines too.
    let rows: String = (0..20).map(|i| format!("{i};{}\t{};{}\n", i % 3, i % 2, 40 - i)).collect();
    write(at, "both.csv", format!("a;b\tc;d\n{rows}"));
    assert_eq!(columns(at, "both.csv", &["--categorical", "1,2"]).len(), 3);
    for tab in ["tab", "\\t", "\t"] {
        assert_eq!(columns(at, "both.csv", &["--delimiter", tab, "--categorical", "1,2"]), ["a;b", "c;d"]);
    }
}

#[test]
fn the_first_line_is_what_it_is_said_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let rows: String = (0..20).map(|i| format!("{i},{}\n", i * i)).collect();
    write(at, "years.csv", format!("2023,2024\n{rows}"));
    let count = |info: &Value| {
        ["train_rows", "validation_rows"]
            .map(|part| info["trained"][part].as_u64().unwrap())
            .iter()
            .sum::<u64>()
    };
    let found = info(at, "years.csv", &[]);
    assert_eq!((count(&found), &found["features"]), (21, &Value::Null));
    let named = info(at, "years.csv", &["--header"]);
    assert_eq!((count(&named), &named["features"]), (20, &serde_json::json!(["2023", "2024"])));
    // Texts above numbers would be taken for names.
    let rows: String = (0..20).map(|i| format!("{},{}\n", ["red", "blue"][i % 2], i % 3)).collect();
    write(at, "texts.csv", format!("green,much\n{rows}"));
    let flags = ["--categorical", "1,2"];
    assert_eq!(count(&info(at, "texts.csv", &flags)), 20);
    assert_eq!(count(&info(at, "texts.csv", &[&flags[..], &["--no-header"]].concat())), 21);
}

#[test]
fn the_array_that_is_named_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // Holds three rows of two values, and `target`: 5, 6, 7.
    write(at, "two.npz", include_bytes!("../../../ae-data/tests/golden/other.npz"));
    assert_eq!(info(at, "two.npz", &["--hidden", "none"])["layer_dims"], serde_json::json!([2, 1, 2]));
    let named = ["--array", "target", "--hidden", "none", "--scale", "none"];
    assert_eq!(info(at, "two.npz", &named)["layer_dims"], serde_json::json!([1, 1, 1]));
    assert_eq!(ae(at, &["score", MODEL, "two.npz", "--array", "target"]).cells().len(), 4);
    assert_eq!(ae_with(at, &["score", MODEL, "two.npz"], b"", &[]).status, Some(1));
}
