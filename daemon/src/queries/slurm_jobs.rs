//! SLURM jobs: their states, and when what happened, which their states do not keep.

use super::{Queries, QueryError, attempt};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trainmaster_domain::{
    Lease,
    slurm::{JobType, SlurmJob, SlurmJobStatus},
};
use utoipa::ToSchema;

/// A SLURM job.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SlurmJobSummary {
    /// Its id, as in the table `pic.jobs`.
    pub id: String,
    /// What SLURM calls it: `123`, or `123_4` for a task of an array; null before SLURM has it.
    pub sbatch_id: Option<String>,
    /// The cluster, by the name that the settings give it.
    pub cluster: String,
    /// What all tasks of one sbatch have in common; it travels in `--comment`.
    pub submission_id: String,
    /// Of which category the run is: `training`, `job`, `dataset` or `model`.
    pub run_category: String,
    /// The run that it executes.
    pub run: String,
    /// `TRAINING` or `INFERENCE`.
    #[schema(value_type = String)]
    pub job_type: JobType,
    /// The fold of a cross-validation; 0 without one.
    pub fold_index: u16,
    /// `intended` (it is about to be submitted), `refused`, `pending`, `running`, `completed` or `failed`.
    pub status: String,
    /// The state that SLURM prints, where this version does not know it.
    pub slurm_state: Option<String>,
    /// How often SLURM has put it back into its queue.
    pub restarts: u32,
    /// The lease under which it is executed.
    #[schema(value_type = u64)]
    pub lease: Lease,
    /// Whether it has been asked to end.
    pub cancel_requested: bool,
    /// What was said of its end, when it was not a good one.
    pub message: Option<String>,
    /// When it was about to be submitted.
    pub created_at: DateTime<Utc>,
    /// When SLURM had it.
    pub submitted_at: Option<DateTime<Utc>>,
    /// When it was started last, as SLURM says.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended, as SLURM says.
    pub ended_at: Option<DateTime<Utc>>,
    /// When something last happened to it.
    pub updated_at: DateTime<Utc>,
}

/// When what happened to a SLURM job.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SlurmTimes {
    /// Which.
    pub id: String,
    /// When it was about to be submitted.
    pub created_at: DateTime<Utc>,
    /// When SLURM had it.
    pub submitted_at: Option<DateTime<Utc>>,
    /// When SLURM started it last, as SLURM says.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended, as SLURM says.
    pub ended_at: Option<DateTime<Utc>>,
    /// What SLURM, or sbatch, said of its end, when it was not a good one.
    pub message: Option<String>,
    /// When something last happened to it.
    pub updated_at: DateTime<Utc>,
}

impl SlurmJobSummary {
    /// Of a job that there is.
    #[must_use]
    pub fn new(job: &SlurmJob, times: SlurmTimes) -> Option<Self> {
        let submission = job.submission()?;
        let status = job.status();
        let has_ended = matches!(status, SlurmJobStatus::Completed | SlurmJobStatus::Failed);
        let has_started = has_ended || status == SlurmJobStatus::Running;
        let ended_badly = matches!(status, SlurmJobStatus::Failed | SlurmJobStatus::Refused);
        Some(Self {
            id: times.id,
            sbatch_id: job.sbatch_id().map(str::to_owned),
            cluster: submission.cluster.clone(),
            submission_id: submission.submission_id.clone(),
            run_category: submission.run.category.as_str().to_owned(),
            run: submission.run.id.clone(),
            job_type: submission.job_type,
            fold_index: submission.fold_index,
            status: status.as_str().to_owned(),
            slurm_state: job.seen_state().map(str::to_owned),
            restarts: job.restarts(),
            lease: job.lease(),
            cancel_requested: job.cancel_requested(),
            message: job
                .failure()
                .map(|failure| failure.message.clone())
                .or(times.message)
                .filter(|_| ended_badly),
            created_at: times.created_at,
            submitted_at: times.submitted_at,
            // SLURM may have put back what had begun, and ended.
            started_at: times.started_at.filter(|_| has_started),
            ended_at: times.ended_at.filter(|_| has_ended),
            updated_at: times.updated_at,
        })
    }
}

impl Queries {
    /// Of those that there are.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn slurm_times(&self, ids: &[String]) -> Result<Vec<SlurmTimes>, QueryError> {
        sqlx::query_as(include_str!("slurm_jobs/times.sql"))
            .bind(ids)
            .fetch_all(&self.pool)
            .await
            .map_err(attempt("the times of SLURM jobs"))
    }
}
