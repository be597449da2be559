//! Tables with columns of all kinds: what is said of them, how they fit a model, and how rows of a model are written as a table again.

use ae_data::{DataError, Dataset, Encoded, Kind, Reason, Schema, Table};
use ae_model::Autoencoder;
use serde_json::{Map, Value, json};

use crate::args::DataArgs;
use crate::failure::Failure;
use crate::inputs::{Target, may_name_rows};
use crate::output::Output;

/// Names that are shown of many.
const SHOWN: usize = 8;
/// Rounds in which gaps are filled in, each with what the one before has filled in.
pub(crate) const FILL_ROUNDS: usize = 3;

/// One line a kind of columns: how many there are, and their names.
pub(crate) fn lines(schema: &Schema) -> Vec<String> {
    let mut lines = Vec::new();
    for name in ["numbers", "yes or no", "categories", "times", "label", "dropped"] {
        let names: Vec<String> = schema
            .columns()
            .iter()
            .filter(|column| class(&column.kind) == name)
            .map(|column| match &column.kind {
                Kind::Categorical { levels } => format!("{} ({})", column.name, levels.len()),
                _ => column.name.clone(),
            })
            .collect();
        if names.is_empty() {
            continue;
        }
        let more = if names.len() > SHOWN { ", ..." } else { "" };
        let shown = names[..names.len().min(SHOWN)].join(", ");
        lines.push(format!("{name:<14}{}: {shown}{more}", names.len()));
    }
    lines
}

/// What a column holds, in words.
fn class(kind: &Kind) -> &'static str {
    match kind {
        Kind::Numeric { .. } => "numbers",
        Kind::Boolean { .. } => "yes or no",
        Kind::Categorical { .. } => "categories",
        Kind::Time { .. } => "times",
        Kind::Label => "label",
        _ => "dropped",
    }
}

/// A known cell of the column of this name.
fn example<'t>(table: &'t Table, name: &str) -> Option<&'t str> {
    table.column(table.find(name).ok()?).find(|text| text.contains(|c: char| c.is_ascii_digit()))
}

