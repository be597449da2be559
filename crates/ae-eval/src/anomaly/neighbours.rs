//! Exact distances to nearest neighbours, without a tree.
//!
//! The rows are sorted by their projection on the direction in which they spread most, and split into
//! groups that are compared with a query row together. Two rows are at least as far apart as their
//! projections, so the search goes outwards from the query's position and ends on either side where that
//! bound alone is too far. Within a group, features that vary most come first, because it is given up once
//! all its rows are too far: of tables with many categories, few features are read.

use ae_data::{DataError, memory};
use ae_kernels::Isa;
use ae_kernels::distance::{self, GROUP};

/// What the memory is for.
const REFERENCE: &str = "the rows to find neighbours among";
/// Iterations of the power method; the direction only has to be a good one.
const ROUNDS: usize = 8;
/// Allowance for rounding in a bound, as a fraction of it.
const SLACK: f64 = 1e-4;

/// The rows to find neighbours among.
#[derive(Clone, Debug)]
pub(crate) struct Neighbours {
    isa: Isa,
    /// The features in the order in which they are compared.
    features: Vec<usize>,
    /// A unit vector.
    direction: Vec<f64>,
    /// `[groups, features, GROUP]`; places beyond the last row are infinite.
    groups: Vec<[f32; GROUP]>,
    /// Smallest and largest projection of each group.
    spans: Vec<(f64, f64)>,
}

impl Neighbours {
    /// Prepares the rows `[rows, features]` for searching, of which there is a copy then.
    pub(crate) fn new(isa: Isa, rows: &[f32], features: usize) -> Result<Neighbours, DataError> {
        let direction = principal_direction(rows, features);
        let count = rows.len() / features.max(1);
        let mut order: Vec<(f64, usize)> = memory::room(REFERENCE, count, 1)?;
        let projected = rows.chunks_exact(features.max(1)).map(|row| project(&direction, row));
        order.extend(projected.zip(0..));
        order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        let features = by_variance(rows, features);
        let refused = |_| DataError::OutOfMemory { what: REFERENCE, rows: count, width: features.len() };
        let groups = order.len().div_ceil(GROUP);
        let mut groups = memory::room(REFERENCE, groups, features.len()).map_err(refused)?;
        let mut spans = Vec::new();
        for group in order.chunks(GROUP) {
            for feature in &features {
                let mut line = [f32::INFINITY; GROUP];
                for (x, (_, index)) in line.iter_mut().zip(group) {
                    *x = rows[index * features.len() + feature];
                }
                groups.push(line);
            }
            spans.push((group[0].0, group[group.len() - 1].0));
        }
        Ok(Neighbours { isa, features, direction, groups, spans })
    }

    /// Number of features.
    pub(crate) fn features(&self) -> usize {
        self.features.len()
    }

    /// Writes the squared distances from `row` to the `nearest.len()` nearest rows to `nearest`,
    /// ascending; infinite if there are fewer rows. `skip_self` leaves out one row at distance 0, which
    /// is taken to be `row` itself.
    pub(crate) fn squared_distances(&self, row: &[f32], skip_self: bool, nearest: &mut [f32]) {
        nearest.fill(f32::INFINITY);
        let mut skip = skip_self;
        let projection = project(&self.direction, row);
        let row: Vec<f32> = self.features.iter().map(|feature| row[*feature]).collect();
        let mut above = self.spans.partition_point(|(_, high)| *high < projection);
        let mut below = above;
        loop {
            let worst = nearest.last().copied().map_or(0.0, f64::from);
            // A lower bound on the distance to the next group on each side; negative if `row` lies
            // within it.
            let up = self.spans.get(above).map(|(low, _)| low - projection);
            let down = below.checked_sub(1).map(|group| projection - self.spans[group].1);
            let (gap, group) = match (up, down) {
                (Some(up), Some(down)) if down < up => (down, below - 1),
                (Some(up), _) => (up, above),
                (None, Some(down)) => (down, below - 1),
                (None, None) => return,
            };
            if gap > 0.0 && gap * gap * (1.0 - SLACK) > worst {
                return;
            }
            if group == above {
                above += 1;
            } else {
                below = group;
            }
            self.search_group(group, &row, &mut skip, nearest);
        }
    }

    fn search_group(&self, group: usize, row: &[f32], skip: &mut bool, nearest: &mut [f32]) {
        let group = &self.groups[group * row.len()..][..row.len()];
        let worst = nearest.last().copied().unwrap_or(0.0);
        let Some(squares) = distance::squared_distances(self.isa, row, group, worst) else { return };
        for square in squares {
            if *skip && square == 0.0 {
                *skip = false;
                continue;
            }
            if nearest.last().is_some_and(|worst| square < *worst) {
                let position = nearest.partition_point(|nearer| *nearer <= square);
                nearest[position..].rotate_right(1);
                nearest[position] = square;
            }
        }
    }
}

