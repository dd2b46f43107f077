//! What can go wrong with read models.

use crate::log::LogError;
use trainmaster_domain::Position;
use trainmaster_projections::{ApplyError, ReadModel};

/// Why a read model is not up to date, or cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    /// The log cannot be read.
    #[error("cannot read the log for read model {read_model}")]
    Log {
        /// Which.
        read_model: ReadModel,
        /// Why.
        #[source]
        source: LogError,
    },
    /// Events cannot become rows.
    #[error("cannot apply {count} event(s) from {first} on to read model {read_model}")]
    Apply {
        /// Which.
        read_model: ReadModel,
        /// The first event of the batch.
        first: Position,
        /// How many events.
        count: usize,
        /// Why.
        #[source]
        source: ApplyError,
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
    /// The tables are of another version.
    #[error(
        "read model {read_model} has been built by another version of trainmaster ({found}; this one makes {own}): run only \
         one version on a database, or restart this one to build it anew"
    )]
    OtherVersion {
        /// Which.
        read_model: ReadModel,
        /// The tables' version.
        found: String,
        /// The program's.
        own: String,
    },
    /// There are no tables.
    #[error("schema {schema} is not there: start the daemon, which builds it")]
    NoSchema {
        /// Its name.
        schema: String,
    },
    /// A schema of that name is somebody else's.
    #[error(
        "there is a schema {schema} that trainmaster has not made: rename it, or give trainmaster a database of its own"
    )]
    ForeignSchema {
        /// Its name.
        schema: String,
    },
    /// It is being built anew already.
    #[error(
        "read model {read_model} is being built anew already: wait until `projections status` says that it is not"
    )]
    Rebuilding {
        /// Which.
        read_model: ReadModel,
    },
    /// It stopped at an event that cannot be applied.
    #[error("read model {read_model} has stopped: {because}")]
    Stopped {
        /// Which.
        read_model: ReadModel,
        /// At what.
        because: String,
    },
    /// It takes longer than the caller waits.
    #[error(
        "read model {read_model} stands at {reached} and has not yet come to {wanted}: see `projections status`"
    )]
    Behind {
        /// Which.
        read_model: ReadModel,
        /// What was waited for.
        wanted: Position,
        /// Where it stands.
        reached: Position,
    },
    /// This projector does not know it.
    #[error("read model {read_model} is not followed here")]
    NotFollowed {
        /// Which.
        read_model: ReadModel,
    },
}

impl ProjectorError {
    pub(super) fn database(attempt: impl Into<String>) -> impl FnOnce(sqlx::Error) -> Self {
        let attempt = attempt.into();
        move |source| Self::Database { attempt, source }
    }

    /// Whether the cause is an event: trying again, or waiting, changes nothing.
    pub(super) fn is_poison(&self) -> bool {
        match self {
            Self::Log { source, .. } => !matches!(source, LogError::Database { .. }),
            Self::Apply { source, .. } => source.database().is_none_or(is_refusal),
            _ => false,
        }
    }

    /// Whether Postgres has no room left.
    pub(super) fn is_disk_full(&self) -> bool {
        let said = match self {
            Self::Database { source, .. } => Some(source),
            Self::Apply { source, .. } => source.database(),
            _ => None,
        };
        // disk_full
        matches!(said, Some(sqlx::Error::Database(error)) if error.code().as_deref() == Some("53100"))
    }

    /// The error with all its causes, in one line.
    pub(super) fn in_full(&self) -> String {
        let mut text = self.to_string();
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

/// Whether Postgres refuses what it was given: a data exception (SQLSTATE class 22) or a violated constraint (23).
fn is_refusal(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("22") || code.starts_with("23")),
        sqlx::Error::Encode(_) | sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } => true,
        _ => false,
    }
}
