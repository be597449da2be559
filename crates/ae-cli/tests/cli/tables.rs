//! Tables with columns of all kinds, end to end.

use super::*;

const MODEL: &str = "people.safetensors";

/// 120 people of three trades, which determine wages, towns and dates, with some missing cells.
pub(crate) fn people() -> String {
    let mut text = "name,trade,wage,retired,since,town,children\n".to_owned();
    for i in 0..120u32 {
        let trade = ["baker", "smith", "tailor"][(i % 3) as usize];
        let wage = 1000 * (i % 3) + 10 * (i % 7) + 500;
        let town = ["Aue", "Bern", "Cham"][(i % 3) as usize];
        let retired = if i % 3 == 2 { "yes" } else { "no" };
        let wage = if i % 10 == 3 { String::new() } else { format!("{wage}.50") };
        let town = if i % 10 == 7 { "NA" } else { town };
        let since = format!("20{:02}-05-{:02}", 10 + i % 3, 1 + i % 28);
        text += &format!("person {i},{trade},{wage},{retired},{since},{town},{}\n", i % 4);
    }
    text
}

fn trained_on(text: &str, more: &[&str]) -> (tempfile::TempDir, Ended) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "people.csv", text);
    let args =
        ["train", "people.csv", "--epochs", "200", "--hidden", "12", "--encoding-dim", "4", "-o", MODEL];
    let ended = ae(folder.path(), &[&args[..], more].concat());
    (folder, ended)
}

#[test]
fn kinds_of_columns_are_found_out_said_and_kept() {
    let (folder, ended) = trained_on(&people(), &[]);
    for line in [
        "numbers       2: wage, children",
        "booleans      1: retired",
        "categories    2: trade (3), town (3)",
        "times         1: since",
        "dropped       1: name",
    ] {
        assert!(ended.out.contains(line), "'{line}' is not in:\n{}", ended.out);
    }
    assert!(ended.err.contains("people.csv: columns left out: name (mostly distinct texts"), "{}", ended.err);
    let info = ae(folder.path(), &["info", MODEL]).out;
    assert!(
        info.contains("categories    2: trade (3), town (3)") && info.contains("scaling       standard"),
        "{info}"
    );
    let info = ae(folder.path(), &["info", MODEL, "--json"]).summary();
    let columns = info["schema"]["columns"].as_array().unwrap();
    assert_eq!(columns[1]["kind"]["categorical"]["levels"], serde_json::json!(["baker", "smith", "tailor"]));
    assert_eq!(columns[2]["kind"]["numeric"]["decimals"], 2);
    assert_eq!(columns[3]["kind"]["boolean"]["yes"], "yes");
    assert_eq!(
        (&info["config"]["scaler"], &info["config"]["mask_missing"]),
        (&"standard".into(), &true.into())
    );
    // The library loads the same schema, and a file whose schema does not fit is refused.
    let path = folder.path().join(MODEL);
    let model = ae_model::Autoencoder::load(&path).unwrap();
    assert_eq!(model.schema().unwrap().width(), 10);
    assert_eq!(model.scaler().scale()[..3], [1.0; 3]);
    let bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(6).rposition(|window| window == b"tailor").unwrap();
    let mut other = bytes;
    other[at] = b'w';
    write(folder.path(), "other.safetensors", other);
    let refused = ae_with(folder.path(), &["info", "other.safetensors"], b"", &[]);
    assert_eq!(refused.status, Some(1), "{}", refused.err);
}

