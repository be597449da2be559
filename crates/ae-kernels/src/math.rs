//! Vectorised `exp`, `tanh`, `sigmoid` and `softplus`: no tables, no branches, at most one division
//! each.
//!
//! The documentation of each file states how the domain of its function is divided, where its constants
//! come from, and a bound on its error in ulp ([`Function::ulp_bound`]). The bounds hold for every
//! finite and infinite input, for denormal results (underflow is gradual), and whether or not
//! multiply-adds are fused. NaN gives NaN.
//!
//! All functions rest on the same split `x = n ln 2 + r`, `e^x = 2^n e^r`. `n ln 2` is subtracted in two
//! pieces, the first of which has so few bits that its product with `n` is exact. The polynomials
//! approximate `(e^r - 1 - r) / r^2`; they are minimax with respect to the relative error of the result,
//! found with the Remez exchange algorithm in 60-digit arithmetic, then rounded to the element type.

mod exp;
mod sigmoid;
mod softplus;
mod tanh;

pub use exp::ExpConstants;
pub use sigmoid::SigmoidConstants;
pub use softplus::SoftplusConstants;
pub use tanh::TanhConstants;

pub(crate) use exp::exp;
pub(crate) use sigmoid::{sigmoid, sigmoid_below};
pub(crate) use softplus::{below_and_tail, softplus};
pub(crate) use tanh::tanh;

use crate::isa::Isa;
use crate::simd::{Element, Kernel, Simd};

/// The functions of this module, for tests, benchmarks and the exhaustive check to loop over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Function {
    /// `e^x`
    Exp,
    /// `tanh x`
    Tanh,
    /// `1 / (1 + e^-x)`
    Sigmoid,
    /// `ln(1 + e^x)`
    Softplus,
}

impl Function {
    /// Every function.
    pub const ALL: [Function; 4] = [Function::Exp, Function::Tanh, Function::Sigmoid, Function::Softplus];

    /// The name of the function, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Function::Exp => "exp",
            Function::Tanh => "tanh",
            Function::Sigmoid => "sigmoid",
            Function::Softplus => "softplus",
        }
    }

    /// The largest error of a result on any instruction set, in units in the last place of the `T`
    /// nearest to the true value. The bound is checked for every input of `f32` and on samples of `f64`.
    pub fn ulp_bound<T: Coefficients>(self) -> f64 {
        match self {
            Function::Exp => T::EXP.ulp_bound,
            Function::Tanh => T::TANH.ulp_bound,
            Function::Sigmoid => T::SIGMOID.ulp_bound,
            Function::Softplus => T::SOFTPLUS.ulp_bound,
        }
    }
}

/// The constants of the approximations for one element type.
///
/// Implemented for `f32` and `f64`; sealed, since only this crate can build the constants.
pub trait Coefficients: Copy + 'static {
    /// The constants of [`Function::Exp`].
    const EXP: ExpConstants<Self>;
    /// The constants of [`Function::Tanh`].
    const TANH: TanhConstants<Self>;
    /// The constants of [`Function::Sigmoid`], in addition to those of `e^x`.
    const SIGMOID: SigmoidConstants<Self>;
    /// The constants of [`Function::Softplus`], in addition to those of `e^x`.
    const SOFTPLUS: SoftplusConstants<Self>;
}

impl Coefficients for f32 {
    const EXP: ExpConstants<f32> = exp::F32;
    const TANH: TanhConstants<f32> = tanh::F32;
    const SIGMOID: SigmoidConstants<f32> = sigmoid::F32;
    const SOFTPLUS: SoftplusConstants<f32> = softplus::F32;
}

impl Coefficients for f64 {
    const EXP: ExpConstants<f64> = exp::F64;
    const TANH: TanhConstants<f64> = tanh::F64;
    const SIGMOID: SigmoidConstants<f64> = sigmoid::F64;
    const SOFTPLUS: SoftplusConstants<f64> = softplus::F64;
}

/// Replaces every element `x` by `function(x)`. The result of an element depends neither on its position
/// in the slice nor on its neighbours.
pub fn apply<T: Element>(isa: Isa, function: Function, values: &mut [T]) {
    T::run(isa, Apply { function, values });
}

struct Apply<'a, T> {
    function: Function,
    values: &'a mut [T],
}

impl<T: Element> Kernel<T> for Apply<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        match self.function {
            Function::Exp => map(s, OfExp, self.values),
            Function::Tanh => map(s, OfTanh, self.values),
            Function::Sigmoid => map(s, OfSigmoid, self.values),
            Function::Softplus => map(s, OfSoftplus, self.values),
        }
    }
}

