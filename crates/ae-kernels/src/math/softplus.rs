//! `ln(1 + e^x)`, the smooth approximation of `max(0, x)`; equals `-ln(1 - sigmoid(x))`.
//!
//! ```text
//! t = e^-|x|                              in (0, 1]
//! s = t / (2 + t)                         in (0, 1/3]
//! ln(1 + t) = 2 atanh s = 2 s (1 + s^2/3 + s^4/5 + ...)
//! the result is max(0, x) + ln(1 + t)
//! ```
//!
//! **Domain.** All of it: `e^-|x|` underflows gradually, and so does the result towards minus infinity.
//! NaN gives NaN.
//!
//! **Constants.** The series of `atanh`, up to where the next term, for `s = 1/3`, is below a tenth of
//! an ulp.
//!
//! **Bound.** `t` is off by at most 1.01 ulp; the quotient and its two factors are rounded once each,
//! and the series is off by less than one ulp. Measured: 3.47 ulp over all of `f32` unfused, less fused.

use super::exp::exp;
use super::polynomial;
use crate::simd::{Element, Simd};

/// The constants of `ln(1 + e^x)` for one element type, in addition to those of `e^x`.
#[derive(Clone, Copy, Debug)]
pub struct SoftplusConstants<T: 'static> {
    pub(super) ulp_bound: f64,
    /// `1 / (2 k + 1)`
    series: &'static [T],
}

pub(super) const F32: SoftplusConstants<f32> = SoftplusConstants {
    ulp_bound: 4.0,
    series: &[1.0, 1.0 / 3.0, 1.0 / 5.0, 1.0 / 7.0, 1.0 / 9.0, 1.0 / 11.0, 1.0 / 13.0, 1.0 / 15.0],
};
pub(super) const F64: SoftplusConstants<f64> = SoftplusConstants {
    ulp_bound: 4.0,
    series: &[
        1.0,
        1.0 / 3.0,
        1.0 / 5.0,
        1.0 / 7.0,
        1.0 / 9.0,
        1.0 / 11.0,
        1.0 / 13.0,
        1.0 / 15.0,
        1.0 / 17.0,
        1.0 / 19.0,
        1.0 / 21.0,
        1.0 / 23.0,
        1.0 / 25.0,
        1.0 / 27.0,
        1.0 / 29.0,
        1.0 / 31.0,
        1.0 / 33.0,
    ],
};

/// Computes `ln(1 + e^x)` to within [`SoftplusConstants::ulp_bound`]; see the module's documentation.
#[inline(always)]
pub(crate) fn softplus<T: Element, S: Simd<T>>(s: S, x: S::V) -> S::V {
    s.add(s.max(s.splat(T::ZERO), x), tail(s, power(s, x))) // NaN passes: max returns its second operand
}

/// Returns `1 / (1 + e^|x|)` and `ln(1 + e^-|x|)`, computed from one exponential: the parts that sigmoid
/// and softplus are made of, to full relative precision however small they are. The first is off by at
/// most 2.1 ulp: the error of `e^-|x|` plus the roundings of a sum and a quotient.
#[inline(always)]
pub(crate) fn below_and_tail<T: Element, S: Simd<T>>(s: S, x: S::V) -> [S::V; 2] {
    let (t, one) = (power(s, x), s.splat(T::ONE));
    [s.div(t, s.add(one, t)), tail(s, t)]
}

/// `e^-|x|`
#[inline(always)]
fn power<T: Element, S: Simd<T>>(s: S, x: S::V) -> S::V {
    exp(s, s.sub(s.splat(T::ZERO), s.abs(x)))
}

/// `ln(1 + t)` for `t` in `[0, 1]`.
#[inline(always)]
fn tail<T: Element, S: Simd<T>>(s: S, t: S::V) -> S::V {
    let two = s.splat(T::ONE + T::ONE);
    let ratio = s.div(t, s.add(two, t));
    let series = polynomial(s, s.mul(ratio, ratio), T::SOFTPLUS.series);
    s.mul(s.add(ratio, ratio), series)
}

#[cfg(test)]
mod tests {
    use super::below_and_tail;
    use crate::Isa;
    use crate::math::tests::{check_bounds, check_exact};
    use crate::math::{Function, apply};
    use crate::simd::{Element, Kernel, Simd};

    struct Both<'a> {
        below: &'a mut [f32],
        tail: &'a mut [f32],
    }

    impl Kernel<f32> for Both<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd<f32>>(self, s: S) {
            let lanes = S::LANES;
            for (x, y) in self.below.chunks_exact_mut(lanes).zip(self.tail.chunks_exact_mut(lanes)) {
                let [below, tail] = below_and_tail(s, s.load(x));
                s.store(below, x);
                s.store(tail, y);
            }
        }
    }

    /// The parts that both functions are made of.
    #[test]
    fn both_from_one_exponential() {
        let mut inputs: Vec<f32> = (-110_000..110_000).map(|i| i as f32 * 1e-3).collect();
        inputs.extend([f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -0.0, 1e-40, -1e-40, f32::MAX, f32::MIN]);
        inputs.resize(inputs.len().next_multiple_of(16), 0.0);
        // Both functions at -|x|.
        let mirrored: Vec<f32> = inputs.iter().map(|x| -x.abs()).collect();
        for isa in Isa::available() {
            let [mut below, mut tail] = [inputs.clone(), inputs.clone()];
            f32::run(isa, Both { below: &mut below, tail: &mut tail });
            let [mut sigmoid, mut softplus] = [mirrored.clone(), mirrored.clone()];
            apply(isa, Function::Sigmoid, &mut sigmoid);
            apply(isa, Function::Softplus, &mut softplus);
            for (i, x) in inputs.iter().enumerate() {
                for (one, other) in [(below[i], sigmoid[i]), (tail[i], softplus[i])] {
                    let close =
                        one.is_nan() && other.is_nan() || one.to_bits().abs_diff(other.to_bits()) <= 4;
                    assert!(
                        close && one.is_nan() == x.is_nan(),
                        "{isa}: {x:e} gives {one:e} instead of {other:e}"
                    );
                }
            }
        }
    }

    #[test]
    fn within_its_bound() {
        // Where the result becomes denormal and where it becomes 0, of f32, then of f64; where it
        // becomes x.
        let thresholds = [-87.336_54, -103.972_08, -708.396_418_532_264_1, -745.133_219_101_941_1];
        check_bounds(Function::Softplus, ae_testing::precise::softplus, &thresholds);
        check_bounds(Function::Softplus, ae_testing::precise::softplus, &[17.328_68, 37.42, 0.346_573_59]);
    }

    #[test]
    fn exact_values() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        check_exact(Function::Softplus, &[(inf, inf), (800.0, 800.0), (40.0, 40.0)]);
        check_exact(
            Function::Softplus,
            &[(-inf, 0.0), (-1e300, 0.0), (-800.0, 0.0), (nan, nan), (-nan, nan)],
        );
    }
}
