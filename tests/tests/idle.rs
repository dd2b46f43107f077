//! What a daemon costs that has nothing to do: one query an interval, and next to no time of the processor.
#![allow(clippy::unwrap_used, reason = "a test may")]

use sqlx::PgPool;
use std::{
    fs,
    time::{Duration, Instant},
};
use trainmaster_tests::{
    lab::{Lab, Steps},
    postgres::Cluster,
};

/// Between two heartbeats of a quiet daemon.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// So many of them are watched.
const BEATS: u32 = 8;
/// How long a daemon may take to come to rest.
const REST: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_quiet_daemon_asks_the_database_one_thing_an_interval() {
    let mut lab = Lab::on(Cluster::start_with(&[
        "fsync = off",
        "shared_preload_libraries = 'pg_stat_statements'",
    ]))
    .await;
    sqlx::query("CREATE EXTENSION pg_stat_statements")
        .execute(lab.pool())
        .await
        .unwrap();
    lab.set("DISPATCH__HEARTBEAT_INTERVAL_SECONDS", "2");
    lab.set("DISPATCH__POLL_INTERVAL_SECONDS", "0.5");
    lab.set("PROJECTOR__POLL_INTERVAL_SECONDS", "0.5");
    // A watchdog that wants an answer, and telemetry that is sent: neither may ask for more.
    lab.set_environment("WATCHDOG_USEC", "2000000");
    lab.set_environment("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    let daemon = lab.start();
    let furniture = lab.furnish().await;
    let steps = Steps {
        total: 10,
        checkpoint_every: 10,
        batch: 64,
    };
    let id = lab.train(&furniture, steps);
    lab.wait_for_status("trainings", &id, &["completed"]).await;
    daemon.stop();

    // It begins with a log and a queue that have seen something, and has noted how far the streams have got.
    let daemon = lab.start();
    let begun = Instant::now();
    loop {
        let restless = asked_within(lab.pool(), 2 * HEARTBEAT).await;
        if restless.iter().map(|(calls, _)| calls).sum::<i64>() <= 3 {
            break;
        }
        assert!(
            begun.elapsed() < REST,
            "it does not come to rest: {restless:#?}"
        );
    }

    let before = switches(daemon.pid());
    let asked = asked_within(lab.pool(), BEATS * HEARTBEAT).await;
    let woken = switches(daemon.pid()) - before;
    let calls: i64 = asked.iter().map(|(calls, _)| calls).sum();
    assert!(
        calls >= i64::from(BEATS) - 2,
        "its heart stopped: {asked:#?}"
    );
    assert!(
        calls <= i64::from(BEATS) + 1,
        "more than heartbeats: {asked:#?}"
    );
    assert_eq!(asked.len(), 1, "more than one thing: {asked:#?}");

    // A heartbeat, a tick of the watchdog and the pools' own housekeeping wake a few threads each.
    let most = u64::from(BEATS) * 40;
    assert!(
        woken <= most,
        "its threads were woken {woken} times in {BEATS} intervals; at most {most} was expected"
    );

    // And it is awake: what is asked of it now is done at once, what another process appends is seen at the next heartbeat.
    let id = lab.train(&furniture, steps);
    lab.wait_for_status("trainings", &id, &["completed"]).await;
}

/// What the daemon asks within `time`, and how often. What the test asks itself is left out.
async fn asked_within(pool: &PgPool, time: Duration) -> Vec<(i64, String)> {
    let mut test = pool.acquire().await.unwrap();
    sqlx::query("SELECT pg_stat_statements_reset()")
        .execute(&mut *test)
        .await
        .unwrap();
    tokio::time::sleep(time).await;
    sqlx::query_as(
        "SELECT calls, query FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%' ORDER BY calls DESC",
    )
    .fetch_all(&mut *test)
    .await
    .unwrap()
}

/// How often the threads of a process have been woken.
fn switches(pid: u32) -> u64 {
    fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("status")).ok())
        .filter_map(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
            line.trim().parse::<u64>().ok()
        })
        .sum()
}
