//! Training steps of a symmetric ReLU autoencoder in candle or burn, with the arguments and the JSON of
//! `train_step.py`.

#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use rust_peers::{BurnSteps, CandleSteps, Job, Steps, best_window, limit_threads};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, ValueEnum)]
enum System {
    Candle,
    Burn,
}

/// Time training steps of a symmetric ReLU autoencoder in candle or burn
#[derive(Parser, Debug)]
struct Arguments {
    #[arg(long)]
    system: System,
    /// Encoder widths from input to encoding
    #[arg(long, value_delimiter = ',', required = true)]
    dims: Vec<usize>,
    /// Rows per step
    #[arg(long)]
    batch: usize,
    /// Number of threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Numeric precision
    #[arg(long, default_value = "f32", value_parser = ["f32", "bf16"])]
    precision: String,
    /// Optimizer update rule
    #[arg(long, default_value = "sgd", value_parser = ["sgd", "momentum", "nesterov", "adam", "adamw"])]
    optimizer: String,
    /// Seconds to measure
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
}

impl Arguments {
    fn measure(&self) -> Result<Value, String> {
        if self.dims.len() < 2 || self.dims.contains(&0) || self.batch == 0 {
            return Err("expected at least two widths and one row".to_owned());
        }
        if self.precision != "f32" {
            return Err(format!("{} saves no work on the CPU", self.precision));
        }
        let limit = Duration::try_from_secs_f64(self.seconds).map_err(|error| error.to_string())?;
        limit_threads(self.threads)?;
        let job = Job::mirrored(&self.dims, self.batch, &self.optimizer);
        let (name, mut steps): (_, Box<dyn Steps>) = match self.system {
            System::Candle => ("candle", Box::new(CandleSteps::new(&job)?)),
            System::Burn => ("burn", Box::new(BurnSteps::new(&job)?)),
        };
        let best = best_window(steps.as_mut(), limit)?.as_secs_f64();
        let rate = self.batch as f64 / best;
        Ok(json!({
            "system": name,
            "dims": self.dims,
            "batch": self.batch,
            "threads": self.threads,
            "precision": self.precision,
            "optimizer": self.optimizer,
            "samples_per_s": rounded(rate, 1),
            "us_per_step": rounded(best * 1e6, 2),
            "gflops": rounded(rate * job.operations_per_sample() as f64 / 1e9, 2),
        }))
    }
}

fn rounded(x: f64, places: i32) -> f64 {
    let scale = 10f64.powi(places);
    (x * scale).round() / scale
}

fn main() -> ExitCode {
    match Arguments::parse().measure() {
        Ok(object) => {
            println!("{object}");
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::FAILURE
        }
    }
}
