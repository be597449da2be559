//! Tables with columns of any kind: remarks on them, encoding them, and writing rows of a model as
//! tables.

use ae_data::{ColumnRoles, DataError, Dataset, DropReason, Encoded, Kind, Schema, Table};
use ae_eval::IMPUTATION_ROUNDS;
use ae_model::Autoencoder;
use serde_json::{Map, Value, json};

use crate::args::DataArgs;
use crate::failure::{Failure, notation_hint};
use crate::inputs::{TableDestination, supports_row_ids};
use crate::output::Output;

/// Names to show of a long list.
const MAX_LISTED: usize = 8;

/// One line per kind of column: how many there are, and their names.
pub(crate) fn column_lines(schema: &Schema) -> Vec<String> {
    let mut lines = Vec::new();
    for name in ["numbers", "booleans", "categories", "times", "label", "dropped"] {
        let names: Vec<String> = schema
            .columns()
            .iter()
            .filter(|column| kind_name(&column.kind) == name)
            .map(|column| match &column.kind {
                Kind::Categorical { levels } => format!("{} ({})", column.name, levels.len()),
                _ => column.name.clone(),
            })
            .collect();
        if names.is_empty() {
            continue;
        }
        let more = if names.len() > MAX_LISTED { ", ..." } else { "" };
        let shown = names[..names.len().min(MAX_LISTED)].join(", ");
        lines.push(format!("{name:<14}{}: {shown}{more}", names.len()));
    }
    lines
}

/// What a column holds, as text.
fn kind_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Numeric { .. } => "numbers",
        Kind::Boolean { .. } => "booleans",
        Kind::Categorical { .. } => "categories",
        Kind::Time { .. } => "times",
        Kind::Label => "label",
        _ => "dropped",
    }
}

/// A cell with digits from the column of this name.
fn example<'t>(table: &'t Table, name: &str) -> Option<&'t str> {
    table.column(table.find(name).ok()?).find(|text| text.contains(|c: char| c.is_ascii_digit()))
}

/// Whether 90 % of a column's known cells look like amounts, percentages or dates, but not numbers.
fn looks_like_number_or_date(table: &Table, name: &str) -> bool {
    let Ok(column) = table.find(name) else { return false };
    let of_numbers = |c: char| c.is_ascii_digit() || c.is_whitespace() || "$€£¥%.,'/-+:".contains(c);
    let (mut known, mut counted) = (0usize, 0usize);
    for text in table.column(column).filter(|text| !text.is_empty()) {
        known += 1;
        let is_number = text.parse::<f64>().is_ok();
        let has_digits = text.contains(|c: char| c.is_ascii_digit());
        counted += usize::from(!is_number && has_digits && text.chars().all(of_numbers));
    }
    10 * counted >= 9 * known && known > 0
}

/// Remarks on a first row of 0, 1, 2, ..., which some programs write as names of unnamed columns.
pub(crate) fn remark_numbers_for_names(rows: &Dataset, location: &str, out: &Output) {
    let first = rows.row(0).unwrap_or_default();
    let counts = first.iter().enumerate().all(|(column, x)| *x == column as f32);
    if rows.names().is_none() && counts && first.len() > 1 && rows.rows() > 1 {
        out.note(format!(
            "{location}: the first row, 0, 1, ..., may be column numbers rather than data: --header reads it as column names"
        ));
    }
}

/// Fewest distinct texts for a column of categories to be checked for unread numbers or dates.
const MIN_CHECKED_LEVELS: usize = 10;

/// Remarks on columns that are left out, and on texts that look like numbers or dates; not on those with
/// a role among `roles`.
pub(crate) fn remark_columns(schema: &Schema, table: &Table, roles: &ColumnRoles, out: &Output) {
    remark_unread(schema, table, out);
    let is_categorical =
        |index| roles.categorical.iter().any(|name| table.find(name).is_ok_and(|i| i == index));
    let is_text = |kind: &Kind| {
        matches!(kind, Kind::Categorical { .. } | Kind::Dropped { reason: DropReason::Identifier })
    };
    for (index, column) in schema.columns().iter().enumerate() {
        if is_text(&column.kind) && !is_categorical(index) {
            remark_odd_date(table, index, out);
            remark_codes_and_dates(table, index, out);
        }
    }
    remark_left_out(schema, table, out);
}

