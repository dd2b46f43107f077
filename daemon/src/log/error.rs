//! What can go wrong with the log.

use super::Barrier;
use crate::archive::ArchiveError;
use trainmaster_domain::{StreamId, envelope::DecodeError, envelope::IllegalTransition};

/// Why the log cannot be read or appended to.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Postgres refuses or is away.
    #[error("cannot {attempt}")]
    Database {
        /// What was attempted.
        attempt: String,
        /// What Postgres says.
        #[source]
        source: sqlx::Error,
    },
    /// An event cannot be read by this program.
    #[error("version {version} of {stream} cannot be read")]
    Decode {
        /// The event's stream.
        stream: String,
        /// Its version.
        version: i64,
        /// Why.
        #[source]
        source: Box<DecodeError>,
    },
    /// A row of the log has a value that no program of this kind wrote.
    #[error("version {version} of {stream} has an impossible {column}")]
    Impossible {
        /// The event's stream.
        stream: String,
        /// Its version.
        version: i64,
        /// Where.
        column: &'static str,
    },
    /// An event cannot follow those before it.
    #[error(
        "the history of {stream} is not possible at version {version}: run `trainmaster log verify`"
    )]
    Illegal {
        /// The stream.
        stream: StreamId,
        /// The event's version.
        version: u64,
        /// Why.
        #[source]
        source: IllegalTransition,
    },
    /// An event is missing.
    #[error(
        "version {version} of {stream} does not follow the one before it: run `trainmaster log verify`"
    )]
    Gap {
        /// The stream.
        stream: StreamId,
        /// The version that was found.
        version: u64,
    },
    /// An event of another category stands in the stream.
    #[error(
        "version {version} of {stream} is an event of something else: run `trainmaster log verify`"
    )]
    Foreign {
        /// The stream.
        stream: StreamId,
        /// The event's version.
        version: u64,
    },
    /// An event cannot be written as JSON.
    #[error("cannot write an event of {stream} as JSON")]
    Encode {
        /// The stream.
        stream: StreamId,
        /// What serde says.
        #[source]
        source: serde_json::Error,
    },
    /// Events of the archive cannot be read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The command id was used for something else.
    #[error(
        "command {command_id:?} was sent to {first} before and cannot be sent to {now}: give each command an id of its own"
    )]
    CommandReused {
        /// The command's id.
        command_id: String,
        /// The stream that accepted it.
        first: String,
        /// The stream that was to accept it again.
        now: StreamId,
    },
}

impl LogError {
    /// Wraps what Postgres says about `attempt`.
    pub(crate) fn database(attempt: impl Into<String>) -> impl FnOnce(sqlx::Error) -> Self {
        let attempt = attempt.into();
        move |source| Self::Database { attempt, source }
    }
}

/// Why a command was not executed. Nothing was appended.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError<R: std::error::Error> {
    /// The aggregate refuses it.
    #[error(transparent)]
    Refused(R),
    /// Something else stands in the way.
    #[error("{stream}: {barrier}")]
    Barred {
        /// The stream.
        stream: StreamId,
        /// What.
        barrier: Barrier,
    },
    /// Others appended to the stream again and again.
    #[error("{stream} was changed by others {attempts} times in a row: try again")]
    Conflict {
        /// The stream.
        stream: StreamId,
        /// How often it was tried.
        attempts: u32,
    },
    /// The log does not work.
    #[error(transparent)]
    Log(#[from] LogError),
}
