//! Activations and their derivatives, side by side.
//!
//! The derivative is written in the stored output `y = act(z)`, so that no pre-activation is kept.

use crate::isa::Isa;
use crate::math;
use crate::simd::{Element, Kernel, Simd};

/// The activation of a layer.
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
}

impl Activation {
    /// Every activation.
    pub const ALL: [Activation; 4] =
        [Activation::Linear, Activation::Relu, Activation::Sigmoid, Activation::Tanh];

    /// `z <- act(z)`, every element.
    pub fn apply<T: Element>(self, isa: Isa, values: &mut [T]) {
        T::run(isa, Apply { activation: self, values });
    }

    /// `delta <- delta * act'(z)` with `y = act(z)`, every element. Panics if the lengths differ.
    pub fn apply_grad<T: Element>(self, isa: Isa, y: &[T], delta: &mut [T]) {
        assert!(y.len() == delta.len(), "{} outputs for {} deltas", y.len(), delta.len());
        T::run(isa, ApplyGrad { activation: self, y, delta });
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

struct ApplyGrad<'a, T> {
    activation: Activation,
    y: &'a [T],
    delta: &'a mut [T],
}

impl<T: Element> Kernel<T> for ApplyGrad<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        times_grad(s, self.activation, self.y, self.delta);
    }
}

/// One activation on vectors.
trait OnVectors<T: Element>: Copy {
    fn forward<S: Simd<T>>(self, s: S, z: S::V) -> S::V;
    /// `delta * act'(z)`, from `y = act(z)`.
    fn backward<S: Simd<T>>(self, s: S, y: S::V, delta: S::V) -> S::V;
}

#[derive(Clone, Copy)]
struct Relu;
#[derive(Clone, Copy)]
struct Sigmoid;
#[derive(Clone, Copy)]
struct Tanh;

impl<T: Element> OnVectors<T> for Relu {
    #[inline(always)]
    fn forward<S: Simd<T>>(self, s: S, z: S::V) -> S::V {
        s.max(s.splat(T::ZERO), z) // NaN passes: max gives its second operand
    }
    #[inline(always)]
    fn backward<S: Simd<T>>(self, s: S, y: S::V, delta: S::V) -> S::V {
        s.keep_lt(s.splat(T::ZERO), y, delta)
    }
}

impl<T: Element> OnVectors<T> for Sigmoid {
    #[inline(always)]
    fn forward<S: Simd<T>>(self, s: S, z: S::V) -> S::V {
        math::sigmoid(s, z)
    }
    #[inline(always)]
    fn backward<S: Simd<T>>(self, s: S, y: S::V, delta: S::V) -> S::V {
        s.mul(delta, s.mul(y, s.sub(s.splat(T::ONE), y)))
    }
}

impl<T: Element> OnVectors<T> for Tanh {
    #[inline(always)]
    fn forward<S: Simd<T>>(self, s: S, z: S::V) -> S::V {
        math::tanh(s, z)
    }
    #[inline(always)]
    fn backward<S: Simd<T>>(self, s: S, y: S::V, delta: S::V) -> S::V {
        s.mul(delta, s.neg_mul_add(y, y, s.splat(T::ONE)))
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
    }
}

/// [`Activation::apply_grad`] inside another kernel.
#[inline(always)]
pub(crate) fn times_grad<T: Element, S: Simd<T>>(s: S, activation: Activation, y: &[T], delta: &mut [T]) {
    match activation {
        Activation::Linear => {}
        Activation::Relu => zip(s, Relu, y, delta),
        Activation::Sigmoid => zip(s, Sigmoid, y, delta),
        Activation::Tanh => zip(s, Tanh, y, delta),
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
fn zip<T: Element, S: Simd<T>, A: OnVectors<T>>(s: S, act: A, y: &[T], delta: &mut [T]) {
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