/// Remarks on the first cell of a column that is no date, if nearly all others are.
fn remark_odd_date(table: &Table, column: usize, out: &Output) {
    if let Some((row, text)) = table.first_without_date(column) {
        let (location, name) = (table.path().display(), table.name_of(column));
        out.note(format!(
            "{location}, row {}, column '{name}': '{text}' is not a date, so the whole column is read as texts; correct it, or name it \
             with --na-values to read it as missing",
            row + 1
        ));
    }
}

/// Remarks on a column of texts that are codes of digits, or dates of an unknown order.
fn remark_codes_and_dates(table: &Table, column: usize, out: &Output) {
    let (location, name) = (table.path().display(), table.name_of(column));
    if let Some(code) = code(table, column) {
        out.note(format!(
            "{location}, column '{name}': numbers with leading zeros, such as '{code}', are codes, not numbers; --numeric reads \
             them as numbers"
        ));
    }
    let mut known = table.column(column).filter(|text| !text.is_empty());
    if let (true, Some(date)) = (table.has_ambiguous_dates(column), known.next()) {
        out.note(format!(
            "{location}, column '{name}': '{date}' may have the day or the month first, and no other date tells, so these are \
             texts; 2024-05-01 is always a date"
        ));
    }
}

/// Remarks on columns that are left out.
fn remark_left_out(schema: &Schema, table: &Table, out: &Output) {
    let (mut identifiers, mut counts, mut empty) = (Vec::new(), Vec::new(), Vec::new());
    for (index, column) in schema.columns().iter().enumerate() {
        let names = match column.kind {
            Kind::Dropped { reason: DropReason::Identifier } if counts_rows(table, index) => &mut counts,
            Kind::Dropped { reason: DropReason::Identifier } => &mut identifiers,
            Kind::Dropped { reason: DropReason::Empty } => &mut empty,
            _ => continue,
        };
        names.push(column.name.as_str());
    }
    let mut parts = Vec::new();
    for (names, why) in [
        (counts, "it counts the rows; --numeric keeps such a column, --id uses it to identify the rows"),
        (
            identifiers,
            "mostly distinct texts, or more than 256 different ones; --categorical keeps such a column, --id uses it to identify the rows",
        ),
        (empty, "all values are missing"),
    ] {
        if !names.is_empty() {
            parts.push(format!("{} ({why})", names.join(", ")));
        }
    }
    if !parts.is_empty() {
        out.note(format!("{}: columns left out: {}", table.path().display(), parts.join("; ")));
    }
}

/// The first number with leading zeros in a column of which at least half of the known cells are digits.
fn code(table: &Table, column: usize) -> Option<&str> {
    let known = || table.column(column).filter(|text| !text.is_empty());
    let digits = known().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit())).count();
    known().find(|text| is_code(text)).filter(|_| 2 * digits >= known().count())
}

