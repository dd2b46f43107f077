//! The queries of ops/monitoring, run as the role that they are for.

use crate::fixture::World;
use sqlx::{AssertSqlSafe, Row};
use std::{fs, path::Path};

/// Every file: its name and its text.
fn files() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/monitoring");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// Tables that have something to tell: rows that were deleted, statements that were run, a lock that is waited for.
async fn live(world: &World) {
    sqlx::raw_sql(
        "CREATE TABLE public.busy AS SELECT g AS id, repeat('x', 100) AS word FROM generate_series(1, 5000) g;
         CREATE INDEX never_used ON public.busy (word);
         ANALYZE public.busy;
         DELETE FROM public.busy WHERE id % 2 = 0",
    )
    .execute(&world.owner)
    .await
    .unwrap();
    // In a transaction of its own it counts what the others have left.
    sqlx::raw_sql("ANALYZE")
        .execute(&world.owner)
        .await
        .unwrap();
    for _ in 0..6 {
        sqlx::query("SELECT count(*) FROM public.busy")
            .execute(&world.owner)
            .await
            .unwrap();
    }
    sqlx::query("SELECT pg_stat_force_next_flush()")
        .execute(&world.owner)
        .await
        .ok();
}

#[tokio::test]
async fn every_query_says_what_it_tells_when_to_worry_and_what_to_do() {
    let files = files();
    assert!(files.len() >= 22, "{}", files.len());
    for (name, text) in files {
        let mut lines = text.lines();
        assert!(lines.next().unwrap().starts_with("-- "), "{name}");
        assert!(
            lines.next().unwrap().starts_with("-- Worry when: "),
            "{name}"
        );
        assert!(lines.next().unwrap().starts_with("-- Then: "), "{name}");
        // What the server has called otherwise since 13, or never did.
        for wrong in ["total_time", "mean_time", " tablename", " indexname"] {
            assert!(!text.contains(wrong), "{name}: {wrong}");
        }
    }
}

