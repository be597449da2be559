//! [`super::forward`] for a row or two: the weights are the vectors, so no work is done for rows that are not there.

use std::ops::Range;

use crate::activation::Epilogue;
use crate::panel::{MAX_PANEL, Panels, PanelsMut};
use crate::simd::{Element, Kernel, Simd};

/// Rows that [`forward`] takes one at a time: a panel of them costs the same whether it is full or not.
pub(super) const FEW: usize = 2;
/// Vectors of weights that are read side by side for one row: as many sums as hide the latency of a multiply-add.
const ABREAST: usize = 8;
/// Inputs whose values for one row are brought together before the weights are read, line after line and each line whole: in
/// panels they are a line apart, and a row of 1000 would take more of L1 and L2 than its weights leave.
const TOGETHER: usize = 1024;

/// [`Forward`] for rows by themselves, with the weights as the vectors. The sums are the same chains.
#[allow(unnameable_types, reason = "the argument of a closed trait")]
pub struct ForwardFew<'a, T> {
    pub(super) weights: Panels<'a, T>,
    pub(super) x: Panels<'a, T>,
    pub(super) y: PanelsMut<'a, T>,
    pub(super) epilogue: Epilogue<'a, T>,
}

impl<T: Element> Kernel<T> for ForwardFew<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        let per_line = T::PANEL / S::LANES;
        for row in 0..self.x.cols() {
            if per_line == 1 {
                self.row::<S, ABREAST, 1>(s, row);
            } else if per_line == 2 {
                self.row::<S, { ABREAST / 2 }, 2>(s, row);
            } else {
                unreachable!("panel rows of {per_line} vectors");
            }
        }
    }
}

/// The values of one row for inputs `first` and those that follow it.
#[derive(Clone, Copy)]
struct Part<'a, T> {
    row: usize,
    first: usize,
    values: &'a [T],
}

impl<T: Element> ForwardFew<'_, T> {
    /// The sums of one row, `N` panels of outputs at a time, whose lines are `V` vectors.
    #[inline(always)]
    fn row<S: Simd<T>, const N: usize, const V: usize>(&mut self, s: S, row: usize) {
        let (inputs, panels) = (self.x.rows(), self.weights.count());
        let mut together = [T::ZERO; TOGETHER];
        let mut first = 0;
        loop {
            let count = TOGETHER.min(inputs - first);
            let lines = &self.x.data()[first * T::PANEL..][..count * T::PANEL];
            for k in 0..count {
                together[k] = lines[k * T::PANEL + row];
            }
            let part = Part { row, first, values: &together[..count] };
            let mut panel = 0;
            while panel + N <= panels {
                self.panels::<S, N, V>(s, panel, part);
                panel += N;
            }
            while panel < panels {
                self.panels::<S, 1, V>(s, panel, part);
                panel += 1;
            }
            first += count;
            if first == inputs {
                break;
            }
        }
    }

    /// Adds the part of a row to the sums of `N` panels of outputs: to the biases where it is the first, else to what the part before
    /// it left in the output. The last one is followed by the epilogue, which works on lines of outputs here: on those of the
    /// output it would work on rows that are not there.
    #[inline(always)]
    fn panels<S: Simd<T>, const N: usize, const V: usize>(&mut self, s: S, panel: usize, part: Part<'_, T>) {
        let Part { row, first, values } = part;
        let (inputs, outputs) = (self.x.rows(), self.y.rows());
        let lines = |n: usize| (panel + n) * T::PANEL..outputs.min((panel + n + 1) * T::PANEL);
        let mut line = [T::ZERO; MAX_PANEL];
        let mut sums = [[s.splat(T::ZERO); V]; N];
        for n in 0..N {
            let start = if first == 0 {
                &self.weights.panel(panel + n)[inputs * T::PANEL..]
            } else {
                for (i, output) in lines(n).enumerate() {
                    line[i] = self.y.data()[output * T::PANEL + row];
                }
                &line[..]
            };
            for v in 0..V {
                sums[n][v] = s.load(&start[v * S::LANES..]);
            }
        }
        let elements = first * T::PANEL..(first + values.len()) * T::PANEL;
        let weights: [&[T]; N] = std::array::from_fn(|n| &self.weights.panel(panel + n)[elements.clone()]);
        for (k, x) in values.iter().enumerate() {
            let x = s.splat(*x);
            for n in 0..N {
                for v in 0..V {
                    let at = k * T::PANEL + v * S::LANES;
                    // SAFETY: each slice holds a line of `V * LANES = PANEL` elements for each of the values.
                    let weights = unsafe { s.load_ptr(weights[n].as_ptr().add(at)) };
                    sums[n][v] = s.mul_add(x, weights, sums[n][v]);
                }
            }
        }
        let last = first + values.len() == inputs;
        let mut slopes = [T::ZERO; MAX_PANEL];
        for n in 0..N {
            for v in 0..V {
                s.store(sums[n][v], &mut line[v * S::LANES..]);
            }
            if last {
                self.epilogue.finish_apart(s, &mut line[..T::PANEL], &mut slopes[..T::PANEL]);
            }
            put(self.y.data(), lines(n), row, &line);
            if let Some(all) = self.epilogue.slopes.as_mut().filter(|_| last) {
                put(all.data(), lines(n), row, &slopes);
            }
        }
    }
}

/// Writes the values of one row for some features to the lines of these.
#[inline(always)]
fn put<T: Element>(to: &mut [T], features: Range<usize>, row: usize, values: &[T]) {
    let lines = &mut to[features.start * T::PANEL..features.end * T::PANEL];
    for (line, value) in lines.chunks_exact_mut(T::PANEL).zip(values) {
        line[row] = *value;
    }
}
