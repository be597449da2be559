//! The training loop: epochs of shuffled batches, validation, early stopping, divergence.

mod checkpoint;
mod range_test;
mod stopping;

use std::ops::ControlFlow;
use std::time::Instant;

use ae_data::BatchSource;
use ae_kernels::par::Crew;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use crate::bulk::{Bulk, Source};
use crate::callback::{BatchEnd, Callback, CancelToken};
use crate::config::Config;
use crate::engine::Engine;
use crate::error::Error;
use crate::history::{EpochRecord, History, StopReason};
use crate::init::{self, Purpose};
use crate::model::known_values;
use crate::schedule::Plateau;
use crate::step::{Arithmetic, Totals};
use crate::table::Feed;
pub use checkpoint::Checkpoints;
pub(crate) use checkpoint::{Keeper, Saved};
pub use range_test::RangeTest;
pub(crate) use range_test::range_test;
use stopping::{Divergence, Stopper};

/// What training runs on. The rows `train` may come in any order.
pub(crate) struct Task<'a> {
    pub(crate) config: &'a Config,
    pub(crate) data: &'a dyn BatchSource,
    pub(crate) train: Vec<usize>,
    pub(crate) validation: Vec<usize>,
    pub(crate) cancel: Option<&'a CancelToken>,
    /// Who writes checkpoints.
    pub(crate) keeper: Option<Keeper<'a>>,
    /// Where it goes on from.
    pub(crate) saved: Option<Saved>,
}

/// What a training came to.
pub(crate) struct Trained {
    pub(crate) history: History,
    /// Whether its last checkpoint could be written.
    pub(crate) written: Result<(), Error>,
}

/// How far a training is, and what it has seen.
struct Progress<T> {
    /// With the epochs that are over.
    history: History,
    under_way: UnderWay,
    plateau: Plateau,
    divergence: Divergence,
    stopper: Stopper<T>,
}

/// What is over of the epoch under way.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct UnderWay {
    batches: usize,
    total: Totals,
    seconds: f64,
}

/// The share of the values that should come out of the rows that are not missing; never 0.
fn known_share(feed: &mut Feed<'_>, config: &Config, rows: &[usize]) -> Result<f64, Error> {
    let features = config.input_dim();
    if !config.mask_missing() || rows.is_empty() {
        return Ok(1.0);
    }
    let mut known = 0;
    for indices in rows.chunks(feed.most()) {
        let (table, places) = feed.rows(indices)?;
        let expected = table.expected();
        known += places.iter().map(|at| known_values(&expected[at * features..][..features])).sum::<usize>();
    }
    Ok(known.max(1) as f64 / (rows.len() * features) as f64)
}

/// Rows of the validation part that are read at a time.
const VALIDATION_ROWS: usize = 8192;

/// Trains the engine. On an error its weights are those of the moment of the error. Whatever happens, updates that follow have the
/// configured learning rate and all of the KL divergence.
pub(crate) fn fit<T: Arithmetic>(
    engine: &mut Engine<T>,
    task: Task<'_>,
    crew: Crew<'_>,
    callbacks: &mut [&mut dyn Callback],
) -> Result<Trained, Error> {
    let learning_rate = task.config.learning_rate();
    let trained = run(engine, task, crew, callbacks);
    engine.set_learning_rate(learning_rate);
    engine.set_epochs(f64::INFINITY);
    trained
}

