//! Deleting: what is needed stays, what goes takes along what is its own, and files go after the event.

use crate::{client::serve, fixture::Interface};
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::{fs, path::Path, time::Duration};
use trainmaster::leftovers::{Cleaned, Leftovers};
use trainmaster_domain::{
    Metadata,
    hyperparameters::Hook,
    id::{DatasetId, TrainingId},
    job::{Extraction, Job, JobCommand, JobWork},
    training::{Training, TrainingCommand},
};

fn extraction(training: &str, dataset: &str) -> JobCommand {
    JobCommand::Queue(
        JobWork::Extraction(Extraction {
            training_id: TrainingId::new(training).unwrap(),
            dataset_id: DatasetId::new(dataset).unwrap(),
            layers: Some(vec![1]),
            hook_types: Some(vec![Hook::Residual]),
            max_samples: None,
            top_k_examples: 10,
            context_tokens: 5,
            minimum_frequency: 0.0,
            first_feature_id: 17_000,
            latents: 64,
        })
        .into(),
    )
}

fn metadata() -> Metadata {
    let command_id = ulid::Ulid::generate().to_string();
    Metadata {
        correlation_id: command_id.clone(),
        command_id,
        causation_id: None,
        actor: "test".to_owned(),
        traceparent: None,
    }
}

impl Interface {
    async fn rows(&self, sql: &'static str) -> Vec<Value> {
        sqlx::query_scalar(sql)
            .fetch_all(self.log.pool())
            .await
            .unwrap()
    }

    /// Every row of the tables that deletions touch.
    pub async fn everything(&self) -> Vec<Value> {
        self.rows(
            "SELECT to_jsonb(t) FROM mistudio.models t
             UNION ALL SELECT to_jsonb(t) FROM mistudio.datasets t
             UNION ALL SELECT to_jsonb(t) FROM mistudio.trainings t
             UNION ALL SELECT to_jsonb(t) FROM mistudio.training_metrics t
             UNION ALL SELECT to_jsonb(t) FROM mistudio.checkpoints t
             UNION ALL SELECT to_jsonb(t) FROM mistudio.training_templates t
             UNION ALL SELECT to_jsonb(t) FROM mistudio.steering_presets t
             ORDER BY 1",
        )
        .await
    }

    pub async fn rebuild(&self) {
        let rebuilt = self
            .post("/v1/projections/mistudio/rebuild", Value::Null)
            .await;
        assert!(
            format!("{:?}", rebuilt.body).contains("done"),
            "{rebuilt:?}"
        );
    }
}

