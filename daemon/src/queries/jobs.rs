//! Jobs, as the log tells: they have no table of their own.

use super::{Queries, QueryError, attempt};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trainmaster_domain::Position;
use utoipa::ToSchema;

/// Jobs that are looked at for one page, at most: a filter that lets few pass gives short pages.
const MOST_LOOKED_AT: usize = 5_000;

/// Jobs that are looked at together.
const BLOCK: usize = 500;

/// A job in a list.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct JobSummary {
    /// Its id.
    pub id: String,
    /// `extraction` or `generation`.
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

/// Jobs, the newest first. A page may be short, or even empty, and not be the last: `next` says.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobPage {
    /// The jobs.
    pub items: Vec<JobSummary>,
    /// Give it as `after` for the next page; null at the end.
    #[schema(example = "812-33")]
    pub next: Option<String>,
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
    ) -> Result<JobPage, QueryError> {
        let limit = limit as usize;
        let mut items = Vec::new();
        let mut before = before;
        let mut looked_at = 0;
        loop {
            // One more than is wanted, where every job passes.
            let block = BLOCK.min(limit + 1).max(50);
            let rows = self.jobs_before(before, block).await?;
            let is_last = rows.len() < block;
            for row in rows {
                if items.len() == limit {
                    return Ok(JobPage {
                        items,
                        next: before.map(|position| position.to_string()),
                    });
                }
                looked_at += 1;
                before = Some(Position {
                    transaction: u64::try_from(row.transaction_id).unwrap_or(0),
                    sequence: row.sequence,
                });
                if filter.passes(&row) {
                    items.push(row);
                }
            }
            if is_last || looked_at >= MOST_LOOKED_AT {
                let next = if is_last { None } else { before };
                return Ok(JobPage {
                    items,
                    next: next.map(|position| position.to_string()),
                });
            }
        }
    }

    async fn jobs_before(
        &self,
        before: Option<Position>,
        most: usize,
    ) -> Result<Vec<JobSummary>, QueryError> {
        sqlx::query_as(include_str!("jobs/list.sql"))
            .bind(before.map_or(i64::MAX, |position| {
                i64::try_from(position.transaction).unwrap_or(i64::MAX)
            }))
            .bind(before.map_or(i64::MAX, |position| position.sequence))
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
