//! The quantities that scores are computed from, each measured on a block of rows.

use ae_data::{BatchSource, Dataset, memory};
use ae_model::Autoencoder;
use nalgebra::{Cholesky, DMatrix, Dyn};

use super::columns::{Column, Columns};
use super::coordinates::Coordinates;
use super::neighbours::Neighbours;
use crate::error::EvalError;
use crate::imputation::IMPUTATION_ROUNDS;
use ae_data::threads::for_each_chunk;

/// Fraction of the mean variance of the residuals that is added to each variance, so that a feature that
/// the model reconstructs exactly, or a direction without residuals, does not decide everything.
const RIDGE: f64 = 1e-2;
/// The smallest variance of a residual: far below that of scaled features.
const MIN_VARIANCE: f64 = 1e-9;
/// Number of searches from which threads are worthwhile; a search takes some microseconds.
const WORTH_THREADS: usize = 256;

/// One quantity of a row.
#[derive(Clone, Debug)]
pub(super) enum ScoreComponent {
    /// `Σ_models Σ_features (x̂ - x)²`, where every column counts (`row_errors`).
    Error,
    /// `Σ_features (x̂ - x)² / v`, where `v` is the feature's mean squared error in training, of the
    /// first model, plus the ridge ([`RIDGE`]). An unknown category counts like an error of 1 in
    /// the feature of its column with the smallest `v`.
    StandardisedError,
    /// `rᵀ C⁻¹ r` for the residuals `r = x̂ - x` of the first model, where `C` are their second moments
    /// in training plus the ridge ([`RIDGE`]) on the diagonal. Unknown categories add as much as to the
    /// standardised error.
    Mahalanobis(Cholesky<f64, Dyn>),
    /// Mean distance to the nearest training rows, in [`Coordinates`].
    Input(Neighbours),
    /// The same, with every coordinate `z` replaced by `sign z ln(1 + |z|)`.
    Compressed(Neighbours),
    /// The same, between encodings of the first model.
    Latent(Neighbours),
}

/// What measuring a component needs.
#[derive(Debug)]
pub(super) struct ScoringContext {
    pub(super) model: Autoencoder,
    /// Models of the other noise levels.
    pub(super) further_models: Vec<Autoencoder>,
    pub(super) columns: Columns,
    /// Whether [`ScoreComponent::Error`] leaves out missing cells; otherwise it is the error of imputed
    /// rows.
    pub(super) leaves_out_missing: bool,
    /// Whether the standardised error counts a missing cell as much as the mean of the known ones of its
    /// row; otherwise it is that of imputed rows, whose imputed cells hardly add anything.
    ///
    /// Distances and correlated residuals are always those of imputed rows. Scaled up in the same way,
    /// they flag half of the rows with two known cells of ten where the reference is complete: imputed
    /// cells are in these sums already, and those of correlated residuals do not grow with the cells.
    pub(super) by_known: bool,
    /// Coordinates of rows, whatever scaling the models use.
    pub(super) coordinates: Coordinates,
    /// Mean squared error of each feature in training, of the first model, plus the ridge ([`RIDGE`]);
    /// never zero. Over the known cells, if [`by_known`](Self::by_known).
    pub(super) variances: Vec<f64>,
    pub(super) neighbours: usize,
    pub(super) threads: usize,
}

impl ScoreComponent {
    /// Whether the quantity is a squared distance.
    pub(super) fn is_squared(&self) -> bool {
        matches!(
            self,
            ScoreComponent::Error | ScoreComponent::StandardisedError | ScoreComponent::Mahalanobis(_)
        )
    }
}

impl ScoringContext {
    /// The variances of the residuals, from squared errors `[rows, features]`, over the cells that are not
    /// NaN in `known`; of a feature without any, that of a typical one.
    pub(super) fn variances_of(squares: &Dataset, known: &Dataset) -> Vec<f64> {
        let features = squares.features();
        let mut sums = vec![(0.0, 0usize); features];
        for (squares, known) in squares.iter_rows().zip(known.iter_rows()) {
            let cells = squares.iter().zip(known).zip(&mut sums);
            for ((square, _), (sum, count)) in cells.filter(|((_, x), _)| !x.is_nan()) {
                *sum += f64::from(*square);
                *count += 1;
            }
        }
        let means = sums.iter().filter(|(_, count)| *count > 0).map(|(sum, count)| sum / *count as f64);
        let typical = means.clone().sum::<f64>() / means.count().max(1) as f64;
        let variance = |(sum, count): &(f64, usize)| match count {
            0 => typical.max(MIN_VARIANCE),
            _ => (sum / *count as f64 + RIDGE * typical).max(MIN_VARIANCE),
        };
        sums.iter().map(variance).collect()
    }

