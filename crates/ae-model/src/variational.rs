//! What only variational autoencoders can do: generate rows and estimate the likelihood of rows.

use ae_data::{BatchSource, DataError, Dataset, memory};
use ae_kernels::Isa;
use ae_kernels::loss::LOG_VARIANCE;
use ae_kernels::noise::{self, Stream};
use ae_kernels::panel::{self, Panels, PanelsMut, panel_len};
use ae_kernels::par::Crew;

use crate::config::{Config, Latent, Loss, out_of_range};
use crate::engine::{Engine, Products};
use crate::error::Error;
use crate::inference::Part;
use crate::model::{AnyEngine, Autoencoder, known_values};
use crate::scale::Scaler;
use crate::snapshot::expect_width;
use crate::step::{self, Arithmetic};

/// What errors call encodings that do not fit into memory.
const ENCODINGS: &str = "the encodings";
/// Rows whose samples are in memory at the same time.
const ROWS: usize = 128;
/// Samples per row that are in memory at the same time.
const SAMPLES: usize = 50;
/// Largest number of rows generated at once.
const MAX_ROWS: usize = 1_000_000_000;
/// Largest total number of samples per row.
const MAX_SAMPLES: usize = 1_000_000;

impl Autoencoder {
    /// Generates `rows` rows, in the units of the data, by decoding encodings drawn from the prior,
    /// `N(0, 1)` in each dimension.
    ///
    /// For a given seed, rows agree across CPUs up to rounding in the decoder, and asking for more rows
    /// yields the same first ones.
    ///
    /// # Errors
    /// [`Error::NotVariational`] unless the latent is [`Latent::Gaussian`]; [`Error::Config`] for more
    /// than 10⁹ rows; [`Error::Data`] with [`DataError::OutOfMemory`] for
    /// more than fit into memory.
    pub fn generate(&self, rows: usize, seed: u64) -> Result<Dataset, Error> {
        self.expect_variational("generating rows")?;
        crate::config::in_range("rows", rows, 0, MAX_ROWS)?;
        let dim = self.config().encoding_dim();
        let codes = standard_normal(self.engine.isa(), (rows, dim), seed)?;
        self.decode(&Dataset::new(codes, dim)?)
    }

    /// The approximate posterior of each row's encoding, whose mean is what
    /// [`encode`](Autoencoder::encode) returns.
    ///
    /// # Errors
    /// [`Error::NotVariational`]; [`Error::Width`], [`Error::Names`], [`Error::NotFinite`], or what
    /// reading `data` returns.
    pub fn posterior(&self, data: &dyn BatchSource) -> Result<Posterior, Error> {
        self.expect_variational("a posterior")?;
        let dim = self.config().encoding_dim();
        let both = self.view().through(Part::Posterior, data)?;
        let [mut means, mut log_variances] =
            [memory::zeros(ENCODINGS, both.rows(), dim)?, memory::zeros(ENCODINGS, both.rows(), dim)?];
        let halves = means.chunks_exact_mut(dim).zip(log_variances.chunks_exact_mut(dim));
        for (row, (means, log_variances)) in both.iter_rows().zip(halves) {
            means.copy_from_slice(&row[..dim]);
            for (to, from) in log_variances.iter_mut().zip(&row[dim..]) {
                *to = from.clamp(LOG_VARIANCE.0 as f32, LOG_VARIANCE.1 as f32);
            }
        }
        Posterior::new(Dataset::new(means, dim)?, Dataset::new(log_variances, dim)?)
    }

