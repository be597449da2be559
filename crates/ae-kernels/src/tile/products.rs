//! The three products of training on tiles, each with its epilogue.

use super::split::{self, LINE, pair_or_zero, turn};
use super::{DEPTH, Operand, Parts, TILE, TileKernel, TileUnit, run};
use crate::activation::{Activation, activate, times_grad};
use crate::gemm::WeightRange;
use crate::isa::Isa;
use crate::panel::{Panels, PanelsMut, panel_count};
use crate::simd::Halves;
use crate::update::{Target, UpdateRule};
use crate::workspace::Line;

/// Products of tiles before the strip of weights that is split makes room for the next: with three parts 96 KiB, which
/// stay in L2 for all rows of a block.
const STRIP: usize = 16;

/// Elements of memory that [`forward`] and [`backward_input`] need for so many batch panels.
pub fn scratch_len(parts: Parts, batch_panels: usize) -> usize {
    2 * STRIP * parts.count() * TILE + batch_panels.div_ceil(2) * 4 * TILE
}

/// `y = act(Wᵀ x + b)`: weights `[inputs + 1, outputs]` with the bias as the last row, `x` the tiles of [`split::rows`], `y`
/// `[outputs, batch]` with an even number of batch panels.
pub fn forward(
    isa: Isa,
    parts: Parts,
    weights: Panels<'_, f32>,
    x: &[f32],
    y: PanelsMut<'_, f32>,
    activation: Activation,
    scratch: &mut [f32],
) {
    let (inputs, batch_panels) = (weights.rows().saturating_sub(1), panel_count::<f32>(y.cols()));
    assert!(
        weights.rows() > 0
            && weights.cols() == y.rows()
            && batch_panels.is_multiple_of(2)
            && x.len() == batch_panels * split::panel_len(parts, inputs)
            && scratch.len() >= scratch_len(parts, batch_panels),
        "forward: weights [{}, {}], x {}, y [{}, {}], scratch {}",
        weights.rows(),
        weights.cols(),
        x.len(),
        y.rows(),
        y.cols(),
        scratch.len(),
    );
    match parts {
        Parts::One => run(isa, Forward::<1> { weights, x, y, activation, scratch }),
        Parts::Three => run(isa, Forward::<3> { weights, x, y, activation, scratch }),
    }
}

/// `dx = (W δ) ⊙ act'`: weights `[inputs + 1, outputs]`, `delta` the tiles of [`split::features`], `dx` `[inputs, batch]` with
/// an even number of batch panels; `below` is the output `[inputs, batch]` and the activation of the layer below.
pub fn backward_input(
    isa: Isa,
    parts: Parts,
    weights: Panels<'_, f32>,
    delta: &[f32],
    below: (Panels<'_, f32>, Activation),
    dx: PanelsMut<'_, f32>,
    scratch: &mut [f32],
) {
    let batch_panels = panel_count::<f32>(dx.cols());
    assert!(
        weights.rows() == dx.rows() + 1
            && below.0.rows() == dx.rows()
            && below.0.cols() == dx.cols()
            && batch_panels.is_multiple_of(2)
            && delta.len() == batch_panels * split::panel_len(parts, weights.cols())
            && scratch.len() >= scratch_len(parts, batch_panels),
        "backward_input: weights [{}, {}], delta {}, below [{}, {}], dx [{}, {}], scratch {}",
        weights.rows(),
        weights.cols(),
        delta.len(),
        below.0.rows(),
        below.0.cols(),
        dx.rows(),
        dx.cols(),
        scratch.len(),
    );
    match parts {
        Parts::One => run(isa, BackwardInput::<1> { weights, delta, below, dx, scratch }),
        Parts::Three => run(isa, BackwardInput::<3> { weights, delta, below, dx, scratch }),
    }
}

/// One operand of [`weight_gradient`]: the tiles of [`split::inputs`] or [`split::turned`] of a whole batch.
#[derive(Clone, Copy, Debug)]
pub struct PairedTiles<'a> {
    /// The tiles, among others.
    pub data: &'a [f32],
    /// Where those of the first two batch panels start.
    pub offset: usize,
    /// Elements from there to those of the next two.
    pub apart: usize,
    /// Pairs of batch panels.
    pub pairs: usize,
}

impl PairedTiles<'_> {
    fn holds(&self, len: usize) -> bool {
        self.pairs == 0 || self.offset + (self.pairs - 1) * self.apart + len <= self.data.len()
    }
}

