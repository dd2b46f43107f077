//! Where the interface listens.

use super::Token;
use std::{
    io,
    net::SocketAddr,
    os::unix::fs::{FileTypeExt, PermissionsExt},
    path::{Path, PathBuf},
};
use tokio::net::{TcpListener, UnixListener};

/// A place that the interface listens at.
#[derive(Debug)]
pub enum Listener {
    /// A Unix socket: who may open the file may come in.
    Unix {
        /// It.
        listener: UnixListener,
        /// Its file, removed at the end.
        path: PathBuf,
    },
    /// TCP: who knows the token may come in.
    Tcp {
        /// It.
        listener: TcpListener,
        /// The token.
        token: Token,
    },
}

/// Why the interface cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// On the Unix socket.
    #[error("cannot listen on {path}: {source}")]
    Unix {
        /// Its file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something else is there.
    #[error("{0} is there and is not a socket; remove it, or set http.socket to another path")]
    NotASocket(PathBuf),
    /// On the Unix socket, because its path is longer than the kernel knows.
    #[error(
        "{0} is too long for a socket (at most 107 bytes); set http.socket, or use a state directory with a shorter path"
    )]
    TooLong(PathBuf),
    /// Another daemon answers there.
    #[error("another daemon answers at {0}; stop it first, or use another state directory")]
    InUse(PathBuf),
    /// On TCP.
    #[error("cannot listen on {address}: {source}")]
    Tcp {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The whole network would hear.
    #[error(
        "{0} is not a loopback address; the interface has no TLS: listen on 127.0.0.1 or [::1] and let a proxy or an SSH tunnel do the rest"
    )]
    NotLoopback(SocketAddr),
}

impl Listener {
    /// Listens on a Unix socket with the given file mode (0o600: the daemon's user alone; 0o660: its group too). What a daemon
    /// that is gone left there is replaced.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn unix(path: &Path, mode: u32) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Unix {
            path: path.to_owned(),
            source,
        };
        if path.as_os_str().len() > 107 {
            return Err(ListenError::TooLong(path.to_owned()));
        }
        if let Ok(metadata) = std::fs::symlink_metadata(path) {
            if !metadata.file_type().is_socket() {
                return Err(ListenError::NotASocket(path.to_owned()));
            }
            if tokio::net::UnixStream::connect(path).await.is_ok() {
                return Err(ListenError::InUse(path.to_owned()));
            }
            std::fs::remove_file(path).map_err(failed)?;
        }
        let listener = UnixListener::bind(path).map_err(failed)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
        Ok(Self::Unix {
            listener,
            path: path.to_owned(),
        })
    }

    /// Listens on a loopback address.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn tcp(address: SocketAddr, token: Token) -> Result<Self, ListenError> {
        if !address.ip().is_loopback() {
            return Err(ListenError::NotLoopback(address));
        }
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ListenError::Tcp { address, source })?;
        Ok(Self::Tcp { listener, token })
    }
}
