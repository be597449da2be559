//! Distances from one row to many.

use crate::isa::Isa;
use crate::simd::{Element, Kernel, Simd};

/// Rows of a group. Each sum is a chain of additions; a group has several vectors of them on every
/// instruction set, so that the chains do not wait for their own latency.
pub const GROUP: usize = 64;

/// Features after which a group is given up if all its rows are already too far.
const FEATURES_AT_A_TIME: usize = 8;

/// The squared distances from `row` `[features]` to the rows of `group`, where line `j` holds feature
/// `j` of all of them; `None` if all are more than `worst`, which often shows after a few features.
///
/// Each is the sum of the squared differences in the order of the features, multiplied and added
/// separately, so it is the same on every instruction set. Panics unless there is a line for each
/// feature.
pub fn squared_distances(isa: Isa, row: &[f32], group: &[[f32; GROUP]], worst: f32) -> Option<[f32; GROUP]> {
    assert!(row.len() == group.len(), "{} features, {} lines of a group", row.len(), group.len());
    f32::run(isa, SquaredDistances { row, group, worst })
}

struct SquaredDistances<'a> {
    row: &'a [f32],
    group: &'a [[f32; GROUP]],
    worst: f32,
}

impl Kernel<f32> for SquaredDistances<'_> {
    type Output = Option<[f32; GROUP]>;
    #[inline(always)]
    fn run<S: Simd<f32>>(self, s: S) -> Self::Output {
        let worst = s.splat(self.worst);
        let mut sums = [s.splat(0.0); GROUP];
        let sums = &mut sums[..GROUP / S::LANES];
        for (row, lines) in self.row.chunks(FEATURES_AT_A_TIME).zip(self.group.chunks(FEATURES_AT_A_TIME)) {
            for (x, line) in row.iter().zip(lines) {
                let x = s.splat(*x);
                for (sum, y) in sums.iter_mut().zip(line.chunks_exact(S::LANES)) {
                    let difference = s.sub(x, s.load(y));
                    *sum = s.add(*sum, s.mul(difference, difference));
                }
            }
            let beyond = (1u32 << S::LANES) - 1;
            if sums.iter().all(|sum| s.lt_mask(worst, *sum) == beyond) {
                return None;
            }
        }
        let mut distances = [0.0; GROUP];
        for (sum, to) in sums.iter().zip(distances.chunks_exact_mut(S::LANES)) {
            s.store(*sum, to);
        }
        Some(distances)
    }
}
