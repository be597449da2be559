//! `cargo xtask`: benchmarks, checks that take too long for tests, and what continuous integration runs.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "printing is what these commands do")]
#![allow(
    clippy::neg_cmp_op_on_partial_ord,
    reason = "`!(error <= bound)` is the form that NaN does not pass"
)]

mod args;
mod bench;
mod ci;
mod experiments;
mod failure;
mod gradcheck;
mod picture;
mod tidy;
mod ulp;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Bench(bench) => bench.run(),
        Command::Experiments(experiments) => experiments.run(),
        Command::Gradcheck(gradcheck) => gradcheck.run(),
        Command::Ulp(ulp) => ulp.run(),
        Command::Picture(picture) => picture.run(),
        Command::Ci => ci::run(),
        Command::Tidy => tidy::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.exit_code()
        }
    }
}
