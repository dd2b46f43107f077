//! The embedded Postgres: a cluster under the state directory that the daemon makes, starts, watches and stops.
//!
//! It is reached through a Unix socket in a private directory and by nothing else. The server is a process of its own: when the daemon is
//! killed, the server goes on, and the next daemon adopts it. The state directory's lock sees to it that there is one daemon.

mod account;
mod binaries;
mod cluster;
mod configuration;
mod error;
mod pid_file;
pub(crate) mod recovery;
mod server;
pub(crate) mod swap;

pub use account::Account;
pub use binaries::Binaries;
pub(crate) use cluster::{archive_of, bind};
pub use error::PostgresError;

use crate::{config::PostgresSettings, state_directory::StateDirectory};
use cluster::Cluster;
use pid_file::PidFile;
use rustix::process::{Pid, Signal, kill_process};
use server::Server;
use sqlx::postgres::PgConnectOptions;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// The user that owns everything in the cluster.
pub const USER: &str = "trainmaster";
/// The database that everything is in.
pub const DATABASE: &str = "trainmaster";

/// How the server is asked to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Sessions are ended, everything is written; the next start has nothing to recover.
    Fast,
    /// At once. Nothing is lost; the next start recovers.
    Immediate,
}

/// A running embedded Postgres.
#[derive(Debug)]
pub struct Embedded {
    cluster: Cluster,
    settings: PostgresSettings,
    server: Server,
}

impl Embedded {
    /// Makes the cluster if there is none, and starts the server or adopts the one that runs. The caller holds the state directory's lock.
    ///
    /// # Errors
    /// Server binaries are missing or of another version than the cluster, the directory cannot be used by the server's user, or the server
    /// does not start within `postgres.start_timeout_seconds`.
    pub async fn start(
        state: &StateDirectory,
        settings: &PostgresSettings,
    ) -> Result<Self, PostgresError> {
        swap::finish(state)?;
        let cluster = Cluster::prepare(state, settings).await?;
        let server = Server::start(&cluster, settings.start_timeout_seconds.duration()).await?;
        let embedded = Self {
            cluster,
            settings: settings.clone(),
            server,
        };
        embedded.cluster.make_database().await?;
        Ok(embedded)
    }

    /// Starts a server on a cluster beside the live one: a copy that is to recover, which may take `within`, or a new one. It ends with this
    /// process.
    ///
    /// # Errors
    /// As [`Self::start`]; or it cannot recover.
    pub(crate) async fn start_beside(
        directory: PathBuf,
        state: &StateDirectory,
        settings: &PostgresSettings,
        within: Duration,
    ) -> Result<Self, PostgresError> {
        let cluster = Cluster::prepare_beside(directory, state, settings).await?;
        let server = Server::start(&cluster, within).await?;
        let embedded = Self {
            cluster,
            settings: settings.clone(),
            server,
        };
        embedded.cluster.make_database().await?;
        Ok(embedded)
    }

    /// How to connect to its database as the owner.
    #[must_use]
    pub fn options(&self) -> PgConnectOptions {
        self.cluster.options(DATABASE)
    }

    /// The process id of the server.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// Starts the server again whenever it ends, with growing pauses, until `shutdown`.
    pub async fn supervise(&mut self, shutdown: &CancellationToken) {
        const LONGEST_PAUSE: Duration = Duration::from_secs(30);
        let mut pause = Duration::from_millis(100);
        loop {
            let started = Instant::now();
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.server.ended() => {}
            }
            tracing::error!(
                pid = self.server.pid(),
                "the embedded Postgres ended by itself and is started again"
            );
            if started.elapsed() > LONGEST_PAUSE {
                pause = Duration::from_millis(100);
            }
            loop {
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                match Server::start(
                    &self.cluster,
                    self.settings.start_timeout_seconds.duration(),
                )
                .await
                {
                    Ok(server) => {
                        self.server = server;
                        break;
                    }
                    Err(error) => tracing::error!(%error, "the embedded Postgres does not start"),
                }
            }
        }
    }

    /// Stops the server. A fast stop that takes longer than `postgres.stop_timeout_seconds`, or during which `hurry` is cancelled, becomes an
    /// immediate one.
    ///
    /// # Errors
    /// The server cannot be signalled or goes on in spite of it.
    pub async fn stop(mut self, how: Stop, hurry: &CancellationToken) -> Result<(), PostgresError> {
        if how == Stop::Fast {
            self.server.signal(Stop::Fast)?;
            tokio::select! {
                () = self.server.ended() => return Ok(()),
                () = hurry.cancelled() => {}
                () = tokio::time::sleep(self.settings.stop_timeout_seconds.duration()) => {
                    tracing::warn!("the embedded Postgres takes too long to stop and is stopped at once; nothing is lost");
                }
            }
        }
        self.server.signal(Stop::Immediate)?;
        tokio::time::timeout(Duration::from_secs(10), self.server.ended())
            .await
            .map_err(|_| PostgresError::StillRunning {
                pid: self.server.pid(),
            })
    }
}

/// How to connect to the embedded Postgres of `state` when a daemon (or what a killed one left) is running it; for programs that look at the
/// database beside the daemon.
#[must_use]
pub fn running(state: &StateDirectory, settings: &PostgresSettings) -> Option<PgConnectOptions> {
    cluster::running(state, settings)
}

/// Stops what a killed daemon, or a killed restore, left running on a cluster. The caller holds the state directory's lock.
///
/// # Errors
/// It does not stop within the limit.
pub(crate) async fn end_left(cluster: &Path, limit: Duration) -> Result<(), PostgresError> {
    let Some(file) = PidFile::read(cluster).filter(|file| file.is_alive(cluster)) else {
        return Ok(());
    };
    let still_running = || PostgresError::StillRunning { pid: file.pid };
    let pid = i32::try_from(file.pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(still_running)?;
    let deadline = Instant::now() + limit;
    let _ = kill_process(pid, Signal::INT);
    while file.is_alive(cluster) {
        if Instant::now() > deadline {
            return Err(still_running());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
