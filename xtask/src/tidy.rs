//! Checks rules for the source that the compiler does not enforce, and the dependencies between the
//! workspace's crates.

mod edges;
mod source;

use std::path::Path;
use std::process::Command;
use std::{fmt, fs};

use crate::ci::{metadata, workspace_root};
use crate::failure::Failure;

/// Maximum number of lines of a file.
const MAX_LINES: usize = 600;
/// The only file that may use rayon, and its test, which uses rayon as users do.
const RAYON_HOME: &str = "crates/ae-kernels/src/par.rs";
const RAYON_TEST: &str = "crates/ae-kernels/tests/sharing.rs";
/// The only crate that may contain unsafe code.
const UNSAFE_CRATE: &str = "crates/ae-kernels/";
/// Markers of unfinished work.
const UNFINISHED: [&str; 2] = [concat!("TO", "DO"), concat!("FIX", "ME")];

/// A violation of a rule.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    path: String,
    /// Counted from 1; 0 for the file as a whole.
    line: usize,
    what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Checks every source file and every dependency between workspace members.
pub(crate) fn run() -> Result<(), Failure> {
    let root = workspace_root();
    let mut problems: Vec<String> = Vec::new();
    let mut files = 0;
    for folder in ["crates", "benches", "xtask"] {
        visit(&root.join(folder), folder, &mut |path, text| {
            files += 1;
            problems.extend(check_file(path, text).iter().map(Problem::to_string));
        })?;
    }
    problems.extend(edges::check(&metadata()?));
    problems.extend(ignored(&root));
    for problem in &problems {
        eprintln!("{problem}");
    }
    match problems.len() {
        0 => {
            println!("tidy: {files} files, no problems");
            Ok(())
        }
        count => Err(Failure::Wrong(format!("tidy found {count} problems in {files} files"))),
    }
}

/// Returns source files that Git ignores: a test that reads one passes here but in no other checkout.
/// Empty if Git is not available.
fn ignored(root: &Path) -> Vec<String> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "--others",
            "--ignored",
            "--exclude-standard",
            "--",
            "crates",
            "benches",
            "xtask",
            "docs",
        ])
        .current_dir(root)
        .output();
    let text = listed.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned());
    let is_built = |path: &str| path.contains("/target/") || path.contains("__pycache__/");
    text.lines().filter(|path| !is_built(path)).map(|path| format!("{path}: ignored by Git")).collect()
}

/// Calls `each` for every Rust file below `folder`, with its path from the workspace root.
fn visit(folder: &Path, name: &str, each: &mut dyn FnMut(&str, &str)) -> Result<(), Failure> {
    let failed = |error| Failure::io(name, &error);
    let mut entries = fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, file_name) = (entry.path(), entry.file_name());
        let name = format!("{name}/{}", file_name.display());
        if path.is_dir() {
            if file_name != "target" {
                visit(&path, &name, each)?;
            }
        } else if name.ends_with(".rs") {
            each(&name, &fs::read_to_string(&path).map_err(|error| Failure::io(&name, &error))?);
        }
    }
    Ok(())
}

/// Returns the problems of the file at this path (from the workspace root, with `/`).
fn check_file(path: &str, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut report = |line: usize, what: String| problems.push(Problem { path: path.to_owned(), line, what });
    let lines = text.lines().count();
    if lines > MAX_LINES {
        report(0, format!("{lines} lines; the limit is {MAX_LINES}"));
    }
    let code = source::code_only(text);
    let may_be_unsafe = path.starts_with(UNSAFE_CRATE);
    if source::is_crate_root(path) && !may_be_unsafe && !forbids_unsafe(&code) {
        report(0, "the crate does not forbid unsafe code".to_owned());
    }
    for (number, (code, text)) in code.lines().zip(text.lines()).enumerate() {
        for word in source::words(code) {
            match word {
                "unsafe" if !may_be_unsafe => {
                    report(number + 1, "unsafe code outside the kernels".to_owned());
                }
                "rayon" if path != RAYON_HOME && path != RAYON_TEST => {
                    report(number + 1, format!("rayon outside {RAYON_HOME}"));
                }
                "todo" if code.contains("todo!") => report(number + 1, "unfinished code".to_owned()),
                _ => {}
            }
        }
        if let Some(word) = source::words(text).find(|word| UNFINISHED.contains(word)) {
            report(number + 1, format!("unfinished: {word}"));
        }
    }
    problems
}