#[test]
fn tables_come_back_in_their_own_columns_and_types() {
    let (folder, _) = trained_on(&people(), &[]);
    let folder = folder.path();
    let known = cells(&people());
    let reconstructed = ae(folder, &["reconstruct", MODEL, "people.csv"]).cells();
    assert_eq!(reconstructed[0], ["trade", "wage", "retired", "since", "town", "children"]);
    let right = (1..=120)
        .filter(|row| reconstructed[*row][0] == known[*row][1] && reconstructed[*row][2] == known[*row][3])
        .count();
    assert!(right >= 110, "{right}");
    for row in &reconstructed[1..] {
        assert_eq!(row[1].split('.').nth(1).map(str::len), Some(2), "{row:?}");
        assert!(row[3].len() == 10 && row[3].starts_with("20"), "{row:?}");
        assert!(["Aue", "Bern", "Cham"].contains(&&row[4][..]) && row[5].parse::<i32>().is_ok(), "{row:?}");
    }
    // Encoding and decoding gives the same.
    ae(folder, &["encode", MODEL, "people.csv", "-o", "codes.npy"]);
    assert_eq!(ae(folder, &["decode", MODEL, "codes.npy"]).cells()[1][0], reconstructed[1][0]);
    let object = &ae(folder, &["reconstruct", MODEL, "people.csv", "--json"]).objects()[0]["values"];
    assert!(
        object["trade"].is_string() && object["wage"].is_f64() && object["children"].is_number(),
        "{object}"
    );
}

#[test]
fn only_missing_cells_are_filled() {
    let (folder, _) = trained_on(&people(), &[]);
    let folder = folder.path();
    let known = cells(&people());
    let filled = ae(folder, &["reconstruct", MODEL, "people.csv", "--fill"]);
    assert!(filled.err.contains("24 missing cells filled in"), "{}", filled.err);
    let filled = filled.cells();
    let mut right = 0;
    for (row, (known, filled)) in known.iter().zip(&filled).enumerate() {
        for (column, (known, filled)) in known.iter().zip(filled).enumerate() {
            if !known.is_empty() && known != "NA" {
                assert_eq!(known, filled, "row {row}, column {column}");
            } else if column == 5 {
                right += usize::from(filled == ["Aue", "Bern", "Cham"][(row - 1) % 3]);
            } else {
                assert!(
                    (filled.parse::<f64>().unwrap() - 530.0 - 1000.0 * ((row - 1) % 3) as f64).abs() < 300.0
                );
            }
        }
    }
    // One town in ten is missing.
    assert!(right >= 11, "{right} of 12");
    // Other formats that hold text can be read back.
    for name in ["filled.parquet", "filled.tsv", "filled.csv.gz"] {
        ae(folder, &["reconstruct", MODEL, "people.csv", "--fill", "-o", name]);
        let again = ae(folder, &["reconstruct", MODEL, name, "--fill"]).cells();
        assert_eq!((again.len(), &again[1][0], &again[8][5]), (121, &filled[1][0], &filled[8][5]), "{name}");
    }
}

#[test]
fn order_of_columns_does_not_matter_and_new_texts_are_no_error() {
    let (folder, _) = trained_on(&people(), &[]);
    let folder = folder.path();
    let expected = ae(folder, &["score", MODEL, "people.csv"]).out;
    let turned: String = people()
        .lines()
        .enumerate()
        .map(|(row, line)| {
            let mut cells: Vec<&str> = line.split(',').collect();
            cells.reverse();
            cells.insert(2, if row == 0 { "shoe" } else { "42" });
            cells.join(",") + "\n"
        })
        .collect();
    write(folder, "turned.csv", &turned);
    let score = ae(folder, &["score", MODEL, "turned.csv"]);
    assert_eq!(score.out, expected);
    assert!(score.err.contains("columns that the model does not know are left out: shoe"), "{}", score.err);
    write(folder, "new.csv", people().replace("baker", "baxter").replace(",yes,", ",perhaps,"));
    let score = ae(folder, &["score", MODEL, "new.csv"]);
    for line in [
        "count as none of its categories: trade (40 cells, such as 'baxter')\n",
        "count as missing: retired (40 cells, such as 'perhaps')\n",
    ] {
        assert!(score.err.contains(line), "{}", score.err);
    }
    // The columns of a table without names are matched by position.
    let bare: String = people().lines().skip(1).map(|line| format!("{line}\n")).collect();
    write(folder, "bare.csv", bare);
    let score = ae(folder, &["score", MODEL, "bare.csv", "--no-header"]);
    assert_eq!(score.out, expected);
    assert!(score.err.contains("bare.csv has no column names"), "{}", score.err);
}

