//! Verifying: whatever is done to the rows behind the log's back is found and named.

use crate::fixture::{claim, empty_log, metadata, progress, register};
use trainmaster::log::{Fault, Finding, Log, Verified, VerifyError};
use trainmaster_domain::dataset::Dataset;

/// Three streams of 6, 6 and 6 events.
async fn filled_log() -> Log {
    let log = empty_log().await;
    for id in ["ds_1", "ds_2", "ds_3"] {
        let commands = [register(), claim(), progress(1), progress(2), progress(3)];
        for (n, command) in commands.into_iter().enumerate() {
            log.execute::<Dataset>(id, command, metadata(format!("{id} {n}")))
                .await
                .unwrap();
        }
    }
    log
}

/// What only a superuser can do.
pub async fn tamper(log: &Log, statement: &str) {
    let statement = format!(
        "ALTER TABLE log.events DISABLE TRIGGER ALL; {statement}; ALTER TABLE log.events ENABLE TRIGGER ALL; \
         ALTER TABLE log.events ENABLE ALWAYS TRIGGER append_only;"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
        .execute(log.pool())
        .await
        .unwrap();
}

async fn finding(log: &Log) -> Finding {
    match log.verify().await {
        Err(VerifyError::Broken(finding)) => finding,
        other => panic!("tampering was not found: {other:?}"),
    }
}

async fn assert_found(statement: &str, stream_id: &str, version: i64, fault: Fault) {
    let log = filled_log().await;
    // Other tests' transactions in this cluster may delay what can be noted.
    let mut noted = 0;
    while noted < 18 {
        noted += log.note_heads().await.unwrap();
        tokio::task::yield_now().await;
    }
    tamper(&log, statement).await;
    let finding = finding(&log).await;
    assert_eq!(
        (finding.stream_id.as_str(), finding.version, finding.fault),
        (stream_id, version, fault),
        "{statement}"
    );
    assert_eq!(
        finding.sequence.is_none(),
        fault == Fault::Missing,
        "{statement}"
    );
}

#[tokio::test]
async fn a_log_that_nobody_touched_is_without_fault() {
    let log = filled_log().await;
    let verified = log.verify().await.unwrap();
    assert_eq!((verified.events, verified.streams), (18, 3));
    assert_eq!(
        empty_log().await.verify().await.unwrap(),
        Verified::default()
    );
}

#[tokio::test]
async fn an_altered_column_is_found_whichever_it_is() {
    let altered = [
        ("sequence", "sequence + 1000", 4, Fault::Altered),
        ("transaction_id", "transaction_id + 1000", 4, Fault::Altered),
        ("version", "99", 4, Fault::Missing),
        ("version", "-1", -1, Fault::Duplicate),
        (
            "recorded_at",
            "recorded_at - interval '1 microsecond'",
            4,
            Fault::Altered,
        ),
        ("recorded_at", "'-infinity'", 4, Fault::Altered),
        ("schema_version", "2", 4, Fault::Altered),
        ("ordinal", "2", 4, Fault::Altered),
        ("category", "'model'", 4, Fault::Missing),
        ("stream_id", "'ds_9'", 4, Fault::Missing),
        ("type", "'Nothing'", 4, Fault::Altered),
        ("command_id", "'another'", 4, Fault::Altered),
        ("correlation_id", "'another'", 4, Fault::Altered),
        ("causation_id", "'no reason'", 4, Fault::Altered),
        // As the hash sees it, an empty text is none.
        ("causation_id", "''", 4, Fault::Altered),
        ("actor", "'someone else'", 4, Fault::Altered),
        ("traceparent", "'00-1-2-3'", 4, Fault::Altered),
        ("traceparent", "''", 4, Fault::Altered),
        ("payload", "'{\"percent\": 51}'", 4, Fault::Altered),
        ("previous_hash", "sha256('guess')", 4, Fault::Altered),
        ("previous_hash", "''", 4, Fault::Altered),
        ("hash", "sha256('guess')", 4, Fault::Altered),
        ("hash", "''", 4, Fault::Altered),
    ];
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT attname::text FROM pg_attribute WHERE attrelid = 'log.events'::regclass AND attnum > 0 AND NOT attisdropped",
    )
    .fetch_all(empty_log().await.pool())
    .await
    .unwrap();
    for column in columns {
        assert!(altered.iter().any(|(name, ..)| *name == column), "{column}");
    }
    let log = filled_log().await;
    tamper(
        &log,
        "CREATE TABLE kept AS SELECT * FROM log.events WHERE stream_id = 'ds_2' AND version = 4",
    )
    .await;
    for (column, value, version, fault) in altered {
        let statement = format!(
            "UPDATE log.events SET {column} = {value} WHERE stream_id = 'ds_2' AND version = 4"
        );
        tamper(&log, &statement).await;
        let found = finding(&log).await;
        assert_eq!(
            (found.stream_id.as_str(), found.version, found.fault),
            ("ds_2", version, fault),
            "{statement}"
        );
        tamper(
            &log,
            "DELETE FROM log.events WHERE command_id IN (SELECT command_id FROM kept UNION SELECT 'another') \
                OR sequence IN (SELECT sequence FROM kept); INSERT INTO log.events SELECT * FROM kept",
        )
        .await;
        log.verify().await.unwrap();
    }
}

