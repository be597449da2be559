//! Draws texts at random with the probabilities that a model predicts.

use super::{Kind, Schema};
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::split::Rng;

impl Schema {
    /// Samples the categorical and boolean columns of `rows`, `[rows, features]`: each category in
    /// proportion to the positive values of its column, each yes with its value as the probability. A
    /// decoder trained with squared error or cross-entropy predicts how likely each text is;
    /// [`Schema::decode`] alone takes the likeliest, so that rare ones never occur. Numbers and times
    /// stay as they are. The same seed gives the same result.
    ///
    /// # Errors
    /// [`DataError::Shape`] for rows of another width.
    pub fn sample(&self, rows: &Dataset, seed: u64) -> Result<Dataset, DataError> {
        self.check_width(rows)?;
        let mut rng = Rng::new(seed);
        let mut values = rows.values().to_vec();
        for row in values.chunks_exact_mut(rows.features()) {
            let mut offset = 0;
            for column in self.features() {
                let cells = &mut row[offset..offset + column.width()];
                offset += column.width();
                match column.kind {
                    Kind::Categorical { .. } => sample_category(cells, &mut rng),
                    Kind::Boolean { .. } => {
                        cells.iter_mut().for_each(|x| *x = f32::from(u8::from(rng.unit() < f64::from(*x))));
                    }
                    _ => {}
                }
            }
        }
        let sampled = Dataset::new(values, rows.features())?;
        match rows.names() {
            Some(names) => sampled.with_names(names.to_vec()),
            None => Ok(sampled),
        }
    }
}

/// Sets one of the values to 1, drawn in proportion to the positive ones, and the others to 0. Leaves
/// them as they are if none is positive.
fn sample_category(values: &mut [f32], rng: &mut Rng) {
    let weight = |x: f32| f64::from(x.max(0.0));
    let total: f64 = values.iter().map(|x| weight(*x)).sum();
    let mut left = rng.unit() * total;
    let Some(last) = values.iter().rposition(|x| weight(*x) > 0.0) else { return };
    let sampled = values[..last].iter().position(|x| {
        left -= weight(*x);
        left < 0.0
    });
    values.fill(0.0);
    values[sampled.unwrap_or(last)] = 1.0;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::ColumnRoles;
    use crate::table::Table;

    fn schema() -> Schema {
        let names = ["town", "age", "old"].map(str::to_owned).to_vec();
        let columns = [vec!["Aue", "Bern", "Cham"], vec!["1", "2", "3"], vec!["no", "yes", "no"]];
        Schema::infer(&Table::new(names, &columns).unwrap(), &ColumnRoles::default()).unwrap()
    }

    #[test]
    fn shares_are_those_of_the_values() {
        let schema = schema();
        assert_eq!(schema.width(), 5);
        let rows = 4000;
        let row = [0.6, -0.5, 0.2, 7.5, 0.25];
        let sampled = schema.sample(&Dataset::new(row.repeat(rows), 5).unwrap(), 3).unwrap();
        let fraction = |column: usize, value: f32| {
            sampled.iter_rows().filter(|row| row[column] == value).count() as f64 / rows as f64
        };
        for (column, expected) in [(0, 0.75), (1, 0.0), (2, 0.25), (4, 0.25)] {
            assert!((fraction(column, 1.0) - expected).abs() < 0.03, "{column}: {}", fraction(column, 1.0));
            assert_eq!(fraction(column, 1.0) + fraction(column, 0.0), 1.0);
        }
        assert_eq!(fraction(3, 7.5), 1.0);
        assert_eq!(schema.sample(&Dataset::new(row.repeat(rows), 5).unwrap(), 3).unwrap(), sampled);
        assert!(schema.sample(&Dataset::new(vec![0.0; 4], 4).unwrap(), 3).is_err());
    }

    #[test]
    fn where_nothing_is_likely_the_largest_stays() {
        let row = vec![-0.3, -0.1, -0.2, 1.0, 2.0];
        let sampled = schema().sample(&Dataset::new(row, 5).unwrap(), 0).unwrap();
        assert_eq!(sampled.values(), [-0.3, -0.1, -0.2, 1.0, 1.0]);
    }
}
