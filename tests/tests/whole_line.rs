//! The whole line, end to end: from a command to the tables, with the plug pulled on the way.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::time::Duration;
use trainmaster_tests::lab::{
    Lab, Steps, signal, trainers_of, wait_for_no_trainer, wait_for_trainer,
};

const SHORT: Steps = Steps {
    total: 60,
    checkpoint_every: 20,
    batch: 64,
};
const LONG: Steps = Steps {
    total: 400,
    checkpoint_every: 50,
    batch: 512,
};

#[tokio::test]
async fn a_training_goes_from_a_command_to_the_tables() {
    let lab = Lab::new().await;
    let _daemon = lab.start();
    let furniture = lab.furnish().await;
    let id = lab.train(&furniture, SHORT);
    lab.wait_for_status("trainings", &id, &["completed"]).await;
    lab.assert_completed_once(&id).await;
    lab.assert_rebuild_equals_live().await;
    let history = lab.history(&id).await;
    let result = history.last().unwrap().payload["result"]["path"]
        .as_str()
        .unwrap()
        .to_owned();
    for file in ["cfg.json", "sae_weights.safetensors"] {
        assert!(
            std::path::Path::new(&result).join(file).is_file(),
            "{file} in {result}"
        );
    }
}

#[tokio::test]
async fn a_training_is_paused_the_daemon_restarted_and_the_training_resumed() {
    let lab = Lab::new().await;
    let daemon = lab.start();
    let furniture = lab.furnish().await;
    let id = lab.train(&furniture, LONG);
    lab.wait_for_status("trainings", &id, &["training"]).await;
    lab.cli(&["pause", &id]);
    lab.wait_for_status("trainings", &id, &["paused"]).await;
    wait_for_no_trainer(&lab.run_directory(&id));
    assert!(daemon.stop().success());
    let _daemon = lab.start();
    lab.cli(&["resume", &id]);
    lab.wait_for_status("trainings", &id, &["completed"]).await;
    lab.assert_completed_once(&id).await;
    lab.assert_rebuild_equals_live().await;
}

#[tokio::test]
async fn a_training_that_is_stopped_keeps_its_autoencoder() {
    let lab = Lab::new().await;
    let _daemon = lab.start();
    let furniture = lab.furnish().await;
    let id = lab.train(&furniture, LONG);
    lab.wait_for_status("trainings", &id, &["training"]).await;
    lab.cli(&["stop", &id]);
    lab.wait_for_status("trainings", &id, &["stopped"]).await;
    let history = lab.history(&id).await;
    let result = history.last().unwrap().payload["result"]["path"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        std::path::Path::new(&result)
            .join("sae_weights.safetensors")
            .is_file()
    );
}

#[tokio::test]
async fn a_run_goes_on_without_a_daemon_and_the_next_one_misses_nothing() {
    let lab = Lab::new().await;
    let daemon = lab.start();
    let furniture = lab.furnish().await;
    let id = lab.train(&furniture, LONG);
    lab.wait_for_status("trainings", &id, &["training"]).await;
    let trainer = wait_for_trainer(&lab.run_directory(&id));
    daemon.kill();
    assert_eq!(
        trainers_of(&lab.run_directory(&id)),
        [trainer],
        "the run goes on"
    );
    let _daemon = lab.start();
    lab.wait_for_status("trainings", &id, &["completed"]).await;
    lab.assert_completed_once(&id).await;
    let claims = lab
        .history(&id)
        .await
        .iter()
        .filter(|e| e.event_type == "TrainingClaimed")
        .count();
    assert_eq!(claims, 1, "the run was adopted, not started again");
}

#[tokio::test]
async fn a_run_that_ends_while_no_daemon_is_there_is_completed_by_the_next_one() {
    let lab = Lab::new().await;
    let daemon = lab.start();
    let furniture = lab.furnish().await;
    let id = lab.train(&furniture, SHORT);
    let _ = wait_for_trainer(&lab.run_directory(&id));
    daemon.kill();
    wait_for_no_trainer(&lab.run_directory(&id));
    let _daemon = lab.start();
    lab.wait_for_status("trainings", &id, &["completed"]).await;
    lab.assert_completed_once(&id).await;
}

#[tokio::test]
async fn a_trainer_that_is_superseded_and_wakes_up_is_not_believed() {
    let mut lab = Lab::new().await;
    lab.set("RUNNER__HOST", "one");
    let daemon = lab.start();
    let furniture = lab.furnish().await;
    let id = lab.train(&furniture, LONG);
    lab.wait_for_status("trainings", &id, &["training"]).await;
    let zombie = wait_for_trainer(&lab.run_directory(&id));
    signal(zombie, "STOP");
    daemon.kill();
    // To another host the process is out of reach: it can only be superseded.
    lab.set("RUNNER__HOST", "two");
    let _daemon = lab.start();
    let superseded = async {
        while lab
            .history(&id)
            .await
            .iter()
            .filter(|e| e.event_type == "TrainingClaimed")
            .count()
            < 2
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), superseded)
        .await
        .unwrap();
    signal(zombie, "CONT");
    lab.wait_for_status("trainings", &id, &["completed"]).await;
    lab.assert_completed_once(&id).await;
    let history = lab.history(&id).await;
    let second = history
        .iter()
        .rposition(|event| event.event_type == "TrainingClaimed")
        .unwrap();
    for event in &history[second + 1..] {
        assert_ne!(
            event.payload["lease"],
            serde_json::json!(1),
            "a superseded lease was believed: {event:?}"
        );
    }
    lab.assert_rebuild_equals_live().await;
}

#[tokio::test]
async fn two_daemons_on_one_database_share_the_work() {
    let lab = Lab::new().await;
    let one = lab.start();
    let furniture = lab.furnish().await;
    let other = tempfile::tempdir().unwrap();
    let _two = lab.start_beside(other.path());
    let ids: Vec<String> = (0..4).map(|_| lab.train(&furniture, SHORT)).collect();
    for id in &ids {
        lab.wait_for_status("trainings", id, &["completed"]).await;
        lab.assert_completed_once(id).await;
    }
    drop(one);
}

#[tokio::test]
async fn postgres_is_stopped_and_started_under_load_and_nothing_is_lost() {
    let lab = Lab::new().await;
    let _daemon = lab.start();
    let furniture = lab.furnish().await;
    let id = lab.train(&furniture, LONG);
    lab.wait_for_status("trainings", &id, &["training"]).await;
    for _ in 0..2 {
        lab.cluster().stop();
        tokio::time::sleep(Duration::from_millis(300)).await;
        lab.cluster().boot();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    lab.wait_for_status("trainings", &id, &["completed"]).await;
    lab.assert_completed_once(&id).await;
    let claims = lab
        .history(&id)
        .await
        .iter()
        .filter(|e| e.event_type == "TrainingClaimed")
        .count();
    assert_eq!(claims, 1, "the run knew nothing of it");
    lab.assert_rebuild_equals_live().await;
}
