//! From settings to connection options.

use super::{DatabaseError, password};
use crate::config::{DatabaseSettings, Secret, SslMode};
use sqlx::{
    ConnectOptions,
    postgres::{PgConnectOptions, PgSslMode},
};
use std::{str::FromStr, time::Duration};
use tracing::log::LevelFilter;

/// The options of `database.url` and the settings beside it.
pub(super) fn of_url(settings: &DatabaseSettings) -> Result<PgConnectOptions, DatabaseError> {
    let url = settings.url.as_ref().ok_or(DatabaseError::NoUrl)?;
    let found = password::find(
        settings.password.as_ref(),
        settings.password_file.as_deref(),
        "database_password",
    )?;
    secured(settings, parsed(url, "database.url")?, found)
}

/// The options of `database.direct_url`, if it is set.
pub(super) fn of_direct_url(
    settings: &DatabaseSettings,
) -> Result<Option<PgConnectOptions>, DatabaseError> {
    let Some(url) = &settings.direct_url else {
        return Ok(None);
    };
    let found = password::find(
        None,
        settings.direct_password_file.as_deref(),
        "database_direct_password",
    )?;
    secured(settings, parsed(url, "database.direct_url")?, found).map(Some)
}

fn parsed(url: &Secret, setting: &'static str) -> Result<PgConnectOptions, DatabaseError> {
    PgConnectOptions::from_str(url.expose()).map_err(|error| DatabaseError::Url {
        setting,
        reason: error.to_string(),
    })
}

fn secured(
    settings: &DatabaseSettings,
    mut options: PgConnectOptions,
    password: Option<Secret>,
) -> Result<PgConnectOptions, DatabaseError> {
    match password {
        Some(password) => options = options.password(password.expose()),
        None if options.to_url_lossy().password().is_none() => password::check_pgpass()?,
        None => {}
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
