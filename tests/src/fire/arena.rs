//! A lab under fire: a daemon that is kept going, with the proxy between it and its Postgres, on disks that can be filled.

use super::{
    keeper::Keeper,
    place::{Disk, Place},
    proxy::Proxy,
    shim::{Control, Shim},
};
use crate::{
    lab::{Lab, Steps, id_of, program},
    postgres::Cluster,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    time::{Duration, Instant},
};

/// A lab under fire. The order of the fields is the order in which its parts end.
pub(super) struct Arena {
    pub(super) keeper: Keeper,
    pub(super) proxy: Proxy,
    pub(super) lab: Lab,
    pub(super) place: Place,
    /// Tells the library of daemon and trainers.
    pub(super) programs: Option<Control>,
    /// Tells the library of Postgres.
    pub(super) postgres: Option<Control>,
    pub(super) furniture: Furniture,
}

/// What is there before the first round, and is never deleted.
#[derive(Clone, Debug, Default)]
pub(super) struct Furniture {
    pub(super) model: String,
    pub(super) dataset: String,
    /// Completed.
    pub(super) training: String,
    /// Of that training.
    pub(super) features: Vec<i64>,
}

impl Arena {
    /// Sets one up: takes some seconds.
    ///
    /// # Panics
    /// When it cannot be had; the message says what is missing.
    pub(super) async fn new() -> Self {
        let place = Place::new().expect("a temporary directory");
        let about = place.folder("about");
        let shim = Shim::compile(&about).expect("a temporary directory");
        let control = |name: &str| Control::new(about.join(name)).expect("a temporary directory");
        let (programs, postgres) = match &shim {
            Some(_) => (Some(control("programs")), Some(control("server"))),
            None => (None, None),
        };
        let environment = |control: &Option<Control>| match (&shim, control) {
            (Some(shim), Some(control)) => shim.environment(control).to_vec(),
            _ => vec![],
        };
        let server = environment(&postgres);
        let server: Vec<(&str, &str)> = server.iter().map(|(n, v)| (&**n, &**v)).collect();
        // Synced as on a real machine, so that a slow disk is felt; small, so that a small disk suffices.
        let cluster = Cluster::start_in(
            &place.disk(Disk::Postgres),
            &[
                "fsync = on",
                "max_wal_size = 64MB",
                "min_wal_size = 5MB",
                "max_connections = 60",
            ],
            &server,
        );
        let proxy = Proxy::start(&place.folder("proxy"), cluster.socket_directory())
            .expect("the proxy's socket");
        let state = tempfile::Builder::new()
            .prefix("lab")
            .tempdir_in(place.disk(Disk::State))
            .expect("a temporary directory");
        let mut lab = Lab::of(cluster, state).await;
        let programs_environment = environment(&programs);
        settle_soon(&mut lab, &proxy);
        for (name, value) in &programs_environment {
            lab.set_environment(name, value);
        }
        lab.set(
            "RUNNER__PROGRAM",
            &wrapper(&place, &programs_environment).to_string_lossy(),
        );
        let (serve, log) = (lab.serve_again(), place.folder("about").join("daemon.log"));
        let mut arena = Self {
            keeper: Keeper::new(serve, log),
            proxy,
            lab,
            place,
            programs,
            postgres,
            furniture: Furniture::default(),
        };
        arena.wait_until_ready(Duration::from_secs(60)).await;
        arena.furnish().await;
        arena
    }

    /// The file that the daemon writes what it has to say into.
    pub(super) fn daemon_log(&self) -> PathBuf {
        self.place.folder("about").join("daemon.log")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.lab.state().join("run/trainmaster.sock")
    }

    /// Whether the daemon has become ready in time.
    pub(super) async fn wait_until_ready(&self, limit: Duration) -> bool {
        let asked = super::http::Asked {
            method: "GET",
            path: "/health/ready".to_owned(),
            body: None,
        };
        let begun = Instant::now();
        while begun.elapsed() < limit {
            let outcome = super::http::ask(&self.socket(), &asked, "fire-ready", None).await;
            if matches!(outcome, super::http::Outcome::Answered(answer) if answer.status == 200) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        false
    }

    async fn furnish(&mut self) {
        let pair = self.lab.furnish().await;
        let training = self.lab.train(
            &pair,
            Steps {
                total: 30,
                checkpoint_every: 10,
                batch: 64,
            },
        );
        self.lab
            .wait_for_status("trainings", &training, &["completed"])
            .await;
        let job = self.lab.cli(&["extract", &training, "--max-samples", "8"]);
        let job = id_of(&job);
        let begun = Instant::now();
        let features = loop {
            let features: Vec<i64> = sqlx::query_scalar(
                "SELECT id FROM mistudio.features WHERE training_id = $1 ORDER BY id LIMIT 20",
            )
            .bind(&training)
            .fetch_all(self.lab.pool())
            .await
            .expect("the read model");
            if !features.is_empty() {
                break features;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "no features: {:#?}",
                self.lab.history(&job).await
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        self.furniture = Furniture {
            model: pair.0,
            dataset: pair.1,
            training,
            features,
        };
    }
}

/// Settings with which faults are noticed within seconds.
fn settle_soon(lab: &mut Lab, proxy: &Proxy) {
    let url = format!(
        "postgres://postgres@localhost/test_0?host={}",
        proxy.directory().display()
    );
    for (key, value) in [
        ("DATABASE__URL", &*url),
        ("DATABASE__ACQUIRE_TIMEOUT_SECONDS", "3"),
        ("DATABASE__STATEMENT_TIMEOUT_SECONDS", "10"),
        ("DATABASE__CONNECT_TIMEOUT_SECONDS", "10"),
        ("HTTP__REQUEST_TIMEOUT_SECONDS", "5"),
        ("RUNNER__CONCURRENCY", "2"),
        ("RUNNER__HEARTBEAT_TIMEOUT_SECONDS", "2"),
        ("RUNNER__PROGRESS_TIMEOUT_SECONDS", "20"),
        ("RUNNER__PAUSE_DEADLINE_SECONDS", "5"),
        ("PROJECTOR__POLL_INTERVAL_SECONDS", "1"),
    ] {
        lab.set(key, value);
    }
}

/// The trainer, with what the daemon keeps from its environment. It becomes the trainer: the process is the same.
fn wrapper(place: &Place, environment: &[(String, String)]) -> PathBuf {
    let path = place.folder("about").join("trainer");
    let mut script = "#!/bin/sh\n".to_owned();
    for (name, value) in environment {
        script.push_str(&format!("export {name}='{value}'\n"));
    }
    let trainer = program("trainmaster-trainer");
    script.push_str(&format!("exec '{}' \"$@\"\n", trainer.display()));
    fs::write(&path, script).expect("a temporary directory");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a temporary directory");
    path
}
