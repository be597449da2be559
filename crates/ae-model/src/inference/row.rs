//! A single row through dense layers, as a vector. In panels ([`ae_kernels::panel`]) its values would be
//! a cache line apart, and take more of L1 than there is; this way, what takes time is reading the
//! weights.

use ae_kernels::Element;
use ae_kernels::activation::Activation;
use ae_kernels::gemm;
use ae_kernels::loss;
use ae_kernels::panel::{self, panel_count};
use ae_kernels::sparse;

use super::{Inference, Part, Scratch, nan_to_infinity};
use crate::config::Loss;
use crate::stage::{BatchTopKLatent, Stage};

impl<T: Element> Inference<'_, T> {
    /// Whether every stage of the part works on the values of a row next to each other.
    pub(super) fn takes_vectors(&self, part: Part) -> bool {
        self.network.stages[self.stages(part)].iter().all(|stage| match stage {
            Stage::Dense(_)
            | Stage::Gaussian(_)
            | Stage::BatchTopK(_)
            | Stage::Dropout(_)
            | Stage::Penalty(_)
            | Stage::Contraction(_) => true,
            Stage::Conv(_) | Stage::Pool(_) | Stage::UpSample(_) | Stage::Normalize(_) | Stage::TopK(_) => {
                false
            }
        })
    }

    /// [`Inference::run_one`] for a part that takes vectors.
    pub(super) fn run_vector(&self, part: Part, row: &[f32], scratch: &mut Scratch<T>, out: &mut [f32]) {
        let map = part.ends_in_rows().then(|| self.maps.unscaling());
        let (_, y) = self.forward_vector(part, row, scratch);
        panel::unscale_row(self.network.isa, y, map, out);
    }

    /// [`Inference::row_error`] for a network that takes vectors.
    pub(super) fn vector_error(&self, row: &[f32], scratch: &mut Scratch<T>) -> f64 {
        let (x, y) = self.forward_vector(Part::Whole, row, scratch);
        nan_to_infinity(loss::squared_error(self.network.isa, y, x).to_f64())
    }

    /// Runs the row through the part. Returns what the result is compared with, and the result.
    fn forward_vector<'s>(&self, part: Part, row: &[f32], scratch: &'s mut Scratch<T>) -> (&'s [T], &'s [T]) {
        let isa = self.network.isa;
        let map = (part != Part::Decoder).then(|| self.maps.scaling());
        let Scratch { input, target, buffers: [from, to], .. } = scratch;
        let (mut from, mut to) = (from.as_mut_slice(), to.as_mut_slice());
        let input = &mut input.as_mut_slice()[..row.len()];
        panel::scale_row(isa, row, map, input);
        let masked = self.network.objective.mask_missing && part != Part::Decoder;
        if masked {
            target.as_mut_slice()[..row.len()].copy_from_slice(input);
            input.iter_mut().filter(|x| x.to_f64().is_nan()).for_each(|x| *x = T::ZERO);
        }
        let input = &*input;
        let mut has_output = false;
        for stage in &self.network.stages[self.stages(part)] {
            match stage {
                Stage::Dense(index) => {
                    let layer = &self.network.layers[*index];
                    // The mean of a posterior is its first half.
                    let x = if has_output { &from[..layer.inputs] } else { input };
                    let y = &mut to[..panel_count::<T>(layer.outputs) * T::PANEL];
                    let weights = layer.parameters(self.network.parameters.as_slice());
                    gemm::forward_row(isa, weights, x, y, layer.activation);
                    std::mem::swap(&mut from, &mut to);
                    has_output = true;
                }
                Stage::BatchTopK(BatchTopKLatent { threshold, .. }) => {
                    let codes = panel_count::<T>(self.network.code) * T::PANEL;
                    sparse::zero_below(isa, T::from_f64(*threshold), &mut from[..codes]);
                }
                _ => {}
            }
        }
        let width = self.widths(part).1;
        if part.ends_in_rows() && matches!(self.network.objective.loss, Loss::Bce | Loss::SigmoidMse) {
            Activation::Sigmoid.apply(isa, &mut from[..panel_count::<T>(width) * T::PANEL]);
        }
        // For a Gaussian likelihood, the means are the first half.
        let compared = if masked { &target.as_slice()[..row.len()] } else { input };
        (compared, &from[..width])
    }
}
