//! What each event changes in the rows, and that it changes nothing else.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "support/story.rs"]
mod story;
#[path = "support/tables.rs"]
mod tables;

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};
use std::ops::{Deref, DerefMut};
use story::Story;
use trainmaster_domain::Category;
use trainmaster_projections::ApplyError;

/// A story of the studio's.
struct Studio(Story);

impl Deref for Studio {
    type Target = Story;
    fn deref(&self) -> &Story {
        &self.0
    }
}

impl DerefMut for Studio {
    fn deref_mut(&mut self) -> &mut Story {
        &mut self.0
    }
}

impl Studio {
    async fn begin() -> Self {
        Self(Story::begin(tables::MISTUDIO).await)
    }

    /// When the last event was recorded, as a column with a zone shows it.
    fn now(&self) -> Value {
        let text = self.clock().to_rfc3339_opts(SecondsFormat::Micros, false);
        json!(text)
    }

    /// Applies an event and says which columns of its row changed to what; but `updated_at`, which must be the event's time.
    async fn tell(&mut self, category: Category, id: &str, event: Value) -> Value {
        let table = match category {
            Category::Dataset => "datasets",
            Category::Model => "models",
            Category::Training => "trainings",
            Category::TrainingTemplate => "training_templates",
            Category::ExtractionTemplate => "extraction_templates",
            Category::Preset => "steering_presets",
            Category::Job | Category::Feature | Category::SlurmJob | Category::CrossValidation => {
                panic!("no row a {category}")
            }
        };
        let before = self.row_of(table, id).await;
        self.apply(category, id, event).await.unwrap();
        let mut after = self.row_of(table, id).await;
        assert_eq!(after["updated_at"], self.now());
        after.remove("updated_at");
        after.retain(|column, value| before.get(column) != Some(value));
        Value::Object(after)
    }

    async fn row_of(&self, table: &str, id: &str) -> Map<String, Value> {
        let rows = tables::rows(&self.pool, tables::MISTUDIO, "mistudio", table).await;
        let row = rows.into_iter().find(|row| row["id"] == id);
        row.and_then(|row| row.as_object().cloned())
            .unwrap_or_default()
    }

    async fn dataset(&mut self, event: Value) -> Value {
        self.tell(Category::Dataset, "ds_1", event).await
    }

    async fn model(&mut self, event: Value) -> Value {
        self.tell(Category::Model, "m_1", event).await
    }

    async fn training(&mut self, event: Value) -> Value {
        self.tell(Category::Training, "tr_1", event).await
    }

    async fn steps(&self) -> Vec<(i64, i32)> {
        sqlx::query_as("SELECT id, step FROM mistudio.training_metrics ORDER BY id")
            .fetch_all(&self.pool)
            .await
            .unwrap()
    }

    /// A dataset, a model and a training of 10 steps.
    async fn with_training() -> Self {
        let mut story = Self::begin().await;
        story.dataset(dataset_registered()).await;
        story.model(model_registered()).await;
        story.training(queued()).await;
        story
    }
}

fn dataset_registered() -> Value {
    json!({"type": "DatasetRegistered", "payload": {
        "name": "Books", "source": "Local", "description": "Novels", "text_column": "text",
        "tokenizer_model_id": "m_1", "context_length": 256}})
}

fn model_registered() -> Value {
    json!({"type": "ModelRegistered", "payload": {"name": "SmolLM2", "architecture": "llama", "quantization": "Q4"}})
}

fn claimed(gpu: Option<i32>) -> Value {
    json!({"lease": 1, "worker_id": "edge-01k9", "host": "edge",
           "device": gpu.map_or("cpu".to_owned(), |n| format!("cuda:{n}")), "gpu_id": gpu})
}

fn failed() -> Value {
    json!({"lease": 1, "seq": 9, "code": "disk_full", "message": "The disk is full: make room."})
}

fn expired() -> Value {
    json!({"lease": 1, "reason": "no_heartbeat", "message": "No heartbeat for 60 s."})
}

