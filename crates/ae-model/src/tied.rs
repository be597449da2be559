//! Tied weights: the weights of the decoder's layers are the transposes of the encoder's, the last
//! layer's of the first, and so on.
//!
//! The parameters hold both copies, so that every product finds its weights where it expects them. An
//! update sums the gradients of both into the encoder's, zeroes the decoder's, and writes the transposes
//! of the updated encoder weights to the decoder.

use std::ops::Range;

use ae_kernels::par::Crew;
use ae_kernels::{Element, Isa, tied, update};

use crate::layer::Dense;
use crate::network::{LayerParameters, Network};

/// Number of parameters from which sharing such work among threads roughly pays: moving them takes as
/// long as waking a worker.
const WORTH_SHARING: usize = 1 << 18;

/// The layers of a network, encoder first, and how to work on their parameters.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layers<'a> {
    pub(crate) isa: Isa,
    pub(crate) layers: &'a [Dense],
    /// Whether the decoder's weights are tied to the encoder's.
    pub(crate) tied: bool,
    /// The layer whose weight vectors (rows of the weights) have unit norm.
    pub(crate) unit_norm: Option<usize>,
}

impl Layers<'_> {
    /// Where the decoder's parameters start.
    fn decoder_start(&self) -> usize {
        self.layers.get(self.layers.len() / 2).map_or(0, |layer| layer.range.start)
    }

    /// Pairs of an encoder layer and the decoder layer tied to it.
    fn pairs(&self) -> impl Iterator<Item = (&Dense, &Dense)> {
        self.layers.iter().zip(self.layers.iter().rev()).take(self.layers.len() / 2)
    }

    /// The ranges of independent parameters: all of them, or with tied weights those of the encoder and
    /// the panel rows that hold the decoder's biases.
    pub(crate) fn independent_ranges<T: Element>(&self) -> impl Iterator<Item = Range<usize>> {
        let all = self.layers.last().map_or(0, |layer| layer.range.end);
        let (first, rest) = if self.tied { (self.decoder_start(), self.layers.len() / 2) } else { (all, 0) };
        let biases = self.layers[self.layers.len() - rest..].iter().flat_map(|layer| {
            let panel = (layer.inputs + 1) * T::PANEL;
            layer.range.clone().step_by(panel).map(move |at| at + panel - T::PANEL..at + panel)
        });
        std::iter::once(0..first).chain(biases)
    }

    /// Adds the gradients of the penalty `l1 Σ |w| + ½ l2 Σ w²` to those of the parameters; returns the
    /// norm of the result.
    pub(crate) fn penalised_norm<T: Element>(
        &self,
        [l1, l2]: [f64; 2],
        parameters: &[T],
        gradients: &mut [T],
    ) -> f64 {
        let factors = [T::from_f64(l1), T::from_f64(l2)];
        let squares = self
            .independent_ranges::<T>()
            .map(|r| update::penalise(self.isa, factors, &parameters[r.clone()], &mut gradients[r]));
        let squares = squares.sum::<f64>();
        if squares.is_finite() {
            return squares.sqrt();
        }
        // Single precision can hold the gradients, but not all of their squares.
        let exactly = self
            .independent_ranges::<T>()
            .flat_map(|range| &gradients[range])
            .map(|g| g.to_f64() * g.to_f64());
        exactly.sum::<f64>().sqrt()
    }

    /// The penalty of the parameters, `l1 Σ |w| + ½ l2 Σ w²`.
    pub(crate) fn penalty<T: Element>(&self, [l1, l2]: [f64; 2], parameters: &[T]) -> f64 {
        let of_one = |w: &T| l1 * w.to_f64().abs() + 0.5 * l2 * w.to_f64() * w.to_f64();
        self.independent_ranges::<T>().flat_map(|range| &parameters[range]).map(of_one).sum()
    }

    /// Gathers the gradients of tied weights in the encoder's: adds the transposes of the decoder's,
    /// which become zero.
    pub(crate) fn fold_tied_gradients<T: Element>(&self, crew: Crew<'_>, gradients: &mut [T]) {
        if !self.tied {
            return;
        }
        let crew = crew.for_work(gradients.len() >= WORTH_SHARING);
        let (encoder, decoder) = gradients.split_at_mut(self.decoder_start());
        for (below, above) in self.pairs() {
            let range = above.range.start - self.decoder_start()..above.range.end - self.decoder_start();
            let own = &mut encoder[below.range.clone()];
            let other = above.panels(&decoder[range.clone()]);
            crew.for_each_chunk(own, (below.inputs + 1) * T::PANEL, |index, panel| {
                tied::add_transposed(self.isa, other, index, panel);
            });
            for panel in decoder[range].chunks_exact_mut((above.inputs + 1) * T::PANEL) {
                panel[..above.inputs * T::PANEL].fill(T::ZERO);
            }
        }
    }

    /// Writes the transposes of the encoder's weights to the decoder.
    pub(crate) fn copy_to_decoder<T: Element>(&self, crew: Crew<'_>, parameters: &mut [T]) {
        if !self.tied {
            return;
        }
        let crew = crew.for_work(parameters.len() >= WORTH_SHARING);
        let (encoder, decoder) = parameters.split_at_mut(self.decoder_start());
        for (below, above) in self.pairs() {
            let weights = below.parameters(encoder);
            let own = &mut decoder
                [above.range.start - self.decoder_start()..above.range.end - self.decoder_start()];
            crew.for_each_chunk(own, (above.inputs + 1) * T::PANEL, |index, panel| {
                tied::transpose(self.isa, weights, index, panel);
            });
        }
    }
}

impl<T: Element> Network<T> {
    /// The encoder layer that the weights of layer `index` are tied to.
    pub(crate) fn tied_to(&self, index: usize) -> Option<usize> {
        (self.tied && index >= self.encoder_layers).then(|| self.layers.len() - 1 - index)
    }

    /// The row-major position of the first weight of layer `index` in `values` that differs from the
    /// weight it is tied to.
    pub(crate) fn first_untied(&self, index: usize, values: &LayerParameters<T>) -> Option<usize> {
        let other = self.layer(self.tied_to(index)?);
        let LayerParameters { inputs, outputs, weights, .. } = values;
        (0..weights.len()).find(|at| weights[*at] != other.weights[at % outputs * inputs + at / outputs])
    }
}
