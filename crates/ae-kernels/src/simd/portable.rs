//! The instruction set of every CPU: `wide`'s vectors, compiled to whatever the target guarantees (SSE2
//! on x86-64).

use bytemuck::cast;
use wide::{f32x8, f64x4, i64x4, u32x8};

use super::{Element, Halves, HalvesKernel, Simd, check_transpose};

/// Mask of the upper half of a word.
const HIGH: u32 = 0xffff_0000;

/// Proof that the portable instructions may be used, which is always the case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Portable(());

impl Portable {
    /// Creates the token, which needs no detection.
    pub(crate) fn new() -> Portable {
        Portable(())
    }
}

#[inline(always)]
fn first<const N: usize, T: Copy>(src: &[T]) -> [T; N] {
    match src.first_chunk::<N>() {
        Some(chunk) => *chunk,
        None => short(src.len(), N),
    }
}

#[cold]
#[track_caller]
#[allow(clippy::panic, reason = "a vector past the end of its slice is a bug of this crate")]
fn short(len: usize, lanes: usize) -> ! {
    panic!("a vector of {lanes} lanes does not fit a slice of {len}")
}

fn transpose<T: Element>(src: &[T], src_stride: usize, dst: &mut [T], dst_stride: usize) {
    check_transpose(src, src_stride, dst, dst_stride);
    for i in 0..T::PANEL {
        for j in 0..T::PANEL {
            dst[j * dst_stride + i] = src[i * src_stride + j];
        }
    }
}

impl Halves for Portable {
    #[inline(never)]
    fn run_outlined<K: HalvesKernel>(self, kernel: K) {
        kernel.run(self);
    }
    #[inline(always)]
    fn nearest(self, a: f32x8) -> f32x8 {
        cast((cast::<_, u32x8>(a) + u32x8::splat(0x8000)) & u32x8::splat(HIGH))
    }
    #[inline(always)]
    fn round_pair(self, low: f32x8, high: f32x8) -> f32x8 {
        let upper_even = |a: f32x8| -> f32x8 {
            let bits: u32x8 = cast(a);
            let sum = bits + u32x8::splat(0x7fff) + ((bits >> 16_u32) & u32x8::splat(1));
            let quiet = bits | u32x8::splat(0x0040_0000);
            let nan: u32x8 = cast(a.is_nan());
            cast((nan & quiet) | (!nan & sum))
        };
        self.join(upper_even(low), upper_even(high))
    }
    #[inline(always)]
    fn join(self, low: f32x8, high: f32x8) -> f32x8 {
        cast((cast::<_, u32x8>(low) >> 16_u32) | (cast::<_, u32x8>(high) & u32x8::splat(HIGH)))
    }
    #[inline(always)]
    fn low(self, words: f32x8) -> f32x8 {
        cast(cast::<_, u32x8>(words) << 16_u32)
    }
    #[inline(always)]
    fn high(self, words: f32x8) -> f32x8 {
        cast(cast::<_, u32x8>(words) & u32x8::splat(HIGH))
    }
}

impl Simd<f32> for Portable {
    type V = f32x8;
    const LANES: usize = 8;
    // A panel row takes four 128-bit registers, so sixteen registers allow no more than two rows.
    const TILE_ROWS: usize = 2;
    const WIDE_TILE_ROWS: usize = 0;
    const HALF_TILE_ROWS: usize = 4;

    #[inline(always)]
    fn splat(self, x: f32) -> f32x8 {
        f32x8::splat(x)
    }
    #[inline(always)]
    fn load(self, src: &[f32]) -> f32x8 {
        f32x8::new(first(src))
    }
    #[inline(always)]
    fn store(self, v: f32x8, dst: &mut [f32]) {
        dst[..8].copy_from_slice(v.as_array());
    }
    #[inline(always)]
    unsafe fn load_ptr(self, src: *const f32) -> f32x8 {
        // SAFETY: the caller vouches for 8 readable elements.
        f32x8::new(unsafe { src.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: f32x8, dst: *mut f32) {
        // SAFETY: the caller vouches for 8 writable elements.
        unsafe { dst.cast::<[f32; 8]>().write_unaligned(v.to_array()) }
    }
    #[inline(always)]
    fn prefetch(self, _: *const f32) {}
    #[inline(always)]
    fn add(self, a: f32x8, b: f32x8) -> f32x8 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f32x8, b: f32x8) -> f32x8 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f32x8, b: f32x8) -> f32x8 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f32x8, b: f32x8) -> f32x8 {
        a / b
    }
    #[inline(always)]
    fn mul_add(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        a * b + c
    }
    #[inline(always)]
    fn neg_mul_add(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        c - a * b
    }
    #[inline(always)]
    fn max(self, a: f32x8, b: f32x8) -> f32x8 {
        b.simd_lt(a).select(a, b)
    }
    #[inline(always)]
    fn min(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_lt(b).select(a, b)
    }
    #[inline(always)]
    fn sqrt(self, a: f32x8) -> f32x8 {
        a.sqrt()
    }
    #[inline(always)]
    fn abs(self, a: f32x8) -> f32x8 {
        a.abs()
    }
    #[inline(always)]
    fn copysign(self, magnitude: f32x8, sign: f32x8) -> f32x8 {
        magnitude.copysign(sign)
    }
    #[inline(always)]
    fn round(self, a: f32x8) -> f32x8 {
        // Adding and subtracting 1.5 * 2^23 leaves no bits for a fraction; SSE2 has no rounding
        // instruction.
        let magic = f32x8::splat(12_582_912.0);
        (a + magic) - magic
    }
    #[inline(always)]
    fn pow2(self, n: f32x8) -> f32x8 {
        // The integer sits in the low bits of the sum's mantissa; the shift drops everything above.
        let bits: wide::i32x8 = cast(n + f32x8::splat(12_582_912.0 + 127.0));
        cast(bits << 23)
    }
    #[inline(always)]
    fn select_lt(self, a: f32x8, b: f32x8, x: f32x8, y: f32x8) -> f32x8 {
        a.simd_lt(b).select(x, y)
    }
    #[inline(always)]
    fn zero_unless_lt(self, a: f32x8, b: f32x8, x: f32x8) -> f32x8 {
        a.simd_lt(b) & x
    }
    #[inline(always)]
    fn zero_if_nan(self, a: f32x8, x: f32x8) -> f32x8 {
        a.simd_eq(a) & x
    }
    #[inline(always)]
    fn lt_mask(self, a: f32x8, b: f32x8) -> u32 {
        a.simd_lt(b).to_bitmask()
    }
    #[inline(always)]
    fn transpose(self, src: &[f32], src_stride: usize, dst: &mut [f32], dst_stride: usize) {
        transpose(src, src_stride, dst, dst_stride);
    }
}

