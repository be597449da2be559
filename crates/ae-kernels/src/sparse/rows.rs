//! The products of a block of rows: outputs from the active features, and the deltas of the active
//! features from those of the outputs.

use super::Active;
use crate::isa::Isa;
use crate::panel::{MAX_PANEL, Panels, PanelsMut, transposed_len};
use crate::simd::{Element, Kernel, Simd};

/// Computes `y = Wᵀ x + b` (without `b` unless `with_bias`) for codes `x` with few active features. The
/// weights are `[features + 1, outputs]` with the bias as the last row; `y` is `[outputs, rows]`.
///
/// Works on one panel of the weights at a time, so that the lines needed by the rows stay in L2.
pub fn decode<T: Element>(
    isa: Isa,
    weights: Panels<'_, T>,
    with_bias: bool,
    active: Active<'_, T>,
    y: PanelsMut<'_, T>,
) {
    assert!(
        weights.rows() > 0 && weights.cols() == y.rows() && active.rows() == y.cols(),
        "decode: weights [{}, {}], {} rows, y [{}, {}]",
        weights.rows(),
        weights.cols(),
        active.rows(),
        y.rows(),
        y.cols(),
    );
    T::run(isa, Decode { weights, with_bias, active, y });
}

struct Decode<'a, T> {
    weights: Panels<'a, T>,
    with_bias: bool,
    active: Active<'a, T>,
    y: PanelsMut<'a, T>,
}

impl<T: Element> Kernel<T> for Decode<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        let (outputs, rows) = (self.y.rows(), self.y.cols());
        let side = T::PANEL * T::PANEL;
        let mut block = [T::ZERO; MAX_PANEL * MAX_PANEL];
        let mut transposed = [T::ZERO; MAX_PANEL * MAX_PANEL];
        for panel in 0..self.weights.count() {
            let weights = self.weights.panel(panel);
            let mut bias = [T::ZERO; MAX_PANEL];
            if self.with_bias {
                bias[..T::PANEL].copy_from_slice(&weights[(self.weights.rows() - 1) * T::PANEL..]);
            }
            let width = T::PANEL.min(outputs - panel * T::PANEL);
            for first in (0..rows).step_by(T::PANEL) {
                let count = T::PANEL.min(rows - first);
                for (row, line) in block.chunks_exact_mut(T::PANEL).take(count).enumerate() {
                    let (features, values) = self.active.row(first + row);
                    for lane in (0..T::PANEL).step_by(S::LANES) {
                        let mut sum = s.load(&bias[lane..]);
                        for (&feature, &value) in features.iter().zip(values) {
                            let weights = s.load(&weights[feature as usize * T::PANEL + lane..]);
                            sum = s.mul_add(weights, s.splat(value), sum);
                        }
                        s.store(sum, &mut line[lane..]);
                    }
                }
                s.transpose(&block[..side], T::PANEL, &mut transposed[..side], T::PANEL);
                let to = &mut self.y.panel(first / T::PANEL)[panel * side..][..width * T::PANEL];
                to.copy_from_slice(&transposed[..width * T::PANEL]);
            }
        }
    }
}

/// Computes `dx = W δ` for the active features only. The weights are those of [`decode`]; `transposed`
/// are the deltas of the outputs, transposed by [`crate::panel::transpose_deltas`]; `dx` has an element
/// for each active feature, at its position in [`Active::range`].
pub fn decode_backward<T: Element>(
    isa: Isa,
    weights: Panels<'_, T>,
    active: Active<'_, T>,
    transposed: &[T],
    dx: &mut [T],
) {
    assert!(
        weights.rows() > 0
            && transposed.len() == transposed_len::<T>(weights.cols(), active.rows())
            && dx.len() == active.capacity(),
        "decode_backward: weights [{}, {}], {} rows, {} transposed deltas, {} of codes",
        weights.rows(),
        weights.cols(),
        active.rows(),
        transposed.len(),
        dx.len(),
    );
    T::run(isa, DecodeBackward { weights, active, transposed, dx });
}

struct DecodeBackward<'a, T> {
    weights: Panels<'a, T>,
    active: Active<'a, T>,
    transposed: &'a [T],
    dx: &'a mut [T],
}

impl<T: Element> Kernel<T> for DecodeBackward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let DecodeBackward { weights, active, transposed, dx } = self;
        let (outputs, rows) = (weights.cols(), active.rows());
        let side = T::PANEL * T::PANEL;
        let of_panel = transposed_len::<T>(outputs, 1);
        let mut block = [T::ZERO; MAX_PANEL * MAX_PANEL];
        let mut lines = [T::ZERO; MAX_PANEL * MAX_PANEL];
        dx[..active.count()].fill(T::ZERO);
        for panel in 0..weights.count() {
            let weights = weights.panel(panel);
            let width = T::PANEL.min(outputs - panel * T::PANEL);
            for row in 0..rows {
                let at = row / T::PANEL * of_panel + panel * side + row % T::PANEL * T::PANEL;
                let delta = &transposed[at..][..width];
                let (features, _) = active.row(row);
                let dx = &mut dx[active.range(row)];
                // As many features at a time as a line has lanes: each sum is one chain over the
                // outputs.
                for (features, dx) in features.chunks(T::PANEL).zip(dx.chunks_mut(T::PANEL)) {
                    for (line, &feature) in block.chunks_exact_mut(T::PANEL).zip(features) {
                        for lane in (0..T::PANEL).step_by(S::LANES) {
                            let weights = s.load(&weights[feature as usize * T::PANEL + lane..]);
                            s.store(weights, &mut line[lane..]);
                        }
                    }
                    s.transpose(&block[..side], T::PANEL, &mut lines[..side], T::PANEL);
                    let mut sums = [T::ZERO; MAX_PANEL];
                    sums[..dx.len()].copy_from_slice(dx);
                    for lane in (0..T::PANEL).step_by(S::LANES) {
                        let mut sum = s.load(&sums[lane..]);
                        for (line, &delta) in lines.chunks_exact(T::PANEL).zip(delta) {
                            sum = s.mul_add(s.load(&line[lane..]), s.splat(delta), sum);
                        }
                        s.store(sum, &mut sums[lane..]);
                    }
                    dx.copy_from_slice(&sums[..dx.len()]);
                }
            }
        }
    }
}
