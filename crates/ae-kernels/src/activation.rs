//! Activation functions and their derivatives.
//!
//! Where possible, the derivative is computed from the stored output `y = act(z)`, so that no
//! pre-activation has to be kept. Activations that are not monotonic allow no such form
//! ([`Activation::keeps_slope`]): for them, the forward pass stores the derivative itself.
//!
//! In the tails that approach zero, outputs, slopes and deltas whose magnitude is below `2^-100` (for
//! `f32`) are zero: products with subnormal numbers would take ten times as long.

use crate::isa::Isa;
use crate::math;
use crate::panel::PanelsMut;
use crate::simd::{Element, Kernel, Simd};
use crate::trace::without_trace;

/// The activation function of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Activation {
    /// `z`
    Linear,
    /// `max(0, z)`; its derivative at 0 is 0.
    Relu,
    /// `1 / (1 + e^-z)`
    Sigmoid,
    /// `tanh z`
    Tanh,
    /// `z` for `z > 0`, else `z / 100` (Maas et al. 2013, sec. 2).
    LeakyRelu,
    /// `z` for `z > 0`, else `e^z - 1` (Clevert et al. 2016, eq. 15 with α = 1).
    Elu,
    /// `ln(1 + e^z)` (Dugas et al. 2001).
    Softplus,
    /// `z (1 + tanh(√(2/π) (z + 0.044715 z³))) / 2` (Hendrycks & Gimpel 2016, sec. 2).
    Gelu,
    /// `z / (1 + e^-z)` (Elfwing et al. 2018, eq. 4).
    Silu,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Activation; 9] = [
        Activation::Linear,
        Activation::Relu,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::LeakyRelu,
        Activation::Elu,
        Activation::Softplus,
        Activation::Gelu,
        Activation::Silu,
    ];

    /// Returns whether the derivative cannot be computed from the output and has to be stored with it
    /// ([`Slope::Given`]).
    pub fn keeps_slope(self) -> bool {
        matches!(self, Activation::Gelu | Activation::Silu)
    }

    /// Replaces every element `z` by `act(z)`.
    pub fn apply<T: Element>(self, isa: Isa, values: &mut [T]) {
        T::run(isa, Apply { activation: self, values });
    }

    /// Like [`Activation::apply`], but also writes `act'(z)` to `slopes`. Panics if the lengths differ.
    pub fn apply_with_slopes<T: Element>(self, isa: Isa, values: &mut [T], slopes: &mut [T]) {
        assert!(values.len() == slopes.len(), "{} values, {} slopes", values.len(), slopes.len());
        T::run(isa, ApplyWithSlopes { activation: self, values, slopes });
    }
}

/// What the derivative of an activation is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slope {
    /// The output of this activation, which must not be one that keeps its slope.
    Of(Activation),
    /// The derivative itself, as [`Activation::apply_with_slopes`] stores it.
    Given,
}

impl From<Activation> for Slope {
    fn from(activation: Activation) -> Slope {
        Slope::Of(activation)
    }
}

/// What a forward product does with each of its sums before storing it.
#[derive(Debug)]
pub struct Epilogue<'a, T> {
    /// The activation to apply.
    pub activation: Activation,
    /// Where to write the derivative, in the shape of the output, if it is needed.
    pub slopes: Option<PanelsMut<'a, T>>,
}

impl<T> From<Activation> for Epilogue<'_, T> {
    fn from(activation: Activation) -> Self {
        Epilogue { activation, slopes: None }
    }
}

impl<T: Element> Epilogue<'_, T> {
    /// Returns whether the slopes, if any, are `[features, batch]`.
    pub(crate) fn fits(&self, features: usize, batch: usize) -> bool {
        self.slopes.as_ref().is_none_or(|slopes| slopes.rows() == features && slopes.cols() == batch)
    }

    /// Applies the epilogue to `values`, which start at element `at` of the output.
    #[inline(always)]
    pub(crate) fn finish<S: Simd<T>>(&mut self, s: S, at: usize, values: &mut [T]) {
        match &mut self.slopes {
            None => activate(s, self.activation, values),
            Some(slopes) => {
                let slopes = &mut slopes.data()[at..][..values.len()];
                activate_with_slopes(s, self.activation, values, slopes);
            }
        }
    }

    /// Applies the epilogue to `values` that are not yet in the output; writes the slopes, if they are
    /// needed, to `slopes`, which has the same length.
    #[inline(always)]
    pub(crate) fn finish_detached<S: Simd<T>>(&self, s: S, values: &mut [T], slopes: &mut [T]) {
        match self.slopes {
            None => activate(s, self.activation, values),
            Some(_) => activate_with_slopes(s, self.activation, values, slopes),
        }
    }
}