    /// Estimates `ln p(x)` of each row, `[rows]`, in nats, from `samples` samples of its encoding.
    ///
    /// The estimate is the bound of Burda et al. 2015, eq. 8, which is too low in expectation and
    /// tightens with more samples. The loss defines `p(x | z)` of the scaled features: Bernoulli for
    /// [`Loss::Bce`], a Gaussian for [`Loss::GaussianNll`], a Gaussian of variance 1 for [`Loss::Mse`]
    /// and [`Loss::SigmoidMse`], whatever β the model was trained with.
    ///
    /// # Errors
    /// [`Error::NotVariational`]; [`Error::Config`] for a loss that is not a likelihood or for `samples`
    /// outside 2 to 1,000,000; [`Error::OutsideScalerRange`] for values without a Bernoulli likelihood;
    /// [`Error::Width`], [`Error::Names`], [`Error::NotFinite`], or what reading `data` returns.
    pub fn log_likelihood(
        &self,
        data: &dyn BatchSource,
        samples: usize,
        seed: u64,
    ) -> Result<Vec<f64>, Error> {
        self.expect_variational("a likelihood")?;
        let features = self.config().input_dim();
        self.view().expect_rows(data)?;
        // Per known value.
        let constant = match self.config().loss() {
            Loss::Bce | Loss::GaussianNll => 0.0,
            Loss::Mse | Loss::SigmoidMse => -0.5 * (2.0 * std::f64::consts::PI).ln(),
            loss => {
                return Err(out_of_range(
                    "loss",
                    loss,
                    "bce, gaussian-nll, mse or sigmoid-mse for a likelihood",
                )
                .into());
            }
        };
        crate::config::in_range("samples", samples, 2, MAX_SAMPLES)?;
        let rows = data.rows();
        if self.config().loss() == Loss::Bce {
            self.expect_unit_range(data, &memory::indices(0..rows)?)?;
        }
        let mut values: Vec<f64> = memory::zeros("the likelihoods", rows, 1)?;
        let mut sampler = match &self.engine {
            AnyEngine::F32(e) => {
                AnySampler::F32(ImportanceSampler::new(e, self.config(), self.scaler(), samples, seed))
            }
            AnyEngine::F64(e) => {
                AnySampler::F64(ImportanceSampler::new(e, self.config(), self.scaler(), samples, seed))
            }
        };
        self.view().staged(Part::Whole, data, None, rows, |first, table, crew| {
            let table = table.rows;
            let out = &mut values[first..][..table.len() / features];
            match &mut sampler {
                AnySampler::F32(sampler) => sampler.run(crew, first, table, out),
                AnySampler::F64(sampler) => sampler.run(crew, first, table, out),
            }
            for (value, row) in out.iter_mut().zip(table.chunks_exact(features)) {
                *value += constant * known_values(row) as f64;
            }
        })?;
        Ok(values)
    }

    fn expect_variational(&self, what: &'static str) -> Result<(), Error> {
        match self.config().latent() {
            Latent::Gaussian(_) => Ok(()),
            latent => Err(Error::NotVariational { what, latent: latent.name() }),
        }
    }
}

/// What a variational encoder says about the encodings of rows ([`Autoencoder::posterior`]):
/// independent Gaussians in each dimension.
#[derive(Clone, Debug, PartialEq)]
pub struct Posterior {
    means: Dataset,
    log_variances: Dataset,
}

impl Posterior {
    /// Creates a posterior from means and natural logarithms of variances, both `[rows, encoding_dim]`.
    ///
    /// # Errors
    /// [`Error::Width`] or [`Error::Data`] with [`DataError::Count`] unless both have as many features
    /// and rows.
    pub fn new(means: Dataset, log_variances: Dataset) -> Result<Posterior, Error> {
        expect_width("log-variances", means.features(), &log_variances)?;
        let (expected, got) = (means.rows(), log_variances.rows());
        if got != expected {
            return Err(DataError::Count { what: "log-variances", of: "means", expected, got }.into());
        }
        Ok(Posterior { means, log_variances })
    }

    /// The means, `[rows, encoding_dim]`.
    pub fn means(&self) -> &Dataset {
        &self.means
    }

    /// The natural logarithms of the variances, `[rows, encoding_dim]`, clamped as in training.
    pub fn log_variances(&self) -> &Dataset {
        &self.log_variances
    }

    /// The Kullback-Leibler divergence from the prior, `N(0, 1)`, of each dimension, `[encoding_dim]`,
    /// in nats: the mean over the rows of `½ (μ² + σ² - 1 - ln σ²)` (Kingma & Welling 2014,
    /// appendix B).
    ///
    /// A dimension that the model does not use has a divergence near 0. Without rows, all are 0.
    pub fn divergences(&self) -> Vec<f64> {
        let mut sums = vec![0.0; self.means.features()];
        for (means, log_variances) in self.means.iter_rows().zip(self.log_variances.iter_rows()) {
            for (sum, (mean, log_variance)) in sums.iter_mut().zip(means.iter().zip(log_variances)) {
                let (mean, log_variance) = (f64::from(*mean), f64::from(*log_variance));
                *sum += 0.5 * (mean * mean + log_variance.exp_m1() - log_variance);
            }
        }
        let rows = self.means.rows().max(1) as f64;
        sums.iter_mut().for_each(|sum| *sum /= rows);
        sums
    }

