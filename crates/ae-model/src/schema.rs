//! Models of tables: the schema that a model carries, and rows whose gaps are filled.

use ae_data::{BatchSource, Dataset, Schema};

use crate::error::Error;
use crate::model::{Autoencoder, expect_names};
use crate::scale::Scaler;

impl Autoencoder {
    /// Gives the model the schema of the table that its features are made of. It is kept in the model file, and features that are 0 or 1
    /// stay so whatever the scaling.
    ///
    /// # Errors
    /// [`Error::Width`] unless the schema has as many features as the model, [`Error::Names`] if those that the model was trained on have other names.
    pub fn set_schema(&mut self, schema: Schema) -> Result<(), Error> {
        let (expected, got) = (self.config.input_dim(), schema.width());
        if got != expected {
            return Err(Error::Width { what: "a schema", expected, got });
        }
        if let Some(names) = &self.names {
            expect_names(&schema.feature_names(), names)?;
        }
        self.schema = Some(schema);
        Ok(())
    }

    /// The schema of the table that its features are made of; none of a model of plain numbers.
    pub fn schema(&self) -> Option<&Schema> {
        self.schema.as_ref()
    }

    /// The rows of `data` with every missing value filled in by the model, in the units of the data; known values stay as they are. Of
    /// several `rounds`, each rebuilds the rows with what the one before has filled in.
    ///
    /// # Errors
    /// As [`reconstruct`](Autoencoder::reconstruct); missing values are [`Error::NotFinite`] for a model that does not mask them.
    pub fn filled(&self, data: &dyn BatchSource, rounds: usize) -> Result<Dataset, Error> {
        let features = self.config.input_dim();
        self.expect_rows(data)?;
        let rows: Vec<usize> = (0..data.rows()).collect();
        let mut values = vec![0.0; rows.len() * features];
        data.read_rows(&rows, &mut values)?;
        let gaps: Vec<usize> = (0..values.len()).filter(|at| values[*at].is_nan()).collect();
        for _ in 0..if gaps.is_empty() { 0 } else { rounds } {
            let rebuilt = self.reconstruct(&Dataset::new(values.clone(), features)?)?;
            gaps.iter().for_each(|at| values[*at] = rebuilt.values()[*at]);
        }
        let filled = Dataset::new(values, features)?;
        match data.names() {
            Some(names) => Ok(filled.with_names(names.to_vec())?),
            None => Ok(filled),
        }
    }

    /// The scaler with features that are 0 or 1 by the schema left as they are.
    pub(crate) fn keeping_indicators(&self, scaler: Scaler) -> Scaler {
        match &self.schema {
            Some(schema) => scaler.leaving(&schema.indicators()),
            None => scaler,
        }
    }
}
