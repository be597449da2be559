//! How far reconstructions are from what they should be: errors of rows, of features, of cells.

use ae_data::{BatchSource, Dataset};
use ae_kernels::par::Crew;

use crate::bulk::{Part, Source};
use crate::error::Error;
use crate::model::{AnyEngine, Autoencoder, ErrorNorm, bulk, known_values, targets_of};

impl Autoencoder {
    /// The reconstruction error of each row, on scaled features. That of a row without a known value is 0: nothing of it is wrong, and nothing is
    /// known, so leave such rows out where errors are compared.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::Names`], [`Error::NotFinite`], [`Error::Targets`] for what is wrong with targets, or what reading `data` returns.
    pub fn reconstruction_error(&self, data: &dyn BatchSource, norm: ErrorNorm) -> Result<Vec<f64>, Error> {
        let features = self.config.input_dim();
        self.expect_rows(data)?;
        let rows = data.rows();
        let mut errors = vec![0.0; rows];
        let targets = targets_of(data)?;
        self.staged(Part::Whole, data, targets, rows, |first, table, crew| {
            let out = &mut errors[first..][..table.rows.len() / features];
            match &self.engine {
                AnyEngine::F32(e) => bulk(e, crew).row_errors(Source { table, indices: None }, out),
                AnyEngine::F64(e) => bulk(e, crew).row_errors(Source { table, indices: None }, out),
            }
        })?;
        if norm == ErrorNorm::Mean {
            self.staged(Part::Whole, data, targets, rows, |first, table, _| {
                for (error, row) in errors[first..].iter_mut().zip(table.expected().chunks_exact(features)) {
                    *error /= known_values(row).max(1) as f64;
                }
            })?;
        }
        Ok(errors)
    }

    /// The squared error of each scaled feature of each row, `[rows, input_dim]`. One that overflows is infinite.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::Names`], [`Error::NotFinite`], [`Error::Targets`], or what reading `data` returns.
    pub fn squared_errors(&self, data: &dyn BatchSource) -> Result<Dataset, Error> {
        self.cells(data, |engine, crew, source, out| match engine {
            AnyEngine::F32(e) => bulk(e, crew).cell_errors(source, out),
            AnyEngine::F64(e) => bulk(e, crew).cell_errors(source, out),
        })
    }

    /// The difference `x̂ - x` of each scaled feature of each row, `[rows, input_dim]`; 0 where `x` is missing. Taken on the scale of the
    /// network: in the data's units small differences between large values are lost to rounding.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::Names`], [`Error::NotFinite`], [`Error::Targets`], or what reading `data` returns.
    pub fn residuals(&self, data: &dyn BatchSource) -> Result<Dataset, Error> {
        self.cells(data, |engine, crew, source, out| match engine {
            AnyEngine::F32(e) => bulk(e, crew).residuals(source, out),
            AnyEngine::F64(e) => bulk(e, crew).residuals(source, out),
        })
    }

    /// What `of` writes for each cell of the rows.
    fn cells(
        &self,
        data: &dyn BatchSource,
        of: impl Fn(&AnyEngine, Crew<'_>, Source<'_>, &mut [f32]),
    ) -> Result<Dataset, Error> {
        let features = self.config.input_dim();
        self.expect_rows(data)?;
        let rows = data.rows();
        let mut cells = vec![0.0; rows * features];
        self.staged(Part::Whole, data, targets_of(data)?, rows, |first, table, crew| {
            let out = &mut cells[first * features..][..table.rows.len()];
            of(&self.engine, crew, Source { table, indices: None }, out);
        })?;
        self.named(Dataset::new(cells, features)?)
    }

    /// The mean squared error of each scaled feature over the rows where it is known, `[input_dim]`. Without missing values their
    /// mean is the MSE. A feature that is never known has 0. Each cell's error is a number of single precision, also in a model of double
    /// precision: infinite from about 1e19 scaled units on.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::Names`], [`Error::NotFinite`], [`Error::Targets`], [`Error::NoRows`], or what reading `data` returns.
    pub fn feature_error(&self, data: &dyn BatchSource) -> Result<Vec<f64>, Error> {
        let features = self.config.input_dim();
        self.expect_rows(data)?;
        if data.rows() == 0 {
            return Err(Error::NoRows { rows: 0, validation: 0 });
        }
        let (mut sums, mut known) = (vec![0.0; features], vec![0usize; features]);
        let mut cells = Vec::new();
        self.staged(Part::Whole, data, targets_of(data)?, data.rows(), |_, table, crew| {
            cells.resize(table.rows.len(), 0.0);
            match &self.engine {
                AnyEngine::F32(e) => bulk(e, crew).cell_errors(Source { table, indices: None }, &mut cells),
                AnyEngine::F64(e) => bulk(e, crew).cell_errors(Source { table, indices: None }, &mut cells),
            }
            for (errors, row) in cells.chunks_exact(features).zip(table.expected().chunks_exact(features)) {
                for ((sum, known), (error, x)) in sums.iter_mut().zip(&mut known).zip(errors.iter().zip(row))
                {
                    *sum += f64::from(*error);
                    *known += usize::from(!x.is_nan());
                }
            }
        })?;
        sums.iter_mut().zip(known).for_each(|(sum, known)| *sum /= known.max(1) as f64);
        Ok(sums)
    }

    /// The mean over all rows and features of `(x̂ - x)²` on scaled features: what is reported as MSE. Missing values do not
    /// count.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::Names`], [`Error::NotFinite`], [`Error::Targets`], [`Error::NoRows`], or what reading `data` returns.
    pub fn mse(&self, data: &dyn BatchSource) -> Result<f64, Error> {
        if data.rows() == 0 {
            return Err(Error::NoRows { rows: 0, validation: 0 });
        }
        let errors = self.reconstruction_error(data, ErrorNorm::Sum)?;
        let mut known = 0usize;
        self.staged(Part::Whole, data, targets_of(data)?, data.rows(), |_, table, _| {
            known += known_values(table.expected());
        })?;
        Ok(errors.iter().sum::<f64>() / known.max(1) as f64)
    }

    /// The negative of [`mse`](Autoencoder::mse): greater is better.
    ///
    /// # Errors
    /// As [`mse`](Autoencoder::mse).
    pub fn score(&self, data: &dyn BatchSource) -> Result<f64, Error> {
        self.mse(data).map(|mse| -mse)
    }
}
