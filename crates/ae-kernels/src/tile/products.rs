//! The three products of training on tiles, each with its epilogue.

use super::split::{self, LINE, pair_all, pair_or_zero, turn};
use super::{Aside, DEPTH, Idle, Operand, Parts, TILE, TileKernel, TileUnit, run};
use crate::activation::{Activation, activate, times_grad};
use crate::gemm::WeightRange;
use crate::isa::Isa;
use crate::panel::{Panels, PanelsMut, panel_count};
use crate::simd::Halves;
use crate::update::{Target, UpdateRule};
use crate::workspace::Line;

/// Products of tiles before the strip of weights that is split makes room for the next: with three parts 48 KiB, and as
/// much for the next strip, which stay in L2 for all rows of a block.
const STRIP: usize = 8;

/// Panels of outputs whose deltas stay in L2 for all inputs of [`weight_gradient`].
const GROUP: usize = 8;

/// Elements of memory that [`forward`] and [`backward_input`] need for so many batch panels.
pub fn scratch_len(parts: Parts, batch_panels: usize) -> usize {
    4 * STRIP * parts.count() * TILE + batch_panels.div_ceil(2) * 4 * TILE
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

/// A product of the weights with a batch: what differs between the two of them.
trait OfWeights<const PARTS: usize> {
    /// How many pairs of panels the weights have, in the direction that is not contracted.
    fn strips(&self) -> usize;
    /// Tiles of weights beside each other in this strip: two, or one at the end.
    fn width(&self, strip: usize) -> usize;
    /// Splits half a tile of weights, `UNIT` lines: those at `half` of tile `t` of the contraction, the first or second of
    /// the strip as `index` says.
    fn split<S: Halves>(&self, s: S, place: Place, dst: &mut [f32]);
    /// The inner loop, the operands in the order of this product.
    fn block<U: TileUnit, A: Aside>(
        unit: U,
        width: usize,
        depth: usize,
        weights: Tiles<'_>,
        batch: Tiles<'_>,
        sums: &mut [f32],
        fresh: bool,
        aside: &mut A,
    );
    /// What follows when the sums of a strip are there, four tiles a pair of batch panels.
    fn finish<S: Halves>(&mut self, s: S, strip: usize, width: usize, sums: &mut [f32]);
}

/// Lines of weights that are split together.
const UNIT: usize = 8;

/// Half a tile of weights.
#[derive(Clone, Copy)]
struct Place {
    strip: usize,
    index: usize,
    t: usize,
    half: usize,
}

/// A part of the contraction for one strip, which has its place in the memory for split weights.
#[derive(Clone, Copy)]
struct Item {
    strip: usize,
    width: usize,
    t: usize,
    steps: usize,
}

impl Item {
    /// Half tiles to split.
    fn units(&self) -> usize {
        self.width * self.steps * (LINE / UNIT)
    }
}

/// Splits the weights of the next item while the tile unit, which takes sixteen cycles an instruction and none of the
/// vector units, is busy with this one.
struct SplitAhead<'a, S, W> {
    s: S,
    weights: &'a W,
    item: Item,
    dst: &'a mut [f32],
    done: usize,
    /// Units a step.
    pace: usize,
}

impl<S: Halves, W> SplitAhead<'_, S, W> {
    #[inline(always)]
    fn split<const PARTS: usize>(&mut self, units: usize)
    where
        W: OfWeights<PARTS>,
    {
        let end = self.item.units().min(self.done + units);
        while self.done < end {
            let (tile, half) = (self.done / 2, self.done % 2);
            let (index, k) = (tile / self.item.steps, tile % self.item.steps);
            let place = Place { strip: self.item.strip, index, t: self.item.t + k, half };
            let at = (index * STRIP + k) * PARTS * TILE + half * UNIT * LINE;
            self.weights.split(self.s, place, &mut self.dst[at..]);
            self.done += 1;
        }
    }
}

/// [`SplitAhead`] with the number of parts.
struct Ahead<'a, 'b, S, W, const PARTS: usize>(&'a mut SplitAhead<'b, S, W>);

impl<S: Halves, W: OfWeights<PARTS>, const PARTS: usize> Aside for Ahead<'_, '_, S, W, PARTS> {
    #[inline(always)]
    fn step(&mut self) {
        self.0.split::<PARTS>(self.0.pace);
    }
}

