//! The contractive penalty (Rifai et al. 2011): for each row of a batch, the squared Frobenius norm of
//! the Jacobian of a layer `h = act(z)`, `z = Wᵀ x + b`, with respect to its inputs.
//!
//! With the slopes `s = act'(z)` and the squared norms `n_j = Σ_i W_ij²` of the columns of the weights,
//! it is `‖∂h/∂x‖² = Σ_j s_j² n_j`. Its derivatives are `∂/∂z_j = 2 n_j s_j act''(z_j)`, which is added
//! to the delta of the layer ([`penalise`]), and the direct one, `∂/∂W_ij = 2 s_j² W_ij`, whose sum over
//! the batch needs only the sums of the `s_j²` ([`add_slopes`], [`add_gradient`]).
//!
//! Slopes and second derivatives are computed from the stored outputs, so activations that keep their
//! slope ([`Activation::keeps_slope`]) are not supported.

use crate::activation::{Activation, slope_and_curvature};
use crate::isa::Isa;
use crate::panel::{Panels, PanelsMut, panel_count};
use crate::simd::{Element, Kernel, Simd};

/// Computes the squared norms `n` of the columns of `weights` `[inputs + 1, outputs]`, leaving out the
/// bias in the last row. `squares` receives whole panel rows of them.
pub fn column_squares<T: Element>(isa: Isa, weights: Panels<'_, T>, squares: &mut [T]) {
    assert!(
        weights.rows() > 0 && squares.len() == weights.count() * T::PANEL,
        "{} squares of weights [{}, {}]",
        squares.len(),
        weights.rows(),
        weights.cols()
    );
    T::run(isa, ColumnSquares { weights, squares });
}

/// Adds the penalty `weight Σ_j s_j² n_j` of each row to its loss, and its derivative with respect to
/// `z` to `delta`. `y` `[features, batch]` are the outputs of the layer, `delta` has the same layout,
/// and `squares` are computed by [`column_squares`]. Rows beyond the end of `losses` have no loss.
pub fn penalise<T: Element>(
    isa: Isa,
    activation: Activation,
    weight: T,
    squares: &[T],
    y: Panels<'_, T>,
    delta: &mut [T],
    losses: &mut [T],
) {
    check(activation);
    assert!(
        delta.len() == y.data().len() && squares.len() >= y.rows() && losses.len() <= y.cols(),
        "y [{}, {}], {} deltas, {} squares, {} losses",
        y.rows(),
        y.cols(),
        delta.len(),
        squares.len(),
        losses.len()
    );
    T::run(isa, Penalise { activation, weight, squares, y, delta, losses });
}

/// Adds the `s_j²` of the first `rows` rows of `y` `[features, batch]` to `sums`, which has a panel row
/// for each feature: row `r` is added to lane `r mod P`, in the order of the rows.
pub fn add_slopes<T: Element>(
    isa: Isa,
    activation: Activation,
    y: Panels<'_, T>,
    rows: usize,
    sums: &mut [T],
) {
    check(activation);
    assert!(
        rows <= y.cols() && sums.len() == y.rows() * T::PANEL,
        "{rows} rows of y [{}, {}], {} sums",
        y.rows(),
        y.cols(),
        sums.len()
    );
    T::run(isa, AddSlopes { activation, y, rows, sums });
}

/// Adds `factor sums_j W_ij` to the gradients of the weights, where `sums_j` is the sum of the panel row
/// that [`add_slopes`] computed for feature `j`. `weights` and `gradients` are `[inputs + 1, outputs]`;
/// the bias in the last row is left unchanged.
pub fn add_gradient<T: Element>(
    isa: Isa,
    factor: T,
    sums: &[T],
    weights: Panels<'_, T>,
    gradients: PanelsMut<'_, T>,
) {
    assert!(
        weights.rows() > 0
            && gradients.rows() == weights.rows()
            && gradients.cols() == weights.cols()
            && sums.len() == weights.cols() * T::PANEL,
        "weights [{}, {}], gradients [{}, {}], {} sums",
        weights.rows(),
        weights.cols(),
        gradients.rows(),
        gradients.cols(),
        sums.len()
    );
    T::run(isa, AddGradient { factor, sums, weights, gradients });
}

#[track_caller]
fn check(activation: Activation) {
    assert!(!activation.keeps_slope(), "{activation:?} has no second derivative in its output");
}

