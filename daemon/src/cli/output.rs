//! What is printed: for people, or JSON.

use super::failure::Failure;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    pub(super) const fn new(json: bool) -> Self {
        Self { json }
    }

    pub(super) const fn is_json(self) -> bool {
        self.json
    }

    /// Whether a progress bar can be drawn.
    pub(super) fn is_terminal(self) -> bool {
        !self.json && io::stderr().is_terminal()
    }

    /// A line for people. A reader that is gone (`| head`) ends the program quietly.
    pub(super) fn line(self, text: impl AsRef<str>) {
        let mut out = io::stdout().lock();
        if writeln!(out, "{}", text.as_ref())
            .and_then(|()| out.flush())
            .is_err()
        {
            std::process::exit(0);
        }
    }

    /// Text as it comes, without a line's end.
    pub(super) fn piece(self, text: &str) {
        let mut out = io::stdout().lock();
        if out
            .write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .is_err()
        {
            std::process::exit(0);
        }
    }

    /// A JSON document in one line.
    pub(super) fn json(self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value)
            .map_err(|error| Failure::failed("internal", error.to_string()))?;
        self.line(text);
        Ok(())
    }

    /// A remark that is not the answer.
    pub(super) fn remark(self, text: impl AsRef<str>) {
        if !self.json {
            let _ = writeln!(io::stderr(), "{}", text.as_ref());
        }
    }

    /// Why it did not work: one line.
    pub(super) fn failure(self, failure: &Failure) {
        let detail = failure.detail.replace('\n', " ");
        let mut err = io::stderr().lock();
        let _ = if self.json {
            let document =
                serde_json::json!({ "error": { "code": failure.code, "detail": detail } });
            writeln!(err, "{document}")
        } else {
            writeln!(err, "trainmaster: {detail} [{}]", failure.code)
        };
    }
}
