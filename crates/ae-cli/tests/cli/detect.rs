//! `ae detect`.

use ae_eval::anomaly::{Detector, Settings};

use super::*;

const MODEL: &str = "model.safetensors";

/// The training rows with a label, and two more whose weight does not fit the others.
fn labelled() -> String {
    let table = table();
    let mut lines = table.lines();
    let mut text = format!("{},kind\n", lines.next().unwrap());
    lines.for_each(|line| text += &format!("{line},0\n"));
    text + "5,4.5,0.25,160,1\n6,4.4,0.36,40,1\n"
}

fn folder() -> tempfile::TempDir {
    let folder = trained();
    write(folder.path(), "labelled.csv", labelled());
    folder
}

const LABELLED: [&str; 7] = ["detect", MODEL, "labelled.csv", "--label", "kind", "--reference", "rows.csv"];

#[test]
fn anomalies_are_flagged_and_blamed_on_their_feature() {
    let folder = folder();
    let rows = ae(folder.path(), &LABELLED).cells();
    assert_eq!(rows[0], ["score", "flag", "p_value", "blamed_1", "blamed_2", "blamed_3"]);
    assert_eq!(rows.len(), 33);
    for row in &rows[31..] {
        assert_eq!((&row[1][..], &row[3][..]), ("1", "weight"), "{row:?}");
        // (1 + 0 calibration scores that are as high) / (1 + 30 calibration scores).
        assert!((row[2].parse::<f64>().unwrap() - 1.0 / 31.0).abs() < 1e-9, "{row:?}");
    }
    let alarms = rows[1..31].iter().filter(|row| row[1] == "1").count();
    assert!(alarms <= 1, "{alarms}");
}

#[test]
fn the_highest_scores_alone() {
    let folder = folder();
    let folder = folder.path();
    let all = ae(folder, &LABELLED).cells();
    let score = |row: usize| all[row][0].parse::<f64>().unwrap();
    let mut order: Vec<usize> = (1..all.len()).collect();
    order.sort_by(|a, b| score(*b).total_cmp(&score(*a)));
    let with_top =
        |count: &str, more: &[&str]| ae(folder, &[&LABELLED[..], &["--top", count], more].concat());
    let top = with_top("3", &[]);
    let expected: Vec<Vec<String>> =
        order[..3].iter().map(|row| [&[row.to_string()], &all[*row][..]].concat()).collect();
    assert_eq!(top.cells()[0][..2], ["row", "score"]);
    assert_eq!(top.cells()[1..], expected);
    // What is said is about all rows.
    assert_eq!(top.err, ae(folder, &LABELLED).err);
    let one = with_top("1", &["--contamination", "0.1", "--json"]);
    assert!(one.err.contains("--top: 2 more flagged rows are not written"), "{}", one.err);
    assert_eq!((&one.summary()["written"], &one.summary()["flagged"]), (&Value::from(1), &Value::from(3)));
    let explained = with_top("2", &["--explain", "--blame", "1"]).cells();
    assert_eq!(explained[0], ["row", "score", "flag", "p_value", "blamed_1", "found_1", "expected_1"]);
    assert_eq!((&explained[1][0], &explained[2][0]), (&order[0].to_string(), &order[1].to_string()));
    let numbers: Vec<Value> =
        with_top("2", &["--json"]).objects().iter().map(|row| row["row"].clone()).collect();
    assert_eq!(numbers, [Value::from(order[0]), Value::from(order[1]), Value::Null]);
    assert_eq!(with_top("99", &[]).cells().len(), 33);
    with_top("4", &["-o", "top.npy"]);
    let array = ae_data::read(folder.join("top.npy"), &ae_data::ReadOptions::default()).unwrap();
    assert_eq!(array.row(0).unwrap()[0], order[0] as f32);
    assert_eq!((array.rows(), array.features()), (4, 7));
}

