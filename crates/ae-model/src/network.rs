//! The layers of an autoencoder and their parameters, in the layout of the kernels.

use ae_kernels::activation::Activation as KernelActivation;
use ae_kernels::panel::{self, PanelsMut};
use ae_kernels::workspace::AlignedBuf;
use ae_kernels::{Element, Isa};

use crate::config::{Activation, Config};
use crate::init::{self, Purpose};
use crate::layer::Dense;

/// The weights and bias of one layer, in row-major order.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerParameters<T> {
    /// Inputs of the layer.
    pub inputs: usize,
    /// Outputs of the layer.
    pub outputs: usize,
    /// `[inputs, outputs]`
    pub weights: Vec<T>,
    /// `[outputs]`
    pub bias: Vec<T>,
}

/// Encoder and decoder: dense layers, the last one linear.
#[derive(Clone, Debug)]
pub(crate) struct Network<T> {
    pub(crate) isa: Isa,
    pub(crate) layers: Vec<Dense>,
    pub(crate) encoder_layers: usize,
    pub(crate) parameters: AlignedBuf<T>,
}

impl<T: Element> Network<T> {
    /// The network of a configuration, its weights drawn from the seed.
    pub(crate) fn new(isa: Isa, config: &Config) -> Self {
        let activation = match config.activation() {
            Activation::Relu => KernelActivation::Relu,
            Activation::Sigmoid => KernelActivation::Sigmoid,
            Activation::Tanh => KernelActivation::Tanh,
        };
        let dims = config.layer_dims();
        let count = dims.len() - 1;
        let mut layers = Vec::with_capacity(count);
        let mut start = 0;
        for (index, pair) in dims.windows(2).enumerate() {
            let activation = if index + 1 == count { KernelActivation::Linear } else { activation };
            let layer = Dense::new::<T>(pair[0], pair[1], activation, start);
            start = layer.range.end;
            layers.push(layer);
        }
        let mut network =
            Network { isa, layers, encoder_layers: count / 2, parameters: AlignedBuf::zeroed(start) };
        network.reset(config);
        network
    }

    /// Draws the weights anew and sets the biases to zero.
    pub(crate) fn reset(&mut self, config: &Config) {
        let mut rng = init::generator(config.seed(), Purpose::Weights);
        for index in 0..self.layers.len() {
            let (inputs, outputs) = (self.layers[index].inputs, self.layers[index].outputs);
            let weights = init::weights(config.init(), inputs, outputs, &mut rng);
            self.set_layer(
                index,
                &LayerParameters {
                    inputs,
                    outputs,
                    weights: weights.into_iter().map(T::from_f64).collect(),
                    bias: vec![T::ZERO; outputs],
                },
            );
        }
    }

    /// The parameters of layer `index`.
    pub(crate) fn layer(&self, index: usize) -> LayerParameters<T> {
        layer_of(&self.layers[index], self.parameters.as_slice())
    }

    /// Sets the parameters of layer `index`; the sizes must be the layer's.
    pub(crate) fn set_layer(&mut self, index: usize, values: &LayerParameters<T>) {
        let Dense { inputs, outputs, range, .. } = self.layers[index].clone();
        let mut rows = values.weights.clone();
        rows.extend_from_slice(&values.bias);
        let parameters = &mut self.parameters.as_mut_slice()[range];
        panel::pack(&rows, PanelsMut::new(parameters, inputs + 1, outputs));
    }

    /// Width of the widest matrix between layers.
    pub(crate) fn widest(&self) -> usize {
        self.layers.iter().map(|layer| layer.inputs.max(layer.outputs)).max().unwrap_or(0)
    }
}

/// The part of a layer in a buffer laid out like the parameters.
pub(crate) fn layer_of<T: Element>(layer: &Dense, all: &[T]) -> LayerParameters<T> {
    let Dense { inputs, outputs, .. } = *layer;
    let mut weights = vec![T::ZERO; (inputs + 1) * outputs];
    panel::unpack(layer.parameters(all), &mut weights);
    let bias = weights.split_off(inputs * outputs);
    LayerParameters { inputs, outputs, weights, bias }
}
