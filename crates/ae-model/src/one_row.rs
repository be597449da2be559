//! One row at a time, as in a service: memory is kept between calls and no thread is woken.

use std::borrow::Borrow;

use ae_kernels::finite::all_finite;
use ae_kernels::par::Crew;

use crate::engine::Engine;
use crate::error::Error;
use crate::inference::{Inference, Part, Scratch};
use crate::model::{AnyEngine, Autoencoder, ErrorNorm, known_values};
use crate::step::Arithmetic;
use crate::table::first_wrong;

/// An [`Autoencoder`] for rows that arrive one by one ([`Autoencoder::one_row`]).
///
/// Calls allocate nothing and stay on the calling thread. Results are bit-identical to those of the same
/// rows in a batch.
///
/// `M` is the model or a pointer to it. With an [`Arc`](std::sync::Arc), each thread of a service keeps
/// one of these:
///
/// ```
/// # use std::sync::Arc;
/// # use ae_data::Rows;
/// use ae_model::{Autoencoder, Config, ErrorNorm, OneRow};
/// # let rows = Rows::new(&[0.0, 0.1, 0.4, 0.5, 0.9, 1.0], 2)?;
/// # let mut model = Autoencoder::new(Config::builder(2).encoding_dim(1).epochs(2).build()?)?;
/// # model.fit(&rows, &mut [])?;
///
/// let model = Arc::new(model);
/// let mut one = OneRow::new(Arc::clone(&model))?;
/// let worker = std::thread::spawn(move || one.error(&[0.2, 0.3], ErrorNorm::Sum));
/// # assert!(worker.join().is_ok_and(|error| error.is_ok_and(|error| error > 0.0)));
/// # Ok::<(), ae_model::Error>(())
/// ```
#[derive(Debug)]
pub struct OneRow<M> {
    model: M,
    /// Memory for one row in the arithmetic of the model; none in the other.
    single: Scratch<f32>,
    double: Scratch<f64>,
}

impl<M: Borrow<Autoencoder>> OneRow<M> {
    /// Sets up a model for single rows.
    ///
    /// # Errors
    /// [`Error::Data`] with [`DataError::OutOfMemory`](ae_data::DataError::OutOfMemory) if the memory of
    /// a very wide network cannot be allocated.
    pub fn new(model: M) -> Result<Self, Error> {
        let (mut single, mut double) = (Scratch::empty(), Scratch::empty());
        match &model.borrow().engine {
            AnyEngine::F32(engine) => single = Scratch::for_one_row(&engine.network)?,
            AnyEngine::F64(engine) => double = Scratch::for_one_row(&engine.network)?,
        }
        Ok(OneRow { model, single, double })
    }

    /// The model.
    pub fn model(&self) -> &Autoencoder {
        self.model.borrow()
    }

    /// Encodes `row` (`[input_dim]`) into `code` (`[encoding_dim]`).
    ///
    /// # Errors
    /// [`Error::Width`] for a slice of the wrong length, [`Error::NotFinite`].
    pub fn encode(&mut self, row: &[f32], code: &mut [f32]) -> Result<(), Error> {
        self.run(Part::Encoder, row, code)
    }

    /// Decodes `code` (`[encoding_dim]`) into `row` (`[input_dim]`), in the units of the data.
    ///
    /// # Errors
    /// As [`OneRow::encode`].
    pub fn decode(&mut self, code: &[f32], row: &mut [f32]) -> Result<(), Error> {
        self.run(Part::Decoder, code, row)
    }

    /// Reconstructs `row` into `rebuilt`, in the units of the data; both are `[input_dim]`.
    ///
    /// # Errors
    /// As [`OneRow::encode`].
    pub fn reconstruct(&mut self, row: &[f32], rebuilt: &mut [f32]) -> Result<(), Error> {
        self.run(Part::Whole, row, rebuilt)
    }

    /// Computes the reconstruction error of `row` (`[input_dim]`), on scaled features.
    ///
    /// # Errors
    /// As [`OneRow::encode`].
    pub fn error(&mut self, row: &[f32], norm: ErrorNorm) -> Result<f64, Error> {
        let model = self.model.borrow();
        check(model, Part::Whole, row)?;
        let error = match &model.engine {
            AnyEngine::F32(engine) => inference(engine).row_error(row, &mut self.single),
            AnyEngine::F64(engine) => inference(engine).row_error(row, &mut self.double),
        };
        Ok(if norm == ErrorNorm::Mean { error / known_values(row).max(1) as f64 } else { error })
    }

    fn run(&mut self, part: Part, row: &[f32], out: &mut [f32]) -> Result<(), Error> {
        let model = self.model.borrow();
        check(model, part, row)?;
        let (_, expected) = part.widths(model.config.input_dim(), model.config.encoding_dim());
        if out.len() != expected {
            return Err(Error::Width { what: "an output", expected, got: out.len() });
        }
        match &model.engine {
            AnyEngine::F32(engine) => inference(engine).run_one(part, row, &mut self.single, out),
            AnyEngine::F64(engine) => inference(engine).run_one(part, row, &mut self.double, out),
        }
        Ok(())
    }
}

/// Checks the width and the values of a row that enters a part.
fn check(model: &Autoencoder, part: Part, row: &[f32]) -> Result<(), Error> {
    let (expected, _) = part.widths(model.config.input_dim(), model.config.encoding_dim());
    if row.len() != expected {
        return Err(Error::Width { what: "a row", expected, got: row.len() });
    }
    if all_finite(model.engine.isa(), row) {
        return Ok(());
    }
    // NaN is a missing value, but not in an encoding.
    let allow_missing = model.config.mask_missing() && part != Part::Decoder;
    match first_wrong(row, allow_missing) {
        Some((column, value)) => {
            // An encoding has no names.
            let names = model.names.as_deref().filter(|_| part != Part::Decoder);
            let name = names.and_then(|names| names.get(column).cloned());
            Err(Error::NotFinite { row: 0, column, name, value })
        }
        None => Ok(()),
    }
}

fn inference<T: Arithmetic>(engine: &Engine<T>) -> Inference<'_, T> {
    Inference { network: &engine.network, maps: &engine.maps, crew: Crew::SOLO }
}
