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
use crate::step::Arithmetic;
use crate::tied::Layers;

/// The weights and bias of one layer, in row-major order.
///
/// For a convolution, the inputs are those of the kernel's window, `(y, x, channel of a group)`, and the
/// outputs are channels.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerParameters<T> {
    /// Number of inputs.
    pub inputs: usize,
    /// Number of outputs.
    pub outputs: usize,
    /// `[inputs, outputs]`
    pub weights: Vec<T>,
    /// `[outputs]`
    pub bias: Vec<T>,
}

impl<T: Arithmetic> LayerParameters<T> {
    /// The same parameters in another arithmetic: exact from `f32` to `f64`, rounded to the nearest
    /// from `f64` to `f32`, where a value out of range becomes infinite.
    pub fn cast<U: Arithmetic>(&self) -> LayerParameters<U> {
        let cast = |values: &[T]| values.iter().map(|x| U::from_f64(x.to_f64())).collect();
        LayerParameters {
            inputs: self.inputs,
            outputs: self.outputs,
            weights: cast(&self.weights),
            bias: cast(&self.bias),
        }
    }
}

/// Encoder and decoder: the stages and their parameters.
#[derive(Clone, Debug)]
pub(crate) struct Network<T> {
    pub(crate) isa: Isa,
    /// In order. The encoder's come first; the last of these produces the encoding.
    pub(crate) stages: Vec<Stage>,
    pub(crate) encoder_stages: usize,
    /// The layers, which hold the parameters, in order.
    pub(crate) layers: Vec<Dense>,
    pub(crate) encoder_layers: usize,
    /// Whether the decoder's weights are the transposes of the encoder's.
    pub(crate) tied: bool,
    /// The decoder layer whose weight vectors, the rows of its weights, are kept at unit norm.
    pub(crate) unit_norm: Option<usize>,
    pub(crate) parameters: AlignedBuf<T>,
    pub(crate) objective: Objective<T>,
    /// Features of a row, and of an encoding.
    pub(crate) input: usize,
    pub(crate) code: usize,
}

/// What training does at the two ends of the network.
#[derive(Clone, Debug)]
pub(crate) struct Objective<T> {
    pub(crate) loss: Loss,
    /// The weight of each feature in the loss.
    pub(crate) weights: Option<Vec<T>>,
    pub(crate) noise: Option<Noise>,
    /// Whether NaN in the table is a missing value.
    pub(crate) mask_missing: bool,
    /// Whether training is given targets.
    pub(crate) paired: bool,
}

impl<T> Objective<T> {
    /// Whether the network's input may differ from the target of its output.
    pub(crate) fn changes_input(&self) -> bool {
        self.noise.is_some() || self.mask_missing || self.paired
    }
}

/// Appends the stages that act on the encoding: contractive penalty, latent, code penalty.
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

/// Appends dropout of `features` values unless `fraction` is 0.
fn push_dropout(fraction: f64, features: usize, stages: &mut Vec<Stage>) {
    if fraction > 0.0 {
        stages.push(Stage::Dropout(Dropout { fraction, features, salt: stages.len() as u64 }));
    }
}

impl<T: Element> Network<T> {
    /// Creates the network of a configuration, with weights drawn from its seed.
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

    /// The numbers of features that stage `index` takes and returns.
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

    /// Draws new weights, zeroes the biases, and clears the threshold of a batch top-k latent.
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

    /// Scales the decoder's vectors to unit norm, if they are kept at it.
    pub(crate) fn normalise(&mut self) {
        let mut lines = vec![T::ZERO; self.lines()];
        let (layers, parameters) = self.layers_and_parameters();
        layers.normalise(Crew::SOLO, parameters, &mut lines);
    }

    /// The number of vectors kept at unit norm.
    pub(crate) fn lines(&self) -> usize {
        self.unit_norm.map_or(0, |layer| self.layers[layer].inputs)
    }