/// They are the settings of the library's detector.
#[test]
fn neighbours_and_reference_rows() {
    let folder = folder();
    let folder = folder.path();
    let header = table().lines().next().unwrap().to_owned();
    write(folder, "odd.csv", header + "\n5,4.5,0.25,160\n6,4.4,0.36,40\n");
    let read = |name: &str| ae_data::read(folder.join(name), &ae_data::ReadOptions::default()).unwrap();
    let detect = ["detect", MODEL, "odd.csv", "--reference", "rows.csv"];
    let mut all = Vec::new();
    for (neighbours, reference_rows) in [(2, 4096), (5, 4096), (2, 20)] {
        let settings = Settings { neighbours, reference_rows, ..Settings::default() };
        let model = ae_model::Autoencoder::load(folder.join(MODEL)).unwrap();
        let detector = Detector::with_model(&settings, model, &read("rows.csv")).unwrap();
        let [neighbours, reference_rows] = [neighbours, reference_rows].map(|number| number.to_string());
        let flags = ["--neighbours", &neighbours[..], "--reference-rows", &reference_rows];
        let rows = ae(folder, &[&detect[..], &flags].concat()).cells();
        let scores: Vec<f64> = rows[1..].iter().map(|row| row[0].parse().unwrap()).collect();
        assert_eq!(scores, detector.scores(&read("odd.csv")).unwrap(), "{flags:?}");
        all.push(scores);
    }
    assert!(all[0] != all[1] && all[0] != all[2], "{all:?}");
    let by_error = [&detect[..], &["--neighbours", "3", "--score", "error"]].concat();
    let ended = ae_with(folder, &by_error, b"", &[]);
    assert!(ended.err.contains("the score error does not depend on neighbours"), "{}", ended.err);
    let without = ["detect", MODEL, "odd.csv", "--threshold", "1", "--neighbours", "3"];
    let ended = ae_with(folder, &without, b"", &[]);
    assert!(ended.status == Some(2) && ended.err.contains("--reference"), "{}", ended.err);
}

/// A file is recognised as its own reference however its path is spelt; a copy of it is not.
#[test]
fn rows_that_are_the_reference_do_not_find_themselves() {
    let folder = folder();
    let detect =
        |reference: &str| ae(folder.path(), &["detect", MODEL, "rows.csv", "--reference", reference]);
    let (same, spelt) = (detect("rows.csv"), detect("./rows.csv"));
    assert_eq!(same.cells(), spelt.cells());
    assert!(!spelt.err.contains("their own neighbours"), "{}", spelt.err);
    std::fs::copy(folder.path().join("rows.csv"), folder.path().join("copy.csv")).unwrap();
    let copied = detect("copy.csv");
    assert!(copied.err.contains("30 of 30 rows are in copy.csv too"), "{}", copied.err);
    assert_ne!(copied.cells(), same.cells());
}

#[test]
fn quality_against_labels() {
    let folder = folder();
    let folder = folder.path();
    let words = [&LABELLED[..], &["-o", "found.csv", "--contamination", "0.0625"]].concat();
    let ended = ae(folder, &words);
    for part in
        ["precision     1.0000", "recall        1.0000", "F1            1.0000", "ROC-AUC       1.0000"]
    {
        assert!(ended.out.contains(part), "'{part}' is not in:\n{}", ended.out);
    }
    assert!(std::fs::read_to_string(folder.join("found.csv")).unwrap().starts_with("score,flag,p_value,"));

    let ended = ae(folder, &[&LABELLED[..], &["--json"]].concat());
    let objects = ended.objects();
    assert_eq!((objects.len(), &objects[31]["row"]), (33, &Value::from(32)));
    assert_eq!(
        (&objects[31]["flag"], &objects[31]["blamed"][0]["feature"]),
        (&Value::from(true), &Value::from("weight"))
    );
    let summary = ended.summary();
    assert_eq!((&summary["true_positives"], &summary["roc_auc"]), (&Value::from(2), &Value::from(1.0)));
    let flagged = objects[..32].iter().filter(|object| object["flag"] == true).count();
    assert_eq!(summary["flagged"], flagged);
    assert_eq!(summary["false_positives"], flagged - 2);
}

