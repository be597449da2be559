//! Where training starts: from drawn weights or from those of another model.

use ae_data::Fingerprint;

use crate::config::Config;
use crate::engine::Engine;
use crate::error::Error;
use crate::model::{AnyEngine, Autoencoder};
use crate::network::LayerParameters;
use crate::scale::Scaler;
use crate::step::Arithmetic;

impl Autoencoder {
    /// Creates an autoencoder with another configuration that starts where `other` is: with its
    /// parameters, scaler, feature names and schema, and the threshold of its batch top-k latent if both
    /// have one.
    ///
    /// Anything but the layers may differ: the optimizer, the loss, noise, penalties, the number of
    /// samples of a variational autoencoder (Burda et al. 2015, sec. 5.2, train with one and continue
    /// with many). If the configuration keeps decoder vectors at norm 1 or ties weights and the other
    /// one does not, the parameters are adapted. Each [`fit`](Autoencoder::fit) then starts from these
    /// parameters with a fresh optimizer and keeps the scaler, on whose scale they are.
    ///
    /// # Errors
    /// [`Error::OtherLayers`] unless all layers have the same sizes; [`Error::Isa`]; [`Error::Pool`] if
    /// threads cannot be started.
    pub fn warm_start(config: Config, other: &Autoencoder) -> Result<Autoencoder, Error> {
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
        model.start = Some(InitialWeights { layers, threshold: other.latent_threshold() });
        match &mut model.engine {
            AnyEngine::F32(engine) => initialise(engine, &model.config, &model.scaler, model.start.as_ref()),
            AnyEngine::F64(engine) => initialise(engine, &model.config, &model.scaler, model.start.as_ref()),
        }
        Ok(model)
    }
}

impl Autoencoder {
    /// Creates a fitted model from parameters, encoder first, on the scale of `scaler`.
    ///
    /// They may come from another program; those of your own training loop become a model with
    /// [`crate::Trainer::to_model`]. With the [`layers`](Autoencoder::layers) of a new model, this sets
    /// a scale for [`partial_fit`](Autoencoder::partial_fit), which then does not have to infer one from
    /// its first rows. A batch top-k latent has the threshold of a new model, 0, until
    /// [`set_latent_threshold`](Autoencoder::set_latent_threshold).
    ///
    /// [`fit`](Autoencoder::fit) draws fresh weights; [`Autoencoder::warm_start`] makes a model whose
    /// training starts from these.
    ///
    /// # Errors
    /// [`Error::Width`] unless the scaler has as many features as the configuration;
    /// [`Error::LayerCount`] and [`Error::LayerShape`] for layers that do not match it;
    /// [`Error::Parameter`] for a parameter that is not finite; [`Error::NotTied`] for decoder weights
    /// that should be tied to the encoder's but are not their transpose; [`Error::Isa`],
    /// [`Error::Pool`].
    pub fn from_layers<T: Arithmetic>(
        config: Config,
        scaler: Scaler,
        layers: &[LayerParameters<T>],
    ) -> Result<Autoencoder, Error> {
        Autoencoder::new(config)?.with_layers(scaler, layers)
    }

    /// This model, new so far, with the given scaler and parameters.
    pub(crate) fn with_layers<T: Arithmetic>(
        mut self,
        scaler: Scaler,
        layers: &[LayerParameters<T>],
    ) -> Result<Autoencoder, Error> {
        let (expected, got) = (self.config.input_dim(), scaler.shift().len());
        if expected != got {
            return Err(Error::Width { what: "a scaler", expected, got });
        }
        match &mut self.engine {
            AnyEngine::F32(engine) => set_layers(engine, &scaler, layers),
            AnyEngine::F64(engine) => set_layers(engine, &scaler, layers),
        }?;
        (self.scaler, self.fitted) = (scaler, true);
        Ok(self)
    }
}

/// Sets the scaler and all parameters.
fn set_layers<T: Arithmetic, U: Arithmetic>(
    engine: &mut Engine<T>,
    scaler: &Scaler,
    layers: &[LayerParameters<U>],
) -> Result<(), Error> {
    let (expected, got) = (engine.network.layers.len(), layers.len());
    if expected != got {
        return Err(Error::LayerCount { expected, got });
    }
    engine.set_scaler(scaler);
    for (index, layer) in layers.iter().map(LayerParameters::cast).enumerate() {
        engine.network.check_layer(index, &layer)?;
        engine.set_layer(index, &layer);
    }
    Ok(())
}

/// Where training starts, if not from weights drawn from the seed.
#[derive(Clone, Debug)]
pub(crate) struct InitialWeights {
    layers: Vec<LayerParameters<f64>>,
    /// The threshold of a batch top-k latent.
    threshold: Option<f64>,
}

impl InitialWeights {
    /// Adds this start to the fingerprint of a training run's rows.
    pub(crate) fn add_to_fingerprint(&self, print: Fingerprint) -> Fingerprint {
        let InitialWeights { layers, threshold } = self;
        let values = layers.iter().flat_map(|layer| layer.weights.iter().chain(&layer.bias)).chain(threshold);
        let bytes: Vec<u8> = values.flat_map(|x| x.to_le_bytes()).collect();
        print.with_bytes(&bytes)
    }
}

/// Sets the engine to where training starts.
pub(crate) fn initialise<T: Arithmetic>(
    engine: &mut Engine<T>,
    config: &Config,
    scaler: &Scaler,
    start: Option<&InitialWeights>,
) {
    engine.set_scaler(scaler);
    engine.reset(config);
    let Some(InitialWeights { layers, threshold }) = start else { return };
    for (index, layer) in layers.iter().enumerate() {
        engine.network.set_layer(index, &layer.cast());
    }
    engine.network.normalise();
    engine.restart_mean();
    if let (Some(latent), Some(threshold)) = (engine.network.batch_top_k_mut(), *threshold) {
        latent.resume(threshold);
    }
}
