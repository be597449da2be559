//! `AE_ISA`, tested in separate processes: the instruction set that it names is used, and a wrong name
//! is an error.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests, helpers included")]

use std::process::Command;

use ae_kernels::{Isa, IsaError};

const PROBE: &str = "AE_TEST_PROBE";

/// Runs the test `probe` of this file in a new process and returns what it reports.
fn active_under(value: Option<&str>) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "probe", "--nocapture"]).env(PROBE, "1").env_remove("AE_ISA");
    if let Some(value) = value {
        command.env("AE_ISA", value);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.split_once("active: ")).unwrap();
    line.1.to_owned()
}

/// Not a test in itself: reports which instruction set a process with this environment uses.
#[test]
fn probe() {
    if std::env::var_os(PROBE).is_some() {
        match Isa::active() {
            Ok(isa) => println!("active: {isa}"),
            Err(error) => println!("active: error: {error}"),
        }
    }
}

#[test]
fn the_variable_chooses_what_runs() {
    for isa in Isa::available() {
        assert_eq!(active_under(Some(isa.name())), isa.name());
    }
    assert_eq!(active_under(None), Isa::best().name());
    assert_eq!(active_under(Some("")), Isa::best().name());
}

#[test]
fn a_wrong_name_is_an_error_that_says_what_is_right() {
    let message = active_under(Some("avx1024"));
    assert_eq!(
        message,
        "error: unknown instruction set 'avx1024' in AE_ISA: expected one of portable, avx2, avx512, amx"
    );
    let missing = Isa::NAMES.into_iter().find(|name| Isa::available().all(|isa| isa.name() != *name));
    if let Some(name) = missing {
        assert!(matches!(Isa::named(name), Err(IsaError::Unavailable { .. })));
        let message = active_under(Some(name));
        assert!(message.contains("is not available here: this machine offers portable"), "{message}");
    }
}

/// A suite that is asked to test an instruction set must not pass by testing another.
#[test]
fn the_instruction_set_that_was_asked_for_is_the_one_under_test() {
    if let Ok(wanted) = std::env::var("AE_ISA").map(|name| name.to_lowercase())
        && !wanted.is_empty()
    {
        assert_eq!(Isa::active().unwrap().name(), wanted);
    }
}
