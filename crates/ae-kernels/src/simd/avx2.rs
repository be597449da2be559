//! 256-bit vectors with fused multiply-add.

use std::arch::x86_64::*;

use super::{Element, Halves, HalvesKernel, Kernel, Simd, check_transpose};

/// Mask of the upper half of a word.
const HIGH: i32 = 0xffff_0000_u32 as i32;

/// Proof that this CPU has AVX2 and FMA.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Avx2(());

impl Avx2 {
    /// The token, if the CPU has every feature that [`run`] is compiled with.
    pub(crate) fn detect() -> Option<Avx2> {
        (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")).then_some(Avx2(()))
    }
}

/// Kernels compiled for AVX2. These are default methods of a trait because rustc puts each of those into
/// the codegen unit of the kernel's module, but all instances of a generic function into one. This way,
/// kernels are compiled in parallel.
trait Compiled<T: Element>: Kernel<T> + Sized
where
    Avx2: Simd<T>,
{
    /// # Safety
    /// The CPU has the features that the token stands for.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn on_avx2(self, token: Avx2) -> Self::Output {
        self.run(token)
    }
}

impl<T: Element, K: Kernel<T>> Compiled<T> for K where Avx2: Simd<T> {}

/// Runs `kernel` in a function that is compiled for AVX2.
#[inline]
pub(super) fn run<T: Element, K: Kernel<T>>(token: Avx2, kernel: K) -> K::Output
where
    Avx2: Simd<T>,
{
    // SAFETY: the token proves that the CPU has all its features.
    unsafe { kernel.on_avx2(token) }
}

/// [`Compiled`] for kernels over words of two bf16 numbers.
trait CompiledHalves: HalvesKernel + Sized {
    /// # Safety
    /// The CPU has the features that the token stands for.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn halves_on_avx2(self, token: Avx2) {
        self.run(token);
    }
}

impl<K: HalvesKernel> CompiledHalves for K {}

impl Halves for Avx2 {
    #[inline]
    fn run_outlined<K: HalvesKernel>(self, kernel: K) {
        // SAFETY: the token proves that the CPU has all its features.
        unsafe { kernel.halves_on_avx2(self) }
    }
    #[inline(always)]
    fn nearest(self, a: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe {
            let sum = _mm256_add_epi32(_mm256_castps_si256(a), _mm256_set1_epi32(0x8000));
            _mm256_castsi256_ps(_mm256_and_si256(sum, _mm256_set1_epi32(HIGH)))
        }
    }
    #[inline(always)]
    fn round_pair(self, low: __m256, high: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instructions.
        let upper_even = |a: __m256| unsafe {
            let bits = _mm256_castps_si256(a);
            let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
            let sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
            let quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x0040_0000));
            let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(a, a));
            _mm256_castsi256_ps(_mm256_blendv_epi8(sum, quiet, nan))
        };
        self.join(upper_even(low), upper_even(high))
    }
    #[inline(always)]
    fn join(self, low: __m256, high: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe {
            let low = _mm256_srli_epi32::<16>(_mm256_castps_si256(low));
            _mm256_castsi256_ps(_mm256_blend_epi16::<0xaa>(low, _mm256_castps_si256(high)))
        }
    }
    #[inline(always)]
    fn low(self, words: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_castsi256_ps(_mm256_slli_epi32::<16>(_mm256_castps_si256(words))) }
    }
    #[inline(always)]
    fn high(self, words: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe { _mm256_castsi256_ps(_mm256_and_si256(_mm256_castps_si256(words), _mm256_set1_epi32(HIGH))) }
    }
}

