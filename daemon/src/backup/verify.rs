//! Checking that a backup is what it was when it was made.

use super::{
    BackupError, Kind, Manifest, Progress, Store, artifacts, logical, manifest::hash_file,
    physical, programs::Programs, wal,
};
use crate::{config::Settings, postgres::archive_of};
use serde::Serialize;
use std::path::Path;

/// A backup that is whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// Which.
    pub id: String,
    /// How it was made.
    pub kind: Kind,
    /// Bytes that were read.
    pub bytes: u64,
    /// Of a physical one: the segments of the archive that lead on from it.
    pub segments: usize,
}

/// Reads all of a backup, and of a physical one also the archived write-ahead log that leads on from it.
///
/// # Errors
/// [`BackupError::Damaged`] or [`BackupError::Wal`] with the first fault; or it cannot be read.
pub async fn verify(
    settings: &Settings,
    store: &Store,
    id: &str,
    progress: &Progress,
) -> Result<Verified, BackupError> {
    let manifest = store.manifest(id)?;
    let bytes = content(settings, store, &manifest, progress).await?;
    let mut segments = 0;
    if let (Some(physical), Some(directory)) = (&manifest.physical, &settings.postgres.wal_archive)
    {
        let archive = wal::archive(&archive_of(directory, &physical.system_identifier))?;
        let leading = archive.leading_on(physical, archive.latest_timeline(physical.timeline))?;
        for (at, segment) in leading.iter().enumerate() {
            progress.at(
                "write-ahead log",
                Some((at as u64) << 24),
                Some((leading.len() as u64) << 24),
            );
            archive.check(*segment)?;
        }
        segments = leading.len();
    }
    Ok(Verified {
        id: manifest.id,
        kind: manifest.kind,
        bytes,
        segments,
    })
}

/// Reads all of a backup itself, and says how much that was.
pub(super) async fn content(
    settings: &Settings,
    store: &Store,
    manifest: &Manifest,
    progress: &Progress,
) -> Result<u64, BackupError> {
    let directory = store.path(&manifest.id);
    let id = manifest.id.as_str();
    let mut bytes = 0;
    for file in &manifest.files {
        progress.at("checking hashes", Some(bytes), Some(manifest.size_bytes));
        one(id, &directory, &file.path, file.size_bytes, &file.sha256)?;
        bytes += file.size_bytes;
    }
    let programs = Programs::find(settings, manifest.server_major)?;
    let damaged = |error| match error {
        BackupError::Program { program, said } => {
            BackupError::damaged(id, format!("{program} says: {said}"))
        }
        error => error,
    };
    match manifest.kind {
        Kind::Logical => {
            if manifest.file(logical::DUMP).is_none() {
                return Err(BackupError::damaged(id, "it has no dump"));
            }
            logical::check(&programs, &directory.join(logical::DUMP))
                .await
                .map_err(damaged)?;
        }
        Kind::Physical => {
            let base = directory.join(physical::BASE);
            physical::check(&programs, &base, progress)
                .await
                .map_err(damaged)?;
            bytes += super::store::size_of(&base);
        }
    }
    if manifest.artifacts.included {
        for artifact in artifacts::list(&directory)? {
            let artifact = artifact?;
            progress.at("checking hashes", Some(bytes), Some(manifest.size_bytes));
            let path = artifacts::kept(&artifact.sha256);
            let path = path.to_string_lossy();
            one(id, &directory, &path, artifact.size_bytes, &artifact.sha256)?;
            bytes += artifact.size_bytes;
        }
    }
    Ok(bytes)
}

fn one(
    id: &str,
    directory: &Path,
    path: &str,
    size_bytes: u64,
    sha256: &str,
) -> Result<(), BackupError> {
    let full = directory.join(path);
    match hash_file(&full) {
        Ok((size, hash)) if size == size_bytes && hash == sha256 => Ok(()),
        Ok((size, _)) if size != size_bytes => Err(BackupError::damaged(
            id,
            format!("{path} has {size} bytes instead of {size_bytes}"),
        )),
        Ok(_) => Err(BackupError::damaged(
            id,
            format!("{path} was altered: its SHA-256 is another"),
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(BackupError::damaged(id, format!("{path} is missing")))
        }
        Err(error) => Err(BackupError::io("read", full)(error)),
    }
}
