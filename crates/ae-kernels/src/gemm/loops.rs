//! The loops around the micro-kernel.

use super::micro::{self, BIASES, End, Finish, Operand, Start, Sums, Tile};
use super::{BatchPanels, Blocking, Round, WeightRange, Width, pieces};
use crate::activation::{Activation, Epilogue, Slope, times_slope};
use crate::panel::{MAX_PANEL, Panels, Spread, SpreadMut, panel_count};
use crate::simd::{Element, Kernel, Simd};
use crate::update::{Rule, Target};
use crate::workspace::Line;

/// Bytes of weights beyond what any L2 holds. Larger weights are prefetched one panel ahead, which is 3
/// to 4 % faster if they come from L3 or memory, and as much slower if they don't (but see
/// [`FEW_PANELS`]).
const FAR: usize = 2 << 20;

/// Panels of rows up to which AVX-512 prefetches no weights.
const FEW_PANELS: usize = 8;

/// See [`super::forward`].
#[allow(unnameable_types, reason = "the argument of a closed trait")]
pub struct Forward<'a, T> {
    pub(super) blocking: Blocking,
    pub(super) weights: Panels<'a, T>,
    pub(super) x: Spread<'a, T>,
    pub(super) y: SpreadMut<'a, T>,
    pub(super) epilogue: Epilogue<'a, T>,
}

impl<T: Element> Kernel<T> for Forward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        let (inputs, outputs) = (self.x.rows(), self.y.rows());
        let batch_panels = self.x.count();
        let w_panel = (inputs + 1) * T::PANEL;
        let Blocking { kc, nc } = self.blocking;
        let weight_panels = self.weights.count();
        let in_strip = panel_count::<T>(nc);
        // Lines of the next panel of weights to prefetch with each panel of the batch. With AVX-512 and few
        // panels, that many at once hold up the loads: 4 to 6 % of a step.
        let at_ease = S::WIDE_TILE_ROWS == 0 || batch_panels > FEW_PANELS;
        let far = at_ease && size_of_val(self.weights.data()) > FAR;
        let ahead = if far { kc.min(inputs).div_ceil(batch_panels) } else { 0 };
        let rectified = self.epilogue.activation == Activation::Relu && self.epilogue.slopes.is_none();
        for strip in (0..weight_panels).step_by(in_strip) {
            let mut k = 0;
            loop {
                let steps = kc.min(inputs - k);
                let last = k + steps == inputs;
                for wp in strip..weight_panels.min(strip + in_strip) {
                    let width = T::PANEL.min(outputs - wp * T::PANEL);
                    let w = &self.weights.data()[wp * w_panel..][..w_panel];
                    let mut xp = 0;
                    let next = self.weights.data().as_ptr().wrapping_add((wp + 1) * w_panel + k * T::PANEL);
                    while xp < batch_panels {
                        let Width { panels, half, most } = Width::at::<T, S>(self.x.cols(), xp);
                        for line in xp * ahead..(xp + panels) * ahead {
                            s.prefetch(next.wrapping_add(line * T::PANEL));
                        }
                        for (first, rows) in pieces(width, most) {
                            let row = wp * T::PANEL + first;
                            let tile = Tile {
                                rows,
                                panels,
                                half,
                                start: if k == 0 {
                                    Start::Splat(&w[inputs * T::PANEL + first..])
                                } else {
                                    Start::Load
                                },
                                operand: Operand {
                                    scalars: &w[k * T::PANEL + first..],
                                    scalar_step: T::PANEL,
                                    scalar_row: 1,
                                    scalar_segment: 0,
                                    vectors: self.x.lines(xp, panels, k, steps),
                                    steps,
                                    segment_steps: steps,
                                },
                                finish: if last && rectified { Finish::Rectify } else { Finish::Nothing },
                                out: self.y.lines(xp, panels, row, rows),
                            };
                            micro::store_tile(s, tile);
                            if last && !rectified {
                                for panel in xp..xp + panels {
                                    let values =
                                        &mut self.y.panel(panel)[row * T::PANEL..][..rows * T::PANEL];
                                    self.epilogue.finish(s, (panel * outputs + row) * T::PANEL, values);
                                }
                            }
                        }
                        xp += panels;
                    }
                }
                if last {
                    break;
                }
                k += steps;
            }
        }
    }
}

/// See [`super::backward_input`].
#[allow(unnameable_types, reason = "the argument of a closed trait")]
pub struct BackwardInput<'a, T> {
    pub(super) blocking: Blocking,
    pub(super) weights: Panels<'a, T>,
    pub(super) first: usize,
    pub(super) delta: Spread<'a, T>,
    pub(super) below: (Spread<'a, T>, Slope),
    pub(super) dx: SpreadMut<'a, T>,
}

