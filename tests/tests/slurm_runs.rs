//! Runs that are sent to SLURM: what becomes of them when they are left alone, and what people can do to them.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::time::Duration;
use trainmaster_tests::{
    lab::Steps,
    slurm::{Cluster, SlurmLab},
};

const SHORT: Steps = Steps {
    total: 40,
    checkpoint_every: 20,
    batch: 64,
};
const LONG: Steps = Steps {
    total: 600,
    checkpoint_every: 25,
    batch: 512,
};

#[tokio::test]
async fn a_training_of_the_studio_that_slurm_runs_is_in_both_read_models() {
    let Some(slurm) = SlurmLab::new(&[]).await else {
        return;
    };
    let _daemon = slurm.lab.start();
    let furniture = slurm.lab.furnish().await;
    let id = slurm.train(&furniture, SHORT, &[]);
    slurm
        .lab
        .wait_for_status("trainings", &id, &["completed"])
        .await;
    slurm.lab.assert_completed_once(&id).await;
    let job = slurm.wait_for_pic_status(&id, "COMPLETED").await;
    assert_eq!(
        (job.fold_index, job.has_started, job.has_ended),
        (0, true, true)
    );
    let known = slurm.jobs_of(&id).await;
    assert_eq!(known.len(), 1);
    assert_eq!(
        (&*known[0].id, &*known[0].state),
        (&*job.sbatch_id, "COMPLETED")
    );
    let (status, progress): (String, f64) =
        sqlx::query_as("SELECT status, progress FROM pic.training WHERE id = $1")
            .bind(&id)
            .fetch_one(slurm.lab.pool())
            .await
            .unwrap();
    assert_eq!((&*status, progress), ("TRAINED", 100.0));
    let script: String = sqlx::query_scalar("SELECT sbatch_content FROM pic.jobs")
        .fetch_one(slurm.lab.pool())
        .await
        .unwrap();
    assert!(script.starts_with("#!/bin/bash"), "{script}");
    slurm.assert_each_submitted_once().await;
    slurm.assert_rebuild_equals_live().await;
}

#[tokio::test]
async fn a_training_goes_to_the_cluster_that_is_named() {
    let Some(mut slurm) = SlurmLab::new(&[]).await else {
        return;
    };
    let Some(other) = Cluster::start() else {
        return;
    };
    let conf = |cluster: &Cluster| cluster.configuration().to_string_lossy().into_owned();
    let clusters = format!(
        "{{default={{conf=\"{}\"}},other={{conf=\"{}\",partition=\"urgent\"}}}}",
        conf(&slurm.cluster),
        conf(&other)
    );
    slurm.lab.set("SLURM__CLUSTERS", &clusters);
    let _daemon = slurm.lab.start();
    let furniture = slurm.lab.furnish().await;
    let here = slurm.train(&furniture, SHORT, &[]);
    let there = slurm.train(&furniture, SHORT, &["--on", "other"]);
    for id in [&here, &there] {
        slurm
            .lab
            .wait_for_status("trainings", id, &["completed"])
            .await;
        slurm.lab.assert_completed_once(id).await;
        slurm.wait_for_pic_status(id, "COMPLETED").await;
    }
    assert_eq!((slurm.cluster.jobs().len(), other.jobs().len()), (1, 1));
    let refused = slurm.try_train(&furniture, SHORT, &["--on", "elsewhere"]);
    assert!(
        refused.contains("elsewhere") && refused.contains("other"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_training_that_waits_in_the_queue_is_paused_resumed_and_stopped_without_having_run() {
    let Some(slurm) = SlurmLab::new(&[]).await else {
        return;
    };
    let _daemon = slurm.lab.start();
    let furniture = slurm.lab.furnish().await;
    slurm.fill();
    let id = slurm.train(&furniture, SHORT, &[]);
    slurm.wait_for_pic_status(&id, "PENDING").await;
    slurm.lab.cli(&["pause", &id]);
    slurm
        .lab
        .wait_for_status("trainings", &id, &["paused"])
        .await;
    let first = slurm.jobs_of(&id).await;
    slurm.cluster.wait_for_jobs("cancelled", |jobs| {
        jobs.iter()
            .any(|job| job.id == first[0].id && job.state == "CANCELLED")
    });

    slurm.lab.cli(&["resume", &id]);
    slurm.wait_for_pic_status(&id, "PENDING").await;
    slurm.lab.cli(&["stop", &id]);
    slurm
        .lab
        .wait_for_status("trainings", &id, &["stopped"])
        .await;
    slurm.cluster.wait_for_jobs("cancelled", |jobs| {
        jobs.iter().filter(|job| job.state == "CANCELLED").count() == 2
    });
    assert_eq!(slurm.count(&id, "TrainingStarted").await, 0);
    assert_eq!(slurm.jobs_of(&id).await.len(), 2);
    slurm.wait_for_pic_status(&id, "FAILED").await;
}

#[tokio::test]
async fn a_training_that_runs_there_is_paused_resumed_and_stopped() {
    let Some(slurm) = SlurmLab::new(&[]).await else {
        return;
    };
    let _daemon = slurm.lab.start();
    let furniture = slurm.lab.furnish().await;
    let id = slurm.train(&furniture, LONG, &[]);
    slurm
        .lab
        .wait_for_status("trainings", &id, &["training"])
        .await;
    slurm.lab.cli(&["pause", &id]);
    slurm
        .lab
        .wait_for_status("trainings", &id, &["paused"])
        .await;
    slurm
        .cluster
        .wait_for_jobs("over", |jobs| jobs.iter().all(|job| job.is_over()));

    slurm.lab.cli(&["resume", &id]);
    slurm.wait_for_event(&id, "TrainingStarted", 2).await;
    slurm.lab.cli(&["stop", &id]);
    slurm
        .lab
        .wait_for_status("trainings", &id, &["stopped"])
        .await;
    let history = slurm.lab.history(&id).await;
    let result = history.last().unwrap().payload["result"]["path"]
        .as_str()
        .unwrap();
    let weights = std::path::Path::new(result).join("sae_weights.safetensors");
    assert!(weights.is_file(), "{}", weights.display());
    slurm
        .cluster
        .wait_for_jobs("over", |jobs| jobs.iter().all(|job| job.is_over()));
    assert_eq!(slurm.jobs_of(&id).await.len(), 2);
}

#[tokio::test]
async fn what_somebody_cancels_is_an_error_and_is_tried_again_only_when_asked_for() {
    let Some(slurm) = SlurmLab::new(&[]).await else {
        return;
    };
    let _daemon = slurm.lab.start();
    let furniture = slurm.lab.furnish().await;
    let id = slurm.train(&furniture, LONG, &[]);
    slurm.wait_for_event(&id, "CheckpointSaved", 1).await;
    let job = slurm.jobs_of(&id).await[0].id.clone();
    slurm.cluster.run("scancel", &[&job]);
    slurm
        .lab
        .wait_for_status("trainings", &id, &["error"])
        .await;
    let row = slurm.wait_for_pic_status(&id, "FAILED").await;
    let message = row.error_message.unwrap_or_default();
    assert!(message.contains("CANCELLED"), "{message}");
    // Longer than any back-off of these tests.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(slurm.cluster.jobs().len(), 1, "{:#?}", slurm.cluster.jobs());

    slurm.lab.cli(&["retry", &id]);
    slurm
        .lab
        .wait_for_status("trainings", &id, &["completed"])
        .await;
    slurm.lab.assert_completed_once(&id).await;
    assert_eq!(slurm.jobs_of(&id).await.len(), 2);
    slurm.assert_each_submitted_once().await;
}
