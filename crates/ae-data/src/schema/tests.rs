use proptest::prelude::*;

use super::*;
use crate::dataset::Dataset;
use crate::text::parse_boolean;

fn table(columns: &[(&str, &[&str])]) -> Table {
    let names = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    let cells: Vec<Vec<&str>> = columns.iter().map(|(_, cells)| cells.to_vec()).collect();
    Table::new(names, &cells).unwrap()
}

fn mixed() -> Table {
    table(&[
        ("size", &["1.5", "NA", "2.25", "4"]),
        ("colour", &["red", "blue", "", "red"]),
        ("open", &["Yes", "no", "?", "NO"]),
        ("since", &["2019-03-23 20:21:09", "2019-03-01", "", "2019-03-23 20:21"]),
        ("count", &["3", "0", "1", ""]),
    ])
}

fn infer(table: &Table) -> Schema {
    Schema::infer(table, &ColumnRoles::default()).unwrap()
}

fn kinds(schema: &Schema) -> Vec<&'static str> {
    let kind = |column: &Column| match column.kind {
        Kind::Numeric { .. } => "numeric",
        Kind::Boolean { .. } => "boolean",
        Kind::Categorical { .. } => "categorical",
        Kind::Time { .. } => "time",
        Kind::Label => "label",
        Kind::Dropped { reason: DropReason::Identifier } => "identifier",
        Kind::Dropped { reason: DropReason::Empty } => "empty",
        Kind::Dropped { reason: DropReason::Requested } => "asked",
    };
    schema.columns().iter().map(kind).collect()
}

#[test]
fn columns_are_what_their_cells_are() {
    let schema = infer(&mixed());
    assert_eq!(kinds(&schema), ["numeric", "categorical", "boolean", "time", "numeric"]);
    assert_eq!(schema.columns()[0].kind, Kind::Numeric { decimals: Some(2) });
    assert_eq!(schema.columns()[2].kind, Kind::Boolean { no: "no".to_owned(), yes: "Yes".to_owned() });
    assert_eq!(schema.feature_names(), ["size", "colour=blue", "colour=red", "open", "since", "count"]);
    assert_eq!(schema.groups(), [0, 1, 1, 2, 3, 4]);
    assert_eq!(schema.indicators(), [false, true, true, true, false, false]);
    assert!(!schema.is_plain());
}

