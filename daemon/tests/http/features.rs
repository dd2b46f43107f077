//! Features: extracted, listed, searched, named, exported.

use crate::{
    client::serve,
    fixture::{Answer, Interface},
};
use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use http_body_util::BodyExt;
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::RowAccessor,
};
use serde_json::{Value, json};
use tower::ServiceExt;
use trainmaster_domain::{
    Aggregate, Lease, Metadata,
    attempt::{Claim, Report, RetryPolicy},
    dataset::{Dataset, DatasetCommand},
    job::{Job, JobCommand},
    run::journal::{
        DatasetIngested, DatasetTokenized, FeaturesExtracted, Finished, JournalRecord, Record,
        Scoring, TrainingStarted,
    },
    training::{Training, TrainingCommand},
};
use trainmaster_tests::artifacts::{ActivationRow, FeatureRow, write_activations, write_features};

fn claim() -> Claim {
    Claim {
        worker_id: "w".to_owned(),
        host: "h".to_owned(),
        device: "cpu".to_owned(),
        now: chrono::Utc::now(),
    }
}

fn report(seq: u64, record: Record) -> Box<Report> {
    let now = chrono::Utc::now();
    Box::new(Report {
        line: JournalRecord {
            lease: Lease(1),
            seq,
            at: now,
            record,
        },
        now,
        policy: RetryPolicy::default(),
    })
}

impl Interface {
    /// The position of the last event that the commands cause.
    async fn told<A: Aggregate>(&self, id: &str, commands: Vec<A::Command>) -> String
    where
        A::Command: Clone,
    {
        let mut last = None;
        for command in commands {
            let metadata = Metadata {
                command_id: ulid::Ulid::generate().to_string(),
                correlation_id: "test".to_owned(),
                actor: "test".to_owned(),
                ..Metadata::default()
            };
            let executed = self
                .log
                .execute::<A>(id, command, metadata)
                .await
                .unwrap_or_else(|error| panic!("{id}: {error}"));
            last = executed.events.last().map(|event| event.position);
        }
        last.expect("commands that cause events").to_string()
    }

    /// A training of 8 latents at layer 1 that is completed, as its run and that of its dataset would have told it; its id.
    async fn trained(&self) -> String {
        let (model, dataset) = self.model_and_dataset().await;
        self.told::<Dataset>(
            &dataset,
            vec![
                DatasetCommand::Claim(claim()),
                DatasetCommand::Report(report(
                    1,
                    Record::DatasetIngested(DatasetIngested {
                        num_samples: 1,
                        size_bytes: 16,
                        content_sha256: None,
                    }),
                )),
                DatasetCommand::Report(report(
                    2,
                    Record::DatasetTokenized(DatasetTokenized {
                        tokenized_path: "/tokenized".to_owned(),
                        num_tokens: 4,
                        vocab_size: 64,
                        avg_sequence_length: 4.0,
                        num_sequences: 1,
                        sha256: "ab".repeat(32),
                    }),
                )),
            ],
        )
        .await;
        let queued = self
            .post(
                "/v1/trainings",
                json!({ "model": model, "dataset": dataset,
                        "hyperparameters": { "trainingSteps": 100, "layer": 1 } }),
            )
            .await;
        let training = queued.text("id");
        let refused = self
            .post("/v1/extractions", json!({ "training": training }))
            .await;
        assert_eq!(
            (refused.status, refused.code()),
            (StatusCode::CONFLICT, "training_without_result")
        );
        self.told::<Training>(
            &training,
            vec![
                TrainingCommand::Claim(claim()),
                TrainingCommand::Report(report(
                    1,
                    Record::TrainingStarted(TrainingStarted {
                        at_step: 0,
                        d_in: Some(4),
                        d_sae: Some(8),
                    }),
                )),
                TrainingCommand::Report(report(
                    2,
                    Record::Completed(Finished {
                        step: 100,
                        path: "/result".to_owned(),
                        sha256: "cd".repeat(32),
                    }),
                )),
            ],
        )
        .await;
        training
    }

