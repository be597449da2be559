//! t-SNE: a map of rows in the plane, to compare an encoding with.

mod affinities;

use ae_data::{BatchSource, Dataset, Rng, Rows};

use crate::blocks::finite_values;
use crate::error::EvalError;
use crate::pca::Pca;
use ae_data::threads;
use affinities::joint_affinities;

/// Iterations with attraction [`EXAGGERATION`] times as strong and the smaller momentum.
const EARLY_ITERATIONS: usize = 250;
/// Strength of attraction in the early iterations.
const EXAGGERATION: f64 = 12.0;
/// Initial standard deviation of the first coordinate.
const INITIAL_STD: f64 = 1e-4;
/// Maximum of the noise in the initial coordinates: without it, rows along a line could not leave it.
const INITIAL_NOISE: f64 = 1e-6;
/// Smallest gain, the factor on the steps of a coordinate.
const MIN_GAIN: f64 = 0.01;
/// The minimum number of rows.
const MIN_ROWS: usize = 4;
/// The maximum number of rows, whose pairs take 3.2 GB.
const MAX_ROWS: usize = 20_000;
/// Rows per work item of a thread.
const ROWS_AT_A_TIME: usize = 16;

/// Settings of [`tsne`].
///
/// ```
/// use ae_eval::TsneSettings;
///
/// let settings = TsneSettings { perplexity: 10.0, ..TsneSettings::default() };
/// # assert_eq!(settings.iterations, 1000);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TsneSettings {
    /// The effective number of neighbours of a row: from 1 to one less than the number of rows.
    pub perplexity: f64,
    /// Steps of gradient descent.
    pub iterations: usize,
    /// Seed of the small noise in the initial coordinates.
    pub seed: u64,
    /// Number of threads; `None` means all cores. Results do not depend on it.
    pub threads: Option<usize>,
}

impl Default for TsneSettings {
    fn default() -> TsneSettings {
        TsneSettings { perplexity: 30.0, iterations: 1000, seed: 0, threads: None }
    }
}

/// Lays out `rows` in the plane so that near rows stay near, `[rows, 2]`.
///
/// This is t-distributed stochastic neighbour embedding (van der Maaten & Hinton 2008), computed exactly
/// over all pairs of rows in double precision. With affinities `p_ij = (p_j|i + p_i|j) / (2m)`,
/// `p_j|i ∝ exp(-β_i |x_i - x_j|²)`, where `β_i` gives row i the perplexity, and
/// `w_ij = 1 / (1 + |y_i - y_j|²)`, `q_ij = w_ij / Σ w`, it minimises `Σ p_ij ln(p_ij / q_ij)`, whose
/// gradient is `4 Σ_j (p_ij - q_ij) w_ij (y_i - y_j)` (eq. 5). It starts from the first two principal
/// components and takes steps like scikit-learn: learning rate `max(m / 48, 50)`; momentum 0.5 and
/// twelvefold attraction for 250 iterations, then momentum 0.8; gains of Jacobs (1988).
///
/// It takes 8 bytes per pair of rows, and time proportional to the pairs.
///
/// ```
/// use ae_data::Rows;
/// use ae_eval::{TsneSettings, tsne};
///
/// let table: Vec<[f32; 3]> = (0..20).map(|i| [i as f32, (i % 2) as f32 * 50.0, 1.0]).collect();
/// let rows = Rows::new(table.as_flattened(), 3)?;
/// let map = tsne(&rows, &TsneSettings { perplexity: 5.0, ..TsneSettings::default() })?;
/// assert_eq!((map.rows(), map.features()), (20, 2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`EvalError::TooFewRows`] for fewer than four rows; [`EvalError::TooManyRows`] for more than 20,000;
/// [`EvalError::Perplexity`] for a perplexity out of range; [`EvalError::Model`] for a value that is not
/// finite; [`EvalError::TsneDiverged`] if coordinates overflow; or an error from reading the rows.
pub fn tsne(rows: &dyn BatchSource, settings: &TsneSettings) -> Result<Dataset, EvalError> {
    let (count, features, perplexity) = (rows.rows(), rows.features(), settings.perplexity);
    if count < MIN_ROWS {
        return Err(EvalError::TooFewRows { rows: count, min: MIN_ROWS });
    }
    if count > MAX_ROWS {
        return Err(EvalError::TooManyRows { rows: count, max: MAX_ROWS });
    }
    if !(perplexity >= 1.0 && perplexity <= (count - 1) as f64) {
        return Err(EvalError::Perplexity { perplexity, rows: count });
    }
    let values = finite_values(rows)?;
    let threads = threads::count(settings.threads);
    let affinities = joint_affinities(&values, features, perplexity, threads);
    let mut layout = Layout::new(&values, features, settings.seed)?;
    for iteration in 0..settings.iterations {
        let (momentum, attraction) =
            if iteration < EARLY_ITERATIONS { (0.5, EXAGGERATION) } else { (0.8, 1.0) };
        layout.step(&affinities, momentum, attraction, threads);
    }
    layout.into_map()
}

/// The state of the optimization.
struct Layout {
    /// Coordinates, `[2][rows]`.
    positions: [Vec<f64>; 2],
    /// The previous steps.
    steps: [Vec<f64>; 2],
    /// Factors on the steps.
    gains: [Vec<f64>; 2],
    forces: Vec<Forces>,
}

