//! Training steps of other kinds of autoencoders, optionally compared with the same work in PyTorch.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::Failure;
use super::peers::{Peers, alternate_with_peers};
use super::table::markdown;
use super::train::{Kind, OPTIMIZERS, TrainBench};

/// A kind with its encoder widths, activation and rows per step.
type Workload = (Kind, &'static [usize], &'static str, usize);

/// Typical networks of each kind.
const WORKLOADS: [Workload; 14] = [
    (Kind::Plain, &[784, 256, 128, 64, 32], "relu", 128),
    (Kind::Denoising, &[784, 256, 128, 64, 32], "relu", 128),
    (Kind::Sparse, &[784, 256, 128, 64, 32], "relu", 128),
    (Kind::KlSparse, &[784, 256, 128, 64, 32], "relu", 128),
    (Kind::LayerNorm, &[784, 256, 128, 64, 32], "relu", 128),
    (Kind::Tied, &[784, 256, 128, 64, 32], "relu", 128),
    (Kind::Contractive, &[784, 256], "sigmoid", 128),
    (Kind::Vae, &[784, 200, 200, 50], "tanh", 128),
    (Kind::TopK, &[768, 16384], "relu", 1024),
    (Kind::BatchTopK, &[768, 16384], "relu", 1024),
    (Kind::Conv, &[784, 32], "relu", 32),
    (Kind::Conv, &[784, 32], "relu", 128),
    (Kind::Conv, &[784, 32], "relu", 512),
    (Kind::UnitNorm, &[784, 1024], "relu", 128),
];
/// Variants of a kind in PyTorch; the fastest applicable one counts.
const TORCH_VARIANTS: [&str; 4] = ["torch", "torch-compile", "torch-channels-last", "torch-bag"];

/// What to time.
#[derive(Args, Debug)]
pub(crate) struct KindsBench {
    /// Only these kinds
    #[arg(long, value_delimiter = ',', value_enum)]
    kinds: Vec<Kind>,
    /// Rows per step [default: typical for the kind]
    #[arg(long, value_delimiter = ',')]
    batches: Vec<usize>,
    /// Also run PyTorch, alternating with ours
    #[arg(long)]
    peers: bool,
    /// Python interpreter with PyTorch [default: an environment created under target/peers]
    #[arg(long)]
    python: Option<PathBuf>,
    /// Number of threads
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Optimizer update rule
    #[arg(long, default_value = "adam", value_parser = OPTIMIZERS)]
    optimizer: String,
    /// Measurements per side, alternating; the best counts
    #[arg(long, default_value_t = 2)]
    turns: usize,
    /// Seconds per measurement
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Print one JSON object per line instead of a table
    #[arg(long)]
    json: bool,
}

impl KindsBench {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let peers = self.peers.then(|| Peers::find(self.python.as_deref()));
        let mut rows = Vec::new();
        for workload in self.workloads() {
            let row = self.row(&workload, peers.as_ref())?;
            if self.json {
                println!("{row}");
            } else {
                eprintln!("{}, batch {}: {} us", workload.kind.name(), workload.batch, row["us_per_step"]);
            }
            rows.push(row);
        }
        if !self.json {
            let mut columns = vec!["kind", "dims", "batch", "threads", "samples_per_s", "us_per_step"];
            if self.peers {
                columns.extend(TORCH_VARIANTS);
                columns.extend(["fastest", "ratio"]);
            }
            print!("{}", markdown(&columns, &rows));
        }
        Ok(())
    }

    fn workloads(&self) -> Vec<TrainBench> {
        let chosen =
            WORKLOADS.iter().filter(|workload| self.kinds.is_empty() || self.kinds.contains(&workload.0));
        let mut workloads: Vec<Workload> = Vec::new();
        for &(kind, dims, activation, batch) in chosen {
            if self.batches.is_empty() {
                workloads.push((kind, dims, activation, batch));
            } else if workloads.last().is_none_or(|last| last.0 != kind) {
                workloads.extend(self.batches.iter().map(|batch| (kind, dims, activation, *batch)));
            }
        }
        let bench = |(kind, dims, activation, batch): Workload| TrainBench {
            kind,
            dims: dims.to_vec(),
            activation: activation.to_owned(),
            batch,
            threads: self.threads,
            optimizer: self.optimizer.clone(),
            seconds: self.seconds,
            ..TrainBench::default()
        };
        workloads.into_iter().map(bench).collect()
    }

    /// Alternates between ours and PyTorch's variants, and keeps the best of each.
    fn row(&self, workload: &TrainBench, peers: Option<&Peers>) -> Result<Value, Failure> {
        let theirs = |turn, variant: &str| {
            let report = |reason| {
                if turn == 0 {
                    eprintln!("{variant} left out of {}: {reason}", workload.kind.name());
                }
            };
            let peers = peers.filter(|_| applies_to(variant, workload.kind));
            peers?.measure_kind(variant, workload).map_err(report).ok()
        };
        let mut row = alternate_with_peers(self.turns, TORCH_VARIANTS, || workload.measure(), theirs)?;
        row["kind"] = json!(workload.kind.name());
        Ok(row)
    }
}

/// Whether this variant makes a difference for the kind.
fn applies_to(variant: &str, kind: Kind) -> bool {
    match variant {
        "torch-channels-last" => kind == Kind::Conv,
        "torch-bag" => kind == Kind::TopK,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::peers::rate;
    use clap::ValueEnum;

    fn bench(kinds: Vec<Kind>) -> KindsBench {
        KindsBench {
            kinds,
            batches: Vec::new(),
            peers: true,
            python: Some("/nowhere/python3".into()),
            threads: 1,
            optimizer: "adam".to_owned(),
            turns: 1,
            seconds: 0.0,
            json: true,
        }
    }

    #[test]
    fn every_kind_has_work() {
        for kind in Kind::value_variants() {
            assert!(!bench(vec![*kind]).workloads().is_empty(), "{kind:?}");
            assert!(applies_to("torch", *kind));
        }
        assert_eq!(bench(Vec::new()).workloads().len(), WORKLOADS.len());
        let convolutions = KindsBench { batches: vec![1, 7], ..bench(vec![Kind::Conv]) };
        let batches: Vec<usize> = convolutions.workloads().iter().map(|workload| workload.batch).collect();
        assert_eq!(batches, [1, 7]);
    }

    #[test]
    fn a_missing_peer_is_left_out() {
        let bench = bench(vec![Kind::Tied]);
        let peers = Peers::find(bench.python.as_deref());
        let row = bench.row(&bench.workloads()[0], Some(&peers)).unwrap();
        assert!(rate(&row).is_some() && row["torch"].is_null() && row["ratio"].is_null());
        assert_eq!(row["kind"], "tied");
    }
}