/// Finishes the gradient of a range of a layer's parameters and hands it to `rule`. `range.rows` starts at a multiple of
/// 16; otherwise like [`crate::gemm::weight_gradient`].
#[allow(clippy::too_many_arguments, reason = "the operands of one product")]
pub fn weight_gradient<U: UpdateRule<f32>>(
    isa: Isa,
    parts: Parts,
    inputs: usize,
    range: &WeightRange,
    x: PairedTiles<'_>,
    delta: PairedTiles<'_>,
    rule: U,
    weights: &mut [f32],
    state: &mut [f32],
) {
    assert!(
        range.rows.start <= range.rows.end
            && range.rows.start.is_multiple_of(LINE)
            && range.rows.end <= inputs + 1
            && range.panels.start <= range.panels.end
            && weights.len() == range.elements::<f32>()
            && state.len() == weights.len() * U::STATE
            && U::STATE <= 2
            && x.pairs == delta.pairs
            && x.holds(split::pair_len(parts, inputs))
            && delta.holds(range.panels.end * parts.count() * TILE),
        "weight_gradient: {range:?} of {inputs} inputs, {} weights, {} of state, {} and {} pairs",
        weights.len(),
        state.len(),
        x.pairs,
        delta.pairs,
    );
    match parts {
        Parts::One => run(isa, WeightGradient::<1, U> { inputs, range, x, delta, rule, weights, state }),
        Parts::Three => run(isa, WeightGradient::<3, U> { inputs, range, x, delta, rule, weights, state }),
    }
}

struct Forward<'a, const PARTS: usize> {
    weights: Panels<'a, f32>,
    x: &'a [f32],
    y: PanelsMut<'a, f32>,
    activation: Activation,
    scratch: &'a mut [f32],
}

impl<const PARTS: usize> TileKernel for Forward<'_, PARTS> {
    #[inline(always)]
    fn run<S: Halves, U: TileUnit>(mut self, s: S, unit: U) {
        let (inputs, outputs) = (self.weights.rows() - 1, self.y.rows());
        let (weight_panels, pairs) = (self.weights.count(), panel_count::<f32>(self.y.cols()) / 2);
        let (tile, depth) = (PARTS * TILE, inputs.div_ceil(DEPTH));
        let (strip, sums) = self.scratch.split_at_mut(2 * STRIP * tile);
        for first in (0..weight_panels).step_by(2) {
            let width = 2.min(weight_panels - first);
            let mut t = 0;
            loop {
                let steps = STRIP.min(depth - t);
                for n in 0..width {
                    let lines = &self.weights.panel(first + n)[..inputs * LINE];
                    for (k, to) in strip[n * STRIP * tile..].chunks_exact_mut(tile).take(steps).enumerate() {
                        let near = (t + k) * DEPTH * LINE;
                        for j in 0..LINE {
                            let low = lines.get(near + j * LINE..);
                            let high = lines.get(near + TILE + j * LINE..);
                            pair_or_zero::<S, PARTS>(s, low, high, &mut to[j * LINE..]);
                        }
                    }
                }
                let x = Tiles { data: &self.x[t * tile..], apart: depth * tile, step: tile };
                let w = Tiles { data: strip, apart: STRIP * tile, step: tile };
                for (pair, sums) in sums.chunks_exact_mut(4 * TILE).take(pairs).enumerate() {
                    let x = x.from(pair * 2 * depth * tile);
                    match width {
                        1 => block::<U, PARTS, 2, 1>(unit, steps, x, w, sums, t == 0),
                        _ => block::<U, PARTS, 2, 2>(unit, steps, x, w, sums, t == 0),
                    }
                }
                t += steps;
                if t == depth {
                    break;
                }
            }
            for (pair, sums) in sums.chunks_exact_mut(4 * TILE).take(pairs).enumerate() {
                for (index, sum) in sums.chunks_exact_mut(TILE).enumerate() {
                    let (q, n) = (2 * pair + index / 2, index % 2);
                    if n < width {
                        let panel = first + n;
                        let bias = &self.weights.panel(panel)[inputs * LINE..];
                        add_to_lines(s, bias, sum);
                        let features = LINE.min(outputs - panel * LINE);
                        let y = &mut self.y.panel(q)[panel * TILE..][..features * LINE];
                        turn_into(s, sum, y);
                        activate(s, self.activation, y);
                    }
                }
            }
        }
    }
}

/// Adds `line` to every line.
#[inline(always)]
fn add_to_lines<S: Halves>(s: S, line: &[f32], lines: &mut [f32]) {
    for lane in (0..LINE).step_by(S::LANES) {
        let add = s.load(&line[lane..]);
        for to in lines.chunks_exact_mut(LINE) {
            let to = &mut to[lane..];
            s.store(s.add(s.load(to), add), to);
        }
    }
}