    /// Extracts features 0 to 6 of a training of which every second has a score, as a run would; the position of the last event.
    async fn extracted(&self, training: &str) -> String {
        let queued = self
            .post("/v1/extractions", json!({ "training": training }))
            .await;
        assert_eq!(queued.status, StatusCode::ACCEPTED, "{queued:?}");
        let id = queued.text("id");
        self.finish_extraction(&id).await
    }

    async fn finish_extraction(&self, id: &str) -> String {
        let words = [
            "sea shore",
            "whaling",
            "ships",
            "a whale",
            "harpoons",
            "whales",
            "sea",
        ];
        let features: Vec<FeatureRow> = (0..7)
            .map(|n| FeatureRow {
                neuron_index: n,
                layer: 1,
                frequency: 0.5 - 0.0625 * f64::from(n / 2),
                max: f64::from(n),
                name: Some(words[n as usize].to_owned()),
                description: (n == 4).then(|| "What whalers throw.".to_owned()),
                score: (n % 2 == 0).then(|| 0.125 * f64::from(n)),
            })
            .collect();
        let examples: Vec<ActivationRow> = (0..7)
            .flat_map(|neuron_index| {
                (0..3).map(move |n| ActivationRow {
                    neuron_index,
                    sample: Some(n),
                    tokens: json!(["Call", " me", " Ish", "mael"]).to_string(),
                    activations: json!([0.0, 0.25, f64::from(3 - n), 1.0]).to_string(),
                    max: f64::from(3 - n),
                    before: Some("Call me".to_owned()),
                    after: Some("mael".to_owned()),
                })
            })
            .collect();
        let directory = self.directory.path();
        let found = FeaturesExtracted {
            features: write_features(&directory.join(format!("{id}.features.parquet")), &features),
            activations: write_activations(
                &directory.join(format!("{id}.activations.parquet")),
                &examples,
            ),
            samples: 1,
            tokens: 4,
            scoring: Scoring {
                version: 1,
                components: vec![],
                embedder: "model".to_owned(),
                permuted_mean: 0.1,
                permuted_p95: 0.2,
            },
        };
        let found = Record::FeaturesExtracted(Box::new(found));
        self.told::<Job>(
            id,
            vec![
                JobCommand::Claim(claim()),
                JobCommand::Report(report(1, found)),
            ],
        )
        .await
    }

    /// The latents of all pages of a list.
    async fn pages(&self, path: &str) -> Vec<i64> {
        let mut latents = vec![];
        let mut after = String::new();
        loop {
            let page = self.get(&format!("{path}&limit=2{after}")).await;
            assert_eq!(page.status, StatusCode::OK, "{page:?}");
            let items = page.body["items"].as_array().unwrap();
            latents.extend(
                items
                    .iter()
                    .map(|row| row["neuron_index"].as_i64().unwrap()),
            );
            match page.body["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return latents,
            }
        }
    }
}

async fn queued(interface: &Interface, answer: &Answer) -> Value {
    let id = answer.text("id");
    let events = interface
        .get(&format!("/v1/events?category=job&stream={id}"))
        .await;
    events.body["items"][0]["payload"]["work"].clone()
}

