//! The directory of the backups.
//!
//! ```text
//! lock                         held by who makes or prunes backups
//! 20260501T020000Z-logical/    a backup: manifest.json, log.dump or base/, artifacts.jsonl, archive/, files/
//! .new-…                       one that is being made; what a crash left of it goes the next time
//! .old-…                       one that is being removed
//! ```

use super::{BackupError, Kind, Manifest};
use chrono::{DateTime, Utc};
use rustix::fs::{FlockOperation, flock};
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

const NEW: &str = ".new-";
const OLD: &str = ".old-";

/// The directory of the backups.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// Which backup is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The newest.
    Latest,
    /// By its id.
    Id(String),
}

impl From<&str> for Selection {
    fn from(text: &str) -> Self {
        match text {
            "latest" => Self::Latest,
            id => Self::Id(id.to_owned()),
        }
    }
}

/// Held while backups are made or pruned.
#[derive(Debug)]
#[must_use = "dropping it lets others in"]
pub(super) struct Lock {
    _file: File,
}

/// A backup that is being made. It goes when it is not finished.
#[derive(Debug)]
pub(super) struct Unfinished {
    path: PathBuf,
    to: PathBuf,
    done: bool,
}

impl Store {
    /// That at `directory`, which need not exist yet.
    #[must_use]
    pub fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Where it is.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a backup is.
    #[must_use]
    pub fn path(&self, id: &str) -> PathBuf {
        self.directory.join(id)
    }

    /// Makes the directory if need be, takes the lock, and removes what a crash left.
    pub(super) fn lock(&self) -> Result<Lock, BackupError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)
            .map_err(BackupError::io("make the directory", &self.directory))?;
        let path = self.directory.join("lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(BackupError::io("open", &path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(BackupError::Busy {
                    path: self.directory.clone(),
                });
            }
            Err(error) => return Err(BackupError::io("lock", path)(error.into())),
        }
        for name in self.names()? {
            if name.starts_with(NEW) || name.starts_with(OLD) {
                let path = self.directory.join(name);
                fs::remove_dir_all(&path).map_err(BackupError::io("remove", path))?;
            }
        }
        Ok(Lock { _file: file })
    }

    /// Begins a backup; the caller holds the lock.
    pub(super) fn begin(
        &self,
        kind: Kind,
        now: DateTime<Utc>,
    ) -> Result<(String, Unfinished), BackupError> {
        let stem = now.format("%Y%m%dT%H%M%SZ");
        let id = (1..)
            .map(|number| match number {
                1 => format!("{stem}-{kind}"),
                _ => format!("{stem}-{kind}-{number}"),
            })
            .find(|id| !self.path(id).exists())
            .unwrap_or_default();
        let path = self.directory.join(format!("{NEW}{id}"));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(BackupError::io("make the directory", &path))?;
        let unfinished = Unfinished {
            path,
            to: self.path(&id),
            done: false,
        };
        Ok((id, unfinished))
    }

    /// Removes a backup; the caller holds the lock.
    pub(super) fn remove(&self, id: &str) -> Result<(), BackupError> {
        let (path, old) = (self.path(id), self.directory.join(format!("{OLD}{id}")));
        fs::rename(&path, &old)
            .and_then(|()| fs::remove_dir_all(&old))
            .map_err(BackupError::io("remove", path))
    }

    /// The ids of the backups, the oldest first.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn ids(&self) -> Result<Vec<String>, BackupError> {
        let mut ids = self.names()?;
        ids.retain(|name| {
            !name.starts_with('.')
                && (name.contains("-logical") || name.contains("-physical"))
                && self.path(name).is_dir()
        });
        ids.sort_unstable();
        Ok(ids)
    }

    /// The manifest of a backup, or what is wrong with it.
    ///
    /// # Errors
    /// [`BackupError::NotFound`], or its manifest is damaged.
    pub fn manifest(&self, id: &str) -> Result<Manifest, BackupError> {
        // An id is a name in the directory and no path.
        if id.contains('/') || id.starts_with('.') || !self.path(id).is_dir() {
            return Err(BackupError::NotFound {
                wanted: format!("backup {id}"),
                directory: self.directory.clone(),
            });
        }
        Manifest::read(&self.path(id), id)
    }

    /// Those whose manifest is whole, the oldest first.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn manifests(&self) -> Result<Vec<Manifest>, BackupError> {
        let ids = self.ids()?;
        let mut whole: Vec<Manifest> = ids.iter().filter_map(|id| self.manifest(id).ok()).collect();
        whole.sort_by_key(|manifest| manifest.finished_at);
        Ok(whole)
    }

    /// The manifest of the one that is meant.
    ///
    /// # Errors
    /// There is none, or it is damaged.
    pub fn select(&self, selection: &Selection) -> Result<Manifest, BackupError> {
        match selection {
            Selection::Id(id) => self.manifest(id),
            Selection::Latest => {
                let newest = self.manifests()?.pop();
                newest.ok_or_else(|| BackupError::NotFound {
                    wanted: "backup".to_owned(),
                    directory: self.directory.clone(),
                })
            }
        }
    }

    fn names(&self) -> Result<Vec<String>, BackupError> {
        let failed = || BackupError::io("list", &self.directory);
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            entries => entries.map_err(failed())?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.extend(entry.map_err(failed())?.file_name().into_string());
        }
        Ok(names)
    }
}

impl Unfinished {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// It is whole: from now on it has its name.
    pub(super) fn finish(mut self) -> Result<(), BackupError> {
        let synced = |path: &Path| File::open(path).and_then(|file| file.sync_all());
        synced(&self.path)
            .and_then(|()| fs::rename(&self.path, &self.to))
            .map_err(BackupError::io("finish", &self.to))?;
        self.done = true;
        let directory = self.to.parent().unwrap_or(&self.to);
        synced(directory).map_err(BackupError::io("sync", directory))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.done {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Bytes of the files below a directory, as they are at this moment.
pub(super) fn size_of(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else {
        return fs::symlink_metadata(path).map_or(0, |metadata| metadata.len());
    };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => size_of(&entry.path()),
            _ => entry.metadata().map_or(0, |metadata| metadata.len()),
        })
        .sum()
}

/// Bytes that are free for this user on the disk of a path.
pub(super) fn free_bytes(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}
