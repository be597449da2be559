//! Formats rows of JSON as Markdown tables.

use serde_json::Value;

/// Formats a cell: strings without quotes, numbers as they are, nothing for null.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(","),
        value => value.to_string(),
    }
}

/// Formats the fields named by `columns` of every row, with text left-aligned and numbers right-aligned.
pub(crate) fn markdown(columns: &[&str], rows: &[Value]) -> String {
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|column| text(&row[column])).collect()).collect();
    let numeric: Vec<bool> = columns
        .iter()
        .map(|column| rows.iter().all(|row| row[column].is_number() || row[column].is_null()))
        .collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|i| cells.iter().map(|row| row[i].chars().count()).max().unwrap_or(0).max(columns[i].len()))
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::from("|");
        for (i, cell) in cells.enumerate() {
            let width = widths[i];
            let padded = if numeric[i] { format!(" {cell:>width$} |") } else { format!(" {cell:<width$} |") };
            line.push_str(&padded);
        }
        line.push('\n');
        line
    };
    let mut out = line(&mut columns.iter().copied());
    out.push('|');
    for (width, numeric) in widths.iter().zip(&numeric) {
        let dashes = "-".repeat(width + 1);
        out.push_str(&if *numeric { format!("{dashes}:|") } else { format!("{dashes}-|") });
    }
    out.push('\n');
    for row in &cells {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn aligned() {
        let rows = [json!({"name": "a", "x": 1.5}), json!({"name": "long", "x": 10, "dims": [1, 2]})];
        let expected = "\
| name |   x | dims |
|------|----:|------|
| a    | 1.5 |      |
| long |  10 | 1,2  |
";
        assert_eq!(markdown(&["name", "x", "dims"], &rows), expected);
    }
}