/// A function on vectors. A trait rather than a closure, because forced inlining cannot be relied on for
/// closures.
trait OnVector<T: Element>: Copy {
    fn call<S: Simd<T>>(self, s: S, x: S::V) -> S::V;
}

#[derive(Clone, Copy)]
struct OfExp;
#[derive(Clone, Copy)]
struct OfTanh;
#[derive(Clone, Copy)]
struct OfSigmoid;
#[derive(Clone, Copy)]
struct OfSoftplus;

impl<T: Element> OnVector<T> for OfExp {
    #[inline(always)]
    fn call<S: Simd<T>>(self, s: S, x: S::V) -> S::V {
        exp(s, x)
    }
}

impl<T: Element> OnVector<T> for OfTanh {
    #[inline(always)]
    fn call<S: Simd<T>>(self, s: S, x: S::V) -> S::V {
        tanh(s, x)
    }
}

impl<T: Element> OnVector<T> for OfSigmoid {
    #[inline(always)]
    fn call<S: Simd<T>>(self, s: S, x: S::V) -> S::V {
        sigmoid(s, x)
    }
}

impl<T: Element> OnVector<T> for OfSoftplus {
    #[inline(always)]
    fn call<S: Simd<T>>(self, s: S, x: S::V) -> S::V {
        softplus(s, x)
    }
}

#[inline(always)]
fn map<T: Element, S: Simd<T>, F: OnVector<T>>(s: S, f: F, values: &mut [T]) {
    let mut vectors = values.chunks_exact_mut(S::LANES);
    for v in vectors.by_ref() {
        s.store(f.call(s, s.load(v)), v);
    }
    let tail = vectors.into_remainder();
    if !tail.is_empty() {
        // No vector has more than 16 lanes: it is at most a panel row, and no element has fewer than 4
        // bytes.
        let mut padded = [T::ZERO; 16];
        padded[..tail.len()].copy_from_slice(tail);
        let v = f.call(s, s.load(&padded));
        s.store(v, &mut padded);
        tail.copy_from_slice(&padded[..tail.len()]);
    }
}

/// `c[0] + c[1] x + c[2] x^2 + ...`, by Horner's rule. `c` is a constant, so the loop unrolls.
#[inline(always)]
fn polynomial<T: Element, S: Simd<T>>(s: S, x: S::V, c: &[T]) -> S::V {
    let mut terms = c.iter().rev();
    let mut sum = s.splat(terms.next().copied().unwrap_or(T::ZERO));
    for &term in terms {
        sum = s.mul_add(sum, x, s.splat(term));
    }
    sum
}

#[cfg(test)]
mod tests {
    use ae_testing::exhaustive::{worst_over_f32, worst_over_f64};
    use ae_testing::precise::Precise;
    use ae_testing::random::SplitMix64;

    use super::*;

    /// Checks the stated bounds of a function on every instruction set, over samples of its whole
    /// domain: every exponent of both signs with random mantissas, the ranges where the function varies,
    /// and values around `thresholds`. Reports the worst input. (`cargo xtask ulp` checks all of `f32`.)
    #[track_caller]
    pub(super) fn check_bounds(function: Function, precise: fn(f64) -> Precise, thresholds: &[f64]) {
        let mut random = SplitMix64::new(2024);

        let mut inputs = Vec::new();
        for exponent in 0..=0xff_u32 {
            for _ in 0..2048 {
                let bits = exponent << 23 | (random.next_u64() >> 41) as u32;
                inputs.extend([f32::from_bits(bits), -f32::from_bits(bits)]);
            }
        }
        inputs.extend(random.uniform_f32s(500_000, -110.0, 110.0));
        inputs.extend(random.uniform_f32s(500_000, -4.0, 4.0));
        for x in [f32::INFINITY, f32::MAX, f32::MIN_POSITIVE, f32::from_bits(1), 0.0, f32::NAN] {
            inputs.extend([x, -x]);
        }
        for &threshold in thresholds {
            let bits = (threshold as f32).to_bits();
            inputs.extend((bits - 50..=bits + 50).map(f32::from_bits));
        }
        // The precise functions are slow; for `f32`, those of the standard library are accurate enough.
        let reference = |x: f64| match function {
            Function::Exp => x.exp(),
            Function::Tanh => x.tanh(),
            Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Function::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
        };
        for isa in Isa::available() {
            let worst = worst_over_f32(&inputs, reference, |values| apply(isa, function, values));
            let bound = function.ulp_bound::<f32>();
            assert!(worst.ulps <= bound, "{} f32 {isa}: {worst}, bound {bound}", function.name());
        }

        let mut inputs = Vec::new();
        for exponent in 0..=0x7ff_u64 {
            for _ in 0..6 {
                let bits = exponent << 52 | random.next_u64() >> 12;
                inputs.extend([f64::from_bits(bits), -f64::from_bits(bits)]);
            }
        }
        inputs.extend(random.uniform_f64s(20_000, -760.0, 760.0));
        inputs.extend(random.uniform_f64s(20_000, -4.0, 4.0));
        for x in [f64::INFINITY, f64::MAX, f64::MIN_POSITIVE, f64::from_bits(1), 0.0, f64::NAN] {
            inputs.extend([x, -x]);
        }
        for threshold in thresholds {
            let bits = threshold.to_bits();
            inputs.extend((bits - 50..=bits + 50).map(f64::from_bits));
        }
        for isa in Isa::available() {
            let worst = worst_over_f64(&inputs, precise, |values| apply(isa, function, values));
            let bound = function.ulp_bound::<f64>();
            assert!(worst.ulps <= bound, "{} f64 {isa}: {worst}, bound {bound}", function.name());
        }
    }

