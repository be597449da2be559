//! Detects quotes that are never closed, or closed in the middle of a cell. The parser would take what
//! follows, whole rows included, as text; here they are errors with a line number.

use std::io::{self, Read};

/// A CSV stream whose quotes are checked as it is read.
pub(super) struct QuoteChecker<R> {
    inner: R,
    delimiter: u8,
    state: State,
    /// The byte before the next one.
    previous: u8,
    /// The line of the next byte.
    line: u64,
    /// The line on which the last quoted cell starts.
    opened: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Outside a quoted cell.
    Outside,
    /// Inside a quoted cell.
    Inside,
    /// After a quote inside a quoted cell, which closes it unless another quote follows.
    Closed,
    /// In the spaces after a closed quote.
    AfterClosed,
}

impl<R> QuoteChecker<R> {
    /// Checks a stream that starts on `line` of its file.
    pub(super) fn new(inner: R, delimiter: u8, line: u64) -> Self {
        QuoteChecker { inner, delimiter, state: State::Outside, previous: b'\n', line, opened: 0 }
    }

    fn check(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while let Some(first) = bytes.first() {
            let len = match self.state {
                State::Outside | State::Inside => match memchr::memchr(b'"', bytes) {
                    None => bytes.len(),
                    Some(at) => {
                        let before = if at == 0 { self.previous } else { bytes[at - 1] };
                        self.state = match self.state {
                            State::Inside => State::Closed,
                            _ if before == self.delimiter || before == b'\n' || before == b'\r' => {
                                self.opened = self.line + lines(&bytes[..at]);
                                State::Inside
                            }
                            // A quote within an unquoted cell is an ordinary character.
                            state => state,
                        };
                        at + 1
                    }
                },
                State::Closed | State::AfterClosed => {
                    self.state = match *first {
                        b'"' if self.state == State::Closed => State::Inside,
                        b'\n' | b'\r' => State::Outside,
                        byte if byte == self.delimiter => State::Outside,
                        b' ' | b'\t' => State::AfterClosed,
                        _ => return Err(self.error("is followed by text other than a delimiter")),
                    };
                    1
                }
            };
            let (passed, rest) = bytes.split_at(len);
            self.line += lines(passed);
            self.previous = passed[len - 1];
            bytes = rest;
        }
        Ok(())
    }

    fn error(&self, what: &str) -> io::Error {
        let QuoteChecker { opened, line, .. } = self;
        let end = if opened == line { String::new() } else { format!(" (and closed on line {line})") };
        let text = match self.state {
            State::Inside => format!("the quote opened on line {opened} {what}"),
            _ => format!("the quoted cell opened on line {opened}{end} {what}"),
        };
        io::Error::new(io::ErrorKind::InvalidData, text)
    }
}

fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|byte| **byte == b'\n').count() as u64
}

impl<R: Read> Read for QuoteChecker<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        if read == 0 && !out.is_empty() && self.state == State::Inside {
            return Err(self.error("is never closed"));
        }
        self.check(&out[..read])?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads at most this many bytes at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let most = self.1.min(out.len());
            self.0.read(&mut out[..most])
        }
    }

    #[test]
    fn faults_are_found_and_nothing_else() {
        let cases: [(&str, Option<&str>); 15] = [
            ("a,b\n1,\"x\"\n", None),
            ("\"a\",\"b\"\r\n\"1\",\"x,y\"\r\n", None),
            ("a\n\"two\nlines\"\n", None),
            ("a,b\n\"say \"\"hi\"\"\",2\n", None),
            ("a,b\n5\" pipe,2\n", None),
            ("a,b\n\"x\" ,2\n\"y\"\t\n", None),
            ("a,b\n\"\",2\n", None),
            ("", None),
            ("a,b\n1,\"x\n2,y\n", Some("the quote opened on line 2 is never closed")),
            ("a,b\n1,2\n3,\"", Some("the quote opened on line 3 is never closed")),
            ("a,b\r\"x,2\r3,4\r", Some("the quote opened on line 1 is never closed")),
            ("a,b\n1,\"x\n2,\"y\"\n", Some("on line 2 (and closed on line 3) is followed by text")),
            ("a,b\n1,\"x\"y\n", Some("the quoted cell opened on line 2 is followed by text")),
            ("a,b\n1,\"x\" \"y\"\n", Some("the quoted cell opened on line 2 is followed")),
            ("a,b\n\"1\"2,3\n", Some("the quoted cell opened on line 2 is followed")),
        ];
        for (text, fault) in cases {
            for step in [1, 2, 3, 7, 100] {
                let mut read = String::new();
                let found = QuoteChecker::new(Slow(text.as_bytes(), step), b',', 1).read_to_string(&mut read);
                match (found, fault) {
                    (Ok(_), None) => assert_eq!(read, text),
                    (Err(error), Some(fault)) => {
                        assert!(error.to_string().contains(fault), "{text:?} by {step}: {error}");
                    }
                    (found, _) => panic!("{text:?} by {step}: {found:?}, expected {fault:?}"),
                }
            }
        }
        let other = QuoteChecker::new(&b"a;b\n\"x\";2\n"[..], b';', 1).read_to_string(&mut String::new());
        assert!(other.is_ok());
    }
}
