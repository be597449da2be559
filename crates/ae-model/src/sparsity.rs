//! How sparse encodings are, and how much variance they explain.

use ae_data::BatchSource;

use crate::config::Latent;
use crate::error::Error;
use crate::model::{Autoencoder, targets_of};

/// Rows encoded at a time: wide encodings of all rows might not fit in memory.
const ROWS: usize = 1024;

/// Sparsity and quality of encodings, measured on some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Sparsity {
    /// Mean number of values of an encoding that are not zero ("L0").
    pub active: f64,
    /// Fraction of the values of the encoding that are zero in every row.
    pub dead: f64,
    /// `1 - Σ (x̂ - x)² / Σ (x - mean)²` over the scaled rows and features, with the mean of each
    /// feature: 1 is perfect, 0 as good as predicting the mean. Missing values do not count. NaN if all
    /// rows are the same.
    pub variance_explained: f64,
}

impl Autoencoder {
    /// Whether the latent is top-k, so that encodings contain zeros by design; a code penalty only makes
    /// values small.
    pub fn is_sparse(&self) -> bool {
        matches!(self.config.latent(), Latent::TopK(_))
    }

    /// Measures how sparse the encodings of `data` are and how much of its variance they explain.
    ///
    /// # Errors
    /// [`Error::NoRows`] for a source without rows, [`Error::Width`], [`Error::Names`],
    /// [`Error::NotFinite`], [`Error::Targets`], or what reading `data` returns.
    pub fn sparsity(&self, data: &dyn BatchSource) -> Result<Sparsity, Error> {
        let (rows, features, code) = (data.rows(), self.config.input_dim(), self.config.encoding_dim());
        let mse = self.mse(data)?;
        // The variance to explain is that of the expected output.
        let scaled = self.scaled(targets_of(data)?.unwrap_or(data))?;
        let mut ever = vec![false; code];
        let mut active = 0;
        // Sums of values and their squares relative to the first value, so that a large mean costs no
        // precision.
        let (mut sums, mut squares) = (vec![0.0; features], vec![0.0; features]);
        let mut known = vec![0usize; features];
        let mut origin = vec![f32::NAN; features];
        let mut table = vec![0.0; ROWS.min(rows) * features];
        let all: Vec<usize> = (0..rows).collect();
        for indices in all.chunks(ROWS) {
            let table = &mut table[..indices.len() * features];
            data.read_rows(indices, table)?;
            let codes = self.encode(&ae_data::Rows::new(table, features)?)?;
            for code in codes.values().chunks_exact(code) {
                for (ever, value) in ever.iter_mut().zip(code) {
                    let is_active = *value != 0.0;
                    *ever |= is_active;
                    active += usize::from(is_active);
                }
            }
            scaled.read_rows(indices, table)?;
            for row in table.chunks_exact(features) {
                for (index, (x, origin)) in
                    row.iter().zip(&mut origin).enumerate().filter(|(_, (x, _))| !x.is_nan())
                {
                    if origin.is_nan() {
                        *origin = *x;
                    }
                    let x = f64::from(*x) - f64::from(*origin);
                    sums[index] += x;
                    squares[index] += x * x;
                    known[index] += 1;
                }
            }
        }
        let of_feature =
            |((sum, square), known): ((&f64, &f64), &usize)| square - sum * sum / (*known).max(1) as f64;
        let spread: f64 = sums.iter().zip(&squares).zip(&known).map(of_feature).sum();
        let known = known.iter().sum::<usize>();
        Ok(Sparsity {
            active: active as f64 / rows as f64,
            dead: ever.iter().filter(|ever| !**ever).count() as f64 / code as f64,
            variance_explained: if spread > 0.0 { 1.0 - mse * known as f64 / spread } else { f64::NAN },
        })
    }
}
