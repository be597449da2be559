//! The selection of the largest values against sorting, on every instruction set. That the sparse
//! products equal the dense ones is tested by training networks (`ae-model/tests/top_k.rs`).

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

use ae_kernels::panel::{self, Panels, PanelsMut, panel_len};
use ae_kernels::sparse::{self, Active};
use ae_kernels::{Element, Isa};
use ae_testing::random::SplitMix64;

/// The features of the `k` largest of `values` that are not zero: NaN first, then by size, the first of
/// equals first.
fn naive(values: &[f32], k: usize) -> Vec<u32> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    let key = |index: &usize| if values[*index].is_nan() { f32::INFINITY } else { values[*index] };
    let nan = |index: &usize| values[*index].is_nan();
    order.sort_by(|a, b| nan(b).cmp(&nan(a)).then(key(b).partial_cmp(&key(a)).unwrap()).then(a.cmp(b)));
    let mut kept: Vec<u32> = order[..k].iter().filter(|i| values[**i] != 0.0).map(|i| *i as u32).collect();
    kept.sort_unstable();
    kept
}

/// Packs a row-major `[features, rows]` matrix into panels.
fn packed<T: Element>(values: &[f32], features: usize, rows: usize) -> Vec<T> {
    let values: Vec<T> = values.iter().map(|x| T::from_f32(*x)).collect();
    let mut panels = vec![T::ZERO; panel_len::<T>(features, rows)];
    panel::pack(&values, PanelsMut::new(&mut panels, features, rows));
    panels
}

fn check<T: Element>(values: &[f32], features: usize, rows: usize, k: usize, name: &str) {
    let codes = packed::<T>(values, features, rows);
    for isa in Isa::available() {
        let mut active = vec![T::from_f32(7.0); sparse::active_len(k * rows, rows)];
        let mut scratch = vec![T::from_f32(9.0); sparse::scratch_len::<T>(k)];
        sparse::select(isa, k, Panels::new(&codes, features, rows), &mut active, &mut scratch);
        let active = Active::new(&active, k * rows, rows);
        let mut dense = vec![T::ONE; codes.len()];
        active.scatter(PanelsMut::new(&mut dense, features, rows));
        let dense = Panels::new(&dense, features, rows);
        for row in 0..rows {
            let of_row: Vec<f32> = (0..features).map(|feature| values[feature * rows + row]).collect();
            let (indices, kept) = active.row(row);
            assert_eq!(indices, naive(&of_row, k), "{name} on {isa}: {k} of {features}, row {row}");
            for (index, value) in indices.iter().zip(kept) {
                let expected = of_row[*index as usize];
                assert!(value.to_f32() == expected || (expected.is_nan() && value.to_f64().is_nan()));
            }
            for feature in 0..features {
                let is_kept = indices.contains(&(feature as u32));
                assert_eq!(dense.get(feature, row).to_f64() != 0.0, is_kept, "{name} on {isa}");
            }
        }
    }
}

#[test]
fn the_largest_values_as_by_sorting() {
    let mut random = SplitMix64::new(1);
    for (features, rows, k) in [
        (1, 1, 1),
        (7, 3, 2),
        (40, 17, 40),
        (64, 16, 4),
        (500, 33, 31),
        (3000, 5, 32),
        (1040, 20, 65),
        (900, 9, 800),
    ] {
        let len = features * rows;
        let dense = random.uniform_f32s(len, -1.0, 1.0);
        let positive: Vec<f32> = dense.iter().map(|x| x.max(0.0)).collect();
        let few: Vec<f32> = dense.iter().map(|x| if *x > 0.99 { *x } else { 0.0 }).collect();
        let ties: Vec<f32> = dense.iter().map(|x| (x * 4.0).round() / 4.0).collect();
        let negative: Vec<f32> = dense.iter().map(|x| x - 2.0).collect();
        // In ascending order, every value is larger than all before it.
        let rising: Vec<f32> = (0..len).map(|i| (i / rows) as f32 - 100.0).collect();
        let broken: Vec<f32> =
            dense.iter().enumerate().map(|(i, x)| if i % 97 == 5 { f32::NAN } else { *x }).collect();
        let equal = vec![1.5; len];
        let tiny: Vec<f32> = dense.iter().map(|x| if *x > 0.0 { f32::from_bits(1) } else { -0.0 }).collect();
        let all = [
            ("dense", dense),
            ("positive", positive),
            ("few", few),
            ("ties", ties),
            ("negative", negative),
            ("rising", rising),
            ("broken", broken),
            ("equal", equal),
            ("tiny", tiny),
        ];
        for (name, values) in all {
            check::<f32>(&values, features, rows, k, name);
            check::<f64>(&values, features, rows, k, name);
        }
    }
}

