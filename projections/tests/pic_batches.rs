//! Rows of pic depend on the events alone, break no constraint whatever happens, and say what the domain says. The studio's are none the wiser.
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "support/tables.rs"]
mod tables;

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tables::{MISTUDIO, PIC};
use trainmaster_domain::{
    Aggregate, RecordedEvent,
    job::JobStatus,
    slurm::SlurmJobStatus,
    training::{Training, TrainingStatus},
};
use trainmaster_projections::Serials;
use trainmaster_tests::{
    history::{Draw, History},
    postgres::TestDatabase,
};

/// How many histories; `TRAINMASTER_HISTORIES=100` for a longer campaign.
fn histories() -> u64 {
    std::env::var("TRAINMASTER_HISTORIES")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2)
}

/// Cuts events into pieces of 1 to `most`.
fn pieces(events: &[RecordedEvent], most: u64, seed: u64) -> Vec<&[RecordedEvent]> {
    let mut draw = Draw::new(seed);
    let (mut rest, mut pieces) = (events, vec![]);
    while !rest.is_empty() {
        let length = (1 + draw.below(most) as usize).min(rest.len());
        let (piece, after) = rest.split_at(length);
        pieces.push(piece);
        rest = after;
    }
    pieces
}

#[tokio::test]
async fn no_history_breaks_a_constraint_and_rows_are_the_same_however_the_events_are_batched() {
    let pool = TestDatabase::new().await.pool().await;
    let mut types = BTreeSet::new();
    for seed in 0..histories() {
        let events = History::new(seed).with_clusters().events(1_200);
        types.extend(events.iter().map(|recorded| recorded.event.event_type()));
        for read_model in [PIC, MISTUDIO] {
            let mut expected = None;
            for most in [1, 40, u64::MAX] {
                let schema = format!("{read_model}_{seed}_{most}");
                tables::create(&pool, read_model, &schema).await;
                let mut serials = Serials::default();
                for piece in pieces(&events, most, seed) {
                    tables::apply(&pool, read_model, &schema, &mut serials, piece)
                        .await
                        .unwrap();
                }
                let mut all = vec![];
                for table in read_model.tables() {
                    all.push((
                        *table,
                        tables::rows(&pool, read_model, &schema, table).await,
                    ));
                }
                let filled = all.iter().filter(|(_, rows)| !rows.is_empty()).count();
                assert!(
                    filled >= 4,
                    "history {seed} leaves tables of {read_model} empty"
                );
                match &expected {
                    None => expected = Some((serials, all)),
                    Some(expected) => assert!(
                        *expected == (serials, all),
                        "{read_model}: history {seed} in pieces of up to {most} differs from one event at a time"
                    ),
                }
            }
        }
    }
    for needed in [
        "SegmentationQueued",
        "SegmentationEvaluated",
        "ModelProduced",
        "SlurmSubmissionIntended",
        "SlurmJobSubmitted",
        "SlurmSubmissionRefused",
        "SlurmJobStarted",
        "SlurmJobRequeued",
        "SlurmCancelRequested",
        "SlurmStateSeen",
        "SlurmJobCompleted",
        "SlurmJobFailed",
        "Predicted",
        "JobCancelled",
        "JobLeaseExpired",
        "TrainingDeleted",
    ] {
        assert!(types.contains(needed), "the histories lack {needed}");
    }
}

