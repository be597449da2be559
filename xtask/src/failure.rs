//! Failures of a command and their exit status.

use std::fmt;
use std::process::ExitCode;

/// Why a command failed; displayed as one line.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The arguments are invalid: exit status 2.
    Usage(String),
    /// The result is wrong or could not be obtained: exit status 1.
    Wrong(String),
}

impl Failure {
    /// Returns the exit status of the process.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Usage(_) => ExitCode::from(2),
            Failure::Wrong(_) => ExitCode::FAILURE,
        }
    }

    /// An I/O error, such as a file that cannot be read.
    pub(crate) fn io(what: impl fmt::Display, error: &std::io::Error) -> Failure {
        Failure::Wrong(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Usage(text) | Failure::Wrong(text)) = self;
        // Errors of our crates fit on one line; the output of other programs may not.
        f.write_str(&text.trim().replace('\n', "; "))
    }
}

impl From<ae_model::Error> for Failure {
    fn from(error: ae_model::Error) -> Failure {
        match error {
            ae_model::Error::Config(error) => error.into(),
            ae_model::Error::Isa(error) => error.into(),
            error => Failure::Wrong(ae_testing::chain(&error)),
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
