//! [`super::forward`] for few rows, and [`super::forward_row`]. A panel of rows costs the same whether
//! it is full or not, so here the weights are the vectors and no work is done for absent rows. Every sum
//! is the same chain of multiply-adds as in a full panel.

use std::ops::Range;

use crate::activation::{Activation, Epilogue};
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
        // The condition is a constant, so that only one of the branches is compiled.
        if T::PANEL == S::LANES {
            match self.x.cols() {
                0 => {}
                1 => self.rows::<S, 1, 1>(s),
                2 => self.rows::<S, 1, 2>(s),
                3 => self.rows::<S, 1, 3>(s),
                4 => self.rows::<S, 1, 4>(s),
                rows => unreachable!("{rows} are not few rows"),
            }
        } else {
            match self.x.cols() {
                0 => {}
                1 => self.rows::<S, 2, 1>(s),
                2 => self.rows::<S, 2, 2>(s),
                3 => self.rows::<S, 2, 3>(s),
                4 => self.rows::<S, 2, 4>(s),
                rows => unreachable!("{rows} are not few rows"),
            }
        }
    }
}

/// Work on `R` rows and some panels of outputs, whose lines are `V` vectors.
trait Abreast<T: Element, const V: usize, const R: usize> {
    /// Works on `N` panels side by side, from `panel` on.
    fn tile<S: Simd<T>, const N: usize>(&mut self, s: S, panel: usize);
}

/// Works on all of `count` panels, as many side by side as give about eight sums, which hide the latency
/// of a multiply-add. The conditions on `V` and `R` are constants, so that no other widths are compiled.
#[inline(always)]
fn each_panel<T: Element, S: Simd<T>, const V: usize, const R: usize>(
    s: S,
    count: usize,
    mut work: impl Abreast<T, V, R>,
) {
    let mut panel = 0;
    while panel < count {
        let left = count - panel;
        if const { V * R == 1 } && left >= 8 {
            work.tile::<S, 8>(s, panel);
            panel += 8;
        } else if const { V * R <= 2 } && left >= 4 {
            work.tile::<S, 4>(s, panel);
            panel += 4;
        } else if const { V * R <= 4 } && left >= 2 {
            work.tile::<S, 2>(s, panel);
            panel += 2;
        } else {
            work.tile::<S, 1>(s, panel);
            panel += 1;
        }
    }
}

impl<T: Element> ForwardFew<'_, T> {
    /// Computes all `R` rows.
    #[inline(always)]
    fn rows<S: Simd<T>, const V: usize, const R: usize>(&mut self, s: S) {
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
            each_panel::<T, S, V, R>(s, panels, Steps { of: self, first, values });
            first += steps;
            if first == inputs {
                break;
            }
        }
    }
}

/// The contraction steps from `first` on; `values` holds a value of each row for each step.
struct Steps<'k, 'a, T> {
    of: &'k mut ForwardFew<'a, T>,
    first: usize,
    values: &'k [T],
}

impl<T: Element, const V: usize, const R: usize> Abreast<T, V, R> for Steps<'_, '_, T> {
    /// Adds these steps to the sums of the panels.
    ///
    /// The first steps are added to the biases, later ones to what the steps before left in the output.
    /// The last ones are followed by the epilogue, which here works on lines of outputs: on the lines of
    /// the output matrix, it would also work on absent rows.
    #[inline(always)]
    fn tile<S: Simd<T>, const N: usize>(&mut self, s: S, panel: usize) {
        let Steps { of: ForwardFew { weights, x, y, epilogue }, first, values } = self;
        let (inputs, outputs, first, steps) = (x.rows(), y.rows(), *first, values.len() / R);
        let lines = |n: usize| (panel + n) * T::PANEL..outputs.min((panel + n + 1) * T::PANEL);
        let mut sums = [[[T::ZERO; MAX_PANEL]; N]; R];
        for r in 0..R {
            for n in 0..N {
                if first == 0 {
                    let biases = &weights.panel(panel + n)[inputs * T::PANEL..];
                    sums[r][n][..T::PANEL].copy_from_slice(biases);
                } else {
                    get(y.panel(0), lines(n), r, &mut sums[r][n]);
                }
            }
        }
        let of_steps =
            std::array::from_fn(|n| &weights.panel(panel + n)[first * T::PANEL..(first + steps) * T::PANEL]);
        add_products::<T, S, V, N, R>(s, values, of_steps, &mut sums);
        let last = first + steps == inputs;
        let mut slopes = [T::ZERO; MAX_PANEL];
        for r in 0..R {
            for n in 0..N {
                let sums = &mut sums[r][n];
                if last {
                    epilogue.finish_detached(s, &mut sums[..T::PANEL], &mut slopes[..T::PANEL]);
                }
                put(y.panel(0), lines(n), r, sums);
                if let Some(all) = epilogue.slopes.as_mut().filter(|_| last) {
                    put(all.data(), lines(n), r, &slopes);
                }
            }
        }
    }
}

/// See [`super::forward_row`].
#[allow(unnameable_types, reason = "the argument of a closed trait")]
pub struct ForwardRow<'a, T> {
    pub(super) weights: Panels<'a, T>,
    pub(super) x: &'a [T],
    pub(super) y: &'a mut [T],
    pub(super) activation: Activation,
}

impl<T: Element> Kernel<T> for ForwardRow<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let panels = self.weights.count();
        if T::PANEL == S::LANES {
            each_panel::<T, S, 1, 1>(s, panels, self);
        } else {
            each_panel::<T, S, 2, 1>(s, panels, self);
        }
    }
}

impl<T: Element, const V: usize> Abreast<T, V, 1> for ForwardRow<'_, T> {
    #[inline(always)]
    fn tile<S: Simd<T>, const N: usize>(&mut self, s: S, panel: usize) {
        let (weights, inputs) = (self.weights, self.x.len());
        let mut sums = [[[T::ZERO; MAX_PANEL]; N]];
        for n in 0..N {
            sums[0][n][..T::PANEL].copy_from_slice(&weights.panel(panel + n)[inputs * T::PANEL..]);
        }
        let lines = std::array::from_fn(|n| &weights.panel(panel + n)[..inputs * T::PANEL]);
        add_products::<T, S, V, N, 1>(s, self.x, lines, &mut sums);
        let y = &mut self.y[panel * T::PANEL..(panel + N) * T::PANEL];
        for (y, sums) in y.chunks_exact_mut(T::PANEL).zip(&sums[0]) {
            y.copy_from_slice(&sums[..T::PANEL]);
        }
        Epilogue::from(self.activation).finish(s, 0, y);
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
