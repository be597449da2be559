//! Training steps of the networks that the README quotes, on request beside the same work in other systems.

mod python;

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::table::{markdown, text};
use super::train::{OPTIMIZERS, PRECISIONS, TrainBench, rounded};
use python::{Python, SYSTEMS, rate};

/// Encoder widths.
const NETS: [&[usize]; 4] =
    [&[100, 50, 10], &[784, 256, 128, 64, 32], &[784, 1000, 500, 250, 30], &[1024, 2048, 512]];

/// The table of training steps.
#[derive(Args, Debug)]
pub(crate) struct StepsBench {
    /// Run the peers of benches/peers too, in turn with ours
    #[arg(long)]
    peers: bool,
    /// Only these peers
    #[arg(long, value_delimiter = ',', default_values_t = SYSTEMS.map(str::to_owned))]
    systems: Vec<String>,
    /// Python interpreter that has the peers' packages; without it an environment is made under target/peers
    #[arg(long)]
    python: Option<PathBuf>,
    /// Rows of a step
    #[arg(long, value_delimiter = ',', default_values_t = [32, 128, 1024])]
    batches: Vec<usize>,
    /// Threads
    #[arg(long, value_delimiter = ',', default_values_t = [2])]
    threads: Vec<usize>,
    /// Arithmetic
    #[arg(long, default_value = "f32", value_parser = PRECISIONS)]
    precision: String,
    /// Rule of the updates
    #[arg(long, default_value = "sgd", value_parser = OPTIMIZERS)]
    optimizer: String,
    /// How often each side is measured, in turn; the best counts
    #[arg(long, default_value_t = 2)]
    turns: usize,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
}

impl StepsBench {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let python = self.peers.then(|| Python::find(self.python.as_deref()));
        let mut rows = Vec::new();
        for dims in NETS {
            for batch in &self.batches {
                for threads in &self.threads {
                    let row = self.row(&self.steps(dims, *batch, *threads), python.as_ref())?;
                    if self.json {
                        println!("{row}");
                    } else {
                        eprintln!("{dims:?}, batch {batch}, threads {threads}: {} us", row["us_per_step"]);
                    }
                    rows.push(row);
                }
            }
        }
        if !self.json {
            let mut columns =
                vec!["dims", "batch", "threads", "isa", "samples_per_s", "us_per_step", "gflops"];
            if self.peers {
                columns.extend(self.systems.iter().map(String::as_str));
                columns.extend(["fastest", "ratio"]);
            }
            print!("{}", markdown(&columns, &rows));
        }
        Ok(())
    }

    fn steps(&self, dims: &[usize], batch: usize, threads: usize) -> TrainBench {
        TrainBench {
            top_k: None,
            conv: None,
            image: None,
            dims: dims.to_vec(),
            batch,
            threads,
            precision: self.precision.clone(),
            optimizer: self.optimizer.clone(),
            seconds: self.seconds,
            json: true,
        }
    }

    /// Ours and each peer's in turn, the best of each: samples per second under the peer's name, the `fastest` of them, and
    /// the `ratio` of ours to that one.
    fn row(&self, work: &TrainBench, python: Option<&Python>) -> Result<Value, Failure> {
        let mut best: Option<Value> = None;
        let mut of_peers: Vec<Option<f64>> = vec![None; self.systems.len()];
        for _ in 0..self.turns.max(1) {
            let measured = work.measure()?;
            if best.as_ref().is_none_or(|best| rate(&measured) > rate(best)) {
                best = Some(measured);
            }
            for (system, best) in self.systems.iter().zip(&mut of_peers) {
                let Some(python) = python else { continue };
                match python.measure(system, work) {
                    Ok(measured) => *best = (*best).into_iter().chain(rate(&measured)).reduce(f64::max),
                    Err(reason) => eprintln!("{system} left out of {}: {reason}", text(&json!(work.dims))),
                }
            }
        }
        let mut row = best.unwrap_or_default();
        let mut fastest: Option<(&str, f64)> = None;
        for (system, theirs) in self.systems.iter().zip(of_peers) {
            row[system] = json!(theirs);
            if let Some(theirs) = theirs.filter(|theirs| fastest.is_none_or(|(_, rate)| *theirs > rate)) {
                fastest = Some((system, theirs));
            }
        }
        row["fastest"] = json!(fastest.map(|(system, _)| system));
        row["ratio"] = json!(fastest.zip(rate(&row)).map(|((_, theirs), ours)| rounded(ours / theirs, 2)));
        Ok(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_peer_is_left_out() {
        let bench = StepsBench {
            peers: true,
            systems: vec!["numpy".to_owned()],
            python: Some("/nowhere/python3".into()),
            batches: vec![4],
            threads: vec![1],
            precision: "f32".to_owned(),
            optimizer: "sgd".to_owned(),
            turns: 1,
            seconds: 0.0,
            json: true,
        };
        let python = Python::find(bench.python.as_deref());
        let row = bench.row(&bench.steps(&[6, 3], 4, 1), Some(&python)).unwrap();
        assert!(rate(&row).is_some() && row["numpy"].is_null() && row["ratio"].is_null());
    }
}
