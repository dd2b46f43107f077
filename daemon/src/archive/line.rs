//! An event as a line of a segment file: as Postgres' `COPY … TO STDOUT` writes a row, so that `COPY … FROM STDIN` reads it back.

use sha2::{Digest, Sha256};
use std::{borrow::Cow, fmt::Write};

/// The columns of a line, in their order. The position comes first, so that a reader finds its place without reading the rest.
pub(crate) const COLUMNS: [&str; 17] = [
    "transaction_id",
    "sequence",
    "category",
    "stream_id",
    "version",
    "type",
    "schema_version",
    "command_id",
    "ordinal",
    "correlation_id",
    "causation_id",
    "actor",
    "traceparent",
    "recorded_at",
    "payload",
    "previous_hash",
    "hash",
];

/// From 1970 to 2000, where Postgres counts from.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// A line that is none of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a line has an impossible {0}")]
pub(crate) struct Impossible(pub(crate) &'static str);

/// An event, as its line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) transaction_id: i64,
    pub(crate) sequence: i64,
    pub(crate) category: Cow<'a, str>,
    pub(crate) stream_id: Cow<'a, str>,
    pub(crate) version: i64,
    pub(crate) event_type: Cow<'a, str>,
    pub(crate) schema_version: i32,
    pub(crate) command_id: Cow<'a, str>,
    pub(crate) ordinal: i32,
    pub(crate) correlation_id: Cow<'a, str>,
    pub(crate) causation_id: Option<Cow<'a, str>>,
    pub(crate) actor: Cow<'a, str>,
    pub(crate) traceparent: Option<Cow<'a, str>>,
    /// Microseconds since 1970.
    pub(crate) recorded_at: i64,
    /// As `payload::text` gives it: the hash is over these characters.
    pub(crate) payload: Cow<'a, str>,
    pub(crate) previous_hash: Vec<u8>,
    pub(crate) hash: Vec<u8>,
}

/// Where a line's event stands, without a look at the rest.
pub(crate) fn position(line: &str) -> Result<(i64, i64), Impossible> {
    let mut fields = line.split('\t');
    Ok((
        number(fields.next(), "transaction_id")?,
        number(fields.next(), "sequence")?,
    ))
}

impl<'a> Line<'a> {
    /// Reads a line, without its line break.
    pub(crate) fn parse(line: &'a str) -> Result<Self, Impossible> {
        let mut fields = line.split('\t');
        let mut next = || fields.next();
        let parsed = Self {
            transaction_id: number(next(), "transaction_id")?,
            sequence: number(next(), "sequence")?,
            category: text(next(), "category")?,
            stream_id: text(next(), "stream_id")?,
            version: number(next(), "version")?,
            event_type: text(next(), "type")?,
            schema_version: number(next(), "schema_version")?,
            command_id: text(next(), "command_id")?,
            ordinal: number(next(), "ordinal")?,
            correlation_id: text(next(), "correlation_id")?,
            causation_id: optional(next(), "causation_id")?,
            actor: text(next(), "actor")?,
            traceparent: optional(next(), "traceparent")?,
            recorded_at: time(next())?,
            payload: text(next(), "payload")?,
            previous_hash: bytes(next(), "previous_hash")?,
            hash: bytes(next(), "hash")?,
        };
        match fields.next() {
            None => Ok(parsed),
            Some(_) => Err(Impossible("number of columns")),
        }
    }

    /// The same, independent of the text that it was read from.
    pub(crate) fn into_owned(self) -> Line<'static> {
        let own = |text: Cow<'_, str>| Cow::<'static, str>::Owned(text.into_owned());
        Line {
            category: own(self.category),
            stream_id: own(self.stream_id),
            event_type: own(self.event_type),
            command_id: own(self.command_id),
            correlation_id: own(self.correlation_id),
            causation_id: self.causation_id.map(own),
            actor: own(self.actor),
            traceparent: self.traceparent.map(own),
            payload: own(self.payload),
            transaction_id: self.transaction_id,
            sequence: self.sequence,
            version: self.version,
            schema_version: self.schema_version,
            ordinal: self.ordinal,
            recorded_at: self.recorded_at,
            previous_hash: self.previous_hash,
            hash: self.hash,
        }
    }

    /// SHA-256 over one line for each column, as the trigger `log.chain()` computes it.
    pub(crate) fn computed_hash(&self) -> [u8; 32] {
        let mut joined = String::with_capacity(512 + self.payload.len());
        for byte in &self.previous_hash {
            // Writing to a string cannot fail.
            let _ = write!(joined, "{byte:02x}");
        }
        let _ = write!(
            joined,
            "\n{}\n{}\n{}\n{:016x}\n{}\n{}",
            self.sequence,
            self.transaction_id,
            self.version,
            self.recorded_at - POSTGRES_EPOCH_MICROS,
            self.schema_version,
            self.ordinal
        );
        for column in [
            &*self.category,
            &*self.stream_id,
            &*self.event_type,
            &*self.command_id,
            &*self.correlation_id,
            self.causation_id.as_deref().unwrap_or_default(),
            &*self.actor,
            self.traceparent.as_deref().unwrap_or_default(),
            &*self.payload,
        ] {
            joined.push('\n');
            joined.push_str(column);
        }
        Sha256::digest(joined).into()
    }
}

