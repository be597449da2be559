//! [`super::forward`] for few rows. A panel of rows costs the same whether it is full or not, so here
//! the weights are the vectors and no work is done for absent rows. Every sum is the same chain of
//! multiply-adds as in a full panel.

use std::ops::Range;

use crate::activation::Epilogue;
use crate::panel::{MAX_PANEL, Panels, Spread, SpreadMut};
use crate::simd::{Element, Kernel, Simd};

/// Maximum number of rows that count as few. Their sums are in registers together, so that a line of
/// weights is read once for all of them. For eight rows, half a tile is as fast as this if rows are
/// wide, and twice as fast if they are narrow.
pub(super) const FEW: usize = 4;
/// Row values that are gathered before the weights are read. In panels they are a line apart, so a row
/// of 1000 would take more of L1 and L2 than its weights leave.
const TOGETHER: usize = 1024;

/// [`super::loops::Forward`] for few rows.
#[allow(unnameable_types, reason = "the argument of a closed trait")]
pub struct ForwardFew<'a, T> {
    pub(super) weights: Panels<'a, T>,
    pub(super) x: Spread<'a, T>,
    pub(super) y: SpreadMut<'a, T>,
    pub(super) epilogue: Epilogue<'a, T>,
}

impl<T: Element> Kernel<T> for ForwardFew<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        // As many panels of outputs side by side as give about eight sums, which hide the latency of a
        // multiply-add. The condition is a constant, so that only one of the branches is compiled.
        if T::PANEL == S::LANES {
            match self.x.cols() {
                0 => {}
                1 => self.rows::<S, 1, 8, 1>(s),
                2 => self.rows::<S, 1, 4, 2>(s),
                3 => self.rows::<S, 1, 2, 3>(s),
                4 => self.rows::<S, 1, 2, 4>(s),
                rows => unreachable!("{rows} are not few rows"),
            }
        } else {
            match self.x.cols() {
                0 => {}
                1 => self.rows::<S, 2, 4, 1>(s),
                2 => self.rows::<S, 2, 2, 2>(s),
                3 => self.rows::<S, 2, 1, 3>(s),
                4 => self.rows::<S, 2, 1, 4>(s),
                rows => unreachable!("{rows} are not few rows"),
            }
        }
    }
}

impl<T: Element> ForwardFew<'_, T> {
    /// Computes all `R` rows, for `N` panels of outputs at a time, whose lines are `V` vectors.
    #[inline(always)]
    fn rows<S: Simd<T>, const V: usize, const N: usize, const R: usize>(&mut self, s: S) {
        let (inputs, panels) = (self.x.rows(), self.weights.count());
        let mut values = [T::ZERO; TOGETHER];
        let mut first = 0;
        loop {
            let steps = (TOGETHER / R).min(inputs - first);
            let lines = &self.x.panel(0)[first * T::PANEL..][..steps * T::PANEL];
            for (values, line) in values.chunks_exact_mut(R).zip(lines.chunks_exact(T::PANEL)) {
                values.copy_from_slice(&line[..R]);
            }
            let values = &values[..steps * R];
            let mut panel = 0;
            while panel + N <= panels {
                self.tile::<S, V, N, R>(s, panel, first, values);
                panel += N;
            }
            while panel < panels {
                self.tile::<S, V, 1, R>(s, panel, first, values);
                panel += 1;
            }
            first += steps;
            if first == inputs {
                break;
            }
        }
    }

    /// Adds the contraction steps from `first` on to the sums for `N` panels of outputs; `values` holds
    /// `R` row values for each step.
    ///
    /// The first steps are added to the biases, later ones to what the steps before left in the output.
    /// The last ones are followed by the epilogue, which here works on lines of outputs: on the lines of
    /// the output matrix, it would also work on absent rows.
    #[inline(always)]
    fn tile<S: Simd<T>, const V: usize, const N: usize, const R: usize>(
        &mut self,
        s: S,
        panel: usize,
        first: usize,
        values: &[T],
    ) {
        let (inputs, outputs, steps) = (self.x.rows(), self.y.rows(), values.len() / R);
        let lines = |n: usize| (panel + n) * T::PANEL..outputs.min((panel + n + 1) * T::PANEL);
        let mut sums = [[[T::ZERO; MAX_PANEL]; N]; R];
        for r in 0..R {
            for n in 0..N {
                if first == 0 {
                    let biases = &self.weights.panel(panel + n)[inputs * T::PANEL..];
                    sums[r][n][..T::PANEL].copy_from_slice(biases);
                } else {
                    get(self.y.panel(0), lines(n), r, &mut sums[r][n]);
                }
            }
        }
        let weights = std::array::from_fn(|n| {
            &self.weights.panel(panel + n)[first * T::PANEL..(first + steps) * T::PANEL]
        });
        add_products::<T, S, V, N, R>(s, values, weights, &mut sums);
        let last = first + steps == inputs;
        let mut slopes = [T::ZERO; MAX_PANEL];
        for r in 0..R {
            for n in 0..N {
                let sums = &mut sums[r][n];
                if last {
                    self.epilogue.finish_detached(s, &mut sums[..T::PANEL], &mut slopes[..T::PANEL]);
                }
                put(self.y.panel(0), lines(n), r, sums);
                if let Some(all) = self.epilogue.slopes.as_mut().filter(|_| last) {
                    put(all.data(), lines(n), r, &slopes);
                }
            }
        }
    }
}

