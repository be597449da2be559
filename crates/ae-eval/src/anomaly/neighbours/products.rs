//! Neighbours of many rows by one matrix product.
//!
//! Half the squared distance between `x` and `y` is `|x|²/2 - s` with `s = x·y - |y|²/2`, so the nearest
//! rows have the largest `s`: a dense layer whose weights are the rows `y` and whose biases are
//! `-|y|²/2`. It costs one multiply-add where a difference costs three operations, but its rounding errors
//! grow with the norms instead of the distance. So `s` only chooses panels of rows, with a bound on these
//! errors, and the distances to the rows in them are computed as everywhere.
//!
//! The bound: with unit roundoff `u` and `n` features, the computed `s` is within
//! `(2n + 1) u (|x|²/2 + |y|²)` of the exact one, even where products are rounded on their own (Higham,
//! Accuracy and Stability of Numerical Algorithms, section 3.1), and half of a computed distance within
//! `(n + 2) u (|x|² + |y|²)` of the exact half. `γ = 4 (n + 4) u` of `|x|²` and `|y|²` covers both.

use ae_kernels::activation::Activation;
use ae_kernels::gemm::{self, Blocking};
use ae_kernels::panel::{Panels, PanelsMut, gather_rows, panel_len};
use ae_kernels::workspace::AlignedBuf;

use super::{GROUP, Nearest, Neighbours, PANEL};

/// Query rows of a product, at most.
const QUERIES: usize = 128;
/// Bytes of bounds that a thread keeps, unless a panel of queries needs more.
const BOUNDS: usize = 8 << 20;
/// Panels of rows whose results are in memory at once: 256 KiB.
const STRIP: usize = 32;

/// What rounding can do to `s` and to half of a squared distance, as far as a row `y` contributes.
fn uncertainty(squares: f64, features: usize) -> f64 {
    let gamma = 4.0 * (features + 4) as f64 * f64::from(f32::EPSILON) / 2.0;
    // Products that underflow are off by less than the smallest normal number.
    gamma * squares + features as f64 * f64::from(f32::MIN_POSITIVE)
}

fn sum_of_squares(row: &[f32]) -> f64 {
    row.iter().map(|x| f64::from(*x) * f64::from(*x)).sum()
}

/// The bias of a row, so that `s` is an upper bound as far as the row's own uncertainty goes, and twice
/// that uncertainty. A place without a row is as far away as can be.
pub(super) fn bias(row: &[f32], is_row: bool) -> (f32, f32) {
    if !is_row {
        return (f32::MIN, 0.0);
    }
    let squares = sum_of_squares(row);
    let uncertainty = uncertainty(squares, row.len());
    ((uncertainty - squares / 2.0) as f32, (2.0 * uncertainty) as f32)
}

/// The largest upper bound on `s` among the rows of a panel, for each query of another, and the largest
/// lower bound.
#[derive(Clone, Copy)]
struct Bounds {
    upper: [f32; PANEL],
    lower: [f32; PANEL],
}

impl Bounds {
    const NONE: Bounds = Bounds { upper: [f32::NEG_INFINITY; PANEL], lower: [f32::NEG_INFINITY; PANEL] };

    /// From the upper bounds of a panel's rows, a line each.
    fn of(lines: &[[f32; PANEL]], uncertainty: &[f32]) -> Bounds {
        let mut bounds = Bounds::NONE;
        for (line, uncertainty) in lines.iter().zip(uncertainty) {
            for ((s, upper), lower) in line.iter().zip(&mut bounds.upper).zip(&mut bounds.lower) {
                // What has overflowed could be any distance.
                let known = s.is_finite();
                *upper = upper.max(if known { *s } else { f32::INFINITY });
                *lower = lower.max(if known { s - uncertainty } else { f32::NEG_INFINITY });
            }
        }
        bounds
    }
}

