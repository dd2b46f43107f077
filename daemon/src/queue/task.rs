//! What travels through the queue.

use apalis::prelude::TaskBuilder;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use trainmaster_domain::{StreamId, Task};

/// A task about a stream, with what links it to the request that caused it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueTask {
    /// The dataset, model or training that it is about.
    pub stream: StreamId,
    /// What to do.
    pub task: Task,
    /// The correlation id of the event that set it in motion.
    #[serde(default)]
    pub correlation_id: String,
    /// The position of that event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// When that event was appended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded_at: Option<DateTime<Utc>>,
    /// The trace context in which that event was appended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
}

/// Puts tasks into the queue, in the caller's transaction. `now` is the database's clock: apalis compares the due time with
/// that clock, in whole seconds, and a client whose own clock is ahead would make every task wait.
///
/// # Errors
/// What the database says.
pub async fn push(
    connection: &mut PgConnection,
    queue: &str,
    tasks: &[QueueTask],
    now: DateTime<Utc>,
) -> Result<(), PushError> {
    let due = u64::try_from(now.timestamp() - 1).unwrap_or_default();
    let tasks = tasks
        .iter()
        .map(|task| {
            Ok(TaskBuilder::new(serde_json::to_vec(task)?)
                .max_attempts(1)
                .run_at_timestamp(due)
                .build())
        })
        .collect::<Result<Vec<_>, serde_json::Error>>()?;
    apalis_postgres::queries::push_tasks(connection, queue, tasks)
        .await
        .map_err(|source| PushError::Queue(Box::new(source)))
}

/// A task cannot be put into the queue.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// It has no JSON.
    #[error("a task cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The database refuses it.
    #[error("tasks cannot be put into the queue")]
    Queue(#[source] Box<apalis_postgres::Error>),
}
