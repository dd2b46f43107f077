//! What a journal may hold, and what becomes of it.

use crate::fixture::World;
use std::fs;
use trainmaster_domain::Category;

/// Has the next run begin with these shell commands, once.
fn babble(world: &World, commands: &str) {
    fs::write(
        world.runs().join("babble"),
        format!("rm \"$tests/babble\"\n{commands}\n"),
    )
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn torn_lines_and_rubbish_are_skipped() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    babble(
        &world,
        r#"printf '{"lease":1,"se\nnot a record\n\n{"lease":1,"seq":1}\n' >> "$directory/journal.jsonl""#,
    );
    let daemon = world.daemon();
    let types = world
        .wait_for(Category::Training, "tr_1", "TrainingCompleted")
        .await;
    daemon.stop().await;
    assert!(!types.contains(&"TrainingLeaseExpired"), "{types:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_ends_the_run_and_another_attempt_is_made() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    babble(&world, "sequence=1");
    let daemon = world.daemon();
    let types = world
        .wait_for(Category::Training, "tr_1", "TrainingCompleted")
        .await;
    daemon.stop().await;
    assert_eq!(
        types[..5],
        [
            "TrainingQueued",
            "TrainingClaimed",
            "TrainingLeaseExpired",
            "TrainingRetried",
            "TrainingClaimed"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_says_what_cannot_be_ends_the_run() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    babble(
        &world,
        r#"say '"record":"training_started","at_step":3,"d_in":4,"d_sae":8'"#,
    );
    let daemon = world.daemon();
    let types = world
        .wait_for(Category::Training, "tr_1", "TrainingCompleted")
        .await;
    daemon.stop().await;
    assert!(types.contains(&"TrainingLeaseExpired"), "{types:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_is_read_again_causes_nothing() {
    let world = World::new().await;
    world.ready_training("tr_1").await;
    world.hold("checkpoint");
    let daemon = world.daemon();
    world
        .wait_for(Category::Training, "tr_1", "CheckpointSaved")
        .await;
    daemon.stop().await;
    sqlx::query("UPDATE dispatch.runs SET journal_offset = 0, journal_seq = 0")
        .execute(&world.pool)
        .await
        .unwrap();
    world.release("checkpoint");
    let daemon = world.daemon();
    let types = world
        .wait_for(Category::Training, "tr_1", "TrainingCompleted")
        .await;
    daemon.stop().await;
    let count = |event| types.iter().filter(|found| **found == event).count();
    assert_eq!(count("MetricsRecorded"), 4);
    assert_eq!(count("CheckpointSaved"), 1);
    assert_eq!(count("TrainingClaimed"), 1);
}
