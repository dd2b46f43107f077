//! Which migrations a database has had, held against those that the program carries.

use super::{MigrateError, sets::SETS};
use chrono::{DateTime, Utc};
use sqlx::{PgPool, Row, postgres::PgRow};

/// A migration that this program carries.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MigrationStatus {
    /// The schema that it is for.
    pub set: &'static str,
    /// Its number within the set, from 1.
    pub number: i32,
    /// `NNNN_what_it_does`.
    pub name: &'static str,
    /// When the database had it; none when it has not.
    pub applied_at: Option<DateTime<Utc>>,
}

/// Every migration that this program carries, in order.
///
/// # Errors
/// [`MigrateError::Newer`] when the database was migrated by a newer program, [`MigrateError::Changed`] when a migration
/// is not what was applied.
pub async fn status(owner: &PgPool) -> Result<Vec<MigrationStatus>, MigrateError> {
    let applied = applied(owner).await?;
    for row in &applied {
        let known = SETS
            .iter()
            .find(|set| set.name == row.set)
            .and_then(|set| set.migrations.iter().find(|m| m.number == row.number));
        match known {
            None => {
                return Err(MigrateError::Newer {
                    set: row.set.clone(),
                    migration: row.name.clone(),
                    program_version: row.program_version.clone(),
                });
            }
            Some(migration) if migration.checksum() != row.checksum => {
                return Err(MigrateError::Changed {
                    set: row.set.clone(),
                    migration: row.name.clone(),
                    program_version: row.program_version.clone(),
                });
            }
            Some(_) => {}
        }
    }
    Ok(SETS
        .iter()
        .flat_map(|set| set.migrations.iter().map(move |migration| (set, migration)))
        .map(|(set, migration)| MigrationStatus {
            set: set.name,
            number: migration.number,
            name: migration.name,
            applied_at: applied
                .iter()
                .find(|row| row.set == set.name && row.number == migration.number)
                .map(|row| row.applied_at),
        })
        .collect())
}

struct Applied {
    set: String,
    number: i32,
    name: String,
    checksum: Vec<u8>,
    program_version: String,
    applied_at: DateTime<Utc>,
}

async fn applied(owner: &PgPool) -> Result<Vec<Applied>, MigrateError> {
    let read = sqlx::query(
        "SELECT set, number, name, checksum, program_version, applied_at FROM migrations.applied ORDER BY set, number",
    )
    .try_map(|row: PgRow| {
        Ok(Applied {
            set: row.try_get("set")?,
            number: row.try_get("number")?,
            name: row.try_get("name")?,
            checksum: row.try_get("checksum")?,
            program_version: row.try_get("program_version")?,
            applied_at: row.try_get("applied_at")?,
        })
    })
    .fetch_all(owner)
    .await;
    match read {
        // undefined_table: nothing was ever migrated here.
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P01") => {
            Ok(Vec::new())
        }
        other => other.map_err(MigrateError::Status),
    }
}
