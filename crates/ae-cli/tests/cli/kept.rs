//! User data is preserved: input files, known cells, and rows with unknown labels.

use super::*;

/// A command refuses to overwrite its own inputs.
#[test]
fn inputs_are_not_replaced() {
    let folder = trained();
    write(folder.path(), "rows.csv", table());
    write(folder.path(), "codes.csv", "code_0,code_1\n0.1,0.2\n");
    std::fs::create_dir_all(folder.path().join("sub")).unwrap();
    let commands = [
        "train rows.csv -o rows.csv",
        "train rows.csv -o ./sub/../rows.csv",
        "train rows.csv --target model.safetensors -o model.safetensors",
        "sweep rows.csv --sizes 1 -o rows.csv",
        "encode model.safetensors rows.csv -o rows.csv",
        "decode model.safetensors codes.csv -o codes.csv",
        "reconstruct model.safetensors rows.csv -o rows.csv",
        "score model.safetensors rows.csv -o rows.csv",
        "detect model.safetensors codes.csv --reference rows.csv -o rows.csv",
        "detect model.safetensors codes.csv --reference codes.csv --calibrate rows.csv -o rows.csv",
        "compare model.safetensors rows.csv -o rows.csv",
    ];
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let before = ["rows.csv", "codes.csv", "model.safetensors"].map(read);
    for command in commands {
        let args: Vec<&str> = command.split(' ').collect();
        let ended = ae_with(folder.path(), &args, b"", &[]);
        assert_eq!(ended.status, Some(2), "{command}: {}", ended.err);
        assert!(
            ended.err.contains("the command reads this file, so it cannot overwrite it"),
            "{command}: {}",
            ended.err
        );
    }
    assert_eq!(["rows.csv", "codes.csv", "model.safetensors"].map(read), before);
    // Other files may be overwritten.
    ae(folder.path(), &["encode", "model.safetensors", "rows.csv", "-o", "codes.csv"]);
}

/// `--fill` fills in missing cells and leaves every other character unchanged.
#[test]
fn known_cells_of_numbers_stay_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = "n,account,when,price,note\n".to_owned();
    for i in 0..120 {
        let price = if i % 10 == 3 { String::new() } else { format!("{}.50", 60 + i % 9) };
        text +=
            &format!("{i},{},{},{price},{}\n", 16_777_217 + 2 * i, 1_700_000_001 + 3 * i, -0.522_748_441_5);
    }
    write(folder.path(), "rows.csv", &text);
    let train = ["train", "rows.csv", "--missing", "mask", "--epochs", "3", "-o", "m.safetensors"];
    let trained = ae(folder.path(), &train);
    for column in ["'account'", "'when'"] {
        assert!(trained.err.contains(&format!("column {column}: numbers near")), "{}", trained.err);
    }
    assert!(!trained.err.contains("'n': numbers near") && !trained.err.contains("'note'"), "{}", trained.err);
    let filled = ae(folder.path(), &["reconstruct", "m.safetensors", "rows.csv", "--fill"]);
    assert!(filled.err.contains("12 missing cells filled in"), "{}", filled.err);
    let (before, after) = (cells(&text), filled.cells());
    assert_eq!(before.len(), after.len());
    for (before, after) in before.iter().zip(&after) {
        for (before, after) in before.iter().zip(after) {
            assert!(
                if before.is_empty() { after.parse::<f32>().is_ok() } else { before == after },
                "{before} {after}"
            );
        }
    }
    let piped =
        ae_with(folder.path(), &["reconstruct", "m.safetensors", "-", "--fill"], text.as_bytes(), &[]);
    assert_eq!(piped.out, filled.out);
    // JSON objects and numeric formats hold numbers as usual.
    let object = ae(folder.path(), &["reconstruct", "m.safetensors", "rows.csv", "--fill", "--json"]).out;
    assert!(object.starts_with("{\"row\":1,\"values\":[0.0,"), "{object}");
    ae(folder.path(), &["reconstruct", "m.safetensors", "rows.csv", "--fill", "-o", "filled.npy"]);
}

