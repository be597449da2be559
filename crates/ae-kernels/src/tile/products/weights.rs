//! The loops around the products of the weights with a batch. The weights are split one strip of two
//! panels at a time; this, and the epilogue of the previous strip, is done while the tile unit is busy.

use std::ops::Range;

use super::Tiles;
use crate::simd::{Halves, HalvesKernel};
use crate::tile::split::LINE;
use crate::tile::{DEPTH, Interleaved, Pace, Parts, TILE, TileKernel, TileUnit, calls_per_step};

/// Contraction steps, one product of tiles each, for which the weights of a strip are split at a time:
/// with three parts 48 KiB, and as much again for the next ones, which stay in L2 for all rows of a
/// block.
const STRIP: usize = 8;
/// Lines that are split together: a piece of a tile, for some forty cycles.
pub(super) const UNIT: usize = 4;
/// Pieces of a tile.
pub(super) const PIECES: usize = LINE / UNIT;

/// Elements of memory for the steps of an epilogue.
const SPARE: usize = 2 * TILE;

/// Elements of scratch memory that [`super::forward`] and [`super::backward_input`] need per thread for
/// this many batch panels.
pub fn scratch_len(parts: Parts, batch_panels: usize) -> usize {
    let of_pairs = batch_panels.div_ceil(2).saturating_mul(2 * 4 * TILE);
    of_pairs.saturating_add(4 * STRIP * parts.count() * TILE + SPARE)
}

/// What differs between the two products.
pub(super) trait Product<const PARTS: usize> {
    /// Number of steps of [`Product::finish`] for a pair of batch panels.
    const FINISH_STEPS: usize;
    /// Number of features that are contracted.
    fn contracted(&self) -> usize;
    /// Number of features of the result. Each is in the tile of the first or second panel of a strip.
    fn features(&self) -> usize;
    /// Splits a piece of a tile of weights into `dst`.
    fn split<S: Halves>(&self, s: S, place: Place, dst: &mut [f32]);
    /// The inner loop, with the operands in the order of this product.
    fn block<U: TileUnit, A: Interleaved>(
        unit: U,
        width: usize,
        depth: usize,
        weights: Tiles<'_>,
        batch: Tiles<'_>,
        sums: &mut [f32],
        fresh: bool,
        interleaved: &mut A,
    );
    /// Does a step of the epilogue of a strip whose sums are finished. `sums` is four tiles for a pair
    /// of batch panels, of which a strip of width one leaves two as they were; `spare` is [`SPARE`]
    /// elements that the next steps of the pair find as they were left.
    fn finish<S: Halves>(&self, s: S, strip: Strip, step: Step, sums: &mut [f32], spare: &mut [f32]);
}

/// [`UNIT`] lines of weights: piece `piece` of tile `t` of the contraction, in the first or second panel
/// of the strip according to `index`.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) strip: usize,
    pub(super) index: usize,
    pub(super) t: usize,
    pub(super) piece: usize,
}

/// Two panels of features of the result, or one at the end.
#[derive(Clone, Copy)]
pub(super) struct Strip {
    pub(super) index: usize,
    pub(super) width: usize,
}

/// A step of the epilogue of a pair of batch panels.
#[derive(Clone, Copy)]
pub(super) struct Step {
    pub(super) pair: usize,
    pub(super) number: usize,
}

/// Part of the contraction for one strip.
#[derive(Clone, Copy)]
struct Item {
    strip: Strip,
    t: usize,
    steps: usize,
}

impl Item {
    /// Pieces of tiles to split.
    fn units(&self) -> usize {
        self.strip.width * self.steps * PIECES
    }
}

/// The work for the vector units while the tile unit is busy with an item: the epilogue of the previous
/// strip, and the weights of the next item. A tile instruction takes sixteen cycles and none of the
/// vector units.
struct Work<'a, S, P, const PARTS: usize> {
    s: S,
    product: &'a P,
    epilogue: Epilogue<'a>,
    finished: usize,
    finish_steps: usize,
    item: Item,
    dst: &'a mut [f32],
    split: usize,
    split_units: usize,
    /// Steps of either kind per call.
    pace: Pace,
}

/// The strip whose sums are finished, if any, and its memory.
struct Epilogue<'a> {
    strip: Option<Strip>,
    sums: &'a mut [f32],
    spare: &'a mut [f32],
}

impl<'a, S: Halves, P: Product<PARTS>, const PARTS: usize> Work<'a, S, P, PARTS> {
    /// The work of the epilogue, and of splitting the weights of `item` into `dst`, for this many calls of
    /// [`Interleaved::step`].
    fn new(
        s: S,
        product: &'a P,
        epilogue: Epilogue<'a>,
        item: Item,
        dst: &'a mut [f32],
        calls: usize,
    ) -> Self {
        let pairs = epilogue.sums.len() / (4 * TILE);
        let finish_steps = if epilogue.strip.is_some() { pairs * P::FINISH_STEPS } else { 0 };
        let split_units = item.units();
        let pace = Pace::new(finish_steps + split_units, calls);
        Work { s, product, epilogue, finished: 0, finish_steps, item, dst, split: 0, split_units, pace }
    }

    fn total(&self) -> usize {
        self.finish_steps + self.split_units
    }

    /// Does `count` steps, or as many as are left.
    #[inline(always)]
    fn some(&mut self, count: usize) {
        let of_epilogue = count.min(self.finish_steps - self.finished);
        let of_weights = (count - of_epilogue).min(self.split_units - self.split);
        if of_epilogue > 0 {
            self.s.run_outlined(Steps::<_, _, PARTS, false> { work: self, count: of_epilogue });
        }
        if of_weights > 0 {
            self.s.run_outlined(Steps::<_, _, PARTS, true> { work: self, count: of_weights });
        }
    }

