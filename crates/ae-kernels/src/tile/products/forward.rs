//! `y = act(Wᵀ x + b)`. The tiles of sums are `[16 rows, 16 outputs]`; tile `(q, n)` is that of batch
//! panel `q` of the pair and panel `n` of the strip.

use std::ops::Range;

use super::weights::{PIECES, Place, Product, Step, Strip, UNIT};
use super::{Tiles, Written, block};
use crate::activation::{Activation, activate, activate_with_slopes};
use crate::panel::Panels;
use crate::par::DisjointSlice;
use crate::simd::Halves;
use crate::tile::split::{LINE, pair_all, pair_lines, transpose};
use crate::tile::{DEPTH, Interleaved, TILE, TileUnit};

/// Everything of a strip is written by its task alone, as everywhere here: a tile by one step after
/// another.
#[derive(Clone, Copy)]
pub(super) struct Forward<'a> {
    pub(super) weights: Panels<'a, f32>,
    pub(super) y: DisjointSlice<'a, f32>,
    pub(super) activation: Activation,
    pub(super) slopes: Option<DisjointSlice<'a, f32>>,
    pub(super) forms: Written<'a>,
}

impl<const PARTS: usize> Product<PARTS> for Forward<'_> {
    /// Four steps: bias, activation and `y` of a tile. Twice as many as a tile has pieces: the rows for the
    /// next layer; and again: the inputs for its weight gradient.
    const FINISH_STEPS: usize = 4 + 4 * PIECES;

    #[inline(always)]
    fn contracted(&self) -> usize {
        self.weights.rows() - 1
    }
    #[inline(always)]
    fn features(&self) -> usize {
        self.weights.cols()
    }
    #[inline(always)]
    fn split<S: Halves>(&self, s: S, place: Place, dst: &mut [f32]) {
        let inputs = self.weights.rows() - 1;
        let lines = &self.weights.panel(2 * place.strip + place.index)[..inputs * LINE];
        let near = (place.t * DEPTH + place.piece * UNIT) * LINE;
        let from = |place: usize| lines.get(place..).unwrap_or_default();
        pair_lines::<S, PARTS>(s, UNIT, from(near), from(near + TILE), dst);
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
            1 => block::<U, A, PARTS, 2, 1>(unit, depth, batch, weights, sums, fresh, interleaved),
            _ => block::<U, A, PARTS, 2, 2>(unit, depth, batch, weights, sums, fresh, interleaved),
        }
    }
    #[inline(always)]
    fn finish<S: Halves>(&self, s: S, strip: Strip, step: Step, sums: &mut [f32], _: &mut [f32]) {
        if step.number < 4 {
            let (q, n) = (step.number / 2, step.number % 2);
            if n < strip.width {
                let sum = &mut sums[(2 * q + n) * TILE..][..TILE];
                self.one_tile(s, 2 * step.pair + q, 2 * strip.index + n, sum);
            }
            return;
        }
        let number = step.number - 4;
        let (index, piece) = (number / PIECES % 2, number % PIECES);
        if number < 2 * PIECES {
            let sums = &sums[2 * index * TILE..][..2 * TILE];
            self.next_rows::<S, PARTS>(s, strip, 2 * step.pair + index, piece, sums);
        } else if index < strip.width {
            self.next_inputs::<S, PARTS>(s, step.pair, 2 * strip.index + index, piece);
        }
    }
}

impl Forward<'_> {
    /// Adds the bias, applies the activation and writes `y` for the tile of a batch panel and a panel of
    /// outputs.
    #[inline(always)]
    fn one_tile<S: Halves>(&self, s: S, q: usize, panel: usize, sum: &mut [f32]) {
        let inputs = self.weights.rows() - 1;
        let bias = &self.weights.panel(panel)[inputs * LINE..][..LINE];
        for lane in (0..LINE).step_by(S::LANES) {
            let add = s.load(&bias[lane..]);
            for to in sum.chunks_exact_mut(LINE) {
                let to = &mut to[lane..];
                s.store(s.add(s.load(to), add), to);
            }
        }
        let lines = self.lines(q, panel);
        if let Some(slopes) = &self.slopes {
            let mut slope = [0.0; TILE];
            activate_with_slopes(s, self.activation, sum, &mut slope);
            // SAFETY: the panel belongs to this strip, and no other piece of it is in use.
            store_transposed(s, &slope, unsafe { slopes.slice_mut(lines.clone()) });
        } else {
            activate(s, self.activation, sum);
        }
        // SAFETY: as above.
        store_transposed(s, sum, unsafe { self.y.slice_mut(lines) });
    }

    /// Where the lines of a panel of outputs are in batch panel `q`.
    #[inline(always)]
    fn lines(&self, q: usize, panel: usize) -> Range<usize> {
        let outputs = self.weights.cols();
        let start = q * outputs + panel * LINE;
        start * LINE..(start + LINE.min(outputs - panel * LINE)) * LINE
    }

    /// Writes a piece of the tile of rows that this strip makes for a batch panel, from its two tiles of
    /// sums.
    #[inline(always)]
    fn next_rows<S: Halves, const PARTS: usize>(
        &self,
        s: S,
        strip: Strip,
        q: usize,
        piece: usize,
        sums: &[f32],
    ) {
        let Some(next) = &self.forms.next else { return };
        let tile = PARTS * TILE;
        let at = (q * self.weights.cols().div_ceil(DEPTH) + strip.index) * tile;
        // SAFETY: the tile belongs to this strip, and no other piece of it is in use.
        let next = unsafe { next.slice_mut(at..at + tile) };
        let from = piece * UNIT * LINE;
        let next = &mut next[from..];
        let (low, high) = sums.split_at(TILE);
        let low = &low[from..][..UNIT * LINE];
        if strip.width == 2 {
            pair_all::<S, PARTS>(s, low, &high[from..][..UNIT * LINE], next);
        } else {
            pair_all::<S, PARTS>(s, low, &[0.0; UNIT * LINE], next);
        }
    }

    /// Writes a piece of the tile of inputs of a panel of outputs, from `y` of both batch panels.
    #[inline(always)]
    fn next_inputs<S: Halves, const PARTS: usize>(&self, s: S, pair: usize, panel: usize, piece: usize) {
        let Some(kept) = &self.forms.kept else { return };
        let at = pair * self.forms.stride + panel * PARTS * TILE;
        // SAFETY: the tile belongs to this strip, and no other piece of it is in use; the lines of `y`
        // are the strip's too, and nobody writes to them while this step reads them.
        let (kept, y) = unsafe {
            (
                kept.slice_mut(at..at + PARTS * TILE),
                [0, 1].map(|q| self.y.slice(self.lines(2 * pair + q, panel))),
            )
        };
        let from = piece * UNIT * LINE;
        let of = |q: usize| y[q].get(from..).unwrap_or_default();
        pair_lines::<S, PARTS>(s, UNIT, of(0), of(1), &mut kept[from..]);
    }
}

/// Writes a tile `[16 rows, 16 outputs]`, transposed, to lines of outputs, as many as there are.
#[inline(always)]
fn store_transposed<S: Halves>(s: S, tile: &[f32], lines: &mut [f32]) {
    if lines.len() == TILE {
        s.transpose(tile, LINE, lines, LINE);
    } else {
        let mut transposed = [0.0; TILE];
        transpose(s, tile, &mut transposed);
        lines.copy_from_slice(&transposed[..lines.len()]);
    }
}