#[tokio::test]
async fn rows_say_what_the_domain_says_after_every_batch() {
    let pool = TestDatabase::new().await.pool().await;
    tables::create(&pool, PIC, "pic").await;
    let mut history = History::new(77).with_clusters();
    let mut serials = Serials::default();
    let mut seen = BTreeSet::new();
    for _ in 0..60 {
        let events = history.events(30);
        tables::apply(&pool, PIC, "pic", &mut serials, &events)
            .await
            .unwrap();
        let jobs = by(tables::rows(&pool, PIC, "pic", "jobs").await, "id");
        for (id, job) in history.slurm_jobs() {
            let status = match job.status() {
                SlurmJobStatus::Absent | SlurmJobStatus::Intended | SlurmJobStatus::Refused => None,
                SlurmJobStatus::Pending => Some("PENDING"),
                SlurmJobStatus::Running => Some("RUNNING"),
                SlurmJobStatus::Completed => Some("COMPLETED"),
                SlurmJobStatus::Failed => Some("FAILED"),
            };
            let row = jobs.get(id);
            assert_eq!(row.and_then(|row| row["status"].as_str()), status, "{id}");
            seen.extend(status);
            let Some(row) = row else { continue };
            let number = row["sbatch_id"].as_str().unwrap();
            assert!(number.starts_with(job.sbatch_id().unwrap()), "{number}");
            assert_eq!(
                row["error_message"].as_str(),
                job.failure().map(|failed| failed.message.as_str())
            );
            assert_eq!(
                row["end_time"].is_string(),
                ["COMPLETED", "FAILED"].contains(&status.unwrap())
            );
        }
        let trainings = by(tables::rows(&pool, PIC, "pic", "training").await, "id");
        for (id, training) in history.trainings() {
            let is_submitted = history.slurm_jobs().any(|(_, job)| {
                job.sbatch_id().is_some()
                    && job
                        .submission()
                        .is_some_and(|submission| submission.run.id == *id)
            });
            let is_local = training.segmentation().is_some() && training.placement().is_none();
            let row = trainings.get(id);
            assert_eq!(
                row.is_some(),
                !training.is_deleted() && (is_submitted || is_local),
                "{id}"
            );
            let Some(row) = row else { continue };
            assert_eq!(row["status"], status(training), "{id}");
            let job = &jobs[row["job_id"].as_str().unwrap()];
            assert_eq!(
                job["sbatch_id"].as_str() == Some(&format!("local:{id}")),
                is_local
            );
            let over = status(training) != "TRAINING";
            assert_eq!(row["end_time"].is_string(), over, "{id}");
        }
        let models = by(tables::rows(&pool, PIC, "pic", "model").await, "id");
        let there: Vec<&str> = history
            .trainings()
            .iter()
            .filter(|(id, _)| trainings.contains_key(*id))
            .filter_map(|(_, training)| Some(training.model()?.model_id.as_str()))
            .collect();
        assert_eq!(models.len(), there.len());
        assert!(there.iter().all(|id| models.contains_key(*id)));

        let predictions = by(
            tables::rows(&pool, PIC, "pic", "inference").await,
            "predict_id",
        );
        for (id, row) in &predictions {
            let (_, job) = history
                .predictions()
                .find(|(known, _)| *known == id)
                .unwrap();
            let expected: &[&str] = match job.status() {
                JobStatus::Absent => &[],
                JobStatus::Queued => &["PENDING"],
                JobStatus::Running => &["PENDING", "PROCESSING"],
                JobStatus::Completed => &["COMPLETED"],
                JobStatus::Failed | JobStatus::Cancelled => &["FAILED"],
            };
            let status = row["status"].as_str().unwrap();
            assert!(expected.contains(&status), "{id}: {status}");
            seen.insert(match status {
                "PROCESSING" => "PROCESSING",
                _ => "another",
            });
            assert_eq!(
                row["prediction"].is_object(),
                job.predicted().is_some(),
                "{id}"
            );
            assert_eq!(
                row["job_id"].is_string(),
                job.placement().is_none()
                    || history
                        .slurm_jobs()
                        .any(|(_, slurm)| slurm.sbatch_id().is_some()
                            && slurm.submission().is_some_and(|it| it.run.id == *id)),
                "{id}"
            );
        }
    }
    for status in ["PENDING", "RUNNING", "COMPLETED", "FAILED", "PROCESSING"] {
        assert!(seen.contains(status), "nothing was ever {status}");
    }
}

fn by(rows: Vec<Value>, key: &str) -> BTreeMap<String, Value> {
    rows.into_iter()
        .map(|row| (row[key].as_str().unwrap().to_owned(), row))
        .collect()
}

fn status(training: &Training) -> &'static str {
    match training.status() {
        TrainingStatus::Completed => "TRAINED",
        TrainingStatus::Stopped if training.result().is_some() => "TRAINED",
        TrainingStatus::Stopped | TrainingStatus::Failed | TrainingStatus::Error => "FAILED",
        _ => "TRAINING",
    }
}