#[tokio::test]
async fn what_is_needed_is_not_deleted_and_what_goes_takes_its_own_along() {
    let interface = Interface::new().await;
    let training = interface.training().await;
    let row = interface
        .get(&format!("/v1/trainings/{training}"))
        .await
        .body;
    let (model, dataset) = (
        row["model_id"].as_str().unwrap().to_owned(),
        row["dataset_id"].as_str().unwrap().to_owned(),
    );
    interface
        .post(
            "/v1/training-templates",
            json!({ "name": "tuned", "model": model, "dataset": dataset }),
        )
        .await;
    for path in [
        format!("/v1/models/{model}"),
        format!("/v1/datasets/{dataset}"),
    ] {
        let answer = interface.delete(&path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (409, "in_use"),
            "{answer:?}"
        );
        assert!(answer.text("detail").contains(&training), "{answer:?}");
    }
    interface.run_training(&training).await;
    let path = format!("/v1/trainings/{training}");
    let answer = interface.delete(&path).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (409, "not_allowed"),
        "{answer:?}"
    );
    assert_eq!(answer.body["state"], "training");
    assert!(answer.text("detail").contains("stop it"), "{answer:?}");
    let at = interface.log.now().await.unwrap();
    let recorded = json!({
        "record": "metrics", "steps": [1], "loss": [0.5], "sparsity": [1.0], "reconstruction_error": [0.1],
        "dead_neurons": [1], "explained_variance": [0.5], "learning_rate": [0.001], "at": [at],
        "tokens_per_second": 1.0
    });
    interface.training_says(&training, 3, recorded).await;
    interface
        .training_says(
            &training,
            4,
            json!({ "record": "checkpoint_saved", "step": 1, "loss": 0.5, "sparsity": 1.0,
            "path": "/x/1-1", "file_size_bytes": 1, "sha256": "ab".repeat(32) }),
        )
        .await;
    interface
        .training_says(&training, 5, json!({ "record": "paused", "step": 1 }))
        .await;

    let job = ulid::Ulid::generate().to_string();
    interface
        .execute::<Job>(&job, extraction(&training, &dataset))
        .await;
    let answer = interface.delete(&path).await;
    assert_eq!((answer.status.as_u16(), answer.code()), (409, "in_use"));
    assert!(answer.text("detail").contains(&job), "{answer:?}");
    interface
        .execute::<Job>(&job, JobCommand::RequestCancel)
        .await;

    interface.features(&training, 17_000..17_010).await;
    let preset = interface
        .post(
            "/v1/presets",
            json!({ "training": training, "name": "p", "intervention_layer": 1,
                    "features": [{ "feature_id": 17_001, "coefficient": 1 }] }),
        )
        .await;
    assert_eq!(preset.status, StatusCode::CREATED, "{preset:?}");
    let deleted = interface.delete(&path).await;
    assert_eq!(deleted.status, StatusCode::OK, "{deleted:?}");
    assert_eq!(deleted.body["events"], json!(["TrainingDeleted"]));
    for table in [
        "SELECT to_jsonb(t) FROM mistudio.trainings t",
        "SELECT to_jsonb(t) FROM mistudio.training_metrics t",
        "SELECT to_jsonb(t) FROM mistudio.checkpoints t",
        "SELECT to_jsonb(t) FROM mistudio.features t",
        "SELECT to_jsonb(t) FROM mistudio.steering_presets t",
    ] {
        assert_eq!(interface.rows(table).await, Vec::<Value>::new(), "{table}");
    }
    assert_eq!(interface.get(&path).await.code(), "training_not_found");
    for verb in ["pause", "resume", "stop", "retry"] {
        let answer = interface.post(&format!("{path}/{verb}"), Value::Null).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (410, "training_deleted"),
            "{verb}"
        );
    }
    assert_eq!(interface.delete(&path).await.code(), "training_deleted");
    let preset = format!("/v1/presets/{}", preset.text("id"));
    let answer = interface.patch(&preset, json!({ "name": "q" })).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (422, "training_deleted"),
        "{answer:?}"
    );

    for path in [
        format!("/v1/models/{model}"),
        format!("/v1/datasets/{dataset}"),
    ] {
        let answer = interface.delete(&path).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let answer = interface.post(&format!("{path}/retry"), Value::Null).await;
        assert_eq!(answer.status, StatusCode::GONE, "{answer:?}");
    }
    let template = interface.get("/v1/training-templates/tuned").await.body;
    assert_eq!(template["model_id"], Value::Null);
    assert_eq!(template["dataset_id"], Value::Null);
    let id = template["id"].as_str().unwrap();
    let renamed = interface
        .patch(
            &format!("/v1/training-templates/{id}"),
            json!({ "name": "renamed" }),
        )
        .await;
    assert_eq!(renamed.status, StatusCode::OK, "{renamed:?}");
    let template = interface.get("/v1/training-templates/renamed").await.body;
    assert_eq!(
        template["model_id"],
        Value::Null,
        "a change brings nothing back"
    );
    let answer = interface
        .post("/v1/trainings", json!({ "template": id }))
        .await;
    assert_eq!(answer.code(), "template_needs_model");
    let answer = interface
        .post(
            "/v1/trainings",
            json!({ "model": model, "dataset": dataset }),
        )
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (422, "model_deleted")
    );

    let before = interface.everything().await;
    interface.rebuild().await;
    assert_eq!(interface.everything().await, before);
}

