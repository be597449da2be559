//! Real tables, with the text and missing values that such tables have: read if present, skipped
//! otherwise.
#![cfg(feature = "csv")]

use std::path::{Path, PathBuf};

use ae_data::{Missing, ReadOptions, read};

/// Returns the folder of the tables, or the reason to skip tests without it.
fn tables() -> Result<PathBuf, String> {
    let folder = match std::env::var_os("AE_DATA_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let tables = folder.join("tables");
    if tables.is_dir() {
        return Ok(tables);
    }
    Err(format!("skipped: {} is absent; AE_DATA_DIR may name the folder above it", tables.display()))
}

#[test]
fn columns_of_text_are_named() {
    let folder = match tables() {
        Ok(folder) => folder,
        Err(reason) => return println!("{reason}"),
    };
    let text = "the column holds text: remove it from the file";
    let cases = [
        ("penguins.csv", None, format!("row 1 (line 2), column 'species': 'Adelie' is not a number; {text}, or use it as the label or the row ids")),
        ("penguins.csv", Some("species"), format!("row 1 (line 2), column 'island': 'Torgersen' is not a number; {text}")),
        ("titanic.csv", Some("alive"), format!("row 1 (line 2), column 'sex': 'male' is not a number; {text}")),
        ("diamonds.csv", None, format!("row 1 (line 2), column 'cut': 'Ideal' is not a number; {text}, or use it as the label or the row ids")),
        ("taxis.csv", Some("color"), format!("row 1 (line 2), column 'pickup': '2019-03-23 20:21:09' is not a number; {text}")),
        ("nsl_kdd_test.csv", Some("label"), format!("row 1 (line 2), column 'protocol_type': 'tcp' is not a number; {text}")),
        ("titanic.csv", Some("survivor"), "no column 'survivor'; there are 'survived', 'pclass', 'sex', 'age', 'sibsp', 'parch', 'fare', 'embarked', 'class', 'who', 'adult_male', 'deck', 'embark_town', 'alive', 'alone'".to_owned()),
    ];
    for (name, label, message) in cases {
        let mut options = ReadOptions::default();
        options.label = label.map(str::to_owned);
        let path = folder.join(name);
        let error = read(path.to_str().unwrap(), &options).unwrap_err().to_string();
        assert_eq!(error, format!("{}: {message}", path.display()));
    }
}

#[test]
fn holes_are_counted_or_kept() {
    let folder = match tables() {
        Ok(folder) => folder,
        Err(reason) => return println!("{reason}"),
    };
    // The numeric columns of the penguins, and their species.
    let text = std::fs::read_to_string(folder.join("penguins.csv")).unwrap();
    let chosen: String = text
        .lines()
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            format!("{};{}\n", cells[2..6].join(";"), cells[0])
        })
        .collect();
    let path = tempfile::tempdir().unwrap();
    let path = path.path().join("chosen.csv");
    std::fs::write(&path, chosen).unwrap();
    let location = path.to_str().unwrap();
    let mut options = ReadOptions::default();
    options.label = Some("species".to_owned());
    let error = read(location, &options).unwrap_err().to_string();
    assert_eq!(error, format!("{location}: row 4, column 'bill_length_mm': the value is missing (8 in all)"));
    options.missing = Missing::Keep;
    let rows = read(location, &options).unwrap();
    assert_eq!((rows.rows(), rows.features()), (344, 4));
    assert_eq!(rows.labels().unwrap().names(), ["Adelie", "Chinstrap", "Gentoo"]);
    assert_eq!(rows.values().iter().filter(|x| x.is_nan()).count(), 8);
}