#[tokio::test]
async fn an_extraction_says_what_it_needs_and_keeps_its_block_of_ids() {
    let interface = Interface::new().await;
    let training = interface.trained().await;
    for (body, status, code) in [
        (
            json!({ "training": "tr_none" }),
            StatusCode::UNPROCESSABLE_ENTITY,
            "training_not_found",
        ),
        (
            json!({ "training": training, "layers": [7] }),
            StatusCode::UNPROCESSABLE_ENTITY,
            "no_such_site",
        ),
        (
            json!({ "training": training, "hook_types": ["mlp"] }),
            StatusCode::UNPROCESSABLE_ENTITY,
            "no_such_site",
        ),
        (
            json!({ "training": training, "hook_types": ["mpl"] }),
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_body",
        ),
        (
            json!({ "training": training, "dataset": "none" }),
            StatusCode::UNPROCESSABLE_ENTITY,
            "dataset_not_found",
        ),
        (
            json!({ "training": training, "template": "none" }),
            StatusCode::UNPROCESSABLE_ENTITY,
            "extraction_template_not_found",
        ),
        (
            json!({ "training": training, "top_k_examples": 0 }),
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_field",
        ),
        (
            json!({ "training": training, "minimum_frequency": 2 }),
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_field",
        ),
    ] {
        let answer = interface.post("/v1/extractions", body).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{answer:?}");
    }
    let named = interface
        .post(
            "/v1/extractions",
            json!({ "training": training, "layers": [7] }),
        )
        .await;
    assert!(
        named.text("detail").contains("layer 1 residual"),
        "{named:?}"
    );

    let first = interface
        .post("/v1/extractions", json!({ "training": training }))
        .await;
    assert_eq!(first.status, StatusCode::ACCEPTED, "{first:?}");
    assert_eq!(
        first.headers["location"],
        format!("/v1/jobs/{}", first.text("id"))
    );
    let work = queued(&interface, &first).await;
    for (name, value) in [
        ("max_samples", json!(10_000)),
        ("top_k_examples", json!(100)),
        ("context_tokens", json!(25)),
        ("minimum_frequency", json!(0.001)),
        ("latents", json!(8)),
    ] {
        assert_eq!(work[name], value, "{name}");
    }
    let made = interface
        .post("/v1/extraction-templates", json!({ "name": "short", "layers": [1], "hook_types": ["residual"], "max_samples": 5, "top_k_examples": 3 }))
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let second = interface
        .post(
            "/v1/extractions",
            json!({ "training": training, "template": "short", "max_samples": 6 }),
        )
        .await;
    let again = queued(&interface, &second).await;
    for (name, value) in [
        ("max_samples", json!(6)),
        ("top_k_examples", json!(3)),
        ("layers", json!([1])),
        ("hook_types", json!(["residual"])),
        ("first_feature_id", work["first_feature_id"].clone()),
    ] {
        assert_eq!(again[name], value, "{name}");
    }
}

#[tokio::test]
async fn features_are_sorted_filtered_searched_and_paged() {
    let interface = Interface::new().await;
    let training = interface.trained().await;
    let position = interface.extracted(&training).await;
    let path = format!("/v1/trainings/{training}/features");
    let page = interface
        .get(&format!("{path}?at_least={position}&limit=3"))
        .await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    assert_eq!(page.body["items"][0]["activation_frequency"], 0.5);

    // Two latents each share a frequency; every second has no score.
    for (query, latents) in [
        ("sort=activation_frequency", vec![1, 0, 3, 2, 5, 4, 6]),
        (
            "sort=activation_frequency&order=asc",
            vec![6, 4, 5, 2, 3, 0, 1],
        ),
        ("sort=interpretability_score", vec![6, 4, 2, 0, 5, 3, 1]),
        (
            "sort=interpretability_score&order=asc",
            vec![0, 2, 4, 6, 1, 3, 5],
        ),
        ("sort=neuron_index", vec![0, 1, 2, 3, 4, 5, 6]),
        ("sort=neuron_index&order=desc", vec![6, 5, 4, 3, 2, 1, 0]),
        ("sort=max_activation_value", vec![6, 5, 4, 3, 2, 1, 0]),
        (
            "sort=neuron_index&min_frequency=0.4&max_frequency=0.45",
            vec![2, 3],
        ),
        ("sort=neuron_index&layer=1&search=whale", vec![1, 3, 5]),
        ("sort=neuron_index&search=throwing+harpoon", vec![4]),
        ("layer=2", vec![]),
    ] {
        assert_eq!(
            interface.pages(&format!("{path}?{query}")).await,
            latents,
            "{query}"
        );
    }
    for (query, code) in [
        ("sort=name", "invalid_query"),
        ("order=up", "invalid_query"),
        ("hidden=maybe", "invalid_query"),
        ("after=x", "invalid_query"),
        ("limit=0", "invalid_query"),
        ("min_frequency=NaN", "invalid_query"),
        (
            "sort=neuron_index&after=activation_frequency~desc~0.5~1",
            "invalid_query",
        ),
    ] {
        let answer = interface.get(&format!("{path}?{query}")).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::BAD_REQUEST, code),
            "{query}: {answer:?}"
        );
    }
    let none = interface.get("/v1/trainings/tr_none/features").await;
    assert_eq!(
        (none.status, none.code()),
        (StatusCode::NOT_FOUND, "training_not_found")
    );
}

