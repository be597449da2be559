//! Splitting of panels into the operands of the products on tiles. The layouts are those of
//! [`crate::tile`].

use super::{DEPTH, Parts, TILE};
use crate::isa::Isa;
use crate::panel::{Panels, panel_count};
use crate::simd::{Halves, HalvesKernel, run_halves};

/// Elements per line.
pub(super) const LINE: usize = 16;

/// Elements of [`rows`] and [`features`] per batch panel.
pub fn panel_len(parts: Parts, features: usize) -> usize {
    features.div_ceil(DEPTH).saturating_mul(parts.count() * TILE)
}

/// Elements of [`inputs`] and [`transposed`] per pair of batch panels.
pub fn pair_len(parts: Parts, features: usize) -> usize {
    panel_count::<f32>(features).saturating_mul(parts.count() * TILE)
}

/// Writes the operand of [`super::forward`] for its input `x`, `[features, batch]`: [`panel_len`]
/// elements per batch panel.
pub fn rows(isa: Isa, parts: Parts, x: Panels<'_, f32>, dst: &mut [f32]) {
    check_panels(parts, x, dst);
    run(isa, parts, Split { form: Form::Rows, src: x, dst, stride: panel_len(parts, x.rows()) });
}

/// Writes the operand of [`super::backward_input`] for its `delta`, `[features, batch]`: [`panel_len`]
/// elements per batch panel.
pub fn features(isa: Isa, parts: Parts, delta: Panels<'_, f32>, dst: &mut [f32]) {
    check_panels(parts, delta, dst);
    run(isa, parts, Split { form: Form::Features, src: delta, dst, stride: panel_len(parts, delta.rows()) });
}

/// Writes an operand of [`super::weight_gradient`] for the layer's input `x`, `[features, batch]`, which
/// has an even number of batch panels: for each pair of them, [`pair_len`] of every `stride` elements of
/// `dst`.
pub fn inputs(isa: Isa, parts: Parts, x: Panels<'_, f32>, dst: &mut [f32], stride: usize) {
    check_pairs(parts, x, dst, stride);
    run(isa, parts, Split { form: Form::Inputs, src: x, dst, stride });
}

/// Writes the other operand of [`super::weight_gradient`], for the layer's `delta`; otherwise like
/// [`inputs`].
pub fn transposed(isa: Isa, parts: Parts, delta: Panels<'_, f32>, dst: &mut [f32], stride: usize) {
    check_pairs(parts, delta, dst, stride);
    run(isa, parts, Split { form: Form::Transposed, src: delta, dst, stride });
}

fn check_panels(parts: Parts, src: Panels<'_, f32>, dst: &[f32]) {
    let wanted = src.count().saturating_mul(panel_len(parts, src.rows()));
    assert!(dst.len() == wanted, "tiles of {} batch panels: {wanted}, not {}", src.count(), dst.len());
}

fn check_pairs(parts: Parts, src: Panels<'_, f32>, dst: &[f32], stride: usize) {
    let len = pair_len(parts, src.rows());
    let pairs = src.count() / 2;
    assert!(
        src.count().is_multiple_of(2)
            && stride >= len
            && (pairs == 0 || (pairs - 1).saturating_mul(stride).saturating_add(len) <= dst.len()),
        "tiles of {} batch panels, {len} of every {stride} elements, in {}",
        src.count(),
        dst.len()
    );
}

#[derive(Clone, Copy)]
enum Form {
    Rows,
    Features,
    Inputs,
    Transposed,
}

struct Split<'a> {
    form: Form,
    src: Panels<'a, f32>,
    dst: &'a mut [f32],
    stride: usize,
}

struct WithParts<'a, const PARTS: usize>(Split<'a>);

fn run(isa: Isa, parts: Parts, split: Split<'_>) {
    match parts {
        Parts::One => run_halves(isa, WithParts::<1>(split)),
        Parts::Three => run_halves(isa, WithParts::<3>(split)),
    }
}

impl<const PARTS: usize> HalvesKernel for WithParts<'_, PARTS> {
    #[inline(always)]
    fn run<S: Halves>(self, s: S) {
        let Split { form, src, dst, stride } = self.0;
        match form {
            Form::Rows => split_rows::<S, PARTS>(s, src, dst, stride),
            Form::Features => split_features::<S, PARTS>(s, src, dst, stride),
            Form::Inputs => split_inputs::<S, PARTS>(s, src, dst, stride),
            Form::Transposed => split_transposed::<S, PARTS>(s, src, dst, stride),
        }
    }
}

#[inline(always)]
fn split_rows<S: Halves, const PARTS: usize>(s: S, src: Panels<'_, f32>, dst: &mut [f32], stride: usize) {
    let mut spare = [0.0; 2 * TILE];
    for (q, tiles) in dst.chunks_exact_mut(stride.max(1)).enumerate() {
        let lines = src.panel(q).chunks(DEPTH * LINE);
        for (lines, tile) in lines.zip(tiles.chunks_exact_mut(PARTS * TILE)) {
            let (near, far) = lines.split_at(lines.len().min(TILE));
            pair_transposed::<S, PARTS>(s, near, far, &mut spare, tile);
        }
    }
}

#[inline(always)]
fn split_features<S: Halves, const PARTS: usize>(s: S, src: Panels<'_, f32>, dst: &mut [f32], stride: usize) {
    for (q, tiles) in dst.chunks_exact_mut(stride.max(1)).enumerate() {
        let lines = src.panel(q).chunks(DEPTH * LINE);
        for (lines, tile) in lines.zip(tiles.chunks_exact_mut(PARTS * TILE)) {
            let (near, far) = lines.split_at(lines.len().min(TILE));
            pair_lines::<S, PARTS>(s, LINE, near, far, tile);
        }
    }
}

