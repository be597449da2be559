//! The stages of an autoencoder and their parameters, in the layout of the kernels.

use ae_kernels::activation::Activation as KernelActivation;
use ae_kernels::conv::Conv;
use ae_kernels::panel::{self, PanelsMut};
use ae_kernels::workspace::AlignedBuf;
use ae_kernels::{Element, Isa};

use crate::config::{Config, Latent, Loss, Noise, TopK};
use crate::init::{self, Purpose};
use crate::layer::Dense;
use crate::stage::{Convolution, Dropout, GaussianLatent, Penalty, Stage, TopKLatent};

/// The weights and bias of one layer, in row-major order. For a convolution the inputs are those of the kernel's window,
/// `(y, x, channel)`, and the outputs are channels.
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

/// Encoder and decoder: what a row goes through, and the parameters.
#[derive(Clone, Debug)]
pub(crate) struct Network<T> {
    pub(crate) isa: Isa,
    /// In order. Those of the encoder come first, and the last of them makes the encoding.
    pub(crate) stages: Vec<Stage>,
    pub(crate) encoder_stages: usize,
    /// What has parameters, in order.
    pub(crate) layers: Vec<Dense>,
    pub(crate) encoder_layers: usize,
    pub(crate) parameters: AlignedBuf<T>,
    pub(crate) objective: Objective<T>,
    /// Features of a row, and of an encoding.
    pub(crate) input: usize,
    pub(crate) code: usize,
}

/// What training does with the two ends of the network.
#[derive(Clone, Debug)]
pub(crate) struct Objective<T> {
    pub(crate) loss: Loss,
    /// The factor of the loss of each feature.
    pub(crate) weights: Option<Vec<T>>,
    pub(crate) noise: Option<Noise>,
    /// Whether NaN in the table is a missing value.
    pub(crate) mask_missing: bool,
    /// Whether training is told what rows should become.
    pub(crate) paired: bool,
}

impl<T> Objective<T> {
    /// Whether what goes into the network is not what comes to its end.
    pub(crate) fn changes_input(&self) -> bool {
        self.noise.is_some() || self.mask_missing || self.paired
    }
}

impl<T: Element> Network<T> {
    /// The network of a configuration, its weights drawn from the seed.
    pub(crate) fn new(isa: Isa, config: &Config) -> Self {
        let (shapes, dims, convolutions) =
            (config.layer_shapes(), config.layer_dims(), config.convolutions());
        let (count, encoder_layers) = (shapes.len(), shapes.len() / 2);
        let code = config.encoding_dim();
        let mut layers = Vec::with_capacity(count);
        let mut stages = Vec::new();
        let mut encoder_stages = 0;
        let mut start = 0;
        let drop = |stages: &mut Vec<Stage>, share: f64, features: usize| {
            if share > 0.0 {
                stages.push(Stage::Dropout(Dropout { share, features, salt: stages.len() as u64 }));
            }
        };
        drop(&mut stages, config.dropout().input, config.input_dim());
        for (index, (inputs, outputs)) in shapes.into_iter().enumerate() {
            let activation = if index + 1 == count {
                KernelActivation::Linear
            } else if index + 1 == encoder_layers {
                config.encoding_activation().kernel()
            } else {
                config.activation().kernel()
            };
            let layer = Dense::new::<T>(inputs, outputs, activation, start);
            start = layer.range.end;
            layers.push(layer);
            let down = convolutions.get(index).and_then(|shape| Conv::down(*shape));
            let up = convolutions.get(count - 1 - index).and_then(|shape| Conv::up(*shape));
            stages.push(match down.or(up) {
                Some(map) => Stage::Conv(Convolution { layer: index, map }),
                None => Stage::Dense(index),
            });
            if index + 1 == encoder_layers {
                match config.latent() {
                    Latent::Plain => {}
                    Latent::TopK(TopK { k, revival }) => {
                        stages.push(Stage::TopK(TopKLatent { features: code, k, revival }));
                    }
                    Latent::Gaussian(settings) => {
                        let salt = stages.len() as u64;
                        stages.push(Stage::Gaussian(GaussianLatent { dim: code, settings, salt }));
                    }
                }
                if let Some(penalty) = config.code_penalty() {
                    stages.push(Stage::Penalty(Penalty { features: code, penalty }));
                }
                encoder_stages = stages.len();
            } else if index + 1 < count {
                drop(&mut stages, config.dropout().hidden, dims[index + 1]);
            }
        }
        let objective = Objective {
            loss: config.loss(),
            weights: None,
            noise: config.noise(),
            mask_missing: config.mask_missing(),
            paired: false,
        };
        let parameters = AlignedBuf::zeroed(start);
        let mut network = Network {
            isa,
            stages,
            encoder_stages,
            layers,
            encoder_layers,
            parameters,
            objective,
            input: config.input_dim(),
            code,
        };
        network.reset(config);
        network
    }

    /// Features that stage `index` takes and gives.
    pub(crate) fn stage_shape(&self, index: usize) -> (usize, usize) {
        match &self.stages[index] {
            Stage::Dense(layer) => (self.layers[*layer].inputs, self.layers[*layer].outputs),
            Stage::Conv(Convolution { map, .. }) => (map.inputs(), map.outputs()),
            Stage::Gaussian(latent) => (2 * latent.dim, latent.dim),
            Stage::Dropout(Dropout { features, .. })
            | Stage::TopK(TopKLatent { features, .. })
            | Stage::Penalty(Penalty { features, .. }) => (*features, *features),
        }
    }

    /// Draws the weights anew and sets the biases to zero.
    pub(crate) fn reset(&mut self, config: &Config) {
        let mut rng = init::generator(config.seed(), Purpose::Weights);
        let shapes = config.weight_shapes();
        for index in 0..self.layers.len() {
            let (inputs, outputs) = (self.layers[index].inputs, self.layers[index].outputs);
            let fan_out = match shapes[index][..] {
                [height, width, _, channels] => height * width * channels,
                _ => outputs,
            };
            let weights = init::weights(config.init(), inputs * outputs, [inputs, fan_out], &mut rng);
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

    /// Whether what follows the top-k latent of stage `index` is a linear layer, which active features alone lead through: the same numbers.
    pub(crate) fn decodes_sparsely(&self, index: usize) -> bool {
        match (&self.stages[index], self.stages.get(index + 1)) {
            (Stage::TopK(latent), Some(Stage::Dense(layer))) => {
                latent.is_wide() && self.layers[*layer].activation == KernelActivation::Linear
            }
            _ => false,
        }
    }

    /// The top-k latent, where there is one.
    pub(crate) fn top_k(&self) -> Option<&TopKLatent> {
        self.stages.iter().find_map(|stage| match stage {
            Stage::TopK(latent) => Some(latent),
            _ => None,
        })
    }

    /// Width of the widest matrix between stages.
    pub(crate) fn widest(&self) -> usize {
        (0..self.stages.len()).map(|index| self.stage_shape(index)).map(|(i, o)| i.max(o)).max().unwrap_or(0)
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