impl Slope {
    /// Multiplies every element of `delta` by `act'(z)`, given what the slope is computed from in `y`.
    /// Panics if the lengths differ, or if the slope is to come from the output of an activation that
    /// keeps its slope.
    pub fn apply<T: Element>(self, isa: Isa, y: &[T], delta: &mut [T]) {
        assert!(y.len() == delta.len(), "{} outputs for {} deltas", y.len(), delta.len());
        self.check();
        T::run(isa, ApplySlope { slope: self, y, delta });
    }

    /// Panics if the derivative cannot be computed from what is stored.
    #[track_caller]
    pub(crate) fn check(self) {
        if let Slope::Of(activation) = self {
            assert!(!activation.keeps_slope(), "the slope of {activation:?} cannot be told from its output");
        }
    }
}

struct Apply<'a, T> {
    activation: Activation,
    values: &'a mut [T],
}

impl<T: Element> Kernel<T> for Apply<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        activate(s, self.activation, self.values);
    }
}

struct ApplyWithSlopes<'a, T> {
    activation: Activation,
    values: &'a mut [T],
    slopes: &'a mut [T],
}

impl<T: Element> Kernel<T> for ApplyWithSlopes<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        activate_with_slopes(s, self.activation, self.values, self.slopes);
    }
}

struct ApplySlope<'a, T> {
    slope: Slope,
    y: &'a [T],
    delta: &'a mut [T],
}

impl<T: Element> Kernel<T> for ApplySlope<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        times_slope(s, self.slope, self.y, self.delta);
    }
}

/// An activation applied to vectors.
trait OnVectors<T: Element>: Copy {
    fn forward<S: Simd<T>>(self, s: S, z: S::V) -> S::V;
}

/// An activation whose derivative is computed from its output.
trait FromOutput<T: Element>: Copy {
    /// `delta * act'(z)`, from `y = act(z)`.
    fn backward<S: Simd<T>>(self, s: S, y: S::V, delta: S::V) -> S::V;
}

/// An activation that keeps its slope.
trait WithSlope<T: Element>: Copy {
    /// `(act(z), act'(z))`
    fn both<S: Simd<T>>(self, s: S, z: S::V) -> (S::V, S::V);
}

#[derive(Clone, Copy)]
struct Relu;
#[derive(Clone, Copy)]
struct Sigmoid;
#[derive(Clone, Copy)]
struct Tanh;
#[derive(Clone, Copy)]
struct LeakyRelu;
#[derive(Clone, Copy)]
struct Elu;
#[derive(Clone, Copy)]
struct Softplus;
#[derive(Clone, Copy)]
struct Gelu;
#[derive(Clone, Copy)]
struct Silu;
/// Stands for [`Slope::Given`]: the stored value is the slope.
#[derive(Clone, Copy)]
struct Stored;

/// Slope of [`Activation::LeakyRelu`] below zero.
const LEAK: f64 = 0.01;

impl<T: Element> OnVectors<T> for Relu {
    #[inline(always)]
    fn forward<S: Simd<T>>(self, s: S, z: S::V) -> S::V {
        s.max(s.splat(T::ZERO), z) // NaN passes: max returns its second operand
    }
}

impl<T: Element> FromOutput<T> for Relu {
    #[inline(always)]
    fn backward<S: Simd<T>>(self, s: S, y: S::V, delta: S::V) -> S::V {
        s.zero_unless_lt(s.splat(T::ZERO), y, delta)
    }
}

impl<T: Element> OnVectors<T> for Sigmoid {
    #[inline(always)]
    fn forward<S: Simd<T>>(self, s: S, z: S::V) -> S::V {
        without_trace(s, math::sigmoid(s, z))
    }
}

