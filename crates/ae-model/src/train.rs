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

use crate::callback::{BatchEnd, Callback, CancelToken};
use crate::config::{Config, Latent};
use crate::engine::Engine;
use crate::error::Error;
use crate::history::{EpochRecord, History, StopReason};
use crate::inference::Source;
use crate::init::{self, Purpose};
use crate::model::{inference, known_values};
use crate::scale::Scaler;
use crate::schedule::Plateau;
use crate::snapshot::Snapshot;
use crate::step::{Arithmetic, Totals};
use crate::table::{Feed, Table};
pub use checkpoint::Checkpoints;
pub(crate) use checkpoint::{Checkpoint, CheckpointWriter};
pub use range_test::RangeTest;
pub(crate) use range_test::range_test;
use stopping::{Divergence, Stopper};

/// What a training runs on. The rows in `train` may be in any order.
pub(crate) struct Task<'a> {
    pub(crate) config: &'a Config,
    /// The scaler and the names of the features, for callbacks.
    pub(crate) scaler: &'a Scaler,
    pub(crate) names: Option<&'a [String]>,
    pub(crate) data: &'a dyn BatchSource,
    pub(crate) train: Vec<usize>,
    pub(crate) validation: Vec<usize>,
    pub(crate) cancel: Option<&'a CancelToken>,
    /// Writes the checkpoints, if any.
    pub(crate) writer: Option<CheckpointWriter<'a>>,
    /// The checkpoint to continue from.
    pub(crate) saved: Option<Checkpoint>,
}

/// The outcome of a training.
pub(crate) struct Trained {
    pub(crate) history: History,
    /// The result of writing the last checkpoint.
    pub(crate) written: Result<(), Error>,
}

/// The progress of a training, and what it has observed.
struct Progress<T> {
    /// Includes the finished epochs.
    history: History,
    current_epoch: CurrentEpoch,
    plateau: Plateau,
    divergence: Divergence,
    stopper: Stopper<T>,
}

/// The finished part of the current epoch.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CurrentEpoch {
    batches: usize,
    total: Totals,
    seconds: f64,
}

/// The fraction of the rows' target values that are not missing; never 0.
fn known_fraction(feed: &mut Feed<'_>, config: &Config, rows: &[usize]) -> Result<f64, Error> {
    let features = config.input_dim();
    if !config.mask_missing() || rows.is_empty() {
        return Ok(1.0);
    }
    let mut known = 0;
    for indices in rows.chunks(feed.max_rows()) {
        let (table, places) = feed.rows(indices)?;
        let expected = table.expected();
        known += places.iter().map(|at| known_values(&expected[at * features..][..features])).sum::<usize>();
    }
    Ok(known.max(1) as f64 / (rows.len() * features) as f64)
}

/// Validation rows that are read at a time.
const VALIDATION_ROWS: usize = 8192;
/// Rows whose samples are in memory together; each such block has random numbers of its own.
const LOSS_BLOCK_ROWS: usize = 128;

/// Trains the engine. On an error, it keeps the weights of that moment. In any case, later updates use
/// the configured learning rate and the full KL divergence.
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
    task: Task<'_>,
    crew: Crew<'_>,
    callbacks: &mut [&mut dyn Callback],
) -> Result<Trained, Error> {
    let epochs = task.config.epochs();
    let mut training = Training::new(engine, task, crew, callbacks)?;
    let over = training.begin()?;
    if training.progress.stopper.is_out_of_patience(over) {
        training.progress.history.stopped = StopReason::EarlyStopping;
        return training.end();
    }
    for epoch in over + 1..=epochs {
        if let Some(reason) = training.epoch(epoch)? {
            training.progress.history.stopped = reason;
            break;
        }
    }
    training.check_last_update()?;
    training.end()
}

/// A training in progress.
struct Training<'a, 'c, T: Arithmetic> {
    engine: &'a mut Engine<T>,
    task: Task<'a>,
    crew: Crew<'a>,
    callbacks: &'a mut [&'c mut dyn Callback],
    feed: Feed<'a>,
    progress: Progress<T>,
    sizes: Sizes,
    /// Updates so far.
    step: u64,
    /// When work on the current epoch began in this run, and the seconds it had taken before.
    start: Instant,
    seconds_before: f64,
    /// Loss and squared error of validation rows.
    row_losses: Vec<[f64; 2]>,
    /// Computes the validation losses of a variational model.
    validation_loss: Option<ValidationLoss<T>>,
}

