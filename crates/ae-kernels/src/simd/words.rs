//! Sixteen 32-bit words at a time, for generating random numbers. Written out for each instruction set,
//! because what compilers make of loops over the words is unpredictable: sixteen scalar multiplications,
//! for example.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use super::Portable;
#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx512};

/// Words processed at a time.
pub(crate) const WORDS: usize = 16;

/// Only the tokens of this crate are instruction sets: unsafe code relies on what they say of themselves.
mod sealed {
    #[allow(unnameable_types, reason = "closes the trait below")]
    pub trait Sealed {}
}

/// Operations on sixteen 32-bit words, with the same results on every instruction set.
pub trait Words: Copy + sealed::Sealed {
    /// Sixteen words.
    type W: Copy;
    /// The words of an array.
    fn words_from_array(self, from: [u32; WORDS]) -> Self::W;
    /// `word` in every position.
    fn splat_word(self, word: u32) -> Self::W;
    /// The words as an array.
    fn words_to_array(self, words: Self::W) -> [u32; WORDS];
    /// `a ^ b`
    fn xor(self, a: Self::W, b: Self::W) -> Self::W;
    /// The upper and the lower halves of the 64-bit products of `a` and `by`.
    fn widening_mul(self, a: Self::W, by: u32) -> (Self::W, Self::W);
}

impl sealed::Sealed for Portable {}

impl Words for Portable {
    type W = [u32; WORDS];
    #[inline(always)]
    fn words_from_array(self, from: [u32; WORDS]) -> [u32; WORDS] {
        from
    }
    #[inline(always)]
    fn splat_word(self, word: u32) -> [u32; WORDS] {
        [word; WORDS]
    }
    #[inline(always)]
    fn words_to_array(self, words: [u32; WORDS]) -> [u32; WORDS] {
        words
    }
    #[inline(always)]
    fn xor(self, a: [u32; WORDS], b: [u32; WORDS]) -> [u32; WORDS] {
        std::array::from_fn(|i| a[i] ^ b[i])
    }
    #[inline(always)]
    fn widening_mul(self, a: [u32; WORDS], by: u32) -> ([u32; WORDS], [u32; WORDS]) {
        let (mut high, mut low) = ([0; WORDS], [0; WORDS]);
        for i in 0..WORDS {
            let product = u64::from(by) * u64::from(a[i]);
            (high[i], low[i]) = ((product >> 32) as u32, product as u32);
        }
        (high, low)
    }
}

#[cfg(target_arch = "x86_64")]
impl sealed::Sealed for Avx2 {}

#[cfg(target_arch = "x86_64")]
impl Words for Avx2 {
    type W = [__m256i; 2];
    #[inline(always)]
    fn words_from_array(self, from: [u32; WORDS]) -> [__m256i; 2] {
        bytemuck::cast(from)
    }
    #[inline(always)]
    fn splat_word(self, word: u32) -> [__m256i; 2] {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { [_mm256_set1_epi32(word.cast_signed()); 2] }
    }
    #[inline(always)]
    fn words_to_array(self, words: [__m256i; 2]) -> [u32; WORDS] {
        bytemuck::cast(words)
    }
    #[inline(always)]
    fn xor(self, a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { [_mm256_xor_si256(a[0], b[0]), _mm256_xor_si256(a[1], b[1])] }
    }
    #[inline(always)]
    fn widening_mul(self, a: [__m256i; 2], by: u32) -> ([__m256i; 2], [__m256i; 2]) {
        let (mut high, mut low) = (a, a);
        for i in 0..2 {
            // SAFETY: the token proves that the CPU has the instructions. They compute the 64-bit
            // products of the words at even positions, then at odd ones, and put their halves where the
            // word was.
            unsafe {
                let by = _mm256_set1_epi32(by.cast_signed());
                let even = _mm256_mul_epu32(a[i], by);
                let odd = _mm256_mul_epu32(_mm256_srli_epi64::<32>(a[i]), by);
                low[i] = _mm256_blend_epi32::<0b1010_1010>(even, _mm256_slli_epi64::<32>(odd));
                high[i] = _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd);
            }
        }
        (high, low)
    }
}

#[cfg(target_arch = "x86_64")]
impl sealed::Sealed for Avx512 {}

#[cfg(target_arch = "x86_64")]
impl Words for Avx512 {
    type W = __m512i;
    #[inline(always)]
    fn words_from_array(self, from: [u32; WORDS]) -> __m512i {
        // SAFETY: the token proves that the CPU has the instruction; the array is as long as the vector.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }
    #[inline(always)]
    fn splat_word(self, word: u32) -> __m512i {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_set1_epi32(word.cast_signed()) }
    }
    #[inline(always)]
    fn words_to_array(self, words: __m512i) -> [u32; WORDS] {
        let mut array = [0; WORDS];
        // SAFETY: the token proves that the CPU has the instruction; the array is as long as the vector.
        unsafe { _mm512_storeu_si512(array.as_mut_ptr().cast(), words) };
        array
    }
    #[inline(always)]
    fn xor(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: the token proves that the CPU has the instruction.
        unsafe { _mm512_xor_si512(a, b) }
    }
    #[inline(always)]
    fn widening_mul(self, a: __m512i, by: u32) -> (__m512i, __m512i) {
        const ODD: __mmask16 = 0b1010_1010_1010_1010;
        // SAFETY: the token proves that the CPU has the instructions. The steps are those of AVX2.
        unsafe {
            let by = _mm512_set1_epi32(by.cast_signed());
            let even = _mm512_mul_epu32(a, by);
            let odd = _mm512_mul_epu32(_mm512_srli_epi64::<32>(a), by);
            let low = _mm512_mask_blend_epi32(ODD, even, _mm512_slli_epi64::<32>(odd));
            let high = _mm512_mask_blend_epi32(ODD, _mm512_srli_epi64::<32>(even), odd);
            (high, low)
        }
    }
}
