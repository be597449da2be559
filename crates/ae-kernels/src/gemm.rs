//! The three products of training, on matrices in panels ([`crate::panel`]), each with its epilogue.
//!
//! With `W` of a layer `[inputs + 1, outputs]` (the bias is its last row), `X` `[inputs, batch]`, `Y` and its delta
//! `[outputs, batch]`:
//!
//! | | product | epilogue |
//! |---|---|---|
//! | [`forward`] | `Y = Wᵀ X`, starting from the bias | the activation |
//! | [`backward_input`] | `dX = W δ` | `⊙ act'` of the layer below |
//! | [`weight_gradient`] | `dW = X δᵀ` and, in the bias row, `Σ δ` | a [`Rule`] |
//!
//! In the terms of BLIS (Van Zee & van de Geijn 2015) the batch operand is already the packed `B` and
//! the weights are already the packed `A`; what is left are the loops around the micro-kernel:
//!
//! ```text
//! for each strip of nc features of the output              whose sums stay in L2
//!   for each block of kc contraction steps                 kc x 64 bytes of either operand: half of L1
//!     for each panel of weights                             read from L2 or L3 once per call ...
//!       for each panel of the batch                         ... and from L1 for every further panel
//!         register tile: load or start, kc steps, store; after the last block the epilogue on the tile in L1
//! ```
//!
//! `weight_gradient` goes over blocks of kc rows of the batch, whose deltas stay in L1 for some tiles of inputs; the sums
//! of those tiles wait in L1 for the next block, because what follows, the update, must see them finished.

mod few;
pub(crate) mod micro;

use crate::activation::{Epilogue, Slope, times_slope};
use crate::isa::Isa;
use crate::panel::{Panels, PanelsMut, panel_count};
use crate::simd::{Element, Kernel, Simd};
use crate::update::{Rule, Target};
use crate::workspace::Line;
use few::{FEW, ForwardFew};
use micro::{Operand, Start, Tile};

/// Sizes of the loops around the micro-kernel. They change speed, never results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocking {
    /// Contraction steps before the accumulators go to memory and the next block of operands comes to L1.
    pub kc: usize,
    /// Features of the output of [`forward`] and [`backward_input`] that go through all those blocks before the next do.
    pub nc: usize,
}

impl Default for Blocking {
    /// 192 steps: 12 KiB of each operand, together within an L1 cache of 32 KiB whatever the element type,
    /// since a step is a 64-byte line. 128 features: of 128 rows in f32 that is 64 KiB of sums, which stay in L2 until
    /// the last block has been added, and the weights of a strip are still read in long stretches.
    fn default() -> Self {
        Blocking { kc: 192, nc: 128 }
    }
}

/// `y = act(Wᵀ x + b)`: weights `[inputs + 1, outputs]` with the bias as the last row, `x` `[inputs, batch]`, `y` `[outputs, batch]`.
pub fn forward<'a, T: Element>(
    isa: Isa,
    blocking: Blocking,
    weights: Panels<'_, T>,
    x: Panels<'_, T>,
    y: PanelsMut<'_, T>,
    epilogue: impl Into<Epilogue<'a, T>>,
) {
    let epilogue = epilogue.into();
    assert!(
        weights.rows() == x.rows() + 1
            && weights.cols() == y.rows()
            && x.cols() == y.cols()
            && epilogue.fits(y.rows(), y.cols())
            && blocking.kc > 0
            && blocking.nc > 0,
        "forward: weights [{}, {}], x [{}, {}], y [{}, {}], {blocking:?}",
        weights.rows(),
        weights.cols(),
        x.rows(),
        x.cols(),
        y.rows(),
        y.cols(),
    );
    if y.cols() <= FEW {
        T::run(isa, ForwardFew { weights, x, y, epilogue });
    } else {
        T::run(isa, Forward { blocking, weights, x, y, epilogue });
    }
}