#[tokio::test]
async fn an_event_that_was_altered_with_its_hash_is_found_by_the_next_one() {
    assert_found(&forge(4), "ds_2", 5, Fault::Unchained).await;
}

/// What a forger does who knows how the trigger computes the hash: another actor, and the hash that fits.
pub fn forge(version: i64) -> String {
    format!(
        "UPDATE log.events SET actor = 'someone else', hash = sha256(convert_to(concat_ws(E'\\n', encode(previous_hash, 'hex'), sequence, \
         transaction_id, version, encode(timestamptz_send(recorded_at), 'hex'), schema_version, ordinal, category, stream_id, type, \
         command_id, correlation_id, '', 'someone else', '', payload), 'UTF8')) WHERE stream_id = 'ds_2' AND version = {version}"
    )
}

#[tokio::test]
async fn the_last_event_of_a_stream_that_was_forged_is_found_by_what_was_noted_of_it() {
    assert_found(&forge(1), "ds_2", 2, Fault::Unchained).await;
    assert_found(&forge(6), "ds_2", 6, Fault::Altered).await;
}

#[tokio::test]
async fn two_versions_that_changed_places_are_found() {
    // The constraint that there is one row a version is a superuser's to drop.
    assert_found(
        "UPDATE log.events SET version = CASE version WHEN 4 THEN 105 ELSE 104 END WHERE stream_id = 'ds_2' AND version IN (4, 5); \
         UPDATE log.events SET version = version - 100 WHERE stream_id = 'ds_2' AND version > 100",
        "ds_2",
        4,
        Fault::Altered,
    )
    .await;
    let log = filled_log().await;
    tamper(
        &log,
        "ALTER TABLE log.open_events DROP CONSTRAINT events_1_stream_version; \
         CREATE INDEX again ON log.open_events (category, stream_id, version); \
         UPDATE log.events SET version = 4 WHERE stream_id = 'ds_2' AND version = 5",
    )
    .await;
    // Which of the two comes first is not said.
    let found = finding(&log).await;
    assert_eq!((found.stream_id.as_str(), found.version), ("ds_2", 4));
    assert!(matches!(found.fault, Fault::Altered | Fault::Duplicate));
}

#[tokio::test]
async fn streams_that_changed_places_are_found() {
    assert_found(
        "ALTER TABLE log.open_events DROP CONSTRAINT events_1_stream_version; \
         CREATE INDEX again ON log.open_events (category, stream_id, version); \
         UPDATE log.events SET stream_id = CASE stream_id WHEN 'ds_1' THEN 'ds_3' ELSE 'ds_1' END WHERE stream_id IN ('ds_1', 'ds_3')",
        "ds_1",
        1,
        Fault::Altered,
    )
    .await;
}

