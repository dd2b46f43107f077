//! Each execution carries its statement: what the driver has prepared under a name is remembered here, and goes to the server without a name,
//! once when it is prepared (so that its parameters and columns can be described) and again before each Bind.
//!
//! Messages: <https://www.postgresql.org/docs/current/protocol-message-formats.html>

use super::relay::length;
use std::{
    collections::{HashMap, VecDeque},
    io,
};

/// What one connection of the driver has prepared, and what it is to be answered. The driver keeps 100 statements at most and closes the others.
#[derive(Debug, Default)]
pub(super) struct Statements {
    /// By name: everything of Parse that follows the name.
    known: HashMap<Vec<u8>, Vec<u8>>,
    /// The one that the server's unnamed statement is, until the exchange ends.
    current: Option<Vec<u8>>,
    /// Answers that are still to come, in order.
    expected: VecDeque<Expected>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// ParseComplete for what the driver has sent.
    Parsed,
    /// ParseComplete for what was put in front of a Bind; the driver does not know of it.
    Repeated,
    /// ReadyForQuery: the end of an exchange.
    Ready,
}

impl Statements {
    /// A message of the driver, and what the pooler gets in its place.
    ///
    /// # Errors
    /// It is cut short.
    pub(super) fn said(&mut self, kind: u8, body: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match kind {
            b'P' => {
                let (name, rest) = name(body)?;
                self.known.insert(name.to_vec(), rest.to_vec());
                self.current = Some(name.to_vec());
                self.expected.push_back(Expected::Parsed);
                message(out, kind, &[b"\0", rest]);
            }
            b'B' => {
                let (portal, rest) = name(body)?;
                let (statement, rest) = name(rest)?;
                self.repeat(statement, out);
                message(out, kind, &[portal, b"\0\0", rest]);
            }
            // Describe and Close, of a statement or of a portal.
            b'D' | b'C' if body.first() == Some(&b'S') => {
                let (statement, _) = name(body.get(1..).unwrap_or_default())?;
                if kind == b'D' {
                    self.repeat(statement, out);
                } else {
                    self.known.remove(statement);
                    self.current = None;
                }
                message(out, kind, &[b"S\0"]);
            }
            b'S' | b'Q' | b'F' => {
                self.current = None;
                self.expected.push_back(Expected::Ready);
                message(out, kind, &[body]);
            }
            _ => message(out, kind, &[body]),
        }
        Ok(())
    }

    /// Sees to it that the server's unnamed statement is this one. Of one that is not known the server says so.
    fn repeat(&mut self, statement: &[u8], out: &mut Vec<u8>) {
        if self.current.as_deref() == Some(statement) {
            return;
        }
        if let Some(rest) = self.known.get(statement) {
            message(out, b'P', &[b"\0", rest]);
            self.expected.push_back(Expected::Repeated);
            self.current = Some(statement.to_vec());
        }
    }

    /// An answer; whether it is the driver's.
    pub(super) fn answered(&mut self, kind: u8) -> bool {
        match kind {
            b'1' => match self.expected.front() {
                Some(Expected::Parsed) => {
                    self.expected.pop_front();
                    true
                }
                Some(Expected::Repeated) => {
                    self.expected.pop_front();
                    false
                }
                Some(Expected::Ready) | None => true,
            },
            // After an error, everything up to the end of the exchange is passed over.
            b'E' => {
                while self
                    .expected
                    .front()
                    .is_some_and(|next| *next != Expected::Ready)
                {
                    self.expected.pop_front();
                }
                true
            }
            b'Z' => {
                while self
                    .expected
                    .pop_front()
                    .is_some_and(|ended| ended != Expected::Ready)
                {}
                true
            }
            _ => true,
        }
    }
}

/// A text that ends with a zero byte, and what follows it.
fn name(bytes: &[u8]) -> io::Result<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0);
    end.and_then(|end| Some((bytes.get(..end)?, bytes.get(end + 1..)?)))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a message is cut short"))
}

fn message(out: &mut Vec<u8>, kind: u8, parts: &[&[u8]]) {
    out.push(kind);
    out.extend(length(parts.iter().map(|part| part.len()).sum()).to_be_bytes());
    parts.iter().for_each(|part| out.extend(*part));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(statements: &mut Statements, kind: u8, body: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut out = vec![];
        statements.said(kind, body, &mut out).unwrap();
        let mut messages = vec![];
        let mut rest = &out[..];
        while let [kind, a, b, c, d, after @ ..] = rest {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize - 4;
            messages.push((*kind, after[..length].to_vec()));
            rest = &after[length..];
        }
        messages
    }

    #[test]
    fn an_execution_carries_its_statement_and_the_driver_sees_no_answer_to_that() {
        let mut statements = Statements::default();
        let parsed = said(&mut statements, b'P', b"s1\0SELECT $1\0\0\0");
        assert_eq!(parsed, [(b'P', b"\0SELECT $1\0\0\0".to_vec())]);
        assert_eq!(
            said(&mut statements, b'D', b"Ss1\0"),
            [(b'D', b"S\0".to_vec())]
        );
        said(&mut statements, b'S', b"");
        assert!(statements.answered(b'1') && statements.answered(b'Z'));
        for _ in 0..2 {
            assert_eq!(
                said(&mut statements, b'B', b"\0s1\0rest"),
                [
                    (b'P', b"\0SELECT $1\0\0\0".to_vec()),
                    (b'B', b"\0\0rest".to_vec())
                ]
            );
            said(&mut statements, b'S', b"");
            assert!(!statements.answered(b'1'));
            assert!(statements.answered(b'2') && statements.answered(b'Z'));
        }
    }

    #[test]
    fn an_error_leaves_nothing_to_be_waited_for() {
        let mut statements = Statements::default();
        said(&mut statements, b'P', b"s1\0SELECT 1/$1\0\0\0");
        said(&mut statements, b'S', b"");
        assert!(statements.answered(b'E') && statements.answered(b'Z'));
        said(&mut statements, b'P', b"s2\0SELECT 2\0\0\0");
        said(&mut statements, b'S', b"");
        assert!(statements.answered(b'1'), "that of the second statement");
        assert!(statements.answered(b'Z') && statements.expected.is_empty());
    }

    #[test]
    fn what_is_closed_is_forgotten_and_what_is_cut_short_refused() {
        let mut statements = Statements::default();
        said(&mut statements, b'P', b"s1\0SELECT 1\0\0\0");
        assert_eq!(
            said(&mut statements, b'C', b"Ss1\0"),
            [(b'C', b"S\0".to_vec())]
        );
        assert!(statements.known.is_empty());
        for (kind, body) in [
            (b'P', &b"s1"[..]),
            (b'B', b"\0s1"),
            (b'D', b"S"),
            (b'C', b"Sx"),
        ] {
            assert!(statements.said(kind, body, &mut vec![]).is_err());
        }
    }
}
