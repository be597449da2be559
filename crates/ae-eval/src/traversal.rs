//! Latent traversals: what each value of a variational encoding represents.

use ae_data::{Dataset, memory};
use ae_model::{Autoencoder, Error, Latent};

use crate::error::EvalError;

/// Rows decoded along the axes of the latent space.
#[derive(Clone, Debug, PartialEq)]
pub struct Traversal {
    /// The values at which each axis is decoded, ascending.
    pub values: Vec<f32>,
    /// The decoded rows in the units of the data, `[encoding_dim * values, input_dim]`: all values of
    /// the first axis, then of the next.
    pub rows: Dataset,
}

/// Decodes `steps` points along each axis of a variational model's latent space, evenly spaced from
/// `-extent` to `extent`, with all other values of the encoding at 0.
///
/// The prior of each value is the standard normal distribution, so an extent of 3 covers all but 0.3 %
/// of it (as in fig. 2 of Higgins et al. 2017). An axis along which nothing changes is one that the
/// model does not use.
///
/// # Errors
/// [`EvalError::InvalidSetting`] for fewer than two steps or more than 10,000, or an extent that is not
/// positive and finite; [`Error::NotVariational`], within [`EvalError::Model`], for a model whose
/// encodings have no prior; [`EvalError::Data`] with
/// [`DataError::OutOfMemory`](ae_data::DataError::OutOfMemory) for more points than fit into memory.
pub fn traverse(model: &Autoencoder, steps: usize, extent: f32) -> Result<Traversal, EvalError> {
    let latent = match model.config().latent() {
        Latent::Gaussian(_) => None,
        Latent::TopK(_) => Some("top-k"),
        _ => Some("plain"),
    };
    if let Some(latent) = latent {
        return Err(Error::NotVariational { what: "a traversal", latent }.into());
    }
    if !(2..=10_000).contains(&steps) {
        return Err(EvalError::InvalidSetting { field: "the number of steps", allowed: "from 2 to 10,000" });
    }
    if !(extent > 0.0 && extent.is_finite()) {
        return Err(EvalError::InvalidSetting { field: "the extent", allowed: "above 0 and finite" });
    }
    let at = |step: usize| extent * (2.0 * step as f32 / (steps - 1) as f32 - 1.0);
    let values: Vec<f32> = (0..steps).map(at).collect();
    let axes = model.config().encoding_dim();
    let mut codes = memory::zeros("the encodings", axes.saturating_mul(steps), axes)?;
    for (place, code) in codes.chunks_exact_mut(axes).enumerate() {
        code[place / steps] = values[place % steps];
    }
    let rows = model.decode(&Dataset::new(codes, axes)?)?;
    Ok(Traversal { values, rows })
}

#[cfg(test)]
mod tests {
    use ae_model::{Config, Gaussian};

    use super::*;

    fn model(latent: Latent) -> Autoencoder {
        Autoencoder::new(Config::builder(7).hidden_dims([5]).encoding_dim(3).latent(latent).build().unwrap())
            .unwrap()
    }

    #[test]
    fn each_line_is_one_axis() {
        let model = model(Latent::Gaussian(Gaussian::default()));
        let Traversal { values, rows } = traverse(&model, 5, 3.0).unwrap();
        assert_eq!(values, [-3.0, -1.5, 0.0, 1.5, 3.0]);
        assert_eq!((rows.rows(), rows.features()), (15, 7));
        let by_hand = |code: [f32; 3]| model.decode(&Dataset::new(code.to_vec(), 3).unwrap()).unwrap();
        assert_eq!(rows.row(0), by_hand([-3.0, 0.0, 0.0]).row(0));
        assert_eq!(rows.row(8), by_hand([0.0, 1.5, 0.0]).row(0));
        assert_eq!(rows.row(14), by_hand([0.0, 0.0, 3.0]).row(0));
        // All lines have the same middle.
        assert!(rows.row(2) == rows.row(7) && rows.row(7) == rows.row(12) && rows.row(2) != rows.row(3));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let plain = traverse(&model(Latent::Plain), 5, 3.0).unwrap_err().to_string();
        assert_eq!(plain, "a traversal needs a variational autoencoder, but this model's latent is plain");
        // 10,000 steps along 2¹⁶ axes of as many values are more than processes can address.
        let wide = Config::builder(1).hidden_dims([]).encoding_dim(1 << 16).latent(Latent::gaussian());
        let wide = Autoencoder::new(wide.build().unwrap()).unwrap();
        let said = traverse(&wide, 10_000, 3.0).unwrap_err().to_string();
        assert_eq!(said, "the encodings do not fit into memory: 655360000 rows of 65536 values");
        let model = model(Latent::Gaussian(Gaussian::default()));
        for (steps, extent) in [(1, 3.0), (5, 0.0), (5, f32::NAN), (5, f32::INFINITY)] {
            assert!(matches!(traverse(&model, steps, extent), Err(EvalError::InvalidSetting { .. })));
        }
    }

    #[test]
    fn more_points_than_fit_into_memory_are_refused() {
        // 2¹⁶ times 10⁴ encodings of 2¹⁶ values are more than processes can address.
        let config = Config::builder(1).hidden_dims([]).encoding_dim(1 << 16).latent(Latent::gaussian());
        let model = Autoencoder::new(config.build().unwrap()).unwrap();
        let said = traverse(&model, 10_000, 3.0).unwrap_err().to_string();
        assert_eq!(said, "the encodings do not fit into memory: 655360000 rows of 65536 values");
    }
}
