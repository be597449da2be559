//! Infers what the columns of a table hold.

use std::collections::BTreeSet;

use super::time::{self, DateOrder};
use super::{Column, DropReason, Kind, Schema, TimeFormat};
use crate::error::DataError;
use crate::table::Table;
use crate::text::{Parsed, is_code, is_missing, is_unnamed, looks_numeric, parse, parse_boolean};

/// Maximum number of categories of a column that is inferred to be categorical.
const MAX_LEVELS: usize = 256;
/// Maximum number of categories of a column that the caller declares categorical.
const MAX_DECLARED_LEVELS: usize = 10_000;
/// Minimum number of known cells for mostly distinct texts to be identifiers.
const MIN_IDENTIFIER_CELLS: usize = 10;
/// Maximum number of digits kept after the decimal point.
const MAX_DECIMALS: usize = 9;

/// The roles that the caller gives to columns, each named or numbered from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ColumnRoles {
    /// Categorical columns, whatever they look like.
    pub categorical: Vec<String>,
    /// Numeric columns.
    pub numeric: Vec<String>,
    /// Columns to leave out.
    pub drop: Vec<String>,
    /// The label column, which is never a feature.
    pub label: Option<String>,
}

impl ColumnRoles {
    /// Whether any column other than the label is given.
    pub fn has_columns(&self) -> bool {
        !(self.categorical.is_empty() && self.numeric.is_empty() && self.drop.is_empty())
    }
}

