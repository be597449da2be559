//! The same work in other systems: programs and scripts of `benches/peers`, run as separate processes.

mod crates;
mod dialogue;
mod python;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::Failure;
use super::table::text;
use super::train::{TrainBench, rounded};
use crates::Crates;
pub(super) use dialogue::Dialogue;
use python::Python;

/// Systems of `train_step.py`.
const PYTHON_SYSTEMS: [&str; 6] = ["numpy", "sklearn", "torch", "torch-compile", "jax", "jax-scan"];
/// Systems of the Rust program `train_step`.
const RUST_SYSTEMS: [&str; 2] = ["candle", "burn"];

/// Returns the names of all systems that train the networks of the table.
pub(super) fn systems() -> Vec<String> {
    PYTHON_SYSTEMS.iter().chain(&RUST_SYSTEMS).map(ToString::to_string).collect()
}

/// Runs the peers.
#[derive(Debug)]
pub(super) struct Peers {
    python: Python,
    crates: Crates,
}

impl Peers {
    /// Uses this interpreter, or a Python environment under `target/peers`, created if it does not
    /// exist.
    pub(super) fn find(python: Option<&Path>) -> Peers {
        Peers { python: Python::find(python), crates: Crates::default() }
    }

    /// Measures a system on the work of `same` and returns its JSON object, or the reason why there is
    /// none.
    pub(super) fn measure(&self, system: &str, same: &TrainBench) -> Result<Value, String> {
        let mut command = if RUST_SYSTEMS.contains(&system) {
            self.crates.command("train_step", same.threads)?
        } else {
            self.python.command("train_step.py")
        };
        command
            .args(["--system", system, "--dims", &text(&json!(same.dims)), "--precision", &same.precision])
            .args(["--batch", &same.batch.to_string(), "--threads", &same.threads.to_string()])
            .args(["--optimizer", &same.optimizer, "--seconds", &same.seconds.to_string()]);
        measured(&mut command)
    }

    /// Measures a kind of autoencoder in one of PyTorch's ways.
    pub(super) fn measure_kind(&self, variant: &str, same: &TrainBench) -> Result<Value, String> {
        let mut command = self.python.command("kind_step.py");
        command
            .args(["--system", variant, "--kind", &same.kind.name(), "--dims", &text(&json!(same.dims))])
            .args(["--activation", &same.activation, "--optimizer", &same.optimizer])
            .args(["--batch", &same.batch.to_string(), "--threads", &same.threads.to_string()])
            .args(["--seconds", &same.seconds.to_string()]);
        measured(&mut command)
    }

    /// Measures an encoder, or a whole network, in ONNX Runtime.
    pub(super) fn measure_inference(&self, args: &[&str]) -> Result<Value, String> {
        let mut command = self.python.command("latency.py");
        measured(command.args(args))
    }

    /// Starts a process that times matrix products in a system, one `product m n k` per line.
    pub(super) fn products(
        &self,
        system: &str,
        threads: usize,
        precision: &str,
        seconds: f64,
    ) -> Result<Dialogue, String> {
        let mut command = if system == "mkl" {
            self.python.command("gemm_products.py")
        } else {
            let mut command = self.crates.command("gemm_products", threads)?;
            command.args(["--system", system]);
            command
        };
        command
            .args(["--threads", &threads.to_string(), "--precision", precision])
            .args(["--seconds", &seconds.to_string()]);
        Dialogue::start(command)
    }
}

/// Returns the JSON object on the last line that a peer prints, which must have its samples per second.
fn measured(command: &mut Command) -> Result<Value, String> {
    parse_measurement(&printed(command)?)
}

/// Returns the output of a successful command, or the last line of its error output.
fn printed(command: &mut Command) -> Result<String, String> {
    let Output { status, stdout, stderr } = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&stderr);
    Err(errors.trim().lines().last().unwrap_or("it failed without an error message").to_owned())
}

/// Alternates between our measurements and those of the systems for a number of turns, and keeps the
/// best of each. Returns ours, with the samples per second of each system under its name, the `fastest`
/// of them, and the `ratio` of ours to that one. A system for which `theirs` returns `None` is null;
/// `theirs` reports the reason itself.
pub(super) fn alternate_with_peers<'a>(
    turns: usize,
    systems: impl IntoIterator<Item = &'a str>,
    ours: impl Fn() -> Result<Value, Failure>,
    theirs: impl Fn(usize, &str) -> Option<Value>,
) -> Result<Value, Failure> {
    let mut best: Option<Value> = None;
    let mut rates: Vec<(&str, Option<f64>)> = systems.into_iter().map(|system| (system, None)).collect();
    for turn in 0..turns.max(1) {
        let measured = ours()?;
        if best.as_ref().is_none_or(|best| rate(&measured) > rate(best)) {
            best = Some(measured);
        }
        for (system, best) in &mut rates {
            let measured = theirs(turn, system).as_ref().and_then(rate);
            *best = (*best).into_iter().chain(measured).reduce(f64::max);
        }
    }
    let mut row = best.unwrap_or_default();
    for (system, theirs) in &rates {
        row[*system] = json!(theirs);
    }
    let known = rates.into_iter().filter_map(|(system, theirs)| theirs.map(|theirs| (system, theirs)));
    let fastest = known.max_by(|a, b| a.1.total_cmp(&b.1));
    row["fastest"] = json!(fastest.map(|(system, _)| system));
    row["ratio"] = json!(fastest.zip(rate(&row)).map(|((_, theirs), ours)| rounded(ours / theirs, 2)));
    Ok(row)
}

/// Returns the samples per second of a measurement.
pub(super) fn rate(measured: &Value) -> Option<f64> {
    measured["samples_per_s"].as_f64()
}

fn parse_measurement(printed: &str) -> Result<Value, String> {
    let line = printed.trim().lines().last().unwrap_or_default();
    let value: Value =
        serde_json::from_str(line).map_err(|error| format!("'{line}' is not a measurement: {error}"))?;
    match rate(&value) {
        Some(samples) if samples > 0.0 => Ok(value),
        _ => Err(format!("'{line}' has no samples_per_s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measurements_are_read_from_the_last_line() {
        assert!(parse_measurement("warning\n{\"samples_per_s\": 5.5}\n").is_ok());
        for wrong in ["", "text", "{}", "{\"samples_per_s\": 0}", "{\"samples_per_s\": null}"] {
            assert!(parse_measurement(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn failures_are_told_in_their_last_line() {
        let failed = printed(Command::new("rustc").arg("--no-such-flag"));
        assert!(failed.is_err_and(|reason| !reason.is_empty()));
        assert!(
            printed(&mut Command::new("/nowhere/python3")).is_err_and(|reason| reason.contains("/nowhere"))
        );
    }
}