/// Whether a text is a number with leading zeros.
fn is_code(text: &str) -> bool {
    text.len() > 1 && text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a column that identifies rows holds their numbers.
fn counts_rows(table: &Table, column: usize) -> bool {
    table.column(column).all(|text| !is_code(text) && text.parse::<u64>().is_ok())
}

/// Remarks on texts that look like numbers or dates in a format that is not read.
fn remark_unread(schema: &Schema, table: &Table, out: &Output) {
    let location = table.path().display();
    let is_text = |kind: &Kind| match kind {
        Kind::Categorical { levels } => levels.len() >= MIN_CHECKED_LEVELS,
        kind => matches!(kind, Kind::Dropped { reason: DropReason::Identifier }),
    };
    let has_dates = |index| table.has_ambiguous_dates(index) || table.first_without_date(index).is_some();
    let columns = schema.columns().iter().enumerate();
    let unread: Vec<&str> = columns
        .filter(|(_, column)| is_text(&column.kind) && looks_like_number_or_date(table, &column.name))
        .filter(|(index, _)| !has_dates(*index))
        .map(|(_, column)| column.name.as_str())
        .collect();
    if let Some((name, example)) = unread.first().and_then(|name| Some((name, example(table, name)?))) {
        let others = if unread.len() > 1 { " and others" } else { "" };
        out.note(format!(
            "{location}, column '{name}'{others}: these look like numbers or dates in an unsupported format, such as '{example}'; \
             supported are 1234.5 and 2024-05-01{}",
            notation_hint(example)
        ));
    }
}

/// Remarks on columns of large numbers whose differences are below the resolution of 32-bit floats.
pub(crate) fn remark_low_precision(rows: &Dataset, location: &str, out: &Output) {
    #[derive(Clone, Copy)]
    struct Found {
        low: f32,
        high: f32,
        whole: bool,
    }
    let nothing = Found { low: f32::INFINITY, high: f32::NEG_INFINITY, whole: true };
    let mut columns = vec![nothing; rows.features()];
    for row in rows.iter_rows() {
        for (found, &x) in columns.iter_mut().zip(row) {
            found.low = found.low.min(x);
            found.high = found.high.max(x);
            found.whole &= x.is_nan() || x.fract() == 0.0;
        }
    }
    // All integers up to here are exact.
    let exact = (1u32 << f32::MANTISSA_DIGITS) as f32;
    for (column, Found { low, high, whole }) in columns.into_iter().enumerate() {
        let most = low.abs().max(high.abs());
        let (apart, spread) = (f64::from(most.next_up()) - f64::from(most), f64::from(high) - f64::from(low));
        if !most.is_finite()
            || low > high
            || (most < exact && (whole || spread == 0.0))
            || apart * MIN_FLOAT_STEPS <= spread
        {
            continue;
        }
        let name =
            rows.names().map_or_else(|| (column + 1).to_string(), |names| format!("'{}'", names[column]));
        out.note(format!(
            "{location}, column {name}: numbers near {most:e} are {apart} apart in 32-bit floats, and these span only {spread}; \
             subtract an offset first, or their differences are lost"
        ));
    }
}

/// Remarks on columns that number the rows: they identify rows and say nothing about them.
pub(crate) fn remark_numbering(rows: &Dataset, location: &str, out: &Output) {
    if rows.rows() < MIN_NUMBERED_ROWS {
        return;
    }
    let (values, width) = (rows.values(), rows.features());
    for column in 0..width {
        let of_column = || values[column..].iter().step_by(width);
        let spread = values[values.len() - width + column] - values[column];
        // Most columns decrease within the first few rows, so no more of them is read.
        let numbers = spread < MAX_NUMBERING_STEP * rows.rows() as f32
            && of_column().zip(of_column().skip(1)).all(|(x, next)| x < next)
            && of_column().all(|x| x.fract() == 0.0);
        if numbers {
            let name =
                rows.names().map_or_else(|| (column + 1).to_string(), |names| format!("'{}'", names[column]));
            out.note(format!(
                "{location}, column {name}: it seems to number the rows, which says nothing about them; --drop leaves it out, \
                 --id writes it next to the results"
            ));
        }
    }
}

/// Fewest rows for which a column is said to number them.
const MIN_NUMBERED_ROWS: usize = 30;

/// Average step from which on a column counts something other than rows, such as seconds.
const MAX_NUMBERING_STEP: f32 = 10.0;

/// Fewest steps of a 32-bit float that the range of a column must span.
const MIN_FLOAT_STEPS: f64 = 1000.0;

/// Encodes a table as a model's features, and remarks on unknown columns and texts.
pub(crate) fn encode(
    schema: &Schema,
    table: &Table,
    args: &DataArgs,
    allow_missing: bool,
    out: &Output,
) -> Result<Dataset, DataError> {
    let location = table.path().display();
    // Formats without row ids are skipped; `options` has remarked on the flag.
    let id = match &args.id {
        Some(id) if supports_row_ids(table.path()) => Some(table.find(id)?),
        _ => None,
    };
    let Encoded { mut rows, unknown, mut unexpected, .. } = schema.encode(table, args.label.as_deref())?;
    if let Some(id) = id {
        rows = table.attach_row_ids(id, rows)?;
        unexpected.retain(|name| Some(name.as_str()) != rows.row_id_name());
    }
    if !unexpected.is_empty() {
        let names = unexpected.join(", ");
        out.note(format!("{location}: columns that the model does not know are left out: {names}"));
    }
    if !unknown.is_empty() {
        let column = |unknown: &ae_data::Unknown| {
            let cells = if unknown.cells == 1 { "cell" } else { "cells" };
            format!("{} ({} {cells}, such as '{}')", unknown.column, unknown.cells, unknown.example)
        };
        // Another text in a boolean column may stand for either value.
        let is_boolean = |unknown: &&ae_data::Unknown| {
            schema
                .features()
                .any(|column| column.name == unknown.column && matches!(column.kind, Kind::Boolean { .. }))
        };
        let (booleans, others): (Vec<_>, Vec<_>) = unknown.iter().partition(is_boolean);
        for (unknown, as_what) in [(others, "none of its categories"), (booleans, "missing")] {
            if !unknown.is_empty() {
                let columns = unknown.into_iter().map(column).collect::<Vec<_>>().join(", ");
                out.note(format!(
                    "{location}: texts that the model does not know count as {as_what}: {columns}"
                ));
            }
        }
    }
    if !allow_missing && let Some(at) = rows.values().iter().position(|x| x.is_nan()) {
        let group = schema.groups()[at % rows.features()];
        let column =
            schema.features().nth(group).map(|column| format!("'{}'", column.name)).unwrap_or_default();
        let path = table.path().to_owned();
        let row = at / rows.features() + 1;
        return Err(DataError::MissingValue { path, row, column, count: 1 });
    }
    Ok(rows)
}

/// Remarks that the model fills in missing values of the rows, if it masks them and there are any;
/// returns whether it does.
pub(crate) fn remark_missing(model: &Autoencoder, rows: &Dataset, location: &str, out: &Output) -> bool {
    let fills = model.config().mask_missing() && rows.values().iter().any(|x| x.is_nan());
    if fills {
        out.note(format!("{location}: missing values are filled in by the model"));
    }
    fills
}

/// The rows for maps, which need every value. Missing values of tables with a schema are filled in, as
/// they are common there; in plain numbers they are left, and refused later.
pub(crate) fn for_maps(
    model: &Autoencoder,
    rows: Dataset,
    location: &str,
    out: &Output,
) -> Result<Dataset, Failure> {
    if model.schema().is_none() || !remark_missing(model, &rows, location, out) {
        return Ok(rows);
    }
    let filled = model.impute(&rows, IMPUTATION_ROUNDS);
    with_metadata_of(&rows, filled.map_err(|error| Failure::with_rows(location, error))?)
}

/// The table with the labels and row ids of `rows`, from which it was computed.
pub(crate) fn with_metadata_of(rows: &Dataset, mut table: Dataset) -> Result<Dataset, Failure> {
    if let Some(labels) = rows.labels() {
        table = table.with_labels(labels.clone())?;
    }
    if let (Some(name), Some(ids)) = (rows.row_id_name(), rows.row_ids()) {
        table = table.with_row_ids(name, ids.to_vec())?;
    }
    Ok(table)
}

/// Remarks that a format of numbers cannot hold the row ids, if there are any.
pub(crate) fn remark_unwritten_ids(rows: &Dataset, destination: &TableDestination, out: &Output) {
    if let (Some(name), TableDestination::File(path), true) =
        (rows.row_id_name(), destination, destination.is_numeric())
    {
        out.note(format!("{}: this format holds numbers only, so '{name}' is not written", path.display()));
    }
}

/// The row ids and the name of their column, with underscores appended until `others` lack it.
pub(crate) fn row_id_column<'a, S: AsRef<str>>(
    rows: &'a Dataset,
    others: &[S],
) -> Option<(String, &'a [String])> {
    Some((unlike(rows.row_id_name()?, others), rows.row_ids()?))
}