impl Simd<f32> for Avx2 {
    type V = __m256;
    const LANES: usize = 8;
    // 6 x 2 accumulators, two vectors of the panel row and one broadcast: 15 of 16 registers.
    const TILE_ROWS: usize = 6;
    const WIDE_TILE_ROWS: usize = 0;
    const HALF_TILE_ROWS: usize = 8;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_set1_ps(x) }
    }
    #[inline(always)]
    fn load(self, src: &[f32]) -> __m256 {
        assert!(src.len() >= 8);
        // SAFETY: the slice holds 8 elements.
        unsafe { self.load_ptr(src.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, v: __m256, dst: &mut [f32]) {
        assert!(dst.len() >= 8);
        // SAFETY: the slice holds 8 elements.
        unsafe { self.store_ptr(v, dst.as_mut_ptr()) }
    }
    #[inline(always)]
    unsafe fn load_ptr(self, src: *const f32) -> __m256 {
        // SAFETY: the token proves the instruction; the caller vouches for 8 readable elements.
        unsafe { _mm256_loadu_ps(src) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: __m256, dst: *mut f32) {
        // SAFETY: the token proves the instruction; the caller vouches for 8 writable elements.
        unsafe { _mm256_storeu_ps(dst, v) }
    }
    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        // SAFETY: a prefetch is a hint; an address that cannot be read is ignored.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    fn add(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_div_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn neg_mul_add(self, a: __m256, b: __m256, c: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_fnmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m256, b: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_min_ps(a, b) }
    }
    #[inline(always)]
    fn sqrt(self, a: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_sqrt_ps(a) }
    }
    #[inline(always)]
    fn abs(self, a: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
    }
    #[inline(always)]
    fn copysign(self, magnitude: __m256, sign: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe {
            let bit = _mm256_set1_ps(-0.0);
            _mm256_or_ps(_mm256_andnot_ps(bit, magnitude), _mm256_and_ps(bit, sign))
        }
    }
    #[inline(always)]
    fn round(self, a: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    fn pow2(self, n: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe {
            // The integer sits in the low bits of the sum's mantissa; the shift drops everything above.
            let sum = _mm256_add_ps(n, _mm256_set1_ps(12_582_912.0 + 127.0));
            _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(sum)))
        }
    }
    #[inline(always)]
    fn select_lt(self, a: __m256, b: __m256, x: __m256, y: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe { _mm256_blendv_ps(y, x, _mm256_cmp_ps::<_CMP_LT_OQ>(a, b)) }
    }
    #[inline(always)]
    fn zero_unless_lt(self, a: __m256, b: __m256, x: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe { _mm256_and_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(a, b), x) }
    }
    #[inline(always)]
    fn zero_if_nan(self, a: __m256, x: __m256) -> __m256 {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe { _mm256_and_ps(_mm256_cmp_ps::<_CMP_ORD_Q>(a, a), x) }
    }
    #[inline(always)]
    fn lt_mask(self, a: __m256, b: __m256) -> u32 {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe { _mm256_movemask_ps(_mm256_cmp_ps::<_CMP_LT_OQ>(a, b)) as u32 }
    }
    #[inline(always)]
    fn transpose(self, src: &[f32], src_stride: usize, dst: &mut [f32], dst_stride: usize) {
        transpose_f32(self, src, src_stride, dst, dst_stride);
    }
}

impl Simd<f64> for Avx2 {
    type V = __m256d;
    const LANES: usize = 4;
    // As for f32.
    const TILE_ROWS: usize = 6;
    const WIDE_TILE_ROWS: usize = 0;
    const HALF_TILE_ROWS: usize = 8;

