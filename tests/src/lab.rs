//! A whole lab for end-to-end tests: the built programs, a state directory, and a Postgres that a test may break.

mod daemon;
mod embedded;
mod history;
mod processes;

pub use daemon::Daemon;
pub use embedded::EmbeddedLab;
pub use history::StoredEvent;
pub use processes::{signal, trainers_below, trainers_of, wait_for_no_trainer, wait_for_trainer};

use crate::postgres::{Cluster, TestDatabase};
use serde_json::Value;
use sqlx::PgPool;
use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A lab. Whatever it started goes when it is dropped.
pub struct Lab {
    cluster: Cluster,
    database: TestDatabase,
    pool: PgPool,
    state: TempDir,
    settings: Vec<(String, String)>,
}

/// What a training is to be, as far as tests care.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// Steps in all.
    pub total: u32,
    /// A checkpoint every so many.
    pub checkpoint_every: u32,
    /// Activations a step: more make a longer run.
    pub batch: u32,
}

impl Lab {
    /// An empty lab on a Postgres of its own, with short intervals so that tests need not wait.
    pub async fn new() -> Self {
        // Durable, as a test may pull the server's plug.
        Self::on(Cluster::start_with(&["fsync = off"])).await
    }

    /// The same on a given server.
    pub async fn on(cluster: Cluster) -> Self {
        let state = tempfile::Builder::new()
            .prefix("lab")
            .tempdir()
            .expect("a temporary directory");
        Self::of(cluster, state).await
    }

    /// The same on a server and in a state directory of the caller's choice.
    pub async fn of(cluster: Cluster, state: TempDir) -> Self {
        let database = cluster.database().await;
        let pool = database.pool().await;
        Self {
            cluster,
            database,
            pool,
            state,
            settings: settings(),
        }
    }

    /// The Postgres server, for tests that stop it.
    pub const fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// A pool on the lab's database, as superuser.
    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// The address of the lab's database.
    pub fn database_url(&self) -> &str {
        self.database.url()
    }

    /// The state directory.
    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// The directory of a run.
    pub fn run_directory(&self, id: &str) -> PathBuf {
        self.state().join("runs").join(id)
    }