impl<T: Element> FromOutput<T> for Sigmoid {
    #[inline(always)]
    fn backward<S: Simd<T>>(self, s: S, y: S::V, delta: S::V) -> S::V {
        without_trace(s, s.mul(delta, s.mul(y, s.sub(s.splat(T::ONE), y))))
    }
}

impl<T: Element> OnVectors<T> for Tanh {
    #[inline(always)]
    fn forward<S: Simd<T>>(self, s: S, z: S::V) -> S::V {
        math::tanh(s, z)
    }
}

impl<T: Element> FromOutput<T> for Tanh {
    #[inline(always)]
    fn backward<S: Simd<T>>(self, s: S, y: S::V, delta: S::V) -> S::V {
        s.mul(delta, s.neg_mul_add(y, y, s.splat(T::ONE)))
    }
}

impl<T: Element> OnVectors<T> for LeakyRelu {
    #[inline(always)]
    fn forward<S: Simd<T>>(self, s: S, z: S::V) -> S::V {
        s.max(s.mul(s.splat(T::from_f64(LEAK)), z), z)
    }
}

impl<T: Element> FromOutput<T> for LeakyRelu {
    #[inline(always)]
    fn backward<S: Simd<T>>(self, s: S, y: S::V, delta: S::V) -> S::V {
        // Select the factor, not the product: selecting the product would compile to a masked store
        // ([`Simd::zero_unless_lt`]).
        s.mul(delta, s.select_lt(s.splat(T::ZERO), y, s.splat(T::ONE), s.splat(T::from_f64(LEAK))))
    }
}

impl<T: Element> OnVectors<T> for Elu {
    #[inline(always)]
    fn forward<S: Simd<T>>(self, s: S, z: S::V) -> S::V {
        // One of the two terms is 0, or both are NaN. Selecting one instead would compile to a masked
        // store ([`Simd::zero_unless_lt`]).
        let zero = s.splat(T::ZERO);
        s.add(s.max(zero, z), exp_m1(s, s.min(zero, z)))
    }
}

impl<T: Element> FromOutput<T> for Elu {
    #[inline(always)]
    fn backward<S: Simd<T>>(self, s: S, y: S::V, delta: S::V) -> S::V {
        s.mul(delta, s.add(s.splat(T::ONE), s.min(s.splat(T::ZERO), y)))
    }
}

impl<T: Element> OnVectors<T> for Softplus {
    #[inline(always)]
    fn forward<S: Simd<T>>(self, s: S, z: S::V) -> S::V {
        without_trace(s, math::softplus(s, z))
    }
}

impl<T: Element> FromOutput<T> for Softplus {
    #[inline(always)]
    fn backward<S: Simd<T>>(self, s: S, y: S::V, delta: S::V) -> S::V {
        // 1 - e^-y = e^z / (1 + e^z)
        let slope = s.sub(s.splat(T::ZERO), exp_m1(s, s.sub(s.splat(T::ZERO), y)));
        without_trace(s, s.mul(delta, slope))
    }
}

/// `e^x - 1` for `x <= 0`, without cancellation: `2 t / (1 - t)` with `t = tanh(x / 2)`.
#[inline(always)]
fn exp_m1<T: Element, S: Simd<T>>(s: S, x: S::V) -> S::V {
    let t = math::tanh(s, s.mul(s.splat(T::from_f64(0.5)), x));
    s.div(s.add(t, t), s.sub(s.splat(T::ONE), t))
}

