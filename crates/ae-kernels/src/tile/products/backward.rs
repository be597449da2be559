//! `dx = (W δ) ⊙ act'`. The tiles of sums are `[16 inputs, 16 rows]`; tile `(m, q)` is that of panel `m`
//! of the strip and batch panel `q` of the pair.

use super::weights::{PIECES, Place, Product, Step, Strip, UNIT};
use super::{Tiles, Written, block};
use crate::activation::{Slope, times_slope};
use crate::panel::Panels;
use crate::par::DisjointSlice;
use crate::simd::Halves;
use crate::tile::split::{LINE, pair_all, pair_lines, pair_transposed};
use crate::tile::{DEPTH, Interleaved, TILE, TileUnit};

/// As in [`super::forward`], everything of a strip is written by its task alone.
#[derive(Clone, Copy)]
pub(super) struct Backward<'a> {
    pub(super) weights: Panels<'a, f32>,
    pub(super) below: (Panels<'a, f32>, Slope),
    pub(super) forms: Written<'a>,
    pub(super) dx: Option<DisjointSlice<'a, f32>>,
}

impl<const PARTS: usize> Product<PARTS> for Backward<'_> {
    /// Four steps: the derivative of a tile. Twice as many as a tile has pieces: the features for the next
    /// layer. Then the transposes of both panels.
    const FINISH_STEPS: usize = 4 + 2 * PIECES + 2 * transpose_steps::<PARTS>();

    #[inline(always)]
    fn contracted(&self) -> usize {
        self.weights.cols()
    }
    #[inline(always)]
    fn features(&self) -> usize {
        self.weights.rows() - 1
    }
    #[inline(always)]
    fn split<S: Halves>(&self, s: S, place: Place, dst: &mut [f32]) {
        let inputs = self.weights.rows() - 1;
        let from = inputs.min(place.strip * DEPTH + place.index * LINE + place.piece * UNIT);
        let lines = UNIT.min(inputs - from);
        let of = |panel: usize| {
            if panel < self.weights.count() {
                &self.weights.panel(panel)[from * LINE..][..lines * LINE]
            } else {
                &[]
            }
        };
        pair_lines::<S, PARTS>(s, UNIT, of(2 * place.t), of(2 * place.t + 1), dst);
    }
    #[inline(always)]
    fn block<U: TileUnit, A: Interleaved>(
        unit: U,
        width: usize,
        depth: usize,
        weights: Tiles<'_>,
        batch: Tiles<'_>,
        sums: &mut [f32],
        fresh: bool,
        interleaved: &mut A,
    ) {
        match width {
            1 => block::<U, A, PARTS, 1, 2>(unit, depth, weights, batch, sums, fresh, interleaved),
            _ => block::<U, A, PARTS, 2, 2>(unit, depth, weights, batch, sums, fresh, interleaved),
        }
    }
    #[inline(always)]
    fn finish<S: Halves>(&self, s: S, strip: Strip, step: Step, sums: &mut [f32], spare: &mut [f32]) {
        if step.number < 4 {
            let (m, q) = (step.number / 2, step.number % 2);
            if m < strip.width {
                let sum = &mut sums[(2 * m + q) * TILE..][..TILE];
                self.derivative(s, 2 * strip.index + m, 2 * step.pair + q, sum);
            }
            return;
        }
        let number = step.number - 4;
        if number < 2 * PIECES {
            self.next_features::<S, PARTS>(s, strip, 2 * step.pair + number / PIECES, number % PIECES, sums);
            return;
        }
        let number = number - 2 * PIECES;
        let (m, number) = (number / transpose_steps::<PARTS>(), number % transpose_steps::<PARTS>());
        if m < strip.width {
            let sums = &sums[2 * m * TILE..][..2 * TILE];
            self.next_transposed::<S, PARTS>(s, step.pair, 2 * strip.index + m, number, sums, spare);
        }
    }
}

/// Steps for the transposes of one panel of inputs: a whole tile of words; or the transposes of both
/// batch panels, and their pieces.
const fn transpose_steps<const PARTS: usize>() -> usize {
    if PARTS == 1 { 1 } else { 2 + PIECES }
}

impl Backward<'_> {
    /// Applies the derivative to the tile of a panel of inputs and a batch panel. What is beyond the
    /// inputs is zero already, because the weights there are split as zeros.
    #[inline(always)]
    fn derivative<S: Halves>(&self, s: S, panel: usize, q: usize, sum: &mut [f32]) {
        let (below, slope) = self.below;
        let y = &below.panel(q)[panel * TILE..];
        let y = &y[..TILE.min(y.len())];
        let sum = &mut sum[..y.len()];
        times_slope(s, slope, y, sum);
        if let Some(dx) = &self.dx {
            let at = q * below.rows() * LINE + panel * TILE;
            // SAFETY: the lines belong to a panel of this strip, and no other piece of them is in use.
            unsafe { dx.slice_mut(at..at + sum.len()) }.copy_from_slice(sum);
        }
    }

    /// Writes a piece of the tile of features that this strip makes for a batch panel.
    #[inline(always)]
    fn next_features<S: Halves, const PARTS: usize>(
        &self,
        s: S,
        strip: Strip,
        q: usize,
        piece: usize,
        sums: &[f32],
    ) {
        let Some(next) = &self.forms.next else { return };
        let depth = (self.weights.rows() - 1).div_ceil(DEPTH);
        let at = (q * depth + strip.index) * PARTS * TILE;
        // SAFETY: the tile belongs to this strip, and no other piece of it is in use.
        let next = unsafe { next.slice_mut(at..at + PARTS * TILE) };
        let next = &mut next[piece * UNIT * LINE..];
        let from = q % 2 * TILE + piece * UNIT * LINE;
        let low = &sums[from..][..UNIT * LINE];
        if strip.width == 2 {
            pair_all::<S, PARTS>(s, low, &sums[from + 2 * TILE..][..UNIT * LINE], next);
        } else {
            pair_all::<S, PARTS>(s, low, &[0.0; UNIT * LINE], next);
        }
    }

    /// Does a step of the tile of transposes of a panel of inputs, from its sums for both batch panels.
    #[inline(always)]
    fn next_transposed<S: Halves, const PARTS: usize>(
        &self,
        s: S,
        pair: usize,
        panel: usize,
        step: usize,
        sums: &[f32],
        spare: &mut [f32],
    ) {
        let Some(kept) = &self.forms.kept else { return };
        if PARTS > 1 && step < 2 {
            s.transpose(&sums[step * TILE..][..TILE], LINE, &mut spare[step * TILE..][..TILE], LINE);
            return;
        }
        let at = pair * self.forms.stride + panel * PARTS * TILE;
        // SAFETY: the tile belongs to this strip, and no other piece of it is in use.
        let kept = unsafe { kept.slice_mut(at..at + PARTS * TILE) };
        if PARTS == 1 {
            pair_transposed::<S, PARTS>(s, &sums[..TILE], &sums[TILE..], spare, kept);
            return;
        }
        let (from, len) = ((step - 2) * UNIT * LINE, UNIT * LINE);
        let (even, odd) = spare.split_at(TILE);
        pair_all::<S, PARTS>(s, &even[from..][..len], &odd[from..][..len], &mut kept[from..]);
    }
}
