//! Codes of which the largest values of a whole batch are kept: a bound, and everything below it becomes zero.

use std::cmp::Ordering;

use super::{is_nan, order};
use crate::isa::Isa;
use crate::simd::{Element, Kernel, Simd};

/// The smallest of the `count` largest `values`, or of all where they are fewer; none of none. Of equals it takes all or none, so that no more
/// than `count` reach it: infinity, where that leaves nothing, which infinite values do reach. NaN counts as the largest and reaches infinity,
/// which is the answer where there are `count` of it. Their order is another afterwards.
pub fn least_of_largest<T: Element>(values: &mut [T], count: usize) -> Option<T> {
    let last = count.min(values.len()).checked_sub(1)?;
    let (larger, least, rest) = values.select_nth_unstable_by(last, |a, b| order(*a, *b));
    let mut least = *least;
    if rest.iter().any(|value| order(*value, least) == Ordering::Equal) {
        let above = larger.iter().copied().filter(|value| order(*value, least) == Ordering::Less);
        least = above.max_by(|a, b| order(*a, *b)).unwrap_or(T::from_f64(f64::INFINITY));
    }
    Some(if is_nan(least) { T::from_f64(f64::INFINITY) } else { least })
}

/// Makes every value below `least` zero; NaN stays. Whole lines of them.
pub fn drop_below<T: Element>(isa: Isa, least: T, values: &mut [T]) {
    assert!(values.len().is_multiple_of(T::PANEL), "{} values are not whole lines", values.len());
    T::run(isa, DropBelow { least, values });
}

struct DropBelow<'a, T> {
    least: T,
    values: &'a mut [T],
}

impl<T: Element> Kernel<T> for DropBelow<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let least = s.splat(self.least);
        for values in self.values.chunks_exact_mut(S::LANES) {
            let value = s.load(values);
            // All of it is dropped or nothing: the difference is exact, but for infinity, which is no number less itself.
            let dropped = s.keep_lt(value, least, value);
            let left = s.sub(value, dropped);
            s.store(s.keep_known(s.sub(dropped, dropped), left), values);
        }
    }
}

/// Leaves of `deltas` those whose value in `codes` is not zero, in `kept`; zeros elsewhere. Whole lines, as many in all three.
pub fn keep_active<T: Element>(isa: Isa, codes: &[T], deltas: &[T], kept: &mut [T]) {
    assert!(
        codes.len().is_multiple_of(T::PANEL) && deltas.len() == codes.len() && kept.len() == codes.len(),
        "{} codes, {} deltas, {} to keep",
        codes.len(),
        deltas.len(),
        kept.len(),
    );
    T::run(isa, KeepActive { codes, deltas, kept });
}

struct KeepActive<'a, T> {
    codes: &'a [T],
    deltas: &'a [T],
    kept: &'a mut [T],
}

impl<T: Element> Kernel<T> for KeepActive<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(self, s: S) {
        let zero = s.splat(T::ZERO);
        let given = self.codes.chunks_exact(S::LANES).zip(self.deltas.chunks_exact(S::LANES));
        for ((code, delta), kept) in given.zip(self.kept.chunks_exact_mut(S::LANES)) {
            s.store(s.keep_lt(zero, s.abs(s.load(code)), s.load(delta)), kept);
        }
    }
}