    /// The layers, alongside the parameters that they locate.
    pub(crate) fn layers_and_parameters(&mut self) -> (Layers<'_>, &mut [T]) {
        let Network { isa, tied, unit_norm, .. } = *self;
        let layers = Layers { isa, layers: &self.layers, tied, unit_norm };
        (layers, self.parameters.as_mut_slice())
    }

    /// The parameters of layer `index`.
    pub(crate) fn layer(&self, index: usize) -> LayerParameters<T> {
        unpack_layer(&self.layers[index], self.parameters.as_slice())
    }

    /// Checks that `values` can be the parameters of layer `index`.
    ///
    /// # Errors
    /// [`Error::NoSuchLayer`] if there is no such layer; [`Error::LayerShape`] if the sizes are not the
    /// layer's; [`Error::Parameter`] for a value that is not finite; [`Error::NotTied`] for decoder
    /// weights that are not the transpose of the weights they are tied to.
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
        match (self.tied_to(index), self.first_untied(index, values)) {
            (Some(tied_to), Some(at)) => Err(Error::NotTied { layer: index, tied_to, index: at }),
            _ => Ok(()),
        }
    }

    /// Sets the parameters of layer `index`, whose sizes must match, and any weights tied to them.
    pub(crate) fn set_layer(&mut self, index: usize, values: &LayerParameters<T>) {
        let Dense { inputs, outputs, range, .. } = self.layers[index].clone();
        let mut rows = values.weights.clone();
        rows.extend_from_slice(&values.bias);
        let parameters = &mut self.parameters.as_mut_slice()[range];
        panel::pack(&rows, PanelsMut::new(parameters, inputs + 1, outputs));
        let (layers, parameters) = self.layers_and_parameters();
        layers.copy_to_decoder(Crew::SOLO, parameters);
    }

    /// Whether the top-k latent of stage `index` is followed by a linear layer that can be computed from
    /// the active features alone, which gives the same numbers.
    pub(crate) fn decodes_sparsely(&self, index: usize) -> bool {
        match (&self.stages[index], self.stages.get(index + 1)) {
            (Stage::TopK(latent), Some(Stage::Dense(layer))) => {
                latent.is_wide() && self.layers[*layer].activation == KernelActivation::Linear
            }
            _ => false,
        }
    }

    /// The top-k latent, if there is one.
    pub(crate) fn top_k(&self) -> Option<&TopKLatent> {
        self.stages.iter().find_map(|stage| match stage {
            Stage::TopK(latent) => Some(latent),
            _ => None,
        })
    }

    /// The stage and the weight of the contractive penalty, if there is one.
    pub(crate) fn contraction(&self) -> Option<(usize, f64)> {
        self.stages.iter().enumerate().find_map(|(index, stage)| match stage {
            Stage::Contraction(Contraction { weight, .. }) => Some((index, *weight)),
            _ => None,
        })
    }

    /// The batch top-k latent, if there is one.
    pub(crate) fn batch_top_k(&self) -> Option<&BatchTopKLatent> {
        self.stages.iter().find_map(|stage| match stage {
            Stage::BatchTopK(latent) => Some(latent),
            _ => None,
        })
    }

    /// Like [`Network::batch_top_k`], mutably.
    pub(crate) fn batch_top_k_mut(&mut self) -> Option<&mut BatchTopKLatent> {
        self.stages.iter_mut().find_map(|stage| match stage {
            Stage::BatchTopK(latent) => Some(latent),
            _ => None,
        })
    }

    /// The width of the widest matrix between stages.
    pub(crate) fn widest(&self) -> usize {
        (0..self.stages.len()).map(|index| self.stage_shape(index)).map(|(i, o)| i.max(o)).max().unwrap_or(0)
    }
}

/// Extracts a layer from a buffer laid out like the parameters.
pub(crate) fn unpack_layer<T: Element>(layer: &Dense, all: &[T]) -> LayerParameters<T> {
    let Dense { inputs, outputs, .. } = *layer;
    let mut weights = vec![T::ZERO; (inputs + 1) * outputs];
    panel::unpack(layer.parameters(all), &mut weights);
    let bias = weights.split_off(inputs * outputs);
    LayerParameters { inputs, outputs, weights, bias }
}
