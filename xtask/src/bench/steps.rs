//! Training steps of the networks in the README, optionally compared with the same work in other
//! systems.

mod plot;

use std::path::PathBuf;
use std::str::FromStr;

use ae_kernels::Isa;
use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::peak;
use super::peers::{Peers, alternate_with_peers, rate, systems};
use super::table::{markdown, text};
use super::timing::limit;
use super::train::{OPTIMIZERS, PRECISIONS, TrainBench, rounded};

/// Encoder widths.
const NETS: [&[usize]; 4] =
    [&[100, 50, 10], &[784, 256, 128, 64, 32], &[784, 1000, 500, 250, 30], &[1024, 2048, 512]];
/// Rows per step, in tables and in plots.
const BATCHES: [usize; 3] = [32, 128, 1024];
const PLOTTED_BATCHES: [usize; 6] = [1, 8, 32, 128, 512, 2048];

/// Encoder widths as text: `784,256,32`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Widths(pub(super) Vec<usize>);

impl FromStr for Widths {
    type Err = String;

    fn from_str(text: &str) -> Result<Widths, String> {
        let width = |width: &str| match width.trim().parse() {
            Ok(width) if width > 0 => Ok(width),
            _ => Err(format!("'{width}' is not a valid width")),
        };
        let widths: Vec<usize> = text.split(',').map(width).collect::<Result<_, _>>()?;
        if widths.len() < 2 {
            Err("expected at least an input and an encoding width".to_owned())
        } else {
            Ok(Widths(widths))
        }
    }
}

/// The table of training steps.
#[derive(Args, Debug)]
pub(crate) struct StepsBench {
    /// Also run the peers in benches/peers, alternating with ours
    #[arg(long)]
    peers: bool,
    /// Only these peers
    #[arg(long, value_delimiter = ',', default_values_t = systems())]
    systems: Vec<String>,
    /// Python interpreter with the peers' packages [default: an environment created under target/peers]
    #[arg(long)]
    python: Option<PathBuf>,
    /// A network by its encoder widths, e.g. 784,256,32. May be repeated [default: four common networks]
    #[arg(long)]
    dims: Vec<Widths>,
    /// Rows per step [default: 32,128,1024; with --plot 1,8,32,128,512,2048]
    #[arg(long, value_delimiter = ',')]
    batches: Vec<usize>,
    /// Numbers of threads
    #[arg(long, value_delimiter = ',', default_values_t = [2])]
    threads: Vec<usize>,
    /// Numeric precision
    #[arg(long, default_value = "f32", value_parser = PRECISIONS)]
    precision: String,
    /// Optimizer update rule
    #[arg(long, default_value = "sgd", value_parser = OPTIMIZERS)]
    optimizer: String,
    /// Measurements per side, alternating; the best counts
    #[arg(long, default_value_t = 2)]
    turns: usize,
    /// Seconds per measurement
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Also plot rows per second over batch sizes as SVG, one panel per network
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Print one JSON object per line instead of tables
    #[arg(long)]
    json: bool,
}