impl<T: Element> Kernel<T> for BackwardInput<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        let (inputs, outputs) = (self.dx.rows(), self.delta.rows());
        let batch_panels = self.delta.count();
        let w_panel = self.weights.rows() * T::PANEL;
        let (below, slope) = self.below;
        let rectified = slope == Slope::Of(Activation::Relu);
        let kc = self.blocking.kc.min(outputs.max(1)).next_multiple_of(T::PANEL);
        let rows = self.delta.cols();
        let width = |panel| Width::at::<T, S>(rows, panel);
        let most = width(0).most.min(width(batch_panels.saturating_sub(1)).most);
        for (strip, features) in pieces(inputs, self.blocking.nc) {
            let mut n = 0;
            loop {
                let steps = kc.min(outputs - n);
                let last = n + steps == outputs;
                for (first, rows) in pieces(features, most) {
                    let first = strip + first;
                    let mut xp = 0;
                    while xp < batch_panels {
                        let Width { panels, half, .. } = width(xp);
                        let tile = Tile {
                            rows,
                            panels,
                            half,
                            start: if n == 0 { Start::Zero } else { Start::Load },
                            operand: Operand {
                                // Without outputs there are no weights to start in and no steps to take.
                                scalars: self
                                    .weights
                                    .data()
                                    .get(n / T::PANEL * w_panel + (self.first + first) * T::PANEL..)
                                    .unwrap_or_default(),
                                scalar_step: 1,
                                scalar_row: T::PANEL,
                                scalar_segment: w_panel,
                                vectors: self.delta.lines(xp, panels, n, steps),
                                steps,
                                segment_steps: T::PANEL,
                            },
                            finish: if last && rectified {
                                Finish::KeepPositive(below.lines(xp, panels, first, rows))
                            } else {
                                Finish::Nothing
                            },
                            out: self.dx.lines(xp, panels, first, rows),
                        };
                        micro::store_tile(s, tile);
                        if last && !rectified {
                            let lines = first * T::PANEL..(first + rows) * T::PANEL;
                            for panel in xp..xp + panels {
                                let y = &below.panel(panel)[lines.clone()];
                                times_slope(s, slope, y, &mut self.dx.panel(panel)[lines.clone()]);
                            }
                        }
                        xp += panels;
                    }
                }
                if last {
                    break;
                }
                n += steps;
            }
        }
    }
}

/// How the loops of [`WeightGradient`] are blocked.
struct Chunks {
    /// Panels of outputs per group, which read the same chunk of inputs before the next.
    group: usize,
    /// Inputs per chunk.
    inputs: usize,
}

/// For tiles of one panel: for 128 rows the inputs of a chunk are 24 KiB, and their sums, which may have
/// to wait for further rows of the batch, 12 KiB.
const NARROW: Chunks = Chunks { group: 4, inputs: 48 };
/// For tiles of two panels. They read each input half as often, and sharing inputs gains less than long
/// runs of parameters, which the hardware prefetches: 2 to 5 % of a step. Sums are 24 KiB.
const WIDE: Chunks = Chunks { group: 2, inputs: 192 };

/// See [`super::weight_gradient`].
#[allow(unnameable_types, reason = "the argument of a closed trait")]
pub struct WeightGradient<'a, T> {
    pub(super) blocking: Blocking,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) range: &'a WeightRange,
    pub(super) x: BatchPanels<'a, T>,
    pub(super) delta: BatchPanels<'a, T>,
    pub(super) round: Round<'a, T>,
    pub(super) rule: Rule<T>,
    pub(super) weights: &'a mut [T],
    pub(super) state: &'a mut [T],
}

