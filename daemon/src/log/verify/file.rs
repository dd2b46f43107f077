//! The rows of a segment that is in the archive. Its file has them in the order of the log; sorted by stream, they are put aside on disk.

use super::{
    Row, Rows, VerifyError,
    aside::{Aside, Sorted},
};
use crate::{
    archive::{Archive, Line},
    log::LogError,
};

/// From 1970 to 2000, where Postgres counts from.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Rows by the bytes of their streams, and version.
pub(super) struct ArchivedRows {
    lines: Sorted,
    line: Option<Line<'static>>,
}

impl ArchivedRows {
    /// Reads the file of a segment, once its SHA-256 is that which the database has of it.
    pub(super) fn sorted(archive: &Archive, segment: i32) -> Result<Self, VerifyError> {
        let mut aside = Aside::default();
        let mut record = Vec::new();
        archive.whole(segment, |text, line| {
            record.clear();
            for name in [&line.category, &line.stream_id] {
                record.extend_from_slice(name.as_bytes());
                record.push(0);
            }
            record.extend_from_slice(&line.version.to_be_bytes());
            record.extend_from_slice(text.as_bytes());
            aside.push(&record).map_err(VerifyError::Aside)
        })?;
        Ok(Self {
            lines: aside.sorted().map_err(VerifyError::Aside)?,
            line: None,
        })
    }
}

impl Rows for ArchivedRows {
    fn next(&mut self) -> Result<Option<Row<'_>>, VerifyError> {
        let Some(record) = self.lines.next() else {
            return Ok(None);
        };
        let record = record.map_err(VerifyError::Aside)?;
        let mut parts = record.splitn(3, |byte| *byte == 0);
        let text = parts.nth(2).and_then(|rest| rest.get(8..));
        let line = text
            .and_then(|text| std::str::from_utf8(text).ok())
            .and_then(|text| Line::parse(text).ok())
            .ok_or(VerifyError::Form(
                "what was put aside of a row is something else",
            ))?;
        let line = self.line.insert(line.into_owned());
        Ok(Some(Row {
            sequence: line.sequence,
            transaction_id: line.transaction_id,
            version: line.version,
            recorded_at: line.recorded_at - POSTGRES_EPOCH_MICROS,
            schema_version: line.schema_version,
            ordinal: line.ordinal,
            category: line.category.as_bytes(),
            stream_id: line.stream_id.as_bytes(),
            kind: line.event_type.as_bytes(),
            command_id: line.command_id.as_bytes(),
            correlation_id: line.correlation_id.as_bytes(),
            causation_id: line.causation_id.as_deref().map(str::as_bytes),
            actor: line.actor.as_bytes(),
            traceparent: line.traceparent.as_deref().map(str::as_bytes),
            payload: line.payload.as_bytes(),
            previous_hash: &line.previous_hash,
            hash: &line.hash,
        }))
    }
}

impl From<crate::archive::ArchiveError> for VerifyError {
    fn from(error: crate::archive::ArchiveError) -> Self {
        Self::Log(LogError::Archive(error))
    }
}
