//! A lab whose daemon runs a Postgres of its own, for tests of what happens to that.

use super::{Daemon, Steps, furnish, program, settings, signal, train, trainers_of};
use serde_json::Value;
use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A lab with an embedded Postgres. Whatever it started goes when it is dropped.
pub struct EmbeddedLab {
    root: TempDir,
    settings: Vec<(String, String)>,
}

impl EmbeddedLab {
    /// An empty one.
    ///
    /// # Panics
    /// There is no temporary directory to be had.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it makes directories")]
    pub fn new() -> Self {
        let root = tempfile::Builder::new()
            .prefix("lab")
            .tempdir()
            .expect("a temporary directory");
        // The server's user passes, where that is another.
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o711)).expect("its mode");
        let extra = root.path().join("fast.conf");
        fs::write(&extra, "fsync = off\nshared_buffers = 32MB\n").expect("settings");
        fs::set_permissions(&extra, fs::Permissions::from_mode(0o644)).expect("its mode");
        let mut lab = Self {
            settings: settings(),
            root,
        };
        lab.set("POSTGRES__EXTRA_SETTINGS", &extra.to_string_lossy());
        lab.set("BACKUP__DIRECTORY", &lab.backups().to_string_lossy());
        lab
    }

    /// The state directory.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    /// The directory of the backups, which is not in the state directory.
    #[must_use]
    pub fn backups(&self) -> PathBuf {
        self.root.path().join("backups")
    }

    /// A place for something else.
    #[must_use]
    pub fn place(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The directory of a run.
    #[must_use]
    pub fn run_directory(&self, id: &str) -> PathBuf {
        self.state().join("runs").join(id)
    }

    /// Changes a setting for programs that are started from now on: `BACKUP__DIRECTORY`, `…`.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings
            .push((format!("TRAINMASTER_{key}"), value.to_owned()));
    }

    fn command(&self) -> Command {
        let mut command = Command::new(program("trainmaster"));
        command
            .env("TRAINMASTER_STATE_DIR", self.state())
            .envs(self.settings.iter().map(|(key, value)| (key, value)));
        command
    }

    /// Starts a daemon and waits until it is ready.
    ///
    /// # Panics
    /// When it is not ready within 30 s.
    #[must_use]
    pub fn start(&self) -> Daemon {
        fs::create_dir_all(self.state()).expect("the state directory");
        let mode = fs::Permissions::from_mode(0o711);
        fs::set_permissions(self.state(), mode).expect("its mode");
        Daemon::start(self.command(), &self.state())
    }

    /// Runs a command with `--json` and reads its answer.
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

    /// Runs a command with `--json`.
    ///
    /// # Panics
    /// It cannot be started.
    pub fn try_cli(&self, arguments: &[&str]) -> Output {
        self.command()
            .arg("--json")
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("the program starts")
    }

    /// Starts a command and does not wait for it.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn begin(&self, arguments: &[&str]) -> Child {
        self.command()
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts")
    }

    /// The code of the error that a command ends with.
    ///
    /// # Panics
    /// It does not fail, or says nothing that can be read.
    pub fn refusal(&self, arguments: &[&str]) -> (String, String) {
        let output = self.try_cli(arguments);
        assert!(!output.status.success(), "{arguments:?} is done");
        let text = String::from_utf8_lossy(&output.stderr);
        let line = text.lines().last().unwrap_or_default();
        let error: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {text}"));
        let said = |name: &str| error["error"][name].as_str().unwrap_or_default().to_owned();
        (said("code"), said("detail"))
    }

    /// A connection to the embedded Postgres, as its owner.
    ///
    /// # Panics
    /// It does not run.
    pub async fn connect(&self) -> PgConnection {
        let pid_file = self.state().join("postgres/postmaster.pid");
        let file = fs::read_to_string(pid_file).expect("the embedded Postgres runs");
        PgConnectOptions::new_without_pgpass()
            .socket(file.lines().nth(4).expect("its socket's directory"))
            .username("trainmaster")
            .database("trainmaster")
            .connect()
            .await
            .expect("the embedded Postgres answers")
    }

    /// One value of its database.
    ///
    /// # Panics
    /// The statement fails.
    pub async fn ask<T>(&self, statement: &'static str, argument: &str) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        let mut connection = self.connect().await;
        sqlx::query_scalar(statement)
            .bind(argument)
            .fetch_one(&mut connection)
            .await
            .unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// Registers the tiny model and a text, and waits until both are ready.
    pub async fn furnish(&self) -> (String, String) {
        let furniture = furnish(|arguments| self.cli(arguments));
        self.wait_for_status("dataset", &furniture.1, "ready").await;
        furniture
    }

    /// Queues a training and says its id.
    pub fn train(&self, furniture: &(String, String), steps: Steps) -> String {
        train(|arguments| self.cli(arguments), furniture, steps)
    }

    /// Waits until a dataset or training has a status.
    ///
    /// # Panics
    /// After two minutes.
    pub async fn wait_for_status(&self, what: &str, id: &str, wanted: &str) {
        let statement = match what {
            "dataset" => {
                "SELECT coalesce((SELECT status FROM mistudio.datasets WHERE id = $1), '')"
            }
            _ => "SELECT coalesce((SELECT status FROM mistudio.trainings WHERE id = $1), '')",
        };
        let begun = Instant::now();
        loop {
            let status: String = self.ask(statement, id).await;
            if status == wanted {
                return;
            }
            let log = self.state().join("daemon.log");
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "{id} is {status:?}, not {wanted}: {}",
                fs::read_to_string(log).unwrap_or_default()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends, at once, the server and every run.
    pub fn pull_all_plugs(&self) {
        for run in fs::read_dir(self.state().join("runs"))
            .into_iter()
            .flatten()
            .flatten()
        {
            for pid in trainers_of(&run.path()) {
                signal(pid, "KILL");
            }
        }
        for pid in self.servers() {
            signal(pid, "KILL");
        }
        let begun = Instant::now();
        while !self.servers().is_empty() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The processes of Postgres servers on clusters of this lab.
    #[must_use]
    pub fn servers(&self) -> Vec<u32> {
        let state = fs::canonicalize(self.state()).unwrap_or_else(|_| self.state());
        let is_ours = |process: &Path| {
            fs::read_link(process.join("cwd")).is_ok_and(|cwd| {
                let cwd = cwd.to_string_lossy();
                Path::new(cwd.trim_end_matches(" (deleted)")).starts_with(&state)
            }) && fs::read(process.join("comm")).is_ok_and(|name| name.starts_with(b"postgres"))
        };
        fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| is_ours(&entry.path()))
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect()
    }
}

impl Drop for EmbeddedLab {
    fn drop(&mut self) {
        self.pull_all_plugs();
    }
}
