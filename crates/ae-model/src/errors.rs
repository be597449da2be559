//! Reconstruction errors of rows, features and cells.

use ae_data::{BatchSource, Dataset, memory};
use ae_kernels::par::Crew;

use crate::error::Error;
use crate::inference::{Part, Source};
use crate::model::{AnyEngine, Autoencoder, ErrorNorm, inference, targets_of};

impl Autoencoder {
    /// Computes the reconstruction error of each row, on scaled features.
    ///
    /// A row without a known value has error 0: nothing about it is known to be wrong. Leave such rows
    /// out of comparisons.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::Names`], [`Error::NotFinite`], [`Error::Targets`] for invalid targets,
    /// or whatever reading `data` returns.
    pub fn reconstruction_error(&self, data: &dyn BatchSource, norm: ErrorNorm) -> Result<Vec<f64>, Error> {
        self.view().reconstruction_error(data, norm)
    }

    /// Computes the squared error of each scaled feature of each row, `[rows, input_dim]`. An error that
    /// overflows is infinite.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::Names`], [`Error::NotFinite`], [`Error::Targets`], or whatever reading
    /// `data` returns.
    pub fn squared_errors(&self, data: &dyn BatchSource) -> Result<Dataset, Error> {
        self.cells(data, |engine, crew, source, out| match engine {
            AnyEngine::F32(e) => inference(e, crew).cell_errors(source, out),
            AnyEngine::F64(e) => inference(e, crew).cell_errors(source, out),
        })
    }

    /// Computes the difference `x̂ - x` of each scaled feature of each row, `[rows, input_dim]`; 0 where
    /// `x` is missing.
    ///
    /// Differences are on the network's scale: in the data's units, small differences between large
    /// values would be lost to rounding.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::Names`], [`Error::NotFinite`], [`Error::Targets`], or whatever reading
    /// `data` returns.
    pub fn residuals(&self, data: &dyn BatchSource) -> Result<Dataset, Error> {
        self.cells(data, |engine, crew, source, out| match engine {
            AnyEngine::F32(e) => inference(e, crew).residuals(source, out),
            AnyEngine::F64(e) => inference(e, crew).residuals(source, out),
        })
    }

    /// Collects what `of` writes for each cell of the rows.
    fn cells(
        &self,
        data: &dyn BatchSource,
        of: impl Fn(&AnyEngine, Crew<'_>, Source<'_>, &mut [f32]),
    ) -> Result<Dataset, Error> {
        let features = self.config.input_dim();
        self.view().expect_rows(data)?;
        let rows = data.rows();
        let mut cells = memory::zeros("the errors of the features", rows, features)?;
        self.view().staged(Part::Whole, data, targets_of(data)?, rows, |first, table, crew| {
            let out = &mut cells[first * features..][..table.rows.len()];
            of(&self.engine, crew, Source { table, indices: None }, out);
        })?;
        self.view().named(Dataset::new(cells, features)?)
    }

    /// Computes the mean squared error of each scaled feature over the rows where it is known,
    /// `[input_dim]`.
    ///
    /// Without missing values, their mean is the MSE. A feature that is never known has error 0. Each
    /// cell's error is computed in single precision, even in a double-precision model: it is infinite
    /// from about 1e19 scaled units on.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::Names`], [`Error::NotFinite`], [`Error::Targets`], [`Error::NoRows`],
    /// or whatever reading `data` returns.
    pub fn feature_error(&self, data: &dyn BatchSource) -> Result<Vec<f64>, Error> {
        let features = self.config.input_dim();
        self.view().expect_rows(data)?;
        if data.rows() == 0 {
            return Err(Error::NoRows { rows: 0, validation: 0 });
        }
        let (mut sums, mut known) = (vec![0.0; features], vec![0usize; features]);
        let mut cells = Vec::new();
        self.view().staged(Part::Whole, data, targets_of(data)?, data.rows(), |_, table, crew| {
            cells.resize(table.rows.len(), 0.0);
            match &self.engine {
                AnyEngine::F32(e) => {
                    inference(e, crew).cell_errors(Source { table, indices: None }, &mut cells);
                }
                AnyEngine::F64(e) => {
                    inference(e, crew).cell_errors(Source { table, indices: None }, &mut cells);
                }
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

    /// Computes the MSE: the mean of `(x̂ - x)²` over the known values of all rows, on scaled features.
    ///
    /// # Errors
    /// [`Error::Width`], [`Error::Names`], [`Error::NotFinite`], [`Error::Targets`], [`Error::NoRows`],
    /// or whatever reading `data` returns.
    pub fn mse(&self, data: &dyn BatchSource) -> Result<f64, Error> {
        self.view().mse(data)
    }

    /// Computes the negative [`mse`](Autoencoder::mse): greater is better.
    ///
    /// # Errors
    /// Same as [`mse`](Autoencoder::mse).
    pub fn score(&self, data: &dyn BatchSource) -> Result<f64, Error> {
        self.mse(data).map(|mse| -mse)
    }
}
