//! The command line, as a program, against the interface on a socket.

use crate::fixture::{Interface, clusters, patient, tiny_llama};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::{process::Command, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use trainmaster::http::{self, AppState, HttpOptions, Listener};

/// The interface on a socket, as a daemon of its own that can be ended and started again.
pub struct Served {
    socket: PathBuf,
    end: CancellationToken,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn json(&self) -> Value {
        // What takes long says how far it is in lines before.
        let document = self.stdout.lines().last().unwrap_or_default();
        serde_json::from_str(document).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

pub async fn serve(interface: &Interface) -> Served {
    let socket = interface.directory.path().join("s.sock");
    let listener = Listener::unix(&socket, 0o600).await.unwrap();
    let end = CancellationToken::new();
    let options = HttpOptions {
        head_key: Some(interface.directory.path().join("head.key")),
        predictions_directory: Some(interface.directory.path().join("predictions")),
        clusters: clusters(&["campus"]),
        ..patient()
    };
    let state = AppState::new(
        options,
        interface.log.clone(),
        interface.projector.clone(),
        end.clone(),
    );
    let serving = tokio::spawn(http::serve(vec![listener], state, end.clone()));
    Served {
        socket,
        end,
        serving,
    }
}

/// Runs the program with nothing of this process's environment.
pub async fn run(arguments: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_trainmaster"))
        .args(arguments)
        .env_clear()
        .env("HOME", "/nonexistent")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Served {
    /// Ends it, as at a restart.
    pub async fn end(self) {
        self.end.cancel();
        self.serving.await.unwrap();
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    pub async fn run(&self, arguments: &[&str]) -> Ran {
        let socket = ["--socket", self.socket.to_str().unwrap()];
        run(&[&socket, arguments].concat()).await
    }
}

#[tokio::test]
async fn a_training_is_queued_shown_and_stopped() {
    let interface = Interface::new().await;
    let served = serve(&interface).await;
    let added = served
        .run(&["model", "add", &tiny_llama(), "--name", "tiny"])
        .await;
    assert_eq!(added.code, 0, "{added:?}");
    assert!(
        added.stdout.starts_with("m_") && added.stdout.lines().count() == 1,
        "{added:?}"
    );
    let book = interface.book();
    let added = served
        .run(&["--json", "dataset", "add", &book, "--tokenizer", "tiny"])
        .await;
    assert_eq!(
        added.json()["events"],
        json!(["DatasetRegistered", "DatasetDownloaded"])
    );
    let queued = served
        .run(&[
            "train",
            "-m",
            "tiny",
            "-d",
            "book",
            "--steps",
            "50",
            "--set",
            "optimizer=Adam",
        ])
        .await;
    assert_eq!(queued.code, 0, "{queued:?}");
    let id = queued.stdout.trim();

    let shown = served.run(&["--json", "show", id]).await.json();
    assert_eq!(shown["total_steps"], 50);
    assert_eq!(shown["hyperparameters"]["optimizer"], "Adam");
    let shown = served.run(&["show", id]).await.stdout;
    assert!(
        shown.contains("step") && shown.contains("0 of 50"),
        "{shown}"
    );
    let listed = served.run(&["ls"]).await.stdout;
    assert!(listed.contains(id) && listed.contains("queued"), "{listed}");
    let listed = served
        .run(&["ls", "--json", "--status", "completed"])
        .await
        .json();
    assert_eq!(listed, json!([]));
    for (noun, name) in [("model", "tiny"), ("dataset", "book")] {
        let listed = served.run(&[noun, "ls"]).await.stdout;
        assert!(listed.contains(name), "{listed}");
        let shown = served.run(&["--json", noun, "show", name]).await.json();
        assert_eq!(shown["name"], name);
    }

    let stopped = served.run(&["stop", id, "--wait"]).await;
    assert_eq!(stopped.code, 0, "{stopped:?}");
    let events = served.run(&["events", "--json", id]).await.stdout;
    let types: Vec<String> = events
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["type"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(types, ["TrainingQueued", "TrainingStopped"]);
    let all = served
        .run(&["events", "--after", "0-0", "--category", "model"])
        .await
        .stdout;
    assert_eq!(all.lines().count(), 2, "{all}");
    assert!(
        all.contains("ModelRegistered") && all.contains("cli"),
        "{all}"
    );
}

#[tokio::test]
async fn the_tables_and_the_log_are_looked_after() {
    let interface = Interface::new().await;
    interface.training().await;
    let served = serve(&interface).await;
    let status = served.run(&["projections", "status"]).await;
    assert!(
        status.stdout.contains("mistudio") && status.stdout.contains("following"),
        "{status:?}"
    );
    let rebuilt = served
        .run(&["projections", "rebuild", "mistudio", "--json"])
        .await;
    assert_eq!(rebuilt.code, 0, "{rebuilt:?}");
    assert_eq!(rebuilt.json()["events"], 5);
    let same = served.run(&["projections", "verify"]).await;
    assert!(
        same.code == 0 && same.stdout.contains("is what its 5 events make"),
        "{same:?}"
    );
    sqlx::query("UPDATE mistudio.datasets SET name = 'by hand'")
        .execute(interface.log.pool())
        .await
        .unwrap();
    let differs = served.run(&["projections", "verify"]).await;
    assert_eq!(differs.code, 1, "{differs:?}");
    assert!(
        differs
            .stdout
            .contains("has other values than its events give it"),
        "{differs:?}"
    );
    assert!(
        differs.stderr.contains("projections rebuild mistudio"),
        "{differs:?}"
    );
    let status = served.run(&["projections", "status"]).await;
    assert!(
        status
            .stdout
            .contains("mistudio.datasets was not what its events make"),
        "{status:?}"
    );
    let rebuilt = served.run(&["projections", "rebuild"]).await;
    assert!(
        rebuilt.code == 0 && rebuilt.stderr.contains("NOT what their events make"),
        "{rebuilt:?}"
    );
    assert_eq!(
        served
            .run(&["projections", "verify", "--json"])
            .await
            .json()["is_same"],
        true
    );
    let verified = served.run(&["log", "verify"]).await;
    assert!(
        verified.stdout.contains("5 events of 3 streams"),
        "{verified:?}"
    );
}

#[tokio::test]
async fn every_refusal_is_one_line_and_an_exit_code() {
    let interface = Interface::new().await;
    let served = serve(&interface).await;
    let id = interface.training().await;
    let file = interface.directory.path().join("h.json");
    std::fs::write(&file, "[1]").unwrap();
    let file = file.to_str().unwrap();
    for (arguments, code, says) in [
        (vec!["show", "tr_none"], 4, "training_not_found"),
        (vec!["show", "m_none"], 4, "model_not_found"),
        (vec!["show", "ds_none"], 4, "dataset_not_found"),
        (vec!["show", "../../etc/passwd"], 2, "invalid_id"),
        (vec!["watch", "tr_none"], 4, "training_not_found"),
        (vec!["watch", "a b"], 2, "invalid_query"),
        (vec!["pause", "tr_none"], 4, "training_not_found"),
        (vec!["pause", &id], 1, "not_allowed"),
        (vec!["resume", &id], 1, "not_allowed"),
        (vec!["retry", &id], 1, "not_allowed"),
        (
            vec!["pause", &id, "--idempotency-key", "two words"],
            2,
            "invalid_idempotency_key",
        ),
        (vec!["ls", "--status", "ready"], 2, "invalid_query"),
        (vec!["model", "add", "/nowhere/at/all"], 1, "path_not_found"),
        (vec!["model", "add", "/dev/null"], 1, "path_not_a_file"),
        (
            vec!["model", "add", "/dev/null", "--quantization", "Q3"],
            1,
            "invalid_body",
        ),
        (vec!["model", "show", "none"], 4, "model_not_found"),
        (vec!["model", "retry", "m_none"], 4, "model_not_found"),
        (
            vec!["dataset", "add", "/nowhere", "--tokenizer", "tiny"],
            1,
            "path_not_found",
        ),
        (vec!["dataset", "show", "none"], 4, "dataset_not_found"),
        (vec!["dataset", "retry", "ds_none"], 4, "dataset_not_found"),
        (
            vec!["train", "-m", "none", "-d", "book"],
            1,
            "model_not_found",
        ),
        (
            vec!["train", "-m", "tiny", "-d", "book", "--set", "momentum=1"],
            1,
            "invalid_hyperparameter",
        ),
        (
            vec!["train", "-m", "tiny", "-d", "book", "--steps", "0"],
            1,
            "invalid_hyperparameter",
        ),
        (
            vec![
                "train",
                "-m",
                "tiny",
                "-d",
                "book",
                "--hyperparameters",
                file,
            ],
            2,
            "hyperparameters_file",
        ),
        (
            vec![
                "train",
                "-m",
                "tiny",
                "-d",
                "book",
                "--hyperparameters",
                "/nowhere",
            ],
            2,
            "hyperparameters_file",
        ),
        (vec!["events", "--category", "users"], 2, "invalid_query"),
        (vec!["events", "--after", "yesterday"], 2, "invalid_query"),
        (
            vec!["projections", "rebuild", "users"],
            4,
            "read_model_not_found",
        ),
    ] {
        let ran = served.run(&arguments).await;
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        assert_eq!(ran.stdout, "", "{arguments:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(says), "{arguments:?}: {ran:?}");
        let ran = served
            .run(&[&["--json"], arguments.as_slice()].concat())
            .await;
        let error: Value = serde_json::from_str(&ran.stderr).unwrap();
        assert_eq!(error["error"]["code"], says, "{arguments:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_understood_ends_with_2_before_anything_is_sent() {
    for arguments in [
        vec!["paint"],
        vec!["pause"],
        vec!["pause", "tr_1", "--timeout", "5"],
        vec!["train", "--model", "m"],
        vec!["train", "-m", "m", "-d", "d", "--steps", "-5"],
        vec!["train", "-m", "m", "-d", "d", "--set", "x"],
        vec!["train", "-m", "m", "-d", "d", "--layer", "two"],
        vec!["ls", "-n", "many"],
        vec!["events", "--after", "0-0", "-n", "5"],
        vec!["--url", "https://localhost:1", "ls"],
        vec!["--url", "localhost", "ls"],
        vec!["--token-file", "/nowhere", "ls"],
        vec!["log"],
        vec!["projections"],
    ] {
        let ran = run(&arguments).await;
        assert_eq!(ran.code, 2, "{arguments:?}: {ran:?}");
        assert!(!ran.stderr.is_empty(), "{arguments:?}");
    }
}

#[tokio::test]
async fn without_a_daemon_it_says_where_it_looked() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().to_str().unwrap();
    for arguments in [
        vec!["--state-dir", state, "ls"],
        vec!["--state-dir", state, "pause", "tr_1"],
        vec!["--state-dir", state, "events", "--follow"],
        vec!["--state-dir", state, "watch", "tr_1"],
        vec!["--url", "http://127.0.0.1:1", "ls"],
    ] {
        let ran = run(&arguments).await;
        assert_eq!(ran.code, 3, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains("no daemon answers at"), "{ran:?}");
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
}
