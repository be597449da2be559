//! Infers what the columns of a table hold.

use std::collections::BTreeSet;

use super::{Column, DropReason, Kind, Schema, time};
use crate::error::DataError;
use crate::table::Table;
use crate::text::{Parsed, is_missing, looks_numeric, parse, parse_boolean};

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
    /// | at least half are numbers | numeric |
    /// | `true` and `false`, or `yes` and `no`, in any case | boolean |
    /// | dates, or dates with times | times |
    /// | at least ten, more than half of them distinct; or more than 256 distinct | identifiers, dropped |
    /// | other texts | categorical |
    /// | none | dropped |
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
    let (mut cells, mut numbers, mut booleans, mut times) = (0, 0, 0, 0);
    for text in known_cells(table, column) {
        cells += 1;
        numbers += usize::from(looks_numeric(text.as_bytes()));
        booleans += usize::from(parse_boolean(text).is_some());
        times += usize::from(time::parse(text).is_some());
    }
    if cells == 0 {
        return Ok(Kind::Dropped { reason: DropReason::Empty });
    }
    if 2 * numbers >= cells {
        return Ok(Kind::Numeric { decimals: decimals(table, column) });
    }
    if booleans == cells {
        return Ok(boolean(table, column));
    }
    if times == cells {
        let parsed = known_cells(table, column).filter_map(time::parse).min_by_key(|(seconds, _)| *seconds);
        if let Some((origin, first)) = parsed {
            // Dates among times stand for midnight.
            let with_time =
                known_cells(table, column).filter_map(time::parse).find(|(_, format)| format.has_time());
            return Ok(Kind::Time { format: with_time.map_or(first, |(_, format)| format), origin });
        }
    }
    let distinct = known_cells(table, column).collect::<BTreeSet<_>>().len();
    if distinct > MAX_LEVELS || cells >= MIN_IDENTIFIER_CELLS && 2 * distinct > cells {
        return Ok(Kind::Dropped { reason: DropReason::Identifier });
    }
    categories(table, column, MAX_LEVELS)
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

/// Returns the maximum number of digits after the decimal point; `None` if there are too many, or
/// numbers have exponents.
fn decimals(table: &Table, column: usize) -> Option<u8> {
    let mut max = 0;
    for text in known_cells(table, column) {
        if !matches!(parse(text.as_bytes()), Parsed::Number(_)) {
            continue;
        }
        let digits = text.split_once('.').map_or("", |(_, digits)| digits);
        if text.contains(['e', 'E']) || digits.len() > MAX_DECIMALS {
            return None;
        }
        max = max.max(digits.len() as u8);
    }
    Some(max)
}
