//! The stages of an autoencoder and their parameters, in the layout of the kernels.

use ae_kernels::activation::Activation as KernelActivation;
use ae_kernels::conv::{Conv, Conv2d};
use ae_kernels::panel::{self, PanelsMut};
use ae_kernels::par::Crew;
use ae_kernels::workspace::AlignedBuf;
use ae_kernels::{Element, Isa};

use crate::config::{Config, Latent, Link, Loss, Noise, TopK};
use crate::error::Error;
use crate::init::{self, Purpose};
use crate::layer::Dense;
use crate::stage::{
    BatchTopKLatent, Contraction, Convolution, Dropout, GaussianLatent, Normalize, Penalty, Pooling, Stage,
    TopKLatent,
};
use crate::tied::Layers;

/// The weights and bias of one layer, in row-major order. For a convolution the inputs are those of the kernel's window,
/// `(y, x, channel of a group)`, and the outputs are channels.
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
    /// Whether the decoder's weights are the transposes of the encoder's.
    pub(crate) tied: bool,
    /// The layer, of the decoder, whose lines of weights are kept at norm 1.
    pub(crate) unit_norm: Option<usize>,
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

/// What is done with the encoding: its contraction, the latent, the penalty.
fn push_latent(config: &Config, stages: &mut Vec<Stage>) {
    let code = config.encoding_dim();
    if let Some(weight) = config.contractive() {
        stages.push(Stage::Contraction(Contraction { features: code, weight }));
    }
    match config.latent() {
        Latent::Plain => {}
        Latent::TopK(TopK { k, of_batch: true, .. }) => {
            stages.push(Stage::BatchTopK(BatchTopKLatent::new(code, k)));
        }
        Latent::TopK(TopK { k, revival, .. }) => {
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
}

/// Drops a share of `features` values, if it is more than none.
fn push_dropout(share: f64, features: usize, stages: &mut Vec<Stage>) {
    if share > 0.0 {
        stages.push(Stage::Dropout(Dropout { share, features, salt: stages.len() as u64 }));
    }
}

impl<T: Element> Network<T> {
    /// The network of a configuration, its weights drawn from the seed.
    pub(crate) fn new(isa: Isa, config: &Config) -> Self {
        let (shapes, links) = (config.layer_shapes(), config.links());
        let (count, encoder_layers) = (shapes.len(), shapes.len() / 2);
        let mut layers = Vec::with_capacity(count);
        let mut stages = Vec::new();
        let mut encoder_stages = 0;
        let mut start = 0;
        push_dropout(config.dropout().input, config.input_dim(), &mut stages);
        let convolutions = links.iter().filter(|link| matches!(link, Link::Conv(_))).count();
        let (mut down, mut up) = (links.iter().peekable(), links.iter().rev().peekable());
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
            while let Some(Link::Pool(pool, kind)) = down.next_if(|link| matches!(link, Link::Pool(..))) {
                stages.push(Stage::Pool(Pooling { pool: *pool, kind: *kind }));
            }
            let in_decoder = index + convolutions >= count;
            let link = if in_decoder { up.next() } else { down.next() };
            let map = match link {
                Some(Link::Conv(shape)) if in_decoder => Conv::up(*shape),
                Some(Link::Conv(shape)) => Conv::down(*shape),
                _ => None,
            };
            let outputs = map.as_ref().map_or(outputs, Conv::outputs);
            stages.push(match map {
                Some(map) => Stage::Conv(Convolution { layer: index, map }),
                None => Stage::Dense(index),
            });
            if index + 1 == encoder_layers {
                push_latent(config, &mut stages);
                encoder_stages = stages.len();
            } else if index + 1 < count {
                if config.layer_norm() {
                    stages.push(Stage::Normalize(Normalize { features: outputs }));
                }
                push_dropout(config.dropout().hidden, outputs, &mut stages);
            }
            if index + 1 + convolutions >= count {
                while let Some(Link::Pool(pool, _)) = up.next_if(|link| matches!(link, Link::Pool(..))) {
                    stages.push(Stage::UpSample(*pool));
                }
            }
        }
        let objective = Objective {
            loss: config.loss(),
            weights: config
                .feature_weights()
                .map(|weights| weights.iter().map(|weight| T::from_f64(*weight)).collect()),
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
            tied: config.tied_weights(),
            unit_norm: config.unit_norm().then_some(encoder_layers),
            parameters,
            objective,
            input: config.input_dim(),
            code: config.encoding_dim(),
        };
        network.reset(config);
        network
    }

    /// Features that stage `index` takes and gives.
    pub(crate) fn stage_shape(&self, index: usize) -> (usize, usize) {
        match &self.stages[index] {
            Stage::Dense(layer) => (self.layers[*layer].inputs, self.layers[*layer].outputs),
            Stage::Conv(Convolution { map, .. }) => (map.inputs(), map.outputs()),
            Stage::Pool(Pooling { pool, .. }) => (pool.large(), pool.small()),
            Stage::UpSample(pool) => (pool.small(), pool.large()),
            Stage::Gaussian(latent) => (2 * latent.dim, latent.dim),
            Stage::Normalize(Normalize { features })
            | Stage::Contraction(Contraction { features, .. })
            | Stage::Dropout(Dropout { features, .. })
            | Stage::TopK(TopKLatent { features, .. })
            | Stage::BatchTopK(BatchTopKLatent { features, .. })
            | Stage::Penalty(Penalty { features, .. }) => (*features, *features),
        }
    }

    /// Draws the weights anew, sets the biases to zero, and forgets the threshold of a top-k latent of batches.
    pub(crate) fn reset(&mut self, config: &Config) {
        if let Some(latent) = self.batch_top_k_mut() {
            (latent.threshold, latent.batches, latent.last) = (0.0, 0, 0.0);
        }
        let mut rng = init::generator(config.seed(), Purpose::Weights);
        let convolutions = config.convolutions();
        let count = self.layers.len();
        for index in 0..count {
            let (inputs, outputs) = (self.layers[index].inputs, self.layers[index].outputs);
            let fan_out = match convolutions.get(index.min(count - 1 - index)) {
                Some(Conv2d { kernel, groups, .. }) => kernel * kernel * outputs / groups,
                None => outputs,
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
        self.normalise();
    }

    /// Brings the decoder's vectors to norm 1, where they are kept so.
    pub(crate) fn normalise(&mut self) {
        let mut lines = vec![T::ZERO; self.lines()];
        let (layers, parameters) = self.parts();
        layers.normalise(Crew::SOLO, parameters, &mut lines);
    }

    /// Values that work on unit norms needs room for.
    pub(crate) fn lines(&self) -> usize {
        self.unit_norm.map_or(0, |layer| self.layers[layer].inputs)
    }

    /// The layers, beside the parameters that they say the places of.
    pub(crate) fn parts(&mut self) -> (Layers<'_>, &mut [T]) {
        let Network { isa, tied, unit_norm, .. } = *self;
        let layers = Layers { isa, layers: &self.layers, tied, unit_norm };
        (layers, self.parameters.as_mut_slice())
    }

    /// The parameters of layer `index`.
    pub(crate) fn layer(&self, index: usize) -> LayerParameters<T> {
        layer_of(&self.layers[index], self.parameters.as_slice())
    }

    /// That these can be the parameters of layer `index`.
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`]; [`Error::LayerShape`] for other sizes than the layer's; [`Error::Parameter`] for one that is not finite; [`Error::NotTied`] for weights of the decoder that are
    /// not the transpose of those that they are tied to.
    pub(crate) fn check_layer(&self, index: usize, values: &LayerParameters<T>) -> Result<(), Error> {
        let layers = self.layers.len();
        let layer = self.layers.get(index).ok_or(Error::NoSuchLayer { index, layers })?;
        let (expected, got) = ((layer.inputs, layer.outputs), (values.inputs, values.outputs));
        let (weights, biases) = (values.weights.len(), values.bias.len());
        if expected != got || weights != layer.inputs * layer.outputs || biases != layer.outputs {
            return Err(Error::LayerShape { layer: index, expected, got, weights, biases });
        }
        let all = values.weights.iter().chain(&values.bias);
        if let Some(at) = all.into_iter().position(|x| !x.to_f64().is_finite()) {
            return Err(Error::Parameter { layer: index, index: at });
        }
        match (self.tied_to(index), self.stray(index, values)) {
            (Some(tied_to), Some(at)) => Err(Error::NotTied { layer: index, tied_to, index: at }),
            _ => Ok(()),
        }
    }

    /// Sets the parameters of layer `index`, and the weights that are tied to them; the sizes must be the layer's.
    pub(crate) fn set_layer(&mut self, index: usize, values: &LayerParameters<T>) {
        let Dense { inputs, outputs, range, .. } = self.layers[index].clone();
        let mut rows = values.weights.clone();
        rows.extend_from_slice(&values.bias);
        let parameters = &mut self.parameters.as_mut_slice()[range];
        panel::pack(&rows, PanelsMut::new(parameters, inputs + 1, outputs));
        let (layers, parameters) = self.parts();
        layers.spread(Crew::SOLO, parameters);
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

    /// Where the contractive penalty is and how much it matters, if there is one.
    pub(crate) fn contraction(&self) -> Option<(usize, f64)> {
        self.stages.iter().enumerate().find_map(|(index, stage)| match stage {
            Stage::Contraction(Contraction { weight, .. }) => Some((index, *weight)),
            _ => None,
        })
    }

    /// The top-k latent of batches, where there is one.
    pub(crate) fn batch_top_k(&self) -> Option<&BatchTopKLatent> {
        self.stages.iter().find_map(|stage| match stage {
            Stage::BatchTopK(latent) => Some(latent),
            _ => None,
        })
    }

    /// As [`Network::batch_top_k`], to change.
    pub(crate) fn batch_top_k_mut(&mut self) -> Option<&mut BatchTopKLatent> {
        self.stages.iter_mut().find_map(|stage| match stage {
            Stage::BatchTopK(latent) => Some(latent),
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
