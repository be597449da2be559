//! Principal directions without products of the data with itself, for rows whose variances span so many
//! orders of magnitude that squaring would lose the small ones.
//!
//! ```text
//! tall (rows >= features):  R = triangle of a QR of the centred rows, a block at a time    Rᵀ J = V Σ
//! wide (rows < features):   Xᵀ = Q R, all rows at once                                      R J  = V' Σ,  V = Q V'
//! ```
//!
//! The rotations `J` make the columns orthogonal (one-sided Jacobi); the columns are then the
//! directions, scaled by the singular values. Features are ordered by descending variance, so that
//! rounding errors of the large ones do not affect the small ones (Drmač & Veselić 2008).

use nalgebra::{DMatrix, QR};

/// Columns per panel of reflections, which are then applied to the other columns by matrix products.
const PANEL: usize = 32;
/// Maximum number of sweeps over all pairs of columns. Ten are usually enough.
const SWEEPS: usize = 100;

/// Orthonormal directions, `[features, directions]`, by descending singular value.
pub(super) struct SingularDirections {
    pub(super) vectors: DMatrix<f64>,
    pub(super) singular: Vec<f64>,
}

impl SingularDirections {
    /// The directions of the centred rows whose triangular factor is `triangle`.
    pub(super) fn from_triangle(triangle: TriangularFactor) -> Option<SingularDirections> {
        SingularDirections::from_columns(triangle.factor.transpose())
    }

    /// The directions of centred rows `[rows, features]`, fewer rows than features.
    pub(super) fn from_wide(rows: &DMatrix<f64>) -> Option<SingularDirections> {
        let (q, r) = QR::new(rows.transpose()).unpack();
        let SingularDirections { vectors, singular } = SingularDirections::from_columns(r)?;
        Some(SingularDirections { vectors: q * vectors, singular })
    }

    /// The left singular vectors and singular values of a square matrix; `None` if it has values that
    /// are not finite or the rotations do not converge.
    fn from_columns(mut columns: DMatrix<f64>) -> Option<SingularDirections> {
        let side = columns.nrows();
        if !columns.iter().all(|x| x.is_finite()) || !make_orthogonal(&mut columns) {
            return None;
        }
        let norms: Vec<f64> = columns.column_iter().map(|column| column.norm()).collect();
        let mut order: Vec<usize> = (0..side).collect();
        order.sort_by(|a, b| norms[*b].total_cmp(&norms[*a]));
        let singular: Vec<f64> = order.iter().map(|i| norms[*i]).collect();
        let mut vectors = DMatrix::from_fn(side, side, |r, i| match singular[i] {
            0.0 => 0.0,
            norm => columns[(r, order[i])] / norm,
        });
        let known = singular.iter().take_while(|norm| **norm > 0.0).count();
        complete_basis(&mut vectors, known);
        Some(SingularDirections { vectors, singular })
    }
}

/// The triangular factor `R` of the QR decomposition of rows that arrive in blocks,
/// `[features, features]`.
pub(super) struct TriangularFactor {
    factor: DMatrix<f64>,
}

impl TriangularFactor {
    pub(super) fn new(features: usize) -> TriangularFactor {
        TriangularFactor { factor: DMatrix::zeros(features, features) }
    }

