//! The texts of a generation, shown as they grow.

use crate::cli::output::Output;
use serde_json::Value;

/// A text as far as it is known.
#[derive(Default)]
struct Text {
    text: String,
    /// Bytes that have been shown.
    shown: usize,
}

/// Shows texts as they are told. A stream that broke is told again from its beginning; what has been shown is not shown twice.
pub(super) struct Texts {
    output: Output,
    lease: Option<u64>,
    plain: Text,
    steered: Text,
    /// Which text was shown last.
    heading: Option<String>,
}

impl Texts {
    pub(super) fn new(output: Output) -> Self {
        Self {
            output,
            lease: None,
            plain: Text::default(),
            steered: Text::default(),
            heading: None,
        }
    }

    /// Hears an event of the job's stream.
    pub(super) fn hear(&mut self, event: &Value) {
        match event["event"].as_str() {
            Some("begun") => self.begin(event["lease"].as_u64()),
            Some("progress") if event["stage"] == "loading" => {
                self.output.remark("the model is being loaded");
            }
            Some("text") => {
                let (variant, piece) = (event["variant"].as_str(), event["text"].as_str());
                self.add(variant.unwrap_or("plain"), piece.unwrap_or_default());
            }
            _ => {}
        }
    }

    fn begin(&mut self, lease: Option<u64>) {
        let is_told_again = self.lease == lease;
        if !is_told_again && self.plain.shown > 0 {
            self.end();
            self.output.remark("the run was lost; it begins anew");
        }
        for text in [&mut self.plain, &mut self.steered] {
            text.text.clear();
            if !is_told_again {
                text.shown = 0;
            }
        }
        self.lease = lease;
    }

    fn add(&mut self, variant: &str, piece: &str) {
        let text = match variant {
            "steered" => &mut self.steered,
            _ => &mut self.plain,
        };
        text.text.push_str(piece);
        let new = text.text.get(text.shown..).map(printable);
        let new = new.unwrap_or_default();
        text.shown = text.shown.max(text.text.len());
        if new.is_empty() || self.output.is_json() {
            return;
        }
        if self.heading.as_deref() != Some(variant) {
            self.end();
            self.output.remark(format!("── {variant}"));
            self.heading = Some(variant.to_owned());
        }
        self.output.piece(&new);
    }

    /// Ends the line of the text that was shown last.
    pub(super) fn end(&mut self) {
        if self.heading.take().is_some() {
            self.output.line("");
        }
    }
}

/// Text without what a terminal would obey.
pub(in crate::cli) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() => char::REPLACEMENT_CHARACTER,
            c => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_told_again_is_not_shown_again_and_another_attempt_is() {
        let mut texts = Texts::new(Output::new(true));
        let text = |piece: &str| json!({ "event": "text", "variant": "plain", "text": piece });
        texts.hear(&json!({ "event": "begun", "lease": 1 }));
        texts.hear(&text("abc"));
        texts.hear(&json!({ "event": "begun", "lease": 1 }));
        texts.hear(&text("ab"));
        assert_eq!((texts.plain.text.as_str(), texts.plain.shown), ("ab", 3));
        texts.hear(&text("cde"));
        assert_eq!((texts.plain.text.as_str(), texts.plain.shown), ("abcde", 5));
        texts.hear(&json!({ "event": "begun", "lease": 2 }));
        assert_eq!((texts.plain.text.as_str(), texts.plain.shown), ("", 0));
    }

    #[test]
    fn a_terminal_is_not_told_what_to_do() {
        assert_eq!(printable("a\u{1b}[2Jb\n\tü"), "a\u{FFFD}[2Jb\n\tü");
    }
}
