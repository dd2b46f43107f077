//! A lab whose daemon sends runs to a private cluster.

use super::Cluster;
use crate::{
    lab::{Lab, Steps, id_of, program},
    postgres,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The name of a job that is in the way.
const FILLER: &str = "filler";

/// A lab and its cluster. The order of the fields is the order in which they end: no job outlives its daemon's directory.
pub struct SlurmLab {
    /// The cluster, called `default`.
    pub cluster: Cluster,
    /// The lab.
    pub lab: Lab,
}

impl SlurmLab {
    /// An empty lab, with short intervals, and a cluster with these settings of `slurm.conf`. None when SLURM is not installed here, which is
    /// said.
    pub async fn new(settings: &[&str]) -> Option<Self> {
        let cluster = Cluster::start_with(settings)?;
        Some(Self::of(cluster, postgres::Cluster::start()).await)
    }

    /// The same on a cluster and a server of the caller's choice.
    pub async fn of(cluster: Cluster, server: postgres::Cluster) -> Self {
        let mut lab = Lab::on(server).await;
        for (name, value) in cluster.environment() {
            lab.set_environment(&name, &value);
        }
        for (key, value) in [
            ("POLL_INTERVAL_SECONDS", "0.5"),
            ("LOOK_INTERVAL_SECONDS", "0.2"),
            ("HEARTBEAT_TIMEOUT_SECONDS", "20"),
            ("HANDOVER_TIMEOUT_SECONDS", "60"),
        ] {
            lab.set(&format!("SLURM__{key}"), value);
        }
        Self { cluster, lab }
    }

    /// Has jobs do next to nothing from now on: `stand_in` takes the trainer's place on the nodes.
    ///
    /// # Panics
    /// When that cannot be set up.
    pub fn let_stand_in_work(&mut self, seconds: f64) {
        self.stand_in(&format!("STAND_IN_SECONDS={seconds}"));
    }

    /// The same, and the task of this index fails.
    ///
    /// # Panics
    /// When that cannot be set up.
    pub fn let_stand_in_work_but_fail(&mut self, seconds: f64, index: u32) {
        self.stand_in(&format!(
            "STAND_IN_SECONDS={seconds} STAND_IN_FAILS={index}"
        ));
    }

    fn stand_in(&mut self, variables: &str) {
        let script = self.lab.state().join("stand-in");
        let text = format!(
            "#!/bin/sh\n{variables} exec '{}' \"$@\"\n",
            program("stand_in").display()
        );
        fs::write(&script, text).expect("the state directory");
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).expect("its mode");
        let clusters = format!("{{default={{trainer=\"{}\"}}}}", script.display());
        self.lab.set("SLURM__CLUSTERS", &clusters);
    }

    /// Queues a training of an autoencoder there, with further arguments, and says its id.
    #[must_use]
    pub fn train(&self, furniture: &(String, String), steps: Steps, more: &[&str]) -> String {
        let arguments = arguments(furniture, steps, more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        id_of(&self.lab.cli(&arguments))
    }

    /// The same, when it is to be refused: what is said then.
    ///
    /// # Panics
    /// When it is not refused.
    #[must_use]
    pub fn try_train(&self, furniture: &(String, String), steps: Steps, more: &[&str]) -> String {
        let arguments = arguments(furniture, steps, more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = self.lab.try_cli(&arguments);
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Occupies every core of every node with somebody else's job, and waits until it does.
    pub fn fill(&self) {
        let job = self.cluster.run(
            "sbatch",
            &[
                "--parsable",
                "--nodes=4",
                "--exclusive",
                "--job-name",
                FILLER,
                "--output=/dev/null",
                "--wrap=sleep 600",
            ],
        );
        self.cluster.wait_for_jobs("full", |jobs| {
            jobs.iter()
                .any(|other| other.id == job && other.state == "RUNNING")
        });
    }

    /// Cancels whatever [`Self::fill`] has occupied the nodes with.
    pub fn empty(&self) {
        self.cluster.run("scancel", &["--name", FILLER]);
    }

    /// How many events of a type a stream has.
    pub async fn count(&self, id: &str, event_type: &str) -> usize {
        let history = self.lab.history(id).await;
        let of_the_type = history
            .iter()
            .filter(|event| event.event_type == event_type);
        of_the_type.count()
    }

    /// Waits until a stream has so many events of a type.
    ///
    /// # Panics
    /// After two minutes, with its history.
    pub async fn wait_for_event(&self, id: &str, event_type: &str, count: usize) {
        let begun = Instant::now();
        while self.count(id, event_type).await < count {
            assert!(
                begun.elapsed() < LIMIT,
                "{id} has no {event_type} number {count}: {:#?}; SLURM: {:#?}",
                self.lab.history(id).await,
                self.cluster.jobs()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The rows of `pic.jobs` of a run, oldest first.
    ///
    /// # Panics
    /// When the database does not answer.
    pub async fn pic_jobs(&self, run: &str) -> Vec<PicJob> {
        sqlx::query_as(
            "SELECT j.sbatch_id, j.status, j.fold_index::int AS fold_index, j.start_time IS NOT NULL AS has_started, j.end_time IS NOT NULL AS has_ended, j.error_message
               FROM pic.jobs AS j
               JOIN log.events AS e ON e.stream_id = j.id AND e.type = 'SlurmJobSubmitted'
              WHERE e.payload -> 'submission' -> 'run' ->> 'id' = $1
              ORDER BY e.transaction_id, e.sequence",
        )
        .bind(run)
        .fetch_all(self.lab.pool())
        .await
        .expect("pic.jobs can be read")
    }

    /// Waits until the last row of `pic.jobs` of a run has a status, and answers with it.
    ///
    /// # Panics
    /// After two minutes, with the histories.
    pub async fn wait_for_pic_status(&self, run: &str, wanted: &str) -> PicJob {
        let begun = Instant::now();
        loop {
            let jobs = self.pic_jobs(run).await;
            if let Some(last) = jobs.last()
                && last.status == wanted
            {
                return last.clone();
            }
            assert!(
                begun.elapsed() < LIMIT,
                "{run} is not {wanted} in pic.jobs: {jobs:#?}; {:#?}; SLURM: {:#?}",
                self.lab.history(run).await,
                self.cluster.jobs()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn arguments((model, dataset): &(String, String), steps: Steps, more: &[&str]) -> Vec<String> {
    let mut arguments = vec!["train", "--model", model, "--dataset", dataset];
    if !more.contains(&"--on") {
        arguments.extend(["--on", "default"]);
    }
    arguments.extend(more);
    let mut arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
    for value in [
        format!("trainingSteps={}", steps.total),
        format!("checkpointInterval={}", steps.checkpoint_every),
        format!("batchSize={}", steps.batch),
        "expansionFactor=4".to_owned(),
        "logInterval=5".to_owned(),
        "layer=1".to_owned(),
    ] {
        arguments.extend(["--set".to_owned(), value]);
    }
    arguments
}

/// A row of `pic.jobs`, as far as tests care.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct PicJob {
    /// What SLURM calls it.
    pub sbatch_id: String,
    /// Its status.
    pub status: String,
    /// Its fold.
    pub fold_index: i32,
    /// Whether it has begun.
    pub has_started: bool,
    /// Whether it has ended.
    pub has_ended: bool,
    /// Why it failed.
    pub error_message: Option<String>,
}
