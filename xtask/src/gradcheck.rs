//! Checks gradients of random networks in three ways:
//!
//! - in `f64` against central differences of the objective, with a relative error of at most 10⁻⁶;
//! - in `f64` on every instruction set against the naive reference;
//! - in `f32` on every instruction set, with plain and with split products, against the naive reference.
//!
//! The last two allow for rounding errors; see [`rounding`].

mod case;
mod rounding;

use ae_kernels::Isa;
use ae_model::Activation;
use clap::Args;
use serde_json::{Value, json};

use crate::bench::markdown;
use crate::failure::Failure;
use case::{Case, Findings, ROUNDING_BOUND, SAMPLE, TOLERANCE};

const ACTIVATIONS: [Activation; 3] = [Activation::Relu, Activation::Sigmoid, Activation::Tanh];

/// How much to check.
#[derive(Args, Debug)]
pub(crate) struct Gradcheck {
    /// Number of random networks
    #[arg(long, default_value_t = 200)]
    cases: u64,
    /// Seed of the first network; each following one adds 1
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print one JSON object per line instead of a table
    #[arg(long)]
    json: bool,
}

/// Results of the cases of one activation.
#[derive(Debug, Default)]
struct Tally {
    cases: usize,
    compared: usize,
    kinks: usize,
    worst: f64,
    worst_f64: f64,
    worst_f32: f64,
    f32_skipped: usize,
}

impl Gradcheck {
    pub(crate) fn run(&self) -> Result<(), Failure> {
        if self.cases == 0 {
            return Err(Failure::Usage("--cases must be at least 1".to_owned()));
        }
        let mut tallies: [Tally; ACTIVATIONS.len()] = Default::default();
        let mut failed = 0;
        for seed in (0..self.cases).map(|index| self.seed.wrapping_add(index)) {
            let case = Case::random(seed);
            let findings = case.check()?;
            let problems = findings.problems();
            if !problems.is_empty() {
                failed += 1;
                eprintln!("{case:?}: {}", problems.join("; "));
                eprintln!("reproduce with: cargo xtask gradcheck --cases 1 --seed {seed}");
            }
            let own = ACTIVATIONS.iter().position(|activation| *activation == case.activation);
            tallies[own.unwrap_or_default()].add(&findings);
        }
        self.print(&tallies);
        if failed == 0 {
            return Ok(());
        }
        Err(Failure::Wrong(format!("the gradients of {failed} of {} networks are wrong", self.cases)))
    }

    fn print(&self, tallies: &[Tally]) {
        let rows: Vec<Value> =
            ACTIVATIONS.iter().zip(tallies).map(|(activation, tally)| tally.to_json(*activation)).collect();
        if self.json {
            rows.iter().for_each(|row| println!("{row}"));
            return;
        }
        let columns =
            ["activation", "cases", "compared", "kinks", "worst", "worst_f64", "worst_f32", "f32_skipped"];
        print!("{}", markdown(&columns, &rows));
        println!("worst: relative error against central differences, at most {TOLERANCE:e} is allowed");
        println!("worst_f64, worst_f32: error on any of {}", isa_names().join(", "));
        println!("  against the naive reference, in units of rounding, at most {ROUNDING_BOUND} is allowed");
        println!("kinks: derivatives at a kink of the objective, where finite differences do not apply");
        println!("f32_skipped: networks so close to a kink that rounding may cross it");
        println!("networks too large to check in full: {SAMPLE} parameters are sampled");
    }
}

impl Tally {
    fn add(&mut self, findings: &Findings) {
        self.cases += 1;
        self.compared += findings.differences.compared;
        self.kinks += findings.differences.kinks;
        self.worst = worse(self.worst, findings.differences.worst);
        self.worst_f64 = worse(self.worst_f64, findings.rounding_f64);
        match findings.rounding_f32 {
            Some(error) => self.worst_f32 = worse(self.worst_f32, error),
            None => self.f32_skipped += 1,
        }
    }

    fn to_json(&self, activation: Activation) -> Value {
        let short = |error: f64| format!("{error:.2e}").parse().unwrap_or(error);
        json!({
            "activation": activation,
            "cases": self.cases,
            "compared": self.compared,
            "kinks": self.kinks,
            "worst": short(self.worst),
            "worst_f64": short(self.worst_f64),
            "worst_f32": short(self.worst_f32),
            "f32_skipped": self.f32_skipped,
            "isas": isa_names(),
        })
    }
}

fn isa_names() -> Vec<&'static str> {
    Isa::available().map(Isa::name).collect()
}

/// Returns the larger error; NaN is the largest.
fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_the_worst() {
        assert_eq!(worse(1.0, 2.0), 2.0);
        assert_eq!(worse(2.0, 1.0), 2.0);
        assert!(worse(f64::NAN, 1.0).is_nan() && worse(1.0, f64::NAN).is_nan());
    }
}
