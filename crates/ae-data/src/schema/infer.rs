//! Infers what the columns of a table hold.

use std::collections::BTreeSet;

use super::{Column, Kind, Reason, Schema, time};
use crate::error::DataError;
use crate::table::Table;
use crate::text::{Parsed, is_missing, is_number_of_some_kind, parse, parse_boolean};

/// Maximum number of categories of a column that is inferred to be categorical.
const MAX_LEVELS: usize = 256;
/// Maximum number of categories of a column that the caller declares categorical.
const MAX_CHOSEN: usize = 10_000;
/// Minimum number of known cells for mostly distinct texts to be identifiers.
const FEW: usize = 10;
/// Maximum number of digits kept after the decimal point.
const MAX_DECIMALS: usize = 9;

/// What the caller knows about columns, each given by name or by number from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Categorical columns, whatever they look like.
    pub categorical: Vec<String>,
    /// Numeric columns.
    pub numeric: Vec<String>,
    /// Columns to leave out.
    pub drop: Vec<String>,
    /// The label column, which is never a feature.
    pub label: Option<String>,
}

impl Wishes {
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
    /// [`DataError::NotThere`] for a wish about a column that does not exist, [`DataError::ChosenTwice`]
    /// for two wishes about one column, [`DataError::TooManyLevels`] for a column declared categorical
    /// with too many distinct texts, and [`DataError::NoFeatures`] if no column is left.
    pub fn infer(table: &Table, wishes: &Wishes) -> Result<Schema, DataError> {
        let chosen = Chosen::of(table, wishes)?;
        let mut columns = Vec::with_capacity(table.columns());
        for index in 0..table.columns() {
            let kind = match chosen.0[index] {
                Some(Choice::Label) => Kind::Label,
                Some(Choice::Drop) => Kind::Dropped { why: Reason::Asked },
                Some(Choice::Numeric) => Kind::Numeric { decimals: decimals(table, index) },
                Some(Choice::Categorical) => categories(table, index, MAX_CHOSEN)?,
                None => kind_of(table, index)?,
            };
            columns.push(Column { name: table.name_of(index), kind, quantiles: None });
        }
        let schema = Schema { columns };
        if schema.width() == 0 {
            return Err(DataError::NoFeatures { path: table.path().to_owned() });
        }
        Ok(schema)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Choice {
    Categorical,
    Numeric,
    Drop,
    Label,
}

/// The caller's choice for each column.
struct Chosen(Vec<Option<Choice>>);

impl Chosen {
    fn of(table: &Table, wishes: &Wishes) -> Result<Chosen, DataError> {
        let mut chosen = Chosen(vec![None; table.columns()]);
        let wished = [
            (Choice::Label, wishes.label.as_slice()),
            (Choice::Drop, &wishes.drop),
            (Choice::Numeric, &wishes.numeric),
            (Choice::Categorical, &wishes.categorical),
        ];
        for (choice, names) in wished {
            for name in names {
                let place = &mut chosen.0[table.find(name)?];
                if place.is_some_and(|other| other != choice) {
                    return Err(DataError::ChosenTwice { path: table.path().to_owned(), name: name.clone() });
                }
                *place = Some(choice);
            }
        }
        Ok(chosen)
    }
}

fn known(table: &Table, column: usize) -> impl Iterator<Item = &str> {
    table.column(column).filter(|text| !is_missing(text))
}

fn kind_of(table: &Table, column: usize) -> Result<Kind, DataError> {
    let (mut cells, mut numbers, mut booleans, mut times) = (0, 0, 0, 0);
    for text in known(table, column) {
        cells += 1;
        numbers += usize::from(is_number_of_some_kind(text.as_bytes()));
        booleans += usize::from(parse_boolean(text).is_some());
        times += usize::from(time::parse(text).is_some());
    }
    if cells == 0 {
        return Ok(Kind::Dropped { why: Reason::Empty });
    }
    if 2 * numbers >= cells {
        return Ok(Kind::Numeric { decimals: decimals(table, column) });
    }
    if booleans == cells {
        return Ok(boolean(table, column));
    }
    if times == cells {
        let parsed = known(table, column).filter_map(time::parse).min_by_key(|(seconds, _)| *seconds);
        if let Some((origin, first)) = parsed {
            // Dates among times stand for midnight.
            let with_time = known(table, column).filter_map(time::parse).find(|(_, form)| form.has_time());
            return Ok(Kind::Time { form: with_time.map_or(first, |(_, form)| form), origin });
        }
    }
    let different = known(table, column).collect::<BTreeSet<_>>().len();
    if different > MAX_LEVELS || cells >= FEW && 2 * different > cells {
        return Ok(Kind::Dropped { why: Reason::Identifier });
    }
    categories(table, column, MAX_LEVELS)
}

fn categories(table: &Table, column: usize, most: usize) -> Result<Kind, DataError> {
    let levels: BTreeSet<&str> = known(table, column).collect();
    let (path, name) = (table.path().to_owned(), table.name_of(column));
    if levels.is_empty() {
        return Ok(Kind::Dropped { why: Reason::Empty });
    }
    if levels.len() > most {
        return Err(DataError::TooManyLevels { path, name, levels: levels.len(), most });
    }
    Ok(Kind::Categorical { levels: levels.into_iter().map(str::to_owned).collect() })
}

/// Returns the first text for no and for yes; one that does not occur is spelled like the other.
fn boolean(table: &Table, column: usize) -> Kind {
    let first = |wanted: bool| known(table, column).find(|text| parse_boolean(text) == Some(wanted));
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
    let mut most = 0;
    for text in known(table, column) {
        if !matches!(parse(text.as_bytes()), Parsed::Number(_)) {
            continue;
        }
        let digits = text.split_once('.').map_or("", |(_, digits)| digits);
        if text.contains(['e', 'E']) || digits.len() > MAX_DECIMALS {
            return None;
        }
        most = most.max(digits.len() as u8);
    }
    Some(most)
}
