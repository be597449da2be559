//! `y = act(Wᵀ x + b)`. The tiles of sums are `[16 rows, 16 outputs]`; tile `(q, n)` is that of the batch panel `q` of the pair
//! and the panel `n` of the strip.

use super::weights::{Place, Product, Step, Strip, UNIT};
use super::{Forms, Tiles, block};
use crate::activation::{Epilogue, activate, activate_with_slopes};
use crate::panel::{Panels, PanelsMut, panel_count};
use crate::simd::Halves;
use crate::tile::split::{LINE, pair_all, pair_lines, turn};
use crate::tile::{Aside, DEPTH, TILE, TileUnit};

pub(super) struct Forward<'a> {
    pub(super) weights: Panels<'a, f32>,
    pub(super) y: PanelsMut<'a, f32>,
    pub(super) epilogue: Epilogue<'a, f32>,
    pub(super) forms: Option<Forms<'a>>,
}

impl<const PARTS: usize> Product<PARTS> for Forward<'_> {
    /// Each tile: bias, activation, `y`; half tiles of the rows for the next layer; half tiles of its inputs.
    const FINISH_STEPS: usize = 12;

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
        let near = (place.t * DEPTH + place.half * UNIT) * LINE;
        let from = |place: usize| lines.get(place..).unwrap_or_default();
        pair_lines::<S, PARTS>(s, UNIT, from(near), from(near + TILE), dst);
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
    fn finish<S: Halves>(&mut self, s: S, strip: Strip, step: Step, sums: &mut [f32], _: &mut [f32]) {
        let (a, b) = (step.number % 4 / 2, step.number % 2);
        match step.number / 4 {
            0 if b < strip.width => self.one_tile(
                s,
                2 * step.pair + a,
                2 * strip.index + b,
                &mut sums[(2 * a + b) * TILE..][..TILE],
            ),
            1 => {
                self.next_rows::<S, PARTS>(s, strip, 2 * step.pair + a, b, &sums[2 * a * TILE..][..2 * TILE]);
            }
            2 if a < strip.width => self.next_inputs::<S, PARTS>(s, step.pair, 2 * strip.index + a, b),
            _ => {}
        }
    }
}

impl Forward<'_> {
    /// Bias, activation and `y` for the tile of a batch panel and a panel of outputs.
    #[inline(always)]
    fn one_tile<S: Halves>(&mut self, s: S, q: usize, panel: usize, sum: &mut [f32]) {
        let inputs = self.weights.rows() - 1;
        let bias = &self.weights.panel(panel)[inputs * LINE..][..LINE];
        for lane in (0..LINE).step_by(S::LANES) {
            let add = s.load(&bias[lane..]);
            for to in sum.chunks_exact_mut(LINE) {
                let to = &mut to[lane..];
                s.store(s.add(s.load(to), add), to);
            }
        }
        if let Some(slopes) = &mut self.epilogue.slopes {
            let mut slope = [0.0; TILE];
            activate_with_slopes(s, self.epilogue.activation, sum, &mut slope);
            put_turned(s, &slope, slopes, q, panel);
        } else {
            activate(s, self.epilogue.activation, sum);
        }
        put_turned(s, sum, &mut self.y, q, panel);
    }

    /// Half of the tile of rows of a batch panel that this strip makes, from its two tiles of sums.
    #[inline(always)]
    fn next_rows<S: Halves, const PARTS: usize>(
        &mut self,
        s: S,
        strip: Strip,
        q: usize,
        half: usize,
        sums: &[f32],
    ) {
        let Some(next) = self.forms.as_mut().and_then(|forms| forms.next.as_deref_mut()) else { return };
        let tile = PARTS * TILE;
        let at = (q * self.y.rows().div_ceil(DEPTH) + strip.index) * tile + half * UNIT * LINE;
        let (low, high) = sums.split_at(TILE);
        let from = half * UNIT * LINE;
        let low = &low[from..][..UNIT * LINE];
        if strip.width == 2 {
            pair_all::<S, PARTS>(s, low, &high[from..][..UNIT * LINE], &mut next[at..]);
        } else {
            pair_all::<S, PARTS>(s, low, &[0.0; UNIT * LINE], &mut next[at..]);
        }
    }

    /// Half of the tile of inputs of a panel of outputs, from `y` of both batch panels.
    #[inline(always)]
    fn next_inputs<S: Halves, const PARTS: usize>(&mut self, s: S, pair: usize, panel: usize, half: usize) {
        let Some(forms) = &mut self.forms else { return };
        let at = pair * forms.apart + panel * PARTS * TILE + half * UNIT * LINE;
        let Some(kept) = forms.kept.as_deref_mut() else { return };
        let dst = &mut kept[at..];
        let from = panel * TILE + half * UNIT * LINE;
        let y = self.y.as_panels();
        debug_assert!(panel < panel_count::<f32>(self.weights.cols()));
        let of = |q: usize| y.panel(q).get(from..).unwrap_or_default();
        pair_lines::<S, PARTS>(s, UNIT, of(2 * pair), of(2 * pair + 1), dst);
    }
}

/// Writes a tile `[16 rows, 16 outputs]` to the lines of a panel of outputs in a batch panel.
#[inline(always)]
fn put_turned<S: Halves>(s: S, tile: &[f32], to: &mut PanelsMut<'_, f32>, q: usize, panel: usize) {
    let outputs = LINE.min(to.rows() - panel * LINE);
    let lines = &mut to.panel(q)[panel * TILE..][..outputs * LINE];
    if outputs == LINE {
        s.transpose(tile, LINE, lines, LINE);
    } else {
        let mut turned = [0.0; TILE];
        turn(s, tile, &mut turned);
        lines.copy_from_slice(&turned[..lines.len()]);
    }
}