/// Columns that the model does not know may hold anything.
#[test]
fn unknown_columns_may_be_texts() {
    let folder = trained();
    let with_text: String = table()
        .lines()
        .enumerate()
        .map(|(i, line)| format!("{},{line}\n", if i == 0 { "zz" } else { "text" }))
        .collect();
    write(folder.path(), "rows.csv", table());
    write(folder.path(), "more.csv", with_text);
    let score = |name: &str| ae(folder.path(), &["score", "model.safetensors", name]);
    let more = score("more.csv");
    assert_eq!(more.out, score("rows.csv").out);
    assert!(
        more.err.contains("columns that the model does not know are left out, 'zz' among them"),
        "{}",
        more.err
    );
    let wrong = table().replacen("\n0,", "\nmuch,", 1);
    write(folder.path(), "wrong.csv", wrong);
    let refused = ae_with(folder.path(), &["score", "model.safetensors", "wrong.csv"], b"", &[]);
    assert!(refused.status == Some(1) && refused.err.contains("'much' is not a number"), "{}", refused.err);
}

/// Rows without a label are ignored, unless only anomalies are labelled.
#[test]
fn rows_without_a_label_tell_nothing() {
    let folder = trained();
    let labelled = |label: &dyn Fn(usize) -> &'static str| -> String {
        let line = |(i, line): (usize, &str)| format!("{line},{}\n", if i == 0 { "kind" } else { label(i) });
        table().lines().enumerate().map(line).collect()
    };
    write(folder.path(), "rows.csv", table());
    write(
        folder.path(),
        "some.csv",
        labelled(&|i| match i % 5 {
            0 => "fraud",
            1 | 2 => "",
            _ => "usual",
        }),
    );
    write(folder.path(), "only.csv", labelled(&|i| if i % 5 == 0 { "fraud" } else { "" }));
    let summary = |file: &str, told: [&str; 2]| {
        let args = [
            "detect",
            "model.safetensors",
            file,
            "--threshold",
            "0.1",
            "--label",
            "kind",
            "-o",
            "found.csv",
            "--json",
        ];
        let ended = ae(folder.path(), &[&args[..], &told[..]].concat());
        (ended.summary(), ended.err)
    };
    let counts = |summary: &Value| -> [u64; 2] {
        let of = |names: [&str; 2]| names.iter().map(|name| summary[*name].as_u64().unwrap()).sum();
        [of(["true_positives", "false_negatives"]), of(["false_positives", "true_negatives"])]
    };
    for told in [["--anomaly", "fraud"], ["--normal", "usual"]] {
        let (found, err) = summary("some.csv", told);
        assert_eq!(counts(&found), [6, 12], "{told:?}");
        assert!(err.contains("12 rows have no label"), "{err}");
    }
    let (found, err) = summary("only.csv", ["--anomaly", "fraud"]);
    assert_eq!(counts(&found), [6, 24]);
    assert!(!err.contains("have no label"), "{err}");
}

/// An unclosed quote would swallow rows.
#[test]
fn quotes_that_are_not_closed_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let start = "a,note\n2,x\n3,y\n4,x\n5,y\n6,x\n7,y\n8,x\n";
    for (end, says) in [
        ("9,\"y\n10,x\n11,y\n", "the quote opened on line 9 is never closed"),
        (
            "9,\"y\n10,\"x\"\n11,y\n",
            "the quoted cell opened on line 9 (and closed on line 10) is followed by",
        ),
    ] {
        write(folder.path(), "rows.csv", format!("{start}{end}"));
        let refused = ae_with(folder.path(), &["train", "rows.csv", "--epochs", "1"], b"", &[]);
        assert!(refused.status == Some(1) && refused.err.contains(says), "{}", refused.err);
        assert!(refused.err.contains("rows.csv"), "{}", refused.err);
    }
}

/// A column without any known value is left out, not made up.
#[test]
fn empty_columns_of_numbers_are_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let text = (0..50).fold("a,b,c\n".to_owned(), |text, i| text + &format!("{i},,{}\n", i % 7));
    write(folder.path(), "rows.csv", &text);
    let trained = ae(
        folder.path(),
        &["train", "rows.csv", "--missing", "mask", "--epochs", "3", "-o", "m.safetensors"],
    );
    assert!(trained.err.contains("columns left out: b (all values are missing)"), "{}", trained.err);
    let filled = ae(folder.path(), &["reconstruct", "m.safetensors", "rows.csv", "--fill"]);
    assert_eq!(filled.out, text);
    assert!(filled.err.contains("0 missing cells filled in"), "{}", filled.err);
}