fn number<T: std::str::FromStr>(
    field: Option<&str>,
    column: &'static str,
) -> Result<T, Impossible> {
    field
        .and_then(|field| field.parse().ok())
        .ok_or(Impossible(column))
}

fn text<'a>(field: Option<&'a str>, column: &'static str) -> Result<Cow<'a, str>, Impossible> {
    optional(field, column)?.ok_or(Impossible(column))
}

fn optional<'a>(
    field: Option<&'a str>,
    column: &'static str,
) -> Result<Option<Cow<'a, str>>, Impossible> {
    match field {
        None => Err(Impossible(column)),
        Some("\\N") => Ok(None),
        Some(field) => plain(field).map(Some).ok_or(Impossible(column)),
    }
}

/// Without the backslashes that stand for what would end a field or a line.
fn plain(field: &str) -> Option<Cow<'_, str>> {
    if !field.contains('\\') {
        return Some(Cow::Borrowed(field));
    }
    let mut plain = String::with_capacity(field.len());
    let mut rest = field.chars();
    while let Some(character) = rest.next() {
        plain.push(match character {
            '\\' => match rest.next()? {
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\u{b}',
                other => other,
            },
            other => other,
        });
    }
    Some(Cow::Owned(plain))
}

fn time(field: Option<&str>) -> Result<i64, Impossible> {
    field
        .and_then(|field| chrono::DateTime::parse_from_str(field, "%Y-%m-%d %H:%M:%S%.f%#z").ok())
        .map(|time| time.timestamp_micros())
        .ok_or(Impossible("recorded_at"))
}

/// `\\x0a1b`: hexadecimal digits, behind a backslash that is doubled.
fn bytes(field: Option<&str>, column: &'static str) -> Result<Vec<u8>, Impossible> {
    let digits = field
        .and_then(|field| field.strip_prefix("\\\\x"))
        .ok_or(Impossible(column))?;
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else {
        return Err(Impossible(column));
    };
    let value = |digit: u8| char::from(digit).to_digit(16);
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(value(*high)? << 4 | value(*low)?).ok())
        .collect::<Option<_>>()
        .ok_or(Impossible(column))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "7\t8\tdataset\tds\\t1\t2\tDatasetRetried\t1\tc\\\\1\t1\tcorr\t\\N\ttest\t\\N\t2026-11-20 11:29:07.967494+00\t{\"a\": \"\\\\n\"}\t\\\\x00ff\t\\\\x0a";

    #[test]
    fn a_line_is_read_with_its_escapes() {
        let line = Line::parse(LINE).unwrap();
        assert_eq!(position(LINE), Ok((7, 8)));
        assert_eq!(line.stream_id, "ds\t1");
        assert_eq!(line.command_id, "c\\1");
        assert_eq!((line.causation_id, line.traceparent), (None, None));
        assert_eq!(line.payload, "{\"a\": \"\\n\"}");
        assert_eq!((line.previous_hash, line.hash), (vec![0, 255], vec![10]));
        assert_eq!(line.recorded_at, 1_795_174_147_967_494);
    }

    #[test]
    fn what_is_no_line_is_refused_by_column() {
        for (from, to, column) in [
            ("7\t", "x\t", "transaction_id"),
            ("2026-11-20 11", "noon", "recorded_at"),
            ("\\\\x0a", "\\\\x0", "hash"),
            ("\\\\x00ff", "00ff", "previous_hash"),
            ("\ttest\t", "\t\\N\t", "actor"),
            ("\\\\x0a", "\\\\x0a\tmore", "number of columns"),
        ] {
            assert_eq!(
                Line::parse(&LINE.replacen(from, to, 1)),
                Err(Impossible(column))
            );
        }
        assert_eq!(Line::parse("7\t8"), Err(Impossible("category")));
    }
}
