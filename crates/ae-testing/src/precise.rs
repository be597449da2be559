//! `exp`, `tanh`, `sigmoid` and `softplus` to about 100 bits: the references for `f64` functions.
//!
//! A value is an unevaluated sum of two `f64`, times a power of two. The functions sum Taylor series
//! term by term: slow, short, and independent of any approximation under test.

/// `(high + low) 2^exponent`, with `|low|` at most half an ulp of `high`.
#[derive(Clone, Copy, Debug)]
pub struct Precise {
    value: Double,
    exponent: i32,
}

impl From<f64> for Precise {
    fn from(x: f64) -> Precise {
        if x == 0.0 || !x.is_finite() {
            return Precise { value: Double(x, x), exponent: 0 }; // the sum keeps the sign of zero
        }
        // Scaled to [1, 2), so that no later step leaves the range.
        let normal = if x.abs() < f64::MIN_POSITIVE { scale(x, 200) } else { x };
        let biased = (normal.to_bits() >> 52 & 0x7ff) as i32;
        let offset = if normal == x { 0 } else { 200 };
        let exponent = biased - 1023 - offset;
        Precise { value: Double(scale(x, -exponent), 0.0), exponent }
    }
}

impl Precise {
    /// Rounds to the nearest `f64`.
    pub fn to_f64(self) -> f64 {
        scale(self.value.0 + self.value.1, self.exponent)
    }

    /// Returns `|got - self|` in units of `2^unit`; infinite rather than NaN if that overflows.
    pub(crate) fn distance_from(self, got: f64, unit: i32) -> f64 {
        let difference = (scale(got, -self.exponent) - self.value.0) - self.value.1;
        scale(difference.abs(), self.exponent - unit)
    }
}

/// `e^x`
pub fn exp(x: f64) -> Precise {
    if x.is_nan() {
        return Precise::from(x);
    }
    if x.abs() > 800.0 {
        return Precise::from(if x > 0.0 { f64::INFINITY } else { 0.0 });
    }
    // ln 2 to 160 bits; the first piece has 32 bits, so its product with n is exact.
    let (high, middle, low) =
        (0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10, 1.161_222_722_936_253_2e-26);
    let n = (x / std::f64::consts::LN_2).round();
    let r = Double(x - n * high, 0.0) - Double(n, 0.0) * Double(middle, low);
    Precise { value: exp_m1_near_zero(r) + Double(1.0, 0.0), exponent: n as i32 }
}

/// `tanh x`
pub fn tanh(x: f64) -> Precise {
    let one = Double(1.0, 0.0);
    let a = x.abs();
    let value = if a.is_nan() || a == 0.0 {
        return Precise::from(x);
    } else if a < 1e-10 {
        // x - x^3/3, relative to the power of two of x.
        let Precise { value: Double(high, _), exponent } = Precise::from(x);
        return Precise { value: Double(high, -high * (x * x) / 3.0), exponent };
    } else if a < 0.17 {
        let t = exp_m1_near_zero(Double(2.0 * a, 0.0));
        t / (t + Double(2.0, 0.0))
    } else if a < 40.0 {
        let e = exp(2.0 * a).unscaled();
        (e - one) / (e + one)
    } else {
        one
    };
    Precise { value: if x < 0.0 { Double(0.0, 0.0) - value } else { value }, exponent: 0 }
}

/// `1 / (1 + e^-x)`
pub fn sigmoid(x: f64) -> Precise {
    if x.is_nan() {
        return Precise::from(x);
    }
    let one = Double(1.0, 0.0);
    let e = exp(-x.abs());
    let sum = one + e.unscaled();
    if x < 0.0 {
        Precise { value: e.value / sum, exponent: e.exponent }
    } else {
        Precise { value: one / sum, exponent: 0 }
    }
}

