//! Files of numbers are read as numbers and other tables as text, and both read back what was written.
#![cfg(all(feature = "csv", feature = "npy", feature = "parquet", feature = "builtin"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, helpers included")]

use ae_data::{
    ColumnRoles, Content, Dataset, Missing, ReadOptions, Schema, StoredType, StoredUnit, Table, read,
    read_content, read_table, write, write_table,
};

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
    // The labels of a dataset become the last column.
    let digits = read_table("digits", &options()).unwrap();
    assert_eq!((digits.columns(), digits.rows(), digits.cell(1, 64)), (65, 1797, "1"));
}

/// Numbers in the sense of the file, which are no numbers to train on, make it a table.
#[test]
fn codes_row_numbers_and_empty_columns_make_a_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let index: String = (0..10).map(|i| format!("{i},{}\n", 5 * i % 7)).collect();
    let keep = {
        let mut options = options();
        options.missing = Missing::Keep;
        options
    };
    for (text, is_table) in [
        ("zip,a\n01067,1\n80331,2\n".to_owned(), true),
        ("x,a\n00.5,1\n01,2\n".to_owned(), false),
        (format!(",a\n{index}"), true),
        (format!("i,a\n{index}"), false),
        ("a,b,\n1,2,\n3,4,\n".to_owned(), true),
    ] {
        std::fs::write(&path, &text).unwrap();
        for options in [&options(), &keep] {
            let content = read_content(&path, options).unwrap();
            assert_eq!(matches!(content, Content::Table(_)), is_table, "{text}");
        }
    }
    // The label may be anything.
    let mut labelled = options();
    labelled.label = Some("zip".to_owned());
    std::fs::write(&path, "zip,a\n01067,1\n80331,2\n").unwrap();
    assert!(matches!(read_content(&path, &labelled).unwrap(), Content::Numbers(_)));
    std::fs::write(&path, "a,b\n1,\n,2\n").unwrap();
    let error = read_content(&path, &options()).unwrap_err().to_string();
    assert!(error.contains("the value is missing (2 in all)"), "{error}");
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
        let schema = Schema::infer(&again, &ColumnRoles::default()).unwrap();
        assert_eq!(schema.feature_names(), ["n", "text=a, \"b\"", "text=é", "flag"], "{name}");
    }
    let error = write_table(&table, folder.path().join("t.npy")).unwrap_err().to_string();
    assert!(error.contains("NumPy files hold numbers only"), "{error}");
    assert!(write_table(&table, folder.path().join("t-ubyte")).is_err());
}

/// Texts with what usually separates cells, and one like a line that names the delimiter.
#[test]
fn texts_with_other_delimiters_come_back() {
    let folder = tempfile::tempdir().unwrap();
    for (names, columns) in [
        (vec!["a;b;c"], vec![vec!["x|y|z", "1;2;3"]]),
        (vec!["sep=;"], vec![vec!["x", "y"]]),
        (vec!["n", "genres"], vec![vec!["1", "2.5"], vec!["a|b", "c|d"]]),
        (vec!["tab\there", "k"], vec![vec!["1,5", "2,5"], vec!["1", ""]]),
    ] {
        let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
        let table = Table::new(names, &columns).unwrap();
        for name in ["t.csv", "t.tsv"] {
            let path = folder.path().join(name);
            write_table(&table, &path).unwrap();
            let again = read_table(path, &options()).unwrap();
            assert_eq!(again.names(), table.names(), "{name}");
            assert_eq!(again.rows(), 2, "{name}");
            for row in 0..2 {
                assert!(again.row(row).eq(table.row(row)), "{name}, {:?}", table.names());
            }
        }
    }
}

/// Columns of the same name would be taken for each other.
#[test]
fn a_parquet_file_with_two_columns_of_one_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let names = ["aa", "ab"].map(str::to_owned).to_vec();
    write_table(&Table::new(names, &[vec!["x", "y"], vec!["p", "q"]]).unwrap(), &path).unwrap();
    // The writer refuses it, so the name is changed in the file.
    let mut bytes = std::fs::read(&path).unwrap();
    let places: Vec<usize> = (1..bytes.len()).filter(|at| bytes[at - 1..=*at] == *b"ab").collect();
    places.iter().for_each(|at| bytes[*at] = b'a');
    std::fs::write(&path, &bytes).unwrap();
    for error in [
        read_table(&path, &options()).unwrap_err(),
        read_content(&path, &options()).unwrap_err(),
        read(&path, &options()).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(text.contains("t.parquet") && text.contains("two columns are named 'aa'"), "{text}");
    }
}

/// More rows than are decoded at a time, all of them different.
#[test]
fn long_columns_of_numbers_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let rows = Dataset::new((0..80_000u32).map(|i| i as f32).collect(), 2).unwrap();
    for name in ["t.parquet", "t.npy", "t.npz"] {
        let path = folder.path().join(name);
        write(&rows, &path).unwrap();
        assert!(read(path, &options()).unwrap().values() == rows.values(), "{name}");
    }
}

