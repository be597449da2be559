//! Values too small to matter, which become zero before they become subnormal: arithmetic with subnormal
//! numbers takes Intel's CPUs ten times as long or more.
//!
//! They come from two places. Sums over many updates, as an optimizer's, decay without gradients, as
//! those of units that have died, to a subnormal number that rounding then preserves for ever. And the
//! tails of activations are `e^z`, so that each product with the outputs of units far from zero, as
//! those of inputs of 0 to 255 that nobody has scaled, is with numbers below `2^-126`.

use crate::simd::{Element, Simd};

/// What moves no parameter and no sum, but times a small factor is still a normal number: `2^-100` for
/// `f32`.
#[inline(always)]
pub(crate) fn trace<T: Element, S: Simd<T>>(s: S) -> S::V {
    s.splat(T::MIN_NORMAL * T::from_f64(67_108_864.0))
}

/// `x`, or zero if it is smaller than a [`trace`]. NaN stays.
#[inline(always)]
pub(crate) fn without_trace<T: Element, S: Simd<T>>(s: S, x: S::V) -> S::V {
    s.select_lt(s.abs(x), trace(s), s.splat(T::ZERO), x)
}
