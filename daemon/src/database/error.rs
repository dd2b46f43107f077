//! Why the database cannot be used, and what to do.

use super::options::described;
use sqlx::postgres::PgConnectOptions;
use std::time::Duration;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// There is no URL to connect to.
    #[error(
        "database.url is not set; set it, or run `trainmaster serve`, which brings a Postgres of its own"
    )]
    NoUrl,
    /// The URL is not one.
    #[error("database.url cannot be used: {reason}; expected postgres://user@host:5432/database")]
    Url {
        /// What is wrong with it.
        reason: String,
    },
    /// The server cannot be reached or refuses.
    #[error("cannot connect to the database {server}: {error}; {advice}")]
    Connect {
        /// `user@host:port/database`.
        server: String,
        /// What happened.
        error: sqlx::Error,
        /// What to do next.
        advice: &'static str,
    },
    /// The server does not answer in time.
    #[error(
        "the database {server} did not answer within {within:?}; see whether it is overloaded or stopped"
    )]
    NoAnswer {
        /// `user@host:port/database`.
        server: String,
        /// How long it had.
        within: Duration,
    },
}

impl DatabaseError {
    pub(super) fn connect(options: &PgConnectOptions, error: sqlx::Error) -> Self {
        let code = error
            .as_database_error()
            .and_then(|error| error.code())
            .unwrap_or_default()
            .into_owned();
        let advice = match (code.as_str(), &error) {
            ("28P01" | "28000", _) => {
                "check the user, the password (database.password, TRAINMASTER_DATABASE__PASSWORD, ~/.pgpass) and pg_hba.conf"
            }
            ("3D000", _) => "create the database: createdb <name>",
            ("53300", _) => {
                "the server has no connection left: raise its max_connections or lower database.max_connections"
            }
            ("57P03", _) => "the server is starting or recovering: wait",
            (_, sqlx::Error::Tls(_)) => "check database.sslmode and database.sslrootcert",
            (_, sqlx::Error::Io(_)) => {
                "see whether the server runs and whether database.url names its host and port"
            }
            (_, sqlx::Error::PoolTimedOut) => {
                "see whether the server runs, and whether something holds all connections"
            }
            _ => "`trainmaster doctor` looks further",
        };
        Self::Connect {
            server: described(options),
            error,
            advice,
        }
    }

    /// Whether waiting may mend it: nobody listens yet, the server is starting, stopping or has no connection left.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::NoAnswer { .. } => true,
            Self::Connect {
                error: sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut,
                ..
            } => true,
            Self::Connect {
                error: sqlx::Error::Database(error),
                ..
            } => {
                matches!(
                    error.code().as_deref(),
                    Some("57P01" | "57P02" | "57P03" | "53300")
                )
            }
            _ => false,
        }
    }
}