impl<T: Element> WithSlope<T> for Gelu {
    #[inline(always)]
    fn both<S: Simd<T>>(self, s: S, z: S::V) -> (S::V, S::V) {
        let constant = |x: f64| s.splat(T::from_f64(x));
        let (zero, one) = (s.splat(T::ZERO), s.splat(T::ONE));
        let root = 0.797_884_560_802_865_4; // √(2/π)
        // Beyond 1e6, Φ is 0 or 1 in either element type, and an infinite square would make the slope
        // NaN.
        let square = s.min(constant(1e6), s.mul(z, z)); // NaN passes
        let inner = s.mul_add(constant(0.044_715 * root), square, constant(root));
        let twice = s.mul(s.add(z, z), inner);
        // `y = z Φ` and `y' = Φ + z u' 2 Φ (1 - Φ)` with `Φ ≈ (1 + tanh u) / 2 = σ(2 u)`: as a sigmoid,
        // Φ keeps its precision where it is small.
        let below = math::sigmoid_below(s, twice);
        let rest = s.sub(one, below);
        let cdf = s.select_lt(twice, zero, below, rest);
        let inner_slope = s.mul_add(constant(3.0 * 0.044_715 * root), square, constant(root));
        let bell = s.mul(s.mul(s.add(below, below), rest), inner_slope);
        (without_trace(s, s.mul(z, cdf)), without_trace(s, s.mul_add(z, bell, cdf)))
    }
}

impl<T: Element> WithSlope<T> for Silu {
    #[inline(always)]
    fn both<S: Simd<T>>(self, s: S, z: S::V) -> (S::V, S::V) {
        let sigmoid = math::sigmoid(s, z);
        let y = s.mul(z, sigmoid);
        let slope = s.mul_add(y, s.sub(s.splat(T::ONE), sigmoid), sigmoid);
        (without_trace(s, y), without_trace(s, slope))
    }
}

impl<T: Element> OnVectors<T> for Gelu {
    #[inline(always)]
    fn forward<S: Simd<T>>(self, s: S, z: S::V) -> S::V {
        self.both(s, z).0
    }
}

impl<T: Element> OnVectors<T> for Silu {
    #[inline(always)]
    fn forward<S: Simd<T>>(self, s: S, z: S::V) -> S::V {
        self.both(s, z).0
    }
}

impl<T: Element> FromOutput<T> for Stored {
    #[inline(always)]
    fn backward<S: Simd<T>>(self, s: S, y: S::V, delta: S::V) -> S::V {
        without_trace(s, s.mul(delta, y))
    }
}

/// [`Activation::apply`] inside another kernel.
#[inline(always)]
pub(crate) fn activate<T: Element, S: Simd<T>>(s: S, activation: Activation, values: &mut [T]) {
    match activation {
        Activation::Linear => {}
        Activation::Relu => map(s, Relu, values),
        Activation::Sigmoid => map(s, Sigmoid, values),
        Activation::Tanh => map(s, Tanh, values),
        Activation::LeakyRelu => map(s, LeakyRelu, values),
        Activation::Elu => map(s, Elu, values),
        Activation::Softplus => map(s, Softplus, values),
        Activation::Gelu => map(s, Gelu, values),
        Activation::Silu => map(s, Silu, values),
    }
}

/// [`Activation::apply_with_slopes`] inside another kernel.
#[inline(always)]
pub(crate) fn activate_with_slopes<T: Element, S: Simd<T>>(
    s: S,
    activation: Activation,
    values: &mut [T],
    slopes: &mut [T],
) {
    match activation {
        Activation::Gelu => map_with_slopes(s, Gelu, values, slopes),
        Activation::Silu => map_with_slopes(s, Silu, values, slopes),
        other => {
            activate(s, other, values);
            slopes.fill(T::ONE);
            times_slope(s, Slope::Of(other), values, slopes);
        }
    }
}

/// [`Slope::apply`] inside another kernel.
#[inline(always)]
pub(crate) fn times_slope<T: Element, S: Simd<T>>(s: S, slope: Slope, y: &[T], delta: &mut [T]) {
    match slope {
        Slope::Of(Activation::Linear) => {}
        Slope::Of(Activation::Relu) => zip(s, Relu, y, delta),
        Slope::Of(Activation::Sigmoid) => zip(s, Sigmoid, y, delta),
        Slope::Of(Activation::Tanh) => zip(s, Tanh, y, delta),
        Slope::Of(Activation::LeakyRelu) => zip(s, LeakyRelu, y, delta),
        Slope::Of(Activation::Elu) => zip(s, Elu, y, delta),
        Slope::Of(Activation::Softplus) => zip(s, Softplus, y, delta),
        // For these two, `y` holds the slope: every entry point has checked that ([`Slope::check`]).
        Slope::Given | Slope::Of(Activation::Gelu | Activation::Silu) => zip(s, Stored, y, delta),
    }
}

