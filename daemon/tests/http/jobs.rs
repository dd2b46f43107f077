//! Generations and jobs: what is queued, what is refused, how they are listed, told and ended.

use crate::{client::serve, fixture::Interface};
use axum::http::StatusCode;
use serde_json::{Value, json};
use std::{io::Write, path::Path, time::Duration};

/// Latents of the training's autoencoder: features 17,000 to 17,009, of layer 1.
const FIRST: i64 = 17_000;

/// An interface with a model of four layers, and a training that has an autoencoder and features; the ids of both.
async fn furnished() -> (Interface, String, String) {
    let interface = Interface::new().await;
    let training = interface.training().await;
    let model = interface
        .get(&format!("/v1/trainings/{training}"))
        .await
        .text("model_id");
    interface.inspect_model(&model, 4).await;
    interface
        .complete_training(&training, "/somewhere/result")
        .await;
    interface.features(&training, FIRST..FIRST + 10).await;
    sqlx::query(
        "UPDATE mistudio.features SET max_activation_value = neuron_index + 0.5 WHERE neuron_index < 8",
    )
    .execute(interface.log.pool())
    .await
    .unwrap();
    (interface, model, training)
}

impl Interface {
    async fn generation(&self, body: Value) -> String {
        let answer = self.post("/v1/generations", body).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        answer.text("id")
    }

    async fn job(&self, id: &str) -> Value {
        self.get(&format!("/v1/jobs/{id}")).await.body
    }

    /// The data of the events that a job's stream tells, to its end.
    async fn stream_of(&self, id: &str) -> Vec<Value> {
        let stream = self.get(&format!("/v1/jobs/{id}/stream")).await;
        assert_eq!(stream.status, StatusCode::OK, "{stream:?}");
        let text = stream.body.as_str().unwrap().to_owned();
        text.lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }

    /// A run of the job in `directory`, as dispatch notes it.
    async fn note_run(&self, id: &str, directory: &Path) {
        sqlx::query(
            "INSERT INTO dispatch.runs (category, id, lease, host, state_directory, directory, device, supervisor, supervised_until)
             VALUES ('job', $1, 1, 'here', '/', $2, 'cpu', 'worker', now())",
        )
        .bind(id)
        .bind(directory.to_str().unwrap())
        .execute(self.log.pool())
        .await
        .unwrap();
    }
}

fn append(directory: &Path, lease: u64, seq: u64, record: Value) {
    let mut line = json!({ "lease": lease, "seq": seq, "written_at": "2026-01-01T00:00:00Z" });
    line.as_object_mut()
        .unwrap()
        .extend(record.as_object().unwrap().clone());
    let mut journal = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.join("journal.jsonl"))
        .unwrap();
    journal.write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn piece(variant: &str, text: &str, tokens: u32) -> Value {
    json!({ "record": "generated_text", "variant": variant, "text": text, "tokens": tokens })
}

fn generated() -> Value {
    json!({
        "record": "generated",
        "plain": { "text": "upon a time", "tokens": 3, "ended": "length" },
        "steered": { "text": "ocean ocean", "tokens": 2, "ended": "end_of_text" },
    })
}

fn of_kind<'a>(told: &'a [Value], kind: &str) -> Vec<&'a Value> {
    told.iter().filter(|event| event["event"] == kind).collect()
}

