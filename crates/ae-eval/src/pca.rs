//! Principal component analysis: the best linear autoencoder, and so the first baseline for any other.

use ae_data::{BatchSource, Dataset, memory};
use nalgebra::DMatrix;

use crate::blocks::{first_infinite, for_each_block, for_each_pair, non_empty_shape};
use crate::error::EvalError;
use crate::metrics::column_means;

mod orthogonal;
use orthogonal::{SingularDirections, TriangularFactor, complete_basis};

/// Smallest variance, relative to the largest, that a product of the rows with themselves gives
/// accurately enough: its rounding error is 1e-16 of the largest.
const MIN_RELATIVE_VARIANCE: f64 = 1e-6;

/// The principal components of some rows.
///
/// They are the eigenvectors `v₁, v₂, …` of `C = (1/m) Σ (x - μ)(x - μ)ᵀ`, by decreasing eigenvalue `λ`.
/// The reconstruction of a row from k of them, `μ + Σᵢ vᵢ vᵢᵀ (x - μ)`, has the least mean squared error
/// of all linear ones (Eckart & Young 1936); on the rows they were fitted to, that error is
/// `(1/n) Σ_{i>k} λᵢ`. Sums are in double precision.
///
/// A missing value (NaN) counts as the mean `μ` of its feature over the known values of the fitted rows,
/// in fitting and in reconstructing alike, and is left out of errors.
///
/// ```
/// use ae_data::Rows;
/// use ae_eval::Pca;
///
/// let rows = Rows::new(&[0.0, 0.1, 1.0, 2.0, 2.0, 3.9, 3.0, 6.1], 2)?;
/// let pca = Pca::fit(&rows, 1)?;
/// let codes = pca.transform(&rows)?;
/// assert_eq!((codes.rows(), codes.features()), (4, 1));
/// let reconstructed = pca.inverse_transform(&codes)?;
/// assert!((reconstructed.values()[7] - 6.1).abs() < 0.1);
/// assert!(pca.mse(&rows)? < 0.01);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pca {
    mean: Vec<f64>,
    /// `[features, components]`
    components: DMatrix<f64>,
    variances: Vec<f64>,
    total_variance: f64,
}

impl Pca {
    /// Fits `components` components to `rows`.
    ///
    /// If there are at least as many rows as features, rows are read a block at a time; otherwise all
    /// are held in memory. If the variance along the last component is less than a millionth of that
    /// along the first, the components are computed by an orthogonal decomposition of the rows, which
    /// takes longer.
    ///
    /// # Errors
    /// [`EvalError::Empty`] without rows; an error from reading them; [`EvalError::Components`] for no
    /// components, or more than rows or features; [`EvalError::Model`] for an infinite value, with its
    /// row and column.
    pub fn fit(rows: &dyn BatchSource, components: usize) -> Result<Pca, EvalError> {
        let (count, features) = non_empty_shape(rows)?;
        let max = count.min(features);
        if components == 0 || components > max {
            return Err(EvalError::Components { wanted: components, rows: count, features, max });
        }
        let mean = column_means(rows)?;
        let (mut leading, variances, total_variance) = if features > count {
            fit_wide(rows, &mean, components)?
        } else {
            fit_tall(rows, &mean, components)?
        };
        for i in 0..components {
            // An eigenvector is as good as its negative; the largest element is made positive.
            let largest = (0..features)
                .map(|r| leading[(r, i)])
                .fold(0.0f64, |a, b| if b.abs() > a.abs() { b } else { a });
            if largest < 0.0 {
                (0..features).for_each(|r| leading[(r, i)] = -leading[(r, i)]);
            }
        }
        Ok(Pca { mean, components: leading, variances, total_variance })
    }

    /// Keeps only the first components, at least one and at most all, with the same result as fitting
    /// that many.
    #[must_use]
    pub fn truncated(&self, components: usize) -> Pca {
        let kept = components.clamp(1, self.variances.len().max(1));
        Pca {
            mean: self.mean.clone(),
            components: self.components.columns(0, kept.min(self.components.ncols())).into_owned(),
            variances: self.variances.iter().copied().take(kept).collect(),
            total_variance: self.total_variance,
        }
    }

