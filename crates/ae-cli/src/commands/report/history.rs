//! The epochs of a training run, as stored in the model or printed by `ae train --json`.

use std::path::Path;

use serde_json::Value;

use crate::failure::Failure;

/// The epochs of a training run.
pub(super) struct History {
    pub(super) epochs: Vec<Epoch>,
    /// The epoch whose weights the model has, where that is known.
    pub(super) kept: Option<u64>,
}

/// Errors after an epoch, on the model's scale.
pub(super) struct Epoch {
    pub(super) number: u64,
    /// NaN where training diverged.
    pub(super) train: f64,
    pub(super) validation: Option<f64>,
}

impl From<&ae_model::History> for History {
    fn from(history: &ae_model::History) -> History {
        let epochs = history.epochs.iter().map(|record| Epoch {
            number: record.epoch as u64,
            train: record.train_mse,
            validation: record.validation_mse,
        });
        History { epochs: epochs.collect(), kept: Some(history.kept_epoch as u64) }
    }
}

impl History {
    /// The epoch whose weights the model has, if it is one of these.
    pub(super) fn kept(&self) -> Option<&Epoch> {
        self.epochs.iter().find(|epoch| Some(epoch.number) == self.kept)
    }

    /// Reads a file of JSON lines, ignoring objects other than epochs.
    pub(super) fn read(path: &Path) -> Result<History, Failure> {
        let failed = |text: String| Failure::Other(format!("--history {}: {text}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
        History::parse(&text).map_err(failed)
    }

    fn parse(text: &str) -> Result<History, String> {
        let mut epochs: Vec<Epoch> = Vec::new();
        let mut kept = None;
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let object: Value =
                serde_json::from_str(line).map_err(|error| format!("line {number}: not JSON: {error}"))?;
            if object["event"] == "summary" {
                kept = object["kept_epoch"].as_u64();
            }
            if object["event"] != "epoch" {
                continue;
            }
            let epoch = epoch(&object).map_err(|what| format!("line {number}: {what}"))?;
            if let Some(last) = epochs.last().filter(|last| last.number >= epoch.number) {
                return Err(format!("line {number}: epoch {} comes after {}", epoch.number, last.number));
            }
            epochs.push(epoch);
        }
        if epochs.is_empty() {
            return Err("no epochs: ae train --json prints them".to_owned());
        }
        Ok(History { epochs, kept })
    }
}

fn epoch(object: &Value) -> Result<Epoch, String> {
    let number = object["epoch"].as_u64().ok_or("'epoch' is not a whole number")?;
    let error = |key: &str| match &object[key] {
        Value::Null => Ok(None),
        value => match value.as_f64().filter(|error| *error >= 0.0) {
            Some(error) => Ok(Some(error)),
            None => Err(format!("'{key}' is not a non-negative number")),
        },
    };
    Ok(Epoch { number, train: error("train_mse")?.unwrap_or(f64::NAN), validation: error("validation_mse")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_read_and_damage_is_named() {
        let good = "{\"event\":\"epoch\",\"epoch\":1,\"train_mse\":0.5,\"validation_mse\":null}\n\n\
                    {\"event\":\"epoch\",\"epoch\":2,\"train_mse\":0.25,\"validation_mse\":0.3}\n\
                    {\"event\":\"summary\",\"kept_epoch\":1}\n";
        let history = History::parse(good).unwrap();
        assert_eq!(history.epochs.len(), 2);
        assert_eq!(history.kept().map(|epoch| epoch.train), Some(0.5));
        assert_eq!((history.epochs[0].validation, history.epochs[1].train), (None, 0.25));
        for (text, says) in [
            ("", "no epochs"),
            ("[1]\n", "no epochs"),
            ("epoch 1\n", "line 1: not JSON"),
            ("{\"event\":\"epoch\",\"epoch\":1.5}", "line 1: 'epoch' is not a whole number"),
            (
                "\n{\"event\":\"epoch\",\"epoch\":1,\"train_mse\":\"x\"}",
                "line 2: 'train_mse' is not a non-negative number",
            ),
            (
                "{\"event\":\"epoch\",\"epoch\":1,\"validation_mse\":-1}",
                "'validation_mse' is not a non-negative number",
            ),
            (
                "{\"event\":\"epoch\",\"epoch\":2}\n{\"event\":\"epoch\",\"epoch\":2}",
                "line 2: epoch 2 comes after 2",
            ),
        ] {
            let error = History::parse(text).err().unwrap();
            assert!(error.contains(says), "{error}");
        }
    }
}
