//! A dense layer: its work on a block of rows, and on a range of its parameters.
//!
//! Parameters are passed in because the two phases of a step hold them differently: in the first all row
//! blocks share them, in the second each range has one owner.

use std::ops::Range;

use ae_kernels::activation::{Activation, Epilogue, Slope};
use ae_kernels::gemm::{self, Blocking, WeightRange};
use ae_kernels::panel::{self, Panels, PanelsMut, Spread, SpreadMut};
use ae_kernels::{Element, Isa};

/// `y = act(Wᵀ x + b)`, with `W` `[inputs, outputs]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dense {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) activation: Activation,
    /// The parameters' place in the buffer of all parameters: `[inputs + 1, outputs]` in panels, with
    /// the bias as the last row.
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

    /// Position of the bias of output `output` in the buffer of all parameters.
    pub(crate) fn bias_at<T: Element>(&self, output: usize) -> usize {
        let panel = (self.inputs + 1) * T::PANEL;
        self.range.start + output / T::PANEL * panel + self.inputs * T::PANEL + output % T::PANEL
    }

    /// The layer's part of the buffer of all parameters.
    pub(crate) fn parameters<'a, T: Element>(&self, all: &'a [T]) -> Panels<'a, T> {
        self.panels(&all[self.range.clone()])
    }

    /// Like [`Dense::parameters`], from that part itself.
    pub(crate) fn panels<'a, T: Element>(&self, own: &'a [T]) -> Panels<'a, T> {
        Panels::new(own, self.inputs + 1, self.outputs)
    }

    /// Computes `y` `[outputs, batch]` from `x` `[inputs, batch]`, and the slopes of the activation if
    /// requested.
    pub(crate) fn forward<T: Element>(
        &self,
        isa: Isa,
        all: &[T],
        x: Panels<'_, T>,
        y: PanelsMut<'_, T>,
        slopes: Option<PanelsMut<'_, T>>,
    ) {
        let epilogue = Epilogue { activation: self.activation, slopes };
        gemm::forward(isa, Blocking::default(), self.parameters(all), x, y, epilogue);
    }

    /// Like [`Dense::forward`], for the outputs from panel `first` of the weights on that `y` has room
    /// for: up to the last, or whole panels.
    pub(crate) fn forward_from<T: Element>(
        &self,
        isa: Isa,
        all: &[T],
        first: usize,
        x: Spread<'_, T>,
        mut y: SpreadMut<'_, T>,
        slopes: Option<SpreadMut<'_, T>>,
    ) {
        let (rows, outputs) = (self.inputs + 1, y.rows());
        let from = self.range.start + first * rows * T::PANEL;
        let weights = Panels::new(&all[from..][..panel::panel_len::<T>(rows, outputs)], rows, outputs);
        let blocking = Blocking::default();
        let (activation, cols) = (self.activation, y.cols());
        let Some(mut slopes) = slopes else {
            gemm::forward(isa, blocking, weights, x, y, activation);
            return;
        };
        if y.count() == 1 {
            // There may be few rows, and nothing is computed for absent ones.
            let slopes = Some(PanelsMut::new(slopes.panel(0), outputs, cols));
            gemm::forward(isa, blocking, weights, x, y, Epilogue { activation, slopes });
            return;
        }
        gemm::forward(isa, blocking, weights, x, y.reborrow(), Activation::Linear);
        for panel in 0..y.count() {
            activation.apply_with_slopes(isa, y.panel(panel), slopes.panel(panel));
        }
    }

    /// Computes `dx` `[inputs, batch]` (∂J/∂z of the layer below, whose slope comes from `below`) from
    /// `delta` `[outputs, batch]` (∂J/∂z of this layer); or only as many inputs from `first` on as `dx`
    /// and `below` have.
    pub(crate) fn backward_input<'x, 'y, T: Element>(
        &self,
        isa: Isa,
        all: &[T],
        first: usize,
        delta: impl Into<Spread<'x, T>>,
        below: (impl Into<Spread<'x, T>>, Slope),
        dx: impl Into<SpreadMut<'y, T>>,
    ) {
        gemm::backward_input(isa, Blocking::default(), self.parameters(all), first, delta, below, dx);
    }

    /// Divides the parameters into ranges of at most about `most` elements, in order: `(where, which)`.
    /// Small panels are grouped, large ones divided.
    pub(crate) fn ranges<T: Element>(&self, most: usize) -> Vec<(Range<usize>, WeightRange)> {
        let rows = self.inputs + 1;
        let panels = panel::panel_count::<T>(self.outputs);
        let together = (most / (rows * T::PANEL)).max(1);
        // An even number of panels if there are several, for products that take two at a time.
        let together = if together > 1 { together / 2 * 2 } else { 1 };
        let groups = panels.div_ceil(together);
        let pieces = (rows * T::PANEL).div_ceil(most.max(1)).clamp(1, rows.div_ceil(LINES));
        let mut start = self.range.start;
        let mut ranges = Vec::new();
        for group in 0..groups {
            for piece in 0..pieces {
                let range = WeightRange {
                    panels: group * together..panels.min((group + 1) * together),
                    rows: cut(piece, pieces, rows)..cut(piece + 1, pieces, rows),
                };
                let end = start + range.elements::<T>();
                ranges.push((start..end, range));
                start = end;
            }
        }
        ranges
    }
}

/// Rows of a panel that are never divided: those of a tile.
const LINES: usize = 16;

/// First of `rows` rows in piece `piece` of `pieces`.
fn cut(piece: usize, pieces: usize, rows: usize) -> usize {
    if piece == pieces { rows } else { piece * rows / pieces / LINES * LINES }
}
