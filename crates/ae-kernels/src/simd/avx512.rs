//! 512-bit vectors, each of which is a panel row.

use std::arch::asm;
use std::arch::x86_64::*;

use super::avx2::{self, Avx2};
use super::{Element, Halves, HalvesKernel, Kernel, Simd, check_transpose};

/// Mask of the upper half of a word.
const HIGH: i32 = 0xffff_0000_u32 as i32;

/// Proof that this CPU has AVX-512 F, VL, BW and DQ, and AVX2 with FMA.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Avx512 {
    avx2: Avx2,
    /// Whether it also has AVX512-BF16, for rounding to bf16. A CPU with AMX does.
    rounds: bool,
}

impl Avx512 {
    /// The token, if the CPU has every feature that [`run`] is compiled with, including F16C, which
    /// rustc takes AVX-512 F to imply.
    pub(crate) fn detect() -> Option<Avx512> {
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("f16c")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq");
        let rounds = is_x86_feature_detected!("avx512bf16");
        Avx2::detect().filter(|_| avx512).map(|avx2| Avx512 { avx2, rounds })
    }
}

/// Kernels compiled for AVX-512. These are default methods of a trait because rustc puts each of those
/// into the codegen unit of the kernel's module, but all instances of a generic function into one. This
/// way, kernels are compiled in parallel.
trait Compiled<T: Element>: Kernel<T> + Sized
where
    Avx512: Simd<T>,
{
    /// # Safety
    /// The CPU has the features that the token stands for.
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    unsafe fn on_avx512(self, token: Avx512) -> Self::Output {
        self.run(token)
    }
}

impl<T: Element, K: Kernel<T>> Compiled<T> for K where Avx512: Simd<T> {}

/// Runs `kernel` in a function that is compiled for AVX-512.
#[inline]
pub(super) fn run<T: Element, K: Kernel<T>>(token: Avx512, kernel: K) -> K::Output
where
    Avx512: Simd<T>,
{
    // SAFETY: the token proves that the CPU has all its features.
    unsafe { kernel.on_avx512(token) }
}

/// [`Compiled`] for kernels over words of two bf16 numbers.
trait CompiledHalves: HalvesKernel + Sized {
    /// # Safety
    /// The CPU has the features that the token stands for.
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
    unsafe fn halves_on_avx512(self, token: Avx512) {
        self.run(token);
    }
}

impl<K: HalvesKernel> CompiledHalves for K {}

impl Halves for Avx512 {
    #[inline]
    fn run_outlined<K: HalvesKernel>(self, kernel: K) {
        // SAFETY: the token proves that the CPU has all its features.
        unsafe { kernel.halves_on_avx512(self) }
    }
    #[inline(always)]
    fn nearest(self, a: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe {
            let sum = _mm512_add_epi32(_mm512_castps_si512(a), _mm512_set1_epi32(0x8000));
            _mm512_castsi512_ps(_mm512_and_si512(sum, _mm512_set1_epi32(HIGH)))
        }
    }
    #[inline(always)]
    fn round_pair(self, low: __m512, high: __m512) -> __m512 {
        if self.rounds {
            // SAFETY: the token says that the CPU has AVX512-BF16, in addition to what it proves.
            return unsafe { round_by_instruction(low, high) };
        }
        // SAFETY: the token proves that the CPU has the instructions.
        let upper_even = |a: __m512| unsafe {
            let bits = _mm512_castps_si512(a);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(a, a);
            _mm512_castsi512_ps(_mm512_mask_or_epi32(sum, nan, bits, _mm512_set1_epi32(0x0040_0000)))
        };
        self.join(upper_even(low), upper_even(high))
    }
    #[inline(always)]
    fn join(self, low: __m512, high: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe {
            let low = _mm512_srli_epi32::<16>(_mm512_castps_si512(low));
            _mm512_castsi512_ps(_mm512_mask_blend_epi16(0xaaaa_aaaa, low, _mm512_castps_si512(high)))
        }
    }
    #[inline(always)]
    fn low(self, words: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_castps_si512(words))) }
    }
    #[inline(always)]
    fn high(self, words: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe { _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(words), _mm512_set1_epi32(HIGH))) }
    }
}

