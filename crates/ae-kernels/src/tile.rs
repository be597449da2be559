//! Products on tiles of bf16 numbers: mixed precision, and `f32` by splitting.
//!
//! A bf16 number is the upper half of an `f32`. With operands rounded to bf16, the products of training
//! are those of mixed precision. An `f32` of at least `2^-110` is also, exactly, the sum of three bf16
//! numbers (for smaller ones, the lower parts are below what bf16 can represent, and on AMX below what
//! is not treated as zero). Six of the nine products of the parts of two operands carry everything that
//! an `f32` product can hold, so an `f32` product is six products of bf16 (Henry, Tang & Heinecke 2019,
//! section III). Where the CPU multiplies whole tiles of bf16 ([`Amx`]), that is faster than `f32`
//! itself.
//!
//! # Layout
//!
//! A *word* is 32 bits with two bf16 numbers, a *line* is 16 words and a *tile* is 16 lines. Words are
//! kept in `f32` slices, as bits. The product of a tile `a` with a tile `b` adds to element `(i, j)` of
//! the sums, `[16, 16]` in `f32`, `Σ_k low(a[i][k]) low(b[k][j]) + high(a[i][k]) high(b[k][j])`: it
//! contracts 32 terms. Their order is free as long as both operands agree; here the two terms of a word
//! are 16 apart, so that a word is made from the same lane of two panel rows ([`crate::panel`]) without
//! moving anything.
//!
//! An operand with `PARTS` parts has that many tiles, the largest part first, wherever it would have
//! one.
//!
//! | operand | of | a tile is | word |
//! |---|---|---|---|
//! | [`split::rows`] `a` of [`forward`] | `X` | a batch panel, 32 features | row, (feature `j`, `j + 16`) |
//! | [`split::features`] `b` of [`backward_input`] | `δ` | 32 features, a batch panel | (feature `j`, `j + 16`), row |
//! | [`split::inputs`] `a` of [`weight_gradient`] | `X` | 16 features, two batch panels | feature, (row `j`, `j + 16`) |
//! | [`split::transposed`] `b` of [`weight_gradient`] | `δ` | two batch panels, 16 features | (row `j`, `j + 16`), feature |
//!
//! The weights are the other operand of the first two. They stay as they are, one copy in `f32` panels,
//! and are split a strip at a time into memory that stays in L2, for all rows of a block.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
mod emulated;
mod products;
pub mod split;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub use amx::Amx;
pub use products::{Forms, PairedTiles, backward_input, forward, scratch_len, weight_gradient};

use crate::isa::Isa;
use crate::simd::{Halves, HalvesKernel, run_halves};
use emulated::Emulated;

/// Elements per tile.
pub const TILE: usize = 256;
/// Features or rows that a product of two tiles contracts: two panels.
pub const DEPTH: usize = 32;

/// How an `f32` is converted to bf16 numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// Rounded to nearest, ties to even: mixed precision.
    One,
    /// Split into a sum of three, exact from `2^-110` on: `f32` precision.
    Three,
}

impl Parts {
    /// Number of parts: of tiles for each tile of an operand in one part.
    pub fn count(self) -> usize {
        match self {
            Parts::One => 1,
            Parts::Three => 3,
        }
    }
}

/// Of the products of three parts with three, those that matter in `f32`, in the order in which they are
/// added: (part of `a`, of `b`). The other three are below `2^-24` of the whole.
const SPLIT: [(usize, usize); 6] = [(2, 0), (1, 0), (1, 1), (0, 1), (0, 2), (0, 0)];

/// Calls of [`Interleaved::step`] per step of the inner loop: one for each product of two parts.
const fn calls_per_step<const PARTS: usize>() -> usize {
    if PARTS == 1 { 1 } else { SPLIT.len() }
}

