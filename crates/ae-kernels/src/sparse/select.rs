//! The k largest values of each row, for a panel of rows at once.
//!
//! The features are divided into groups, and the maximum of each group is computed. At least k values
//! reach the k-th largest of these maxima, so nothing below it is among the k largest; with several
//! times k groups, few more than k values reach it. These are collected in the order of the features.
//! When they become too many, they are reduced to the k largest (the earlier ones of equals), which
//! raises the bound for the rest.

use std::cmp::Ordering;

use super::{active_len, nonzero_bound, order};
use crate::isa::Isa;
use crate::panel::Panels;
use crate::simd::{Element, Kernel, Simd};

/// Number of groups per value that is kept, and the least number of features in a group.
const GROUPS: usize = 4;
const MEMBERS: usize = 4;

/// Number of values of a row that are collected before they are reduced to the k largest.
fn buffer_len(k: usize) -> usize {
    2 * k + 64
}

/// Returns the number of scratch elements that [`select`] needs.
pub fn scratch_len<T: Element>(k: usize) -> usize {
    // A line of maxima for each group; values and indices for the rows of a panel; a copy of the values
    // of one of them.
    ((GROUPS * k + 2 * buffer_len(k)) * T::PANEL + buffer_len(k).max(GROUPS * k)).next_multiple_of(T::PANEL)
}

/// Finds the `k` largest values of each column of `values` `[features, rows]`, preferring the first of
/// equal ones, and stores them in `active` in the layout of [`super::Active`], [`active_len`] elements
/// for `k` per row. Zeros are never active; NaN counts as the largest value. `scratch` has at least
/// [`scratch_len`] elements.
pub fn select<T: Element>(isa: Isa, k: usize, values: Panels<'_, T>, active: &mut [T], scratch: &mut [T]) {
    assert!(
        k > 0
            && u32::try_from(values.rows()).is_ok()
            && active.len() == active_len(k.saturating_mul(values.cols()), values.cols())
            && scratch.len() >= scratch_len::<T>(k),
        "{k} of [{}, {}] in {} elements with {} of scratch",
        values.rows(),
        values.cols(),
        active.len(),
        scratch.len(),
    );
    T::run(isa, Select { k, values, active, scratch });
}

struct Select<'a, T> {
    k: usize,
    values: Panels<'a, T>,
    active: &'a mut [T],
    scratch: &'a mut [T],
}

/// The values collected from one row.
struct Lane<'a, T> {
    values: &'a mut [T],
    indices: &'a mut [u32],
    count: usize,
}

impl<T: Element> Lane<'_, T> {
    /// Removes the zeros.
    fn drop_zeros(&mut self) {
        let mut kept = 0;
        for from in 0..self.count {
            if self.values[from] != T::ZERO {
                self.values[kept] = self.values[from];
                self.indices[kept] = self.indices[from];
                kept += 1;
            }
        }
        self.count = kept;
    }

    /// Keeps the `k` largest, in the order of the features, and returns the smallest of them.
    fn cut(&mut self, k: usize, spare: &mut [T]) -> T {
        let spare = &mut spare[..self.count];
        spare.copy_from_slice(&self.values[..self.count]);
        let (larger, least, _) = spare.select_nth_unstable_by(k - 1, |a, b| order(*a, *b));
        let least = *least;
        let mut equals = k - larger.iter().filter(|value| order(**value, least) == Ordering::Less).count();
        let mut kept = 0;
        for from in 0..self.count {
            let value = self.values[from];
            let keep = match order(value, least) {
                Ordering::Less => true,
                Ordering::Equal if equals > 0 => {
                    equals -= 1;
                    true
                }
                _ => false,
            };
            if keep {
                self.values[kept] = value;
                self.indices[kept] = self.indices[from];
                kept += 1;
            }
        }
        self.count = kept;
        least
    }
}

