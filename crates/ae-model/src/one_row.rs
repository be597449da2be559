//! One row at a time, as in a service: memory is kept between calls and no thread is woken.

use ae_kernels::Isa;
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
#[derive(Debug)]
pub struct OneRow<'a> {
    input: usize,
    code: usize,
    /// Whether NaN is a missing value.
    allow_missing: bool,
    isa: Isa,
    row: Row<'a>,
}

/// The model's engine with memory for one row.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "one of them a thread")]
enum Row<'a> {
    F32(&'a Engine<f32>, Scratch<f32>),
    F64(&'a Engine<f64>, Scratch<f64>),
}

impl<'a> OneRow<'a> {
    pub(crate) fn new(model: &'a Autoencoder) -> Self {
        let row = match &model.engine {
            AnyEngine::F32(engine) => Row::F32(engine, Scratch::for_one_row(&engine.network)),
            AnyEngine::F64(engine) => Row::F64(engine, Scratch::for_one_row(&engine.network)),
        };
        let config = &model.config;
        let (input, code, allow_missing) = (config.input_dim(), config.encoding_dim(), config.mask_missing());
        OneRow { input, code, allow_missing, isa: model.engine.isa(), row }
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
        let features = self.input;
        self.check(row, features, self.allow_missing)?;
        let error = match &mut self.row {
            Row::F32(engine, scratch) => inference(engine).row_error(row, scratch),
            Row::F64(engine, scratch) => inference(engine).row_error(row, scratch),
        };
        Ok(if norm == ErrorNorm::Mean { error / known_values(row).max(1) as f64 } else { error })
    }

    fn run(&mut self, part: Part, row: &[f32], out: &mut [f32]) -> Result<(), Error> {
        let OneRow { input, code, .. } = *self;
        let (from, to) = match part {
            Part::Encoder => (input, code),
            Part::Decoder => (code, input),
            Part::Whole => (input, input),
        };
        self.check(row, from, self.allow_missing && part != Part::Decoder)?;
        if out.len() != to {
            return Err(Error::Width { what: "an output", expected: to, got: out.len() });
        }
        match &mut self.row {
            Row::F32(engine, scratch) => inference(engine).run_one(part, row, scratch, out),
            Row::F64(engine, scratch) => inference(engine).run_one(part, row, scratch, out),
        }
        Ok(())
    }

    fn check(&self, row: &[f32], expected: usize, allow_missing: bool) -> Result<(), Error> {
        if row.len() != expected {
            return Err(Error::Width { what: "a row", expected, got: row.len() });
        }
        if all_finite(self.isa, row) {
            return Ok(());
        }
        match first_wrong(row, allow_missing) {
            Some((column, value)) => Err(Error::NotFinite { row: 0, column, name: None, value }),
            None => Ok(()),
        }
    }
}

fn inference<T: Arithmetic>(engine: &Engine<T>) -> Inference<'_, T> {
    Inference { network: &engine.network, maps: &engine.maps, crew: Crew::SOLO }
}
