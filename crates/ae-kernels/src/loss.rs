//! Loss functions: the loss of each row and the delta of the output, in one pass.
//!
//! A target that is NaN counts as missing: it contributes neither loss nor delta. An output that is NaN
//! remains NaN and makes the loss of its row NaN, unless its target is missing.

use crate::isa::Isa;
use crate::math;
use crate::panel::{Panels, PanelsMut};
use crate::simd::{Element, Kernel, Simd};

/// Number of features summed before their sum is added to the total: keeps the rounding error of a long
/// row close to that of a short one.
const RUN: usize = 32;

/// The loss between an output `o` and a target `x`, summed over the features of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Loss {
    /// `½ (o - x)²`
    SquaredError,
    /// `|o - x|`, with derivative 0 at 0.
    AbsoluteError,
    /// `½ (o - x)²` up to `|o - x| = delta`, and `delta (|o - x| - ½ delta)` beyond (Huber 1964).
    Huber {
        /// Where the parabola turns into a line; greater than 0.
        delta: f64,
    },
    /// `ln(1 + e^o) - x o`: the cross-entropy between `x` and `p = 1 / (1 + e^-o)`. Targets beyond
    /// `[0, 1]` count as 0 or 1, since no `p` would have the smallest loss.
    BinaryCrossEntropy,
    /// `½ (p - x)²` with `p = 1 / (1 + e^-o)`, for `x` in `[0, 1]`.
    SigmoidSquaredError,
    /// `½ (ln 2π + v + (o - x)² e^-v)`, the negative log-likelihood of a Gaussian. The output has twice
    /// as many features as the target: the means `o`, then the log-variances `v`, which are clamped to
    /// `[-30, 20]`, with derivative 0 outside.
    GaussianNll,
}

impl Loss {
    /// Returns the number of output features for a target with this many features.
    pub fn outputs(self, features: usize) -> usize {
        if self == Loss::GaussianNll { 2 * features } else { features }
    }
}

/// The per-row results of [`evaluate`].
#[derive(Debug)]
pub struct RowLosses<'a, T> {
    /// The loss, `[batch]`.
    pub losses: &'a mut [T],
    /// The squared error `Σ_features (x̂ - x)²`, `[batch]`, where `x̂` is the reconstruction: `o`, or
    /// `1 / (1 + e^-o)` for [`Loss::BinaryCrossEntropy`] and [`Loss::SigmoidSquaredError`].
    pub squares: &'a mut [T],
}

/// Evaluates `loss` for every row of the batch. `output` `[outputs, batch]` is overwritten with its
/// delta, the derivative of the row's loss. If `weights` (`[features]`) are given, they multiply the
/// losses of the features.
pub fn evaluate<T: Element>(
    isa: Isa,
    loss: Loss,
    output: PanelsMut<'_, T>,
    target: Panels<'_, T>,
    weights: Option<&[T]>,
    rows: RowLosses<'_, T>,
) {
    assert!(
        output.rows() == loss.outputs(target.rows())
            && output.cols() == target.cols()
            && weights.is_none_or(|weights| weights.len() == target.rows())
            && rows.losses.len() == output.cols()
            && rows.squares.len() == output.cols(),
        "{loss:?}: output [{}, {}], target [{}, {}], {} losses, {} squares",
        output.rows(),
        output.cols(),
        target.rows(),
        target.cols(),
        rows.losses.len(),
        rows.squares.len(),
    );
    T::run(isa, Evaluate { loss, output, target, weights, rows });
}

struct Evaluate<'a, T> {
    loss: Loss,
    output: PanelsMut<'a, T>,
    target: Panels<'a, T>,
    weights: Option<&'a [T]>,
    rows: RowLosses<'a, T>,
}

impl<T: Element> Kernel<T> for Evaluate<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        match self.loss {
            Loss::SquaredError => self.each(s, SquaredError),
            Loss::AbsoluteError => self.each(s, AbsoluteError),
            Loss::Huber { delta } => self.each(s, Huber { delta: T::from_f64(delta) }),
            Loss::BinaryCrossEntropy => self.each(s, CrossEntropy),
            Loss::SigmoidSquaredError => self.each(s, SigmoidSquaredError),
            Loss::GaussianNll => self.gaussian(s),
        }
    }
}

