//! A peer that keeps running and answers questions, for work that takes less time than starting a
//! process.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

/// A process that answers each line with a line of JSON. It ends when this value is dropped.
#[derive(Debug)]
pub(crate) struct Dialogue {
    child: Child,
    /// `None` once there are no more questions.
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Dialogue {
    /// Starts the process.
    pub(crate) fn start(mut command: Command) -> Result<Dialogue, String> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))?;
        let (questions, answers) = (child.stdin.take(), child.stdout.take());
        let answers = BufReader::new(answers.ok_or("it has no output")?);
        Ok(Dialogue { child, questions, answers })
    }

    /// Asks a question and returns the JSON object of the answer; an `error` in it is the reason why
    /// there is none.
    pub(crate) fn ask(&mut self, question: &str) -> Result<Value, String> {
        let Some(questions) = &mut self.questions else { return Err("it has exited".to_owned()) };
        // A failed write shows in the missing answer.
        let _ = writeln!(questions, "{question}").and_then(|()| questions.flush());
        let mut answer = String::new();
        if !self.answers.read_line(&mut answer).is_ok_and(|length| length > 0) {
            self.questions = None;
            return Err("it has exited".to_owned());
        }
        let value: Value = serde_json::from_str(&answer)
            .map_err(|error| format!("'{}' is not an answer: {error}", answer.trim()))?;
        match &value["error"] {
            Value::Null => Ok(value),
            error => Err(super::text(error)),
        }
    }

    /// Whether the process will not answer any more.
    pub(crate) fn has_ended(&self) -> bool {
        self.questions.is_none()
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        // Closing its input makes the process exit.
        self.questions = None;
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_answered_in_turn() {
        let Ok(mut echo) = Dialogue::start(Command::new("cat")) else { return };
        assert_eq!(echo.ask("{\"x\": 1}").unwrap()["x"], 1);
        assert_eq!(echo.ask("{\"error\": \"not today\"}").unwrap_err(), "not today");
        assert!(echo.ask("what").unwrap_err().contains("'what' is not an answer"));
        assert!(Dialogue::start(Command::new("/nowhere/peer")).unwrap_err().contains("/nowhere"));
    }

    #[test]
    fn one_that_ends_is_noticed() {
        let Ok(mut gone) = Dialogue::start(Command::new("true")) else { return };
        assert!(!gone.has_ended());
        assert!(gone.ask("{}").is_err() && gone.ask("{}").is_err() && gone.has_ended());
    }
}
