//! Batches: bounded in events and, as far as can be told beforehand, in bytes.

use super::{ProjectorError, bulk, offset, offset::Offset};
use crate::log::Log;
use sqlx::{PgConnection, PgPool};
use trainmaster_domain::{
    Event, Position, RecordedEvent,
    job::JobEvent,
    slurm::{SlurmJobEvent, event::Submitted},
    training::TrainingEvent,
};
use trainmaster_projections::ReadModel;

/// Reads batches of the log; an event that brings much is a batch of its own. It begins small, and asks for more or fewer events according to how large the last ones were.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    read_model: ReadModel,
    most_events: usize,
    most_bytes: usize,
    limit: usize,
    /// So many events are read one at a time, to find the one that cannot be applied.
    one_by_one: usize,
}

impl Reader {
    pub(super) fn new(read_model: ReadModel, most_events: usize, most_bytes: usize) -> Self {
        let most_events = most_events.max(1);
        Self {
            read_model,
            most_events,
            most_bytes: most_bytes.max(1),
            limit: most_events.min(64),
            one_by_one: 0,
        }
    }

    /// The events after a position; none when a reader may see no further ones yet.
    pub(super) async fn read(
        &mut self,
        log: &Log,
        after: Position,
    ) -> Result<Vec<RecordedEvent>, ProjectorError> {
        let limit = if self.one_by_one > 0 { 1 } else { self.limit };
        let mut events = log
            .read(after, limit)
            .await
            .map_err(|source| ProjectorError::Log {
                read_model: self.read_model,
                source,
            })?;
        let mut bytes = 0_usize;
        let fitting = events
            .iter()
            .take_while(|event| {
                bytes = bytes.saturating_add(size_bytes(event));
                bytes <= self.most_bytes
            })
            .count();
        let alone = events
            .iter()
            .position(|event| self.read_model.is_bulk(&event.event))
            .unwrap_or(usize::MAX);
        events.truncate(fitting.min(alone).max(1));
        if self.one_by_one > 0 {
            self.one_by_one -= 1;
        } else if fitting < limit && bytes > self.most_bytes {
            self.limit = fitting.max(1);
        } else if fitting == limit {
            self.limit = limit.saturating_mul(2).min(self.most_events);
        }
        Ok(events)
    }

    /// Goes through what was just read, or could not be, one event at a time. False when it did already.
    pub(super) fn slow_down(&mut self) -> bool {
        let began = self.one_by_one == 0 && self.limit > 1;
        if began {
            self.one_by_one = self.limit;
        }
        began
    }
}

/// About how much memory an event takes: metrics make up nearly all of a log.
fn size_bytes(recorded: &RecordedEvent) -> usize {
    match &recorded.event {
        Event::Training(TrainingEvent::MetricsRecorded(recorded)) => {
            512 + recorded.metrics.steps.len().saturating_mul(80)
        }
        Event::SlurmJob(
            SlurmJobEvent::SlurmSubmissionIntended(submission)
            | SlurmJobEvent::SlurmJobSubmitted(Submitted { submission, .. }),
        ) => 2_048 + submission.script.len(),
        // A word about each of many images.
        Event::Job(JobEvent::Predicted(predicted)) => {
            2_048 + predicted.prediction.to_string().len().saturating_mul(2)
        }
        _ => 2_048,
    }
}

/// What became of a batch.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is applied.
    Applied(Offset),
    /// Somebody else has moved the read model on; nothing was applied.
    Moved(Offset),
}

/// Applies events that follow `after`, rows and offset in one transaction.
pub(super) async fn apply(
    owner: &PgPool,
    read_model: ReadModel,
    schema: &str,
    after: Position,
    events: &[RecordedEvent],
) -> Result<Outcome, ProjectorError> {
    let failed = |attempt: &str| ProjectorError::database(format!("{attempt} on {schema}"));
    if let [event] = events
        && read_model.is_bulk(&event.event)
    {
        bulk::prepare(owner, read_model, schema, after, event).await?;
    }
    let mut transaction = owner.begin().await.map_err(failed("begin a batch"))?;
    let offset = offset::lock(&mut transaction, schema).await?;
    let Some(mut offset) = offset else {
        return Err(ProjectorError::NoSchema {
            schema: schema.to_owned(),
        });
    };
    if offset.version != read_model.version() {
        return Err(ProjectorError::OtherVersion {
            read_model,
            found: offset.version,
            own: read_model.version(),
        });
    }
    if offset.position != after {
        return Ok(Outcome::Moved(offset));
    }
    // Rows and offset are lost together in a crash, and made again: the disk need not be waited for.
    sqlx::query("SET LOCAL synchronous_commit = off")
        .execute(&mut *transaction)
        .await
        .map_err(failed("begin a batch"))?;
    write(&mut transaction, read_model, schema, &mut offset, events).await?;
    transaction
        .commit()
        .await
        .map_err(failed("commit a batch"))?;
    Ok(Outcome::Applied(offset))
}

/// The same, within a transaction that has locked the offset.
pub(super) async fn write(
    connection: &mut PgConnection,
    read_model: ReadModel,
    schema: &str,
    offset: &mut Offset,
    events: &[RecordedEvent],
) -> Result<(), ProjectorError> {
    read_model
        .apply(connection, &mut offset.serials, events)
        .await
        .map_err(|source| ProjectorError::Apply {
            read_model,
            first: events.first().map_or(offset.position, |e| e.position),
            count: events.len(),
            source,
        })?;
    offset.advance(events);
    offset::save(connection, schema, offset).await
}