    /// The value of a component for each row of a block; `exclude_self` if the rows are among those
    /// searched for neighbours.
    pub(super) fn measure(
        &self,
        component: &ScoreComponent,
        block: &Block,
        exclude_self: bool,
    ) -> Result<Vec<f64>, EvalError> {
        let rows = block.complete();
        let values = match component {
            ScoreComponent::Error => {
                let rows = if self.leaves_out_missing { &block.known } else { rows };
                let mut sums = vec![0.0; rows.rows()];
                for model in std::iter::once(&self.model).chain(&self.further_models) {
                    let errors = self.columns.row_errors(model, rows)?;
                    sums.iter_mut().zip(errors).for_each(|(sum, error)| *sum += error);
                }
                sums
            }
            ScoreComponent::StandardisedError => {
                let squares = self.model.squared_errors(rows)?;
                let counted = if self.by_known { &block.known } else { rows };
                let sum = |(squares, row): (&[f32], &[f32])| {
                    let cells = squares.iter().zip(row).zip(&self.variances);
                    let known = cells.filter(|((_, x), _)| !x.is_nan()).map(|((x, _), v)| f64::from(*x) / v);
                    // From 0, because a sum of nothing is -0.
                    let sum = known.fold(0.0, |sum, x| sum + x) + self.weight_of_unknown(row);
                    sum * self.columns.per_known(row)
                };
                squares.iter_rows().zip(counted.iter_rows()).map(sum).collect()
            }
            ScoreComponent::Mahalanobis(factor) => {
                let mut residuals = self.residuals(rows)?;
                if !factor.l_dirty().solve_lower_triangular_mut(&mut residuals) {
                    return Err(EvalError::DecompositionFailed);
                }
                let known = residuals.column_iter().map(|column| column.norm_squared());
                known.zip(rows.iter_rows()).map(|(sum, row)| sum + self.weight_of_unknown(row)).collect()
            }
            ScoreComponent::Input(neighbours) => {
                self.distances(neighbours, &self.coordinates.of(rows)?, exclude_self)
            }
            ScoreComponent::Compressed(neighbours) => {
                self.distances(neighbours, &compress_values(self.coordinates.of(rows)?), exclude_self)
            }
            ScoreComponent::Latent(neighbours) => {
                let codes = self.model.encode(rows)?;
                self.distances(neighbours, codes.values(), exclude_self)
            }
        };
        // What overflows is as anomalous as can be.
        Ok(values.into_iter().map(|x: f64| if x.is_nan() { f64::INFINITY } else { x }).collect())
    }

    /// What the unknown categories of a row add to errors relative to their variances: each is an
    /// indicator of its own with an error of 1, of the smallest variance in its column.
    fn weight_of_unknown(&self, row: &[f32]) -> f64 {
        let smallest = |column: &Column| {
            self.variances[column.features.clone()].iter().copied().fold(f64::INFINITY, f64::min)
        };
        self.columns.unknown(row).map(|column| 1.0 / smallest(column)).sum()
    }

    /// `x̂ - x` of the first model on its scaled features, `[features, rows]`.
    pub(super) fn residuals(&self, rows: &Dataset) -> Result<DMatrix<f64>, EvalError> {
        let residuals = self.model.residuals(rows)?;
        let (features, values) = (rows.features(), residuals.values());
        Ok(DMatrix::from_fn(features, rows.rows(), |j, i| f64::from(values[i * features + j])))
    }

    /// The Cholesky factor of the second moments of these rows' residuals.
    pub(super) fn residual_factor(&self, rows: &Dataset) -> Result<Cholesky<f64, Dyn>, EvalError> {
        let residuals = self.residuals(rows)?;
        let features = residuals.nrows();
        let mut moments = &residuals * residuals.transpose() / rows.rows().max(1) as f64;
        let ridge = (RIDGE * moments.trace() / features.max(1) as f64).max(MIN_VARIANCE);
        (0..features).for_each(|j| moments[(j, j)] += ridge);
        Cholesky::new(moments).ok_or(EvalError::DecompositionFailed)
    }

