//! Sparse codes that keep the largest values of a whole batch: a bound is computed, and everything below
//! it becomes zero.

use std::cmp::Ordering;

use super::{is_nan, order};
use crate::isa::Isa;
use crate::simd::{Element, Kernel, Simd};

/// Returns the smallest of the `count` largest `values` (or of all, if there are fewer), or `None` if
/// that is none of them.
///
/// Equal values are kept all or not at all, so that no more than `count` values reach the result. If
/// that leaves none, the result is infinity, which infinite values still reach. NaN counts as the
/// largest value and reaches infinity; a result that would be NaN is infinity instead. Reorders
/// `values`.
pub fn batch_threshold<T: Element>(values: &mut [T], count: usize) -> Option<T> {
    let last = count.min(values.len()).checked_sub(1)?;
    let (larger, least, rest) = values.select_nth_unstable_by(last, |a, b| order(*a, *b));
    let mut least = *least;
    if rest.iter().any(|value| order(*value, least) == Ordering::Equal) {
        let above = larger.iter().copied().filter(|value| order(*value, least) == Ordering::Less);
        least = above.max_by(|a, b| order(*a, *b)).unwrap_or(T::from_f64(f64::INFINITY));
    }
    Some(if is_nan(least) { T::from_f64(f64::INFINITY) } else { least })
}

/// Sets every value below `threshold` to zero; NaN stays. `values` must be whole lines.
pub fn zero_below<T: Element>(isa: Isa, threshold: T, values: &mut [T]) {
    assert!(values.len().is_multiple_of(T::PANEL), "{} values are not whole lines", values.len());
    T::run(isa, ZeroBelow { threshold, values });
}

struct ZeroBelow<'a, T> {
    threshold: T,
    values: &'a mut [T],
}

impl<T: Element> Kernel<T> for ZeroBelow<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let threshold = s.splat(self.threshold);
        for values in self.values.chunks_exact_mut(S::LANES) {
            let value = s.load(values);
            // A value is dropped whole or not at all, so the difference is exact, except for infinity,
            // where it is NaN: `zero_if_nan` makes that zero.
            let dropped = s.zero_unless_lt(value, threshold, value);
            let left = s.sub(value, dropped);
            s.store(s.zero_if_nan(s.sub(dropped, dropped), left), values);
        }
    }
}

/// Copies the `deltas` whose value in `codes` is not zero to `kept`, with zeros elsewhere. All three
/// have the same number of whole lines.
pub fn mask_inactive<T: Element>(isa: Isa, codes: &[T], deltas: &[T], kept: &mut [T]) {
    assert!(
        codes.len().is_multiple_of(T::PANEL) && deltas.len() == codes.len() && kept.len() == codes.len(),
        "{} codes, {} deltas, {} to keep",
        codes.len(),
        deltas.len(),
        kept.len(),
    );
    T::run(isa, MaskInactive { codes, deltas, kept });
}

struct MaskInactive<'a, T> {
    codes: &'a [T],
    deltas: &'a [T],
    kept: &'a mut [T],
}

impl<T: Element> Kernel<T> for MaskInactive<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let zero = s.splat(T::ZERO);
        let given = self.codes.chunks_exact(S::LANES).zip(self.deltas.chunks_exact(S::LANES));
        for ((code, delta), kept) in given.zip(self.kept.chunks_exact_mut(S::LANES)) {
            s.store(s.zero_unless_lt(zero, s.abs(s.load(code)), s.load(delta)), kept);
        }
    }
}
