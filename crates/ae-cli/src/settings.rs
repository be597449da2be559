//! `--config`: flags of `ae train` or `ae sweep` from a TOML file.
//!
//! Every key is a flag without its dashes. The file's flags are inserted before those of the command
//! line, which take precedence.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ae_eval::SweepSetting;
use clap::error::{ContextKind, ErrorKind};
use clap::{ArgAction, CommandFactory, Parser};
use toml::{Table, Value};

use crate::args::{Arguments, Command, TrainArgs, in_one_line};
use crate::failure::Failure;

/// Jaro similarity from which one word may be a misspelling of another.
const MIN_SIMILARITY: f64 = 0.75;

/// The words of this command line, with the flags of the file `config`, if any, before its own.
pub(crate) fn expanded_args(command: &str, config: Option<&Path>) -> Result<Vec<OsString>, Failure> {
    let words = std::env::args_os().collect();
    match config {
        Some(path) => expand(words, command, path),
        None => Ok(words),
    }
}

/// The command and the settings file that this process's command line names. The file may provide
/// required arguments.
pub(crate) fn config_from_args() -> Option<(&'static str, PathBuf)> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let command = ["train", "sweep"].into_iter().find(|command| words.iter().any(|word| word == command))?;
    let path =
        words.iter().enumerate().find_map(|(at, word)| match word.to_str()?.strip_prefix("--config")? {
            "" => words.get(at + 1).map(PathBuf::from),
            rest => rest.strip_prefix('=').map(PathBuf::from),
        })?;
    Some((command, path))
}

/// Inserts the flags of the file into the command line `words` of this command, before its own flags.
fn expand(words: Vec<OsString>, command: &str, path: &Path) -> Result<Vec<OsString>, Failure> {
    let about = |what: String| Failure::Usage(format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| about(error.to_string()))?;
    let table: Table = text.parse().map_err(|error: toml::de::Error| about(with_line(&error, &text)))?;
    let mut flags = flags(&table, command).map_err(about)?;
    let overriding = overriding_flags(&words, command);
    flags.retain(|flag| !overriding.iter().any(|name| flag.split('=').next() == Some(name.as_str())));
    check_values(&words, &flags).map_err(about)?;
    // The command is the first word with its name: only global flags can come before it.
    let position = words.iter().skip(1).position(|word| word == command).map_or(words.len(), |at| at + 2);
    let mut expanded = words;
    expanded.splice(position..position, flags.into_iter().map(OsString::from));
    Ok(expanded)
}

/// The flags on the command line and those that conflict with them: both override the file.
fn overriding_flags(words: &[OsString], command: &str) -> Vec<String> {
    let arguments = Arguments::command();
    let Some(command) = arguments.find_subcommand(command) else { return Vec::new() };
    let all = || command.get_arguments().chain(arguments.get_arguments());
    let is_given = |name: &str| {
        let given =
            |word: &str| word == name || word.strip_prefix(name).is_some_and(|rest| rest.starts_with('='));
        words.iter().filter_map(|word| word.to_str()).any(given)
    };
    let mut overriding = Vec::new();
    for arg in all() {
        let Some(name) = arg.get_long().map(|name| format!("--{name}")).filter(|name| is_given(name)) else {
            continue;
        };
        let others = command.get_arg_conflicts_with(arg).into_iter().filter_map(clap::Arg::get_long);
        overriding.extend(others.map(|name| format!("--{name}")));
        overriding.push(name);
    }
    overriding
}

/// Refuses invalid values in the file, which would otherwise be reported as errors of the command line.
fn check_values(words: &[OsString], flags: &[String]) -> Result<(), String> {
    for flag in flags {
        let words = words.iter().cloned().chain([flag.into()]);
        let Err(error) = Arguments::try_parse_from(words) else { continue };
        let name = flag.split('=').next().unwrap_or_default();
        // Such as `--epochs <N>`.
        let about = error.get(ContextKind::InvalidArg).map(ToString::to_string).unwrap_or_default();
        let is_about_it = about.split(' ').next() == Some(name);
        if matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) && is_about_it {
            return Err(in_one_line(&error.to_string()));
        }
    }
    Ok(())
}