/// The loops around both products: for each strip of weights, for each block of the contraction, for each pair of batch panels.
#[inline(always)]
fn multiply<S: Halves, U: TileUnit, W: OfWeights<PARTS>, const PARTS: usize>(
    s: S,
    unit: U,
    mut weights: W,
    depth: usize,
    batch: &[f32],
    pairs: usize,
    scratch: &mut [f32],
) {
    let tile = PARTS * TILE;
    let (split, sums) = scratch.split_at_mut(4 * STRIP * tile);
    let (mut here, mut ahead) = split.split_at_mut(2 * STRIP * tile);
    let strips = weights.strips();
    let item_at = |weights: &W, strip: usize, t: usize| Item {
        strip,
        width: weights.width(strip),
        t,
        steps: STRIP.min(depth - t),
    };
    if strips == 0 {
        return;
    }
    let mut item = item_at(&weights, 0, 0);
    let whole = item.units();
    SplitAhead { s, weights: &weights, item, dst: here, done: 0, pace: 0 }.split::<PARTS>(whole);
    loop {
        let last = item.t + item.steps == depth;
        let next = match (last, item.strip + 1) {
            (true, next) if next == strips => Item { steps: 0, ..item },
            (true, next) => item_at(&weights, next, 0),
            (false, _) => item_at(&weights, item.strip, item.t + item.steps),
        };
        let calls = (pairs * item.steps).max(1);
        let pace = next.units().div_ceil(calls);
        let mut work = SplitAhead { s, weights: &weights, item: next, dst: ahead, done: 0, pace };
        let of_weights = Tiles { data: here, apart: STRIP * tile, step: tile };
        let of_batch = Tiles { data: batch, apart: depth * tile, step: tile };
        for (pair, sums) in sums.chunks_exact_mut(4 * TILE).take(pairs).enumerate() {
            let of_batch = of_batch.from((pair * 2 * depth + item.t) * tile);
            let mut aside = Ahead::<S, W, PARTS>(&mut work);
            W::block(unit, item.width, item.steps, of_weights, of_batch, sums, item.t == 0, &mut aside);
        }
        work.split::<PARTS>(next.units());
        if last {
            weights.finish(s, item.strip, item.width, &mut sums[..pairs * 4 * TILE]);
            if item.strip + 1 == strips {
                return;
            }
        }
        item = next;
        std::mem::swap(&mut here, &mut ahead);
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
    fn run<S: Halves, U: TileUnit>(self, s: S, unit: U) {
        let Forward { weights, x, y, activation, scratch } = self;
        let (inputs, pairs) = (weights.rows() - 1, panel_count::<f32>(y.cols()) / 2);
        let product = ForwardProduct { weights, y, activation };
        multiply::<S, U, _, PARTS>(s, unit, product, inputs.div_ceil(DEPTH), x, pairs, scratch);
    }
}

struct ForwardProduct<'a> {
    weights: Panels<'a, f32>,
    y: PanelsMut<'a, f32>,
    activation: Activation,
}

