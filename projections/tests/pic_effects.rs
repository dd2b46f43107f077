//! What each event changes in the tables of pic.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "support/story.rs"]
mod story;
#[path = "support/tables.rs"]
mod tables;

use serde_json::{Value, json};
use story::Story;
use tables::PIC;
use trainmaster_domain::{
    Category::{CrossValidation, Job, SlurmJob, Training},
    Lease, StreamId,
    slurm::id,
};
use trainmaster_projections::ApplyError;

const SCRIPT: &str = "#!/bin/sh\n#SBATCH --comment trainmaster\n";
const MODEL: &str = "6f1c9a52-0a7e-5f0e-9d52-3f0a53c1b111";

fn settings() -> Value {
    serde_json::to_value(trainmaster_domain::segmentation::SegmentationSettings::default()).unwrap()
}

fn segmentation(placement: Option<Value>) -> Value {
    let mut queued = json!({ "name": "heart", "images_path": "/data/images", "labels_path": "/data/labels",
        "settings": settings(), "total_steps": 200,
        "fold": { "group": "cv_1", "split": { "index": 3, "folds": 5, "seed": 7 } } });
    if let Some(placement) = placement {
        queued["placement"] = placement;
    }
    queued
}

fn placement() -> Value {
    json!({ "cluster": "campus", "resources": {} })
}

/// What was submitted for a run of this kind.
fn submission(category: &str, run: &str, lease: u64) -> Value {
    let mut submission = json!({ "submission_id": "s", "run": { "category": category, "id": run }, "lease": lease,
        "cluster": "campus", "script": SCRIPT });
    let more = if category == "training" {
        json!({ "job_type": "TRAINING", "fold_index": 3, "training": { "name": "heart", "images_path": "/data/images",
            "labels_path": "/data/labels", "model_path": "/models/heart" } })
    } else {
        json!({ "job_type": "INFERENCE", "fold_index": 0, "output_dir": "/predictions/1" })
    };
    submission
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    submission
}

fn job_of(run: &StreamId, lease: u64) -> String {
    id::slurm_job(run, Lease(lease))
}

fn ended(lease: u64, step: u64, has_result: bool) -> Value {
    let mut ended = json!({ "lease": lease, "seq": 9, "step": step });
    if has_result {
        ended["result"] = json!({ "path": "/runs/seg_1/result", "sha256": "ab" });
    }
    ended
}

fn metrics(step: u64, progress: f64) -> Value {
    json!({ "lease": 1, "seq": 2, "progress": progress, "metrics": { "steps": [step], "loss": [0.5], "dice": [0.7],
        "learning_rate": [0.001], "at": ["2026-10-01T00:00:00Z"], "tokens_per_second": 1.0 } })
}

fn failed(code: &str, message: &str) -> Value {
    json!({ "lease": 1, "seq": 3, "code": code, "message": message })
}

