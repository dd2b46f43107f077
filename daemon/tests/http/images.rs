//! Segmentations, cross-validations and predictions: asked for, read, refused.

use crate::fixture::{Answer, Interface, clusters, images, patient};
use axum::http::StatusCode;
use chrono::{Months, Utc};
use serde_json::{Value, json};
use std::path::Path;
use trainmaster::{
    http::HttpOptions,
    leftovers::Leftovers,
    retention::{Policy, Retention, What},
};
use trainmaster_domain::{
    Aggregate, Category, Lease, Metadata, StreamId,
    attempt::{Claim, Report, RetryPolicy},
    cross_validation::{CrossValidation, CrossValidationCommand},
    id::{CrossValidationId, TrainingId},
    run::journal::{self, JournalRecord, Record, SegmentationQuality},
    slurm::SlurmState,
    training::{Training, TrainingCommand},
};

/// An interface that knows these clusters.
pub async fn with_clusters(names: &[&str]) -> Interface {
    let predictions = std::env::temp_dir().join("predictions");
    Interface::with(HttpOptions {
        clusters: clusters(names),
        predictions_directory: Some(predictions),
        ..patient()
    })
    .await
}

/// Puts a command to a stream, as the daemon does.
pub async fn tell<A: Aggregate>(interface: &Interface, id: &str, command: A::Command)
where
    A::Command: Clone,
    A::Refusal: std::fmt::Debug,
{
    let metadata = Metadata {
        command_id: ulid::Ulid::generate().to_string(),
        correlation_id: "test".into(),
        causation_id: None,
        actor: "test".into(),
        traceparent: None,
    };
    interface
        .log
        .execute::<A>(id, command, metadata)
        .await
        .unwrap();
}

pub fn claim() -> Claim {
    Claim {
        worker_id: "w".into(),
        host: "h".into(),
        device: "cpu".into(),
        now: Utc::now(),
    }
}

/// What a training's run says, line by line, under a lease.
pub async fn run(interface: &Interface, id: &str, lease: u64, records: Vec<Record>) {
    for (seq, record) in (1..).zip(records) {
        says(interface, id, Lease(lease), seq, record).await;
    }
}

/// A further line of the first lease.
async fn run_on(interface: &Interface, id: &str, seq: u64, record: Record) {
    says(interface, id, Lease(1), seq, record).await;
}

async fn says(interface: &Interface, id: &str, lease: Lease, seq: u64, record: Record) {
    let line = JournalRecord {
        seq,
        lease,
        at: Utc::now(),
        record,
    };
    let report = Report {
        line,
        now: Utc::now(),
        policy: RetryPolicy::default(),
    };
    let command = TrainingCommand::Report(Box::new(report));
    tell::<Training>(interface, id, command).await;
}

fn quality(dice: &[Option<f64>], mean: f64) -> SegmentationQuality {
    SegmentationQuality {
        step: 10,
        images: 2,
        loss: 0.5,
        dice: dice.to_vec(),
        mean_dice: Some(mean),
    }
}

fn finished(path: &str) -> journal::Finished {
    journal::Finished {
        step: if path.starts_with("/runs/x") { 10 } else { 80 },
        path: path.into(),
        sha256: "ab".repeat(32),
    }
}

pub fn started() -> Record {
    Record::TrainingStarted(journal::TrainingStarted {
        at_step: 0,
        d_in: None,
        d_sae: None,
    })
}

/// A whole run that ends well.
fn good(dice: &[Option<f64>], mean: f64) -> Vec<Record> {
    vec![
        started(),
        Record::SegmentationEvaluated(quality(dice, mean)),
        Record::Completed(finished("/runs/x/result")),
    ]
}