/// Every third cell is missing, starting from a different row in each kind of column.
#[test]
fn long_columns_with_holes_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.parquet");
    let cells = |first: usize, text: fn(usize) -> String| -> Vec<String> {
        (0..40_000).map(|row| if row % 3 == first { String::new() } else { text(row) }).collect()
    };
    let columns =
        [cells(0, |i| i.to_string()), cells(1, |i| format!("{i}.5")), cells(2, |i| format!("x{i}"))];
    let names = ["whole", "half", "text"].map(str::to_owned).to_vec();
    write_table(&Table::new(names, &columns).unwrap(), &path).unwrap();
    let table = read_table(&path, &options()).unwrap();
    for (index, column) in columns.iter().enumerate() {
        assert!(table.column(index).eq(column), "column {index}");
    }
    let mut numbers = options();
    (numbers.missing, numbers.ignored_columns) = (Missing::Keep, vec!["text".to_owned()]);
    let rows = read(&path, &numbers).unwrap();
    assert_eq!(rows.rows(), 40_000);
    for (i, row) in rows.iter_rows().enumerate() {
        let is = |x: f32, known: bool, value: f32| if known { x == value } else { x.is_nan() };
        assert!(
            is(row[0], i % 3 != 0, i as f32) && is(row[1], i % 3 != 1, i as f32 + 0.5),
            "row {i}: {row:?}"
        );
    }
}

#[test]
fn messages_about_cells_name_the_line_of_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, "a,b\n1,2\n\nz,y\n").unwrap();
    let table = read_table(&path, &options()).unwrap();
    let roles = ColumnRoles { numeric: vec!["a".to_owned()], ..ColumnRoles::default() };
    let schema = Schema::infer(&table, &roles).unwrap();
    for (table, says) in [
        (table.select_rows(&[1]), "row 1 (line 4), column 'a': 'z' is not a number"),
        (table, "row 2 (line 4), column 'a': 'z' is not a number"),
    ] {
        let error = schema.encode(&table, None).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

/// A column of each type of a Parquet file keeps it on the way through a schema.
#[test]
fn stored_types_are_kept() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("again.parquet");
    let types = |table: &Table| (0..table.columns()).map(|i| table.stored_type(i)).collect::<Vec<_>>();
    let stamp = |unit, utc| Some(StoredType::Timestamp { unit, utc });
    let integer = |bits, signed| Some(StoredType::Integer { bits, signed });
    let decimal = |precision, scale| Some(StoredType::Decimal { precision, scale });
    let cases = [
        (
            "times.parquet",
            vec![
                Some(StoredType::Date),
                stamp(StoredUnit::Millis, false),
                stamp(StoredUnit::Micros, false),
                stamp(StoredUnit::Nanos, false),
                stamp(StoredUnit::Micros, true),
            ],
        ),
        ("whole.parquet", vec![integer(64, true), integer(64, false)]),
        ("decimal.parquet", vec![decimal(10, 0)]),
    ];
    for (name, expected) in cases {
        let table = read_table(golden.join(name), &options()).unwrap();
        assert_eq!(types(&table)[..expected.len()], expected, "{name}");
        write_table(&table, &path).unwrap();
        let again = read_table(&path, &options()).unwrap();
        assert_eq!(types(&again), types(&table), "{name}");
        assert!((0..table.rows()).all(|row| again.row(row).eq(table.row(row))), "{name}");
    }
    let table = read_table(golden.join("snappy.parquet"), &options()).unwrap();
    let schema = Schema::infer(&table, &ColumnRoles::default()).unwrap();
    let json = serde_json::to_string(&schema).unwrap();
    assert!(json.contains(r#""stored":{"integer":{"bits":32,"signed":false}}"#), "{json}");
    let schema: Schema = serde_json::from_str(&json).unwrap();
    let decoded = schema.decode(&schema.encode(&table, None).unwrap().rows).unwrap();
    write_table(&decoded, &path).unwrap();
    assert_eq!(types(&read_table(&path, &options()).unwrap()), types(&table));
    // The nearest value of the type: the column `u` is not negative.
    let mut row = schema.encode(&table, None).unwrap().rows.row(0).unwrap().to_vec();
    row[3] = -7.0;
    assert_eq!(schema.decode(&Dataset::new(row, schema.width()).unwrap()).unwrap().cell(0, 3), "0");
    // A table without types gets those of the schema.
    let untyped = folder.path().join("untyped.csv");
    write_table(&table, &untyped).unwrap();
    let untyped = read_table(&untyped, &options()).unwrap();
    assert_eq!(types(&untyped), [None; 7]);
    let filled = schema.fill_missing(&untyped, None, &schema.encode(&table, None).unwrap().rows).unwrap();
    assert_eq!(types(&filled), types(&table));
    let impossible = json.replace(r#""bits":32"#, r#""bits":33"#);
    let error = serde_json::from_str::<Schema>(&impossible).unwrap_err().to_string();
    assert!(error.contains("has an impossible type"), "{error}");
}
