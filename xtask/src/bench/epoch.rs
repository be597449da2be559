//! Times whole training runs and the steps they consist of: the difference is the cost of scaling,
//! shuffling, bookkeeping and validation.

use std::time::{Duration, Instant};

use ae_data::{Dataset, Rng};
use ae_kernels::Isa;
use ae_model::{Arithmetic, Autoencoder, Config, Error, Precision, Trainer};
use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::timing::best_of_two;
use super::train::{TrainBench, rounded, uniform_rows};

/// What to time.
#[derive(Args, Debug)]
pub(crate) struct EpochBench {
    #[command(flatten)]
    steps: TrainBench,
    /// Number of rows
    #[arg(long, default_value_t = 60_000)]
    rows: usize,
    /// Epochs per training run
    #[arg(long, default_value_t = 10)]
    epochs: usize,
    /// Fraction of the rows held out and evaluated after each epoch
    #[arg(long, default_value_t = 0.0)]
    validation: f64,
}

impl EpochBench {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let object = self.measure()?;
        if self.steps.json {
            println!("{object}");
            return Ok(());
        }
        println!(
            "{} epochs of {} rows: {} s, of which steps {} s: {} %",
            object["epochs"],
            object["train_rows"],
            object["seconds"],
            object["seconds_in_steps"],
            object["percent_in_steps"]
        );
        Ok(())
    }

    /// Alternates between training runs and runs of their steps alone, and reports the fastest of each.
    fn measure(&self) -> Result<Value, Failure> {
        let builder = self.steps.builder()?.batch_size(self.steps.batch).epochs(self.epochs);
        let config = builder.validation(self.validation).build()?;
        let features = config.input_dim();
        let data = Dataset::new(uniform_rows(self.rows * features), features).map_err(Error::from)?;
        let mut model = Autoencoder::new(config.clone())?;
        model.set_threads(Some(self.steps.threads))?;
        // The first run says how many rows are left for training.
        let train_rows = model.fit(&data, &mut [])?.train_rows;
        let limit = super::timing::limit(self.steps.seconds)?;
        let mut failed = None;
        let fit = || {
            let start = Instant::now();
            failed = model.fit(&data, &mut []).err();
            start.elapsed()
        };
        let [whole, inside] = match config.precision() {
            Precision::F64 => best_of_two(limit, fit, self.steps_alone::<f64>(&config, &data, train_rows)?),
            _ => best_of_two(limit, fit, self.steps_alone::<f32>(&config, &data, train_rows)?),
        };
        if let Some(error) = failed {
            return Err(error.into());
        }
        Ok(json!({
            "dims": self.steps.dims,
            "batch": self.steps.batch,
            "threads": self.steps.threads,
            "precision": self.steps.precision,
            "optimizer": self.steps.optimizer,
            "kind": self.steps.kind.name(),
            "isa": Isa::active()?.name(),
            "train_rows": train_rows,
            "validation_rows": self.rows - train_rows,
            "epochs": self.epochs,
            "seconds": rounded(whole.as_secs_f64(), 4),
            "seconds_in_steps": rounded(inside.as_secs_f64(), 4),
            "percent_in_steps": rounded(100.0 * inside.as_secs_f64() / whole.as_secs_f64(), 1),
        }))
    }

    /// Returns a function that times the steps of a training run alone, on the same table in random
    /// order.
    fn steps_alone<T: Arithmetic>(
        &self,
        config: &Config,
        data: &Dataset,
        train_rows: usize,
    ) -> Result<impl FnMut() -> Duration, Failure> {
        let mut trainer = Trainer::<T>::new(config, Isa::active()?, Some(self.steps.threads))?;
        let mut order: Vec<usize> = (0..self.rows).collect();
        let mut rng = Rng::new(1);
        (1..order.len()).rev().for_each(|place| order.swap(place, rng.below(place + 1)));
        order.truncate(train_rows);
        let (epochs, batch) = (self.epochs, self.steps.batch);
        let mut run = move || {
            trainer.enter(|session| {
                let start = Instant::now();
                for indices in (0..epochs).flat_map(|_| order.chunks(batch)) {
                    session.train_batch(data.values(), indices)?;
                }
                Ok::<_, Error>(start.elapsed())
            })
        };
        run()?;
        // The run above has shown that these rows are valid.
        Ok(move || run().unwrap_or_default())
    }
}
