//! Random numbers in panels, and the corruptions and masks made from them.
//!
//! Each number is a function of the [`Stream`], the position of the row in its batch, the feature, and
//! the index of the draw, and of nothing else, so that threads, blocks and instruction sets make no
//! difference. It is computed in `f32` without fused multiply-adds, whatever the element type.

mod philox;

use std::f32::consts::SQRT_2;

use crate::isa::Isa;
use crate::panel::{self, Affine, Panels, PanelsMut};
use crate::simd::{Element, Kernel, Portable, Simd, WORDS, Words};
use philox::philox;

/// A stateless source of random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// The key of the generator: different keys give independent numbers.
    pub key: u64,
    /// The position in the batch of the first row of the panels at hand.
    pub first_row: usize,
    /// The index of the draw, where several are made for the same rows.
    pub draw_index: usize,
}

/// How rows are corrupted. Every value is corrupted independently.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Noise {
    /// Adds a normally distributed number with this standard deviation.
    Gaussian {
        /// Standard deviation.
        sigma: f64,
    },
    /// Sets a value to 0 with this probability (Vincent et al. 2008, sec. 2.3).
    Masking {
        /// The probability, in `[0, 1]`.
        fraction: f64,
    },
    /// Sets a value to 0 or 1, equally likely, with this probability (Vincent et al. 2010, sec. 3.3).
    SaltAndPepper {
        /// The probability, in `[0, 1]`.
        fraction: f64,
    },
}

/// Writes `src` with noise to `dst`. Missing values, which are NaN, become 0.
pub fn corrupt<T: Element>(
    isa: Isa,
    noise: Noise,
    stream: Stream,
    src: Panels<'_, T>,
    dst: PanelsMut<'_, T>,
) {
    assert!(src.rows() == dst.rows() && src.cols() == dst.cols(), "panels of different sizes");
    match noise {
        Noise::Gaussian { sigma } => {
            let of = Gaussian { sigma: T::from_f64(sigma) };
            T::run(isa, Each { stream, src, dst, of });
        }
        Noise::Masking { fraction } => {
            T::run(isa, Each { stream, src, dst, of: Masking { fraction: T::from_f32(fraction as f32) } });
        }
        Noise::SaltAndPepper { fraction } => {
            T::run(
                isa,
                Each { stream, src, dst, of: SaltAndPepper { fraction: T::from_f32(fraction as f32) } },
            );
        }
    }
}

/// The rows that [`swap`] takes replacement values from.
#[derive(Clone, Copy, Debug)]
pub struct Donors<'a, T> {
    /// A row-major table, `[_, features]`.
    pub table: &'a [f32],
    /// The donor rows of the table; at least one.
    pub indices: &'a [usize],
    /// The scaling of the table, as in [`crate::panel::gather_rows`].
    pub map: Option<Affine<'a, T>>,
}

/// Writes `src` to `dst`, but replaces the given `fraction` of the values by those that random donors
/// have in the same feature. Missing values, which are NaN, become 0. Panics if a donor is beyond the
/// end of the table.
pub fn swap<T: Element>(
    fraction: f64,
    stream: Stream,
    donors: Donors<'_, T>,
    src: Panels<'_, T>,
    mut dst: PanelsMut<'_, T>,
) {
    let features = src.rows();
    assert!(
        features == dst.rows() && src.cols() == dst.cols() && !donors.indices.is_empty(),
        "panels of different sizes, or no donors"
    );
    let known = |x: T| if x.to_f64().is_nan() { T::ZERO } else { x };
    let count = donors.indices.len() as u64;
    for index in 0..src.count() {
        let (from, to) = (src.panel(index), dst.panel(index));
        for first in (0..features).step_by(4) {
            let decisions = words::<T, _>(Portable::new(), stream, index, first / 4, Use::Value);
            let choices = words::<T, _>(Portable::new(), stream, index, first / 4, Use::Donor);
            for f in first..features.min(first + 4) {
                for lane in 0..T::PANEL {
                    let at = f * T::PANEL + lane;
                    to[at] = known(from[at]);
                    if uniform(decisions[f - first][lane]) < fraction as f32 {
                        let donor = ((u64::from(choices[f - first][lane]) * count) >> 32) as usize;
                        let x = donors.table[donors.indices[donor] * features + f];
                        let scaled = |map: Affine<'_, T>| panel::scaled(x, map.factor[f], map.shift[f]);
                        to[at] = known(donors.map.map_or(T::from_f32(x), scaled));
                    }
                }
            }
        }
    }
}