fn hyperparameters() -> Value {
    json!({"learningRate": 0.001, "batchSize": 256, "l1Coefficient": 0.0001, "expansionFactor": 8, "trainingSteps": 10,
           "optimizer": "AdamW", "lrSchedule": "cosine", "ghostGradPenalty": false})
}

fn queued() -> Value {
    json!({"type": "TrainingQueued", "payload": {
        "model_id": "m_1", "dataset_id": "ds_1", "encoder_type": "sparse", "total_steps": 10,
        "hyperparameters": hyperparameters()}})
}

fn event(event_type: &str, payload: Value) -> Value {
    json!({"type": event_type, "payload": payload})
}

fn training_claimed() -> Value {
    event("TrainingClaimed", claimed(Some(1)))
}

fn started(at_step: u64) -> Value {
    event(
        "TrainingStarted",
        json!({"lease": 1, "seq": 1, "at_step": at_step, "d_in": 8, "d_sae": 64}),
    )
}

/// The loss of step n is n / 10, its L0 n + 0.5, its dead latents 100 n.
fn metrics(steps: &[u64]) -> Value {
    let of = |f: fn(u64) -> f64| steps.iter().map(|step| f(*step)).collect::<Vec<f64>>();
    event(
        "MetricsRecorded",
        json!({"lease": 1, "seq": 2, "metrics": {
        "steps": steps,
        "loss": of(|n| n as f64 / 10.0),
        "sparsity": of(|n| n as f64 + 0.5),
        "reconstruction_error": of(|n| n as f64 / 100.0),
        "dead_neurons": steps.iter().map(|n| n * 100).collect::<Vec<u64>>(),
        "explained_variance": of(|n| 1.0 - 1.0 / (n + 1) as f64),
        "learning_rate": of(|n| n as f64 * 1e-7),
        "at": steps.iter().map(|n| format!("2026-11-20T01:02:{n:02}.123456789Z")).collect::<Vec<_>>(),
        "tokens_per_second": 1.0}}),
    )
}

fn saved(id: &str, step: u64) -> Value {
    event(
        "CheckpointSaved",
        json!({
        "lease": 1, "seq": 3, "checkpoint_id": id, "step": step, "loss": 0.25, "sparsity": 31.5,
        "storage_path": format!("/runs/tr_1/checkpoints/{step}-1"), "file_size_bytes": 5_000_000_000_i64,
        "sha256": "ab".repeat(32)}),
    )
}

fn retried(automatic: bool) -> Value {
    event("TrainingRetried", json!({"automatic": automatic}))
}

#[tokio::test]
async fn a_dataset_from_registered_to_ready() {
    let mut story = Studio::begin().await;
    let row = story.dataset(dataset_registered()).await;
    assert_eq!(
        row,
        json!({"id": "ds_1", "name": "Books", "source": "Local", "description": "Novels", "size_bytes": 0,
               "status": "downloading", "progress": 0, "error_message": null, "file_path": null,
               "tokenized_path": null, "num_samples": null, "num_tokens": null, "vocab_size": null,
               "avg_sequence_length": null, "created_at": story.now()})
    );
    let downloaded = json!({"file_path": "/srv/books", "size_bytes": 3_000_000_000_i64});
    assert_eq!(
        story.dataset(event("DatasetDownloaded", downloaded)).await,
        json!({"file_path": "/srv/books", "size_bytes": 3_000_000_000_i64, "status": "ingesting"})
    );
    assert_eq!(
        story.dataset(event("DatasetClaimed", claimed(None))).await,
        json!({})
    );
    let progressed = |percent: f64| {
        event(
            "DatasetProgressed",
            json!({"lease": 1, "seq": 2, "stage": "ingesting", "percent": percent}),
        )
    };
    assert_eq!(
        story.dataset(progressed(37.5)).await,
        json!({"progress": 37.5})
    );
    let ingested =
        json!({"lease": 1, "seq": 3, "num_samples": 18, "size_bytes": 3_000_000_000_i64});
    assert_eq!(
        story.dataset(event("DatasetIngested", ingested)).await,
        json!({"num_samples": 18, "status": "tokenizing", "progress": 0})
    );
    assert_eq!(
        story.dataset(progressed(80.0)).await,
        json!({"progress": 80})
    );
    let tokenized = json!({"lease": 1, "seq": 5, "tokenized_path": "/tokenized/ds_1", "num_tokens": 3_200_000_000_i64,
        "vocab_size": 49_152, "avg_sequence_length": 177.75, "num_sequences": 12_500, "sha256": "cd".repeat(32)});
    assert_eq!(
        story.dataset(event("DatasetTokenized", tokenized)).await,
        json!({"tokenized_path": "/tokenized/ds_1", "num_tokens": 3_200_000_000_i64, "vocab_size": 49_152,
               "avg_sequence_length": 177.75, "status": "ready", "progress": 100})
    );
}

