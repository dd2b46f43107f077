//! What SLURM and its nodes do to a training that they run: it goes on from its latest checkpoint, under the next lease, in the same job.
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::time::Duration;
use trainmaster_tests::{
    lab::{Daemon, Steps},
    slurm::SlurmLab,
};

/// Long enough to be met in the middle, with checkpoints soon.
const STEPS: Steps = Steps {
    total: 600,
    checkpoint_every: 25,
    batch: 512,
};

/// A cluster, and a training that runs there and has a checkpoint.
async fn under_way(more: &[&str]) -> Option<(SlurmLab, Daemon, String)> {
    let mut slurm = SlurmLab::new(&[]).await?;
    slurm.lab.set("SLURM__SIGNAL_BEFORE_END_SECONDS", "50");
    let daemon = slurm.lab.start();
    let furniture = slurm.lab.furnish().await;
    let id = slurm.train(&furniture, STEPS, more);
    slurm.wait_for_event(&id, "CheckpointSaved", 1).await;
    Some((slurm, daemon, id))
}

/// It completes, having gone on from a checkpoint under another lease each time, and the whole time SLURM has one job for it.
async fn goes_on_in_the_same_job(slurm: &SlurmLab, id: &str) {
    slurm
        .lab
        .wait_for_status("trainings", id, &["completed"])
        .await;
    slurm.lab.assert_completed_once(id).await;
    let job = slurm.wait_for_pic_status(id, "COMPLETED").await;
    assert!(job.has_started && job.has_ended, "{job:?}");
    assert_eq!(job.error_message, None);
    assert_eq!(
        slurm.pic_jobs(id).await.len(),
        1,
        "{}",
        slurm.histories(id).await
    );
    assert!(slurm.count(id, "TrainingClaimed").await >= 2);
    let history = slurm.lab.history(id).await;
    let started: Vec<i64> = history
        .iter()
        .filter(|event| event.event_type == "TrainingStarted")
        .filter_map(|event| event.payload["at_step"].as_i64())
        .collect();
    assert!(
        started.len() >= 2 && started[1..].iter().all(|step| *step >= 25),
        "it began anew: {started:?}"
    );
    let told = slurm.told().await;
    assert!(told[0].requeued >= 1, "{told:#?}");
    slurm.assert_each_submitted_once().await;
    slurm.assert_rebuild_equals_live().await;
}

#[tokio::test]
async fn a_training_whose_node_dies_goes_on_at_another() {
    let Some((slurm, _daemon, id)) = under_way(&[]).await else {
        return;
    };
    let node = slurm.jobs_of(&id).await[0].node.clone();
    slurm.cluster.kill_node(&node);
    slurm.cluster.declare_down(&node);
    goes_on_in_the_same_job(&slurm, &id).await;
    assert_ne!(slurm.jobs_of(&id).await[0].node, node);
}

#[tokio::test]
async fn a_training_that_the_administrator_requeues_goes_on() {
    let Some((slurm, _daemon, id)) = under_way(&[]).await else {
        return;
    };
    let job = slurm.jobs_of(&id).await[0].id.clone();
    slurm.cluster.run("scontrol", &["requeue", &job]);
    slurm.wait_for_pic_status(&id, "PENDING").await;
    goes_on_in_the_same_job(&slurm, &id).await;
}

#[tokio::test]
async fn a_training_that_is_preempted_goes_on_when_the_urgent_one_is_done() {
    let Some((slurm, _daemon, id)) = under_way(&[]).await else {
        return;
    };
    // All cores of all nodes.
    let urgent = slurm.cluster.run(
        "sbatch",
        &[
            "--parsable",
            "--partition=urgent",
            "--nodes=4",
            "--exclusive",
            "--output=/dev/null",
            "--wrap=sleep 2",
        ],
    );
    slurm.cluster.wait_for_jobs("preempted", |jobs| {
        jobs.iter().any(|job| job.id != urgent && job.restarts == 1)
    });
    slurm.cluster.wait_for_jobs("over", |jobs| {
        jobs.iter().any(|job| job.id == urgent && job.is_over())
    });
    slurm.wait_for_event(&id, "TrainingClaimed", 2).await;
    slurm
        .lab
        .wait_for_status("trainings", &id, &["completed"])
        .await;
    slurm.lab.assert_completed_once(&id).await;
    assert_eq!(slurm.pic_jobs(&id).await.len(), 1);
}

#[tokio::test]
async fn a_training_whose_time_is_up_writes_a_checkpoint_and_asks_for_another_turn() {
    // SLURM looks at time limits every half a minute, and counts them in minutes: it has to last longer than that.
    let long = Steps {
        total: 100_000,
        checkpoint_every: 1_000_000,
        batch: 256,
    };
    let Some(mut slurm) = SlurmLab::new(&[]).await else {
        return;
    };
    slurm.lab.set("SLURM__SIGNAL_BEFORE_END_SECONDS", "50");
    let _daemon = slurm.lab.start();
    let furniture = slurm.lab.furnish().await;
    let id = slurm.train(&furniture, long, &["--time", "1"]);
    slurm.wait_for_event(&id, "TrainingStarted", 2).await;
    // It was not taken by surprise: what it had done is not done again.
    let history = slurm.lab.history(&id).await;
    let of_type = |event_type: &str| {
        let events = history
            .iter()
            .filter(|event| event.event_type == event_type);
        events
            .map(|event| event.payload.clone())
            .collect::<Vec<_>>()
    };
    let (saved, started) = (of_type("CheckpointSaved"), of_type("TrainingStarted"));
    assert_eq!(saved.len(), 1, "{saved:#?}");
    assert_eq!(saved[0]["step"], started[1]["at_step"]);
    let last_step = history
        .iter()
        .rposition(|event| event.event_type == "TrainingClaimed")
        .and_then(|second| {
            history[..second]
                .iter()
                .rfind(|event| event.event_type == "MetricsRecorded")
        })
        .and_then(|metrics| metrics.payload["steps"].as_array()?.last()?.as_u64());
    assert!(
        last_step <= saved[0]["step"].as_u64(),
        "{last_step:?} {saved:?}"
    );
    let jobs = slurm.jobs_of(&id).await;
    assert_eq!((jobs.len(), jobs[0].restarts), (1, 1), "{jobs:?}");
    slurm.lab.cli(&["stop", &id]);
    slurm
        .lab
        .wait_for_status("trainings", &id, &["stopped"])
        .await;
    slurm.assert_each_submitted_once().await;
}

#[tokio::test]
async fn the_controller_is_away_for_a_while_and_the_training_knows_nothing_of_it() {
    let Some((slurm, daemon, id)) = under_way(&[]).await else {
        return;
    };
    slurm.cluster.stop_controller();
    // Long enough for the daemon to ask and get no answer.
    let begun = slurm.cluster.wrappers().calls("squeue").len();
    while slurm.cluster.wrappers().calls("squeue").len() < begun + 2 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    slurm.cluster.start_controller();
    slurm
        .lab
        .wait_for_status("trainings", &id, &["completed"])
        .await;
    slurm.lab.assert_completed_once(&id).await;
    slurm.wait_for_pic_status(&id, "COMPLETED").await;
    assert_eq!(slurm.count(&id, "TrainingClaimed").await, 1);
    slurm.assert_each_submitted_once().await;
    drop(daemon);
}
