//! Why a backup cannot be made, checked or restored, and what to do.

use crate::{
    database::{DatabaseError, OpenError},
    log::VerifyError,
    migrate::MigrateError,
    postgres::PostgresError,
    state_directory::StateDirectoryError,
};
use std::{io, path::PathBuf};

/// Why a backup cannot be made, checked or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file or directory cannot be used.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The disk is full.
    #[error(
        "the disk with {path} is full{detail}: make room, or set backup.directory to a larger disk; nothing is left of this attempt"
    )]
    DiskFull {
        /// What was to be written.
        path: PathBuf,
        /// How much is lacking, where that is known.
        detail: String,
    },
    /// Another process makes or prunes backups.
    #[error("another process makes or prunes backups in {path}: let it finish")]
    Busy {
        /// The backups' directory.
        path: PathBuf,
    },
    /// There is no such backup.
    #[error("there is no {wanted} in {directory}; `trainmaster backup list` shows what is there")]
    NotFound {
        /// What was asked for.
        wanted: String,
        /// Where.
        directory: PathBuf,
    },
    /// A backup is not as it was made.
    #[error(
        "backup {id} is damaged: {what}; restore another (`trainmaster backup verify --all` says which are whole)"
    )]
    Damaged {
        /// Which.
        id: String,
        /// In what way.
        what: String,
    },
    /// The write-ahead log does not lead where it should.
    #[error("the write-ahead log does not lead there: {what}")]
    Wal {
        /// What is lacking, and what can be done.
        what: String,
    },
    /// A program of PostgreSQL is missing.
    #[error(
        "{program} of PostgreSQL {major} is needed and {found}: apt install postgresql-client-{major}, or set postgres.binaries"
    )]
    NoProgram {
        /// Its name.
        program: &'static str,
        /// The server's major version.
        major: u32,
        /// What is there instead.
        found: String,
    },
    /// A program of PostgreSQL failed.
    #[error("{program} failed: {said}")]
    Program {
        /// Its name.
        program: &'static str,
        /// The last of what it said.
        said: String,
    },
    /// It cannot be done like this.
    #[error("{0}")]
    Refused(String),
    /// What was restored is not what was backed up.
    #[error("what was restored is not what was backed up: {0}; the live state is untouched")]
    Unproved(String),
    /// The restored log is not as it was written.
    #[error("the restored log cannot be verified, and the live state is untouched")]
    Unverified(#[source] VerifyError),
    /// The database refuses.
    #[error("cannot {action}")]
    Database {
        /// What was attempted.
        action: &'static str,
        /// Why not.
        #[source]
        source: sqlx::Error,
    },
    /// The database cannot be reached.
    #[error(transparent)]
    Connect(#[from] DatabaseError),
    /// The database of the settings cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The embedded Postgres.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The migrations.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// The state directory.
    #[error(transparent)]
    State(#[from] StateDirectoryError),
}

impl BackupError {
    /// A stable name.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::DiskFull { .. } => "disk_full",
            Self::Busy { .. } => "backup_busy",
            Self::NotFound { .. } => "backup_not_found",
            Self::Damaged { .. } => "backup_damaged",
            Self::Wal { .. } => "wal_missing",
            Self::NoProgram { .. } => "program_missing",
            Self::Program { .. } => "program_failed",
            Self::Refused(_) => "backup_refused",
            Self::Unproved(_) | Self::Unverified(_) => "restore_unproved",
            Self::State(StateDirectoryError::Locked { .. }) => "daemon_running",
            Self::Connect(_)
            | Self::Open(_)
            | Self::Postgres(_)
            | Self::Database { .. }
            | Self::Migrate(_) => "database",
            Self::Io { .. } | Self::State(_) => "backup_io",
        }
    }

    /// For `map_err` at a file.
    pub(super) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| {
            if source.kind() == io::ErrorKind::StorageFull {
                return Self::DiskFull {
                    path,
                    detail: String::new(),
                };
            }
            Self::Io {
                action,
                path,
                source,
            }
        }
    }

    pub(super) fn database(action: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Database { action, source }
    }

    pub(super) fn damaged(id: &str, what: impl Into<String>) -> Self {
        Self::Damaged {
            id: id.to_owned(),
            what: what.into(),
        }
    }
}