#[test]
fn what_tells_rows_apart_is_dropped() {
    let ids: Vec<String> = (0..12).map(|i| format!("id {i}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let two: Vec<&str> = (0..12).map(|i| if i % 2 == 0 { "a" } else { "b" }).collect();
    let odd = ["1"; 12].iter().enumerate().map(|(i, _)| if i < 5 { "x1" } else { "7" }).collect::<Vec<_>>();
    let kept =
        table(&[("id", &ids), ("ab", &two), ("none", &["NaN"; 12]), ("mostly", &odd), ("one", &["z"; 12])]);
    assert_eq!(kinds(&infer(&kept)), ["identifier", "categorical", "empty", "numeric", "categorical"]);
    // Few rows are no evidence.
    let few = kept.select_rows(&[0, 1, 2]);
    assert_eq!(kinds(&infer(&few))[0], "categorical");
    let roles = |categorical: &[&str], drop: &[&str], label: Option<&str>| ColumnRoles {
        categorical: categorical.iter().map(|name| (*name).to_owned()).collect(),
        drop: drop.iter().map(|name| (*name).to_owned()).collect(),
        label: label.map(str::to_owned),
        ..ColumnRoles::default()
    };
    let schema = Schema::infer(&kept, &roles(&["id", "4"], &["none"], Some("ab"))).unwrap();
    assert_eq!(kinds(&schema), ["categorical", "label", "asked", "categorical", "categorical"]);
    assert_eq!((schema.width(), schema.label()), (12 + 2 + 1, Some("ab")));
    for (roles, says) in [
        (roles(&["height"], &[], None), "no column 'height'"),
        (roles(&["id"], &["id"], None), "'id' is given two roles"),
        (roles(&["ab"], &[], Some("ab")), "'ab' is given two roles"),
        (roles(&[], &["id", "ab", "none", "mostly", "one"], None), "no column is left"),
    ] {
        let error = Schema::infer(&kept, &roles).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

/// Numbers without the zeros would be others.
#[test]
fn digits_with_leading_zeros_are_codes() {
    let of = |cells: &[&str]| kinds(&infer(&table(&[("a", cells), ("n", &vec!["1"; cells.len()])])))[0];
    assert_eq!(of(&["01067", "80331", "01067"]), "categorical");
    assert_eq!(of(&["007", "x", "12"]), "categorical");
    let distinct: Vec<String> = (0..20).map(|i| format!("{i:03}")).collect();
    assert_eq!(of(&distinct.iter().map(String::as_str).collect::<Vec<_>>()), "identifier");
    for cells in [["0", "10"], ["00.5", "01"], ["0.5", "0"], ["-01", "01"], ["01", "1e3"]] {
        assert_eq!(of(&cells), "numeric", "{cells:?}");
    }
}

#[test]
fn unnamed_columns_that_count_the_rows_are_dropped() {
    let kind_of = |name: &str, start: usize, rows: usize| {
        let counted: Vec<String> = (start..start + rows).map(|i| i.to_string()).collect();
        let counted: Vec<&str> = counted.iter().map(String::as_str).collect();
        kinds(&infer(&table(&[(name, &counted), ("n", &vec!["1"; rows])])))[0]
    };
    for (name, start, rows, expected) in [
        ("column 1", 0, 10, "identifier"),
        ("column 1", 1, 10, "identifier"),
        ("Unnamed: 0", 0, 10, "identifier"),
        ("column 1", 2, 10, "numeric"),
        ("column 1", 0, 9, "numeric"),
        ("id", 0, 10, "numeric"),
    ] {
        assert_eq!(kind_of(name, start, rows), expected, "{name} from {start}");
    }
    // Some rows of a file, by their lines.
    let mut chosen =
        Table::empty(std::path::Path::new(""), 2, Some(["column 1", "n"].map(str::to_owned).into()));
    for row in (0..30).step_by(3) {
        chosen.push(0, &row.to_string());
        chosen.push(1, "1");
        chosen.end_row(row + 2);
    }
    assert_eq!(kinds(&infer(&chosen)), ["identifier", "numeric"]);
    let roles = ColumnRoles { numeric: vec!["column 1".to_owned()], ..ColumnRoles::default() };
    assert_eq!(kinds(&Schema::infer(&chosen, &roles).unwrap()), ["numeric", "numeric"]);
}

#[test]
fn one_day_above_twelve_gives_the_order_of_all() {
    let dates = |cells: &[&str]| table(&[("when", cells), ("n", &vec!["1"; cells.len()])]);
    for (cells, format) in [
        (&["2024/05/01", "2024/05/02"][..], TimeFormat::Slashes),
        (&["01/02/2024", "31/01/2024"], TimeFormat::DayFirst),
        (&["01/02/2024", "01/31/2024"], TimeFormat::MonthFirst),
        (&["01/02/2024 10:00", "31/01/2024"], TimeFormat::DayFirstTime),
        (&["2024-01-01", "01/31/2024"], TimeFormat::MonthFirst),
        (&["2024-01-01 10:00", "01/31/2024"], TimeFormat::MonthFirstTime),
    ] {
        let table = dates(cells);
        let schema = infer(&table);
        assert!(matches!(schema.columns()[0].kind, Kind::Time { format: f, .. } if f == format), "{cells:?}");
        // The schema reads what it writes.
        let rows = schema.encode(&table, None).unwrap().rows;
        let decoded = schema.decode(&rows).unwrap();
        assert_eq!(schema.encode(&decoded, None).unwrap().rows, rows);
        assert!(!table.has_ambiguous_dates(0));
    }
    let ambiguous = dates(&["01/02/2024", "03/04/2024", ""]);
    assert_eq!((kinds(&infer(&ambiguous))[0], ambiguous.has_ambiguous_dates(0)), ("categorical", true));
    let neither = dates(&["31/01/2024", "01/31/2024"]);
    assert_eq!((kinds(&infer(&neither))[0], neither.has_ambiguous_dates(0)), ("categorical", false));
    // One that is no date among many is found, in the order that most of them have.
    let mut cells = vec!["13/01/2024"; 12];
    assert_eq!(dates(&cells).first_without_date(0), None);
    cells.extend(["", "01/31/2024"]);
    assert_eq!(dates(&cells).first_without_date(0), Some((13, "01/31/2024")));
    cells.extend(["later"]);
    assert_eq!(dates(&cells).first_without_date(0), None);
    assert_eq!(dates(&["", "NA"]).first_without_date(0), None);
    // An order that is known applies to dates that do not tell it.
    let schema = infer(&dates(&["01/02/2024", "01/31/2024"]));
    assert_eq!(schema.encode(&ambiguous, None).unwrap().rows.values()[2], 62.0 * 86_400.0);
    let schema = infer(&dates(&["2024-01-01"]));
    assert!(schema.encode(&ambiguous, None).is_err());
}

/// A column of numbers, and one with this many distinct texts, both with this many rows.
fn with_texts(different: usize, rows: usize) -> Table {
    let texts = (0..rows).map(|row| format!("text {}", row % different)).collect();
    Table::new(vec!["size".to_owned(), "text".to_owned()], &[vec!["1".to_owned(); rows], texts]).unwrap()
}

#[test]
fn many_different_texts_are_identifiers() {
    for (different, rows, kind) in [
        (256, 1000, "categorical"),
        (257, 1000, "identifier"),
        (300, 1000, "identifier"),
        (9, 9, "categorical"),
        (10, 10, "identifier"),
        (6, 10, "identifier"),
        (5, 10, "categorical"),
    ] {
        let schema = infer(&with_texts(different, rows));
        assert_eq!(kinds(&schema)[1], kind, "{different} texts in {rows} rows");
    }
}

#[test]
fn categories_that_are_asked_for_have_a_limit_too() {
    let roles = ColumnRoles { categorical: vec!["text".to_owned()], ..ColumnRoles::default() };
    let width = |rows| Schema::infer(&with_texts(rows, rows), &roles).map(|schema| schema.width());
    assert_eq!(width(10_000).unwrap(), 10_001);
    assert_eq!(
        width(10_001).unwrap_err().to_string(),
        "the table: column 'text' has 10001 distinct values; a categorical column can have at most 10000"
    );
}

#[test]
fn half_of_the_cells_make_a_column_one_of_numbers() {
    let halves = table(&[("half", &["1", "x", "2", "y", ""]), ("less", &["1", "x", "y", "z", "2"])]);
    assert_eq!(kinds(&infer(&halves)), ["numeric", "categorical"]);
}

#[test]
fn digits_behind_the_point_are_counted_up_to_nine() {
    for (cells, decimals) in [
        (["1", "20"], Some(0)),
        (["1.25", "3.5"], Some(2)),
        (["x", "0.123456789"], Some(9)),
        (["1", "0.1234567891"], None),
        (["1.5", "2e3"], None),
        (["1.5", "2E3"], None),
    ] {
        let schema = infer(&table(&[("a", &cells)]));
        assert_eq!(schema.columns()[0].kind, Kind::Numeric { decimals }, "{cells:?}");
    }
    let exponents = infer(&table(&[("a", &["1e-3"])]));
    assert_eq!(exponents.columns()[0].text_of(&[0.1]), "0.1");
}

/// If only one of yes and no occurs, the other is spelled like it.
#[test]
fn booleans_of_one_text_have_another() {
    for (text, other) in [
        ("TRUE", "FALSE"),
        ("False", "True"),
        ("false", "true"),
        ("yes", "no"),
        ("NO", "YES"),
        ("No", "Yes"),
        ("Yes", "No"),
    ] {
        let (no, yes) = if parse_boolean(text) == Some(true) { (other, text) } else { (text, other) };
        let expected = Kind::Boolean { no: no.to_owned(), yes: yes.to_owned() };
        assert_eq!(infer(&table(&[("a", &[text, text])])).columns()[0].kind, expected);
    }
}

#[test]
fn between_two_texts_the_first_or_yes() {
    let schema = infer(&mixed());
    assert_eq!(schema.columns()[1].text_of(&[0.25, 0.25]), "blue");
    assert_eq!(schema.columns()[2].text_of(&[0.5]), "Yes");
}

#[test]
fn tables_come_back() {
    let schema = infer(&mixed());
    let encoded = schema.encode(&mixed(), None).unwrap();
    assert!(encoded.unknown.is_empty() && encoded.unexpected.is_empty() && !encoded.by_position);
    let first = encoded.rows.row(0).unwrap();
    assert_eq!(first, [1.5, 0.0, 1.0, 1.0, 22.0 * 86_400.0 + 73_269.0, 3.0]);
    assert!(encoded.rows.row(2).unwrap()[1..5].iter().all(|x| x.is_nan()));
    let decoded = schema.decode(&encoded.rows).unwrap();
    let expected = table(&[
        ("size", &["1.50", "", "2.25", "4.00"]),
        ("colour", &["red", "blue", "", "red"]),
        ("open", &["Yes", "no", "", "no"]),
        ("since", &["2019-03-23 20:21:09", "2019-03-01 00:00:00", "", "2019-03-23 20:21:00"]),
        ("count", &["3", "0", "1", ""]),
    ]);
    for column in 0..5 {
        assert_eq!(decoded.column(column).collect::<Vec<_>>(), expected.column(column).collect::<Vec<_>>());
    }
}

/// Values in between become the nearest ones of their column.
#[test]
fn rebuilt_values_are_of_their_columns() {
    let schema = infer(&mixed());
    let rows = Dataset::new(vec![-0.001, 0.3, 0.2, 0.49, 0.6, 2.5001], 6).unwrap();
    let texts: Vec<String> = schema.decode(&rows).unwrap().row(0).map(str::to_owned).collect();
    assert_eq!(texts, ["0.00", "blue", "no", "2019-03-01 00:00:01", "3"]);
    assert!(schema.decode(&Dataset::new(vec![0.0; 5], 5).unwrap()).is_err());
}

#[test]
fn only_missing_cells_are_filled() {
    let schema = infer(&mixed());
    let rows = Dataset::new([9.0, 1.0, 0.0, 1.0, 0.0, 7.4].repeat(4), 6).unwrap();
    let filled = schema.fill_missing(&mixed(), None, &rows).unwrap();
    assert_eq!(filled.column(0).collect::<Vec<_>>(), ["1.5", "9.00", "2.25", "4"]);
    assert_eq!(filled.row(2).collect::<Vec<_>>(), ["2.25", "blue", "Yes", "2019-03-01 00:00:00", "1"]);
    assert!(schema.fill_missing(&mixed().select_rows(&[0]), None, &rows).is_err());
}

#[test]
fn missing_cells_are_those_of_columns_with_features() {
    let roles = ColumnRoles { drop: vec!["colour".to_owned()], ..ColumnRoles::default() };
    let schema = Schema::infer(&mixed(), &roles).unwrap();
    assert_eq!(schema.missing_cells(&mixed(), None).unwrap(), 4);
    assert_eq!(schema.missing_cells(&mixed().select_rows(&[2, 3]), None).unwrap(), 3);
}

#[test]
fn labels_are_a_last_column() {
    let schema = infer(&mixed());
    let table = schema.decode(&schema.encode(&mixed(), Some("count")).unwrap().rows).unwrap();
    assert_eq!((table.find("label").unwrap(), table.cell(0, 5), table.cell(2, 5)), (5, "3", "1"));
}

#[test]
fn order_of_columns_does_not_matter_but_names_do() {
    let schema = infer(&table(&[("a", &["1", "2"]), ("b", &["x", "y"]), ("kind", &["p", "q"])]));
    let turned = table(&[("b", &["y"]), ("more", &["5"]), ("kind", &["q"]), ("a", &["4"])]);
    let encoded = schema.encode(&turned, None).unwrap();
    assert_eq!(encoded.rows.row(0).unwrap(), [4.0, 0.0, 1.0, 0.0, 1.0]);
    assert_eq!(encoded.unexpected, ["more"]);
    let other = table(&[("b", &["y"]), ("c", &["1"])]);
    assert_eq!(
        schema.encode(&other, None).unwrap_err().to_string(),
        "the table: columns 'a', 'kind' are missing; unexpected: 'c'"
    );
    // The label column may also be a feature.
    let labelled = schema.encode(&turned, Some("b")).unwrap().rows;
    assert_eq!(labelled.values(), encoded.rows.values());
    assert_eq!(labelled.labels().unwrap().name_of(0), Some("y"));
    let bare = |columns| {
        let mut bare = Table::empty(std::path::Path::new(""), columns, None);
        (0..columns).for_each(|column| bare.push(column, ["7", "x", "q", "1"][column]));
        bare.end_row(1);
        bare
    };
    let encoded = schema.encode(&bare(3), None).unwrap();
    assert!(encoded.by_position);
    assert_eq!(encoded.rows.row(0).unwrap(), [7.0, 1.0, 0.0, 0.0, 1.0]);
    assert!(schema.encode(&bare(2), None).unwrap_err().to_string().contains("has no header"));
    assert_eq!(schema.encode(&bare(4), Some("4")).unwrap().rows.labels().unwrap().name_of(0), Some("1"));
}

#[test]
fn texts_that_nobody_knows() {
    let schema = infer(&mixed());
    let new = table(&[
        ("size", &["1", "2"]),
        ("colour", &["green", "green"]),
        ("open", &["maybe", "TRUE"]),
        ("since", &["2020-01-01", "2020-01-01"]),
        ("count", &["1", "2"]),
    ]);
    let encoded = schema.encode(&new, None).unwrap();
    assert_eq!(encoded.rows.row(0).unwrap()[1..3], [0.0, 0.0]);
    assert!(encoded.rows.row(0).unwrap()[3].is_nan() && encoded.rows.row(1).unwrap()[3] == 1.0);
    let said: Vec<(&str, usize, &str)> =
        encoded.unknown.iter().map(|u| (u.column.as_str(), u.cells, u.example.as_str())).collect();
    assert_eq!(said, [("colour", 2, "green"), ("open", 1, "maybe")]);
    for (column, text, says) in [
        (0, "x", "row 1, column 'size': 'x' is not a number"),
        (0, "1,5", "numbers must have a decimal point and no thousands separators"),
        (0, "1e39", "does not fit a 32-bit float"),
        (3, "yesterday", "row 1, column 'since': 'yesterday' is not a date or time"),
    ] {
        let wrong = new.replace_cells(|row, at, _| (row == 0 && at == column).then(|| text.to_owned()));
        let error = schema.encode(&wrong, None).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn errors_are_summed_by_column() {
    let schema = infer(&mixed());
    let errors = Dataset::new(vec![1.0, 2.0, 3.0, 4.0, f32::NAN, 6.0], 6).unwrap();
    let sums = schema.sum_by_column(&errors).unwrap();
    assert_eq!(sums.values(), [1.0, 5.0, 4.0, 0.0, 6.0]);
    assert_eq!(sums.names().unwrap()[1], "colour");
}

#[test]
fn schemas_are_written_and_read_and_checked() {
    let schema = infer(&mixed()).with_quantiles(&mixed()).unwrap();
    let json = serde_json::to_string(&schema).unwrap();
    assert_eq!(serde_json::from_str::<Schema>(&json).unwrap(), schema);
    assert!(json.contains(r#"{"name":"colour","kind":{"categorical":{"levels":["blue","red"]}}}"#), "{json}");
    for (from, to, says) in [
        (r#"["blue","red"]"#, r#"["red","blue"]"#, "not sorted"),
        (r#"["blue","red"]"#, "[]", "no levels"),
        (r#""name":"count""#, r#""name":"size""#, "two columns are named 'size'"),
        (r#""values":[0.0,1.0,3.0]"#, r#""values":[0.0,1.0,1.0]"#, "not strictly increasing"),
        (r#""values":[0.0,1.0,3.0]"#, r#""values":[0.0,1.0]"#, "not strictly increasing"),
    ] {
        assert!(json.contains(from), "{from} in {json}");
        let error = serde_json::from_str::<Schema>(&json.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn quantiles_are_undone_on_the_way_out() {
    let plain = infer(&mixed());
    let schema = plain.clone().with_quantiles(&mixed()).unwrap();
    let encoded = schema.encode(&mixed(), None).unwrap().rows;
    assert_eq!(encoded.row(0).unwrap()[1..4], [0.0, 1.0, 1.0]);
    assert!(encoded.row(0).unwrap()[0] < encoded.row(2).unwrap()[0]);
    let back = schema.decode(&encoded).unwrap();
    let straight = plain.decode(&plain.encode(&mixed(), None).unwrap().rows).unwrap();
    assert_eq!(back, straight);
}

proptest! {
    /// Whatever texts a table holds: if a schema can be inferred, decoding and encoding again gives the
    /// same features.
    #[test]
    fn any_table_comes_back(
        cells in prop::collection::vec(
            prop::collection::vec("(|NA|[a-c]|-?[0-9]{1,4}(\\.[0-9]{1,3})?|true|No|2[0-9]{3}-0[1-9]-1[0-9])", 12),
            1..5,
        ),
    ) {
        let names: Vec<String> = (0..cells.len()).map(|i| format!("x{i}")).collect();
        let table = Table::new(names, &cells).unwrap();
        let Ok(schema) = Schema::infer(&table, &ColumnRoles::default()) else { return Ok(()) };
        let Ok(encoded) = schema.encode(&table, None) else { return Ok(()) };
        prop_assert!(encoded.unknown.is_empty());
        let decoded = schema.decode(&encoded.rows).unwrap();
        let again = schema.encode(&decoded, None).unwrap().rows;
        for (a, b) in again.values().iter().zip(encoded.rows.values()) {
            prop_assert!(a == b || a.is_nan() && b.is_nan());
        }
    }
}
