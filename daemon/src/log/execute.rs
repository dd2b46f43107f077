//! Executing a command: load, decide, append.

use super::{
    ExecuteError, Log,
    append::{self, Appended},
};
use crate::telemetry::instruments;
use tracing::{debug, instrument};
use trainmaster_domain::{Aggregate, Metadata, Position, RecordedEvent, StreamId};

/// How often a command is decided anew because others appended to its stream in the meantime. Each time somebody got on.
const ATTEMPTS: u32 = 16;

/// What a command led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Executed {
    /// The events that it caused; none when what it asks for was so already.
    pub events: Vec<RecordedEvent>,
    /// The stream's version after it.
    pub version: u64,
    /// The position of its last event: who waits for it sees all of them.
    pub position: Option<Position>,
    /// Whether this is the answer that the command got before.
    pub repeated: bool,
}

impl Log {
    /// Decides a command on its stream as it is now, and appends the events with their tasks in one transaction. When others append
    /// in between, it is decided anew. A command id that was accepted before, be it at this moment, gets the first answer and
    /// changes nothing; a refused command was not accepted and is decided anew.
    ///
    /// # Errors
    /// [`ExecuteError::Refused`] when the aggregate refuses, [`ExecuteError::Barred`] when what it refers to has been deleted or what is to
    /// be deleted is needed, [`ExecuteError::Conflict`] when others were faster too often,
    /// [`ExecuteError::Log`] when the log does not work or the command id was used on another stream. After a
    /// [`LogError::Database`](super::LogError::Database) the events may or may not be in the log: repeat the command with its id.
    #[instrument(
        name = "log.execute",
        skip_all,
        fields(stream = %format_args!("{} {id}", A::CATEGORY), command_id = %metadata.command_id, actor = %metadata.actor)
    )]
    pub async fn execute<A: Aggregate>(
        &self,
        id: &str,
        command: A::Command,
        metadata: Metadata,
    ) -> Result<Executed, ExecuteError<A::Refusal>>
    where
        A::Command: Clone,
    {
        let stream = StreamId::new(A::CATEGORY, id);
        for _ in 0..ATTEMPTS {
            let loaded = self.load::<A>(id).await?;
            let events = match loaded.state.decide(command.clone()) {
                Ok(events) => events,
                Err(refusal) => {
                    // Perhaps because it was done before.
                    let first = self.first_answer(&stream, &metadata.command_id).await?;
                    return first.ok_or(ExecuteError::Refused(refusal));
                }
            };
            if events.is_empty() {
                if self
                    .settle(&stream, loaded.version, &metadata.command_id)
                    .await?
                {
                    return Ok(Executed {
                        events: Vec::new(),
                        version: loaded.version,
                        position: None,
                        repeated: false,
                    });
                }
            } else {
                // What could not be read again is not written.
                let mut next = loaded.clone();
                for event in &events {
                    next.apply(&stream, event)?;
                }
                let needs = next.state.needs(&events);
                let events = events.into_iter().map(Into::into).collect();
                let appended = self
                    .append(&stream, loaded.version, events, &metadata, needs)
                    .await?;
                if let Appended::Barred(barrier) = appended {
                    let first = self.first_answer(&stream, &metadata.command_id).await?;
                    return first.ok_or(ExecuteError::Barred { stream, barrier });
                }
                if let Appended::Now(events) = appended {
                    self.states.keep(&stream, next);
                    let last = events.last();
                    return Ok(Executed {
                        version: last.map_or(loaded.version, |event| event.version),
                        position: last.map(|event| event.position),
                        events,
                        repeated: false,
                    });
                }
            }
            if let Some(first) = self.first_answer(&stream, &metadata.command_id).await? {
                return Ok(first);
            }
            instruments().conflicts.add(1, &[append::category(&stream)]);
            debug!(version = loaded.version, "others appended first");
        }
        Err(ExecuteError::Conflict {
            stream,
            attempts: ATTEMPTS,
        })
    }
}