#[test]
fn errors_and_blame_are_those_of_columns() {
    let odd = "person x,baker,2520.50,no,2010-05-03,Aue,1\nperson y,smith,1530.50,no,2011-05-04,Aue,1\n";
    let (folder, _) = trained_on(&people(), &["--drop", "name,children"]);
    let folder = folder.path();
    let features = ae(folder, &["score", MODEL, "people.csv", "--per-feature"]).cells();
    assert_eq!(features[0], ["trade", "wage", "retired", "since", "town"]);
    let rows = ae(folder, &["score", MODEL, "people.csv"]).cells();
    for (row, features) in rows[1..].iter().zip(&features[1..]) {
        // A missing cell counts as much as the mean of the known ones.
        let known: Vec<f64> = features.iter().filter_map(|x| x.parse().ok()).collect();
        let sum = known.iter().sum::<f64>() * features.len() as f64 / known.len() as f64;
        assert!((row[0].parse::<f64>().unwrap() - sum).abs() <= 1e-4 * sum.max(1e-3), "{row:?} {sum}");
    }
    let labelled: String = people()
        .lines()
        .chain(odd.lines())
        .enumerate()
        .map(|(row, line)| {
            format!(
                "{line},{}\n",
                if row == 0 {
                    "kind"
                } else if row > 120 {
                    "odd"
                } else {
                    "usual"
                }
            )
        })
        .collect();
    write(folder, "labelled.csv", labelled);
    let args = ["detect", MODEL, "labelled.csv", "--label", "kind", "--normal", "usual"];
    let more = ["--reference", "people.csv", "--contamination", "0.02", "-o", "found.csv"];
    let ended = ae(folder, &[&args[..], &more].concat());
    assert!(
        ended.out.contains("ROC-AUC") && ended.err.contains("most often blamed first: "),
        "{}",
        ended.err
    );
    assert!(ended.err.contains("people.csv: missing values are filled in by the model"), "{}", ended.err);
    let found = cells(&std::fs::read_to_string(folder.join("found.csv")).unwrap());
    assert_eq!((&found[121][1][..], &found[122][1][..]), ("1", "1"), "{:?}", &found[119..]);
    assert!(["trade", "wage", "town"].contains(&&found[121][3][..]), "{:?}", found[121]);
    // Without a reference, by errors alone.
    let ended = ae(folder, &[&args[..], &["--contamination", "0.02", "--json"]].concat());
    let blamed = ended.objects()[121]["blamed"][0]["feature"].clone();
    assert!(["trade", "wage", "town", "retired", "since"].contains(&blamed.as_str().unwrap()), "{blamed}");
}

/// Only rows with the label are trained on, and the label is not a feature.
#[test]
fn normal_rows_are_learnt_from() {
    let (folder, _) = trained_on(&people(), &["--label", "retired", "--normal", "no"]);
    let summary = ae(
        folder.path(),
        &["train", "people.csv", "--label", "retired", "--normal", "no", "--json", "--epochs", "1"],
    )
    .summary();
    assert_eq!(summary["rows"], 80);
    let info = ae(folder.path(), &["info", MODEL]).out;
    assert!(info.contains("label         1: retired") && info.contains("trade (2)"), "{info}");
    // The label column is not required again, and there is no remark on it.
    let score = ae(folder.path(), &["score", MODEL, "people.csv"]);
    assert!(!score.err.contains("left out"), "{}", score.err);
    // The same for rows of numbers.
    let ended = ae(
        folder.path(),
        &[
            "train",
            "digits",
            "--label",
            "label",
            "--normal",
            "3",
            "--epochs",
            "1",
            "--json",
            "-o",
            "d.safetensors",
        ],
    );
    assert_eq!(ended.summary()["rows"], 183);
}