    /// Appends `rows` `[rows, features]` below the triangle and makes the whole triangular again, by
    /// reflections `I - τ v vᵀ`, each of which changes one row of the triangle and the new rows. A panel
    /// of them is combined into `I - V T Vᵀ` (Schreiber & Van Loan 1989).
    pub(super) fn add(&mut self, mut rows: DMatrix<f64>) {
        let features = self.factor.nrows();
        for first in (0..features).step_by(PANEL) {
            let end = features.min(first + PANEL);
            let wide = end - first;
            let (mut panel, mut rest) = rows.columns_range_pair_mut(first..end, end..features);
            let mut t = DMatrix::<f64>::zeros(wide, wide);
            for c in 0..wide {
                let at = first + c;
                let (head, below) = (self.factor[(at, at)], panel.column(c).norm());
                if below == 0.0 {
                    // Nothing to reflect: `v` is 0, and so is `τ`.
                    continue;
                }
                let diagonal = if head < 0.0 { head.hypot(below) } else { -head.hypot(below) };
                let tau = (diagonal - head) / diagonal;
                let (mut v, mut later) = panel.columns_range_pair_mut(c, c + 1..wide);
                v.unscale_mut(head - diagonal);
                self.factor[(at, at)] = diagonal;
                for (place, mut column) in later.column_iter_mut().enumerate() {
                    let line = &mut self.factor[(at, at + 1 + place)];
                    let step = tau * (*line + v.dot(&column));
                    *line -= step;
                    column.axpy(-step, &v, 1.0);
                }
                // Extends `T` by one reflection: its column is `-τ T Vᵀ v`.
                let (earlier, v) = (panel.columns(0, c), panel.column(c));
                let products: Vec<f64> = earlier.column_iter().map(|column| column.dot(&v)).collect();
                for r in 0..c {
                    t[(r, c)] = -tau * (r..c).map(|i| t[(r, i)] * products[i]).sum::<f64>();
                }
                t[(c, c)] = tau;
            }
            if end < features {
                let mut lines = self.factor.view_mut((first, end), (wide, features - end));
                let mut product = lines.clone_owned();
                product.gemm(1.0, &panel.transpose(), &rest, 1.0);
                let product = t.transpose() * product;
                lines -= &product;
                rest.gemm(-1.0, &panel, &product, 1.0);
            }
        }
    }
}

/// Rotates pairs of columns until all are orthogonal; false if that does not converge.
fn make_orthogonal(columns: &mut DMatrix<f64>) -> bool {
    let (rows, count) = columns.shape();
    let close = f64::EPSILON * (rows as f64).sqrt();
    let mut squares: Vec<f64> = columns.column_iter().map(|column| column.norm_squared()).collect();
    for _ in 0..SWEEPS {
        let mut rotated = false;
        for i in 0..count {
            for j in i + 1..count {
                let (mut left, mut right) = columns.columns_range_pair_mut(i, j);
                let (a, b) = (left.as_mut_slice(), right.as_mut_slice());
                let (aa, bb, ab) = (squares[i], squares[j], dot(a, b));
                if ab == 0.0 || ab.abs() <= close * aa.sqrt() * bb.sqrt() {
                    continue;
                }
                rotated = true;
                let ratio = (bb - aa) / (2.0 * ab);
                let tangent = ratio.signum() / (ratio.abs() + 1.0f64.hypot(ratio));
                let cosine = 1.0 / 1.0f64.hypot(tangent);
                let sine = cosine * tangent;
                for (x, y) in a.iter_mut().zip(&mut *b) {
                    (*x, *y) = (cosine * *x - sine * *y, sine * *x + cosine * *y);
                }
                (squares[i], squares[j]) = (dot(a, a), dot(b, b));
            }
        }
        if !rotated {
            return true;
        }
    }
    false
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Independent sums, so that the loop vectorises.
    let mut sums = [0.0f64; 8];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    for (a, b) in a.iter().zip(b) {
        (0..8).for_each(|lane| sums[lane] += a[lane] * b[lane]);
    }
    sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
}

/// Fills the columns from `known` on, so that all columns are orthonormal, given that those before are.
pub(super) fn complete_basis(vectors: &mut DMatrix<f64>, known: usize) {
    for at in known..vectors.ncols() {
        // The axis that the columns so far span least.
        let said = |r: usize| (0..at).map(|i| vectors[(r, i)].powi(2)).sum::<f64>();
        let axis = (0..vectors.nrows()).map(|r| (said(r), r)).min_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, axis)) = axis else { return };
        let (before, mut column) = vectors.columns_range_pair_mut(0..at, at);
        column.fill(0.0);
        column[axis] = 1.0;
        // Twice, because the first pass leaves rounding errors.
        for _ in 0..2 {
            for other in before.column_iter() {
                let along = column.dot(&other);
                column.axpy(-along, &other, 1.0);
            }
            column.unscale_mut(column.norm());
        }
    }
}
