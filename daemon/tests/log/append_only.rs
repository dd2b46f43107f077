//! Append-only in the database itself, whoever asks and however.

use crate::fixture::{empty_log, metadata, register};
use sqlx::{AssertSqlSafe, PgPool};
use trainmaster::log::Log;
use trainmaster_domain::dataset::Dataset;

async fn one_dataset() -> Log {
    let log = empty_log().await;
    log.execute::<Dataset>("ds_1", register(), metadata("c1"))
        .await
        .unwrap();
    log
}

/// Runs statements in a transaction that is rolled back, and says the SQLSTATE.
async fn attempt(pool: &PgPool, statements: &str) -> Result<(), String> {
    let mut transaction = pool.begin().await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
        .execute(&mut *transaction)
        .await
        .map(drop)
        .map_err(|error| {
            let error = error.into_database_error().unwrap();
            error.code().unwrap().into_owned()
        })
}

const CHANGES: [&str; 8] = [
    "UPDATE log.events SET payload = '{}'",
    "DELETE FROM log.events",
    "TRUNCATE log.events",
    "UPDATE log.open_events SET payload = '{}'",
    "DELETE FROM log.open_events",
    "TRUNCATE log.open_events",
    "DELETE FROM log.settled_commands",
    "DELETE FROM log.heads",
];

#[tokio::test]
async fn the_daemon_s_role_may_not_change_what_happened() {
    let log = one_dataset().await;
    for change in CHANGES {
        let refused = attempt(
            log.pool(),
            &format!("SET LOCAL ROLE trainmaster_daemon; {change}"),
        )
        .await;
        assert_eq!(refused, Err("42501".to_owned()), "{change}");
    }
    for change in [
        "ALTER TABLE log.events DISABLE TRIGGER ALL",
        "DROP TABLE log.events",
        "SELECT log.continue_after_restore()",
        "SET LOCAL session_replication_role = replica",
    ] {
        let refused = attempt(
            log.pool(),
            &format!("SET LOCAL ROLE trainmaster_daemon; {change}"),
        )
        .await;
        assert_eq!(refused, Err("42501".to_owned()), "{change}");
    }
}

#[tokio::test]
async fn not_even_a_superuser_may_unless_the_trigger_is_switched_off_first() {
    let log = one_dataset().await;
    for change in CHANGES {
        for before in ["", "SET LOCAL session_replication_role = replica;"] {
            let refused = attempt(log.pool(), &format!("{before} {change}")).await;
            assert_eq!(refused, Err("42501".to_owned()), "{before} {change}");
        }
    }
    attempt(
        log.pool(),
        "ALTER TABLE log.events DISABLE TRIGGER ALL; DELETE FROM log.events",
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn the_daemon_s_role_is_all_that_the_log_needs() {
    let log = one_dataset().await;
    let options = log.pool().connect_options().as_ref().clone();
    let pool = PgPool::connect_with(options.options([("role", "trainmaster_daemon")]))
        .await
        .unwrap();
    let role: String = sqlx::query_scalar("SELECT current_user::text")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(role, "trainmaster_daemon");
    let log = Log::new(pool);
    let executed = log
        .execute::<Dataset>("ds_2", register(), metadata("c2"))
        .await
        .unwrap();
    assert_eq!(executed.version, 2);
    log.note_heads().await.unwrap();
    log.head().await.unwrap();
    assert_eq!(log.verify().await.unwrap().streams, 2);
    sqlx::query("DELETE FROM log.outbox")
        .execute(log.pool())
        .await
        .unwrap();
}

/// An INSERT of the daemon's role that says of each column what it likes.
const FORGERY: &str = "INSERT INTO log.open_events (sequence, transaction_id, version, recorded_at, schema_version, ordinal, category, \
    stream_id, type, command_id, correlation_id, actor, payload, previous_hash, hash) OVERRIDING SYSTEM VALUE \
    VALUES (99, 1, 3, '1970-01-01', 1, 1, 'dataset', 'ds_1', 'DatasetRetried', 'c2', 'c', 'test', '{\"automatic\": false}', 'x', 'y')";

#[tokio::test]
async fn a_plain_insert_cannot_forge_time_transaction_or_hash() {
    let log = one_dataset().await;
    let mut transaction = log.pool().begin().await.unwrap();
    // Not even with functions and operators of one's own.
    sqlx::raw_sql(
        "CREATE SCHEMA evil; CREATE FUNCTION evil.join(bytea, bytea) RETURNS bytea LANGUAGE sql RETURN '\\x00'::bytea;
         CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql RETURN '1970-01-01'::timestamptz;
         CREATE FUNCTION evil.sha256(bytea) RETURNS bytea LANGUAGE sql RETURN '\\x00'::bytea;
         CREATE OPERATOR evil.|| (leftarg = bytea, rightarg = bytea, function = evil.join);
         GRANT USAGE ON SCHEMA evil TO trainmaster_daemon;
         SET LOCAL search_path = evil, pg_catalog; SET LOCAL ROLE trainmaster_daemon",
    )
    .execute(&mut *transaction)
    .await
    .unwrap();
    sqlx::query(FORGERY)
        .execute(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    let verified = log.verify().await.unwrap();
    assert_eq!(verified.events, 3);
    let stream = trainmaster_domain::StreamId::new(trainmaster_domain::Category::Dataset, "ds_1");
    let events = log.read_stream(&stream, 0, 10).await.unwrap();
    assert!(events.is_sorted_by(|a, b| a.position < b.position && a.recorded_at <= b.recorded_at));
}

#[tokio::test]
async fn a_stream_grows_only_at_its_end() {
    let log = one_dataset().await;
    for (from, to, code) in [
        ("(99, 1, 3,", "(99, 1, 4,", "23000"),
        ("(99, 1, 3,", "(99, 1, 2,", "23505"),
    ] {
        let refused = attempt(log.pool(), &FORGERY.replace(from, to)).await;
        assert_eq!(refused, Err(code.to_owned()));
    }
    assert_eq!(attempt(log.pool(), FORGERY).await, Ok(()));
}

#[tokio::test]
async fn a_text_that_could_be_taken_for_two_is_refused() {
    let log = one_dataset().await;
    let refused = attempt(
        log.pool(),
        &FORGERY.replace("'c', 'test'", "E'c\\ntest', 'test'"),
    )
    .await;
    assert_eq!(refused, Err("23514".to_owned()));
}
