//! Random numbers in panels, and the corruptions and masks made of them.
//!
//! A number is a function of a [`Stream`], the row's place in its batch, its feature and which of several drawings it is; of
//! nothing else, so that threads, blocks and instruction sets make no difference. It is computed in `f32` without fused
//! multiply-adds, whatever the element type.

mod philox;

use crate::isa::Isa;
use crate::panel::{Affine, Panels, PanelsMut};
use crate::simd::{Element, Kernel, Portable, Simd, WORDS, Words};
use philox::philox;

/// A source of random numbers that has no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Which numbers: those of different keys are independent.
    pub key: u64,
    /// The place in the batch of the first row of the panels at hand.
    pub first_row: usize,
    /// Which of several drawings for the same rows.
    pub drawing: usize,
}

/// How rows are corrupted. Each cell meets its own fate.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Noise {
    /// Adds a normal number of this standard deviation.
    Gaussian {
        /// Standard deviation.
        sigma: f64,
    },
    /// Becomes 0 with this probability (Vincent et al. 2008, sec. 2.3).
    Masking {
        /// In `[0, 1]`.
        share: f64,
    },
    /// Becomes 0 or 1, each as likely, with this probability (Vincent et al. 2010, sec. 3.3).
    SaltAndPepper {
        /// In `[0, 1]`.
        share: f64,
    },
}

/// `dst` becomes `src` with noise. Missing values, which are NaN, become 0.
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
        Noise::Masking { share } => {
            T::run(isa, Each { stream, src, dst, of: Masking { share: share as f32 } });
        }
        Noise::SaltAndPepper { share } => {
            T::run(isa, Each { stream, src, dst, of: SaltAndPepper { share: share as f32 } });
        }
    }
}

/// The rows that [`swap`] takes values from.
#[derive(Clone, Copy, Debug)]
pub struct Donors<'a, T> {
    /// Row-major, `[_, features]`.
    pub table: &'a [f32],
    /// Which of its rows; at least one.
    pub indices: &'a [usize],
    /// Their scaling, as in [`crate::panel::gather_rows`].
    pub map: Option<Affine<'a, T>>,
}

/// `dst` becomes `src`, but for a share of the values, which become those that a random one of the donors has in the same feature.
/// Missing values, which are NaN, become 0. Panics if a donor is beyond the table.
pub fn swap<T: Element>(
    share: f64,
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
            let fates = words::<T, _>(Portable::new(), stream, index, first / 4, Use::Value);
            let choices = words::<T, _>(Portable::new(), stream, index, first / 4, Use::Donor);
            for f in first..features.min(first + 4) {
                for lane in 0..T::PANEL {
                    let at = f * T::PANEL + lane;
                    to[at] = known(from[at]);
                    if uniform(fates[f - first][lane]) < share as f32 {
                        let donor = ((u64::from(choices[f - first][lane]) * count) >> 32) as usize;
                        let x = T::from_f32(donors.table[donors.indices[donor] * features + f]);
                        let x = donors.map.map_or(x, |map| (x - map.shift[f]) * map.factor[f]);
                        to[at] = known(x);
                    }
                }
            }
        }
    }
}

/// Drops each value with probability `share` and divides the others by `1 - share` (Srivastava et al. 2014, sec. 10, inverted): its
/// own derivative, since the same stream drops the same.
pub fn drop_out<T: Element>(isa: Isa, share: f64, stream: Stream, src: Panels<'_, T>, dst: PanelsMut<'_, T>) {
    assert!(src.rows() == dst.rows() && src.cols() == dst.cols(), "panels of different sizes");
    let of = DropOut { share: share as f32, scale: T::from_f64(1.0 / (1.0 - share)) };
    T::run(isa, Each { stream, src, dst, of });
}

/// Standard normal numbers.
pub fn normal<T: Element>(isa: Isa, stream: Stream, dst: PanelsMut<'_, T>) {
    T::run(isa, Normal { stream, dst });
}

/// What becomes of a value, given a random word.
trait OfWord<T>: Copy {
    fn apply(self, x: T, word: u32) -> T;
}

#[derive(Clone, Copy)]
struct Gaussian<T> {
    sigma: T,
}
#[derive(Clone, Copy)]
struct Masking {
    share: f32,
}
#[derive(Clone, Copy)]
struct SaltAndPepper {
    share: f32,
}
#[derive(Clone, Copy)]
struct DropOut<T> {
    share: f32,
    scale: T,
}

impl<T: Element> OfWord<T> for Gaussian<T> {
    #[inline(always)]
    fn apply(self, x: T, word: u32) -> T {
        x + self.sigma * T::from_f32(quantile(uniform(word)))
    }
}

