//! `tanh x`.
//!
//! ```text
//! n = round(2 |x| / ln 2 - 1/2)       never negative
//! r = |x| - n ln 2 / 2                0 <= r <= ln 2 / 2, up to the rounding of n
//! n = 0:  tanh |x| = r + r^3 p(r^2)
//! n > 0:  u = r + r^2 q(r)            (e^2r - 1) / 2
//!         h = 2^n u + (2^n - 1) / 2   (e^2|x| - 1) / 2
//!         tanh |x| = h / (h + 1)
//! ```
//!
//! **Domain.** `|x|` is first clamped to `max`, where the quotient is already 1; the sign is restored at
//! the end. With `n = 0`, `r` is `|x|` itself, so tiny arguments (and zeros) are returned unchanged. The
//! formula for `n > 0` would be valid there too, but the roundings of `h` and `h + 1` would each cost an
//! ulp. Because `r` is not negative, neither is any term of `h`, and nothing cancels. `h / (h + 1)`
//! never exceeds 1. NaN gives NaN.
//!
//! **Constants.** The pieces of ln 2 are half of those of `e^x`. `p` is the minimax polynomial for
//! `(tanh(r) / r - 1) / r^2` in `r^2`, `q` that for `((e^2r - 1) / 2 - r) / r^2`, on
//! `0 <= r <= ln 2 / 2 + 1e-4` (`+ 1e-6`; `q` as far below 0 as well), weighted to be minimax in the
//! relative error of `tanh r` and of `u`:
//!
//! | type | polynomial | degree | error | after rounding the coefficients | with one degree less |
//! |---|---|---|---|---|---|
//! | `f32` | `p` | 3 | 4.4e-10 | 4.5e-10 (0.004 ulp of 1) | 3.8e-8 |
//! | `f32` | `q` | 4 | 1.34e-8 | 1.36e-8 (0.11 ulp of 1) | 5.5e-7 |
//! | `f64` | `p` | 7 | 8.2e-18 | 8.3e-18 (0.04 ulp of 1) | 6.9e-16 |
//! | `f64` | `q` | 9 | 2.1e-17 | 2.6e-17 (0.12 ulp of 1) | 1.5e-15 |
//!
//! The `f32` coefficients were rounded one after the other, starting with the constant term, each time
//! recomputing the best values of the rest.
//!
//! **Bound.** For `n = 0`, the last sum is rounded by at most half an ulp, and the term it adds is
//! small. For `n > 0`, the roundings of `h`, `h + 1` and the quotient each count for at most half an
//! ulp, earlier ones for less. Measured: 1.50 ulp over all of `f32`, fused or not; 1.47 over a million
//! samples of `f64`.

use super::polynomial;
use crate::simd::{Element, Simd};

/// The constants of `tanh x` for one element type.
#[derive(Clone, Copy, Debug)]
pub struct TanhConstants<T: 'static> {
    pub(super) ulp_bound: f64,
    max: T,
    two_log2_e: T,
    half_ln2_high: T,
    half_ln2_low: T,
    half: T,
    minus_half: T,
    q: &'static [T],
    p: &'static [T],
}

pub(super) const F32: TanhConstants<f32> = TanhConstants {
    ulp_bound: 1.6,
    max: 10.0, // 1 - tanh falls below 2^-25 at 9.01
    two_log2_e: 2.0 * std::f32::consts::LOG2_E,
    half_ln2_high: 0.5 * 0.693_145_75,
    half_ln2_low: 0.5 * 1.428_606_8e-6,
    half: 0.5,
    minus_half: -0.5,
    q: &[1.000_001_8, 0.666_590_75, 0.334_358_87, 0.127_400_88, 0.059_533_514],
    p: &[-0.333_333_22, 0.133_324_24, -0.053_734_146, 0.019_474_81],
};