/// The loss of one feature, applied to vectors.
trait OnVectors<T: Element>: Copy {
    /// The loss, its derivative with respect to the output, and `x̂ - x`.
    fn evaluate<S: Simd<T>>(self, s: S, output: S::V, target: S::V) -> [S::V; 3];
}

#[derive(Clone, Copy)]
struct SquaredError;
#[derive(Clone, Copy)]
struct AbsoluteError;
#[derive(Clone, Copy)]
struct Huber<T> {
    delta: T,
}
#[derive(Clone, Copy)]
struct CrossEntropy;
#[derive(Clone, Copy)]
struct SigmoidSquaredError;

impl<T: Element> OnVectors<T> for SquaredError {
    #[inline(always)]
    fn evaluate<S: Simd<T>>(self, s: S, output: S::V, target: S::V) -> [S::V; 3] {
        let d = s.sub(output, target);
        [s.mul(s.splat(T::from_f64(0.5)), s.mul(d, d)), d, d]
    }
}

impl<T: Element> OnVectors<T> for AbsoluteError {
    #[inline(always)]
    fn evaluate<S: Simd<T>>(self, s: S, output: S::V, target: S::V) -> [S::V; 3] {
        let d = s.sub(output, target);
        let size = s.abs(d);
        // NaN compares false, so `d` is selected, which passes the NaN on.
        let slope = s.select_lt(s.splat(T::ZERO), size, s.copysign(s.splat(T::ONE), d), d);
        [size, slope, d]
    }
}

impl<T: Element> OnVectors<T> for Huber<T> {
    #[inline(always)]
    fn evaluate<S: Simd<T>>(self, s: S, output: S::V, target: S::V) -> [S::V; 3] {
        let d = s.sub(output, target);
        let (size, delta) = (s.abs(d), s.splat(self.delta));
        let near = s.min(delta, size); // NaN passes: min returns its second operand
        // Parabola and line in one formula: near |d| - ½ near².
        let loss = s.mul(near, s.neg_mul_add(s.splat(T::from_f64(0.5)), near, size));
        [loss, s.copysign(near, d), d]
    }
}

impl<T: Element> OnVectors<T> for CrossEntropy {
    #[inline(always)]
    fn evaluate<S: Simd<T>>(self, s: S, output: S::V, target: S::V) -> [S::V; 3] {
        let beyond = target;
        let target = s.max(s.splat(T::ZERO), s.min(s.splat(T::ONE), target));
        // With the sigmoid as 1 - below where the output is above 0, nothing is subtracted from a number
        // close to 1: the loss is as precise for a target of 1 that is nearly reached as for a target of
        // 0.
        let (zero, rest) = (s.splat(T::ZERO), s.sub(s.splat(T::ONE), target));
        let [below, tail] = math::below_and_tail(s, output);
        let d = s.select_lt(output, zero, s.sub(below, target), s.sub(rest, below));
        let loss = s.mul_add(s.abs(output), s.select_lt(output, zero, target, rest), tail);
        [loss, d, s.add(d, s.sub(target, beyond))]
    }
}

impl<T: Element> OnVectors<T> for SigmoidSquaredError {
    #[inline(always)]
    fn evaluate<S: Simd<T>>(self, s: S, output: S::V, target: S::V) -> [S::V; 3] {
        let p = math::sigmoid(s, output);
        let d = s.sub(p, target);
        let slope = s.neg_mul_add(p, p, p); // p (1 - p)
        [s.mul(s.splat(T::from_f64(0.5)), s.mul(d, d)), s.mul(d, slope), d]
    }
}

