//! Results on standard output, as text or a JSON object per line; all else on standard error.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io::{self, IsTerminal, Stdout, Write};

use serde_json::Value;

use crate::args::Common;
use crate::failure::Failure;

/// Where a command's results and remarks go.
pub(crate) struct Output {
    out: Stdout,
    json: bool,
    quiet: bool,
    threads: Option<usize>,
    /// The remarks and warnings made so far.
    noted: RefCell<HashSet<String>>,
}

impl Output {
    pub(crate) fn new(common: &Common) -> Output {
        Output {
            out: io::stdout(),
            json: common.json,
            quiet: common.quiet,
            threads: common.threads(),
            noted: RefCell::default(),
        }
    }

    /// Whether results are wanted as JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Number of threads that reading may use.
    pub(crate) fn threads(&self) -> Option<usize> {
        self.threads
    }

    /// Whether a person is watching, so that a progress bar may be drawn.
    pub(crate) fn is_watched(&self) -> bool {
        !self.quiet && !self.json && io::stderr().is_terminal()
    }

    /// Prints a line of text, unless results are printed as JSON.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) -> Result<(), Failure> {
        if !self.json {
            writeln!(self.out, "{}", text.as_ref())?;
        }
        Ok(())
    }

    /// Prints a JSON object, if results are printed as JSON.
    pub(crate) fn object(&mut self, value: &Value) -> Result<(), Failure> {
        if self.json {
            writeln!(self.out, "{value}")?;
        }
        Ok(())
    }

    /// Standard output itself, for tables.
    pub(crate) fn stream(&mut self) -> &mut impl Write {
        &mut self.out
    }

    /// Prints a remark on standard error, but only once, even if a file is read twice.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        if !self.quiet {
            self.print_once(text.as_ref());
        }
    }

    /// Prints a warning on standard error, even with `--quiet`, but only once.
    pub(crate) fn warn(&self, text: impl AsRef<str>) {
        self.print_once(&format!("warning: {}", text.as_ref()));
    }

    fn print_once(&self, text: &str) {
        if self.noted.borrow_mut().insert(text.to_owned()) {
            // If standard error is closed, there is nowhere to report that.
            let _ = writeln!(io::stderr(), "ae: {text}");
        }
    }

    /// Flushes standard output.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        Ok(self.out.flush()?)
    }
}

/// Prints on standard error why a command failed.
pub(crate) fn print_error(failure: &Failure) {
    let _ = writeln!(io::stderr(), "ae: {failure}");
}

/// Quotes a CSV cell if necessary (RFC 4180).
pub(crate) fn quoted(text: &str, separator: &str) -> String {
    if text.contains(separator) || text.contains(['"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn cells_that_need_it_are_quoted() {
        assert_eq!(quoted("a b", ","), "a b");
        assert_eq!(quoted("a,b", ","), "\"a,b\"");
        assert_eq!(quoted("a,b", "\t"), "a,b");
        assert_eq!(quoted("5\" x", ","), "\"5\"\" x\"");
    }
}