struct ColumnSquares<'a, T> {
    weights: Panels<'a, T>,
    squares: &'a mut [T],
}

impl<T: Element> Kernel<T> for ColumnSquares<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let inputs = self.weights.rows() - 1;
        for (index, squares) in self.squares.chunks_exact_mut(T::PANEL).enumerate() {
            let panel = &self.weights.panel(index)[..inputs * T::PANEL];
            for lane in (0..T::PANEL).step_by(S::LANES) {
                let mut sum = s.splat(T::ZERO);
                for line in panel.chunks_exact(T::PANEL) {
                    let w = s.load(&line[lane..]);
                    sum = s.mul_add(w, w, sum);
                }
                s.store(sum, &mut squares[lane..]);
            }
        }
    }
}

struct Penalise<'a, T> {
    activation: Activation,
    weight: T,
    squares: &'a [T],
    y: Panels<'a, T>,
    delta: &'a mut [T],
    losses: &'a mut [T],
}

impl<T: Element> Kernel<T> for Penalise<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let weight = s.splat(self.weight);
        let twice = s.add(weight, weight);
        let len = self.y.rows() * T::PANEL;
        for index in 0..self.y.count() {
            let (y, delta) = (self.y.panel(index), &mut self.delta[index * len..][..len]);
            let mut costs = [T::ZERO; 16];
            for lane in (0..T::PANEL).step_by(S::LANES) {
                let mut sum = s.splat(T::ZERO);
                let lines = y.chunks_exact(T::PANEL).zip(delta.chunks_exact_mut(T::PANEL));
                for ((y, delta), square) in lines.zip(self.squares) {
                    let (slope, curvature) = slope_and_curvature(s, self.activation, s.load(&y[lane..]));
                    let stretched = s.mul(s.splat(*square), slope);
                    sum = s.mul_add(stretched, slope, sum);
                    let delta = &mut delta[lane..];
                    s.store(s.mul_add(s.mul(twice, stretched), curvature, s.load(delta)), delta);
                }
                s.store(s.mul(weight, sum), &mut costs[lane..]);
            }
            let losses = self.losses.iter_mut().skip(index * T::PANEL).take(T::PANEL);
            losses.zip(costs).for_each(|(loss, cost)| *loss = *loss + cost);
        }
    }
}

struct AddSlopes<'a, T> {
    activation: Activation,
    y: Panels<'a, T>,
    rows: usize,
    sums: &'a mut [T],
}

impl<T: Element> Kernel<T> for AddSlopes<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        for index in 0..panel_count::<T>(self.rows) {
            let lanes = T::PANEL.min(self.rows - index * T::PANEL);
            let lines = self.y.panel(index).chunks_exact(T::PANEL);
            for (y, sums) in lines.zip(self.sums.chunks_exact_mut(T::PANEL)) {
                let mut new = [T::ZERO; 16];
                for lane in (0..T::PANEL).step_by(S::LANES) {
                    let (slope, _) = slope_and_curvature(s, self.activation, s.load(&y[lane..]));
                    s.store(s.mul_add(slope, slope, s.load(&sums[lane..])), &mut new[lane..]);
                }
                // The padding of a batch contains no rows.
                sums[..lanes].copy_from_slice(&new[..lanes]);
            }
        }
    }
}

struct AddGradient<'a, T> {
    factor: T,
    sums: &'a [T],
    weights: Panels<'a, T>,
    gradients: PanelsMut<'a, T>,
}

impl<T: Element> Kernel<T> for AddGradient<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        let inputs = self.weights.rows() - 1;
        for (index, sums) in self.sums.chunks(T::PANEL * T::PANEL).enumerate() {
            let mut factors = [T::ZERO; 16];
            for (factor, sums) in factors.iter_mut().zip(sums.chunks_exact(T::PANEL)) {
                *factor = self.factor * sums.iter().fold(T::ZERO, |sum, x| sum + *x);
            }
            let weights = self.weights.panel(index)[..inputs * T::PANEL].chunks_exact(T::PANEL);
            for (w, g) in weights.zip(self.gradients.panel(index).chunks_exact_mut(T::PANEL)) {
                for lane in (0..T::PANEL).step_by(S::LANES) {
                    let g = &mut g[lane..];
                    s.store(s.mul_add(s.load(&factors[lane..]), s.load(&w[lane..]), s.load(g)), g);
                }
            }
        }
    }
}
