//! The weight gradient and its update. The tiles of sums are `[16 inputs, 16 outputs]`, like the panels
//! of the weights.

use super::{PairedTiles, Tiles, block};
use crate::gemm::WeightRange;
use crate::simd::{Halves, HalvesKernel};
use crate::tile::split::LINE;
use crate::tile::{DEPTH, Interleaved, Pace, TILE, TileKernel, TileUnit, calls_per_step};
use crate::update::{Rule, Target};
use crate::workspace::Line;

/// Panels of outputs whose deltas stay in L2 for all inputs. They pass L1 by, where the inputs stay for the
/// panels of a group.
const GROUP: usize = 8;
/// Lines of a block of sums: four tiles.
const LINES: usize = 4 * LINE;

pub(super) struct WeightGradient<'a, const PARTS: usize> {
    pub(super) inputs: usize,
    pub(super) range: &'a WeightRange,
    pub(super) x: PairedTiles<'a>,
    pub(super) delta: PairedTiles<'a>,
    pub(super) rule: Rule<f32>,
    pub(super) weights: &'a mut [f32],
    pub(super) state: &'a mut [f32],
}

impl<const PARTS: usize> TileKernel for WeightGradient<'_, PARTS> {
    #[inline(always)]
    fn run<S: Halves, U: TileUnit>(self, s: S, unit: U) {
        let WeightGradient { inputs, range, x, delta, rule, weights, state } = self;
        let (lines, first_input) = (range.rows.len(), range.rows.start);
        let count = range.rows.end.min(inputs).saturating_sub(first_input);
        let tile = PARTS * TILE;
        // The sums of the current block, and of the previous one, whose update goes on while the tile
        // unit is busy with the current one.
        let mut buffer = [Line::default(); 8 * TILE / LINE];
        let (mut sums, before) = bytemuck::cast_slice_mut(&mut buffer).split_at_mut(4 * TILE);
        let target = Target { rule, weights, state };
        let pace = Pace::new(LINES, x.pairs * calls_per_step::<PARTS>());
        let mut update = Updates { s, target, tiles: [(0, 0); 4], sums: before, next: LINES, pace };
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
                        // Without rows the sum is zero, and is still passed on.
                        sums.fill(0.0);
                    } else {
                        let a = Tiles { data: &x.data[x_at..], stride: tile, step: x.stride, passes: false };
                        let b = Tiles {
                            data: &delta.data[delta_at..],
                            stride: tile,
                            step: delta.stride,
                            passes: true,
                        };
                        match (height, width) {
                            (1, 1) => {
                                block::<U, _, PARTS, 1, 1>(unit, x.pairs, a, b, sums, true, &mut update);
                            }
                            (1, _) => {
                                block::<U, _, PARTS, 1, 2>(unit, x.pairs, a, b, sums, true, &mut update);
                            }
                            (_, 1) => {
                                block::<U, _, PARTS, 2, 1>(unit, x.pairs, a, b, sums, true, &mut update);
                            }
                            _ => block::<U, _, PARTS, 2, 2>(unit, x.pairs, a, b, sums, true, &mut update),
                        }
                    }
                    update.all();
                    for (index, part) in update.tiles.iter_mut().enumerate() {
                        let (m, n) = (index / 2, index % 2);
                        let line = first + m * LINE;
                        let rows = if m < height && n < width { LINE.min(count - line) } else { 0 };
                        *part = (((panel + n) * lines + line) * LINE, rows);
                    }
                    std::mem::swap(&mut sums, &mut update.sums);
                    update.next = 0;
                }
            }
        }
        update.all();
        let mut target = update.target;
        if range.rows.end == inputs + 1 && lines > 0 {
            for panel in 0..range.panels.len() {
                let sum = column_sums::<S, PARTS>(s, delta, tiles(delta, range.panels.start + panel));
                target.update(s, ((panel + 1) * lines - 1) * LINE, &sum);
            }
        }
    }
}

/// Sums the deltas over the rows of the batch, for the 16 features whose first tile is at `at`.
#[inline(always)]
fn column_sums<S: Halves, const PARTS: usize>(s: S, delta: PairedTiles<'_>, at: usize) -> [f32; LINE] {
    let mut sums = [0.0; LINE];
    for lane in (0..LINE).step_by(S::LANES) {
        let mut sum = s.splat(0.0);
        for pair in 0..delta.pairs {
            let tiles = &delta.data[at + pair * delta.stride..][..PARTS * TILE];
            for j in 0..LINE {
                let mut low = s.splat(0.0);
                let mut high = low;
                // Smallest part first, so that the value is exact.
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

/// The update of the parameters of a block, a few lines at a time.
struct Updates<'a, S> {
    s: S,
    target: Target<'a, f32>,
    /// Where the parameters of each tile start, and how many lines they have.
    tiles: [(usize, usize); 4],
    sums: &'a mut [f32],
    /// The next line, counted over all four tiles.
    next: usize,
    /// Lines per call.
    pace: Pace,
}

impl<S: Halves> Updates<'_, S> {
    #[inline(always)]
    fn some(&mut self, count: usize) {
        let end = LINES.min(self.next + count);
        if self.next < end {
            self.s.run_outlined(Lines { updates: self, end });
        }
    }

    #[inline(always)]
    fn all(&mut self) {
        self.some(LINES);
    }
}

impl<S: Halves> Interleaved for Updates<'_, S> {
    #[inline(always)]
    fn step(&mut self) {
        let count = self.pace.next();
        self.some(count);
    }
}

/// Updates the lines before `end` in one function, because [`Target::update`] is long and called from
/// several places.
struct Lines<'a, 'b, S> {
    updates: &'a mut Updates<'b, S>,
    end: usize,
}

impl<S: Halves> HalvesKernel for Lines<'_, '_, S> {
    #[inline(always)]
    fn run<V: Halves>(self, s: V) {
        let Lines { updates, end } = self;
        while updates.next < end {
            let (tile, line) = (updates.next / LINE, updates.next % LINE);
            let (at, lines) = updates.tiles[tile];
            let run = (LINE - line).min(end - updates.next);
            let wanted = run.min(lines.saturating_sub(line));
            if wanted > 0 {
                let sums = &updates.sums[updates.next * LINE..][..wanted * LINE];
                updates.target.update(s, at + line * LINE, sums);
            }
            updates.next += run;
        }
    }
}