#[tokio::test]
async fn every_query_runs_as_the_monitor_and_those_of_a_living_database_have_rows() {
    let world = World::new(&[
        "shared_preload_libraries = 'pg_stat_statements'",
        "pg_stat_statements.track = all",
    ])
    .await;
    live(&world).await;
    let blocker = {
        let mut transaction = world.owner.begin().await.unwrap();
        sqlx::query("LOCK TABLE public.busy IN SHARE MODE")
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction
    };
    let pool = world.owner.clone();
    let waiting = tokio::spawn(async move {
        sqlx::query("DELETE FROM public.busy WHERE id = 1")
            .execute(&pool)
            .await
    });
    let monitor = world.member_of("trainmaster_monitor").await;
    let waits = "SELECT count(*) FROM monitoring.waiting_locks WHERE kind = 'relation'";
    while sqlx::query_scalar::<_, i64>(waits)
        .fetch_one(&monitor)
        .await
        .unwrap()
        == 0
    {
        tokio::task::yield_now().await;
    }
    // A database that is quiet has none of these.
    let may_be_empty = ["replication", "queue", "runs"];
    for (name, text) in files() {
        let rows = sqlx::query(AssertSqlSafe(text))
            .fetch_all(&monitor)
            .await
            .unwrap_or_else(|error| panic!("ops/monitoring/{name}.sql: {error}"));
        assert!(
            !rows.is_empty() || may_be_empty.contains(&name.as_str()),
            "ops/monitoring/{name}.sql tells nothing"
        );
        match name.as_str() {
            "waiting_locks" => {
                assert_eq!(rows[0].get::<String, _>("relation"), "busy");
                assert_eq!(rows[0].get::<Vec<i32>, _>("blocked_by").len(), 1);
            }
            "slow_statements" => assert!(
                rows.iter().any(|row| row
                    .get::<String, _>("query")
                    .contains("SELECT count(*) FROM public.busy")),
                "{name}"
            ),
            "unused_indexes" => assert!(
                rows.iter()
                    .any(|row| row.get::<String, _>("index_name") == "never_used")
            ),
            "dead_rows" => {
                let busy = rows
                    .iter()
                    .find(|row| row.get::<String, _>("table_name") == "busy")
                    .unwrap();
                assert!(busy.get::<i64, _>("dead_rows") >= 2500);
            }
            "bloat" => {
                let busy = rows
                    .iter()
                    .find(|row| row.get::<String, _>("table_name") == "busy")
                    .unwrap();
                let percent: f64 = sqlx::query_scalar(
                    "SELECT bloat_percent::float8 FROM monitoring.bloat WHERE table_name = 'busy'",
                )
                .fetch_one(&monitor)
                .await
                .unwrap();
                assert!(
                    (35.0..65.0).contains(&percent),
                    "{percent}: half of the rows are gone"
                );
                assert!(busy.get::<i64, _>("bloat_bytes") > 100_000);
            }
            "projections" => {
                assert_eq!(rows[0].get::<String, _>("read_model"), "mistudio");
                assert_eq!(rows[0].get::<i64, _>("behind_events"), 0);
            }
            "outbox" => assert_eq!(rows[0].get::<i64, _>("waiting"), 1),
            "stray_rows" => assert!(rows.iter().all(|row| row.get::<i64, _>("stray_rows") == 0)),
            "long_transactions" => assert!(rows.len() >= 2),
            _ => {}
        }
    }
    blocker.rollback().await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn without_the_library_statements_are_empty_and_no_error() {
    let world = World::new(&[]).await;
    let monitor = world.member_of("trainmaster_monitor").await;
    let rows = sqlx::query("SELECT * FROM monitoring.statements")
        .fetch_all(&monitor)
        .await
        .unwrap();
    assert!(rows.is_empty());
}

#[tokio::test]
async fn the_doctor_looks_at_the_database_alone_and_changes_nothing() {
    let world = World::new(&["shared_preload_libraries = 'pg_stat_statements'"]).await;
    live(&world).await;
    let source = trainmaster::config::Source {
        environment: vec![(
            "TRAINMASTER_DATABASE__URL".to_owned(),
            world.database.url().to_owned(),
        )],
        ..Default::default()
    };
    let report = trainmaster::doctor::examine_database(&source).await;
    let text = report.to_string();
    assert!(!report.failed(), "{text}");
    let outcome = |report: &trainmaster::doctor::Report, name: &str| {
        report
            .checks
            .iter()
            .find(|check| check.name == name)
            .map(|check| check.outcome)
    };
    for name in [
        "monitoring.role",
        "monitoring.connections",
        "monitoring.archiver",
        "monitoring.outbox",
        "monitoring.projections",
        "monitoring.stray_rows",
        "monitoring.slow_statements",
        "database.disk",
    ] {
        assert!(
            outcome(&report, name).is_some(),
            "{name} is missing: {text}"
        );
    }
    assert_eq!(
        outcome(&report, "monitoring.projections"),
        Some(trainmaster::doctor::Outcome::Ok),
        "{text}"
    );

    // What is wrong is found, each under its name, with advice.
    sqlx::raw_sql(
        "UPDATE projection.offsets SET stopped_at = now(), stopped_because = 'an event of the future';
         UPDATE log.outbox SET created_at = now() - interval '1 hour', not_before = NULL;
         DROP OWNED BY trainmaster_monitor; DROP ROLE trainmaster_monitor",
    )
    .execute(&world.owner)
    .await
    .unwrap();
    let report = trainmaster::doctor::examine_database(&source).await;
    let text = report.to_string();
    for (name, expected) in [
        (
            "monitoring.projections",
            trainmaster::doctor::Outcome::Failed,
        ),
        ("monitoring.outbox", trainmaster::doctor::Outcome::Failed),
        ("monitoring.role", trainmaster::doctor::Outcome::Warning),
    ] {
        assert_eq!(outcome(&report, name), Some(expected), "{name}: {text}");
    }
    assert!(report.failed());
    assert!(text.contains("an event of the future"), "{text}");
}
