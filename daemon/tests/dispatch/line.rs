//! One training from command to completion.

use crate::fixture::{TRACEPARENT, World};
use trainmaster_domain::{Category, run::spec::RunSpec};

#[tokio::test(flavor = "multi_thread")]
async fn a_model_a_dataset_and_a_training_follow_each_other_through_one_slot() {
    let world = World::new().await;
    let daemon = world.daemon();
    // In the wrong order: each waits for what it needs.
    world.queue_training("tr_1", "m_1", "ds_1").await;
    world.register_dataset("ds_1", "m_1").await;
    world.register_model("m_1").await;
    let training = world
        .wait_for(Category::Training, "tr_1", "TrainingCompleted")
        .await;
    assert_eq!(
        training,
        [
            "TrainingQueued",
            "TrainingClaimed",
            "TrainingStarted",
            "MetricsRecorded",
            "MetricsRecorded",
            "CheckpointSaved",
            "MetricsRecorded",
            "MetricsRecorded",
            "TrainingCompleted"
        ]
    );
    assert_eq!(
        world.types(Category::Model, "m_1").await,
        [
            "ModelRegistered",
            "ModelDownloaded",
            "ModelClaimed",
            "ModelInspected"
        ]
    );
    assert_eq!(
        world.types(Category::Dataset, "ds_1").await,
        [
            "DatasetRegistered",
            "DatasetDownloaded",
            "DatasetClaimed",
            "DatasetIngested",
            "DatasetTokenized"
        ]
    );
    daemon.stop().await;
    assert_eq!(
        world.scalar::<i64>("SELECT count(*) FROM log.outbox").await,
        0
    );
    assert_eq!(
        world
            .scalar::<i64>("SELECT count(*) FROM dispatch.runs WHERE ended_at IS NULL")
            .await,
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_belongs_to_the_trace_of_the_request_that_caused_it() {
    let world = World::new().await;
    let daemon = world.daemon();
    world.register_model("m_1").await;
    world
        .wait_for(Category::Model, "m_1", "ModelInspected")
        .await;
    let events = world.events(Category::Model, "m_1").await;
    assert_eq!(
        events[0].metadata.correlation_id,
        events[2].metadata.correlation_id
    );
    assert_eq!(
        events[2].metadata.causation_id,
        Some(events[1].position.to_string())
    );
    let spec = std::fs::read(world.runs().join("m_1/spec.json")).unwrap();
    let spec: RunSpec = serde_json::from_slice(&spec).unwrap();
    assert_eq!(
        spec.traceparent.unwrap().split('-').nth(1),
        TRACEPARENT.split('-').nth(1)
    );
    daemon.stop().await;
}
