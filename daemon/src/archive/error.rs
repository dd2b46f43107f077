//! What can go wrong with the archive.

use std::{io, path::PathBuf};

/// Why events of the archive cannot be read or written. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// This process was not told where the archive is.
    #[error(
        "segment {segment} of the log is in the archive, whose directory is not known here: set archive.directory"
    )]
    NoDirectory {
        /// The segment that is wanted.
        segment: i32,
    },
    /// The file is gone.
    #[error(
        "{path}, which holds segment {segment} of the log, is missing: bring it back from a backup, or set archive.directory to where it is"
    )]
    Missing {
        /// The segment.
        segment: i32,
        /// The file.
        path: PathBuf,
    },
    /// The file is not what was written.
    #[error(
        "{path}, which holds segment {segment} of the log, is damaged ({what}): bring it back from a backup"
    )]
    Damaged {
        /// The segment.
        segment: i32,
        /// The file.
        path: PathBuf,
        /// How that shows.
        what: String,
    },
    /// The disk refuses.
    #[error("cannot {attempt} {path}")]
    Disk {
        /// What was attempted.
        attempt: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The database's rows are not what was appended.
    #[error(
        "version {version} of {stream} does not give its hash, so its segment is not archived: run `trainmaster log verify`"
    )]
    Altered {
        /// The event's stream.
        stream: String,
        /// Its version.
        version: i64,
    },
    /// The database's rows are not all there, or not in their order.
    #[error("segment {segment} of the log is not archived: {what}")]
    Refused {
        /// The segment.
        segment: i32,
        /// What is wrong.
        what: String,
    },
    /// Postgres refuses or is away.
    #[error("cannot {attempt}")]
    Database {
        /// What was attempted.
        attempt: String,
        /// What Postgres says.
        #[source]
        source: sqlx::Error,
    },
    /// The thread that worked on it panicked.
    #[error("cannot {attempt}: the thread that did it panicked")]
    Panicked {
        /// What was attempted.
        attempt: &'static str,
    },
}

impl ArchiveError {
    /// Wraps what the disk says about `attempt` on `path`.
    pub(super) fn disk(
        attempt: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Disk {
            attempt,
            path,
            source,
        }
    }

    /// Wraps what Postgres says about `attempt`.
    pub(crate) fn database(attempt: impl Into<String>) -> impl FnOnce(sqlx::Error) -> Self {
        let attempt = attempt.into();
        move |source| Self::Database { attempt, source }
    }
}