/// The name of a column that is added to others, with underscores appended until they lack it.
pub(crate) fn unlike<S: AsRef<str>>(name: &str, others: &[S]) -> String {
    let mut name = name.to_owned();
    while others.iter().any(|other| other.as_ref() == name) {
        name.push('_');
    }
    name
}

/// Refuses formats that hold only numbers if the model has columns of anything else.
pub(crate) fn check_destination(model: &Autoencoder, destination: &TableDestination) -> Result<(), Failure> {
    let is_plain = model.schema().is_none_or(Schema::is_plain);
    if let (false, true, TableDestination::File(path)) = (is_plain, destination.is_numeric(), destination) {
        let path = path.display();
        let text =
            format!("-o {path}: this format holds numbers only; use .csv, .tsv or .parquet for tables");
        return Err(Failure::Usage(text));
    }
    Ok(())
}

/// Writes rows of a model's features, after their ids if they have any: as a table of its columns if it
/// has a schema and the format holds text, else as numbers. With `--json` on standard output, each row is an object.
pub(crate) fn write_rows(
    model: &Autoencoder,
    rows: &Dataset,
    destination: &TableDestination,
    out: &mut Output,
) -> Result<(), Failure> {
    match model.schema().filter(|_| !destination.is_numeric()) {
        Some(schema) => write_rows_as_table(&prepend_row_ids(rows, schema.decode(rows)?)?, destination, out),
        None => write_rows_as_numbers(rows, destination, out),
    }
}

