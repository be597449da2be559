//! A dense layer: what it does with a block of rows, and with a range of its parameters.
//!
//! Its parameters are passed in, because the two phases of a step hold them differently: all row blocks share them
//! in the first, each range has one owner in the second.

use std::ops::Range;

use ae_kernels::activation::Activation;
use ae_kernels::gemm::{self, BatchPanels, Blocking, WeightRange};
use ae_kernels::panel::{self, Panels, PanelsMut};
use ae_kernels::{Element, Isa};

use crate::optim::Update;

/// `y = act(Wᵀ x + b)`, with `W` `[inputs, outputs]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dense {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) activation: Activation,
    /// Where the parameters, `[inputs + 1, outputs]` in panels with the bias as the last row, lie in the
    /// buffer of all parameters.
    pub(crate) range: Range<usize>,
}

impl Dense {
    /// The layer whose parameters start at `start`.
    pub(crate) fn new<T: Element>(
        inputs: usize,
        outputs: usize,
        activation: Activation,
        start: usize,
    ) -> Self {
        let len = panel::panel_len::<T>(inputs + 1, outputs);
        Dense { inputs, outputs, activation, range: start..start + len }
    }

    /// Its part of the buffer of all parameters.
    pub(crate) fn parameters<'a, T: Element>(&self, all: &'a [T]) -> Panels<'a, T> {
        Panels::new(&all[self.range.clone()], self.inputs + 1, self.outputs)
    }

    /// `x` `[inputs, batch]` to `y` `[outputs, batch]`.
    pub(crate) fn forward<T: Element>(&self, isa: Isa, all: &[T], x: Panels<'_, T>, y: PanelsMut<'_, T>) {
        gemm::forward(isa, Blocking::default(), self.parameters(all), x, y, self.activation);
    }

    /// `delta` `[outputs, batch]` (∂J/∂z of this layer) to `dx` `[inputs, batch]` (∂J/∂z of the layer below, whose output is
    /// `x` and whose activation is `below`).
    pub(crate) fn backward_input<T: Element>(
        &self,
        isa: Isa,
        all: &[T],
        delta: Panels<'_, T>,
        x: Panels<'_, T>,
        below: Activation,
        dx: PanelsMut<'_, T>,
    ) {
        gemm::backward_input(isa, Blocking::default(), self.parameters(all), delta, (x, below), dx);
    }

    /// The parameters as ranges of at most about `most` elements, in order: `(where, which)`.
    pub(crate) fn ranges<T: Element>(&self, most: usize) -> Vec<(Range<usize>, WeightRange)> {
        let rows = self.inputs + 1;
        let pieces = (rows * T::PANEL).div_ceil(most.max(1)).clamp(1, rows);
        let mut ranges = Vec::new();
        for panel in 0..panel::panel_count::<T>(self.outputs) {
            for piece in 0..pieces {
                let rows_of_piece = piece * rows / pieces..(piece + 1) * rows / pieces;
                let start = self.range.start + (panel * rows + rows_of_piece.start) * T::PANEL;
                ranges.push((
                    start..start + rows_of_piece.len() * T::PANEL,
                    WeightRange { panel, rows: rows_of_piece },
                ));
            }
        }
        ranges
    }

    /// Finishes the gradient of one range over the whole batch and updates it.
    #[allow(clippy::too_many_arguments, reason = "the operands of one product, as in the kernel")]
    pub(crate) fn backward_parameters<T: Element>(
        &self,
        isa: Isa,
        range: &WeightRange,
        x: BatchPanels<'_, T>,
        delta: BatchPanels<'_, T>,
        update: Update<T>,
        parameters: &mut [T],
        state: &mut [T],
    ) {
        match update {
            Update::Gradient(rule) => {
                gemm::weight_gradient(isa, self.inputs, range, x, delta, rule, parameters, state);
            }
            Update::Sgd(rule) => {
                gemm::weight_gradient(isa, self.inputs, range, x, delta, rule, parameters, state);
            }
        }
    }
}