impl<T: Element> Evaluate<'_, T> {
    #[inline(always)]
    fn each<S: Simd<T>, L: OnVectors<T>>(mut self, s: S, loss: L) {
        for index in 0..self.target.count() {
            let lanes = self.target.lanes(index);
            let (output, target) = (self.output.panel(index), self.target.panel(index));
            let mut sums = [[T::ZERO; 16]; 2];
            let runs = output.chunks_mut(RUN * T::PANEL).zip(target.chunks(RUN * T::PANEL));
            for (run, (output, target)) in runs.enumerate() {
                let weights = self.weights.map(|weights| &weights[run * RUN..]);
                for lane in (0..lanes).step_by(S::LANES) {
                    let mut losses = s.splat(T::ZERO);
                    let mut squares = losses;
                    let lines = output.chunks_exact_mut(T::PANEL).zip(target.chunks_exact(T::PANEL));
                    for (f, (o, t)) in lines.enumerate() {
                        let t = s.load(&t[lane..]);
                        let [mut value, mut delta, d] = loss.evaluate(s, s.load(&o[lane..]), t);
                        if let Some(weights) = weights {
                            let weight = s.splat(weights[f]);
                            (value, delta) = (s.mul(weight, value), s.mul(weight, delta));
                        }
                        // Missing targets count as zero.
                        let d = s.zero_if_nan(t, d);
                        s.store(s.zero_if_nan(t, delta), &mut o[lane..]);
                        losses = s.add(losses, s.zero_if_nan(t, value));
                        squares = s.mul_add(d, d, squares);
                    }
                    add_to(s, &mut sums[0][lane..], losses);
                    add_to(s, &mut sums[1][lane..], squares);
                }
            }
            self.rows.set::<T>(index, &sums);
        }
    }

    #[inline(always)]
    fn gaussian<S: Simd<T>>(mut self, s: S) {
        let constant = |x: f64| s.splat(T::from_f64(x));
        let (half, one) = (constant(0.5), s.splat(T::ONE));
        let (low, high) = (constant(LOG_VARIANCE.0), constant(LOG_VARIANCE.1));
        let half_ln_two_pi = constant(0.918_938_533_204_672_8);
        let features = self.target.rows();
        for index in 0..self.target.count() {
            let (target, lanes) = (self.target.panel(index), self.target.lanes(index));
            let (means, variances) = self.output.panel(index).split_at_mut(features * T::PANEL);
            let mut sums = [[T::ZERO; 16]; 2];
            for start in (0..features).step_by(RUN) {
                for lane in (0..lanes).step_by(S::LANES) {
                    let mut losses = s.splat(T::ZERO);
                    let mut squares = losses;
                    for f in start..features.min(start + RUN) {
                        let at = f * T::PANEL + lane;
                        let (x, v) = (s.load(&target[at..]), s.load(&variances[at..]));
                        let clamped = s.max(low, s.min(high, v)); // NaN passes both
                        let precision = math::exp(s, s.sub(s.splat(T::ZERO), clamped));
                        let d = s.sub(s.load(&means[at..]), x);
                        let scaled = s.mul(d, precision);
                        let excess = s.mul(d, scaled);
                        let mut value = s.mul_add(half, s.add(clamped, excess), half_ln_two_pi);
                        let weight = self.weights.map_or(one, |weights| s.splat(weights[f]));
                        value = s.mul(weight, value);
                        let slope = s.mul(s.mul(half, weight), s.sub(one, excess));
                        let inside = s.zero_unless_lt(low, v, s.zero_unless_lt(v, high, slope));
                        s.store(s.zero_if_nan(x, s.mul(weight, scaled)), &mut means[at..]);
                        s.store(s.zero_if_nan(x, inside), &mut variances[at..]);
                        let d = s.zero_if_nan(x, d);
                        losses = s.add(losses, s.zero_if_nan(x, value));
                        squares = s.mul_add(d, d, squares);
                    }
                    add_to(s, &mut sums[0][lane..], losses);
                    add_to(s, &mut sums[1][lane..], squares);
                }
            }
            self.rows.set::<T>(index, &sums);
        }
    }
}

/// Returns the squared error of a single row whose values are next to each other, `[features]`, to the
/// same bits as [`evaluate`]. Features whose target is missing (NaN) count nothing.
pub fn squared_error<T: Element>(isa: Isa, output: &[T], target: &[T]) -> T {
    assert!(output.len() == target.len(), "{} outputs, {} targets", output.len(), target.len());
    T::run(isa, SquaredErrorOfRow { output, target })
}