/// Whether the known cells of a column are digits with signs of money, shares or dates, mostly.
fn looks_counted(table: &Table, name: &str) -> bool {
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

/// A word about a first row that may be the names which programs give columns without names.
pub(crate) fn remark_numbers_for_names(rows: &Dataset, location: &str, out: &Output) {
    let first = rows.row(0).unwrap_or_default();
    let counts = first.iter().enumerate().all(|(column, x)| *x == column as f32);
    if rows.names().is_none() && counts && first.len() > 1 && rows.rows() > 1 {
        out.note(format!(
            "{location}: the first row, 0, 1, ..., may be the numbers of the columns and no row: --header takes it for their names"
        ));
    }
}

/// Texts that become many categories from a few of them on.
const MANY_LEVELS: usize = 10;

/// Columns that cannot be learnt from, and why, in one line.
pub(crate) fn remark_dropped(schema: &Schema, table: &Table, location: &str, out: &Output) {
    let of = |reason: Reason| -> Vec<&str> {
        let dropped = |kind: &Kind| matches!(kind, Kind::Dropped { why } if *why == reason);
        schema.columns().iter().filter(|c| dropped(&c.kind)).map(|c| c.name.as_str()).collect()
    };
    let is_text = |kind: &Kind| match kind {
        Kind::Categorical { levels } => levels.len() >= MANY_LEVELS,
        kind => matches!(kind, Kind::Dropped { why: Reason::Identifier }),
    };
    let texts = schema.columns().iter().filter(|column| is_text(&column.kind));
    let unread: Vec<&str> =
        texts.map(|column| column.name.as_str()).filter(|name| looks_counted(table, name)).collect();
    if let Some((name, example)) = unread.first().and_then(|name| Some((name, example(table, name)?))) {
        let others = if unread.len() > 1 { " and others" } else { "" };
        out.note(format!(
            "{location}, column '{name}'{others}: these look like numbers or dates in a form that is not read, such as '{example}'; \
             1234.5 and 2024-05-01 are"
        ));
    }
    let mut parts = Vec::new();
    let identifiers = of(Reason::Identifier);
    if !identifiers.is_empty() {
        let names = identifiers.join(", ");
        parts.push(format!("{names} (texts that are mostly different, or more than 256; --categorical keeps the column, --id as the name of the row)"));
    }
    let empty = of(Reason::Empty);
    if !empty.is_empty() {
        parts.push(format!("{} (no cell is known)", empty.join(", ")));
    }
    if !parts.is_empty() {
        out.note(format!("{location}: columns left out: {}", parts.join("; ")));
    }
}

/// A word about columns of large numbers whose differences 32 bits do not hold, which is what rows are made of.
pub(crate) fn remark_coarse(rows: &Dataset, location: &str, out: &Output) {
    #[derive(Clone, Copy)]
    struct Found {
        low: f32,
        high: f32,
        whole: bool,
    }
    let nothing = Found { low: f32::INFINITY, high: f32::NEG_INFINITY, whole: true };
    let mut columns = vec![nothing; rows.features()];
    for row in rows.values().chunks_exact(rows.features().max(1)) {
        for (found, &x) in columns.iter_mut().zip(row) {
            found.low = found.low.min(x);
            found.high = found.high.max(x);
            found.whole &= x.is_nan() || x.fract() == 0.0;
        }
    }
    // All integers up to here are held.
    let exact = (1u32 << f32::MANTISSA_DIGITS) as f32;
    for (column, Found { low, high, whole }) in columns.into_iter().enumerate() {
        let most = low.abs().max(high.abs());
        let (apart, spread) = (f64::from(most.next_up()) - f64::from(most), f64::from(high) - f64::from(low));
        if !most.is_finite()
            || low > high
            || (most < exact && (whole || spread == 0.0))
            || apart * COARSE <= spread
        {
            continue;
        }
        let name =
            rows.names().map_or_else(|| (column + 1).to_string(), |names| format!("'{}'", names[column]));
        out.note(format!(
            "{location}, column {name}: numbers near {most:e} are {apart} apart in 32 bits, and these spread over {spread} only; \
             subtract an offset from them first, or their differences are lost"
        ));
    }
}

/// A word about columns that number the rows, which tell one row from another and say nothing of either.
pub(crate) fn remark_numbering(rows: &Dataset, location: &str, out: &Output) {
    if rows.rows() < FEW {
        return;
    }
    let (values, width) = (rows.values(), rows.features());
    for column in 0..width {
        let of_column = || values[column..].iter().step_by(width);
        let spread = values[values.len() - width + column] - values[column];
        // Most columns fall within the first few rows: no more of them is read.
        let numbers = spread < SPARSE * rows.rows() as f32
            && of_column().zip(of_column().skip(1)).all(|(x, next)| x < next)
            && of_column().all(|x| x.fract() == 0.0);
        if numbers {
            let name =
                rows.names().map_or_else(|| (column + 1).to_string(), |names| format!("'{}'", names[column]));
            out.note(format!(
                "{location}, column {name}: it seems to number the rows, which is no property of theirs; --drop leaves it out, \
                 --id keeps it beside what is found out"
            ));
        }
    }
}

/// Rows from which on a column may be said to number them.
const FEW: usize = 30;

/// Numbers for each row from which on a column counts something else, such as seconds.
const SPARSE: f32 = 10.0;

/// Steps that 32 bits must divide the spread of a column into.
const COARSE: f64 = 1000.0;

/// The features of a table for a model, and a line about each thing that is odd about it.
pub(crate) fn encode(
    schema: &Schema,
    table: &Table,
    args: &DataArgs,
    may_miss: bool,
    out: &Output,
) -> Result<Dataset, DataError> {
    let location = table.path().display();
    // What names the rows; not looked for in what cannot have it, of which `options` has told.
    let id = match &args.id {
        Some(id) if may_name_rows(table.path()) => Some(table.find(id)?),
        _ => None,
    };
    let Encoded { mut rows, unknown, mut unexpected, .. } = schema.encode(table, args.label.as_deref())?;
    if let Some(id) = id {
        rows = table.name_rows(id, rows)?;
        unexpected.retain(|name| Some(name.as_str()) != rows.row_title());
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
        // Of yes and no one that is neither may be either.
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
    if !may_miss && let Some(at) = rows.values().iter().position(|x| x.is_nan()) {
        let group = schema.groups()[at % rows.features()];
        let column =
            schema.features().nth(group).map(|column| format!("'{}'", column.name)).unwrap_or_default();
        let path = table.path().to_owned();
        let row = at / rows.features() + 1;
        return Err(DataError::MissingValue { path, row, column, count: 1 });
    }
    Ok(rows)
}

/// The rows with every gap filled in by the model, for what needs every value.
pub(crate) fn without_gaps(
    model: &Autoencoder,
    rows: Dataset,
    location: &str,
    out: &Output,
) -> Result<Dataset, Failure> {
    if !model.config().mask_missing() || !rows.values().iter().any(|x| x.is_nan()) {
        return Ok(rows);
    }
    out.note(format!("{location}: missing values are taken for what the model fills in"));
    let filled = model.filled(&rows, FILL_ROUNDS).map_err(|error| Failure::with_rows(location, error))?;
    with_names_of(&rows, filled)
}

/// The rows as maps take them, which need every value: of a table gaps are as common as columns that are known, and filled in; of numbers they are
/// said to be filled in first.
pub(crate) fn for_maps(
    model: &Autoencoder,
    rows: Dataset,
    location: &str,
    out: &Output,
) -> Result<Dataset, Failure> {
    if model.schema().is_some() { without_gaps(model, rows, location, out) } else { Ok(rows) }
}

/// The table with the labels and the names that the rows came with, so that they stay beside what was made of them.
pub(crate) fn with_names_of(rows: &Dataset, mut table: Dataset) -> Result<Dataset, Failure> {
    if let Some(labels) = rows.labels() {
        table = table.with_labels(labels.clone())?;
    }
    if let (Some(title), Some(names)) = (rows.row_title(), rows.row_names()) {
        table = table.with_row_names(title, names.to_vec())?;
    }
    Ok(table)
}

/// Says of a file that it holds numbers only, where rows are called something.
pub(crate) fn remark_numeric(rows: &Dataset, target: &Target, out: &Output) {
    if let (Some(title), Target::File(path), true) = (rows.row_title(), target, target.is_numeric()) {
        out.note(format!(
            "{}: this format holds numbers only, and so no '{title}' of the rows",
            path.display()
        ));
    }
}

/// What the rows are called, and the title of that beside these others: its own, with a line behind it for as long as one of these is called
/// so too.
pub(crate) fn names_beside<'a, S: AsRef<str>>(
    rows: &'a Dataset,
    others: &[S],
) -> Option<(String, &'a [String])> {
    let mut title = rows.row_title()?.to_owned();
    while others.iter().any(|other| other.as_ref() == title) {
        title.push('_');
    }
    Some((title, rows.row_names()?))
}

/// Values of features as those of columns, where the model has a schema: sums over the features of each.
pub(crate) fn by_column(model: &Autoencoder, values: Dataset) -> Result<Dataset, Failure> {
    match model.schema() {
        Some(schema) => Ok(schema.by_column(&values)?),
        None => Ok(values),
    }
}

/// Refuses formats that hold numbers only for a model of a table with texts.
pub(crate) fn check_target(model: &Autoencoder, target: &Target) -> Result<(), Failure> {
    if let (Some(_), true, Target::File(path)) = (model.schema(), target.is_numeric(), target) {
        let path = path.display();
        let text = format!("-o {path}: this format holds numbers only; .csv, .tsv and .parquet hold a table");
        return Err(Failure::Usage(text));
    }
    Ok(())
}

/// Writes rows of a model's features: as a table of its columns if it has a schema, else as numbers, beside what the rows are called, if anything.
/// With `--json` on standard output each row is an object.
pub(crate) fn deliver(
    model: &Autoencoder,
    rows: &Dataset,
    target: &Target,
    out: &mut Output,
) -> Result<(), Failure> {
    match model.schema() {
        Some(schema) => deliver_table(&with_row_names(rows, schema.decode(rows)?)?, target, out),
        None => deliver_numbers(rows, target, out),
    }
}

/// Writes rows of numbers, beside what they are called, if anything. With `--json` on standard output each row is an object.
pub(crate) fn deliver_numbers(rows: &Dataset, target: &Target, out: &mut Output) -> Result<(), Failure> {
    if out.is_json() && *target == Target::Standard {
        let called = names_beside(rows, &["row", "values"]);
        for (place, row) in rows.values().chunks_exact(rows.features()).enumerate() {
            let mut object = json!({ "row": place + 1, "values": row });
            if let Some((title, names)) = &called {
                object[title] = json!(names[place]);
            }
            out.object(&object)?;
        }
        return Ok(());
    }
    match target {
        Target::Images(_) => target.write(rows, out)?,
        _ => write_beside(rows, rows, target, out)?,
    }
    written(target, rows.rows(), rows.features(), out)
}

/// The table behind a column of what the rows are called.
fn with_row_names(rows: &Dataset, table: Table) -> Result<Table, Failure> {
    let names = table.names().map(<[String]>::to_vec).unwrap_or_default();
    let Some((title, called)) = names_beside(rows, &names) else { return Ok(table) };
    let cells = |column| table.column(column).map(str::to_owned).collect();
    let columns: Vec<Vec<String>> =
        std::iter::once(called.to_vec()).chain((0..table.columns()).map(cells)).collect();
    Ok(Table::new(std::iter::once(title).chain(names).collect(), &columns)?)
}

/// Writes what was worked out of each row: beside the file that it comes from, where there is one and the format holds texts.
pub(crate) fn write_beside(
    rows: &Dataset,
    found: &Dataset,
    target: &Target,
    out: &mut Output,
) -> Result<(), Failure> {
    remark_numeric(rows, target, out);
    let Some(files) = rows.row_names().filter(|_| !target.is_numeric()) else {
        return target.write(found, out);
    };
    let width = found.features();
    let of = |column: usize| found.values().iter().skip(column).step_by(width.max(1));
    let columns = (0..width).map(|column| of(column).map(f32::to_string).collect());
    let mut columns: Vec<Vec<String>> = std::iter::once(files.to_vec()).chain(columns).collect();
    let numbers = || (1..=width).map(|number| number.to_string()).collect();
    let mut names = found.names().map_or_else(numbers, <[String]>::to_vec);
    if let Some(labels) = found.labels() {
        names.push("label".to_owned());
        columns
            .push((0..labels.len()).map(|row| labels.name_of(row).unwrap_or_default().to_owned()).collect());
    }
    names.splice(..0, names_beside(rows, &names).map(|(title, _)| title));
    write_table(&Table::new(names, &columns)?, target, out)
}

/// Writes a table, and says with `--json` that it has been.
pub(crate) fn deliver_table(table: &Table, target: &Target, out: &mut Output) -> Result<(), Failure> {
    match target {
        Target::Standard if out.is_json() => {
            for row in 0..table.rows() {
                let cells = table.row(row).enumerate();
                let cells: Map<String, Value> =
                    cells.map(|(column, text)| (table.name_of(column), json_cell(text))).collect();
                out.object(&json!({ "row": row + 1, "values": cells }))?;
            }
            return Ok(());
        }
        target => write_table(table, target, out)?,
    }
    written(target, table.rows(), table.columns(), out)
}

/// Writes a table, and says where to.
pub(crate) fn write_table(table: &Table, target: &Target, out: &mut Output) -> Result<(), Failure> {
    match target {
        Target::Standard => match ae_data::write_csv_table(table, out.stream()) {
            Ok(()) => {}
            Err(DataError::Io { source, .. }) => return Err(source.into()),
            Err(error) => return Err(error.into()),
        },
        Target::File(path) => {
            ae_data::write_table(table, path)?;
            let (rows, columns) = (table.rows(), table.columns());
            out.note(format!("{rows} rows of {columns} written to {}", path.display()));
        }
        Target::Images(folder) => {
            let path = folder.path().display();
            return Err(Failure::Usage(format!("-o {path}: a table is no folder of images")));
        }
    }
    Ok(())
}

/// Says with `--json` that a table has been written.
pub(crate) fn written(target: &Target, rows: usize, columns: usize, out: &mut Output) -> Result<(), Failure> {
    let output = match target {
        Target::Standard => Value::Null,
        Target::File(path) => json!(path),
        Target::Images(folder) => json!(folder.path()),
    };
    out.object(&json!({ "event": "written", "output": output, "rows": rows, "columns": columns }))
}

/// A cell as JSON: a number where it is one as JSON writes them, so that codes such as `007` stay texts; null where it is missing.
fn json_cell(text: &str) -> Value {
    match serde_json::from_str(text) {
        _ if text.is_empty() => Value::Null,
        Ok(number) => Value::Number(number),
        Err(_) => json!(text),
    }
}
