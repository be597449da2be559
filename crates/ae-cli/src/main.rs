//! `ae`: autoencoders on the command line. Parses arguments, calls the library, and prints text or JSON.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod failure;
mod inputs;
mod kind;
mod output;
mod pictures;
mod ranges;
mod settings;
mod tables;
mod training;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use args::{Arguments, Command};
use failure::Failure;
use output::Output;

fn main() -> ExitCode {
    ae_data::silence_caught_panics();
    let arguments = match with_settings(Arguments::try_parse()) {
        Ok(Ok(arguments)) => arguments,
        Ok(Err(error)) => return args::refuse(&error),
        Err(failure) => {
            output::print_error(&failure);
            return ExitCode::from(failure.status());
        }
    };
    let Arguments { common, command } = arguments;
    let mut out = Output::new(&common);
    let result = command.check_files().and_then(|()| match &command {
        Command::Train(args) => commands::train::run(args, &common, &mut out),
        Command::Encode(args) => commands::transform::encode(args, &common, &mut out),
        Command::Decode(args) => commands::transform::decode(args, &common, &mut out),
        Command::Reconstruct(args) => commands::transform::reconstruct(args, &common, &mut out),
        Command::Score(args) => commands::score::run(args, &common, &mut out),
        Command::Detect(args) => commands::detect::run(args, &common, &mut out),
        Command::Evaluate(args) => commands::evaluate::run(args, &common, &mut out),
        Command::Sweep(args) => commands::sweep::run(args, &common, &mut out),
        Command::Generate(args) => commands::generate::generate(args, &common, &mut out),
        Command::Traverse(args) => commands::generate::traversal(args, &common, &mut out),
        Command::Interpolate(args) => commands::generate::interpolate(args, &common, &mut out),
        Command::Compare(args) => commands::compare::run(args, &common, &mut out),
        Command::Report(args) => commands::report::run(args, &common, &mut out),
        Command::Info(args) => commands::info::run(args, &mut out),
    });
    match result.and_then(|()| out.finish()) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader has gone: there is nobody left to tell.
        Err(Failure::BrokenPipe) => ExitCode::FAILURE,
        Err(failure) => {
            output::print_error(&failure);
            ExitCode::from(failure.status())
        }
    }
}

/// The arguments, including those of the settings file if the command line names one with `--config`.
fn with_settings(parsed: Result<Arguments, clap::Error>) -> Result<Result<Arguments, clap::Error>, Failure> {
    let config = match &parsed {
        Ok(Arguments { command: Command::Train(args), .. }) => {
            args.config.clone().map(|path| ("train", path))
        }
        Ok(Arguments { command: Command::Sweep(args), .. }) => {
            args.training.config.clone().map(|path| ("sweep", path))
        }
        // The settings file may provide what is missing.
        Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => settings::config_from_args(),
        _ => None,
    };
    match config {
        Some((command, path)) => {
            Ok(Arguments::try_parse_from(settings::expanded_args(command, Some(&path))?))
        }
        None => Ok(parsed),
    }
}