/// Returns `(act'(z), act''(z))` from `y = act(z)`, for an activation that does not keep its slope.
/// Where the second derivative does not exist, it is taken as 0.
#[inline(always)]
pub(crate) fn slope_and_curvature<T: Element, S: Simd<T>>(
    s: S,
    activation: Activation,
    y: S::V,
) -> (S::V, S::V) {
    let (zero, one) = (s.splat(T::ZERO), s.splat(T::ONE));
    match activation {
        Activation::Linear => (one, zero),
        Activation::Relu => (Relu.backward(s, y, one), zero),
        Activation::LeakyRelu => (LeakyRelu.backward(s, y, one), zero),
        Activation::Sigmoid => {
            let slope = Sigmoid.backward(s, y, one);
            (slope, s.mul(slope, s.sub(one, s.add(y, y))))
        }
        Activation::Tanh => {
            let slope = Tanh.backward(s, y, one);
            (slope, s.sub(zero, s.mul(slope, s.add(y, y))))
        }
        Activation::Elu => {
            let slope = Elu.backward(s, y, one);
            (slope, s.zero_unless_lt(y, zero, slope))
        }
        Activation::Softplus => {
            let slope = Softplus.backward(s, y, one);
            (slope, s.mul(slope, s.sub(one, slope)))
        }
        // Every entry point rules these out: their slopes are not functions of their outputs.
        Activation::Gelu | Activation::Silu => (y, zero),
    }
}

#[inline(always)]
fn map<T: Element, S: Simd<T>, A: OnVectors<T>>(s: S, act: A, values: &mut [T]) {
    let mut vectors = values.chunks_exact_mut(S::LANES);
    for v in vectors.by_ref() {
        s.store(act.forward(s, s.load(v)), v);
    }
    let tail = vectors.into_remainder();
    if !tail.is_empty() {
        let mut padded = [T::ZERO; 16];
        padded[..tail.len()].copy_from_slice(tail);
        let v = act.forward(s, s.load(&padded));
        s.store(v, &mut padded);
        tail.copy_from_slice(&padded[..tail.len()]);
    }
}

#[inline(always)]
fn map_with_slopes<T: Element, S: Simd<T>, A: WithSlope<T>>(
    s: S,
    act: A,
    values: &mut [T],
    slopes: &mut [T],
) {
    let mut vectors = values.chunks_exact_mut(S::LANES);
    let mut slope_vectors = slopes.chunks_exact_mut(S::LANES);
    for (v, slope) in vectors.by_ref().zip(slope_vectors.by_ref()) {
        let (y, d) = act.both(s, s.load(v));
        s.store(y, v);
        s.store(d, slope);
    }
    let (tail, slope_tail) = (vectors.into_remainder(), slope_vectors.into_remainder());
    if !tail.is_empty() {
        let mut padded = [T::ZERO; 16];
        padded[..tail.len()].copy_from_slice(tail);
        let (y, d) = act.both(s, s.load(&padded));
        s.store(y, &mut padded);
        tail.copy_from_slice(&padded[..tail.len()]);
        s.store(d, &mut padded);
        slope_tail.copy_from_slice(&padded[..slope_tail.len()]);
    }
}

#[inline(always)]
fn zip<T: Element, S: Simd<T>, A: FromOutput<T>>(s: S, act: A, y: &[T], delta: &mut [T]) {
    let whole = delta.len() - delta.len() % S::LANES;
    let (vectors, tail) = delta.split_at_mut(whole);
    for (d, y) in vectors.chunks_exact_mut(S::LANES).zip(y.chunks_exact(S::LANES)) {
        s.store(act.backward(s, s.load(y), s.load(d)), d);
    }
    if !tail.is_empty() {
        let (mut py, mut pd) = ([T::ZERO; 16], [T::ZERO; 16]);
        py[..tail.len()].copy_from_slice(&y[whole..]);
        pd[..tail.len()].copy_from_slice(tail);
        let v = act.backward(s, s.load(&py), s.load(&pd));
        s.store(v, &mut pd);
        tail.copy_from_slice(&pd[..tail.len()]);
    }
}
