//! Codes of which few values are not zero: the k largest of each row, and the products of training that follow k instead of the
//! width of the code.
//!
//! Codes `[features, batch]` come dense from the encoder ([`crate::gemm::forward`]); [`select`] finds the active features of each row, which
//! is all that the other products read. Every sum is the chain of multiply-adds of the dense product ([`crate::gemm`]) without the terms that
//! are zero: the results are the same numbers, bit for bit but for the sign of a zero.

mod gradient;
mod index;
mod rows;
mod select;
mod threshold;

pub use gradient::{Sources, above, below};
pub use index::{Index, Listed, TurnedRows};
pub use rows::{decode, deltas};
pub use select::{scratch_len, select};
pub use threshold::{drop_below, keep_active, least_of_largest};

use crate::panel::PanelsMut;
use crate::simd::Element;

/// The active features of `rows` rows, `k` at most of each, in ascending order.
#[derive(Clone, Copy, Debug)]
pub struct Active<'a, T> {
    k: usize,
    rows: usize,
    data: &'a [T],
}

/// Elements that the active features of so many rows are kept in.
pub fn active_len(k: usize, rows: usize) -> usize {
    rows * (2 * k + 1)
}

/// Indices as they lie in the memory of elements.
#[inline(always)]
fn as_indices<T: Element>(data: &[T]) -> &[u32] {
    bytemuck::cast_slice(data)
}

impl<'a, T: Element> Active<'a, T> {
    /// Those that [`select`] has left in `data`, [`active_len`] elements.
    #[track_caller]
    pub fn new(data: &'a [T], k: usize, rows: usize) -> Self {
        assert!(data.len() == active_len(k, rows), "{} elements for {k} features of {rows} rows", data.len());
        Active { k, rows, data }
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Most active features of a row.
    pub fn k(&self) -> usize {
        self.k
    }

    /// The active features of a row, and their values, none of them zero.
    #[inline(always)]
    pub fn row(&self, row: usize) -> (&'a [u32], &'a [T]) {
        let (counts, rest) = self.data.split_at(self.rows);
        let (indices, values) = rest.split_at(self.rows * self.k);
        let count = as_indices(counts)[row] as usize;
        let at = row * self.k;
        (&as_indices(&indices[at..at + self.k])[..count], &values[at..][..count])
    }

    /// Writes the values to `codes` `[features, rows]`, zeros elsewhere.
    pub fn spread(&self, codes: PanelsMut<'_, T>) {
        self.spread_from(None, codes);
    }

    /// Leaves of `deltas` `[features, rows]` those of active features, in `kept`; zeros elsewhere.
    pub fn keep(&self, deltas: &[T], kept: PanelsMut<'_, T>) {
        self.spread_from(Some(deltas), kept);
    }

    fn spread_from(&self, from: Option<&[T]>, mut to: PanelsMut<'_, T>) {
        let features = to.rows();
        assert!(to.cols() >= self.rows, "{} rows in {} columns", self.rows, to.cols());
        let to = to.data();
        assert!(from.is_none_or(|from| from.len() == to.len()), "as many deltas before as after");
        to.fill(T::ZERO);
        for row in 0..self.rows {
            let (indices, values) = self.row(row);
            for (&index, &value) in indices.iter().zip(values) {
                let at = (row / T::PANEL * features + index as usize) * T::PANEL + row % T::PANEL;
                to[at] = from.map_or(value, |from| from[at]);
            }
        }
    }
}

/// Moves the lines of `features` (ascending) of codes `[all, rows]` to the front, as codes `[features, rows]` in the first elements.
pub fn pick<T: Element>(codes: &mut [T], all: usize, features: &[u32]) {
    let (from, to) = (all * T::PANEL, features.len() * T::PANEL);
    for panel in 0..codes.len() / from.max(1) {
        for (place, &feature) in features.iter().enumerate() {
            // Never ahead of where it comes from, nor of what is still to be moved.
            let start = panel * from + feature as usize * T::PANEL;
            codes.copy_within(start..start + T::PANEL, panel * to + place * T::PANEL);
        }
    }
}

/// Renames the active features that [`select`] has left in `active`: `i` becomes `names[i]`.
pub fn rename<T: Element>(active: &mut [T], k: usize, rows: usize, names: &[u32]) {
    let (counts, rest) = active.split_at_mut(rows);
    let indices: &mut [u32] = bytemuck::cast_slice_mut(rest);
    for (row, &count) in as_indices(counts).iter().take(rows).enumerate() {
        let of_row = row * k * (size_of::<T>() / size_of::<u32>());
        indices[of_row..][..count as usize].iter_mut().for_each(|index| *index = names[*index as usize]);
    }
}

/// The order of [`select`]: larger values first, NaN before all, so that what is not a number is not lost.
#[inline(always)]
fn order<T: Element>(a: T, b: T) -> std::cmp::Ordering {
    let is_nan = |x: T| x.partial_cmp(&x).is_none();
    b.partial_cmp(&a).unwrap_or_else(|| is_nan(b).cmp(&is_nan(a)))
}
