//! The log: what happened, in Postgres, append-only.
//!
//! The order of the log is (transaction id, sequence). A sequence number alone is drawn before its transaction commits, so a
//! reader that follows it can pass an event that becomes visible later. A reader of this log takes only events of transactions
//! below `log.horizon()`, the oldest transaction that was still open when it looked: below it, nothing can appear any
//! more. So unrelated writers need no common lock, and a reader never skips. The price: a transaction that writes, anywhere in the
//! cluster, holds readers back until it ends; so keep transactions short.
//!
//! The log is a row of segments (`log.segments`), of which the last one grows. The oldest may have left the table for files
//! ([`crate::archive`]); who reads here does not notice.
//!
//! Only plain reads and `log.append` are used here; what the database guarantees by itself is in `migrations/log/`.

mod append;
mod archived;
mod error;
mod execute;
mod guard;
mod head;
mod heads;
mod read;
mod row;
mod snapshot;
mod states;
mod verify;

pub use error::{ExecuteError, LogError};
pub use execute::Executed;
pub use guard::Barrier;
pub use head::{ExportError, Head, HeadExport, HeadKey, HeadKeyError, InvalidHead};
pub use read::Loaded;
pub use verify::{
    ArtifactFault, Artifacts, Fault, Finding, HeadFault, Verified, VerifyError, VerifyOptions,
};

use crate::archive::Archive;
use chrono::{DateTime, Utc};
use sqlx::PgPool;
use std::{path::PathBuf, sync::Arc};
use tokio::sync::watch;

/// The log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    pool: PgPool,
    archive: Archive,
    appended: Arc<watch::Sender<u64>>,
    states: Arc<states::States>,
    asked: Arc<watch::Sender<u64>>,
    left: Arc<watch::Sender<u64>>,
    doubted: Arc<watch::Sender<u64>>,
    verifying: Arc<tokio::sync::Mutex<()>>,
    uses_snapshots: bool,
}

impl Log {
    /// The log in the database of `pool`, which migrations have prepared.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self {
            pool,
            archive: Archive::default(),
            appended: Arc::new(watch::Sender::new(0)),
            states: Arc::default(),
            asked: Arc::new(watch::Sender::new(0)),
            left: Arc::new(watch::Sender::new(0)),
            doubted: Arc::new(watch::Sender::new(0)),
            verifying: Arc::default(),
            uses_snapshots: true,
        }
    }

    /// The same log, whose archived segments are in this directory.
    #[must_use]
    pub fn archived_in(mut self, directory: PathBuf) -> Self {
        self.archive = Archive::new(directory);
        self
    }

    /// Its pool.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Changes after each append through this value or its clones, several appends at once perhaps counting as one change. The
    /// number itself means nothing. Appends of other processes show here when the daemon's heartbeat has seen them.
    #[must_use]
    pub fn appended(&self) -> watch::Receiver<u64> {
        self.appended.subscribe()
    }

    /// As [`Self::appended`], for appends that put a task into the outbox: it spares the relay of this process the way through
    /// Postgres' notification.
    #[must_use]
    pub fn asked(&self) -> watch::Receiver<u64> {
        self.asked.subscribe()
    }

    /// As [`Self::appended`], for appends after which files are of no use any more.
    #[must_use]
    pub fn left(&self) -> watch::Receiver<u64> {
        self.left.subscribe()
    }

    /// Changes when the database was out of reach: a server that crashed may have lost rows that need not have reached the disk, an
    /// offset of a read model among them.
    #[must_use]
    pub fn doubted(&self) -> watch::Receiver<u64> {
        self.doubted.subscribe()
    }

    /// Others have appended, or somebody has not seen all of the log: whoever follows it looks.
    pub(crate) fn look(&self) {
        self.appended
            .send_modify(|number| *number = number.wrapping_add(1));
    }

    /// The database was out of reach.
    pub(crate) fn doubt(&self) {
        self.doubted
            .send_modify(|number| *number = number.wrapping_add(1));
        self.look();
    }

    /// The time by the database's clock.
    ///
    /// # Errors
    /// [`LogError::Database`].
    pub async fn now(&self) -> Result<DateTime<Utc>, LogError> {
        sqlx::query_scalar("SELECT clock_timestamp()")
            .fetch_one(&self.pool)
            .await
            .map_err(LogError::database("ask for the time"))
    }
}