#[tokio::test]
async fn a_dataset_that_fails_says_why_until_it_is_tried_again_from_the_stage_that_failed() {
    let mut story = Studio::begin().await;
    story.dataset(dataset_registered()).await;
    let downloaded = json!({"file_path": "/srv/books", "size_bytes": 1});
    story.dataset(event("DatasetDownloaded", downloaded)).await;
    assert_eq!(
        story.dataset(event("DatasetFailed", failed())).await,
        json!({"status": "error", "error_message": "The disk is full: make room."})
    );
    let again = || event("DatasetRetried", json!({"automatic": false}));
    assert_eq!(
        story.dataset(again()).await,
        json!({"status": "ingesting", "error_message": null})
    );
    let ingested = json!({"lease": 1, "seq": 3, "num_samples": 18, "size_bytes": 1});
    story.dataset(event("DatasetIngested", ingested)).await;
    assert_eq!(
        story.dataset(event("DatasetLeaseExpired", expired())).await,
        json!({"status": "error", "error_message": "No heartbeat for 60 s."})
    );
    assert_eq!(
        story.dataset(again()).await,
        json!({"status": "tokenizing", "error_message": null})
    );
}

#[tokio::test]
async fn a_model_from_registered_to_ready_by_way_of_an_error() {
    let mut story = Studio::begin().await;
    let row = story.model(model_registered()).await;
    assert_eq!(
        row,
        json!({"id": "m_1", "name": "SmolLM2", "architecture": "llama", "params_count": 0, "quantization": "Q4",
               "status": "downloading", "progress": 0, "error_message": null, "file_path": null,
               "quantized_path": null, "architecture_config": null, "memory_required_bytes": null,
               "disk_size_bytes": null, "created_at": story.now()})
    );
    let downloaded = json!({"file_path": "/models/smol.gguf", "disk_size_bytes": 98_000_000});
    assert_eq!(
        story.model(event("ModelDownloaded", downloaded)).await,
        json!({"file_path": "/models/smol.gguf", "disk_size_bytes": 98_000_000, "status": "loading"})
    );
    assert_eq!(
        story.model(event("ModelClaimed", claimed(None))).await,
        json!({})
    );
    assert_eq!(
        story.model(event("ModelLeaseExpired", expired())).await,
        json!({"status": "error", "error_message": "No heartbeat for 60 s."})
    );
    assert_eq!(
        story.model(event("ModelFailed", failed())).await,
        json!({"error_message": "The disk is full: make room."})
    );
    assert_eq!(
        story
            .model(event("ModelRetried", json!({"automatic": true})))
            .await,
        json!({"status": "loading", "error_message": null})
    );
    let inspected = json!({"lease": 2, "seq": 2, "params_count": 134_515_008, "memory_required_bytes": 540_000_000,
        "disk_size_bytes": 98_000_001, "architecture_config": {"num_layers": 30, "rope_theta": 1e5}});
    assert_eq!(
        story.model(event("ModelInspected", inspected)).await,
        json!({"params_count": 134_515_008, "memory_required_bytes": 540_000_000, "disk_size_bytes": 98_000_001,
               "architecture_config": {"num_layers": 30, "rope_theta": 100000.0}, "status": "ready", "progress": 100})
    );
}

