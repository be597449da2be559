//! Tolerances, and an assertion that NaN cannot pass.

use std::fmt::Debug;

/// A floating-point type of the results under test.
pub trait Float: Copy + Debug + Into<f64> {
    /// The gap between 1 and the next value.
    const EPSILON: f64;
    /// The smallest positive value.
    const TINIEST: f64;
}

impl Float for f32 {
    const EPSILON: f64 = f32::EPSILON as f64;
    const TINIEST: f64 = f32::from_bits(1) as f64;
}

impl Float for f64 {
    const EPSILON: f64 = f64::EPSILON;
    const TINIEST: f64 = f64::from_bits(1);
}

/// Returns a bound on the error of a dot product of `k` terms computed in `T` in any order, fused or
/// not, where `magnitude` is `Σ |a||b|`.
///
/// Each term passes through at most `k` roundings of relative error `EPSILON / 2` (its product and
/// `k - 1` sums), which gives `k EPSILON / 2 magnitude` and terms of second order (Higham 2002,
/// section 3.1). The bound is twice that, plus two more roundings for a bias and a scale, plus what
/// underflow can cost.
pub fn dot_bound<T: Float>(k: usize, magnitude: f64) -> f64 {
    let roundings = (k + 2) as f64;
    roundings * (T::EPSILON * magnitude + T::TINIEST)
}

/// Returns the [`dot_bound`] of every element of `A B` as a row-major `[m, n]`, for `a [m, k]` and
/// `b [k, n]`.
///
/// # Panics
/// If a slice does not have the size of its matrix.
#[track_caller]
pub fn matmul_bound<T: Float>([m, k, n]: [usize; 3], a: &[f64], b: &[f64]) -> Vec<f64> {
    let abs = |values: &[f64]| values.iter().map(|x| x.abs()).collect::<Vec<_>>();
    let magnitudes = crate::naive::matmul([m, k, n], &abs(a), &abs(b));
    magnitudes.into_iter().map(|magnitude| dot_bound::<T>(k, magnitude)).collect()
}

/// The error that [`assert_close`] allows.
#[derive(Clone, Copy, Debug)]
pub enum Tolerance<'a> {
    /// `|got - expected|` at most this.
    Absolute(f64),
    /// `|got - expected|` at most this times `|expected|`.
    Relative(f64),
    /// `|got - expected|` of each element at most the bound at the same position.
    Each(&'a [f64]),
}

