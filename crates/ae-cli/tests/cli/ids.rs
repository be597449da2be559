//! `--id`: row ids are written next to results.

use super::*;

const MODEL: &str = "m.safetensors";

/// Rows of two related numbers, named `A0`, `A1`, ..., with `more` columns in between.
fn rows(count: u32, header: &str, more: impl Fn(u32) -> String) -> String {
    let row = |i: u32| format!("A{i},{},{}{}\n", i % 7, more(i), 2 * (i % 7) + 1);
    header.to_owned() + &(0..count).map(row).collect::<String>()
}

fn trained(header: &str, more: impl Fn(u32) -> String) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "rows.csv", rows(40, header, more));
    let train = ["train", "rows.csv", "--id", "customer", "--encoding-dim", "1", "--hidden", "none"];
    ae(folder.path(), &[&train[..], &["--epochs", "3", "-o", MODEL]].concat());
    folder
}

#[test]
fn numbers_of_named_rows_are_trained_on_and_everything_is_written_beside_the_names() {
    let folder = trained("customer,a,b\n", |_| String::new());
    let at = folder.path();
    assert_eq!(ae(at, &["info", MODEL, "--json"]).summary()["features"], serde_json::json!(["a", "b"]));
    for (args, columns) in [
        (&["score", MODEL, "rows.csv"][..], "customer,error"),
        (&["score", MODEL, "rows.csv", "--per-feature"], "customer,a,b"),
        (&["encode", MODEL, "rows.csv"], "customer,code_0"),
        (&["reconstruct", MODEL, "rows.csv"], "customer,a,b"),
        (
            &["detect", MODEL, "rows.csv", "--reference", "rows.csv"],
            "customer,score,flag,p_value,blamed_1,blamed_2",
        ),
    ] {
        let ended = ae(at, &[args, &["--id", "customer"]].concat());
        let cells = ended.cells();
        assert_eq!(cells[0].join(","), columns);
        assert_eq!((cells.len(), cells[1][0].as_str(), cells[40][0].as_str()), (41, "A0", "A39"), "{args:?}");
        let objects = ae(at, &[args, &["--id", "1", "--json"]].concat()).objects();
        assert_eq!(objects[39]["customer"], "A39", "{args:?}");
    }
    // And back: the columns of encodings are found next to row ids.
    ae(at, &["encode", MODEL, "rows.csv", "--id", "customer", "-o", "codes.parquet"]);
    ae(at, &["decode", MODEL, "codes.parquet", "--id", "customer", "-o", "back.csv"]);
    let text = std::fs::read_to_string(at.join("back.csv")).unwrap();
    assert_eq!(text.lines().count(), 41);
    assert!(text.starts_with("customer,a,b\nA0,"), "{text}");
    let ended = ae(at, &["score", MODEL, "rows.csv", "--id", "customer", "-o", "errors.npy"]);
    assert!(
        ended.err.contains("errors.npy: this format holds numbers only, so 'customer' is not written"),
        "{}",
        ended.err
    );
    ae(at, &["compare", MODEL, "rows.csv", "--id", "customer", "-o", "maps.csv", "--perplexity", "5"]);
    let maps = cells(&std::fs::read_to_string(at.join("maps.csv")).unwrap());
    assert_eq!((maps[0][1].as_str(), maps[40][1].as_str()), ("customer", "A39"));
}

#[test]
fn a_table_of_texts_has_names_of_rows_too() {
    let folder = trained("customer,a,trade,b\n", |i| ["baker,", "smith,"][(i % 2) as usize].to_owned());
    let at = folder.path();
    let text = std::fs::read(at.join("rows.csv")).unwrap();
    let ended = ae_with(at, &["score", MODEL, "-", "--id", "customer"], &text, &[]);
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    assert_eq!(ended.cells()[40][0], "A39");
    assert!(!ended.err.contains("left out"), "{}", ended.err);
    let reconstructed = ae(at, &["reconstruct", MODEL, "rows.csv", "--id", "customer"]).cells();
    assert_eq!(
        (reconstructed[0].join(",").as_str(), reconstructed[40][0].as_str()),
        ("customer,a,trade,b", "A39")
    );
}

#[test]
fn the_reference_need_not_name_its_rows_and_names_do_not_clash() {
    let folder = trained("customer,a,b\n", |_| String::new());
    let at = folder.path();
    let text = rows(40, "", |_| String::new());
    let plain = text.lines().map(|line| line.split_once(',').unwrap().1.to_owned() + "\n");
    write(at, "plain.csv", format!("a,b\n{}", plain.collect::<String>()));
    write(at, "odd.csv", rows(5, "score,a,b\n", |_| String::new()));
    let args = ["detect", MODEL, "odd.csv", "--reference", "plain.csv", "--id", "score"];
    let cells = ae(at, &args).cells();
    assert_eq!((cells[0][..2].join(",").as_str(), cells[5][0].as_str()), ("score_,score", "A4"));
    let evaluated =
        ae(at, &["evaluate", MODEL, "odd.csv", "--reference", "plain.csv", "--id", "score", "--json"])
            .summary();
    assert_eq!((&evaluated["rows"], &evaluated["reference_rows"]), (&Value::from(5), &Value::from(40)));
    let ended = ae_with(at, &["score", MODEL, "odd.csv", "--id", "who"], b"", &[]);
    assert_eq!(ended.status, Some(1));
    assert!(ended.err.contains("no column 'who'; there are 'score', 'a', 'b'"), "{}", ended.err);
    // Built-in sets have no column of row ids.
    let digits = ae(at, &["train", "digits", "--epochs", "1", "--id", "x", "-o", "d.safetensors"]);
    assert!(digits.err.contains("digits: --id has no effect"), "{}", digits.err);
}

/// Floats cannot represent all whole numbers beyond 2^53.
#[test]
fn long_numbers_stay_as_they_are_on_the_way_through_parquet() {
    let folder = trained("customer,a,b\n", |_| String::new());
    let at = folder.path();
    let text: String =
        (0..4).map(|i| format!("{},{i},{}\n", 9_007_199_254_740_993u64 + i, 2 * i + 1)).collect();
    write(at, "long.csv", format!("customer,a,b\n{text}"));
    ae(at, &["score", MODEL, "long.csv", "--id", "customer", "-o", "scores.parquet"]);
    let read = ae_data::read_table(at.join("scores.parquet"), &ae_data::ReadOptions::default()).unwrap();
    let names: Vec<&str> = read.column(read.find("customer").unwrap()).collect();
    assert_eq!(names[..2], ["9007199254740993", "9007199254740994"]);
}
