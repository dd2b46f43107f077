//! From a row of `log.events` to an event.

use super::LogError;
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
    let stored = Stored::from_row(row).map_err(LogError::database("read a row of the log"))?;
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
