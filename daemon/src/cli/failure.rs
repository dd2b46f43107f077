//! Why a command did not do what was asked, and the exit code that says so.

use std::process::ExitCode;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(super) struct Failure {
    /// Stable, snake_case.
    pub(super) code: String,
    /// One line that says what to do next.
    pub(super) detail: String,
    pub(super) exit: Exit,
}

/// Exit codes other than 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// The daemon refuses, or the work failed.
    Failed = 1,
    /// It was not understood.
    Usage = 2,
    /// No daemon answers.
    Unreachable = 3,
    /// What was named is not there.
    NotFound = 4,
    /// It took longer than was to be waited.
    TimedOut = 5,
    /// What was watched came to rest before its end.
    AtRest = 6,
}

impl Failure {
    pub(super) fn new(exit: Exit, code: &str, detail: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            detail: detail.into(),
            exit,
        }
    }

    pub(super) fn failed(code: &str, detail: impl Into<String>) -> Self {
        Self::new(Exit::Failed, code, detail)
    }

    pub(super) fn usage(code: &str, detail: impl Into<String>) -> Self {
        Self::new(Exit::Usage, code, detail)
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }
}

/// An error with its causes, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
