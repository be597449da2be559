//! The state of a trainer as a file, from which its training continues.
//!
//! It is a safetensors file with the tensors of the engine's state (`engine/memory.rs`) and [`Header`],
//! as JSON under `ae.trainer`. It is no model file: the weights of that are not in panels, and in the
//! model's precision rather than the trainer's.

use std::collections::HashMap;

use ae_data::Schema;
use ae_kernels::Isa;
use safetensors::tensor::SafeTensors;
use serde::{Deserialize, Serialize};

use super::Trainer;
use crate::config::{Config, check_learning_rate};
use crate::engine::{LatentState, tensor};
use crate::error::{Error, FileErrorKind};
use crate::file::{Container, check_columns, read_text, verify_digest};
use crate::step::Arithmetic;

/// The version that this code writes, and the newest that it reads.
const FORMAT: u64 = 1;
const KEY: &str = "ae.trainer";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: u64,
    config: Config,
    names: Option<Vec<String>>,
    schema: Option<Schema>,
    updates: u64,
    /// Of the next updates.
    learning_rate: f64,
    latent: Option<LatentState>,
}

impl<T: Arithmetic> Trainer<T> {
    /// The trainer as the bytes of a file: configuration, weights, the optimizer's state, the number of
    /// updates, the learning rate, and what [`Trainer::from_model`] kept of a model.
    ///
    /// A trainer read from it continues as this one would: the same updates lead to the same bits, for
    /// any number of threads, given the same arithmetic (`f32` on AMX differs from that on AVX2 and
    /// AVX-512, and portable code from both). The choice of [`Trainer::set_products`] has to be made
    /// again.
    ///
    /// ```
    /// use ae_model::{Config, Isa, Optimizer, Trainer};
    ///
    /// let table: Vec<f32> = (0..200).map(|i| (i % 20) as f32 / 20.0).collect(); // [100, 2]
    /// let config = Config::builder(2).encoding_dim(1).optimizer(Optimizer::ADAM).build()?;
    /// let mut trainer = Trainer::<f32>::new(&config, Isa::active()?, None)?;
    /// trainer.enter(|session| session.train_batch(&table, &[0, 7, 23]))?;
    /// let saved = trainer.to_bytes()?; // ae_data::write_atomically puts it into a file
    /// let mut resumed = Trainer::<f32>::from_bytes(&saved, Isa::active()?, None)?;
    /// for trainer in [&mut trainer, &mut resumed] {
    ///     trainer.enter(|session| session.train_batch(&table, &[31, 4, 8]))?;
    /// }
    /// assert_eq!(resumed.layers(), trainer.layers());
    /// # Ok::<(), ae_model::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Bytes`] if parameters are not finite.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        self.written().map_err(Error::Bytes)
    }

    fn written(&self) -> Result<Vec<u8>, FileErrorKind> {
        let view = self.engine.state_view();
        let header = Header {
            format: FORMAT,
            config: self.config.clone(),
            names: self.names.clone(),
            schema: self.schema.clone(),
            updates: self.engine.updates(),
            learning_rate: self.engine.learning_rate(),
            latent: view.latent(),
        };
        let json = serde_json::to_string(&header).map_err(|e| FileErrorKind::Settings(e.to_string()))?;
        let mut file = Container::new(HashMap::from([(KEY.to_owned(), json)]));
        view.put(&mut file)?;
        file.add_digest();
        file.into_bytes()
    }

    /// Reads a trainer that [`Trainer::to_bytes`] wrote. `threads` as for
    /// [`Autoencoder::set_threads`](crate::Autoencoder::set_threads).
    ///
    /// # Errors
    /// [`Error::Bytes`] for bytes that are damaged, inconsistent, or those of a trainer of the other
    /// arithmetic; [`Error::Pool`] and [`Error::Data`] as for [`Trainer::new`].
    pub fn from_bytes(bytes: &[u8], isa: Isa, threads: Option<usize>) -> Result<Self, Error> {
        let (file, header) = read_header(bytes).map_err(Error::Bytes)?;
        let settings = |text: String| Error::Bytes(FileErrorKind::Settings(text));
        check_columns(&header.config, header.names.as_deref(), header.schema.as_ref())
            .map_err(Error::Bytes)?;
        check_learning_rate(header.learning_rate).map_err(|error| settings(error.to_string()))?;
        // Before memory is allocated for the network.
        let name = tensor("parameters");
        let stored = file.tensor(&name).map_or(0, |tensor| tensor.shape().iter().product());
        if header.config.parameter_count() > stored {
            let needed = header.config.parameter_count();
            return Err(settings(format!("{stored} of {needed} parameters are there")));
        }
        let mut trainer = Trainer::new(&header.config, isa, threads)?;
        let state = trainer.engine.state_view().read(&file, (header.updates, header.latent));
        trainer.engine.restore(&state.map_err(Error::Bytes)?);
        trainer.engine.set_learning_rate(header.learning_rate);
        // Tied weights have to be equal.
        for (index, layer) in trainer.layers().iter().enumerate() {
            let checked = trainer.engine.network.check_layer(index, layer);
            checked.map_err(|error| settings(error.to_string()))?;
        }
        (trainer.names, trainer.schema) = (header.names, header.schema);
        Ok(trainer)
    }
}

fn read_header(bytes: &[u8]) -> Result<(SafeTensors<'_>, Header), FileErrorKind> {
    let (texts, header) = read_text(bytes, KEY, FORMAT)?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| FileErrorKind::Container(e.to_string()))?;
    verify_digest(&file, &texts)?;
    Ok((file, header))
}