/// Drops each value with probability `fraction` and divides the others by `1 - fraction` (inverted
/// dropout; Srivastava et al. 2014, sec. 10). The function is its own derivative: the same stream drops
/// the same values.
pub fn drop_out<T: Element>(
    isa: Isa,
    fraction: f64,
    stream: Stream,
    src: Panels<'_, T>,
    dst: PanelsMut<'_, T>,
) {
    assert!(src.rows() == dst.rows() && src.cols() == dst.cols(), "panels of different sizes");
    let of = DropOut { fraction: T::from_f32(fraction as f32), scale: T::from_f64(1.0 / (1.0 - fraction)) };
    T::run(isa, Each { stream, src, dst, of });
}

/// Fills `dst` with standard normal numbers.
pub fn normal<T: Element>(isa: Isa, stream: Stream, dst: PanelsMut<'_, T>) {
    T::run(isa, Normal { stream, dst });
}

/// An operation on values, given random numbers.
trait RandomOp<T: Element>: Copy {
    /// Whether a missing value, which is NaN, becomes zero. Otherwise it is treated like any other
    /// value.
    const MISSING_IS_ZERO: bool = true;
    /// Converts random words to the random numbers that [`RandomOp::apply`] takes.
    #[inline(always)]
    fn numbers(words: &[u32; WORDS]) -> [f32; WORDS] {
        let mut numbers = [0.0; WORDS];
        for i in 0..WORDS {
            numbers[i] = uniform(words[i]);
        }
        numbers
    }
    fn apply<S: Simd<T>>(self, s: S, x: S::V, number: S::V) -> S::V;
}

#[derive(Clone, Copy)]
struct Gaussian<T> {
    sigma: T,
}
#[derive(Clone, Copy)]
struct Masking<T> {
    fraction: T,
}
#[derive(Clone, Copy)]
struct SaltAndPepper<T> {
    fraction: T,
}
#[derive(Clone, Copy)]
struct DropOut<T> {
    fraction: T,
    scale: T,
}

impl<T: Element> RandomOp<T> for Gaussian<T> {
    #[inline(always)]
    fn numbers(words: &[u32; WORDS]) -> [f32; WORDS] {
        normals(words)
    }
    #[inline(always)]
    fn apply<S: Simd<T>>(self, s: S, x: S::V, normal: S::V) -> S::V {
        s.add(x, s.mul(s.splat(self.sigma), normal))
    }
}

impl<T: Element> RandomOp<T> for Masking<T> {
    #[inline(always)]
    fn apply<S: Simd<T>>(self, s: S, x: S::V, u: S::V) -> S::V {
        s.select_lt(u, s.splat(self.fraction), s.splat(T::ZERO), x)
    }
}

impl<T: Element> RandomOp<T> for SaltAndPepper<T> {
    #[inline(always)]
    fn apply<S: Simd<T>>(self, s: S, x: S::V, u: S::V) -> S::V {
        let half = s.splat(T::from_f64(0.5) * self.fraction);
        let extreme = s.select_lt(u, half, s.splat(T::ZERO), s.splat(T::ONE));
        s.select_lt(u, s.splat(self.fraction), extreme, x)
    }
}