#[test]
fn features_that_are_picked_keep_their_lines_and_names() {
    let (features, rows, k) = (11, 21, 2);
    let values = SplitMix64::new(2).uniform_f32s(features * rows, 0.1, 1.0);
    let picked = [0u32, 3, 4, 10];
    let mut codes = packed::<f32>(&values, features, rows);
    sparse::gather_features(&mut codes, features, &picked);
    let codes = &codes[..panel_len::<f32>(picked.len(), rows)];
    let codes = Panels::new(codes, picked.len(), rows);
    let mut active = vec![0.0; sparse::active_len(k * rows, rows)];
    let mut scratch = vec![0.0; sparse::scratch_len::<f32>(k)];
    sparse::select(Isa::best(), k, codes, &mut active, &mut scratch);
    sparse::remap_features::<f32>(&mut active, rows, &picked);
    let active = Active::new(&active, k * rows, rows);
    for row in 0..rows {
        let of_row: Vec<f32> = picked.iter().map(|feature| values[*feature as usize * rows + row]).collect();
        let expected: Vec<u32> = naive(&of_row, k).iter().map(|place| picked[*place as usize]).collect();
        assert_eq!(active.row(row).0, expected);
        let kept: Vec<f32> = expected.iter().map(|feature| values[*feature as usize * rows + row]).collect();
        assert_eq!(active.row(row).1, kept);
    }
}

/// The values that reach a bound, against a check of every value.
#[test]
fn what_reaches_a_bound() {
    let mut random = SplitMix64::new(5);
    for (features, rows) in [(1, 1), (7, 3), (40, 17), (64, 16), (500, 33), (33, 100), (5, 0)] {
        let values: Vec<f32> = (0..features * rows)
            .map(|_| match random.below(20) {
                0 => f32::NAN,
                number => (number as f32 - 10.0) / 4.0,
            })
            .collect();
        for bound in [-9.0, -1.0, 0.0, 0.5, 2.0, f32::INFINITY] {
            reach::<f32>(&values, features, rows, bound);
            reach::<f64>(&values, features, rows, bound);
        }
    }
}

