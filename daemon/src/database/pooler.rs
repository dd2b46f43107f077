//! The way to a pooler in transaction mode (PgBouncer), which lends a connection of the server for one transaction at a time.
//!
//! The driver prepares a statement in one exchange and executes it in the next. Between the two, outside of a transaction, the pooler may lend
//! another connection, on which the statement does not exist; without a name it may even be somebody else's. So the driver speaks to a socket
//! of this process, and what it says goes on to the pooler with each execution carrying its own statement (see [`statements`]): every exchange
//! is whole, and it does not matter who answers it. That holds for all poolers, also those that do not keep prepared statements.

mod relay;
mod statements;

use super::DatabaseError;
use crate::state_directory::{make_private, socket_directory};
use rustix::process::geteuid;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::{
    fs,
    path::{Path, PathBuf},
};
use tokio::{net::UnixListener, task::AbortHandle};

/// The name of a Postgres socket in its directory.
const SOCKET: &str = ".s.PGSQL.5432";

/// A socket of this process that leads to the pooler. It goes with the value.
#[derive(Debug)]
pub(super) struct Pooler {
    directory: PathBuf,
    accepting: AbortHandle,
}

impl Pooler {
    /// Listens in a private directory below `folder`, or below the temporary one where there is no such folder.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub(super) fn start(pooler: &PgConnectOptions, folder: &Path) -> Result<Self, DatabaseError> {
        let failed = |path: &Path, error: std::io::Error| DatabaseError::PoolerSocket {
            path: path.to_owned(),
            error,
        };
        remove_stale(folder);
        let folder = if folder.is_dir() {
            folder.to_owned()
        } else {
            std::env::temp_dir()
        };
        let user = geteuid().as_raw();
        let wanted = folder.join(format!(
            "{PREFIX}{}-{}",
            std::process::id(),
            ulid::Ulid::generate()
        ));
        let directory = socket_directory(&wanted, SOCKET, user);
        make_private(&directory, user).map_err(|error| failed(&directory, error))?;
        let listener = UnixListener::bind(directory.join(SOCKET))
            .map_err(|error| failed(&directory, error))?;
        let accepting = tokio::spawn(relay::accept(listener, pooler.clone())).abort_handle();
        Ok(Self {
            directory,
            accepting,
        })
    }

    /// The same options, by way of the socket. It is reached by this user alone, so nothing on it is encrypted.
    pub(super) fn through(&self, options: PgConnectOptions) -> PgConnectOptions {
        options
            .socket(&self.directory)
            .port(5432)
            .ssl_mode(PgSslMode::Disable)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.accepting.abort();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// With the process that made it.
const PREFIX: &str = "pooler-";

/// Removes what processes that were killed have left.
fn remove_stale(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX)?.split('-').next())
            .and_then(|process| process.parse::<u32>().ok());
        if process.is_some_and(|process| !Path::new(&format!("/proc/{process}")).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
