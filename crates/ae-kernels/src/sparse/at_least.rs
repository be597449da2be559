//! Sparse codes that keep all values reaching a bound, however many there are in a row.

use super::{active_len, nonzero_bound};
use crate::isa::Isa;
use crate::panel::Panels;
use crate::simd::{Element, Kernel, Simd};

/// Counts the `values` `[features, rows]` that are not zero and reach `bound`, and writes as many of
/// them to `found` as it has room for. NaN reaches every bound.
pub fn values_at_least<T: Element>(isa: Isa, bound: T, values: Panels<'_, T>, found: &mut [T]) -> usize {
    T::run(isa, Values { bound, values, found })
}

struct Values<'a, T> {
    bound: T,
    values: Panels<'a, T>,
    found: &'a mut [T],
}

impl<T: Element> Kernel<T> for Values<'_, T> {
    type Output = usize;
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) -> usize {
        let mut count = 0;
        each_at_least(s, self.bound, self.values, |_, _, value| {
            if let Some(place) = self.found.get_mut(count) {
                *place = value;
            }
            count += 1;
        });
        count
    }
}

/// Finds the `values` `[features, rows]` that are not zero and reach `bound`, and stores them in
/// `active` in the layout of [`super::Active`], [`active_len`] elements for at most `capacity`. NaN
/// reaches every bound. If there are more than `capacity`, the last ones are left out.
pub fn select_at_least<T: Element>(
    isa: Isa,
    bound: T,
    values: Panels<'_, T>,
    active: &mut [T],
    capacity: usize,
) {
    assert!(
        u32::try_from(values.rows()).is_ok() && active.len() == active_len(capacity, values.cols()),
        "{capacity} of [{}, {}] in {} elements",
        values.rows(),
        values.cols(),
        active.len(),
    );
    T::run(isa, SelectAtLeast { bound, values, active, capacity });
}

struct SelectAtLeast<'a, T> {
    bound: T,
    values: Panels<'a, T>,
    active: &'a mut [T],
    capacity: usize,
}

impl<T: Element> Kernel<T> for SelectAtLeast<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let SelectAtLeast { bound, values, active, capacity } = self;
        let (ends, rest) = active.split_at_mut(values.cols());
        let (indices, kept) = rest.split_at_mut(capacity);
        let ends: &mut [u32] = &mut bytemuck::cast_slice_mut(ends)[..values.cols()];
        let indices: &mut [u32] = bytemuck::cast_slice_mut(indices);
        // Count first: placing the values then moves every entry from the start of its row to the end.
        ends.fill(0);
        each_at_least(s, bound, values, |row, _, _| ends[row] += 1);
        let mut start = 0usize;
        for end in ends.iter_mut() {
            start = capacity.min(start + std::mem::replace(end, start as u32) as usize);
        }
        each_at_least(s, bound, values, |row, feature, value| {
            let place = ends[row] as usize;
            // Room runs out only within the last row that gets any.
            if place < capacity {
                kept[place] = value;
                indices[place] = feature as u32;
                ends[row] += 1;
            }
        });
    }
}

/// Calls `found` with the row, feature and value of every value that is not zero and reaches `bound`, in
/// the order of the features within a row.
#[inline(always)]
fn each_at_least<T: Element, S: Simd<T>>(
    s: S,
    bound: T,
    values: Panels<'_, T>,
    mut found: impl FnMut(usize, usize, T),
) {
    let bound = s.splat(nonzero_bound(bound));
    for first in (0..values.cols()).step_by(S::LANES) {
        let real = u32::MAX >> (32 - S::LANES.min(values.cols() - first));
        let lines = &values.panel(first / T::PANEL)[first % T::PANEL..];
        for feature in 0..values.rows() {
            let line = &lines[feature * T::PANEL..];
            let mut reach = !s.lt_mask(s.load(line), bound) & real;
            while reach != 0 {
                let lane = reach.trailing_zeros() as usize;
                reach &= reach - 1;
                // Zero reaches a negative bound.
                if line[lane] != T::ZERO {
                    found(first + lane, feature, line[lane]);
                }
            }
        }
    }
}
