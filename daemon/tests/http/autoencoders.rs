//! Autoencoders come from elsewhere, and go there.

use crate::fixture::Interface;
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::path::Path;

fn directory(configuration: &Value) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("cfg.json"), configuration.to_string()).unwrap();
    directory
}

fn import(path: &Path) -> Value {
    json!({ "path": path, "model": "tiny", "dataset": "book" })
}

#[tokio::test]
async fn an_import_is_a_training_without_steps_that_says_what_it_is() {
    let interface = Interface::new().await;
    interface.model_and_dataset().await;
    let from = directory(&json!({
        "architecture": "topk", "d_in": 16, "d_sae": 64, "k": 8,
        "metadata": { "hook_name": "blocks.1.hook_resid_pre" }
    }));
    let answer = interface
        .post("/v1/autoencoders", import(from.path()))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let location = answer.headers["location"].to_str().unwrap();
    let training = interface.get(location).await.body;
    assert_eq!(training["total_steps"], 0);
    assert_eq!(training["encoder_type"], "sparse");
    assert_eq!(training["hyperparameters"]["topK"], 8);
    assert_eq!(training["hyperparameters"]["layer"], 0);
    assert_eq!(training["hyperparameters"]["expansionFactor"], 4);

    // Until its files have been read there is nothing to give away.
    let files = interface.get(&format!("{location}/autoencoder")).await;
    assert_eq!(
        (files.status, files.code()),
        (StatusCode::CONFLICT, "no_autoencoder")
    );
    let file = interface
        .get(&format!("{location}/autoencoder/%2E%2E%2Fspec.json"))
        .await;
    assert_eq!(file.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn what_is_no_autoencoder_is_refused_with_the_reason() {
    let interface = Interface::new().await;
    interface.model_and_dataset().await;
    let nothing = tempfile::tempdir().unwrap();
    std::fs::write(nothing.path().join("readme"), "words").unwrap();
    let unknown = directory(&json!({ "architecture": "crosscoder" }));
    for (path, code, word) in [
        (nothing.path(), "path_not_found", "cfg.json"),
        (unknown.path(), "not_an_autoencoder", "crosscoder"),
    ] {
        let answer = interface.post("/v1/autoencoders", import(path)).await;
        assert_eq!(
            answer.status,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{answer:?}"
        );
        assert_eq!(answer.code(), code);
        assert!(answer.text("detail").contains(word), "{answer:?}");
    }
}