/// Transposes a tile; `dst` takes the first lines.
#[inline(always)]
fn turn_into<S: Halves>(s: S, tile: &[f32], dst: &mut [f32]) {
    if dst.len() == TILE {
        s.transpose(tile, LINE, dst, LINE);
    } else {
        let mut turned = [0.0; TILE];
        turn(s, tile, &mut turned);
        dst.copy_from_slice(&turned[..dst.len()]);
    }
}

struct BackwardInput<'a, const PARTS: usize> {
    weights: Panels<'a, f32>,
    delta: &'a [f32],
    below: (Panels<'a, f32>, Activation),
    dx: PanelsMut<'a, f32>,
    scratch: &'a mut [f32],
}

impl<const PARTS: usize> TileKernel for BackwardInput<'_, PARTS> {
    #[inline(always)]
    fn run<S: Halves, U: TileUnit>(mut self, s: S, unit: U) {
        let (inputs, outputs) = (self.dx.rows(), self.weights.cols());
        let pairs = panel_count::<f32>(self.dx.cols()) / 2;
        let (tile, depth) = (PARTS * TILE, outputs.div_ceil(DEPTH));
        let (strip, sums) = self.scratch.split_at_mut(2 * STRIP * tile);
        let (below, activation) = self.below;
        let weight_panels = self.weights.count();
        let lines_of = |panel: usize| if panel < weight_panels { self.weights.panel(panel) } else { &[] };
        for first in (0..inputs).step_by(DEPTH) {
            let width = if inputs - first > LINE { 2 } else { 1 };
            let mut t = 0;
            loop {
                let steps = STRIP.min(depth - t);
                for m in 0..width {
                    let from = (first + m * LINE) * LINE;
                    let to = from + LINE.min(inputs - first - m * LINE) * LINE;
                    for (k, tiles) in strip[m * STRIP * tile..].chunks_exact_mut(tile).take(steps).enumerate() {
                        let low = lines_of(2 * (t + k)).get(from..to).unwrap_or_default();
                        let high = lines_of(2 * (t + k) + 1).get(from..to).unwrap_or_default();
                        for i in 0..LINE {
                            let (low, high) = (low.get(i * LINE..), high.get(i * LINE..));
                            pair_or_zero::<S, PARTS>(s, low, high, &mut tiles[i * LINE..]);
                        }
                    }
                }
                let delta = Tiles { data: &self.delta[t * tile..], apart: depth * tile, step: tile };
                let w = Tiles { data: strip, apart: STRIP * tile, step: tile };
                for (pair, sums) in sums.chunks_exact_mut(4 * TILE).take(pairs).enumerate() {
                    let delta = delta.from(pair * 2 * depth * tile);
                    match width {
                        1 => block::<U, PARTS, 1, 2>(unit, steps, w, delta, sums, t == 0),
                        _ => block::<U, PARTS, 2, 2>(unit, steps, w, delta, sums, t == 0),
                    }
                }
                t += steps;
                if t == depth {
                    break;
                }
            }
            for (pair, sums) in sums.chunks_exact_mut(4 * TILE).take(pairs).enumerate() {
                for (index, sum) in sums.chunks_exact_mut(TILE).enumerate() {
                    let (m, q) = (index / 2, 2 * pair + index % 2);
                    if m < width {
                        let from = (first + m * LINE) * LINE;
                        let len = LINE.min(inputs - first - m * LINE) * LINE;
                        let dx = &mut self.dx.panel(q)[from..][..len];
                        dx.copy_from_slice(&sum[..len]);
                        times_grad(s, activation, &below.panel(q)[from..][..len], dx);
                    }
                }
            }
        }
    }
}

struct WeightGradient<'a, const PARTS: usize, U> {
    inputs: usize,
    range: &'a WeightRange,
    x: PairedTiles<'a>,
    delta: PairedTiles<'a>,
    rule: U,
    weights: &'a mut [f32],
    state: &'a mut [f32],
}

