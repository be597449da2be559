//! What the columns of a table hold, and how they become numbers.
//!
//! ```
//! use ae_data::{Schema, Table, Wishes};
//!
//! let columns = [vec!["1.5", "", "2.5"], vec!["red", "blue", "red"]];
//! let table = Table::new(vec!["size".to_owned(), "colour".to_owned()], &columns)?;
//! let schema = Schema::infer(&table, &Wishes::default())?;
//! let encoded = schema.encode(&table, None)?;
//! assert_eq!(encoded.rows.names().unwrap(), ["size", "colour=blue", "colour=red"]);
//! assert_eq!(encoded.rows.row(0).unwrap(), [1.5, 0.0, 1.0]);
//! let decoded = schema.decode(&encoded.rows)?;
//! assert_eq!(decoded.cell(1, 1), "blue");
//! # Ok::<(), ae_data::DataError>(())
//! ```

mod convert;
mod draw;
mod infer;
mod quantiles;
mod time;

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::table::Table;
pub use convert::{Encoded, Unknown};
pub use infer::Wishes;
pub use quantiles::Quantiles;
pub use time::TimeForm;
#[cfg(feature = "parquet")]
pub(crate) use time::write as write_time;

#[cfg(test)]
mod tests;

/// The columns of a table in their order, and how each becomes features: numbers that a model sees.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked", into = "Unchecked")]
pub struct Schema {
    columns: Vec<Column>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Column {
    /// Its name; `column` and its number where the table has no names.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// For numbers and times: what maps them to normal scores, where that is wished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantiles: Option<Quantiles>,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Kind {
    /// Numbers: one feature.
    Numeric {
        /// Most digits after the point; none where they are too many, or numbers have exponents.
        decimals: Option<u8>,
    },
    /// One of two texts for no and yes: one feature, 0 or 1.
    Boolean {
        /// The text of 0.
        no: String,
        /// The text of 1.
        yes: String,
    },
    /// One of several texts: a feature for each, of which one is 1 and the others are 0. All are 0 for a text that is none of these.
    Categorical {
        /// The texts, in alphabetical order.
        levels: Vec<String>,
    },
    /// Dates or times: one feature, seconds from the first one.
    Time {
        /// How they are written.
        form: TimeForm,
        /// The first one, in seconds since 1970.
        origin: i64,
    },
    /// Labels of the rows: no feature.
    Label,
    /// No feature.
    Dropped {
        /// Why.
        why: Reason,
    },
}

/// Why a column is no feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Reason {
    /// Nearly all of its texts are different, or too many: they tell rows apart, not kinds of rows.
    Identifier,
    /// All of its cells are missing.
    Empty,
    /// It was asked for.
    Asked,
}

impl Column {
    /// Features that it becomes.
    pub fn width(&self) -> usize {
        match &self.kind {
            Kind::Numeric { .. } | Kind::Boolean { .. } | Kind::Time { .. } => 1,
            Kind::Categorical { levels } => levels.len(),
            Kind::Label | Kind::Dropped { .. } => 0,
        }
    }

    /// Whether its features are 0 or 1, which no scaling should change.
    pub fn is_indicator(&self) -> bool {
        matches!(self.kind, Kind::Boolean { .. } | Kind::Categorical { .. })
    }
}

impl Schema {
    /// All columns, those without features too.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The columns that have features, in their order.
    pub fn features(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.width() > 0)
    }

    /// Features of a row.
    pub fn width(&self) -> usize {
        self.columns.iter().map(Column::width).sum()
    }

    /// The column of labels that the table was made known with.
    pub fn label(&self) -> Option<&str> {
        let label = self.columns.iter().find(|column| column.kind == Kind::Label);
        label.map(|column| column.name.as_str())
    }

    /// For each feature, which of [`Schema::features`] it belongs to.
    pub fn groups(&self) -> Vec<usize> {
        self.features().enumerate().flat_map(|(index, column)| vec![index; column.width()]).collect()
    }

    /// For each feature, whether it is 0 or 1, which no scaling should change.
    pub fn indicators(&self) -> Vec<bool> {
        self.features().flat_map(|column| vec![column.is_indicator(); column.width()]).collect()
    }

    /// Names of the features: those of their columns, for one of several texts as `column=text`.
    pub fn feature_names(&self) -> Vec<String> {
        let mut names = Vec::with_capacity(self.width());
        for column in self.features() {
            match &column.kind {
                Kind::Categorical { levels } => {
                    names.extend(levels.iter().map(|level| format!("{}={level}", column.name)));
                }
                _ => names.push(column.name.clone()),
            }
        }
        names
    }

    /// Whether the table is nothing but numbers, which need no schema.
    pub fn is_plain(&self) -> bool {
        let plain = |column: &Column| {
            matches!(column.kind, Kind::Numeric { .. } | Kind::Label) && column.quantiles.is_none()
        };
        self.columns.iter().all(plain)
    }

    /// The same columns, with numbers and times as their normal scores among these rows.
    ///
    /// # Errors
    /// As [`Schema::encode`].
    pub fn with_quantiles(mut self, table: &Table) -> Result<Schema, DataError> {
        for column in &mut self.columns {
            column.quantiles = None;
        }
        let rows = self.encode(table, None)?.rows;
        let mut at = 0;
        for column in &mut self.columns {
            if matches!(column.kind, Kind::Numeric { .. } | Kind::Time { .. }) {
                let values = rows.values().iter().skip(at).step_by(rows.features().max(1));
                column.quantiles = Some(Quantiles::of(values.copied()));
            }
            at += column.width();
        }
        Ok(self)
    }
}

/// A schema as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    columns: Vec<Column>,
}

impl From<Schema> for Unchecked {
    fn from(schema: Schema) -> Unchecked {
        Unchecked { columns: schema.columns }
    }
}

impl TryFrom<Unchecked> for Schema {
    type Error = String;

    fn try_from(Unchecked { columns }: Unchecked) -> Result<Schema, String> {
        let mut names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("two columns are named '{}'", pair[0]));
        }
        for column in &columns {
            let wrong = |what: &str| Err(format!("column '{}' {what}", column.name));
            if let Kind::Categorical { levels } = &column.kind {
                if levels.is_empty() {
                    return wrong("has no levels");
                }
                if levels.windows(2).any(|pair| pair[0] >= pair[1]) {
                    return wrong("has levels that are not in order");
                }
            }
            if column.quantiles.as_ref().is_some_and(|quantiles| !quantiles.is_sound()) {
                return wrong("has quantiles that do not rise");
            }
        }
        let schema = Schema { columns };
        if schema.width() == 0 { Err("no column is learnt from".to_owned()) } else { Ok(schema) }
    }
}
