//! Awkward sizes: zero, one, primes, and the neighbours of every register tile and cache line size.

use crate::random::SplitMix64;

/// Sizes that hit every edge case of a kernel: empty, single, primes, and around 8, 16, 32, 48 and 64.
pub const SIZES: [usize; 22] =
    [0, 1, 2, 3, 5, 7, 8, 9, 13, 15, 16, 17, 31, 32, 33, 47, 48, 49, 61, 63, 64, 65];

/// Returns `block - 1`, `block` and `block + 1`, and the same around `2 block`.
///
/// # Panics
/// If `block` is 0.
#[track_caller]
pub fn around(block: usize) -> [usize; 6] {
    assert!(block > 0, "no sizes around 0");
    [block - 1, block, block + 1, 2 * block - 1, 2 * block, 2 * block + 1]
}

/// Returns triples `[m, k, n]` over `sizes`, without repetition: about `10 sizes.len()` instead of
/// `sizes.len()^3`.
///
/// They contain every size in all three places at once, and every size in every place with small and odd
/// companions and with two random companions from `sizes`.
pub fn triples(sizes: &[usize]) -> Vec<[usize; 3]> {
    let mut random = SplitMix64::new(sizes.len() as u64);
    let mut triples = Vec::new();
    for &size in sizes {
        triples.push([size; 3]);
        for place in 0..3 {
            for companions in [[1, 1], [2, 19], [17, 3]] {
                triples.push(with(place, size, companions));
            }
            // Two companions from the list as well, so that edges meet.
            let [one, other] = [sizes[random.below(sizes.len())], sizes[random.below(sizes.len())]];
            triples.push(with(place, size, [one, other]));
        }
    }
    triples.sort_unstable();
    triples.dedup();
    triples
}

/// [`triples`] over [`SIZES`].
pub fn gemm_shapes() -> Vec<[usize; 3]> {
    triples(&SIZES)
}

fn with(place: usize, size: usize, [one, other]: [usize; 2]) -> [usize; 3] {
    match place {
        0 => [size, one, other],
        1 => [one, size, other],
        _ => [one, other, size],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_hold_what_they_promise() {
        assert!(SIZES.is_sorted());
        for block in [8, 16, 32, 48, 64] {
            assert!([block - 1, block, block + 1].iter().all(|size| SIZES.contains(size)), "around {block}");
        }
        assert!([0, 1, 2].iter().all(|size| SIZES.contains(size)));
        assert_eq!(around(4), [3, 4, 5, 7, 8, 9]);
        assert_eq!(around(1), [0, 1, 2, 1, 2, 3]);
    }

    #[test]
    fn every_size_stands_in_every_place() {
        let shapes = gemm_shapes();
        for size in SIZES {
            for place in 0..3 {
                assert!(shapes.iter().filter(|shape| shape[place] == size).count() >= 4, "{size} at {place}");
            }
            assert!(shapes.contains(&[size; 3]));
        }
    }

    #[test]
    fn few_distinct_and_the_same_each_time() {
        let shapes = gemm_shapes();
        assert!(shapes.len() < 14 * SIZES.len(), "{} shapes", shapes.len());
        assert!(shapes.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(shapes, gemm_shapes());
        assert!(triples(&[]).is_empty());
    }
}
