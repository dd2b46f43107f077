//! What runs became on clusters: listed, shown, told of the run.

use crate::{
    fixture::{Interface, images},
    images::{claim, tell, with_clusters},
};
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use trainmaster_domain::{
    Category, Lease, StreamId,
    slurm::{
        JobType, Observation, SlurmJob, SlurmJobCommand, SlurmState, Submission, id::slurm_job,
    },
    training::{Training, TrainingCommand},
};

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub async fn submitted(interface: &Interface, run: &StreamId, sbatch_id: &str) -> String {
    let id = slurm_job(run, Lease(1));
    let submission = Submission {
        submission_id: "0b6f5c0e-6e55-5a0c-9d49-3f6c4a1b2c3d".into(),
        run: run.clone(),
        lease: Lease(1),
        cluster: "campus".into(),
        job_type: JobType::Training,
        fold_index: 0,
        array_index: None,
        script: "#!/bin/sh\nexec trainmaster-trainer slurm .\n".into(),
        training: None,
        output_dir: None,
    };
    tell::<SlurmJob>(
        interface,
        &id,
        SlurmJobCommand::Intend(Box::new(submission)),
    )
    .await;
    let sbatch_id = sbatch_id.to_owned();
    tell::<SlurmJob>(interface, &id, SlurmJobCommand::NoteSubmitted { sbatch_id }).await;
    id
}

pub async fn seen(interface: &Interface, id: &str, state: SlurmState, restarts: u32) {
    let seen = Observation {
        state: Some(state),
        started_at: Some(at("2026-03-01T10:00:00Z")),
        ended_at: Some(at("2026-03-01T10:05:00Z")),
        restarts,
        reason: None,
        exit_code: Some("1:0".into()),
        proven: false,
        now: Utc::now(),
    };
    tell::<SlurmJob>(interface, id, SlurmJobCommand::Observe(seen)).await;
}

/// A placed segmentation that has been claimed; its id.
async fn placed(interface: &Interface) -> String {
    let (images, labels) = images(interface.directory.path(), 1);
    let answer = interface
        .post(
            "/v1/segmentations",
            json!({ "images": images, "labels": labels, "placement": { "cluster": "campus" } }),
        )
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let id = answer.text("id");
    tell::<Training>(interface, &id, TrainingCommand::Claim(claim())).await;
    id
}

#[tokio::test]
async fn a_placed_run_tells_its_job_and_the_job_its_script() {
    let interface = with_clusters(&["campus"]).await;
    let clusters = interface.get("/v1/slurm/clusters").await.body;
    assert_eq!(clusters[0]["name"], "campus", "{clusters}");
    assert_eq!(clusters[0]["answers"], false, "{clusters}");
    assert!(
        clusters[0]["problem"]
            .as_str()
            .unwrap()
            .contains("scontrol"),
        "{clusters}"
    );
    let training = placed(&interface).await;
    let run = StreamId::new(Category::Training, &training);
    let id = submitted(&interface, &run, "123").await;
    let shown = interface
        .get(&format!("/v1/segmentations/{training}"))
        .await
        .body;
    assert_eq!(shown["slurm_job"]["sbatch_id"], "123", "{shown}");
    assert_eq!(shown["slurm_job"]["status"], "pending");
    assert_eq!(shown["slurm_job"]["started_at"], Value::Null);

    // A state that this version does not know is told as SLURM prints it, and is no end.
    seen(
        &interface,
        &id,
        SlurmState::Unknown("SPECIAL_EXIT".into()),
        0,
    )
    .await;
    let path = format!("/v1/slurm/jobs/{id}");
    let job = interface.get(&path).await.body;
    assert_eq!(job["slurm_state"], "SPECIAL_EXIT");
    assert_eq!(job["status"], "pending");
    assert!(
        job["script"]
            .as_str()
            .unwrap()
            .contains("exec trainmaster-trainer"),
        "{job}"
    );
    seen(&interface, &id, SlurmState::Running, 0).await;
    let job = interface.get(&path).await.body;
    assert_eq!(
        (&job["status"], &job["slurm_state"]),
        (&json!("running"), &Value::Null)
    );
    assert_eq!(job["started_at"], "2026-03-01T10:00:00Z");
    assert_eq!(job["ended_at"], Value::Null);

    // Put back, it keeps its id, whatever the lease of the run is meanwhile.
    seen(&interface, &id, SlurmState::Pending, 1).await;
    let command = SlurmJobCommand::HandOver { lease: Lease(2) };
    tell::<SlurmJob>(&interface, &id, command).await;
    let job = interface.get(&path).await.body;
    assert_eq!(
        (&job["status"], &job["restarts"]),
        (&json!("pending"), &json!(1))
    );
    assert_eq!(
        (&job["lease"], &job["started_at"]),
        (&json!(2), &Value::Null)
    );

    seen(&interface, &id, SlurmState::Running, 1).await;
    let failed = trainmaster_domain::slurm::SlurmState::parse("OUT_OF_MEMORY");
    seen(&interface, &id, failed, 1).await;
    let job = interface.get(&path).await.body;
    assert_eq!(job["status"], "failed");
    assert_eq!(job["ended_at"], "2026-03-01T10:05:00Z");
    assert!(
        job["message"].as_str().unwrap().contains("OUT_OF_MEMORY"),
        "{job}"
    );
}

