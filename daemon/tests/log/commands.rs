//! Commands: decided on the stream as it is, accepted once.

use crate::fixture::{claim, empty_log, metadata, progress, register};
use sqlx::Row;
use trainmaster::log::{ExecuteError, LogError};
use trainmaster_domain::{
    Category, StreamId,
    dataset::{Dataset, DatasetRefusal, DatasetStatus},
};

#[tokio::test]
async fn a_command_becomes_events_and_the_aggregate_remembers() {
    let log = empty_log().await;
    let executed = log
        .execute::<Dataset>("ds_1", register(), metadata("c1"))
        .await
        .unwrap();
    assert_eq!(executed.version, 2);
    assert!(!executed.repeated);
    assert_eq!(
        executed.position,
        executed.events.last().map(|event| event.position)
    );
    let loaded = log.load::<Dataset>("ds_1").await.unwrap();
    assert_eq!(loaded.version, 2);
    assert_eq!(loaded.state.status(), DatasetStatus::Ingesting);
    let stored = log
        .read_stream(&StreamId::new(Category::Dataset, "ds_1"), 0, 10)
        .await
        .unwrap();
    assert_eq!(stored, executed.events);
    assert!(stored.iter().all(|event| event.metadata == metadata("c1")));
}

#[tokio::test]
async fn the_database_s_clock_dates_an_event() {
    let log = empty_log().await;
    let before = log.now().await.unwrap();
    let executed = log
        .execute::<Dataset>("ds_1", register(), metadata("c1"))
        .await
        .unwrap();
    let after = log.now().await.unwrap();
    for event in executed.events {
        assert!(before <= event.recorded_at && event.recorded_at <= after);
    }
}

#[tokio::test]
async fn a_task_is_in_the_outbox_with_its_event_and_only_with_it() {
    let log = empty_log().await;
    let registered = log
        .execute::<Dataset>("ds_1", register(), metadata("c1"))
        .await
        .unwrap();
    log.execute::<Dataset>("ds_1", claim(), metadata("c2"))
        .await
        .unwrap();
    let rows = sqlx::query("SELECT * FROM log.outbox")
        .fetch_all(log.pool())
        .await
        .unwrap();
    assert_eq!(rows.len(), 1);
    let downloaded = registered.events.last().unwrap();
    assert_eq!(
        rows[0].get::<i64, _>("sequence"),
        downloaded.position.sequence
    );
    assert_eq!(rows[0].get::<&str, _>("stream_id"), "ds_1");
    assert_eq!(
        rows[0].get::<serde_json::Value, _>("task"),
        serde_json::json!({ "task": "dispatch" })
    );
}

#[tokio::test]
async fn a_refused_command_changes_nothing_and_may_be_sent_again() {
    let log = empty_log().await;
    let refused = log
        .execute::<Dataset>("ds_1", claim(), metadata("c1"))
        .await;
    assert!(matches!(
        refused,
        Err(ExecuteError::Refused(DatasetRefusal::Absent))
    ));
    log.execute::<Dataset>("ds_1", register(), metadata("c2"))
        .await
        .unwrap();
    let executed = log
        .execute::<Dataset>("ds_1", claim(), metadata("c1"))
        .await
        .unwrap();
    assert_eq!(executed.version, 3);
}

#[tokio::test]
async fn a_repeated_command_gets_the_first_answer_even_when_it_would_be_refused_now() {
    let log = empty_log().await;
    let first = log
        .execute::<Dataset>("ds_1", register(), metadata("c1"))
        .await
        .unwrap();
    log.execute::<Dataset>("ds_1", claim(), metadata("c2"))
        .await
        .unwrap();
    let again = log
        .execute::<Dataset>("ds_1", register(), metadata("c1"))
        .await
        .unwrap();
    assert!(again.repeated);
    assert_eq!(again.events, first.events);
    assert_eq!(again.version, first.version);
    assert_eq!(again.position, first.position);
}