#[test]
fn thresholds() {
    let folder = folder();
    let flagged = |more: &[&str]| {
        let summary = ae(folder.path(), &[&LABELLED[..], more, &["--json"]].concat()).summary();
        (summary["flagged"].as_u64().unwrap(), summary["threshold"].as_f64().unwrap())
    };
    assert_eq!(flagged(&["--contamination", "0.5"]).0, 16);
    assert_eq!(flagged(&["--threshold", "-1"]), (32, -1.0));
    // Half and one of the 30 reference rows, which are the first of the data, and the two others.
    assert_eq!(flagged(&["--score", "error", "--percentile", "50"]).0, 17);
    let (few, high) = flagged(&["--score", "error", "--percentile", "100"]);
    assert!(few == 3 && high > flagged(&["--score", "error"]).1, "{few} {high}");
    // When calibrated on rows far from the reference, no row is anomalous.
    write(folder.path(), "far.csv", "height,width,depth,weight\n5,4.5,0.25,9000\n5,4.5,0.25,9500\n");
    assert_eq!(flagged(&["--calibrate", "far.csv"]).0, 0);
}

/// Without a reference, scores are those of `ae score`.
#[test]
fn errors_alone() {
    let folder = folder();
    let folder = folder.path();
    let errors = ae(folder, &["score", MODEL, "rows.csv"]).cells();
    let found = ae(folder, &["detect", MODEL, "rows.csv", "--contamination", "0.1", "--blame", "0"]).cells();
    assert_eq!(found[0], ["score", "flag"]);
    for (error, found) in errors[1..].iter().zip(&found[1..]) {
        let (error, score): (f64, f64) = (error[0].parse().unwrap(), found[0].parse().unwrap());
        assert!((error - score).abs() <= 1e-6 * error.max(1e-6), "{error} {score}");
    }
    assert_eq!(found.iter().filter(|row| row[1] == "1").count(), 3);
    let again =
        ae(folder, &["detect", MODEL, "rows.csv", "--reference", "rows.csv", "--score", "error"]).cells();
    assert!(again[1..].iter().zip(&found[1..]).all(|(a, b)| a[0] == b[0]));
}

#[test]
fn files_of_numbers_hold_numbers() {
    let folder = folder();
    let folder = folder.path();
    for name in ["found.npy", "found.parquet", "found.tsv"] {
        ae(folder, &[&LABELLED[..], &["-o", name, "--blame", "1"]].concat());
    }
    let text = std::fs::read_to_string(folder.join("found.tsv")).unwrap();
    let last: Vec<&str> = text.lines().last().unwrap().split('\t').collect();
    assert_eq!((last.len(), last[3]), (4, "weight"));
    let read = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let parquet = ae_data::read_table(read("found.parquet"), &Default::default()).unwrap();
    assert_eq!(parquet.names().unwrap(), ["score", "flag", "p_value", "blamed_1"]);
    assert_eq!(parquet.cell(31, 3), "weight");
    // Weight is the fourth column.
    let numbers = ae_data::read(read("found.npy"), &Default::default()).unwrap();
    assert_eq!((numbers.features(), numbers.row(31).unwrap()[3]), (4, 4.0));
}

/// Rows alternate between two kinds: the sampled reference must not be of only one of them.
#[test]
fn the_order_of_the_reference_does_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut noise = ae_data::Rng::new(3);
    let mut text = "x,y,z\n".to_owned();
    for row in 0..1100 {
        let width = [1.0, 4.0][row % 2];
        let [x, y, z] = [(); 3].map(|()| width * (noise.next_u64() % 10_000) as f64);
        text += &format!("{x},{y},{z}\n");
    }
    write(folder, "turns.csv", text);
    ae(folder, &["train", "turns.csv", "--encoding-dim", "2", "--epochs", "3", "-q", "-o", MODEL]);
    let words = ["detect", MODEL, "turns.csv", "--reference", "turns.csv", "-o", "found.csv", "--json"];
    let flagged = ae(folder, &words).summary()["flagged"].as_u64().unwrap();
    // One in a hundred rows.
    assert_eq!(flagged, 11);
}