/// The tiles of one operand of the inner loop. `start` is the first tile; the second row or column of
/// tiles is `stride` elements after it, and the next tile of the contraction is `step` elements after
/// it. Parts are consecutive. If it `passes`, it is not read again soon, and should leave the room in L1 to
/// other data.
#[derive(Clone, Copy)]
struct Operand {
    start: *const f32,
    stride: usize,
    step: usize,
    passes: bool,
}

/// A unit that runs the inner loop.
trait TileUnit: Copy {
    /// Adds `depth` products of `M` tiles of `a` with `N` tiles of `b` to the sums, or to zero if
    /// `fresh`. Sum tile `(m, n)` is at `sums + (2 m + n) TILE`. Calls `interleaved` after each
    /// product of two parts.
    ///
    /// # Safety
    /// - `a` is valid for reading a tile at `start + m stride + t step + p TILE` for `m < M`,
    ///   `t < depth`, `p < PARTS`;
    /// - `b` likewise, with `n < N`;
    /// - `sums` is valid for reading and writing four tiles.
    unsafe fn block<A: Interleaved, const PARTS: usize, const M: usize, const N: usize>(
        self,
        depth: usize,
        a: Operand,
        b: Operand,
        sums: *mut f32,
        fresh: bool,
        interleaved: &mut A,
    );
}

/// Work for the vector units between the products of the inner loop, which take 64 cycles of the tile unit
/// each. It changes nothing that the loop reads or writes.
///
/// As much after every sixth product as would fit between all of them adds all of its time, because the
/// CPU does not look that far ahead. After each product, splitting four lines adds nothing if everything is
/// in L1. What it adds otherwise is time that L2 takes: tiles, the sources and the results of such work all
/// pass through it, at about three quarters of a line per cycle.
trait Interleaved {
    /// Does the part of it that is due after one product.
    fn step(&mut self);
}

/// How much work is done per call, to finish in a number of calls with equal shares.
#[derive(Clone, Copy)]
struct Pace {
    /// Work per call, and what was not done of it yet, in fractions of `1 << 16`.
    per_call: usize,
    due: usize,
}

impl Pace {
    fn new(work: usize, calls: usize) -> Pace {
        Pace { per_call: (work << 16).div_ceil(calls.max(1)), due: 0 }
    }

    /// How much to do in this call.
    #[inline(always)]
    fn next(&mut self) -> usize {
        self.due += self.per_call;
        let now = self.due >> 16;
        self.due &= (1 << 16) - 1;
        now
    }
}

/// An operation that uses products of tiles.
trait TileKernel {
    fn run<S: Halves, U: TileUnit>(self, s: S, unit: U);
}

struct WithEmulated<K>(K);

impl<K: TileKernel> HalvesKernel for WithEmulated<K> {
    #[inline(always)]
    fn run<S: Halves>(self, s: S) {
        self.0.run(s, Emulated(s));
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
struct WithAmx<K>(K, Amx);

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
impl<K: TileKernel> HalvesKernel for WithAmx<K> {
    #[inline(always)]
    fn run<S: Halves>(self, s: S) {
        let setup = amx::Setup::new(self.1);
        self.0.run(s, setup.ready());
    }
}

/// Runs `kernel` on the tiles of the instruction set, or emulates them if it has none.
fn run<K: TileKernel>(isa: Isa, kernel: K) {
    match isa {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Isa::Amx(token) => run_halves(isa, WithAmx(kernel, token)),
        isa => run_halves(isa, WithEmulated(kernel)),
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;

    #[test]
    fn work_is_done_in_equal_shares() {
        for (work, calls) in [(0, 7), (1, 6), (64, 6), (80, 192), (64, 1), (100, 48)] {
            let mut pace = Pace::new(work, calls);
            let shares: Vec<usize> = (0..calls).map(|_| pace.next()).collect();
            assert_eq!(shares.iter().sum::<usize>(), work, "{work} in {calls}");
            let equal = work / calls..=work.div_ceil(calls);
            assert!(shares.iter().all(|share| equal.contains(share)), "{work} in {calls}: {shares:?}");
        }
    }
}