/// `dx = (W δ) ⊙ act'`: weights `[inputs + 1, outputs]`, `delta` `[outputs, batch]`, `dx` `[inputs, batch]`; `below` is what
/// the slope of the layer below is computed from, `[inputs, batch]`, and how.
pub fn backward_input<T: Element>(
    isa: Isa,
    blocking: Blocking,
    weights: Panels<'_, T>,
    delta: Panels<'_, T>,
    below: (Panels<'_, T>, impl Into<Slope>),
    dx: PanelsMut<'_, T>,
) {
    let below: (Panels<'_, T>, Slope) = (below.0, below.1.into());
    below.1.check();
    assert!(
        weights.rows() == dx.rows() + 1
            && weights.cols() == delta.rows()
            && delta.cols() == dx.cols()
            && below.0.rows() == dx.rows()
            && below.0.cols() == dx.cols()
            && blocking.kc > 0
            && blocking.nc > 0,
        "backward_input: weights [{}, {}], delta [{}, {}], below [{}, {}], dx [{}, {}], {blocking:?}",
        weights.rows(),
        weights.cols(),
        delta.rows(),
        delta.cols(),
        below.0.rows(),
        below.0.cols(),
        dx.rows(),
        dx.cols(),
    );
    T::run(isa, BackwardInput { blocking, weights, delta, below, dx });
}

/// One matrix of every row block of a batch, at the same place of each block.
///
/// A batch of `rows` rows is divided into blocks of `block_panels` panels (the last may be shorter); the
/// blocks follow each other in `data`, `block_len` elements apart; in each, this matrix starts at `offset` and
/// takes `panel_len` elements a batch panel.
#[derive(Clone, Copy, Debug)]
pub struct BatchPanels<'a, T> {
    /// All blocks.
    pub data: &'a [T],
    /// Elements of a block.
    pub block_len: usize,
    /// Where the matrix starts in a block.
    pub offset: usize,
    /// Elements of a batch panel of this matrix.
    pub panel_len: usize,
    /// Batch panels of a block.
    pub block_panels: usize,
    /// Rows of the batch.
    pub rows: usize,
}

impl<T: Element> BatchPanels<'_, T> {
    pub(crate) fn count(&self) -> usize {
        panel_count::<T>(self.rows)
    }

    /// Where panel `panel` starts.
    #[inline(always)]
    pub(crate) fn start(&self, panel: usize) -> usize {
        panel / self.block_panels * self.block_len + self.offset + panel % self.block_panels * self.panel_len
    }

    pub(crate) fn assert_holds_all(&self) {
        // The start grows with the panel within a block and with the block, so the ends of each block's last panel
        // bound all others.
        let inside = (0..self.count())
            .filter(|panel| panel + 1 == self.count() || panel % self.block_panels == self.block_panels - 1)
            .all(|panel| self.start(panel) + self.panel_len <= self.data.len());
        assert!(self.block_panels > 0 && inside, "batch panels outside their {} elements", self.data.len());
    }
}

/// A range of the parameters of one layer: rows `rows` of the panels `panels` of its `[inputs + 1, outputs]` matrix. They
/// lie together where it is one panel, or whole panels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightRange {
    /// Panels of outputs.
    pub panels: std::ops::Range<usize>,
    /// Rows: inputs, then the bias.
    pub rows: std::ops::Range<usize>,
}

impl WeightRange {
    /// Parameters, padding included.
    pub fn elements<T: Element>(&self) -> usize {
        self.panels.len() * self.rows.len() * T::PANEL
    }
}

/// Finishes the gradient of a range of a layer's parameters and hands it to `rule`.
///
/// `x` are the layer's inputs, `[inputs, P]` a batch panel; `delta` its turned deltas ([`crate::panel::turn`]),
/// `[P, outputs]` a batch panel; `weights` the parameters of the range ([`WeightRange::elements`] elements) and `state`
/// [`Rule::state`] times as many.
pub fn weight_gradient<T: Element>(
    isa: Isa,
    blocking: Blocking,
    inputs: usize,
    range: &WeightRange,
    x: BatchPanels<'_, T>,
    delta: BatchPanels<'_, T>,
    rule: Rule<T>,
    weights: &mut [T],
    state: &mut [T],
) {
    let side = T::PANEL * T::PANEL;
    assert!(
        range.rows.start <= range.rows.end
            && range.rows.end <= inputs + 1
            && range.panels.start <= range.panels.end
            && weights.len() == range.elements::<T>()
            && state.len() == weights.len() * rule.state()
            && x.rows == delta.rows
            && x.block_panels == delta.block_panels
            && x.panel_len >= inputs * T::PANEL
            && delta.panel_len >= range.panels.end * side
            && blocking.kc > 0
            && blocking.nc > 0,
        "weight_gradient: {blocking:?}, {range:?} of {inputs} inputs, {} weights, {} of state, {} rows of x, {} of delta",
        weights.len(),
        state.len(),
        x.rows,
        delta.rows,
    );
    x.assert_holds_all();
    delta.assert_holds_all();
    T::run(isa, WeightGradient { blocking, inputs, range, x, delta, rule, weights, state });
}