    #[inline(always)]
    fn splat(self, x: f64) -> __m256d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_set1_pd(x) }
    }
    #[inline(always)]
    fn load(self, src: &[f64]) -> __m256d {
        assert!(src.len() >= 4);
        // SAFETY: the slice holds 4 elements.
        unsafe { self.load_ptr(src.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, v: __m256d, dst: &mut [f64]) {
        assert!(dst.len() >= 4);
        // SAFETY: the slice holds 4 elements.
        unsafe { self.store_ptr(v, dst.as_mut_ptr()) }
    }
    #[inline(always)]
    unsafe fn load_ptr(self, src: *const f64) -> __m256d {
        // SAFETY: the token proves the instruction; the caller vouches for 4 readable elements.
        unsafe { _mm256_loadu_pd(src) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: __m256d, dst: *mut f64) {
        // SAFETY: the token proves the instruction; the caller vouches for 4 writable elements.
        unsafe { _mm256_storeu_pd(dst, v) }
    }
    #[inline(always)]
    fn prefetch(self, at: *const f64) {
        // SAFETY: a prefetch is a hint; an address that cannot be read is ignored.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    fn add(self, a: __m256d, b: __m256d) -> __m256d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_add_pd(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m256d, b: __m256d) -> __m256d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_sub_pd(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m256d, b: __m256d) -> __m256d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_mul_pd(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m256d, b: __m256d) -> __m256d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_div_pd(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m256d, b: __m256d, c: __m256d) -> __m256d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_fmadd_pd(a, b, c) }
    }
    #[inline(always)]
    fn neg_mul_add(self, a: __m256d, b: __m256d, c: __m256d) -> __m256d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_fnmadd_pd(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m256d, b: __m256d) -> __m256d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_max_pd(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m256d, b: __m256d) -> __m256d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_min_pd(a, b) }
    }
    #[inline(always)]
    fn sqrt(self, a: __m256d) -> __m256d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_sqrt_pd(a) }
    }
    #[inline(always)]
    fn abs(self, a: __m256d) -> __m256d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_andnot_pd(_mm256_set1_pd(-0.0), a) }
    }
    #[inline(always)]
    fn copysign(self, magnitude: __m256d, sign: __m256d) -> __m256d {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe {
            let bit = _mm256_set1_pd(-0.0);
            _mm256_or_pd(_mm256_andnot_pd(bit, magnitude), _mm256_and_pd(bit, sign))
        }
    }
    #[inline(always)]
    fn round(self, a: __m256d) -> __m256d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm256_round_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    fn pow2(self, n: __m256d) -> __m256d {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe {
            // The integer sits in the low bits of the sum's mantissa; the shift drops everything above.
            let sum = _mm256_add_pd(n, _mm256_set1_pd(6_755_399_441_055_744.0 + 1023.0));
            _mm256_castsi256_pd(_mm256_slli_epi64::<52>(_mm256_castpd_si256(sum)))
        }
    }
    #[inline(always)]
    fn select_lt(self, a: __m256d, b: __m256d, x: __m256d, y: __m256d) -> __m256d {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe { _mm256_blendv_pd(y, x, _mm256_cmp_pd::<_CMP_LT_OQ>(a, b)) }
    }
    #[inline(always)]
    fn zero_unless_lt(self, a: __m256d, b: __m256d, x: __m256d) -> __m256d {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe { _mm256_and_pd(_mm256_cmp_pd::<_CMP_LT_OQ>(a, b), x) }
    }
    #[inline(always)]
    fn zero_if_nan(self, a: __m256d, x: __m256d) -> __m256d {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe { _mm256_and_pd(_mm256_cmp_pd::<_CMP_ORD_Q>(a, a), x) }
    }
    #[inline(always)]
    fn lt_mask(self, a: __m256d, b: __m256d) -> u32 {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe { _mm256_movemask_pd(_mm256_cmp_pd::<_CMP_LT_OQ>(a, b)) as u32 }
    }
    #[inline(always)]
    fn transpose(self, src: &[f64], src_stride: usize, dst: &mut [f64], dst_stride: usize) {
        transpose_f64(self, src, src_stride, dst, dst_stride);
    }
}

