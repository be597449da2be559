//! The learning-rate range test: finds a learning rate that suits a network and its data.

use ae_kernels::par::Crew;
use rand::seq::SliceRandom;

use super::Task;
use crate::engine::Engine;
use crate::error::Error;
use crate::init::{self, Purpose};
use crate::step::Arithmetic;
use crate::table::Feed;

/// Learning rates of the first and the last update.
const RATES: [f64; 2] = [1e-6, 10.0];
/// Updates in a test that does not end early.
const UPDATES: usize = 210;
/// The fewest updates before the test may end.
const AT_LEAST: usize = 20;
/// The decay of the running mean of the losses.
const DECAY: f64 = 0.8;
/// The test ends when the loss exceeds this multiple of the lowest loss: training has become unstable.
const UNSTABLE: f64 = 3.0;
/// The suggestion is the rate of the lowest loss divided by this: at that rate itself the loss has
/// stopped falling.
const SAFETY: f64 = 10.0;

/// The result of a learning-rate range test (Smith 2017, sec. 3.3): the losses of a sequence of updates
/// whose learning rate grows by a constant factor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RangeTest {
    /// The learning rate of each update.
    pub rates: Vec<f64>,
    /// The running mean of the loss per row, as measured before each update.
    pub losses: Vec<f64>,
    /// The rate at which the running mean was lowest.
    pub lowest_loss_rate: f64,
    /// The suggested learning rate: a tenth of `lowest_loss_rate`.
    pub suggestion: f64,
}

/// Trains `engine`, from the weights where training starts, with growing learning rates.
pub(crate) fn range_test<T: Arithmetic>(
    engine: &mut Engine<T>,
    mut task: Task<'_>,
    crew: Crew<'_>,
) -> Result<RangeTest, Error> {
    let batch_size = task.config.batch_size_for(task.train.len());
    engine.set_paired(task.data.targets().is_some());
    engine.prepare(crew, batch_size)?;
    let mut feed = Feed::new(task.data, task.data.targets(), batch_size)?;
    let [first, last] = RATES;
    let factor = (last / first).powf(1.0 / (UPDATES - 1) as f64);
    let mut found =
        RangeTest { rates: Vec::new(), losses: Vec::new(), lowest_loss_rate: first, suggestion: first };
    let (mut mean, mut weight, mut best) = (0.0, 0.0, f64::INFINITY);
    'test: for epoch in 1.. {
        task.train.shuffle(&mut init::generator(task.config.seed(), Purpose::Shuffle { epoch }));
        for indices in task.train.chunks(batch_size) {
            if found.rates.len() == UPDATES {
                break 'test;
            }
            let rate = first * factor.powi(found.rates.len() as i32);
            engine.set_learning_rate(rate);
            let (table, places) = feed.rows(indices)?;
            let loss = engine.train_batch(crew, table, places).loss / indices.len() as f64;
            // A bias-corrected running mean: only actual updates count.
            mean = DECAY * mean + (1.0 - DECAY) * loss;
            weight = DECAY * weight + (1.0 - DECAY);
            let smooth = mean / weight;
            let updates = found.rates.len();
            let worse = smooth - best > (UNSTABLE - 1.0) * best.abs();
            if !loss.is_finite() || (updates >= AT_LEAST && worse) {
                break 'test;
            }
            found.rates.push(rate);
            found.losses.push(smooth);
            if smooth < best && updates + 1 >= AT_LEAST {
                best = smooth;
                found.lowest_loss_rate = rate;
            }
        }
    }
    if found.rates.len() < AT_LEAST {
        let loss = found.losses.last().copied().unwrap_or(f64::NAN);
        return Err(Error::Diverged {
            epoch: 1,
            batch: found.rates.len() + 1,
            learning_rate: first * factor.powi(found.rates.len() as i32),
            quantity: "loss",
            loss,
            best: found.losses.iter().copied().reduce(f64::min),
        });
    }
    found.suggestion = found.lowest_loss_rate / SAFETY;
    Ok(found)
}