#[tokio::test]
async fn a_training_from_queued_to_completed() {
    let mut story = Studio::begin().await;
    story.dataset(dataset_registered()).await;
    story.model(model_registered()).await;
    let row = story.training(queued()).await;
    let stored = row["hyperparameters"].clone();
    for (name, value) in hyperparameters().as_object().unwrap() {
        assert_eq!(&stored[name], value, "{name}");
    }
    assert_eq!(
        row,
        json!({"id": "tr_1", "model_id": "m_1", "dataset_id": "ds_1", "encoder_type": "sparse",
               "hyperparameters": stored, "status": "queued", "current_step": 0, "total_steps": 10, "progress": 0,
               "latest_loss": null, "latest_sparsity": null, "latest_dead_neurons": null, "error_message": null,
               "error_code": null, "retry_count": 0, "created_at": story.now(), "started_at": null,
               "paused_at": null, "completed_at": null, "gpu_id": null, "worker_id": null})
    );
    assert_eq!(
        story.training(training_claimed()).await,
        json!({"status": "initializing", "gpu_id": 1, "worker_id": "edge-01k9"})
    );
    assert_eq!(
        story.training(started(0)).await,
        json!({"status": "training", "started_at": story.now()})
    );
    assert_eq!(
        story.training(metrics(&[1, 2, 4])).await,
        json!({"current_step": 4, "progress": 40, "latest_loss": 0.4, "latest_sparsity": 4.5,
               "latest_dead_neurons": 400})
    );
    let rows = tables::rows(
        &story.pool,
        tables::MISTUDIO,
        "mistudio",
        "training_metrics",
    )
    .await;
    assert_eq!(
        rows.last(),
        Some(
            &json!({"id": 3, "training_id": "tr_1", "step": 4, "loss": 0.4, "sparsity": 4.5,
            "reconstruction_error": 0.04, "dead_neurons": 400, "explained_variance": 0.8, "learning_rate": 4e-7,
            "timestamp": "2026-11-20T01:02:04.123456+00:00"})
        )
    );
    assert_eq!(story.training(saved("cp_4", 4)).await, json!({}));
    assert_eq!(
        tables::rows(&story.pool, tables::MISTUDIO, "mistudio", "checkpoints").await,
        [
            json!({"id": "cp_4", "training_id": "tr_1", "step": 4, "loss": 0.25, "sparsity": 31.5,
            "storage_path": "/runs/tr_1/checkpoints/4-1", "file_size_bytes": 5_000_000_000_i64,
            "created_at": story.now()})
        ]
    );
    story.training(metrics(&[10])).await;
    let ended = json!({"lease": 1, "seq": 9, "step": 10, "result": {"path": "/r", "sha256": "ef".repeat(32)}});
    assert_eq!(
        story.training(event("TrainingCompleted", ended)).await,
        json!({"status": "completed", "completed_at": story.now()})
    );
}

