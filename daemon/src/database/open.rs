//! The database of the settings, whichever it is: a server of the user's own, or the embedded one.

use super::{Database, DatabaseError};
use crate::{
    config::Settings,
    postgres::{self, Embedded, PostgresError, Stop},
    state_directory::{Lock, StateDirectory, StateDirectoryError},
};
use tokio_util::sync::CancellationToken;

/// Why the database of the settings cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The state directory.
    #[error(transparent)]
    StateDirectory(#[from] StateDirectoryError),
    /// The embedded Postgres.
    #[error(transparent)]
    Postgres(#[from] PostgresError),
    /// The connection.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// The database of the settings, for a program beside the daemon (`migrate`, `projections rebuild`, `doctor`).
///
/// With an embedded Postgres, the one that a daemon runs is used; without a daemon it is started, and stopped by [`OpenDatabase::close`].
#[derive(Debug)]
pub struct OpenDatabase {
    /// The pools.
    pub database: Database,
    own: Option<(Embedded, Lock)>,
}

impl OpenDatabase {
    /// Opens it.
    ///
    /// # Errors
    /// The server cannot be reached, or the embedded one cannot be started.
    pub async fn open(settings: &Settings) -> Result<Self, OpenError> {
        if settings.database.url.is_some() {
            return Ok(Self {
                database: Database::connect(settings).await?,
                own: None,
            });
        }
        let state = StateDirectory::prepare(&settings.state_directory())?;
        if let Some(options) = postgres::running(&state, &settings.postgres) {
            return Ok(Self {
                database: Database::connect_with(options, &settings.database).await?,
                own: None,
            });
        }
        let lock = state.lock()?;
        let embedded = Embedded::start(&state, &settings.postgres).await?;
        let database = Database::connect_with(embedded.options(), &settings.database).await?;
        Ok(Self {
            database,
            own: Some((embedded, lock)),
        })
    }

    /// Closes the pools, and stops the server if it was started for this.
    ///
    /// # Errors
    /// The server does not stop.
    pub async fn close(self) -> Result<(), OpenError> {
        self.database.close().await;
        if let Some((embedded, _lock)) = self.own {
            embedded.stop(Stop::Fast, &CancellationToken::new()).await?;
        }
        Ok(())
    }
}
