//! Pause, resume, stop.

use crate::fixture::World;
use std::time::Duration;
use trainmaster_domain::{
    Category, Event,
    training::{Training, TrainingCommand, TrainingEvent},
};

async fn paused_by_force(world: &World) -> Option<bool> {
    world
        .events(Category::Training, "tr_1")
        .await
        .iter()
        .find_map(|recorded| match &recorded.event {
            Event::Training(TrainingEvent::TrainingPaused(paused)) => Some(paused.forced),
            _ => None,
        })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_training_goes_on_from_its_checkpoint() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    world.hold("checkpoint");
    let daemon = world.daemon();
    world
        .wait_for(Category::Training, "tr_1", "CheckpointSaved")
        .await;
    world
        .execute::<Training>("tr_1", TrainingCommand::RequestPause)
        .await;
    world
        .wait_for(Category::Training, "tr_1", "TrainingPaused")
        .await;
    assert_eq!(paused_by_force(&world).await, Some(false));
    world.release("checkpoint");
    world
        .execute::<Training>("tr_1", TrainingCommand::Resume)
        .await;
    let types = world
        .wait_for(Category::Training, "tr_1", "TrainingCompleted")
        .await;
    daemon.stop().await;
    assert_eq!(
        types,
        [
            "TrainingQueued",
            "TrainingClaimed",
            "TrainingStarted",
            "MetricsRecorded",
            "MetricsRecorded",
            "CheckpointSaved",
            "PauseRequested",
            "CheckpointSaved",
            "TrainingPaused",
            "TrainingResumed",
            "TrainingClaimed",
            "TrainingStarted",
            "MetricsRecorded",
            "TrainingCompleted"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_does_not_pause_in_time_is_ended_and_rests() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    world.hold("checkpoint");
    world.tell("deaf");
    let mut options = world.options();
    options.supervision.pause_deadline = Duration::from_millis(300);
    let daemon = world.daemon_with(options);
    world
        .wait_for(Category::Training, "tr_1", "CheckpointSaved")
        .await;
    world
        .execute::<Training>("tr_1", TrainingCommand::RequestPause)
        .await;
    world
        .wait_for(Category::Training, "tr_1", "TrainingPaused")
        .await;
    assert_eq!(paused_by_force(&world).await, Some(true));
    world.release("checkpoint");
    world
        .execute::<Training>("tr_1", TrainingCommand::Resume)
        .await;
    let types = world
        .wait_for(Category::Training, "tr_1", "TrainingCompleted")
        .await;
    assert!(!types.contains(&"TrainingLeaseExpired"), "{types:?}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_reaches_the_run() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    world.hold("checkpoint");
    let daemon = world.daemon();
    world
        .wait_for(Category::Training, "tr_1", "CheckpointSaved")
        .await;
    world
        .execute::<Training>("tr_1", TrainingCommand::RequestStop)
        .await;
    world
        .wait_for(Category::Training, "tr_1", "TrainingStopped")
        .await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_of_a_paused_training_is_told_to_the_run_that_makes_its_result() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    world.hold("checkpoint");
    let daemon = world.daemon();
    world
        .wait_for(Category::Training, "tr_1", "CheckpointSaved")
        .await;
    world
        .execute::<Training>("tr_1", TrainingCommand::RequestPause)
        .await;
    world
        .wait_for(Category::Training, "tr_1", "TrainingPaused")
        .await;
    // Wherever the next run waits, it is told at once.
    world.hold("start");
    world
        .execute::<Training>("tr_1", TrainingCommand::RequestStop)
        .await;
    world
        .wait_for(Category::Training, "tr_1", "TrainingStopped")
        .await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_told_even_when_its_task_is_lost() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    world.hold("checkpoint");
    let daemon = world.daemon();
    world
        .wait_for(Category::Training, "tr_1", "CheckpointSaved")
        .await;
    daemon.stop().await;
    world
        .execute::<Training>("tr_1", TrainingCommand::RequestPause)
        .await;
    sqlx::query("DELETE FROM log.outbox")
        .execute(&world.pool)
        .await
        .unwrap();
    let daemon = world.daemon();
    world
        .wait_for(Category::Training, "tr_1", "TrainingPaused")
        .await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_does_not_stop_in_time_is_ended_and_the_next_one_makes_the_result() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    world.hold("checkpoint");
    world.tell("deaf");
    let mut options = world.options();
    options.supervision.pause_deadline = Duration::from_millis(300);
    let daemon = world.daemon_with(options);
    world
        .wait_for(Category::Training, "tr_1", "CheckpointSaved")
        .await;
    world.hold("start");
    world
        .execute::<Training>("tr_1", TrainingCommand::RequestStop)
        .await;
    world
        .wait_for(Category::Training, "tr_1", "TrainingLeaseExpired")
        .await;
    std::fs::remove_file(world.runs().join("deaf")).unwrap();
    world
        .wait_for(Category::Training, "tr_1", "TrainingStopped")
        .await;
    daemon.stop().await;
}
