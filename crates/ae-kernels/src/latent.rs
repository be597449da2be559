//! The Gaussian latent of variational autoencoders (Kingma & Welling 2014).
//!
//! The encoder outputs `h` `[2 d, batch]`: the means `μ`, then the log-variances `v` of a posterior with
//! independent dimensions. The log-variances are clamped to `[-30, 20]`, with derivative 0 outside. A
//! code (a sample of the latent) is `z = μ + e^(v/2) ε` with `ε` from [`crate::noise::normal`]; the
//! prior is standard normal.
//!
//! Each sample of a row lies in a panel of its own: of `k` samples, sample `s` of batch panel `q` is
//! panel `q k + s` of the codes, `[d, padded batch × k]`.

use crate::isa::Isa;
use crate::loss::LOG_VARIANCE;
use crate::math;
use crate::noise::{Stream, normal};
use crate::panel::{Panels, PanelsMut};
use crate::simd::{Element, Kernel, Simd};

/// The weight and the free bits of the KL divergence of the posterior from the prior.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Divergence<T> {
    /// The factor of the divergence (`β` of Higgins et al. 2017).
    pub weight: T,
    /// The divergence, in nats, that each dimension of each row may have before it is penalised: the
    /// "free bits" of Kingma et al. (2016, sec. C.8), applied per row.
    pub free_nats: T,
}

/// Draws `samples` codes for each row. `h` is `[2 d, batch]`; `noise` and `codes` hold `samples` panels
/// of `[d]` lines for each panel of `h`.
pub fn sample<T: Element>(
    isa: Isa,
    stream: Stream,
    samples: usize,
    h: Panels<'_, T>,
    noise: &mut [T],
    codes: &mut [T],
) {
    let len = h.rows() / 2 * T::PANEL;
    assert!(
        h.rows().is_multiple_of(2) && noise.len() == h.count() * samples * len && codes.len() == noise.len(),
        "{samples} samples of h [{}, {}]: {} and {} values",
        h.rows(),
        h.cols(),
        noise.len(),
        codes.len(),
    );
    if len == 0 {
        return;
    }
    for (index, noise) in noise.chunks_exact_mut(len).enumerate() {
        let first_row = stream.first_row + index / samples * T::PANEL;
        let stream = Stream { first_row, draw_index: stream.draw_index + index % samples, ..stream };
        normal(isa, stream, PanelsMut::new(noise, h.rows() / 2, T::PANEL));
    }
    T::run(isa, Sample { samples, h, noise, codes });
}

struct Sample<'a, T> {
    samples: usize,
    h: Panels<'a, T>,
    noise: &'a [T],
    codes: &'a mut [T],
}

impl<T: Element> Kernel<T> for Sample<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let len = self.h.rows() / 2 * T::PANEL;
        let half = s.splat(T::from_f64(0.5));
        let panels = self.codes.chunks_exact_mut(len).zip(self.noise.chunks_exact(len));
        for (index, (codes, noise)) in panels.enumerate() {
            let (means, variances) = self.h.panel(index / self.samples).split_at(len);
            for at in (0..len).step_by(S::LANES) {
                let (v, _) = clamp(s, s.load(&variances[at..]));
                let sigma = math::exp(s, s.mul(half, v));
                let z = s.mul_add(sigma, s.load(&noise[at..]), s.load(&means[at..]));
                s.store(z, &mut codes[at..]);
            }
        }
    }
}

/// Returns the clamped log-variance, and 1 where it was within the bounds, else 0.
#[inline(always)]
fn clamp<T: Element, S: Simd<T>>(s: S, v: S::V) -> (S::V, S::V) {
    let (low, high) = (s.splat(T::from_f64(LOG_VARIANCE.0)), s.splat(T::from_f64(LOG_VARIANCE.1)));
    let inside = s.zero_unless_lt(low, v, s.zero_unless_lt(v, high, s.splat(T::ONE)));
    (s.max(low, s.min(high, v)), inside) // NaN passes: max and min return their second operand
}

/// Adds the divergence of each row, `weight Σ_d max(free, ½ (μ² + e^v - v - 1))`, to its loss (`losses`
/// `[batch]`).
pub fn add_divergence<T: Element>(isa: Isa, divergence: Divergence<T>, h: Panels<'_, T>, losses: &mut [T]) {
    assert!(h.rows().is_multiple_of(2) && losses.len() == h.cols(), "a loss for each row");
    T::run(isa, AddDivergence { divergence, h, losses });
}

struct AddDivergence<'a, T> {
    divergence: Divergence<T>,
    h: Panels<'a, T>,
    losses: &'a mut [T],
}

