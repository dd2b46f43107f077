//! What runs at the same time, and what happens to what has to wait.

use crate::fixture::{World, until};
use trainmaster_domain::Category;

#[tokio::test(flavor = "multi_thread")]
async fn a_training_waits_for_the_slot_and_starts_as_soon_as_it_is_free() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    world.hold("ready");
    let mut options = world.options();
    // Reconciliation would start it too.
    options.reconcile_interval = std::time::Duration::from_secs(3600);
    let daemon = world.daemon_with(options);
    world
        .wait_for(Category::Training, "tr_1", "TrainingStarted")
        .await;
    world.queue_training("tr_2", "m_1", "ds_1").await;
    until("its task to be handled", async || {
        world
            .scalar::<i64>("SELECT count(*) FROM apalis.jobs WHERE status <> 'Done'")
            .await
            + world.scalar::<i64>("SELECT count(*) FROM log.outbox").await
            == 0
    })
    .await;
    assert_eq!(
        world.types(Category::Training, "tr_2").await,
        ["TrainingQueued"]
    );
    world.release("ready");
    world
        .wait_for(Category::Training, "tr_2", "TrainingCompleted")
        .await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_slots_take_two_runs() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    world.queue_training("tr_2", "m_1", "ds_1").await;
    world.hold("ready");
    let mut options = world.options();
    options.devices[0].slots = 2;
    let daemon = world.daemon_with(options);
    for id in ["tr_1", "tr_2"] {
        world
            .wait_for(Category::Training, id, "TrainingStarted")
            .await;
    }
    world.release("ready");
    for id in ["tr_1", "tr_2"] {
        world
            .wait_for(Category::Training, id, "TrainingCompleted")
            .await;
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_without_a_task_is_found_in_the_log() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    sqlx::query("DELETE FROM log.outbox")
        .execute(&world.pool)
        .await
        .unwrap();
    let daemon = world.daemon();
    world
        .wait_for(Category::Training, "tr_1", "TrainingCompleted")
        .await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_waits_for_a_model_that_is_in_error() {
    let world = World::new().await;
    world.tell("die-start");
    let mut options = world.options();
    options.retry.max_crashes = 0;
    let daemon = world.daemon_with(options);
    world.register_model("m_1").await;
    world.wait_for(Category::Model, "m_1", "ModelFailed").await;
    world.register_dataset("ds_1", "m_1").await;
    world.queue_training("tr_1", "m_1", "ds_1").await;
    until("their tasks to be handled", async || {
        world.scalar::<i64>("SELECT count(*) FROM log.outbox").await == 0
            && world
                .scalar::<i64>("SELECT count(*) FROM apalis.jobs WHERE status <> 'Done'")
                .await
                == 0
    })
    .await;
    assert_eq!(
        world.types(Category::Training, "tr_1").await,
        ["TrainingQueued"]
    );
    world
        .execute::<trainmaster_domain::model::Model>(
            "m_1",
            trainmaster_domain::model::ModelCommand::Retry,
        )
        .await;
    world
        .wait_for(Category::Training, "tr_1", "TrainingCompleted")
        .await;
    daemon.stop().await;
}
