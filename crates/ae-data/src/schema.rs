//! What the columns of a table hold, and how they are encoded as numbers.
//!
//! ```
//! use ae_data::{Schema, Table, ColumnRoles};
//!
//! let columns = [vec!["1.5", "", "2.5"], vec!["red", "blue", "red"]];
//! let table = Table::new(vec!["size".to_owned(), "colour".to_owned()], &columns)?;
//! let schema = Schema::infer(&table, &ColumnRoles::default())?;
//! let encoded = schema.encode(&table, None)?;
//! assert_eq!(encoded.rows.names().unwrap(), ["size", "colour=blue", "colour=red"]);
//! assert_eq!(encoded.rows.row(0).unwrap(), [1.5, 0.0, 1.0]);
//! let decoded = schema.decode(&encoded.rows)?;
//! assert_eq!(decoded.cell(1, 1), "blue");
//! # Ok::<(), ae_data::DataError>(())
//! ```

mod convert;
mod infer;
mod quantiles;
mod sample;
mod time;

use serde::{Deserialize, Serialize};

use crate::error::DataError;
use crate::stored_type::StoredType;
use crate::table::Table;
pub(crate) use convert::number_text;
pub use convert::{Encoded, Unknown};
pub use infer::ColumnRoles;
pub(crate) use infer::{decimals, is_numeric};
pub use quantiles::Quantiles;
pub use time::TimeFormat;
#[cfg(feature = "parquet")]
pub(crate) use time::{parse_as as parse_time, write as write_time};

#[cfg(test)]
mod tests;

/// The columns of a table, in order, and how each is encoded as features: the numbers that a model sees.
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
    /// Its name; `column` and its number if the table has no names.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// For numbers and times: the map to normal scores, if wanted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantiles: Option<Quantiles>,
    /// How the file stores it, if its format has types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored: Option<StoredType>,
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Kind {
    /// Numbers: one feature.
    Numeric {
        /// Maximum number of digits after the decimal point; `None` if there are too many, or numbers
        /// have exponents.
        decimals: Option<u8>,
    },
    /// One of two texts, for no and yes: one feature, 0 or 1.
    Boolean {
        /// The text for 0.
        no: String,
        /// The text for 1.
        yes: String,
    },
    /// One of several texts, one-hot encoded: a feature for each. All are 0 for an unknown text.
    Categorical {
        /// The texts, in alphabetical order.
        levels: Vec<String>,
    },
    /// Dates or times: one feature, in seconds since the earliest one.
    Time {
        /// How they are written.
        #[serde(rename = "form")]
        format: TimeFormat,
        /// The earliest one, in seconds since 1970.
        origin: i64,
    },
    /// Labels of the rows: no feature.
    Label,
    /// Not used: no feature.
    Dropped {
        /// Why.
        #[serde(rename = "why")]
        reason: DropReason,
    },
}

/// Why a column is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DropReason {
    /// It identifies rows rather than kinds of rows: its texts are mostly distinct, or too many, or it
    /// has no name and counts the rows.
    Identifier,
    /// All of its cells are missing.
    Empty,
    /// The caller asked for it.
    #[serde(rename = "asked")]
    Requested,
}

impl Column {
    /// Number of features of the column.
    pub fn width(&self) -> usize {
        match &self.kind {
            Kind::Numeric { .. } | Kind::Boolean { .. } | Kind::Time { .. } => 1,
            Kind::Categorical { levels } => levels.len(),
            Kind::Label | Kind::Dropped { .. } => 0,
        }
    }

    /// Whether its features are 0 or 1 and should not be scaled.
    pub fn is_indicator(&self) -> bool {
        matches!(self.kind, Kind::Boolean { .. } | Kind::Categorical { .. })
    }
}

impl Schema {
    /// All columns, including those without features.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The columns that have features, in order.
    pub fn features(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.width() > 0)
    }

    /// Number of features per row.
    pub fn width(&self) -> usize {
        self.columns.iter().map(Column::width).sum()
    }

    /// The label column chosen when the schema was inferred, if any.
    pub fn label(&self) -> Option<&str> {
        let label = self.columns.iter().find(|column| column.kind == Kind::Label);
        label.map(|column| column.name.as_str())
    }

    /// For each feature, the index of its column in [`Schema::features`].
    pub fn groups(&self) -> Vec<usize> {
        self.features().enumerate().flat_map(|(index, column)| vec![index; column.width()]).collect()
    }

    /// For each feature, whether it is 0 or 1 and should not be scaled.
    pub fn indicators(&self) -> Vec<bool> {
        self.features().flat_map(|column| vec![column.is_indicator(); column.width()]).collect()
    }

    /// Names of the features: the column name, or `column=text` for each text of a categorical column.
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

    /// Whether all features are numbers as they are in the table: none are times, categories or normal
    /// scores.
    pub fn is_plain(&self) -> bool {
        let plain =
            |column: &Column| matches!(column.kind, Kind::Numeric { .. }) && column.quantiles.is_none();
        self.features().all(plain)
    }

    /// Maps numbers and times to their normal scores among the rows of `table`.
    ///
    /// # Errors
    /// Those of [`Schema::encode`].
    pub fn with_quantiles(mut self, table: &Table) -> Result<Schema, DataError> {
        for column in &mut self.columns {
            column.quantiles = None;
        }
        let rows = self.encode(table, None)?.rows;
        let mut offset = 0;
        for column in &mut self.columns {
            if matches!(column.kind, Kind::Numeric { .. } | Kind::Time { .. }) {
                let values = rows.values().iter().skip(offset).step_by(rows.features().max(1));
                column.quantiles = Some(Quantiles::fit(values.copied()));
            }
            offset += column.width();
        }
        Ok(self)
    }
}

/// The serialized form of a schema, not yet validated.
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
            if column.stored.is_some_and(|stored| !stored.is_valid()) {
                return wrong("has an impossible type");
            }
            if let Kind::Categorical { levels } = &column.kind {
                if levels.is_empty() {
                    return wrong("has no levels");
                }
                if levels.windows(2).any(|pair| pair[0] >= pair[1]) {
                    return wrong("has levels that are not sorted");
                }
            }
        }
        let schema = Schema { columns };
        if schema.width() == 0 { Err("no column has features".to_owned()) } else { Ok(schema) }
    }
}
