//! Encoding and reconstruction by a whole model, including checks and scaling.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use ae_data::Rows;
use ae_model::{Autoencoder, Config};
use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::peers::{Peers, rate};
use super::table::{markdown, text};
use super::timing::{best_of, limit};
use super::train::{rounded, uniform_rows};

/// Minimum number of single-row calls for the latency percentiles.
const SINGLES: usize = 1000;

/// What to time.
#[derive(Args, Debug)]
pub(crate) struct InferBench {
    /// Encoder widths from input to encoding; the decoder mirrors them
    #[arg(long, value_delimiter = ',', default_value = "784,256,128,64,32")]
    dims: Vec<usize>,
    /// Rows per call
    #[arg(long, default_value_t = 1024)]
    batch: usize,
    /// Number of threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Numeric precision
    #[arg(long, default_value = "f32", value_parser = ["f32", "f64"])]
    precision: String,
    /// Also run ONNX Runtime, alternating with ours, and print a table
    #[arg(long)]
    peers: bool,
    /// Python interpreter with ONNX Runtime [default: an environment created under target/peers]
    #[arg(long)]
    python: Option<PathBuf>,
    /// Measurements per side with --peers, alternating; the best counts
    #[arg(long, default_value_t = 2)]
    turns: usize,
    /// Seconds to time each of encoding and reconstruction
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Print one JSON object per line instead of text
    #[arg(long)]
    json: bool,
}

/// What is timed.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Encode,
    Reconstruct,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Operation::Encode => "encode",
            Operation::Reconstruct => "reconstruct",
        }
    }

    fn run(self, model: &Autoencoder, rows: &Rows<'_>) -> Result<usize, ae_model::Error> {
        let result = match self {
            Operation::Encode => model.encode(rows)?,
            Operation::Reconstruct => model.reconstruct(rows)?,
        };
        Ok(black_box(&result).values().len())
    }
}

impl InferBench {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        if self.peers {
            return self.run_with_peers(&Peers::find(self.python.as_deref()));
        }
        for operation in [Operation::Encode, Operation::Reconstruct] {
            let object = self.measure(operation)?;
            if self.json {
                println!("{object}");
            } else {
                println!(
                    "{}: {} samples/s; one row {} us (p50), {} us (p99) ({}, {} threads)",
                    operation.name(),
                    object["samples_per_s"],
                    object["p50_us"],
                    object["p99_us"],
                    text(&object["isa"]),
                    self.threads,
                );
            }
        }
        Ok(())
    }

    /// Alternates between ours and ONNX Runtime.
    fn run_with_peers(&self, peers: &Peers) -> Result<(), Failure> {
        let mut rows = Vec::new();
        for operation in [Operation::Encode, Operation::Reconstruct] {
            let row = self.row(operation, peers)?;
            if self.json {
                println!("{row}");
            }
            rows.push(row);
        }
        if !self.json {
            let columns = [
                "way",
                "dims",
                "batch",
                "threads",
                "samples_per_s",
                "onnxruntime",
                "ratio",
                "p50_us",
                "onnxruntime_p50_us",
                "p50_ratio",
                "p99_us",
                "onnxruntime_p99_us",
            ];
            print!("{}", markdown(&columns, &rows));
        }
        Ok(())
    }

    /// Takes the best of each side; ratios say how many times faster ours is.
    fn row(&self, operation: Operation, peers: &Peers) -> Result<Value, Failure> {
        let (mut ours, mut theirs) = (Value::Null, Value::Null);
        let (dims, batch) = (text(&json!(self.dims)), self.batch.to_string());
        let (threads, seconds) = (self.threads.to_string(), self.seconds.to_string());
        let mut args =
            vec!["--way", operation.name(), "--dims", &dims, "--batch", &batch, "--threads", &threads];
        args.extend(["--seconds", &seconds, "--precision", &self.precision]);
        for _ in 0..self.turns.max(1) {
            keep_best(&mut ours, &self.measure(operation)?);
            match peers.measure_inference(&args) {
                Ok(measured) => keep_best(&mut theirs, &measured),
                Err(reason) => eprintln!("onnxruntime left out of {}: {reason}", operation.name()),
            }
        }
        let of = |ours: Option<f64>, theirs: Option<f64>| {
            json!(ours.zip(theirs).map(|(ours, theirs)| rounded(ours / theirs, 2)))
        };
        ours["ratio"] = of(rate(&ours), rate(&theirs));
        ours["p50_ratio"] = of(theirs["p50_us"].as_f64(), ours["p50_us"].as_f64());
        ours["onnxruntime"] = theirs["samples_per_s"].clone();
        ours["onnxruntime_p50_us"] = theirs["p50_us"].clone();
        ours["onnxruntime_p99_us"] = theirs["p99_us"].clone();
        Ok(ours)
    }

    fn measure(&self, operation: Operation) -> Result<Value, Failure> {
        let limit = limit(self.seconds)?;
        let [input, hidden @ .., encoding] = self.dims.as_slice() else {
            return Err(Failure::Usage("--dims needs an input and an encoding width".to_owned()));
        };
        if self.batch == 0 {
            return Err(Failure::Usage("--batch must be at least 1".to_owned()));
        }
        let config = Config::builder(*input)
            .hidden_dims(hidden)
            .encoding_dim(*encoding)
            .precision(self.precision.parse()?)
            .build()?;
        let table = uniform_rows(self.batch * input);
        let all = Rows::new(&table, *input).map_err(ae_model::Error::from)?;
        let mut model = Autoencoder::new(config)?;
        model.set_threads(Some(self.threads))?;
        model.partial_fit(&all)?;
        let width = match operation {
            Operation::Encode => *encoding,
            Operation::Reconstruct => *input,
        };
        if operation.run(&model, &all)? != self.batch * width {
            return Err(Failure::Wrong(format!("{} does not give {width} values per row", operation.name())));
        }

        let mut failure = None;
        let mut timed = |rows: &Rows<'_>| {
            let start = Instant::now();
            if let Err(error) = operation.run(&model, rows) {
                failure = Some(error);
            }
            start.elapsed()
        };
        let whole = best_of(limit, || timed(&all));
        let mut singles: Vec<Duration> = Vec::new();
        let (mut one, mut out) = (model.one_row()?, vec![0.0; width]);
        let begin = Instant::now();
        for row in table.chunks_exact(*input).cycle() {
            if singles.len() >= SINGLES && begin.elapsed() >= limit {
                break;
            }
            let start = Instant::now();
            match operation {
                Operation::Encode => one.encode(black_box(row), &mut out)?,
                Operation::Reconstruct => one.reconstruct(black_box(row), &mut out)?,
            }
            black_box(&mut out);
            singles.push(start.elapsed());
        }
        if let Some(error) = failure {
            return Err(error.into());
        }
        // The first calls are warm-up.
        singles.drain(..SINGLES / 10);
        singles.sort_unstable();
        let microseconds = |time: Duration| rounded(time.as_secs_f64() * 1e6, 2);
        Ok(json!({
            "way": operation.name(),
            "dims": self.dims,
            "batch": self.batch,
            "threads": self.threads,
            "precision": self.precision,
            "isa": ae_model::Isa::active()?.name(),
            "samples_per_s": rounded(self.batch as f64 / whole.as_secs_f64(), 1),
            "p50_us": microseconds(quantile(&singles, 0.5)),
            "p99_us": microseconds(quantile(&singles, 0.99)),
        }))
    }
}

