//! `cargo xtask experiments`: published results on real data, run again.

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
use ae_model::{Autoencoder, Callback, Config, EpochRecord, ErrorNorm};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::failure::Failure;

/// Published results on real data, run again
#[derive(Args, Debug)]
pub(crate) struct Experiments {
    #[command(subcommand)]
    which: Experiment,
}

#[derive(Subcommand, Debug)]
enum Experiment {
    /// Anomaly detection on a folder of labelled sets in ADBench's format
    Adbench(adbench::Adbench),
    /// The deep autoencoder 784-1000-500-250-30 of Hinton & Salakhutdinov 2006 on MNIST
    MnistDeep(reconstruction::MnistDeep),
    /// Their autoencoder 784-400-200-100-50-25-6 on images of curves
    Curves(reconstruction::Curves),
    /// The variational autoencoder 784-200-200-50 of Burda et al. 2015 on MNIST
    Vae(likelihood::Vae),
    /// The same with their importance-weighted bound
    Iwae(likelihood::Iwae),
    /// What masking noise does for the features of one layer of 1,000 (Vincent et al. 2008)
    Denoising(denoising::Denoising),
    /// A dictionary of 8,192 sparse features by top-k, beside one by an L1 penalty with as many active
    Sparse(sparse::Sparse),
    /// Convolutions beside dense layers with the same encoding and no fewer parameters
    Conv(convolution::Convolution),
    /// Training in bf16 beside training in f32, seed by seed
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

/// What most experiments can be told.
#[derive(Args, Debug)]
struct Settings {
    /// One JSON object a line, the last one the summary
    #[arg(long)]
    json: bool,
    /// Seed of weights and batches
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Passes over the training rows [default: those of EXPERIMENTS.md]
    #[arg(long)]
    epochs: Option<usize>,
    /// Learning rate [default: that of EXPERIMENTS.md]
    #[arg(long)]
    learning_rate: Option<f64>,
}

impl Settings {
    /// Shows the epochs of a training run on standard error, or as objects.
    fn progress(&self, features: usize) -> Progress {
        Progress { json: self.json, features: features as f64 }
    }

    /// Prints what came out.
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

/// A model that starts where the one before it ended, if there is one.
fn started(config: Config, before: Option<&Autoencoder>) -> Result<Autoencoder, Failure> {
    Ok(match before {
        None => Autoencoder::new(config)?,
        Some(before) => Autoencoder::continuing(config, before)?,
    })
}

/// The model trained on the rows, its epochs shown, and the seconds that took.
fn fitted(
    mut model: Autoencoder,
    rows: &dyn BatchSource,
    settings: &Settings,
) -> Result<(Autoencoder, f64), Failure> {
    let start = Instant::now();
    model.fit(rows, &mut [&mut settings.progress(rows.features())])?;
    Ok((model, start.elapsed().as_secs_f64()))
}

/// The mean over the rows of their sums of squared errors.
fn mean_error(model: &Autoencoder, rows: &Dataset) -> Result<f64, Failure> {
    let errors = model.reconstruction_error(rows, ErrorNorm::Sum)?;
    Ok(errors.iter().sum::<f64>() / errors.len() as f64)
}

struct Progress {
    json: bool,
    features: f64,
}

impl Callback for Progress {
    fn on_epoch_end(&mut self, record: &EpochRecord) -> ControlFlow<String> {
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
