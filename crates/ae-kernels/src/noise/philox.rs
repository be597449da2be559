//! Philox 4x32-10 (Salmon et al. 2011, sec. 3.3): random numbers as a function of a counter and a key, so that a number is
//! the same whoever draws it, and in which order. Sixteen counters at a time, in loops that the compiler turns into vectors.

/// Counters at a time.
pub(super) const WIDTH: usize = 16;

type Lanes = [u32; WIDTH];

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: usize = 10;

/// Four words for each of the counters `(counter[0][i], counter[1][i], ...)`.
#[inline(always)]
pub(super) fn philox(mut counter: [Lanes; 4], key: u64) -> [Lanes; 4] {
    let mut key = [key as u32, (key >> 32) as u32];
    for _ in 0..ROUNDS {
        let (high0, low0) = multiply(MULTIPLIERS[0], counter[0]);
        let (high1, low1) = multiply(MULTIPLIERS[1], counter[2]);
        for i in 0..WIDTH {
            counter[0][i] = high1[i] ^ counter[1][i] ^ key[0];
            counter[2][i] = high0[i] ^ counter[3][i] ^ key[1];
        }
        (counter[1], counter[3]) = (low1, low0);
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

/// The upper and the lower half of the products.
#[inline(always)]
fn multiply(by: u32, values: Lanes) -> (Lanes, Lanes) {
    let (mut high, mut low) = ([0; WIDTH], [0; WIDTH]);
    for i in 0..WIDTH {
        let product = u64::from(by) * u64::from(values[i]);
        (high[i], low[i]) = ((product >> 32) as u32, product as u32);
    }
    (high, low)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that its authors publish with their library Random123 (`kat_vectors`).
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
            let mut lanes = [[0; WIDTH]; 4];
            for (lanes, word) in lanes.iter_mut().zip(counter) {
                lanes[3] = word;
            }
            let words = philox(lanes, u64::from(key[1]) << 32 | u64::from(key[0]));
            assert_eq!(words.map(|lanes| lanes[3]), expected);
        }
    }
}
