//! Where training starts: at weights that are drawn, or at those of another model.

use ae_data::Fingerprint;

use crate::config::Config;
use crate::engine::Engine;
use crate::error::Error;
use crate::model::{AnyEngine, Autoencoder};
use crate::network::LayerParameters;
use crate::scale::Scaler;
use crate::step::Arithmetic;

impl Autoencoder {
    /// An autoencoder of another configuration that starts where `other` is: with its parameters, its scaler, the names of its features and the
    /// threshold of its top-k latent of batches, where both have one. (Where the configuration keeps the decoder's vectors at norm 1 or ties
    /// its weights to the encoder's, and the other's did not, they are made so.)
    /// What differs may be anything but the layers: the optimiser, the loss, noise, penalties, the samples of a variational autoencoder (Burda
    /// et al. 2015, sec. 5.2, train with one and go on with many). [`fit`](Autoencoder::fit) then begins at these parameters each time, and
    /// keeps that scaler, on whose scale they are. The optimiser begins anew.
    ///
    /// # Errors
    /// [`Error::OtherLayers`] unless all layers have the same sizes; [`Error::Isa`]; [`Error::Pool`] if threads cannot be started.
    pub fn continuing(config: Config, other: &Autoencoder) -> Result<Autoencoder, Error> {
        let mut model = Autoencoder::new(config)?;
        let layers = other.layers();
        let sizes = |layers: &[LayerParameters<f64>]| -> Vec<[usize; 2]> {
            layers.iter().map(|layer| [layer.inputs, layer.outputs]).collect()
        };
        if sizes(&layers) != sizes(&model.layers()) {
            let architecture = |model: &Autoencoder| model.summary().architecture();
            return Err(Error::OtherLayers { wanted: architecture(&model), of_other: architecture(other) });
        }
        model.scaler = other.scaler.clone();
        model.names.clone_from(&other.names);
        model.schema.clone_from(&other.schema);
        model.fitted = other.fitted;
        model.start = Some(Start { layers, threshold: other.threshold() });
        match &mut model.engine {
            AnyEngine::F32(engine) => begin(engine, &model.config, &model.scaler, model.start.as_ref()),
            AnyEngine::F64(engine) => begin(engine, &model.config, &model.scaler, model.start.as_ref()),
        }
        Ok(model)
    }
}

impl Autoencoder {
    /// A fitted model with these parameters, encoder first, on the scale of `scaler`: those of a loop of one's own
    /// ([`crate::Trainer::layers`], where the scaler is [`Scaler::identity`] unless the rows were scaled before), or of another program. Also the way to a
    /// scale that [`partial_fit`](Autoencoder::partial_fit) does not have to find in its first rows: with the
    /// [`layers`](Autoencoder::layers) of a new model. The threshold of a top-k latent of batches is that of a new model.
    ///
    /// # Errors
    /// [`Error::Width`] unless the scaler has the features of the configuration, [`Error::LayerCount`] and [`Error::LayerShape`] for other layers than
    /// its own; [`Error::Parameter`] for one that is not finite; [`Error::NotTied`]
    /// for weights of the decoder that are not those of the encoder, where they should be; [`Error::Isa`], [`Error::Pool`].
    pub fn from_layers<T: Arithmetic>(
        config: Config,
        scaler: Scaler,
        layers: &[LayerParameters<T>],
    ) -> Result<Autoencoder, Error> {
        let mut model = Autoencoder::new(config)?;
        let (expected, got) = (model.config.input_dim(), scaler.shift().len());
        if expected != got {
            return Err(Error::Width { what: "a scaler", expected, got });
        }
        match &mut model.engine {
            AnyEngine::F32(engine) => take_over(engine, &scaler, layers),
            AnyEngine::F64(engine) => take_over(engine, &scaler, layers),
        }?;
        (model.scaler, model.fitted) = (scaler, true);
        Ok(model)
    }
}

/// Sets the scaler and all parameters.
fn take_over<T: Arithmetic, U: Arithmetic>(
    engine: &mut Engine<T>,
    scaler: &Scaler,
    layers: &[LayerParameters<U>],
) -> Result<(), Error> {
    let (expected, got) = (engine.network.layers.len(), layers.len());
    if expected != got {
        return Err(Error::LayerCount { expected, got });
    }
    engine.set_scaler(scaler);
    for (index, layer) in layers.iter().enumerate() {
        let narrow = |values: &[U]| values.iter().map(|x| T::from_f64(x.to_f64())).collect();
        let LayerParameters { inputs, outputs, ref weights, ref bias } = *layer;
        let layer = LayerParameters { inputs, outputs, weights: narrow(weights), bias: narrow(bias) };
        engine.network.check_layer(index, &layer)?;
        engine.set_layer(index, &layer);
    }
    Ok(())
}

/// Where training starts, if not at weights drawn from the seed.
#[derive(Clone, Debug)]
pub(crate) struct Start {
    layers: Vec<LayerParameters<f64>>,
    /// That of a top-k latent of batches.
    threshold: Option<f64>,
}

impl Start {
    /// The fingerprint of a training that starts here, from that of its rows.
    pub(crate) fn mark(&self, print: Fingerprint) -> Fingerprint {
        let Start { layers, threshold } = self;
        let values = layers.iter().flat_map(|layer| layer.weights.iter().chain(&layer.bias)).chain(threshold);
        let bytes: Vec<u8> = values.flat_map(|x| x.to_le_bytes()).collect();
        print.with_bytes(&bytes)
    }
}

/// Takes the engine to where training starts.
pub(crate) fn begin<T: Arithmetic>(
    engine: &mut Engine<T>,
    config: &Config,
    scaler: &Scaler,
    start: Option<&Start>,
) {
    let narrow = |values: &[f64]| values.iter().map(|x| T::from_f64(*x)).collect();
    engine.set_scaler(scaler);
    engine.reset(config);
    let Some(Start { layers, threshold }) = start else { return };
    for (index, layer) in layers.iter().enumerate() {
        let LayerParameters { inputs, outputs, ref weights, ref bias } = *layer;
        let layer = LayerParameters { inputs, outputs, weights: narrow(weights), bias: narrow(bias) };
        engine.network.set_layer(index, &layer);
    }
    engine.network.normalise();
    engine.start_mean();
    if let (Some(latent), Some(threshold)) = (engine.network.batch_top_k_mut(), *threshold) {
        latent.resume(threshold);
    }
}