    /// Draws an encoding of each row, `[rows, encoding_dim]`, for [`Autoencoder::decode`]: variations of
    /// the rows, the more alike the smaller the variances.
    ///
    /// For a given seed, draws agree across CPUs up to rounding, and those of a row depend on its place
    /// alone, not on how many follow.
    ///
    /// # Errors
    /// [`Error::Isa`]; [`Error::Data`] with [`DataError::OutOfMemory`].
    pub fn sample(&self, seed: u64) -> Result<Dataset, Error> {
        let mut codes = standard_normal(Isa::active()?, (self.means.rows(), self.means.features()), seed)?;
        let parameters = self.means.values().iter().zip(self.log_variances.values());
        for (code, (mean, log_variance)) in codes.iter_mut().zip(parameters) {
            *code = mean + (0.5 * log_variance).exp() * *code;
        }
        Ok(Dataset::new(codes, self.means.features())?)
    }
}

/// Draws a `[rows, features]` table of standard normal numbers.
fn standard_normal(isa: Isa, (rows, features): (usize, usize), seed: u64) -> Result<Vec<f32>, Error> {
    // The numbers are held in two layouts, each of which panels may pad to whole lines.
    let mut table = memory::zeros(ENCODINGS, rows, features)?;
    let mut panels: Vec<f32> = memory::zeros(ENCODINGS, panel_len::<f32>(1, rows), features)?;
    let stream = Stream { key: seed, first_row: 0, draw_index: 0 };
    noise::normal(isa, stream, PanelsMut::new(&mut panels, features, rows));
    panel::scatter_rows(isa, Panels::new(&panels, features, rows), None, &mut table);
    Ok(table)
}

/// Importance-weighted estimates, in several passes over the rows with some of the samples each.
struct ImportanceSampler<T: Arithmetic> {
    /// Number of passes, samples per pass, and the engine for them.
    passes: Vec<(usize, usize, Engine<T>)>,
    samples: usize,
}

enum AnySampler {
    F32(ImportanceSampler<f32>),
    F64(ImportanceSampler<f64>),
}

impl<T: Arithmetic> ImportanceSampler<T> {
    fn new(trained: &Engine<T>, config: &Config, scaler: &Scaler, samples: usize, seed: u64) -> Self {
        let count = samples.div_ceil(SAMPLES);
        let (each, larger) = (samples / count, samples % count);
        let engine = |samples: usize| {
            let mut engine =
                Engine::new(trained.network.isa, &config.for_importance_weighting(samples, seed), scaler);
            engine.copy_weights_from(trained);
            // The same arithmetic for all: a row's result must not depend on how many rows come with it.
            let on_tiles = step::tiles_pay(&engine.network, ROWS);
            engine.set_products(if on_tiles { Products::Split } else { Products::Plain });
            engine
        };
        let passes = [(larger, each + 1), (count - larger, each)];
        let passes = passes.into_iter().filter(|(times, _)| *times > 0);
        let passes = passes.map(|(times, samples)| (times, samples, engine(samples))).collect();
        ImportanceSampler { passes, samples }
    }

    /// Computes `ln` of the mean importance weight of each row's samples.
    fn run(&mut self, crew: Crew<'_>, first: usize, table: &[f32], out: &mut [f64]) {
        let features = table.len() / out.len().max(1);
        let mut losses = [0.0; ROWS];
        let indices: [usize; ROWS] = std::array::from_fn(|i| i);
        let total = self.samples as f64;
        for (block, (table, out)) in table.chunks(ROWS * features).zip(out.chunks_mut(ROWS)).enumerate() {
            let (losses, indices) = (&mut losses[..out.len()], &indices[..out.len()]);
            // Each pass over each block has its own random numbers.
            let mut step = ((first / ROWS + block) * MAX_SAMPLES) as u64;
            out.fill(f64::NEG_INFINITY);
            for (times, samples, engine) in &mut self.passes {
                let log_fraction = (*samples as f64 / total).ln();
                for _ in 0..*times {
                    engine.losses_at(crew, step, table.into(), indices, losses);
                    step += 1;
                    for (sum, loss) in out.iter_mut().zip(&*losses) {
                        *sum = log_add_exp(*sum, log_fraction - loss);
                    }
                }
            }
        }
    }
}

/// `ln (e^a + e^b)`
fn log_add_exp(a: f64, b: f64) -> f64 {
    let most = a.max(b);
    if most == f64::NEG_INFINITY { most } else { most + ((a - most).exp() + (b - most).exp()).ln() }
}
