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

#[test]
fn decimal_commas_and_marks_of_missing_values_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let rows = |comma: &str, point: &str, missing: &str| {
        let row = |i: u32| {
            let high =
                if i % 9 == 4 { missing.to_owned() } else { format!("1{point}{:03}{comma}5", 7 * i % 50) };
            format!("{i}{comma}25;{high};{}\n", ["red", "blue"][(i % 2) as usize])
        };
        format!("a;b;c\n{}", (0..40).map(row).collect::<String>())
    };
    write(at, "european.csv", rows(",", ".", "-999"));
    write(at, "plain.csv", rows(".", "", ""));
    let train = |file: &str, flags: &[&str]| {
        let model = format!("{file}.safetensors");
        let train = ["train", file, "--epochs", "2", "--encoding-dim", "1", "-q", "-o", &model];
        ae(at, &[&train[..], flags].concat());
        model
    };
    let flags = ["--decimal", ",", "--thousands", ".", "--na-values", "-999,unknown"];
    let (model, other) = (train("european.csv", &flags), train("plain.csv", &[]));
    assert!(std::fs::read(at.join(&model)).unwrap() == std::fs::read(at.join(other)).unwrap());
    for command in [&["score"][..], &["reconstruct", "--fill"], &["reconstruct"], &["evaluate"], &["encode"]]
    {
        let with = |file: &str, flags: &[&str]| {
            let args = [command[0], &model, file];
            ae(at, &[&args[..], &command[1..], flags].concat()).out.replace("european", "plain")
        };
        assert_eq!(with("european.csv", &flags), with("plain.csv", &[]), "{command:?}");
    }
    // Without the flags, the error names them.
    let refused = ae_with(at, &["score", &model, "european.csv"], b"", &[]);
    assert!(refused.err.contains("'0,25' is not a number") && refused.err.contains("; --decimal , reads"));
    let refused = ae_with(at, &["score", &model, "european.csv", "--decimal", ","], b"", &[]);
    assert!(
        refused.err.contains("'1.000,5' is not a number; --decimal , and --thousands . read such"),
        "{}",
        refused.err
    );
}

#[test]
fn columns_of_numbers_that_say_nothing_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let said = |text: String, flags: &[&str]| {
        write(at, "rows.csv", text);
        let train = ["train", "rows.csv", "--epochs", "1", "--encoding-dim", "1", "-o", MODEL];
        ae(at, &[&train[..], flags].concat())
    };
    let index =
        |ending: &str| (0..40).map(|i| format!("{i},{},{}{ending}\n", i % 7, i % 5)).collect::<String>();
    let counted = said(format!(",x,y\n{}", index("")), &[]);
    assert!(
        counted.err.contains("rows.csv: columns left out: column 1 (it counts the rows;"),
        "{}",
        counted.err
    );
    assert!(counted.out.contains("numbers       2: x, y"), "{}", counted.out);
    // The rest are numbers, for every format.
    ae(at, &["reconstruct", MODEL, "rows.csv", "-o", "rebuilt.npy"]);
    let rebuilt = ae_data::read(at.join("rebuilt.npy"), &ae_data::ReadOptions::default()).unwrap();
    assert_eq!((rebuilt.rows(), rebuilt.features()), (40, 2));
    let kept = said(format!(",x,y\n{}", index("")), &["--numeric", "column 1"]);
    assert!(kept.out.contains("numbers       3: column 1, x, y"), "{}", kept.out);
    let trailing = said(format!("i,x,y,\n{}", index(",")), &[]);
    assert!(trailing.err.contains("columns left out: column 4 (all values are missing)"), "{}", trailing.err);
    let codes = |i: u32| format!("{},{}\n", ["01067", "80331", "10115"][(i % 3) as usize], i % 7);
    let codes = format!("zip,x\n{}", (0..40).map(codes).collect::<String>());
    let found = said(codes.clone(), &[]);
    assert!(found.out.contains("categories    1: zip (3)"), "{}", found.out);
    assert!(found.err.contains("column 'zip': numbers with leading zeros, such as '01067'"), "{}", found.err);
    assert!(!said(codes.clone(), &["--categorical", "1"]).err.contains("leading zeros"));
    assert!(said(codes, &["--numeric", "zip"]).out.contains("numbers       2: zip, x"));
}

#[test]
fn dates_with_slashes_are_dates_if_one_tells_the_order() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let said = |day: u32| {
        let row = |i: u32| format!("{:02}/{:02}/2024,{}\n", 1 + i % 12, 1 + i % day, i % 7);
        write(at, "rows.csv", format!("when,x\n{}", (0..60).map(row).collect::<String>()));
        ae(at, &["train", "rows.csv", "--epochs", "1", "--encoding-dim", "1", "-o", MODEL])
    };
    assert!(said(28).out.contains("times         1: when"));
    let rebuilt = ae(at, &["reconstruct", MODEL, "rows.csv"]).cells();
    assert!(rebuilt[1][0].len() == 10 && rebuilt[1][0].split('/').count() == 3, "{:?}", rebuilt[1]);
    let ambiguous = said(3);
    assert!(
        ambiguous.err.contains("column 'when': '01/01/2024' may have the day or the month first"),
        "{}",
        ambiguous.err
    );
}
