//! From settings to connection options.

use super::DatabaseError;
use crate::config::{DatabaseSettings, SslMode};
use sqlx::{
    ConnectOptions,
    postgres::{PgConnectOptions, PgSslMode},
};
use std::{str::FromStr, time::Duration};
use tracing::log::LevelFilter;

/// The options of `database.url` and the settings beside it.
pub(super) fn of_url(settings: &DatabaseSettings) -> Result<PgConnectOptions, DatabaseError> {
    let url = settings.url.as_ref().ok_or(DatabaseError::NoUrl)?;
    let mut options =
        PgConnectOptions::from_str(url.expose()).map_err(|error| DatabaseError::Url {
            reason: error.to_string(),
        })?;
    if let Some(password) = &settings.password {
        options = options.password(password.expose());
    }
    if let Some(mode) = settings.sslmode {
        options = options.ssl_mode(match mode {
            SslMode::Disable => PgSslMode::Disable,
            SslMode::Allow => PgSslMode::Allow,
            SslMode::Prefer => PgSslMode::Prefer,
            SslMode::Require => PgSslMode::Require,
            SslMode::VerifyCa => PgSslMode::VerifyCa,
            SslMode::VerifyFull => PgSslMode::VerifyFull,
        });
    }
    if let Some(path) = &settings.sslrootcert {
        options = options.ssl_root_cert(path);
    }
    Ok(options)
}

/// Statements at trace level, slow ones as a warning.
pub(super) fn logged(options: PgConnectOptions) -> PgConnectOptions {
    options
        .log_statements(LevelFilter::Trace)
        .log_slow_statements(LevelFilter::Warn, Duration::from_secs(1))
}

/// `user@host:port/database` for messages, without the password.
pub(super) fn described(options: &PgConnectOptions) -> String {
    let host = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => options.get_host().to_owned(),
    };
    let database = options.get_database().unwrap_or(options.get_username());
    format!(
        "{}@{host}:{}/{database}",
        options.get_username(),
        options.get_port()
    )
}
