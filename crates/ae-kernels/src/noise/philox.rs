//! Philox 4x32-10 (Salmon et al. 2011, sec. 3.3): random numbers as a function of a counter and a key,
//! so that a number is the same whoever draws it and in whatever order.

use crate::simd::Words;

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// Returns four words for each of the counters `(counter[0][i], counter[1][i], ...)`.
#[inline(always)]
pub(super) fn philox<S: Words>(s: S, mut counter: [S::W; 4], key: u64) -> [S::W; 4] {
    let mut key = [key as u32, (key >> 32) as u32];
    for _ in 0..ROUNDS {
        let (high0, low0) = s.widening_mul(counter[0], MULTIPLIERS[0]);
        let (high1, low1) = s.widening_mul(counter[2], MULTIPLIERS[1]);
        counter = [
            s.xor(s.xor(high1, counter[1]), s.splat_word(key[0])),
            low1,
            s.xor(s.xor(high0, counter[3]), s.splat_word(key[1])),
            low0,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Isa;
    use crate::simd::{Element, Kernel, Simd, WORDS};

    /// [`philox`] with the counter under test in the last lane and others in the remaining lanes.
    struct Last {
        counter: [u32; 4],
        key: [u32; 2],
    }

    impl Kernel<f32> for Last {
        type Output = [u32; 4];
        #[inline(always)]
        fn run<S: Simd<f32>>(self, s: S) -> [u32; 4] {
            let counter = self.counter.map(|word| {
                let mut lanes = std::array::from_fn(|lane| lane as u32);
                lanes[WORDS - 1] = word;
                s.words_from_array(lanes)
            });
            let key = u64::from(self.key[1]) << 32 | u64::from(self.key[0]);
            philox(s, counter, key).map(|words| s.words_to_array(words)[WORDS - 1])
        }
    }

    /// The known answers published by its authors with the Random123 library (`kat_vectors`).
    #[test]
    fn known_answers() {
        let table: [([u32; 4], [u32; 2], [u32; 4]); 3] = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([!0; 4], [!0; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, expected) in table {
            for isa in Isa::available() {
                assert_eq!(f32::run(isa, Last { counter, key }), expected, "{isa}");
            }
        }
    }
}