    /// Checks individual values of both types bit for bit, on every instruction set. Any NaN matches
    /// NaN.
    #[track_caller]
    pub(super) fn check_exact(function: Function, table: &[(f64, f64)]) {
        for isa in Isa::available() {
            for &(x, expected) in table {
                let mut wide = [x];
                apply(isa, function, &mut wide);
                let mut narrow = [x as f32];
                apply(isa, function, &mut narrow);
                let same = if expected.is_nan() {
                    wide[0].is_nan() && narrow[0].is_nan()
                } else {
                    wide[0].to_bits() == expected.to_bits()
                        && narrow[0].to_bits() == (expected as f32).to_bits()
                };
                assert!(
                    same,
                    "{}({x:e}) {isa}: {:e} and {:e}, not {expected:e}",
                    function.name(),
                    wide[0],
                    narrow[0]
                );
            }
        }
    }

    fn awkward_inputs<T: Element>(len: usize, seed: u64) -> Vec<T> {
        let mut random = SplitMix64::new(seed);
        let mut inputs: Vec<T> = (0..len).map(|_| T::from_f64(random.uniform_in(-120.0, 120.0))).collect();
        for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 1e-40, -1e30] {
            if len > 0 {
                inputs[random.below(len)] = T::from_f64(x);
            }
        }
        inputs
    }

    /// The result of an element depends only on that element, and nothing outside the slice changes.
    #[track_caller]
    fn check_positions<T: Element>() {
        for isa in Isa::available() {
            for function in Function::ALL {
                for len in (0..=40).chain([63, 64, 65, 1000]) {
                    let inputs = awkward_inputs::<T>(len + 2, len as u64);
                    let mut all = inputs.clone();
                    apply(isa, function, &mut all[1..=len]);
                    for i in 0..len + 2 {
                        let mut one = [inputs[i]];
                        if (1..=len).contains(&i) {
                            apply(isa, function, &mut one);
                        }
                        let same = bytemuck::bytes_of(&all[i]) == bytemuck::bytes_of(&one[0]);
                        let case = format!("{} {isa} length {len} at {i}", function.name());
                        assert!(same, "{case}: {:?} is {:?}, alone {:?}", inputs[i], all[i], one[0]);
                    }
                }
            }
        }
    }

    #[test]
    fn an_element_is_computed_from_itself_alone() {
        check_positions::<f32>();
        check_positions::<f64>();
    }

    #[test]
    fn paths_that_fuse_agree_to_the_bit() {
        let inputs = awkward_inputs::<f32>(100_000, 7);
        for function in Function::ALL {
            let results: Vec<Vec<u32>> = Isa::available()
                .filter(|isa| isa.fuses())
                .map(|isa| {
                    let mut values = inputs.clone();
                    apply(isa, function, &mut values);
                    values.into_iter().map(f32::to_bits).collect()
                })
                .collect();
            assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{}", function.name());
        }
    }

    #[test]
    fn names_are_distinct() {
        assert_eq!(Function::ALL.map(Function::name), ["exp", "tanh", "sigmoid", "softplus"]);
    }
}
