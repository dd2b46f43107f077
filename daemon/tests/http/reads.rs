//! A client reads its own writes, a page at a time.

use crate::fixture::{Interface, tiny_llama};
use axum::http::StatusCode;
use serde_json::{Value, json};

#[tokio::test]
async fn what_is_added_is_there_when_the_answer_comes() {
    let interface = Interface::new().await;
    let answer = interface
        .post("/v1/models", json!({ "path": tiny_llama() }))
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    assert_eq!(answer.body["visible"], true);
    assert_eq!(
        answer.body["events"],
        json!(["ModelRegistered", "ModelDownloaded"])
    );
    let location = answer.headers["location"].to_str().unwrap();
    let model = interface.get(location).await;
    assert_eq!(model.body["name"], "tiny-llama");
    assert_eq!(model.body["architecture"], "llama");
    assert_eq!(model.body["status"], "loading");
    assert_eq!(model.body["file_path"], tiny_llama());
    assert!(model.body["disk_size_bytes"].as_i64().unwrap() > 100_000);
    assert_eq!(
        interface.get("/v1/models/tiny-llama").await.body,
        model.body,
        "by its name"
    );
}

#[tokio::test]
async fn a_training_has_all_hyperparameters_and_names_its_model_and_dataset() {
    let interface = Interface::new().await;
    let (model, dataset) = interface.model_and_dataset().await;
    let answer = interface
        .post(
            "/v1/trainings",
            json!({ "model": "tiny", "dataset": "book", "hyperparameters": { "trainingSteps": 70, "layer": 1 } }),
        )
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let training = interface
        .get(&format!("/v1/trainings/{}", answer.text("id")))
        .await
        .body;
    assert_eq!(training["model_id"], model);
    assert_eq!(training["model_name"], "tiny");
    assert_eq!(training["dataset_id"], dataset);
    assert_eq!(training["total_steps"], 70);
    assert_eq!(training["hyperparameters"]["layer"], 1);
    assert_eq!(training["hyperparameters"]["learningRate"], 0.001);
    assert_eq!(training["status"], "queued");
    assert_eq!(training["latest"], Value::Null);
}

#[tokio::test]
async fn pages_hold_everything_once_the_newest_first() {
    let interface = Interface::new().await;
    let mut expected = vec![];
    for n in 0..7 {
        let body = json!({ "path": tiny_llama(), "name": format!("m{n}") });
        expected.insert(0, interface.post("/v1/models", body).await.text("id"));
    }
    let mut found = vec![];
    let mut path = "/v1/models?limit=3".to_owned();
    loop {
        let page = interface.get(&path).await.body;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 3);
        found.extend(
            items
                .iter()
                .map(|item| item["id"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/models?limit=3&after={next}"),
            None => break,
        }
    }
    assert_eq!(found, expected);
    let ready = interface.get("/v1/models?status=ready").await.body;
    assert_eq!(ready["items"], json!([]));
}

#[tokio::test]
async fn a_running_training_shows_its_latest_step_its_speed_and_its_metrics_thinned() {
    let interface = Interface::new().await;
    let id = interface.training().await;
    interface.run_training(&id).await;
    let at = interface.log.now().await.unwrap();
    let steps: Vec<u64> = (1..=40).collect();
    let column = |scale: f64| {
        steps
            .iter()
            .map(|step| *step as f64 * scale)
            .collect::<Vec<_>>()
    };
    let metrics = json!({
        "record": "metrics", "steps": steps, "loss": column(0.5), "sparsity": column(2.0),
        "reconstruction_error": column(0.1), "dead_neurons": steps, "explained_variance": column(0.01),
        "learning_rate": column(0.001), "at": steps.iter().map(|_| at).collect::<Vec<_>>(), "tokens_per_second": 1234.5
    });
    let recorded = interface.training_says(&id, 3, metrics).await;
    let training = interface
        .get(&format!("/v1/trainings/{id}?at_least={recorded}"))
        .await
        .body;
    assert_eq!(training["status"], "training");
    assert_eq!(training["current_step"], 40);
    assert_eq!(training["latest"]["tokens_per_second"], 1234.5);
    assert_eq!(training["latest"]["explained_variance"], 0.4);
    assert_eq!(training["requested"], Value::Null);

    let all = interface
        .get(&format!("/v1/trainings/{id}/metrics"))
        .await
        .body;
    assert_eq!(all["items"].as_array().unwrap().len(), 40);
    let thinned = interface
        .get(&format!(
            "/v1/trainings/{id}/metrics?from=11&to=30&points=4"
        ))
        .await
        .body;
    let steps: Vec<i64> = thinned["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["step"].as_i64().unwrap())
        .collect();
    assert_eq!(steps, [15, 20, 25, 30], "the last step of each quarter");
    assert_eq!(thinned["items"][0]["loss"], 7.5, "a row as it was recorded");

    let asked = interface
        .post(&format!("/v1/trainings/{id}/pause"), Value::Null)
        .await;
    assert_eq!(asked.body["events"], json!(["PauseRequested"]));
    let training = interface.get(&format!("/v1/trainings/{id}")).await.body;
    assert_eq!(training["requested"], "pause");
}

#[tokio::test]
async fn the_defaults_can_be_asked_for() {
    let interface = Interface::new().await;
    let defaults = interface.get("/v1/hyperparameters").await.body;
    assert_eq!(defaults["learningRate"], 0.001);
    assert_eq!(defaults["hook"], "residual");
}

#[tokio::test]
async fn the_read_model_can_be_made_anew_and_the_log_verified_while_readers_go_on() {
    let interface = Interface::new().await;
    interface.training().await;
    let before = interface.get("/v1/trainings").await.body;
    let status = interface.get("/v1/projections").await.body;
    assert_eq!(status["items"][0]["read_model"], "mistudio");
    assert_eq!(status["items"][0]["state"], "following");

    let rebuilt = interface
        .post("/v1/projections/mistudio/rebuild", Value::Null)
        .await;
    assert_eq!(rebuilt.headers["content-type"], "application/x-ndjson");
    let done = outcome(&rebuilt.body);
    assert_eq!(done["done"]["read_model"], "mistudio", "{done}");
    assert_eq!(interface.get("/v1/trainings").await.body, before);

    let verified = interface.get("/v1/log/verify").await;
    let done = outcome(&verified.body);
    assert_eq!(done["done"]["events"], 5, "{done}");
    assert_eq!(done["done"]["streams"], 3);
}

/// The last of the JSON lines.
fn outcome(body: &Value) -> Value {
    match body {
        Value::String(lines) => serde_json::from_str(lines.lines().last().unwrap()).unwrap(),
        one => one.clone(),
    }
}
