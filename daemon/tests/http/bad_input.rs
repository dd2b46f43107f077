//! Whatever is sent, the answer is a problem document with a stable code, and nothing happens.

use crate::fixture::{Answer, Interface, tiny_llama};
use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use serde_json::{Value, json};

fn is_problem(answer: &Answer, status: u16, code: &str, about: &str) {
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (status, code),
        "{about}: {:?}",
        answer.body
    );
    assert_eq!(
        answer.headers["content-type"], "application/problem+json",
        "{about}"
    );
    assert_eq!(answer.body["status"], status, "{about}");
    assert_eq!(
        answer.body["type"],
        format!("urn:trainmaster:problem:{code}"),
        "{about}"
    );
    let detail = answer.text("detail");
    assert!(
        detail.len() > 15 && !detail.contains('\n'),
        "{about}: {detail:?}"
    );
}

#[tokio::test]
async fn queries_that_cannot_be_are_named() {
    let interface = Interface::new().await;
    let training = interface.training().await;
    for (path, code) in [
        ("/v1/datasets?limit=0", "invalid_query"),
        ("/v1/datasets?limit=501", "invalid_query"),
        ("/v1/datasets?limit=-1", "invalid_query"),
        ("/v1/datasets?limit=many", "invalid_query"),
        ("/v1/datasets?status=perfect", "invalid_query"),
        ("/v1/datasets?after=yesterday", "invalid_query"),
        ("/v1/datasets?after=1.%00", "invalid_query"),
        ("/v1/datasets?colour=red", "invalid_query"),
        ("/v1/datasets?at_least=soon", "invalid_query"),
        (
            "/v1/datasets?at_least=9223372036854775807-1",
            "invalid_position",
        ),
        ("/v1/models?status=paused", "invalid_query"),
        ("/v1/models/%00", "invalid_id"),
        ("/v1/models/%0A", "invalid_id"),
        ("/v1/models/%FF", "invalid_id"),
        ("/v1/datasets/%C3%28", "invalid_id"),
        ("/v1/trainings?status=ready", "invalid_query"),
        ("/v1/trainings?model=%20", "invalid_query"),
        ("/v1/trainings?dataset=../x", "invalid_query"),
        ("/v1/trainings/..%2F..%2Fetc%2Fpasswd", "invalid_id"),
        ("/v1/trainings/a%20b", "invalid_id"),
        ("/v1/trainings/%FF", "invalid_id"),
        ("/v1/trainings/tr_1/metrics?from=-1", "invalid_query"),
        ("/v1/trainings/tr_1/metrics?from=5&to=4", "invalid_query"),
        ("/v1/trainings/tr_1/metrics?points=0", "invalid_query"),
        ("/v1/trainings/tr_1/metrics?points=10001", "invalid_query"),
        (
            "/v1/trainings/tr_1/metrics?from=99999999999",
            "invalid_query",
        ),
        ("/v1/trainings/tr_1/checkpoints?after=x", "invalid_query"),
        ("/v1/events?after=12", "invalid_query"),
        ("/v1/events?after=1--2", "invalid_query"),
        ("/v1/events?category=users", "invalid_query"),
        ("/v1/events?stream=%20", "invalid_query"),
        ("/v1/events?type=a%27b", "invalid_query"),
        ("/v1/events?last=5&after=0-0", "invalid_query"),
        ("/v1/events?last=0", "invalid_query"),
        ("/v1/events/stream?after=x", "invalid_query"),
        ("/v1/events/stream?limit=5", "invalid_query"),
    ] {
        is_problem(&interface.get(path).await, 400, code, path);
    }
    let long = format!("/v1/trainings/{}", "x".repeat(300));
    is_problem(&interface.get(&long).await, 400, "invalid_id", "a long id");
    let wait = format!("/v1/trainings/{training}/pause?wait_ms=60000");
    is_problem(
        &interface.post(&wait, Value::Null).await,
        400,
        "invalid_query",
        &wait,
    );
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let interface = Interface::new().await;
    for (method, path, code) in [
        (Method::GET, "/", "route_not_found"),
        (Method::GET, "/v2/models", "route_not_found"),
        (Method::GET, "/v1/models/", "route_not_found"),
        (Method::GET, "/v1/../etc/passwd", "route_not_found"),
        (Method::GET, "/v1/models/m_none", "model_not_found"),
        (Method::GET, "/v1/models/%F0%9F%92%A5", "model_not_found"),
        (Method::GET, "/v1/datasets/ds_none", "dataset_not_found"),
        (Method::GET, "/v1/trainings/tr_none", "training_not_found"),
        (
            Method::GET,
            "/v1/trainings/tr_none/metrics",
            "training_not_found",
        ),
        (
            Method::GET,
            "/v1/trainings/tr_none/checkpoints",
            "training_not_found",
        ),
        (
            Method::POST,
            "/v1/trainings/tr_none/pause",
            "training_not_found",
        ),
        (
            Method::POST,
            "/v1/trainings/tr_none/resume",
            "training_not_found",
        ),
        (
            Method::POST,
            "/v1/trainings/tr_none/stop",
            "training_not_found",
        ),
        (
            Method::POST,
            "/v1/trainings/tr_none/retry",
            "training_not_found",
        ),
        (Method::POST, "/v1/models/m_none/retry", "model_not_found"),
        (
            Method::POST,
            "/v1/datasets/ds_none/retry",
            "dataset_not_found",
        ),
        (
            Method::POST,
            "/v1/datasets/ds_none/tokenise",
            "route_not_found",
        ),
        (
            Method::POST,
            "/v1/projections/users/rebuild",
            "read_model_not_found",
        ),
        (
            Method::POST,
            "/v1/projections/users/verify",
            "read_model_not_found",
        ),
    ] {
        let request = Request::builder()
            .method(&method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        is_problem(&interface.send(request).await, 404, code, path);
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let interface = Interface::new().await;
    for (method, path, allowed) in [
        (Method::DELETE, "/v1/models", "GET"),
        (Method::PUT, "/v1/trainings", "POST"),
        (Method::GET, "/v1/trainings/tr_1/pause", "POST"),
        (Method::POST, "/v1/events", "GET"),
        (Method::POST, "/health/live", "GET"),
        (Method::PATCH, "/openapi.json", "GET"),
        (Method::GET, "/v1/projections/mistudio/rebuild", "POST"),
    ] {
        let request = Request::builder()
            .method(&method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        let answer = interface.send(request).await;
        is_problem(&answer, 405, "method_not_allowed", path);
        let allow = answer.headers["allow"].to_str().unwrap();
        assert!(allow.contains(allowed), "{path} allows {allow}");
    }
}

#[tokio::test]
async fn a_body_must_be_json_of_the_right_shape_and_size() {
    let interface = Interface::new().await;
    let json_type = Some("application/json");
    let huge = format!(r#"{{"path": "{}"}}"#, "x".repeat(300 * 1024));
    let deep = format!(r#"{{"hyperparameters": {{"x": {}"#, "[".repeat(100_000));
    for (path, kind, body, status, code) in [
        (
            "/v1/models",
            None,
            r#"{"path":"/x"}"#,
            415,
            "content_type_not_supported",
        ),
        (
            "/v1/models",
            Some("text/plain"),
            r#"{"path":"/x"}"#,
            415,
            "content_type_not_supported",
        ),
        (
            "/v1/models",
            Some("application/json;charset=utf-8"),
            "{",
            400,
            "malformed_json",
        ),
        ("/v1/models", json_type, "", 400, "malformed_json"),
        (
            "/v1/models",
            json_type,
            "{\"path\": \"/x\"",
            400,
            "malformed_json",
        ),
        ("/v1/models", json_type, "\u{0}", 400, "malformed_json"),
        ("/v1/trainings", json_type, &deep, 400, "malformed_json"),
        ("/v1/models", json_type, &huge, 413, "body_too_large"),
        ("/v1/models", json_type, "[]", 422, "invalid_field"),
        ("/v1/models", json_type, "{}", 422, "invalid_field"),
        (
            "/v1/models",
            json_type,
            r#"{"path": 5}"#,
            422,
            "invalid_body",
        ),
        (
            "/v1/models",
            json_type,
            r#"{"path": "/x", "size": 5}"#,
            422,
            "invalid_body",
        ),
        (
            "/v1/models",
            json_type,
            r#"{"path": "/x", "quantization": "Q3"}"#,
            422,
            "invalid_body",
        ),
        (
            "/v1/datasets",
            json_type,
            r#"{"path": "/x"}"#,
            422,
            "invalid_body",
        ),
        (
            "/v1/datasets",
            json_type,
            r#"{"path": "/x", "tokenizer_model": "m", "context_length": -1}"#,
            422,
            "invalid_body",
        ),
        (
            "/v1/datasets",
            json_type,
            r#"{"path": "/x", "tokenizer_model": "m", "context_length": 1.5}"#,
            422,
            "invalid_body",
        ),
        (
            "/v1/trainings",
            json_type,
            r#"{"model": "m", "dataset": "d", "encoder_type": "dense"}"#,
            422,
            "invalid_body",
        ),
        (
            "/v1/trainings",
            json_type,
            r#"{"model": "m", "dataset": "d", "hyperparameters": []}"#,
            422,
            "invalid_body",
        ),
        (
            "/v1/trainings/tr_1/pause",
            json_type,
            r#"{"now": true}"#,
            422,
            "invalid_body",
        ),
        ("/v1/trainings/tr_1/pause", None, "now", 422, "invalid_body"),
        (
            "/v1/trainings/tr_1/pause",
            json_type,
            &huge,
            413,
            "body_too_large",
        ),
    ] {
        let mut request = Request::post(path);
        if let Some(kind) = kind {
            request = request.header("content-type", kind);
        }
        let answer = interface
            .send(request.body(Body::from(body.to_owned())).unwrap())
            .await;
        let shown: String = body.chars().take(60).collect();
        is_problem(&answer, status, code, &format!("{path} {shown}"));
    }
    assert_eq!(interface.events().await, 0);
}

#[tokio::test]
async fn a_model_that_cannot_be_is_refused_with_the_reason() {
    let interface = Interface::new().await;
    let tiny = tiny_llama();
    let book = interface.book();
    let empty = interface.directory.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let long = "n".repeat(501);
    for (body, code) in [
        (json!({ "path": "models/tiny" }), "path_not_absolute"),
        (json!({ "path": "../../etc" }), "path_not_absolute"),
        (json!({ "path": "" }), "path_invalid"),
        (json!({ "path": "/a\u{0}b" }), "path_invalid"),
        (json!({ "path": "/no/such/file.gguf" }), "path_not_found"),
        (json!({ "path": "/dev/null" }), "path_not_a_file"),
        (json!({ "path": empty }), "path_empty"),
        (json!({ "path": book }), "not_a_model"),
        (json!({ "path": interface.directory.path() }), "not_a_model"),
        (json!({ "path": tiny, "name": "" }), "invalid_field"),
        (json!({ "path": tiny, "name": "a\u{0}b" }), "invalid_field"),
        (json!({ "path": tiny, "name": "a\nb" }), "invalid_field"),
        (json!({ "path": tiny, "name": long }), "invalid_field"),
        (
            json!({ "path": tiny, "architecture": " " }),
            "invalid_field",
        ),
    ] {
        let answer = interface.post("/v1/models", body.clone()).await;
        is_problem(&answer, 422, code, &body.to_string());
    }
    assert_eq!(interface.events().await, 0);
}

#[tokio::test]
async fn a_dataset_that_cannot_be_is_refused_with_the_reason() {
    let interface = Interface::new().await;
    let model = interface.model().await;
    interface
        .post(
            "/v1/models",
            json!({ "path": tiny_llama(), "name": "twin" }),
        )
        .await;
    interface
        .post(
            "/v1/models",
            json!({ "path": tiny_llama(), "name": "twin" }),
        )
        .await;
    let before = interface.events().await;
    let path = interface.book();
    for (body, code) in [
        (
            json!({ "path": "book.txt", "tokenizer_model": model }),
            "path_not_absolute",
        ),
        (
            json!({ "path": "/nowhere", "tokenizer_model": model }),
            "path_not_found",
        ),
        (
            json!({ "path": path, "tokenizer_model": "m_none" }),
            "model_not_found",
        ),
        (
            json!({ "path": path, "tokenizer_model": "" }),
            "model_not_found",
        ),
        (
            json!({ "path": path, "tokenizer_model": "a\u{0}b" }),
            "model_not_found",
        ),
        (
            json!({ "path": path, "tokenizer_model": "twin" }),
            "ambiguous_name",
        ),
        (
            json!({ "path": path, "tokenizer_model": model, "context_length": 1 }),
            "invalid_field",
        ),
        (
            json!({ "path": path, "tokenizer_model": model, "context_length": 2_000_000 }),
            "invalid_field",
        ),
        (
            json!({ "path": path, "tokenizer_model": model, "text_column": "" }),
            "invalid_field",
        ),
        (
            json!({ "path": path, "tokenizer_model": model, "text_column": "\u{0}" }),
            "invalid_field",
        ),
        (
            json!({ "path": path, "tokenizer_model": model, "description": "x".repeat(10_001) }),
            "invalid_field",
        ),
        (
            json!({ "path": path, "tokenizer_model": model, "description": "\u{0}" }),
            "invalid_field",
        ),
    ] {
        let answer = interface.post("/v1/datasets", body.clone()).await;
        is_problem(&answer, 422, code, &body.to_string());
    }
    assert_eq!(interface.events().await, before);
}

#[tokio::test]
async fn a_training_that_cannot_be_is_refused_with_the_reason() {
    let interface = Interface::new().await;
    let (model, dataset) = interface.model_and_dataset().await;
    let inspected = interface.inspect_model(&model, 3).await;
    let other = interface
        .post(
            "/v1/models",
            json!({ "path": tiny_llama(), "name": "other" }),
        )
        .await
        .text("id");
    let wanted = |hyperparameters: Value| json!({ "model": model, "dataset": dataset, "hyperparameters": hyperparameters });
    // The layers of a model are known to the read model as soon as it shows the inspection.
    let shown = interface
        .get(&format!("/v1/models/{model}?at_least={inspected}"))
        .await;
    assert_eq!(shown.body["status"], "ready", "{shown:?}");
    let before = interface.events().await;
    for (body, status, code) in [
        (
            json!({ "model": "m_none", "dataset": dataset }),
            422,
            "model_not_found",
        ),
        (
            json!({ "model": model, "dataset": "ds_none" }),
            422,
            "dataset_not_found",
        ),
        (
            json!({ "model": other, "dataset": dataset }),
            422,
            "tokenizer_mismatch",
        ),
        (
            json!({ "model": model, "dataset": dataset, "encoder_type": "skip" }),
            422,
            "hook_not_mlp",
        ),
        (wanted(json!({ "layer": 3 })), 422, "layer_out_of_range"),
        (
            wanted(json!({ "learningRate": 0 })),
            422,
            "invalid_hyperparameter",
        ),
        (
            wanted(json!({ "learningRate": "fast" })),
            422,
            "invalid_hyperparameter",
        ),
        (
            wanted(json!({ "learning_rate": 0.1 })),
            422,
            "invalid_hyperparameter",
        ),
        (
            wanted(json!({ "trainingSteps": 0 })),
            422,
            "invalid_hyperparameter",
        ),
        (
            wanted(json!({ "trainingSteps": 1e300 })),
            422,
            "invalid_hyperparameter",
        ),
        (
            wanted(json!({ "batchSize": -5 })),
            422,
            "invalid_hyperparameter",
        ),
        (
            wanted(json!({ "optimizer": null })),
            422,
            "invalid_hyperparameter",
        ),
        (wanted(json!({ "topK": 0 })), 422, "invalid_hyperparameter"),
    ] {
        let answer = interface.post("/v1/trainings", body.clone()).await;
        is_problem(&answer, status, code, &body.to_string());
    }
    assert_eq!(interface.events().await, before);
}

#[tokio::test]
async fn a_command_that_the_state_forbids_is_refused_with_the_state() {
    let interface = Interface::new().await;
    let training = interface.training().await;
    for (verb, state) in [
        ("resume", "queued"),
        ("retry", "queued"),
        ("pause", "queued"),
    ] {
        let answer = interface
            .post(&format!("/v1/trainings/{training}/{verb}"), Value::Null)
            .await;
        is_problem(&answer, 409, "not_allowed", verb);
        assert_eq!(answer.body["state"], state, "{verb}");
    }
    let stopped = interface
        .post(&format!("/v1/trainings/{training}/stop"), Value::Null)
        .await;
    assert_eq!(stopped.status, StatusCode::OK, "{stopped:?}");
    let answer = interface
        .post(&format!("/v1/trainings/{training}/resume"), Value::Null)
        .await;
    is_problem(&answer, 409, "not_allowed", "resume");
    assert_eq!(answer.body["state"], "stopped");
}

#[tokio::test]
async fn what_is_in_error_is_no_ground_for_a_training() {
    let interface = Interface::new().await;
    let (model, dataset) = interface.model_and_dataset().await;
    interface.fail_dataset(&dataset).await;
    let body = json!({ "model": model, "dataset": dataset });
    let answer = interface.post("/v1/trainings", body.clone()).await;
    is_problem(&answer, 409, "dataset_in_error", "the dataset");
    let retried = interface
        .post(&format!("/v1/datasets/{dataset}/retry"), Value::Null)
        .await;
    assert_eq!(retried.status, StatusCode::OK, "{retried:?}");
    let answer = interface.post("/v1/trainings", body.clone()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    interface.fail_model(&model).await;
    let answer = interface.post("/v1/trainings", body).await;
    is_problem(&answer, 409, "model_in_error", "the model");
    let body = json!({ "path": interface.book(), "tokenizer_model": model });
    let answer = interface.post("/v1/datasets", body).await;
    is_problem(&answer, 409, "model_in_error", "the model of a dataset");
    let retried = interface
        .post(&format!("/v1/models/{model}/retry"), Value::Null)
        .await;
    assert_eq!(retried.status, StatusCode::OK, "{retried:?}");
}
