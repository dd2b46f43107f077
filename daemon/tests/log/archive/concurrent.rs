//! Segments close and leave while others append and read.

use super::World;
use crate::fixture::{claim, empty_log_alone, metadata, progress, register};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use trainmaster::log::Log;
use trainmaster_domain::{Position, RecordedEvent, dataset::Dataset};

const WRITERS: usize = 4;
const STREAMS: usize = 6;
const REPORTS: u64 = 12;

async fn write(log: Log, writer: usize) -> Vec<RecordedEvent> {
    let mut written = Vec::new();
    for stream in 0..STREAMS {
        let id = format!("ds_{writer}_{stream}");
        let mut commands = vec![register(), claim()];
        commands.extend((1..=REPORTS).map(progress));
        for (n, command) in commands.into_iter().enumerate() {
            let executed = log
                .execute::<Dataset>(&id, command, metadata(format!("{id} {n}")))
                .await
                .unwrap();
            assert!(!executed.repeated);
            written.extend(executed.events);
        }
    }
    written
}

/// Follows the log until it is `quiet`, and then to its end.
async fn follow(log: Log, quiet: Arc<AtomicBool>) -> Vec<RecordedEvent> {
    let mut seen: Vec<RecordedEvent> = Vec::new();
    loop {
        let is_last = quiet.load(Ordering::SeqCst);
        let at = seen.last().map_or(Position::START, |event| event.position);
        let page = log.read(at, 7).await.unwrap();
        if page.is_empty() {
            if is_last {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        seen.extend(page);
    }
}

/// Reads everything from the beginning, again and again.
async fn read_anew(log: Log, done: Arc<AtomicBool>) {
    while !done.load(Ordering::SeqCst) {
        let events = log.read(Position::START, 10_000).await.unwrap();
        let mut versions: BTreeMap<String, u64> = BTreeMap::new();
        for event in events {
            let version = versions.entry(event.stream.id.clone()).or_default();
            *version += 1;
            assert_eq!(event.version, *version, "of {}", event.stream);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_skipped_or_doubled_while_segments_close_and_leave() {
    let (_cluster, log) = empty_log_alone().await;
    let world = World::on(log);
    let done = Arc::new(AtomicBool::new(false));
    // Nobody holds readers back any more, so that the end is the end.
    let quiet = Arc::new(AtomicBool::new(false));
    let followers =
        [&world.log, &world.fresh()].map(|log| tokio::spawn(follow(log.clone(), quiet.clone())));
    let reader = tokio::spawn(read_anew(world.fresh(), done.clone()));
    let closing = {
        let (archiver, done) = (world.archiver.clone(), done.clone());
        tokio::spawn(async move {
            let mut closed = 0;
            while !done.load(Ordering::SeqCst) {
                closed += usize::from(archiver.close().await.unwrap().is_some());
                if closed % 2 == 0 {
                    archiver.archive(chrono::Utc::now()).await.unwrap();
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            closed
        })
    };
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(world.log.clone(), writer)))
        .collect();
    let mut written = Vec::new();
    for writer in writers {
        written.extend(writer.await.unwrap());
    }
    done.store(true, Ordering::SeqCst);
    assert!(closing.await.unwrap() > 1);
    reader.await.unwrap();
    quiet.store(true, Ordering::SeqCst);
    written.sort_by_key(|event| event.position);
    assert_eq!(written.len(), WRITERS * STREAMS * (3 + REPORTS as usize));
    for follower in followers {
        let seen = follower.await.unwrap();
        assert!(seen == written, "{} of {}", seen.len(), written.len());
    }
}

#[tokio::test]
async fn who_holds_an_old_transaction_appends_to_the_new_segment() {
    let (_cluster, log) = empty_log_alone().await;
    log.execute::<Dataset>("ds_1", register(), metadata("c1"))
        .await
        .unwrap();
    let world = World::on(log);
    // It has its transaction id, and writes only after the closing.
    let mut early = world.log.pool().begin().await.unwrap();
    sqlx::query("SELECT pg_current_xact_id()")
        .execute(&mut *early)
        .await
        .unwrap();
    assert_eq!(world.archiver.close().await.unwrap(), Some(1));
    let late = world
        .log
        .execute::<Dataset>("ds_2", register(), metadata("c2"))
        .await
        .unwrap();
    sqlx::query(
        "SELECT log.append('dataset', 'ds_3', 0, 'c3', 'c', NULL, 'test', NULL, \
         '{DatasetRetried}', '{1}', ARRAY['{\"automatic\": false}'::jsonb], ARRAY[NULL::jsonb], ARRAY[NULL::timestamptz])",
    )
    .execute(&mut *early)
    .await
    .unwrap();
    // What comes after it waits for it, as ever.
    let readable = world.log.read(Position::START, 10).await.unwrap();
    assert_eq!(readable.len(), 2);
    early.commit().await.unwrap();
    let events = world.log.read(Position::START, 10).await.unwrap();
    let streams: Vec<&str> = events
        .iter()
        .map(|event| event.stream.id.as_str())
        .collect();
    assert_eq!(streams, ["ds_1", "ds_1", "ds_3", "ds_2", "ds_2"]);
    assert_eq!(Some(events[4].position), late.position);
}

#[tokio::test]
async fn who_began_before_a_closing_and_sees_the_past_may_not_append() {
    let (_cluster, log) = empty_log_alone().await;
    log.execute::<Dataset>("ds_1", register(), metadata("c1"))
        .await
        .unwrap();
    let world = World::on(log);
    let mut early = world.log.pool().begin().await.unwrap();
    sqlx::raw_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT 1")
        .execute(&mut *early)
        .await
        .unwrap();
    world.archiver.close().await.unwrap();
    // The same command and the same stream: by the old snapshot both are new.
    let refused = sqlx::query(
        "SELECT log.append('dataset', 'ds_1', 0, 'c1', 'c', NULL, 'test', NULL, \
         '{DatasetRetried}', '{1}', ARRAY['{\"automatic\": false}'::jsonb], ARRAY[NULL::jsonb], ARRAY[NULL::timestamptz])",
    )
    .execute(&mut *early)
    .await
    .unwrap_err();
    let code = refused.into_database_error().unwrap();
    assert_eq!(code.code().unwrap(), "25000");
}