    /// Mean distance of each row to its nearest neighbours. Rows are distributed over threads; each is
    /// processed by one thread alone.
    fn distances(&self, neighbours: &Neighbours, rows: &[f32], exclude_self: bool) -> Vec<f64> {
        let features = neighbours.features().max(1);
        let count = rows.len() / features;
        let mut out = vec![0.0; count];
        let work = |rows: &[f32], out: &mut [f64]| {
            let mut nearest = vec![0.0; out.len() * self.neighbours];
            neighbours.squared_distances(rows, exclude_self, self.neighbours, &mut nearest);
            for (nearest, out) in nearest.chunks_exact(self.neighbours).zip(out) {
                let sum: f64 = nearest.iter().map(|square| f64::from(*square).sqrt()).sum();
                *out = sum / self.neighbours as f64;
            }
        };
        let threads = if count < WORTH_THREADS { 1 } else { self.threads };
        let chunk = count.div_ceil(threads.max(1)).max(1);
        for_each_chunk(threads, &mut out, chunk, |i, out| work(&rows[i * chunk * features..], out));
        out
    }
}

/// `sign z ln(1 + |z|)`: reduces the weight of differences between extreme values.
pub(super) fn compress_values(mut values: Vec<f32>) -> Vec<f32> {
    values.iter_mut().for_each(|z| *z = z.abs().ln_1p().copysign(*z));
    values
}

/// Reads the rows with these indices, whose values must be finite.
pub(super) fn read(rows: &dyn BatchSource, indices: &[usize]) -> Result<Dataset, EvalError> {
    let read = read_unchecked(rows, indices)?;
    match read.values().iter().position(|x| !x.is_finite()) {
        Some(at) => Err(not_finite(&read, indices, at)),
        None => Ok(read),
    }
}

/// Like [`read`], with missing values as they are if the model masks them.
pub(super) fn read_known(
    model: &Autoencoder,
    rows: &dyn BatchSource,
    indices: &[usize],
) -> Result<Dataset, EvalError> {
    if !model.config().mask_missing() {
        return read(rows, indices);
    }
    let read = read_unchecked(rows, indices)?;
    match read.values().iter().position(|x| x.is_infinite()) {
        Some(at) => Err(not_finite(&read, indices, at)),
        None => Ok(read),
    }
}

/// Rows, as they are and with missing values filled in by the model.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) known: Dataset,
    /// `None` if nothing is missing.
    filled: Option<Dataset>,
}

impl Block {
    /// Fills in the missing values of rows, which have these numbers in errors.
    pub(super) fn new(model: &Autoencoder, known: Dataset, indices: &[usize]) -> Result<Block, EvalError> {
        if known.values().iter().all(|x| !x.is_nan()) {
            return Ok(Block { known, filled: None });
        }
        let filled = model.impute(&known, IMPUTATION_ROUNDS)?;
        match filled.values().iter().position(|x| !x.is_finite()) {
            Some(at) => Err(not_finite(&filled, indices, at)),
            None => Ok(Block { known, filled: Some(filled) }),
        }
    }

    /// Rows of which only the known values are looked at.
    pub(super) fn as_known(known: Dataset) -> Block {
        Block { known, filled: None }
    }

    /// The rows without missing values, unless only the known ones are looked at.
    pub(super) fn complete(&self) -> &Dataset {
        self.filled.as_ref().unwrap_or(&self.known)
    }
}

fn read_unchecked(rows: &dyn BatchSource, indices: &[usize]) -> Result<Dataset, EvalError> {
    let features = rows.features();
    let mut values = memory::zeros("the rows", indices.len(), features)?;
    rows.read_rows(indices, &mut values)?;
    let read = Dataset::new(values, features)?;
    match rows.names() {
        Some(names) => Ok(read.with_names(names.to_vec())?),
        None => Ok(read),
    }
}

/// The error about the value at position `at` of rows that were read by these indices.
fn not_finite(read: &Dataset, indices: &[usize], at: usize) -> EvalError {
    let (row, column) = (indices[at / read.features()], at % read.features());
    let name = read.names().and_then(|names| names.get(column).cloned());
    ae_model::Error::NotFinite { row, column, name, value: read.values()[at] }.into()
}

#[cfg(test)]
mod tests;
