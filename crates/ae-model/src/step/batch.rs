//! The input of a step: its rows, and where its random numbers come from.

use ae_kernels::panel::Affine;

use crate::table::Table;

/// The rows of a step, or of a block of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Batch<'a, T> {
    /// Row-major, as wide as the network's input.
    pub(crate) table: Table<'a>,
    /// The rows of the table to process.
    pub(crate) indices: &'a [usize],
    /// The rows of the whole step.
    pub(crate) all: &'a [usize],
    /// How many rows of the step come before these.
    pub(crate) first: usize,
    /// The scaling of the rows.
    pub(crate) map: Option<Affine<'a, T>>,
    /// Where random numbers come from.
    pub(crate) draws: Draws,
    /// The mean of each feature of the encoding over the whole step, once a stage has waited for it.
    pub(crate) code_means: Option<&'a [f64]>,
    /// The smallest value of the encoding kept in the whole step, once a stage has waited for it.
    pub(crate) threshold: Option<T>,
    /// Features of the encoding to revive.
    pub(crate) dead: &'a [u32],
    /// The squared column norms of the encoder's weights, if a contractive penalty needs them.
    pub(crate) column_squares: &'a [T],
}

impl<'a, T> Batch<'a, T> {
    /// Creates the batch of a step on the rows `indices`.
    pub(crate) fn new(
        table: Table<'a>,
        indices: &'a [usize],
        map: Option<Affine<'a, T>>,
        draws: Draws,
    ) -> Self {
        Batch {
            table,
            indices,
            all: indices,
            first: 0,
            map,
            draws,
            code_means: None,
            threshold: None,
            dead: &[],
            column_squares: &[],
        }
    }

    /// Part `index` of the batch, split into parts of `rows` rows.
    pub(super) fn part(self, rows: usize, index: usize) -> Self {
        let start = index.saturating_mul(rows);
        let end = self.indices.len().min(start.saturating_add(rows));
        Batch { indices: &self.indices[start..end], first: self.first + start, ..self }
    }
}

/// Where the random numbers of a step come from, and how far training has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draws {
    pub(crate) seed: u64,
    /// The number of the step.
    pub(crate) step: u64,
    /// Epochs so far, including the fraction of the current one.
    pub(crate) epochs: f64,
}

impl Draws {
    /// The key of the random numbers for one use: a mix of seed, step and salt (the finaliser of
    /// SplitMix64, Steele et al. 2014).
    pub(crate) fn key(self, salt: u64) -> u64 {
        let mut key = self.seed;
        for part in [self.step, salt] {
            key = key
                .wrapping_add(part.wrapping_mul(0x9E37_79B9_7F4A_7C15))
                .wrapping_add(0x9E37_79B9_7F4A_7C15);
            key = (key ^ key >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            key = (key ^ key >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
            key ^= key >> 31;
        }
        key
    }

    /// How far a linear warm-up over `epochs` epochs has come, from 0 to 1.
    pub(crate) fn warm_up(self, epochs: usize) -> f64 {
        if epochs == 0 { 1.0 } else { (self.epochs / epochs as f64).min(1.0) }
    }
}
