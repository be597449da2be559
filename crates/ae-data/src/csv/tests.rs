use proptest::prelude::*;

use super::*;
use crate::read::Missing;
use crate::split::Rng;

fn parse_bytes(bytes: &[u8], options: &ReadOptions) -> Result<Dataset, String> {
    read(bytes, Path::new("t.csv"), None, options).map(|read| read.rows).map_err(|error| error.to_string())
}

fn parse_text(text: &str, options: &ReadOptions) -> Result<Dataset, String> {
    parse_bytes(text.as_bytes(), options)
}

fn labelled(name: &str) -> ReadOptions {
    ReadOptions { label: Some(name.to_owned()), ..ReadOptions::default() }
}

/// Text, and the values, number of features and names that it holds.
type Form<'a> = (&'a str, &'a [f32], usize, Option<&'a [&'a str]>);

#[test]
fn forms_of_tables() {
    let auto = ReadOptions::default();
    let cases: [Form; 17] = [
        ("1,2\n3,4\n", &[1.0, 2.0, 3.0, 4.0], 2, None),
        ("1,2\n3,4", &[1.0, 2.0, 3.0, 4.0], 2, None),
        ("a,b\r\n1,2\r\n", &[1.0, 2.0], 2, Some(&["a", "b"])),
        ("\u{feff}a;b\n1.5;-2e3\n", &[1.5, -2000.0], 2, Some(&["a", "b"])),
        ("a\tb\n1\t2\n", &[1.0, 2.0], 2, Some(&["a", "b"])),
        ("1|2|3\n4|5|6\n", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3, None),
        ("\"a, b\",\"c \"\"d\"\"\"\n\"1\", 2 \n", &[1.0, 2.0], 2, Some(&["a, b", "c \"d\""])),
        ("\"a;x;y\",\"b;z;w\"\n1,2\n", &[1.0, 2.0], 2, Some(&["a;x;y", "b;z;w"])),
        ("x\n\n1\n\n2\n\n", &[1.0, 2.0], 1, Some(&["x"])),
        ("a,b\n1,2\n  \n3,4\n \t\n", &[1.0, 2.0, 3.0, 4.0], 2, Some(&["a", "b"])),
        ("1\n", &[1.0], 1, None),
        ("a,\n1,2\n", &[1.0, 2.0], 2, Some(&["a", "column 2"])),
        (",a\n0,1\n1,2\n", &[0.0, 1.0, 1.0, 2.0], 2, Some(&["column 1", "a"])),
        ("a,2020\n1,2\n", &[1.0, 2.0], 2, Some(&["a", "2020"])),
        ("+1,.5,5.\n1E2,-0,1e-3\n", &[1.0, 0.5, 5.0, 100.0, -0.0, 0.001], 3, None),
        ("\"line\nbreak\",b\n1,2\n", &[1.0, 2.0], 2, Some(&["line\nbreak", "b"])),
        ("inf,-Infinity\n", &[f32::INFINITY, f32::NEG_INFINITY], 2, None),
    ];
    for (text, values, features, names) in cases {
        let dataset = parse_text(text, &auto).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!((dataset.values(), dataset.features()), (values, features), "{text:?}");
        let expected = names.map(|names| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
        assert_eq!(dataset.names().map(<[String]>::to_vec), expected, "{text:?}");
    }
}

#[test]
fn options_override_what_is_found_out() {
    let with = |change: &dyn Fn(&mut ReadOptions)| {
        let mut options = ReadOptions::default();
        change(&mut options);
        options
    };
    let dataset = parse_text("1,2\n3,4\n", &with(&|o| o.header = Some(true))).unwrap();
    assert_eq!((dataset.rows(), dataset.names().unwrap()), (1, &["1".to_owned(), "2".to_owned()][..]));
    let dataset = parse_text("1 2\n3 4\n", &with(&|o| o.delimiter = Some(b' '))).unwrap();
    assert_eq!(dataset.values(), [1.0, 2.0, 3.0, 4.0]);
    let error = parse_text("a,b\n1,2\n", &with(&|o| o.header = Some(false))).unwrap_err();
    assert_eq!(error, "t.csv: row 1 (line 1), column 1: 'a' is not a number");
}

#[test]
fn only_wanted_columns_are_looked_at() {
    let wanted = |names: &[&str]| {
        let columns = Some(names.iter().map(|name| (*name).to_owned()).collect());
        ReadOptions { columns, ..ReadOptions::default() }
    };
    let text = "a,town,b\n1,Aue,2\n3,Bern,4\n";
    let rows = parse_text(text, &wanted(&["b", "a"])).unwrap();
    assert_eq!(
        (rows.values(), rows.names().unwrap()),
        (&[1.0, 2.0, 3.0, 4.0][..], &["a".into(), "b".into()][..])
    );
    // If one of them is absent, all columns are read.
    assert!(parse_text(text, &wanted(&["a", "c"])).unwrap_err().contains("'Aue' is not a number"));
}

/// With several columns a line of spaces is blank; with a single one it is a row.
#[test]
fn empty_cells_of_a_single_column_are_rows() {
    let keep = ReadOptions { missing: Missing::Keep, ..ReadOptions::default() };
    let rows = parse_text("x\n1\n\"\"\n  \n3\n", &keep).unwrap();
    assert_eq!((rows.rows(), rows.values()[0], rows.values()[3]), (4, 1.0, 3.0));
    assert!(rows.values()[1..3].iter().all(|x| x.is_nan()));
}

#[test]
fn labels_are_a_column_by_name_or_number() {
    let cases: [(&str, &str, &[f32], &[&str]); 6] = [
        ("a,kind\n1,x\n2,y\n3,x\n", "kind", &[1.0, 2.0, 3.0], &["x", "y", "x"]),
        ("9,1\n8,2\n", "1", &[1.0, 2.0], &["9", "8"]),
        // Text in every row of a column makes no header.
        ("5.1,3.5,setosa\n4.9,3,virginica\n", "3", &[5.1, 3.5, 4.9, 3.0], &["setosa", "virginica"]),
        ("1,no\n", "2", &[1.0], &["no"]),
        ("kind,2020\nx,1\ny,2\n", "kind", &[1.0, 2.0], &["x", "y"]),
        ("a,2\n1,5\n", "2", &[1.0], &["5"]),
    ];
    for (text, label, values, labels) in cases {
        let dataset = parse_text(text, &labelled(label)).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let found: Vec<&str> = (0..dataset.rows()).filter_map(|i| dataset.labels()?.name_of(i)).collect();
        assert_eq!((dataset.values(), &found[..]), (values, labels), "{text:?}");
    }
}

#[test]
fn row_ids_are_a_column_by_name_or_number() {
    let with_id = |id: &str, label: Option<&str>| ReadOptions {
        id: Some(id.to_owned()),
        label: label.map(str::to_owned),
        ..ReadOptions::default()
    };
    let text = "who,a,kind,b\nA17,1,x,2\n18,3,y,4\n";
    for id in ["who", "1"] {
        let rows = parse_text(text, &with_id(id, Some("kind"))).unwrap();
        assert_eq!((rows.values(), rows.features()), (&[1.0, 2.0, 3.0, 4.0][..], 2));
        assert_eq!(
            (rows.row_id_name(), rows.row_ids().unwrap()),
            (Some("who"), &["A17".into(), "18".into()][..])
        );
        assert_eq!(rows.labels().unwrap().names(), ["x", "y"]);
    }
    // Digits beyond the precision of floats are kept; text above a number in this column makes no
    // header.
    let rows = parse_text("A1,1\n9007199254740993,2\n", &with_id("1", None)).unwrap();
    assert_eq!((rows.values(), rows.row_id_name()), (&[1.0, 2.0][..], Some("id")));
    assert_eq!(rows.row_ids().unwrap(), ["A1", "9007199254740993"]);
    // Errors count columns as in the file.
    let error = parse_text("u,v,1,2\nu,v,1,\n", &with_id("1", Some("2"))).unwrap_err();
    assert!(error.contains("row 2") && error.contains("column 4"), "{error}");
    let error = parse_text("a,b\n1,2\n", &with_id("a", Some("b"))).unwrap_err();
    assert!(error.contains("no column besides"), "{error}");
    let error = parse_text("a,b\n1,2\n", &with_id("c", None)).unwrap_err();
    assert!(error.contains("no column 'c'"), "{error}");
    // One column may be both.
    let rows = parse_text(text, &with_id("kind", Some("kind"))).unwrap_err();
    assert!(rows.contains("A17"), "{rows}");
    let rows = parse_text("a,b\n1,2\n", &with_id("a", Some("a"))).unwrap();
    assert_eq!(
        (rows.values(), rows.labels().unwrap().names(), rows.row_ids().unwrap()),
        (&[2.0][..], &["1".into()][..], &["1".into()][..])
    );
}

#[test]
fn missing_values_have_many_spellings() {
    let text = "a,b\n1,\nNA,n/a\nNaN,-nan\nNULL,None\n?,-\n";
    let keep = ReadOptions { missing: Missing::Keep, ..ReadOptions::default() };
    let dataset = parse_text(text, &keep).unwrap();
    assert_eq!(dataset.values().iter().filter(|x| x.is_nan()).count(), 9);
    let error = parse_text(text, &ReadOptions::default()).unwrap_err();
    assert_eq!(error, "t.csv: row 1, column 'b': the value is missing (9 in all)");
}

#[test]
fn errors_say_where() {
    let auto = ReadOptions::default();
    let long = format!("a\n1\n{}\n", "x\u{1b}".repeat(50));
    let cut = format!("t.csv: row 2 (line 3), column 'a': '{}...' is not a number", "x\u{fffd}".repeat(20));
    let cases: [(&str, &ReadOptions, &str); 28] = [
        ("", &auto, "t.csv: no rows"),
        ("\n\n", &auto, "t.csv: no rows"),
        ("a,b\n", &auto, "t.csv: no rows"),
        ("a,b\n1,2\n3\n", &auto, "t.csv: row 2 (line 3) has 1 cells, but 2 are expected"),
        ("a,b\n1,2\n\n3,4,5\n", &auto, "t.csv: row 2 (line 4) has 3 cells, but 2 are expected"),
        ("a,b\r\n1,2\r\n3\r\n", &auto, "t.csv: row 2 (line 3) has 1 cells, but 2 are expected"),
        ("a,b\r\n1,2\r\n\r\n3", &auto, "t.csv: row 2 (line 4) has 1 cells, but 2 are expected"),
        ("a,b\n\n1,2\n\n\n3", &auto, "t.csv: row 2 (line 6) has 1 cells, but 2 are expected"),
        ("a,\"b\nc\"\n1,\"2\"\n3", &auto, "t.csv: row 2 (line 4) has 1 cells, but 2 are expected"),
        ("a,b\r\n\"1\",2\r\n\r\n3\r\n", &auto, "t.csv: row 2 (line 4) has 1 cells, but 2 are expected"),
        (
            "a,b\n1,red\n,\n3,blue\n",
            &auto,
            "t.csv: row 1 (line 2), column 'b': 'red' is not a number; the column holds text: remove it from the file, or use it as the label or the row ids",
        ),
        (
            "a,b,c\n1,red,x\n",
            &labelled("c"),
            "t.csv: row 1 (line 2), column 'b': 'red' is not a number; the column holds text: remove it from the file",
        ),
        ("a,b\n1,2\n3,4x\n", &auto, "t.csv: row 2 (line 3), column 'b': '4x' is not a number"),
        ("c,a\nx,4x\ny,2\n", &labelled("c"), "t.csv: row 1 (line 2), column 'a': '4x' is not a number"),
        ("x,1,2\ny,3,4x\n", &labelled("1"), "t.csv: row 2 (line 2), column 3: '4x' is not a number"),
        (&long, &auto, &cut),
        (
            "a;b\n1;2,5\n",
            &auto,
            "t.csv: row 1 (line 2), column 'b': '2,5' is not a number; numbers must have a decimal point and no thousands separators",
        ),
        (
            "1,5;2,5\n3,5;4,5\n",
            &auto,
            "t.csv: row 1 (line 1), column 1: '1,5' is not a number; numbers must have a decimal point and no thousands separators",
        ),
        ("a,b\n1,\n,4\n", &auto, "t.csv: row 1, column 'b': the value is missing (2 in all)"),
        ("1,2\n3,NaN\n", &auto, "t.csv: row 2, column 2: the value is missing"),
        ("9,1\n8,\n", &labelled("1"), "t.csv: row 2, column 2: the value is missing"),
        ("a\n1e39\n", &auto, "t.csv: row 1, column 'a': 1e39 does not fit a 32-bit float"),
        ("1,-1e400\n", &auto, "t.csv: row 1, column 2: -1e400 does not fit a 32-bit float"),
        ("a,a\n1,2\n", &auto, "t.csv: not a valid CSV file: two columns are named 'a'"),
        ("a,b\n1,2\n", &labelled("c"), "t.csv: no column 'c'; there are 'a', 'b'"),
        ("1,2\n1,2\n", &labelled("3"), "t.csv: no column '3'; there are '1', '2'"),
        ("1,2\n1,2\n", &labelled("0"), "t.csv: no column '0'; there are '1', '2'"),
        ("a\n1\n", &labelled("a"), "t.csv: not a valid CSV file: there is no column besides the label"),
    ];
    for (text, options, message) in cases {
        assert_eq!(parse_text(text, options).unwrap_err(), message, "{text:?}");
    }
}

#[test]
fn other_encodings_are_refused() {
    let cases: [(&[u8], &str); 5] = [
        (
            b"\xff\xfea\0,\0b\0",
            "t.csv: not a valid CSV file: it is UTF-16, but UTF-8 is needed: iconv -f utf-16 -t utf-8 converts it",
        ),
        (
            b"\xfe\xff\0a\0,\0b",
            "t.csv: not a valid CSV file: it is UTF-16, but UTF-8 is needed: iconv -f utf-16 -t utf-8 converts it",
        ),
        (
            b"a,gr\xf6\xdfe\n1,2\n",
            "t.csv: not a valid CSV file: the name of column 2 is not UTF-8; if the file is Latin-1, iconv -f windows-1252 -t utf-8 converts it",
        ),
        (
            b"a,k\n1,\xe9\n",
            "t.csv: not a valid CSV file: the label of row 1 (line 2) is not UTF-8; if the file is Latin-1, iconv -f windows-1252 -t utf-8 converts it",
        ),
        (b"k,a\nx,1\ny,\xe9\n", "t.csv: row 2 (line 3), column 'a': '\u{fffd}' is not a number"),
    ];
    for (bytes, message) in cases {
        assert_eq!(parse_bytes(bytes, &labelled("k")).unwrap_err(), message);
    }
}

#[test]
fn decimal_commas_and_marks_of_missing_values_are_options() {
    let european = ReadOptions {
        decimal: Some(b','),
        thousands: Some(b'.'),
        missing_texts: vec!["-999".to_owned(), "unknown".to_owned()],
        missing: Missing::Keep,
        ..ReadOptions::default()
    };
    let rows = parse_text("a;b\n1,5;1.234,5\n-999,0;7\n", &european).unwrap();
    assert_eq!((rows.names().unwrap(), rows.features()), (&["a", "b"].map(str::to_owned)[..], 2));
    assert_eq!((rows.values()[0], rows.values()[1], rows.values()[3]), (1.5, 1234.5, 7.0));
    assert!(rows.values()[2].is_nan());
    // A comma separates no cells, unless it is asked to.
    assert_eq!(parse_text("1,5\n2,5\n", &european).unwrap().values(), [1.5, 2.5]);
    let commas = ReadOptions { delimiter: Some(b','), ..european.clone() };
    assert_eq!(parse_text("\"1,5\",2\n", &commas).unwrap().values(), [1.5, 2.0]);
    // Row ids stay as they are.
    let named = ReadOptions { id: Some("id".to_owned()), label: Some("b".to_owned()), ..european.clone() };
    let text = "id;a;b\n-999;1,5;x\n1,0;2;unknown\n";
    let rows = parse_text(text, &named).unwrap();
    assert_eq!(rows.row_ids().unwrap(), ["-999", "1,0"]);
    assert_eq!(rows.labels().unwrap().names(), ["", "x"]);
    let table = read_texts(text.as_bytes(), Path::new("t.csv"), None, &named).unwrap();
    assert_eq!(table.row(0).collect::<Vec<_>>(), ["-999", "1.5", "x"]);
    assert_eq!(table.row(1).collect::<Vec<_>>(), ["1,0", "2", ""]);
    let error = "t.csv: row 1 (line 2), column 'a': '1.25' is not a number; \
        where decimals are separated by commas, a point can only group digits";
    assert_eq!(parse_text("a;b\n1.25;2\n", &european).unwrap_err(), error);
    let table = read_texts(&b"a;b\n1.25;2\n"[..], Path::new("t.csv"), None, &european);
    assert_eq!(table.unwrap_err().to_string(), error);
}

#[test]
fn a_first_line_may_name_the_delimiter() {
    let auto = ReadOptions::default();
    for text in ["sep=;\na;b\n1;2\n", "\u{feff}SEP=;\r\na;b\r\n1;2\r\n", "sep=|\na|b\n1|2\n"] {
        let rows = parse_text(text, &auto).unwrap();
        assert_eq!((rows.values(), rows.names().unwrap()[1].as_str()), (&[1.0, 2.0][..], "b"), "{text:?}");
    }
    // Errors count it.
    for (text, says) in [
        ("sep=;\na;b\n1;x\n", "row 1 (line 3), column 'b': 'x'"),
        ("sep=;\na;b\n1;\"x\n", "the quote opened on line 3"),
    ] {
        let error = parse_text(text, &auto).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
    let spaces = ReadOptions { delimiter: Some(b' '), ..auto };
    assert_eq!(parse_text("sep=;\n1 2\n", &spaces).unwrap().values(), [1.0, 2.0]);
}

#[test]
fn comments_before_the_names_are_refused() {
    let auto = ReadOptions::default();
    for (text, line) in [
        ("# exported\na,b\n1,2\n", "line 1 is a comment ('# exported')"),
        ("# a;b\n# of 2024\na;b\n1;2\n", "line 2 is a comment ('# of 2024')"),
    ] {
        let error = parse_text(text, &auto).unwrap_err();
        assert!(error.contains(line), "{error}");
    }
    // NumPy writes the names like that.
    assert_eq!(parse_text("# a,b\n1,2\n", &auto).unwrap().names().unwrap(), ["# a", "b"]);
}

/// A reader that returns one byte at a time, as a slow pipe may.
struct Slowly<'a>(&'a [u8]);

impl Read for Slowly<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.0.len().min(out.len()).min(1);
        out[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

#[test]
fn pipes_are_read_like_files() {
    let text = b"\xef\xbb\xbfa;b\n1;2\n";
    let dataset = read(Slowly(text), Path::new("-"), None, &ReadOptions::default()).unwrap().rows;
    assert_eq!((dataset.values(), dataset.names().unwrap()[0].as_str()), (&[1.0, 2.0][..], "a"));
}

/// More bytes than are inspected, with a record across their end.
#[test]
fn long_files_are_read_whole() {
    let rows = 30_000;
    let text: String = (0..rows).map(|i| format!("{i};0.5\n")).collect();
    let dataset = parse_text(&text, &ReadOptions::default()).unwrap();
    assert_eq!(dataset.rows(), rows);
    assert!(dataset.iter_rows().zip(0u16..).all(|(row, i)| row == [f32::from(i), 0.5]));
    let error = parse_text(&(text + "1;x\n"), &ReadOptions::default()).unwrap_err();
    assert_eq!(error, "t.csv: row 30001 (line 30001), column 2: 'x' is not a number");
}

/// Numbers are rounded once, to the nearest `f32`: this text lies just above the midpoint between 1 and
/// its successor, and the nearest `f64` is that midpoint, which rounds to 1.
#[test]
fn numbers_are_rounded_once() {
    let dataset = parse_text("1.0000000596046447753906251\n", &ReadOptions::default()).unwrap();
    assert_eq!(dataset.values(), [1.0f32.next_up()]);
}

#[test]
fn written_texts_are_the_shortest() {
    let dataset = Dataset::new(vec![1.0, 0.1, -0.0, f32::NAN, f32::INFINITY, 1e-3], 3).unwrap();
    let text = |dataset: &Dataset, delimiter| {
        let mut out = Vec::new();
        write(dataset, &mut out, delimiter).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(text(&dataset, b','), "1,0.1,-0\nnan,inf,0.001\n");
    let names = ["label", "b;c", "d"].map(str::to_owned).to_vec();
    let full = dataset.with_names(names).unwrap().with_labels(Labels::from_texts(["x", "y"])).unwrap();
    assert_eq!(text(&full, b';'), "label;\"b;c\";d;label_1\n1;0.1;-0;x\nnan;inf;0.001;y\n");
}

#[test]
fn no_bytes_cause_a_panic() {
    let good = b"\xef\xbb\xbf\"a\",b;c\n1,\"2\n3\",4\r\n5,6,7\n";
    let sound = b"a,b,k\n1,2.5,x\r\n\"3\",1e3,y\n\nNA,-7,\"z\n\"\n";
    let keep = ReadOptions { missing: Missing::Keep, ..labelled("3") };
    let attempt = |bytes: &[u8]| {
        let _ = parse_bytes(bytes, &ReadOptions::default());
        let _ = parse_bytes(bytes, &keep);
    };
    assert!(parse_bytes(sound, &keep).is_ok());
    let mut rng = Rng::new(1);
    for text in [&good[..], sound] {
        (0..text.len()).for_each(|len| attempt(&text[..len]));
        for _ in 0..3000 {
            let mut bytes = text.to_vec();
            for _ in 0..3 {
                let place = rng.below(bytes.len());
                bytes[place] = rng.next_u64() as u8;
            }
            attempt(&bytes);
        }
    }
    // One field of a few megabytes, closed or not, and a row of a million cells.
    for text in ["9".repeat(3_000_000), format!("\"{}", "a\n".repeat(1_500_000)), ",".repeat(1_000_000)] {
        attempt(text.as_bytes());
    }
}

#[test]
fn a_label_that_looks_like_a_number_makes_no_header() {
    let options = ReadOptions { label: Some("2".to_owned()), ..ReadOptions::default() };
    let read = |text: &str| read(text.as_bytes(), Path::new("t.csv"), Some(b','), &options).unwrap().rows;
    assert_eq!(read("1,aa\n2,na\n3,inf\n").values(), [1.0, 2.0, 3.0]);
    let named = read("x,kind\n1,na\n2,inf\n");
    assert_eq!((named.values(), named.names().unwrap()), (&[1.0, 2.0][..], &["x".to_owned()][..]));
}

proptest! {
    /// Values read back bit for bit.
    #[test]
    fn tables_round_trip(
        bits in proptest::collection::vec(any::<u32>(), 1..60),
        features in 1usize..6,
        names in proptest::option::of(proptest::collection::hash_set("[a-z][a-z,;|\"'é 0-9]{0,6}[x-z]", 6)),
        labels in proptest::option::of(proptest::collection::vec("[a-zA-Zé,\"][ -~é\n]{0,5}[a-z]", 60)),
        tab in any::<bool>(),
    ) {
        let features = features.min(bits.len());
        let rows = bits.len() / features;
        let values: Vec<f32> = bits[..rows * features].iter().map(|bits| f32::from_bits(*bits)).collect();
        let mut dataset = Dataset::new(values, features).unwrap();
        if let Some(names) = &names {
            dataset = dataset.with_names(names.iter().take(features).cloned().collect()).unwrap();
        }
        if let Some(labels) = labels {
            dataset = dataset.with_labels(Labels::from_texts(labels.iter().take(rows))).unwrap();
        }
        let delimiter = if tab { b'\t' } else { b',' };
        let mut out = Vec::new();
        write(&dataset, &mut out, delimiter).unwrap();
        let options = ReadOptions {
            label: dataset.labels().map(|_| (features + 1).to_string()),
            missing: Missing::Keep,
            ..ReadOptions::default()
        };
        // The delimiter is given, since texts like these may contain another candidate more often.
        let back = read(&out[..], Path::new("t.csv"), Some(delimiter), &options).unwrap().rows;
        let canonical = |dataset: &Dataset| -> Vec<u32> {
            dataset.values().iter().map(|x| if x.is_nan() { 0x7fc0_0000 } else { x.to_bits() }).collect()
        };
        prop_assert_eq!(canonical(&back), canonical(&dataset));
        prop_assert_eq!(back.names(), dataset.names());
        prop_assert_eq!(back.labels(), dataset.labels());
    }
}
