//! Jobs, as the log tells: they have no table of their own.

use super::{Page, Pager, Queries, QueryError, attempt, begun};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trainmaster_domain::Position;
use utoipa::ToSchema;

/// A job in a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct JobSummary {
    /// Its id.
    pub id: String,
    /// `extraction`, `generation` or `prediction`.
    pub kind: String,
    /// `queued`, `running`, `completed`, `failed` or `cancelled`.
    pub status: String,
    /// The model that it works with, when it names one.
    pub model_id: Option<String>,
    /// The training whose autoencoders it works with, if it does.
    pub training_id: Option<String>,
    /// The beginning of a generation's prompt.
    pub prompt: Option<String>,
    /// What it is doing.
    pub stage: Option<String>,
    /// 0 to 100, of the stage.
    pub progress: Option<f64>,
    /// What went wrong, for programs.
    pub error_code: Option<String>,
    /// The same, and what to do.
    pub error_message: Option<String>,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When something last happened to it.
    pub updated_at: DateTime<Utc>,
    /// Where it was queued.
    #[serde(skip)]
    #[schema(ignore)]
    transaction_id: i64,
    #[serde(skip)]
    #[schema(ignore)]
    sequence: i64,
}

/// Which jobs.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Of this kind.
    pub kind: Option<String>,
    /// In this status.
    pub status: Option<String>,
    /// About this training.
    pub training_id: Option<String>,
}

impl JobFilter {
    fn passes(&self, job: &JobSummary) -> bool {
        self.kind.as_ref().is_none_or(|kind| *kind == job.kind)
            && self
                .status
                .as_ref()
                .is_none_or(|status| *status == job.status)
            && (self.training_id.is_none() || self.training_id == job.training_id)
    }
}

/// When a job was queued, and when something last happened to it.
#[derive(Clone, Copy, Debug, sqlx::FromRow)]
pub struct JobTimes {
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When something last happened to it.
    pub updated_at: DateTime<Utc>,
}

impl Queries {
    /// Jobs, the newest first: a page of up to `limit`, of those that were queued before `before`. Looks at 5,000 at most.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn jobs(
        &self,
        filter: &JobFilter,
        before: Option<Position>,
        limit: u32,
    ) -> Result<Page<JobSummary>, QueryError> {
        let mut pager = Pager::new(before, limit);
        while let Some((before, most)) = pager.wants() {
            let rows = self.jobs_before(before, most).await?.into_iter();
            let rows = rows.map(|row| {
                let position = begun::position(row.transaction_id, row.sequence);
                (position, filter.passes(&row).then_some(row))
            });
            pager.take(rows.collect());
        }
        Ok(pager.page())
    }

    async fn jobs_before(
        &self,
        before: Option<Position>,
        most: usize,
    ) -> Result<Vec<JobSummary>, QueryError> {
        let (transaction, sequence) = begun::columns(before);
        sqlx::query_as(include_str!("jobs/list.sql"))
            .bind(transaction)
            .bind(sequence)
            .bind(i64::try_from(most).unwrap_or(i64::MAX))
            .fetch_all(&self.pool)
            .await
            .map_err(attempt("the jobs"))
    }

    /// When a job began and was last heard of; none where there is no such job.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn job_times(&self, id: &str) -> Result<Option<JobTimes>, QueryError> {
        sqlx::query_as(include_str!("jobs/times.sql"))
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(attempt(format!("job {id}")))
    }

    /// The directory of a job's newest run, if this host has one.
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn job_directory(&self, id: &str) -> Result<Option<String>, QueryError> {
        sqlx::query_scalar("SELECT directory FROM dispatch.runs WHERE category = 'job' AND id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(attempt(format!("the run of job {id}")))
    }
}
