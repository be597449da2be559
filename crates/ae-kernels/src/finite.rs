//! Whether values are numbers.

use crate::isa::Isa;
use crate::simd::{Element, Kernel, Simd};

/// Whether none of the values is infinite or NaN.
pub fn all_finite(isa: Isa, values: &[f32]) -> bool {
    f32::run(isa, AllFinite(values))
}

/// The first of the rows `indices` of a row-major `table` with so many features that has an infinite value or NaN, as a place in `indices`.
/// Panics for an index beyond the table.
pub fn first_not_finite(isa: Isa, table: &[f32], features: usize, indices: &[usize]) -> Option<usize> {
    f32::run(isa, FirstNotFinite { table, features, indices })
}

struct FirstNotFinite<'a> {
    table: &'a [f32],
    features: usize,
    indices: &'a [usize],
}

impl Kernel<f32> for FirstNotFinite<'_> {
    type Output = Option<usize>;
    #[inline(always)]
    fn run<S: Simd<f32>>(self, s: S) -> Option<usize> {
        let FirstNotFinite { table, features, indices } = self;
        indices.iter().position(|row| !AllFinite(&table[row * features..][..features]).run(s))
    }
}

struct AllFinite<'a>(&'a [f32]);

impl Kernel<f32> for AllFinite<'_> {
    type Output = bool;
    #[inline(always)]
    fn run<S: Simd<f32>>(self, _: S) -> bool {
        // Without their signs, the bits of values are in the order of the values, and those of infinity before those of NaN.
        let bits = self.0.iter().map(|x| x.to_bits() & 0x7fff_ffff);
        bits.fold(0, u32::max) < f32::INFINITY.to_bits()
    }
}