#[test]
fn hidden_cells_are_filled_in_better_than_by_means_and_modes() {
    let (folder, _) = trained_on(&people(), &[]);
    let folder = folder.path();
    let ended = ae(folder, &["evaluate", MODEL, "people.csv", "--hide", "0.1"]);
    for part in ["10.00 % of the known cells hidden", "numbers, RMSE in sd", "categories, correct", "  town"]
    {
        assert!(ended.out.contains(part), "'{part}' is not in:\n{}", ended.out);
    }
    assert!(ended.out.contains("120 rows of 6, 24 values missing"), "{}", ended.out);
    let object = ae(folder, &["evaluate", MODEL, "people.csv", "--hide", "0.1", "--json"]).summary();
    let of = |kind: &str, who: &str| object["imputation"][kind][who].as_f64().unwrap();
    assert!(
        of("categories_right", "model") > of("categories_right", "usual") + 0.2,
        "{}",
        object["imputation"]
    );
    assert!(of("numbers_rmse", "model") < of("numbers_rmse", "usual"), "{}", object["imputation"]);
    let names: Vec<&str> =
        object["per_feature"].as_array().unwrap().iter().map(|f| f["feature"].as_str().unwrap()).collect();
    assert_eq!(names, ["trade", "wage", "retired", "since", "town", "children"]);
    ae(folder, &["report", MODEL, "people.csv", "--hide", "0.1", "-o", "report.html"]);
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    for part in ["Missing values", "tailor", "--hide 0.1", ">town<"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn every_command_takes_tables() {
    let (folder, _) = trained_on(&people(), &["--scale", "quantile"]);
    let folder = folder.path();
    assert!(ae(folder, &["info", MODEL]).out.contains("scaling       quantile"));
    let reconstructed = ae(folder, &["reconstruct", MODEL, "people.csv"]).cells();
    assert!(reconstructed[1..].iter().all(|row| (0.0..4000.0).contains(&row[1].parse::<f64>().unwrap())));
    let sweep = ["sweep", "people.csv", "--sizes", "1,3", "--epochs", "3", "-o", "sizes.csv"];
    ae(folder, &sweep);
    assert!(ae(folder, &sweep).err.contains("sizes.csv has the results of 1, 3 already"));
    let other = ae_with(folder, &[&sweep[..], &["--drop", "name,town"]].concat(), b"", &[]);
    assert!(other.err.contains("results of other settings, data"), "{}", other.err);
    let maps = ae(folder, &["compare", MODEL, "people.csv", "--rows", "60"]);
    assert!(maps.out.contains("t-SNE") && maps.err.contains("filled in by the model"), "{}", maps.err);
}

/// Kinds of columns can be overridden.
#[test]
fn kinds_of_columns_can_be_chosen() {
    let (folder, ended) = trained_on(&people(), &["--categorical", "children,name", "--drop", "since"]);
    assert!(
        ended.out.contains("categories    4: name (120), trade (3), town (3), children (4)"),
        "{}",
        ended.out
    );
    assert!(ended.out.contains("dropped       1: since") && !ended.err.contains("left out"), "{}", ended.err);
    // A column can be dropped by number. The defaults for plain numbers still apply.
    write(folder.path(), "rows.csv", table());
    let args = ["train", "rows.csv", "--drop", "1", "--epochs", "1", "-o", "rows.safetensors"];
    assert!(ae(folder.path(), &args).out.contains("dropped       1: height"));
    let info = ae(folder.path(), &["info", "rows.safetensors", "--json"]).summary();
    assert_eq!((&info["config"]["scaler"], &info["layer_dims"][0]), (&"minmax".into(), &3.into()));
}

/// Files of numbers need no schema.
#[test]
fn files_of_numbers_have_no_schema() {
    let folder = trained();
    let info = ae(folder.path(), &["info", "model.safetensors", "--json"]).summary();
    assert_eq!((&info["schema"], &info["config"]["scaler"]), (&Value::Null, &"minmax".into()));
    let bytes = std::fs::read(folder.path().join("model.safetensors")).unwrap();
    assert!(!bytes.windows(6).any(|window| window == b"schema"));
    let holes = table().replacen("\n0,", "\n,", 1);
    write(folder.path(), "holes.csv", &holes);
    let refused = ae_with(folder.path(), &["train", "holes.csv"], b"", &[]);
    assert!(refused.err.contains("--missing mask leaves it out of the loss"), "{}", refused.err);
    // In numbers, too, only missing cells are filled in.
    ae(
        folder.path(),
        &["train", "holes.csv", "--missing", "mask", "--epochs", "5", "-o", "holes.safetensors"],
    );
    let filled = ae(folder.path(), &["reconstruct", "holes.safetensors", "holes.csv", "--fill"]).cells();
    assert!(filled[1][0].parse::<f64>().is_ok());
    let known = cells(&holes);
    assert_eq!(filled[2][3].parse::<f32>().unwrap(), known[2][3].parse::<f32>().unwrap());
}

/// Features scaled by rank are not confined to `[0, 1]`, so the loss of a variational model is not bce.
#[test]
fn variational_models_of_ranks() {
    let (folder, ended) = trained_on(&people(), &["--kind", "vae", "--scale", "quantile", "--epochs", "2"]);
    assert_eq!(ended.status, Some(0), "{}", ended.err);
    let info = ae(folder.path(), &["info", MODEL, "--json"]).summary();
    assert_ne!(info["config"]["loss"], "bce");
}

/// A traversal of a table has the table's own columns, after the place in the latent space.
#[test]
fn axes_of_tables() {
    let (folder, _) =
        trained_on(&people(), &["--kind", "vae", "--encoding-dim", "2", "--epochs", "2", "--drop", "name"]);
    let rows = ae(folder.path(), &["traverse", MODEL, "--steps", "3"]).cells();
    let columns = ae(folder.path(), &["reconstruct", MODEL, "people.csv"]).cells().remove(0);
    assert_eq!(rows[0], [vec!["code".to_owned(), "code_value".to_owned()], columns].concat());
    let places: Vec<&[String]> = rows[1..].iter().map(|row| &row[..2]).collect();
    assert_eq!(places, [["0", "-3"], ["0", "0"], ["0", "3"], ["1", "-3"], ["1", "0"], ["1", "3"]]);
    ae(folder.path(), &["traverse", MODEL, "--steps", "3", "-o", "axes.parquet"]);
    let refused = ae_with(folder.path(), &["traverse", MODEL, "-o", "axes.npy"], b"", &[]);
    assert!(refused.err.contains("this format holds numbers only"), "{}", refused.err);
}

/// A column that is a feature of the model can also be used as the label.
#[test]
fn labels_that_are_features() {
    let (folder, _) = trained_on(&people(), &[]);
    let folder = folder.path();
    let score = |more: &[&str]| ae(folder, &[&["score", MODEL, "people.csv"], more].concat()).cells();
    let (plain, labelled) = (score(&[]), score(&["--label", "trade"]));
    assert_eq!(
        (&plain[0][..], &labelled[0][..]),
        (&["error".to_owned()][..], &["error", "label"].map(str::to_owned)[..])
    );
    assert!(plain[1..].iter().zip(&labelled[1..]).all(|(plain, labelled)| plain[0] == labelled[0]));
    assert_eq!([&labelled[1][1], &labelled[2][1]], ["baker", "smith"]);
}

/// The error about text among numbers names the flags that help.
#[test]
fn codes_among_numbers_have_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let codes: String =
        (0..60).map(|i| if i % 5 == 4 { "A,1\n".to_owned() } else { format!("{},{}\n", i % 3, i) }).collect();
    write(folder.path(), "codes.csv", format!("code,n\n{codes}"));
    let train = ["train", "codes.csv", "--epochs", "2", "--encoding-dim", "1", "-o", MODEL];
    let refused = ae_with(folder.path(), &train, b"", &[]);
    assert!(refused.err.contains("column 'code': 'A' is not a number; --categorical"), "{}", refused.err);
    ae(folder.path(), &[&train[..], &["--categorical", "code"]].concat());
}

#[test]
fn numbers_of_rows_are_remarked() {
    let folder = tempfile::tempdir().unwrap();
    let rows = |id: fn(u32) -> u32| {
        (0..60).map(|i| format!("{},{},{}\n", id(i), i % 7, i * 3600)).collect::<String>()
    };
    let said = |text: String| {
        write(folder.path(), "rows.csv", format!("id,n,seconds\n{text}"));
        ae(folder.path(), &["train", "rows.csv", "--epochs", "2", "--encoding-dim", "1", "-o", MODEL]).err
    };
    let counted = said(rows(|i| 7 + 2 * i));
    assert!(counted.contains("rows.csv, column 'id': it seems to number the rows"), "{counted}");
    assert_eq!(counted.matches("seems to").count(), 1, "{counted}");
    let shuffled = said(rows(|i| i * 7 % 60));
    assert!(!shuffled.contains("seems to"), "{shuffled}");
}

/// Formats of numbers: a remark says which label each number stands for, or that there are no labels.
#[test]
fn labels_in_files_of_numbers() {
    let (folder, _) = trained_on(&people(), &["--label", "trade"]);
    let encode =
        |output| ae(folder.path(), &["encode", MODEL, "people.csv", "--label", "trade", "-o", output]).err;
    assert!(encode("codes.npz").contains("codes.npz; in y, 0 is baker, 1 is smith, 2 is tailor\n"));
    assert!(encode("codes.npy").contains("codes.npy, without their labels"));
    assert!(encode("codes.parquet").contains("codes.parquet\n"));
}

/// A collapsed variational model generates categories with their frequencies in the data.
#[test]
fn categories_are_drawn() {
    let mut text = "town,n\n".to_owned();
    (0..300).for_each(|i| text += &format!("{},{}\n", ["Aue", "Aue", "Bern"][i % 3], i % 10));
    let (folder, ended) =
        trained_on(&text, &["--kind", "vae", "--beta", "100", "--epochs", "60", "--learning-rate", "0.01"]);
    assert!(ended.err.contains("the encodings carry almost no information"), "{}", ended.err);
    let generate = |seed| ae(folder.path(), &["generate", MODEL, "--rows", "600", "--seed", seed]).out;
    let share = cells(&generate("1")).iter().filter(|row| row[0] == "Bern").count() as f64 / 600.0;
    assert!((share - 1.0 / 3.0).abs() < 0.1, "{share}");
    assert!(generate("1") == generate("1") && generate("1") != generate("2"));
}

/// Numbers and dates that a model makes up do not leave the range of the training rows.
#[test]
fn made_up_numbers_occur_in_training() {
    let mut text = "price,day,town\n".to_owned();
    (0..300).for_each(|i| {
        text += &format!("{},2024-01-{:02},{}\n", i % 50, 1 + i % 50 / 2, ["Aue", "Bern"][i % 2]);
    });
    let (folder, _) = trained_on(&text, &["--kind", "vae", "--beta", "0.01", "--epochs", "40"]);
    for command in [["generate", MODEL, "--rows", "300"], ["traverse", MODEL, "--extent", "30"]] {
        let rows = ae(folder.path(), &command).cells().split_off(1);
        let prices: Vec<f64> = rows.iter().map(|row| row[row.len() - 3].parse().unwrap()).collect();
        assert!(prices.iter().all(|price| (0.0..=49.0).contains(price)), "{command:?}: {prices:?}");
        let in_january =
            |row: &Vec<String>| ("2024-01-01"..="2024-01-25").contains(&row[row.len() - 2].as_str());
        assert!(rows.iter().all(in_january), "{command:?}: {rows:?}");
        // Without limits, some would lie beyond.
        assert!(prices.contains(&0.0) && prices.contains(&49.0), "{command:?}: {prices:?}");
    }
}

/// Texts of digits keep their leading zeros, in every format.
#[test]
fn codes_keep_their_zeros() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let rows: String = (0..40).map(|i| format!("0{},{}\n", 1000 + i % 4, i % 9)).collect();
    write(at, "zip.csv", format!("zip,a\n{rows}"));
    ae(at, &["train", "zip.csv", "--categorical", "zip", "--epochs", "30", "-o", "m.safetensors"]);
    for name in ["out.csv", "out.parquet"] {
        ae(at, &["reconstruct", "m.safetensors", "zip.csv", "-o", name]);
        let ended = ae(at, &["score", "m.safetensors", name, "-o", "errors.csv"]);
        assert!(!ended.err.contains("none of its categories"), "{name}: {}", ended.err);
    }
    let object = ae(at, &["reconstruct", "m.safetensors", "zip.csv", "--json"]).objects().remove(0);
    assert!(object["values"]["zip"].as_str().unwrap().starts_with("0100"), "{object}");
    // There is a remark on a column of amounts of money.
    let rows: String = (0..40).map(|i| format!("${i}.50,{}\n", i % 9)).collect();
    write(at, "sums.csv", format!("sum,a\n{rows}"));
    let ended = ae(at, &["train", "sums.csv", "--epochs", "1", "-o", "s.safetensors"]);
    assert!(ended.err.contains("such as '$0.50'"), "{}", ended.err);
    // There is one on column numbers that may be names.
    write(at, "numbered.csv", format!("0,1\n{}", "5,7\n6,9\n".repeat(20)));
    let ended = ae(at, &["train", "numbered.csv", "--epochs", "1", "-o", "n.safetensors"]);
    assert!(ended.err.contains("--header reads it as column names"), "{}", ended.err);
}

