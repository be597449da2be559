//! Layer normalisation (Ba, Kiros & Hinton 2016), without gain and bias.
//!
//! Each column, that is, each row of the batch, is normalised over its features: `y = (x - μ) r` with
//! the mean `μ` of the features, their (population) variance `σ²` and the scale `r = 1 / √(σ² + ε)`.
//!
//! Sums over the features run down a panel in four chains, feature `f` in chain `f mod 4`, which are
//! added pairwise at the end: a fixed order, whatever the vector length.

use crate::isa::Isa;
use crate::panel::{Panels, PanelsMut};
use crate::simd::{Element, Kernel, Simd};

/// `ε`, which bounds the scale where all features are equal.
pub const EPSILON: f64 = 1e-5;

/// Number of interleaved sums, to hide the latency of an addition.
const SUMS: usize = 4;

/// Normalises each column of `x` `[features, batch]` into `y`, of the same shape. `scales`, if given,
/// receives `r`, one panel row for each panel.
pub fn forward<T: Element>(isa: Isa, x: Panels<'_, T>, y: PanelsMut<'_, T>, scales: Option<&mut [T]>) {
    assert!(
        y.rows() == x.rows() && y.cols() == x.cols(),
        "x [{}, {}], y [{}, {}]",
        x.rows(),
        x.cols(),
        y.rows(),
        y.cols()
    );
    if let Some(scales) = &scales {
        assert!(scales.len() == x.count() * T::PANEL, "{} scales for {} panels", scales.len(), x.count());
    }
    T::run(isa, Forward { x, y, scales });
}

/// Computes the delta `dx` of `x` from the delta `dy` of `y` and the results of [`forward`]:
/// `dx = r (dy - mean(dy) - y mean(dy ⊙ y))`, with means over the features. `y`, `dy` and `dx` are
/// `[features, batch]`.
pub fn backward<T: Element>(
    isa: Isa,
    y: Panels<'_, T>,
    scales: &[T],
    dy: Panels<'_, T>,
    dx: PanelsMut<'_, T>,
) {
    assert!(
        [(dy.rows(), dy.cols()), (dx.rows(), dx.cols())] == [(y.rows(), y.cols()); 2]
            && scales.len() == y.count() * T::PANEL,
        "y [{}, {}], dy [{}, {}], dx [{}, {}], {} scales",
        y.rows(),
        y.cols(),
        dy.rows(),
        dy.cols(),
        dx.rows(),
        dx.cols(),
        scales.len()
    );
    T::run(isa, Backward { y, scales, dy, dx });
}

struct Forward<'a, T> {
    x: Panels<'a, T>,
    y: PanelsMut<'a, T>,
    scales: Option<&'a mut [T]>,
}

impl<T: Element> Kernel<T> for Forward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        let inverse_count = s.splat(T::from_f64(1.0 / self.x.rows().max(1) as f64));
        let (zero, one, epsilon) = (s.splat(T::ZERO), s.splat(T::ONE), s.splat(T::from_f64(EPSILON)));
        for index in 0..self.x.count() {
            let (x, y) = (self.x.panel(index), self.y.panel(index));
            for lane in (0..T::PANEL).step_by(S::LANES) {
                let mut sums = [zero; SUMS];
                for lines in x.chunks(SUMS * T::PANEL) {
                    for (sum, line) in sums.iter_mut().zip(lines.chunks_exact(T::PANEL)) {
                        *sum = s.add(*sum, s.load(&line[lane..]));
                    }
                }
                let mean = s.mul(inverse_count, sum_chains(s, sums));
                // The variance is computed from the deviations: the difference of two large sums would
                // lose precision.
                let mut sums = [zero; SUMS];
                for (lines, to) in x.chunks(SUMS * T::PANEL).zip(y.chunks_mut(SUMS * T::PANEL)) {
                    let lines = lines.chunks_exact(T::PANEL).zip(to.chunks_exact_mut(T::PANEL));
                    for (sum, (line, to)) in sums.iter_mut().zip(lines) {
                        let deviation = s.sub(s.load(&line[lane..]), mean);
                        s.store(deviation, &mut to[lane..]);
                        *sum = s.mul_add(deviation, deviation, *sum);
                    }
                }
                let variance = s.mul(inverse_count, sum_chains(s, sums));
                let scale = s.div(one, s.sqrt(s.add(variance, epsilon)));
                // If the variance overflows, make the scale NaN: zero would hide the overflow.
                let scale = s.add(scale, s.sub(variance, variance));
                for to in y.chunks_exact_mut(T::PANEL) {
                    let to = &mut to[lane..];
                    s.store(s.mul(scale, s.load(to)), to);
                }
                if let Some(scales) = &mut self.scales {
                    s.store(scale, &mut scales[index * T::PANEL + lane..]);
                }
            }
        }
    }
}

struct Backward<'a, T> {
    y: Panels<'a, T>,
    scales: &'a [T],
    dy: Panels<'a, T>,
    dx: PanelsMut<'a, T>,
}

impl<T: Element> Kernel<T> for Backward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        let inverse_count = s.splat(T::from_f64(1.0 / self.y.rows().max(1) as f64));
        let zero = s.splat(T::ZERO);
        for index in 0..self.y.count() {
            let (y, dy, dx) = (self.y.panel(index), self.dy.panel(index), self.dx.panel(index));
            for lane in (0..T::PANEL).step_by(S::LANES) {
                let (mut of_dy, mut of_both) = ([zero; SUMS], [zero; SUMS]);
                for (y, dy) in y.chunks(SUMS * T::PANEL).zip(dy.chunks(SUMS * T::PANEL)) {
                    let lines = y.chunks_exact(T::PANEL).zip(dy.chunks_exact(T::PANEL));
                    for ((sum, product), (y, dy)) in of_dy.iter_mut().zip(&mut of_both).zip(lines) {
                        let dy = s.load(&dy[lane..]);
                        *sum = s.add(*sum, dy);
                        *product = s.mul_add(s.load(&y[lane..]), dy, *product);
                    }
                }
                let mean = s.mul(inverse_count, sum_chains(s, of_dy));
                let along = s.mul(inverse_count, sum_chains(s, of_both));
                let scale = s.load(&self.scales[index * T::PANEL + lane..]);
                let lines = y.chunks_exact(T::PANEL).zip(dy.chunks_exact(T::PANEL));
                for ((y, dy), dx) in lines.zip(dx.chunks_exact_mut(T::PANEL)) {
                    let rest = s.sub(s.load(&dy[lane..]), mean);
                    let rest = s.neg_mul_add(s.load(&y[lane..]), along, rest);
                    s.store(s.mul(scale, rest), &mut dx[lane..]);
                }
            }
        }
    }
}

/// Adds the chains.
#[inline(always)]
fn sum_chains<T: Element, S: Simd<T>>(s: S, [a, b, c, d]: [S::V; SUMS]) -> S::V {
    s.add(s.add(a, b), s.add(c, d))
}
