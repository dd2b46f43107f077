//! What the log says of SLURM jobs beside what SLURM says: each task has been submitted once, and nothing runs that nobody knows of.

use super::{Job, SlurmLab};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// A SLURM job, as its stream tells.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Told {
    /// The stream.
    pub stream_id: String,
    /// The submission.
    pub submission: String,
    /// The run that it is for.
    pub run: String,
    /// What SLURM calls it, as far as is known.
    pub sbatch_id: Option<String>,
    /// How often it was submitted.
    pub submitted: i64,
    /// How often SLURM put it back.
    pub requeued: i64,
    /// How often it ended.
    pub ended: i64,
    /// How often SLURM would not have it.
    pub refused: i64,
    /// Whether nothing more is expected of it.
    pub is_over: bool,
}

impl SlurmLab {
    /// Every SLURM job that the log knows of, in the order in which they were intended.
    ///
    /// # Panics
    /// When the log cannot be read.
    pub async fn told(&self) -> Vec<Told> {
        sqlx::query_as(
            "SELECT stream_id,
                    min(payload ->> 'submission_id') FILTER (WHERE type = 'SlurmSubmissionIntended') AS submission,
                    min(payload -> 'run' ->> 'id') FILTER (WHERE type = 'SlurmSubmissionIntended') AS run,
                    min(payload ->> 'sbatch_id') FILTER (WHERE type = 'SlurmJobSubmitted') AS sbatch_id,
                    count(*) FILTER (WHERE type = 'SlurmJobSubmitted') AS submitted,
                    count(*) FILTER (WHERE type = 'SlurmJobRequeued') AS requeued,
                    count(*) FILTER (WHERE type IN ('SlurmJobCompleted', 'SlurmJobFailed')) AS ended,
                    count(*) FILTER (WHERE type = 'SlurmSubmissionRefused') AS refused,
                    (array_agg(type ORDER BY version DESC))[1] IN ('SlurmJobCompleted', 'SlurmJobFailed', 'SlurmSubmissionRefused') AS is_over
               FROM log.events
              WHERE category = 'slurm_job'
              GROUP BY stream_id
              ORDER BY min(sequence)",
        )
        .fetch_all(self.lab.pool())
        .await
        .expect("the log can be read")
    }

    /// Waits until the log has the end of everything that was submitted.
    ///
    /// # Panics
    /// After a minute, with what has not ended.
    pub async fn settle(&self) {
        let begun = Instant::now();
        loop {
            let mut told = self.told().await;
            told.retain(|one| !one.is_over);
            if told.is_empty() {
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "this does not end: {told:#?}; SLURM: {:#?}",
                self.cluster.jobs()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What must be true once everything has come to rest, which is waited for: whatever was intended has been submitted once or refused, SLURM has each task of
    /// it exactly once, under the number that the log has, and SLURM has nothing else.
    ///
    /// # Panics
    /// When it is not true.
    pub async fn assert_each_submitted_once(&self) {
        self.settle().await;
        let told = self.told().await;
        let jobs = self.cluster.jobs();
        let mut known: BTreeMap<&str, &Told> = BTreeMap::new();
        for one in &told {
            assert_eq!(one.submitted + one.refused, 1, "{one:#?}");
            assert!(one.ended <= one.submitted + one.requeued, "{one:#?}");
            if let Some(number) = &one.sbatch_id {
                assert_eq!(known.insert(number, one), None, "{told:#?}");
            }
        }
        for job in jobs.iter().filter(|job| job.reason != "BadConstraints") {
            let one = known.remove(&*job.id);
            let one = one.unwrap_or_else(|| panic!("nobody knows of {job:#?}: {told:#?}"));
            assert_eq!(job.comment, format!("trainmaster:{}", one.submission));
            assert!(
                job.is_over(),
                "{job:#?} goes on without anybody waiting for it"
            );
        }
        assert!(
            known.is_empty(),
            "SLURM has never had {known:#?}: {jobs:#?}"
        );
    }

    /// Rebuilding `pic` and `mistudio` changes no row, and the log's hash chains are whole.
    ///
    /// # Panics
    /// When not.
    pub async fn assert_rebuild_equals_live(&self) {
        let live = self.rows().await;
        assert!(!live.is_empty());
        for name in ["pic", "mistudio"] {
            self.lab.cli(&["projections", "rebuild", name]);
        }
        assert_eq!(live, self.rows().await);
        self.lab.cli(&["log", "verify", "--skip-artifacts"]);
    }

    /// Every row of both read models, as text in a fixed order.
    async fn rows(&self) -> Vec<String> {
        let mut rows = self.lab.read_model().await;
        for query in [
            "SELECT 'jobs ' || t::text FROM pic.jobs t ORDER BY 1",
            "SELECT 'training ' || t::text FROM pic.training t ORDER BY 1",
            "SELECT 'model ' || t::text FROM pic.model t ORDER BY 1",
            "SELECT 'inference ' || t::text FROM pic.inference t ORDER BY 1",
        ] {
            rows.extend(
                sqlx::query_scalar::<_, String>(query)
                    .fetch_all(self.lab.pool())
                    .await
                    .expect("the read model"),
            );
        }
        rows
    }

    /// All that happened to the SLURM jobs of a run, for whoever wonders.
    pub async fn histories(&self, run: &str) -> String {
        let mut text = format!("{:#?}", self.lab.history(run).await);
        for told in self.told().await.iter().filter(|one| one.run == run) {
            for event in self.lab.history(&told.stream_id).await {
                let mut payload = event.payload;
                if let Some(submission) = payload.get_mut("submission") {
                    *submission = Value::Null;
                }
                text += &format!("\n{} {} {payload}", told.stream_id, event.event_type);
            }
        }
        text
    }

    /// The jobs that SLURM has of a run, by what the log says of it.
    pub async fn jobs_of(&self, run: &str) -> Vec<Job> {
        let told = self.told().await;
        let numbers: Vec<&str> = told
            .iter()
            .filter(|one| one.run == run)
            .filter_map(|one| one.sbatch_id.as_deref())
            .collect();
        let mut jobs = self.cluster.jobs();
        jobs.retain(|job| numbers.contains(&&*job.id));
        jobs
    }
}
