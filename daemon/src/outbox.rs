//! The relay: moves tasks from the outbox, where the transaction of their event put them, into the queue.
//!
//! Deleting from the outbox and pushing into the queue is one transaction, so a task exists exactly once. Rows that another
//! daemon is moving are skipped. A row that is not due stays; the relay sleeps until the first is.

mod listener;

pub use listener::{Listener, OUTBOX_CHANNEL, QUEUE_CHANNEL, Woken};

use crate::queue::{self, PushError, QueueTask};
use chrono::{DateTime, Utc};
use sqlx::{PgPool, Row};
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use trainmaster_domain::{Category, StreamId, Task};

/// How many rows one transaction moves at most.
const BATCH: i64 = 100;

/// Options of the relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayOptions {
    /// The queue into which tasks go. Default `trainmaster`.
    pub queue: String,
    /// How often the outbox is looked at when nobody says so. Default 5 s. None: somebody does whenever there is something.
    pub poll_interval: Option<Duration>,
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            queue: "trainmaster".to_owned(),
            poll_interval: Some(Duration::from_secs(5)),
        }
    }
}

/// Why rows could not be moved.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The database.
    #[error("the outbox cannot be read")]
    Database(#[from] sqlx::Error),
    /// The queue.
    #[error("the outbox cannot be moved into the queue")]
    Push(#[from] PushError),
}

/// What one pass did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Rows that were moved.
    pub tasks: usize,
    /// How long until the next row is due; none when no row waits.
    pub next_due: Option<Duration>,
}

/// Moves tasks from the outbox into the queue.
pub struct Relay {
    pool: PgPool,
    options: RelayOptions,
    outbox: Arc<Notify>,
    queue: Arc<Notify>,
}

impl Relay {
    /// A relay that looks whenever `outbox` says so, and tells `queue` when it has moved something.
    #[must_use]
    pub fn new(
        pool: PgPool,
        options: RelayOptions,
        outbox: Arc<Notify>,
        queue: Arc<Notify>,
    ) -> Self {
        Self {
            pool,
            options,
            outbox,
            queue,
        }
    }

    /// Relays until `shutdown`. What this process has asked for (`asked`, see [`crate::log::Log::asked`]) is moved at once; otherwise it
    /// looks first, which costs next to nothing. A database that is gone is waited for, with a back-off of 1 to 60 s.
    pub async fn run(self, mut asked: watch::Receiver<u64>, shutdown: CancellationToken) {
        let mut backoff = Duration::from_secs(1);
        let mut certain = true;
        loop {
            let passed = if certain {
                self.pass().await
            } else {
                self.look_and_pass().await
            };
            let wait = match passed {
                Ok(moved) => {
                    backoff = Duration::from_secs(1);
                    if moved.tasks >= BATCH as usize {
                        continue;
                    }
                    [moved.next_due, self.options.poll_interval]
                        .into_iter()
                        .flatten()
                        .min()
                }
                Err(error) => {
                    warn!(
                        error = &error as &dyn std::error::Error,
                        seconds = backoff.as_secs(),
                        "the relay waits"
                    );
                    let wait = backoff;
                    backoff = (backoff * 2).min(Duration::from_secs(60));
                    Some(wait)
                }
            };
            certain = tokio::select! {
                () = shutdown.cancelled() => return,
                Ok(()) = asked.changed() => true,
                () = self.outbox.notified() => false,
                () = pause(wait) => false,
            };
        }
    }

    async fn look_and_pass(&self) -> Result<Moved, RelayError> {
        let (is_due, next_due) = self.look().await?;
        if is_due {
            self.pass().await
        } else {
            Ok(Moved { tasks: 0, next_due })
        }
    }

    /// Whether anything is due, and how long until the next row is.
    async fn look(&self) -> Result<(bool, Option<Duration>), RelayError> {
        let (is_due, seconds): (bool, Option<f64>) = sqlx::query_as(
            "SELECT coalesce(bool_or(not_before IS NULL OR not_before <= now() OR not_before > now() + interval '1 day'), false),
                    extract(epoch FROM min(not_before) FILTER (WHERE not_before > now()) - now())::float8
               FROM log.outbox",
        )
        .fetch_one(&self.pool)
        .await?;
        Ok((
            is_due,
            seconds.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.001, 3600.0))),
        ))
    }

    /// Moves what is due, up to a batch.
    ///
    /// # Errors
    /// [`RelayError`]; then nothing has been moved.
    pub async fn pass(&self) -> Result<Moved, RelayError> {
        let mut transaction = self.pool.begin().await?;
        // The transaction may be lost in a crash of Postgres: then the rows are still in the outbox. So its commit need not
        // wait for the disk, and whatever comes of the task waits for the disk itself, this included.
        let rows = sqlx::query(include_str!("outbox/take.sql"))
            .bind(BATCH)
            .fetch_all(&mut *transaction)
            .await?;
        let mut now: Option<DateTime<Utc>> = None;
        let mut tasks = Vec::with_capacity(rows.len());
        for row in &rows {
            now = Some(row.try_get("now")?);
            match read(row) {
                Ok(task) => tasks.push(task),
                // Whoever wrote it is newer; reconciliation looks after the stream.
                Err(error) => warn!(%error, "a row of the outbox cannot be read and is dropped"),
            }
        }
        if let Some(now) = now.filter(|_| !tasks.is_empty()) {
            queue::push(&mut transaction, &self.options.queue, &tasks, now).await?;
        }
        transaction.commit().await?;
        if !tasks.is_empty() {
            debug!(tasks = tasks.len(), "moved from the outbox into the queue");
            self.queue.notify_one();
        }
        let (_, next_due) = self.look().await?;
        Ok(Moved {
            tasks: rows.len(),
            next_due,
        })
    }
}

/// For ever, where there is no time.
async fn pause(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

fn read(row: &sqlx::postgres::PgRow) -> Result<QueueTask, Box<dyn std::error::Error>> {
    let category: Category = row.try_get::<&str, _>("category")?.parse()?;
    let task: Task = serde_json::from_value(row.try_get("task")?)?;
    Ok(QueueTask {
        stream: StreamId::new(category, row.try_get::<String, _>("stream_id")?),
        task,
        correlation_id: row.try_get("correlation_id")?,
        causation_id: row.try_get("causation_id")?,
        recorded_at: row.try_get("created_at")?,
        traceparent: row.try_get("traceparent")?,
    })
}