#[tokio::test]
async fn a_segmentation_of_this_machine_is_a_job_a_training_and_a_model() {
    let mut story = Story::begin(PIC).await;
    let run = StreamId::new(Training, "seg_1");
    let job_id = id::local_job(&run);
    story
        .tell(Training, "seg_1", "SegmentationQueued", segmentation(None))
        .await;
    let queued = story.now();
    assert_eq!(
        story.row("jobs").await,
        json!({ "id": job_id, "sbatch_id": "local:seg_1", "fold_index": 3, "job_type": "TRAINING", "status": "PENDING",
            "start_time": null, "end_time": null, "error_message": null, "sbatch_content": null })
    );
    assert_eq!(
        story.row("training").await,
        json!({ "id": "seg_1", "name": "heart", "images_path": "/data/images", "labels_path": "/data/labels",
            "model_path": null, "job_id": job_id, "status": "TRAINING", "progress": 0, "start_time": queued,
            "end_time": null })
    );
    story
        .tell(
            Training,
            "seg_1",
            "TrainingClaimed",
            json!({ "lease": 1, "worker_id": "w", "host": "h", "device": "cpu" }),
        )
        .await;
    assert_eq!(story.row("jobs").await["status"], "PENDING");
    story
        .tell(
            Training,
            "seg_1",
            "TrainingStarted",
            json!({ "lease": 1, "seq": 1, "at_step": 0 }),
        )
        .await;
    let job = story.row("jobs").await;
    assert_eq!(
        (&job["status"], &job["start_time"]),
        (&json!("RUNNING"), &story.now())
    );
    story
        .tell(Training, "seg_1", "MetricsRecorded", metrics(50, 25.0))
        .await;
    assert_eq!(story.row("training").await["progress"], 25);

    // Lost, tried again: whoever looks meanwhile sees why.
    let expired = json!({ "lease": 1, "reason": "exited", "message": "The run is gone." });
    story
        .tell(Training, "seg_1", "TrainingLeaseExpired", expired)
        .await;
    let (job, training) = (story.row("jobs").await, story.row("training").await);
    assert_eq!(
        (&job["status"], &job["end_time"], &job["error_message"]),
        (&json!("FAILED"), &story.now(), &json!("The run is gone."))
    );
    assert_eq!(
        (&training["status"], &training["end_time"]),
        (&json!("FAILED"), &story.now())
    );
    story
        .tell(
            Training,
            "seg_1",
            "TrainingRetried",
            json!({ "automatic": true }),
        )
        .await;
    let (job, training) = (story.row("jobs").await, story.row("training").await);
    assert_eq!(
        (
            &job["status"],
            &job["start_time"],
            &job["end_time"],
            &job["error_message"]
        ),
        (
            &json!("PENDING"),
            &json!(null),
            &json!(null),
            &json!("The run is gone.")
        )
    );
    assert_eq!(
        (
            &training["status"],
            &training["end_time"],
            &training["progress"],
            &training["start_time"]
        ),
        (&json!("TRAINING"), &json!(null), &json!(25), &queued)
    );
    story
        .tell(
            Training,
            "seg_1",
            "TrainingStarted",
            json!({ "lease": 2, "seq": 1, "at_step": 0 }),
        )
        .await;
    assert_eq!(story.row("jobs").await["error_message"], json!(null));

    // At rest it waits.
    story
        .tell(
            Training,
            "seg_1",
            "TrainingPaused",
            json!({ "lease": 2, "seq": 4, "step": 50, "forced": false }),
        )
        .await;
    assert_eq!(story.row("jobs").await["status"], "PENDING");
    assert_eq!(story.row("training").await["status"], "TRAINING");
    story
        .tell(Training, "seg_1", "TrainingResumed", json!({}))
        .await;
    story
        .tell(
            Training,
            "seg_1",
            "TrainingStarted",
            json!({ "lease": 3, "seq": 1, "at_step": 50 }),
        )
        .await;
    story
        .tell(
            Training,
            "seg_1",
            "ModelProduced",
            json!({ "lease": 3, "model_id": MODEL, "model_name": "heart_model" }),
        )
        .await;
    assert_eq!(
        story.row("model").await,
        json!({ "id": MODEL, "training_id": "seg_1", "model_name": "heart_model", "created_at": story.now() })
    );
    story
        .tell(Training, "seg_1", "TrainingCompleted", ended(3, 200, true))
        .await;
    let (job, training) = (story.row("jobs").await, story.row("training").await);
    assert_eq!(
        (&job["status"], &job["end_time"], &job["error_message"]),
        (&json!("COMPLETED"), &story.now(), &json!(null))
    );
    assert_eq!(
        (
            &training["status"],
            &training["end_time"],
            &training["progress"],
            &training["model_path"]
        ),
        (
            &json!("TRAINED"),
            &story.now(),
            &json!(100),
            &json!("/runs/seg_1/result")
        )
    );
}

