//! `/v1/jobs` and what can be asked of one.

use super::{
    AppState, Problem,
    answer::{Answer, Wait, answer},
    extract::{Id, NoBody, Parameters},
    schema::{AtLeast, limit, named_position, one_of, optional_id},
    slurm,
};
use crate::{
    commands::Caller,
    queries::{JobFilter, JobSummary, Page, SlurmJobSummary},
};
use axum::{Json, extract::State, response::Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use trainmaster_domain::{Category, StreamId, job, slurm::Placement};
use utoipa::{IntoParams, ToSchema};

const KINDS: &[&str] = &["extraction", "generation", "prediction"];
const STATUSES: &[&str] = &["queued", "running", "completed", "failed", "cancelled"];

/// Which jobs.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Only those of this kind: `extraction`, `generation` or `prediction`.
    kind: Option<String>,
    /// Only those in this status.
    status: Option<String>,
    /// Only those about this training.
    training: Option<String>,
    /// Where the last page ended: its `next`.
    #[param(example = "812-33")]
    after: Option<String>,
    /// Rows of the page, 1 to 500, else 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// A job.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Job {
    /// Its id.
    id: String,
    /// `extraction`, `generation` or `prediction`.
    kind: &'static str,
    /// `queued`, `running`, `completed`, `failed` or `cancelled`.
    pub(super) status: &'static str,
    /// What it is doing.
    stage: Option<String>,
    /// 0 to 100, of the stage.
    progress: Option<f64>,
    /// Whether it has been asked to end and has not yet.
    cancel_requested: bool,
    /// Attempts after the first.
    retry_count: u32,
    /// What went wrong, for programs.
    error_code: Option<String>,
    /// The same, and what to do.
    error_message: Option<String>,
    /// What it is to do.
    #[schema(value_type = Object)]
    work: Option<job::JobWork>,
    /// What a generation wrote: `plain`, and `steered` where that was asked for; each its `text`, its count of `tokens`, and why it
    /// `ended`: `end_of_text`, `length` or `context`.
    #[schema(value_type = Option<Object>)]
    text: Option<Texts>,
    /// What an extraction found.
    #[schema(value_type = Option<Object>)]
    extracted: Option<job::FeaturesExtracted>,
    /// What a prediction found: the `output_dir` that its files are in, and of each image what its `prediction` says.
    #[schema(value_type = Option<Object>)]
    predicted: Option<Predicted>,
    /// On which cluster it is executed, with which resources; null: on the daemon's machine.
    #[schema(value_type = Option<super::schema::Placement>)]
    placement: Option<Placement>,
    /// The SLURM job that it became last.
    slurm_job: Option<SlurmJobSummary>,
    /// When it was queued.
    created_at: DateTime<Utc>,
    /// When something last happened to it.
    updated_at: DateTime<Utc>,
}

/// What a generation wrote.
#[derive(Clone, Debug, Serialize)]
struct Texts {
    plain: trainmaster_domain::run::journal::Completion,
    #[serde(skip_serializing_if = "Option::is_none")]
    steered: Option<trainmaster_domain::run::journal::Completion>,
}

/// What a prediction found.
#[derive(Clone, Debug, Serialize)]
struct Predicted {
    output_dir: String,
    prediction: serde_json::Value,
}

/// A job as its events tell.
pub(super) async fn look(state: &AppState, id: &str) -> Result<(Job, job::Job), Problem> {
    let job = state.log().load::<job::Job>(id).await?.state;
    let (Some(work), Some(times)) = (job.work(), state.queries().job_times(id).await?) else {
        return Err(Problem::not_found("job", id));
    };
    let slurm_job = if job.placement().is_some() {
        let run = StreamId::new(Category::Job, id);
        slurm::of_run(state, &run, job.attempts().lease).await?
    } else {
        None
    };
    let failure = job.failure();
    let progress = job.progress();
    let shown = Job {
        id: id.to_owned(),
        kind: work.kind(),
        status: job.status().as_str(),
        stage: progress.map(|(stage, _)| stage.clone()),
        progress: progress.map(|(_, percent)| *percent),
        cancel_requested: job.requested().is_some(),
        retry_count: job.attempts().retries,
        error_code: failure.map(|failure| failure.code.clone()),
        error_message: failure.map(|failure| failure.message.clone()),
        work: Some(work.clone()),
        text: job.text().map(|text| Texts {
            plain: text.plain.clone(),
            steered: text.steered.clone(),
        }),
        extracted: job.extracted().cloned(),
        predicted: job.predicted().map(|predicted| Predicted {
            output_dir: predicted.output_dir.clone(),
            prediction: predicted.prediction.clone(),
        }),
        placement: job.placement().cloned(),
        slurm_job,
        created_at: times.created_at,
        updated_at: times.updated_at,
    };
    Ok((shown, job))
}

/// Jobs, the newest first. A page may be short and not be the last; `next` says.
#[utoipa::path(
    get, path = "/v1/jobs", tag = "jobs", operation_id = "listJobs", params(Asked),
    responses((status = 200, body = Page<JobSummary>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Page<JobSummary>>, Problem> {
    let filter = JobFilter {
        kind: one_of("kind", asked.kind, KINDS)?,
        status: one_of("status", asked.status, STATUSES)?,
        training_id: optional_id(asked.training)?,
    };
    let after = named_position("after", asked.after)?;
    let limit = limit(asked.limit)?;
    Ok(Json(state.queries().jobs(&filter, after, limit).await?))
}

/// A job: how far it is, what it wrote or found, what went wrong. It is read from the log, which is never behind.
#[utoipa::path(
    get, path = "/v1/jobs/{id}", tag = "jobs", operation_id = "getJob", params(("id" = String, Path), AtLeast),
    responses((status = 200, body = Job), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Id(id): Id,
    Parameters(at_least): Parameters<AtLeast>,
) -> Result<Json<Job>, Problem> {
    // Checked only: whoever was told a position finds its events in the log.
    at_least.position()?;
    let (job, _) = look(&state, &id).await?;
    Ok(Json(job))
}

/// Ends a job; nothing of it is kept. It has ended when its status is `cancelled`.
#[utoipa::path(
    post, path = "/v1/jobs/{id}/cancel", tag = "jobs", operation_id = "cancelJob",
    params(Wait, ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Answer), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
    Parameters(wait): Parameters<Wait>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state.commands().cancel_job(&id, &caller).await?;
    Ok(answer(&state, accepted, wait, "jobs", false).await)
}

/// Tries a job that failed again.
#[utoipa::path(
    post, path = "/v1/jobs/{id}/retry", tag = "jobs", operation_id = "retryJob",
    params(Wait, ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Answer), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn retry(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
    Parameters(wait): Parameters<Wait>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state.commands().retry_job(&id, &caller).await?;
    Ok(answer(&state, accepted, wait, "jobs", false).await)
}
