//! Making a backup: beside, checked, described, and then moved to its name.

use super::{
    BackupError, Kind, Manifest, Progress, Store, artifacts, logical,
    manifest::{self, FORMAT, FileEntry},
    physical,
    programs::Programs,
    store::size_of,
};
use crate::{config::Settings, database::OpenDatabase, state_directory::StateDirectory};
use chrono::{DateTime, Utc};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folder of segments in the state directory, and in a backup: events that have left the table.
pub(super) const SEGMENTS: &str = "archive";

/// What kind of backup.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// How it is made.
    pub kind: Kind,
    /// Whether the files of runs, datasets and models are kept in it.
    pub with_artifacts: bool,
    /// Whether a logical one has the read models.
    pub with_read_models: bool,
}

/// Makes a backup of the database of the settings, which is opened beside a daemon that runs, or without one.
///
/// # Errors
/// [`BackupError`]; then nothing is left of it.
pub async fn create(
    settings: &Settings,
    request: Request,
    progress: &Progress,
) -> Result<Manifest, BackupError> {
    // First: it makes what is above the backups for the server's user to pass.
    StateDirectory::prepare(&settings.state_directory())?;
    let store = Store::new(settings.backup_directory());
    let _lock = store.lock()?;
    let started_at = Utc::now();
    let (id, unfinished) = store.begin(request.kind, started_at)?;
    let open = OpenDatabase::open(settings).await?;
    let made = make(
        settings,
        request,
        (&id, started_at),
        unfinished.path(),
        &store,
        &open,
        progress,
    )
    .await;
    let closed = open.close().await;
    let manifest = made?;
    closed?;
    manifest.write(unfinished.path())?;
    unfinished.finish()?;
    Ok(manifest)
}

async fn make(
    settings: &Settings,
    request: Request,
    (id, started_at): (&str, DateTime<Utc>),
    path: &Path,
    store: &Store,
    open: &OpenDatabase,
    progress: &Progress,
) -> Result<Manifest, BackupError> {
    let database = &open.database;
    let mut connection = database
        .owner_pool()
        .acquire()
        .await
        .map_err(BackupError::database("connect"))?;
    let snapshot = logical::hold(&mut connection).await?;
    let facts = logical::facts(&mut connection).await?;
    let programs = Programs::find(settings, facts.server_major)?;
    let mut files = Vec::new();
    let copied = match request.kind {
        Kind::Logical => {
            logical::dump(
                settings,
                &programs,
                database,
                &snapshot,
                request.with_read_models,
                path,
                progress,
            )
            .await?;
            files.push(manifest::entry(path, logical::DUMP)?);
            None
        }
        Kind::Physical => {
            let copied = physical::copy(settings, &programs, database, path, progress).await?;
            files.push(manifest::entry(path, "base/backup_manifest")?);
            Some(copied)
        }
    };
    // Only now: what has left the table since the moment that is held would be missing otherwise.
    sqlx::query("ROLLBACK")
        .execute(&mut *connection)
        .await
        .map_err(BackupError::database("let go of a moment of the log"))?;
    drop(connection);
    let state = settings.state_directory();
    let state = fs::canonicalize(&state).map_err(BackupError::io("resolve", &state))?;
    segments(&settings.archive_directory(), path, &mut files, progress)?;
    progress.begin("files of runs");
    let artifacts = artifacts::collect(&state, path, store, request.with_artifacts, progress)?;
    files.push(manifest::entry(path, artifacts::LIST)?);
    Ok(Manifest {
        format: FORMAT,
        id: id.to_owned(),
        kind: request.kind,
        started_at,
        finished_at: Utc::now(),
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        server_version: facts.server_version,
        server_major: facts.server_major,
        state_directory: state.to_string_lossy().into_owned(),
        head: facts.head,
        read_models: request.kind == Kind::Physical || request.with_read_models,
        roles: facts.roles,
        files,
        size_bytes: size_of(path),
        physical: copied,
        artifacts,
    })
}

/// Takes in the files of events that have left the table. They are never written to again, so they are linked where that can be.
fn segments(
    archive: &Path,
    backup: &Path,
    files: &mut Vec<FileEntry>,
    progress: &Progress,
) -> Result<(), BackupError> {
    let mut pending: Vec<PathBuf> = vec![archive.to_owned()];
    while let Some(directory) = pending.pop() {
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            entries => entries.map_err(BackupError::io("list", &directory))?,
        };
        for entry in entries {
            let entry = entry.map_err(BackupError::io("list", &directory))?;
            let (full, name) = (entry.path(), entry.file_name());
            let kind = entry
                .file_type()
                .map_err(BackupError::io("look at", &full))?;
            if name.to_string_lossy().starts_with('.') {
                continue;
            }
            if kind.is_dir() {
                pending.push(full);
                continue;
            }
            let Some(path) = full.strip_prefix(archive).ok().and_then(Path::to_str) else {
                continue;
            };
            let path = &format!("{SEGMENTS}/{path}");
            progress.begin("archived events");
            let to = artifacts::place_for(backup, path)?;
            if fs::hard_link(&full, &to).is_err() {
                artifacts::copy_private(&full, &to)?;
            }
            files.push(manifest::entry(backup, path)?);
        }
    }
    Ok(())
}
