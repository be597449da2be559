//! `cargo xtask experiments`: reproduces published results on real data.

mod adbench;
mod convolution;
mod denoising;
mod images;
mod likelihood;
mod precision;
mod reconstruction;
mod sparse;

use std::ops::ControlFlow;
use std::time::Instant;

use ae_data::{BatchSource, Dataset};
use ae_model::{Autoencoder, Callback, Config, EpochRecord, ErrorNorm, Snapshot};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::failure::Failure;

/// Reproduce published results on real data
#[derive(Args, Debug)]
pub(crate) struct Experiments {
    #[command(subcommand)]
    which: Experiment,
}

#[derive(Subcommand, Debug)]
enum Experiment {
    /// Anomaly detection on a folder of labelled datasets in ADBench's format
    Adbench(adbench::Adbench),
    /// The deep autoencoder 784-1000-500-250-30 of Hinton & Salakhutdinov 2006 on MNIST
    MnistDeep(reconstruction::MnistDeep),
    /// Their autoencoder 784-400-200-100-50-25-6 on images of curves
    Curves(reconstruction::Curves),
    /// The variational autoencoder 784-200-200-50 of Burda et al. 2015 on MNIST
    Vae(likelihood::Vae),
    /// The same with their importance-weighted bound
    Iwae(likelihood::Iwae),
    /// The effect of masking noise on the features of one layer of 1,000 units (Vincent et al. 2008)
    Denoising(denoising::Denoising),
    /// A dictionary of 8,192 sparse features by top-k, compared with an L1 penalty at the same number of
    /// active ones
    Sparse(sparse::Sparse),
    /// Convolutions compared with dense layers of the same encoding and no fewer parameters
    Conv(convolution::Convolution),
    /// Training in bf16 compared with training in f32, seed by seed
    Precision(precision::PrecisionCurves),
}

impl Experiments {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match &self.which {
            Experiment::Adbench(experiment) => experiment.run(),
            Experiment::MnistDeep(experiment) => experiment.run(),
            Experiment::Curves(experiment) => experiment.run(),
            Experiment::Vae(experiment) => experiment.run(),
            Experiment::Iwae(experiment) => experiment.run(),
            Experiment::Denoising(experiment) => experiment.run(),
            Experiment::Sparse(experiment) => experiment.run(),
            Experiment::Conv(experiment) => experiment.run(),
            Experiment::Precision(experiment) => experiment.run(),
        }
    }
}

/// Options shared by most experiments.
#[derive(Args, Debug)]
struct Settings {
    /// Print one JSON object per line, the summary last
    #[arg(long)]
    json: bool,
    /// Seed of the weights and batches
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Epochs [default: see EXPERIMENTS.md]
    #[arg(long)]
    epochs: Option<usize>,
    /// Learning rate [default: see EXPERIMENTS.md]
    #[arg(long)]
    learning_rate: Option<f64>,
}

impl Settings {
    /// Returns a callback that shows the epochs of a training run, on standard error or as JSON objects.
    fn progress(&self, features: usize) -> Progress {
        Progress { json: self.json, features: features as f64 }
    }

    /// Prints the results.
    fn summary(&self, summary: &Value) {
        if self.json {
            println!("{summary}");
            return;
        }
        for (key, value) in summary.as_object().into_iter().flatten() {
            println!("{key:<24} {value}");
        }
    }
}

/// Creates a model that starts from the weights of the previous one, if there is one.
fn started(config: Config, before: Option<&Autoencoder>) -> Result<Autoencoder, Failure> {
    Ok(match before {
        None => Autoencoder::new(config)?,
        Some(before) => Autoencoder::warm_start(config, before)?,
    })
}

/// Trains the model on the rows, showing its epochs, and returns it with the seconds this took.
fn fitted(
    mut model: Autoencoder,
    rows: &dyn BatchSource,
    settings: &Settings,
) -> Result<(Autoencoder, f64), Failure> {
    let start = Instant::now();
    model.fit(rows, &mut [&mut settings.progress(rows.features())])?;
    Ok((model, start.elapsed().as_secs_f64()))
}

/// Returns the mean over the rows of the sum of squared errors.
fn mean_error(model: &Autoencoder, rows: &Dataset) -> Result<f64, Failure> {
    let errors = model.reconstruction_error(rows, ErrorNorm::Sum)?;
    Ok(errors.iter().sum::<f64>() / errors.len() as f64)
}

struct Progress {
    json: bool,
    features: f64,
}

impl Callback for Progress {
    fn on_epoch_end(&mut self, record: &EpochRecord, _: &Snapshot<'_>) -> ControlFlow<String> {
        let EpochRecord { epoch, train_loss, train_mse, seconds, .. } = *record;
        let error = train_mse * self.features;
        if self.json {
            let object =
                json!({ "epoch": epoch, "train_loss": train_loss, "train_error": error, "seconds": seconds });
            println!("{object}");
        } else {
            eprintln!("epoch {epoch:>4}  loss {train_loss:.4}  squared error {error:.4}  {seconds:.2} s");
        }
        ControlFlow::Continue(())
    }
}