#[tokio::test]
async fn of_queueing_and_deleting_at_once_one_wins() {
    const ROUNDS: usize = 40;
    let interface = Interface::new().await;
    let model = interface.model().await;
    let (mut queued_first, mut deleted_first) = (0, 0);
    for round in 0..ROUNDS {
        let body = json!({ "path": interface.book(), "name": "b", "tokenizer_model": model });
        let dataset = interface.post("/v1/datasets", body).await.text("id");
        let body = json!({ "model": model, "dataset": dataset });
        let path = format!("/v1/datasets/{dataset}");
        let (queued, deleted) = if round % 2 == 0 {
            tokio::join!(
                interface.post("/v1/trainings", body),
                interface.delete(&path)
            )
        } else {
            let (deleted, queued) = tokio::join!(
                interface.delete(&path),
                interface.post("/v1/trainings", body)
            );
            (queued, deleted)
        };
        match (queued.status, deleted.status) {
            (StatusCode::CREATED, StatusCode::CONFLICT) => {
                assert_eq!(deleted.code(), "in_use");
                queued_first += 1;
            }
            (StatusCode::UNPROCESSABLE_ENTITY, StatusCode::OK) => {
                assert_eq!(queued.code(), "dataset_deleted");
                deleted_first += 1;
            }
            _ => panic!("round {round}: {queued:?} {deleted:?}"),
        }
    }
    assert_eq!(queued_first + deleted_first, ROUNDS);
    let status = interface.get("/v1/projections").await.body;
    assert_eq!(status["items"][0]["state"], "following", "{status}");
    let before = interface.everything().await;
    interface.rebuild().await;
    assert_eq!(interface.everything().await, before);
}

/// Without HTTP between them, so that the appends themselves meet.
#[tokio::test]
async fn of_an_extraction_and_a_deletion_at_once_one_wins() {
    let interface = Interface::new().await;
    let (model, dataset) = interface.model_and_dataset().await;
    let mut won = [0, 0];
    for round in 0..40 {
        let body = json!({ "model": model, "dataset": dataset });
        let training = interface.post("/v1/trainings", body).await.text("id");
        let job = format!("job_{round}");
        // Both have decided before either appends.
        let held = interface.log.pool().begin().await.unwrap();
        let queue = interface
            .log
            .execute::<Job>(&job, extraction(&training, &dataset), metadata());
        let delete =
            interface
                .log
                .execute::<Training>(&training, TrainingCommand::Delete, metadata());
        let (queued, deleted) = tokio::join!(queue, delete);
        held.rollback().await.unwrap();
        assert_ne!(
            queued.is_ok(),
            deleted.is_ok(),
            "round {round}: {queued:?} {deleted:?}"
        );
        won[usize::from(queued.is_ok())] += 1;
    }
    assert_eq!(won[0] + won[1], 40);
}

#[tokio::test]
async fn other_appends_do_not_wait_for_a_deletion() {
    let interface = Interface::new().await;
    let training = interface.training().await;
    let (model, dataset) = interface.model_and_dataset().await;
    let mut deletion = interface.log.pool().begin().await.unwrap();
    for stream in [format!("training {training}"), "model m_other".to_owned()] {
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('deletion of ' || $1, 0))")
            .bind(stream)
            .execute(&mut *deletion)
            .await
            .unwrap();
    }
    let unhindered = async {
        interface.claim_training(&training).await;
        let body = json!({ "model": model, "dataset": dataset });
        let queued = interface.post("/v1/trainings", body).await;
        assert_eq!(queued.status, StatusCode::CREATED, "{queued:?}");
    };
    tokio::time::timeout(Duration::from_secs(30), unhindered)
        .await
        .unwrap();
}

fn write(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, "x").unwrap();
}

