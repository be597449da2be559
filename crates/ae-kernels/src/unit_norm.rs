//! Operations on the rows of a weight matrix that keep them at norm 1.
//!
//! These rows are called *lines* here, to tell them from the rows of a batch: in the weights
//! `[inputs + 1, outputs]` of a dense layer, line `i` is what input `i` contributes to the outputs. A
//! line is spread over all panels, so the work takes two passes: first products of lines, each summed
//! over the panels in a fixed order, then an operation on each panel that uses those products.

use crate::isa::Isa;
use crate::panel::Panels;
use crate::simd::{Element, Kernel, Simd};

/// Computes the dot products `Σ_c a_ic b_ic` of corresponding lines of `a` and `b`, starting with line
/// `first`, and fills `products` with them. `a` and `b` have the same shape and zeros in their padding.
pub fn line_products<T: Element>(
    isa: Isa,
    a: Panels<'_, T>,
    b: Panels<'_, T>,
    first: usize,
    products: &mut [T],
) {
    assert!(
        a.rows() == b.rows() && a.cols() == b.cols() && first + products.len() <= a.rows(),
        "{} products from line {first} on of [{}, {}] and [{}, {}]",
        products.len(),
        a.rows(),
        a.cols(),
        b.rows(),
        b.cols()
    );
    T::run(isa, LineProducts { a, b, first, products });
}

/// Multiplies each of the first lines of a panel by its factor.
pub fn scale_lines<T: Element>(isa: Isa, factors: &[T], panel: &mut [T]) {
    assert!(factors.len() * T::PANEL <= panel.len(), "{} factors for {} values", factors.len(), panel.len());
    T::run(isa, ScaleLines { factors, panel });
}

/// Subtracts from each of the first lines of `panel` its factor times the corresponding line of `other`.
pub fn subtract_lines<T: Element>(isa: Isa, factors: &[T], other: &[T], panel: &mut [T]) {
    assert!(
        factors.len() * T::PANEL <= panel.len() && other.len() == panel.len(),
        "{} factors for {} and {} values",
        factors.len(),
        other.len(),
        panel.len()
    );
    T::run(isa, SubtractLines { factors, other, panel });
}

struct LineProducts<'a, T> {
    a: Panels<'a, T>,
    b: Panels<'a, T>,
    first: usize,
    products: &'a mut [T],
}

impl<T: Element> Kernel<T> for LineProducts<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        for (index, product) in self.products.iter_mut().enumerate() {
            let at = (self.first + index) * T::PANEL;
            // One sum per lane of a panel row, whatever the vector length.
            let mut sums = [T::ZERO; 16];
            for lane in (0..T::PANEL).step_by(S::LANES) {
                let mut sum = s.splat(T::ZERO);
                for panel in 0..self.a.count() {
                    let (a, b) = (&self.a.panel(panel)[at + lane..], &self.b.panel(panel)[at + lane..]);
                    sum = s.mul_add(s.load(a), s.load(b), sum);
                }
                s.store(sum, &mut sums[lane..]);
            }
            *product = sums.into_iter().fold(T::ZERO, |sum, x| sum + x);
        }
    }
}

struct ScaleLines<'a, T> {
    factors: &'a [T],
    panel: &'a mut [T],
}

impl<T: Element> Kernel<T> for ScaleLines<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        for (factor, line) in self.factors.iter().zip(self.panel.chunks_exact_mut(T::PANEL)) {
            let factor = s.splat(*factor);
            for vector in line.chunks_exact_mut(S::LANES) {
                s.store(s.mul(factor, s.load(vector)), vector);
            }
        }
    }
}

struct SubtractLines<'a, T> {
    factors: &'a [T],
    other: &'a [T],
    panel: &'a mut [T],
}

impl<T: Element> Kernel<T> for SubtractLines<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let lines = self.other.chunks_exact(T::PANEL).zip(self.panel.chunks_exact_mut(T::PANEL));
        for (factor, (other, line)) in self.factors.iter().zip(lines) {
            let factor = s.splat(*factor);
            for (other, vector) in other.chunks_exact(S::LANES).zip(line.chunks_exact_mut(S::LANES)) {
                s.store(s.neg_mul_add(factor, s.load(other), s.load(vector)), vector);
            }
        }
    }
}
