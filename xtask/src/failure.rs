//! Why a command failed, and with which exit status.

use std::fmt;
use std::process::ExitCode;

/// Why a command failed. Shown as one line.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments make no sense: exit status 2.
    Usage(String),
    /// What was checked or measured is wrong, or could not be: exit status 1.
    Wrong(String),
}

impl Failure {
    /// The exit status of the process.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Usage(_) => ExitCode::from(2),
            Failure::Wrong(_) => ExitCode::FAILURE,
        }
    }

    /// A file that cannot be read, or the like.
    pub(crate) fn io(what: impl fmt::Display, error: &std::io::Error) -> Failure {
        Failure::Wrong(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Usage(text) | Failure::Wrong(text)) = self;
        // Errors of the crates fit on a line; what other programs print need not.
        f.write_str(&text.trim().replace('\n', "; "))
    }
}

impl From<ae_model::Error> for Failure {
    fn from(error: ae_model::Error) -> Failure {
        match error {
            ae_model::Error::Config(error) => error.into(),
            ae_model::Error::Isa(error) => error.into(),
            error => Failure::Wrong(error.to_string()),
        }
    }
}

impl From<ae_model::ConfigError> for Failure {
    fn from(error: ae_model::ConfigError) -> Failure {
        Failure::Usage(error.to_string())
    }
}

impl From<ae_kernels::IsaError> for Failure {
    fn from(error: ae_kernels::IsaError) -> Failure {
        Failure::Usage(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_errors_are_told_apart() {
        let config = ae_model::Config::builder(0).build().unwrap_err();
        assert!(matches!(Failure::from(config.clone()), Failure::Usage(_)));
        assert!(matches!(Failure::from(ae_model::Error::Config(config)), Failure::Usage(_)));
        assert!(matches!(Failure::from(ae_kernels::Isa::named("none").unwrap_err()), Failure::Usage(_)));
        assert_eq!(Failure::Usage(String::new()).exit_code(), ExitCode::from(2));
        assert_eq!(Failure::Wrong(String::new()).exit_code(), ExitCode::from(1));
    }

    #[test]
    fn one_line() {
        assert_eq!(Failure::Wrong("a\nb\n".to_owned()).to_string(), "a; b");
    }
}
