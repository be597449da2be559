//! Losses: the value of each row and the delta of the output in one pass.

use crate::isa::Isa;
use crate::panel::{Panels, PanelsMut};
use crate::simd::{Element, Kernel, Simd};

/// Features summed before their sum joins the total: keeps the rounding error of a long row near that of a short one.
const RUN: usize = 32;

/// Squared error of each row of the batch, `Σ_features (x̂ - x)²`, into `errors` (`[output.cols()]`), and
/// `output <- x̂ - x`, which is the delta of `½ Σ (x̂ - x)²`.
pub fn squared_error<T: Element>(
    isa: Isa,
    output: PanelsMut<'_, T>,
    target: Panels<'_, T>,
    errors: &mut [T],
) {
    assert!(
        output.rows() == target.rows() && output.cols() == target.cols() && errors.len() == output.cols(),
        "output [{}, {}], target [{}, {}], errors [{}]",
        output.rows(),
        output.cols(),
        target.rows(),
        target.cols(),
        errors.len(),
    );
    T::run(isa, SquaredError { output, target, errors });
}

struct SquaredError<'a, T> {
    output: PanelsMut<'a, T>,
    target: Panels<'a, T>,
    errors: &'a mut [T],
}

impl<T: Element> Kernel<T> for SquaredError<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run<S: Simd<T>>(mut self, s: S) {
        let mut sums = [T::ZERO; 16];
        for (index, errors) in self.errors.chunks_mut(T::PANEL).enumerate() {
            let (output, target) = (self.output.panel(index), self.target.panel(index));
            sums.fill(T::ZERO);
            for (output, target) in output.chunks_mut(RUN * T::PANEL).zip(target.chunks(RUN * T::PANEL)) {
                for lane in (0..T::PANEL).step_by(S::LANES) {
                    let mut sum = s.splat(T::ZERO);
                    for (o, t) in output.chunks_exact_mut(T::PANEL).zip(target.chunks_exact(T::PANEL)) {
                        let d = s.sub(s.load(&o[lane..]), s.load(&t[lane..]));
                        s.store(d, &mut o[lane..]);
                        sum = s.mul_add(d, d, sum);
                    }
                    let total = s.add(s.load(&sums[lane..]), sum);
                    s.store(total, &mut sums[lane..]);
                }
            }
            errors.copy_from_slice(&sums[..errors.len()]);
        }
    }
}
