//! Models and datasets of the hub, texts of a request, and what happens to them on the way.

use crate::fixture::{Interface, patient, tiny_llama};
use axum::http::StatusCode;
use serde_json::{Value, json};
use trainmaster::http::HttpOptions;
use trainmaster_domain::{
    Position,
    dataset::{Dataset, DatasetCommand},
    model::{Model, ModelCommand},
};
use trainmaster_tests::postgres::TestDatabase;

impl Interface {
    /// What the run of a model says, line after line, under its first lease; where the last event stands.
    async fn model_run(&self, id: &str, records: &[Value]) -> Position {
        let claim = ModelCommand::Claim(self.claim().await);
        let mut last = self.execute::<Model>(id, claim).await;
        for (seq, record) in (2..).zip(records) {
            let report = ModelCommand::Report(self.report(seq, record.clone()).await);
            last = self.execute::<Model>(id, report).await;
        }
        last
    }

    async fn shown(&self, path: &str, position: Position) -> Value {
        self.get(&format!("{path}?at_least={position}")).await.body
    }
}

#[tokio::test]
async fn a_model_of_the_hub_is_fetched_looked_at_and_converted() {
    let interface = Interface::new().await;
    let body =
        json!({ "hub": { "repository": "HuggingFaceTB/SmolLM2-135M" }, "quantization": "Q8" });
    let answer = interface.post("/v1/models", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    assert_eq!(answer.body["events"], json!(["ModelRegistered"]));
    let id = answer.text("id");
    let by_name = "/v1/models/HuggingFaceTB%2FSmolLM2-135M";
    let model = interface.get(by_name).await.body;
    assert_eq!(model["id"], id);
    assert_eq!(model["status"], "downloading");
    assert_eq!(model["architecture"], "unknown");
    assert_eq!(model["quantization"], "Q8");
    assert_eq!(model["conversion"], Value::Null);

    let inspected = json!({
        "record": "model_inspected", "params_count": 134_515_008, "memory_required_bytes": 400, "disk_size_bytes": 300,
        "architecture_config": { "num_layers": 30 }, "architecture": "llama", "quantization": "FP16", "converts_to": "Q8",
    });
    let records = [
        json!({ "record": "progress", "stage": "downloading", "percent": 50.0 }),
        json!({ "record": "downloaded", "path": "/state/raw", "size_bytes": 300, "commit": "c0ffee" }),
        inspected,
        json!({ "record": "progress", "stage": "quantizing", "percent": 25.0 }),
    ];
    let position = interface.model_run(&id, &records).await;
    let model = interface.shown(by_name, position).await;
    assert_eq!(model["status"], "quantizing");
    assert_eq!(model["progress"], 25.0);
    assert_eq!(model["architecture"], "llama");
    assert_eq!(model["file_path"], "/state/raw");

    let quantized = json!({
        "record": "model_quantized", "quantized_path": "/state/quantized", "disk_size_bytes": 150,
        "memory_required_bytes": 200,
        "loss": { "before": 3.0, "after": 3.5, "evaluated_on": "a book", "tokens": 1000 },
    });
    let report = ModelCommand::Report(interface.report(6, quantized).await);
    let position = interface.execute::<Model>(&id, report).await;
    let model = interface.shown(by_name, position).await;
    assert_eq!(model["status"], "ready");
    assert_eq!(model["quantized_path"], "/state/quantized");
    assert_eq!(model["disk_size_bytes"], 150);
    assert_eq!(model["conversion"]["loss_after"], 3.5);
    assert_eq!(model["conversion"]["evaluated_on"], "a book");
    let perplexity = model["conversion"]["perplexity_before"].as_f64().unwrap();
    assert!((perplexity - 3_f64.exp()).abs() < 1e-9);
}

#[tokio::test]
async fn what_is_named_twice_or_cannot_be_on_the_hub_is_refused() {
    let interface = Interface::new().await;
    let model = interface.model().await;
    let hub = json!({ "repository": "o/n" });
    for (body, code) in [
        (json!({ "path": tiny_llama(), "hub": hub }), "invalid_field"),
        (
            json!({ "hub": { "repository": "../../etc" } }),
            "invalid_field",
        ),
        (
            json!({ "hub": { "repository": "a/b", "revision": "x y" } }),
            "invalid_field",
        ),
        (
            json!({ "hub": { "repository": "a/b", "branch": "x" } }),
            "invalid_body",
        ),
    ] {
        let answer = interface.post("/v1/models", body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (422, code),
            "{answer:?}"
        );
    }
    for (mut body, code) in [
        (json!({}), "invalid_field"),
        (
            json!({ "path": interface.book(), "text": "x" }),
            "invalid_field",
        ),
        (
            json!({ "path": interface.book(), "source": "HuggingFace" }),
            "invalid_field",
        ),
        (
            json!({ "hub": { "repository": "a/b", "split": "a/../b" } }),
            "invalid_field",
        ),
        (json!({ "text": "x" }), "invalid_field"),
    ] {
        body["tokenizer_model"] = json!(model);
        let answer = interface.post("/v1/datasets", body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (422, code),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn the_text_of_a_request_is_kept_and_its_source_is_custom() {
    let state = tempfile::tempdir().unwrap();
    let options = HttpOptions {
        datasets_directory: Some(state.path().to_owned()),
        ..patient()
    };
    let interface = Interface::over(TestDatabase::new().await, options).await;
    let model = interface.model().await;
    let body = json!({ "text": "Call me Ishmael.", "name": "whale", "tokenizer_model": model });
    let answer = interface.post("/v1/datasets", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let dataset = interface.get("/v1/datasets/whale").await.body;
    assert_eq!(dataset["source"], "Custom");
    assert_eq!(dataset["size_bytes"], 16);
    let path = dataset["file_path"].as_str().unwrap();
    assert!(path.starts_with(state.path().to_str().unwrap()), "{path}");
    assert_eq!(std::fs::read_to_string(path).unwrap(), "Call me Ishmael.");
    let empty = json!({ "text": " \n", "tokenizer_model": model });
    let answer = interface.post("/v1/datasets", empty).await;
    assert_eq!(answer.code(), "invalid_field");
    let own = json!({ "path": interface.book(), "name": "own", "source": "Custom", "tokenizer_model": model });
    interface.post("/v1/datasets", own).await;
    assert_eq!(
        interface.get("/v1/datasets/own").await.body["source"],
        "Custom"
    );
}

#[tokio::test]
async fn a_text_that_cannot_be_kept_is_asked_for_again_and_leaves_nothing() {
    let state = tempfile::tempdir().unwrap();
    // A file stands where the directory is to be, as little to be written into as a full disk.
    let datasets = state.path().join("datasets");
    std::fs::write(&datasets, "").unwrap();
    let options = HttpOptions {
        datasets_directory: Some(datasets.clone()),
        ..patient()
    };
    let interface = Interface::over(TestDatabase::new().await, options).await;
    let model = interface.model().await;
    let body = json!({ "text": "Call me Ishmael.", "name": "whale", "tokenizer_model": model });
    let answer = interface.post("/v1/datasets", body.clone()).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (503, "text_not_kept"),
        "{answer:?}"
    );
    std::fs::remove_file(&datasets).unwrap();
    std::fs::create_dir(&datasets).unwrap();
    let answer = interface.post("/v1/datasets", body).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let path = interface.get("/v1/datasets/whale").await.body["file_path"].clone();
    let raw = std::path::Path::new(path.as_str().unwrap())
        .parent()
        .unwrap();
    assert_eq!(std::fs::read_dir(raw).unwrap().count(), 1, "nothing beside");
}

#[tokio::test]
async fn a_dataset_is_tokenised_for_a_second_model_and_then_trained_on_with_either() {
    let interface = Interface::new().await;
    let (_, dataset) = interface.model_and_dataset().await;
    let other = json!({ "path": tiny_llama(), "name": "other", "quantization": "Q8" });
    interface.post("/v1/models", other).await;
    let tokenize = format!("/v1/datasets/{dataset}/tokenize");
    let for_other = json!({ "tokenizer_model": "other" });
    let early = interface.post(&tokenize, for_other.clone()).await;
    assert_eq!(
        (early.status, early.code()),
        (StatusCode::CONFLICT, "not_allowed")
    );
    let claim = DatasetCommand::Claim(interface.claim().await);
    interface.execute::<Dataset>(&dataset, claim).await;
    for (seq, record) in [
        (
            2,
            json!({ "record": "dataset_ingested", "num_samples": 1, "size_bytes": 16 }),
        ),
        (
            3,
            json!({
                "record": "dataset_tokenized", "tokenized_path": "/one", "num_tokens": 9, "vocab_size": 5,
                "avg_sequence_length": 9.0, "num_sequences": 1, "sha256": "00",
            }),
        ),
    ] {
        let report = DatasetCommand::Report(interface.report(seq, record).await);
        interface.execute::<Dataset>(&dataset, report).await;
    }
    let train = async |model: &str| {
        let body = json!({ "model": model, "dataset": dataset });
        interface.post("/v1/trainings", body).await
    };
    let refused = train("other").await;
    assert_eq!(refused.code(), "tokenizer_mismatch");
    assert!(
        refused.text("detail").contains("dataset tokenize"),
        "{refused:?}"
    );
    let accepted = interface.post(&tokenize, for_other).await;
    assert_eq!(accepted.status, StatusCode::OK, "{accepted:?}");
    assert_eq!(
        accepted.body["events"],
        json!(["DatasetTokenizationRequested"])
    );
    let row = interface.get(&format!("/v1/datasets/{dataset}")).await.body;
    assert_eq!(row["status"], "tokenizing");
    assert_eq!(train("tiny").await.status, StatusCode::CREATED);
    assert_eq!(train("other").await.status, StatusCode::CREATED);
}
