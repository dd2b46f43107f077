//! From a row of `log.events` to an event.

use super::LogError;
use crate::archive::Line;
use sqlx::{Row, postgres::PgRow};
use trainmaster_domain::{Category, Event, Metadata, Position, RecordedEvent, StreamId};

/// The columns that [`event`] reads, as a macro so that statements with it are literals.
macro_rules! columns {
    () => {
        "transaction_id, sequence, category, stream_id, version, type, schema_version, payload, \
         command_id, correlation_id, causation_id, actor, traceparent, recorded_at"
    };
}
pub(super) use columns;

pub(super) fn event(row: &PgRow) -> Result<RecordedEvent, LogError> {
    recorded(Stored::from_row(row).map_err(LogError::database("read a row of the log"))?)
}

/// The event of a line of the archive.
pub(super) fn of_line(line: Line<'_>) -> Result<RecordedEvent, LogError> {
    let impossible = |column| LogError::Impossible {
        stream: format!("{} {}", line.category, line.stream_id),
        version: line.version,
        column,
    };
    let payload = serde_json::from_str(&line.payload).map_err(|_| impossible("payload"))?;
    let recorded_at = chrono::DateTime::from_timestamp_micros(line.recorded_at)
        .ok_or_else(|| impossible("recorded_at"))?;
    recorded(Stored {
        transaction_id: line.transaction_id,
        sequence: line.sequence,
        version: line.version,
        schema_version: line.schema_version,
        payload,
        recorded_at,
        category: line.category.into_owned(),
        stream_id: line.stream_id.into_owned(),
        event_type: line.event_type.into_owned(),
        metadata: Metadata {
            command_id: line.command_id.into_owned(),
            correlation_id: line.correlation_id.into_owned(),
            causation_id: line.causation_id.map(Into::into),
            actor: line.actor.into_owned(),
            traceparent: line.traceparent.map(Into::into),
        },
    })
}

fn recorded(stored: Stored) -> Result<RecordedEvent, LogError> {
    let impossible = |column| LogError::Impossible {
        stream: format!("{} {}", stored.category, stored.stream_id),
        version: stored.version,
        column,
    };
    let category: Category = stored
        .category
        .parse()
        .map_err(|_| impossible("category"))?;
    let schema_version = stored
        .schema_version
        .try_into()
        .map_err(|_| impossible("schema_version"))?;
    let event = Event::from_stored(category, &stored.event_type, schema_version, stored.payload)
        .map_err(|source| LogError::Decode {
            stream: format!("{category} {}", stored.stream_id),
            version: stored.version,
            source: Box::new(source),
        })?;
    Ok(RecordedEvent {
        position: Position {
            transaction: stored
                .transaction_id
                .try_into()
                .map_err(|_| LogError::Impossible {
                    stream: format!("{category} {}", stored.stream_id),
                    version: stored.version,
                    column: "transaction_id",
                })?,
            sequence: stored.sequence,
        },
        version: stored
            .version
            .try_into()
            .map_err(|_| LogError::Impossible {
                stream: format!("{category} {}", stored.stream_id),
                version: stored.version,
                column: "version",
            })?,
        stream: StreamId::new(category, stored.stream_id),
        event,
        metadata: stored.metadata,
        recorded_at: stored.recorded_at,
    })
}

struct Stored {
    transaction_id: i64,
    sequence: i64,
    category: String,
    stream_id: String,
    version: i64,
    event_type: String,
    schema_version: i32,
    payload: serde_json::Value,
    metadata: Metadata,
    recorded_at: chrono::DateTime<chrono::Utc>,
}

impl Stored {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            transaction_id: row.try_get("transaction_id")?,
            sequence: row.try_get("sequence")?,
            category: row.try_get("category")?,
            stream_id: row.try_get("stream_id")?,
            version: row.try_get("version")?,
            event_type: row.try_get("type")?,
            schema_version: row.try_get("schema_version")?,
            payload: row.try_get("payload")?,
            metadata: Metadata {
                command_id: row.try_get("command_id")?,
                correlation_id: row.try_get("correlation_id")?,
                causation_id: row.try_get("causation_id")?,
                actor: row.try_get("actor")?,
                traceparent: row.try_get("traceparent")?,
            },
            recorded_at: row.try_get("recorded_at")?,
        })
    }
}
