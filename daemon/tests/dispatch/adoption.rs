//! Runs that outlive their daemon.

use crate::fixture::{World, until};
use std::fs;
use trainmaster_domain::Category;

async fn claims(world: &World) -> usize {
    world
        .types(Category::Training, "tr_1")
        .await
        .iter()
        .filter(|event| **event == "TrainingClaimed")
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_while_the_daemon_is_stopped_and_the_next_one_takes_it_over() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    world.hold("checkpoint");
    let daemon = world.daemon();
    world
        .wait_for(Category::Training, "tr_1", "CheckpointSaved")
        .await;
    daemon.stop().await;
    let daemon = world.daemon();
    world.release("checkpoint");
    world
        .wait_for(Category::Training, "tr_1", "TrainingCompleted")
        .await;
    daemon.stop().await;
    assert_eq!(claims(&world).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_completes_while_no_daemon_lives_has_completed() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    world.hold("ready");
    let daemon = world.mortal_daemon();
    world
        .wait_for(Category::Training, "tr_1", "TrainingStarted")
        .await;
    daemon.kill();
    world.release("ready");
    until("the run to complete", async || {
        fs::read_to_string(world.runs().join("tr_1/journal.jsonl"))
            .unwrap()
            .contains("completed")
    })
    .await;
    let daemon = world.daemon();
    let types = world
        .wait_for(Category::Training, "tr_1", "TrainingCompleted")
        .await;
    daemon.stop().await;
    assert!(!types.contains(&"TrainingLeaseExpired"), "{types:?}");
    assert_eq!(claims(&world).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_dies_while_no_daemon_lives_is_tried_again() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    world.hold("ready");
    let daemon = world.mortal_daemon();
    world
        .wait_for(Category::Training, "tr_1", "TrainingStarted")
        .await;
    daemon.kill();
    let pid: i32 = world
        .scalar("SELECT pid FROM dispatch.runs WHERE id = 'tr_1'")
        .await;
    world.signal(pid, rustix::process::Signal::KILL);
    world.release("ready");
    let daemon = world.daemon();
    let types = world
        .wait_for(Category::Training, "tr_1", "TrainingCompleted")
        .await;
    daemon.stop().await;
    assert!(types.contains(&"TrainingLeaseExpired"), "{types:?}");
    assert_eq!(claims(&world).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_nobody_wrote_down_is_found_by_its_process() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    world.hold("ready");
    let daemon = world.mortal_daemon();
    world
        .wait_for(Category::Training, "tr_1", "TrainingStarted")
        .await;
    daemon.kill();
    sqlx::query("DELETE FROM dispatch.runs")
        .execute(&world.pool)
        .await
        .unwrap();
    let daemon = world.daemon();
    until("the run to be taken over", async || {
        world
            .scalar::<bool>(
                "SELECT EXISTS (SELECT FROM dispatch.runs WHERE id = 'tr_1' AND supervisor <> '' AND ended_at IS NULL)",
            )
            .await
    })
    .await;
    world.release("ready");
    world
        .wait_for(Category::Training, "tr_1", "TrainingCompleted")
        .await;
    daemon.stop().await;
    assert_eq!(claims(&world).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_claimed_but_never_started_is_tried_again() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    world.hold("start");
    let daemon = world.mortal_daemon();
    world
        .wait_for(Category::Training, "tr_1", "TrainingClaimed")
        .await;
    until("the run to be written down", async || {
        world
            .scalar::<bool>("SELECT EXISTS (SELECT FROM dispatch.runs WHERE id = 'tr_1')")
            .await
    })
    .await;
    daemon.kill();
    let pid: i32 = world
        .scalar("SELECT pid FROM dispatch.runs WHERE id = 'tr_1'")
        .await;
    world.signal(pid, rustix::process::Signal::KILL);
    sqlx::query("DELETE FROM dispatch.runs")
        .execute(&world.pool)
        .await
        .unwrap();
    world.release("start");
    let daemon = world.daemon();
    world
        .wait_for(Category::Training, "tr_1", "TrainingCompleted")
        .await;
    daemon.stop().await;
    assert_eq!(claims(&world).await, 2);
}

/// The answer to this can be lost with its connection, and then it is asked once more.
#[tokio::test]
async fn a_run_is_written_down_again_by_whoever_did_so_and_by_nobody_else() {
    let world = World::new().await;
    let register = async |lease: i64, supervisor: &str| -> Option<i64> {
        sqlx::query_scalar(include_str!("../../src/supervisor/register.sql"))
            .bind("training")
            .bind("tr_1")
            .bind(lease)
            .bind("host")
            .bind("/state")
            .bind("/state/runs/tr_1")
            .bind("cpu")
            .bind(Some(7_i32))
            .bind(Some("1 2"))
            .bind(None::<&str>)
            .bind(supervisor)
            .bind(15.0)
            .fetch_optional(&world.pool)
            .await
            .unwrap()
    };
    assert_eq!(register(1, "first").await, Some(0));
    assert_eq!(register(1, "first").await, Some(0));
    assert_eq!(register(1, "second").await, None);
    assert_eq!(register(2, "second").await, Some(0));
    assert_eq!(register(1, "first").await, None);
    sqlx::query("UPDATE dispatch.runs SET ended_at = now()")
        .execute(&world.pool)
        .await
        .unwrap();
    assert_eq!(register(2, "second").await, None);
}
