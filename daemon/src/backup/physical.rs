//! Physical backups: a copy of the cluster by pg_basebackup, whole by itself and the beginning of every recovery to a later moment.

use super::{
    BackupError, Progress,
    manifest::Physical,
    programs::{Programs, environment, run},
    store::{free_bytes, size_of},
};
use crate::{config::Settings, database::Database};
use serde::Deserialize;
use std::{fs, path::Path};

/// The copy's name in the backup.
pub(super) const BASE: &str = "base";

/// Room that a copy leaves on the disk, for what else goes on meanwhile.
const MARGIN_BYTES: u64 = 64 << 20;

/// What is read of PostgreSQL's backup_manifest.
#[derive(Deserialize)]
struct Ranges {
    #[serde(rename = "WAL-Ranges")]
    ranges: Vec<Range>,
}

#[derive(Deserialize)]
struct Range {
    #[serde(rename = "Timeline")]
    timeline: u32,
    #[serde(rename = "Start-LSN")]
    start: String,
    #[serde(rename = "End-LSN")]
    end: String,
}

/// Copies the cluster into the backup that is being made at `backup`.
pub(super) async fn copy(
    settings: &Settings,
    programs: &Programs,
    database: &Database,
    backup: &Path,
    progress: &Progress,
) -> Result<Physical, BackupError> {
    let failed = || BackupError::database("ask for the size of the cluster");
    let (total, system_identifier): (i64, String) = sqlx::query_as(
        "SELECT (SELECT sum(pg_database_size(oid)) FROM pg_database)::bigint,
                (SELECT system_identifier::text FROM pg_control_system())",
    )
    .fetch_one(database.owner_pool())
    .await
    .map_err(failed())?;
    let total = total.unsigned_abs();
    if let Some(free) = free_bytes(backup)
        && free < total.saturating_add(MARGIN_BYTES)
    {
        return Err(BackupError::DiskFull {
            path: backup.to_owned(),
            detail: format!(
                " for a copy of the cluster: {} MiB are free, about {} are needed",
                free >> 20,
                (total + MARGIN_BYTES) >> 20
            ),
        });
    }
    let base = backup.join(BASE);
    let mut command = programs.command("pg_basebackup")?;
    command
        .envs(environment(
            database.options(),
            &settings.database,
            "replication",
        ))
        .env_remove("PGDATABASE")
        .args(["--format=plain", "--wal-method=stream", "--checkpoint=fast"])
        .args([
            "--manifest-checksums=SHA256",
            "--no-password",
            "--label=trainmaster",
        ])
        .arg("--pgdata")
        .arg(&base);
    progress.at("copying the cluster", Some(0), Some(total));
    run(command, "pg_basebackup", &base, || {
        progress.at("copying the cluster", Some(size_of(&base)), Some(total));
    })
    .await?;
    check(programs, &base, progress).await?;
    describe(&base, system_identifier)
}

fn describe(base: &Path, system_identifier: String) -> Result<Physical, BackupError> {
    let path = base.join("backup_manifest");
    let text = fs::read(&path).map_err(BackupError::io("read", &path))?;
    let ranges: Ranges = serde_json::from_slice(&text)
        .map_err(|error| BackupError::io("read", &path)(error.into()))?;
    let (Some(first), Some(last)) = (ranges.ranges.first(), ranges.ranges.last()) else {
        return Err(BackupError::Program {
            program: "pg_basebackup",
            said: "its manifest names no write-ahead log".to_owned(),
        });
    };
    Ok(Physical {
        system_identifier,
        timeline: last.timeline,
        start_lsn: first.start.clone(),
        end_lsn: last.end.clone(),
    })
}

/// Whether every file is as it was copied, and the write-ahead log that belongs to it is whole.
pub(super) async fn check(
    programs: &Programs,
    base: &Path,
    progress: &Progress,
) -> Result<(), BackupError> {
    let mut command = programs.command("pg_verifybackup")?;
    command.args(["--exit-on-error", "--quiet"]).arg(base);
    progress.begin("checking the copy");
    run(command, "pg_verifybackup", base, || {}).await.map(drop)
}
