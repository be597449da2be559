//! Distances in ulp: units in the last place of the float nearest to the expected value.
//!
//! An ulp is never smaller than the smallest denormal, so an error where zero is expected is large, not
//! nothing. Zeros of either sign are equal here; tests for which the sign matters compare bits.

use crate::precise::Precise;

/// Returns `|got - expected|` in ulp of the `f32` nearest to `expected`.
///
/// - NaN is at distance 0 from NaN and infinitely far from everything else.
/// - If the nearest `f32` is infinite, that infinity is at distance 0 and everything else infinitely
///   far; likewise, an infinite `got` is infinitely far from any finite expectation.
///
/// Never returns NaN.
pub fn ulp_distance(got: f32, expected: f64) -> f64 {
    let nearest = expected as f32;
    if !(got.is_finite() && nearest.is_finite()) {
        return unless_finite(f64::from(got), f64::from(nearest));
    }
    (f64::from(got) - expected).abs() / ulp_of(nearest)
}

/// Like [`ulp_distance`], for `f64` and an expectation that is itself rounded: its own half ulp is
/// included.
pub fn ulp_distance_f64(got: f64, expected: f64) -> f64 {
    ulp_distance_precise(got, Precise::from(expected))
}

/// Like [`ulp_distance`], for `f64` and an expectation of higher precision.
pub fn ulp_distance_precise(got: f64, expected: Precise) -> f64 {
    let nearest = expected.to_f64();
    if !(got.is_finite() && nearest.is_finite()) {
        return unless_finite(got, nearest);
    }
    expected.distance_from(got, ulp_exponent(nearest))
}

/// Returns the unit in the last place of a finite `x`: the gap between the floats of its binade, 2^-149
/// for denormals and zero.
///
/// # Panics
/// If `x` is not finite.
#[track_caller]
pub fn ulp_of(x: f32) -> f64 {
    assert!(x.is_finite(), "no ulp of {x}");
    let biased = (x.to_bits() >> 23 & 0xff).max(1);
    f64::from_bits((u64::from(biased) + 1023 - 127 - 23) << 52)
}

/// The exponent of [`ulp_of`] for a finite `f64`.
fn ulp_exponent(x: f64) -> i32 {
    let biased = (x.to_bits() >> 52 & 0x7ff).max(1);
    biased as i32 - 1023 - 52
}