impl<const PARTS: usize, R: UpdateRule<f32>> TileKernel for WeightGradient<'_, PARTS, R> {
    #[inline(always)]
    fn run<S: Halves, U: TileUnit>(self, s: S, unit: U) {
        let WeightGradient { inputs, range, x, delta, rule, weights, state } = self;
        let (lines, first_input) = (range.rows.len(), range.rows.start);
        let count = range.rows.end.min(inputs).saturating_sub(first_input);
        let tile = PARTS * TILE;
        let mut room = [Line::default(); 4 * TILE / LINE];
        let sums: &mut [f32] = bytemuck::cast_slice_mut(&mut room);
        let mut target = Target { rule, weights, state };
        let tiles = |of: PairedTiles<'_>, index: usize| of.offset + index * tile;
        for panel in (0..range.panels.len()).step_by(2) {
            let width = 2.min(range.panels.len() - panel);
            let delta_at = tiles(delta, range.panels.start + panel);
            for first in (0..count).step_by(DEPTH) {
                let height = if count - first > LINE { 2 } else { 1 };
                let x_at = tiles(x, (first_input + first) / LINE);
                if x.pairs == 0 {
                    // Without rows the sum is zero, and still handed on.
                    sums.fill(0.0);
                } else {
                    let a = Tiles { data: &x.data[x_at..], apart: tile, step: x.apart };
                    let b = Tiles { data: &delta.data[delta_at..], apart: tile, step: delta.apart };
                    match (height, width) {
                        (1, 1) => block::<U, PARTS, 1, 1>(unit, x.pairs, a, b, sums, true),
                        (1, _) => block::<U, PARTS, 1, 2>(unit, x.pairs, a, b, sums, true),
                        (_, 1) => block::<U, PARTS, 2, 1>(unit, x.pairs, a, b, sums, true),
                        _ => block::<U, PARTS, 2, 2>(unit, x.pairs, a, b, sums, true),
                    }
                }
                for (index, sum) in sums.chunks_exact(TILE).enumerate() {
                    let (m, n) = (index / 2, index % 2);
                    if m < height && n < width {
                        let line = first + m * LINE;
                        let rows = LINE.min(count - line);
                        let at = ((panel + n) * lines + line) * LINE;
                        target.update(s, at, &sum[..rows * LINE]);
                    }
                }
            }
        }
        if range.rows.end == inputs + 1 && lines > 0 {
            for panel in 0..range.panels.len() {
                let sum = column_sums::<S, PARTS>(s, delta, tiles(delta, range.panels.start + panel));
                target.update(s, ((panel + 1) * lines - 1) * LINE, &sum);
            }
        }
    }
}

/// The sum of the deltas over the rows of the batch, for the 16 features whose first tile is at `at`.
#[inline(always)]
fn column_sums<S: Halves, const PARTS: usize>(s: S, delta: PairedTiles<'_>, at: usize) -> [f32; LINE] {
    let mut sums = [0.0; LINE];
    for lane in (0..LINE).step_by(S::LANES) {
        let mut sum = s.splat(0.0);
        for pair in 0..delta.pairs {
            let tiles = &delta.data[at + pair * delta.apart..][..PARTS * TILE];
            for j in 0..LINE {
                let mut low = s.splat(0.0);
                let mut high = low;
                // From the smallest part on, so that the value is exact.
                for part in (0..PARTS).rev() {
                    let words = s.load(&tiles[part * TILE + j * LINE + lane..]);
                    low = s.add(low, s.low(words));
                    high = s.add(high, s.high(words));
                }
                sum = s.add(sum, s.add(low, high));
            }
        }
        s.store(sum, &mut sums[lane..]);
    }
    sums
}

/// [`Operand`] that knows where it ends.
#[derive(Clone, Copy)]
struct Tiles<'a> {
    data: &'a [f32],
    apart: usize,
    step: usize,
}

impl Tiles<'_> {
    fn from(self, offset: usize) -> Self {
        Tiles { data: &self.data[offset..], ..self }
    }

    #[inline(always)]
    fn operand(self, across: usize, depth: usize, parts: usize) -> Operand {
        if depth > 0 {
            let last = (across - 1) * self.apart + (depth - 1) * self.step;
            assert!(last + parts * TILE <= self.data.len(), "tiles end at {}", self.data.len());
        }
        Operand { start: self.data.as_ptr(), apart: self.apart, step: self.step }
    }
}

/// [`TileUnit::block`] within its slices.
#[inline(always)]
fn block<U: TileUnit, const PARTS: usize, const M: usize, const N: usize>(
    unit: U,
    depth: usize,
    a: Tiles<'_>,
    b: Tiles<'_>,
    sums: &mut [f32],
    fresh: bool,
) {
    assert!(sums.len() >= 4 * TILE);
    let (a, b) = (a.operand(M, depth, PARTS), b.operand(N, depth, PARTS));
    // SAFETY: the sums hold four tiles; `operand` has checked the last tile of the last step, and all others come before.
    unsafe { unit.block::<PARTS, M, N>(depth, a, b, sums.as_mut_ptr(), fresh) }
}
