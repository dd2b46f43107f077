//! A daemon, its Postgres and a private cluster.

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::{Duration, Instant},
};
use trainmaster_tests::{
    lab::Daemon,
    postgres,
    slurm::{Cluster, SlurmLab},
};

/// The parts, in the order in which they end.
pub struct Site {
    pub daemon: Daemon,
    pub slurm: SlurmLab,
    furniture: (String, String),
    socket: PathBuf,
}

impl Site {
    /// With settings of the daemon (`POLL_INTERVAL_SECONDS`), and durable, as in earnest.
    pub async fn new(settings: &[(&str, &str)]) -> Result<Self> {
        let cluster = Cluster::start_with(&["MinJobAge=100000", "MaxJobCount=50000"])
            .context("SLURM is not installed")?;
        let server = postgres::Cluster::start_with(&["shared_buffers=512MB", "wal_buffers=16MB"]);
        let mut slurm = SlurmLab::of(cluster, server).await;
        slurm.let_stand_in_work(0.0);
        for (key, value) in settings {
            slurm.lab.set(&format!("SLURM__{key}"), value);
        }
        slurm.lab.set("LOG__LEVEL", "warn");
        let daemon = slurm.lab.start();
        let furniture = slurm.lab.furnish().await;
        Ok(Self {
            socket: slurm.lab.state().join("run/trainmaster.sock"),
            daemon,
            slurm,
            furniture,
        })
    }

    pub const fn pool(&self) -> &PgPool {
        self.slurm.lab.pool()
    }

    /// Asks for a training on the cluster; answers with its id.
    pub fn command(&self) -> Result<String> {
        let (model, dataset) = &self.furniture;
        let body = json!({
            "model": model,
            "dataset": dataset,
            "hyperparameters": { "trainingSteps": 10, "layer": 1 },
            "placement": { "cluster": "default" },
        })
        .to_string();
        let mut socket = UnixStream::connect(&self.socket)?;
        socket.set_read_timeout(Some(Duration::from_secs(60)))?;
        write!(
            socket,
            "POST /v1/trainings HTTP/1.1\r\nhost: bench\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
        let status = head.split(' ').nth(1).unwrap_or_default();
        ensure!(status.starts_with('2'), "{head}: {body}");
        // Chunked or not: the document is between the outermost braces.
        let (first, last) = (body.find('{'), body.rfind('}'));
        let (Some(first), Some(last)) = (first, last) else {
            bail!("no document in {body:?}");
        };
        let document: Value = serde_json::from_str(&body[first..=last])?;
        let id = document["id"].as_str().context("no id in the answer")?;
        Ok(id.to_owned())
    }

    /// Waits until the log has so many events of a type.
    pub async fn wait_for(&self, event_type: &str, count: usize) -> Result<()> {
        let begun = Instant::now();
        loop {
            let found: i64 = sqlx::query_scalar("SELECT count(*) FROM log.events WHERE type = $1")
                .bind(event_type)
                .fetch_one(self.pool())
                .await?;
            if usize::try_from(found)? >= count {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < Duration::from_secs(600),
                "only {found} of {count} {event_type}: {}",
                self.daemon.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
