//! From the outbox into the queue.

use crate::fixture::{World, until};
use sqlx::Connection;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;
use trainmaster::outbox::{Relay, RelayOptions};
use trainmaster_domain::Category;

fn relay(world: &World) -> Relay {
    Relay::new(
        world.pool.clone(),
        RelayOptions::default(),
        Arc::new(Notify::new()),
        Arc::new(Notify::new()),
    )
}

#[tokio::test]
async fn a_task_is_in_the_outbox_or_in_the_queue_never_in_both_nor_in_none() {
    let world = World::new().await;
    for number in 0..250 {
        world.register_model(&format!("m_{number}")).await;
    }
    let relays = [relay(&world), relay(&world), relay(&world)];
    let passes = relays
        .iter()
        .map(|relay| async { while relay.pass().await.unwrap().tasks > 0 {} });
    futures::future::join_all(passes).await;
    assert_eq!(
        world.scalar::<i64>("SELECT count(*) FROM log.outbox").await,
        0
    );
    assert_eq!(
        world
            .scalar::<i64>(
                "SELECT count(DISTINCT convert_from(job, 'UTF8')::jsonb -> 'stream' ->> 'id') FROM apalis.jobs"
            )
            .await,
        250
    );
    assert_eq!(
        world
            .scalar::<i64>("SELECT count(*) FROM apalis.jobs")
            .await,
        250
    );
}

#[tokio::test]
async fn rows_that_another_relay_holds_are_skipped() {
    let world = World::new().await;
    world.register_model("m_1").await;
    world.register_model("m_2").await;
    let mut other = sqlx::PgConnection::connect_with(&world.database.options())
        .await
        .unwrap();
    let mut transaction = other.begin().await.unwrap();
    sqlx::query("SELECT FROM log.outbox WHERE stream_id = 'm_1' FOR UPDATE")
        .execute(&mut *transaction)
        .await
        .unwrap();
    assert_eq!(relay(&world).pass().await.unwrap().tasks, 1);
    transaction.rollback().await.unwrap();
    assert_eq!(relay(&world).pass().await.unwrap().tasks, 1);
}

#[tokio::test]
async fn a_row_that_is_not_due_stays_and_the_relay_knows_until_when() {
    let world = World::new().await;
    world.register_model("m_1").await;
    sqlx::query("UPDATE log.outbox SET not_before = now() + interval '1.5 s'")
        .execute(&world.pool)
        .await
        .unwrap();
    let moved = relay(&world).pass().await.unwrap();
    assert_eq!(moved.tasks, 0);
    let due = moved.next_due.unwrap();
    assert!(
        due > Duration::from_millis(500) && due <= Duration::from_millis(1500),
        "{due:?}"
    );
    tokio::time::sleep(due).await;
    until("the row to be due", async || {
        relay(&world).pass().await.unwrap().tasks == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_wakes_the_relay_and_the_queue() {
    let world = World::new().await;
    let mut options = world.options();
    options.poll_interval = Duration::from_secs(3600);
    options.heartbeat_interval = Duration::from_secs(3600);
    options.reconcile_interval = Duration::from_secs(3600);
    let daemon = world.daemon_with(options);
    world.register_model("m_1").await;
    world
        .wait_for(Category::Model, "m_1", "ModelInspected")
        .await;
    // Once everything is warm.
    let start = Instant::now();
    world.register_model("m_2").await;
    world.wait_for(Category::Model, "m_2", "ModelClaimed").await;
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_notifications_the_interval_does() {
    let world = World::new().await;
    let owner = world.database.pool().await;
    for statement in [
        "ALTER TABLE log.outbox DISABLE TRIGGER wake_relay",
        "ALTER TABLE apalis.jobs DISABLE TRIGGER notify_workers",
    ] {
        sqlx::query(statement).execute(&owner).await.unwrap();
    }
    let mut options = world.options();
    options.poll_interval = Duration::from_millis(300);
    options.heartbeat_interval = Duration::from_millis(300);
    options.reconcile_interval = Duration::from_secs(3600);
    let daemon = world.daemon_with(options);
    for id in ["m_1", "m_2"] {
        world.register_model(id).await;
        world.wait_for(Category::Model, id, "ModelInspected").await;
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_appends_is_told_at_the_next_heartbeat() {
    let world = World::new().await;
    let mut options = world.options();
    options.poll_interval = Duration::from_millis(300);
    options.heartbeat_interval = Duration::from_millis(300);
    let daemon = world.daemon_with(options);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut appended = world.log.appended();
    appended.mark_unchanged();
    let silence = tokio::time::timeout(Duration::from_secs(1), appended.changed()).await;
    assert!(silence.is_err(), "told of something that was not there");
    // Without a task, so that nothing is announced.
    sqlx::query(
        "SELECT log.append('preset', 'p_1', 0, 'another', 'another', NULL, 'another', NULL, ARRAY ['Something'], ARRAY [1],
                           ARRAY ['{}'::jsonb], ARRAY [NULL::jsonb], ARRAY [NULL::timestamptz])",
    )
    .execute(&world.pool)
    .await
    .unwrap();
    tokio::time::timeout(Duration::from_secs(5), appended.changed())
        .await
        .expect("nobody was told")
        .unwrap();
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_a_dead_worker_took_is_given_to_another() {
    let world = World::new().await;
    world.register_model("m_1").await;
    assert_eq!(relay(&world).pass().await.unwrap().tasks, 1);
    sqlx::query("UPDATE apalis.jobs SET status = 'Queued', lock_at = now() - interval '1 hour'")
        .execute(&world.pool)
        .await
        .unwrap();
    let daemon = world.daemon();
    until("the task to be done", async || {
        world
            .scalar::<i64>("SELECT count(*) FROM apalis.jobs WHERE status = 'Done'")
            .await
            == 1
    })
    .await;
    daemon.stop().await;
}