impl StepsBench {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let peers = self.peers.then(|| Peers::find(self.python.as_deref()));
        let mut rows = Vec::new();
        for threads in &self.threads {
            let peak = peak::of_threads(&self.precision, Isa::active()?, *threads, limit(self.seconds)?)?;
            for dims in self.nets() {
                for batch in self.batches() {
                    let mut row = self.row(&self.steps(&dims, batch, *threads), peers.as_ref())?;
                    row["peak_gflops"] = json!(rounded(peak, 1));
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
            self.print(&rows);
        }
        match &self.plot {
            Some(path) => {
                let drawn = plot::panels(&rows, &self.peers());
                std::fs::write(path, drawn).map_err(|error| Failure::io(path.display(), &error))
            }
            None => Ok(()),
        }
    }

    fn print(&self, rows: &[Value]) {
        let mut columns = vec!["dims", "batch", "threads", "isa", "samples_per_s", "us_per_step", "gflops"];
        let peers = self.peers();
        columns.extend(peers.iter().copied());
        if self.peers {
            columns.extend(["fastest", "ratio"]);
        }
        print!("{}", markdown(&columns, rows));
        let percentages: Vec<Value> = rows.iter().map(|row| percentages_of_peak(row, &peers)).collect();
        let mut columns = vec!["dims", "batch", "threads", "peak_gflops", "ours"];
        columns.extend(peers);
        println!(
            "\nPercent of the peak of vector multiply-adds ({}), measured in the same run:\n",
            self.precision
        );
        print!("{}", markdown(&columns, &percentages));
    }

    fn peers(&self) -> Vec<&str> {
        if self.peers { self.systems.iter().map(String::as_str).collect() } else { Vec::new() }
    }

    fn nets(&self) -> Vec<Vec<usize>> {
        match self.dims.as_slice() {
            [] => NETS.map(<[usize]>::to_vec).to_vec(),
            dims => dims.iter().map(|widths| widths.0.clone()).collect(),
        }
    }

    fn batches(&self) -> Vec<usize> {
        match self.batches.as_slice() {
            [] if self.plot.is_some() => PLOTTED_BATCHES.to_vec(),
            [] => BATCHES.to_vec(),
            batches => batches.to_vec(),
        }
    }

    fn steps(&self, dims: &[usize], batch: usize, threads: usize) -> TrainBench {
        TrainBench {
            dims: dims.to_vec(),
            batch,
            threads,
            precision: self.precision.clone(),
            optimizer: self.optimizer.clone(),
            seconds: self.seconds,
            ..TrainBench::default()
        }
    }

    /// Alternates between ours and each peer, and keeps the best of each: samples per second under the
    /// peer's name, the `fastest` of them, and the `ratio` of ours to that one.
    fn row(&self, work: &TrainBench, peers: Option<&Peers>) -> Result<Value, Failure> {
        let systems = self.systems.iter().map(String::as_str);
        alternate_with_peers(
            self.turns,
            systems,
            || work.measure(),
            |_, system| {
                let told = |reason| eprintln!("{system} left out of {}: {reason}", text(&json!(work.dims)));
                peers?.measure(system, work).map_err(told).ok()
            },
        )
    }
}

/// Converts rates to percentages of `peak_gflops`, with our number of operations for every system.
fn percentages_of_peak(row: &Value, peers: &[&str]) -> Value {
    let number = |name: &str| row[name].as_f64();
    let of_a_row = number("gflops").zip(rate(row)).map(|(gflops, rate)| gflops / rate);
    let percent = |rate: Option<f64>| {
        let rates = rate.zip(of_a_row).zip(number("peak_gflops"));
        json!(rates.map(|((rate, of_a_row), peak)| rounded(100.0 * rate * of_a_row / peak, 1)))
    };
    let mut percentages = json!({ "ours": percent(rate(row)) });
    for name in ["dims", "batch", "threads", "peak_gflops"] {
        percentages[name] = row[name].clone();
    }
    for peer in peers {
        percentages[peer] = percent(number(peer));
    }
    percentages
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench() -> StepsBench {
        StepsBench {
            peers: true,
            systems: vec!["numpy".to_owned()],
            python: Some("/nowhere/python3".into()),
            dims: Vec::new(),
            batches: vec![4],
            threads: vec![1],
            precision: "f32".to_owned(),
            optimizer: "sgd".to_owned(),
            turns: 1,
            seconds: 0.0,
            plot: None,
            json: true,
        }
    }

    #[test]
    fn a_missing_peer_is_left_out() {
        let bench = bench();
        let peers = Peers::find(bench.python.as_deref());
        let row = bench.row(&bench.steps(&[6, 3], 4, 1), Some(&peers)).unwrap();
        assert!(rate(&row).is_some() && row["numpy"].is_null() && row["ratio"].is_null());
    }

    #[test]
    fn widths_are_read() {
        assert_eq!("784, 32".parse(), Ok(Widths(vec![784, 32])));
        for wrong in ["", "784", "784,", "784,0", "784,x"] {
            assert!(wrong.parse::<Widths>().is_err(), "{wrong}");
        }
        let chosen = StepsBench { dims: vec![Widths(vec![7, 3])], ..bench() };
        assert_eq!(chosen.nets(), [[7, 3]]);
        assert_eq!(bench().nets().len(), NETS.len());
    }

    #[test]
    fn percentages_count_the_same_operations() {
        let row = json!({"dims": [4, 2], "batch": 1, "threads": 1, "samples_per_s": 100.0, "gflops": 50.0,
            "peak_gflops": 200.0, "numpy": 20.0, "jax": null});
        let percentages = percentages_of_peak(&row, &["numpy", "jax"]);
        assert_eq!((&percentages["ours"], &percentages["numpy"]), (&json!(25.0), &json!(5.0)));
        assert!(percentages["jax"].is_null() && percentages["dims"] == json!([4, 2]));
    }

    #[test]
    fn a_picture_is_written() {
        let folder = std::env::temp_dir().join(format!("ae-plot-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("steps.svg");
        let dims = vec![Widths(vec![6, 3]), Widths(vec![8, 2])];
        let bench =
            StepsBench { dims, batches: vec![2, 4], peers: false, plot: Some(path.clone()), ..bench() };
        bench.run().unwrap();
        let svg = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        assert!(svg.contains("6-3-6") && svg.contains("8-2-8"), "{svg}");
    }
}