#[tokio::test]
async fn a_note_that_was_altered_is_found() {
    for statement in [
        "UPDATE log.heads SET hash = sha256('guess') WHERE stream_id = 'ds_2'",
        "UPDATE log.heads SET transaction_id = transaction_id + 1 WHERE stream_id = 'ds_2'",
    ] {
        let statement = format!(
            "ALTER TABLE log.heads DISABLE TRIGGER ALL; {statement}; ALTER TABLE log.heads ENABLE TRIGGER ALL"
        );
        assert_found(&statement, "ds_2", 6, Fault::Altered).await;
    }
}

#[tokio::test]
async fn a_settled_command_tells_that_its_stream_was_longer() {
    let log = filled_log().await;
    // Progress that was heard before.
    log.execute::<Dataset>("ds_2", progress(3), metadata("again"))
        .await
        .unwrap();
    assert_eq!(log.verify().await.unwrap().settled_commands, 1);
    tamper(
        &log,
        "DELETE FROM log.events WHERE stream_id = 'ds_2' AND version > 4",
    )
    .await;
    let found = finding(&log).await;
    assert_eq!(
        (found.stream_id.as_str(), found.version, found.fault),
        ("ds_2", 5, Fault::Missing)
    );

    let log = filled_log().await;
    sqlx::raw_sql(
        "INSERT INTO log.settled_commands (command_id, category, stream_id, version) VALUES ('ds_2 3', 'dataset', 'ds_2', 1)",
    )
    .execute(log.pool())
    .await
    .unwrap();
    let found = finding(&log).await;
    assert_eq!(
        (found.stream_id.as_str(), found.version, found.fault),
        ("ds_2", 5, Fault::Contradicted)
    );
}

#[tokio::test]
async fn a_log_in_segments_is_verified_across_their_borders() {
    let log = filled_log().await;
    for (n, id) in ["ds_1", "ds_2", "ds_2"].into_iter().enumerate() {
        let closed: Option<i32> = sqlx::query_scalar("SELECT log.close_segment()")
            .fetch_one(log.pool())
            .await
            .unwrap();
        assert!(closed.is_some());
        log.execute::<Dataset>(id, progress(4 + n as u64), metadata(format!("later {n}")))
            .await
            .unwrap();
    }
    let verified = log.verify().await.unwrap();
    assert_eq!((verified.events, verified.streams), (21, 3));
    // The last event before a border; the heads were not noted.
    tamper(&log, &forge(6)).await;
    let found = finding(&log).await;
    assert_eq!(
        (found.stream_id.as_str(), found.version, found.fault),
        ("ds_2", 7, Fault::Unchained)
    );
    tamper(
        &log,
        "DELETE FROM log.events WHERE stream_id = 'ds_2' AND version = 6",
    )
    .await;
    let found = finding(&log).await;
    assert_eq!(
        (found.stream_id.as_str(), found.version, found.fault),
        ("ds_2", 6, Fault::Missing)
    );
}

#[tokio::test]
async fn a_long_log_is_looked_at_in_parts_and_the_first_faulty_row_is_named_all_the_same() {
    let log = empty_log().await;
    sqlx::raw_sql(
        "INSERT INTO log.events (transaction_id, version, recorded_at, schema_version, ordinal, category, stream_id, type, command_id, \
         correlation_id, actor, payload, previous_hash, hash) \
         SELECT 0, version, '-infinity', 1, row_number() OVER (), 'training', 't_' || stream, 'MetricsRecorded', 'one', 'c', 'test', \
         '{\"step\": 1}', '', '' FROM generate_series(1, 3000) AS stream, generate_series(1, 20) AS version; ANALYZE log.events",
    )
    .execute(log.pool())
    .await
    .unwrap();
    let (sender, progress) = tokio::sync::watch::channel(Default::default());
    let verified = log.verify_with(Default::default(), &sender).await.unwrap();
    assert_eq!((verified.events, verified.streams), (60_000, 3_000));
    let told = *progress.borrow();
    assert_eq!(
        (told.done, told.total, told.unit),
        (60_000, 60_000, "events")
    );

    tamper(
        &log,
        "UPDATE log.events SET actor = 'x' WHERE stream_id IN ('t_999', 't_2', 't_1000') AND version = 20",
    )
    .await;
    let found = finding(&log).await;
    assert_eq!(
        (found.stream_id.as_str(), found.version),
        ("t_1000", 20),
        "it comes first in the order of text"
    );
}

