//! The vocabulary of the kernels: vectors of one instruction set, behind a token that proves the CPU has
//! it.
//!
//! A kernel is written once, as a struct that implements [`Kernel`], generic over the token
//! `S: Simd<T>`. [`Element::run`] enters the function that is compiled for the instruction set and
//! passes the token in. Everything between there and the intrinsics is forced inline, because a function
//! compiled without the instruction set would pass its vectors through memory.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod portable;
mod words;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::Avx512;
pub use portable::Portable;
pub(crate) use words::WORDS;
pub use words::Words;

use std::ops::{Add, Div, Mul, Sub};

use crate::isa::Isa;

/// Bytes per panel row: a cache line.
pub const PANEL_BYTES: usize = 64;

/// A scalar type that the kernels compute in: `f32` or `f64`.
pub trait Element:
    Copy
    + PartialOrd
    + Default
    + Send
    + Sync
    + std::fmt::Debug
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + bytemuck::Pod
    + crate::math::Coefficients
    + crate::conv::Compiled
    + crate::gemm::Compiled
{
    /// Elements per panel row (16 for `f32`, 8 for `f64`): one cache line.
    const PANEL: usize = PANEL_BYTES / size_of::<Self>();
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// The largest finite value.
    const MAX: Self;
    /// The smallest positive normal number.
    const MIN_NORMAL: Self;
    /// Converts to the nearest value.
    fn from_f64(x: f64) -> Self;
    /// Converts an `f32`, which is exact for both types.
    fn from_f32(x: f32) -> Self;
    /// Converts to `f64`, which is exact for both types.
    fn to_f64(self) -> f64;
    /// Converts to the nearest `f32`.
    fn to_f32(self) -> f32;
    /// Runs `kernel`, compiled for the instruction set `isa`.
    fn run<K: Kernel<Self>>(isa: Isa, kernel: K) -> K::Output;
}

/// An operation, written once for every instruction set.
pub trait Kernel<T: Element> {
    /// The result.
    type Output;
    /// Runs the operation. Implementations are `#[inline(always)]`; see the module documentation.
    fn run<S: Simd<T>>(self, s: S) -> Self::Output;
}

/// The vectors of one instruction set, implemented by its zero-sized token.
///
/// Lane `i` of every result depends only on lane `i` of the operands, with the rounding of IEEE 754;
/// exceptions are documented. Comparisons with NaN are false.
pub trait Simd<T: Element>: Words + Send + Sync + 'static {
    /// A vector of [`Simd::LANES`] elements.
    type V: Copy;
    /// Elements per vector; divides [`Element::PANEL`].
    const LANES: usize;
    /// Maximum number of rows of a register tile that is one panel wide.
    const TILE_ROWS: usize;
    /// Maximum number of rows of a register tile that is two panels wide; 0 if such tiles do not fit.
    const WIDE_TILE_ROWS: usize;
    /// Maximum number of rows of a register tile over one of the two vectors of a panel row; 0 if a
    /// panel row is one vector.
    const HALF_TILE_ROWS: usize;

    /// `x` in every lane.
    fn splat(self, x: T) -> Self::V;
    /// Loads the first `LANES` elements of `src`. Panics if it is shorter.
    fn load(self, src: &[T]) -> Self::V;
    /// Stores `v` to the first `LANES` elements of `dst`. Panics if it is shorter.
    fn store(self, v: Self::V, dst: &mut [T]);
    /// Loads `LANES` elements from `src`, which may have any alignment.
    ///
    /// # Safety
    /// `src` is valid for reading `LANES` elements.
    unsafe fn load_ptr(self, src: *const T) -> Self::V;
    /// Stores `LANES` elements to `dst`, which may have any alignment.
    ///
    /// # Safety
    /// `dst` is valid for writing `LANES` elements.
    unsafe fn store_ptr(self, v: Self::V, dst: *mut T);

    /// Prefetches the cache line at `at`, which need not be a valid address.
    fn prefetch(self, at: *const T);

    /// `a + b`
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a b`
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a b + c`, rounded once if the instruction set fuses ([`Isa::fuses`]), otherwise twice.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `c - a b`, rounded like [`Simd::mul_add`].
    fn neg_mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger of the two; `b` if either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller of the two; `b` if either is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `√a`
    fn sqrt(self, a: Self::V) -> Self::V;
    /// `|a|`
    fn abs(self, a: Self::V) -> Self::V;
    /// `|magnitude|` with the sign bit of `sign`.
    fn copysign(self, magnitude: Self::V, sign: Self::V) -> Self::V;
    /// Rounds to the nearest integer, ties to even, for `|a| < 2^22` (f32) or `2^51` (f64).
    fn round(self, a: Self::V) -> Self::V;
    /// `2^n` for integral `n`, if the power is a normal number.
    fn pow2(self, n: Self::V) -> Self::V;
    /// `if a < b { x } else { y }`
    fn select_lt(self, a: Self::V, b: Self::V, x: Self::V, y: Self::V) -> Self::V;
    /// `if a < b { x } else { 0 }`. Separate from [`Simd::select_lt`] because a selection with zero that
    /// is then stored where `x` came from is compiled to a masked store, which is ten times slower on
    /// some CPUs with AVX2 (on AVX-512 it is compiled to one in any case).
    fn zero_unless_lt(self, a: Self::V, b: Self::V, x: Self::V) -> Self::V;
    /// `if a is NaN { 0 } else { x }`
    fn zero_if_nan(self, a: Self::V, x: Self::V) -> Self::V;
    /// A mask whose bit `i` says whether `a < b` in lane `i`.
    fn lt_mask(self, a: Self::V, b: Self::V) -> u32;
    /// Transposes a `PANEL x PANEL` block: `dst[j * dst_stride + i] = src[i * src_stride + j]`. Panics
    /// if a stride is less than `PANEL` or a slice is shorter than `(PANEL - 1) * stride + PANEL`.
    fn transpose(self, src: &[T], src_stride: usize, dst: &mut [T], dst_stride: usize);
}