#[inline(always)]
fn split_inputs<S: Halves, const PARTS: usize>(s: S, src: Panels<'_, f32>, dst: &mut [f32], stride: usize) {
    let of_pair = panel_count::<f32>(src.rows()) * PARTS * TILE;
    for (pair_index, tiles) in dst.chunks_mut(stride.max(1)).take(src.count() / 2).enumerate() {
        let even = src.panel(2 * pair_index).chunks(TILE);
        let odd = src.panel(2 * pair_index + 1).chunks(TILE);
        for ((near, far), tile) in even.zip(odd).zip(tiles[..of_pair].chunks_exact_mut(PARTS * TILE)) {
            pair_lines::<S, PARTS>(s, LINE, near, far, tile);
        }
    }
}

#[inline(always)]
fn split_transposed<S: Halves, const PARTS: usize>(
    s: S,
    src: Panels<'_, f32>,
    dst: &mut [f32],
    stride: usize,
) {
    let of_pair = panel_count::<f32>(src.rows()) * PARTS * TILE;
    let mut spare = [0.0; 2 * TILE];
    for (pair_index, tiles) in dst.chunks_mut(stride.max(1)).take(src.count() / 2).enumerate() {
        let even = src.panel(2 * pair_index).chunks(TILE);
        let odd = src.panel(2 * pair_index + 1).chunks(TILE);
        for ((near, far), tile) in even.zip(odd).zip(tiles[..of_pair].chunks_exact_mut(PARTS * TILE)) {
            pair_transposed::<S, PARTS>(s, near, far, &mut spare, tile);
        }
    }
}

/// [`pair`] for the columns of up to 16 lines each; missing lines count as zeros. `spare` is memory for
/// two tiles.
#[inline(always)]
pub(super) fn pair_transposed<S: Halves, const PARTS: usize>(
    s: S,
    low: &[f32],
    high: &[f32],
    spare: &mut [f32],
    dst: &mut [f32],
) {
    let (first, second) = spare.split_at_mut(TILE);
    if PARTS == 1 {
        // Words are transposed like numbers, and there are half as many.
        pair_lines::<S, PARTS>(s, LINE, low, high, first);
        s.transpose(first, LINE, dst, LINE);
        return;
    }
    transpose(s, low, first);
    transpose(s, high, second);
    for j in (0..TILE).step_by(LINE) {
        pair::<S, PARTS>(s, &first[j..], &second[j..], &mut dst[j..]);
    }
}

/// Transposes up to 16 lines; missing ones count as zeros.
#[inline(always)]
pub(super) fn transpose<S: Halves>(s: S, lines: &[f32], dst: &mut [f32]) {
    if lines.len() == TILE {
        s.transpose(lines, LINE, dst, LINE);
    } else {
        let mut whole = [0.0; TILE];
        whole[..lines.len()].copy_from_slice(lines);
        s.transpose(&whole, LINE, dst, LINE);
    }
}

/// [`pair`] for `count` lines, of which those beyond the end of `low` or `high` count as zeros.
#[inline(always)]
pub(super) fn pair_lines<S: Halves, const PARTS: usize>(
    s: S,
    count: usize,
    low: &[f32],
    high: &[f32],
    dst: &mut [f32],
) {
    const ZEROS: [f32; LINE] = [0.0; LINE];
    let len = count * LINE;
    if low.len() >= len && high.len() >= len {
        return pair_all::<S, PARTS>(s, &low[..len], &high[..len], dst);
    }
    for place in (0..len).step_by(LINE) {
        let low = low.get(place..place + LINE).unwrap_or(&ZEROS);
        let high = high.get(place..place + LINE).unwrap_or(&ZEROS);
        pair::<S, PARTS>(s, low, high, &mut dst[place..]);
    }
}

/// [`pair`] for all lines of `low` and `high`.
#[inline(always)]
pub(super) fn pair_all<S: Halves, const PARTS: usize>(s: S, low: &[f32], high: &[f32], dst: &mut [f32]) {
    let dst = &mut dst[..(PARTS - 1) * TILE + low.len()];
    for (j, (low, high)) in low.chunks_exact(LINE).zip(high.chunks_exact(LINE)).enumerate() {
        pair::<S, PARTS>(s, low, high, &mut dst[j * LINE..]);
    }
}

/// Writes a line of words, with `low` in the low halves and `high` in the high ones, to each part's
/// tile.
#[inline(always)]
pub(super) fn pair<S: Halves, const PARTS: usize>(s: S, low: &[f32], high: &[f32], dst: &mut [f32]) {
    let (low, high) = (&low[..LINE], &high[..LINE]);
    let dst = &mut dst[..(PARTS - 1) * TILE + LINE];
    for lane in (0..LINE).step_by(S::LANES) {
        let (mut a, mut b) = (s.load(&low[lane..]), s.load(&high[lane..]));
        if PARTS == 1 {
            s.store(s.round_pair(a, b), &mut dst[lane..]);
        } else {
            for part in 0..PARTS - 1 {
                let (p, q) = (s.nearest(a), s.nearest(b));
                s.store(s.join(p, q), &mut dst[part * TILE + lane..]);
                (a, b) = (s.sub(a, p), s.sub(b, q));
            }
            // What remains of 24 bits after two times eight fits into a bf16 number as it is.
            s.store(s.join(a, b), &mut dst[(PARTS - 1) * TILE + lane..]);
        }
    }
}
