//! Tests the command as users run it: as a process with arguments, files, standard input and output.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

mod advice;
mod browser;
mod checkpoint;
mod compare;
mod configuration;
mod detect;
mod flags;
mod held_out;
mod ids;
mod images;
mod jobs;
mod kept;
mod log;
mod measure;
mod pairs;
mod reading;
mod reference;
mod refusals;
mod report;
mod tables;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// The exit status and output of a command.
struct Ended {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Ended {
    /// The objects printed with `--json`.
    fn objects(&self) -> Vec<Value> {
        self.out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))
            .collect()
    }

    /// The last object: the summary.
    fn summary(&self) -> Value {
        self.objects().pop().unwrap()
    }

    /// The cells of a CSV table on standard output, including the header.
    fn cells(&self) -> Vec<Vec<String>> {
        cells(&self.out)
    }
}

fn cells(text: &str) -> Vec<Vec<String>> {
    text.lines().map(|line| line.split(',').map(str::to_owned).collect()).collect()
}

/// Runs `ae` in a folder, with this standard input and these environment variables.
fn ae_with(folder: &Path, args: &[&str], input: &[u8], variables: &[(&str, &str)]) -> Ended {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ae"))
        .args(args)
        .current_dir(folder)
        .envs(variables.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that fails early closes its input.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    Ended {
        status: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs `ae`, which must succeed.
fn ae(folder: &Path, args: &[&str]) -> Ended {
    let ended = ae_with(folder, args, b"", &[]);
    assert_eq!(ended.status, Some(0), "{args:?}: {}", ended.err);
    ended
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) {
    std::fs::write(folder.join(name), content).unwrap();
}

/// Thirty rows of four named columns, along a curve.
fn table() -> String {
    let mut text = "height,width,depth,weight\n".to_owned();
    for i in 0..30 {
        let t = f64::from(i) / 29.0;
        text += &format!("{},{},{},{}\n", 10.0 * t, 5.0 - t, t * t, 100.0 + 3.0 * t);
    }
    text
}

/// A folder with `rows.csv` and a model of it, `model.safetensors`.
fn trained() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "rows.csv", table());
    ae(
        folder.path(),
        &[
            "train",
            "rows.csv",
            "--hidden",
            "3",
            "--encoding-dim",
            "2",
            "--epochs",
            "5",
            "-o",
            "model.safetensors",
            "-q",
        ],
    );
    folder
}
