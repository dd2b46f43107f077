//! One-event durable appends a second, by the statement that the log uses, against a plain INSERT of the same row into a table of the same
//! columns and indexes, each through a pool like the daemon's.

use sqlx::{
    PgPool,
    postgres::{PgPoolOptions, PgRow},
};
use std::{
    process::ExitCode,
    time::{Duration, Instant},
};
use trainmaster::migrate;
use trainmaster_tests::postgres::Cluster;

/// Each measurement, after which the peer has its turn.
const SLICE: Duration = Duration::from_millis(1500);
/// What the log must reach of the plain INSERTs.
const TARGET: f64 = 0.7;
/// Pairs of measurements for a number of writers.
const ROUNDS: usize = 7;
const PLAIN: &str = include_str!("append/plain.sql");
const LOG: &str = include_str!("../../../daemon/src/log/append/one.sql");

#[tokio::main]
async fn main() -> ExitCode {
    // As the daemon's own Postgres is set, not as the tests'.
    let cluster = Cluster::start_with(&[
        "fsync=on",
        "shared_buffers=512MB",
        "wal_buffers=16MB",
        "max_wal_size=1GB",
        "autovacuum=on",
    ]);
    let database = cluster.database().await;
    let pool = PgPoolOptions::new()
        .min_connections(32)
        .max_connections(32)
        .test_before_acquire(false)
        .connect_with(database.options())
        .await
        .expect("cannot connect");
    migrate::up(&pool).await.expect("cannot migrate");
    sqlx::raw_sql("CREATE TABLE plain (LIKE log.open_events INCLUDING DEFAULTS INCLUDING INDEXES)")
        .execute(&pool)
        .await
        .expect("cannot create the plain table");
    println!(
        "writers  plain/s    log/s  ratio   (medians of {ROUNDS} turns each; the ratio of each pair: lowest to highest)"
    );
    let mut turn = 0;
    let mut is_fast_enough = true;
    for writers in [1, 8, 32] {
        let mut pairs = Vec::new();
        for _ in 0..=ROUNDS {
            turn += 1;
            let plain = rate(&pool, PLAIN, writers, turn).await;
            let log = rate(&pool, LOG, writers, turn).await;
            pairs.push((plain, log));
        }
        // The first pair warms up.
        is_fast_enough &= report(writers, &pairs[1..]) >= TARGET;
    }
    if is_fast_enough {
        ExitCode::SUCCESS
    } else {
        eprintln!("below {TARGET} of plain INSERTs");
        ExitCode::FAILURE
    }
}

/// Appends a second.
async fn rate(pool: &PgPool, statement: &'static str, writers: usize, turn: usize) -> f64 {
    let start = Instant::now();
    let tasks: Vec<_> = (0..writers)
        .map(|writer| {
            let pool = pool.clone();
            let stream = format!("tr_01jc4v9e3nq8w2k7x5h6m0p1r{turn}_{writer}");
            tokio::spawn(async move { write(&pool, statement, &stream, start + SLICE).await })
        })
        .collect();
    let mut appended = 0;
    for task in tasks {
        appended += task.await.expect("a writer panicked");
    }
    appended as f64 / start.elapsed().as_secs_f64()
}

/// Appends one event after the other until `end`; each waits for the disk.
async fn write(pool: &PgPool, statement: &'static str, stream: &str, end: Instant) -> u32 {
    let payload = serde_json::json!({
        "lease": 1, "seq": 17, "first_step": 100, "loss": [0.5, 0.25, 0.125, 0.0625], "l0": [31.0, 30.5, 30.25, 30.0],
    });
    let mut version = 0_u32;
    while Instant::now() < end {
        let inserted: Option<PgRow> = sqlx::query(statement)
            .bind("training")
            .bind(stream)
            .bind(i64::from(version))
            .bind(format!("{stream} {version}"))
            .bind("01jc4v9e3nq8w2k7x5h6m0p1rt")
            .bind(None::<&str>)
            .bind("trainer")
            .bind("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
            .bind("MetricsRecorded")
            .bind(1)
            .bind(&payload)
            .fetch_optional(pool)
            .await
            .expect("cannot append");
        assert!(inserted.is_some(), "an event was not appended");
        version += 1;
    }
    version
}

/// Prints a line and returns the median of the ratios.
fn report(writers: usize, pairs: &[(f64, f64)]) -> f64 {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let mut ratios: Vec<f64> = pairs.iter().map(|(plain, log)| log / plain).collect();
    ratios.sort_by(f64::total_cmp);
    let ratio = ratios[ratios.len() / 2];
    println!(
        "{writers:>7} {:>8.0} {:>8.0}   {:.2}   ({:.2} to {:.2})",
        median(pairs.iter().map(|pair| pair.0).collect()),
        median(pairs.iter().map(|pair| pair.1).collect()),
        ratio,
        ratios[0],
        ratios[ratios.len() - 1],
    );
    ratio
}
