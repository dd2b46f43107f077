//! Migrations: numbered, reversible, embedded in the program, applied at start and by command.
//!
//! sqlx has a migrator too. It holds a session's advisory lock, which a connection pooler in transaction mode leaks and a failed
//! migration leaves on a pooled connection, keeps one table for one set, and cannot tell a database that is ahead of the program from a
//! damaged one. This one takes its lock for the transaction that also migrates and records, so a migration is there as a
//! whole or not at all, and daemons that start at once wait for each other.

mod error;
mod sets;
mod status;

pub use error::MigrateError;
pub use status::{MigrationStatus, status};

use crate::queue;
use sets::{Migration, SETS, Set};
use sqlx::{PgConnection, PgPool};
use tracing::info;

/// Guards the schema `migrations` and everything that they do. Any number will do that nobody else takes.
const LOCK: i64 = 0x7472_6169_6e6d_6173;

/// Applies what is not applied yet, in order, and what the queue's own schema (`apalis`) lacks; then lets the log go on if it was restored from elsewhere. Returns what it applied.
///
/// # Errors
/// [`MigrateError::Newer`] when the database was migrated by a newer program, [`MigrateError::Changed`] when a migration
/// is not what was applied, [`MigrateError::Apply`] when one fails; then those before it stay applied.
/// [`MigrateError::Queue`] when the queue's schema cannot be made.
pub async fn up(owner: &PgPool) -> Result<Vec<String>, MigrateError> {
    let mut applied = Vec::new();
    // Looking takes no lock: the usual start finds nothing to do.
    if status(owner)
        .await?
        .iter()
        .any(|migration| migration.applied_at.is_none())
    {
        for set in SETS {
            for migration in set.migrations {
                if apply(owner, set, migration).await? {
                    info!(set = set.name, migration = migration.name, "migrated");
                    applied.push(format!("{}/{}", set.name, migration.name));
                }
            }
        }
    }
    queue::setup(owner).await?;
    let continued: bool = sqlx::query_scalar("SELECT log.continue_after_restore()")
        .fetch_one(owner)
        .await
        .map_err(MigrateError::Continue)?;
    if continued {
        info!("the log was restored from another cluster and goes on in a new epoch");
    }
    Ok(applied)
}

/// Takes back the migrations of `set` that are numbered above `to`, the newest first. Returns what it took back. What they
/// created goes, with its data.
///
/// # Errors
/// [`MigrateError::UnknownSet`], and as [`up`].
pub async fn down(owner: &PgPool, set: &str, to: i32) -> Result<Vec<String>, MigrateError> {
    let set =
        SETS.iter()
            .find(|known| known.name == set)
            .ok_or_else(|| MigrateError::UnknownSet {
                given: set.to_owned(),
                known: SETS.iter().map(|set| set.name).collect(),
            })?;
    let newest = status(owner)
        .await?
        .iter()
        .filter(|migration| migration.set == set.name && migration.applied_at.is_some())
        .map(|migration| migration.number)
        .max()
        .unwrap_or(0);
    let mut reverted = Vec::new();
    for migration in set
        .migrations
        .iter()
        .rev()
        .filter(|m| m.number > to && m.number <= newest)
    {
        if revert(owner, set, migration).await? {
            info!(set = set.name, migration = migration.name, "taken back");
            reverted.push(format!("{}/{}", set.name, migration.name));
        }
    }
    Ok(reverted)
}

async fn apply(owner: &PgPool, set: &Set, migration: &Migration) -> Result<bool, MigrateError> {
    let failed = |source| MigrateError::Apply {
        set: set.name,
        migration: migration.name,
        source,
    };
    let mut transaction = owner.begin().await.map_err(MigrateError::Connect)?;
    lock(&mut transaction).await.map_err(failed)?;
    sqlx::raw_sql(include_str!("migrate/table.sql"))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    if is_applied(&mut transaction, set, migration)
        .await
        .map_err(failed)?
    {
        return Ok(false);
    }
    sqlx::raw_sql(migration.up)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    sqlx::query("INSERT INTO migrations.applied (set, number, name, checksum, program_version) VALUES ($1, $2, $3, $4, $5)")
        .bind(set.name)
        .bind(migration.number)
        .bind(migration.name)
        .bind(migration.checksum())
        .bind(env!("CARGO_PKG_VERSION"))
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(true)
}

async fn revert(owner: &PgPool, set: &Set, migration: &Migration) -> Result<bool, MigrateError> {
    let failed = |source| MigrateError::Revert {
        set: set.name,
        migration: migration.name,
        source,
    };
    let mut transaction = owner.begin().await.map_err(MigrateError::Connect)?;
    lock(&mut transaction).await.map_err(failed)?;
    if !is_applied(&mut transaction, set, migration)
        .await
        .map_err(failed)?
    {
        return Ok(false);
    }
    sqlx::raw_sql(migration.down)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    sqlx::query("DELETE FROM migrations.applied WHERE set = $1 AND number = $2")
        .bind(set.name)
        .bind(migration.number)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(true)
}

async fn lock(transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(transaction)
        .await?;
    Ok(())
}

async fn is_applied(
    transaction: &mut PgConnection,
    set: &Set,
    migration: &Migration,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM migrations.applied WHERE set = $1 AND number = $2)",
    )
    .bind(set.name)
    .bind(migration.number)
    .fetch_one(transaction)
    .await
}
