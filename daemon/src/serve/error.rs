//! Why the daemon ended with an error.

use crate::{
    backup::BackupError, config::ConfigError, database::DatabaseError, http::ListenError,
    lifecycle::ComponentError, migrate::MigrateError, postgres::PostgresError, queue::SetupError,
    state_directory::StateDirectoryError, telemetry::TelemetryError,
};

/// Why the daemon ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The settings are not usable.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The operating system refuses threads or signal handlers.
    #[error("the operating system refuses the daemon its threads or signals: {0}")]
    Runtime(std::io::Error),
    /// Logs, traces or metrics.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The state directory.
    #[error(transparent)]
    StateDirectory(#[from] StateDirectoryError),
    /// The embedded Postgres.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The database's schema.
    #[error(transparent)]
    Migrate(#[from] MigrateError),
    /// Comparing files with a log that was restored.
    #[error("{}", chain(.0))]
    Restored(#[from] BackupError),
    /// The queue's tables.
    #[error("{}", chain(.0))]
    Queue(#[from] SetupError),
    /// The HTTP interface.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A component does not stay up.
    #[error(transparent)]
    Component(#[from] ComponentError),
    /// A second signal, or the limit for finishing, ended it.
    #[error("ended before everything was handed over; the next start takes care of it")]
    Aborted,
}

/// An error with what caused it, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
