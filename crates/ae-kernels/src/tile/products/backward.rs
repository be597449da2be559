//! `dx = (W δ) ⊙ act'`. The tiles of sums are `[16 inputs, 16 rows]`; tile `(m, q)` is that of panel `m`
//! of the strip and batch panel `q` of the pair.

use super::weights::{PIECES, Place, Product, Step, Strip, UNIT};
use super::{Tiles, Written, block};
use crate::activation::{Slope, times_slope};
use crate::panel::Panels;
use crate::par::DisjointSlice;
use crate::simd::Halves;
use crate::tile::split::{LINE, pair_all, pair_lines};
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
    /// Four steps each: the derivative of a tile; the transpose of a tile. Twice as many as a tile has
    /// pieces: the features for the next layer; and again: the transposes.
    const FINISH_STEPS: usize = 8 + 4 * PIECES;

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
        if step.number < 8 {
            let (m, q) = (step.number % 4 / 2, step.number % 2);
            let tile = (2 * m + q) * TILE;
            if m < strip.width && step.number < 4 {
                let sum = &mut sums[tile..][..TILE];
                self.derivative(s, 2 * strip.index + m, 2 * step.pair + q, sum);
            } else if m < strip.width {
                s.transpose(&sums[tile..][..TILE], LINE, &mut spare[tile..][..TILE], LINE);
            }
            return;
        }
        let number = step.number - 8;
        let (index, piece) = (number / PIECES % 2, number % PIECES);
        if number < 2 * PIECES {
            self.next_features::<S, PARTS>(s, strip, 2 * step.pair + index, piece, sums);
        } else if index < strip.width {
            self.next_transposed::<S, PARTS>(
                s,
                step.pair,
                2 * strip.index + index,
                piece,
                &spare[2 * index * TILE..],
            );
        }
    }
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

    /// Writes a piece of the tile of transposes of a panel of inputs, from those of both batch panels.
    #[inline(always)]
    fn next_transposed<S: Halves, const PARTS: usize>(
        &self,
        s: S,
        pair: usize,
        panel: usize,
        piece: usize,
        transposed: &[f32],
    ) {
        let Some(kept) = &self.forms.kept else { return };
        let at = pair * self.forms.stride + panel * PARTS * TILE;
        // SAFETY: the tile belongs to this strip, and no other piece of it is in use.
        let kept = unsafe { kept.slice_mut(at..at + PARTS * TILE) };
        let from = piece * UNIT * LINE;
        let (even, odd) = (&transposed[from..][..UNIT * LINE], &transposed[from + TILE..][..UNIT * LINE]);
        pair_all::<S, PARTS>(s, even, odd, &mut kept[from..]);
    }
}
