//! The heartbeat: one query an interval that says whether there is anything new, so that a daemon at rest asks nothing else.
//!
//! What this process appends or is asked it knows at once, and what others ask is announced (LISTEN). What others append is not: a NOTIFY
//! in each append would serialise the commits of the database. Nor is what was lost on the way, or what fell due meanwhile. All of
//! that is seen by the heartbeat, which also shows that the database answers.

use crate::telemetry::instruments;
use sqlx::{FromRow, postgres::PgListener};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A database that takes longer than this to answer is not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the heart beats, and what it asks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatOptions {
    /// While something goes on.
    pub busy: Duration,
    /// While nothing does.
    pub quiet: Duration,
    /// The queue (apalis' job type).
    pub queue: String,
    /// A task of the queue that was taken so long ago, and is not done, was taken by a process that is gone.
    pub abandoned_after: Duration,
}

/// What a beat found.
#[derive(Clone, Debug, Default, PartialEq, Eq, FromRow)]
pub struct Beat {
    head_transaction: i64,
    head_sequence: i64,
    behind: bool,
    outbox_waiting: i64,
    outbox_due: i64,
    queue_waiting: i64,
    queue_ready: i64,
    queue_abandoned: i64,
    runs: i64,
}

impl Beat {
    /// Asks, on the connection that listens: so that is known to live as well.
    ///
    /// # Errors
    /// What the database says; [`sqlx::Error::PoolTimedOut`] when it does not answer.
    pub async fn take(
        listener: &mut PgListener,
        options: &HeartbeatOptions,
    ) -> Result<Self, sqlx::Error> {
        let began = Instant::now();
        let asked = sqlx::query_as(include_str!("heartbeat/look.sql"))
            .bind(&options.queue)
            .bind(options.abandoned_after.as_secs_f64())
            .fetch_one(listener);
        let instruments = instruments();
        let beat: Self = tokio::time::timeout(PATIENCE, asked)
            .await
            .unwrap_or(Err(sqlx::Error::PoolTimedOut))
            .inspect_err(|_| instruments.heartbeat_failures.add(1, &[]))?;
        instruments
            .heartbeat_duration
            .record(began.elapsed().as_secs_f64(), &[]);
        let count = |number: i64| u64::try_from(number).unwrap_or(0);
        instruments
            .outbox_depth
            .record(count(beat.outbox_waiting), &[]);
        instruments
            .queue_depth
            .record(count(beat.queue_waiting), &[]);
        Ok(beat)
    }

    /// Whether the log has grown since `earlier`, or a read model has not seen all of it.
    #[must_use]
    pub fn has_news(&self, earlier: &Self) -> bool {
        self.behind || self.has_grown(earlier)
    }

    /// Whether the log has grown since `earlier`.
    #[must_use]
    pub const fn has_grown(&self, earlier: &Self) -> bool {
        self.head_transaction != earlier.head_transaction
            || self.head_sequence != earlier.head_sequence
    }

    /// Whether a row of the outbox is due.
    #[must_use]
    pub const fn has_due(&self) -> bool {
        self.outbox_due > 0
    }

    /// Whether a task can be fetched from the queue.
    #[must_use]
    pub const fn has_tasks(&self) -> bool {
        self.queue_ready > 0
    }

    /// Whether anything runs, waits for its turn or was left lying, so that it is to be compared with what is really there.
    #[must_use]
    pub const fn has_work(&self) -> bool {
        self.runs > 0 || self.outbox_due > 0 || self.queue_ready > 0 || self.queue_abandoned > 0
    }
}

/// When the heart last beat. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Pulse(Arc<Mutex<Option<Instant>>>);

impl Pulse {
    /// It beat just now.
    pub(crate) fn felt(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether it beat within `time`.
    #[must_use]
    pub fn is_felt_within(&self, time: Duration) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some_and(|at| at.elapsed() < time)
    }
}
