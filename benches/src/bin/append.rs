//! One-event durable appends a second, by the statement that the log uses, against a plain INSERT of the same row into a table of the same
//! columns and indexes, each through a pool like the daemon's.
//!
//! With `--filled EVENTS` instead: a log that holds so many events already against an empty one, each in a database of its own of the
//! same server. `--segment EVENTS` closes a segment whenever it has so many, as the daemon does with archive.after_days.

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

/// What a filled log must reach of an empty one.
const FILLED_TARGET: f64 = 0.9;
/// Events that one statement fills in: each command is a lock until its end.
const FILLED_AT_ONCE: i64 = 2_000;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        let value = arguments.get(at + 1).and_then(|value| value.parse().ok());
        Some(value.unwrap_or_else(|| panic!("{name} needs a number of events")))
    };
    // As the daemon's own Postgres is set, not as the tests'.
    let cluster = Cluster::start_with(&[
        "fsync=on",
        "shared_buffers=512MB",
        "wal_buffers=16MB",
        "max_wal_size=1GB",
        "autovacuum=on",
    ]);
    match number("--filled") {
        Some(events) => filled(&cluster, events, number("--segment")).await,
        None => plain(&cluster).await,
    }
}

/// A pool of an empty log.
async fn log(cluster: &Cluster) -> PgPool {
    let database = cluster.database().await;
    let pool = PgPoolOptions::new()
        .min_connections(32)
        .max_connections(32)
        .test_before_acquire(false)
        .connect_with(database.options())
        .await
        .expect("cannot connect");
    migrate::up(&pool).await.expect("cannot migrate");
    pool
}

async fn plain(cluster: &Cluster) -> ExitCode {
    let pool = log(cluster).await;
    sqlx::raw_sql("CREATE TABLE plain (LIKE log.open_events INCLUDING DEFAULTS INCLUDING INDEXES)")
        .execute(&pool)
        .await
        .expect("cannot create the plain table");
    println!(
        "writers  plain/s    log/s  ratio   (medians of {ROUNDS} turns each; the ratio of each pair: lowest to highest)"
    );
    compare((&pool, PLAIN), (&pool, LOG), TARGET, "plain INSERTs").await
}

async fn filled(cluster: &Cluster, events: i64, segment: Option<i64>) -> ExitCode {
    let (empty, filled) = (log(cluster).await, log(cluster).await);
    fill(&filled, events, segment).await;
    println!(
        "writers  empty/s filled/s  ratio   ({events} events; medians of {ROUNDS} turns each; the ratio of each pair: lowest to highest)"
    );
    compare((&empty, LOG), (&filled, LOG), FILLED_TARGET, "an empty log").await
}

/// Fills a log with the metrics of trainings, 10,000 events each, through the trigger that chains them.
async fn fill(pool: &PgPool, events: i64, segment: Option<i64>) {
    let begin = Instant::now();
    let mut in_segment = 0;
    let mut done = 0;
    while done < events {
        let count = FILLED_AT_ONCE.min(events - done);
        sqlx::query(include_str!("append/fill.sql"))
            .bind(done)
            .bind(count)
            .execute(pool)
            .await
            .expect("cannot fill the log");
        done += count;
        in_segment += count;
        if segment.is_some_and(|segment| in_segment >= segment) {
            sqlx::query("SELECT log.close_segment()")
                .execute(pool)
                .await
                .expect("cannot close a segment");
            in_segment = 0;
        }
        eprint!("\r{done} events, {:.0} s", begin.elapsed().as_secs_f64());
    }
    eprintln!();
    // Each by itself: VACUUM runs in no transaction.
    for tidy in ["VACUUM ANALYZE log.open_events", "CHECKPOINT"] {
        sqlx::raw_sql(tidy)
            .execute(pool)
            .await
            .expect("cannot tidy up");
    }
}

async fn compare(
    one: (&PgPool, &'static str),
    other: (&PgPool, &'static str),
    target: f64,
    what: &str,
) -> ExitCode {
    let mut turn = 0;
    let mut is_fast_enough = true;
    for writers in [1, 8, 32] {
        let mut pairs = Vec::new();
        for _ in 0..=ROUNDS {
            turn += 1;
            let one = rate(one.0, one.1, writers, turn).await;
            let other = rate(other.0, other.1, writers, turn).await;
            pairs.push((one, other));
        }
        // The first pair warms up.
        is_fast_enough &= report(writers, &pairs[1..]) >= target;
    }
    if is_fast_enough {
        ExitCode::SUCCESS
    } else {
        eprintln!("below {target} of {what}");
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
