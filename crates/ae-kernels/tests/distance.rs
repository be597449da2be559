//! Distances to groups of rows against a naive loop, on every instruction set.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, helpers included")]

use ae_kernels::Isa;
use ae_kernels::distance::{GROUP, squared_distances};
use ae_testing::random::SplitMix64;

/// The squared distances, each added up feature by feature.
fn naive(row: &[f32], group: &[[f32; GROUP]]) -> [f32; GROUP] {
    let mut sums = [0.0f32; GROUP];
    for (x, line) in row.iter().zip(group) {
        for (sum, y) in sums.iter_mut().zip(line) {
            *sum += (x - y) * (x - y);
        }
    }
    sums
}

fn drawn(features: usize, seed: u64) -> (Vec<f32>, Vec<[f32; GROUP]>) {
    let values = SplitMix64::new(seed).normal_f32s(features * (1 + GROUP));
    let (row, group) = values.split_at(features);
    (row.to_vec(), group.as_chunks().0.to_vec())
}

#[test]
fn each_is_the_same_chain_of_additions_and_a_group_is_left_only_if_all_are_too_far() {
    for isa in Isa::available() {
        for features in [0, 1, 2, 7, 8, 9, 16, 31, 40, 127] {
            let (row, group) = drawn(features, features as u64);
            let expected = naive(&row, &group);
            let nearest = expected.iter().copied().fold(f32::INFINITY, f32::min);
            // Of the nearest row, all features are added up.
            for worst in [nearest, 2.0 * nearest, f32::MAX, f32::INFINITY] {
                let found = squared_distances(isa, &row, &group, worst).unwrap();
                assert_eq!(found.map(f32::to_bits), expected.map(f32::to_bits), "{isa}, {features}");
            }
            let nearer = squared_distances(isa, &row, &group, nearest.next_down());
            assert_eq!(nearer.is_none(), features > 0, "{isa}, {features}");
        }
    }
}

/// A place without a row is infinitely far away, and rows whose distance is not a number are no reason
/// to leave a group.
#[test]
fn places_without_a_row_and_distances_that_are_no_numbers() {
    let (row, mut group) = drawn(9, 1);
    group.iter_mut().for_each(|line| line[5..].fill(f32::INFINITY));
    for isa in Isa::available() {
        let found = squared_distances(isa, &row, &group, f32::MAX).unwrap();
        assert!(found[..5].iter().all(|x| x.is_finite()) && found[5..].iter().all(|x| *x == f32::INFINITY));
        let beyond = [f32::INFINITY; 9];
        let found = squared_distances(isa, &beyond, &group, 1.0).unwrap();
        assert!(found[..5].iter().all(|x| *x == f32::INFINITY) && found[5..].iter().all(|x| x.is_nan()));
    }
}

#[test]
#[should_panic(expected = "2 features, 3 lines of a group")]
fn a_row_of_another_width_is_refused() {
    let _ = squared_distances(Isa::best(), &[0.0; 2], &[[0.0; GROUP]; 3], 1.0);
}