impl<T: Element> Kernel<T> for AddDivergence<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let len = self.h.rows() / 2 * T::PANEL;
        let (weight, free) = (s.splat(self.divergence.weight), s.splat(self.divergence.free_nats));
        for (index, losses) in self.losses.chunks_mut(T::PANEL).enumerate() {
            let (means, variances) = self.h.panel(index).split_at(len);
            let mut sums = [T::ZERO; 16];
            sums[..losses.len()].copy_from_slice(losses);
            for lane in (0..T::PANEL).step_by(S::LANES) {
                let mut sum = s.splat(T::ZERO);
                for at in (lane..len).step_by(T::PANEL) {
                    let (v, _) = clamp(s, s.load(&variances[at..]));
                    sum = s.add(sum, s.max(free, dimension_divergence(s, s.load(&means[at..]), v).0));
                }
                s.store(s.mul_add(weight, sum, s.load(&sums[lane..])), &mut sums[lane..]);
            }
            losses.copy_from_slice(&sums[..losses.len()]);
        }
    }
}

/// Returns the divergence of one dimension, and `e^v`.
#[inline(always)]
fn dimension_divergence<T: Element, S: Simd<T>>(s: S, mean: S::V, v: S::V) -> (S::V, S::V) {
    let variance = math::exp(s, v);
    let rest = s.sub(s.sub(variance, v), s.splat(T::ONE));
    (s.mul(s.splat(T::from_f64(0.5)), s.mul_add(mean, mean, rest)), variance)
}

/// Computes the delta of `h` from the divergence and the deltas `dz` of the codes, for one sample per
/// row. `h` and `dh` are `[2 d, batch]`; `noise` and `dz` hold a panel of `[d]` lines for each panel of
/// `h`.
pub fn backward<T: Element>(
    isa: Isa,
    divergence: Divergence<T>,
    h: Panels<'_, T>,
    noise: &[T],
    dz: &[T],
    dh: PanelsMut<'_, T>,
) {
    let len = h.count() * (h.rows() / 2) * T::PANEL;
    assert!(
        dh.rows() == h.rows() && dh.cols() == h.cols() && noise.len() == len && dz.len() == len,
        "h [{}, {}], dh [{}, {}], {} values of noise, {} of dz",
        h.rows(),
        h.cols(),
        dh.rows(),
        dh.cols(),
        noise.len(),
        dz.len(),
    );
    T::run(isa, Backward { divergence, h, noise, dz, dh });
}

struct Backward<'a, T> {
    divergence: Divergence<T>,
    h: Panels<'a, T>,
    noise: &'a [T],
    dz: &'a [T],
    dh: PanelsMut<'a, T>,
}

impl<T: Element> Kernel<T> for Backward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        let len = self.h.rows() / 2 * T::PANEL;
        let half = s.splat(T::from_f64(0.5));
        let weight = s.splat(self.divergence.weight);
        // Near the prior, the divergence of a dimension may be rounded to 0 or less, although its
        // derivatives are not 0.
        let all = self.divergence.free_nats == T::ZERO;
        let free = s.splat(if all { T::from_f64(f64::NEG_INFINITY) } else { self.divergence.free_nats });
        for index in 0..self.h.count() {
            let (means, variances) = self.h.panel(index).split_at(len);
            let noise = &self.noise[index * len..][..len];
            let dz = &self.dz[index * len..][..len];
            let (d_means, d_variances) = self.dh.panel(index).split_at_mut(len);
            for at in (0..len).step_by(S::LANES) {
                let (mean, noise, dz) = (s.load(&means[at..]), s.load(&noise[at..]), s.load(&dz[at..]));
                let (v, inside) = clamp(s, s.load(&variances[at..]));
                let (nats, variance) = dimension_divergence(s, mean, v);
                // Within the free bits, there is no pull towards the prior.
                let pull = s.zero_unless_lt(free, nats, weight);
                s.store(s.mul_add(pull, mean, dz), &mut d_means[at..]);
                let sigma = math::exp(s, s.mul(half, v));
                let of_code = s.mul(s.mul(half, sigma), s.mul(noise, dz));
                let of_prior = s.mul(s.mul(half, pull), s.sub(variance, s.splat(T::ONE)));
                s.store(s.mul(inside, s.add(of_code, of_prior)), &mut d_variances[at..]);
            }
        }
    }
}

/// Computes `log p(z) - log q(z | x)`, which is `½ Σ_d (ε² + v - z²)`, for the codes of every sample:
/// the log ratio of the densities of a code under the prior and under the posterior. `ratios` gets a
/// panel row for each panel of codes.
pub fn log_ratio<T: Element>(
    isa: Isa,
    samples: usize,
    h: Panels<'_, T>,
    noise: &[T],
    codes: &[T],
    ratios: &mut [T],
) {
    let panels = h.count() * samples;
    let len = panels * (h.rows() / 2) * T::PANEL;
    assert!(
        noise.len() == len && codes.len() == len && ratios.len() == panels * T::PANEL,
        "{samples} samples of h [{}, {}]: {} values of noise, {} of codes, {} ratios",
        h.rows(),
        h.cols(),
        noise.len(),
        codes.len(),
        ratios.len(),
    );
    T::run(isa, LogRatio { samples, h, noise, codes, ratios });
}

struct LogRatio<'a, T> {
    samples: usize,
    h: Panels<'a, T>,
    noise: &'a [T],
    codes: &'a [T],
    ratios: &'a mut [T],
}

