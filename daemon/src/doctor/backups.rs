//! Are there backups, are they recent, and is the write-ahead log being kept?

use super::{Report, size};
use crate::{
    backup::{Kind, Store, archive},
    config::Settings,
    database::Database,
    postgres::archive_of,
};
use chrono::{TimeDelta, Utc};

/// A nightly backup that is older was missed.
const LOGICAL_HOURS: i64 = 50;
/// A weekly one.
const PHYSICAL_DAYS: i64 = 15;

pub(super) fn examine(report: &mut Report, settings: &Settings) {
    let store = Store::new(settings.backup_directory());
    let manifests = match store.manifests() {
        Ok(manifests) => manifests,
        Err(error) => {
            report.warning("backups", error.to_string(), "look at backup.directory");
            return;
        }
    };
    let now = Utc::now();
    let newest = |kind| {
        manifests
            .iter()
            .rev()
            .find(|manifest| manifest.kind == kind)
    };
    let place = store.directory().display();
    match newest(Kind::Logical).or(newest(Kind::Physical)) {
        None => report.warning(
            "backups",
            format!("none in {place}"),
            "trainmaster backup create; systemctl enable --now trainmaster-backup.timer makes one every night",
        ),
        Some(manifest) if now - manifest.finished_at > TimeDelta::hours(LOGICAL_HOURS) => report
            .warning(
                "backups",
                format!("the newest in {place} is of {}", manifest.finished_at),
                "see why trainmaster-backup.timer made none (journalctl -u trainmaster-backup)",
            ),
        Some(manifest) => report.ok(
            "backups",
            format!("{} in {place}, the newest {}", manifests.len(), manifest.id),
        ),
    }
    if settings.postgres.wal_archive.is_some()
        && newest(Kind::Physical)
            .is_none_or(|manifest| now - manifest.finished_at > TimeDelta::days(PHYSICAL_DAYS))
    {
        report.warning(
            "backups.physical",
            "postgres.wal_archive is set, and no recent physical backup begins the way through it: it grows, and leads nowhere",
            "systemctl enable --now trainmaster-backup-physical.timer, or trainmaster backup create --kind physical",
        );
    }
}

/// What the server says about it.
pub(super) async fn examine_archive(report: &mut Report, settings: &Settings, database: &Database) {
    let Some(directory) = &settings.postgres.wal_archive else {
        return;
    };
    if settings.database.url.is_some() {
        return;
    }
    let name = "postgres.wal_archive";
    let found: Result<(String, i64, bool, i64, String), sqlx::Error> = sqlx::query_as(
        "SELECT current_setting('archive_mode'), failed_count,
                coalesce(last_failed_time > coalesce(last_archived_time, '-infinity'), false),
                (SELECT coalesce(sum(size), 0)::bigint FROM pg_ls_waldir()),
                (SELECT system_identifier::text FROM pg_control_system())
           FROM pg_stat_archiver",
    )
    .fetch_one(database.owner_pool())
    .await;
    match found {
        Err(error) => report.warning(name, error.to_string(), "see the server's log"),
        Ok((mode, ..)) if mode == "off" => report.warning(
            name,
            "it is set, and the server runs without it",
            "restart the daemon",
        ),
        Ok((_, failed, true, waiting, _)) => report.warning(
            name,
            format!(
                "the server cannot write to {} ({failed} attempts failed); {} of write-ahead log wait in the state directory and grow",
                directory.display(),
                size(waiting.unsigned_abs())
            ),
            "make room there, or correct its owner; the reason is in the server's log (postgres/log in the state directory)",
        ),
        Ok((_, _, false, _, cluster)) => match archive(&archive_of(directory, &cluster)) {
            Ok(archive) => report.ok(
                name,
                format!(
                    "{} segments, {}, in {}",
                    archive.len(),
                    size(archive.bytes()),
                    directory.display()
                ),
            ),
            Err(error) => report.warning(name, error.to_string(), "see the message"),
        },
    }
}
