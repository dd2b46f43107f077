//! Why the database cannot be used, and what to do.

use super::options::described;
use sqlx::postgres::PgConnectOptions;
use std::{path::PathBuf, time::Duration};

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// There is no URL to connect to.
    #[error(
        "database.url is not set; set it, or run `trainmaster serve`, which brings a Postgres of its own"
    )]
    NoUrl,
    /// The URL is not one.
    #[error("{setting} cannot be used: {reason}; expected postgres://user@host:5432/database")]
    Url {
        /// Which URL.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that should hold the password does not, or others may read it.
    #[error("the password file {path} cannot be used: {reason}")]
    PasswordFile {
        /// Which.
        path: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// The socket that leads to the pooler cannot be made.
    #[error(
        "cannot listen in {path} for the way to the pooler: {error}; see whether state.directory can be written to"
    )]
    PoolerSocket {
        /// The directory of the socket.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
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
                "check the user, the password (database.password_file, the systemd credential database_password, TRAINMASTER_DATABASE__PASSWORD, ~/.pgpass) and pg_hba.conf, which may ask for TLS (database.sslmode)"
            }
            ("3D000", _) => "create the database: createdb <name>",
            ("53300", _) => {
                "the server has no connection left: raise its max_connections or lower database.max_connections"
            }
            ("57P03", _) => "the server is starting or recovering: wait",
            (_, sqlx::Error::Tls(error)) => tls_advice(&error.to_string()),
            // The handshake's errors come as those of the stream.
            (_, sqlx::Error::Io(error)) if error.to_string().contains("certificate") => {
                tls_advice(&error.to_string())
            }
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
                error: sqlx::Error::Io(error),
                ..
            } => !error.to_string().contains("certificate"),
            Self::Connect {
                error: sqlx::Error::PoolTimedOut,
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

/// What to do about a handshake that failed, by what the TLS library says.
fn tls_advice(said: &str) -> &'static str {
    let said = said.to_ascii_lowercase();
    let says = |word: &str| said.contains(word);
    if says("does not support tls") {
        "the server offers no TLS: switch it on there (ssl = on, with a certificate and key)"
    } else if says("unknownissuer") || says("unknown issuer") || says("causedasendentity") {
        "the server's certificate is of an authority that is not trusted: set database.sslrootcert to the file of the right one"
    } else if says("notvalidforname") || says("not valid for name") {
        "the server's certificate is for another host: connect by the name that it is for, or have one made for this name"
    } else if says("expired") || says("notvalidyet") || says("not valid yet") {
        "the server's certificate is not valid now: renew it, and check this machine's clock"
    } else {
        "check database.sslmode, database.sslrootcert and the server's certificate"
    }
}
