//! How well a map of rows preserves their neighbours.
//!
//! Distances are Euclidean, in double precision. Of equally distant rows, the one with the smaller index
//! counts as nearer.

use ae_data::BatchSource;

use crate::blocks::{finite_values, squared_distance};
use crate::error::EvalError;
use ae_data::threads;

/// Rows per work item of a thread.
const ROWS_AT_A_TIME: usize = 16;

/// For each row, all other rows from the nearest to the farthest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighbourOrder {
    rows: usize,
    /// `[rows, rows - 1]`
    order: Vec<u16>,
}

impl NeighbourOrder {
    /// The maximum number of rows. The order takes two bytes per pair of rows.
    pub const MAX_ROWS: usize = 1 << 16;

    /// Compares all pairs of `rows` on this many threads; `None` means all cores. The result does not
    /// depend on it.
    ///
    /// # Errors
    /// [`EvalError::Empty`] without rows, [`EvalError::TooManyRows`] for more than
    /// [`MAX_ROWS`](Self::MAX_ROWS), [`EvalError::Model`] for a value that is not finite, or an error
    /// from reading the rows.
    pub fn new(rows: &dyn BatchSource, threads: Option<usize>) -> Result<NeighbourOrder, EvalError> {
        let (count, features) = (rows.rows(), rows.features());
        if count > Self::MAX_ROWS {
            return Err(EvalError::TooManyRows { rows: count, max: Self::MAX_ROWS });
        }
        let values = finite_values(rows)?;
        let others = count - 1;
        let mut order = vec![0u16; count * others];
        threads::for_each_chunk(
            threads::count(threads),
            &mut order,
            ROWS_AT_A_TIME * others,
            |chunk, order| {
                let mut by_distance = Vec::with_capacity(others);
                for (place, order) in order.chunks_exact_mut(others).enumerate() {
                    let row = chunk * ROWS_AT_A_TIME + place;
                    let of = |row: usize| &values[row * features..][..features];
                    by_distance.clear();
                    by_distance.extend(
                        (0..count)
                            .filter(|other| *other != row)
                            .map(|other| (squared_distance(of(row), of(other)), other as u16)),
                    );
                    by_distance.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
                    order.iter_mut().zip(&by_distance).for_each(|(to, (_, other))| *to = *other);
                }
            },
        );
        Ok(NeighbourOrder { rows: count, order })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The other rows by ascending distance from row `row`, `[rows - 1]`; empty if there is no such row.
    pub fn of(&self, row: usize) -> &[u16] {
        let others = self.rows - 1;
        if row < self.rows { &self.order[row * others..][..others] } else { &[] }
    }
}

/// Measures whether rows that are near on the map are also near in the data.
///
/// It is 1 if the `neighbours` nearest rows of each row on the map are its nearest rows in the data.
/// With m rows and k neighbours, it is
///
/// `1 - 2 / (m k (2m - 3k - 1)) Σ_i Σ_{j in map_k(i)} max(0, r(i, j) - k)`,
///
/// where `map_k(i)` are the k rows nearest to i on the map, and `r(i, j)` is the rank of j among the
/// neighbours of i in the data, from 1 (Venna & Kaski 2001, eq. 3; `sklearn.manifold.trustworthiness`,
/// which does not define the order of equal distances).
///
/// # Errors
/// [`EvalError::RowCount`] unless both have the same number of rows; [`EvalError::Neighbours`] unless
/// `neighbours` is at least 1 and less than half the number of rows, beyond which the result could be
/// negative.
pub fn trustworthiness(
    rows: &NeighbourOrder,
    map: &NeighbourOrder,
    neighbours: usize,
) -> Result<f64, EvalError> {
    let (m, k) = (rows.rows, neighbours);
    if map.rows != m {
        return Err(EvalError::RowCount { what: "the map", expected: m, got: map.rows });
    }
    if k == 0 || 2 * k as u128 >= m as u128 {
        return Err(EvalError::Neighbours { neighbours, rows: m, max: m.saturating_sub(1) / 2 });
    }
    let mut places = vec![0usize; m];
    let mut too_far = 0u64;
    for row in 0..m {
        rows.of(row).iter().zip(1..).for_each(|(other, place)| places[usize::from(*other)] = place);
        too_far += map.of(row)[..k]
            .iter()
            .map(|near| places[usize::from(*near)].saturating_sub(k) as u64)
            .sum::<u64>();
    }
    let (m, k) = (m as f64, k as f64);
    Ok(1.0 - 2.0 / (m * k * (2.0 * m - 3.0 * k - 1.0)) * too_far as f64)
}

/// Measures whether rows that are near in the data are also near on the map: [`trustworthiness`] with
/// the two exchanged (Venna & Kaski 2001, eq. 4).
///
/// # Errors
/// As [`trustworthiness`].
pub fn continuity(rows: &NeighbourOrder, map: &NeighbourOrder, neighbours: usize) -> Result<f64, EvalError> {
    if map.rows != rows.rows {
        return Err(EvalError::RowCount { what: "the map", expected: rows.rows, got: map.rows });
    }
    trustworthiness(map, rows, neighbours)
}

/// The leave-one-out accuracy of a nearest-neighbour classifier on the map.
///
/// This is the fraction of rows whose label, of `labels` `[rows]`, is the most frequent among the
/// `neighbours` nearest other rows. Of equally frequent labels the smallest counts, as in
/// `sklearn.neighbors.KNeighborsClassifier`.
///
/// # Errors
/// [`EvalError::RowCount`] unless there is one label per row; [`EvalError::Neighbours`] unless
/// `neighbours` is at least 1 and less than the number of rows.
pub fn knn_accuracy(map: &NeighbourOrder, labels: &[u32], neighbours: usize) -> Result<f64, EvalError> {
    if labels.len() != map.rows {
        return Err(EvalError::RowCount { what: "labels", expected: map.rows, got: labels.len() });
    }
    if neighbours == 0 || neighbours >= map.rows {
        let max = map.rows.saturating_sub(1);
        return Err(EvalError::Neighbours { neighbours, rows: map.rows, max });
    }
    let mut near = Vec::with_capacity(neighbours);
    let right = (0..map.rows).filter(|row| {
        near.clear();
        near.extend(map.of(*row)[..neighbours].iter().map(|other| labels[usize::from(*other)]));
        near.sort_unstable();
        let (mut best, mut most) = (None, 0);
        for same in near.chunk_by(|a, b| a == b) {
            if same.len() > most {
                (best, most) = (same.first(), same.len());
            }
        }
        best == labels.get(*row)
    });
    Ok(right.count() as f64 / map.rows as f64)
}

#[cfg(test)]
mod tests;
