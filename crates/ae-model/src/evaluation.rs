//! The error of rows in memory, in memory that is kept from one evaluation to the next.

use ae_kernels::par::Crew;

use crate::engine::Engine;
use crate::inference::{BLOCK_ROWS, Scratch, Source};
use crate::model::{inference, known_values};
use crate::snapshot::worth_waking;
use crate::step::Arithmetic;
use crate::table::Table;

/// Memory of evaluations: a piece per thread.
#[derive(Clone, Debug)]
pub(crate) struct Evaluation<T> {
    pieces: Vec<Piece<T>>,
    /// The network's, per row.
    multiply_adds: usize,
}

/// Consecutive rows, and the memory to evaluate them.
#[derive(Clone, Debug)]
struct Piece<T> {
    scratch: Scratch<T>,
    /// The squared error of each row.
    errors: Vec<f64>,
}

impl<T: Arithmetic> Evaluation<T> {
    /// Memory for a network with so many multiply-adds per row.
    pub(crate) fn new(multiply_adds: usize) -> Self {
        Evaluation { pieces: Vec::new(), multiply_adds }
    }

    /// Computes the MSE over the known values of the rows. It sums the errors in the order of
    /// [`crate::Autoencoder::mse`], whatever the number of threads.
    pub(crate) fn mse(
        &mut self,
        engine: &Engine<T>,
        crew: Crew<'_>,
        table: Table<'_>,
        indices: &[usize],
    ) -> f64 {
        let crew = crew.for_work(worth_waking(self.multiply_adds, indices.len()));
        let threads = crew.threads();
        if self.pieces.len() < threads {
            let piece = || Piece { scratch: Scratch::for_all_rows(&engine.network), errors: Vec::new() };
            self.pieces.resize_with(threads, piece);
        }
        let each = indices.len().div_ceil(threads).next_multiple_of(BLOCK_ROWS);
        let pieces = &mut self.pieces[..indices.len().div_ceil(each)];
        for (piece, indices) in pieces.iter_mut().zip(indices.chunks(each)) {
            piece.errors.resize(indices.len(), 0.0);
        }
        let source = Source { table, indices: Some(indices) };
        crew.for_each_chunk(pieces, 1, |index, piece| {
            for Piece { scratch, errors } in piece {
                inference(engine, Crew::SOLO).row_errors_in(source, index * each, scratch, errors);
            }
        });
        let features = engine.network.input;
        let known = match engine.network.objective.mask_missing {
            true => {
                indices.iter().map(|row| known_values(&table.expected()[row * features..][..features])).sum()
            }
            false => indices.len() * features,
        };
        pieces.iter().flat_map(|piece| &piece.errors).sum::<f64>() / known.max(1) as f64
    }
}