impl<T: Element> OfWord<T> for Masking {
    #[inline(always)]
    fn apply(self, x: T, word: u32) -> T {
        if uniform(word) < self.share { T::ZERO } else { x }
    }
}

impl<T: Element> OfWord<T> for SaltAndPepper {
    #[inline(always)]
    fn apply(self, x: T, word: u32) -> T {
        let u = uniform(word);
        let extreme = if u < 0.5 * self.share { T::ZERO } else { T::ONE };
        if u < self.share { extreme } else { x }
    }
}

impl<T: Element> OfWord<T> for DropOut<T> {
    #[inline(always)]
    fn apply(self, x: T, word: u32) -> T {
        if uniform(word) < self.share { T::ZERO } else { x * self.scale }
    }
}

struct Each<'a, T, F> {
    stream: Stream,
    src: Panels<'a, T>,
    dst: PanelsMut<'a, T>,
    of: F,
}

impl<T: Element, F: OfWord<T>> Kernel<T> for Each<'_, T, F> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        for index in 0..self.src.count() {
            let (from, to) = (self.src.panel(index), self.dst.panel(index));
            let groups = from.chunks(4 * T::PANEL).zip(to.chunks_mut(4 * T::PANEL));
            for (group, (from, to)) in groups.enumerate() {
                let words = words::<T, _>(s, self.stream, index, group, Use::Value);
                let lines = from.chunks_exact(T::PANEL).zip(to.chunks_exact_mut(T::PANEL));
                for ((from, to), words) in lines.zip(&words) {
                    for ((x, y), word) in from.iter().zip(to).zip(words) {
                        // A value that is not equal to itself is missing.
                        #[allow(clippy::eq_op, reason = "NaN")]
                        let known = *x == *x;
                        *y = if known { self.of.apply(*x, *word) } else { T::ZERO };
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
                    for (y, word) in line.iter_mut().zip(words) {
                        *y = T::from_f32(quantile(uniform(*word)));
                    }
                }
            }
        }
    }
}

/// What a word is for, where a value needs two.
#[derive(Clone, Copy)]
enum Use {
    Value,
    Donor,
}

/// The words of four features, `[4][rows of a panel]`.
#[inline(always)]
fn words<T: Element, S: Words>(
    s: S,
    stream: Stream,
    panel: usize,
    group: usize,
    for_what: Use,
) -> [[u32; WORDS]; 4] {
    let first = (stream.first_row + panel * T::PANEL) as u32;
    let rows = s.words(std::array::from_fn(|i| first.wrapping_add(i as u32)));
    let others = [group, stream.drawing, for_what as usize].map(|word| s.same(word as u32));
    let [group, drawing, which] = others;
    philox(s, [rows, group, drawing, which], stream.key).map(|words| s.array(words))
}

/// In (0, 1), the middle of one of 2²³ equal steps.
#[inline(always)]
fn uniform(word: u32) -> f32 {
    ((word >> 9) as f32 + 0.5) * (1.0 / 8_388_608.0)
}

/// The normal number below which a share `u` of them lies, `√2 erf⁻¹(2u - 1)`, by the polynomials of Giles (2010, "Approximating
/// the erfinv function", table 1): within 4e-7 of it, relatively.
#[inline(always)]
fn quantile(u: f32) -> f32 {
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
    let x = 2.0 * u - 1.0;
    let w = -ln((1.0 - x) * (1.0 + x));
    let central = w < 5.0;
    let t = if central { w - 2.5 } else { w.sqrt() - 3.0 };
    let mut sum = if central { CENTRE[0] } else { TAIL[0] };
    for i in 1..9 {
        sum = sum * t + if central { CENTRE[i] } else { TAIL[i] };
    }
    std::f32::consts::SQRT_2 * x * sum
}

/// `ln x` of a normal number: `x = 2^n m` with `m` in `[1/√2, √2)`, `ln m = 2 atanh((m - 1) / (m + 1))`.
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

    /// The distribution function of the normal distribution undoes the quantile: by its series (Abramowitz & Stegun 26.2.10).
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
            let back = below(f64::from(quantile(u)));
            assert!((back - f64::from(u)).abs() < 3e-7, "{u}: {} gives {back}", quantile(u));
        }
        assert!(quantile(0.5f32.next_down()).abs() < 1e-6);
        // The middle of the lowest step: 5.29 standard deviations.
        assert!((quantile(uniform(0)) + 5.294_4).abs() < 1e-2, "{}", quantile(uniform(0)));
    }
}