#[tokio::test]
async fn people_name_and_mark_features_and_another_extraction_leaves_that() {
    let interface = Interface::new().await;
    let training = interface.trained().await;
    let position = interface.extracted(&training).await;
    let path = format!("/v1/trainings/{training}/features");
    let all = interface
        .get(&format!("{path}?sort=neuron_index&at_least={position}"))
        .await;
    let id = |n: usize| all.body["items"][n]["id"].as_i64().unwrap();
    let (first, second) = (
        format!("/v1/features/{}", id(0)),
        format!("/v1/features/{}", id(1)),
    );

    let named = interface
        .patch(&first, json!({ "name": "shores", "is_favorite": true }))
        .await;
    assert_eq!(named.status, StatusCode::OK, "{named:?}");
    assert_eq!(
        named.body["events"],
        json!(["FeatureLabelled", "FeatureFlagged"])
    );
    let shown = interface.get(&first).await;
    assert_eq!(
        (shown.text("name").as_str(), &shown.body["is_favorite"]),
        ("shores", &json!(true))
    );
    assert_eq!(shown.body["examples"].as_array().unwrap().len(), 3);
    assert_eq!(shown.body["examples"][0]["max_activation"], 3.0);
    assert_eq!(
        shown.body["examples"][0]["tokens"],
        json!(["Call", " me", " Ish", "mael"])
    );
    let short = interface.get(&format!("{first}?examples=1")).await;
    assert_eq!(short.body["examples"].as_array().unwrap().len(), 1);
    interface
        .patch(&second, json!({ "name": null, "is_hidden": true }))
        .await;
    assert_eq!(interface.get(&second).await.body["name"], Value::Null);
    assert_eq!(interface.pages(&format!("{path}?favorite=true")).await, [0]);
    assert_eq!(
        interface.pages(&format!("{path}?sort=neuron_index")).await,
        [0, 2, 3, 4, 5, 6]
    );
    assert_eq!(interface.pages(&format!("{path}?hidden=true")).await, [1]);
    assert_eq!(
        interface
            .pages(&format!("{path}?sort=neuron_index&hidden=any"))
            .await
            .len(),
        7
    );
    let same = interface.patch(&first, json!({ "name": "shores" })).await;
    assert_eq!(same.body["events"], json!([]));

    let position = interface.extracted(&training).await;
    let shown = interface.get(&format!("{first}?at_least={position}")).await;
    assert_eq!(shown.text("name"), "shores");
    assert_eq!(
        interface.get(&second).await.text("name"),
        "whaling",
        "a name taken back makes room for a program's"
    );
    assert_eq!(interface.get(&second).await.body["is_hidden"], json!(true));

    for (path, body, status, code) in [
        (
            "/v1/features/99999999",
            json!({ "name": "x" }),
            StatusCode::NOT_FOUND,
            "feature_not_found",
        ),
        (
            "/v1/features/x",
            json!({ "name": "x" }),
            StatusCode::BAD_REQUEST,
            "invalid_id",
        ),
        (
            first.as_str(),
            json!({ "name": "x".repeat(501) }),
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_field",
        ),
        (
            first.as_str(),
            json!({ "name": "\0" }),
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_field",
        ),
        (
            first.as_str(),
            json!({ "colour": "red" }),
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_body",
        ),
    ] {
        let answer = interface.patch(path, body).await;
        assert_eq!((answer.status, answer.code()), (status, code), "{answer:?}");
    }
    let none = interface.get("/v1/features/99999999").await;
    assert_eq!(
        (none.status, none.code()),
        (StatusCode::NOT_FOUND, "feature_not_found")
    );
}