impl<const PARTS: usize> OfWeights<PARTS> for ForwardProduct<'_> {
    #[inline(always)]
    fn strips(&self) -> usize {
        self.weights.count().div_ceil(2)
    }
    #[inline(always)]
    fn width(&self, strip: usize) -> usize {
        2.min(self.weights.count() - 2 * strip)
    }
    #[inline(always)]
    fn split<S: Halves>(&self, s: S, place: Place, dst: &mut [f32]) {
        let inputs = self.weights.rows() - 1;
        let lines = &self.weights.panel(2 * place.strip + place.index)[..inputs * LINE];
        let near = (place.t * DEPTH + place.half * UNIT) * LINE;
        if near + TILE + UNIT * LINE <= lines.len() {
            let (low, high) = (&lines[near..][..UNIT * LINE], &lines[near + TILE..][..UNIT * LINE]);
            pair_all::<S, PARTS>(s, low, high, dst);
        } else {
            for j in 0..UNIT {
                let low = lines.get(near + j * LINE..);
                let high = lines.get(near + TILE + j * LINE..);
                pair_or_zero::<S, PARTS>(s, low, high, &mut dst[j * LINE..]);
            }
        }
    }
    #[inline(always)]
    fn block<U: TileUnit, A: Aside>(
        unit: U,
        width: usize,
        depth: usize,
        weights: Tiles<'_>,
        batch: Tiles<'_>,
        sums: &mut [f32],
        fresh: bool,
        aside: &mut A,
    ) {
        match width {
            1 => block::<U, A, PARTS, 2, 1>(unit, depth, batch, weights, sums, fresh, aside),
            _ => block::<U, A, PARTS, 2, 2>(unit, depth, batch, weights, sums, fresh, aside),
        }
    }
    #[inline(always)]
    fn finish<S: Halves>(&mut self, s: S, strip: usize, width: usize, sums: &mut [f32]) {
        let (inputs, outputs) = (self.weights.rows() - 1, self.y.rows());
        for (index, sum) in sums.chunks_exact_mut(TILE).enumerate() {
            let (q, n) = (index / 2, index % 2);
            if n < width {
                let panel = 2 * strip + n;
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
    fn run<S: Halves, U: TileUnit>(self, s: S, unit: U) {
        let BackwardInput { weights, delta, below, dx, scratch } = self;
        let (outputs, pairs) = (weights.cols(), panel_count::<f32>(dx.cols()) / 2);
        let product = BackwardProduct { weights, below, dx };
        multiply::<S, U, _, PARTS>(s, unit, product, outputs.div_ceil(DEPTH), delta, pairs, scratch);
    }
}

struct BackwardProduct<'a> {
    weights: Panels<'a, f32>,
    below: (Panels<'a, f32>, Activation),
    dx: PanelsMut<'a, f32>,
}

impl<const PARTS: usize> OfWeights<PARTS> for BackwardProduct<'_> {
    #[inline(always)]
    fn strips(&self) -> usize {
        self.dx.rows().div_ceil(DEPTH)
    }
    #[inline(always)]
    fn width(&self, strip: usize) -> usize {
        if self.dx.rows() - strip * DEPTH > LINE { 2 } else { 1 }
    }
    #[inline(always)]
    fn split<S: Halves>(&self, s: S, place: Place, dst: &mut [f32]) {
        let inputs = self.dx.rows();
        let from = inputs.min(place.strip * DEPTH + place.index * LINE + place.half * UNIT);
        let lines = UNIT.min(inputs - from);
        let of = |panel: usize| {
            if panel < self.weights.count() {
                &self.weights.panel(panel)[from * LINE..][..lines * LINE]
            } else {
                &[]
            }
        };
        let (low, high) = (of(2 * place.t), of(2 * place.t + 1));
        if lines == UNIT && !high.is_empty() {
            pair_all::<S, PARTS>(s, low, high, dst);
        } else {
            for i in 0..UNIT {
                let (low, high) = (low.get(i * LINE..), high.get(i * LINE..));
                pair_or_zero::<S, PARTS>(s, low, high, &mut dst[i * LINE..]);
            }
        }
    }
    #[inline(always)]
    fn block<U: TileUnit, A: Aside>(
        unit: U,
        width: usize,
        depth: usize,
        weights: Tiles<'_>,
        batch: Tiles<'_>,
        sums: &mut [f32],
        fresh: bool,
        aside: &mut A,
    ) {
        match width {
            1 => block::<U, A, PARTS, 1, 2>(unit, depth, weights, batch, sums, fresh, aside),
            _ => block::<U, A, PARTS, 2, 2>(unit, depth, weights, batch, sums, fresh, aside),
        }
    }
    #[inline(always)]
    fn finish<S: Halves>(&mut self, s: S, strip: usize, width: usize, sums: &mut [f32]) {
        let inputs = self.dx.rows();
        let (below, activation) = self.below;
        for (index, sum) in sums.chunks_exact_mut(TILE).enumerate() {
            let (q, m) = (index / 4 * 2 + index % 2, index / 2 % 2);
            if m < width {
                let first = strip * DEPTH + m * LINE;
                let len = LINE.min(inputs - first) * LINE;
                let dx = &mut self.dx.panel(q)[first * LINE..][..len];
                dx.copy_from_slice(&sum[..len]);
                times_grad(s, activation, &below.panel(q)[first * LINE..][..len], dx);
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
        let panels = range.panels.len();
        for group in (0..panels).step_by(GROUP) {
            for first in (0..count).step_by(DEPTH) {
                let height = if count - first > LINE { 2 } else { 1 };
                let x_at = tiles(x, (first_input + first) / LINE);
                for panel in (group..panels.min(group + GROUP)).step_by(2) {
                    let width = 2.min(panels - panel);
                    let delta_at = tiles(delta, range.panels.start + panel);
                    if x.pairs == 0 {
                        // Without rows the sum is zero, and still handed on.
                        sums.fill(0.0);
                    } else {
                        let a = Tiles { data: &x.data[x_at..], apart: tile, step: x.apart };
                        let b = Tiles { data: &delta.data[delta_at..], apart: tile, step: delta.apart };
                        match (height, width) {
                            (1, 1) => block::<U, _, PARTS, 1, 1>(unit, x.pairs, a, b, sums, true, &mut Idle),
                            (1, _) => block::<U, _, PARTS, 1, 2>(unit, x.pairs, a, b, sums, true, &mut Idle),
                            (_, 1) => block::<U, _, PARTS, 2, 1>(unit, x.pairs, a, b, sums, true, &mut Idle),
                            _ => block::<U, _, PARTS, 2, 2>(unit, x.pairs, a, b, sums, true, &mut Idle),
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
    #[inline(always)]
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
fn block<U: TileUnit, A: Aside, const PARTS: usize, const M: usize, const N: usize>(
    unit: U,
    depth: usize,
    a: Tiles<'_>,
    b: Tiles<'_>,
    sums: &mut [f32],
    fresh: bool,
    aside: &mut A,
) {
    assert!(sums.len() >= 4 * TILE);
    let (a, b) = (a.operand(M, depth, PARTS), b.operand(N, depth, PARTS));
    // SAFETY: the sums hold four tiles; `operand` has checked the last tile of the last step, and all others come before.
    unsafe { unit.block::<A, PARTS, M, N>(depth, a, b, sums.as_mut_ptr(), fresh, aside) }
}
