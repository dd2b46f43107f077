//! Two texts beside each other, where the terminal is wide enough.

use super::texts::printable;
use crate::cli::output::Output;
use serde_json::Value;
use std::io::{self, IsTerminal};

/// Columns that both texts need together.
const WIDE_ENOUGH: usize = 100;

/// Between the texts.
const GAP: &str = " │ ";

/// Shows both texts, if there are two and standard output is a wide terminal.
pub(super) fn show(text: &Value, output: Output) {
    let texts = (
        text["plain"]["text"].as_str(),
        text["steered"]["text"].as_str(),
    );
    let (Some(plain), Some(steered)) = texts else {
        return;
    };
    let stdout = io::stdout();
    if !stdout.is_terminal() {
        return;
    }
    let columns = rustix::termios::tcgetwinsize(&stdout).map_or(0, |size| usize::from(size.ws_col));
    if columns >= WIDE_ENOUGH {
        output.line("");
        for line in lines(&printable(plain), &printable(steered), columns) {
            output.line(line);
        }
    }
}

fn lines(plain: &str, steered: &str, columns: usize) -> Vec<String> {
    let width = columns.saturating_sub(GAP.chars().count()) / 2;
    let (left, right) = (wrapped(plain, width), wrapped(steered, width));
    let rows = left.len().max(right.len());
    let beside = |left: &str, right: &str| {
        let padding = " ".repeat(width.saturating_sub(left.chars().count()));
        format!("{left}{padding}{GAP}{right}").trim_end().to_owned()
    };
    let line = |lines: &[String], row: usize| lines.get(row).cloned().unwrap_or_default();
    std::iter::once(beside("plain", "steered"))
        .chain((0..rows).map(|row| beside(&line(&left, row), &line(&right, row))))
        .collect()
}

/// Text in lines of at most `width` characters, broken between words where there are some.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.replace('\t', "    ").lines() {
        let mut line = String::new();
        let mut length = 0;
        for word in paragraph.split_inclusive(' ') {
            let characters: Vec<char> = word.chars().collect();
            let mut start_line = |line: &mut String, length: &mut usize| {
                lines.push(std::mem::take(line).trim_end().to_owned());
                *length = 0;
            };
            if length > 0 && length + word.trim_end().chars().count() > width {
                start_line(&mut line, &mut length);
            }
            // A word that is longer than a line goes on in the next.
            for part in characters.chunks(width.max(1)) {
                let visible = part.iter().filter(|c| **c != ' ').count();
                if length > 0 && length + visible > width {
                    start_line(&mut line, &mut length);
                }
                line.extend(part);
                length += part.len();
            }
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_between_words_and_long_words_within() {
        assert_eq!(
            wrapped("one two three\nfour", 7),
            ["one two", "three", "four"]
        );
        assert_eq!(wrapped("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrapped("", 4), Vec::<String>::new());
    }

    #[test]
    fn texts_of_different_length_stand_beside_each_other() {
        assert_eq!(
            lines("a b c d", "x", 17),
            ["plain   │ steered", "a b c d │ x"]
        );
        assert_eq!(
            lines("a b c d", "x", 9),
            ["plain │ steered", "a b │ x", "c d │"]
        );
    }
}
