//! Events a second that `trainmaster log verify` looks at, and the memory of the process that does: `--events N` (200,000 unless given)
//! realistic ones, trainings with metrics, in a Postgres of its own.

use std::{process::ExitCode, time::Instant};
use trainmaster::{log::Log, migrate};
use trainmaster_tests::postgres::Cluster;

/// Events a second.
const TARGET: f64 = 200_000.0;
/// Events of a training.
const STREAM: i64 = 500;
/// Events of a transaction.
const BATCH: i64 = 20_000;
const TURNS: usize = 3;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let events: i64 = match (arguments.next().as_deref(), arguments.next()) {
        (None, _) => 200_000,
        (Some("--events"), Some(count)) => count.parse().expect("--events wants a number"),
        _ => {
            eprintln!("usage: verify [--events N]");
            return ExitCode::from(2);
        }
    };
    let cluster = Cluster::start_with(&["shared_buffers=512MB", "max_wal_size=4GB", "fsync=off"]);
    let pool = cluster.database().await.pool().await;
    migrate::up(&pool).await.expect("cannot migrate");
    let begin = Instant::now();
    let mut done = 0;
    while done < events {
        let count = BATCH.min(events - done);
        sqlx::query(include_str!("verify/fill.sql"))
            .bind(done)
            .bind(count)
            .bind(STREAM)
            .execute(&pool)
            .await
            .expect("cannot fill the log");
        done += count;
    }
    sqlx::raw_sql("VACUUM ANALYZE log.events")
        .execute(&pool)
        .await
        .expect("cannot analyze");
    let size: i64 = sqlx::query_scalar(
        "SELECT avg(pg_column_size(e.*))::bigint FROM log.events AS e TABLESAMPLE SYSTEM (5)",
    )
    .fetch_one(&pool)
    .await
    .expect("cannot measure");
    println!(
        "{events} events of {size} bytes, appended in {:.1} s",
        begin.elapsed().as_secs_f64()
    );
    let log = Log::new(pool);
    log.note_heads().await.expect("cannot note heads");
    let mut best: f64 = 0.0;
    for _ in 0..TURNS {
        let begin = Instant::now();
        let verified = log.verify().await.expect("the log is not verified");
        let seconds = begin.elapsed().as_secs_f64();
        assert_eq!(verified.events, events.unsigned_abs());
        #[allow(clippy::cast_precision_loss, reason = "a rate")]
        let rate = events as f64 / seconds;
        println!("{rate:.0} events/s ({seconds:.2} s), {}", peak());
        best = best.max(rate);
    }
    if best >= TARGET {
        ExitCode::SUCCESS
    } else {
        eprintln!("below {TARGET} events/s");
        ExitCode::FAILURE
    }
}

/// The most memory that this process has had.
fn peak() -> String {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
            Some(format!("peak memory {}", line.split_once(':')?.1.trim()))
        })
        .unwrap_or_else(|| "peak memory unknown".to_owned())
}