#[tokio::test]
async fn the_feature_table_is_a_parquet_file() {
    let interface = Interface::new().await;
    let training = interface.trained().await;
    let position = interface.extracted(&training).await;
    let path = format!("/v1/trainings/{training}/features");
    interface.get(&format!("{path}?at_least={position}")).await;
    let request = Request::get(format!("{path}.parquet"))
        .body(Body::empty())
        .unwrap();
    let response = interface.app.clone().oneshot(request).await.unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "application/vnd.apache.parquet"
    );
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let reader = SerializedFileReader::new(bytes).unwrap();
    let rows: Vec<_> = reader
        .get_row_iter(None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows.len(), 7);
    let row = &rows[4];
    assert_eq!(row.get_int(2).unwrap(), 4);
    assert_eq!(row.get_string(4).unwrap(), "harpoons");
    assert_eq!(row.get_string(5).unwrap(), "What whalers throw.");
    assert_eq!(
        (row.get_double(6).unwrap(), row.get_double(7).unwrap()),
        (0.375, 0.5)
    );
    assert!(rows[1].get_double(7).is_err(), "latent 1 has no score");
    let none = interface
        .get("/v1/trainings/tr_none/features.parquet")
        .await;
    assert_eq!(
        (none.status, none.code()),
        (StatusCode::NOT_FOUND, "training_not_found")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_extracts_shows_names_and_exports() {
    let interface = Interface::new().await;
    let training = interface.trained().await;
    let daemon = serve(&interface).await;
    let queued = daemon
        .run(&["extract", &training, "--layer=1", "--max-samples=3"])
        .await;
    assert_eq!(queued.code, 0, "{queued:?}");
    let job = queued.stdout.trim().to_owned();
    assert!(job.starts_with("job_"), "{queued:?}");
    let position = interface.finish_extraction(&job).await;
    interface
        .get(&format!(
            "/v1/trainings/{training}/features?at_least={position}"
        ))
        .await;
    // What is over is found so by whoever waits for it.
    let key = [
        "extract",
        &training,
        "--idempotency-key=k",
        "--wait",
        "--timeout=1",
    ];
    let waited = daemon.run(&key).await;
    assert_eq!(waited.code, 5, "{waited:?}");
    let refused = daemon.run(&["extract", &training, "--hook=mlp"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("[no_such_site]"), "{refused:?}");

    let listed = daemon
        .run(&[
            "feature",
            "ls",
            &training,
            "--sort=neuron",
            "--search=whale",
        ])
        .await;
    assert_eq!(listed.code, 0, "{listed:?}");
    let lines: Vec<&str> = listed.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{listed:?}");
    assert!(lines[1].ends_with("whaling"), "{listed:?}");
    let id = lines[1].split_whitespace().next().unwrap();
    let shown = daemon.run(&["feature", "show", id, "-n=1"]).await;
    assert!(
        shown.stdout.contains("3.000  Call me [Ish]mael"),
        "{shown:?}"
    );
    assert_eq!(
        daemon
            .run(&["feature", "name", id, "what Ahab does"])
            .await
            .code,
        0
    );
    assert_eq!(daemon.run(&["feature", "favorite", id]).await.code, 0);
    let shown = daemon.run(&["feature", "show", id]).await;
    assert!(
        shown.stdout.contains("what Ahab does") && shown.stdout.contains("favourite"),
        "{shown:?}"
    );
    assert_eq!(daemon.run(&["feature", "hide", id]).await.code, 0);
    let listed = daemon.run(&["--json", "feature", "ls", &training]).await;
    assert_eq!(listed.json().as_array().unwrap().len(), 6);
    assert_eq!(daemon.run(&["feature", "show", "99999999"]).await.code, 4);

    let file = interface.directory.path().join("out.parquet");
    let exported = daemon
        .run(&[
            "feature",
            "export",
            &training,
            "--output",
            file.to_str().unwrap(),
        ])
        .await;
    assert_eq!(exported.code, 0, "{exported:?}");
    let reader = SerializedFileReader::new(std::fs::File::open(&file).unwrap()).unwrap();
    assert_eq!(reader.metadata().file_metadata().num_rows(), 7);
    daemon.end().await;
}
