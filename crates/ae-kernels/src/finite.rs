//! Checks whether values are finite.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::isa::Isa;
use crate::panel::assert_rows_within;
use crate::par::Crew;
use crate::simd::{Element, Kernel, Simd};

/// Whether none of the values is infinite or NaN.
pub fn all_finite(isa: Isa, values: &[f32]) -> bool {
    f32::run(isa, RowsFinite { table: values, features: values.len(), indices: &[0] })
}

/// Values per task: enough to take several microseconds.
const TASK: usize = 1 << 16;

/// Whether none of the rows `indices` of a row-major `table` with `features` features contains an
/// infinite value or NaN. Panics if an index is beyond the table.
pub fn rows_finite((isa, crew): (Isa, Crew<'_>), table: &[f32], features: usize, indices: &[usize]) -> bool {
    assert_rows_within(table.len(), features, indices);
    let rows = (TASK / features.max(1)).max(1);
    let finite = AtomicBool::new(true);
    crew.share(indices.len().div_ceil(rows), |task| {
        let indices = &indices[task * rows..indices.len().min((task + 1) * rows)];
        if !f32::run(isa, RowsFinite { table, features, indices }) {
            finite.store(false, Ordering::Relaxed);
        }
    });
    finite.into_inner()
}

/// Values that are checked together.
const LANES: usize = 16;

struct RowsFinite<'a> {
    table: &'a [f32],
    features: usize,
    indices: &'a [usize],
}

impl Kernel<f32> for RowsFinite<'_> {
    type Output = bool;
    #[inline(always)]
    fn run<S: Simd<f32>>(self, s: S) -> bool {
        let RowsFinite { table, features, indices } = self;
        let zero = s.splat(0.0);
        // Sums of zeros: infinity and NaN times zero are NaN. Rows may be short, so what is the same for
        // all of them is done only once.
        let mut sums = [zero; LANES];
        for row in indices {
            let row = &table[row * features..][..features];
            let (lines, rest) = row.as_chunks();
            for line in lines {
                add_zeros(s, &mut sums, line);
            }
            match row.last_chunk() {
                _ if rest.is_empty() => {}
                // Checking some values twice is faster than checking the remaining ones one by one.
                Some(line) => add_zeros(s, &mut sums, line),
                None => {
                    let mut line = [0.0; LANES];
                    line[..rest.len()].copy_from_slice(rest);
                    add_zeros(s, &mut sums, &line);
                }
            }
        }
        let sum = sums.into_iter().take(LANES / S::LANES).fold(zero, |sum, more| s.add(sum, more));
        let mut line = [0.0; LANES];
        s.store(sum, &mut line);
        line.iter().all(|x| *x == 0.0)
    }
}

/// Adds zero times each value to the sums. A function, because a closure is not reliably inlined into
/// the one that is compiled for the instruction set.
#[inline(always)]
fn add_zeros<S: Simd<f32>>(s: S, sums: &mut [S::V; LANES], line: &[f32; LANES]) {
    for (sum, x) in sums.iter_mut().zip(line.chunks_exact(S::LANES)) {
        *sum = s.mul_add(s.load(x), s.splat(0.0), *sum);
    }
}
