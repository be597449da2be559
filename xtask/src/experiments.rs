//! `cargo xtask experiments`: what the models are worth on real data. One module an experiment.

mod adbench;

use clap::{Args, Subcommand};

use crate::failure::Failure;

/// Which experiment.
#[derive(Args, Debug)]
pub(crate) struct Experiments {
    #[command(subcommand)]
    experiment: Experiment,
}

#[derive(Subcommand, Debug)]
enum Experiment {
    /// Anomaly detection on a folder of labelled sets in ADBench's format
    Adbench(adbench::Adbench),
}

impl Experiments {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        match &self.experiment {
            Experiment::Adbench(experiment) => experiment.run(),
        }
    }
}