pub(super) const F64: TanhConstants<f64> = TanhConstants {
    ulp_bound: 2.0,
    max: 20.0, // 1 - tanh falls below 2^-54 at 19.06
    two_log2_e: 2.0 * std::f64::consts::LOG2_E,
    half_ln2_high: 0.5 * 0.693_147_180_559_663,
    half_ln2_low: 0.5 * 2.823_529_056_303_157_7e-13,
    half: 0.5,
    minus_half: -0.5,
    q: &[
        0.999_999_999_999_990_2,
        0.666_666_666_668_067_2,
        0.333_333_333_264_158_4,
        0.133_333_335_018_608_22,
        0.044_444_420_941_624_21,
        0.012_698_614_620_227_871,
        0.003_173_499_527_699_41,
        0.000_709_304_819_465_236_8,
        0.000_132_922_775_323_037_6,
        3.519_805_464_598_319e-5,
    ],
    p: &[
        -0.333_333_333_333_326_3,
        0.133_333_333_331_437_2,
        -0.053_968_253_792_762_68,
        0.021_869_480_667_986_704,
        -0.008_863_039_869_323_158,
        0.003_589_280_328_516_389_7,
        -0.001_431_584_385_119_664,
        0.000_476_614_934_216_806_5,
    ],
};

/// Computes `tanh x` to within [`TanhConstants::ulp_bound`]; see the module's documentation.
#[inline(always)]
pub(crate) fn tanh<T: Element, S: Simd<T>>(s: S, x: S::V) -> S::V {
    let c = T::TANH;
    let (half, minus_half) = (s.splat(c.half), s.splat(c.minus_half));
    let a = s.min(s.splat(c.max), s.abs(x)); // NaN passes: min returns its second operand
    let n = s.round(s.mul_add(a, s.splat(c.two_log2_e), minus_half));
    let r = s.neg_mul_add(n, s.splat(c.half_ln2_high), a);
    let r = s.neg_mul_add(n, s.splat(c.half_ln2_low), r);
    let r2 = s.mul(r, r);
    let u = s.mul_add(r2, polynomial(s, r, c.q), r);
    let power = s.pow2(n);
    let h = s.mul_add(power, u, s.mul_add(power, half, minus_half));
    let large = s.div(h, s.add(h, s.splat(T::ONE)));
    let small = s.mul_add(s.mul(r2, polynomial(s, r2, c.p)), r, r);
    s.copysign(s.select_lt(n, half, small, large), x)
}

#[cfg(test)]
mod tests {
    use crate::Isa;
    use crate::math::tests::{check_bounds, check_exact};
    use crate::math::{Function, apply};

    #[test]
    fn within_its_bound() {
        // Where n becomes 1, and where the result becomes 1: of f32, then of f64.
        let thresholds = [0.346_573_59, -0.346_573_59, 9.010_913, 19.061_547_465_398_498, 10.0, 20.0];
        check_bounds(Function::Tanh, ae_testing::precise::tanh, &thresholds);
    }

    #[test]
    fn exact_values() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        for x in [0.0, 1e-9, 1e-30, 1e-40, 1e-45, 1e-310, 5e-324] {
            check_exact(Function::Tanh, &[(x, x), (-x, -x)]);
        }
        for x in [inf, 1e300, 1e30, 20.0, 25.0] {
            check_exact(Function::Tanh, &[(x, 1.0), (-x, -1.0)]);
        }
        check_exact(Function::Tanh, &[(nan, nan), (-nan, nan)]);
    }

    /// An odd function bit for bit, never beyond 1, and exactly 1 wherever the nearest value is 1.
    #[test]
    fn odd_and_bounded() {
        let inputs: Vec<f32> = (0..300_000).map(|i| i as f32 * 5e-5).collect();
        for isa in Isa::available() {
            let (mut up, mut down) = (inputs.clone(), inputs.iter().map(|x| -x).collect::<Vec<_>>());
            apply(isa, Function::Tanh, &mut up);
            apply(isa, Function::Tanh, &mut down);
            for ((&x, &up), &down) in inputs.iter().zip(&up).zip(&down) {
                assert_eq!(up.to_bits(), (-down).to_bits(), "{isa}: {x:e}");
                assert!((0.0..=1.0).contains(&up), "{isa}: {x:e} gives {up:e}");
                assert!(x < 9.02 || up == 1.0, "{isa}: {x:e} gives {up:e}");
            }
        }
    }
}