/// Transposes 16 x 16 elements as four blocks of 8 x 8, each in registers.
#[inline(always)]
pub(super) fn transpose_f32(_: Avx2, src: &[f32], src_stride: usize, dst: &mut [f32], dst_stride: usize) {
    check_transpose(src, src_stride, dst, dst_stride);
    for i in [0, 8] {
        for j in [0, 8] {
            // SAFETY: the token proves the instructions. Row r of the block starts at (i + r) * stride +
            // j with r < 8 and i, j <= 8, so its 8 elements end at most at 15 * stride + 16, which was
            // checked.
            unsafe {
                let at = |r: usize| _mm256_loadu_ps(src.as_ptr().add((i + r) * src_stride + j));
                let (r0, r1, r2, r3) = (at(0), at(1), at(2), at(3));
                let (r4, r5, r6, r7) = (at(4), at(5), at(6), at(7));
                // Pairs of rows, interleaved within each 128-bit half ...
                let (a0, a1) = (_mm256_unpacklo_ps(r0, r1), _mm256_unpackhi_ps(r0, r1));
                let (a2, a3) = (_mm256_unpacklo_ps(r2, r3), _mm256_unpackhi_ps(r2, r3));
                let (a4, a5) = (_mm256_unpacklo_ps(r4, r5), _mm256_unpackhi_ps(r4, r5));
                let (a6, a7) = (_mm256_unpacklo_ps(r6, r7), _mm256_unpackhi_ps(r6, r7));
                // ... then fours ...
                let (b0, b1) = (_mm256_shuffle_ps::<0x44>(a0, a2), _mm256_shuffle_ps::<0xEE>(a0, a2));
                let (b2, b3) = (_mm256_shuffle_ps::<0x44>(a1, a3), _mm256_shuffle_ps::<0xEE>(a1, a3));
                let (b4, b5) = (_mm256_shuffle_ps::<0x44>(a4, a6), _mm256_shuffle_ps::<0xEE>(a4, a6));
                let (b6, b7) = (_mm256_shuffle_ps::<0x44>(a5, a7), _mm256_shuffle_ps::<0xEE>(a5, a7));
                // ... then the halves swap places.
                let columns = [
                    _mm256_permute2f128_ps::<0x20>(b0, b4),
                    _mm256_permute2f128_ps::<0x20>(b1, b5),
                    _mm256_permute2f128_ps::<0x20>(b2, b6),
                    _mm256_permute2f128_ps::<0x20>(b3, b7),
                    _mm256_permute2f128_ps::<0x31>(b0, b4),
                    _mm256_permute2f128_ps::<0x31>(b1, b5),
                    _mm256_permute2f128_ps::<0x31>(b2, b6),
                    _mm256_permute2f128_ps::<0x31>(b3, b7),
                ];
                for (r, column) in columns.into_iter().enumerate() {
                    _mm256_storeu_ps(dst.as_mut_ptr().add((j + r) * dst_stride + i), column);
                }
            }
        }
    }
}

/// Transposes 8 x 8 elements as four blocks of 4 x 4, each in registers.
#[inline(always)]
pub(super) fn transpose_f64(_: Avx2, src: &[f64], src_stride: usize, dst: &mut [f64], dst_stride: usize) {
    check_transpose(src, src_stride, dst, dst_stride);
    for i in [0, 4] {
        for j in [0, 4] {
            // SAFETY: the token proves the instructions. Row r of the block starts at (i + r) * stride +
            // j with r < 4 and i, j <= 4, so its 4 elements end at most at 7 * stride + 8, which was
            // checked.
            unsafe {
                let at = |r: usize| _mm256_loadu_pd(src.as_ptr().add((i + r) * src_stride + j));
                let (r0, r1, r2, r3) = (at(0), at(1), at(2), at(3));
                let (a0, a1) = (_mm256_unpacklo_pd(r0, r1), _mm256_unpackhi_pd(r0, r1));
                let (a2, a3) = (_mm256_unpacklo_pd(r2, r3), _mm256_unpackhi_pd(r2, r3));
                let columns = [
                    _mm256_permute2f128_pd::<0x20>(a0, a2),
                    _mm256_permute2f128_pd::<0x20>(a1, a3),
                    _mm256_permute2f128_pd::<0x31>(a0, a2),
                    _mm256_permute2f128_pd::<0x31>(a1, a3),
                ];
                for (r, column) in columns.into_iter().enumerate() {
                    _mm256_storeu_pd(dst.as_mut_ptr().add((j + r) * dst_stride + i), column);
                }
            }
        }
    }
}
