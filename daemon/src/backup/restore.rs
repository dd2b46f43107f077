//! Going back: built beside what is live, proved there, and swapped in. The live state is untouched until the swap, and kept aside after it.

mod cluster;
mod prove;

use super::{
    BackupError, Kind, Manifest, Progress, Selection, Store, Target, artifacts,
    artifacts::Returned, create::SEGMENTS, own_server, verify, wal,
};
use crate::{
    config::Settings,
    postgres::{archive_of, swap},
    state_directory::{Lock, StateDirectory},
};
pub(super) use prove::Proof;
use serde::Serialize;
use std::{fs, path::Path};

/// A restore whose backup was read and found whole.
#[derive(Debug)]
pub struct Restore {
    settings: Settings,
    store: Store,
    state: StateDirectory,
    manifest: Manifest,
    target: Option<Target>,
    timeline: String,
    rehearsal: bool,
    _store_lock: super::store::Lock,
    /// None at a rehearsal, which a running daemon does not mind.
    _state_lock: Option<Lock>,
}

/// What was restored.
#[derive(Clone, Debug, Serialize)]
pub struct Restored {
    /// From which backup.
    pub backup: String,
    /// The position of the last event.
    pub position: Option<String>,
    /// When it was recorded.
    pub recorded_at: Option<chrono::DateTime<chrono::Utc>>,
    /// Events that were read and found as they were written.
    pub events: u64,
    /// Streams that they form.
    pub streams: u64,
    /// What was live before, and where it is now; none: there was nothing, or this was a rehearsal.
    pub aside: Option<String>,
    /// Files of runs.
    pub files: Returned,
    /// Whether nothing was put in place.
    pub rehearsal: bool,
}

/// Reads the backup that is meant, and sees whether it leads to `target`. With `rehearsal`, everything but the swap is to be done.
///
/// # Errors
/// There is no such backup, it is damaged, it does not lead there, or a daemon is running.
pub async fn prepare(
    settings: &Settings,
    selection: &Selection,
    target: Option<Target>,
    timeline: Option<u32>,
    rehearsal: bool,
    progress: &Progress,
) -> Result<Restore, BackupError> {
    let store = Store::new(settings.backup_directory());
    if !store.directory().is_dir() {
        store.select(selection)?;
    }
    let state = StateDirectory::prepare(&settings.state_directory())?;
    let state_lock = if rehearsal {
        None
    } else {
        let lock = state.lock()?;
        swap::finish(&state)?;
        Some(lock)
    };
    let store_lock = store.lock()?;
    let manifest = choose(&store, selection, target)?;
    check_target(settings, &manifest, target)?;
    if let (Some(copy), Some(directory)) = (&manifest.physical, &settings.postgres.wal_archive) {
        let archive = wal::archive(&archive_of(directory, &copy.system_identifier))?;
        let newest = archive.latest_timeline(copy.timeline);
        for segment in archive.leading_on(copy, timeline.unwrap_or(newest))? {
            archive.check(segment)?;
        }
    }
    verify::content(settings, &store, &manifest, progress).await?;
    Ok(Restore {
        settings: settings.clone(),
        store,
        state,
        manifest,
        target,
        timeline: timeline.map_or_else(|| "latest".to_owned(), |number| number.to_string()),
        rehearsal,
        _store_lock: store_lock,
        _state_lock: state_lock,
    })
}

/// The backup that is meant: of the newest, with a target, the newest copy of the cluster from before it.
fn choose(
    store: &Store,
    selection: &Selection,
    target: Option<Target>,
) -> Result<Manifest, BackupError> {
    let (Selection::Latest, Some(target)) = (selection, target) else {
        return store.select(selection);
    };
    let copies = store.manifests()?.into_iter().rev();
    let mut copies = copies.filter(|manifest| manifest.kind == Kind::Physical);
    copies
        .find(|manifest| is_before(manifest, target))
        .ok_or_else(|| BackupError::NotFound {
            wanted: format!("physical backup from before {target}"),
            directory: store.directory().to_owned(),
        })
}

fn is_before(manifest: &Manifest, target: Target) -> bool {
    match target {
        Target::Time(time) => manifest.finished_at <= time,
        Target::Position(position) => manifest
            .head
            .position
            .as_ref()
            .and_then(|head| head.parse().ok())
            .is_none_or(|head: trainmaster_domain::Position| head <= position),
    }
}

