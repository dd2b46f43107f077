//! Why the embedded Postgres cannot be used, and what to do.

use std::{io, path::PathBuf, time::Duration};

/// Why the embedded Postgres cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// There are no server binaries.
    #[error(
        "no PostgreSQL server was found ({searched}): install one (apt install postgresql, or just its programs: \
         postgresql-<version>), set postgres.binaries to its bin directory, or set database.url to a server of your own"
    )]
    NoBinaries {
        /// Where was looked.
        searched: String,
    },
    /// The binaries cannot be run.
    #[error(
        "{program} cannot be run: {reason}; set postgres.binaries to the bin directory of a PostgreSQL server"
    )]
    Program {
        /// Which.
        program: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The binaries are too old.
    #[error("{program} is PostgreSQL {version}; 14 or newer is needed")]
    TooOld {
        /// Which.
        program: PathBuf,
        /// Its major version.
        version: u32,
    },
    /// The cluster is of a version that no binaries are there for.
    #[error(
        "the cluster {cluster} was made by PostgreSQL {version}, and only {found} is here: install postgresql-{version} beside it, or move the \
         data over with pg_upgrade or pg_dump and pg_restore"
    )]
    OtherVersion {
        /// The cluster.
        cluster: PathBuf,
        /// Its major version.
        version: u32,
        /// The versions that are installed.
        found: String,
    },
    /// Something that is no cluster is where the cluster belongs.
    #[error(
        "{path} is neither empty nor a PostgreSQL cluster: move it away, or choose another state.directory"
    )]
    NotACluster {
        /// The cluster's place.
        path: PathBuf,
    },
    /// The daemon is root and there is nobody else to run the server as.
    #[error(
        "PostgreSQL refuses to run as root, and {tried}: create a user (useradd --system trainmaster), set postgres.user, or \
         run the daemon as another user"
    )]
    NoAccount {
        /// What was tried.
        tried: String,
    },
    /// The server's user cannot reach the cluster.
    #[error(
        "user {user}, who runs PostgreSQL, may not pass through {directory}: chmod o+x it, or choose a state.directory elsewhere"
    )]
    ClosedDirectory {
        /// The server's user.
        user: String,
        /// Which directory on the way is closed.
        directory: PathBuf,
    },
    /// The directory of the socket is somebody else's.
    #[error(
        "{path}, where the socket belongs, is not a directory of this user alone: remove it, or choose a shorter state.directory"
    )]
    ForeignSocketDirectory {
        /// Which.
        path: PathBuf,
    },
    /// The archive of the write-ahead log is somebody else's.
    #[error(
        "postgres.wal_archive: {path} is not a directory of user {user}, who runs PostgreSQL: chown it, or choose another"
    )]
    ForeignArchive {
        /// Which.
        path: PathBuf,
        /// The server's user.
        user: String,
    },
    /// `initdb` failed.
    #[error("initdb could not make the cluster {cluster}: {output}")]
    Initdb {
        /// The cluster.
        cluster: PathBuf,
        /// What it said.
        output: String,
    },
    /// A file or directory cannot be used.
    #[error("cannot {action} {path}: {error}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The server ended while it was starting.
    #[error("the embedded Postgres does not start: {log}; more is in {directory}")]
    NotStarted {
        /// The last of what it said.
        log: String,
        /// Where its logs are.
        directory: PathBuf,
    },
    /// The server takes too long to start.
    #[error(
        "the embedded Postgres was not ready within {within:?} ({state}): recovery after a crash may take longer on a slow disk, then \
         raise postgres.start_timeout_seconds; its logs are in {directory}"
    )]
    NotReady {
        /// How long it had.
        within: Duration,
        /// What it says it is doing.
        state: String,
        /// Where its logs are.
        directory: PathBuf,
    },
    /// The database in it cannot be made.
    #[error("cannot make the database of the embedded Postgres: {0}")]
    Database(sqlx::Error),
    /// It does not stop.
    #[error("the embedded Postgres (process {pid}) does not stop: end it with kill -QUIT {pid}")]
    StillRunning {
        /// The postmaster.
        pid: u32,
    },
}

impl PostgresError {
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |error| Self::Io {
            action,
            path,
            error,
        }
    }
}