/// [`Halves::round_pair`] by AVX512-BF16: two instructions instead of fourteen. `asm!`, because kernels
/// are compiled without that feature, and its intrinsic would be a call.
///
/// # Safety
/// The CPU has AVX512-BF16 and AVX512-BW.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn round_by_instruction(low: __m512, high: __m512) -> __m512 {
    // Halves of the result alternate between the two halves of `words`.
    const PLACES: [u16; 32] = {
        let mut places = [0; 32];
        let mut lane = 0;
        while lane < 16 {
            places[2 * lane] = lane as u16;
            places[2 * lane + 1] = lane as u16 + 16;
            lane += 1;
        }
        places
    };
    // SAFETY: the array has the size of the vector, which may have any bits.
    let places: __m512i = unsafe { std::mem::transmute(PLACES) };
    let words: __m512i;
    // SAFETY: the caller's obligation; the instruction works on registers alone.
    unsafe {
        asm!("vcvtne2ps2bf16 {words}, {high}, {low}", words = lateout(zmm_reg) words,
            high = in(zmm_reg) high, low = in(zmm_reg) low,
            options(pure, nomem, nostack, preserves_flags));
    }
    _mm512_castsi512_ps(_mm512_permutexvar_epi16(places, words))
}

impl Simd<f32> for Avx512 {
    type V = __m512;
    const LANES: usize = 16;
    // 16 accumulators; the broadcast is an operand of the multiply-add.
    const TILE_ROWS: usize = 16;
    const WIDE_TILE_ROWS: usize = 12;
    const HALF_TILE_ROWS: usize = 0;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn load(self, src: &[f32]) -> __m512 {
        assert!(src.len() >= 16);
        // SAFETY: the slice holds 16 elements.
        unsafe { self.load_ptr(src.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, v: __m512, dst: &mut [f32]) {
        assert!(dst.len() >= 16);
        // SAFETY: the slice holds 16 elements.
        unsafe { self.store_ptr(v, dst.as_mut_ptr()) }
    }
    #[inline(always)]
    unsafe fn load_ptr(self, src: *const f32) -> __m512 {
        // SAFETY: the token proves the instruction; the caller vouches for 16 readable elements.
        unsafe { _mm512_loadu_ps(src) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: __m512, dst: *mut f32) {
        // SAFETY: the token proves the instruction; the caller vouches for 16 writable elements.
        unsafe { _mm512_storeu_ps(dst, v) }
    }
    #[inline(always)]
    fn prefetch(self, at: *const f32) {
        // SAFETY: a prefetch is a hint; an address that cannot be read is ignored.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_add_ps(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_sub_ps(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_mul_ps(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_div_ps(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn neg_mul_add(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_fnmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_max_ps(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_min_ps(a, b) }
    }
    #[inline(always)]
    fn sqrt(self, a: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_sqrt_ps(a) }
    }
    #[inline(always)]
    fn abs(self, a: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_andnot_ps(_mm512_set1_ps(-0.0), a) }
    }
    #[inline(always)]
    fn copysign(self, magnitude: __m512, sign: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe {
            let bit = _mm512_set1_ps(-0.0);
            _mm512_or_ps(_mm512_andnot_ps(bit, magnitude), _mm512_and_ps(bit, sign))
        }
    }
    #[inline(always)]
    fn round(self, a: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    fn pow2(self, n: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe {
            // The integer sits in the low bits of the sum's mantissa; the shift drops everything above.
            let sum = _mm512_add_ps(n, _mm512_set1_ps(12_582_912.0 + 127.0));
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(sum)))
        }
    }
    #[inline(always)]
    fn select_lt(self, a: __m512, b: __m512, x: __m512, y: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe { _mm512_mask_blend_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), y, x) }
    }
    #[inline(always)]
    fn zero_unless_lt(self, a: __m512, b: __m512, x: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b), x) }
    }
    #[inline(always)]
    fn zero_if_nan(self, a: __m512, x: __m512) -> __m512 {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe { _mm512_maskz_mov_ps(_mm512_cmp_ps_mask::<_CMP_ORD_Q>(a, a), x) }
    }
    #[inline(always)]
    fn lt_mask(self, a: __m512, b: __m512) -> u32 {
        // SAFETY: the token proves that the CPU has the instructions.
        u32::from(unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b) })
    }
    #[inline(always)]
    fn transpose(self, src: &[f32], src_stride: usize, dst: &mut [f32], dst_stride: usize) {
        transpose_f32(self, src, src_stride, dst, dst_stride);
    }
}