fn reach<T: Element>(values: &[f32], features: usize, rows: usize, bound: f32) {
    let codes = packed::<T>(values, features, rows);
    let reaches = |x: f32| x != 0.0 && (x.is_nan() || x >= bound);
    let all = values.iter().filter(|x| reaches(**x)).count();
    // There may be more room than needed.
    let most = all + 3;
    for isa in Isa::available() {
        let panels = Panels::new(&codes, features, rows);
        let mut active = vec![T::from_f32(7.0); sparse::active_len(most, rows)];
        sparse::select_at_least(isa, T::from_f32(bound), panels, &mut active, most);
        let active = Active::new(&active, most, rows);
        for row in 0..rows {
            let of_row: Vec<f32> = (0..features).map(|feature| values[feature * rows + row]).collect();
            let expected: Vec<u32> =
                (0..features).filter(|i| reaches(of_row[*i])).map(|i| i as u32).collect();
            let (indices, kept) = active.row(row);
            assert_eq!(indices, expected, "[{features}, {rows}] from {bound} on {isa}, row {row}");
            for (index, value) in indices.iter().zip(kept) {
                let expected = of_row[*index as usize];
                assert!(value.to_f32() == expected || (expected.is_nan() && value.to_f64().is_nan()));
            }
        }
        // If there is not room for all, the first ones are kept.
        let fewer = all / 2;
        let mut some = vec![T::from_f32(7.0); sparse::active_len(fewer, rows)];
        sparse::select_at_least(isa, T::from_f32(bound), panels, &mut some, fewer);
        let some = Active::new(&some, fewer, rows);
        let listed = |active: Active<'_, T>| -> Vec<(usize, u32)> {
            (0..rows).flat_map(|row| active.row(row).0.iter().map(move |feature| (row, *feature))).collect()
        };
        assert_eq!(listed(some), listed(active)[..fewer], "{isa}");
        for room in [0, all / 2, all, all + 2] {
            let mut found = vec![T::from_f32(7.0); room];
            assert_eq!(sparse::values_at_least(isa, T::from_f32(bound), panels, &mut found), all);
            assert!(found.iter().take(all).all(|x| reaches(x.to_f32())), "{isa}");
        }
    }
}

/// The bound of a batch and the values that it keeps, against sorting.
#[test]
fn largest_of_all_as_by_sorting() {
    let mut random = SplitMix64::new(4);
    for (lines, count) in [(0, 3), (1, 1), (1, 40), (3, 17), (7, 0), (13, 100)] {
        let values: Vec<f32> = (0..lines * 16).map(|_| random.below(9) as f32 - 4.0).collect();
        let mut sorted = values.clone();
        sorted.sort_by(|a, b| b.partial_cmp(a).unwrap());
        let expected = count.min(sorted.len()).checked_sub(1).map(|last| match sorted.get(last + 1) {
            // Equal values are kept all or not at all.
            Some(next) if *next == sorted[last] => {
                sorted[..last].iter().copied().rfind(|x| *x > sorted[last]).unwrap_or(f32::INFINITY)
            }
            _ => sorted[last],
        });
        assert_eq!(sparse::batch_threshold(&mut values.clone(), count), expected);
        let Some(least) = expected else { continue };
        let deltas = random.uniform_f32s(values.len(), -1.0, 1.0);
        for isa in Isa::available() {
            let mut kept = values.clone();
            sparse::zero_below(isa, least, &mut kept);
            let naive: Vec<f32> = values.iter().map(|x| if *x < least { 0.0 } else { *x }).collect();
            assert_eq!(kept, naive, "{lines} lines, {count} on {isa}");
            let mut of_kept = vec![7.0; values.len()];
            sparse::mask_inactive(isa, &kept, &deltas, &mut of_kept);
            let pairs = kept.iter().zip(&deltas);
            let naive: Vec<f32> = pairs.map(|(x, delta)| if *x == 0.0 { 0.0 } else { *delta }).collect();
            assert_eq!(of_kept, naive, "{lines} lines, {count} on {isa}");
        }
    }
    let mut with_nan = [1.0, f32::NAN, 3.0];
    assert_eq!(sparse::batch_threshold(&mut with_nan, 2), Some(3.0));
    assert_eq!(sparse::batch_threshold(&mut with_nan, 1), Some(f32::INFINITY));
    let mut line = [f32::NAN; 16];
    sparse::zero_below(Isa::best(), 1.0, &mut line);
    assert!(line.iter().all(|x| x.is_nan()));
    for isa in Isa::available() {
        let mut line = [f32::NEG_INFINITY; 16];
        line[3] = f32::INFINITY;
        sparse::zero_below(isa, 1.0, &mut line);
        assert!(
            line.iter().enumerate().all(|(i, x)| *x == if i == 3 { f32::INFINITY } else { 0.0 }),
            "{isa}"
        );
    }
}
