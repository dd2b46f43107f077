//! A row of the log as it is stored, and the hash that it should have.

use super::VerifyError;
use sha2::{Digest, Sha256};
use std::io::Write;

/// A row: every column as the database holds it, text in UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::log) struct Row<'a> {
    pub sequence: i64,
    pub transaction_id: i64,
    pub version: i64,
    /// Microseconds since 2000-01-01, as Postgres sends a `timestamptz`.
    pub recorded_at: i64,
    pub schema_version: i32,
    pub ordinal: i32,
    pub category: &'a [u8],
    pub stream_id: &'a [u8],
    pub kind: &'a [u8],
    pub command_id: &'a [u8],
    pub correlation_id: &'a [u8],
    pub causation_id: Option<&'a [u8]>,
    pub actor: &'a [u8],
    pub traceparent: Option<&'a [u8]>,
    /// As `payload::text` gives it.
    pub payload: &'a [u8],
    pub previous_hash: &'a [u8],
    pub hash: &'a [u8],
}

/// Rows of a segment, or of a part of it: those of a stream one after another, by version, and the streams in the order in which notes of
/// their heads come (see [`super::noted`]); any order of streams will do.
pub(in crate::log) trait Rows {
    /// The next row; none at the end.
    fn next(&mut self) -> Result<Option<Row<'_>>, VerifyError>;
}

impl Row<'_> {
    /// Where it stands in the log.
    pub(super) const fn position(&self) -> (i64, i64) {
        (self.transaction_id, self.sequence)
    }

    /// SHA-256 over one line for each column, as the trigger `log.chain()` computes it. `text` is room to write in.
    pub(super) fn computed_hash(&self, text: &mut Vec<u8>) -> [u8; 32] {
        text.clear();
        for byte in self.previous_hash {
            text.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
        // Writing to a vector cannot fail.
        let _ = write!(
            text,
            "\n{}\n{}\n{}\n{:016x}\n{}\n{}",
            self.sequence,
            self.transaction_id,
            self.version,
            self.recorded_at,
            self.schema_version,
            self.ordinal
        );
        for column in [
            self.category,
            self.stream_id,
            self.kind,
            self.command_id,
            self.correlation_id,
            self.causation_id.unwrap_or_default(),
            self.actor,
            self.traceparent.unwrap_or_default(),
            self.payload,
        ] {
            text.push(b'\n');
            text.extend_from_slice(column);
        }
        Sha256::digest(&text).into()
    }

    /// Whether what the hash cannot tell from nothing is nothing: the log never stores an empty value there.
    pub(super) fn has_empty_option(&self) -> bool {
        self.causation_id == Some(b"") || self.traceparent == Some(b"")
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";