impl Simd<f64> for Avx512 {
    type V = __m512d;
    const LANES: usize = 8;
    // As for f32.
    const TILE_ROWS: usize = 16;
    const WIDE_TILE_ROWS: usize = 12;
    const HALF_TILE_ROWS: usize = 0;

    #[inline(always)]
    fn splat(self, x: f64) -> __m512d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_set1_pd(x) }
    }
    #[inline(always)]
    fn load(self, src: &[f64]) -> __m512d {
        assert!(src.len() >= 8);
        // SAFETY: the slice holds 8 elements.
        unsafe { self.load_ptr(src.as_ptr()) }
    }
    #[inline(always)]
    fn store(self, v: __m512d, dst: &mut [f64]) {
        assert!(dst.len() >= 8);
        // SAFETY: the slice holds 8 elements.
        unsafe { self.store_ptr(v, dst.as_mut_ptr()) }
    }
    #[inline(always)]
    unsafe fn load_ptr(self, src: *const f64) -> __m512d {
        // SAFETY: the token proves the instruction; the caller vouches for 8 readable elements.
        unsafe { _mm512_loadu_pd(src) }
    }
    #[inline(always)]
    unsafe fn store_ptr(self, v: __m512d, dst: *mut f64) {
        // SAFETY: the token proves the instruction; the caller vouches for 8 writable elements.
        unsafe { _mm512_storeu_pd(dst, v) }
    }
    #[inline(always)]
    fn prefetch(self, at: *const f64) {
        // SAFETY: a prefetch is a hint; an address that cannot be read is ignored.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
    }
    #[inline(always)]
    fn add(self, a: __m512d, b: __m512d) -> __m512d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_add_pd(a, b) }
    }
    #[inline(always)]
    fn sub(self, a: __m512d, b: __m512d) -> __m512d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_sub_pd(a, b) }
    }
    #[inline(always)]
    fn mul(self, a: __m512d, b: __m512d) -> __m512d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_mul_pd(a, b) }
    }
    #[inline(always)]
    fn div(self, a: __m512d, b: __m512d) -> __m512d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_div_pd(a, b) }
    }
    #[inline(always)]
    fn mul_add(self, a: __m512d, b: __m512d, c: __m512d) -> __m512d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_fmadd_pd(a, b, c) }
    }
    #[inline(always)]
    fn neg_mul_add(self, a: __m512d, b: __m512d, c: __m512d) -> __m512d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_fnmadd_pd(a, b, c) }
    }
    #[inline(always)]
    fn max(self, a: __m512d, b: __m512d) -> __m512d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_max_pd(a, b) }
    }
    #[inline(always)]
    fn min(self, a: __m512d, b: __m512d) -> __m512d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_min_pd(a, b) }
    }
    #[inline(always)]
    fn sqrt(self, a: __m512d) -> __m512d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_sqrt_pd(a) }
    }
    #[inline(always)]
    fn abs(self, a: __m512d) -> __m512d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_andnot_pd(_mm512_set1_pd(-0.0), a) }
    }
    #[inline(always)]
    fn copysign(self, magnitude: __m512d, sign: __m512d) -> __m512d {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe {
            let bit = _mm512_set1_pd(-0.0);
            _mm512_or_pd(_mm512_andnot_pd(bit, magnitude), _mm512_and_pd(bit, sign))
        }
    }
    #[inline(always)]
    fn round(self, a: __m512d) -> __m512d {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_roundscale_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a) }
    }
    #[inline(always)]
    fn pow2(self, n: __m512d) -> __m512d {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe {
            // The integer sits in the low bits of the sum's mantissa; the shift drops everything above.
            let sum = _mm512_add_pd(n, _mm512_set1_pd(6_755_399_441_055_744.0 + 1023.0));
            _mm512_castsi512_pd(_mm512_slli_epi64::<52>(_mm512_castpd_si512(sum)))
        }
    }
    #[inline(always)]
    fn select_lt(self, a: __m512d, b: __m512d, x: __m512d, y: __m512d) -> __m512d {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe { _mm512_mask_blend_pd(_mm512_cmp_pd_mask::<_CMP_LT_OQ>(a, b), y, x) }
    }
    #[inline(always)]
    fn zero_unless_lt(self, a: __m512d, b: __m512d, x: __m512d) -> __m512d {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe { _mm512_maskz_mov_pd(_mm512_cmp_pd_mask::<_CMP_LT_OQ>(a, b), x) }
    }
    #[inline(always)]
    fn zero_if_nan(self, a: __m512d, x: __m512d) -> __m512d {
        // SAFETY: the token proves that the CPU has the instructions.
        unsafe { _mm512_maskz_mov_pd(_mm512_cmp_pd_mask::<_CMP_ORD_Q>(a, a), x) }
    }
    #[inline(always)]
    fn lt_mask(self, a: __m512d, b: __m512d) -> u32 {
        // SAFETY: the token proves that the CPU has the instructions.
        u32::from(unsafe { _mm512_cmp_pd_mask::<_CMP_LT_OQ>(a, b) })
    }
    #[inline(always)]
    fn transpose(self, src: &[f64], src_stride: usize, dst: &mut [f64], dst_stride: usize) {
        avx2::transpose_f64(self.avx2, src, src_stride, dst, dst_stride);
    }
}