/// `ln(1 + e^x)`
pub fn softplus(x: f64) -> Precise {
    if x.is_nan() || x == f64::INFINITY {
        return Precise::from(x);
    }
    // ln(1 + t) = 2 atanh(t / (2 + t)), with the power of two of t factored out.
    let Precise { value, exponent } = exp(-x.abs());
    let t = Precise { value, exponent }.unscaled();
    let over = t + Double(2.0, 0.0);
    let s = t / over;
    let square = s * s;
    let mut series = Double(0.0, 0.0);
    // 36 terms: 9^-36 < 2^-114.
    for k in (0..36).rev() {
        series = series * square + Double(1.0, 0.0) / Double(f64::from(2 * k + 1), 0.0);
    }
    let tail = Double(2.0, 0.0) * (value / over) * series;
    if x > 0.0 {
        let tail = Precise { value: tail, exponent }.unscaled();
        Precise { value: Double(x, 0.0) + tail, exponent: 0 }
    } else {
        Precise { value: tail, exponent }
    }
}

impl Precise {
    /// Multiplies out the power of two; anything that underflows is lost.
    fn unscaled(self) -> Double {
        Double(scale(self.value.0, self.exponent), scale(self.value.1, self.exponent))
    }
}

/// `e^r - 1` for `|r| < 0.36`, to the same relative precision everywhere.
fn exp_m1_near_zero(r: Double) -> Double {
    // 24 terms: 0.36^25 / 25! < 2^-120.
    let mut sum = Double(0.0, 0.0);
    for k in (1..=24).rev() {
        // r/k (1 + sum): the series, starting from its last term.
        sum = r / Double(f64::from(k), 0.0) * (Double(1.0, 0.0) + sum);
    }
    sum
}

/// `x 2^n`, rounded once.
fn scale(x: f64, mut n: i32) -> f64 {
    let mut x = x;
    while n != 0 {
        let step = n.clamp(-1000, 1000);
        x *= f64::from_bits(((1023 + step) as u64) << 52);
        n -= step;
    }
    x
}

/// An unevaluated sum of two `f64`: about 106 bits.
#[derive(Clone, Copy, Debug)]
struct Double(f64, f64);

impl Double {
    /// `a + b` exactly.
    fn sum(a: f64, b: f64) -> Double {
        let sum = a + b;
        let b_part = sum - a;
        Double(sum, (a - (sum - b_part)) + (b - b_part))
    }
}

impl std::ops::Add for Double {
    type Output = Double;
    fn add(self, other: Double) -> Double {
        let Double(high, low) = Double::sum(self.0, other.0);
        let Double(low, lowest) = Double::sum(low, self.1 + other.1);
        let Double(high, low) = Double::sum(high, low);
        Double::sum(high, low + lowest)
    }
}

impl std::ops::Sub for Double {
    type Output = Double;
    fn sub(self, other: Double) -> Double {
        self + Double(-other.0, -other.1)
    }
}

impl std::ops::Mul for Double {
    type Output = Double;
    fn mul(self, other: Double) -> Double {
        let product = self.0 * other.0;
        let rest = self.0.mul_add(other.0, -product);
        Double::sum(product, rest + (self.0 * other.1 + self.1 * other.0))
    }
}

