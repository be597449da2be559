//! `e^x`.
//!
//! ```text
//! n = round(x / ln 2)
//! r = x - n ln 2                      |r| <= ln 2 / 2, up to the rounding of n
//! t = r + r^2 q(r)                    e^r - 1
//! e^x = ((1 + t) 2^m) 2^(n - m)       m = n, brought to where both powers are normal numbers
//! ```
//!
//! **Domain.** `x` is first clamped to `min`, below which the result is 0, and `max`, above which it is
//! infinite. Both lie beyond the actual threshold, so what happens at the threshold is rounding and
//! nothing else. Only the last product can leave the normal range: small results lose bits gradually and
//! are rounded once. NaN gives NaN.
//!
//! **Constants.** `ln2_high` is ln 2 truncated to 15 bits for `f32` (41 for `f64`), so that `n ln2_high`
//! is exact even where products are rounded on their own (`|n|` has 8 bits, or 11); `ln2_low` is the
//! value nearest to the remainder. `q` is the minimax polynomial for `(e^r - 1 - r) / r^2` on
//! `|r| <= ln 2 / 2 + 1e-4` (`+ 1e-6`), weighted by `r^2 e^-r`, which makes it minimax in the relative
//! error of `e^r`:
//!
//! | type | degree | error | after rounding the coefficients | with one degree less |
//! |---|---|---|---|---|
//! | `f32` | 4 | 3.1e-9 | 3.7e-9 (0.03 ulp of 1) | 1.0e-7 |
//! | `f64` | 9 | 3.6e-18 | 1.1e-17 (0.05 ulp of 1) | 2.9e-16 |
//!
//! **Bound.** The sum `1 + t` is rounded by at most half an ulp. `t` is below 0.42 in magnitude and
//! carries the rounding errors of `r`, of `q` and of its own sum: about half an ulp more where `1 + t`
//! is below 1. Measured: 0.98 ulp without fusing and 1.01 with, over all of `f32`; 0.99 and 1.03 over a
//! million samples of `f64`.

use super::polynomial;
use crate::simd::{Element, Simd};

/// The constants of `e^x` for one element type.
#[derive(Clone, Copy, Debug)]
pub struct ExpConstants<T: 'static> {
    pub(super) ulp_bound: f64,
    pub(super) min: T,
    pub(super) max: T,
    log2_e: T,
    ln2_high: T,
    ln2_low: T,
    least_power: T,
    greatest_power: T,
    q: &'static [T],
}

pub(super) const F32: ExpConstants<f32> = ExpConstants {
    ulp_bound: 1.1,
    min: -104.0, // 2^-150.04: half of the smallest denormal is 2^-150
    max: 89.0,   // 2^128.4
    log2_e: std::f32::consts::LOG2_E,
    ln2_high: 0.693_145_75,
    ln2_low: 1.428_606_8e-6,
    least_power: -100.0,
    greatest_power: 127.0,
    q: &[0.499_999_94, 0.166_665_21, 0.041_668_39, 0.008_368_73, 0.001_381_457_1],
};

pub(super) const F64: ExpConstants<f64> = ExpConstants {
    ulp_bound: 1.5,
    min: -746.0, // 2^-1076.3: half of the smallest denormal is 2^-1075
    max: 710.0,  // 2^1024.3
    log2_e: std::f64::consts::LOG2_E,
    ln2_high: 0.693_147_180_559_663,
    ln2_low: 2.823_529_056_303_157_7e-13,
    least_power: -900.0,
    greatest_power: 1023.0,
    q: &[
        0.500_000_000_000_001_1,
        0.166_666_666_666_664_13,
        0.041_666_666_666_530_26,
        0.008_333_333_333_494_34,
        0.001_388_888_894_359_871_5,
        0.000_198_412_695_067_650_8,
        2.480_149_313_502_187e-5,
        2.755_758_627_777_972_5e-6,
        2.763_023_436_833_608_6e-7,
        2.500_006_925_344_359_5e-8,
    ],
};

/// Computes `e^x` to within [`ExpConstants::ulp_bound`]; see the module's documentation.
#[inline(always)]
pub(crate) fn exp<T: Element, S: Simd<T>>(s: S, x: S::V) -> S::V {
    let c = T::EXP;
    // NaN passes: both return their second operand.
    let x = s.min(s.splat(c.max), s.max(s.splat(c.min), x));
    let (t, n) = split(s, x);
    let p = s.add(s.splat(T::ONE), t);
    let power = s.min(s.splat(c.greatest_power), s.max(s.splat(c.least_power), n));
    s.mul(s.mul(p, s.pow2(power)), s.pow2(s.sub(n, power)))
}

/// Returns `(e^r - 1, n)` with `x = n ln 2 + r`.
#[inline(always)]
pub(super) fn split<T: Element, S: Simd<T>>(s: S, x: S::V) -> (S::V, S::V) {
    let c = T::EXP;
    let n = s.round(s.mul(x, s.splat(c.log2_e)));
    let r = s.neg_mul_add(n, s.splat(c.ln2_high), x);
    let r = s.neg_mul_add(n, s.splat(c.ln2_low), r);
    (s.mul_add(s.mul(r, r), polynomial(s, r, c.q), r), n)
}

#[cfg(test)]
mod tests {
    use crate::Isa;
    use crate::math::tests::{check_bounds, check_exact};
    use crate::math::{Function, apply};

    #[test]
    fn within_its_bound() {
        // The thresholds of overflow, of the smallest normal result and of underflow: of f32, then of
        // f64.
        let thresholds = [88.722_84, -87.336_54, -103.972_08, 709.782_712_893_384, -708.396_418_532_264_1];
        check_bounds(Function::Exp, ae_testing::precise::exp, &thresholds);
        check_bounds(Function::Exp, ae_testing::precise::exp, &[-745.133_219_101_941_1, 0.346_573_59]);
    }

    #[test]
    fn exact_values() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        let table = [(0.0, 1.0), (-0.0, 1.0), (1e-30, 1.0), (-1e-30, 1.0), (1e-310, 1.0)];
        check_exact(Function::Exp, &table);
        check_exact(Function::Exp, &[(inf, inf), (-inf, 0.0), (1e30, inf), (-1e30, 0.0), (1e300, inf)]);
        check_exact(Function::Exp, &[(711.0, inf), (-747.0, 0.0), (nan, nan), (-nan, nan)]);
    }

    /// The last inputs before overflow and before zero, and the next ones.
    #[test]
    fn thresholds() {
        for isa in Isa::available() {
            let mut values = [88.722_83_f32, 88.722_84, -103.972_08, -103.972_084, -104.0, 89.0];
            apply(isa, Function::Exp, &mut values);
            assert!(values[0].is_finite() && values[0] > 3.402e38, "{isa}: {values:?}");
            assert_eq!(values[1..], [f32::INFINITY, f32::from_bits(1), 0.0, 0.0, f32::INFINITY], "{isa}");

            let mut values = [
                709.782_712_893_384_f64,
                709.782_712_893_384_1,
                -745.133_219_101_941_1,
                -745.133_219_101_941_2,
            ];
            apply(isa, Function::Exp, &mut values);
            assert!(values[0].is_finite() && values[0] > 1.797e308, "{isa}: {values:?}");
            assert_eq!(values[1..], [f64::INFINITY, f64::from_bits(1), 0.0], "{isa}");
        }
    }
}
