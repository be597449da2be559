//! Which learning rate suits a network and its data: the range test.

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
/// Updates of a test that does not end early.
const UPDATES: usize = 210;
/// Updates before which it does not end.
const AT_LEAST: usize = 20;
/// What share of the running mean of the losses an update leaves.
const KEEP: f64 = 0.8;
/// Times the least loss at which the test ends: training has become unstable.
const UNSTABLE: f64 = 3.0;
/// What part of the rate of the least loss is suggested: at that rate itself the loss has ceased to fall.
const SAFETY: f64 = 10.0;

/// What a learning-rate range test has seen (Smith 2017, sec. 3.3): the loss over some updates whose learning rate grows by the same
/// factor from each to the next.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RangeTest {
    /// The learning rate of each update.
    pub rates: Vec<f64>,
    /// The running mean of the loss of a row before each update.
    pub losses: Vec<f64>,
    /// The rate at which the running mean was least.
    pub least: f64,
    /// A rate to train with: a tenth of `least`.
    pub suggestion: f64,
}

/// Trains `engine`, whose weights are fresh, with ever larger learning rates.
pub(crate) fn range_test<T: Arithmetic>(
    engine: &mut Engine<T>,
    mut task: Task<'_>,
    crew: Crew<'_>,
) -> Result<RangeTest, Error> {
    let batch_size = task.config.batch_size_for(task.train.len());
    engine.set_paired(task.data.targets().is_some());
    engine.prepare(crew, batch_size);
    let mut feed = Feed::new(task.data, task.data.targets(), batch_size);
    let [first, last] = RATES;
    let factor = (last / first).powf(1.0 / (UPDATES - 1) as f64);
    let mut found = RangeTest { rates: Vec::new(), losses: Vec::new(), least: first, suggestion: first };
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
            // A running mean that counts no update that there was not.
            mean = KEEP * mean + (1.0 - KEEP) * loss;
            weight = KEEP * weight + (1.0 - KEEP);
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
                found.least = rate;
            }
        }
    }
    if found.rates.len() < AT_LEAST {
        let loss = found.losses.last().copied().unwrap_or(f64::NAN);
        return Err(Error::Diverged {
            epoch: 1,
            batch: found.rates.len() + 1,
            learning_rate: first * factor.powi(found.rates.len() as i32),
            loss,
            best: found.losses.iter().copied().fold(f64::INFINITY, f64::min),
        });
    }
    found.suggestion = found.least / SAFETY;
    Ok(found)
}