impl Schema {
    /// Infers what each column of a table holds from the cells that are not missing:
    ///
    /// | cells | column |
    /// |---|---|
    /// | at least half are numbers, without leading zeros | numeric |
    /// | the numbers of the rows, from 0 or 1, without a column name | identifiers, dropped |
    /// | `true` and `false`, or `yes` and `no`, in any case | boolean |
    /// | dates, or dates with times | times |
    /// | at least ten, more than half of them distinct; or more than 256 distinct | identifiers, dropped |
    /// | other texts, and digits with leading zeros | categorical |
    /// | none | dropped |
    ///
    /// Where a date such as `01/05/2024` is followed or preceded by one whose day is above 12, that one
    /// tells which number is the day; without one they are texts ([`Table::has_ambiguous_dates`]).
    ///
    /// # Errors
    /// [`DataError::NotFound`] for a role of a column that does not exist,
    /// [`DataError::ConflictingRoles`] for two roles of one column, [`DataError::TooManyLevels`] for a
    /// column declared categorical with too many distinct texts, and [`DataError::NoFeatures`] if no
    /// column is left.
    pub fn infer(table: &Table, roles: &ColumnRoles) -> Result<Schema, DataError> {
        let assigned = AssignedRoles::new(table, roles)?;
        let mut columns = Vec::with_capacity(table.columns());
        for index in 0..table.columns() {
            let kind = match assigned.0[index] {
                Some(Role::Label) => Kind::Label,
                Some(Role::Drop) => Kind::Dropped { reason: DropReason::Requested },
                Some(Role::Numeric) => Kind::Numeric { decimals: decimals(table, index) },
                Some(Role::Categorical) => categories(table, index, MAX_DECLARED_LEVELS)?,
                None => infer_kind(table, index)?,
            };
            let (name, stored) = (table.name_of(index), table.stored_type(index));
            columns.push(Column { name, kind, quantiles: None, stored });
        }
        let schema = Schema { columns };
        if schema.width() == 0 {
            return Err(DataError::NoFeatures { path: table.path().to_owned() });
        }
        Ok(schema)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Categorical,
    Numeric,
    Drop,
    Label,
}

/// The role that the caller gives to each column, if any.
struct AssignedRoles(Vec<Option<Role>>);

impl AssignedRoles {
    fn new(table: &Table, roles: &ColumnRoles) -> Result<AssignedRoles, DataError> {
        let mut assigned = AssignedRoles(vec![None; table.columns()]);
        let given = [
            (Role::Label, roles.label.as_slice()),
            (Role::Drop, &roles.drop),
            (Role::Numeric, &roles.numeric),
            (Role::Categorical, &roles.categorical),
        ];
        for (role, names) in given {
            for name in names {
                let slot = &mut assigned.0[table.find(name)?];
                if slot.is_some_and(|other| other != role) {
                    return Err(DataError::ConflictingRoles {
                        path: table.path().to_owned(),
                        name: name.clone(),
                    });
                }
                *slot = Some(role);
            }
        }
        Ok(assigned)
    }
}

fn known_cells(table: &Table, column: usize) -> impl Iterator<Item = &str> {
    table.column(column).filter(|text| !is_missing(text))
}

fn infer_kind(table: &Table, column: usize) -> Result<Kind, DataError> {
    let (mut cells, mut numbers, mut booleans) = (0, 0, 0);
    for text in known_cells(table, column) {
        cells += 1;
        numbers += usize::from(looks_numeric(text.as_bytes()));
        booleans += usize::from(parse_boolean(text).is_some());
    }
    if cells == 0 {
        return Ok(Kind::Dropped { reason: DropReason::Empty });
    }
    if 2 * numbers >= cells && !has_codes(table, column) {
        if numbers_rows(table, column) {
            return Ok(Kind::Dropped { reason: DropReason::Identifier });
        }
        return Ok(Kind::Numeric { decimals: decimals(table, column) });
    }
    if booleans == cells {
        return Ok(boolean(table, column));
    }
    if let [Some(times), None] | [None, Some(times)] = times(table, column) {
        return Ok(times);
    }
    let distinct = known_cells(table, column).collect::<BTreeSet<_>>().len();
    if distinct > MAX_LEVELS || cells >= MIN_IDENTIFIER_CELLS && 2 * distinct > cells {
        return Ok(Kind::Dropped { reason: DropReason::Identifier });
    }
    categories(table, column, MAX_LEVELS)
}

/// Whether all columns of a table, besides those at `non_features`, are inferred to be numeric.
pub(crate) fn is_numeric(table: &Table, non_features: &[usize]) -> bool {
    let mut features = (0..table.columns()).filter(|column| !non_features.contains(column));
    features.all(|column| matches!(infer_kind(table, column), Ok(Kind::Numeric { .. })))
}

/// Whether a column's numbers are codes, such as `01067`: digits only, and one starts with a zero that a
/// number would lose.
fn has_codes(table: &Table, column: usize) -> bool {
    let number = |text: &&str| looks_numeric(text.as_bytes());
    let mut numbers = known_cells(table, column).filter(number);
    known_cells(table, column).any(|text| is_code(text.as_bytes()))
        && numbers.all(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a column without a name counts the rows from 0 or 1, as some programs do when they write a
/// table. Rows selected from such a file are numbered by their lines.
fn numbers_rows(table: &Table, column: usize) -> bool {
    if table.rows() < MIN_IDENTIFIER_CELLS || !table.names().is_some_and(|names| is_unnamed(&names[column])) {
        return false;
    }
    let counts_from = |start: i64, number: &dyn Fn(usize) -> i64| {
        let mut cells = table.column(column).enumerate();
        cells.all(|(row, text)| text.parse().is_ok_and(|x: i64| x == start.saturating_add(number(row))))
    };
    let row = |row: usize| i64::try_from(row).unwrap_or(i64::MAX);
    // The header is the first line.
    let line = |row: usize| i64::try_from(table.line(row)).map_or(i64::MAX, |line| line.saturating_sub(2));
    [0, 1].into_iter().any(|start| counts_from(start, &row) || counts_from(start, &line))
}

/// A column of times for each order of day and month, if all of its known cells are dates or times in
/// that order, alone or with a time of day. If none of them depends on the order, only for the first.
fn times(table: &Table, column: usize) -> [Option<Kind>; 2] {
    let day_first = times_in(table, column, DateOrder::DayFirst);
    match &day_first {
        Some(Kind::Time { format, .. }) if format.order().is_none() => [day_first, None],
        _ => [day_first, times_in(table, column, DateOrder::MonthFirst)],
    }
}

fn times_in(table: &Table, column: usize, order: DateOrder) -> Option<Kind> {
    let mut earliest: Option<(i64, TimeFormat)> = None;
    let (mut timed, mut ordered) = (None, None);
    for text in known_cells(table, column) {
        let (seconds, format) = time::parse(text, Some(order))?;
        if earliest.is_none_or(|(first, _)| seconds < first) {
            earliest = Some((seconds, format));
        }
        timed = timed.or(Some(format).filter(|format| format.has_time()));
        ordered = ordered.or(Some(format).filter(|format| format.order().is_some()));
    }
    let (origin, first) = earliest?;
    // Dates among times stand for midnight.
    let format = match (ordered, timed) {
        (Some(ordered), Some(_)) => ordered.with_time(),
        (None, Some(format)) | (Some(format), None) => format,
        (None, None) => first,
    };
    Some(Kind::Time { format, origin })
}

impl Table {
    /// Whether all known cells of a column are dates such as `03/04/2024`, and none tells which number is
    /// the day.
    pub fn has_ambiguous_dates(&self, column: usize) -> bool {
        matches!(times(self, column), [Some(_), Some(_)])
    }

    /// The first known cell of a column that is no date, with its row, where nine tenths of them are
    /// dates of one order of day and month.
    pub fn first_without_date(&self, column: usize) -> Option<(usize, &str)> {
        let known = || self.column(column).enumerate().filter(|(_, text)| !is_missing(text));
        let in_order = |order| {
            let is_date = |text: &str| time::parse(text, Some(order)).is_some();
            let first = known().find(|(_, text)| !is_date(text))?;
            Some((known().filter(|(_, text)| is_date(text)).count(), first))
        };
        // Without such a cell in one of the orders, all are dates.
        let (day_first, month_first) = (in_order(DateOrder::DayFirst)?, in_order(DateOrder::MonthFirst)?);
        let (dates, first) = if month_first.0 > day_first.0 { month_first } else { day_first };
        (10 * dates >= 9 * known().count()).then_some(first)
    }
}

fn categories(table: &Table, column: usize, max_levels: usize) -> Result<Kind, DataError> {
    let levels: BTreeSet<&str> = known_cells(table, column).collect();
    let (path, name) = (table.path().to_owned(), table.name_of(column));
    if levels.is_empty() {
        return Ok(Kind::Dropped { reason: DropReason::Empty });
    }
    if levels.len() > max_levels {
        return Err(DataError::TooManyLevels { path, name, levels: levels.len(), max: max_levels });
    }
    Ok(Kind::Categorical { levels: levels.into_iter().map(str::to_owned).collect() })
}

/// Returns the first text for no and for yes; one that does not occur is spelled like the other.
fn boolean(table: &Table, column: usize) -> Kind {
    let first = |wanted: bool| known_cells(table, column).find(|text| parse_boolean(text) == Some(wanted));
    let (no, yes) = (first(false), first(true));
    Kind::Boolean {
        no: no.map_or_else(|| opposite(yes.unwrap_or_default()), str::to_owned),
        yes: yes.map_or_else(|| opposite(no.unwrap_or_default()), str::to_owned),
    }
}

fn opposite(text: &str) -> String {
    let lower = match text.to_ascii_lowercase().as_str() {
        "true" => "false",
        "false" => "true",
        "yes" => "no",
        _ => "yes",
    };
    let (first, rest) = lower.split_at(1);
    let capital = |part: &str| part.bytes().all(|byte| byte.is_ascii_uppercase());
    match (text.get(..1).is_some_and(capital), text.get(1..).is_some_and(capital)) {
        (true, true) => lower.to_ascii_uppercase(),
        (true, false) => first.to_ascii_uppercase() + rest,
        _ => lower.to_owned(),
    }
}

/// Returns the maximum number of digits after the decimal point; `None` if there are too many, numbers
/// have exponents, or there are no numbers.
pub(crate) fn decimals(table: &Table, column: usize) -> Option<u8> {
    let mut max = None;
    for text in known_cells(table, column) {
        if !matches!(parse(text.as_bytes()), Parsed::Number(_)) {
            continue;
        }
        let digits = text.split_once('.').map_or("", |(_, digits)| digits);
        if text.contains(['e', 'E']) || digits.len() > MAX_DECIMALS {
            return None;
        }
        max = max.max(Some(digits.len() as u8));
    }
    max
}