/// Computes the loss of rows from samples of their encodings; the posterior mean alone would
/// underestimate it. The samples are the same every time, so epochs differ only by their weights.
struct ValidationLoss<T: Arithmetic> {
    engine: Engine<T>,
    losses: Vec<f64>,
}

impl<T: Arithmetic> ValidationLoss<T> {
    /// A step number that no update reaches, and so random numbers that no update draws.
    const FIRST_STEP: u64 = 1 << 62;

    fn new(trained: &Engine<T>, config: &Config, rows: usize) -> Self {
        let scaler = Scaler::identity(config.input_dim());
        let mut engine = Engine::new(trained.network.isa, &config.for_evaluation(), &scaler);
        engine.maps = trained.maps.clone();
        engine.set_epochs(f64::INFINITY);
        ValidationLoss { engine, losses: vec![0.0; rows] }
    }

    /// Computes the losses of rows, the first of which is validation row `first`.
    fn losses(&mut self, crew: Crew<'_>, (table, indices): (Table<'_>, &[usize]), first: usize) -> &[f64] {
        let losses = &mut self.losses[..indices.len()];
        let blocks = indices.chunks(LOSS_BLOCK_ROWS).zip(losses.chunks_mut(LOSS_BLOCK_ROWS));
        for (block, (indices, losses)) in blocks.enumerate() {
            let step = Self::FIRST_STEP + (first / LOSS_BLOCK_ROWS + block) as u64;
            self.engine.losses_at(crew, step, table, indices, losses);
        }
        losses
    }
}

/// Quantities that stay constant during a training.
#[derive(Clone, Copy)]
struct Sizes {
    batch_size: usize,
    /// Batches per epoch.
    batches: usize,
    /// Updates over all epochs.
    steps: u64,
    features: usize,
    /// The fraction of values that are known: of the training rows, and of the validation rows.
    known_fractions: [f64; 2],
}

impl Sizes {
    /// The number of known values in `rows` rows of which the given `fraction` is known.
    fn known_count(&self, fraction: f64, rows: usize) -> f64 {
        fraction * (rows * self.features) as f64
    }
}

