//! The checks that a change must pass, cheapest first. The first failure ends the run.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use ae_kernels::Isa;
use ae_kernels::isa::ISA_VARIABLE;
use serde_json::Value;

use crate::failure::Failure;
use crate::tidy;

/// Packages that users of the library must not have to build: for file formats, command line and
/// evaluation.
const NOT_IN_THE_LIBRARY: [&str; 11] =
    ["csv", "parquet", "zip", "flate2", "png", "zune-jpeg", "toml", "clap", "indicatif", "ctrlc", "nalgebra"];

/// The environment variable that seeds proptest's inputs, and the seed.
const PROPERTY_SEED: (&str, &str) = ("PROPTEST_RNG_SEED", "2006");

/// Returns the folder of the workspace.
pub(crate) fn workspace_root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// A named step, so that a failure can say which step it was.
struct Step {
    name: String,
    work: Box<dyn FnOnce() -> Result<(), Failure>>,
}

impl Step {
    fn new(name: impl Into<String>, work: impl FnOnce() -> Result<(), Failure> + 'static) -> Step {
        Step { name: name.into(), work: Box::new(work) }
    }

    /// Creates a step from a command that has to succeed.
    fn command(name: impl Into<String>, mut command: Command) -> Step {
        Step::new(name, move || {
            let status = echoed(&mut command).status().map_err(|error| Failure::io("cargo", &error))?;
            if status.success() { Ok(()) } else { Err(Failure::Wrong(status.to_string())) }
        })
    }
}

/// Runs every step.
pub(crate) fn run() -> Result<(), Failure> {
    let passed = run_all(steps())?;
    println!("ci passed: {}", passed.join(", "));
    Ok(())
}

fn run_all(steps: Vec<Step>) -> Result<Vec<String>, Failure> {
    let mut passed = Vec::new();
    for Step { name, work } in steps {
        println!("== {name}");
        let start = Instant::now();
        work().map_err(|failure| Failure::Wrong(format!("ci failed at '{name}': {failure}")))?;
        println!("== {name}: passed in {:.0} s", start.elapsed().as_secs_f64());
        passed.push(name);
    }
    Ok(passed)
}

fn steps() -> Vec<Step> {
    let mut doc = cargo(&["doc", "--workspace", "--no-deps", "--locked"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    let mut steps = vec![
        Step::command("fmt", cargo(&["fmt", "--all", "--check"])),
        Step::new("tidy", tidy::run),
        Step::new("dependencies of ae-model", library_dependencies),
        Step::new("one set of features", one_set_of_features),
        Step::command("clippy", cargo(&clippy)),
        Step::new("each feature alone", each_feature_alone),
        Step::command("test", cargo(&["test", "--workspace", "--locked"])),
    ];
    // The tests above ran on the last instruction set, except for the kernel tests, which cover all of
    // them. Crates built on top of the engine do not depend on the instruction set.
    let isas: Vec<Isa> = Isa::available().collect();
    for &isa in isas.iter().rev().skip(1) {
        steps.push(Step::new(format!("test on {isa}"), move || tests_of_the_engine(isa)));
    }
    for isa in isas {
        steps.push(Step::new(format!("{isa} is what trains"), move || asked_for_isa_trains(isa)));
    }
    // Runs each benchmark once, which verifies what it would time.
    steps.push(Step::command("benches", cargo(&["test", "--workspace", "--locked", "--bench", "*"])));
    steps.push(Step::command("doc", doc));
    steps
}

/// Runs `cargo` in the workspace on the best instruction set of the machine, whatever the caller's
/// environment says. Property tests draw the same inputs in every run, so that the verdict depends only
/// on the change; a manual `cargo test` draws different ones each time.
fn cargo(args: &[&str]) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.args(args).current_dir(workspace_root()).env_remove(ISA_VARIABLE).stdin(Stdio::null());
    command.env(PROPERTY_SEED.0, PROPERTY_SEED.1);
    command
}

/// Prints the command as one would type it.
fn echoed(command: &mut Command) -> &mut Command {
    let mut line = String::from("$");
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            line.push_str(&format!(" {}='{}'", name.display(), value.display()));
        }
    }
    let program = Path::new(command.get_program());
    line.push_str(&format!(" {}", program.file_name().unwrap_or(program.as_os_str()).display()));
    for arg in command.get_args() {
        line.push_str(&format!(" {}", arg.display()));
    }
    println!("{line}");
    command
}

