//! Principal components: the best linear autoencoder, so the first thing to compare one with.

use ae_data::{BatchSource, Rows};
use nalgebra::DMatrix;

use crate::blocks::{for_each_block, for_each_pair};
use crate::error::EvalError;
use crate::metrics::column_means;

/// The principal components of some rows.
///
/// With `C = (1/m) Σ (x - μ)(x - μ)ᵀ` they are its eigenvectors `v₁, v₂, …` by falling eigenvalue `λ`; the reconstruction of a row from
/// k of them, `μ + Σᵢ vᵢ vᵢᵀ (x - μ)`, has the least mean squared error of all linear ones (Eckart & Young 1936), and on the
/// rows it was fitted to that error is `(1/n) Σ_{i>k} λᵢ`. Sums are in double precision.
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
    /// # Errors
    /// [`EvalError::Shape`] without rows; what reading them returns; [`EvalError::Components`] for more components than
    /// the smaller of rows and features, or none; [`EvalError::NoConvergence`] for values that are not finite.
    pub fn fit(rows: &dyn BatchSource, components: usize) -> Result<Pca, EvalError> {
        let (count, features) = (rows.rows(), rows.features());
        if count == 0 || features == 0 {
            return Err(EvalError::Shape { values: count * features, features });
        }
        let most = count.min(features);
        if components == 0 || components > most {
            return Err(EvalError::Components { wanted: components, rows: count, features, most });
        }
        let mean = column_means(rows)?;
        // The smaller of the two products has all the eigenvalues that are not zero.
        let wide = features > count;
        let product = if wide { gram(rows, &mean)? } else { covariance(rows, &mean)? };
        let side = product.nrows();
        if !product.iter().all(|value| value.is_finite()) {
            return Err(EvalError::NoConvergence);
        }
        let decomposition = product.try_symmetric_eigen(f64::EPSILON, 0).ok_or(EvalError::NoConvergence)?;
        let (vectors, values) = (decomposition.eigenvectors, decomposition.eigenvalues);
        let mut order: Vec<usize> = (0..side).collect();
        order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
        let variances: Vec<f64> = order[..components].iter().map(|i| values[*i].max(0.0)).collect();
        let total_variance = values.iter().map(|value| value.max(0.0)).sum();
        let mut chosen = DMatrix::from_fn(side, components, |r, i| vectors[(r, order[i])]);
        if wide {
            // X Xᵀ u = λ m u gives Xᵀ u as an eigenvector of Xᵀ X, to be brought to length one.
            chosen = from_gram(rows, &mean, &chosen)?;
        }
        for i in 0..components {
            // An eigenvector is as good as its negative: the largest element shall be positive.
            let largest = (0..features)
                .map(|r| chosen[(r, i)])
                .fold(0.0f64, |a, b| if b.abs() > a.abs() { b } else { a });
            if largest < 0.0 {
                (0..features).for_each(|r| chosen[(r, i)] = -chosen[(r, i)]);
            }
        }
        Ok(Pca { mean, components: chosen, variances, total_variance })
    }

    /// The same without all but the first components, which is what fitting so many would have given; all of them if there are fewer.
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

    /// Components there are.
    pub fn components(&self) -> usize {
        self.variances.len()
    }

    /// Variance along each component, falling: `λᵢ`, over m, not m - 1.
    pub fn variances(&self) -> &[f64] {
        &self.variances
    }

    /// The sum of the variances of all features.
    pub fn total_variance(&self) -> f64 {
        self.total_variance
    }

    /// Component `index` as a direction of length one, `[features]`.
    pub fn component(&self, index: usize) -> Vec<f64> {
        (0..self.mean.len()).map(|r| self.components[(r, index)]).collect()
    }

    /// The coordinates of rows along the components, `[rows, components]`.
    ///
    /// # Errors
    /// [`EvalError::Shape`] for rows of another width or none, or what reading them returns.
    pub fn transform(&self, rows: &dyn BatchSource) -> Result<Vec<f32>, EvalError> {
        let mut codes = Vec::new();
        self.for_each_block(rows, |_, block| {
            for r in 0..block.nrows() {
                codes.extend((0..block.ncols()).map(|c| block[(r, c)] as f32));
            }
        })?;
        Ok(codes)
    }

    /// The rows as `components` numbers each can rebuild them, `[rows, features]`.
    ///
    /// # Errors
    /// [`EvalError::Shape`] for rows of another width or none, or what reading them returns.
    pub fn reconstruct(&self, rows: &dyn BatchSource) -> Result<Vec<f32>, EvalError> {
        let mut rebuilt = Vec::with_capacity(rows.rows() * rows.features());
        self.for_each_block(rows, |_, codes| {
            let back = codes * self.components.transpose();
            for r in 0..back.nrows() {
                rebuilt.extend((0..self.mean.len()).map(|c| (back[(r, c)] + self.mean[c]) as f32));
            }
        })?;
        Ok(rebuilt)
    }

    /// Mean of `(x̂ - y)²` over rows and features, `x̂` being the reconstructions of `rows` and `y` the `targets`, one for each row: what
    /// components that were fitted to clean rows achieve on noisy ones, for example.
    ///
    /// # Errors
    /// [`EvalError::Shape`] for rows or targets of another width, another number of targets or none, or what reading them returns.
    pub fn mse_against(&self, rows: &dyn BatchSource, targets: &dyn BatchSource) -> Result<f64, EvalError> {
        let rebuilt = self.reconstruct(rows)?;
        let mut squares = 0.0;
        for_each_pair(&Rows::new(&rebuilt, self.mean.len())?, targets, |rebuilt, targets| {
            squares += rebuilt.iter().zip(targets).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>();
        })?;
        Ok(squares / rebuilt.len() as f64)
    }

    /// Mean of `(x̂ - x)²` over rows and features, `x̂` being the reconstruction. By Pythagoras the error of a row is what its
    /// coordinates leave of its length.
    ///
    /// # Errors
    /// [`EvalError::Shape`] for rows of another width or none, or what reading them returns.
    pub fn mse(&self, rows: &dyn BatchSource) -> Result<f64, EvalError> {
        let mut error = 0.0;
        self.for_each_block(rows, |centred, codes| {
            error += centred.norm_squared() - codes.norm_squared();
        })?;
        Ok(error.max(0.0) / (rows.rows() * rows.features()) as f64)
    }

    /// Calls `take(centred rows, their coordinates)` for blocks of rows.
    fn for_each_block(
        &self,
        rows: &dyn BatchSource,
        mut take: impl FnMut(&DMatrix<f64>, &DMatrix<f64>),
    ) -> Result<(), EvalError> {
        if rows.rows() == 0 || rows.features() != self.mean.len() {
            return Err(EvalError::Shape {
                values: rows.rows() * rows.features(),
                features: self.mean.len(),
            });
        }
        for_each_block(rows, |block| {
            let centred = centred(block, &self.mean);
            let codes = &centred * &self.components;
            take(&centred, &codes);
        })
    }
}

