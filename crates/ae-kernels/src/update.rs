//! What becomes of a weight gradient, fused into the product that makes it.

use crate::simd::{Element, Simd};

/// An update of parameters from a gradient `g = Σ_rows a·δ` that has just been summed in registers.
///
/// A part of the parameters of length `n` comes with a state of length `STATE * n`, which holds one
/// array of `n` after the other (momentum, second moment, ...).
pub trait UpdateRule<T: Element>: Copy + Send + Sync {
    /// State values a parameter has.
    const STATE: usize;

    /// The new parameters from the old ones `w`, the summed gradient `g` and the state, which it may change.
    fn update<S: Simd<T>>(self, s: S, w: S::V, g: S::V, state: [S::V; 2]) -> (S::V, [S::V; 2]);
}

/// `w <- w - step g`. With `step = learning_rate / rows` this is plain stochastic gradient descent on the mean
/// over the rows.
#[derive(Clone, Copy, Debug)]
pub struct Sgd<T> {
    /// Learning rate over the rows of the batch.
    pub step: T,
}

impl<T: Element> UpdateRule<T> for Sgd<T> {
    const STATE: usize = 0;
    #[inline(always)]
    fn update<S: Simd<T>>(self, s: S, w: S::V, g: S::V, state: [S::V; 2]) -> (S::V, [S::V; 2]) {
        (s.neg_mul_add(s.splat(self.step), g, w), state)
    }
}

/// Writes `scale g` in the place of the parameters: what a gradient check reads.
#[derive(Clone, Copy, Debug)]
pub struct Gradient<T> {
    /// `1 / rows` for the mean over the rows.
    pub scale: T,
}

impl<T: Element> UpdateRule<T> for Gradient<T> {
    const STATE: usize = 0;
    #[inline(always)]
    fn update<S: Simd<T>>(self, s: S, _: S::V, g: S::V, state: [S::V; 2]) -> (S::V, [S::V; 2]) {
        (s.mul(s.splat(self.scale), g), state)
    }
}