/// Returns what a command prints, or an error if it fails.
fn printed(command: &mut Command) -> Result<String, Failure> {
    let output = echoed(command).output().map_err(|error| Failure::io("cargo", &error))?;
    if !output.status.success() {
        return Err(Failure::Wrong(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns cargo's metadata of the workspace packages.
pub(crate) fn metadata() -> Result<Value, Failure> {
    let text = printed(&mut cargo(&["metadata", "--format-version", "1", "--no-deps", "--locked"]))?;
    serde_json::from_str(&text).map_err(|error| Failure::Wrong(format!("cargo metadata: {error}")))
}

fn library_dependencies() -> Result<(), Failure> {
    let tree = ["tree", "-p", "ae-model", "-e", "normal", "--prefix", "none", "--format", "{p}", "--locked"];
    match unwanted(&printed(&mut cargo(&tree))?)[..] {
        [] => Ok(()),
        ref names => Err(Failure::Wrong(format!("ae-model depends on {}", names.join(", ")))),
    }
}

/// Returns the unwanted packages among the lines `name version ...` of a dependency tree; all of them if
/// the tree is not that of ae-model.
fn unwanted(tree: &str) -> Vec<&'static str> {
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let of_model = names.first() == Some(&"ae-model");
    NOT_IN_THE_LIBRARY.into_iter().filter(|name| !of_model || names.contains(name)).collect()
}

/// Checks that `xtask` and the tests enable the same features. Otherwise packages with different
/// features, and all that depend on them, are compiled twice, which takes minutes.
fn one_set_of_features() -> Result<(), Failure> {
    let packages = |args: &[&str]| {
        let format = ["--prefix", "none", "--format", "{p} {f}", "--no-dedupe", "--locked"];
        printed(&mut cargo(&[&["tree"], args, &format].concat()))
    };
    let own = packages(&["-p", "xtask", "-e", "normal,build"])?;
    let all = packages(&["--workspace", "-e", "normal,build,dev"])?;
    match missing_lines(&own, &all)[..] {
        [] => Ok(()),
        ref lines => Err(Failure::Wrong(format!(
            "xtask and the tests enable different features of {}",
            lines.join(", ")
        ))),
    }
}

/// Returns the distinct lines of `part` that `whole` lacks.
fn missing_lines<'a>(part: &'a str, whole: &str) -> Vec<&'a str> {
    let whole: BTreeSet<&str> = whole.lines().collect();
    let missing: BTreeSet<&str> = part.lines().filter(|line| !whole.contains(line)).collect();
    missing.into_iter().collect()
}

/// Checks packages that have features (the formats of `ae-data`) without any and with each one alone,
/// since everything else is built with all of them.
fn each_feature_alone() -> Result<(), Failure> {
    let metadata = metadata()?;
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let (Some(name), Some(features)) = (package["name"].as_str(), package["features"].as_object()) else {
            continue;
        };
        let features: Vec<&str> =
            features.keys().map(String::as_str).filter(|name| *name != "default").collect();
        if features.is_empty() {
            continue;
        }
        for feature in [""].into_iter().chain(features) {
            let check = [
                "check",
                "-p",
                name,
                "--no-default-features",
                "--features",
                feature,
                "--all-targets",
                "--locked",
            ];
            let status = echoed(&mut cargo(&check)).status().map_err(|error| Failure::io("cargo", &error))?;
            if !status.success() {
                return Err(Failure::Wrong(format!("{name} with '{feature}' alone: {status}")));
            }
        }
    }
    Ok(())
}

/// Runs the engine's tests on `isa`. It runs the test programs that are already built: `cargo test -p`
/// would compile their dependencies again, with only the features that this package enables.
fn tests_of_the_engine(isa: Isa) -> Result<(), Failure> {
    let build = ["test", "--workspace", "--locked", "--no-run", "--message-format", "json"];
    let folder = workspace_root().join("crates/ae-model");
    let programs = programs_of(&printed(&mut cargo(&build))?, &folder)?;
    for program in programs {
        let mut test = Command::new(&program);
        test.arg("--quiet").current_dir(&folder).stdin(Stdio::null());
        test.env(ISA_VARIABLE, isa.name()).env(PROPERTY_SEED.0, PROPERTY_SEED.1);
        let status = echoed(&mut test).status().map_err(|error| Failure::io(&program, &error))?;
        if !status.success() {
            return Err(Failure::Wrong(format!("{program}: {status}")));
        }
    }
    Ok(())
}