/// The forces on a row, summed over all rows.
#[derive(Clone, Copy, Default)]
struct Forces {
    /// `Σ_j w_ij`, including the row's own `w_ii = 1`.
    weight: f64,
    /// `Σ_j p_ij w_ij (y_i - y_j)`
    attraction: [f64; 2],
    /// `Σ_j w_ij² (y_i - y_j)`
    repulsion: [f64; 2],
}

impl Layout {
    fn new(values: &[f32], features: usize, seed: u64) -> Result<Layout, EvalError> {
        let rows = Rows::new(values, features)?;
        let count = rows.rows();
        let width = features.min(2);
        let codes = Pca::fit(&rows, width)?.transform(&rows)?;
        let codes = codes.values();
        let first = codes.iter().step_by(width).map(|x| f64::from(*x));
        // Components have mean 0.
        let spread = (first.map(|x| x * x).sum::<f64>() / count as f64).sqrt();
        let scale = if spread > 0.0 { INITIAL_STD / spread } else { 0.0 };
        let mut rng = Rng::new(seed);
        let mut positions = [vec![0.0; count], vec![0.0; count]];
        for row in 0..count {
            for (axis, positions) in positions.iter_mut().enumerate() {
                let code = if axis < width { f64::from(codes[row * width + axis]) } else { 0.0 };
                positions[row] = code * scale + INITIAL_NOISE * (2.0 * rng.unit() - 1.0);
            }
        }
        let each = |value: f64| [vec![value; count], vec![value; count]];
        Ok(Layout { positions, steps: each(0.0), gains: each(1.0), forces: vec![Forces::default(); count] })
    }

    /// The coordinates, `[rows, 2]`.
    fn into_map(self) -> Result<Dataset, EvalError> {
        let [x, y] = &self.positions;
        let map: Vec<f32> = x.iter().zip(y).flat_map(|(x, y)| [*x as f32, *y as f32]).collect();
        if map.iter().all(|x| x.is_finite()) {
            Ok(Dataset::new(map, 2)?)
        } else {
            Err(EvalError::TsneDiverged)
        }
    }

    fn step(&mut self, affinities: &[f64], momentum: f64, attraction: f64, threads: usize) {
        let [x, y] = &self.positions;
        let count = x.len();
        threads::for_each_chunk(threads, &mut self.forces, ROWS_AT_A_TIME, |chunk, forces| {
            for (place, forces) in forces.iter_mut().enumerate() {
                let row = chunk * ROWS_AT_A_TIME + place;
                *forces = Forces::on(row, x, y, &affinities[row * count..][..count]);
            }
        });
        let total = self.forces.iter().map(|forces| forces.weight - 1.0).sum::<f64>().max(f64::MIN_POSITIVE);
        let rate = (count as f64 / EXAGGERATION / 4.0).max(50.0);
        for axis in 0..2 {
            let (positions, steps, gains) =
                (&mut self.positions[axis], &mut self.steps[axis], &mut self.gains[axis]);
            for (row, forces) in self.forces.iter().enumerate() {
                let gradient = 4.0 * (attraction * forces.attraction[axis] - forces.repulsion[axis] / total);
                let gain = if steps[row] * gradient < 0.0 { gains[row] + 0.2 } else { gains[row] * 0.8 };
                gains[row] = gain.max(MIN_GAIN);
                steps[row] = momentum * steps[row] - rate * gains[row] * gradient;
                positions[row] += steps[row];
            }
        }
    }
}

/// The number of independent sums, so that the loop vectorises.
const LANES: usize = 4;

impl Forces {
    /// The forces on row `row`, for rows at `(x, y)`, given its affinities to all, `[rows]`.
    fn on(row: usize, x: &[f64], y: &[f64], affinities: &[f64]) -> Forces {
        let own = (x[row], y[row]);
        let mut sums = [[0.0f64; LANES]; 5];
        let ((xs, x_rest), (ys, y_rest)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
        let (ps, p_rest) = affinities.as_chunks::<LANES>();
        for ((x, y), p) in xs.iter().zip(ys).zip(ps) {
            for lane in 0..LANES {
                add(&mut sums, lane, (own.0 - x[lane], own.1 - y[lane]), p[lane]);
            }
        }
        for (lane, ((x, y), p)) in x_rest.iter().zip(y_rest).zip(p_rest).enumerate() {
            add(&mut sums, lane, (own.0 - x, own.1 - y), *p);
        }
        let [weight, ax, ay, rx, ry] = sums.map(|lanes| (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]));
        Forces { weight, attraction: [ax, ay], repulsion: [rx, ry] }
    }
}

#[inline(always)]
fn add(sums: &mut [[f64; LANES]; 5], lane: usize, (dx, dy): (f64, f64), p: f64) {
    let w = 1.0 / (1.0 + dx * dx + dy * dy);
    let (pull, push) = (p * w, w * w);
    sums[0][lane] += w;
    sums[1][lane] += pull * dx;
    sums[2][lane] += pull * dy;
    sums[3][lane] += push * dx;
    sums[4][lane] += push * dy;
}

#[cfg(test)]
mod tests;
