//! A real Postgres for tests: throw-away clusters on a Unix socket in a temporary directory, nothing left behind.
//!
//! ```no_run
//! # async fn example() {
//! let database = trainmaster_tests::postgres::TestDatabase::new().await;
//! let pool = database.pool().await; // as superuser
//! # }
//! ```
//!
//! All tests of a process share one cluster, each with a database of its own. A test that stops or kills its server
//! starts a [`Cluster`] of its own.

mod binaries;
mod cluster;

pub use cluster::Cluster;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use std::sync::OnceLock;

/// An empty database of its own for one test. It goes when its cluster goes.
#[derive(Clone, Debug)]
pub struct TestDatabase {
    options: PgConnectOptions,
    url: String,
}

impl TestDatabase {
    /// A database in the cluster that all tests of this process share.
    ///
    /// # Panics
    /// When there is no Postgres to be had; the message says what is missing.
    pub async fn new() -> Self {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(Cluster::start).database().await
    }

    /// How to connect as the superuser `postgres`, who owns it.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// The same as an address, for programs that take one.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A pool of at most 16 connections as superuser.
    pub async fn pool(&self) -> PgPool {
        PgPoolOptions::new()
            .max_connections(16)
            .connect_with(self.options())
            .await
            .expect("cannot connect to the test's database")
    }
}