    /// Number of components.
    pub fn components(&self) -> usize {
        self.variances.len()
    }

    /// Variances along the components, descending: `λᵢ`, with the divisor m, not m - 1.
    pub fn variances(&self) -> &[f64] {
        &self.variances
    }

    /// The sum of the variances of all features.
    pub fn total_variance(&self) -> f64 {
        self.total_variance
    }

    /// Component `index`, a vector of length one, `[features]`, orthogonal to the others; `None` if
    /// there is no such component. Beyond the rank of the rows it is an arbitrary such vector.
    pub fn component(&self, index: usize) -> Option<Vec<f64>> {
        (index < self.components.ncols()).then(|| self.components.column(index).iter().copied().collect())
    }

    /// The coordinates of rows along the components, `[rows, components]`.
    ///
    /// # Errors
    /// [`EvalError::Width`] for rows of another width, [`EvalError::Empty`] for none, or an error from
    /// reading them.
    pub fn transform(&self, rows: &dyn BatchSource) -> Result<Dataset, EvalError> {
        let mut codes = memory::room("the coordinates", rows.rows(), self.components())?;
        self.for_each_block(rows, |_, _, block| {
            for r in 0..block.nrows() {
                codes.extend((0..block.ncols()).map(|c| block[(r, c)] as f32));
            }
        })?;
        Ok(Dataset::new(codes, self.components())?)
    }

    /// The rows at these coordinates along the components, `[rows, features]`: `μ + Σᵢ cᵢ vᵢ`, in the
    /// units of the rows that the components were fitted to.
    ///
    /// Coordinates from [`transform`](Pca::transform) are rounded to `f32`;
    /// [`reconstruct`](Pca::reconstruct) does not round them.
    ///
    /// # Errors
    /// [`EvalError::Width`] unless there is one coordinate per component, [`EvalError::Empty`] for no
    /// rows, or an error from reading them.
    pub fn inverse_transform(&self, codes: &dyn BatchSource) -> Result<Dataset, EvalError> {
        let (count, width) = non_empty_shape(codes)?;
        if width != self.components() {
            return Err(EvalError::Width { expected: self.components(), got: width });
        }
        let mut values = memory::room("the decoded rows", count, self.mean.len())?;
        for_each_block(codes, |block| {
            let codes =
                DMatrix::from_row_iterator(block.len() / width, width, block.iter().map(|x| f64::from(*x)));
            self.decode(&codes, &mut values);
        })?;
        Ok(Dataset::new(values, self.mean.len())?)
    }

    /// Appends `μ + Σᵢ cᵢ vᵢ` for coordinates `[rows, components]` to `values`, in row-major order.
    fn decode(&self, codes: &DMatrix<f64>, values: &mut Vec<f32>) {
        let rows = codes * self.components.transpose();
        for r in 0..rows.nrows() {
            values.extend((0..self.mean.len()).map(|c| (rows[(r, c)] + self.mean[c]) as f32));
        }
    }

    /// The reconstructions of rows from their coordinates along the components, `[rows, features]`, with
    /// the column names of the rows.
    ///
    /// # Errors
    /// [`EvalError::Width`] for rows of another width, [`EvalError::Empty`] for none, or an error from
    /// reading them.
    pub fn reconstruct(&self, rows: &dyn BatchSource) -> Result<Dataset, EvalError> {
        let mut reconstructed = memory::room("the reconstructions", rows.rows(), rows.features())?;
        self.for_each_block(rows, |_, _, codes| self.decode(codes, &mut reconstructed))?;
        let reconstructed = Dataset::new(reconstructed, self.mean.len())?;
        match rows.names() {
            Some(names) => Ok(reconstructed.with_names(names.to_vec())?),
            None => Ok(reconstructed),
        }
    }