#[tokio::test]
async fn a_training_that_ends_otherwise_is_trained_when_it_has_a_model_and_failed_when_it_has_none()
{
    let mut story = Story::begin(PIC).await;
    let started = json!({ "lease": 1, "seq": 1, "at_step": 0 });
    for (n, (kind, payload, status, job)) in [
        (
            "TrainingStopped",
            ended(1, 60, true),
            "TRAINED",
            "COMPLETED",
        ),
        ("TrainingStopped", ended(0, 0, false), "FAILED", "FAILED"),
        (
            "TrainingFailed",
            failed("loss_not_finite", "It broke."),
            "FAILED",
            "FAILED",
        ),
        (
            "TrainingErrored",
            failed("poison", "It broke."),
            "FAILED",
            "FAILED",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("seg_{n}");
        story
            .tell(Training, &id, "SegmentationQueued", segmentation(None))
            .await;
        story
            .tell(Training, &id, "TrainingStarted", started.clone())
            .await;
        story
            .tell(Training, &id, "MetricsRecorded", metrics(60, 30.0))
            .await;
        story.tell(Training, &id, kind, payload).await;
        let training = story.rows("training").await.remove(n);
        assert_eq!(
            (
                &training["status"],
                &training["progress"],
                &training["end_time"]
            ),
            (&json!(status), &json!(30), &story.now()),
            "{kind}"
        );
        let jobs = story.rows("jobs").await;
        let number = format!("local:{id}");
        let row = jobs.iter().find(|row| row["sbatch_id"] == *number).unwrap();
        assert_eq!(
            (&row["status"], &row["end_time"]),
            (&json!(job), &story.now()),
            "{kind}"
        );
        assert_eq!(row["error_message"].is_null(), job == "COMPLETED");
    }
}

#[tokio::test]
async fn what_slurm_executes_is_there_once_slurm_has_it_and_goes_by_slurm_s_times() {
    let mut story = Story::begin(PIC).await;
    let run = StreamId::new(Training, "seg_1");
    let first = job_of(&run, 1);
    story
        .tell(
            Training,
            "seg_1",
            "SegmentationQueued",
            segmentation(Some(placement())),
        )
        .await;
    story
        .tell(
            Training,
            "seg_1",
            "TrainingClaimed",
            json!({ "lease": 1, "worker_id": "w", "host": "h", "device": "cpu" }),
        )
        .await;
    let intended = submission("training", "seg_1", 1);
    story
        .tell(
            SlurmJob,
            &first,
            "SlurmSubmissionIntended",
            intended.clone(),
        )
        .await;
    for table in PIC.tables() {
        assert!(story.rows(table).await.is_empty(), "{table}");
    }
    story
        .tell(
            SlurmJob,
            &first,
            "SlurmJobSubmitted",
            json!({ "sbatch_id": "41_3", "submission": intended }),
        )
        .await;
    let submitted = story.now();
    assert_eq!(
        story.row("jobs").await,
        json!({ "id": first, "sbatch_id": "41_3", "fold_index": 3, "job_type": "TRAINING", "status": "PENDING",
            "start_time": null, "end_time": null, "error_message": null, "sbatch_content": SCRIPT })
    );
    assert_eq!(
        story.row("training").await,
        json!({ "id": "seg_1", "name": "heart", "images_path": "/data/images", "labels_path": "/data/labels",
            "model_path": "/models/heart", "job_id": first, "status": "TRAINING", "progress": 0,
            "start_time": submitted, "end_time": null })
    );
    story
        .tell(
            SlurmJob,
            &first,
            "SlurmJobStarted",
            json!({ "at": "2026-10-01T02:00:05+02:00", "restarts": 0 }),
        )
        .await;
    let job = story.row("jobs").await;
    assert_eq!(
        (&job["status"], &job["start_time"]),
        (&json!("RUNNING"), &json!("2026-10-01T00:00:05"))
    );
    // What changes nothing.
    for (kind, payload) in [
        ("SlurmStateSeen", json!({ "state": "SIGNALING" })),
        ("SlurmCancelRequested", json!({})),
        ("SlurmJobHandedOver", json!({ "lease": 2, "restarts": 1 })),
    ] {
        story.tell(SlurmJob, &first, kind, payload).await;
        assert_eq!(story.row("jobs").await, job, "{kind}");
    }
    story
        .tell(
            SlurmJob,
            &first,
            "SlurmJobRequeued",
            json!({ "restarts": 1, "reason": "BeginTime" }),
        )
        .await;
    let job = story.row("jobs").await;
    assert_eq!(
        (&job["status"], &job["start_time"]),
        (&json!("PENDING"), &json!(null))
    );
    story
        .tell(
            SlurmJob,
            &first,
            "SlurmJobStarted",
            json!({ "at": "2026-10-01T00:10:00Z", "restarts": 1 }),
        )
        .await;
    story
        .tell(Training, "seg_1", "MetricsRecorded", metrics(50, 25.0))
        .await;
    let message = "SLURM ended it: NODE_FAIL.";
    story
        .tell(
            SlurmJob,
            &first,
            "SlurmJobFailed",
            json!({ "at": "2026-10-01T00:20:00Z", "state": "NODE_FAIL", "message": message }),
        )
        .await;
    let job = story.row("jobs").await;
    assert_eq!(
        (
            &job["status"],
            &job["start_time"],
            &job["end_time"],
            &job["error_message"]
        ),
        (
            &json!("FAILED"),
            &json!("2026-10-01T00:10:00"),
            &json!("2026-10-01T00:20:00"),
            &json!(message)
        )
    );
    // The run is tried again: another job, the same training.
    story
        .tell(
            Training,
            "seg_1",
            "TrainingLeaseExpired",
            json!({ "lease": 1, "reason": "node_failed", "message": message }),
        )
        .await;
    assert_eq!(story.row("training").await["status"], "FAILED");
    story
        .tell(
            Training,
            "seg_1",
            "TrainingRetried",
            json!({ "automatic": true }),
        )
        .await;
    let second = job_of(&run, 2);
    let again = submission("training", "seg_1", 2);
    story
        .tell(
            SlurmJob,
            &second,
            "SlurmJobSubmitted",
            json!({ "sbatch_id": "42", "submission": again }),
        )
        .await;
    let training = story.row("training").await;
    assert_eq!(
        (
            &training["job_id"],
            &training["status"],
            &training["progress"],
            &training["start_time"],
            &training["end_time"]
        ),
        (
            &json!(second),
            &json!("TRAINING"),
            &json!(25),
            &submitted,
            &json!(null)
        )
    );
    assert_eq!(story.rows("jobs").await.len(), 2);
    // It began and ended between two looks.
    story
        .tell(
            SlurmJob,
            &second,
            "SlurmJobStarted",
            json!({ "at": "2026-10-01T00:30:00Z", "restarts": 0 }),
        )
        .await;
    story
        .tell(
            SlurmJob,
            &second,
            "SlurmJobCompleted",
            json!({ "at": "2026-10-01T00:30:02Z" }),
        )
        .await;
    let jobs = story.rows("jobs").await;
    let job = jobs.iter().find(|row| row["id"] == *second).unwrap();
    assert_eq!(
        (&job["status"], &job["start_time"], &job["end_time"]),
        (
            &json!("COMPLETED"),
            &json!("2026-10-01T00:30:00"),
            &json!("2026-10-01T00:30:02")
        )
    );
    // Where the model was to be was said at submission.
    story
        .tell(Training, "seg_1", "TrainingCompleted", ended(2, 200, true))
        .await;
    assert_eq!(story.row("training").await["model_path"], "/models/heart");
}

#[tokio::test]
async fn an_autoencoder_is_shown_where_slurm_trains_it_and_not_where_this_machine_does() {
    let mut story = Story::begin(PIC).await;
    let queued = json!({ "model_id": "m_1", "dataset_id": "ds_1", "encoder_type": "sparse", "total_steps": 10,
        "hyperparameters": serde_json::to_value(trainmaster_domain::hyperparameters::Hyperparameters::default()).unwrap() });
    for id in ["tr_1", "tr_2"] {
        story
            .tell(Training, id, "TrainingQueued", queued.clone())
            .await;
    }
    let job = job_of(&StreamId::new(Training, "tr_2"), 1);
    let submission = submission("training", "tr_2", 1);
    story
        .tell(
            SlurmJob,
            &job,
            "SlurmJobSubmitted",
            json!({ "sbatch_id": "7", "submission": submission }),
        )
        .await;
    for id in ["tr_1", "tr_2"] {
        story
            .tell(
                Training,
                id,
                "TrainingStarted",
                json!({ "lease": 1, "seq": 1, "at_step": 0, "d_in": 8, "d_sae": 64 }),
            )
            .await;
        story
            .tell(Training, id, "TrainingCompleted", ended(1, 10, true))
            .await;
    }
    let training = story.row("training").await;
    assert_eq!(
        (&training["id"], &training["status"], &training["progress"]),
        (&json!("tr_2"), &json!("TRAINED"), &json!(100))
    );
    assert_eq!(story.row("jobs").await["id"], *job);
}

/// A model that predictions can be asked of.
async fn with_model() -> Story {
    let mut story = Story::begin(PIC).await;
    story
        .tell(Training, "seg_1", "SegmentationQueued", segmentation(None))
        .await;
    story
        .tell(
            Training,
            "seg_1",
            "ModelProduced",
            json!({ "lease": 1, "model_id": MODEL, "model_name": "heart_model" }),
        )
        .await;
    story
}

fn prediction(placement: Option<Value>) -> Value {
    let mut queued = json!({ "work": { "kind": "prediction", "model_id": MODEL, "training_id": "seg_1",
        "input": { "images": ["/data/new/1.png"] }, "output_dir": "/predictions/asked" } });
    if let Some(placement) = placement {
        queued["placement"] = placement;
    }
    queued
}

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
