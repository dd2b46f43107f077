//! An interface with a log of its own and a projector behind it.

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Request, StatusCode},
};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;
use trainmaster::{
    config::{ClusterSettings, SlurmSettings},
    http::{self, AppState, HttpOptions},
    log::Log,
    migrate,
    projector::{Projector, ProjectorOptions},
    slurm::{Cluster, Clusters},
};
use trainmaster_tests::postgres::TestDatabase;

pub struct Interface {
    pub app: Router,
    pub state: AppState,
    pub log: Log,
    pub projector: Projector,
    pub directory: tempfile::TempDir,
    pub shutdown: CancellationToken,
    _end: DropGuard,
}

/// What the interface answers.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Answer {
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("(no code)")
    }

    pub fn text(&self, name: &str) -> String {
        self.body[name]
            .as_str()
            .unwrap_or_else(|| panic!("no {name} in {:?}", self.body))
            .to_owned()
    }
}

impl Interface {
    pub async fn new() -> Self {
        Self::with(patient()).await
    }

    pub async fn with(options: HttpOptions) -> Self {
        Self::over(TestDatabase::new().await, options).await
    }

    pub async fn over(database: TestDatabase, options: HttpOptions) -> Self {
        let pool = database.pool().await;
        migrate::up(&pool).await.unwrap();
        let log = Log::new(pool.clone());
        let projector = Projector::new(log.clone(), pool, ProjectorOptions::default());
        let shutdown = CancellationToken::new();
        tokio::spawn(projector.clone().run(shutdown.clone()));
        let state = AppState::new(options, log.clone(), projector.clone(), shutdown.clone());
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("book.txt"), "Call me Ishmael.").unwrap();
        let interface = Self {
            app: http::router(state.clone()),
            state,
            log,
            projector,
            directory,
            _end: shutdown.clone().drop_guard(),
            shutdown,
        };
        while interface.get("/health/ready").await.status != StatusCode::OK {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        interface
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned())),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.post_with(path, body, &[]).await
    }

    pub async fn post_with(&self, path: &str, body: Value, headers: &[(&str, &str)]) -> Answer {
        let mut request = Request::post(path);
        let body = if body.is_null() {
            Body::empty()
        } else {
            request = request.header("content-type", "application/json");
            Body::from(body.to_string())
        };
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body).unwrap()).await
    }

    pub fn book(&self) -> String {
        self.directory
            .path()
            .join("book.txt")
            .to_str()
            .unwrap()
            .to_owned()
    }

    /// A model called `tiny`; its id.
    pub async fn model(&self) -> String {
        let answer = self
            .post(
                "/v1/models",
                json!({ "path": tiny_llama(), "name": "tiny" }),
            )
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.text("id")
    }

    /// A model and a dataset called `book` for it; their ids.
    pub async fn model_and_dataset(&self) -> (String, String) {
        let model = self.model().await;
        let answer = self
            .post(
                "/v1/datasets",
                json!({ "path": self.book(), "name": "book", "tokenizer_model": model }),
            )
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        (model, answer.text("id"))
    }

    /// A training of 100 steps; its id.
    pub async fn training(&self) -> String {
        let (model, dataset) = self.model_and_dataset().await;
        let answer = self
            .post(
                "/v1/trainings",
                json!({ "model": model, "dataset": dataset, "hyperparameters": { "trainingSteps": 100 } }),
            )
            .await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.text("id")
    }
}

/// Clusters of these names, none of which is there.
pub fn clusters(names: &[&str]) -> Clusters {
    let cluster = |name: &&str| {
        let settings = ClusterSettings {
            programs: Some("/nonexistent".into()),
            ..ClusterSettings::default()
        };
        let slurm = SlurmSettings::default();
        Cluster::new(name, &settings, &slurm, Path::new("trainer"), |_| None)
    };
    names.iter().map(cluster).collect()
}

/// Directories `images` and `labels` of so many images below `directory`: by their names and endings alone, for nothing decodes them here.
pub fn images(directory: &Path, count: usize) -> (String, String) {
    let make = |name: &str| {
        let part = directory.join(name);
        std::fs::create_dir_all(&part).unwrap();
        for number in 0..count {
            std::fs::write(part.join(format!("{number}.png")), "x").unwrap();
        }
        part.canonicalize().unwrap().to_str().unwrap().to_owned()
    };
    (make("images"), make("labels"))
}

/// Answers that wait for the read model however busy the machine is.
pub fn patient() -> HttpOptions {
    HttpOptions {
        wait: Duration::from_secs(20),
        ..HttpOptions::default()
    }
}

/// The directory of the tests' model.
pub fn tiny_llama() -> String {
    let path = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../trainer/tests/tiny-llama"
    ));
    path.canonicalize().unwrap().to_str().unwrap().to_owned()
}
