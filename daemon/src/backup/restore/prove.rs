//! Whether a restored database is what was backed up, and making it ready to take the place of the live one.

use super::Restore;
use crate::{
    backup::{BackupError, Kind, Progress, Target, logical},
    database::Database,
    log::Log,
    migrate,
};
use chrono::{DateTime, Utc};

/// What is known of a restored log that was found as it was written.
#[derive(Debug)]
pub(in crate::backup) struct Proof {
    pub position: Option<String>,
    pub recorded_at: Option<DateTime<Utc>>,
    pub events: u64,
    pub streams: u64,
}

/// Compares the log with the backup or the target, migrates, checks every event, and notes that the log was taken back.
pub(super) async fn prove(
    restore: &Restore,
    database: &Database,
    progress: &Progress,
) -> Result<Proof, BackupError> {
    progress.begin("checking the restored log");
    let owner = database.owner_pool();
    let failed = || BackupError::database("look at the restored log");
    let mut connection = owner.acquire().await.map_err(failed())?;
    let head = logical::head(&mut connection).await?;
    drop(connection);
    let expected = &restore.manifest.head;
    if restore.manifest.kind == Kind::Logical && head != *expected {
        return Err(BackupError::Unproved(format!(
            "it has {} events up to {}, not {} up to {}",
            head.events,
            head.position.as_deref().unwrap_or("none"),
            expected.events,
            expected.position.as_deref().unwrap_or("none"),
        )));
    }
    if restore.manifest.kind == Kind::Physical && head.events < expected.events {
        return Err(BackupError::Unproved(format!(
            "it has {} events, and there were {} when the backup began",
            head.events, expected.events
        )));
    }
    match restore.target {
        Some(Target::Time(time)) if head.recorded_at.is_some_and(|at| at > time) => {
            return Err(BackupError::Unproved(format!("it goes on after {time}")));
        }
        Some(Target::Position(position)) => {
            let is_there: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT FROM log.events WHERE transaction_id = $1 AND sequence = $2)",
            )
            .bind(position.transaction.cast_signed())
            .bind(position.sequence)
            .fetch_one(owner)
            .await
            .map_err(failed())?;
            if !is_there {
                return Err(BackupError::Unproved(format!("it has no event {position}")));
            }
        }
        _ => {}
    }
    migrate::up(owner).await?;
    let verified = Log::new(database.pool().clone())
        .archived_in(restore.settings.archive_directory())
        .verify()
        .await
        .map_err(BackupError::Unverified)?;
    let mut transaction = owner.begin().await.map_err(failed())?;
    sqlx::query("INSERT INTO recovery.restores (id, backup, restored_to) VALUES ($1, $2, $3)")
        .bind(ulid::Ulid::generate().to_string())
        .bind(&restore.manifest.id)
        .bind(head.position.as_deref().unwrap_or("0-0"))
        .execute(&mut *transaction)
        .await
        .map_err(failed())?;
    // How far journals were read is found out anew: they may be other ones by now.
    sqlx::query("DELETE FROM dispatch.runs")
        .execute(&mut *transaction)
        .await
        .map_err(failed())?;
    transaction.commit().await.map_err(failed())?;
    Ok(Proof {
        position: head.position,
        recorded_at: head.recorded_at,
        events: verified.events,
        streams: verified.streams,
    })
}