impl Neighbours {
    /// See [`Neighbours::squared_distances`].
    pub(super) fn search_by_products(&self, rows: &[f32], skip_self: bool, k: usize, nearest: &mut [f32]) {
        let features = self.features.len();
        let panels = self.uncertainty.len() / PANEL;
        let queries = BOUNDS / (panels * size_of::<Bounds>()).max(1) * PANEL;
        let queries = queries.clamp(PANEL, QUERIES);
        let mut sorted = vec![0.0; queries * features];
        let mut x = AlignedBuf::<f32>::zeroed(panel_len::<f32>(features, queries));
        let mut s = AlignedBuf::<f32>::zeroed(panel_len::<f32>(STRIP * PANEL, queries));
        let mut bounds = vec![Bounds::NONE; queries / PANEL * panels];
        let mut lowers = Vec::with_capacity(panels);
        let blocks = rows.chunks(queries * features.max(1)).zip(nearest.chunks_mut(queries * k));
        for (rows, nearest) in blocks {
            let count = rows.len() / features;
            for (row, from) in sorted.chunks_exact_mut(features).zip(rows.chunks_exact(features)) {
                row.iter_mut().zip(&self.features).for_each(|(x, feature)| *x = from[*feature]);
            }
            let all: Vec<usize> = (0..count).collect();
            let x = &mut x.as_mut_slice()[..panel_len::<f32>(features, count)];
            gather_rows(self.isa, &sorted, &all, None, PanelsMut::new(x, features, count));
            for first in (0..panels).step_by(STRIP) {
                let strip = STRIP.min(panels - first);
                let s = &mut s.as_mut_slice()[..panel_len::<f32>(strip * PANEL, count)];
                self.products_of(first, strip, Panels::new(x, features, count), s);
                for (lines, bounds) in
                    s.chunks_exact(strip * PANEL * PANEL).zip(bounds.chunks_exact_mut(panels))
                {
                    let uncertainty = self.uncertainty[first * PANEL..].chunks_exact(PANEL);
                    let lines = lines.as_chunks().0.chunks_exact(PANEL);
                    for ((lines, uncertainty), bounds) in lines.zip(uncertainty).zip(&mut bounds[first..]) {
                        *bounds = Bounds::of(lines, uncertainty);
                    }
                }
            }
            for (i, nearest) in nearest.chunks_exact_mut(k).enumerate() {
                let (row, lane) = (&sorted[i * features..][..features], i % PANEL);
                let bounds = &bounds[i / PANEL * panels..][..panels];
                // As many panels as there are neighbours have a row each that is at least so near.
                lowers.clear();
                lowers.extend(bounds.iter().map(|bounds| bounds.lower[lane]));
                let wanted = k + usize::from(skip_self);
                let near = if wanted <= panels {
                    let kth = *lowers.select_nth_unstable_by(wanted - 1, |a, b| b.total_cmp(a)).1;
                    f64::from(kth) - 2.0 * uncertainty(sum_of_squares(row), features)
                } else {
                    f64::NEG_INFINITY
                };
                let is_far = |bounds: &Bounds| f64::from(bounds.upper[lane]) < near;
                let near: Vec<usize> = (0..panels).filter(|panel| !is_far(&bounds[*panel])).collect();
                let mut nearest = Nearest { nearest, skip_self };
                for panels in near.chunks(GROUP) {
                    self.search(row, panels, &mut nearest);
                }
            }
        }
    }

    /// Upper bounds on `s` for the rows of `strip` panels from `first` on, `[rows, queries]`.
    fn products_of(&self, first: usize, strip: usize, x: Panels<'_, f32>, s: &mut [f32]) {
        let panel = (self.features.len() + 1) * PANEL;
        let weights = &self.panels.as_slice()[first * panel..][..strip * panel];
        let (rows, queries) = (strip * PANEL, x.cols());
        gemm::forward(
            self.isa,
            Blocking::default(),
            Panels::new(weights, self.features.len() + 1, rows),
            x,
            PanelsMut::new(s, rows, queries),
            Activation::Linear,
        );
    }
}
