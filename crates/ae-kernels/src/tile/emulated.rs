//! The tile instruction, emulated on vectors.
//!
//! `tdpbf16ps` sums the products of the low halves and those of the high halves separately, in the order
//! of the pairs, adds the two sums, and then adds the result to the tile (Intel 64 SDM volume 2,
//! TDPBF16PS). The product of two bf16 numbers is exact in `f32`, so it makes no difference whether a
//! multiply-add is fused: every instruction set gives the bits of the tiles, except for denormal
//! numbers, operands as well as sums, which the tiles treat as zero (operands in one part already the
//! instruction of AVX512-BF16 that rounds them).

use super::{Interleaved, Operand, SPLIT, TILE, TileUnit, calls_per_step};
use crate::simd::{Halves, HalvesKernel, Simd};

/// Lines of `a` whose sums are in registers together.
const LINES: usize = 4;
/// Words per line.
const LINE: usize = 16;

/// The tile instruction on the vectors of `S`.
#[derive(Clone, Copy)]
pub(super) struct Emulated<S>(pub(super) S);

impl<S: Halves> TileUnit for Emulated<S> {
    #[inline(always)]
    unsafe fn block<W: Interleaved, const PARTS: usize, const M: usize, const N: usize>(
        self,
        depth: usize,
        a: Operand,
        b: Operand,
        sums: *mut f32,
        fresh: bool,
        interleaved: &mut W,
    ) {
        for _ in 0..depth * calls_per_step::<PARTS>() {
            interleaved.step();
        }
        // SAFETY: the caller's obligation is that of `Block::new`.
        let block = unsafe { Block::new(PARTS, [M, N], depth, [a, b], sums, fresh) };
        self.0.run_outlined(block);
    }
}

/// A block of products, in one function for all kernels: a copy in each of them would make up most of
/// the crate's code.
struct Block {
    parts: usize,
    tiles: [usize; 2],
    depth: usize,
    operands: [Operand; 2],
    sums: *mut f32,
    fresh: bool,
}

impl Block {
    /// # Safety
    /// As for [`TileUnit::block`] with `PARTS = parts` and `[M, N] = tiles`, for as long as this value
    /// exists.
    unsafe fn new(
        parts: usize,
        tiles: [usize; 2],
        depth: usize,
        operands: [Operand; 2],
        sums: *mut f32,
        fresh: bool,
    ) -> Self {
        Block { parts, tiles, depth, operands, sums, fresh }
    }
}

impl HalvesKernel for Block {
    #[inline(always)]
    fn run<S: Halves>(self, s: S) {
        let Block { parts, tiles: [m_tiles, n_tiles], depth, operands: [a, b], sums, fresh } = self;
        let products: &[(usize, usize)] = if parts == 1 { &[(0, 0)] } else { &SPLIT };
        for m in 0..m_tiles {
            for n in 0..n_tiles {
                // SAFETY: `new` was promised this many tiles of either operand in every step, and four
                // tiles of sums.
                unsafe {
                    let sum = sums.add((2 * m + n) * TILE);
                    if fresh {
                        sum.write_bytes(0, TILE);
                    }
                    for t in 0..depth {
                        for (p, q) in products {
                            let a = a.start.add(m * a.stride + t * a.step + p * TILE);
                            let b = b.start.add(n * b.stride + t * b.step + q * TILE);
                            dot(s, a, b, sum);
                        }
                    }
                }
            }
        }
    }
}

/// Adds the product of two tiles to a third.
///
/// # Safety
/// Tiles can be read at `a` and `b`, and read and written at `sum`.
#[inline(always)]
unsafe fn dot<S: Halves>(s: S, a: *const f32, b: *const f32, sum: *mut f32) {
    for first in (0..LINE).step_by(LINES) {
        for lane in (0..LINE).step_by(<S as Simd<f32>>::LANES) {
            let mut even = [s.splat(0.0); LINES];
            let mut odd = even;
            for k in 0..LINE {
                // SAFETY: line and lane are inside the tiles.
                unsafe {
                    let words = s.load_ptr(b.add(k * LINE + lane));
                    let (low, high) = (s.low(words), s.high(words));
                    for i in 0..LINES {
                        let word = s.splat(*a.add((first + i) * LINE + k));
                        even[i] = s.mul_add(s.low(word), low, even[i]);
                        odd[i] = s.mul_add(s.high(word), high, odd[i]);
                    }
                }
            }
            for i in 0..LINES {
                // SAFETY: as above.
                unsafe {
                    let at = sum.add((first + i) * LINE + lane);
                    s.store_ptr(s.add(s.load_ptr(at), s.add(even[i], odd[i])), at);
                }
            }
        }
    }
}
