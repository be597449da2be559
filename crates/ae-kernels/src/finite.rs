//! Whether values are numbers.

use crate::isa::Isa;
use crate::simd::{Element, Kernel, Simd};

/// Whether none of the values is infinite or NaN.
pub fn all_finite(isa: Isa, values: &[f32]) -> bool {
    rows_finite(isa, values, values.len(), &[0])
}

/// Whether none of the rows `indices` of a row-major `table` with so many features has an infinite value or NaN. Panics for an index beyond
/// the table.
pub fn rows_finite(isa: Isa, table: &[f32], features: usize, indices: &[usize]) -> bool {
    f32::run(isa, RowsFinite { table, features, indices })
}

/// Values that are looked at together.
const LANES: usize = 16;

struct RowsFinite<'a> {
    table: &'a [f32],
    features: usize,
    indices: &'a [usize],
}

impl Kernel<f32> for RowsFinite<'_> {
    type Output = bool;
    #[inline(always)]
    fn run<S: Simd<f32>>(self, _: S) -> bool {
        let RowsFinite { table, features, indices } = self;
        // The largest of every sixteenth: rows may be short, and what is the same for all of them is done once.
        let mut most = [0u32; LANES];
        let mut look = |line: &[f32; LANES]| {
            (0..LANES).for_each(|lane| most[lane] = most[lane].max(magnitude(line[lane])));
        };
        for row in indices {
            let row = &table[row * features..][..features];
            let (lines, rest) = row.as_chunks();
            lines.iter().for_each(&mut look);
            match row.last_chunk() {
                _ if rest.is_empty() => {}
                // Some values twice is faster than the others one by one.
                Some(line) => look(line),
                None => {
                    let mut line = [0.0; LANES];
                    line[..rest.len()].copy_from_slice(rest);
                    look(&line);
                }
            }
        }
        most.iter().all(|most| *most < f32::INFINITY.to_bits())
    }
}

/// The bits of a value without its sign are in the order of the values, and those of infinity before those of NaN.
#[inline(always)]
fn magnitude(x: f32) -> u32 {
    x.to_bits() & 0x7fff_ffff
}
