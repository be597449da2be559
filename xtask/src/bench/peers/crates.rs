//! The peers that are Rust crates: programs in a separate workspace, built on first use.

use std::cell::OnceCell;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::ci::workspace_root;

/// The folder of the programs once they are built, or the reason why they are not.
#[derive(Debug, Default)]
pub(super) struct Crates(OnceCell<Result<PathBuf, String>>);

impl Crates {
    /// Returns a command, without arguments, for a program of `benches/peers/rust` that will use this
    /// many threads.
    pub(super) fn command(&self, program: &str, threads: usize) -> Result<Command, String> {
        let folder = self.0.get_or_init(build).as_ref().map_err(Clone::clone)?;
        let mut command = Command::new(folder.join(program));
        // Their thread pools read these variables.
        let threads = threads.to_string();
        command.env("RAYON_NUM_THREADS", &threads).env("MATMUL_NUM_THREADS", &threads);
        Ok(command)
    }
}

/// Builds the programs for this CPU, as the crates' documentation recommends.
fn build() -> Result<PathBuf, String> {
    let root = workspace_root();
    let target = root.join("target/peers/rust");
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    eprintln!("building the Rust peers under {}", target.display());
    let status = Command::new(program)
        .args(["build", "--release", "--locked", "--manifest-path"])
        .arg(root.join("benches/peers/rust/Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTFLAGS", "-C target-cpu=native")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if status.success() {
        Ok(target.join("release"))
    } else {
        Err("benches/peers/rust does not build".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_built_is_told() {
        let crates = Crates(OnceCell::from(Err("no cargo".to_owned())));
        assert_eq!(crates.command("train_step", 1).unwrap_err(), "no cargo");
        let crates = Crates(OnceCell::from(Ok("/built".into())));
        assert_eq!(crates.command("train_step", 1).unwrap().get_program(), "/built/train_step");
        assert!(workspace_root().join("benches/peers/rust/Cargo.toml").is_file());
    }
}