/// The features in descending order of their variance.
fn by_variance(rows: &[f32], features: usize) -> Vec<usize> {
    let count = (rows.len() / features.max(1)).max(1) as f64;
    let mut moments = vec![(0.0, 0.0); features];
    for row in rows.chunks_exact(features.max(1)) {
        for ((sum, squares), x) in moments.iter_mut().zip(row) {
            let x = f64::from(*x);
            *sum += x;
            *squares += x * x;
        }
    }
    let variance = |(sum, squares): (f64, f64)| squares - sum * sum / count;
    let mut order: Vec<usize> = (0..features).collect();
    order.sort_by(|a, b| variance(moments[*b]).total_cmp(&variance(moments[*a])));
    order
}

fn project(direction: &[f64], row: &[f32]) -> f64 {
    direction.iter().zip(row).map(|(d, x)| d * f64::from(*x)).sum()
}

/// A unit vector near the direction of the largest variance, by the power method on the centred rows.
fn principal_direction(rows: &[f32], features: usize) -> Vec<f64> {
    let count = (rows.len() / features.max(1)).max(1) as f64;
    let mut mean = vec![0.0; features];
    for row in rows.chunks_exact(features.max(1)) {
        for (mean, x) in mean.iter_mut().zip(row) {
            *mean += f64::from(*x) / count;
        }
    }
    // An irregular start, which is unlikely to be orthogonal to any direction that matters.
    let mut direction: Vec<f64> = (0..features).map(|j| 1.0 + ((j * 7 + 3) % 11) as f64 / 11.0).collect();
    normalise(&mut direction);
    for _ in 0..ROUNDS {
        let offset: f64 = direction.iter().zip(&mean).map(|(d, mean)| d * mean).sum();
        let mut next = vec![0.0; features];
        for row in rows.chunks_exact(features.max(1)) {
            let along = project(&direction, row) - offset;
            for ((next, x), mean) in next.iter_mut().zip(row).zip(&mean) {
                *next += along * (f64::from(*x) - mean);
            }
        }
        if !normalise(&mut next) {
            break;
        }
        direction = next;
    }
    direction
}

/// Scales a direction to length one; returns false if it has none.
fn normalise(direction: &mut [f64]) -> bool {
    let norm = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
    if !(norm.is_finite() && norm > 0.0) {
        return false;
    }
    direction.iter_mut().for_each(|x| *x /= norm);
    true
}

#[cfg(test)]
mod tests {
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

    proptest! {
        /// Awkward numbers of rows and features, and coordinates from a grid, so that distances are
        /// often equal.
        #[test]
        fn as_all_distances_sorted(
            seed in any::<u64>(), count in 1usize..200, features in 1usize..21, k in 1usize..6, grid in any::<bool>(),
        ) {
            let round = |x: f32| if grid { x.round() } else { x };
            let values: Vec<f32> =
                SplitMix64::new(seed).normal_f32s((count + 5) * features).into_iter().map(round).collect();
            let (rows, queries) = values.split_at(count * features);
            let isa = Isa::available().nth(seed as usize % Isa::available().count()).unwrap();
            let neighbours = Neighbours::new(isa, rows, features).unwrap();
            for query in queries.chunks_exact(features).chain(rows.chunks_exact(features).take(3)) {
                let mut found = vec![0.0; k];
                neighbours.squared_distances(query, false, &mut found);
                let expected = naive(rows, features, query);
                for (i, distance) in found.iter().enumerate() {
                    let expected = expected.get(i).copied().unwrap_or(f32::INFINITY);
                    prop_assert!(*distance == expected || (distance - expected).abs() <= 1e-5 * expected);
                }
            }
        }
    }

    #[test]
    fn a_row_is_not_its_own_neighbour() {
        let rows = [0.0, 0.0, 3.0, 4.0, 3.0, 4.0, 6.0, 8.0];
        let neighbours = Neighbours::new(Isa::best(), &rows, 2).unwrap();
        let mut nearest = [0.0; 2];
        neighbours.squared_distances(&[0.0, 0.0], true, &mut nearest);
        assert_eq!(nearest, [25.0, 25.0]);
        // There is another row in the same place.
        neighbours.squared_distances(&[3.0, 4.0], true, &mut nearest);
        assert_eq!(nearest, [0.0, 25.0]);
        let mut more = [0.0; 5];
        neighbours.squared_distances(&[0.0, 0.0], true, &mut more);
        assert_eq!(more[2..], [100.0, f32::INFINITY, f32::INFINITY]);
    }

    #[test]
    fn equal_rows_and_none() {
        let mut nearest = [0.0; 2];
        Neighbours::new(Isa::best(), &[1.0; 40], 2).unwrap().squared_distances(
            &[1.0, 4.0],
            false,
            &mut nearest,
        );
        assert_eq!(nearest, [9.0, 9.0]);
        Neighbours::new(Isa::best(), &[], 2).unwrap().squared_distances(&[1.0, 4.0], false, &mut nearest);
        assert_eq!(nearest, [f32::INFINITY; 2]);
    }
}
