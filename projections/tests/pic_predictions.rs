//! What each event changes in the tables of pic: predictions, and what goes with a training.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/story.rs"]
mod story;
#[path = "support/tables.rs"]
mod tables;

use cluster::{MODEL, failed, job_of, placement, prediction, segmentation, submission, with_model};
use serde_json::{Value, json};
use trainmaster_domain::{
    Category::{Job, SlurmJob, Training},
    StreamId,
    slurm::id,
};

#[tokio::test]
async fn a_prediction_is_pending_then_processing_then_completed_or_failed() {
    let mut story = with_model().await;
    story
        .tell(Job, "job_1", "JobQueued", prediction(None))
        .await;
    let job_id = id::local_job(&StreamId::new(Job, "job_1"));
    let created = story.now();
    let mut row = json!({ "predict_id": "job_1", "model_id": MODEL, "job_id": job_id,
        "input_data": { "images": ["/data/new/1.png"] }, "output_dir": "/predictions/asked", "prediction": null,
        "status": "PENDING", "start_time": null, "end_time": null, "error_message": null, "created_at": created,
        "updated_at": created });
    assert_eq!(story.row("inference").await, row);
    let claimed = json!({ "lease": 1, "worker_id": "w", "host": "h", "device": "cpu" });
    story
        .tell(Job, "job_1", "JobClaimed", claimed.clone())
        .await;
    row["updated_at"] = story.now();
    assert_eq!(story.row("inference").await, row);
    let progressed = json!({ "lease": 1, "seq": 1, "stage": "predicting", "percent": 0.0 });
    story
        .tell(Job, "job_1", "JobProgressed", progressed.clone())
        .await;
    for (name, value) in [
        ("status", json!("PROCESSING")),
        ("start_time", story.now()),
        ("updated_at", story.now()),
    ] {
        row[name] = value;
    }
    assert_eq!(story.row("inference").await, row);
    let local = |jobs: Vec<Value>| jobs.into_iter().find(|job| job["id"] == *job_id).unwrap();
    let job = local(story.rows("jobs").await);
    assert_eq!(
        (
            &job["sbatch_id"],
            &job["job_type"],
            &job["status"],
            &job["start_time"]
        ),
        (
            &json!("local:job_1"),
            &json!("INFERENCE"),
            &json!("RUNNING"),
            &story.now()
        )
    );
    story
        .tell(Job, "job_1", "JobProgressed", progressed.clone())
        .await;
    assert_eq!(
        story.row("inference").await["start_time"],
        row["start_time"]
    );

    let failure = failed("image_unreadable", "It cannot be read.");
    story.tell(Job, "job_1", "JobFailed", failure).await;
    for (name, value) in [
        ("status", json!("FAILED")),
        ("error_message", json!("It cannot be read.")),
        ("end_time", story.now()),
        ("updated_at", story.now()),
    ] {
        row[name] = value;
    }
    assert_eq!(story.row("inference").await, row);
    assert_eq!(local(story.rows("jobs").await)["status"], "FAILED");
    story
        .tell(Job, "job_1", "JobRetried", json!({ "automatic": true }))
        .await;
    for (name, value) in [
        ("status", json!("PENDING")),
        ("start_time", json!(null)),
        ("end_time", json!(null)),
        ("updated_at", story.now()),
    ] {
        row[name] = value;
    }
    assert_eq!(story.row("inference").await, row);
    // So fast that nothing was said before.
    let found = json!({ "images": [{ "file": "1.png", "mean_dice": 0.9 }] });
    story
        .tell(
            Job,
            "job_1",
            "Predicted",
            json!({ "lease": 2, "seq": 1, "output_dir": "/predictions/1", "prediction": found }),
        )
        .await;
    for (name, value) in [
        ("status", json!("PROCESSING")),
        ("start_time", story.now()),
        ("error_message", json!(null)),
        ("output_dir", json!("/predictions/1")),
        ("prediction", found),
    ] {
        row[name] = value;
    }
    story
        .tell(
            Job,
            "job_1",
            "JobCompleted",
            json!({ "lease": 2, "seq": 2 }),
        )
        .await;
    for (name, value) in [
        ("status", json!("COMPLETED")),
        ("end_time", story.now()),
        ("updated_at", story.now()),
    ] {
        row[name] = value;
    }
    assert_eq!(story.row("inference").await, row);
    let job = local(story.rows("jobs").await);
    assert_eq!(
        (&job["status"], &job["end_time"], &job["error_message"]),
        (&json!("COMPLETED"), &story.now(), &json!(null))
    );

    for (n, (kind, payload, message)) in [
        (
            "JobCancelled",
            json!({ "lease": 1, "seq": 1 }),
            "It was cancelled.",
        ),
        (
            "JobLeaseExpired",
            json!({ "lease": 1, "reason": "exited", "message": "Gone." }),
            "Gone.",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("job_2{n}");
        story.tell(Job, &id, "JobQueued", prediction(None)).await;
        story.tell(Job, &id, kind, payload).await;
        let row = story.rows("inference").await.remove(n + 1);
        assert_eq!(
            (&row["status"], &row["error_message"], &row["end_time"]),
            (&json!("FAILED"), &json!(message), &story.now())
        );
    }
}

#[tokio::test]
async fn a_prediction_on_slurm_has_job_and_directory_once_slurm_has_it() {
    let mut story = with_model().await;
    story
        .tell(Job, "job_1", "JobQueued", prediction(Some(placement())))
        .await;
    let row = story.row("inference").await;
    assert_eq!(
        (&row["job_id"], &row["output_dir"], &row["status"]),
        (&json!(null), &json!(null), &json!("PENDING"))
    );
    let run = StreamId::new(Job, "job_1");
    for (lease, number) in [(1, "51"), (2, "52")] {
        let job = job_of(&run, lease);
        let submission = submission("job", "job_1", lease);
        story
            .tell(
                SlurmJob,
                &job,
                "SlurmJobSubmitted",
                json!({ "sbatch_id": number, "submission": submission }),
            )
            .await;
        let row = story.row("inference").await;
        assert_eq!(
            (&row["job_id"], &row["output_dir"], &row["updated_at"]),
            (&json!(job), &json!("/predictions/1"), &story.now())
        );
    }
    let jobs = story.rows("jobs").await;
    assert_eq!(
        jobs.iter()
            .filter(|job| job["job_type"] == "INFERENCE")
            .count(),
        2
    );
}

#[tokio::test]
async fn a_training_takes_models_predictions_and_what_this_machine_did_along_and_leaves_what_slurm_did()
 {
    let mut story = with_model().await;
    story
        .tell(Job, "job_1", "JobQueued", prediction(None))
        .await;
    story
        .tell(Job, "job_2", "JobQueued", prediction(Some(placement())))
        .await;
    let job = job_of(&StreamId::new(Job, "job_2"), 1);
    story
        .tell(
            SlurmJob,
            &job,
            "SlurmJobSubmitted",
            json!({ "sbatch_id": "8", "submission": submission("job", "job_2", 1) }),
        )
        .await;
    story
        .tell(Training, "seg_2", "SegmentationQueued", segmentation(None))
        .await;
    story
        .tell(Training, "seg_1", "TrainingDeleted", json!({}))
        .await;
    assert!(story.rows("model").await.is_empty() && story.rows("inference").await.is_empty());
    assert_eq!(story.row("training").await["id"], "seg_2");
    let numbers: Vec<Value> = story
        .rows("jobs")
        .await
        .into_iter()
        .map(|row| row["sbatch_id"].clone())
        .collect();
    assert_eq!(numbers.len(), 2, "{numbers:?}");
    assert!(numbers.contains(&json!("8")) && numbers.contains(&json!("local:seg_2")));
    // Whoever still speaks of what is gone changes nothing.
    story
        .tell(
            Job,
            "job_1",
            "JobCancelled",
            json!({ "lease": 0, "seq": 0 }),
        )
        .await;
    story
        .tell(
            SlurmJob,
            &job,
            "SlurmJobCompleted",
            json!({ "at": "2026-10-01T00:00:00Z" }),
        )
        .await;
    assert!(story.rows("inference").await.is_empty());
}
