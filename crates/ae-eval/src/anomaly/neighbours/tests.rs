use ae_testing::random::SplitMix64;
use proptest::prelude::*;

use super::*;

fn naive(rows: &[f32], features: usize, row: &[f32]) -> Vec<f32> {
    let mut all: Vec<f32> = rows
        .chunks_exact(features)
        .map(|other| row.iter().zip(other).map(|(x, y)| (x - y) * (x - y)).sum())
        .collect();
    all.sort_by(f32::total_cmp);
    all
}

/// What both searches find for each query.
fn both(neighbours: &Neighbours, queries: &[f32], skip_self: bool, k: usize) -> [Vec<f32>; 2] {
    let queries_of_width = queries.chunks_exact(neighbours.features());
    let mut outwards = vec![f32::INFINITY; queries_of_width.len() * k];
    for (row, nearest) in queries_of_width.zip(outwards.chunks_exact_mut(k)) {
        neighbours.search_outwards(row, Nearest { skip_self, nearest });
    }
    let mut by_products = vec![f32::INFINITY; outwards.len()];
    neighbours.search_by_products(queries, skip_self, k, &mut by_products);
    [outwards, by_products]
}

fn assert_same(found: &[Vec<f32>; 2]) {
    let bits = |found: &[f32]| -> Vec<u32> { found.iter().map(|x| x.to_bits()).collect() };
    assert_eq!(bits(&found[0]), bits(&found[1]), "{found:?}");
}

proptest! {
    /// Awkward numbers of rows and features; coordinates from a grid, so that distances are often equal;
    /// rows far from the origin, where all products are about the same.
    #[test]
    fn both_searches_find_the_smallest_of_all_distances(
        seed in any::<u64>(), count in 1usize..300, features in 1usize..21, k in 1usize..6, grid in any::<bool>(),
        away in prop::sample::select(vec![0.0f32, 10.0, 1e4]), more in 0usize..200,
    ) {
        let place = |x: f32| away + if grid { x.round() } else { x };
        let values: Vec<f32> =
            SplitMix64::new(seed).normal_f32s((count + 5 + more) * features).into_iter().map(place).collect();
        let (rows, queries) = values.split_at(count * features);
        let queries = [queries, &rows[..count.min(3) * features]].concat();
        let isa = Isa::available().nth(seed as usize % Isa::available().count()).unwrap();
        let neighbours = Neighbours::new(isa, rows, features).unwrap();
        let found = both(&neighbours, &queries, false, k);
        assert_same(&found);
        assert_same(&both(&neighbours, &queries, true, k));
        for (query, found) in queries.chunks_exact(features).zip(found[0].chunks_exact(k)) {
            let expected = naive(rows, features, query);
            for (i, distance) in found.iter().enumerate() {
                let expected = expected.get(i).copied().unwrap_or(f32::INFINITY);
                prop_assert!(*distance == expected || (distance - expected).abs() <= 1e-5 * expected);
            }
        }
    }

    /// Values whose squares and products overflow, or vanish.
    #[test]
    fn both_searches_agree_at_every_scale(seed in any::<u64>(), exponent in -149i32..127, spread in 0i32..40) {
        let mut draw = SplitMix64::new(seed);
        let values: Vec<f32> = draw
            .normal_f32s(150 * 3)
            .into_iter()
            .enumerate()
            .map(|(i, x)| x * f32::exp2((exponent + i as i32 % (spread + 1)).min(127) as f32))
            .collect();
        let neighbours = Neighbours::new(Isa::best(), &values[..300], 3).unwrap();
        assert_same(&both(&neighbours, &values, false, 3));
        assert_same(&both(&neighbours, &values, true, 2));
    }
}

/// A wide reference, of which a search outwards reads nearly all.
#[test]
fn many_wide_rows_are_searched_by_products() {
    let (count, features) = (700, 800);
    let rows = SplitMix64::new(5).normal_f32s(count * features);
    let neighbours = Neighbours::new(Isa::best(), &rows, features).unwrap();
    let mut of_first = [f32::INFINITY; 2];
    let first = Nearest { skip_self: true, nearest: &mut of_first };
    assert!(neighbours.search_outwards(&rows[..features], first) > neighbours.lines_worth_products());
    let mut nearest = vec![0.0; count * 2];
    neighbours.squared_distances(&rows, true, 2, &mut nearest);
    let [outwards, _] = both(&neighbours, &rows, true, 2);
    assert_eq!(nearest, outwards);
}

#[test]
fn a_row_is_not_its_own_neighbour() {
    let rows = [0.0, 0.0, 3.0, 4.0, 3.0, 4.0, 6.0, 8.0];
    let neighbours = Neighbours::new(Isa::best(), &rows, 2).unwrap();
    // There is another row in the place of the second.
    for found in both(&neighbours, &[0.0, 0.0, 3.0, 4.0], true, 2) {
        assert_eq!(found, [25.0, 25.0, 0.0, 25.0]);
    }
    for found in both(&neighbours, &[3.0, 4.0], true, 5) {
        assert_eq!(found[2..], [25.0, f32::INFINITY, f32::INFINITY]);
    }
}

#[test]
fn equal_rows_and_none() {
    let same = Neighbours::new(Isa::best(), &[1.0; 40], 2).unwrap();
    let none = Neighbours::new(Isa::best(), &[], 2).unwrap();
    for (neighbours, expected) in [(same, 9.0), (none, f32::INFINITY)] {
        for found in both(&neighbours, &[1.0, 4.0], false, 2) {
            assert_eq!(found, [expected; 2]);
        }
    }
}