impl<T: Element> RandomOp<T> for DropOut<T> {
    // Between layers, NaN is not a missing value but the sign that training has diverged.
    const MISSING_IS_ZERO: bool = false;
    #[inline(always)]
    fn apply<S: Simd<T>>(self, s: S, x: S::V, u: S::V) -> S::V {
        s.select_lt(u, s.splat(self.fraction), s.splat(T::ZERO), s.mul(x, s.splat(self.scale)))
    }
}

struct Each<'a, T, F> {
    stream: Stream,
    src: Panels<'a, T>,
    dst: PanelsMut<'a, T>,
    of: F,
}

impl<T: Element, F: RandomOp<T>> Kernel<T> for Each<'_, T, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        let mut numbers = [T::ZERO; WORDS];
        for index in 0..self.src.count() {
            let (from, to) = (self.src.panel(index), self.dst.panel(index));
            let groups = from.chunks(4 * T::PANEL).zip(to.chunks_mut(4 * T::PANEL));
            for (group, (from, to)) in groups.enumerate() {
                let words = words::<T, _>(s, self.stream, index, group, Use::Value);
                let lines = from.chunks_exact(T::PANEL).zip(to.chunks_exact_mut(T::PANEL));
                for ((from, to), words) in lines.zip(&words) {
                    let of_words = F::numbers(words);
                    for i in 0..WORDS {
                        numbers[i] = T::from_f32(of_words[i]);
                    }
                    for lane in (0..T::PANEL).step_by(S::LANES) {
                        let x = s.load(&from[lane..]);
                        let y = self.of.apply(s, x, s.load(&numbers[lane..]));
                        let y = if F::MISSING_IS_ZERO { s.zero_if_nan(x, y) } else { y };
                        s.store(y, &mut to[lane..]);
                    }
                }
            }
        }
    }
}

struct Normal<'a, T> {
    stream: Stream,
    dst: PanelsMut<'a, T>,
}

impl<T: Element> Kernel<T> for Normal<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        for index in 0..self.dst.cols().div_ceil(T::PANEL) {
            for (group, lines) in self.dst.panel(index).chunks_mut(4 * T::PANEL).enumerate() {
                let words = words::<T, _>(s, self.stream, index, group, Use::Value);
                for (line, words) in lines.chunks_exact_mut(T::PANEL).zip(&words) {
                    for (y, normal) in line.iter_mut().zip(normals(words)) {
                        *y = T::from_f32(normal);
                    }
                }
            }
        }
    }
}

/// What a random word is used for, where a value needs two.
#[derive(Clone, Copy)]
enum Use {
    Value,
    Donor,
}

/// Random words for the four features of `group`, `[4][rows of a panel]`.
#[inline(always)]
fn words<T: Element, S: Words>(
    s: S,
    stream: Stream,
    panel: usize,
    group: usize,
    for_what: Use,
) -> [[u32; WORDS]; 4] {
    let first = (stream.first_row + panel * T::PANEL) as u32;
    let rows = s.words_from_array(std::array::from_fn(|i| first.wrapping_add(i as u32)));
    let others = [group, stream.draw_index, for_what as usize].map(|word| s.splat_word(word as u32));
    let [group, draw_index, which] = others;
    philox(s, [rows, group, draw_index, which], stream.key).map(|words| s.words_to_array(words))
}

/// Uniform in (0, 1): the middle of one of 2²³ equal steps.
#[inline(always)]
fn uniform(word: u32) -> f32 {
    ((word >> 9) as f32 + 0.5) * (1.0 / 8_388_608.0)
}

/// The polynomials of Giles (2010, "Approximating the erfinv function", table 1), highest powers first.
const CENTRE: [f32; 9] = [
    2.810_226_4e-8,
    3.432_739_4e-7,
    -3.523_387_7e-6,
    -4.391_506_5e-6,
    2.185_808_7e-4,
    -1.253_725e-3,
    -4.177_681_6e-3,
    0.246_640_73,
    1.501_409_4,
];
const TAIL: [f32; 9] = [
    -2.002_142_6e-4,
    1.009_505_6e-4,
    1.349_343_2e-3,
    -3.673_428_4e-3,
    5.739_507_7e-3,
    -7.622_461_3e-3,
    9.438_870_5e-3,
    1.001_674,
    2.832_976_8,
];

