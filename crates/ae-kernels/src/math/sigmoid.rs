//! `1 / (1 + e^-x)`.
//!
//! ```text
//! e^|x| = 2^n (1 + t)                 n and t as in e^x
//! d = 2^n + (2^n t + 1)               1 + e^|x|, the smaller parts first
//! y = 1 / d
//! the result is y for x < 0, else 1 - y
//! ```
//!
//! **Domain.** `|x|` is first clamped to `max`, where `y` rounds to 0. Numerator and denominator are
//! both multiplied by `unit`, a power of two that keeps the denominator in range where the quotient is
//! denormal, so that the quotient itself underflows gradually and is rounded only once. `y` is in
//! `[0, 1/2]`, so the result is in `[0, 1]`. NaN gives NaN.
//!
//! **Constants.** Those of `e^x`.
//!
//! **Bound.** The worst case is just below 0, where `d` is just above 2: there `2^n t + 1` is off by at
//! most half its ulp and `d` by as much plus half its own, together 1.5 ulp of a quotient just under
//! 1/2, which is rounded by another half. Towards `-max`, `2^n t` is small wherever `d` is just above a
//! power of two. `1 - y` shrinks the error to a half or less and is rounded once. Measured: 2.00 ulp
//! over all of `f32`, fused or not; 1.99 over a million samples of `f64`.

use super::exp::split;
use crate::simd::{Element, Simd};

/// The constants of `1 / (1 + e^-x)` for one element type, in addition to those of `e^x`.
#[derive(Clone, Copy, Debug)]
pub struct SigmoidConstants<T> {
    pub(super) ulp_bound: f64,
    max: T,
    log2_unit: T,
    unit: T,
}

pub(super) const F32: SigmoidConstants<f32> =
    SigmoidConstants { ulp_bound: 2.0, max: 104.0, log2_unit: -64.0, unit: f32::from_bits((127 - 64) << 23) };
pub(super) const F64: SigmoidConstants<f64> = SigmoidConstants {
    ulp_bound: 2.5,
    max: 746.0,
    log2_unit: -512.0,
    unit: f64::from_bits((1023 - 512) << 52),
};

/// Computes `1 / (1 + e^-x)` to within [`SigmoidConstants::ulp_bound`]; see the module's documentation.
#[inline(always)]
pub(crate) fn sigmoid<T: Element, S: Simd<T>>(s: S, x: S::V) -> S::V {
    let y = sigmoid_below(s, x);
    s.select_lt(x, s.splat(T::ZERO), y, s.sub(s.splat(T::ONE), y))
}

/// Computes `1 / (1 + e^|x|)`: the smaller of the sigmoids of `x` and `-x`, to full relative precision.
#[inline(always)]
pub(crate) fn sigmoid_below<T: Element, S: Simd<T>>(s: S, x: S::V) -> S::V {
    let c = T::SIGMOID;
    let unit = s.splat(c.unit);
    let (t, n) = split(s, s.min(s.splat(c.max), s.abs(x))); // NaN passes: min returns its second operand
    let power = s.pow2(s.add(n, s.splat(c.log2_unit)));
    let d = s.add(power, s.mul_add(power, t, unit));
    s.div(unit, d)
}

#[cfg(test)]
mod tests {
    use crate::Isa;
    use crate::math::tests::{check_bounds, check_exact};
    use crate::math::{Function, apply};

    #[test]
    fn within_its_bound() {
        // Where the result becomes denormal and where it becomes 0, of f32, then of f64; where it
        // becomes 1; where n first changes.
        let thresholds = [-87.336_54, -103.972_08, -708.396_418_532_264_1, -745.133_219_101_941_1];
        check_bounds(Function::Sigmoid, ae_testing::precise::sigmoid, &thresholds);
        check_bounds(Function::Sigmoid, ae_testing::precise::sigmoid, &[17.328_68, 37.42, 0.346_573_59]);
    }

    #[test]
    fn exact_values() {
        let (inf, nan) = (f64::INFINITY, f64::NAN);
        check_exact(
            Function::Sigmoid,
            &[(0.0, 0.5), (-0.0, 0.5), (1e-30, 0.5), (-1e-30, 0.5), (1e-310, 0.5)],
        );
        check_exact(Function::Sigmoid, &[(inf, 1.0), (1e300, 1.0), (1e30, 1.0), (800.0, 1.0), (40.0, 1.0)]);
        check_exact(Function::Sigmoid, &[(-inf, 0.0), (-1e300, 0.0), (-1e30, 0.0), (-800.0, 0.0)]);
        check_exact(Function::Sigmoid, &[(nan, nan), (-nan, nan)]);
    }

    /// Results lie between 0 and 1 and are positive as long as they can be; `sigmoid(x) + sigmoid(-x)`
    /// is 1 to rounding.
    #[test]
    fn bounded_and_symmetric() {
        let inputs: Vec<f32> = (0..300_000).map(|i| i as f32 * 3.5e-4).collect();
        for isa in Isa::available() {
            let (mut up, mut down) = (inputs.clone(), inputs.iter().map(|x| -x).collect::<Vec<_>>());
            apply(isa, Function::Sigmoid, &mut up);
            apply(isa, Function::Sigmoid, &mut down);
            for ((&x, &up), &down) in inputs.iter().zip(&up).zip(&down) {
                assert!((0.5..=1.0).contains(&up), "{isa}: {x:e} gives {up:e}");
                assert!((0.0..=0.5).contains(&down), "{isa}: {:e} gives {down:e}", -x);
                assert!(x > 103.9 || down > 0.0, "{isa}: {:e} gives 0", -x);
                assert_eq!(up, 1.0 - down, "{isa}: {x:e}");
            }
        }
    }
}