impl std::ops::Div for Double {
    type Output = Double;
    fn div(self, other: Double) -> Double {
        // Long division with three digits of 53 bits each.
        let first = self.0 / other.0;
        let rest = self - other * Double(first, 0.0);
        let second = rest.0 / other.0;
        let rest = rest - other * Double(second, 0.0);
        Double::sum(first, second) + Double(rest.0 / other.0, 0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;
    use crate::ulp::ulp_distance_precise;

    /// Values to 106 bits, from arbitrary-precision arithmetic, as `(high + low) 2^exponent`.
    #[test]
    fn known_values() {
        for (name, got, high, low, exponent) in [
            ("exp 1", exp(1.0), 1.359_140_914_229_522_5, 7.228_234_458_646_251e-17, 1),
            ("exp 700.25", exp(700.25), 1.186_903_285_788_734_7, 6.520_785_775_599_955e-17, 1010),
            ("exp -740", exp(-740.0), 1.324_703_734_749_873_6, 1.413_802_446_792_487_6e-17, -1068),
            ("tanh 0.1", tanh(0.1), 1.594_687_913_999_293, 5.667_894_204_226_474e-17, -4),
            ("tanh 0.5", tanh(0.5), 1.848_468_629_040_039, 8.766_641_295_304_371e-17, -2),
            ("tanh 5", tanh(5.0), 1.999_818_408_525_190_2, 4.597_047_501_933_014e-17, -1),
            ("tanh 2^-12", tanh(1.0 / 4096.0), 1.999_999_960_263_571_2, -8.881_786_482_645_658e-17, -13),
            ("sigmoid -1", sigmoid(-1.0), 1.075_765_685_479_980_4, 6.718_909_598_599_38e-17, -2),
            ("sigmoid 3.75", sigmoid(3.75), 1.954_045_260_179_948_7, 4.142_951_225_792_685_5e-17, -1),
            ("softplus 0", softplus(0.0), 1.386_294_361_119_890_6, 4.638_093_627_692_599e-17, -1),
            ("softplus -3.25", softplus(-3.25), 1.217_323_894_009_06, 6.600_934_073_289_352e-17, -5),
            ("softplus 2.5", softplus(2.5), 1.289_444_867_146_274_8, -8.485_692_244_292_046e-18, 1),
            ("sigmoid -700.5", sigmoid(-700.5), 1.312_323_914_503_054_3, -6.297_503_162_446_053e-17, -1011),
        ] {
            let up = got.exponent - exponent;
            let value = Double(scale(got.value.0, up), scale(got.value.1, up));
            let error = (value - Double(high, low)).0.abs();
            assert!(error < 2f64.powi(-98), "{name}: {got:?} is off by {error:e}");
        }
    }

    #[test]
    fn limits() {
        assert_eq!(exp(f64::INFINITY).to_f64(), f64::INFINITY);
        assert_eq!(exp(f64::NEG_INFINITY).to_f64(), 0.0);
        assert_eq!(exp(710.0).to_f64(), f64::INFINITY);
        assert_eq!(exp(-746.0).to_f64(), 0.0);
        assert_eq!(tanh(f64::INFINITY).to_f64(), 1.0);
        assert_eq!(tanh(f64::NEG_INFINITY).to_f64(), -1.0);
        assert_eq!(sigmoid(f64::INFINITY).to_f64(), 1.0);
        assert_eq!(sigmoid(f64::NEG_INFINITY).to_f64(), 0.0);
        for f in [exp, tanh, sigmoid, softplus] {
            assert!(f(f64::NAN).to_f64().is_nan());
        }
        for x in [0.0, -0.0, f64::from_bits(1), -1e-300, 1e-12] {
            assert_eq!(tanh(x).to_f64().to_bits(), x.to_bits());
        }
    }

    /// The standard library's functions are within a few ulp, over the whole range.
    #[test]
    fn agrees_with_std() {
        let mut random = SplitMix64::new(3);
        for _ in 0..20_000 {
            let x = random.uniform_in(-750.0, 720.0);
            let y = x / 750.0 * 2f64.powf(random.uniform_in(-20.0, 5.0));
            for (name, x, std, precise) in [
                ("exp", x, x.exp(), exp(x)),
                ("exp", y, y.exp(), exp(y)),
                ("tanh", y, y.tanh(), tanh(y)),
                ("sigmoid", y, 1.0 / (1.0 + (-y).exp()), sigmoid(y)),
                ("softplus", y, y.max(0.0) + (-y.abs()).exp().ln_1p(), softplus(y)),
            ] {
                let ulps = ulp_distance_precise(std, precise);
                assert!(ulps <= 3.0, "{name} {x:e}: std is {ulps} ulp off");
            }
        }
    }

    /// Arithmetic on pairs keeps what `f64` loses.
    #[test]
    fn pairs_have_a_hundred_bits() {
        let third = Double(1.0, 0.0) / Double(3.0, 0.0);
        let back = third * Double(3.0, 0.0) - Double(1.0, 0.0);
        assert!(back.0.abs() < 2f64.powi(-103), "{back:?}");
        let tiny = (Double(1.0, 0.0) + Double(2f64.powi(-90), 0.0)) - Double(1.0, 0.0);
        assert_eq!(tiny.0, 2f64.powi(-90));
    }
}
