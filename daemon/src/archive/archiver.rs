//! Closing segments and taking the old ones out of the database.

mod export;

use super::{
    ArchiveError, Segment,
    segments::{SegmentState, segments},
};
use crate::{log::Log, telemetry::instruments};
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use std::{path::PathBuf, time::Duration};
use tokio_util::sync::CancellationToken;
use tracing::{info, instrument, warn};

/// So many events are looked at in one transaction before a segment is closed.
const PAGE: i64 = 10_000;
/// How often it is tried to get ahead of those who read and append.
const ATTEMPTS: u32 = 8;
/// Between two attempts, each of which holds others up for half a second at most.
const PAUSE: Duration = Duration::from_secs(1);
/// While events are appended, it is looked so often whether a segment is full.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);
/// While none are, whether one has grown old.
const QUIET_INTERVAL: Duration = Duration::from_secs(3600);

/// When segments are closed, and when they leave the database.
#[derive(Clone, Debug)]
pub struct ArchiverOptions {
    /// Where the files go.
    pub directory: PathBuf,
    /// A segment leaves when its last event is older than this; none: only when it is asked for.
    pub after: Option<Duration>,
    /// A segment is closed when it has so many events.
    pub segment_events: i64,
    /// Or when it was opened so long ago.
    pub segment_age: Duration,
}

/// Closes segments and archives them. Works as the owner of the log.
#[derive(Clone, Debug)]
pub struct Archiver {
    log: Log,
    owner: PgPool,
    options: ArchiverOptions,
}

/// A segment that would leave.
pub type Due = Segment;

/// A segment that has left the database.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Archived {
    /// The segment.
    pub segment: i32,
    /// Its events.
    pub events: i64,
    /// Its file.
    pub file: String,
    /// The file's size.
    pub bytes: i64,
    /// The file's SHA-256, hexadecimal.
    pub sha256: String,
}

impl Archiver {
    /// Of the log in the database of `owner`, which is a pool of its owner.
    #[must_use]
    pub const fn new(log: Log, owner: PgPool, options: ArchiverOptions) -> Self {
        Self {
            log,
            owner,
            options,
        }
    }

