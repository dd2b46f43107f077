//! Runs that die, hang, or never begin.

use crate::fixture::World;
use std::{collections::BTreeMap, fs, time::Duration};
use trainmaster_domain::{
    Category, Event,
    attempt::{LossReason, POISON},
    training::TrainingEvent,
};

async fn reasons(world: &World) -> Vec<LossReason> {
    world
        .events(Category::Training, "tr_1")
        .await
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Event::Training(TrainingEvent::TrainingLeaseExpired(expired)) => Some(expired.reason),
            _ => None,
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_dies_goes_on_from_its_latest_checkpoint_and_no_step_counts_twice() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    world.tell("die-checkpoint");
    let daemon = world.daemon();
    world
        .wait_for(Category::Training, "tr_1", "TrainingCompleted")
        .await;
    daemon.stop().await;
    assert_eq!(reasons(&world).await, [LossReason::Exited]);
    let mut steps: BTreeMap<u64, usize> = BTreeMap::new();
    let mut started_at = vec![];
    for recorded in world.events(Category::Training, "tr_1").await {
        match recorded.event {
            Event::Training(TrainingEvent::MetricsRecorded(recorded)) => {
                for step in recorded.metrics.steps {
                    *steps.entry(step).or_default() += 1;
                }
            }
            Event::Training(TrainingEvent::TrainingStarted(started)) => {
                started_at.push(started.at_step);
            }
            _ => {}
        }
    }
    assert_eq!(started_at, [0, 2]);
    assert_eq!(steps, BTreeMap::from([(1, 1), (2, 1), (3, 1), (4, 1)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_without_heartbeats_is_dead() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    world.tell("mute");
    world.hold("ready");
    let mut options = world.options();
    options.supervision.heartbeat_limit = Duration::from_millis(700);
    let daemon = world.daemon_with(options);
    world
        .wait_for(Category::Training, "tr_1", "TrainingLeaseExpired")
        .await;
    fs::remove_file(world.runs().join("mute")).unwrap();
    world.release("ready");
    world
        .wait_for(Category::Training, "tr_1", "TrainingCompleted")
        .await;
    daemon.stop().await;
    assert_eq!(reasons(&world).await[0], LossReason::NoHeartbeat);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_beats_without_progress_is_hung() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    world.hold("ready");
    let mut options = world.options();
    options.supervision.progress_deadline = Duration::from_millis(700);
    let daemon = world.daemon_with(options);
    world
        .wait_for(Category::Training, "tr_1", "TrainingLeaseExpired")
        .await;
    world.release("ready");
    world
        .wait_for(Category::Training, "tr_1", "TrainingCompleted")
        .await;
    daemon.stop().await;
    assert_eq!(reasons(&world).await[0], LossReason::NoProgress);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trainer_that_cannot_be_started_is_poison_in_the_end() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    let mut options = world.options();
    options.launch.program = "/nowhere/trainmaster-trainer".into();
    let daemon = world.daemon_with(options);
    world
        .wait_for(Category::Training, "tr_1", "TrainingErrored")
        .await;
    daemon.stop().await;
    assert_eq!(reasons(&world).await, [LossReason::NotStarted; 3]);
    let last = world
        .events(Category::Training, "tr_1")
        .await
        .pop()
        .unwrap();
    let Event::Training(TrainingEvent::TrainingErrored(failed)) = last.event else {
        panic!("{last:?}");
    };
    assert_eq!(failed.code, POISON);
    assert!(failed.message.contains("/nowhere/trainmaster-trainer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trainer_that_crashes_again_and_again_is_poison() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    let mut options = world.options();
    options.launch.program = "/bin/false".into();
    let daemon = world.daemon_with(options);
    world
        .wait_for(Category::Training, "tr_1", "TrainingErrored")
        .await;
    daemon.stop().await;
    assert_eq!(reasons(&world).await, [LossReason::Exited; 3]);
    assert_eq!(
        world
            .scalar::<i64>("SELECT count(*) FROM dispatch.runs WHERE ended_at IS NULL")
            .await,
        0
    );
}