#[tokio::test]
async fn a_removed_event_is_found_wherever_it_was() {
    assert_found(
        "DELETE FROM log.events WHERE stream_id = 'ds_2' AND version = 4",
        "ds_2",
        4,
        Fault::Missing,
    )
    .await;
    assert_found(
        "DELETE FROM log.events WHERE stream_id = 'ds_2' AND version = 1",
        "ds_2",
        1,
        Fault::Missing,
    )
    .await;
}

#[tokio::test]
async fn a_removed_end_is_found_and_a_removed_stream_too() {
    assert_found(
        "DELETE FROM log.events WHERE stream_id = 'ds_2' AND version = 6",
        "ds_2",
        6,
        Fault::Missing,
    )
    .await;
    assert_found(
        "DELETE FROM log.events WHERE stream_id = 'ds_3'",
        "ds_3",
        1,
        Fault::Missing,
    )
    .await;
}

#[tokio::test]
async fn an_inserted_event_is_found() {
    assert_found(
        "INSERT INTO log.events (transaction_id, version, recorded_at, schema_version, ordinal, category, stream_id, type, command_id, \
         correlation_id, actor, payload, previous_hash, hash) \
         SELECT transaction_id, 7, recorded_at, 1, 1, category, stream_id, type, 'forged', 'c', 'test', payload, hash, sha256('guess') \
         FROM log.events WHERE stream_id = 'ds_1' AND version = 6",
        "ds_1",
        7,
        Fault::Altered,
    )
    .await;
}

#[tokio::test]
async fn two_events_that_changed_places_are_found() {
    assert_found(
        "UPDATE log.events AS e SET payload = other.payload FROM log.events AS other \
         WHERE e.stream_id = 'ds_2' AND other.stream_id = 'ds_2' AND e.version IN (4, 5) AND other.version IN (4, 5) AND other.version <> e.version",
        "ds_2",
        4,
        Fault::Altered,
    )
    .await;
}

#[tokio::test]
async fn heads_are_noted_once() {
    let (_cluster, log) = crate::fixture::empty_log_alone().await;
    for id in ["ds_1", "ds_2"] {
        log.execute::<Dataset>(id, register(), metadata(id))
            .await
            .unwrap();
    }
    assert_eq!(log.note_heads().await.unwrap(), 4);
    assert_eq!(log.note_heads().await.unwrap(), 0);
    assert_eq!(log.verify().await.unwrap().heads, 2);
    log.execute::<Dataset>("ds_1", claim(), metadata("c"))
        .await
        .unwrap();
    assert_eq!(log.note_heads().await.unwrap(), 1);
    assert_eq!(log.verify().await.unwrap().heads, 3);
}

#[tokio::test]
async fn heads_are_noted_once_more_before_the_end() {
    let (_cluster, log) = crate::fixture::empty_log_alone().await;
    log.execute::<Dataset>("ds_1", register(), metadata("c1"))
        .await
        .unwrap();
    let shutdown = tokio_util::sync::CancellationToken::new();
    shutdown.cancel();
    log.keep_noting_heads(std::time::Duration::from_secs(3600), shutdown)
        .await;
    assert_eq!(log.verify().await.unwrap().heads, 1);
}