#[tokio::test]
async fn jobs_are_listed_by_status_cluster_and_run() {
    let interface = with_clusters(&["campus"]).await;
    let (one, other) = (placed(&interface).await, placed(&interface).await);
    let run = |id: &str| StreamId::new(Category::Training, id);
    let first = submitted(&interface, &run(&one), "1").await;
    let second = submitted(&interface, &run(&other), "2").await;
    seen(&interface, &first, SlurmState::Completed, 0).await;
    let list = async |query: &str| -> Vec<String> {
        let page = interface.get(&format!("/v1/slurm/jobs{query}")).await.body;
        let items = page["items"].as_array().unwrap_or_else(|| panic!("{page}"));
        items
            .iter()
            .map(|job| job["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(list("").await, [second.clone(), first.clone()]);
    assert_eq!(list("?limit=1").await, [second.as_str()]);
    assert_eq!(list("?status=completed").await, [first.as_str()]);
    assert_eq!(list(&format!("?run={other}")).await, [second]);
    assert!(list("?cluster=mars").await.is_empty());
    for (path, code) in [
        ("/v1/slurm/jobs?status=COMPLETED", "invalid_query"),
        ("/v1/slurm/jobs?after=x", "invalid_query"),
        ("/v1/slurm/jobs?run=a%20b", "invalid_query"),
        ("/v1/slurm/jobs?limit=0", "invalid_query"),
        ("/v1/slurm/jobs/a%20b", "invalid_id"),
        ("/v1/slurm/jobs/123", "slurm_job_not_found"),
    ] {
        assert_eq!(interface.get(path).await.code(), code, "{path}");
    }
}

#[tokio::test]
async fn a_training_of_the_studio_and_a_job_tell_where_they_were_placed() {
    let interface = with_clusters(&["campus"]).await;
    let (model, dataset) = interface.model_and_dataset().await;
    let placement = json!({ "cluster": "slurm", "resources": { "gpus": 1 } });
    let body = json!({ "model": model, "dataset": dataset, "placement": placement });
    let answer = interface.post("/v1/trainings", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let id = answer.text("id");
    tell::<Training>(&interface, &id, TrainingCommand::Claim(claim())).await;
    let run = StreamId::new(Category::Training, &id);
    submitted(&interface, &run, "77").await;
    let shown = interface.get(&format!("/v1/trainings/{id}")).await.body;
    assert_eq!(shown["placement"]["cluster"], "campus", "{shown}");
    assert_eq!(shown["placement"]["resources"], json!({ "gpus": 1 }));
    assert_eq!(shown["slurm_job"]["sbatch_id"], "77");

    let body = json!({ "prompt": "x", "model": model, "placement": { "cluster": "mars" } });
    let answer = interface.post("/v1/generations", body).await;
    assert_eq!(answer.code(), "unknown_cluster", "{answer:?}");
}