async fn queued(interface: &Interface, body: Value) -> String {
    let answer = interface.post("/v1/segmentations", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.text("id")
}

#[tokio::test]
async fn a_segmentation_is_queued_listed_paused_and_deleted_like_any_training() {
    let interface = with_clusters(&["campus"]).await;
    let (images, labels) = images(interface.directory.path(), 3);
    let body = json!({
        "images": images, "labels": labels, "name": "hearts",
        "settings": { "trainingSteps": 10, "depth": 2 },
        "placement": { "cluster": "slurm", "resources": { "cpus": 2, "timeLimitMinutes": 5 } },
    });
    let key = [("idempotency-key", "seg-1")];
    let answer = interface
        .post_with("/v1/segmentations", body.clone(), &key)
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let id = answer.text("id");
    assert!(id.starts_with("seg_"), "{id}");
    assert_eq!(
        answer.headers["location"],
        format!("/v1/segmentations/{id}")
    );
    assert_eq!(answer.body["events"], json!(["SegmentationQueued"]));
    std::fs::remove_dir_all(&labels).unwrap();
    let again = interface.post_with("/v1/segmentations", body, &key).await;
    assert_eq!(again.body["repeated"], true, "{again:?}");
    assert_eq!(again.text("id"), id);

    let shown = interface.get(&format!("/v1/segmentations/{id}")).await.body;
    assert_eq!(shown["name"], "hearts");
    assert_eq!(shown["status"], "queued");
    assert_eq!(shown["images_path"], json!(images));
    assert_eq!(shown["settings"]["depth"], 2);
    assert_eq!(shown["settings"]["batchSize"], 8);
    // `slurm` is the only cluster there is, by its own name.
    assert_eq!(
        shown["placement"],
        json!({ "cluster": "campus", "resources": { "cpus": 2, "timeLimitMinutes": 5 } })
    );
    assert_eq!(shown["slurm_job"], Value::Null);

    let listed = interface.get("/v1/segmentations?status=queued").await.body;
    assert_eq!(listed["items"][0]["id"], json!(id));
    assert_eq!(listed["next"], Value::Null);
    let none = interface
        .get("/v1/segmentations?status=completed")
        .await
        .body;
    assert_eq!(none["items"], json!([]));

    let of_the_studio = interface.get(&format!("/v1/trainings/{id}")).await;
    assert_eq!(of_the_studio.status, StatusCode::NOT_FOUND);
    assert_eq!(of_the_studio.code(), "training_of_images");

    tell::<Training>(&interface, &id, TrainingCommand::Claim(claim())).await;
    let paused = interface
        .post(&format!("/v1/trainings/{id}/pause"), Value::Null)
        .await;
    assert_eq!(paused.status, StatusCode::OK, "{paused:?}");
    assert_eq!(
        paused.headers["location"],
        format!("/v1/segmentations/{id}")
    );
    let shown = interface.get(&format!("/v1/segmentations/{id}")).await.body;
    assert_eq!(shown["requested"], "pause", "{shown}");
    run(
        &interface,
        &id,
        1,
        vec![Record::Stopped(finished("/runs/x/result"))],
    )
    .await;

    let deleted = interface.delete(&format!("/v1/trainings/{id}")).await;
    assert_eq!(deleted.status, StatusCode::OK, "{deleted:?}");
    let gone = interface.get(&format!("/v1/segmentations/{id}")).await;
    assert_eq!(gone.code(), "segmentation_not_found");
    let listed = interface.get("/v1/segmentations").await.body;
    assert_eq!(listed["items"], json!([]));
}

#[tokio::test]
async fn lists_go_on_page_by_page() {
    let interface = with_clusters(&[]).await;
    let (images, labels) = images(interface.directory.path(), 1);
    let body = json!({ "images": images, "labels": labels });
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(queued(&interface, body.clone()).await);
    }
    ids.reverse();
    let mut seen = Vec::new();
    let mut path = "/v1/segmentations?limit=2".to_owned();
    loop {
        let page = interface.get(&path).await.body;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2, "{page}");
        seen.extend(items.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/segmentations?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ids);
}

