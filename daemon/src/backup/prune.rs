//! Letting old backups go, and the write-ahead log that no backup needs any more.

use super::{BackupError, Kind, Manifest, Store, wal};
use crate::{
    config::{BackupSettings, Settings},
    postgres::archive_of,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use std::{
    fs, io,
    path::Path,
    time::{Duration, SystemTime},
};

/// What went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// The backups.
    pub backups: Vec<String>,
    /// Segments of the write-ahead log.
    pub segments: u64,
    /// Their bytes.
    pub segment_bytes: u64,
}

/// Removes what the settings say is old. The newest backup of each kind always stays, and a damaged one is left for a person to look at.
///
/// # Errors
/// Something cannot be removed; then the rest stays for the next time.
pub fn prune(settings: &Settings, now: DateTime<Utc>) -> Result<Pruned, BackupError> {
    let store = Store::new(settings.backup_directory());
    let mut pruned = Pruned::default();
    if !store.directory().is_dir() {
        return Ok(pruned);
    }
    let _lock = store.lock()?;
    let manifests = store.manifests()?;
    for id in old(&manifests, &settings.backup, now) {
        store.remove(&id)?;
        pruned.backups.push(id);
    }
    if let Some(directory) = &settings.postgres.wal_archive {
        let kept = manifests
            .iter()
            .filter(|manifest| !pruned.backups.contains(&manifest.id))
            .filter_map(|manifest| manifest.physical.as_ref());
        let days = u64::from(settings.backup.wal_days);
        let older_than = SystemTime::from(now) - Duration::from_secs(days * 86_400);
        for cluster in clusters(directory)? {
            // The segment before which nothing leads anywhere.
            let first = kept
                .clone()
                .filter(|copy| copy.system_identifier == cluster)
                .filter_map(|copy| wal::Segment::at(copy.timeline, &copy.start_lsn))
                .min_by_key(|segment| segment.number);
            let archive = wal::archive(&archive_of(directory, &cluster))?;
            let (segments, bytes) = archive.prune(first, older_than)?;
            pruned.segments += segments;
            pruned.segment_bytes += bytes;
        }
    }
    Ok(pruned)
}

/// The clusters whose write-ahead log is kept.
fn clusters(directory: &Path) -> Result<Vec<String>, BackupError> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        entries => entries.map_err(BackupError::io("list", directory))?,
    };
    let names = entries.flatten().filter(|entry| entry.path().is_dir());
    Ok(names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect())
}

/// Those that are old, of manifests with the oldest first.
fn old(manifests: &[Manifest], settings: &BackupSettings, now: DateTime<Utc>) -> Vec<String> {
    let before = |days: u32| now - TimeDelta::days(i64::from(days));
    let of = |kind: Kind| {
        let all: Vec<&Manifest> = manifests.iter().filter(|m| m.kind == kind).collect();
        all
    };
    let logical = of(Kind::Logical);
    let (_, older) = logical.split_last().unzip();
    let logical_before = before(settings.logical_days);
    let mut ids: Vec<String> = older
        .unwrap_or_default()
        .iter()
        .filter(|manifest| manifest.finished_at < logical_before)
        .map(|manifest| manifest.id.clone())
        .collect();
    // The log can reach back only as far as the newest copy that is older still.
    let wal_before = before(settings.wal_days);
    let physical = of(Kind::Physical);
    let needed = physical
        .iter()
        .rposition(|manifest| manifest.finished_at < wal_before);
    let gone = physical.get(..needed.unwrap_or(0)).unwrap_or_default();
    ids.extend(gone.iter().map(|manifest| manifest.id.clone()));
    ids
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::manifest::{Artifacts, FORMAT, Head};

    fn made(kind: Kind, days_ago: i64, now: DateTime<Utc>) -> Manifest {
        let at = now - TimeDelta::days(days_ago);
        Manifest {
            format: FORMAT,
            id: format!("{days_ago}-{kind}"),
            kind,
            started_at: at,
            finished_at: at,
            program_version: String::new(),
            server_version: String::new(),
            server_major: 15,
            state_directory: String::new(),
            head: Head {
                events: 0,
                position: None,
                hash: None,
                recorded_at: None,
                transaction_base: 0,
            },
            read_models: false,
            roles: vec![],
            files: vec![],
            size_bytes: 0,
            physical: None,
            artifacts: Artifacts::default(),
        }
    }

    #[test]
    fn the_newest_stays_and_so_does_the_copy_that_the_log_begins_at() {
        let now = Utc::now();
        let settings = BackupSettings::default();
        let all = |list: &[(Kind, i64)]| -> Vec<Manifest> {
            list.iter()
                .map(|(kind, days)| made(*kind, *days, now))
                .collect()
        };
        use Kind::{Logical, Physical};
        let manifests = all(&[
            (Logical, 40),
            (Physical, 22),
            (Physical, 15),
            (Logical, 31),
            (Logical, 29),
            (Physical, 8),
            (Physical, 1),
        ]);
        let mut manifests = manifests;
        manifests.sort_by_key(|manifest| manifest.finished_at);
        assert_eq!(
            old(&manifests, &settings, now),
            ["40-logical", "31-logical", "22-physical", "15-physical"]
        );
        let only = all(&[(Logical, 400), (Physical, 400)]);
        assert!(old(&only, &settings, now).is_empty());
    }
}
