//! The header, and the section on settings with the command that reproduces the report.

use std::path::Path;

use ae_eval::chart::escaped;
use ae_model::Isa;
use serde_json::Value;

use super::page::{Header, Page, details, table};
use super::{Facts, with_thousands_separators};
use crate::failure::Failure;

pub(super) fn header(facts: &Facts<'_>) -> Header {
    let args = &facts.args.evaluate;
    let summary = facts.model.summary();
    let file = |path: &Path| path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let rows = with_thousands_separators(facts.rows.rows());
    let mut of = vec![
        ("Model", args.model.display().to_string()),
        ("Architecture", summary.architecture()),
        (
            "Data",
            match facts.model.schema() {
                Some(schema) => format!("{} ({rows} rows of {} columns)", args.data, schema.columns().len()),
                None => format!(
                    "{} ({rows} rows of {})",
                    args.data,
                    with_thousands_separators(facts.rows.features())
                ),
            },
        ),
    ];
    of.extend(args.reference.iter().map(|location| {
        (
            "Reference",
            format!(
                "{location} ({} rows)",
                with_thousands_separators(facts.evaluation.baselines.reference_rows)
            ),
        )
    }));
    of.extend(facts.args.history.iter().map(|path| ("Training", path.display().to_string())));
    of.extend(facts.args.sweep.iter().map(|path| ("Sweep", path.display().to_string())));
    Header { title: format!("{} on {}", file(&args.model), file(Path::new(&args.data))), facts: of }
}

pub(super) fn section(facts: &Facts<'_>, page: &mut Page) -> Result<(), Failure> {
    let config =
        serde_json::to_value(facts.model.config()).map_err(|error| Failure::Other(error.to_string()))?;
    let settings: Vec<Vec<String>> = config
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| vec![name.replace('_', " "), setting(value)])
        .collect();
    let summary = facts.model.summary();
    let pair = |name: &str, value: String| vec![name.to_owned(), value];
    let environment = [
        pair("ae", env!("CARGO_PKG_VERSION").to_owned()),
        pair("instruction set", Isa::active()?.name().to_owned()),
        pair("threads", facts.model.threads().to_string()),
        pair("parameters of the model", with_thousands_separators(summary.parameters)),
    ];
    let columns = ["setting", "value"].map(str::to_owned);
    let caption = "Settings of the model";
    let body = details(caption, &table(caption, &columns, &settings))
        + &table("Environment", &columns, &environment)
        + "<h3>Command that reproduces this report</h3>\n<pre tabindex=\"0\"><code>"
        + &escaped(&command(facts))
        + "</code></pre>\n";
    page.section("setup", "Settings and environment", body);
    Ok(())
}

/// Formats a value of the configuration as text.
fn setting(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        Value::Array(values) => values.iter().map(setting).collect::<Vec<_>>().join(", "),
        Value::Object(parts) => {
            let parts =
                parts.iter().map(|(name, part)| format!("{} {}", name.replace('_', " "), setting(part)));
            parts.collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// The command line.
fn command(facts: &Facts<'_>) -> String {
    let args = facts.args;
    let evaluate = &args.evaluate;
    let path = |path: &Path| path.display().to_string();
    let mut words = vec!["ae".to_owned(), "report".to_owned(), path(&evaluate.model), evaluate.data.clone()];
    let mut flag = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            words.extend([name.to_owned(), value]);
        }
    };
    let input = &evaluate.input;
    flag("--reference", evaluate.reference.clone());
    flag("--label", input.label.clone());
    flag("--id", input.id.clone());
    flag("--anomaly", args.anomaly.clone());
    flag("--normal", args.normal.clone());
    flag("--hide", evaluate.hide.map(|fraction| fraction.to_string()));
    flag("--history", args.history.as_deref().map(path));
    flag("--sweep", args.sweep.as_deref().map(path));
    flag("--image", evaluate.image.map(|image| image.to_string()));
    flag("--range", evaluate.range.map(|range| range.to_string()));
    flag("--array", input.array.clone());
    let character = |byte: u8| char::from(byte).to_string();
    flag("--delimiter", input.delimiter.map(character));
    flag("--decimal", input.decimal.map(character));
    flag("--thousands", input.thousands.map(character));
    flag("--na-values", input.na_values.as_ref().map(|texts| texts.0.join(",")));
    flag("--classifier-rows", evaluate.classifier_rows.map(|rows| rows.to_string()));
    flag("--seed", Some(evaluate.seed.to_string()));
    flag("--plots", args.plots.as_deref().map(path));
    flag("-o", Some(path(&args.output)));
    words.extend(args.compare.then(|| "--compare".to_owned()));
    words.extend(input.header.then(|| "--header".to_owned()));
    words.extend(input.no_header.then(|| "--no-header".to_owned()));
    words.iter().map(|word| shell(word)).collect::<Vec<_>>().join(" ")
}

/// Quotes a word for a shell if necessary.
fn shell(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=,+@%".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_one_for_a_shell() {
        assert_eq!(shell("a/b.csv"), "a/b.csv");
        assert_eq!(shell("it's $x"), "'it'\\''s $x'");
        assert_eq!(shell(""), "''");
    }

    #[test]
    fn settings_are_words() {
        let value = serde_json::json!({ "a_b": [1, 2], "c": null, "d": { "e": "x" }, "f": [] });
        assert_eq!(setting(&value), "a b 1, 2, c none, d e x, f none");
    }
}
