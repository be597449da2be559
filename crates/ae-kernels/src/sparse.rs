//! Sparse codes: the k largest values of each row, or k per row on average over a whole batch; and the
//! training products whose cost follows k instead of the width of the code.
//!
//! The encoder computes dense codes `[features, batch]` ([`crate::gemm::forward`]). [`select`] finds the
//! active features of each row, or [`select_at_least`] those that reach a bound; the other products read
//! only these. Every sum is the chain of multiply-adds of the dense product ([`crate::gemm`]) without
//! the terms that are zero, so the results are the same bit for bit, except for the sign of a zero.

mod at_least;
mod gradient;
mod index;
mod rows;
mod select;
mod threshold;

pub use at_least::{select_at_least, values_at_least};
pub use gradient::{Sources, decoder_gradient, encoder_gradient};
pub use index::{ActiveRows, Index, TransposedRows};
pub use rows::{decode, decode_backward};
pub use select::{scratch_len, select};
pub use threshold::{batch_threshold, mask_inactive, zero_below};

use std::ops::Range;

use crate::panel::PanelsMut;
use crate::simd::Element;

/// The active features of a number of rows.
///
/// They are stored row by row, in ascending order within a row, as three arrays: the end of each row,
/// the features, and the values.
#[derive(Clone, Copy, Debug)]
pub struct Active<'a, T> {
    capacity: usize,
    rows: usize,
    data: &'a [T],
}

/// Returns the number of elements needed to store the active features of `rows` rows, at most `capacity`
/// in total.
pub fn active_len(capacity: usize, rows: usize) -> usize {
    capacity.saturating_mul(2).saturating_add(rows)
}

/// Reads elements as the indices stored in their memory.
#[inline(always)]
fn as_indices<T: Element>(data: &[T]) -> &[u32] {
    bytemuck::cast_slice(data)
}

impl<'a, T: Element> Active<'a, T> {
    /// The active features that [`select`] or [`select_at_least`] has stored in `data`, which has
    /// [`active_len`] elements.
    #[track_caller]
    pub fn new(data: &'a [T], capacity: usize, rows: usize) -> Self {
        assert!(
            data.len() == active_len(capacity, rows),
            "{} elements for {capacity} features of {rows} rows",
            data.len()
        );
        Active { capacity, rows, data }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The capacity: the most active features of all rows together.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The number of active features of all rows together.
    pub fn count(&self) -> usize {
        as_indices(&self.data[..self.rows])[..self.rows].last().map_or(0, |end| *end as usize)
    }

    /// Returns the position of the active features of a row among those of all rows.
    #[inline(always)]
    pub fn range(&self, row: usize) -> Range<usize> {
        let ends = as_indices(&self.data[..self.rows]);
        let start = row.checked_sub(1).map_or(0, |before| ends[before]);
        start as usize..ends[row] as usize
    }

    /// Returns the active features of a row and their values, none of which is zero.
    #[inline(always)]
    pub fn row(&self, row: usize) -> (&'a [u32], &'a [T]) {
        let (indices, values) = self.data[self.rows..].split_at(self.capacity);
        let range = self.range(row);
        (&as_indices(indices)[range.clone()], &values[range])
    }

    /// Writes the values to the dense `codes` `[features, rows]`, with zeros elsewhere.
    pub fn scatter(&self, codes: PanelsMut<'_, T>) {
        self.scatter_from(None, codes);
    }

    /// Copies the `deltas` `[features, rows]` of active features to `kept`, with zeros elsewhere.
    pub fn mask(&self, deltas: &[T], kept: PanelsMut<'_, T>) {
        self.scatter_from(Some(deltas), kept);
    }

    fn scatter_from(&self, from: Option<&[T]>, mut to: PanelsMut<'_, T>) {
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

/// Reduces codes `[all, rows]` to the given `features`, in ascending order: they become the codes
/// `[features.len(), rows]` in the first elements.
pub fn gather_features<T: Element>(codes: &mut [T], all: usize, features: &[u32]) {
    let (from, to) = (all * T::PANEL, features.len() * T::PANEL);
    for panel in 0..codes.len() / from.max(1) {
        for (place, &feature) in features.iter().enumerate() {
            // The target is never beyond the source, nor beyond anything still to be moved.
            let start = panel * from + feature as usize * T::PANEL;
            codes.copy_within(start..start + T::PANEL, panel * to + place * T::PANEL);
        }
    }
}

/// Renames the active features of `rows` rows that [`select`] has stored in `active`: `i` becomes
/// `names[i]`.
pub fn remap_features<T: Element>(active: &mut [T], rows: usize, names: &[u32]) {
    let (ends, rest) = active.split_at_mut(rows);
    let all = as_indices(ends)[..rows].last().map_or(0, |end| *end as usize);
    let indices: &mut [u32] = bytemuck::cast_slice_mut(rest);
    indices[..all].iter_mut().for_each(|index| *index = names[*index as usize]);
}

/// Replaces a bound of zero by the smallest positive number, which positive values reach but zeros do
/// not.
#[inline(always)]
fn nonzero_bound<T: Element>(bound: T) -> T {
    if bound != T::ZERO {
        return bound;
    }
    let least = T::from_f64(f64::from_bits(1));
    if least == T::ZERO { T::from_f32(f32::from_bits(1)) } else { least }
}

#[inline(always)]
fn is_nan<T: Element>(x: T) -> bool {
    x.partial_cmp(&x).is_none()
}

/// The order of [`select`]: larger values first, and NaN before all others, so that it is not lost.
#[inline(always)]
fn order<T: Element>(a: T, b: T) -> std::cmp::Ordering {
    b.partial_cmp(&a).unwrap_or_else(|| is_nan(b).cmp(&is_nan(a)))
}