fn run<T: Arithmetic>(
    engine: &mut Engine<T>,
    mut task: Task<'_>,
    crew: Crew<'_>,
    callbacks: &mut [&mut dyn Callback],
) -> Result<Trained, Error> {
    let config = task.config;
    let rows = task.train.len();
    let batch_size = config.batch_size_for(rows);
    let batches = rows.div_ceil(batch_size);
    engine.set_paired(task.data.targets().is_some());
    engine.prepare(crew, batch_size);
    let known = |share: f64, rows: usize| share * (rows * config.input_dim()) as f64;
    let steps = (config.epochs() as u64).saturating_mul(batches as u64);
    let most = batch_size.max(VALIDATION_ROWS.min(task.validation.len()));
    let mut feed = Feed::new(task.data, task.data.targets(), most);
    let of_train = known_share(&mut feed, config, &task.train)?;
    let of_validation = known_share(&mut feed, config, &task.validation)?;
    let mut measured = vec![[0.0; 2]; VALIDATION_ROWS.min(task.validation.len())];
    let mut at = Progress {
        history: History {
            epochs: Vec::with_capacity(config.epochs().min(10_000)),
            stopped: StopReason::Finished,
            kept_epoch: 0,
            batch_size,
            train_rows: rows,
            validation_rows: task.validation.len(),
        },
        under_way: UnderWay::default(),
        plateau: Plateau::new(),
        divergence: Divergence::new(config.learning_rate()),
        stopper: Stopper::new(config.early_stopping(), engine),
    };
    if let Some(saved) = task.saved.take() {
        at.recall(saved, engine);
        callbacks.iter_mut().for_each(|callback| callback.on_resume(&at.history.epochs));
    } else if let Some(keeper) = &mut task.keeper {
        // Before any work: that it can be written, and whatever may happen before the next.
        keeper.write(engine, &at, false)?;
    }
    let over = at.history.epochs.len();
    let mut step = (over * batches + at.under_way.batches) as u64;
    // The order of an epoch is made from that of the last one.
    (1..=over).for_each(|epoch| shuffle(&mut task.train, config, epoch));
    if at.stopper.has_waited(over) {
        at.history.stopped = StopReason::EarlyStopping;
    }
    let last = if at.history.stopped == StopReason::EarlyStopping { over } else { config.epochs() };

    let (mut start, mut before) = (Instant::now(), at.under_way.seconds);

    'training: for epoch in over + 1..=last {
        shuffle(&mut task.train, config, epoch);
        for (batch, indices) in task.train.chunks(batch_size).enumerate().skip(at.under_way.batches) {
            let (table, places) = feed.rows(indices)?;
            let factor = config.schedule().factor(step, steps) * at.plateau.factor();
            engine.set_learning_rate(config.learning_rate() * factor);
            engine.set_epochs((epoch - 1) as f64 + batch as f64 / batches as f64);
            step += 1;
            let of_batch = engine.train_batch(crew, table, places);
            at.under_way.total.add(of_batch);
            at.under_way.batches += 1;
            let mse = of_batch.squares / known(of_train, indices.len());
            at.divergence.after_loss(epoch, batch + 1, of_batch.loss / indices.len() as f64)?;
            at.divergence.after_batch(epoch, batch + 1, mse)?;
            if let Some(keeper) = task.keeper.as_mut().filter(|keeper| keeper.is_due()) {
                at.under_way.seconds = before + start.elapsed().as_secs_f64();
                keeper.try_to_write(engine, &at);
            }
            let end = BatchEnd { epoch, batch: batch + 1, batches, mse };
            for callback in callbacks.iter_mut() {
                if let ControlFlow::Break(reason) = callback.on_batch_end(&end) {
                    at.history.stopped = StopReason::Callback(reason);
                    break 'training;
                }
            }
            if task.cancel.is_some_and(CancelToken::is_cancelled) {
                at.history.stopped = StopReason::Cancelled;
                break 'training;
            }
        }
        engine.use_mean(true);
        let mut validation = Totals::default();
        for indices in task.validation.chunks(VALIDATION_ROWS) {
            let (table, places) = feed.rows(indices)?;
            let measured = &mut measured[..indices.len()];
            let bulk = Bulk { network: &engine.network, maps: &engine.maps, crew };
            bulk.row_losses(Source { table, indices: Some(places) }, measured);
            for [loss, squares] in &*measured {
                validation.add(Totals { loss: *loss, squares: *squares });
            }
        }
        let validation_rows = task.validation.len();
        let total = at.under_way.total;
        let record = EpochRecord {
            epoch,
            train_loss: total.loss / rows as f64,
            train_mse: total.squares / known(of_train, rows),
            validation_loss: (validation_rows > 0).then(|| validation.loss / validation_rows as f64),
            validation_mse: (validation_rows > 0)
                .then(|| validation.squares / known(of_validation, validation_rows)),
            learning_rate: config.learning_rate()
                * config.schedule().factor(step.saturating_sub(1), steps)
                * at.plateau.factor(),
            seconds: before + start.elapsed().as_secs_f64(),
        };
        at.divergence.after_epoch(epoch, batches, &record)?;
        // A training loss that grows because its KL divergence counts more from epoch to epoch says nothing yet.
        if validation_rows > 0 || epoch > config.latent().warm_up() {
            at.plateau.after_epoch(config.schedule(), record.monitored());
            at.stopper.after_epoch(&record, engine);
        }
        at.history.epochs.push(record);
        at.under_way = UnderWay::default();
        (start, before) = (Instant::now(), 0.0);
        for callback in callbacks.iter_mut() {
            if let ControlFlow::Break(reason) = callback.on_epoch_end(&record) {
                at.history.stopped = StopReason::Callback(reason);
                break 'training;
            }
        }
        if at.stopper.has_waited(epoch) {
            at.history.stopped = StopReason::EarlyStopping;
            break;
        }
        engine.use_mean(false);
    }
    engine.use_mean(true);
    if at.under_way.batches > 0 {
        at.under_way.seconds = before + start.elapsed().as_secs_f64();
    }
    let written = task.keeper.as_mut().map_or(Ok(()), |keeper| keeper.write(engine, &at, true));
    let Progress { mut history, stopper, .. } = at;
    history.kept_epoch = history.epochs.last().map_or(0, |record| record.epoch);
    if matches!(history.stopped, StopReason::Finished | StopReason::EarlyStopping)
        && let Some(best) = stopper.best_epoch()
    {
        stopper.restore(engine);
        history.kept_epoch = best;
    }
    Ok(Trained { history, written })
}

/// Puts the rows of the last epoch in the order of the next one.
fn shuffle(rows: &mut [usize], config: &Config, epoch: usize) {
    rows.shuffle(&mut init::generator(config.seed(), Purpose::Shuffle { epoch: epoch as u64 }));
}
