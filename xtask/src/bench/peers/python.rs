//! The Python interpreter that runs the peers' scripts.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::printed;
use crate::ci::workspace_root;

/// What the scripts need from the Python package index, each installed for itself, so that one that is missing costs only itself.
const PACKAGES: [&str; 6] = ["numpy", "scikit-learn", "torch", "jax", "onnx", "onnxruntime"];

/// An interpreter with the peers' packages.
#[derive(Debug)]
pub(crate) struct Python(PathBuf);

impl Python {
    /// The one that was asked for, or that of an environment under `target`, made at the first use.
    pub(crate) fn find(asked_for: Option<&Path>) -> Python {
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

    /// A script of `benches/peers`, without its arguments.
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
            eprintln!("{package} is not installed: {reason}");
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