impl<T: Element> Kernel<T> for Select<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let Select { k, values, active, scratch } = self;
        let (features, rows, buffer_len) = (values.rows(), values.cols(), buffer_len(k));
        let (ends, rest) = active.split_at_mut(rows);
        let (indices, kept) = rest.split_at_mut(rows * k);
        let ends: &mut [u32] = bytemuck::cast_slice_mut(ends);
        let indices: &mut [u32] = bytemuck::cast_slice_mut(indices);
        let mut end = 0;
        let (maxima, rest) = scratch.split_at_mut(GROUPS * k * T::PANEL);
        let (found, rest) = rest.split_at_mut(buffer_len * T::PANEL);
        let (places, spare) = rest.split_at_mut(buffer_len * T::PANEL);
        let places: &mut [u32] = bytemuck::cast_slice_mut(places);
        let groups = GROUPS * k;
        for first in (0..rows).step_by(S::LANES) {
            let lanes = S::LANES.min(rows - first);
            let real = u32::MAX >> (32 - lanes);
            let lines = &values.panel(first / T::PANEL)[first % T::PANEL..];
            let mut bounds = [T::from_f64(f64::NEG_INFINITY); 16];
            if groups * MEMBERS <= features {
                group_maxima(s, lines, features, maxima, groups);
                for (lane, bound) in bounds.iter_mut().take(lanes).enumerate() {
                    let spare = &mut spare[..groups];
                    for (to, line) in spare.iter_mut().zip(maxima.chunks_exact(S::LANES)) {
                        *to = line[lane];
                    }
                    *bound = nonzero_bound(*spare.select_nth_unstable_by(k - 1, |a, b| order(*a, *b)).1);
                }
            }
            let mut counts = [0usize; 16];
            let mut bound = s.load(&bounds);
            for feature in 0..features {
                let line = &lines[feature * T::PANEL..];
                let mut reach = !s.lt_mask(s.load(line), bound) & real;
                while reach != 0 {
                    let lane = reach.trailing_zeros() as usize;
                    reach &= reach - 1;
                    let count = counts[lane];
                    found[lane * buffer_len + count] = line[lane];
                    places[lane * buffer_len + count] = feature as u32;
                    counts[lane] = count + 1;
                    if count + 1 == buffer_len {
                        let mut all = Lane {
                            values: &mut found[lane * buffer_len..][..buffer_len],
                            indices: &mut places[lane * buffer_len..][..buffer_len],
                            count: buffer_len,
                        };
                        bounds[lane] = nonzero_bound(all.cut(k, spare));
                        counts[lane] = all.count;
                        bound = s.load(&bounds);
                    }
                }
            }
            for lane in 0..lanes {
                let mut all = Lane {
                    values: &mut found[lane * buffer_len..][..buffer_len],
                    indices: &mut places[lane * buffer_len..][..buffer_len],
                    count: counts[lane],
                };
                if all.count > k {
                    all.cut(k, spare);
                }
                all.drop_zeros();
                let count = all.count;
                kept[end..][..count].copy_from_slice(&all.values[..count]);
                indices[end..][..count].copy_from_slice(&all.indices[..count]);
                end += count;
                ends[first + lane] = end as u32;
            }
        }
    }
}

/// Computes the largest value of each group of features, one vector of lanes per group. The last group
/// may be longer.
#[inline(always)]
fn group_maxima<T: Element, S: Simd<T>>(s: S, lines: &[T], features: usize, maxima: &mut [T], groups: usize) {
    let members = features / groups;
    for (group, to) in maxima.chunks_exact_mut(S::LANES).take(groups).enumerate() {
        let end = if group + 1 == groups { features } else { (group + 1) * members };
        let low = s.splat(T::from_f64(f64::NEG_INFINITY));
        let mut most = [low; 4];
        for feature in group * members..end {
            let at = feature % 4;
            most[at] = s.max(s.load(&lines[feature * T::PANEL..]), most[at]);
        }
        s.store(s.max(s.max(most[0], most[1]), s.max(most[2], most[3])), to);
    }
}