impl<'a, 'c, T: Arithmetic> Training<'a, 'c, T> {
    fn new(
        engine: &'a mut Engine<T>,
        task: Task<'a>,
        crew: Crew<'a>,
        callbacks: &'a mut [&'c mut dyn Callback],
    ) -> Result<Self, Error> {
        let config = task.config;
        let (rows, validation_rows) = (task.train.len(), task.validation.len());
        let batch_size = config.batch_size_for(rows);
        let batches = rows.div_ceil(batch_size);
        engine.set_paired(task.data.targets().is_some());
        engine.prepare(crew, batch_size)?;
        let at_a_time = VALIDATION_ROWS.min(validation_rows);
        let mut feed = Feed::new(task.data, task.data.targets(), batch_size.max(at_a_time))?;
        let known_fractions = [
            known_fraction(&mut feed, config, &task.train)?,
            known_fraction(&mut feed, config, &task.validation)?,
        ];
        let sizes = Sizes {
            batch_size,
            batches,
            steps: (config.epochs() as u64).saturating_mul(batches as u64),
            features: config.input_dim(),
            known_fractions,
        };
        let progress = Progress {
            history: History {
                epochs: Vec::with_capacity(config.epochs().min(10_000)),
                stopped: StopReason::Finished,
                kept_epoch: 0,
                batch_size,
                train_rows: rows,
                validation_rows,
            },
            current_epoch: CurrentEpoch::default(),
            plateau: Plateau::new(),
            divergence: Divergence::new(config.learning_rate()),
            stopper: Stopper::new(config.early_stopping(), engine),
        };
        let row_losses = vec![[0.0; 2]; at_a_time.max(batch_size)];
        let validation_loss = (matches!(config.latent(), Latent::Gaussian(_)) && at_a_time > 0)
            .then(|| ValidationLoss::new(engine, config, at_a_time));
        let (start, seconds_before, step) = (Instant::now(), 0.0, 0);
        Ok(Training {
            engine,
            task,
            crew,
            callbacks,
            feed,
            progress,
            sizes,
            step,
            start,
            seconds_before,
            row_losses,
            validation_loss,
        })
    }

    /// Restores the checkpoint to continue from, if there is one. Returns the number of finished epochs.
    fn begin(&mut self) -> Result<usize, Error> {
        if let Some(saved) = self.task.saved.take() {
            self.progress.restore(saved, self.engine);
            self.callbacks.iter_mut().for_each(|callback| callback.on_resume(&self.progress.history.epochs));
        } else if let Some(writer) = &mut self.task.writer {
            // Before any work, to find out early whether it can be written, and to have one whatever
            // happens before the next.
            writer.write(self.engine, &self.progress, false)?;
        }
        let over = self.progress.history.epochs.len();
        self.step = (over * self.sizes.batches + self.progress.current_epoch.batches) as u64;
        // Each epoch shuffles the order of the one before.
        (1..=over).for_each(|epoch| shuffle(&mut self.task.train, self.task.config, epoch));
        (self.start, self.seconds_before) = (Instant::now(), self.progress.current_epoch.seconds);
        Ok(over)
    }

    /// Runs an epoch; returns why training ends with it, if it does.
    fn epoch(&mut self, epoch: usize) -> Result<Option<StopReason>, Error> {
        self.engine.use_mean(false);
        shuffle(&mut self.task.train, self.task.config, epoch);
        if let Some(reason) = self.batches(epoch)? {
            return Ok(Some(reason));
        }
        self.engine.use_mean(true);
        let validation = self.validate()?;
        let record = self.record(epoch, validation);
        let (progress, config) = (&mut self.progress, self.task.config);
        progress.divergence.after_epoch(epoch, self.sizes.batches, &record)?;
        // During the warm-up of the KL divergence, a loss that grows says nothing yet: the training loss
        // counts more and more of it, and the validation loss all of what is not being minimised so far.
        if epoch > config.latent().warm_up() {
            progress.plateau.after_epoch(config.schedule(), record.monitored());
            progress.stopper.after_epoch(&record, self.engine);
        }
        progress.history.epochs.push(record);
        progress.current_epoch = CurrentEpoch::default();
        (self.start, self.seconds_before) = (Instant::now(), 0.0);
        let model = Snapshot {
            config,
            scaler: self.task.scaler,
            names: self.task.names,
            fitted: true,
            engine: T::view(self.engine),
            crew: self.crew,
        };
        for callback in self.callbacks.iter_mut() {
            if let ControlFlow::Break(reason) = callback.on_epoch_end(&record, &model) {
                return Ok(Some(StopReason::Callback(reason)));
            }
        }
        let is_over = epoch > config.latent().warm_up() && progress.stopper.is_out_of_patience(epoch);
        Ok(is_over.then_some(StopReason::EarlyStopping))
    }

    /// Runs the remaining batches of an epoch; returns why training ends before the last, if it does.
    fn batches(&mut self, epoch: usize) -> Result<Option<StopReason>, Error> {
        let Sizes { batch_size, batches, known_fractions: [known, _], .. } = self.sizes;
        for batch in self.progress.current_epoch.batches..batches {
            self.engine.set_learning_rate(self.learning_rate(self.step));
            self.engine.set_epochs((epoch - 1) as f64 + batch as f64 / batches as f64);
            self.step += 1;
            let Training { engine, task, progress, .. } = self;
            let rows = task.train.len();
            let indices = &task.train[batch * batch_size..rows.min((batch + 1) * batch_size)];
            let (table, places) = self.feed.rows(indices)?;
            let of_batch = engine.train_batch(self.crew, table, places);
            progress.current_epoch.total.add(of_batch);
            progress.current_epoch.batches += 1;
            let mse = of_batch.squares / self.sizes.known_count(known, indices.len());
            progress.divergence.after_loss(epoch, batch + 1, of_batch.loss / indices.len() as f64)?;
            progress.divergence.after_batch(epoch, batch + 1, mse)?;
            if let Some(writer) = task.writer.as_mut().filter(|writer| writer.is_due()) {
                progress.current_epoch.seconds = self.seconds_before + self.start.elapsed().as_secs_f64();
                writer.try_to_write(engine, progress);
            }
            let end = BatchEnd { epoch, batch: batch + 1, batches, mse };
            for callback in self.callbacks.iter_mut() {
                if let ControlFlow::Break(reason) = callback.on_batch_end(&end) {
                    return Ok(Some(StopReason::Callback(reason)));
                }
            }
            if task.cancel.is_some_and(CancelToken::is_cancelled) {
                return Ok(Some(StopReason::Cancelled));
            }
        }
        Ok(None)
    }

    /// The learning rate of the update that follows `step` updates.
    fn learning_rate(&self, step: u64) -> f64 {
        let config = self.task.config;
        config.learning_rate()
            * (config.schedule().factor(step, self.sizes.steps) * self.progress.plateau.factor())
    }

    /// Sums the losses and squared errors of the validation rows.
    fn validate(&mut self) -> Result<Totals, Error> {
        let mut totals = Totals::default();
        if let Some(validation_loss) = &mut self.validation_loss {
            validation_loss.engine.copy_weights_from(self.engine);
        }
        for (chunk, indices) in self.task.validation.chunks(VALIDATION_ROWS).enumerate() {
            let first = chunk * VALIDATION_ROWS;
            let (table, places) = self.feed.rows(indices)?;
            let row_losses = &mut self.row_losses[..indices.len()];
            inference(self.engine, self.crew).row_losses(Source { table, indices: Some(places) }, row_losses);
            if let Some(validation_loss) = &mut self.validation_loss {
                let losses = validation_loss.losses(self.crew, (table, places), first);
                row_losses.iter_mut().zip(losses).for_each(|(of_row, loss)| of_row[0] = *loss);
            }
            for [loss, squares] in &*row_losses {
                totals.add(Totals { loss: *loss, squares: *squares });
            }
        }
        Ok(totals)
    }

    fn record(&self, epoch: usize, validation: Totals) -> EpochRecord {
        let Task { train, validation: set_aside, .. } = &self.task;
        let means = |totals: Totals, rows: usize, known: f64| {
            [totals.loss / rows as f64, totals.squares / self.sizes.known_count(known, rows)]
        };
        let [of_train, of_set_aside] = self.sizes.known_fractions;
        let [train_loss, train_mse] = means(self.progress.current_epoch.total, train.len(), of_train);
        let validation = (!set_aside.is_empty()).then(|| means(validation, set_aside.len(), of_set_aside));
        EpochRecord {
            epoch,
            train_loss,
            train_mse,
            validation_loss: validation.map(|[loss, _]| loss),
            validation_mse: validation.map(|[_, mse]| mse),
            learning_rate: self.learning_rate(self.step.saturating_sub(1)),
            seconds: self.seconds_before + self.start.elapsed().as_secs_f64(),
        }
    }

    /// Checks the errors of the last batch after the last update, which only validation rows have shown:
    /// those of training rows are from before each update.
    fn check_last_update(&mut self) -> Result<(), Error> {
        let Sizes { batch_size, batches, known_fractions: [known, _], .. } = self.sizes;
        let within_epoch = self.progress.current_epoch.batches;
        if self.step == 0 || within_epoch == 0 && !self.task.validation.is_empty() {
            return Ok(());
        }
        let batch = if within_epoch == 0 { batches } else { within_epoch };
        let epoch = self.progress.history.epochs.len() + usize::from(within_epoch > 0);
        let rows = self.task.train.len();
        let indices = &self.task.train[(batch - 1) * batch_size..rows.min(batch * batch_size)];
        let (table, places) = self.feed.rows(indices)?;
        let row_losses = &mut self.row_losses[..indices.len()];
        inference(self.engine, self.crew).row_losses(Source { table, indices: Some(places) }, row_losses);
        let squares: f64 = row_losses.iter().map(|[_, squares]| squares).sum();
        let mse = squares / self.sizes.known_count(known, indices.len());
        self.progress.divergence.after_batch(epoch, batch, mse)
    }

    /// Leaves the engine with the weights to use, and writes the last checkpoint.
    fn end(mut self) -> Result<Trained, Error> {
        self.engine.use_mean(true);
        if self.progress.current_epoch.batches > 0 {
            self.progress.current_epoch.seconds = self.seconds_before + self.start.elapsed().as_secs_f64();
        }
        let writer = self.task.writer.as_mut();
        let written = writer.map_or(Ok(()), |writer| writer.write(self.engine, &self.progress, true));
        let Progress { mut history, stopper, .. } = self.progress;
        history.kept_epoch = history.epochs.last().map_or(0, |record| record.epoch);
        // However training ended: the checkpoint holds the state to continue from.
        if let Some(best) = stopper.best_epoch() {
            stopper.restore_best(self.engine);
            history.kept_epoch = best;
        }
        Ok(Trained { history, written })
    }
}

/// Shuffles the rows from the order of the last epoch into that of `epoch`.
fn shuffle(rows: &mut [usize], config: &Config, epoch: usize) {
    rows.shuffle(&mut init::generator(config.seed(), Purpose::Shuffle { epoch: epoch as u64 }));
}
