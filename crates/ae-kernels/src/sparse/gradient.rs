//! The weight gradients of the two layers around a sparse code, each finished and handed to the
//! optimizer line by line.

use super::index::{Index, TransposedRows};
use crate::gemm::WeightRange;
use crate::isa::Isa;
use crate::panel::MAX_PANEL;
use crate::simd::{Element, Kernel, Simd};
use crate::update::{Rule, Target};

/// The operands of both gradients.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a, T> {
    /// The active features of the batch.
    pub index: &'a Index<T>,
    /// The data of all row blocks.
    pub data: &'a [T],
    /// Where in `data` the inputs of the encoder or the output deltas of the decoder are, as given to
    /// the index.
    pub place: TransposedRows,
}

/// Computes the gradient of a range of the layer above the code, `[features + 1, outputs]`, and hands it
/// to `rule`: `Σ_rows x δ` over the rows in which a feature is active. The other arguments are those of
/// [`crate::gemm::weight_gradient`].
pub fn decoder_gradient<T: Element>(
    isa: Isa,
    range: &WeightRange,
    sources: Sources<'_, T>,
    rule: Rule<T>,
    weights: &mut [T],
    state: &mut [T],
) {
    check(range, sources.index.features(), rule, weights, state);
    T::run(isa, DecoderGradient { range, sources, target: Target { rule, weights, state } });
}

/// Computes the gradient of a range of the layer below the code, `[inputs + 1, features]`, and hands it
/// to `rule`: `Σ_rows x δ` over the rows in which a feature is active.
pub fn encoder_gradient<T: Element>(
    isa: Isa,
    inputs: usize,
    range: &WeightRange,
    sources: Sources<'_, T>,
    rule: Rule<T>,
    weights: &mut [T],
    state: &mut [T],
) {
    check(range, inputs, rule, weights, state);
    assert!(range.rows.start.is_multiple_of(T::PANEL), "{range:?} starts within a line");
    T::run(isa, EncoderGradient { inputs, range, sources, target: Target { rule, weights, state } });
}

fn check<T: Element>(range: &WeightRange, inputs: usize, rule: Rule<T>, weights: &[T], state: &[T]) {
    assert!(
        range.rows.start <= range.rows.end
            && range.rows.end <= inputs + 1
            && range.checked_elements::<T>() == Some(weights.len())
            && state.len() == weights.len() * rule.state_per_parameter(),
        "{range:?} of {inputs} inputs, {} weights, {} of state",
        weights.len(),
        state.len(),
    );
}

struct DecoderGradient<'a, T> {
    range: &'a WeightRange,
    sources: Sources<'a, T>,
    target: Target<'a, T>,
}

impl<T: Element> Kernel<T> for DecoderGradient<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        let WeightRange { panels, rows } = self.range;
        let idle = self.target.rule.skips_zero_gradients();
        let Sources { index, data, place } = self.sources;
        let mut gradient = [T::ZERO; MAX_PANEL];
        for (number, panel) in panels.clone().enumerate() {
            for (line, feature) in rows.clone().enumerate() {
                let at = (number * rows.len() + line) * T::PANEL;
                let entries = index.of(feature);
                let is_bias = feature == index.features();
                if idle && entries.is_empty() && !is_bias {
                    continue;
                }
                for lane in (0..T::PANEL).step_by(S::LANES) {
                    let of = |row: usize| &data[(row + panel * T::PANEL) * T::PANEL + lane..];
                    let mut sum = s.splat(T::ZERO);
                    if is_bias {
                        for row in 0..index.rows() {
                            sum = s.add(sum, s.load(of(place.line::<T>(row))));
                        }
                    } else {
                        for entry in entries {
                            sum = s.mul_add(s.splat(entry.value), s.load(of(entry.output as usize)), sum);
                        }
                    }
                    s.store(sum, &mut gradient[lane..]);
                }
                self.target.update(s, at, &gradient[..T::PANEL]);
            }
        }
    }
}

/// Number of input panels whose gradients are summed together.
const TOGETHER: usize = 4;

struct EncoderGradient<'a, T> {
    inputs: usize,
    range: &'a WeightRange,
    sources: Sources<'a, T>,
    target: Target<'a, T>,
}

impl<T: Element> Kernel<T> for EncoderGradient<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        let WeightRange { panels, rows } = self.range;
        let idle = self.target.rule.skips_zero_gradients();
        let index = self.sources.index;
        let end = rows.end.min(self.inputs);
        let stride = TOGETHER * T::PANEL;
        // One line for each feature of a panel, and one panel of them transposed.
        let mut sums = [T::ZERO; MAX_PANEL * MAX_PANEL * TOGETHER];
        let mut transposed = [T::ZERO; MAX_PANEL * MAX_PANEL];
        for (number, panel) in panels.clone().enumerate() {
            let features = panel * T::PANEL..(panel + 1) * T::PANEL;
            if idle && features.clone().all(|feature| index.of(feature).is_empty()) {
                continue;
            }
            let base = number * rows.len() * T::PANEL;
            for first in (rows.start..end).step_by(stride) {
                let count = stride.min(end - first);
                for (line, feature) in sums.chunks_exact_mut(stride).zip(features.clone()) {
                    self.lines::<S>(s, feature, first, count, line);
                }
                for input in (first..first + count).step_by(T::PANEL) {
                    s.transpose(&sums[input - first..], stride, &mut transposed, T::PANEL);
                    let width = T::PANEL.min(end - input);
                    let at = base + (input - rows.start) * T::PANEL;
                    self.target.update(s, at, &transposed[..width * T::PANEL]);
                }
            }
            if rows.end > self.inputs && !rows.is_empty() {
                let mut gradient = [T::ZERO; MAX_PANEL];
                for (sum, feature) in gradient.iter_mut().zip(features) {
                    *sum = index.of(feature).iter().fold(T::ZERO, |sum, entry| sum + entry.delta);
                }
                self.target.update(s, base + (rows.len() - 1) * T::PANEL, &gradient[..T::PANEL]);
            }
        }
    }
}

impl<T: Element> EncoderGradient<'_, T> {
    /// Computes the gradients of one feature for `count` inputs, starting with input `first`.
    #[inline(always)]
    fn lines<S: Simd<T>>(&self, s: S, feature: usize, first: usize, count: usize, to: &mut [T]) {
        let Sources { index, data, .. } = self.sources;
        let entries = index.of(feature);
        let panels = count.div_ceil(T::PANEL);
        if panels < TOGETHER {
            for panel in 0..panels {
                self.some_lines::<S, 1>(
                    s,
                    entries,
                    data,
                    first / T::PANEL + panel,
                    &mut to[panel * T::PANEL..],
                );
            }
        } else {
            self.some_lines::<S, TOGETHER>(s, entries, data, first / T::PANEL, to);
        }
    }

    #[inline(always)]
    fn some_lines<S: Simd<T>, const N: usize>(
        &self,
        s: S,
        entries: &[super::index::Entry<T>],
        data: &[T],
        panel: usize,
        to: &mut [T],
    ) {
        for lane in (0..T::PANEL).step_by(S::LANES) {
            let mut sums = [s.splat(T::ZERO); N];
            for entry in entries {
                let delta = s.splat(entry.delta);
                for (n, sum) in sums.iter_mut().enumerate() {
                    let x = &data[(entry.input as usize + (panel + n) * T::PANEL) * T::PANEL + lane..];
                    *sum = s.mul_add(s.load(x), delta, *sum);
                }
            }
            for (n, sum) in sums.into_iter().enumerate() {
                s.store(sum, &mut to[n * T::PANEL + lane..]);
            }
        }
    }
}
