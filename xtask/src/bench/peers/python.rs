//! The Python interpreter that runs the peers, and one measurement of a peer.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::bench::table::text;
use crate::bench::train::TrainBench;
use crate::ci::workspace_root;

/// Systems of `benches/peers/train_step.py`.
pub(super) const SYSTEMS: [&str; 6] = ["numpy", "sklearn", "torch", "torch-compile", "jax", "jax-scan"];
/// What they need from the Python package index, each installed for itself, so that one that is missing costs only itself.
const PACKAGES: [&str; 4] = ["numpy", "scikit-learn", "torch", "jax"];

/// An interpreter with the peers' packages.
#[derive(Debug)]
pub(super) struct Python(PathBuf);

impl Python {
    /// The one that was asked for, or that of an environment under `target`, made at the first use.
    pub(super) fn find(asked_for: Option<&Path>) -> Python {
        if let Some(path) = asked_for {
            return Python(path.to_owned());
        }
        let environment = workspace_root().join("target/peers");
        let python = environment.join("bin/python");
        if !python.exists() {
            eprintln!("making {} for the peers; their packages are large", environment.display());
            if let Err(reason) = make(&environment, &python) {
                eprintln!("no Python environment of its own: {reason}");
                return Python("python3".into());
            }
        }
        Python(python)
    }

    /// One measurement of a system on the work of `same`: its JSON object, or why there is none.
    pub(super) fn measure(&self, system: &str, same: &TrainBench) -> Result<Value, String> {
        let dims = text(&json!(same.dims));
        let mut command = Command::new(&self.0);
        command
            .arg(script())
            .args(["--system", system, "--dims", &dims, "--precision", &same.precision])
            .args(["--batch", &same.batch.to_string(), "--threads", &same.threads.to_string()])
            .args(["--optimizer", &same.optimizer, "--seconds", &same.seconds.to_string()]);
        parse_measurement(&printed(&mut command)?)
    }
}

fn make(environment: &Path, python: &Path) -> Result<(), String> {
    printed(Command::new("python3").args(["-m", "venv"]).arg(environment))?;
    for package in PACKAGES {
        if let Err(reason) = printed(Command::new(python).args(["-m", "pip", "install", "--quiet", package]))
        {
            eprintln!("{package} is not installed: {reason}");
        }
    }
    Ok(())
}

/// What a successful command printed, or the last line of why it failed.
fn printed(command: &mut Command) -> Result<String, String> {
    let Output { status, stdout, stderr } = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    let errors = String::from_utf8_lossy(&stderr);
    Err(errors.trim().lines().last().unwrap_or("it failed without a word").to_owned())
}

fn script() -> PathBuf {
    workspace_root().join("benches/peers/train_step.py")
}

/// Samples per second of a measurement.
pub(super) fn rate(measured: &Value) -> Option<f64> {
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

    #[test]
    fn measurements_are_read_from_the_last_line() {
        assert!(parse_measurement("warning\n{\"samples_per_s\": 5.5}\n").is_ok());
        for wrong in ["", "text", "{}", "{\"samples_per_s\": 0}", "{\"samples_per_s\": null}"] {
            assert!(parse_measurement(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_script_is_where_it_is_looked_for() {
        assert!(script().is_file(), "{}", script().display());
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