    /// Changes a setting for daemons that are started from now on: `RUNNER__HOST`, `…`.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings
            .push((format!("TRAINMASTER_{key}"), value.to_owned()));
    }

    /// Sets a variable of the environment of daemons that are started from now on.
    pub fn set_environment(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    fn command(&self, state: &Path) -> Command {
        let mut command = Command::new(program("trainmaster"));
        command
            .env("TRAINMASTER_STATE_DIR", state)
            .env("TRAINMASTER_DATABASE__URL", self.database.url())
            .envs(self.settings.iter().map(|(key, value)| (key, value)));
        command
    }

    /// Starts a daemon and waits until it is ready.
    pub fn start(&self) -> Daemon {
        Daemon::start(self.command(self.state()), self.state())
    }

    /// What makes the command of a daemon, again and again, for whoever starts it otherwise.
    pub(crate) fn serve_again(&self) -> Box<dyn Fn() -> Command + Send + Sync> {
        let (state, settings) = (self.state().to_owned(), self.settings.clone());
        Box::new(move || {
            let mut command = Command::new(program("trainmaster"));
            command
                .arg("serve")
                .env("TRAINMASTER_STATE_DIR", &state)
                .envs(settings.iter().map(|(key, value)| (key, value)));
            command
        })
    }

    /// Starts a daemon with a state directory of its own that shares the runs of this lab's.
    pub fn start_beside(&self, state: &Path) -> Daemon {
        Daemon::start(self.command(state), state)
    }

    /// Runs a client command with `--json` and reads its answer.
    ///
    /// # Panics
    /// When it fails.
    pub fn cli(&self, arguments: &[&str]) -> Value {
        let output = self.try_cli(arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success(),
            "{arguments:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        // Long work says how far it is before it answers.
        let answer = text.lines().last().unwrap_or_default();
        serde_json::from_str(answer)
            .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// Runs a client command with `--json`.
    pub fn try_cli(&self, arguments: &[&str]) -> Output {
        self.command(self.state())
            .arg("--json")
            .args(arguments)
            .output()
            .expect("the client starts")
    }

    /// Registers the tiny model and a text, and waits until both are ready.
    pub async fn furnish(&self) -> (String, String) {
        let (model, dataset) = furnish(|arguments| self.cli(arguments));
        self.wait_for_status("datasets", &dataset, &["ready"]).await;
        (model, dataset)
    }

    /// Queues a training and says its id.
    pub fn train(&self, furniture: &(String, String), steps: Steps) -> String {
        train(|arguments| self.cli(arguments), furniture, steps)
    }

    /// Waits until a row of `mistudio` has one of the statuses, and says which.
    ///
    /// # Panics
    /// After two minutes, with the stream's history.
    pub async fn wait_for_status(&self, table: &str, id: &str, wanted: &[&str]) -> String {
        let query = match table {
            "datasets" => "SELECT status FROM mistudio.datasets WHERE id = $1",
            "models" => "SELECT status FROM mistudio.models WHERE id = $1",
            _ => "SELECT status FROM mistudio.trainings WHERE id = $1",
        };
        let begun = Instant::now();
        let mut last = String::new();
        while begun.elapsed() < Duration::from_secs(120) {
            // The server may be down just now: that is what some tests are about.
            if let Ok(Some(status)) = sqlx::query_scalar::<_, String>(query)
                .bind(id)
                .fetch_optional(&self.pool)
                .await
            {
                if wanted.contains(&status.as_str()) {
                    return status;
                }
                last = status;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!(
            "{id} is {last:?}, not {wanted:?}; its history: {:#?}",
            self.history(id).await
        );
    }
}

/// Short intervals, so that tests need not wait.
fn settings() -> Vec<(String, String)> {
    [
        ("RUNNER__HEARTBEAT_INTERVAL_SECONDS", "0.1"),
        ("RUNNER__HEARTBEAT_TIMEOUT_SECONDS", "3"),
        ("RUNNER__RETRY_DELAY_SECONDS", "0.1"),
        ("RUNNER__RETRY_DELAY_MAX_SECONDS", "0.5"),
        ("RUNNER__CPU_THREADS", "1"),
        ("RUNNER__NICE", "0"),
        ("RUNNER__DEVICE", "cpu"),
        ("DISPATCH__POLL_INTERVAL_SECONDS", "1"),
        ("DISPATCH__RECONCILE_INTERVAL_SECONDS", "1"),
        ("LOG__LEVEL", "info"),
    ]
    .map(|(key, value)| (format!("TRAINMASTER_{key}"), value.to_owned()))
    .to_vec()
}

/// Registers the tiny model and a text by a client.
fn furnish(cli: impl Fn(&[&str]) -> Value) -> (String, String) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../trainer/tests");
    let path = |name: &str| fixtures.join(name).to_str().expect("UTF-8").to_owned();
    let model = id_of(&cli(&[
        "model",
        "add",
        &path("tiny-llama"),
        "--name",
        "tiny",
    ]));
    let dataset = id_of(&cli(&[
        "dataset",
        "add",
        &path("texts/emma.txt"),
        "--name",
        "emma",
        "--tokenizer",
        &model,
        "--context-length",
        "64",
    ]));
    (model, dataset)
}

/// Queues a training by a client.
fn train(
    cli: impl Fn(&[&str]) -> Value,
    (model, dataset): &(String, String),
    steps: Steps,
) -> String {
    let set = |name: &str, value: u32| format!("{name}={value}");
    id_of(&cli(&[
        "train",
        "--model",
        model,
        "--dataset",
        dataset,
        "--set",
        &set("trainingSteps", steps.total),
        "--set",
        &set("checkpointInterval", steps.checkpoint_every),
        "--set",
        &set("batchSize", steps.batch),
        "--set",
        "expansionFactor=4",
        "--set",
        "logInterval=5",
        "--set",
        "layer=1",
    ]))
}

/// The `id` of an answer.
pub(crate) fn id_of(answer: &Value) -> String {
    answer["id"]
        .as_str()
        .unwrap_or_else(|| panic!("an id in {answer}"))
        .to_owned()
}

/// A program of this workspace, built beside this test.
///
/// # Panics
/// When it has not been built.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this program's path");
    // Of target/<profile>/deps/<test>, or of target/<profile>/<program>.
    let folders = || test.ancestors().skip(1).take(2);
    folders()
        .map(|folder| folder.join(name))
        .find(|path| path.exists())
        .unwrap_or_else(|| {
            panic!(
                "{name} is not beside {}: run `cargo build --workspace --bins` first",
                test.display()
            )
        })
}
