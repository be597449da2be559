//! Files of numbers are numbers, other tables are texts, and both come back from what is written.
#![cfg(all(feature = "csv", feature = "npy", feature = "parquet", feature = "builtin"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, helpers included")]

use ae_data::{Content, ReadOptions, Schema, Table, Wishes, read_content, read_table, write_table};

fn options() -> ReadOptions {
    ReadOptions::default()
}

#[test]
fn numbers_stay_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let location = path.to_str().unwrap();
    std::fs::write(&path, "a,b\n1,2\n3,4\n").unwrap();
    let Content::Numbers(rows) = read_content(location, &options()).unwrap() else { panic!("a table") };
    assert_eq!(rows.values(), [1.0, 2.0, 3.0, 4.0]);
    std::fs::write(&path, "a,b\n1,x\n3,NA\n").unwrap();
    let Content::Table(table) = read_content(location, &options()).unwrap() else { panic!("numbers") };
    assert_eq!((table.cell(0, 1), table.cell(1, 1), table.rows()), ("x", "NA", 2));
    for (text, says) in [
        ("a,b\n1,x\n2\n", "row 2 (line 3) has 1 cells, but 2 are expected"),
        ("a,b\n", "no rows"),
        ("a,a\n1,x\n", "two columns are named 'a'"),
    ] {
        std::fs::write(&path, text).unwrap();
        let error = read_table(location, &options()).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    std::fs::write(&path, b"a,b\n1,\xff\n").unwrap();
    let error = read_table(location, &options()).unwrap_err().to_string();
    assert!(error.contains("row 1 (line 2), column 'b': not UTF-8"), "{error}");
    // The labels of a set are a last column.
    let digits = read_table("digits", &options()).unwrap();
    assert_eq!((digits.columns(), digits.rows(), digits.cell(1, 64)), (65, 1797, "1"));
}

#[test]
fn tables_are_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["n", "text", "flag"].map(str::to_owned).to_vec();
    let columns = [vec!["1.5", "", "-3"], vec!["a, \"b\"", "", "é"], vec!["True", "NA", "False"]];
    let table = Table::new(names, &columns).unwrap();
    for name in ["t.csv", "t.tsv", "t.csv.gz", "t.parquet"] {
        let path = folder.path().join(name);
        write_table(&table, &path).unwrap();
        let again = read_table(path, &options()).unwrap();
        assert_eq!(again.names(), table.names(), "{name}");
        for row in 0..3 {
            let cells: Vec<&str> = again.row(row).collect();
            let expected: Vec<&str> = table
                .row(row)
                .map(|cell| if cell == "NA" && name == "t.parquet" { "" } else { cell })
                .collect();
            assert_eq!(cells, expected, "{name}");
        }
        let schema = Schema::infer(&again, &Wishes::default()).unwrap();
        assert_eq!(schema.feature_names(), ["n", "text=a, \"b\"", "text=é", "flag"], "{name}");
    }
    let error = write_table(&table, &folder.path().join("t.npy")).unwrap_err().to_string();
    assert!(error.contains("NumPy files hold numbers only"), "{error}");
    assert!(write_table(&table, &folder.path().join("t-ubyte")).is_err());
}
