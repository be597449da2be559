//! Tied weights: the weights of a layer `[n, m]` are the transpose of those of another, `[m, n]`.
//!
//! Both are stored in panels with the bias as the last row, `[n + 1, m]` and `[m + 1, n]`, so a panel of
//! one is made from a few rows of all panels of the other. The biases are independent and stay as they
//! are.

use crate::isa::Isa;
use crate::panel::{MAX_PANEL, Panels};
use crate::simd::{Element, Kernel, Simd};

/// Writes panel `index` of the transpose of `weights` `[n + 1, m]` to `panel`, a panel of `[m + 1, n]`,
/// with zeros in the padding.
pub fn transpose<T: Element>(isa: Isa, weights: Panels<'_, T>, index: usize, panel: &mut [T]) {
    check(weights, index, panel);
    T::run(isa, Transpose { weights, index, panel, add: false });
}

/// Adds panel `index` of the transpose of `gradients` `[n + 1, m]` to `panel`, a panel of `[m + 1, n]`.
pub fn add_transposed<T: Element>(isa: Isa, gradients: Panels<'_, T>, index: usize, panel: &mut [T]) {
    check(gradients, index, panel);
    T::run(isa, Transpose { weights: gradients, index, panel, add: true });
}

#[track_caller]
fn check<T: Element>(weights: Panels<'_, T>, index: usize, panel: &[T]) {
    assert!(
        index * T::PANEL + 1 < weights.rows() && panel.len() == (weights.cols() + 1) * T::PANEL,
        "panel {index} of {} elements for weights [{}, {}] and a bias",
        panel.len(),
        weights.rows().saturating_sub(1),
        weights.cols()
    );
}

struct Transpose<'a, T> {
    weights: Panels<'a, T>,
    index: usize,
    panel: &'a mut [T],
    add: bool,
}

impl<T: Element> Kernel<T> for Transpose<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let side = T::PANEL * T::PANEL;
        let (mut block, mut transposed) =
            ([T::ZERO; MAX_PANEL * MAX_PANEL], [T::ZERO; MAX_PANEL * MAX_PANEL]);
        let first = self.index * T::PANEL;
        let rows = T::PANEL.min(self.weights.rows() - 1 - first);
        let (lines, _bias) = self.panel.split_at_mut(self.weights.cols() * T::PANEL);
        for (of, to) in lines.chunks_mut(side).enumerate() {
            let from = &self.weights.panel(of)[first * T::PANEL..][..rows * T::PANEL];
            // Elements beyond the rows stay zero.
            block[..from.len()].copy_from_slice(from);
            s.transpose(&block[..side], T::PANEL, &mut transposed[..side], T::PANEL);
            if self.add {
                for (to, from) in to.chunks_exact_mut(S::LANES).zip(transposed.chunks_exact(S::LANES)) {
                    s.store(s.add(s.load(to), s.load(from)), to);
                }
            } else {
                to.copy_from_slice(&transposed[..to.len()]);
            }
        }
    }
}
