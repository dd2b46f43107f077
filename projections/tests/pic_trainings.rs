//! What each event changes in the tables of pic: trainings, their jobs and models.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "support/cluster.rs"]
mod cluster;
#[path = "support/story.rs"]
mod story;
#[path = "support/tables.rs"]
mod tables;

use cluster::{MODEL, SCRIPT, ended, failed, job_of, metrics, placement, segmentation, submission};
use serde_json::json;
use story::Story;
use tables::PIC;
use trainmaster_domain::{
    Category::{SlurmJob, Training},
    StreamId,
    slurm::id,
};

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