impl Simd<f64> for Portable {
    type V = f64x4;
    const LANES: usize = 4;
    const TILE_ROWS: usize = 2;
    const WIDE_TILE_ROWS: usize = 0;
    const HALF_TILE_ROWS: usize = 4;

    #[inline(always)]
    fn splat(self, x: f64) -> f64x4 {
        f64x4::splat(x)
    }
    #[inline(always)]
    fn load(self, src: &[f64]) -> f64x4 {
        f64x4::new(first(src))
    }
    #[inline(always)]
    fn store(self, v: f64x4, dst: &mut [f64]) {
        dst[..4].copy_from_slice(v.as_array());
    }
    #[inline(always)]
    unsafe fn load_ptr(self, src: *const f64) -> f64x4 {
        // SAFETY: the caller vouches for 4 readable elements.
        f64x4::new(unsafe { src.cast::<[f64; 4]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: f64x4, dst: *mut f64) {
        // SAFETY: the caller vouches for 4 writable elements.
        unsafe { dst.cast::<[f64; 4]>().write_unaligned(v.to_array()) }
    }
    #[inline(always)]
    fn prefetch(self, _: *const f64) {}
    #[inline(always)]
    fn add(self, a: f64x4, b: f64x4) -> f64x4 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f64x4, b: f64x4) -> f64x4 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f64x4, b: f64x4) -> f64x4 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f64x4, b: f64x4) -> f64x4 {
        a / b
    }
    #[inline(always)]
    fn mul_add(self, a: f64x4, b: f64x4, c: f64x4) -> f64x4 {
        a * b + c
    }
    #[inline(always)]
    fn neg_mul_add(self, a: f64x4, b: f64x4, c: f64x4) -> f64x4 {
        c - a * b
    }
    #[inline(always)]
    fn max(self, a: f64x4, b: f64x4) -> f64x4 {
        b.simd_lt(a).select(a, b)
    }
    #[inline(always)]
    fn min(self, a: f64x4, b: f64x4) -> f64x4 {
        a.simd_lt(b).select(a, b)
    }
    #[inline(always)]
    fn sqrt(self, a: f64x4) -> f64x4 {
        a.sqrt()
    }
    #[inline(always)]
    fn abs(self, a: f64x4) -> f64x4 {
        a.abs()
    }
    #[inline(always)]
    fn copysign(self, magnitude: f64x4, sign: f64x4) -> f64x4 {
        magnitude.copysign(sign)
    }
    #[inline(always)]
    fn round(self, a: f64x4) -> f64x4 {
        let magic = f64x4::splat(6_755_399_441_055_744.0); // 1.5 * 2^52
        (a + magic) - magic
    }
    #[inline(always)]
    fn pow2(self, n: f64x4) -> f64x4 {
        let bits: i64x4 = cast(n + f64x4::splat(6_755_399_441_055_744.0 + 1023.0));
        cast(bits << 52)
    }
    #[inline(always)]
    fn select_lt(self, a: f64x4, b: f64x4, x: f64x4, y: f64x4) -> f64x4 {
        a.simd_lt(b).select(x, y)
    }
    #[inline(always)]
    fn zero_unless_lt(self, a: f64x4, b: f64x4, x: f64x4) -> f64x4 {
        a.simd_lt(b) & x
    }
    #[inline(always)]
    fn zero_if_nan(self, a: f64x4, x: f64x4) -> f64x4 {
        a.simd_eq(a) & x
    }
    #[inline(always)]
    fn lt_mask(self, a: f64x4, b: f64x4) -> u32 {
        a.simd_lt(b).to_bitmask()
    }
    #[inline(always)]
    fn transpose(self, src: &[f64], src_stride: usize, dst: &mut [f64], dst_stride: usize) {
        transpose(src, src_stride, dst, dst_stride);
    }
}