/// New data may be unlabelled while the reference has labels.
#[test]
fn labels_of_the_reference_alone() {
    let folder = folder();
    let folder = folder.path();
    let words = |data, label| {
        let files = ["detect", MODEL, data, "--reference", "labelled.csv", "--label", label];
        [&files[..], &["-o", "found.csv", "--json"]].concat()
    };
    let ended = ae(folder, &words("rows.csv", "kind"));
    assert!(
        ended.err.contains("rows.csv has no such labels: --label applies to the reference only"),
        "{}",
        ended.err
    );
    let normal =
        ae(folder, &["detect", MODEL, "rows.csv", "--reference", "rows.csv", "-o", "f.csv", "--json"]);
    assert_eq!(ended.summary()["threshold"], normal.summary()["threshold"]);
    let misspelt = ae_with(folder, &words("rows.csv", "knid"), &[], &[]);
    assert_eq!(misspelt.status, Some(1));
    assert!(misspelt.err.contains("labelled.csv: no column 'knid'"), "{}", misspelt.err);
}

/// Rows that are the reference get the scores that the threshold is derived from: half exceed the
/// median.
#[test]
fn the_reference_itself() {
    let folder = folder();
    let words = ["detect", MODEL, "rows.csv", "--reference", "rows.csv", "--percentile", "50", "--json"];
    assert_eq!(ae(folder.path(), &words).summary()["flagged"], 15);
}

/// A text that the model has not seen is blamed first.
#[test]
fn unknown_texts_are_blamed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let people = tables::people();
    write(folder, "people.csv", &people);
    write(folder, "new.csv", people.replace(",Bern,", ",Zug,"));
    ae(folder, &["train", "people.csv", "--epochs", "20", "--encoding-dim", "4", "-o", MODEL]);
    for more in [&["--reference", "people.csv"][..], &["--contamination", "0.5"]] {
        let found = ae(folder, &[&["detect", MODEL, "new.csv"][..], more].concat()).cells();
        let place = found[0].iter().position(|name| name == "blamed_1").unwrap();
        for (row, text) in found[1..].iter().zip(people.lines().skip(1)) {
            assert!(!text.contains(",Bern,") || row[place] == "town", "{more:?} {text}: {row:?}");
        }
        assert!(found[1..].iter().any(|row| row[place] != "town"));
    }
}

/// Among many equal rows, a threshold at a tie flags no more rows than the percentile says.
#[test]
fn ties_at_the_threshold_are_not_flagged() {
    let folder = tempfile::tempdir().unwrap();
    let colours = ["red,S,yes\n", "green,M,no\n", "blue,L,yes\n", "red,L,no\n"];
    let rows: String = (0..200).map(|i| colours[i * i % 7 % 4]).collect();
    write(folder.path(), "things.csv", format!("colour,size,member\n{rows}"));
    ae(folder.path(), &["train", "things.csv", "--epochs", "3", "-o", "t.safetensors"]);
    let detect = ["detect", "t.safetensors", "things.csv", "--reference", "things.csv", "--json"];
    for more in [&[][..], &["--percentile", "99.9"], &["--score", "input-neighbours"], &["--score", "error"]]
    {
        let summary = ae(folder.path(), &[&detect[..], more].concat()).summary();
        assert!(summary["flagged"].as_u64().unwrap() <= 2, "{more:?}: {summary}");
    }
    let warned = ae(folder.path(), &[&detect[..], &["--score", "error"]].concat());
    assert!(warned.err.contains("--calibrate sets thresholds and p-values"), "{}", warned.err);
    // Calibrating with the reference itself changes nothing.
    let threshold =
        |more: &[&str]| ae(folder.path(), &[&detect[..], more].concat()).summary()["threshold"].clone();
    assert_eq!(threshold(&[]), threshold(&["--calibrate", "things.csv"]));
}