    #[inline(always)]
    fn finish_step<V: Halves>(&mut self, s: V) {
        let step = Step { pair: self.finished / P::FINISH_STEPS, number: self.finished % P::FINISH_STEPS };
        self.finished += 1;
        let Epilogue { strip, sums, spare } = &mut self.epilogue;
        if let Some(strip) = *strip {
            let sums = &mut sums[step.pair * 4 * TILE..][..4 * TILE];
            self.product.finish(s, strip, step, sums, spare);
        }
    }

    #[inline(always)]
    fn split_unit<V: Halves>(&mut self, s: V) {
        let (tile, piece) = (self.split / PIECES, self.split % PIECES);
        self.split += 1;
        let (index, k) = (tile / self.item.steps, tile % self.item.steps);
        let place = Place { strip: self.item.strip.index, index, t: self.item.t + k, piece };
        let at = (index * STRIP + k) * PARTS * TILE + piece * UNIT * LINE;
        self.product.split(s, place, &mut self.dst[at..]);
    }
}

/// Steps of one kind, of the epilogue or of splitting, in one function, because they are long and called from
/// several places. One call does them all: a call for each would be a third of a step's instructions. The
/// kinds are apart because the epilogue loads the constants of every activation.
struct Steps<'a, 'b, S, P, const PARTS: usize, const SPLITS: bool> {
    work: &'a mut Work<'b, S, P, PARTS>,
    count: usize,
}

impl<S: Halves, P: Product<PARTS>, const PARTS: usize, const SPLITS: bool> HalvesKernel
    for Steps<'_, '_, S, P, PARTS, SPLITS>
{
    #[inline(always)]
    fn run<V: Halves>(self, s: V) {
        for _ in 0..self.count {
            if SPLITS {
                self.work.split_unit(s);
            } else {
                self.work.finish_step(s);
            }
        }
    }
}

impl<S: Halves, P: Product<PARTS>, const PARTS: usize> Interleaved for Work<'_, S, P, PARTS> {
    #[inline(always)]
    fn step(&mut self) {
        let count = self.pace.next();
        self.some(count);
    }
}

/// A product with its batch operand and its memory.
pub(super) struct Multiply<'a, P, const PARTS: usize> {
    pub(super) product: P,
    pub(super) batch: &'a [f32],
    /// Pairs of batch panels.
    pub(super) pairs: usize,
    /// Strips of the result.
    pub(super) strips: Range<usize>,
    pub(super) scratch: &'a mut [f32],
}

impl<P: Product<PARTS>, const PARTS: usize> TileKernel for Multiply<'_, P, PARTS> {
    #[inline(always)]
    fn run<S: Halves, U: TileUnit>(self, s: S, unit: U) {
        let Multiply { product, batch, pairs, strips, scratch } = self;
        let tile = PARTS * TILE;
        let depth = product.contracted().div_ceil(DEPTH);
        let panels = product.features().div_ceil(LINE);
        assert!(strips.end <= panels.div_ceil(2), "strips {strips:?} of {panels} panels");
        if strips.is_empty() || pairs == 0 {
            return;
        }
        let (split, rest) = scratch.split_at_mut(4 * STRIP * tile);
        let (mut here, mut ahead) = split.split_at_mut(2 * STRIP * tile);
        let (spare, rest) = rest.split_at_mut(SPARE);
        let (mut sums, rest) = rest.split_at_mut(pairs * 4 * TILE);
        let mut before = &mut rest[..pairs * 4 * TILE];

        let item_at = |index: usize, t: usize| Item {
            strip: Strip { index, width: 2.min(panels - 2 * index) },
            t,
            steps: STRIP.min(depth - t),
        };
        let nothing_more = |item: Item| Item { steps: 0, ..item };
        let mut item = item_at(strips.start, 0);
        let mut strip = None;
        let epilogue = Epilogue { strip, sums: before, spare };
        let mut first = Work::<S, P, PARTS>::new(s, &product, epilogue, item, here, 0);
        first.some(first.total());
        loop {
            let last = item.t + item.steps == depth;
            let next = match (last, item.strip.index + 1) {
                (true, next) if next == strips.end => nothing_more(item),
                (true, next) => item_at(next, 0),
                (false, _) => item_at(item.strip.index, item.t + item.steps),
            };
            let epilogue = Epilogue { strip, sums: before, spare };
            let calls = pairs * item.steps * calls_per_step::<PARTS>();
            let mut work = Work::<S, P, PARTS>::new(s, &product, epilogue, next, ahead, calls);
            let of_weights = Tiles { data: here, stride: STRIP * tile, step: tile, passes: false };
            let of_batch = Tiles { data: batch, stride: depth * tile, step: tile, passes: true };
            let Strip { width, .. } = item.strip;
            for (pair, sums) in sums.chunks_exact_mut(4 * TILE).enumerate() {
                let of_batch = of_batch.from((pair * 2 * depth + item.t) * tile);
                P::block(unit, width, item.steps, of_weights, of_batch, sums, item.t == 0, &mut work);
            }
            work.some(work.total());
            strip = last.then_some(item.strip);
            if last {
                std::mem::swap(&mut sums, &mut before);
                if item.strip.index + 1 == strips.end {
                    break;
                }
            }
            item = next;
            std::mem::swap(&mut here, &mut ahead);
        }
        let epilogue = Epilogue { strip, sums: before, spare };
        let mut rest = Work::<S, P, PARTS>::new(s, &product, epilogue, nothing_more(item), ahead, 0);
        rest.some(rest.total());
    }
}