fn forbids_unsafe(code: &str) -> bool {
    code.lines().any(|line| line.replace(' ', "") == "#![forbid(unsafe_code)]")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "#![forbid(unsafe_code)]\n";

    fn check(path: &str, text: &str) -> Vec<String> {
        check_file(path, text).into_iter().map(|problem| problem.to_string()).collect()
    }

    #[test]
    fn planted_faults_are_found() {
        let todo = format!("// {}: later\n", UNFINISHED[0]);
        let fixme = format!("let s = \"{}\";\n", UNFINISHED[1]);
        for (path, text, expected) in [
            (
                "crates/a/src/x.rs",
                "fn f() {}\nunsafe { g() }\n",
                "crates/a/src/x.rs:2: unsafe code outside the kernels",
            ),
            (
                "crates/ae-model/tests/x.rs",
                "unsafe impl A for B {}",
                "crates/ae-model/tests/x.rs:1: unsafe code",
            ),
            (
                "xtask/src/x.rs",
                "rayon::join(a, b);",
                "xtask/src/x.rs:1: rayon outside crates/ae-kernels/src/par.rs",
            ),
            (
                "crates/ae-kernels/src/gemm.rs",
                "use rayon::prelude::*;",
                "crates/ae-kernels/src/gemm.rs:1: rayon",
            ),
            (
                "crates/a/src/lib.rs",
                "//! #![forbid(unsafe_code)]\n",
                "crates/a/src/lib.rs: the crate does not forbid",
            ),
            (
                "crates/a/src/main.rs",
                "fn main() {}\n",
                "crates/a/src/main.rs: the crate does not forbid unsafe code",
            ),
            (
                "crates/a/src/bin/tool.rs",
                "fn main() {}\n",
                "crates/a/src/bin/tool.rs: the crate does not forbid",
            ),
            ("crates/a/src/x.rs", &todo, "crates/a/src/x.rs:1: unfinished: "),
            ("crates/a/src/x.rs", &fixme, "crates/a/src/x.rs:1: unfinished: "),
            ("crates/a/src/x.rs", "\n\ntodo!();\n", "crates/a/src/x.rs:3: unfinished code"),
            ("crates/a/src/x.rs", &"\n".repeat(601), "crates/a/src/x.rs: 601 lines; the limit is 600"),
        ] {
            let found = check(path, text);
            assert!(found.len() == 1 && found[0].starts_with(expected), "{expected}: {found:?}");
        }
    }

    #[test]
    fn what_is_allowed() {
        for (path, text) in [
            ("crates/ae-kernels/src/simd.rs", "unsafe { load(p) }"),
            ("crates/ae-kernels/src/lib.rs", "pub mod par;"),
            ("crates/ae-kernels/src/par.rs", "rayon::join(a, b);"),
            (RAYON_TEST, "rayon::join(a, b);"),
            ("crates/a/src/lib.rs", ROOT),
            ("crates/a/src/x.rs", "// unsafe and rayon in words\n/// unsafe\nlet s = \"unsafe rayon\";\n"),
            ("crates/a/src/x.rs", "#![deny(unsafe_code)]\nlet unsafe_op = crayon;\nlet todo = todo_list;\n"),
            ("crates/a/src/x.rs", &"\n".repeat(600)),
            ("crates/a/tests/x.rs", "fn f() {}"),
        ] {
            assert_eq!(check(path, text), [""; 0], "{path}");
        }
    }
}
