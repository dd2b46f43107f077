//! Appending: one statement, one round trip, one transaction.

use super::{
    Executed, Log, LogError,
    guard::{Barrier, Guard},
    row,
};
use crate::telemetry::instruments;
use chrono::{DateTime, Utc};
use opentelemetry::KeyValue;
use sqlx::{PgExecutor, Row, postgres::PgRow};
use std::time::Instant;
use trainmaster_domain::{Event, Metadata, Position, RecordedEvent, StreamId, Task};

/// What became of an append.
pub(super) enum Appended {
    /// The events are in the log.
    Now(Vec<RecordedEvent>),
    /// They are not: the command is known already, or the stream has moved on.
    Not,
    /// They are not: what they refer to, or who refers to them, stands in the way.
    Barred(Barrier),
}

impl Log {
    /// Appends events after `expected` and their tasks to the outbox.
    pub(super) async fn append(
        &self,
        stream: &StreamId,
        expected: u64,
        events: Vec<Event>,
        metadata: &Metadata,
        needs: Vec<StreamId>,
    ) -> Result<Appended, LogError> {
        let batch = Batch::of(&events).map_err(|source| LogError::Encode {
            stream: stream.clone(),
            source,
        })?;
        let start = Instant::now();
        let failed = || LogError::database(format!("append to {stream}"));
        let guard = Guard::new(stream, needs, &events);
        let written = if guard.is_needed() {
            let mut transaction = self.pool.begin().await.map_err(failed())?;
            if let Some(barrier) = guard.check(&mut transaction).await.map_err(failed())? {
                return Ok(Appended::Barred(barrier));
            }
            let written = write(&mut *transaction, stream, expected, metadata, &batch)
                .await
                .map_err(failed())?;
            if written.is_some() {
                transaction.commit().await.map_err(failed())?;
            }
            written
        } else {
            write(&self.pool, stream, expected, metadata, &batch)
                .await
                .map_err(failed())?
        };
        instruments()
            .append_duration
            .record(start.elapsed().as_secs_f64(), &[]);
        let Some(written) = written else {
            return Ok(Appended::Not);
        };
        instruments()
            .appends
            .add(events.len() as u64, &[category(stream)]);
        self.appended
            .send_modify(|count| *count = count.wrapping_add(1));
        if events.iter().any(|event| event.task().is_some()) {
            self.asked
                .send_modify(|count| *count = count.wrapping_add(1));
        }
        if events.iter().any(Event::leaves_files) {
            self.left
                .send_modify(|count| *count = count.wrapping_add(1));
        }
        let recorded = events
            .into_iter()
            .zip(written.sequences)
            .zip(written.times)
            .zip(expected + 1..)
            .map(
                |(((event, sequence), recorded_at), version)| RecordedEvent {
                    position: Position {
                        transaction: written.transaction,
                        sequence,
                    },
                    stream: stream.clone(),
                    version,
                    event,
                    metadata: metadata.clone(),
                    recorded_at,
                },
            )
            .collect();
        Ok(Appended::Now(recorded))
    }

    /// Remembers that a command caused nothing. False when it was known already.
    pub(super) async fn settle(
        &self,
        stream: &StreamId,
        version: u64,
        command_id: &str,
    ) -> Result<bool, LogError> {
        sqlx::query_scalar("SELECT log.settle($1, $2, $3, $4)")
            .bind(stream.category.as_str())
            .bind(&stream.id)
            .bind(i64::try_from(version).unwrap_or(i64::MAX))
            .bind(command_id)
            .fetch_one(&self.pool)
            .await
            .map_err(LogError::database(format!("settle a command of {stream}")))
    }

    /// The first answer to a command; none when it was never accepted.
    pub(super) async fn first_answer(
        &self,
        stream: &StreamId,
        command_id: &str,
    ) -> Result<Option<Executed>, LogError> {
        let attempt = || format!("look for command {command_id}");
        let reused = |first: String| LogError::CommandReused {
            command_id: command_id.to_owned(),
            first,
            now: stream.clone(),
        };
        let mut events = sqlx::query(concat!(
            "SELECT ",
            row::columns!(),
            " FROM log.open_events WHERE command_id = $1 ORDER BY ordinal"
        ))
        .bind(command_id)
        .fetch_all(&self.pool)
        .await
        .map_err(LogError::database(attempt()))?
        .iter()
        .map(row::event)
        .collect::<Result<Vec<_>, _>>()?;
        if events.is_empty() {
            events = self.closed_command(command_id).await?;
        }
        if let Some(last) = events.last() {
            if last.stream != *stream {
                return Err(reused(last.stream.to_string()));
            }
            return Ok(Some(Executed {
                version: last.version,
                position: Some(last.position),
                events,
                repeated: true,
            }));
        }
        let settled: Option<(String, String, i64)> = sqlx::query_as(
            "SELECT category, stream_id, version FROM log.settled_commands WHERE command_id = $1",
        )
        .bind(command_id)
        .fetch_optional(&self.pool)
        .await
        .map_err(LogError::database(attempt()))?;
        let Some((category, id, version)) = settled else {
            return Ok(None);
        };
        if category != stream.category.as_str() || id != stream.id {
            return Err(reused(format!("{category} {id}")));
        }
        Ok(Some(Executed {
            events: Vec::new(),
            version: u64::try_from(version).unwrap_or(0),
            position: None,
            repeated: true,
        }))
    }
}