#[tokio::test]
async fn a_command_that_changed_nothing_still_changes_nothing_when_repeated() {
    let log = empty_log().await;
    for (id, command) in [("c1", register()), ("c2", claim()), ("c3", progress(1))] {
        log.execute::<Dataset>("ds_1", command, metadata(id))
            .await
            .unwrap();
    }
    let idle = log
        .execute::<Dataset>("ds_1", progress(1), metadata("c4"))
        .await
        .unwrap();
    assert!(idle.events.is_empty() && !idle.repeated);
    assert_eq!((idle.version, idle.position), (4, None));
    // Under the same id, even a command that would have an effect gets the first answer.
    let again = log
        .execute::<Dataset>("ds_1", progress(2), metadata("c4"))
        .await
        .unwrap();
    assert!(again.events.is_empty() && again.repeated);
    assert_eq!(again.version, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_command_sent_many_times_at_once_is_accepted_once() {
    let log = empty_log().await;
    for round in 0..10 {
        let id = format!("ds_{round}");
        let requests: Vec<_> = (0..8)
            .map(|_| {
                let (log, id) = (log.clone(), id.clone());
                tokio::spawn(async move {
                    let command_id = metadata(format!("register {id}"));
                    log.execute::<Dataset>(&id, register(), command_id)
                        .await
                        .unwrap()
                })
            })
            .collect();
        let mut answers = Vec::new();
        for request in requests {
            answers.push(request.await.unwrap());
        }
        assert_eq!(answers.iter().filter(|answer| !answer.repeated).count(), 1);
        for answer in &answers {
            assert_eq!(answer.events, answers[0].events);
            assert_eq!(answer.version, 2);
        }
    }
    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM log.events")
        .fetch_one(log.pool())
        .await
        .unwrap();
    assert_eq!(events, 20);
    let tasks: i64 = sqlx::query_scalar("SELECT count(*) FROM log.outbox")
        .fetch_one(log.pool())
        .await
        .unwrap();
    assert_eq!(tasks, 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_of_one_stream_conflict_and_all_get_through() {
    let log = empty_log().await;
    for (id, command) in [("c1", register()), ("c2", claim())] {
        log.execute::<Dataset>("ds_1", command, metadata(id))
            .await
            .unwrap();
    }
    let writers: Vec<_> = (1..=8)
        .map(|writer| {
            let log = log.clone();
            tokio::spawn(async move {
                // A line that another writer overtook is old news; both answers are right.
                log.execute::<Dataset>("ds_1", progress(writer), metadata(format!("p{writer}")))
                    .await
                    .unwrap()
                    .events
                    .len() as u64
            })
        })
        .collect();
    let mut appended = 0;
    for writer in writers {
        appended += writer.await.unwrap();
    }
    let loaded = log.load::<Dataset>("ds_1").await.unwrap();
    assert_eq!(loaded.version, 3 + appended);
    assert_eq!(loaded.state.attempts().seq, 8);
}

#[tokio::test]
async fn a_command_id_cannot_serve_two_streams() {
    let log = empty_log().await;
    log.execute::<Dataset>("ds_1", register(), metadata("c1"))
        .await
        .unwrap();
    let reused = log
        .execute::<Dataset>("ds_2", register(), metadata("c1"))
        .await;
    assert!(matches!(
        reused,
        Err(ExecuteError::Log(LogError::CommandReused { .. }))
    ));
    assert_eq!(log.load::<Dataset>("ds_2").await.unwrap().version, 0);
}

#[tokio::test]
async fn whoever_waits_in_this_process_is_woken_by_an_append() {
    let log = empty_log().await;
    let mut appended = log.appended();
    assert!(!appended.has_changed().unwrap());
    log.clone()
        .execute::<Dataset>("ds_1", register(), metadata("c1"))
        .await
        .unwrap();
    assert!(appended.has_changed().unwrap());
    appended.mark_unchanged();
    log.execute::<Dataset>("ds_1", register(), metadata("c1"))
        .await
        .unwrap();
    assert!(!appended.has_changed().unwrap());
}

#[tokio::test]
async fn what_another_process_appended_is_seen_although_the_state_was_known() {
    let log = empty_log().await;
    // Shares nothing with `log` but the database.
    let other = trainmaster::log::Log::new(log.pool().clone());
    log.execute::<Dataset>("ds_1", register(), metadata("c1"))
        .await
        .unwrap();
    other
        .execute::<Dataset>("ds_1", claim(), metadata("c2"))
        .await
        .unwrap();
    let refused = log
        .execute::<Dataset>("ds_1", claim(), metadata("c3"))
        .await;
    assert!(matches!(refused, Err(ExecuteError::Refused(_))));
    let known = log.load::<Dataset>("ds_1").await.unwrap();
    let fresh = trainmaster::log::Log::new(log.pool().clone())
        .load::<Dataset>("ds_1")
        .await
        .unwrap();
    assert_eq!(known, fresh);
}

#[tokio::test]
async fn more_streams_than_are_kept_in_memory_are_all_right() {
    let log = empty_log().await;
    for n in 0..300 {
        log.execute::<Dataset>(&format!("ds_{n}"), register(), metadata(format!("r{n}")))
            .await
            .unwrap();
    }
    for n in 0..300 {
        let claimed = log
            .execute::<Dataset>(&format!("ds_{n}"), claim(), metadata(format!("c{n}")))
            .await
            .unwrap();
        assert_eq!(claimed.version, 3);
    }
}