/// Keeps the higher rate and the shorter times of two measurements.
fn keep_best(best: &mut Value, new: &Value) {
    if best.is_null() {
        *best = new.clone();
        return;
    }
    for (name, pick) in
        [("samples_per_s", f64::max as fn(f64, f64) -> f64), ("p50_us", f64::min), ("p99_us", f64::min)]
    {
        if let (Some(old), Some(new)) = (best[name].as_f64(), new[name].as_f64()) {
            best[name] = json!(pick(old, new));
        }
    }
}

/// Returns the smallest of the sorted values that is at least as large as this fraction of them.
fn quantile(sorted: &[Duration], fraction: f64) -> Duration {
    let rank = (fraction * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!(quantile(&times, 0.5), Duration::from_micros(100));
        assert_eq!(quantile(&times, 0.99), Duration::from_micros(198));
        assert_eq!(quantile(&times[..1], 0.99), Duration::from_micros(1));
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }

    fn bench() -> InferBench {
        InferBench {
            dims: vec![5, 3],
            batch: 4,
            threads: 1,
            precision: "f64".to_owned(),
            peers: true,
            python: Some("/nowhere/python3".into()),
            turns: 1,
            seconds: 0.0,
            json: true,
        }
    }

    #[test]
    fn both_ways_are_measured() {
        for operation in [Operation::Encode, Operation::Reconstruct] {
            let object = bench().measure(operation).unwrap();
            assert!(object["samples_per_s"].as_f64().unwrap() > 0.0);
            assert!(object["p50_us"].as_f64().unwrap() <= object["p99_us"].as_f64().unwrap());
        }
    }

    #[test]
    fn a_missing_peer_is_left_out() {
        let bench = bench();
        let row = bench.row(Operation::Encode, &Peers::find(bench.python.as_deref())).unwrap();
        assert!(rate(&row).is_some() && row["onnxruntime"].is_null() && row["ratio"].is_null());
    }

    #[test]
    fn the_best_of_each_number_is_kept() {
        let mut best = Value::Null;
        keep_best(&mut best, &json!({"samples_per_s": 5.0, "p50_us": 2.0, "p99_us": 9.0}));
        keep_best(&mut best, &json!({"samples_per_s": 4.0, "p50_us": 1.0, "p99_us": 10.0}));
        assert_eq!(best, json!({"samples_per_s": 5.0, "p50_us": 1.0, "p99_us": 9.0}));
    }
}
