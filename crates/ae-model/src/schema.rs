//! Models of tables: the schema that a model carries, and imputation of missing values.

use ae_data::{BatchSource, Dataset, Schema, memory};

use crate::error::Error;
use crate::model::{Autoencoder, expect_names};
use crate::scale::Scaler;
use crate::snapshot::expect_width;

impl Autoencoder {
    /// Sets the schema of the table that the features come from. It is kept in the model file, and a
    /// scaler that is fitted from then on leaves features alone that are 0 or 1; the scaler of a fitted
    /// model stays as it is.
    ///
    /// # Errors
    /// [`Error::Width`] unless the schema has as many features as the model, [`Error::Names`] if the
    /// model was trained on features with other names.
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

    /// Sets the names of the features, for a model whose weights come from elsewhere;
    /// [`fit`](Autoencoder::fit) sets them by itself.
    ///
    /// # Errors
    /// [`Error::Names`] if they differ from those of the schema, [`Error::Data`] unless there is one for
    /// each feature and none occurs twice.
    pub fn set_feature_names(&mut self, names: Vec<String>) -> Result<(), Error> {
        self.expect_fine_names(Some(&names))?;
        self.names = Some(names);
        Ok(())
    }

    /// The schema of the table that the features come from; `None` for a model of plain numbers.
    pub fn schema(&self) -> Option<&Schema> {
        self.schema.as_ref()
    }

    /// Returns the rows of `data` with missing values imputed by the model, in the units of the data;
    /// known values stay as they are. Imputed ones are
    /// [`within_limits`](Autoencoder::within_limits). With several `rounds`, each reconstructs the rows as
    /// imputed by the previous one, as long as it changes a row by less than the previous one did, in
    /// scaled features: rounds that change a row ever more lead away from the data.
    ///
    /// # Errors
    /// As [`reconstruct`](Autoencoder::reconstruct); missing values are [`Error::NotFinite`] for a model
    /// that does not mask them.
    pub fn impute(&self, data: &dyn BatchSource, rounds: usize) -> Result<Dataset, Error> {
        let features = self.config.input_dim();
        self.view().expect_rows(data)?;
        let mut values = memory::zeros("the imputed rows", data.rows(), features)?;
        let rows = memory::indices(0..data.rows())?;
        data.read_rows(&rows, &mut values)?;
        let missing: Vec<usize> = (0..values.len()).filter(|at| values[*at].is_nan()).collect();
        // Of each row that is still changing: its missing values, and by how much the last round changed
        // them.
        let mut changing: Vec<(&[usize], f64)> = missing
            .chunk_by(|a, b| a / features == b / features)
            .map(|of_row| (of_row, f64::INFINITY))
            .collect();
        let (shift, scale) = (self.scaler.shift(), self.scaler.scale());
        for round in 0..rounds {
            if changing.is_empty() {
                break;
            }
            let rebuilt = self.within_limits(self.reconstruct(&Dataset::new(values.clone(), features)?)?)?;
            changing.retain_mut(|(of_row, last)| {
                let change = |at: &usize| {
                    // A missing value enters the network as 0, after scaling.
                    let before = if round == 0 { shift[at % features] } else { f64::from(values[*at]) };
                    ((f64::from(rebuilt.values()[*at]) - before) / scale[at % features]).powi(2)
                };
                let change: f64 = of_row.iter().map(change).sum();
                if round > 0 && change >= *last {
                    return false;
                }
                of_row.iter().for_each(|at| values[*at] = rebuilt.values()[*at]);
                *last = change;
                true
            });
        }
        let imputed = Dataset::new(values, features)?;
        match data.names() {
            Some(names) => Ok(imputed.with_names(names.to_vec())?),
            None => Ok(imputed),
        }
    }

    /// Moves numbers, pixels and times of `rows` (`[rows, input_dim]`, in the units of the data) that lie beyond
    /// those of the training rows to the nearest that occurred there. What a model makes up, such as
    /// generated rows, may well lie beyond: prices below zero, dates before the first.
    ///
    /// Values of categories and booleans stay as they are, as do all features whose range the model does
    /// not know ([`Scaler::limits`]).
    ///
    /// # Errors
    /// [`Error::Width`] for rows of another width.
    pub fn within_limits(&self, rows: Dataset) -> Result<Dataset, Error> {
        expect_width("rows", self.config.input_dim(), &rows)?;
        let limits: Vec<Option<[f32; 2]>> = (0..rows.features()).map(|j| self.scaler.limits(j)).collect();
        let indicators = self.schema.as_ref().map(Schema::indicators).unwrap_or_default();
        let is_indicator = indicators.into_iter().chain(std::iter::repeat(false));
        let limits: Vec<[f32; 2]> = (limits.into_iter().zip(is_indicator))
            .map(|(limits, is_indicator)| limits.filter(|_| !is_indicator))
            .map(|limits| limits.unwrap_or([f32::NEG_INFINITY, f32::INFINITY]))
            .collect();
        Ok(rows.map_rows(|row| {
            row.iter_mut().zip(&limits).for_each(|(x, [low, high])| *x = x.clamp(*low, *high));
        }))
    }

    /// Makes the scaler leave features alone that are 0 or 1 according to the schema.
    pub(crate) fn leave_indicators_unscaled(&self, scaler: Scaler) -> Scaler {
        match &self.schema {
            Some(schema) => scaler.leave_unscaled(&schema.indicators()),
            None => scaler,
        }
    }
}