/// `sums[r][n] += Σ_k values[k R + r] lines[n][k]`, in the order of `k`, for lines of `V` vectors.
#[inline(always)]
fn add_products<T: Element, S: Simd<T>, const V: usize, const N: usize, const R: usize>(
    s: S,
    values: &[T],
    lines: [&[T]; N],
    sums: &mut [[[T; MAX_PANEL]; N]; R],
) {
    let steps = values.len() / R;
    assert!(T::PANEL == V * S::LANES && lines.iter().all(|lines| lines.len() == steps * T::PANEL));
    let mut acc = [[[s.splat(T::ZERO); V]; N]; R];
    for r in 0..R {
        for n in 0..N {
            for v in 0..V {
                acc[r][n][v] = s.load(&sums[r][n][v * S::LANES..]);
            }
        }
    }
    for (k, values) in values.chunks_exact(R).enumerate() {
        for n in 0..N {
            let mut line = [s.splat(T::ZERO); V];
            for v in 0..V {
                // SAFETY: `k` is less than the number of steps, each of which has a line of `V` vectors,
                // as asserted.
                line[v] = unsafe { s.load_ptr(lines[n].as_ptr().add(k * T::PANEL + v * S::LANES)) };
            }
            for r in 0..R {
                let value = s.splat(values[r]);
                for v in 0..V {
                    acc[r][n][v] = s.mul_add(value, line[v], acc[r][n][v]);
                }
            }
        }
    }
    for r in 0..R {
        for n in 0..N {
            for v in 0..V {
                s.store(acc[r][n][v], &mut sums[r][n][v * S::LANES..]);
            }
        }
    }
}

/// Reads the values of one row for some features from their lines.
#[inline(always)]
fn get<T: Element>(from: &[T], features: Range<usize>, row: usize, values: &mut [T]) {
    let lines = &from[features.start * T::PANEL..features.end * T::PANEL];
    for (line, value) in lines.chunks_exact(T::PANEL).zip(values) {
        *value = line[row];
    }
}

/// Writes the values of one row for some features to their lines.
#[inline(always)]
fn put<T: Element>(to: &mut [T], features: Range<usize>, row: usize, values: &[T]) {
    let lines = &mut to[features.start * T::PANEL..features.end * T::PANEL];
    for (line, value) in lines.chunks_exact_mut(T::PANEL).zip(values) {
        line[row] = *value;
    }
}
