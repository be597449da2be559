//! The commands and their arguments.

use clap::{Parser, Subcommand};

use crate::bench::Bench;
use crate::experiments::Experiments;
use crate::gradcheck::Gradcheck;
use crate::picture::Picture;
use crate::ulp::Ulp;

/// Benchmarks and checks of the workspace
#[derive(Parser, Debug)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_version_flag = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Time training steps, products, kernels and inference
    Bench(Box<Bench>),
    /// Reproduce published results on real data
    Experiments(Experiments),
    /// Compare gradients with finite differences, a naive reference and each other
    Gradcheck(Gradcheck),
    /// Measure the error of the elementary functions over every single-precision input
    Ulp(Ulp),
    /// Draw docs/digits.png, the picture in the README
    Picture(Picture),
    /// Run every check that a change must pass
    Ci,
    /// Check rules for the source that the compiler does not enforce
    Tidy,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn definitions_are_consistent() {
        Args::command().debug_assert();
    }

    /// The command lines used in the documentation.
    #[test]
    fn known_command_lines() {
        for (line, fine) in [
            ("bench", true),
            ("bench --peers --python /usr/bin/python3", true),
            (
                "bench train --dims 784,256,128,64,32 --batch 32 --threads 2 --precision f32 --optimizer sgd --json",
                true,
            ),
            ("bench train --precision f16", false),
            (
                "bench train --kind vae --dims 784,200,200,50 --activation tanh --batch 128 --optimizer adam",
                true,
            ),
            ("bench train --kind perfect", false),
            ("bench epoch --dims 784,32 --rows 1000 --epochs 2 --validation 0.1 --json", true),
            ("bench --peers --dims 784,32 --dims 100,50,10 --batches 1,8 --plot steps.svg", true),
            ("bench --dims 784", false),
            ("bench kinds --peers --kinds conv,top-k", true),
            ("bench gemm --peers --threads 1,2 --all", true),
            ("bench gemm --all --shape 8,8,8", false),
            ("bench gemm --shape 32,256,784 --shape 8,8,8 --threads 1 --precision f64 --json", true),
            ("bench gemm --shape 32,256", false),
            ("bench gemm --shape 32,0,784", false),
            ("bench kernels --json", true),
            ("bench infer --dims 784,32 --batch 64 --threads 1", true),
            ("bench infer --peers --turns 3", true),
            ("bench --peers train", false),
            ("gradcheck --cases 10 --seed 3 --json", true),
            ("ulp --function exp,tanh --isa portable", true),
            ("ulp --function cosine", false),
            ("experiments mnist-deep --data mnist --epochs 3 --json", true),
            ("experiments mnist-deep --data mnist --finish-epochs 5 --finish-rate 0.0001", true),
            ("experiments curves --seed 1", true),
            ("experiments vae", false),
            ("experiments iwae --data mnist --stages 1:5,50:2 --test-rows 100", true),
            ("experiments iwae --data mnist --stages 1:5,5:2:0.001", true),
            ("experiments iwae --data mnist --stages 1:5,0:2", false),
            ("experiments iwae --data mnist --stages 1:5:0", false),
            ("experiments iwae --data mnist --stages 1:5:0.1:2", false),
            ("experiments denoising --data mnist --seeds 2", true),
            ("experiments precision --seeds 2 --plot curves.svg", true),
            ("experiments precision --hidden x", false),
            ("experiments adbench --data sets --json --seeds 2", true),
            ("experiments adbench", false),
            ("experiments adbench --data sets --score best", false),
            ("experiments", false),
            ("picture", true),
            ("ci", true),
            ("tidy", true),
            ("", false),
        ] {
            let words = std::iter::once("xtask").chain(line.split_whitespace());
            assert_eq!(Args::try_parse_from(words).is_ok(), fine, "{line}");
        }
    }
}