#[tokio::test]
async fn a_cross_validation_gathers_what_its_folds_found_and_names_the_one_that_failed() {
    let interface = with_clusters(&["campus", "cloud"]).await;
    let (images, labels) = images(interface.directory.path(), 6);
    let answer = interface
        .post(
            "/v1/cross-validations",
            json!({
                "images": images, "labels": labels, "folds": 3,
                "settings": { "trainingSteps": 10 }, "placement": { "cluster": "cloud" },
            }),
        )
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let id = answer.text("id");
    assert!(id.starts_with("cv_"), "{id}");
    assert_eq!(
        answer.headers["location"],
        format!("/v1/cross-validations/{id}")
    );
    let path = format!("/v1/cross-validations/{id}");
    let shown = interface.get(&path).await.body;
    assert_eq!(shown["status"], "queued");
    assert_eq!(shown["folds"], 3);
    assert_eq!(shown["trainings"], json!([]));
    assert_eq!(shown["results"]["dice"], Value::Null);

    // What the dispatcher does with it.
    let group = CrossValidationId::new(&id).unwrap();
    let state = interface
        .log
        .load::<CrossValidation>(&id)
        .await
        .unwrap()
        .state;
    let mut folds = Vec::new();
    for (fold, queue) in state.folds(&group).unwrap() {
        let command = TrainingCommand::QueueSegmentation(Box::new(queue));
        tell::<Training>(&interface, fold.as_str(), command).await;
        folds.push(fold);
    }
    tell::<CrossValidation>(&interface, &id, CrossValidationCommand::NoteFolds).await;
    assert_eq!(interface.get(&path).await.body["status"], "queued");
    for fold in &folds {
        tell::<Training>(&interface, fold.as_str(), TrainingCommand::Claim(claim())).await;
    }
    let shown = interface.get(&path).await.body;
    assert_eq!(shown["status"], "training");
    let named: Vec<&str> = folds.iter().map(TrainingId::as_str).collect();
    let shown_ids: Vec<&str> = shown["trainings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|training| training["id"].as_str().unwrap())
        .collect();
    assert_eq!(shown_ids, named);
    assert_eq!(shown["trainings"][2]["fold"]["split"]["index"], 2);

    run(&interface, named[0], 1, good(&[Some(0.8), Some(0.4)], 0.6)).await;
    run(&interface, named[1], 1, good(&[Some(0.6), None], 0.6)).await;
    let failure = journal::Failure {
        class: journal::FailureClass::Workload,
        code: "not_finite".into(),
        message: "the loss is not finite".into(),
    };
    run(&interface, named[2], 1, vec![Record::Failed(failure)]).await;
    let shown = interface.get(&path).await.body;
    assert_eq!(shown["status"], "failed", "{shown}");
    assert_eq!(shown["trainings"][2]["error_code"], "not_finite");
    assert_eq!(
        shown["trainings"][2]["error_message"],
        "the loss is not finite"
    );
    let near = |value: &Value, expected: f64| {
        let value = value.as_f64().unwrap();
        assert!((value - expected).abs() < 1e-12, "{value} {expected}");
    };
    let results = &shown["results"];
    near(&results["dice"]["mean"], 0.6);
    near(&results["dice"]["standard_deviation"], 0.0);
    assert_eq!(results["dice"]["folds"], 2);
    near(&results["classes"][0]["mean"], 0.7);
    near(
        &results["classes"][0]["standard_deviation"],
        0.02_f64.sqrt(),
    );
    near(&results["classes"][1]["mean"], 0.4);
    assert_eq!(results["classes"][1]["standard_deviation"], Value::Null);

    // The failed one is tried again, and ends well.
    let retried = interface
        .post(&format!("/v1/trainings/{}/retry", named[2]), Value::Null)
        .await;
    assert_eq!(retried.status, StatusCode::OK, "{retried:?}");
    assert_eq!(interface.get(&path).await.body["status"], "training");
    tell::<Training>(&interface, named[2], TrainingCommand::Claim(claim())).await;
    run(&interface, named[2], 2, good(&[Some(0.7), Some(0.2)], 0.45)).await;
    let shown = interface.get(&path).await.body;
    assert_eq!(shown["status"], "completed", "{shown}");
    near(&shown["results"]["dice"]["mean"], 0.55);
    let listed = interface.get("/v1/cross-validations").await.body;
    assert_eq!(listed["items"][0]["id"], json!(id));
    assert_eq!(
        listed["items"][0]["progress"].as_f64(),
        Some(100.0),
        "{listed}"
    );
}

#[tokio::test]
async fn a_model_predicts_by_its_id_its_name_and_its_training() {
    let interface = with_clusters(&[]).await;
    let (images, labels) = images(interface.directory.path(), 2);
    let training = queued(
        &interface,
        json!({
            "images": images, "labels": labels, "name": "hearts", "settings": { "trainingSteps": 10 },
        }),
    )
    .await;
    let ask = async |model: &str| {
        interface
            .post(
                "/v1/predictions",
                json!({ "model": model, "images": [images], "labels": labels }),
            )
            .await
    };
    let early = ask(&training).await;
    assert_eq!(early.code(), "training_without_model", "{early:?}");
    assert_eq!(early.body["state"], "queued");
    tell::<Training>(&interface, &training, TrainingCommand::Claim(claim())).await;
    run(&interface, &training, 1, good(&[Some(0.9)], 0.9)).await;
    let shown = interface
        .get(&format!("/v1/segmentations/{training}"))
        .await
        .body;
    assert_eq!(shown["model_name"], "hearts_model");
    let model = shown["model_id"].as_str().unwrap();
    for given in [training.as_str(), model, "hearts_model"] {
        let answer = ask(given).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        let id = answer.text("id");
        assert_eq!(answer.headers["location"], format!("/v1/jobs/{id}"));
        let job = interface.get(&format!("/v1/jobs/{id}")).await.body;
        assert_eq!(job["kind"], "prediction");
        assert_eq!(job["work"]["model_id"], json!(model));
        assert_eq!(job["work"]["training_id"], json!(training));
        assert_eq!(job["work"]["input"]["images"], json!([images]));
        assert_eq!(job["work"]["input"]["labels_path"], json!(labels));
        let output = job["work"]["output_dir"].as_str().unwrap();
        assert!(output.ends_with(&format!("/predictions/{id}")), "{output}");
    }
    let jobs = interface.get("/v1/jobs?kind=prediction").await.body;
    assert_eq!(jobs["items"].as_array().unwrap().len(), 3);

    // What predicts is needed.
    let needed = interface.delete(&format!("/v1/trainings/{training}")).await;
    assert_eq!(needed.code(), "in_use", "{needed:?}");
}

fn is_refused(answer: &Answer, code: &str, says: &str) {
    assert_eq!(
        answer.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{answer:?}"
    );
    assert_eq!(answer.code(), code, "{answer:?}");
    assert!(answer.text("detail").contains(says), "{says}: {answer:?}");
}

#[tokio::test]
async fn what_cannot_be_trained_says_why() {
    let interface = with_clusters(&["campus", "cloud"]).await;
    let directory = interface.directory.path();
    let (images, labels) = images(directory, 3);
    let book = interface.book();
    std::fs::create_dir(directory.join("none")).unwrap();
    let none = directory.join("none").to_str().unwrap().to_owned();
    let good = json!({ "images": images, "labels": labels });
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (body, code, says) in [
        (
            with("images", json!("images")),
            "path_not_absolute",
            "whole path",
        ),
        (
            with("images", json!("/nowhere")),
            "images_not_found",
            "/nowhere",
        ),
        (with("images", json!(book)), "images_not_found", "book.txt"),
        (with("images", json!(none)), "images_not_found", ".png"),
        (
            with("labels", json!("/nowhere")),
            "labels_not_found",
            "/nowhere",
        ),
        (with("labels", json!(none)), "labels_not_found", ".png"),
        (with("name", json!("a\nb")), "invalid_field", "one line"),
        (with("name", json!("")), "invalid_field", "name"),
        (
            with("settings", json!({ "depth": 9 })),
            "invalid_hyperparameter",
            "depth",
        ),
        (
            with("settings", json!({ "layers": 9 })),
            "invalid_hyperparameter",
            "layers",
        ),
        (
            with("settings", json!({ "seed": "x" })),
            "invalid_hyperparameter",
            "seed",
        ),
        (
            with("placement", json!({ "cluster": "slurm" })),
            "unknown_cluster",
            "campus, cloud",
        ),
        (
            with("placement", json!({ "cluster": "mars" })),
            "unknown_cluster",
            "campus, cloud",
        ),
        (
            with("placement", json!({ "cluster": "--x" })),
            "invalid_placement",
            "cluster",
        ),
        (
            with(
                "placement",
                json!({ "cluster": "campus", "resources": { "cpus": 0 } }),
            ),
            "invalid_placement",
            "cpus",
        ),
        (
            with(
                "placement",
                json!({ "cluster": "campus", "resources": { "qos": "a b" } }),
            ),
            "invalid_placement",
            "qos",
        ),
        (
            with(
                "placement",
                json!({ "cluster": "campus", "resources": { "cores": 1 } }),
            ),
            "invalid_body",
            "cores",
        ),
        (with("folds", json!(3)), "invalid_body", "folds"),
    ] {
        let answer = interface.post("/v1/segmentations", body.clone()).await;
        is_refused(&answer, code, says);
        if body.get("folds").is_none() {
            let mut body = body;
            body["folds"] = json!(2);
            let answer = interface.post("/v1/cross-validations", body).await;
            is_refused(&answer, code, says);
        }
    }
    for (folds, code) in [
        (json!(1), "invalid_hyperparameter"),
        (json!(0), "invalid_hyperparameter"),
        (json!(4), "invalid_field"),
        (json!(-1), "invalid_body"),
        (json!(70_000), "invalid_body"),
    ] {
        let answer = interface
            .post("/v1/cross-validations", with("folds", folds))
            .await;
        is_refused(&answer, code, "");
    }
    assert_eq!(
        interface.get("/v1/segmentations").await.body["items"],
        json!([])
    );
    assert_eq!(
        interface.get("/v1/cross-validations").await.body["items"],
        json!([])
    );
}

#[tokio::test]
async fn what_cannot_be_predicted_says_why() {
    let interface = with_clusters(&[]).await;
    let (images, labels) = images(interface.directory.path(), 1);
    let autoencoder = interface.training().await;
    let body = json!({ "images": images, "labels": labels, "settings": { "trainingSteps": 10 } });
    let training = queued(&interface, body).await;
    tell::<Training>(&interface, &training, TrainingCommand::Claim(claim())).await;
    run(&interface, &training, 1, good(&[Some(0.9)], 0.9)).await;
    let book = interface.book();
    let good = json!({ "model": training, "images": [images] });
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (body, code) in [
        (with("model", json!("nobody")), "model_not_found"),
        (with("model", json!("")), "model_not_found"),
        (with("model", json!("a\0b")), "model_not_found"),
        (with("model", json!(autoencoder)), "training_not_of_images"),
        (with("images", json!([])), "invalid_field"),
        (with("images", json!(["x.png"])), "path_not_absolute"),
        (with("images", json!(["/nowhere.png"])), "images_not_found"),
        (with("images", json!([book])), "images_not_found"),
        (with("labels", json!("/nowhere")), "labels_not_found"),
        (with("output_dir", json!("here")), "path_not_absolute"),
        (with("output_dir", json!(book)), "invalid_field"),
        (
            with("placement", json!({ "cluster": "slurm" })),
            "unknown_cluster",
        ),
        (with("threshold", json!(1)), "invalid_body"),
    ] {
        is_refused(&interface.post("/v1/predictions", body).await, code, "");
    }
    // What is an autoencoder's is not asked of a network that segments images.
    let answer = interface
        .post("/v1/extractions", json!({ "training": training }))
        .await;
    is_refused(&answer, "training_of_images", "predict");
    let body = json!({
        "prompt": "x", "training": training, "features": [{ "feature_id": 1, "coefficient": 1.0 }]
    });
    let answer = interface.post("/v1/generations", body).await;
    is_refused(&answer, "training_of_images", "features");
}

/// A checkpoint that a run says.
fn checkpoint(root: &Path, id: &str, step: u64, loss: f64) -> Record {
    Record::CheckpointSaved(journal::CheckpointSaved {
        step,
        loss: Some(loss),
        sparsity: None,
        path: format!("{}/runs/{id}/checkpoints/{step}-1", root.display()),
        file_size_bytes: 1_000,
        sha256: "ab".repeat(32),
    })
}

#[tokio::test]
async fn checkpoints_are_listed_and_grow_old_and_what_is_deleted_leaves_nothing() {
    let interface = with_clusters(&["campus"]).await;
    let state = tempfile::tempdir().unwrap();
    let root = state.path().canonicalize().unwrap();
    let (images, labels) = images(interface.directory.path(), 1);
    let id = queued(
        &interface,
        json!({
            "images": images, "labels": labels, "settings": { "trainingSteps": 100 },
            "placement": { "cluster": "campus" },
        }),
    )
    .await;
    tell::<Training>(&interface, &id, TrainingCommand::Claim(claim())).await;
    let mut records = vec![started()];
    for n in 1..=8_u64 {
        let metrics = journal::MetricsBatch {
            steps: vec![n * 10],
            loss: vec![1.0],
            sparsity: vec![],
            reconstruction_error: vec![],
            dead_neurons: vec![],
            explained_variance: vec![],
            dice: vec![0.5],
            learning_rate: vec![0.001],
            at: vec![Utc::now()],
            tokens_per_second: 12.0,
        };
        records.push(Record::Metrics(metrics));
        let loss = if n == 2 { 0.25 } else { 1.0 + n as f64 };
        records.push(checkpoint(&root, &id, n * 10, loss));
        std::fs::create_dir_all(root.join(format!("runs/{id}/checkpoints/{}-1", n * 10))).unwrap();
    }
    run(&interface, &id, 1, records).await;
    let shown = interface.get(&format!("/v1/segmentations/{id}")).await.body;
    assert_eq!(shown["latest"]["dice"], 0.5, "{shown}");
    assert_eq!(shown["latest"]["images_per_second"], 12.0);
    assert_eq!(shown["progress"], 80.0);

    let page = interface
        .get(&format!("/v1/trainings/{id}/checkpoints?limit=5"))
        .await
        .body;
    let steps = |page: &Value| -> Vec<i64> {
        let items = page["items"].as_array().unwrap_or_else(|| panic!("{page}"));
        items
            .iter()
            .map(|it| it["step"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(steps(&page), [80, 70, 60, 50, 40]);
    assert_eq!(page["next"], "40");
    let page = interface
        .get(&format!("/v1/trainings/{id}/checkpoints?after=40"))
        .await
        .body;
    assert_eq!(
        (steps(&page), &page["next"]),
        (vec![30, 20, 10], &Value::Null)
    );

    let retention = Retention::new(interface.log.clone(), Policy::default());
    let planned = |plan: &trainmaster::retention::Plan| -> Vec<i32> {
        let step = |item: &trainmaster::retention::Item| match item.what {
            What::Checkpoint { step, .. } => Some(step),
            _ => None,
        };
        plan.items.iter().filter_map(step).collect()
    };
    let plan = retention.plan().await.unwrap();
    assert_eq!(planned(&plan), [10, 30], "the last five and the best stay");
    let done = retention.run().await.unwrap();
    assert_eq!((done.gone.len(), done.kept.len()), (2, 0), "{done:?}");
    let leftovers = Leftovers::new(interface.log.clone(), root.clone())
        .and_models_in(Some(root.join("models-elsewhere")));
    assert_eq!(leftovers.clean().await.unwrap().removed, 2);

    // It ends; half a year later only a retry would need a checkpoint, and it needs none.
    run_on(
        &interface,
        &id,
        18,
        Record::Stopped(finished("/runs/80/result")),
    )
    .await;
    let later = Utc::now().checked_add_months(Months::new(7)).unwrap();
    let plan = retention.plan_at(later).await.unwrap();
    assert_eq!(planned(&plan), [20, 40, 50, 60, 70, 80]);

    // A submission goes when its job has ended and its training is deleted, and not before.
    let run = StreamId::new(Category::Training, &id);
    let job = crate::slurm::submitted(&interface, &run, "123").await;
    let submission = root.join("slurm/0b6f5c0e-6e55-5a0c-9d49-3f6c4a1b2c3d");
    let other = root.join("slurm/somebody-elses");
    let model = root.join("models-elsewhere").join(&id);
    for directory in [&submission, &other, &model] {
        std::fs::create_dir_all(directory).unwrap();
    }
    assert_eq!(leftovers.clean().await.unwrap().removed, 0);
    let deleted = interface.delete(&format!("/v1/trainings/{id}")).await;
    assert_eq!(deleted.status, StatusCode::OK, "{deleted:?}");
    leftovers.clean().await.unwrap();
    assert!(!root.join(format!("runs/{id}")).exists() && !model.exists());
    assert!(submission.exists(), "its job has not ended");
    crate::slurm::seen(&interface, &job, SlurmState::Completed, 0).await;
    leftovers.clean().await.unwrap();
    assert!(!submission.exists() && other.exists());
}

#[tokio::test]
async fn predictions_go_with_the_training_and_when_they_are_cancelled() {
    let interface = with_clusters(&[]).await;
    let state = tempfile::tempdir().unwrap();
    let root = state.path();
    let (images, labels) = images(interface.directory.path(), 1);
    let body = json!({ "images": images, "labels": labels, "settings": { "trainingSteps": 10 } });
    let training = queued(&interface, body).await;
    tell::<Training>(&interface, &training, TrainingCommand::Claim(claim())).await;
    run(&interface, &training, 1, good(&[Some(0.9)], 0.9)).await;
    let mut jobs = Vec::new();
    for _ in 0..2 {
        let body = json!({ "model": training, "images": [images] });
        let id = interface.post("/v1/predictions", body).await.text("id");
        std::fs::create_dir_all(root.join("predictions").join(&id)).unwrap();
        jobs.push(id);
    }
    let leftovers = Leftovers::new(interface.log.clone(), root.to_owned());
    assert_eq!(leftovers.clean().await.unwrap().removed, 0);
    interface
        .post(&format!("/v1/jobs/{}/cancel", jobs[0]), Value::Null)
        .await;
    assert_eq!(leftovers.clean().await.unwrap().removed, 1);
    assert!(root.join("predictions").join(&jobs[1]).exists());
    interface
        .post(&format!("/v1/jobs/{}/cancel", jobs[1]), Value::Null)
        .await;
    let deleted = interface.delete(&format!("/v1/trainings/{training}")).await;
    assert_eq!(deleted.status, StatusCode::OK, "{deleted:?}");
    assert_eq!(leftovers.clean().await.unwrap().removed, 1);
}