struct SquaredErrorOfRow<'a, T> {
    output: &'a [T],
    target: &'a [T],
}

impl<T: Element> Kernel<T> for SquaredErrorOfRow<'_, T> {
    type Output = T;
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) -> T {
        // Every lane does the same: what is fused has to be fused here too.
        let mut total = s.splat(T::ZERO);
        for (output, target) in self.output.chunks(RUN).zip(self.target.chunks(RUN)) {
            let mut squares = s.splat(T::ZERO);
            for (&o, &t) in output.iter().zip(target) {
                let t = s.splat(t);
                let d = s.zero_if_nan(t, s.sub(s.splat(o), t));
                squares = s.mul_add(d, d, squares);
            }
            total = s.add(total, squares);
        }
        let mut lanes = [T::ZERO; 16];
        s.store(total, &mut lanes);
        lanes[0]
    }
}

/// Adds the penalty `weight Σ_features |a|` of each row to its loss (`losses` `[batch]`), and writes
/// `delta` plus the derivative of the penalty (0 at `a = 0`) to `dx`. `delta` and `dx` have the layout
/// of `values` `[features, batch]`.
pub fn add_l1_penalty<T: Element>(
    isa: Isa,
    weight: T,
    values: Panels<'_, T>,
    delta: &[T],
    dx: &mut [T],
    losses: &mut [T],
) {
    let len = values.data().len();
    assert!(
        delta.len() == len && dx.len() == len && losses.len() <= values.cols(),
        "values [{}, {}], {} of delta, {} of dx, {} losses",
        values.rows(),
        values.cols(),
        delta.len(),
        dx.len(),
        losses.len(),
    );
    T::run(isa, AddL1Penalty { weight, values, delta, dx, losses });
}

struct AddL1Penalty<'a, T> {
    weight: T,
    values: Panels<'a, T>,
    delta: &'a [T],
    dx: &'a mut [T],
    losses: &'a mut [T],
}

impl<T: Element> Kernel<T> for AddL1Penalty<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let (zero, weight) = (s.splat(T::ZERO), s.splat(self.weight));
        let len = self.values.rows() * T::PANEL;
        for index in 0..self.values.count() {
            let values = self.values.panel(index);
            let (delta, dx) = (&self.delta[index * len..][..len], &mut self.dx[index * len..][..len]);
            let mut sums = [T::ZERO; 16];
            for lane in (0..T::PANEL).step_by(S::LANES) {
                let mut sum = zero;
                for at in (lane..len).step_by(T::PANEL) {
                    let a = s.load(&values[at..]);
                    let size = s.abs(a);
                    sum = s.add(sum, size);
                    let slope = s.zero_unless_lt(zero, size, s.copysign(weight, a));
                    s.store(s.add(s.load(&delta[at..]), slope), &mut dx[at..]);
                }
                s.store(s.mul(weight, sum), &mut sums[lane..]);
            }
            let first = (index * T::PANEL).min(self.losses.len());
            for (loss, sum) in self.losses[first..].iter_mut().zip(&sums[..T::PANEL]) {
                *loss = *loss + *sum;
            }
        }
    }
}

/// The bounds that log-variances are clamped to: the exponentials of all of them stay far from the
/// limits of `f32`.
pub const LOG_VARIANCE: (f64, f64) = (-30.0, 20.0);

#[inline(always)]
fn add_to<T: Element, S: Simd<T>>(s: S, sums: &mut [T], more: S::V) {
    let total = s.add(s.load(sums), more);
    s.store(total, sums);
}

impl<T: Element> RowLosses<'_, T> {
    #[inline(always)]
    fn set<P: Element>(&mut self, panel: usize, [losses, squares]: &[[T; 16]; 2]) {
        let first = panel * P::PANEL;
        let rows = P::PANEL.min(self.losses.len() - first);
        self.losses[first..][..rows].copy_from_slice(&losses[..rows]);
        self.squares[first..][..rows].copy_from_slice(&squares[..rows]);
    }
}
