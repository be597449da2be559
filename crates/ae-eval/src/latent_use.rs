//! How a variational model uses the dimensions of its latent space.

use ae_model::Posterior;

/// Variance of the posterior mean over the rows above which a dimension is active.
const ACTIVE: f64 = 0.01;

/// How much the encodings of rows tell about them, by dimension.
#[derive(Clone, Debug, PartialEq)]
pub struct LatentUse {
    /// The Kullback-Leibler divergence of each dimension from the prior, `[encoding_dim]`, in nats: the
    /// mean over the rows.
    pub divergences: Vec<f64>,
    /// Number of active dimensions: those whose posterior mean has a variance over the rows above 0.01
    /// (Burda et al. 2015, sec. 5.2). In the others, every row has nearly the same encoding.
    pub active: usize,
}

impl LatentUse {
    /// Measures the use of the latent dimensions by the rows of a posterior.
    pub fn of(posterior: &Posterior) -> LatentUse {
        let means = posterior.means();
        let (rows, dimensions) = (means.rows().max(1) as f64, means.features());
        let mut centres = vec![0.0; dimensions];
        for row in means.iter_rows() {
            centres.iter_mut().zip(row).for_each(|(centre, mean)| *centre += f64::from(*mean) / rows);
        }
        let mut variances = vec![0.0; dimensions];
        for row in means.iter_rows() {
            for ((variance, mean), centre) in variances.iter_mut().zip(row).zip(&centres) {
                *variance += (f64::from(*mean) - centre).powi(2) / rows;
            }
        }
        let active = variances.iter().filter(|variance| **variance > ACTIVE).count();
        LatentUse { divergences: posterior.divergences(), active }
    }

    /// The divergence of all dimensions together: nats per row.
    pub fn divergence(&self) -> f64 {
        self.divergences.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use ae_data::Dataset;

    use super::*;

    /// Means that vary by ±0.2 have a variance of 0.04, those that vary by ±0.05 one of 0.0025, wherever
    /// they are.
    #[test]
    fn dimensions_whose_mean_varies_are_active() {
        let means = Dataset::new(vec![0.2, 3.05, 0.0, -0.2, 2.95, 0.0], 3).unwrap();
        let log_variances = Dataset::new(vec![0.0; 6], 3).unwrap();
        let found = LatentUse::of(&Posterior::new(means, log_variances).unwrap());
        assert_eq!(found.active, 1);
        // With a variance of 1, a divergence is half the mean square.
        let expected = [0.02, 0.5 * (9.0 + 0.0025), 0.0];
        let close = |(found, expected): (&f64, f64)| (found - expected).abs() < 1e-6;
        assert!(found.divergences.iter().zip(expected).all(close), "{found:?}");
        assert!((found.divergence() - expected.iter().sum::<f64>()).abs() < 1e-6);
    }
}
