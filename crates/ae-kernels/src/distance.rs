//! Distances from one row to many.

use crate::isa::Isa;
use crate::panel::Panels;
use crate::simd::{Element, Kernel, Simd};

/// Columns of a panel of `f32`.
const PANEL: usize = <f32 as Element>::PANEL;

/// Panels that are compared with a row at once. Each sum is a chain of additions; these have several
/// vectors of them on every instruction set, so that the chains do not wait for their own latency.
pub const GROUP: usize = 4;

/// Features after which a group is given up if all its rows are already too far.
const FEATURES_AT_A_TIME: usize = 8;

/// The squared distances from `row` `[features]` to the columns of four panels of `others`
/// `[features or more, rows]`, of which the first lines hold the features. If all are more than `worst`,
/// which often shows early, the error is the number of features after which it did. A column of the
/// padding is compared like any other.
///
/// Each is the sum of the squared differences in the order of the features, multiplied and added
/// separately, so it is the same on every instruction set. Panics unless `others` has that many lines and
/// these panels.
pub fn squared_distances(
    isa: Isa,
    row: &[f32],
    others: Panels<'_, f32>,
    panels: [usize; GROUP],
    worst: f32,
) -> Result<[[f32; PANEL]; GROUP], usize> {
    assert!(row.len() <= others.rows(), "{} features, {} lines", row.len(), others.rows());
    let lines = panels.map(|panel| &others.panel(panel).as_chunks().0[..row.len()]);
    f32::run(isa, SquaredDistances { row, lines, worst })
}

struct SquaredDistances<'a> {
    row: &'a [f32],
    lines: [&'a [[f32; PANEL]]; GROUP],
    worst: f32,
}

impl Kernel<f32> for SquaredDistances<'_> {
    type Output = Result<[[f32; PANEL]; GROUP], usize>;
    #[inline(always)]
    fn run<S: Simd<f32>>(self, s: S) -> Self::Output {
        let worst = s.splat(self.worst);
        let mut sums = [s.splat(0.0); PANEL * GROUP];
        let sums = &mut sums[..PANEL * GROUP / S::LANES];
        let lines = self.lines.map(|lines| &lines[..self.row.len()]);
        for (i, row) in self.row.chunks(FEATURES_AT_A_TIME).enumerate() {
            for (j, x) in row.iter().enumerate() {
                let (feature, x) = (i * FEATURES_AT_A_TIME + j, s.splat(*x));
                for (sums, lines) in sums.chunks_exact_mut(PANEL / S::LANES).zip(lines) {
                    for (sum, y) in sums.iter_mut().zip(lines[feature].chunks_exact(S::LANES)) {
                        let difference = s.sub(x, s.load(y));
                        *sum = s.add(*sum, s.mul(difference, difference));
                    }
                }
            }
            let beyond = (1u32 << S::LANES) - 1;
            if sums.iter().all(|sum| s.lt_mask(worst, *sum) == beyond) {
                return Err(i * FEATURES_AT_A_TIME + row.len());
            }
        }
        let mut distances = [[0.0; PANEL]; GROUP];
        for (sum, to) in sums.iter().zip(distances.as_flattened_mut().chunks_exact_mut(S::LANES)) {
            s.store(*sum, to);
        }
        Ok(distances)
    }
}
