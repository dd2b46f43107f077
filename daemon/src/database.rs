//! The connections to Postgres.
//!
//! Two pools: the owner's, small, for migrations and what else changes the schema; and the runtime's, which everything else uses and
//! which works as a role that may only append to the log. Both reach the same server, either one of the user's
//! (`database.url`) or the embedded one.

mod error;
mod open;
mod options;
mod password;
mod pool;
mod pooler;

pub use error::DatabaseError;
pub use open::{OpenDatabase, OpenError};

use crate::config::{DatabaseSettings, PoolerMode, Settings};
use pooler::Pooler;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// The pools of one server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Database {
    pool: PgPool,
    owner_pool: PgPool,
    options: PgConnectOptions,
    role: String,
    /// The way to a pooler in transaction mode, where there is one.
    _pooler: Option<Arc<Pooler>>,
}

impl Database {
    /// Connects to the server of `database.url`.
    ///
    /// # Errors
    /// No URL is set or it cannot be used; or the server cannot be reached within `database.connect_timeout_seconds`, or refuses.
    pub async fn connect(settings: &Settings) -> Result<Self, DatabaseError> {
        let database = &settings.database;
        let runtime = options::of_url(database)?;
        let direct = options::of_direct_url(database)?.unwrap_or_else(|| runtime.clone());
        let pooler = match database.pooler {
            None => None,
            Some(PoolerMode::Transaction) => {
                let folder = settings.state_directory().join("run");
                Some(Pooler::start(&runtime, &folder)?)
            }
        };
        Self::open(runtime, direct, pooler, database).await
    }

    /// How to connect to the server of `database.url` as the owner, past any pooler.
    ///
    /// # Errors
    /// No URL is set or it cannot be used.
    pub fn options_of(settings: &DatabaseSettings) -> Result<PgConnectOptions, DatabaseError> {
        let options = match options::of_direct_url(settings)? {
            Some(options) => options,
            None => options::of_url(settings)?,
        };
        Ok(options::logged(options))
    }

    /// Connects with these options; everything else is as in `settings`.
    ///
    /// # Errors
    /// The server cannot be reached within `database.connect_timeout_seconds`, or refuses.
    pub async fn connect_with(
        options: PgConnectOptions,
        settings: &DatabaseSettings,
    ) -> Result<Self, DatabaseError> {
        Self::open(options.clone(), options, None, settings).await
    }

    async fn open(
        runtime: PgConnectOptions,
        options: PgConnectOptions,
        pooler: Option<Pooler>,
        settings: &DatabaseSettings,
    ) -> Result<Self, DatabaseError> {
        let options = options::logged(options);
        let runtime = options::logged(runtime).application_name("trainmaster");
        let owner_pool = pool::owner(
            settings,
            options.clone().application_name("trainmaster owner"),
        );
        // Lazy, so that no connection of it is older than the role that the migrations create.
        let pool = match &pooler {
            None => pool::runtime(settings, runtime),
            Some(pooler) => pool::pooled(settings, pooler.through(runtime)),
        };
        let database = Self {
            pool,
            owner_pool,
            options,
            role: settings.role.clone(),
            _pooler: pooler.map(Arc::new),
        };
        database
            .wait(settings.connect_timeout_seconds.duration())
            .await?;
        Ok(database)
    }

    /// The pool that everything but migrations uses.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The pool of the user that owns the schemas. It has 2 connections; hold one only for migrations, rebuilds and the like.
    #[must_use]
    pub fn owner_pool(&self) -> &PgPool {
        &self.owner_pool
    }

    /// How to connect to this server as its owner, past any pooler.
    #[must_use]
    pub fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// A listener with a connection of its own, so that waiting for a notification takes none from the pool. It must reach the server
    /// directly: a pooler in transaction mode never delivers a notification.
    ///
    /// # Errors
    /// The server cannot be reached.
    pub async fn listener(&self) -> Result<PgListener, sqlx::Error> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_with(
                self.options
                    .clone()
                    .application_name("trainmaster listener"),
            )
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.ignore_pool_close_event(true);
        Ok(listener)
    }

    /// Whether the server answers, and how fast.
    ///
    /// # Errors
    /// It does not answer within `within`.
    pub async fn ping(&self, within: Duration) -> Result<Duration, DatabaseError> {
        let start = Instant::now();
        match tokio::time::timeout(within, sqlx::query("SELECT 1").execute(&self.pool)).await {
            Ok(Ok(_)) => Ok(start.elapsed()),
            Ok(Err(error)) => Err(DatabaseError::connect(&self.options, error)),
            Err(_) => Err(DatabaseError::NoAnswer {
                server: options::described(&self.options),
                within,
            }),
        }
    }

    /// Closes the pools, waiting for the connections that are in use.
    pub async fn close(&self) {
        tokio::join!(self.pool.close(), self.owner_pool.close());
    }

    /// The role that the runtime pool works as.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// Waits for a server that is starting or not there yet; what waiting does not mend fails at once.
    async fn wait(&self, limit: Duration) -> Result<(), DatabaseError> {
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_millis(50);
        loop {
            let error = match sqlx::query("SELECT 1").execute(&self.owner_pool).await {
                Ok(_) => return Ok(()),
                Err(error) => DatabaseError::connect(&self.options, error),
            };
            if !error.may_pass() || Instant::now() + pause > deadline {
                return Err(error);
            }
            tracing::warn!(%error, "waiting for the database");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }
}
