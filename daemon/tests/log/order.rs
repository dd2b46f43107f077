//! The order of the log: whoever reads it from position to position sees every event once, whatever order transactions commit in.

use crate::fixture::{claim, empty_log, empty_log_alone, metadata, progress, register};
use sqlx::PgConnection;
use std::collections::HashSet;
use trainmaster::log::Log;
use trainmaster_domain::{Position, RecordedEvent, dataset::Dataset};

/// Appends to a stream in the caller's transaction, as `Log` does in one of its own.
async fn append(connection: &mut PgConnection, stream: &str) {
    let appended: bool = sqlx::query_scalar(
        "SELECT appended FROM log.append('dataset', $1, 0, 'register ' || $1, 'c', NULL, 'test', NULL, \
         '{DatasetRetried}', '{1}', ARRAY['{\"automatic\": false}'::jsonb], ARRAY[NULL::jsonb], ARRAY[NULL::timestamptz])",
    )
    .bind(stream)
    .fetch_one(connection)
    .await
    .unwrap();
    assert!(appended);
}

fn streams(events: &[RecordedEvent]) -> Vec<&str> {
    events
        .iter()
        .map(|event| event.stream.id.as_str())
        .collect()
}

#[tokio::test]
async fn what_commits_late_is_read_late_and_not_skipped() {
    let (_cluster, log) = empty_log_alone().await;
    let mut early = log.pool().begin().await.unwrap();
    append(&mut early, "early").await;
    let mut late = log.pool().begin().await.unwrap();
    append(&mut late, "late").await;
    late.commit().await.unwrap();
    // `late` is committed, but `early` may still come before it.
    assert!(log.read(Position::START, 10).await.unwrap().is_empty());
    assert_eq!(log.head().await.unwrap(), Position::START);
    early.commit().await.unwrap();
    let events = log.read(Position::START, 10).await.unwrap();
    assert_eq!(streams(&events), ["early", "late"]);
    assert_eq!(log.head().await.unwrap(), events[1].position);
}

#[tokio::test]
async fn a_transaction_that_drew_its_id_first_and_its_sequence_last_comes_first() {
    let (_cluster, log) = empty_log_alone().await;
    let mut first = log.pool().begin().await.unwrap();
    append(&mut first, "first").await;
    let mut second = log.pool().begin().await.unwrap();
    append(&mut second, "second").await;
    append(&mut first, "first again").await;
    first.commit().await.unwrap();
    // `second` is open, yet what is before it can be read.
    let events = log.read(Position::START, 10).await.unwrap();
    assert_eq!(streams(&events), ["first", "first again"]);
    second.commit().await.unwrap();
    let rest = log.read(events[1].position, 10).await.unwrap();
    assert_eq!(streams(&rest), ["second"]);
    assert!(rest[0].position.sequence < events[1].position.sequence);
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_holds_nobody_up_and_leaves_nothing() {
    let (_cluster, log) = empty_log_alone().await;
    let mut gone = log.pool().begin().await.unwrap();
    append(&mut gone, "gone").await;
    let mut kept = log.pool().begin().await.unwrap();
    append(&mut kept, "kept").await;
    kept.commit().await.unwrap();
    gone.rollback().await.unwrap();
    let events = log.read(Position::START, 10).await.unwrap();
    assert_eq!(streams(&events), ["kept"]);
}

#[tokio::test]
async fn unrelated_writers_do_not_wait_for_each_other() {
    let (_cluster, log) = empty_log_alone().await;
    let mut one = log.pool().begin().await.unwrap();
    let mut other = log.pool().begin().await.unwrap();
    // Each would wait for the other for ever if appends shared a lock; with a lock timeout that is an error at once.
    for transaction in [&mut one, &mut other] {
        sqlx::query("SET LOCAL lock_timeout = '1ms'")
            .execute(&mut **transaction)
            .await
            .unwrap();
    }
    append(&mut one, "one").await;
    append(&mut other, "other").await;
    append(&mut one, "one more").await;
    append(&mut other, "other more").await;
    other.commit().await.unwrap();
    one.commit().await.unwrap();
    assert_eq!(log.read(Position::START, 10).await.unwrap().len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_among_many_writers_sees_every_event_once_and_in_order() {
    const WRITERS: usize = 8;
    const STREAMS: usize = 12;
    let log = empty_log().await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(log.clone(), writer)))
        .collect();
    let total = WRITERS * STREAMS * 4;
    let mut seen: Vec<RecordedEvent> = Vec::new();
    let mut wake = log.appended();
    while seen.len() < total {
        wake.mark_unchanged();
        let after = seen.last().map_or(Position::START, |event| event.position);
        let page = log.read(after, 7).await.unwrap();
        if page.is_empty() {
            // The last append of all wakes before it may be read if another transaction is still about to end.
            let pause = std::time::Duration::from_millis(5);
            tokio::time::timeout(pause, wake.changed()).await.ok();
        }
        seen.extend(page);
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(
        log.read(seen[total - 1].position, 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(seen.is_sorted_by(|a, b| a.position < b.position));
    let unique: HashSet<_> = seen.iter().map(|event| event.position.sequence).collect();
    assert_eq!(unique.len(), total);
    let again = log.read(Position::START, total + 1).await.unwrap();
    assert_eq!(again, seen);

    async fn write(log: Log, writer: usize) {
        for stream in 0..STREAMS {
            let id = format!("ds_{writer}_{stream}");
            for (name, command) in [("r", register()), ("c", claim()), ("p", progress(1))] {
                log.execute::<Dataset>(&id, command, metadata(format!("{name} {id}")))
                    .await
                    .unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_transaction_that_would_stand_before_what_it_follows_is_refused() {
    let (_cluster, log) = empty_log_alone().await;
    let mut early = log.pool().begin().await.unwrap();
    append(&mut early, "its own").await;
    log.execute::<Dataset>("ds_1", register(), metadata("c1"))
        .await
        .unwrap();
    let refused = sqlx::query(
        "SELECT log.append('dataset', 'ds_1', 2, 'c2', 'c', NULL, 'test', NULL, \
         '{DatasetRetried}', '{1}', ARRAY['{\"automatic\": false}'::jsonb], ARRAY[NULL::jsonb], ARRAY[NULL::timestamptz])",
    )
    .execute(&mut *early)
    .await
    .unwrap_err();
    let code = refused
        .into_database_error()
        .unwrap()
        .code()
        .unwrap()
        .into_owned();
    assert_eq!(code, "40001");
}
