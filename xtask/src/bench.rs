//! `cargo xtask bench`: individual benchmarks by name, or the table of training steps.

mod epoch;
mod gemm;
mod infer;
mod kernels;
mod kinds;
mod peak;
mod peers;
mod roofline;
mod steps;
mod table;
mod timing;
mod train;

use clap::{Args, Subcommand};

use crate::failure::Failure;
pub(crate) use table::markdown;
pub(crate) use train::rounded;

/// What to time: one benchmark, or the table of training steps if none is named.
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Bench {
    #[command(subcommand)]
    benchmark: Option<Benchmark>,
    #[command(flatten)]
    steps: steps::StepsBench,
}

#[derive(Subcommand, Debug)]
enum Benchmark {
    /// Training steps of one network
    Train(train::TrainBench),
    /// Whole training runs compared with the steps they consist of
    Epoch(epoch::EpochBench),
    /// Training steps of other kinds of autoencoders: denoising, sparse, variational, convolutional and
    /// more
    Kinds(kinds::KindsBench),
    /// The three matrix products of training, compared with matrixmultiply and others
    Gemm(gemm::GemmBench),
    /// Element-wise functions, losses and layout changes
    Kernels(kernels::KernelsBench),
    /// The products of a step compared with the peak of the CPU
    Roofline(roofline::RooflineBench),
    /// Encoding and reconstruction: throughput, and latency of a single row
    Infer(infer::InferBench),
}

impl Bench {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match &self.benchmark {
            None => self.steps.run(),
            Some(Benchmark::Train(bench)) => {
                let object = bench.measure()?;
                if bench.json {
                    println!("{object}");
                } else {
                    println!(
                        "{} samples/s, {} us per step, {} GFLOP/s ({}, {} threads)",
                        object["samples_per_s"],
                        object["us_per_step"],
                        object["gflops"],
                        table::text(&object["isa"]),
                        object["threads"],
                    );
                }
                Ok(())
            }
            Some(Benchmark::Epoch(bench)) => bench.run(),
            Some(Benchmark::Kinds(bench)) => bench.run(),
            Some(Benchmark::Gemm(bench)) => bench.run(),
            Some(Benchmark::Kernels(bench)) => bench.run(),
            Some(Benchmark::Roofline(bench)) => bench.run(),
            Some(Benchmark::Infer(bench)) => bench.run(),
        }
    }
}