fn text_of(told: &[Value], variant: &str) -> String {
    of_kind(told, "text")
        .into_iter()
        .filter(|event| event["variant"] == variant)
        .map(|event| event["text"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn what_is_queued_says_all_that_its_run_needs() {
    let (interface, model, training) = furnished().await;
    let id = interface
        .generation(json!({
            "training": training, "prompt": "Once", "chat": true,
            "features": [
                { "feature_id": FIRST + 3, "coefficient": -2.5 },
                { "neuron_index": 0, "coefficient": 300 },
            ],
            "sampling": { "maxNewTokens": 7, "topK": 5 },
        }))
        .await;
    let job = interface.job(&id).await;
    assert_eq!(job["kind"], "generation");
    assert_eq!(job["status"], "queued");
    assert_eq!(job["error_message"], Value::Null);
    assert_eq!(
        job["work"],
        json!({
            "kind": "generation", "model_id": model, "prompt": "Once", "chat": true,
            "sampling": {
                "maxNewTokens": 7, "temperature": 0.7, "topP": 1.0, "topK": 5, "repetitionPenalty": 1.0, "seed": 42,
            },
            "intervention": {
                "training_id": training, "layer": 1,
                "features": [
                    { "feature_id": FIRST + 3, "neuron_index": 3, "coefficient": -2.5, "max_activation": 3.5 },
                    { "feature_id": FIRST, "neuron_index": 0, "coefficient": 300.0, "max_activation": 0.5 },
                ],
            },
        })
    );
    // Another layer than the features' own.
    let id = interface
        .generation(json!({
            "training": training, "prompt": "Once", "layer": 3, "features": [{ "neuron_index": 0, "coefficient": 1 }],
        }))
        .await;
    assert_eq!(interface.job(&id).await["work"]["intervention"]["layer"], 3);
    // Plain.
    let id = interface
        .generation(json!({ "model": "tiny", "prompt": "Once" }))
        .await;
    let work = interface.job(&id).await["work"].clone();
    assert_eq!(work["intervention"], Value::Null);
    assert_eq!(work["model_id"], model);
}

#[tokio::test]
async fn a_preset_says_features_and_layer() {
    let (interface, model, training) = furnished().await;
    let made = interface
        .post(
            "/v1/presets",
            json!({
                "training": training, "name": "the sea", "intervention_layer": 2,
                "features": [{ "feature_id": FIRST + 1, "coefficient": 4 }],
            }),
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let preset = made.text("id");
    for given in [preset.as_str(), "the sea"] {
        let id = interface
            .generation(json!({ "preset": given, "prompt": "Once" }))
            .await;
        let work = interface.job(&id).await["work"].clone();
        assert_eq!(work["model_id"], model);
        assert_eq!(
            work["intervention"],
            json!({
                "training_id": training, "preset_id": preset, "layer": 2,
                "features": [{ "feature_id": FIRST + 1, "neuron_index": 1, "coefficient": 4.0, "max_activation": 1.5 }],
            })
        );
    }
    let refused = interface
        .post(
            "/v1/generations",
            json!({ "preset": "the land", "prompt": "Once" }),
        )
        .await;
    assert_eq!(refused.code(), "preset_not_found", "{refused:?}");
}

#[tokio::test]
async fn what_cannot_be_generated_is_refused_with_a_reason() {
    let (interface, model, training) = furnished().await;
    let steered =
        |feature: Value| json!({ "training": training, "prompt": "x", "features": [feature] });
    for (body, code, status) in [
        (json!({ "prompt": "x" }), "invalid_field", 422),
        (
            json!({ "model": "nobody", "prompt": "x" }),
            "model_not_found",
            422,
        ),
        (
            json!({ "model": model, "prompt": "" }),
            "invalid_field",
            422,
        ),
        (
            json!({ "model": model, "prompt": "x".repeat(70_000) }),
            "invalid_field",
            422,
        ),
        (
            json!({ "model": model, "prompt": "x", "layer": 1 }),
            "invalid_field",
            422,
        ),
        (
            json!({ "model": model, "prompt": "x", "sampling": { "temperature": -1 } }),
            "invalid_field",
            422,
        ),
        (
            json!({ "model": model, "prompt": "x", "sampling": { "heat": 1 } }),
            "invalid_body",
            422,
        ),
        (
            json!({ "model": model, "prompt": "x", "sampling": { "topP": 0 } }),
            "invalid_field",
            422,
        ),
        (
            json!({ "model": model, "prompt": "x", "stop": "y" }),
            "invalid_body",
            422,
        ),
        (
            json!({ "training": training, "prompt": "x" }),
            "invalid_field",
            422,
        ),
        (
            json!({ "model": model, "prompt": "x", "features": [{ "neuron_index": 1, "coefficient": 1 }] }),
            "invalid_field",
            422,
        ),
        (
            json!({ "preset": "p", "training": training, "prompt": "x" }),
            "invalid_field",
            422,
        ),
        (
            json!({ "training": "tr_none", "prompt": "x", "features": [{ "neuron_index": 1, "coefficient": 1 }] }),
            "training_not_found",
            422,
        ),
        (
            steered(json!({ "feature_id": 5, "coefficient": 1 })),
            "feature_not_found",
            422,
        ),
        (
            steered(json!({ "neuron_index": 10, "coefficient": 1 })),
            "feature_not_found",
            422,
        ),
        (
            steered(json!({ "neuron_index": 9, "coefficient": 1 })),
            "feature_without_maximum",
            422,
        ),
        (steered(json!({ "coefficient": 1 })), "invalid_field", 422),
        (
            steered(json!({ "neuron_index": 1, "feature_id": FIRST, "coefficient": 1 })),
            "invalid_field",
            422,
        ),
        (
            steered(json!({ "neuron_index": 1, "coefficient": 300.5 })),
            "invalid_field",
            422,
        ),
        (
            json!({
                "training": training, "prompt": "x", "layer": 4, "features": [{ "neuron_index": 1, "coefficient": 1 }],
            }),
            "layer_out_of_range",
            422,
        ),
    ] {
        let refused = interface.post("/v1/generations", body.clone()).await;
        assert_eq!(refused.code(), code, "{body}: {refused:?}");
        assert_eq!(refused.status.as_u16(), status, "{body}: {refused:?}");
    }
    assert_eq!(interface.get("/v1/jobs").await.body["items"], json!([]));
}

#[tokio::test]
async fn a_training_without_an_autoencoder_and_a_model_that_is_not_ready_are_refused() {
    let interface = Interface::new().await;
    let training = interface.training().await;
    let steered = json!({ "training": training, "prompt": "x", "features": [{ "neuron_index": 1, "coefficient": 1 }] });
    let refused = interface.post("/v1/generations", steered).await;
    assert_eq!(refused.code(), "training_has_no_result", "{refused:?}");
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert_eq!(refused.body["state"], "queued");
    let plain = json!({ "model": "tiny", "prompt": "x" });
    let refused = interface.post("/v1/generations", plain).await;
    assert_eq!(refused.code(), "model_not_ready", "{refused:?}");
    assert_eq!(refused.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_generation_of_one_key_is_one() {
    let (interface, _, _) = furnished().await;
    let ask = async |prompt: &str| {
        interface
            .post_with(
                "/v1/generations",
                json!({ "model": "tiny", "prompt": prompt }),
                &[("idempotency-key", "k1")],
            )
            .await
    };
    let (first, again, other) = (ask("x").await, ask("x").await, ask("y").await);
    assert_eq!(first.text("id"), again.text("id"));
    assert_eq!(again.body["repeated"], true);
    assert_eq!(other.code(), "idempotency_key_reused");
}

#[tokio::test]
async fn jobs_are_listed_the_newest_first_by_kind_and_status_a_page_at_a_time() {
    let (interface, _, training) = furnished().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(
            interface
                .generation(json!({ "model": "tiny", "prompt": format!("number {number}") }))
                .await,
        );
    }
    ids.reverse();
    interface.claim_job(&ids[1]).await;
    interface
        .job_says(
            &ids[1],
            2,
            json!({ "record": "progress", "stage": "loading", "percent": 25.0 }),
        )
        .await;
    interface
        .post(&format!("/v1/jobs/{}/cancel", ids[3]), Value::Null)
        .await;
    let listed = async |query: &str| {
        let page = interface.get(&format!("/v1/jobs{query}")).await;
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        let items = page.body["items"].as_array().unwrap().clone();
        let found: Vec<String> = items
            .iter()
            .map(|job| job["id"].as_str().unwrap().to_owned())
            .collect();
        (found, items, page.body["next"].clone())
    };
    let (found, items, next) = listed("").await;
    assert_eq!(found, ids);
    assert_eq!(next, Value::Null);
    assert_eq!(items[0]["prompt"], "number 4");
    assert_eq!(
        (
            &items[1]["status"],
            &items[1]["stage"],
            &items[1]["progress"]
        ),
        (&json!("running"), &json!("loading"), &json!(25.0))
    );
    assert_eq!(items[3]["status"], "cancelled");
    let one = |index: usize| vec![ids[index].clone()];
    assert_eq!(listed("?status=running").await.0, one(1));
    assert_eq!(listed("?status=cancelled").await.0, one(3));
    assert_eq!(listed("?kind=generation&limit=500").await.0, ids);
    assert!(listed("?kind=extraction").await.0.is_empty());
    assert!(listed(&format!("?training={training}")).await.0.is_empty());
    // Page by page.
    let mut paged = Vec::new();
    let mut query = "?limit=2".to_owned();
    loop {
        let (found, _, next) = listed(&query).await;
        assert!(found.len() <= 2);
        paged.extend(found);
        match next.as_str() {
            Some(next) => query = format!("?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(paged, ids);
    for query in ["?kind=x", "?status=x", "?after=x", "?limit=0", "?x=1"] {
        let refused = interface.get(&format!("/v1/jobs{query}")).await;
        assert_eq!(refused.code(), "invalid_query", "{query}");
    }
}

#[tokio::test]
async fn the_list_of_jobs_is_read_through_its_index() {
    let (interface, _, _) = furnished().await;
    let mut connection = interface.log.pool().acquire().await.unwrap();
    // Of an almost empty table all ways are as fast.
    sqlx::query("SET enable_seqscan = off")
        .execute(&mut *connection)
        .await
        .unwrap();
    let plan: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "EXPLAIN {}",
        include_str!("../../src/queries/jobs/list.sql")
            .replace("$1", "1000")
            .replace("$2", "1000")
            .replace("$3", "50")
    )))
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    let plan = plan.join("\n");
    assert!(
        plan.contains("open_events_transaction_id_sequence_idx"),
        "{plan}"
    );
    assert!(plan.contains("stream_version"), "{plan}");
    assert!(!plan.contains("Seq Scan"), "{plan}");
}

#[tokio::test]
async fn a_job_is_cancelled_or_tried_again_as_its_status_allows() {
    let (interface, _, _) = furnished().await;
    let id = interface
        .generation(json!({ "model": "tiny", "prompt": "x" }))
        .await;
    let ask = async |verb: &str| {
        interface
            .post(&format!("/v1/jobs/{id}/{verb}"), Value::Null)
            .await
    };
    let refused = ask("retry").await;
    assert_eq!(
        (refused.code(), refused.status),
        ("not_allowed", StatusCode::CONFLICT)
    );
    assert_eq!(refused.body["state"], "queued");
    interface.claim_job(&id).await;
    assert_eq!(
        ask("cancel").await.body["events"],
        json!(["CancelRequested"])
    );
    assert_eq!(interface.job(&id).await["cancel_requested"], true);
    let failed = json!({ "record": "failed", "class": "workload", "code": "chat_template", "message": "Give chat=false." });
    interface.job_says(&id, 2, failed).await;
    let job = interface.job(&id).await;
    assert_eq!(job["status"], "failed");
    assert_eq!(job["error_code"], "chat_template");
    assert_eq!(job["error_message"], "Give chat=false.");
    assert_eq!(ask("retry").await.body["events"], json!(["JobRetried"]));
    assert_eq!(interface.job(&id).await["status"], "queued");
    assert_eq!(ask("cancel").await.body["events"], json!(["JobCancelled"]));
    for path in ["/v1/jobs/job_none", "/v1/jobs/job_none/stream"] {
        let absent = interface.get(path).await;
        assert_eq!(
            (absent.code(), absent.status),
            ("job_not_found", StatusCode::NOT_FOUND)
        );
    }
    let absent = interface
        .post("/v1/jobs/job_none/cancel", Value::Null)
        .await;
    assert_eq!(
        (absent.code(), absent.status),
        ("job_not_found", StatusCode::NOT_FOUND)
    );
}

#[tokio::test]
async fn a_text_is_told_as_it_is_written_and_again_when_it_is_done() {
    let (interface, _, _) = furnished().await;
    let id = interface
        .generation(json!({ "model": "tiny", "prompt": "Once" }))
        .await;
    let directory = interface.directory.path().join("run");
    std::fs::create_dir(&directory).unwrap();
    // What a superseded attempt told is not told.
    append(&directory, 0, 1, piece("plain", "never", 1));
    let works = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        interface.claim_job(&id).await;
        interface.note_run(&id, &directory).await;
        append(
            &directory,
            1,
            1,
            json!({ "record": "progress", "stage": "loading", "percent": 0.0 }),
        );
        append(&directory, 1, 2, piece("plain", "upon ", 1));
        tokio::time::sleep(Duration::from_millis(100)).await;
        append(&directory, 1, 3, piece("plain", "a time", 3));
        append(&directory, 1, 4, piece("steered", "ocean", 1));
        append(&directory, 1, 5, generated());
        interface.job_says(&id, 5, generated()).await;
    };
    let (told, ()) = tokio::join!(interface.stream_of(&id), works);
    let expected = |told: &[Value]| {
        assert_eq!(of_kind(told, "progress").len(), 1, "{told:?}");
        assert_eq!(text_of(told, "plain"), "upon a time");
        // The journal told half of it, the log has the rest.
        assert_eq!(text_of(told, "steered"), "ocean ocean");
        let end = told.last().unwrap();
        assert_eq!(
            (&end["event"], &end["status"]),
            (&json!("end"), &json!("completed"))
        );
        assert_eq!(end["text"]["steered"]["ended"], "end_of_text");
    };
    expected(&told);
    assert!(of_kind(&told, "text").len() >= 3, "{told:?}");
    expected(&interface.stream_of(&id).await);
    // Without the run's directory the log tells.
    std::fs::remove_dir_all(&directory).unwrap();
    let told = interface.stream_of(&id).await;
    assert_eq!(text_of(&told, "plain"), "upon a time");
    assert_eq!(text_of(&told, "steered"), "ocean ocean");
    assert_eq!(told.last().unwrap()["event"], "end");
}

#[tokio::test]
async fn a_failure_is_told_with_its_reason() {
    let (interface, _, _) = furnished().await;
    let id = interface
        .generation(json!({ "model": "tiny", "prompt": "Once" }))
        .await;
    interface.claim_job(&id).await;
    let failed = json!({ "record": "failed", "class": "workload", "code": "chat_template", "message": "Give chat=false." });
    interface.job_says(&id, 2, failed).await;
    let told = interface.stream_of(&id).await;
    let end = told.last().unwrap();
    assert_eq!(end["status"], "failed");
    assert_eq!(end["error_code"], "chat_template");
}

#[tokio::test]
async fn the_command_line_generates_and_looks_after_jobs() {
    let (interface, _, training) = furnished().await;
    let served = serve(&interface).await;
    let directory = interface.directory.path().join("run");
    std::fs::create_dir(&directory).unwrap();
    let works = async {
        let id = loop {
            let jobs = interface.get("/v1/jobs").await.body;
            if let Some(id) = jobs["items"][0]["id"].as_str() {
                break id.to_owned();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        interface.claim_job(&id).await;
        interface.note_run(&id, &directory).await;
        append(&directory, 1, 1, piece("plain", "upon a time", 3));
        append(&directory, 1, 2, piece("steered", "ocean ocean", 2));
        append(&directory, 1, 3, generated());
        interface.job_says(&id, 3, generated()).await;
        id
    };
    let arguments = [
        "generate",
        "--training",
        &training,
        "--latent=1=3",
        "--max-tokens=9",
        "Once",
    ];
    let (ran, id) = tokio::join!(served.run(&arguments), works);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.stdout, "upon a time\nocean ocean\n");
    assert!(
        ran.stderr.contains("── plain") && ran.stderr.contains("── steered"),
        "{ran:?}"
    );
    let shown = served.run(&["job", "show", &id]).await;
    assert!(
        shown.stdout.contains("completed") && shown.stdout.contains("17001=3.0"),
        "{shown:?}"
    );
    let listed = served.run(&["job", "ls", "--kind=generation"]).await;
    assert!(
        listed.stdout.contains(&id) && listed.stdout.contains("Once"),
        "{listed:?}"
    );
    let again = interface
        .generation(json!({ "model": "tiny", "prompt": "x" }))
        .await;
    let cancelled = served.run(&["job", "cancel", "--wait", &again]).await;
    assert_eq!(cancelled.code, 0, "{cancelled:?}");
    let refused = served.run(&["job", "retry", &again]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    let refused = served.run(&["generate", "--model=nobody", "x"]).await;
    assert!(refused.stderr.contains("[model_not_found]"), "{refused:?}");
}