    /// Closes and archives what the policy says, until `shutdown`. A failure is logged, and tried again.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut appended = self.log.appended();
        loop {
            appended.mark_unchanged();
            if let Err(error) = self.tend().await {
                let error: &dyn std::error::Error = &error;
                warn!(error, "old events stay in the database for now");
            }
            let news = async {
                tokio::time::sleep(LOOK_INTERVAL).await;
                // The sender lives as long as the log.
                let _ = appended.changed().await;
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = news => {}
                () = tokio::time::sleep(QUIET_INTERVAL) => {}
            }
        }
    }

    /// Does what the policy says, once.
    ///
    /// # Errors
    /// [`ArchiveError`]. What was done before stays done.
    pub async fn tend(&self) -> Result<Vec<Archived>, ArchiveError> {
        let Some(before) = self.before() else {
            return Ok(Vec::new());
        };
        self.prepare().await?;
        let all = self.segments().await?;
        if let Some(open) = all.last() {
            let age = chrono::Duration::from_std(self.options.segment_age)
                .unwrap_or(chrono::Duration::MAX);
            let is_old = Utc::now().signed_duration_since(open.opened_at) > age;
            if open.events >= self.options.segment_events || open.events > 0 && is_old {
                self.close().await?;
            }
        }
        self.archive_closed(before).await
    }

    /// From before which time events are old now; none when they never are by themselves.
    #[must_use]
    pub fn before(&self) -> Option<DateTime<Utc>> {
        let after = chrono::Duration::from_std(self.options.after?).ok()?;
        Utc::now().checked_sub_signed(after)
    }

    /// The segments that [`Self::archive`] would take out, the open one included when it would be closed.
    ///
    /// # Errors
    /// [`ArchiveError::Database`].
    pub async fn due(&self, before: DateTime<Utc>) -> Result<Vec<Due>, ArchiveError> {
        self.prepare().await?;
        Ok(self
            .segments()
            .await?
            .into_iter()
            .filter(|segment| segment.state != SegmentState::Archived)
            .take_while(|segment| segment.last_recorded_at.is_some_and(|last| last < before))
            .collect())
    }

    /// Takes out every segment whose events are all from before a time. The open one is closed if that is true of it.
    ///
    /// # Errors
    /// [`ArchiveError`]. What was done before stays done.
    #[instrument(skip(self), err(level = "debug"))]
    pub async fn archive(&self, before: DateTime<Utc>) -> Result<Vec<Archived>, ArchiveError> {
        let due = self.due(before).await?;
        if due
            .last()
            .is_some_and(|last| last.state == SegmentState::Open)
        {
            self.close().await?;
        }
        self.archive_closed(before).await
    }

    /// Closes the open segment and says its number; none when it is empty.
    ///
    /// # Errors
    /// [`ArchiveError::Database`]; also when others read or append all the time.
    pub async fn close(&self) -> Result<Option<i32>, ArchiveError> {
        self.prepare().await?;
        let closed: Option<i32> = self
            .patiently("close a segment of the log", || {
                sqlx::query_scalar("SELECT log.close_segment()").fetch_one(&self.owner)
            })
            .await?;
        if let Some(segment) = closed {
            info!(segment, "a segment of the log is closed");
        }
        Ok(closed)
    }

    /// Writes down beforehand what closing needs.
    async fn prepare(&self) -> Result<(), ArchiveError> {
        loop {
            let page: i64 = sqlx::query_scalar("SELECT log.prepare_closing($1)")
                .bind(PAGE)
                .fetch_one(&self.owner)
                .await
                .map_err(ArchiveError::database(
                    "look at the open segment of the log",
                ))?;
            if page < PAGE {
                return Ok(());
            }
        }
    }

    async fn segments(&self) -> Result<Vec<Segment>, ArchiveError> {
        segments(&self.owner)
            .await
            .map_err(ArchiveError::database("list the segments of the log"))
    }

    async fn archive_closed(&self, before: DateTime<Utc>) -> Result<Vec<Archived>, ArchiveError> {
        let mut archived = Vec::new();
        for segment in self.segments().await? {
            match segment.state {
                SegmentState::Archived => {}
                SegmentState::Closed if segment.last_recorded_at.is_some_and(|at| at < before) => {
                    let file = self.write(&segment).await?;
                    self.take_out(&file).await?;
                    info!(
                        segment = file.segment,
                        events = file.events,
                        file = file.file,
                        bytes = file.bytes,
                        "a segment of the log is archived"
                    );
                    instruments()
                        .archived_events
                        .add(file.events.unsigned_abs(), &[]);
                    archived.push(file);
                }
                SegmentState::Closed | SegmentState::Open => break,
            }
        }
        Ok(archived)
    }

    /// Takes a segment out of the database that is in this file.
    ///
    /// # Errors
    /// [`ArchiveError::Database`]; also when others read all the time.
    pub async fn take_out(&self, file: &Archived) -> Result<(), ArchiveError> {
        self.patiently("take a segment out of the database", || {
            sqlx::query_scalar(
                "SELECT true FROM log.archive_segment($1, $2, $3, decode($4, 'hex'))",
            )
            .bind(file.segment)
            .bind(&file.file)
            .bind(file.bytes)
            .bind(&file.sha256)
            .fetch_one(&self.owner)
        })
        .await
        .map(|_: bool| ())
    }

    /// Tries again while others are in the way.
    async fn patiently<T, F>(
        &self,
        attempt: &str,
        mut statement: impl FnMut() -> F,
    ) -> Result<T, ArchiveError>
    where
        F: Future<Output = Result<T, sqlx::Error>>,
    {
        let mut tries = 1;
        loop {
            match statement().await {
                // lock_not_available, deadlock_detected
                Err(sqlx::Error::Database(error))
                    if tries < ATTEMPTS
                        && matches!(error.code().as_deref(), Some("55P03" | "40P01")) =>
                {
                    tries += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                result => return result.map_err(ArchiveError::database(attempt)),
            }
        }
    }
}