/// Where the second polynomial takes over: beyond 2.94 standard deviations, one number in 300.
const FAR: f32 = 5.0;

/// The normal quantile of each word, `√2 erf⁻¹(2u - 1)` with `u` its uniform number, with a relative
/// error of at most 4e-7.
#[inline(always)]
fn normals(words: &[u32; WORDS]) -> [f32; WORDS] {
    let (mut x, mut w, mut normals) = ([0.0; WORDS], [0.0; WORDS], [0.0; WORDS]);
    let mut any_far = false;
    for i in 0..WORDS {
        x[i] = 2.0 * uniform(words[i]) - 1.0;
        w[i] = -ln((1.0 - x[i]) * (1.0 + x[i]));
        normals[i] = SQRT_2 * x[i] * polynomial(&CENTRE, w[i] - 2.5);
        any_far |= w[i] >= FAR;
    }
    // Most lines have none, and computing both polynomials would take twice as long.
    if any_far {
        for i in 0..WORDS {
            if w[i] >= FAR {
                normals[i] = SQRT_2 * x[i] * polynomial(&TAIL, w[i].sqrt() - 3.0);
            }
        }
    }
    normals
}

#[inline(always)]
fn polynomial(coefficients: &[f32; 9], t: f32) -> f32 {
    let mut sum = coefficients[0];
    for i in 1..9 {
        sum = sum * t + coefficients[i];
    }
    sum
}

/// `ln x` of a positive normal (not denormal) number: `x = 2^n m` with `m` in `[1/√2, √2)`,
/// `ln m = 2 atanh((m - 1) / (m + 1))`.
#[inline(always)]
fn ln(x: f32) -> f32 {
    const HALF_ROOT: u32 = 0x3f35_04f3; // √½
    let bits = x.to_bits().wrapping_sub(HALF_ROOT);
    let n = (bits as i32 >> 23) as f32;
    let m = f32::from_bits((bits & 0x007f_ffff).wrapping_add(HALF_ROOT));
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    let series = 1.0 + q * (1.0 / 3.0 + q * (0.2 + q * (1.0 / 7.0 + q * (1.0 / 9.0))));
    n * std::f32::consts::LN_2 + 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms() {
        for i in 1..200_000_u32 {
            let x = i as f32 / 200_000.0;
            assert!((ln(x) - x.ln()).abs() <= 3e-7 * (1.0 + x.ln().abs()), "ln {x}: {}", ln(x));
        }
        assert!((ln(f32::MIN_POSITIVE) - f32::MIN_POSITIVE.ln()).abs() < 1e-5);
    }

    /// The normal quantile of a word.
    fn quantile_of(word: u32) -> f32 {
        normals(&[word; WORDS])[WORDS - 1]
    }

    /// The normal distribution function, computed by its series (Abramowitz & Stegun 26.2.10), inverts
    /// the quantile.
    #[test]
    fn quantiles() {
        let below = |x: f64| {
            let (mut term, mut sum) = (x, x);
            for k in 1..200 {
                term *= -x * x / (2.0 * f64::from(k));
                sum += term / f64::from(2 * k + 1);
            }
            0.5 + sum / (2.0 * std::f64::consts::PI).sqrt()
        };
        for step in (1..(1 << 23)).step_by(4099) {
            let u = uniform(step << 9);
            let normal = quantile_of(step << 9);
            let back = below(f64::from(normal));
            assert!((back - f64::from(u)).abs() < 3e-7, "{u}: {normal} gives {back}");
        }
        assert!(quantile_of(!0 >> 1).abs() < 1e-6);
        // The middle of the lowest step: 5.29 standard deviations.
        assert!((quantile_of(0) + 5.294_4).abs() < 1e-2, "{}", quantile_of(0));
    }
}