/// A column's weight applies to all its features.
#[test]
fn columns_have_weights() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, "people.csv", people());
    let train = ["train", "people.csv", "--epochs", "1", "-o", MODEL, "--feature-weights"];
    ae(at, &[&train[..], &["wage=3,town=0.5"]].concat());
    let info = ae(at, &["info", MODEL, "--json"]).summary();
    let names = info["features"].as_array().unwrap();
    let weights = info["config"]["feature_weights"].as_array().unwrap();
    assert_eq!(names.len(), weights.len());
    for (name, weight) in names.iter().zip(weights) {
        let expected = match name.as_str().unwrap() {
            "wage" => 3.0,
            name if name.starts_with("town=") => 0.5,
            _ => 1.0,
        };
        assert_eq!(weight, &Value::from(expected), "{name}");
    }
    // Unnamed columns are numbered from 1; the flag works in a settings file too.
    write(at, "bare.csv", "1,2,3\n4,5,7\n2,1,0\n5,5,5\n");
    write(at, "settings.toml", "feature-weights = [\"3=2\", \"1=0\"]\nepochs = 1\n");
    ae(at, &["train", "bare.csv", "--config", "settings.toml", "-o", MODEL]);
    let info = ae(at, &["info", MODEL, "--json"]).summary();
    assert_eq!(info["config"]["feature_weights"], serde_json::json!([0.0, 1.0, 2.0]));
    for (weights, says) in [
        ("wages=3", "--feature-weights: the model has no column 'wages'"),
        ("wage", "'wage' is not a list of columns with their weights"),
        ("wage=-1", "--feature-weights: -1 is out of range: it must be"),
    ] {
        let refused = ae_with(at, &[&train[..], &[weights]].concat(), &[], &[]);
        assert_eq!(refused.status, Some(2), "{}", refused.err);
        assert!(refused.err.contains(says), "{}", refused.err);
    }
}

/// One impossible date among many is named, with its row, instead of a valid one.
#[test]
fn the_one_text_that_is_no_date_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let date = |i: u32| match i {
        57 => "2024-02-31".to_owned(),
        _ => format!("2024-{:02}-{:02}", 1 + i % 12, 1 + i % 28),
    };
    let rows: String = (0..80).map(|i| format!("{},{},{}\n", date(i), i % 7, i % 5)).collect();
    write(at, "rows.csv", format!("day,a,b\n{rows}"));
    let train = ["train", "rows.csv", "--epochs", "1", "-o", "m.safetensors"];
    let err = ae(at, &train).err;
    assert!(err.contains("rows.csv, row 58, column 'day': '2024-02-31' is not a date"), "{err}");
    assert!(!err.contains("unsupported format"), "{err}");
    let err = ae(at, &[&train[..], &["--na-values", "2024-02-31", "--missing", "mask"]].concat()).err;
    assert!(!err.contains("is not a date"), "{err}");
}
