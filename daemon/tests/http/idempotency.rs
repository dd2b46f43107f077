//! A request that is repeated under its key is done once.

use crate::fixture::{Interface, tiny_llama};
use axum::http::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn a_repeated_registration_gets_the_first_answer_even_when_the_file_is_gone() {
    let interface = Interface::new().await;
    let model = interface.model().await;
    let body = json!({ "path": interface.book(), "tokenizer_model": model });
    let key = [("idempotency-key", "book-1")];
    let first = interface
        .post_with("/v1/datasets", body.clone(), &key)
        .await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(first.body["repeated"], false);
    std::fs::remove_file(interface.book()).unwrap();
    let second = interface.post_with("/v1/datasets", body, &key).await;
    assert_eq!(second.status, StatusCode::CREATED);
    assert_eq!(second.body["repeated"], true);
    assert_eq!(second.headers["idempotency-replayed"], "true");
    for name in ["id", "events", "position"] {
        assert_eq!(first.body[name], second.body[name], "{name}");
    }
    let all = interface.get("/v1/datasets").await;
    assert_eq!(all.body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn repetitions_at_the_same_moment_are_one() {
    let interface = Interface::new().await;
    let body = json!({ "path": tiny_llama() });
    let key = [("idempotency-key", "all-at-once")];
    let requests = (0..8).map(|_| interface.post_with("/v1/models", body.clone(), &key));
    let answers = futures::future::join_all(requests).await;
    let first = answers
        .iter()
        .filter(|answer| answer.body["repeated"] == false)
        .count();
    assert_eq!(first, 1, "{answers:?}");
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        assert_eq!(answer.body["id"], answers[0].body["id"]);
    }
    let all = interface.get("/v1/models").await;
    assert_eq!(all.body["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_key_that_comes_with_another_request_is_refused() {
    let interface = Interface::new().await;
    let key = [("idempotency-key", "k")];
    let first = interface
        .post_with(
            "/v1/models",
            json!({ "path": tiny_llama(), "name": "one" }),
            &key,
        )
        .await;
    assert_eq!(first.status, StatusCode::CREATED);
    let other = interface
        .post_with(
            "/v1/models",
            json!({ "path": tiny_llama(), "name": "two" }),
            &key,
        )
        .await;
    assert_eq!(other.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(other.code(), "idempotency_key_reused");
}

#[tokio::test]
async fn a_key_means_something_else_at_each_route() {
    let interface = Interface::new().await;
    let key = [("idempotency-key", "k")];
    let model = interface
        .post_with("/v1/models", json!({ "path": tiny_llama() }), &key)
        .await;
    let body = json!({ "path": interface.book(), "tokenizer_model": model.text("id") });
    let dataset = interface.post_with("/v1/datasets", body, &key).await;
    assert_eq!(dataset.status, StatusCode::CREATED, "{dataset:?}");
    let tail = |id: String| id.split_once('_').unwrap().1.to_owned();
    assert_ne!(tail(model.text("id")), tail(dataset.text("id")));
}

#[tokio::test]
async fn a_repeated_pause_does_not_pause_again_after_a_resume() {
    let interface = Interface::new().await;
    let id = interface.training().await;
    interface.run_training(&id).await;
    let key = [("idempotency-key", "rest")];
    let path = format!("/v1/trainings/{id}/pause");
    let first = interface.post_with(&path, Value::Null, &key).await;
    assert_eq!(first.body["events"], json!(["PauseRequested"]));
    let again = interface.post(&path, Value::Null).await;
    assert_eq!(
        again.body["events"],
        json!([]),
        "asked already: nothing to do"
    );
    interface
        .training_says(&id, 3, json!({ "record": "paused", "step": 0 }))
        .await;
    let resumed = interface
        .post(&format!("/v1/trainings/{id}/resume"), Value::Null)
        .await;
    assert_eq!(resumed.status, StatusCode::OK, "{resumed:?}");
    let second = interface.post_with(&path, Value::Null, &key).await;
    assert_eq!(second.status, StatusCode::OK, "{second:?}");
    assert_eq!(second.body["repeated"], true);
    assert_eq!(second.body["position"], first.body["position"]);
    let training = interface.get(&format!("/v1/trainings/{id}")).await;
    assert_eq!(training.body["status"], "queued");
}

#[tokio::test]
async fn odd_keys_are_refused() {
    let interface = Interface::new().await;
    let long = "k".repeat(256);
    for key in ["", "two words", long.as_str(), "caf\u{e9}"] {
        let answer = interface
            .post_with(
                "/v1/models",
                json!({ "path": tiny_llama() }),
                &[("idempotency-key", key)],
            )
            .await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{key:?}");
        assert_eq!(answer.code(), "invalid_idempotency_key");
    }
}