/// The training arguments of `words`, a command line of `ae sweep`, with this setting appended.
pub(crate) fn with_setting(words: &[OsString], setting: &SweepSetting) -> Result<TrainArgs, Failure> {
    let about = |what: &str| Failure::Usage(format!("--vary {setting}: {what}"));
    let words = words.iter().cloned().chain([format!("--{setting}").into()]);
    match Arguments::try_parse_from(words) {
        Ok(Arguments { command: Command::Sweep(args), .. }) => Ok(args.training),
        Ok(_) => Err(about("not a flag of ae train")),
        Err(error) => Err(about(&in_one_line(&error.to_string()))),
    }
}

/// The error and its line.
fn with_line(error: &toml::de::Error, text: &str) -> String {
    let position = error.span().map_or(0, |span| span.start.min(text.len()));
    let line = 1 + text.as_bytes()[..position].iter().filter(|byte| **byte == b'\n').count();
    format!("line {line}: {}", error.message())
}

/// Translates the keys of a file to flags.
fn flags(table: &Table, command: &str) -> Result<Vec<String>, String> {
    let arguments = Arguments::command();
    let known: Vec<(&str, bool)> = arguments
        .get_subcommands()
        .filter(|known| known.get_name() == command)
        .flat_map(clap::Command::get_arguments)
        .chain(arguments.get_arguments())
        .filter_map(|arg| Some((arg.get_long()?, matches!(arg.get_action(), ArgAction::SetTrue))))
        .filter(|(name, _)| !matches!(*name, "config" | "help" | "version"))
        .collect();
    let mut flags = Vec::new();
    for (key, value) in table {
        let name = key.replace('_', "-");
        let Some((_, is_switch)) = known.iter().find(|(known, _)| *known == name) else {
            let nearest = known.iter().map(|(known, _)| (strsim::jaro(known, &name), *known));
            let meant =
                nearest.filter(|(alike, _)| *alike >= MIN_SIMILARITY).max_by(|a, b| a.0.total_cmp(&b.0));
            let hint = meant.map_or(String::new(), |(_, meant)| format!("; did you mean '{meant}'?"));
            return Err(format!("unknown key '{key}'{hint}"));
        };
        match (value, is_switch) {
            (Value::Boolean(true), true) => flags.push(format!("--{name}")),
            (Value::Boolean(false), true) => {}
            (_, true) => return Err(format!("'{key}' must be true or false")),
            (value, false) => flags.push(format!("--{name}={}", argument_text(key, value)?)),
        }
    }
    Ok(flags)
}

/// A value as written on the command line; lists are separated by commas.
fn argument_text(key: &str, value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Array(values) => {
            Ok(values.iter().map(|value| argument_text(key, value)).collect::<Result<Vec<_>, _>>()?.join(","))
        }
        _ => {
            Err(format!("'{key}' is a {}, but must be a number, string or list of either", value.type_str()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_flags() {
        let table = "hidden = [64, 32]\nlearning_rate = 0.01\nkind = 'vae'\nno-header = true\nheader = false";
        let mut found = flags(&table.parse().unwrap(), "train").unwrap();
        found.sort();
        assert_eq!(found, ["--hidden=64,32", "--kind=vae", "--learning-rate=0.01", "--no-header"]);
    }

    #[test]
    fn what_is_no_flag_is_named() {
        for (text, says) in [
            ("epoch = 3", "unknown key 'epoch'; did you mean 'epochs'?"),
            ("learnig_rate = 0.1", "did you mean 'learning-rate'?"),
            ("zzz = 1", "unknown key 'zzz'"),
            ("config = 'a'", "unknown key 'config'"),
            ("header = 3", "'header' must be true or false"),
            ("epochs = true", "'epochs' is a boolean, but must be"),
            ("[train]\nepochs = 3", "unknown key 'train'"),
        ] {
            let error = flags(&text.parse().unwrap(), "train").unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