/// `total` in nearly equal pieces of at most `most`, as (start, length).
#[inline(always)]
pub(crate) fn pieces(total: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let count = total.div_ceil(most);
    (0..count).map(move |i| {
        let start = i * total / count;
        (start, (i + 1) * total / count - start)
    })
}

/// Bytes of weights that no L2 holds: they are asked for a panel ahead, which is 3 to 4 % faster where they come from L3 or memory,
/// and as much slower where they don't.
const FAR: usize = 2 << 20;

struct Forward<'a, T> {
    blocking: Blocking,
    weights: Panels<'a, T>,
    x: Panels<'a, T>,
    y: PanelsMut<'a, T>,
    epilogue: Epilogue<'a, T>,
}

impl<T: Element> Kernel<T> for Forward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        let (inputs, outputs) = (self.x.rows(), self.y.rows());
        let batch_panels = self.x.count();
        let (w_panel, x_panel, y_panel) = ((inputs + 1) * T::PANEL, inputs * T::PANEL, outputs * T::PANEL);
        let Blocking { kc, nc } = self.blocking;
        let weight_panels = self.weights.count();
        let in_strip = panel_count::<T>(nc);
        // Lines of the next weights to ask for with each panel of the batch.
        let far = size_of_val(self.weights.data()) > FAR;
        let ahead = if far { kc.min(inputs).div_ceil(batch_panels) } else { 0 };
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
                        let wide = S::WIDE_TILE_ROWS > 0 && xp + 1 < batch_panels;
                        let (panels, most) = if wide { (2, S::WIDE_TILE_ROWS) } else { (1, S::TILE_ROWS) };
                        for line in xp * ahead..(xp + panels) * ahead {
                            s.prefetch(next.wrapping_add(line * T::PANEL));
                        }
                        let x = &self.x.data()[xp * x_panel..][..panels * x_panel];
                        let y = &mut self.y.data()[xp * y_panel..][..panels * y_panel];
                        for (first, rows) in pieces(width, most) {
                            let row = wp * T::PANEL + first;
                            let tile = Tile {
                                rows,
                                panels,
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
                                    vectors: &x[k * T::PANEL..],
                                    vector_panel: x_panel,
                                    steps,
                                    segment_steps: steps,
                                },
                                out: &mut y[row * T::PANEL..],
                                out_panel: y_panel,
                            };
                            micro::store_tile(s, tile);
                            if last {
                                for p in 0..panels {
                                    let at = p * y_panel + row * T::PANEL;
                                    let values = &mut y[at..][..rows * T::PANEL];
                                    self.epilogue.finish(s, xp * y_panel + at, values);
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

struct BackwardInput<'a, T> {
    blocking: Blocking,
    weights: Panels<'a, T>,
    delta: Panels<'a, T>,
    below: (Panels<'a, T>, Slope),
    dx: PanelsMut<'a, T>,
}

impl<T: Element> Kernel<T> for BackwardInput<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        let (inputs, outputs) = (self.dx.rows(), self.delta.rows());
        let batch_panels = self.delta.count();
        let (w_panel, d_panel, dx_panel) = ((inputs + 1) * T::PANEL, outputs * T::PANEL, inputs * T::PANEL);
        let (y, slope) = self.below;
        let kc = self.blocking.kc.div_ceil(T::PANEL) * T::PANEL;
        let most = if S::WIDE_TILE_ROWS > 0 && batch_panels > 1 { S::WIDE_TILE_ROWS } else { S::TILE_ROWS };
        for (strip, features) in pieces(inputs, self.blocking.nc) {
            let mut n = 0;
            loop {
                let steps = kc.min(outputs - n);
                let last = n + steps == outputs;
                for (first, rows) in pieces(features, most) {
                    let first = strip + first;
                    let mut xp = 0;
                    while xp < batch_panels {
                        let panels = if S::WIDE_TILE_ROWS > 0 && xp + 1 < batch_panels { 2 } else { 1 };
                        let dx = &mut self.dx.data()[xp * dx_panel..][..panels * dx_panel];
                        let tile = Tile {
                            rows,
                            panels,
                            start: if n == 0 { Start::Zero } else { Start::Load },
                            operand: Operand {
                                // Without outputs there are no weights to start in, and no steps to take.
                                scalars: self
                                    .weights
                                    .data()
                                    .get(n / T::PANEL * w_panel + first * T::PANEL..)
                                    .unwrap_or_default(),
                                scalar_step: 1,
                                scalar_row: T::PANEL,
                                scalar_segment: w_panel,
                                vectors: &self.delta.data()[xp * d_panel + n * T::PANEL..]
                                    [..(panels - 1) * d_panel + steps * T::PANEL],
                                vector_panel: d_panel,
                                steps,
                                segment_steps: T::PANEL,
                            },
                            out: &mut dx[first * T::PANEL..],
                            out_panel: dx_panel,
                        };
                        micro::store_tile(s, tile);
                        if last {
                            for p in 0..panels {
                                let at = p * dx_panel + first * T::PANEL;
                                let y = &y.data()[xp * dx_panel + at..][..rows * T::PANEL];
                                times_slope(s, slope, y, &mut dx[at..][..rows * T::PANEL]);
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

/// Panels of outputs that share the inputs that have come to L1, and inputs of such a share: of 128 rows they are 24 KiB, and
/// their sums, which may have to wait for further rows of the batch, 12 KiB.
const GROUP: usize = 4;
const INPUTS: usize = 48;

struct WeightGradient<'a, T> {
    blocking: Blocking,
    inputs: usize,
    range: &'a WeightRange,
    x: BatchPanels<'a, T>,
    delta: BatchPanels<'a, T>,
    rule: Rule<T>,
    weights: &'a mut [T],
    state: &'a mut [T],
}

impl<T: Element> Kernel<T> for WeightGradient<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let WeightGradient { blocking, inputs, range, x, delta, rule, weights, state } = self;
        let (lines, first_input) = (range.rows.len(), range.rows.start);
        let count = range.rows.end.min(inputs).saturating_sub(first_input);
        let has_bias = range.rows.end == inputs + 1 && lines > 0;
        let (batch_panels, most) = (x.count(), panel_count::<T>(blocking.kc));
        let source = |panel: usize| micro::BatchOperand {
            x,
            delta,
            delta_at: (range.panels.start + panel) * T::PANEL * T::PANEL,
        };
        // Sums of the inputs of a share for the panels that are worked on together; or, where they wait for the next block, for
        // all panels of the group. The large one is cleared where it is used only.
        let (mut of_one, mut of_group);
        let whole = batch_panels <= most;
        let waiting: &mut [T] = if whole {
            of_one = [Line::default(); 2 * INPUTS];
            bytemuck::cast_slice_mut(&mut of_one)
        } else {
            of_group = [Line::default(); GROUP * INPUTS];
            bytemuck::cast_slice_mut(&mut of_group)
        };
        let apart = INPUTS * T::PANEL;
        let mut target = Target { rule, weights, state };
        for (group, panels) in pieces(range.panels.len(), GROUP) {
            for (start, inputs) in pieces(count, INPUTS) {
                // Without rows the sum is zero, and still handed on.
                for (before, block) in pieces(batch_panels.max(1), most) {
                    let span = before..batch_panels.min(before + block);
                    let mut panel = 0;
                    while panel < panels {
                        let wide = S::WIDE_TILE_ROWS > 0 && panel + 1 < panels;
                        let width = if wide { 2 } else { 1 };
                        let sums = &mut waiting[if whole { 0 } else { panel * apart }..];
                        let first = first_input + start;
                        let source = source(group + panel);
                        if span.end == batch_panels {
                            for n in 0..width {
                                let at = ((group + panel + n) * lines + start) * T::PANEL;
                                target.prefetch(s, at, inputs * T::PANEL);
                            }
                        }
                        micro::gradient_tiles(
                            s,
                            first..first + inputs,
                            width,
                            source,
                            span.clone(),
                            sums,
                            apart,
                        );
                        if span.end == batch_panels {
                            for (n, sums) in sums.chunks(apart).take(width).enumerate() {
                                let at = ((group + panel + n) * lines + start) * T::PANEL;
                                target.update(s, at, &sums[..inputs * T::PANEL]);
                            }
                        }
                        panel += width;
                    }
                }
            }
        }
        if has_bias {
            for panel in 0..range.panels.len() {
                let at = ((panel + 1) * lines - 1) * T::PANEL;
                target.update(s, at, &micro::bias_gradient(s, source(panel))[..T::PANEL]);
            }
        }
    }
}