/// Missing values count with the mean error of a row's known values, with and without a reference.
#[test]
fn rows_with_gaps_look_no_more_normal() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let line = |i: u32| format!("{},{},{},{}\n", i % 7, 2 * (i % 7), i % 5, 3 * (i % 5));
    let rows: String = (0..70).map(line).collect();
    write(at, "rows.csv", format!("a,b,c,d\n{rows}"));
    let train = ["train", "rows.csv", "--missing", "mask", "--encoding-dim", "2", "--epochs", "20"];
    ae(at, &[&train[..], &["-o", "m.safetensors"]].concat());
    write(at, "few.csv", "a,b,c,d\n6,0,4,0\n6,0,,\n1,2,1,3\n");
    let detect = ["detect", "m.safetensors", "few.csv", "--threshold", "1", "--json"];
    let scores: Vec<f64> =
        ae(at, &detect).objects().iter().filter_map(|object| object["score"].as_f64()).collect();
    let errors = ae(at, &["score", "m.safetensors", "few.csv", "--json"]).objects();
    let by_column = ae(at, &["score", "m.safetensors", "few.csv", "--json", "--per-feature"]).objects();
    let known = |row: usize| by_column[row]["errors"].as_array().unwrap().iter().filter_map(Value::as_f64);
    assert_eq!([0, 1, 2].map(|row| known(row).count()), [4, 2, 4]);
    for (row, factor) in [(0, 1.0), (1, 2.0), (2, 1.0)] {
        let expected = factor * known(row).sum::<f64>();
        for score in [scores[row], errors[row]["error"].as_f64().unwrap()] {
            assert!((score - expected).abs() < 1e-5 * expected, "{scores:?} {expected}");
        }
    }
    let with_reference = ["--reference", "rows.csv", "--score", "error", "--json"];
    let found = ae(at, &[&["detect", "m.safetensors", "few.csv"][..], &with_reference].concat()).objects();
    let found: Vec<f64> = found.iter().filter_map(|object| object["score"].as_f64()).collect();
    assert_eq!(found, scores);
    let table = ae(at, &["score", "m.safetensors", "few.csv", "--per-feature"]).cells();
    assert_eq!((&table[0][2][..], &table[2][2][..], &table[2][3][..]), ("c", "", ""));
}

/// `--explain` writes what is found in each blamed column and what was expected, in both forms of output.
#[test]
fn blamed_cells_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let kind = |i: u32| if i % 20 < 10 { "small" } else { "large" };
    let rows: String = (0..200).map(|i| format!("{},{},{}\n", i % 20, kind(i), 2 * (i % 20))).collect();
    write(at, "rows.csv", format!("size,kind,double\n{rows}"));
    let train = ["train", "rows.csv", "--encoding-dim", "1", "--epochs", "60", "--learning-rate", "0.01"];
    ae(at, &[&train[..], &["-o", MODEL]].concat());
    write(at, "odd.csv", "size,kind,double\n3,large,6\n18,large,360\n4,neither,8\n");
    let detect = ["detect", MODEL, "odd.csv", "--reference", "rows.csv", "--explain"];
    let table = ae(at, &[&detect[..], &["--blame", "2"]].concat()).cells();
    let names = "score,flag,p_value,blamed_1,found_1,expected_1,blamed_2,found_2,expected_2";
    assert_eq!(table[0].join(","), names);
    assert_eq!(table[1][3..6].join(","), "kind,large,small");
    assert_eq!(table[2][3..5].join(","), "double,360");
    assert_eq!(table[3][3..5].join(","), "kind,");
    let objects = ae(at, &[&detect[..], &["--json"]].concat()).objects();
    for (object, row) in objects.iter().zip(&table[1..]) {
        let blamed = &object["blamed"][0];
        assert_eq!(
            (&blamed["feature"], &blamed["found"]),
            (&Value::from(row[3].clone()), &Value::from(row[4].clone()))
        );
        assert_eq!(blamed["expected"], Value::from(row[5].clone()));
    }
    // The same without a reference, whose errors are not standardised.
    let plain = ["detect", MODEL, "odd.csv", "--threshold", "1", "--explain", "--blame", "1"];
    assert_eq!(ae(at, &plain).cells()[1][2..].join(","), "kind,large,small");
    let refused = ae_with(at, &[&detect[..], &["-o", "found.npy"]].concat(), &[], &[]);
    assert!(refused.status == Some(2) && refused.err.contains("--explain: values"), "{}", refused.err);
}