fn unless_finite(got: f64, expected: f64) -> f64 {
    if got == expected || (got.is_nan() && expected.is_nan()) { 0.0 } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(got: f32, expected: f64, ulps: f64) {
        let distance = ulp_distance(got, expected);
        assert!(distance == ulps, "{got:e} from {expected:e}: {distance} ulp instead of {ulps}");
        let mirrored = ulp_distance(-got, -expected);
        assert!(mirrored == ulps, "{:e} from {:e}: {mirrored} ulp instead of {ulps}", -got, -expected);
    }

    #[test]
    fn distances_of_f32() {
        let tiny = f32::from_bits(1);
        let inf = f64::INFINITY;
        for (got, expected, ulps) in [
            (1.0, 1.0, 0.0),
            (1.0 + f32::EPSILON, 1.0, 1.0),
            (1.0 - f32::EPSILON / 2.0, 1.0, 0.5),
            (1.0, 1.0 + 0.25 * f64::from(f32::EPSILON), 0.25),
            (2.0, 1.0, 8_388_608.0),
            (-1.0, 1.0, 16_777_216.0),
            // Zero and denormals: one ulp is the smallest denormal.
            (0.0, 0.0, 0.0),
            (-0.0, 0.0, 0.0),
            (tiny, 0.0, 1.0),
            (-tiny, 0.0, 1.0),
            (1.0, 0.0, 2f64.powi(149)),
            (0.0, 2f64.powi(-150), 0.5),
            (0.0, f64::MIN_POSITIVE, f64::MIN_POSITIVE * 2f64.powi(149)),
            (f32::MIN_POSITIVE, f64::from(f32::MIN_POSITIVE) + 2f64.powi(-149), 1.0),
            (f32::from_bits(0x007f_ffff), f64::from(f32::MIN_POSITIVE), 1.0),
            // Infinities and overflow.
            (f32::INFINITY, inf, 0.0),
            (f32::INFINITY, -inf, inf),
            (f32::MAX, inf, inf),
            (0.0, inf, inf),
            (f32::INFINITY, f64::from(f32::MAX), inf),
            (f32::INFINITY, 0.0, inf),
            (f32::INFINITY, 1e300, 0.0),
            (f32::MAX, 1e300, inf),
            (f32::MAX, f64::from(f32::MAX), 0.0),
            // NaN.
            (f32::NAN, f64::NAN, 0.0),
            (f32::NAN, 1.0, inf),
            (f32::NAN, 0.0, inf),
            (f32::NAN, inf, inf),
            (1.0, f64::NAN, inf),
            (f32::INFINITY, f64::NAN, inf),
        ] {
            check(got, expected, ulps);
        }
    }

    /// Neighbours are one ulp apart over the whole range, and no distance is NaN.
    #[test]
    fn neighbours_are_one_ulp_apart() {
        for bits in (0..0x7f7f_ffff_u32).step_by(65_537).chain([0, 0x007f_fffe, 0x007f_ffff, 0x7f7f_fffe]) {
            let (x, next) = (f32::from_bits(bits), f32::from_bits(bits + 1));
            check(next, f64::from(x), 1.0);
        }
    }

    #[test]
    fn distances_of_f64() {
        let tiny = f64::from_bits(1);
        let inf = f64::INFINITY;
        for (got, expected, ulps) in [
            (1.0, 1.0, 0.0),
            (1.0 + f64::EPSILON, 1.0, 1.0),
            (1.0 - f64::EPSILON / 2.0, 1.0, 0.5),
            (0.0, -0.0, 0.0),
            (tiny, 0.0, 1.0),
            (-tiny, 0.0, 1.0),
            (tiny, -tiny, 2.0),
            (f64::MIN_POSITIVE, f64::MIN_POSITIVE - tiny, 1.0),
            (f64::MIN_POSITIVE + tiny, f64::MIN_POSITIVE, 1.0),
            (f64::MAX, f64::MAX, 0.0),
            (f64::MAX.next_down(), f64::MAX, 1.0),
            (-f64::MAX, f64::MAX, 2f64.powi(54) - 2.0),
            (1e-290, 1e-290_f64.next_up(), 1.0),
            (1e-289, 1e-289_f64.next_down(), 1.0),
            (inf, inf, 0.0),
            (inf, f64::MAX, inf),
            (f64::MAX, inf, inf),
            (-inf, inf, inf),
            (f64::NAN, f64::NAN, 0.0),
            (f64::NAN, 0.0, inf),
            (0.0, f64::NAN, inf),
        ] {
            for (got, expected) in [(got, expected), (-got, -expected)] {
                let distance = ulp_distance_f64(got, expected);
                assert!(distance == ulps, "{got:e} from {expected:e}: {distance} ulp instead of {ulps}");
                let distance = ulp_distance_precise(got, Precise::from(expected));
                assert!(distance == ulps, "{got:e} from precise {expected:e}: {distance} instead of {ulps}");
            }
        }
        assert!(ulp_distance_f64(1.0, 0.0) > 1e300);
        assert!(ulp_distance_f64(1.0, tiny) > 1e300);
    }

    /// Faults that a broken distance function would let pass.
    #[test]
    fn planted_faults_fail_a_bound() {
        let bound = 2.0;
        for (fault, got, expected) in [
            ("NaN for a number", f32::NAN, 0.5),
            ("a number for NaN", 0.5, f64::NAN),
            ("something for zero", 1e-30, 0.0),
            ("zero for something", 0.0, 1e-30),
            ("flushed denormal", 0.0, 1e-39),
            ("overflow", f32::INFINITY, 3e38),
            ("no overflow", f32::MAX, 3.5e38),
            ("wrong sign", -1.0, 1.0),
            ("three ulps", 1.0 + 3.0 * f32::EPSILON, 1.0),
        ] {
            let within = ulp_distance(got, expected) <= bound;
            assert!(!within, "not noticed: {fault}");
        }
    }
}