/// One event without a task goes the short way.
async fn write(
    executor: impl PgExecutor<'_>,
    stream: &StreamId,
    expected: u64,
    metadata: &Metadata,
    batch: &Batch,
) -> Result<Option<Written>, sqlx::Error> {
    match batch.single() {
        Some(event) => append_one(executor, stream, expected, metadata, event).await,
        None => append_all(executor, stream, expected, metadata, batch).await,
    }
}

async fn append_one(
    executor: impl PgExecutor<'_>,
    stream: &StreamId,
    expected: u64,
    metadata: &Metadata,
    (event_type, schema_version, payload): (&str, i32, &serde_json::Value),
) -> Result<Option<Written>, sqlx::Error> {
    sqlx::query(include_str!("append/one.sql"))
        .bind(stream.category.as_str())
        .bind(&stream.id)
        .bind(i64::try_from(expected).unwrap_or(i64::MAX))
        .bind(&metadata.command_id)
        .bind(&metadata.correlation_id)
        .bind(metadata.causation_id.as_deref())
        .bind(&metadata.actor)
        .bind(metadata.traceparent.as_deref())
        .bind(event_type)
        .bind(schema_version)
        .bind(payload)
        .try_map(|row: PgRow| {
            Ok(Written {
                transaction: transaction(&row)?,
                sequences: vec![row.try_get("sequence")?],
                times: vec![row.try_get("recorded_at")?],
            })
        })
        .fetch_optional(executor)
        .await
        .or_else(|error| match &error {
            sqlx::Error::Database(cause) if cause.is_unique_violation() => Ok(None),
            _ => Err(error),
        })
}

async fn append_all(
    executor: impl PgExecutor<'_>,
    stream: &StreamId,
    expected: u64,
    metadata: &Metadata,
    batch: &Batch,
) -> Result<Option<Written>, sqlx::Error> {
    sqlx::query(include_str!("append/all.sql"))
        .bind(stream.category.as_str())
        .bind(&stream.id)
        .bind(i64::try_from(expected).unwrap_or(i64::MAX))
        .bind(&metadata.command_id)
        .bind(&metadata.correlation_id)
        .bind(metadata.causation_id.as_deref())
        .bind(&metadata.actor)
        .bind(metadata.traceparent.as_deref())
        .bind(&batch.types)
        .bind(&batch.schema_versions)
        .bind(&batch.payloads)
        .bind(&batch.tasks)
        .bind(&batch.not_befores)
        .try_map(|row: PgRow| {
            if !row.try_get::<bool, _>("appended")? {
                return Ok(None);
            }
            Ok(Some(Written {
                transaction: transaction(&row)?,
                sequences: row.try_get("sequences")?,
                times: row.try_get("times")?,
            }))
        })
        .fetch_one(executor)
        .await
}

/// The attribute that metrics of the log have.
pub(super) fn category(stream: &StreamId) -> KeyValue {
    KeyValue::new("category", stream.category.as_str())
}

/// The columns of the events, as arrays.
#[derive(Default)]
struct Batch {
    types: Vec<&'static str>,
    schema_versions: Vec<i32>,
    payloads: Vec<serde_json::Value>,
    tasks: Vec<Option<serde_json::Value>>,
    not_befores: Vec<Option<DateTime<Utc>>>,
}

impl Batch {
    fn of(events: &[Event]) -> Result<Self, serde_json::Error> {
        let mut batch = Self::default();
        for event in events {
            let task = event.task();
            batch.types.push(event.event_type());
            batch.schema_versions.push(event.schema_version().into());
            batch.payloads.push(event.payload()?);
            batch
                .tasks
                .push(task.as_ref().map(serde_json::to_value).transpose()?);
            batch.not_befores.push(match task {
                Some(Task::Dispatch { not_before }) => not_before,
                _ => None,
            });
        }
        Ok(batch)
    }

    /// The event, when there is one and it sets nothing in motion.
    fn single(&self) -> Option<(&'static str, i32, &serde_json::Value)> {
        match (
            &*self.types,
            &*self.schema_versions,
            &*self.payloads,
            &*self.tasks,
        ) {
            ([event_type], [schema_version], [payload], [None]) => {
                Some((event_type, *schema_version, payload))
            }
            _ => None,
        }
    }
}

struct Written {
    transaction: u64,
    sequences: Vec<i64>,
    times: Vec<DateTime<Utc>>,
}

fn transaction(row: &PgRow) -> Result<u64, sqlx::Error> {
    u64::try_from(row.try_get::<i64, _>("transaction_id")?)
        .map_err(|error| sqlx::Error::Decode(error.into()))
}