/// A saved detector gives the same results without its reference file, and is also a model.
#[test]
fn detectors_are_kept() {
    let folder = folder();
    let at = folder.path();
    write(at, "new.csv", "height,width,depth,weight\n5,4.5,0.25,160\n6,4.4,0.36,40\n3,4.7,0.09,33\n");
    let detect = ["detect", MODEL, "new.csv", "--reference", "rows.csv", "--json"];
    for more in [&[][..], &["--percentile", "90"], &["--threshold", "1.5"], &["--score", "mahalanobis"]] {
        let first = ae(at, &[&detect[..], more, &["--save", "kept.safetensors"]].concat());
        assert!(first.err.contains("detector written to kept.safetensors"), "{}", first.err);
        let again = ae(at, &["detect", "kept.safetensors", "new.csv", "--json", "--threads", "1"]);
        assert_eq!(again.out, first.out, "{more:?}");
    }
    let described = ae(at, &["info", "kept.safetensors"]).out;
    assert!(
        described.contains("detector      mahalanobis, with 30 reference rows and 30 calibration"),
        "{described}"
    );
    let info = ae(at, &["info", "kept.safetensors", "--json"]).summary();
    assert_eq!(info["detector"]["reference_rows"], 30);
    assert_eq!(ae(at, &["info", MODEL, "--json"]).summary()["detector"], Value::Null);
    let encoded = |model: &str| ae(at, &["encode", model, "new.csv"]).out;
    assert_eq!(encoded("kept.safetensors"), encoded(MODEL));
    // A saved detector can be saved with another threshold.
    ae(at, &["detect", "kept.safetensors", "new.csv", "--threshold", "7", "--save", "other.safetensors"]);
    assert_eq!(ae(at, &["info", "other.safetensors", "--json"]).summary()["detector"]["threshold"], 7.0);
    // Its own reference rows are noticed, and flags for what it already holds are refused.
    let own = ae(at, &["detect", "kept.safetensors", "rows.csv"]);
    assert!(own.err.contains("30 of 30 rows are in the detector's reference too"), "{}", own.err);
    for (words, says) in [
        (&["kept.safetensors", "new.csv", "--reference", "rows.csv"][..], "kept.safetensors is a detector"),
        (&["kept.safetensors", "new.csv", "--score", "error"], "kept.safetensors is a detector"),
        (&[MODEL, "new.csv", "--threshold", "1", "--save", "x.safetensors"], "--save: it needs --reference"),
        (&[MODEL, "new.csv", "--percentile", "90"], "--percentile: it needs --reference"),
        (&[MODEL, "new.csv", "--reference", "rows.csv", "--save", "no/x"], "--save no/x: there is no folder"),
        (
            &["kept.safetensors", "new.csv", "--save", "x.csv", "-o", "x.csv"],
            "--save: it must differ from -o",
        ),
        (
            &["kept.safetensors", "new.csv", "--save", "kept.safetensors"],
            "--save kept.safetensors: the command reads this file",
        ),
    ] {
        let ended = ae_with(at, &[&["detect"], words].concat(), &[], &[]);
        assert_eq!(ended.status, Some(2), "{words:?}: {}", ended.err);
        assert!(ended.err.contains(says), "{words:?}: {}", ended.err);
    }
}

/// Later dates, which no reference row has, are remarked on with the range of the column.
#[test]
fn columns_outside_their_range_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let rows = |month: u32| -> String {
        (0..40).map(|i| format!("2024-{month:02}-{:02},{}\n", 1 + i % 28, i % 9)).collect()
    };
    write(at, "rows.csv", format!("day,size\n{}", rows(3)));
    write(at, "later.csv", format!("day,size\n{}", rows(9)));
    ae(at, &["train", "rows.csv", "--epochs", "5", "--encoding-dim", "1", "-o", MODEL]);
    let detect = ["detect", MODEL, "later.csv", "--reference", "rows.csv"];
    let score = ["score", MODEL, "later.csv"];
    for (args, says) in [
        (&detect[..], "outside the reference's range, 2024-03-01 to 2024-03-28"),
        (&score, "outside three standard deviations about the training rows' mean, 2024-02-"),
    ] {
        let err = ae(at, args).err;
        let says = format!("later.csv, column 'day': 40 of 40 rows lie {says}");
        assert!(err.contains(&says) && !err.contains("column 'size'"), "{err}");
    }
    assert!(!ae(at, &["score", MODEL, "rows.csv"]).err.contains("outside"));
}