fn check_target(
    settings: &Settings,
    manifest: &Manifest,
    target: Option<Target>,
) -> Result<(), BackupError> {
    if manifest.kind == Kind::Physical && settings.database.url.is_some() {
        return Err(BackupError::Refused(
            "a physical backup is a copy of the embedded Postgres' cluster, and database.url is set: restore a logical one, or see \
             \"A server of your own\" in the handbook"
                .to_owned(),
        ));
    }
    let Some(target) = target else {
        return Ok(());
    };
    if manifest.kind == Kind::Logical {
        return Err(BackupError::Refused(format!(
            "backup {} is of one moment, {}: leave --to out, or choose a physical one",
            manifest.id, manifest.started_at
        )));
    }
    if settings.postgres.wal_archive.is_none() {
        return Err(BackupError::Refused(
            "postgres.wal_archive is not set, so no write-ahead log leads on from the backup: leave --to out, or set it to where the log is kept"
                .to_owned(),
        ));
    }
    if !is_before(manifest, target) {
        return Err(BackupError::Refused(format!(
            "backup {} was made after {target}: choose an older one, or `latest`, which finds one",
            manifest.id
        )));
    }
    Ok(())
}

impl Restore {
    /// What it goes back to.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What it will do, for the person who is asked.
    #[must_use]
    pub fn summary(&self) -> String {
        let to = match (self.target, self.manifest.kind) {
            (Some(target), _) => format!("as it was at {target}"),
            (None, Kind::Logical) => format!("as it was at {}", self.manifest.started_at),
            (None, Kind::Physical) if self.settings.postgres.wal_archive.is_some() => {
                "as far as the write-ahead log leads".to_owned()
            }
            (None, Kind::Physical) => format!("as it was at {}", self.manifest.finished_at),
        };
        format!(
            "Backup {} takes the place of everything that is in the database, {to}. What is there now is kept aside.",
            self.manifest.id
        )
    }

    /// Does it.
    ///
    /// # Errors
    /// [`BackupError`]; then the live state is as it was.
    pub async fn run(self, progress: &Progress) -> Result<Restored, BackupError> {
        let backup = self.store.path(&self.manifest.id);
        if !self.rehearsal {
            put_segments_back(&backup, &self.manifest, &self.settings.archive_directory())?;
        }
        let (proof, aside, files) = if self.settings.database.url.is_some() {
            own_server::restore(&self, &backup, progress).await?
        } else {
            cluster::restore(&self, &backup, progress).await?
        };
        Ok(self.restored(proof, aside, files))
    }

    fn restored(&self, proof: Proof, aside: Option<String>, files: Returned) -> Restored {
        Restored {
            backup: self.manifest.id.clone(),
            position: proof.position,
            recorded_at: proof.recorded_at,
            events: proof.events,
            streams: proof.streams,
            aside,
            files,
            rehearsal: self.rehearsal,
        }
    }

    /// Puts back the files of runs that are missing. What the log does not refer to is in nobody's way.
    pub(super) fn put_files_back(
        &self,
        backup: &Path,
        progress: &Progress,
    ) -> Result<Returned, BackupError> {
        artifacts::put_back(backup, &self.manifest, self.state.path(), progress)
    }

    pub(super) const fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(super) const fn is_rehearsal(&self) -> bool {
        self.rehearsal
    }

    pub(super) async fn prove(
        &self,
        database: &crate::database::Database,
        progress: &Progress,
    ) -> Result<Proof, BackupError> {
        prove::prove(self, database, progress).await
    }
}

/// Puts back the files of events that have left the table, where they are missing: the restored log refers to them.
fn put_segments_back(
    backup: &Path,
    manifest: &Manifest,
    archive: &Path,
) -> Result<(), BackupError> {
    let prefix = format!("{SEGMENTS}/");
    for file in manifest
        .files
        .iter()
        .filter(|f| f.path.starts_with(&prefix))
    {
        let to = archive.join(file.path.trim_start_matches(&prefix));
        if to.exists() {
            continue;
        }
        let folder = to.parent().unwrap_or(archive);
        fs::create_dir_all(folder).map_err(BackupError::io("make the directory", folder))?;
        let beside = to.with_extension("restored.partial");
        artifacts::copy_private(&backup.join(&file.path), &beside)?;
        fs::rename(&beside, &to).map_err(BackupError::io("move", &beside))?;
    }
    Ok(())
}