impl<T: Element> Kernel<T> for LogRatio<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let len = self.h.rows() / 2 * T::PANEL;
        let half = s.splat(T::from_f64(0.5));
        for (index, ratios) in self.ratios.chunks_exact_mut(T::PANEL).enumerate() {
            let (_, variances) = self.h.panel(index / self.samples).split_at(len);
            let noise = &self.noise[index * len..][..len];
            let codes = &self.codes[index * len..][..len];
            for lane in (0..T::PANEL).step_by(S::LANES) {
                let mut sum = s.splat(T::ZERO);
                for at in (lane..len).step_by(T::PANEL) {
                    let (v, _) = clamp(s, s.load(&variances[at..]));
                    let (e, z) = (s.load(&noise[at..]), s.load(&codes[at..]));
                    sum = s.add(sum, s.neg_mul_add(z, z, s.mul_add(e, e, v)));
                }
                s.store(s.mul(half, sum), &mut ratios[lane..]);
            }
        }
    }
}

/// Computes the delta of `h` for the bound of importance-weighted autoencoders (Burda et al. 2015,
/// eq. 14). `codes` are the noise and the codes; `dz` are the deltas of the codes of all samples,
/// already multiplied by the normalised importance `weights` (a panel row for each panel of codes).
pub fn backward_importance<T: Element>(
    isa: Isa,
    samples: usize,
    h: Panels<'_, T>,
    codes: [&[T]; 2],
    weights: &[T],
    dz: &[T],
    dh: PanelsMut<'_, T>,
) {
    let panels = h.count() * samples;
    let len = panels * (h.rows() / 2) * T::PANEL;
    assert!(
        codes.iter().all(|values| values.len() == len)
            && dz.len() == len
            && weights.len() == panels * T::PANEL
            && dh.rows() == h.rows()
            && dh.cols() == h.cols(),
        "{samples} samples of h [{}, {}]: {} codes, {} weights, {} of dz, dh [{}, {}]",
        h.rows(),
        h.cols(),
        codes[0].len(),
        weights.len(),
        dz.len(),
        dh.rows(),
        dh.cols(),
    );
    let [noise, codes] = codes;
    T::run(isa, BackwardImportance { samples, h, noise, codes, weights, dz, dh });
}

struct BackwardImportance<'a, T> {
    samples: usize,
    h: Panels<'a, T>,
    noise: &'a [T],
    codes: &'a [T],
    weights: &'a [T],
    dz: &'a [T],
    dh: PanelsMut<'a, T>,
}

impl<T: Element> Kernel<T> for BackwardImportance<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        let len = self.h.rows() / 2 * T::PANEL;
        let half = s.splat(T::from_f64(0.5));
        for index in 0..self.h.count() {
            let (_, variances) = self.h.panel(index).split_at(len);
            let (d_means, d_variances) = self.dh.panel(index).split_at_mut(len);
            for at in (0..len).step_by(S::LANES) {
                let (v, inside) = clamp(s, s.load(&variances[at..]));
                let mut of_mean = s.splat(T::ZERO);
                let mut of_noise = of_mean;
                for sample in index * self.samples..(index + 1) * self.samples {
                    let from = sample * len + at;
                    let weight = s.load(&self.weights[sample * T::PANEL + at % T::PANEL..]);
                    // The gradient of -log p(z) with respect to a code is z.
                    let d = s.mul_add(weight, s.load(&self.codes[from..]), s.load(&self.dz[from..]));
                    of_mean = s.add(of_mean, d);
                    of_noise = s.mul_add(d, s.load(&self.noise[from..]), of_noise);
                }
                s.store(of_mean, &mut d_means[at..]);
                let sigma = math::exp(s, s.mul(half, v));
                // log q(z | x) changes by -1/2 per unit of log-variance, whatever the code.
                let d = s.sub(s.mul(s.mul(half, sigma), of_noise), half);
                s.store(s.mul(inside, d), &mut d_variances[at..]);
            }
        }
    }
}

/// Multiplies every column of the panels by its factor. `values` are panels of `lines` lines; `factors`
/// has a panel row for each panel.
pub fn scale_columns<T: Element>(isa: Isa, lines: usize, factors: &[T], values: &mut [T]) {
    assert!(values.len() == factors.len() * lines, "{} values, {} factors", values.len(), factors.len());
    T::run(isa, ScaleColumns { lines, factors, values });
}

struct ScaleColumns<'a, T> {
    lines: usize,
    factors: &'a [T],
    values: &'a mut [T],
}

impl<T: Element> Kernel<T> for ScaleColumns<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let panels = self.values.chunks_exact_mut((self.lines * T::PANEL).max(1));
        for (panel, factors) in panels.zip(self.factors.chunks_exact(T::PANEL)) {
            for lane in (0..T::PANEL).step_by(S::LANES) {
                let factor = s.load(&factors[lane..]);
                for line in panel.chunks_exact_mut(T::PANEL) {
                    let line = &mut line[lane..];
                    s.store(s.mul(factor, s.load(line)), line);
                }
            }
        }
    }
}