    /// Mean of `(x̂ - y)²` over all known values of the `targets` `y`, one per row, where `x̂` are the
    /// reconstructions of `rows`.
    ///
    /// For example, this is the error on noisy rows of components that were fitted to clean ones.
    ///
    /// # Errors
    /// [`EvalError::Width`] for rows or targets of another width, [`EvalError::RowCount`] for another
    /// number of targets, [`EvalError::Empty`] for no rows, or an error from reading them.
    pub fn mse_against(&self, rows: &dyn BatchSource, targets: &dyn BatchSource) -> Result<f64, EvalError> {
        let reconstructed = self.reconstruct(rows)?;
        let (mut squares, mut known) = (0.0, 0usize);
        for_each_pair(&reconstructed, targets, "the targets", |reconstructed, targets| {
            for (x, y) in reconstructed.iter().zip(targets).filter(|(_, y)| !y.is_nan()) {
                squares += f64::from(x - y).powi(2);
                known += 1;
            }
        })?;
        Ok(squares / known.max(1) as f64)
    }

    /// Mean of `(x̂ - x)²` over all known values `x`, where `x̂` is the reconstruction in double precision.
    ///
    /// # Errors
    /// [`EvalError::Width`] for rows of another width, [`EvalError::Empty`] for none, or an error from
    /// reading them.
    pub fn mse(&self, rows: &dyn BatchSource) -> Result<f64, EvalError> {
        let (mut error, mut known, transposed) = (0.0, 0usize, self.components.transpose());
        self.for_each_block(rows, |block, centred, codes| {
            // Not from the difference of their lengths, which would lose a small error of a long row.
            let mut rest = codes * &transposed;
            rest -= centred;
            known += block.len();
            for (at, _) in block.iter().enumerate().filter(|(_, x)| x.is_nan()) {
                rest[(at / self.mean.len(), at % self.mean.len())] = 0.0;
                known -= 1;
            }
            error += rest.norm_squared();
        })?;
        Ok(error / known.max(1) as f64)
    }

    /// Calls `take(rows, centred rows, their coordinates)` for blocks of rows.
    fn for_each_block(
        &self,
        rows: &dyn BatchSource,
        mut take: impl FnMut(&[f32], &DMatrix<f64>, &DMatrix<f64>),
    ) -> Result<(), EvalError> {
        let (_, features) = non_empty_shape(rows)?;
        if features != self.mean.len() {
            return Err(EvalError::Width { expected: self.mean.len(), got: features });
        }
        for_each_block(rows, |block| {
            let centred = centred(block, &self.mean);
            let codes = &centred * &self.components;
            take(block, &centred, &codes);
        })
    }
}

/// `x - μ`, `[rows, features]`; 0 for missing values.
pub(crate) fn centred(rows: &[f32], mean: &[f64]) -> DMatrix<f64> {
    let features = mean.len();
    DMatrix::from_fn(rows.len() / features, features, |r, c| match rows[r * features + c] {
        x if x.is_nan() => 0.0,
        x => f64::from(x) - mean[c],
    })
}

/// `(1/m) Σ (x - μ)(x - μ)ᵀ`, `[features, features]`.
fn covariance(rows: &dyn BatchSource, mean: &[f64]) -> Result<DMatrix<f64>, EvalError> {
    let features = mean.len();
    let scale = 1.0 / rows.rows() as f64;
    let mut sum = DMatrix::zeros(features, features);
    for_each_block(rows, |block| {
        let block = centred(block, mean);
        sum.gemm(scale, &block.transpose(), &block, 1.0);
    })?;
    Ok(sum)
}

/// All rows `x - μ`, which are fewer than the features.
fn all_centred(rows: &dyn BatchSource, mean: &[f64]) -> Result<DMatrix<f64>, EvalError> {
    let mut values = memory::room("the rows", rows.rows(), mean.len())?;
    for_each_block(rows, |block| values.extend_from_slice(block))?;
    Ok(centred(&values, mean))
}

/// Components `[features, components]`, their variances and the total variance.
type Components = (DMatrix<f64>, Vec<f64>, f64);