/// Returns the test programs of the package in `folder`, from cargo's messages.
fn programs_of(messages: &str, folder: &Path) -> Result<Vec<String>, Failure> {
    let mut programs = Vec::new();
    for line in messages.lines() {
        let message: Value =
            serde_json::from_str(line).map_err(|error| Failure::Wrong(format!("cargo: {error}")))?;
        let manifest = message["manifest_path"].as_str().map(Path::new);
        let is_test = message["profile"]["test"] == true && manifest.and_then(Path::parent) == Some(folder);
        if let (true, Some(program)) = (is_test, message["executable"].as_str()) {
            programs.push(program.to_owned());
        }
    }
    if programs.is_empty() {
        return Err(Failure::Wrong(format!("no tests of {}", folder.display())));
    }
    Ok(programs)
}

/// Trains a small network in a process that requests `isa`, and checks which one it ran on.
fn asked_for_isa_trains(isa: Isa) -> Result<(), Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::io("the path of xtask", &error))?;
    let mut train = Command::new(program);
    train.args([
        "bench",
        "train",
        "--dims",
        "8,4",
        "--batch",
        "4",
        "--threads",
        "1",
        "--seconds",
        "0",
        "--json",
    ]);
    train.env(ISA_VARIABLE, isa.name());
    let text = printed(&mut train)?;
    let object: Value =
        serde_json::from_str(&text).map_err(|error| Failure::Wrong(format!("'{text}': {error}")))?;
    if object["isa"] == isa.name() {
        return Ok(());
    }
    Err(Failure::Wrong(format!("{ISA_VARIABLE}={isa} trained on {}", object["isa"])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    #[test]
    fn the_first_failure_ends_it_and_is_named() {
        let ran = Rc::new(Cell::new(0));
        let step = |name: &str, result: Result<(), Failure>| {
            let ran = Rc::clone(&ran);
            Step::new(name, move || {
                ran.set(ran.get() + 1);
                result
            })
        };
        let wrong = || Err(Failure::Wrong("broken".to_owned()));
        let failure = run_all(vec![step("a", Ok(())), step("b", wrong()), step("c", Ok(()))]).unwrap_err();
        assert_eq!(failure.to_string(), "ci failed at 'b': broken");
        assert_eq!(ran.get(), 2);
        assert_eq!(run_all(vec![step("a", Ok(())), step("c", Ok(()))]).unwrap(), ["a", "c"]);
    }

    #[test]
    fn a_failing_command_fails_its_step() {
        let mut command = cargo(&["no-such-subcommand"]);
        command.stderr(Stdio::null());
        let failure = run_all(vec![Step::command("no such", command)]).unwrap_err();
        assert!(failure.to_string().starts_with("ci failed at 'no such'"), "{failure}");
    }

    #[test]
    fn tests_of_a_package_are_found() {
        let message = |folder: &str, test: bool, program: &str| {
            let executable = (!program.is_empty()).then_some(program);
            serde_json::json!({
                "reason": "compiler-artifact",
                "manifest_path": format!("/w/{folder}/Cargo.toml"),
                "profile": {"test": test},
                "executable": executable,
            })
        };
        let lines = [
            message("a", true, "/t/a"),
            message("a", true, ""),
            message("a", false, "/t/bin"),
            message("b", true, "/t/b"),
            serde_json::json!({"reason": "build-finished"}),
        ];
        let text = lines.map(|line| line.to_string()).join("\n");
        assert_eq!(programs_of(&text, Path::new("/w/a")).unwrap(), ["/t/a"]);
        assert!(programs_of(&text, Path::new("/w/c")).is_err());
        assert!(programs_of("not json", Path::new("/w/a")).is_err());
    }

    #[test]
    fn unwanted_dependencies_are_found() {
        let tree = "ae-model v0.1.0 (/somewhere)\nae-data v0.1.0\nserde v1.0.0\n";
        assert!(unwanted(tree).is_empty());
        assert_eq!(unwanted(&format!("{tree}csv v1.4.0\ncsv-core v0.1.0\n")), ["csv"]);
        assert_eq!(unwanted(&format!("{tree}csv-core v0.1.0\n")), [""; 0]);
        assert_eq!(unwanted(""), NOT_IN_THE_LIBRARY);
    }

    #[test]
    fn differing_features_are_found() {
        let all = "either v1.19.0 std,use_std\nrand v0.10.4 std\n";
        assert!(missing_lines("rand v0.10.4 std\nrand v0.10.4 std\n", all).is_empty());
        assert_eq!(
            missing_lines("rand v0.10.4 std\neither v1.19.0 \neither v1.19.0 \n", all),
            ["either v1.19.0 "]
        );
    }

    #[test]
    fn steps_have_names_of_their_own() {
        let mut names: Vec<String> = steps().into_iter().map(|step| step.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
