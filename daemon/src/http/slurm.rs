//! `/v1/slurm`: the clusters, and the jobs that runs became there.

use super::{
    AppState, Problem,
    extract::{Id, Parameters},
    problem::chain,
    schema::{limit, named_position, one_of, optional_id},
};
use crate::queries::{First, Page, Pager, SlurmJobSummary};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};
use trainmaster_domain::{
    Lease, StreamId,
    slurm::{SlurmJob, id::slurm_job},
};
use utoipa::{IntoParams, ToSchema};

const STATUSES: &[&str] = &[
    "intended",
    "refused",
    "pending",
    "running",
    "completed",
    "failed",
];

/// A cluster that takes longer does not answer, as far as people are concerned.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Attempts of a run, the newest, among which its SLURM job is looked for: SLURM may have put a job back so often.
const MOST_REQUEUES: u64 = 100;

/// A SLURM job, with its script.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct SlurmJobDetail {
    /// It.
    #[serde(flatten)]
    pub job: SlurmJobSummary,
    /// The directory that an inference writes to.
    pub output_dir: Option<String>,
    /// The filled-in template that was, or is to be, submitted.
    pub script: String,
}

/// A cluster that runs can be placed on.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Cluster {
    /// Its name: `--on`, and `cluster` of a placement.
    pub name: String,
    /// Whether its controller answers.
    pub answers: bool,
    /// Why not, and what was asked.
    pub problem: Option<String>,
}

/// Those of the ids that are SLURM jobs.
async fn jobs(
    state: &AppState,
    ids: &[String],
) -> Result<HashMap<String, SlurmJobSummary>, Problem> {
    let mut found = HashMap::new();
    for times in state.queries().slurm_times(ids).await? {
        let job = state.log().load::<SlurmJob>(&times.id).await?.state;
        if let Some(job) = SlurmJobSummary::new(&job, times) {
            found.insert(job.id.clone(), job);
        }
    }
    Ok(found)
}

/// The SLURM jobs that runs became last, in their order; none where a run has become none yet.
pub(super) async fn of_runs(
    state: &AppState,
    runs: &[(StreamId, Lease)],
) -> Result<Vec<Option<SlurmJobSummary>>, Problem> {
    // A job that SLURM put back keeps the id of the attempt that submitted it.
    let attempts = |(run, lease): &(StreamId, Lease)| -> Vec<String> {
        let last = lease.0;
        (last.saturating_sub(MOST_REQUEUES).max(1)..=last)
            .rev()
            .map(|lease| slurm_job(run, Lease(lease)))
            .collect()
    };
    let ids: Vec<Vec<String>> = runs.iter().map(attempts).collect();
    let newest: Vec<String> = {
        let times = state.queries().slurm_times(&ids.concat()).await?;
        let known: HashSet<&str> = times.iter().map(|times| times.id.as_str()).collect();
        ids.iter()
            .map(|ids| ids.iter().find(|id| known.contains(id.as_str())).cloned())
            .map(Option::unwrap_or_default)
            .collect()
    };
    let mut jobs = jobs(state, &newest).await?;
    Ok(newest.iter().map(|id| jobs.remove(id)).collect())
}

/// The SLURM job that a run became last.
pub(super) async fn of_run(
    state: &AppState,
    run: &StreamId,
    lease: Lease,
) -> Result<Option<SlurmJobSummary>, Problem> {
    let mut jobs = of_runs(state, &[(run.clone(), lease)]).await?;
    Ok(jobs.pop().flatten())
}

/// The clusters that runs can be placed on. Each is asked whether it answers, all at once.
#[utoipa::path(
    get, path = "/v1/slurm/clusters", tag = "slurm", operation_id = "listClusters",
    responses((status = 200, body = Vec<Cluster>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn clusters(State(state): State<AppState>) -> Json<Vec<Cluster>> {
    let asked = state.options().clusters.all().map(|cluster| async move {
        let answer = tokio::time::timeout(ANSWER_LIMIT, cluster.ping()).await;
        let problem = match answer {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(chain(&error)),
            Err(_) => Some(format!(
                "it does not answer within {} seconds",
                ANSWER_LIMIT.as_secs()
            )),
        };
        Cluster {
            name: cluster.name.clone(),
            answers: problem.is_none(),
            problem,
        }
    });
    Json(futures::future::join_all(asked).await)
}

/// Which SLURM jobs.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Only those in this status.
    status: Option<String>,
    /// Only those of this cluster.
    cluster: Option<String>,
    /// Only those of this run: the id of a training or job.
    run: Option<String>,
    /// Where the last page ended: its `next`.
    #[param(example = "812-33")]
    after: Option<String>,
    /// Rows of the page, 1 to 500, else 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// SLURM jobs, the newest first. A page may be short and not be the last; `next` says.
#[utoipa::path(
    get, path = "/v1/slurm/jobs", tag = "slurm", operation_id = "listSlurmJobs", params(Asked),
    responses((status = 200, body = Page<SlurmJobSummary>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Page<SlurmJobSummary>>, Problem> {
    let status = one_of("status", asked.status, STATUSES)?;
    let run = optional_id(asked.run)?;
    let passes = |job: &SlurmJobSummary| {
        status.as_ref().is_none_or(|status| *status == job.status)
            && asked
                .cluster
                .as_ref()
                .is_none_or(|name| *name == job.cluster)
            && run.as_ref().is_none_or(|run| *run == job.run)
    };
    let after = named_position("after", asked.after)?;
    let mut pager = Pager::new(after, limit(asked.limit)?);
    while let Some((before, most)) = pager.wants() {
        let begun = state
            .queries()
            .begun(First::SlurmSubmissionIntended, before, most)
            .await?;
        let ids: Vec<String> = begun.iter().map(|begun| begun.id.clone()).collect();
        let mut jobs = jobs(&state, &ids).await?;
        let rows = begun
            .iter()
            .map(|begun| (begun.position(), jobs.remove(&begun.id).filter(passes)));
        pager.take(rows.collect());
    }
    Ok(Json(pager.page()))
}

/// A SLURM job: how it is, and the script that was submitted.
#[utoipa::path(
    get, path = "/v1/slurm/jobs/{id}", tag = "slurm", operation_id = "getSlurmJob", params(("id" = String, Path)),
    responses((status = 200, body = SlurmJobDetail), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Id(id): Id,
) -> Result<Json<SlurmJobDetail>, Problem> {
    let not_found = || {
        let detail =
            format!("there is no SLURM job {id:?}; GET /v1/slurm/jobs lists what there is");
        Problem::new(
            axum::http::StatusCode::NOT_FOUND,
            "slurm_job_not_found",
            detail,
        )
    };
    let job = jobs(&state, std::slice::from_ref(&id)).await?.remove(&id);
    let state = state.log().load::<SlurmJob>(&id).await?.state;
    let (Some(job), Some(submission)) = (job, state.submission()) else {
        return Err(not_found());
    };
    Ok(Json(SlurmJobDetail {
        job,
        output_dir: submission.output_dir.clone(),
        script: submission.script.clone(),
    }))
}
