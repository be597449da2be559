//! Why a command failed, and its exit status.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use ae_data::DataError;
use ae_eval::EvalError;
use ae_model::{ConfigError, Error, IsaError};

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line asks for something impossible: exit status 2.
    Usage(String),
    /// Anything else: exit status 1.
    Other(String),
    /// Standard output was closed by its reader: exit status 1, without a message.
    BrokenPipe,
}

impl Failure {
    pub(crate) fn status(&self) -> u8 {
        match self {
            Failure::Usage(_) => 2,
            Failure::Other(_) | Failure::BrokenPipe => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // One line, whatever file names and contents may hold.
            Failure::Usage(text) | Failure::Other(text) => f.write_str(&text.replace(['\n', '\r'], " ")),
            Failure::BrokenPipe => f.write_str("standard output was closed"),
        }
    }
}

/// The message of an error, followed by those of its sources.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let reason = error.to_string();
        // The errors of some crates repeat their sources.
        if !text.ends_with(&reason) {
            text = format!("{text}: {reason}");
        }
        source = error.source();
    }
    text
}

impl Failure {
    /// [`Failure::with_rows`] for rows that may have targets from another location.
    pub(crate) fn with_pairs(location: &str, target: Option<&str>, error: Error) -> Failure {
        match (error, target) {
            (Error::Targets(error), Some(target)) => Failure::with_rows(target, *error),
            (error, _) => Failure::with_rows(location, error),
        }
    }

    /// Adds the `location` of rows to library errors about rows, which lack it.
    pub(crate) fn with_rows(location: &str, error: Error) -> Failure {
        match error {
            Error::Width { .. }
            | Error::NotFinite { .. }
            | Error::OutsideUnitRange { .. }
            | Error::OutsideScalerRange { .. }
            | Error::Overflow { .. }
            | Error::Spread { .. }
            | Error::NoRows { .. } => Failure::Other(format!("{location}: {}", chain(&error))),
            error => error.into(),
        }
    }

    /// [`Failure::with_rows`] for errors from scoring rows or fitting a detector to them.
    pub(crate) fn with_scored_rows(location: &str, error: EvalError) -> Failure {
        match error {
            EvalError::Model(error) => Failure::with_rows(location, error),
            EvalError::TooFewRows { .. } => Failure::Other(format!("{location}: {error}")),
            error => error.into(),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        match error {
            Error::Config(error) => error.into(),
            Error::Isa(error) => error.into(),
            Error::Data(error) => error.into(),
            error => Failure::Other(chain(&error)),
        }
    }
}

/// Settings that error messages may mention, with their flags.
const SETTINGS: [(&str, &str); 5] = [
    ("code_penalty", "--sparsity"),
    ("conv_layers", "--conv"),
    ("feature_weights", "--feature-weights"),
    ("of_batch", "--batch-top-k"),
    ("tied_weights", "--tied-weights"),
];

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        let ConfigError::OutOfRange { field, value, allowed } = &error else {
            return Failure::Usage(error.to_string());
        };
        let flag = match *field {
            "hidden_dims" | "the number of hidden_dims" => "--hidden",
            "encoding_dim" => "--encoding-dim",
            "learning_rate" => "--learning-rate",
            "momentum" => "--momentum",
            "beta1" | "beta2" => "--betas",
            "weight_decay" => "--weight-decay",
            "epochs" => "--epochs",
            "batch_size" => "--batch-size",
            "validation" => "--validation",
            "early_stopping.patience" => "--early-stopping",
            "loss" | "loss.delta" => "--loss",
            "noise.sigma" | "noise.fraction" => "--noise",
            "code_penalty" | "code_penalty.weight" | "code_penalty.target" => "--sparsity",
            "latent.k" => "--top-k",
            "latent.beta" => "--beta",
            "latent.free_bits" => "--free-bits",
            "latent.samples" => "--samples",
            "latent.warm_up" => "--kl-warm-up",
            "dropout.input" => "--input-dropout",
            "dropout.hidden" => "--dropout",
            "weight_penalty.l1" => "--l1",
            "weight_penalty.l2" => "--l2",
            "layer_norm" => "--layer-norm",
            "tied_weights" => "--tied-weights",
            "contractive" => "--contractive",
            "unit_norm" => "--unit-norm",
            "feature_weights" => "--feature-weights",
            "latent.revival" | "latent.revival.dead_after" => "--revive",
            "precision" => "--precision",
            "image" => "--image",
            "clip_norm" => "--clip-norm",
            "ema" => "--ema",
            "encoding_activation" => "--encoding-activation",
            _ => return Failure::Usage(error.to_string()),
        };
        let allowed = SETTINGS.iter().fold(allowed.clone(), |text, (name, flag)| text.replace(name, flag));
        // Here the error is that the setting is present at all.
        if value == "set" {
            return Failure::Usage(format!("{flag}: it must be {allowed}"));
        }
        Failure::Usage(format!("{flag}: {value} is out of range: it must be {allowed}"))
    }
}