/// Transposes 16 x 16 elements, four columns of `src` at a time. A vector gathers four elements of every
/// fourth row, which the load units do; two interleavings within its quarters do the rest.
#[inline(always)]
fn transpose_f32(_: Avx512, src: &[f32], src_stride: usize, dst: &mut [f32], dst_stride: usize) {
    check_transpose(src, src_stride, dst, dst_stride);
    for j in [0, 4, 8, 12] {
        // SAFETY: the token proves the instructions. Row r of either block starts at r * stride with r <
        // 16. In `src` four elements are read from its element j <= 12 on, in `dst` all 16 of row j + c
        // < 16 are written; so both end at most at 15 * stride + 16, which was checked.
        unsafe {
            let four = |r: usize| _mm_loadu_ps(src.as_ptr().add(r * src_stride + j));
            let rows = |r: usize| {
                let v = _mm512_castps128_ps512(four(r));
                let v = _mm512_insertf32x4::<1>(v, four(4 + r));
                let v = _mm512_insertf32x4::<2>(v, four(8 + r));
                _mm512_insertf32x4::<3>(v, four(12 + r))
            };
            let (r0, r1, r2, r3) = (rows(0), rows(1), rows(2), rows(3));
            let pairs = |a, b| (_mm512_castps_pd(a), _mm512_castps_pd(b));
            let (a0, a1) = pairs(_mm512_unpacklo_ps(r0, r1), _mm512_unpackhi_ps(r0, r1));
            let (b0, b1) = pairs(_mm512_unpacklo_ps(r2, r3), _mm512_unpackhi_ps(r2, r3));
            let columns = [
                _mm512_unpacklo_pd(a0, b0),
                _mm512_unpackhi_pd(a0, b0),
                _mm512_unpacklo_pd(a1, b1),
                _mm512_unpackhi_pd(a1, b1),
            ];
            for (c, column) in columns.into_iter().enumerate() {
                _mm512_storeu_ps(dst.as_mut_ptr().add((j + c) * dst_stride), _mm512_castpd_ps(column));
            }
        }
    }
}