/// Writes rows of numbers, after their ids if they have any. With `--json` on standard output, each row
/// is an object.
pub(crate) fn write_rows_as_numbers(
    rows: &Dataset,
    destination: &TableDestination,
    out: &mut Output,
) -> Result<(), Failure> {
    if out.is_json() && *destination == TableDestination::Stdout {
        let row_ids = row_id_column(rows, &["row", "values"]);
        for (row, values) in rows.iter_rows().enumerate() {
            let mut object = json!({ "row": row + 1, "values": values });
            if let Some((name, ids)) = &row_ids {
                object[name] = json!(ids[row]);
            }
            out.object(&object)?;
        }
        return Ok(());
    }
    match destination {
        TableDestination::Images(_) => destination.write(rows, out)?,
        _ => write_with_row_ids(rows, rows, destination, out)?,
    }
    report_written(destination, rows.rows(), rows.features(), out)
}

/// The table with the row ids, if there are any, as its first column.
fn prepend_row_ids(rows: &Dataset, table: Table) -> Result<Table, Failure> {
    match (rows.row_id_name(), rows.row_ids()) {
        (Some(name), Some(ids)) => prepend(vec![(name, ids.to_vec())], table),
        _ => Ok(table),
    }
}

/// The table with further columns before its own.
pub(crate) fn prepend(first: Vec<(&str, Vec<String>)>, table: Table) -> Result<Table, Failure> {
    let own = table.names().map(<[String]>::to_vec).unwrap_or_default();
    let with_column = |table: Table, (name, cells): (&str, Vec<String>)| {
        table.with_first_column(unlike(name, &own), &cells)
    };
    Ok(first.into_iter().rev().try_fold(table, with_column)?)
}