/// Asserts that every element of `got` is within the tolerance of the same element of `expected`. Equal
/// infinities are close; a NaN anywhere, including the tolerance, is close to nothing.
///
/// # Panics
/// If an element is not close, naming `what`, the number of elements that are off, and the one furthest
/// beyond its bound; or if the lengths differ.
#[track_caller]
pub fn assert_close<T: Float>(what: &str, got: &[T], expected: &[f64], tolerance: Tolerance) {
    assert!(got.len() == expected.len(), "{what}: {} elements instead of {}", got.len(), expected.len());
    if let Tolerance::Each(bounds) = tolerance {
        assert!(bounds.len() == expected.len(), "{what}: {} bounds for {}", bounds.len(), expected.len());
    }
    let mut off = 0;
    let mut worst: Option<(f64, String)> = None;
    for (i, (&got, &expected)) in got.iter().zip(expected).enumerate() {
        let got: f64 = got.into();
        let bound = match tolerance {
            Tolerance::Absolute(bound) => bound,
            Tolerance::Relative(bound) => bound * expected.abs(),
            Tolerance::Each(bounds) => bounds[i],
        };
        let error = if got == expected { 0.0 } else { (got - expected).abs() };
        let finite = got.is_finite() && expected.is_finite();
        if error <= bound && (finite || got == expected) {
            continue;
        }
        off += 1;
        let excess = error / bound;
        let excess = if excess.is_nan() { f64::INFINITY } else { excess };
        if !worst.as_ref().is_some_and(|(known, _)| *known >= excess) {
            let text =
                format!("[{i}] is {got:e} instead of {expected:e}: off by {error:e}, allowed {bound:e}");
            worst = Some((excess, text));
        }
    }
    if let Some((_, worst)) = worst {
        assert!(off == 0, "{what}: {off} of {} elements are off; worst {worst}", got.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    fn passes(got: &[f32], expected: &[f64], tolerance: Tolerance) -> bool {
        std::panic::catch_unwind(|| assert_close("case", got, expected, tolerance)).is_ok()
    }

    #[test]
    fn what_is_close() {
        let inf = f64::INFINITY;
        let nan = f64::NAN;
        let (inf32, nan32) = (f32::INFINITY, f32::NAN);
        use Tolerance::{Absolute, Each, Relative};
        for (case, got, expected, tolerance, close) in [
            ("equal", vec![1.0, 2.0], vec![1.0, 2.0], Absolute(0.0), true),
            ("empty", vec![], vec![], Absolute(0.0), true),
            ("within", vec![1.5], vec![1.0], Absolute(0.5), true),
            ("beyond", vec![1.5], vec![1.0], Absolute(0.49), false),
            ("second beyond", vec![1.0, 1.5], vec![1.0, 1.0], Absolute(0.49), false),
            ("relative within", vec![110.0], vec![100.0], Relative(0.1), true),
            ("relative beyond", vec![110.0], vec![100.0], Relative(0.09), false),
            ("relative of negative", vec![-110.0], vec![-100.0], Relative(0.1), true),
            ("relative at zero", vec![1e-30], vec![0.0], Relative(0.1), false),
            ("each within", vec![1.0, 3.0], vec![1.0, 2.0], Each(&[0.0, 1.0]), true),
            ("each beyond", vec![2.0, 2.0], vec![1.0, 2.0], Each(&[0.0, 1.0]), false),
            ("NaN got", vec![nan32], vec![1.0], Absolute(inf), false),
            ("NaN expected", vec![1.0], vec![nan], Absolute(inf), false),
            ("NaN twice", vec![nan32], vec![nan], Absolute(inf), false),
            ("NaN tolerance", vec![1.0], vec![1.0], Absolute(nan), false),
            ("NaN bound", vec![1.0], vec![1.0], Each(&[nan]), false),
            ("infinities", vec![inf32, -inf32], vec![inf, -inf], Absolute(0.0), true),
            ("opposite infinities", vec![inf32], vec![-inf], Absolute(inf), false),
            ("infinite got", vec![inf32], vec![1.0], Absolute(inf), false),
            ("infinite expected", vec![1.0], vec![inf], Relative(1.0), false),
            ("infinite got, relative", vec![inf32], vec![1e300], Relative(1.0), false),
        ] {
            assert_eq!(passes(&got, &expected, tolerance), close, "{case}");
        }
    }

    #[test]
    #[should_panic(expected = "sums: 2 of 4 elements are off; worst [2] is 9e0 instead of 3e0: off by 6e0")]
    fn the_worst_element_is_named() {
        assert_close("sums", &[1.0f32, 3.0, 9.0, 4.0], &[1.0, 2.0, 3.0, 4.0], Tolerance::Absolute(0.5));
    }

    #[test]
    #[should_panic(expected = "3 of 3 elements are off; worst [1] is NaN")]
    fn nan_is_worse_than_any_number() {
        assert_close("sums", &[1e30, f64::NAN, 1e300], &[1.0; 3], Tolerance::Absolute(0.5));
    }

    #[test]
    #[should_panic(expected = "2 elements instead of 3")]
    fn lengths_must_agree() {
        assert_close("sums", &[1.0f32; 2], &[1.0; 3], Tolerance::Absolute(1.0));
    }

    /// The bound holds for sums in `f32` in order, and is too tight to let a missing term pass.
    #[test]
    fn the_bound_holds_and_bites() {
        let mut random = SplitMix64::new(11);
        for k in [1, 2, 17, 300, 5_000] {
            for _ in 0..20 {
                let (a, b) = (random.uniform_f32s(k, -1.0, 1.0), random.uniform_f32s(k, -1.0, 1.0));
                let terms: Vec<f64> = a.iter().zip(&b).map(|(&x, &y)| f64::from(x) * f64::from(y)).collect();
                let exact: f64 = terms.iter().sum();
                let bound = dot_bound::<f32>(k, terms.iter().map(|t| t.abs()).sum());
                let got = a.iter().zip(&b).fold(0.0f32, |sum, (x, y)| sum + x * y);
                assert_close("dot", &[got], &[exact], Tolerance::Each(&[bound]));
                let largest = terms.iter().fold(0.0f64, |most, t| most.max(t.abs()));
                assert!(bound < largest, "k {k}: bound {bound:e} hides a missing term of {largest:e}");
            }
        }
    }

    #[test]
    fn bounds_of_a_product() {
        let bounds = matmul_bound::<f64>([1, 2, 2], &[1.0, -2.0], &[3.0, 0.0, 4.0, 0.0]);
        assert_eq!(bounds, [dot_bound::<f64>(2, 11.0), dot_bound::<f64>(2, 0.0)]);
        assert!(bounds[1] > 0.0 && bounds[1] < 1e-300);
    }
}
