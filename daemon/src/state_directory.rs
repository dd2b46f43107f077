//! The directory that a daemon keeps everything of its own in, and the lock that makes it one daemon's.

mod socket_directory;

pub use socket_directory::{SOCKET_PATH_MAX_BYTES, make_private, socket_directory};

use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Why the state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateDirectoryError {
    /// Something in it cannot be made or opened.
    #[error(
        "cannot {action} {path}: {error}; state.directory must be one that this user can write to"
    )]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Another daemon works in it.
    #[error(
        "another daemon (process {pid}) works in {path}: stop it, or choose another state.directory"
    )]
    Locked {
        /// The state directory.
        path: PathBuf,
        /// The other's process id, as it wrote it.
        pid: String,
    },
}

/// A state directory that exists.
///
/// ```text
/// head.key             signs the log's heads; for its owner alone
/// heads/               the log's head, now and then
/// lock                 held by the one daemon that works here
/// postgres/            the cluster of the embedded Postgres
/// run/                 sockets
/// predictions/<id>/    what a prediction wrote, unless somebody named another directory
/// runs/<id>/           one training each
/// slurm/<id>/          what one sbatch submitted
/// datasets/<id>/       tokenised datasets
/// ```
#[derive(Clone, Debug)]
pub struct StateDirectory {
    path: PathBuf,
}

impl StateDirectory {
    /// Makes what is missing of the directory and its folders.
    ///
    /// # Errors
    /// Something cannot be made.
    pub fn prepare(path: &Path) -> Result<Self, StateDirectoryError> {
        let make = |path: &Path, mode| {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(path)
                .map_err(|error| StateDirectoryError::Io {
                    action: "make the directory",
                    path: path.into(),
                    error,
                })
        };
        let fresh = !path.exists();
        make(path, 0o755)?;
        // Links are resolved, because Postgres and the socket's length go by the real path.
        let path = fs::canonicalize(path).map_err(|error| StateDirectoryError::Io {
            action: "resolve",
            path: path.into(),
            error,
        })?;
        if fresh {
            // Nobody lists it; that others may pass is for the user that the embedded Postgres runs as.
            let mode = if rustix::process::geteuid().is_root() {
                0o711
            } else {
                0o700
            };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(|error| {
                StateDirectoryError::Io {
                    action: "set the mode of",
                    path: path.clone(),
                    error,
                }
            })?;
        }
        make(&path.join("run"), 0o711)?;
        make(&path.join("runs"), 0o700)?;
        make(&path.join("datasets"), 0o700)?;
        Ok(Self { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directories of runs.
    #[must_use]
    pub fn runs(&self) -> PathBuf {
        self.path.join("runs")
    }

    /// The directories of datasets.
    #[must_use]
    pub fn datasets(&self) -> PathBuf {
        self.path.join("datasets")
    }

    /// The cluster of the embedded Postgres.
    #[must_use]
    pub fn postgres(&self) -> PathBuf {
        self.path.join("postgres")
    }

    /// Makes it this process's until the lock is dropped or the process ends, however it ends.
    ///
    /// # Errors
    /// Another process has it, or the lock file cannot be opened.
    pub fn lock(&self) -> Result<Lock, StateDirectoryError> {
        let path = self.path.join("lock");
        let io = |action| {
            let path = path.clone();
            move |error| StateDirectoryError::Io {
                action,
                path,
                error,
            }
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io("open"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                let _ = file.read_to_string(&mut pid);
                return Err(StateDirectoryError::Locked {
                    path: self.path.clone(),
                    pid: pid.trim().to_owned(),
                });
            }
            Err(error) => return Err(io("lock")(error.into())),
        }
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(io("write"))?;
        Ok(Lock { _file: file })
    }
}

/// The state directory is this process's for as long as this lives.
#[derive(Debug)]
#[must_use = "dropping it gives the state directory up"]
pub struct Lock {
    _file: File,
}