/// What bf16 needs of vectors of `f32`, which are treated as words of two 16-bit halves
/// ([`crate::tile`]).
pub(crate) trait Halves: Simd<f32> {
    /// Runs `kernel` in a separate function that is compiled for the instruction set.
    fn run_outlined<K: HalvesKernel>(self, kernel: K);
    /// Rounds to the nearest number whose lower half is zero, ties away from zero. The result is
    /// infinite from `(2 - 2^-8) 2^127` on; NaN may become anything.
    fn nearest(self, a: Self::V) -> Self::V;
    /// Words of `low` and `high` rounded to nearest, ties to even, with NaN staying NaN. Denormal numbers may
    /// become zero: the tiles treat them as zero in any case.
    fn round_pair(self, low: Self::V, high: Self::V) -> Self::V;
    /// Words whose low half is the upper half of `low`, and whose high half is that of `high`.
    fn join(self, low: Self::V, high: Self::V) -> Self::V;
    /// The number in the low half of each word.
    fn low(self, words: Self::V) -> Self::V;
    /// The number in the high half of each word.
    fn high(self, words: Self::V) -> Self::V;
}

/// A [`Kernel`] with [`Halves`].
pub(crate) trait HalvesKernel {
    fn run<S: Halves>(self, s: S);
}

/// Runs `kernel` on the instruction set.
#[inline]
pub(crate) fn run_halves<K: HalvesKernel>(isa: Isa, kernel: K) {
    match isa {
        Isa::Portable(token) => token.run_outlined(kernel),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2(token) => token.run_outlined(kernel),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512(token) => token.run_outlined(kernel),
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Isa::Amx(token) => token.vectors().run_outlined(kernel),
    }
}

impl Element for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    const MAX: f32 = f32::MAX;
    const MIN_NORMAL: f32 = f32::MIN_POSITIVE;
    fn from_f64(x: f64) -> f32 {
        x as f32
    }
    fn from_f32(x: f32) -> f32 {
        x
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    fn to_f32(self) -> f32 {
        self
    }
    #[inline]
    fn run<K: Kernel<f32>>(isa: Isa, kernel: K) -> K::Output {
        match isa {
            Isa::Portable(token) => kernel.run(token),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(token) => avx2::run(token, kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(token) => avx512::run(token, kernel),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Isa::Amx(token) => avx512::run(token.vectors(), kernel),
        }
    }
}

impl Element for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    const MAX: f64 = f64::MAX;
    const MIN_NORMAL: f64 = f64::MIN_POSITIVE;
    fn from_f64(x: f64) -> f64 {
        x
    }
    fn from_f32(x: f32) -> f64 {
        f64::from(x)
    }
    fn to_f64(self) -> f64 {
        self
    }
    fn to_f32(self) -> f32 {
        self as f32
    }
    #[inline]
    fn run<K: Kernel<f64>>(isa: Isa, kernel: K) -> K::Output {
        match isa {
            Isa::Portable(token) => kernel.run(token),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2(token) => avx2::run(token, kernel),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512(token) => avx512::run(token, kernel),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Isa::Amx(token) => avx512::run(token.vectors(), kernel),
        }
    }
}

/// Checks the arguments of [`Simd::transpose`], for all its implementations.
#[inline(always)]
fn check_transpose<T: Element>(src: &[T], src_stride: usize, dst: &[T], dst_stride: usize) {
    for (len, stride) in [(src.len(), src_stride), (dst.len(), dst_stride)] {
        let end = stride.checked_mul(T::PANEL - 1).and_then(|last| last.checked_add(T::PANEL));
        assert!(stride >= T::PANEL && end.is_some_and(|end| end <= len), "lines {stride} apart in {len}");
    }
}
