//! What a queue may do to its tasks at worst.

use super::fault::Kind;
use sqlx::PgPool;
use std::time::{Duration, Instant};

/// Does it again and again for a while. False when there was no task to do it to.
pub(super) async fn tamper(pool: &PgPool, kind: Kind, length: Duration, choice: u64) -> bool {
    let statement = match kind {
        // Copies of what waits, and what was done already once more.
        Kind::QueueRepeat if choice & 1 == 0 => {
            "INSERT INTO apalis.jobs (job, id, job_type, status, attempts, max_attempts, run_at, priority)
             SELECT job, substr(id, 1, 10) || upper(substr(md5(id || random()::text), 1, 16)), job_type, 'Pending', 0, 1, run_at, priority
               FROM apalis.jobs ORDER BY run_at DESC LIMIT 5"
        }
        Kind::QueueRepeat => {
            "UPDATE apalis.jobs SET status = 'Pending', attempts = 0, max_attempts = 1, lock_by = NULL, lock_at = NULL, done_at = NULL
              WHERE id IN (SELECT id FROM apalis.jobs ORDER BY run_at DESC LIMIT 10)"
        }
        Kind::QueueReorder => {
            "UPDATE apalis.jobs SET run_at = now() - random() * interval '1 hour', priority = (random() * 10)::int
              WHERE status = 'Pending'"
        }
        // What no program of ours would write.
        Kind::QueueGarbage if choice & 1 == 0 => {
            "INSERT INTO apalis.jobs (job, id, job_type, status, attempts, max_attempts, run_at, priority)
             SELECT job, 'x' || md5(random()::text), job_type, 'Pending', 0, 1, run_at, priority FROM apalis.jobs LIMIT 1"
        }
        Kind::QueueGarbage => {
            "INSERT INTO apalis.jobs (job, id, job_type, status, attempts, max_attempts, run_at, priority)
             SELECT '{', substr(id, 1, 10) || upper(substr(md5(id || random()::text), 1, 16)), job_type, 'Pending', 0, 1, run_at, priority
               FROM apalis.jobs LIMIT 1"
        }
        _ => "DELETE FROM apalis.jobs WHERE status IN ('Pending', 'Queued')",
    };
    let begun = Instant::now();
    let mut met = false;
    while begun.elapsed() < length {
        // Postgres may be away just now.
        if let Ok(done) = sqlx::query(statement).execute(pool).await {
            met |= done.rows_affected() > 0;
            if met && matches!(kind, Kind::QueueRepeat | Kind::QueueGarbage) {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    met
}
