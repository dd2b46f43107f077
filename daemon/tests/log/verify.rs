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
async fn tamper(log: &Log, statement: &'static str) {
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

async fn assert_found(statement: &'static str, stream_id: &str, version: i64, fault: Fault) {
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
    assert_eq!(finding.sequence.is_none(), fault == Fault::Missing);
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
async fn an_altered_column_is_found() {
    for statement in [
        "UPDATE log.events SET payload = '{\"percent\": 51}' WHERE stream_id = 'ds_2' AND version = 4",
        "UPDATE log.events SET type = 'Nothing' WHERE stream_id = 'ds_2' AND version = 4",
        "UPDATE log.events SET actor = 'someone else' WHERE stream_id = 'ds_2' AND version = 4",
        "UPDATE log.events SET causation_id = 'no reason' WHERE stream_id = 'ds_2' AND version = 4",
        "UPDATE log.events SET command_id = 'another' WHERE stream_id = 'ds_2' AND version = 4",
        "UPDATE log.events SET schema_version = 2 WHERE stream_id = 'ds_2' AND version = 4",
        "UPDATE log.events SET recorded_at = recorded_at - interval '1 microsecond' WHERE stream_id = 'ds_2' AND version = 4",
        "UPDATE log.events SET transaction_id = transaction_id + 1000 WHERE stream_id = 'ds_2' AND version = 4",
    ] {
        assert_found(statement, "ds_2", 4, Fault::Altered).await;
    }
}

#[tokio::test]
async fn an_event_that_was_altered_with_its_hash_is_found_by_the_next_one() {
    // As the trigger computes it, for a row of another actor.
    assert_found(
        "UPDATE log.events SET actor = 'someone else', hash = sha256(convert_to(concat_ws(E'\\n', encode(previous_hash, 'hex'), sequence, \
         transaction_id, version, encode(timestamptz_send(recorded_at), 'hex'), schema_version, ordinal, category, stream_id, type, \
         command_id, correlation_id, '', 'someone else', '', payload), 'UTF8')) WHERE stream_id = 'ds_2' AND version = 4",
        "ds_2",
        5,
        Fault::Unchained,
    )
    .await;
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
