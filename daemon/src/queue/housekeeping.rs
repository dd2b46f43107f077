//! The queue's tables: made, opened to the daemon's role, and kept small.

use super::{QueueOptions, QueueTask};
use apalis_postgres::PostgresStorage;
use sqlx::PgPool;
use std::time::Duration;
use ulid::Ulid;

/// Why the queue's tables cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A migration of apalis failed.
    #[error("the queue's tables (schema apalis) cannot be made; they need the extension hstore")]
    Migrate(#[source] Box<apalis_postgres::Error>),
    /// The daemon's role cannot be let in.
    #[error(
        "the role trainmaster_daemon cannot be allowed to use the queue's tables (schema apalis)"
    )]
    Grant(#[source] sqlx::Error),
}

/// Makes or upgrades the schema `apalis`, as the database's owner, and lets the daemon's role use it.
///
/// # Errors
/// [`SetupError`].
pub async fn setup(owner: &PgPool) -> Result<(), SetupError> {
    PostgresStorage::<()>::setup(owner)
        .await
        .map_err(|source| SetupError::Migrate(Box::new(source)))?;
    sqlx::raw_sql(
        // One after the other: daemons that start at once would change the same rows of the catalogue.
        "SELECT pg_advisory_xact_lock(hashtextextended('trainmaster queue', 0));
         GRANT USAGE ON SCHEMA apalis TO trainmaster_daemon;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA apalis TO trainmaster_daemon;
         DO $$ BEGIN
             IF to_regprocedure('monitoring.tune_queue()') IS NOT NULL THEN PERFORM monitoring.tune_queue(); END IF;
         END $$;",
    )
    .execute(owner)
    .await
    .map_err(SetupError::Grant)?;
    Ok(())
}

/// Gives tasks that were taken long ago, and not done, to whoever fetches next: who took them is gone. Answers how many.
///
/// # Errors
/// What the database says.
pub async fn rescue(pool: &PgPool, options: &QueueOptions) -> Result<u64, sqlx::Error> {
    let rescued = sqlx::query(
        "UPDATE apalis.jobs
            SET status = 'Pending', lock_by = NULL, lock_at = NULL, run_at = least(run_at, now()),
                attempts = attempts + CASE status WHEN 'Pending' THEN 0 ELSE 1 END
          WHERE job_type = $1
            AND (   status IN ('Queued', 'Running')
                    AND (lock_at < now() - make_interval(secs => $2) OR lock_at > now() + interval '1 minute')
                 OR status = 'Pending' AND run_at > now() + interval '1 minute')",
    )
    .bind(&options.name)
    .bind(options.abandoned_after.as_secs_f64())
    .execute(pool)
    .await?;
    Ok(rescued.rows_affected())
}

/// Puts tasks aside that nobody can read: apalis would end its worker over the first of them, and each worker after it. What they were
/// about is not lost: reconciliation looks at the log. Answers how many there were, of a thousand at most.
///
/// # Errors
/// What the database says.
pub async fn put_aside_unreadable(
    pool: &PgPool,
    options: &QueueOptions,
) -> Result<u64, sqlx::Error> {
    let waiting: Vec<(String, Vec<u8>)> = sqlx::query_as(
        "SELECT id, job FROM apalis.jobs WHERE job_type = $1 AND status NOT IN ('Done', 'Killed')
          ORDER BY priority DESC, run_at LIMIT 1000",
    )
    .bind(&options.name)
    .fetch_all(pool)
    .await?;
    let unreadable: Vec<String> = waiting
        .into_iter()
        .filter(|(id, job)| {
            Ulid::from_string(id).is_err() || serde_json::from_slice::<QueueTask>(job).is_err()
        })
        .map(|(id, _)| id)
        .collect();
    if unreadable.is_empty() {
        return Ok(0);
    }
    let aside = sqlx::query(
        "UPDATE apalis.jobs SET status = 'Killed', lock_by = NULL, lock_at = NULL, done_at = now() WHERE id = ANY ($1)",
    )
    .bind(&unreadable)
    .execute(pool)
    .await?;
    Ok(aside.rows_affected())
}

/// Removes finished tasks that are old, and workers that are long gone. Answers how many tasks went.
///
/// # Errors
/// What the database says.
pub async fn prune(pool: &PgPool, options: &QueueOptions) -> Result<u64, sqlx::Error> {
    let keep = options.keep_finished.as_secs_f64();
    let missed = u32::try_from(options.missed_heartbeats).unwrap_or(u32::MAX);
    let gone_after = options
        .heartbeat_interval
        .saturating_mul(missed.saturating_add(1))
        .max(Duration::from_secs(3600));
    let tasks = sqlx::query(
        "DELETE FROM apalis.jobs
          WHERE job_type = $1
            AND (status IN ('Done', 'Killed') OR (status = 'Failed' AND attempts >= max_attempts))
            AND done_at < now() - make_interval(secs => $2)",
    )
    .bind(&options.name)
    .bind(keep)
    .execute(pool)
    .await?
    .rows_affected();
    sqlx::query(
        "DELETE FROM apalis.workers
          WHERE worker_type = $1
            AND last_seen < now() - make_interval(secs => $2)
            AND NOT EXISTS (SELECT FROM apalis.jobs WHERE jobs.lock_by = workers.id)",
    )
    .bind(&options.name)
    .bind(keep.max(gone_after.as_secs_f64()))
    .execute(pool)
    .await?;
    Ok(tasks)
}