impl<T: Element> Kernel<T> for WeightGradient<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let WeightGradient { blocking, inputs, outputs, range, x, delta, round, rule, weights, state } = self;
        x.assert_holds_all();
        delta.assert_holds_all();
        let (lines, first_input) = (range.rows.len(), range.rows.start);
        let count = range.rows.end.min(inputs).saturating_sub(first_input);
        let has_bias = range.rows.end == inputs + 1 && lines > 0;
        let (batch_panels, most) = (x.count(), panel_count::<T>(blocking.kc));
        let source = |panel: usize| micro::BatchOperand {
            x,
            delta,
            delta_at: (range.panels.start + panel) * T::PANEL * T::PANEL,
        };
        let mut target = Target { rule, weights, state };
        let whole = batch_panels <= most;
        // Plain descent by a single block of rows needs no memory between sums and parameters: 1.5 to 3 %
        // of a step of 32 rows (AVX-512).
        let descent = match rule {
            Rule::Sgd { step } if whole && round.first && round.last => Some(step),
            _ => None,
        };
        let Chunks { group: most_panels, inputs: most_inputs } =
            if S::WIDE_TILE_ROWS > 0 { WIDE } else { NARROW };
        // Sums of a chunk of inputs for the panels that are processed together; or, if they wait for the
        // next block, for all panels of the group. Clearing 24 KiB would cost narrow layers a tenth of a
        // step, so there are arrays of several sizes, of which only the one that is used is cleared.
        let together = if !whole {
            most_panels
        } else if S::WIDE_TILE_ROWS > 0 {
            2
        } else {
            1
        };
        let stride = most_inputs.min(count) * T::PANEL;
        let (mut few_lines, mut some_lines, mut all_lines);
        let waiting: &mut [T] = match together.min(range.panels.len()) * most_inputs.min(count) {
            _ if descent.is_some() => &mut [],
            ..=48 => {
                few_lines = [Line::default(); 48];
                bytemuck::cast_slice_mut(&mut few_lines)
            }
            49..=208 => {
                some_lines = [Line::default(); 208];
                bytemuck::cast_slice_mut(&mut some_lines)
            }
            _ => {
                all_lines = [Line::default(); WIDE.group * WIDE.inputs];
                bytemuck::cast_slice_mut(&mut all_lines)
            }
        };
        // Hides the latency of L3 on AVX2. CPUs with AVX-512 prefetch better by themselves: there, this cost
        // 5 % of a step of plain descent and 20 % with Adam, whose state is twice as large.
        let prefetches = round.last && S::WIDE_TILE_ROWS == 0;
        for (group, panels) in pieces(range.panels.len(), most_panels) {
            for (start, inputs) in pieces(count, most_inputs) {
                // Without rows the sum is zero, and is still passed on.
                for (before, block) in pieces(batch_panels.max(1), most) {
                    let span = before..batch_panels.min(before + block);
                    let mut panel = 0;
                    while panel < panels {
                        let wide = S::WIDE_TILE_ROWS > 0 && panel + 1 < panels;
                        let width = if wide { 2 } else { 1 };
                        let sums = &mut waiting[if whole { 0 } else { panel * stride }..];
                        let first = first_input + start;
                        let source = source(group + panel);
                        let (is_first, is_last) = (span.start == 0, span.end == batch_panels);
                        for n in 0..width {
                            let at = ((group + panel + n) * lines + start) * T::PANEL;
                            if is_first && !round.first {
                                let carried = &round.sums[at..][..inputs * T::PANEL];
                                sums[n * stride..][..carried.len()].copy_from_slice(carried);
                            }
                            if is_last && prefetches {
                                target.prefetch(s, at, inputs * T::PANEL);
                            }
                        }
                        let outputs = outputs - (range.panels.start + group + panel) * T::PANEL;
                        let outputs = (width * T::PANEL).min(outputs);
                        let end = if is_first && round.first { End::Store } else { End::Add };
                        let results = match descent {
                            None => Sums { lines: &mut *sums, panel: stride, end },
                            Some(step) => {
                                let at = ((group + panel) * lines + start) * T::PANEL;
                                let (lines, panel) = (&mut target.weights[at..], lines * T::PANEL);
                                Sums { lines, panel, end: End::Descend { step } }
                            }
                        };
                        // SAFETY: both operands hold all their panels, of as many rows in blocks of as many panels
                        // (asserted at the start, and by `gemm::weight_gradient`).
                        unsafe {
                            let inputs = first..first + inputs;
                            micro::gradient_tiles(s, inputs, outputs, source, span.clone(), results);
                        }
                        if is_last && descent.is_none() {
                            for (n, sums) in sums.chunks(stride).take(width).enumerate() {
                                let at = ((group + panel + n) * lines + start) * T::PANEL;
                                let sums = &sums[..inputs * T::PANEL];
                                if round.last {
                                    target.update(s, at, sums);
                                } else {
                                    round.sums[at..][..sums.len()].copy_from_slice(sums);
                                }
                            }
                        }
                        panel += width;
                    }
                }
            }
        }
        if has_bias {
            for (first, panels) in pieces(range.panels.len(), BIASES) {
                let at = |n: usize| ((first + n + 1) * lines - 1) * T::PANEL;
                let mut sums = [[T::ZERO; MAX_PANEL]; BIASES];
                if !round.first {
                    for (n, sums) in sums.iter_mut().take(panels).enumerate() {
                        sums[..T::PANEL].copy_from_slice(&round.sums[at(n)..][..T::PANEL]);
                    }
                }
                // SAFETY: both operands hold all their panels, of as many rows in blocks of as many panels
                // (asserted at the start, and by `gemm::weight_gradient`).
                unsafe { micro::bias_gradients(s, panels, source(first), &mut sums) };
                for (n, sums) in sums.iter().take(panels).enumerate() {
                    if round.last {
                        target.update(s, at(n), &sums[..T::PANEL]);
                    } else {
                        round.sums[at(n)..][..T::PANEL].copy_from_slice(&sums[..T::PANEL]);
                    }
                }
            }
        }
    }
}