#[tokio::test]
async fn files_go_after_the_event_however_late_and_nothing_else_does() {
    let interface = Interface::new().await;
    let training = interface.training().await;
    let row = interface
        .get(&format!("/v1/trainings/{training}"))
        .await
        .body;
    let (model, dataset) = (
        row["model_id"].as_str().unwrap().to_owned(),
        row["dataset_id"].as_str().unwrap().to_owned(),
    );
    let state = tempfile::tempdir().unwrap();
    let of = |path: String| state.path().join(path);
    let own = [
        of(format!("runs/{training}/result/cfg.json")),
        of(format!("runs/{dataset}/journal.jsonl")),
        of(format!("datasets/{dataset}/tokenized/tokens.bin")),
        of(format!("models/{model}/model.gguf")),
    ];
    let others = [
        of("runs/tr_other/result/cfg.json".to_owned()),
        of("datasets/ds_other/tokenized/tokens.bin".to_owned()),
        of("postgres/PG_VERSION".to_owned()),
    ];
    own.iter().chain(&others).for_each(|path| write(path));
    // A link leads to what somebody else owns.
    let foreign = interface.directory.path().join("foreign.txt");
    write(&foreign);
    std::os::unix::fs::symlink(&foreign, of(format!("runs/{training}/link"))).unwrap();

    let leftovers = Leftovers::new(interface.log.clone(), state.path().to_owned());
    assert_eq!(leftovers.clean().await.unwrap(), Cleaned::default());
    assert!(own.iter().all(|path| path.exists()));

    // A run that somebody still looks after keeps its files.
    sqlx::query(
        "INSERT INTO dispatch.runs (category, id, lease, host, state_directory, directory, device, supervisor, supervised_until)
         VALUES ('training', $1, 1, 'here', '/s', '/s/runs/x', 'cpu', 'w', now())",
    )
    .bind(&training)
    .execute(interface.log.pool())
    .await
    .unwrap();
    for path in [
        format!("/v1/trainings/{training}"),
        format!("/v1/datasets/{dataset}"),
        format!("/v1/models/{model}"),
    ] {
        let deleted = interface.delete(&path).await;
        assert_eq!(deleted.status, StatusCode::OK, "{deleted:?}");
    }
    // As if the daemon had died here: the events are in the log, the files are there.
    assert!(own.iter().all(|path| path.exists()));
    let cleaned = leftovers.clean().await.unwrap();
    assert_eq!(
        cleaned,
        Cleaned {
            removed: 3,
            left: 1
        }
    );
    assert!(own[0].exists());
    sqlx::query("UPDATE dispatch.runs SET ended_at = now()")
        .execute(interface.log.pool())
        .await
        .unwrap();
    let cleaned = leftovers.clean().await.unwrap();
    assert_eq!(
        cleaned,
        Cleaned {
            removed: 1,
            left: 0
        }
    );
    assert!(own.iter().all(|path| !path.exists()));
    assert!(others.iter().all(|path| path.exists()));
    assert!(foreign.exists() && Path::new(&interface.book()).exists());
    assert_eq!(leftovers.clean().await.unwrap(), Cleaned::default());
}

#[tokio::test]
async fn the_command_line_asks_before_it_deletes() {
    let interface = Interface::new().await;
    let training = interface.training().await;
    let served = serve(&interface).await;
    let unasked = served.run(&["rm", &training]).await;
    assert_eq!(unasked.code, 2, "{unasked:?}");
    assert!(unasked.stderr.contains("--yes"), "{unasked:?}");
    let needed = served.run(&["model", "rm", "--yes", "m_none"]).await;
    assert_eq!(needed.code, 4, "{needed:?}");
    let removed = served.run(&["rm", "--yes", &training]).await;
    assert_eq!(
        (removed.code, removed.stdout.trim()),
        (0, training.as_str())
    );
    let again = served.run(&["rm", "--yes", &training]).await;
    assert_eq!(again.code, 4, "{again:?}");
    assert!(again.stderr.contains("training_deleted"), "{again:?}");
}