/// For at least as many rows as features.
fn fit_tall(rows: &dyn BatchSource, mean: &[f64], components: usize) -> Result<Components, EvalError> {
    let (count, features) = (rows.rows(), mean.len());
    let product = covariance(rows, mean)?;
    let of_features = product.diagonal();
    let found = eigenvectors(product, components, rows)?;
    if is_exact(&found.1) {
        return Ok(found);
    }
    let order = argsort_descending(of_features.as_slice());
    let mut triangle = TriangularFactor::new(features);
    for_each_block(rows, |block| triangle.add(centred(block, mean).select_columns(&order)))?;
    let directions = SingularDirections::from_triangle(triangle).ok_or(EvalError::DecompositionFailed)?;
    Ok(leading_components(directions, &order, components, count))
}

/// For fewer rows than features.
fn fit_wide(rows: &dyn BatchSource, mean: &[f64], components: usize) -> Result<Components, EvalError> {
    let (count, all) = (rows.rows(), all_centred(rows, mean)?);
    // The smaller of the two products has all nonzero eigenvalues.
    let (vectors, variances, total) = eigenvectors(&all * all.transpose() / count as f64, components, rows)?;
    // Centred rows have a rank of at most one less than their number.
    let varied = components.min(count - 1);
    if is_exact(&variances[..varied]) && total > 0.0 {
        // X Xᵀ u = λ m u makes Xᵀ u an eigenvector of Xᵀ X, yet to be normalised.
        let mut directions = all.transpose() * vectors;
        directions.columns_mut(0, varied).column_iter_mut().for_each(|mut column| {
            column.unscale_mut(column.norm());
        });
        complete_basis(&mut directions, varied);
        return Ok((directions, variances, total));
    }
    let of_features: Vec<f64> = all.column_iter().map(|column| column.norm_squared()).collect();
    let order = argsort_descending(&of_features);
    let directions =
        SingularDirections::from_wide(&all.select_columns(&order)).ok_or(EvalError::DecompositionFailed)?;
    Ok(leading_components(directions, &order, components, count))
}

/// The leading eigenvectors of a product of the rows with themselves, `[side, components]`, by
/// decreasing eigenvalue.
fn eigenvectors(
    product: DMatrix<f64>,
    components: usize,
    rows: &dyn BatchSource,
) -> Result<Components, EvalError> {
    if !product.iter().all(|value| value.is_finite()) {
        return Err(first_infinite(rows)?.unwrap_or(EvalError::DecompositionFailed));
    }
    let side = product.nrows();
    let decomposition = product.try_symmetric_eigen(f64::EPSILON, 0).ok_or(EvalError::DecompositionFailed)?;
    let (vectors, values) = (decomposition.eigenvectors, decomposition.eigenvalues);
    let order = argsort_descending(values.as_slice());
    let variances: Vec<f64> = order[..components].iter().map(|i| values[*i].max(0.0)).collect();
    let total_variance = values.iter().map(|value| value.max(0.0)).sum();
    let leading = DMatrix::from_fn(side, components, |r, i| vectors[(r, order[i])]);
    Ok((leading, variances, total_variance))
}

/// Whether none of these descending variances is lost in the rounding error of the largest.
fn is_exact(variances: &[f64]) -> bool {
    match (variances.first(), variances.last()) {
        (Some(first), Some(last)) => *last >= MIN_RELATIVE_VARIANCE * first,
        _ => true,
    }
}

/// The first components from the directions of `count` rows, whose features were permuted by `order`.
fn leading_components(
    directions: SingularDirections,
    order: &[usize],
    components: usize,
    count: usize,
) -> Components {
    let SingularDirections { vectors, singular } = directions;
    let mut leading = DMatrix::zeros(order.len(), components);
    for (place, feature) in order.iter().enumerate() {
        (0..components).for_each(|i| leading[(*feature, i)] = vectors[(place, i)]);
    }
    let variance = |singular: &f64| singular.powi(2) / count as f64;
    (leading, singular[..components].iter().map(variance).collect(), singular.iter().map(variance).sum())
}

/// The indices that sort values in descending order.
fn argsort_descending(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
    order
}

#[cfg(test)]
mod tests;