/// `x - μ`, `[rows, features]`.
fn centred(rows: &[f32], mean: &[f64]) -> DMatrix<f64> {
    let features = mean.len();
    DMatrix::from_fn(rows.len() / features, features, |r, c| f64::from(rows[r * features + c]) - mean[c])
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

/// All rows `x - μ`, of which there are fewer than features.
fn all_centred(rows: &dyn BatchSource, mean: &[f64]) -> Result<DMatrix<f64>, EvalError> {
    let mut values = Vec::with_capacity(rows.rows() * mean.len());
    for_each_block(rows, |block| values.extend_from_slice(block))?;
    Ok(centred(&values, mean))
}

/// `(1/m) (X - μ)(X - μ)ᵀ`, `[rows, rows]`.
fn gram(rows: &dyn BatchSource, mean: &[f64]) -> Result<DMatrix<f64>, EvalError> {
    let all = all_centred(rows, mean)?;
    Ok(&all * all.transpose() / all.nrows() as f64)
}

/// `(X - μ)ᵀ U` with columns of length one; a direction without variance stays zero.
fn from_gram(
    rows: &dyn BatchSource,
    mean: &[f64],
    vectors: &DMatrix<f64>,
) -> Result<DMatrix<f64>, EvalError> {
    let mut directions = all_centred(rows, mean)?.transpose() * vectors;
    let longest = (0..directions.ncols()).map(|i| directions.column(i).norm()).fold(0.0, f64::max);
    for i in 0..directions.ncols() {
        let norm = directions.column(i).norm();
        let factor = if norm > longest * 1e-12 { 1.0 / norm } else { 0.0 };
        directions.column_mut(i).scale_mut(factor);
    }
    Ok(directions)
}

#[cfg(test)]
mod tests {
    use ae_testing::random::SplitMix64;

    use super::*;
    use crate::metrics::mse;

    fn rows(values: &[f32], features: usize) -> Rows<'_> {
        Rows::new(values, features).unwrap()
    }

    #[test]
    fn a_line_in_the_plane() {
        // (0,0), (1,2), (2,4): all variance along (1,2)/√5, which is 10/3.
        let pca = Pca::fit(&rows(&[0.0, 0.0, 1.0, 2.0, 2.0, 4.0], 2), 1).unwrap();
        let direction = pca.component(0);
        assert!((direction[0] - 0.2f64.sqrt()).abs() < 1e-12 && (direction[1] - 0.8f64.sqrt()).abs() < 1e-12);
        assert!((pca.variances()[0] - 10.0 / 3.0).abs() < 1e-12);
        let codes = pca.transform(&rows(&[2.0, 4.0], 2)).unwrap();
        assert!((f64::from(codes[0]) - 5f64.sqrt()).abs() < 1e-6);
        assert!(pca.mse(&rows(&[0.0, 0.0, 1.0, 2.0], 2)).unwrap() < 1e-12);
        // (2, 0) is 1.2 from the line on which (1, 2) is the mean: squared distance 16/5 over two features.
        assert!((pca.mse(&rows(&[2.0, 0.0], 2)).unwrap() - 3.2 / 2.0 * (16.0 / 3.2) / 5.0).abs() < 1e-9);
    }

    #[test]
    fn errors_are_the_discarded_eigenvalues() {
        for (count, features) in [(200, 12), (9, 40), (15, 15)] {
            let values = SplitMix64::new(3).normal_f32s(count * features);
            let table = rows(&values, features);
            let most = count.min(features);
            let all = Pca::fit(&table, most).unwrap();
            for components in [1, 3, most - 1] {
                let pca = Pca::fit(&table, components).unwrap();
                let discarded: f64 = all.variances()[components..].iter().sum();
                let error = pca.mse(&table).unwrap();
                assert!(
                    (error - discarded / features as f64).abs() < 1e-9,
                    "{count}x{features}, {components}"
                );
                let truncated = all.truncated(components);
                assert_eq!(truncated.components(), components);
                assert!((truncated.mse(&table).unwrap() - error).abs() < 1e-9);
                let rebuilt = pca.reconstruct(&table).unwrap();
                assert!((mse(&values, &rebuilt).unwrap() - error).abs() < 1e-6);
                for (i, j) in [(0, 0), (0, components - 1), (components - 1, components - 1)] {
                    let dot: f64 = pca.component(i).iter().zip(pca.component(j)).map(|(a, b)| a * b).sum();
                    assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-9, "orthonormal");
                }
            }
            let variance = crate::mean_variance(&table).unwrap();
            assert!((all.total_variance() / features as f64 - variance).abs() < 1e-9);
        }
    }

    #[test]
    fn impossible_requests_are_errors() {
        let fit = |values: &[f32], features, components| {
            Pca::fit(&rows(values, features), components).unwrap_err().to_string()
        };
        assert_eq!(fit(&[], 2, 1), "0 values are not whole rows of 2");
        assert_eq!(
            fit(&[1.0; 4], 2, 3),
            "3 components were asked for, but 2 rows of 2 features have at most 2"
        );
        assert!(fit(&[1.0; 4], 2, 0).starts_with("0 components"));
        assert!(fit(&[f32::NAN; 4], 2, 1).contains("finite"));
        let constant = Pca::fit(&rows(&[3.0; 8], 2), 2).unwrap();
        assert_eq!(constant.mse(&rows(&[3.0; 4], 2)).unwrap(), 0.0);
        assert!(constant.mse(&rows(&[3.0; 3], 3)).is_err(), "another width");
    }

    /// The published error of 30 components on MNIST, pixels in [0, 1]: 13.87 an image (Hinton & Salakhutdinov 2006).
    #[test]
    fn mnist_as_published() {
        let folder = std::env::var_os("AE_DATA_DIR").map_or_else(
            || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
            Into::into,
        );
        let load =
            |name: &str| ae_data::read(folder.join("mnist").join(name).to_str()?, &Default::default()).ok();
        let sets = (load("train-images-idx3-ubyte.gz"), load("t10k-images-idx3-ubyte.gz"));
        let (Some(train), Some(test)) = sets else {
            println!("skipped: MNIST is absent; AE_DATA_DIR may name the folder that holds mnist/");
            return;
        };
        let pca = Pca::fit(&train, 30).unwrap();
        let error = pca.mse(&test).unwrap() * 784.0 / (255.0 * 255.0);
        assert!((error - 13.866).abs() < 0.002, "{error}");
    }

    #[test]
    fn errors_against_targets() {
        let values: Vec<f32> = (0..60).map(|i| ((i * i) % 17) as f32 * 0.3).collect();
        let (rows, shifted) =
            (Rows::new(&values, 4).unwrap(), values.iter().map(|x| x + 2.0).collect::<Vec<_>>());
        let pca = Pca::fit(&rows, 2).unwrap();
        let rebuilt = pca.reconstruct(&rows).unwrap();
        let expected =
            rebuilt.iter().zip(&shifted).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>() / 60.0;
        let found = pca.mse_against(&rows, &Rows::new(&shifted, 4).unwrap()).unwrap();
        assert!((found - expected).abs() < 1e-12 && found > 3.0, "{found} {expected}");
        assert!((pca.mse_against(&rows, &rows).unwrap() - pca.mse(&rows).unwrap()).abs() < 1e-6);
        assert!(pca.mse_against(&rows, &Rows::new(&shifted[..56], 4).unwrap()).is_err());
    }
}
