//! Distances to groups of rows against a naive loop, on every instruction set.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests, helpers included")]

use ae_kernels::Isa;
use ae_kernels::distance::{GROUP, squared_distances};
use ae_kernels::panel::{Panels, panel_len};
use ae_testing::random::SplitMix64;

/// Panels of the rows that are drawn.
const PANELS: usize = 6;
/// Their columns.
const PANEL: usize = 16;

/// The squared distances to the columns of these panels, each added up feature by feature.
fn naive(row: &[f32], others: Panels<'_, f32>, panels: [usize; GROUP]) -> [[f32; PANEL]; GROUP] {
    panels.map(|panel| {
        std::array::from_fn(|column| {
            let differences = row.iter().enumerate().map(|(j, x)| x - others.get(j, panel * PANEL + column));
            differences.fold(0.0f32, |sum, difference| sum + difference * difference)
        })
    })
}

/// A row, and others with a line more than it has features.
fn drawn(features: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let others = panel_len::<f32>(features + 1, PANELS * PANEL);
    let values = SplitMix64::new(seed).normal_f32s(features + others);
    let (row, others) = values.split_at(features);
    (row.to_vec(), others.to_vec())
}

#[test]
fn each_is_the_same_chain_of_additions_and_a_group_is_left_only_if_all_are_too_far() {
    for isa in Isa::available() {
        for features in [0, 1, 2, 7, 8, 9, 16, 31, 40, 127] {
            let (row, others) = drawn(features, features as u64);
            let others = Panels::new(&others, features + 1, PANELS * PANEL);
            for panels in [[0, 1, 2, 3], [5, 0, 2, 2]] {
                let expected = naive(&row, others, panels);
                let nearest = expected.as_flattened().iter().copied().fold(f32::INFINITY, f32::min);
                // Of the nearest row, all features are added up.
                for worst in [nearest, 2.0 * nearest, f32::MAX, f32::INFINITY] {
                    let found = squared_distances(isa, &row, others, panels, worst).unwrap();
                    let bits = |x: [[f32; PANEL]; GROUP]| x.map(|panel| panel.map(f32::to_bits));
                    assert_eq!(bits(found), bits(expected), "{isa}, {features}");
                }
                let nearer = squared_distances(isa, &row, others, panels, nearest.next_down());
                assert_eq!(nearer.is_err(), features > 0, "{isa}, {features}");
                if features > 40 {
                    let early = squared_distances(isa, &row, others, panels, 0.01 * nearest);
                    assert_eq!(early, Err(8), "{isa}");
                }
            }
        }
    }
}

/// Rows whose distance is not a number are no reason to leave a group.
#[test]
fn distances_that_are_no_numbers() {
    let (_, mut others) = drawn(9, 1);
    others.as_chunks_mut::<PANEL>().0.iter_mut().for_each(|line| line[5..].fill(f32::INFINITY));
    let others = Panels::new(&others, 10, PANELS * PANEL);
    for isa in Isa::available() {
        let found = squared_distances(isa, &[f32::INFINITY; 9], others, [0, 1, 2, 3], 1.0).unwrap();
        for found in found {
            assert!(found[..5].iter().all(|x| *x == f32::INFINITY) && found[5..].iter().all(|x| x.is_nan()));
        }
    }
}

#[test]
#[should_panic(expected = "3 features, 2 lines")]
fn a_row_of_another_width_is_refused() {
    let (_, others) = drawn(1, 1);
    let _ = squared_distances(Isa::best(), &[0.0; 3], Panels::new(&others, 2, PANELS * PANEL), [0; 4], 1.0);
}