/// Writes what was computed for each row, after the row's id if it has one and the format holds text.
/// NaN in a named column is then an empty cell.
pub(crate) fn write_with_row_ids(
    rows: &Dataset,
    found: &Dataset,
    destination: &TableDestination,
    out: &mut Output,
) -> Result<(), Failure> {
    remark_unwritten_ids(rows, destination, out);
    let has_gaps = found.names().is_some() && found.values().iter().any(|x| x.is_nan());
    if destination.is_numeric() || rows.row_ids().is_none() && !has_gaps {
        return destination.write(found, out);
    }
    let width = found.features();
    let of = |column: usize| found.values().iter().skip(column).step_by(width.max(1));
    let cell = |x: &f32| if x.is_nan() { String::new() } else { x.to_string() };
    let columns = (0..width).map(|column| of(column).map(cell).collect());
    let mut columns: Vec<Vec<String>> =
        rows.row_ids().map(<[String]>::to_vec).into_iter().chain(columns).collect();
    let numbers = || (1..=width).map(|number| number.to_string()).collect();
    let mut names = found.names().map_or_else(numbers, <[String]>::to_vec);
    if let Some(labels) = found.labels() {
        names.push("label".to_owned());
        columns
            .push((0..labels.len()).map(|row| labels.name_of(row).unwrap_or_default().to_owned()).collect());
    }
    names.splice(..0, row_id_column(rows, &names).map(|(name, _)| name));
    write_table(&Table::new(names, &columns)?, destination, out)
}

/// Writes a table. With `--json`, reports it by an object, or on standard output writes each row as one.
pub(crate) fn write_rows_as_table(
    table: &Table,
    destination: &TableDestination,
    out: &mut Output,
) -> Result<(), Failure> {
    match destination {
        TableDestination::Stdout if out.is_json() => {
            for row in 0..table.rows() {
                let cells = table.row(row).enumerate();
                let cells: Map<String, Value> =
                    cells.map(|(column, text)| (table.name_of(column), json_cell(text))).collect();
                out.object(&json!({ "row": row + 1, "values": cells }))?;
            }
            return Ok(());
        }
        destination => write_table(table, destination, out)?,
    }
    report_written(destination, table.rows(), table.columns(), out)
}

/// Writes a table and remarks where to.
pub(crate) fn write_table(
    table: &Table,
    destination: &TableDestination,
    out: &mut Output,
) -> Result<(), Failure> {
    match destination {
        TableDestination::Stdout => match ae_data::write_csv_table(table, out.stream()) {
            Ok(()) => {}
            Err(DataError::Io { source, .. }) => return Err(source.into()),
            Err(error) => return Err(error.into()),
        },
        TableDestination::File(path) => {
            ae_data::write_table(table, path)?;
            let (rows, columns) = (table.rows(), table.columns());
            out.note(format!("{rows} rows of {columns} written to {}", path.display()));
        }
        TableDestination::Images(folder) => {
            let path = folder.path().display();
            return Err(Failure::Usage(format!(
                "-o {path}: a table cannot be written as a folder of images"
            )));
        }
    }
    Ok(())
}

/// Reports with `--json` that a table has been written.
pub(crate) fn report_written(
    destination: &TableDestination,
    rows: usize,
    columns: usize,
    out: &mut Output,
) -> Result<(), Failure> {
    let output = match destination {
        TableDestination::Stdout => Value::Null,
        TableDestination::File(path) => json!(path),
        TableDestination::Images(folder) => json!(folder.path()),
    };
    out.object(&json!({ "event": "written", "output": output, "rows": rows, "columns": columns }))
}

/// A cell as JSON: null if it is missing, a number if it is a valid JSON number (codes such as `007` are
/// not), else a string.
fn json_cell(text: &str) -> Value {
    match serde_json::from_str(text) {
        _ if text.is_empty() => Value::Null,
        Ok(number) => Value::Number(number),
        Err(_) => json!(text),
    }
}
