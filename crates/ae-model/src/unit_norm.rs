//! Decoder vectors kept at unit norm. A decoder vector is a row of the decoder's weights: what one value
//! of the encoding adds to the outputs.
//!
//! Without the constraint, a penalty on the encoding is evaded by small codes and long vectors. The
//! normalisation after each update would undo a gradient component along a vector, but not its trace in
//! the state of Adam or momentum, so the component is removed before the update rule sees it, as in
//! Bricken et al. 2023 ("Towards Monosemanticity", on training) and Gao et al. 2024.

use ae_kernels::par::Crew;
use ae_kernels::{Element, unit_norm};

use crate::tied::Layers;

/// Vectors per task.
const LINES: usize = 64;
/// Number of parameters from which sharing such work among threads roughly pays: reading them takes as
/// long as waking a worker.
const WORTH_SHARING: usize = 1 << 18;

impl Layers<'_> {
    /// Removes from the gradients of the decoder's vectors their components along the vectors. `lines`
    /// has room for one value per vector.
    pub(crate) fn remove_parallel_gradients<T: Element>(
        &self,
        crew: Crew<'_>,
        parameters: &[T],
        gradients: &mut [T],
        lines: &mut [T],
    ) {
        let Some(layer) = self.unit_norm else { return };
        let layer = &self.layers[layer];
        let crew = crew.for_work(layer.range.len() >= WORTH_SHARING);
        let weights = layer.parameters(parameters);
        let own = &mut gradients[layer.range.clone()];
        let along = layer.panels(&*own);
        crew.for_each_chunk(lines, LINES, |index, lines| {
            let mut squares = [T::ZERO; LINES];
            let squares = &mut squares[..lines.len()];
            unit_norm::line_products(self.isa, weights, weights, index * LINES, squares);
            unit_norm::line_products(self.isa, weights, along, index * LINES, lines);
            for (line, square) in lines.iter_mut().zip(squares) {
                *line = if *square > T::ZERO { *line / *square } else { T::ZERO };
            }
        });
        let lines = &*lines;
        crew.for_each_chunk(own, weights.rows() * T::PANEL, |index, panel| {
            unit_norm::subtract_lines(self.isa, lines, weights.panel(index), panel);
        });
    }

    /// Scales the decoder's vectors to unit norm, except those whose norm is zero or not finite.
    pub(crate) fn normalise<T: Element>(&self, crew: Crew<'_>, parameters: &mut [T], lines: &mut [T]) {
        let Some(layer) = self.unit_norm else { return };
        let layer = &self.layers[layer];
        let crew = crew.for_work(layer.range.len() >= WORTH_SHARING);
        let own = &mut parameters[layer.range.clone()];
        let weights = layer.panels(&*own);
        crew.for_each_chunk(lines, LINES, |index, lines| {
            unit_norm::line_products(self.isa, weights, weights, index * LINES, lines);
            for line in lines {
                let scale = 1.0 / line.to_f64().sqrt();
                *line = if scale.is_finite() && scale > 0.0 { T::from_f64(scale) } else { T::ONE };
            }
        });
        let lines = &*lines;
        crew.for_each_chunk(own, weights.rows() * T::PANEL, |_, panel| {
            unit_norm::scale_lines(self.isa, lines, panel);
        });
    }
}
