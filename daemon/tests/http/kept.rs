//! Templates and presets, from making one to working by it.

use crate::{
    client::serve,
    fixture::{Answer, Interface},
};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use serde_json::{Value, json};

impl Interface {
    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        let request = Request::patch(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        self.send(request).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Request::delete(path).body(Body::empty()).unwrap())
            .await
    }

    /// Features of a training, as an extraction would leave them.
    pub async fn features(&self, training: &str, ids: std::ops::Range<i64>) {
        sqlx::query(
            "INSERT INTO mistudio.features (id, training_id, neuron_index, layer, activation_frequency)
             SELECT id, $1, id - $2, 1, 0.5 FROM generate_series($2, $3 - 1) AS id",
        )
        .bind(training)
        .bind(ids.start)
        .bind(ids.end)
        .execute(self.log.pool())
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn a_training_template_is_made_changed_marked_and_deleted() {
    let interface = Interface::new().await;
    let (model, dataset) = interface.model_and_dataset().await;
    let made = interface
        .post(
            "/v1/training-templates",
            json!({
                "name": "quick", "description": "A first look.", "model": "tiny", "dataset": dataset,
                "hyperparameters": { "trainingSteps": 70 }
            }),
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let id = made.text("id");
    assert!(id.starts_with("tmpl_"), "{id}");
    let path = format!("/v1/training-templates/{id}");
    let row = interface.get(&path).await.body;
    assert_eq!(row["model_id"], model);
    assert_eq!(row["dataset_id"], dataset);
    assert_eq!(row["hyperparameters"]["trainingSteps"], 70);
    assert_eq!(
        row["hyperparameters"]["learningRate"], 0.001,
        "a complete set"
    );
    assert_eq!(row["is_favorite"], false);
    assert_eq!(
        interface.get("/v1/training-templates/quick").await.body,
        row,
        "by its name"
    );

    let changed = interface
        .patch(
            &path,
            json!({ "description": null, "dataset": null, "is_favorite": true, "hyperparameters": { "seed": 5 } }),
        )
        .await;
    assert_eq!(
        changed.body["events"],
        json!(["TrainingTemplateUpdated", "TrainingTemplateFavourited"]),
        "{changed:?}"
    );
    let row = interface.get(&path).await.body;
    assert_eq!(row["description"], Value::Null);
    assert_eq!(row["dataset_id"], Value::Null);
    assert_eq!(row["hyperparameters"]["seed"], 5);
    assert_eq!(row["hyperparameters"]["trainingSteps"], 70);
    let favorites = interface
        .get("/v1/training-templates?favorite=true")
        .await
        .body;
    assert_eq!(favorites["items"][0], row);
    let others = interface
        .get("/v1/training-templates?favorite=false")
        .await
        .body;
    assert_eq!(others["items"], json!([]));

    let deleted = interface.delete(&path).await;
    assert_eq!(deleted.status, StatusCode::OK, "{deleted:?}");
    let gone = interface.get(&path).await;
    assert_eq!(
        (gone.status.as_u16(), gone.code()),
        (404, "training_template_not_found")
    );
    for answer in [
        interface.delete(&path).await,
        interface.patch(&path, json!({ "name": "x" })).await,
    ] {
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (410, "training_template_deleted")
        );
    }
    let by_deleted = interface
        .post("/v1/trainings", json!({ "template": id }))
        .await;
    assert_eq!(
        (by_deleted.status.as_u16(), by_deleted.code()),
        (422, "training_template_deleted")
    );
}

#[tokio::test]
async fn a_template_fills_what_a_request_leaves_out() {
    let interface = Interface::new().await;
    let (model, dataset) = interface.model_and_dataset().await;
    let template = |body: Value| interface.post("/v1/training-templates", body);
    let whole = template(json!({
        "name": "whole", "model": model, "dataset": dataset,
        "hyperparameters": { "trainingSteps": 70, "seed": 7 }
    }))
    .await;
    assert_eq!(whole.status, StatusCode::CREATED, "{whole:?}");
    template(json!({ "name": "generic", "hyperparameters": { "seed": 9 } })).await;

    let queued = interface
        .post(
            "/v1/trainings",
            json!({ "template": "whole", "hyperparameters": { "seed": 8 } }),
        )
        .await;
    assert_eq!(queued.status, StatusCode::CREATED, "{queued:?}");
    let training = interface
        .get(&format!("/v1/trainings/{}", queued.text("id")))
        .await
        .body;
    assert_eq!(training["model_id"], model);
    assert_eq!(training["dataset_id"], dataset);
    assert_eq!(training["total_steps"], 70);
    assert_eq!(training["hyperparameters"]["seed"], 8);

    for (body, code) in [
        (json!({ "template": "generic" }), "template_needs_model"),
        (
            json!({ "template": "generic", "model": model }),
            "template_needs_dataset",
        ),
        (json!({ "template": "none" }), "training_template_not_found"),
        (json!({ "dataset": dataset }), "invalid_field"),
        (json!({ "model": model }), "invalid_field"),
    ] {
        let answer = interface.post("/v1/trainings", body.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (422, code),
            "{body}: {answer:?}"
        );
    }
    let queued = interface
        .post(
            "/v1/trainings",
            json!({ "template": "generic", "model": model, "dataset": "book" }),
        )
        .await;
    assert_eq!(queued.status, StatusCode::CREATED, "{queued:?}");
}

#[tokio::test]
async fn an_extraction_template_is_made_changed_and_deleted() {
    let interface = Interface::new().await;
    let made = interface
        .post(
            "/v1/extraction-templates",
            json!({ "name": "middle", "layers": [3, 4], "hook_types": ["residual", "mlp"], "max_samples": 500 }),
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let path = format!("/v1/extraction-templates/{}", made.text("id"));
    let row = interface.get(&path).await.body;
    assert_eq!(row["layers"], json!([3, 4]));
    assert_eq!(row["hook_types"], json!(["residual", "mlp"]));
    assert_eq!(
        (&row["max_samples"], &row["top_k_examples"]),
        (&json!(500), &json!(100))
    );
    interface
        .patch(&path, json!({ "max_samples": null, "layers": [7] }))
        .await;
    let row = interface.get(&path).await.body;
    assert_eq!(
        (&row["max_samples"], &row["layers"]),
        (&Value::Null, &json!([7]))
    );
    for patch in [
        json!({ "layers": [] }),
        json!({ "top_k_examples": 0 }),
        json!({ "hook_types": ["nose"] }),
        json!({ "colour": 1 }),
        json!({ "is_favorite": "yes" }),
    ] {
        let answer = interface.patch(&path, patch.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (422, "invalid_field"),
            "{patch}"
        );
    }
    interface.delete(&path).await;
    assert_eq!(interface.get(&path).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_preset_steers_by_features_that_its_training_has() {
    let interface = Interface::new().await;
    let training = interface.training().await;
    let preset = |training: &str, features: Value| json!({ "training": training, "name": "rain", "features": features, "intervention_layer": 1 });
    let one = json!([{ "feature_id": 17_001, "coefficient": -2.5 }]);
    let answer = interface
        .post("/v1/presets", preset(&training, one.clone()))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (409, "training_has_no_features")
    );
    interface.features(&training, 17_000..17_010).await;
    for (body, code) in [
        (preset("tr_none", one.clone()), "training_not_found"),
        (
            preset(&training, json!([{ "feature_id": 5, "coefficient": 1 }])),
            "feature_not_of_training",
        ),
        (
            preset(
                &training,
                json!([{ "feature_id": 17_001, "coefficient": 301 }]),
            ),
            "invalid_field",
        ),
        (preset(&training, json!([])), "invalid_field"),
    ] {
        let answer = interface.post("/v1/presets", body.clone()).await;
        assert_eq!(
            (answer.status.as_u16(), answer.code()),
            (422, code),
            "{body}: {answer:?}"
        );
    }
    let made = interface
        .post("/v1/presets", preset(&training, one.clone()))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let path = format!("/v1/presets/{}", made.text("id"));
    let row = interface.get(&path).await.body;
    assert_eq!(row["training_id"], training);
    assert_eq!(
        row["features"],
        json!([{ "feature_id": 17_001, "coefficient": -2.5 }])
    );
    let two = json!([{ "feature_id": 17_001, "coefficient": 1 }, { "feature_id": 17_009, "coefficient": 300 }]);
    let changed = interface.patch(&path, json!({ "features": two })).await;
    assert_eq!(
        changed.body["events"],
        json!(["PresetUpdated"]),
        "{changed:?}"
    );
    let stranger = json!({ "features": [{ "feature_id": 17_010, "coefficient": 1 }] });
    let answer = interface.patch(&path, stranger).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (422, "feature_not_of_training")
    );
    let answer = interface.patch(&path, json!({ "training": "tr_2" })).await;
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (422, "invalid_field")
    );
    let listed = interface
        .get(&format!("/v1/presets?training={training}"))
        .await
        .body;
    assert_eq!(listed["items"][0]["features"][1]["feature_id"], 17_009);
    let listed = interface.get("/v1/presets?training=tr_other").await.body;
    assert_eq!(listed["items"], json!([]));
    interface.delete(&path).await;
    assert_eq!(interface.delete(&path).await.code(), "preset_deleted");
}

#[tokio::test]
async fn a_repeated_creation_is_one() {
    let interface = Interface::new().await;
    let key = [("idempotency-key", "t")];
    let body = json!({ "name": "quick" });
    let first = interface
        .post_with("/v1/training-templates", body.clone(), &key)
        .await;
    let second = interface
        .post_with("/v1/training-templates", body, &key)
        .await;
    assert_eq!(first.text("id"), second.text("id"));
    assert_eq!(second.body["repeated"], true);
    let other = interface
        .post_with("/v1/training-templates", json!({ "name": "slow" }), &key)
        .await;
    assert_eq!(other.code(), "idempotency_key_reused");
}

#[tokio::test]
async fn the_command_line_does_all_of_it() {
    let interface = Interface::new().await;
    let training = interface.training().await;
    interface.features(&training, 17_000..17_010).await;
    let served = serve(&interface).await;
    let run = async |arguments: &[&str]| {
        let ran = served.run(arguments).await;
        assert_eq!(ran.code, 0, "{arguments:?}: {ran:?}");
        ran.stdout.trim().to_owned()
    };
    let template = run(&[
        "template",
        "create",
        "quick",
        "--model",
        "tiny",
        "--dataset",
        "book",
        "--set",
        "trainingSteps=60",
    ])
    .await;
    run(&["template", "favorite", &template]).await;
    run(&[
        "template",
        "update",
        &template,
        "--dataset",
        "",
        "--set",
        "seed=3",
    ])
    .await;
    let shown = run(&["template", "show", &template]).await;
    assert!(
        shown.contains("seed=3") && shown.contains("dataset          any"),
        "{shown}"
    );
    let listed = run(&["template", "ls", "--favorite"]).await;
    assert!(listed.contains("quick") && listed.contains('*'), "{listed}");
    let queued = run(&[
        "train",
        "--template",
        "quick",
        "--dataset",
        "book",
        "--set",
        "seed=4",
    ])
    .await;
    let shown: Value = serde_json::from_str(&run(&["--json", "show", &queued]).await).unwrap();
    assert_eq!(
        (&shown["total_steps"], &shown["hyperparameters"]["seed"]),
        (&json!(60), &json!(4))
    );
    let refused = served.run(&["train", "--template", "quick"]).await;
    assert!(
        refused.stderr.contains("template_needs_dataset"),
        "{refused:?}"
    );

    let extraction = run(&[
        "extraction-template",
        "create",
        "middle",
        "--layers",
        "1,2",
        "--hooks",
        "mlp,attention",
    ])
    .await;
    let shown = run(&["extraction-template", "show", &extraction]).await;
    assert!(
        shown.contains("1,2") && shown.contains("mlp,attention"),
        "{shown}"
    );
    let preset = run(&[
        "preset",
        "create",
        "rain",
        "--training",
        &training,
        "--feature",
        "17001=2.5",
        "--feature",
        "17002=-1",
        "--layer",
        "1",
    ])
    .await;
    let shown = run(&["preset", "show", "rain"]).await;
    assert!(shown.contains("17001=2.5 17002=-1.0"), "{shown}");
    let refused = served.run(&["preset", "favorite", &preset]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    for (noun, id) in [
        ("template", &template),
        ("extraction-template", &extraction),
        ("preset", &preset),
    ] {
        run(&[noun, "delete", id]).await;
        let again = served.run(&[noun, "delete", id]).await;
        assert_eq!(again.code, 4, "{again:?}");
        let listed = served.run(&[noun, "ls"]).await;
        assert!(
            listed.stdout.is_empty() && listed.stderr.contains("make one"),
            "{listed:?}"
        );
    }
}