#[tokio::test]
async fn a_pause_rests_at_the_checkpoint_and_going_on_from_there_voids_what_was_recorded_past_it() {
    let mut story = Studio::with_training().await;
    story.training(training_claimed()).await;
    story.training(started(0)).await;
    story.training(metrics(&[1, 2])).await;
    story.training(saved("cp_2", 2)).await;
    story.training(metrics(&[3, 4])).await;
    assert_eq!(
        story.training(event("PauseRequested", json!({}))).await,
        json!({})
    );
    let paused = json!({"lease": 1, "seq": 0, "step": 2, "forced": true});
    assert_eq!(
        story.training(event("TrainingPaused", paused)).await,
        json!({"status": "paused", "current_step": 2, "progress": 20, "paused_at": story.now()})
    );
    assert_eq!(
        story.training(event("TrainingResumed", json!({}))).await,
        json!({"status": "queued"})
    );
    assert_eq!(
        story
            .training(event("TrainingClaimed", claimed(None)))
            .await,
        json!({"status": "initializing", "gpu_id": null})
    );
    assert_eq!(story.steps().await, [(1, 1), (2, 2), (3, 3), (4, 4)]);
    // `started_at` stays that of the first attempt; the latest metrics are those of the step it goes on from.
    assert_eq!(
        story.training(started(2)).await,
        json!({"status": "training", "latest_loss": 0.2, "latest_sparsity": 2.5, "latest_dead_neurons": 200})
    );
    assert_eq!(story.steps().await, [(1, 1), (2, 2)]);
    story.training(metrics(&[3])).await;
    assert_eq!(story.steps().await, [(1, 1), (2, 2), (5, 3)]);
    assert_eq!(
        tables::rows(&story.pool, tables::MISTUDIO, "mistudio", "checkpoints")
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn a_lost_run_is_blamed_until_the_next_attempt_trains() {
    let mut story = Studio::with_training().await;
    story.training(training_claimed()).await;
    story.training(started(0)).await;
    story.training(metrics(&[1])).await;
    assert_eq!(
        story
            .training(event("TrainingLeaseExpired", expired()))
            .await,
        json!({"status": "error", "error_code": "no_heartbeat", "error_message": "No heartbeat for 60 s.",
               "completed_at": story.now()})
    );
    assert_eq!(
        story.training(retried(true)).await,
        json!({"status": "queued", "retry_count": 1, "completed_at": null})
    );
    assert_eq!(
        story.training(training_claimed()).await,
        json!({"status": "initializing"})
    );
    // It begins again: nothing that was recorded holds.
    assert_eq!(
        story.training(started(0)).await,
        json!({"status": "training", "current_step": 0, "progress": 0, "latest_loss": null,
               "latest_sparsity": null, "latest_dead_neurons": null, "error_code": null, "error_message": null})
    );
    assert_eq!(story.steps().await, []);
}

#[tokio::test]
async fn a_failed_training_keeps_its_reason_until_a_person_retries() {
    let mut story = Studio::with_training().await;
    story.training(training_claimed()).await;
    assert_eq!(
        story.training(event("TrainingFailed", failed())).await,
        json!({"status": "failed", "error_code": "disk_full", "error_message": "The disk is full: make room.",
               "completed_at": story.now()})
    );
    assert_eq!(
        story.training(retried(false)).await,
        json!({"status": "queued", "retry_count": 1, "error_code": null, "error_message": null, "completed_at": null})
    );
    story.training(training_claimed()).await;
    let mut poison = failed();
    poison["code"] = json!("poison");
    assert_eq!(
        story.training(event("TrainingErrored", poison)).await,
        json!({"status": "error", "error_code": "poison", "error_message": "The disk is full: make room.",
               "completed_at": story.now()})
    );
}

#[tokio::test]
async fn a_training_that_is_stopped_ends_where_its_result_was_made() {
    let mut story = Studio::with_training().await;
    story.training(training_claimed()).await;
    story.training(started(0)).await;
    story.training(metrics(&[1, 2, 3])).await;
    assert_eq!(
        story.training(event("StopRequested", json!({}))).await,
        json!({})
    );
    let ended = json!({"lease": 1, "seq": 9, "step": 3, "result": {"path": "/r", "sha256": "ef".repeat(32)}});
    assert_eq!(
        story.training(event("TrainingStopped", ended)).await,
        json!({"status": "stopped", "completed_at": story.now()})
    );
}

#[tokio::test]
async fn text_that_a_column_cannot_hold_is_cut_and_stops_nothing() {
    let mut story = Studio::with_training().await;
    let mut claimed = claimed(None);
    claimed["worker_id"] = json!("é".repeat(300));
    let changed = story.training(event("TrainingClaimed", claimed)).await;
    assert_eq!(changed["worker_id"], json!("é".repeat(100)));
    let mut failed = failed();
    failed["code"] = json!("c".repeat(101));
    let changed = story.training(event("TrainingFailed", failed)).await;
    assert_eq!(changed["error_code"], json!("c".repeat(100)));
}

#[tokio::test]
async fn an_event_about_what_was_never_registered_is_refused() {
    let mut story = Studio::begin().await;
    for (category, id, event) in [
        (Category::Dataset, "ds_2", event("DatasetFailed", failed())),
        (Category::Model, "m_2", event("ModelFailed", failed())),
        (Category::Training, "tr_2", metrics(&[1])),
    ] {
        let refused = story.apply(category, id, event).await;
        assert!(
            matches!(&refused, Err(ApplyError::NoRow { stream, .. }) if stream.id == id),
            "{refused:?}"
        );
    }
}

fn template(hyperparameters: Value) -> Value {
    json!({
        "name": "quick", "description": "A first look.", "model_id": "m_1", "dataset_id": "ds_1", "encoder_type": "sparse",
        "hyperparameters": hyperparameters})
}

#[tokio::test]
async fn templates_are_rows_as_long_as_they_are_kept() {
    let mut story = Studio::with_training().await;
    let hyperparameters =
        serde_json::to_value(trainmaster_domain::hyperparameters::Hyperparameters::default())
            .unwrap();
    let created =
        json!({"type": "TrainingTemplateCreated", "payload": template(hyperparameters.clone())});
    let row = story
        .tell(Category::TrainingTemplate, "tmpl_1", created)
        .await;
    assert_eq!(
        row,
        json!({
            "id": "tmpl_1", "name": "quick", "description": "A first look.", "model_id": "m_1", "dataset_id": "ds_1",
            "encoder_type": "sparse", "hyperparameters": hyperparameters, "is_favorite": false, "created_at": story.now()})
    );
    let mark = json!({"is_favorite": true});
    let changed = story
        .tell(
            Category::TrainingTemplate,
            "tmpl_1",
            event("TrainingTemplateFavourited", mark.clone()),
        )
        .await;
    assert_eq!(changed, mark);
    let mut other = template(hyperparameters);
    other["name"] = json!("slow");
    other["model_id"] = json!("m_unknown");
    let changed = story
        .tell(
            Category::TrainingTemplate,
            "tmpl_1",
            event("TrainingTemplateUpdated", other),
        )
        .await;
    assert_eq!(
        changed,
        json!({"name": "slow", "model_id": null}),
        "a model that is not there is none"
    );
    let extraction = json!({
        "name": "middle", "layers": [3, 4], "hook_types": ["mlp"], "max_samples": 500, "top_k_examples": 50});
    let row = story
        .tell(
            Category::ExtractionTemplate,
            "ext_tmpl_1",
            event("ExtractionTemplateCreated", extraction),
        )
        .await;
    assert_eq!(
        row,
        json!({
            "id": "ext_tmpl_1", "name": "middle", "description": null, "layers": [3, 4], "hook_types": ["mlp"],
            "max_samples": 500, "top_k_examples": 50, "is_favorite": false, "created_at": story.now()})
    );
    for (category, id, kind, table) in [
        (
            Category::TrainingTemplate,
            "tmpl_1",
            "TrainingTemplateDeleted",
            "training_templates",
        ),
        (
            Category::ExtractionTemplate,
            "ext_tmpl_1",
            "ExtractionTemplateDeleted",
            "extraction_templates",
        ),
    ] {
        story
            .apply(category, id, event(kind, json!({})))
            .await
            .unwrap();
        assert!(story.row_of(table, id).await.is_empty(), "{table}");
    }
}

#[tokio::test]
async fn a_preset_is_a_row_of_its_training() {
    let mut story = Studio::with_training().await;
    let features = json!([{"feature_id": 17_042, "coefficient": 2.5}]);
    let preset = |training: &str| json!({"training_id": training, "name": "rain", "features": features, "intervention_layer": 5});
    let row = story
        .tell(
            Category::Preset,
            "preset_1",
            event("PresetCreated", preset("tr_1")),
        )
        .await;
    assert_eq!(
        row,
        json!({
            "id": "preset_1", "training_id": "tr_1", "name": "rain", "description": null, "features": features,
            "intervention_layer": 5, "created_at": story.now()})
    );
    let orphan = event("PresetCreated", preset("tr_gone"));
    story
        .apply(Category::Preset, "preset_2", orphan)
        .await
        .unwrap();
    assert!(
        story
            .row_of("steering_presets", "preset_2")
            .await
            .is_empty()
    );
    let gone = event("PresetDeleted", json!({}));
    story
        .apply(Category::Preset, "preset_1", gone)
        .await
        .unwrap();
    assert!(
        story
            .row_of("steering_presets", "preset_1")
            .await
            .is_empty()
    );
}
