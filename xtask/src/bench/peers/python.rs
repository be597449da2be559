//! The Python interpreter that runs the peers' scripts.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::printed;
use crate::ci::workspace_root;

/// Packages from PyPI that the scripts need, installed one by one so that a missing one affects only
/// itself.
const PACKAGES: [&str; 6] = ["numpy", "scikit-learn", "torch", "jax", "onnx", "onnxruntime"];

/// An interpreter with the peers' packages.
#[derive(Debug)]
pub(crate) struct Python(PathBuf);

impl Python {
    /// Uses the given interpreter, or that of an environment under `target`, created on first use.
    pub(crate) fn find(asked_for: Option<&Path>) -> Python {
        if let Some(path) = asked_for {
            return Python(path.to_owned());
        }
        let environment = workspace_root().join("target/peers");
        let python = environment.join("bin/python");
        if !python.exists() {
            eprintln!("creating {} for the peers; their packages are large", environment.display());
            if let Err(reason) = make(&environment, &python) {
                eprintln!("cannot create a Python environment: {reason}");
                return Python("python3".into());
            }
        }
        Python(python)
    }

    /// Returns a command, without arguments, for a script of `benches/peers`.
    pub(crate) fn command(&self, script: &str) -> Command {
        let mut command = Command::new(&self.0);
        command.arg(script_path(script));
        command
    }
}

fn script_path(script: &str) -> PathBuf {
    workspace_root().join("benches/peers").join(script)
}

fn make(environment: &Path, python: &Path) -> Result<(), String> {
    printed(Command::new("python3").args(["-m", "venv"]).arg(environment))?;
    for package in PACKAGES {
        if let Err(reason) = printed(Command::new(python).args(["-m", "pip", "install", "--quiet", package]))
        {
            eprintln!("cannot install {package}: {reason}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_are_where_they_are_looked_for() {
        for script in ["train_step.py", "gemm_products.py", "kind_step.py", "latency.py"] {
            assert!(script_path(script).is_file(), "{script}");
        }
    }
}