impl From<IsaError> for Failure {
    fn from(error: IsaError) -> Failure {
        Failure::Usage(error.to_string())
    }
}

/// Which flags read the number that a text may be, to append to a message; nothing if it is none.
pub(crate) fn notation_hint(text: &str) -> &'static str {
    let parses = |text: String| text.parse::<f64>().is_ok();
    match (text.contains(','), text.contains('.')) {
        // Refused because of the decimal commas that were asked for.
        (false, true) if parses(text.to_owned()) => "; --thousands . reads grouped digits",
        (true, false) if parses(text.replacen(',', ".", 1)) => "; --decimal , reads decimal commas",
        (true, _) if parses(text.replace(',', "")) && text.find('.') > text.rfind(',') => {
            "; --thousands , reads grouped digits"
        }
        (true, true) if parses(text.replace('.', "").replacen(',', ".", 1)) => {
            "; --decimal , and --thousands . read such numbers"
        }
        (true, false) if parses(text.replace(',', "")) => "; --thousands , reads grouped digits",
        _ => "",
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Failure {
        match error {
            DataError::NotANumber { ref text, .. } => {
                Failure::Other(format!("{error}{}", notation_hint(text)))
            }
            DataError::BuiltIn { .. } | DataError::ImageSize { .. } => Failure::Usage(chain(&error)),
            error => Failure::Other(chain(&error)),
        }
    }
}

impl From<EvalError> for Failure {
    fn from(error: EvalError) -> Failure {
        Failure::Other(chain(&error))
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::BrokenPipe,
            _ => Failure::Other(format!("standard output: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl StdError for Layer {
        fn source(&self) -> Option<&(dyn StdError + 'static)> {
            self.1.as_deref().map(|inner| inner as &dyn StdError)
        }
    }

    #[test]
    fn flags_that_read_a_number_are_named() {
        for (text, hint) in [
            ("50,95", "; --decimal , reads decimal commas"),
            ("148,332.29", "; --thousands , reads grouped digits"),
            ("1,234,567", "; --thousands , reads grouped digits"),
            ("1.234,50", "; --decimal , and --thousands . read such numbers"),
            ("1.234", "; --thousands . reads grouped digits"),
            ("red", ""),
            ("red, blue", ""),
            ("1.2.3", ""),
        ] {
            assert_eq!(notation_hint(text), hint, "{text}");
        }
    }

    #[test]
    fn a_chain_says_everything_once() {
        let disk = || Some(Box::new(Layer("disk full", None)));
        assert_eq!(chain(&Layer("m.csv", disk())), "m.csv: disk full");
        assert_eq!(chain(&Layer("m.csv: disk full", disk())), "m.csv: disk full");
        assert_eq!(chain(&Layer("row 1", Some(Box::new(Layer("m.csv", disk()))))), "row 1: m.csv: disk full");
    }
}
