//! Training steps of the networks that the README quotes, on request beside the same work in other systems.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::table::{markdown, text};
use super::train::{TrainBench, rounded};
use crate::ci::workspace_root;

/// Encoder widths.
const NETS: [&[usize]; 4] =
    [&[100, 50, 10], &[784, 256, 128, 64, 32], &[784, 1000, 500, 250, 30], &[1024, 2048, 512]];
const BATCHES: [usize; 3] = [32, 128, 1024];
const THREADS: [usize; 2] = [1, 2];
/// Systems of `benches/peers/train_step.py`.
const PEERS: [&str; 1] = ["numpy"];
/// How often each side is measured, in turn; the best counts.
const TURNS: usize = 3;

/// The table of training steps.
#[derive(Args, Debug)]
pub(crate) struct StepsBench {
    /// Run the peers of benches/peers too, in turn with ours
    #[arg(long)]
    peers: bool,
    /// Python interpreter that has the peers' packages
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 0.5)]
    seconds: f64,
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
}

impl StepsBench {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let peers = if self.peers { self.working_peers() } else { Vec::new() };
        let mut rows = Vec::new();
        for dims in NETS {
            for batch in BATCHES {
                for threads in THREADS {
                    let row = self.row(dims, batch, threads, &peers)?;
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
            let of_peers: Vec<[String; 2]> = peers.iter().map(|peer| peer_columns(peer)).collect();
            columns.extend(of_peers.iter().flatten().map(String::as_str));
            print!("{}", markdown(&columns, &rows));
        }
        Ok(())
    }

    /// Ours and each peer's in turn, the best of each, and how many times as fast ours is.
    fn row(&self, dims: &[usize], batch: usize, threads: usize, peers: &[&str]) -> Result<Value, Failure> {
        let ours = TrainBench {
            dims: dims.to_vec(),
            batch,
            threads,
            precision: "f32".to_owned(),
            optimizer: "sgd".to_owned(),
            seconds: self.seconds,
            json: true,
        };
        let mut best: Option<Value> = None;
        let mut best_of_peers: Vec<Option<f64>> = vec![None; peers.len()];
        for _ in 0..TURNS {
            let measured = ours.measure()?;
            if best.as_ref().is_none_or(|best| rate(&measured) > rate(best)) {
                best = Some(measured);
            }
            for (peer, best) in peers.iter().zip(&mut best_of_peers) {
                match self.run_peer(peer, &ours) {
                    Ok(measured) => *best = (*best).into_iter().chain(rate(&measured)).reduce(f64::max),
                    Err(reason) => eprintln!("{peer} left out: {reason}"),
                }
            }
        }
        let mut row = best.unwrap_or_default();
        for (peer, theirs) in peers.iter().zip(best_of_peers) {
            let [samples, ratio] = peer_columns(peer);
            let ours = rate(&row);
            row[samples] = json!(theirs);
            row[ratio] = json!(ours.zip(theirs).map(|(ours, theirs)| rounded(ours / theirs, 2)));
        }
        Ok(row)
    }

    /// Those that run on this machine; the others are reported.
    fn working_peers(&self) -> Vec<&'static str> {
        let small = TrainBench {
            dims: vec![4, 2],
            batch: 4,
            threads: 1,
            precision: "f32".to_owned(),
            optimizer: "sgd".to_owned(),
            seconds: 0.0,
            json: true,
        };
        let works = |peer: &&str| match self.run_peer(peer, &small) {
            Ok(_) => true,
            Err(reason) => {
                eprintln!("{peer} left out: {reason}");
                false
            }
        };
        PEERS.into_iter().filter(works).collect()
    }

    /// One measurement of a peer: its JSON object, or why there is none.
    fn run_peer(&self, peer: &str, same: &TrainBench) -> Result<Value, String> {
        let dims = text(&json!(same.dims));
        let output = Command::new(&self.python)
            .arg(script())
            .args(["--system", peer, "--dims", &dims, "--precision", &same.precision])
            .args(["--batch", &same.batch.to_string(), "--threads", &same.threads.to_string()])
            .args(["--optimizer", &same.optimizer, "--seconds", &same.seconds.to_string()])
            .output()
            .map_err(|error| format!("{}: {error}", self.python.display()))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(errors.trim().lines().last().unwrap_or("it failed without a word").to_owned());
        }
        parse_measurement(&String::from_utf8_lossy(&output.stdout))
    }
}

fn script() -> PathBuf {
    workspace_root().join(Path::new("benches/peers/train_step.py"))
}

/// Names of a peer's columns: its rate, and how many times as fast ours is.
fn peer_columns(peer: &str) -> [String; 2] {
    [format!("{peer}_samples_per_s"), format!("ratio_to_{peer}")]
}

fn rate(measured: &Value) -> Option<f64> {
    measured["samples_per_s"].as_f64()
}

/// The object on the last line of what a peer printed.
fn parse_measurement(printed: &str) -> Result<Value, String> {
    let line = printed.trim().lines().last().unwrap_or_default();
    let value: Value =
        serde_json::from_str(line).map_err(|error| format!("'{line}' is no measurement: {error}"))?;
    match rate(&value) {
        Some(samples) if samples > 0.0 => Ok(value),
        _ => Err(format!("'{line}' names no samples_per_s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench(python: &str) -> StepsBench {
        StepsBench { peers: true, python: python.into(), seconds: 0.0, json: true }
    }

    #[test]
    fn measurements_are_read_from_the_last_line() {
        assert!(parse_measurement("warning\n{\"samples_per_s\": 5.5}\n").is_ok());
        for wrong in ["", "text", "{}", "{\"samples_per_s\": 0}", "{\"samples_per_s\": null}"] {
            assert!(parse_measurement(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_missing_peer_is_left_out() {
        let bench = bench("/nowhere/python3");
        assert!(bench.working_peers().is_empty());
        let row = bench.row(&[6, 3], 4, 1, &["numpy"]).unwrap();
        assert!(rate(&row).is_some() && row["ratio_to_numpy"].is_null());
    }

    #[test]
    fn the_script_is_where_it_is_looked_for() {
        assert!(script().is_file(), "{}", script().display());
    }
}
