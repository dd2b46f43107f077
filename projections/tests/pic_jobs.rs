//! What each event changes in the tables of pic: jobs of several clusters, jobs that never were, and what is none of them.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/story.rs"]
mod story;
#[path = "support/tables.rs"]
mod tables;

use cluster::{job_of, segmentation, submission};
use serde_json::{Value, json};
use story::Story;
use tables::PIC;
use trainmaster_domain::{
    Category::{CrossValidation, Job, SlurmJob, Training},
    StreamId,
};
use trainmaster_projections::ApplyError;

#[tokio::test]
async fn numbers_that_clusters_give_twice_are_told_apart() {
    let mut story = Story::begin(PIC).await;
    for (n, cluster) in ["campus", "attic", "campus"].into_iter().enumerate() {
        let run = format!("seg_{n}");
        let mut submission = submission("training", &run, 1);
        submission["cluster"] = json!(cluster);
        let job = job_of(&StreamId::new(Training, &*run), 1);
        story
            .tell(
                SlurmJob,
                &job,
                "SlurmJobSubmitted",
                json!({ "sbatch_id": "1", "submission": submission }),
            )
            .await;
        // The controller was set up anew: "1;campus" is the next best.
        let row = |jobs: Vec<Value>| jobs.into_iter().find(|row| row["id"] == *job).unwrap();
        let number = row(story.rows("jobs").await)["sbatch_id"].clone();
        assert_eq!(number, ["1", "1;attic", "1;campus"][n]);
    }
    let run = StreamId::new(Training, "seg_9");
    let job = job_of(&run, 1);
    let submission = submission("training", "seg_9", 1);
    story
        .tell(
            SlurmJob,
            &job,
            "SlurmJobSubmitted",
            json!({ "sbatch_id": "1", "submission": submission }),
        )
        .await;
    let numbers: Vec<Value> = story
        .rows("jobs")
        .await
        .into_iter()
        .map(|row| row["sbatch_id"].clone())
        .collect();
    assert!(numbers.contains(&json!(format!("1;{job}"))), "{numbers:?}");
}

#[tokio::test]
async fn a_job_that_slurm_never_took_cannot_go_on_and_other_streams_are_none_of_its_business() {
    let mut story = Story::begin(PIC).await;
    for (kind, payload) in [
        (
            "SlurmJobStarted",
            json!({ "at": "2026-10-01T00:00:00Z", "restarts": 0 }),
        ),
        ("SlurmJobRequeued", json!({ "restarts": 1 })),
        ("SlurmStateSeen", json!({ "state": "X" })),
        ("SlurmJobCompleted", json!({ "at": "2026-10-01T00:00:00Z" })),
        (
            "SlurmJobFailed",
            json!({ "at": "2026-10-01T00:00:00Z", "message": "m" }),
        ),
    ] {
        let event = json!({ "type": kind, "payload": payload });
        let refused = story.apply(SlurmJob, "ghost", event).await;
        assert!(
            matches!(&refused, Err(ApplyError::NoRow { table: "jobs", stream, .. }) if stream.id == "ghost"),
            "{kind}: {refused:?}"
        );
    }
    let intended = submission("training", "seg_1", 1);
    for (kind, payload) in [
        ("SlurmSubmissionIntended", intended),
        ("SlurmCancelRequested", json!({})),
        ("SlurmJobHandedOver", json!({ "lease": 2, "restarts": 0 })),
        (
            "SlurmSubmissionRefused",
            json!({ "message": "no such partition" }),
        ),
    ] {
        story.tell(SlurmJob, "intended", kind, payload).await;
    }
    let mut queued = segmentation(None);
    queued.as_object_mut().unwrap().remove("fold");
    queued.as_object_mut().unwrap().remove("total_steps");
    queued["folds"] = json!(5);
    story
        .tell(CrossValidation, "cv_1", "CrossValidationQueued", queued)
        .await;
    let generation = json!({ "work": { "kind": "generation", "model_id": "m_1", "prompt": "It", "chat": false,
        "sampling": { "maxNewTokens": 4 } } });
    story.tell(Job, "job_7", "JobQueued", generation).await;
    story
        .tell(
            Job,
            "job_7",
            "JobCancelled",
            json!({ "lease": 0, "seq": 0 }),
        )
        .await;
    for table in PIC.tables() {
        assert!(story.rows(table).await.is_empty(), "{table}");
    }
}
