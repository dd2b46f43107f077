//! `/v1/trainings` and what can be asked of one.

use super::{
    AppState, Problem,
    answer::{Answer, Wait, answer},
    extract::{Body, Id, NoBody, Parameters},
    schema::{AtLeast, Hyperparameters, List},
    slurm,
};
use crate::{
    commands::{Caller, QueueTraining},
    queries::{Page, TrainingDetail, TrainingFilter},
};
use axum::{Json, extract::State, response::Response};
use serde::Deserialize;
use trainmaster_domain::{Category, StreamId, id::TrainingId, training::Training};
use utoipa::IntoParams;

pub(super) const STATUSES: &[&str] = &[
    "queued",
    "initializing",
    "training",
    "paused",
    "stopped",
    "completed",
    "failed",
    "error",
];

/// Which trainings.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Only those in this status.
    status: Option<String>,
    /// Only those on this model (its id).
    model: Option<String>,
    /// Only those on this dataset (its id).
    dataset: Option<String>,
    /// Where the last page ended: its `next`.
    after: Option<String>,
    /// Rows of the page, 1 to 500, else 50.
    limit: Option<u32>,
    /// Wait until reads show this position of the log.
    at_least: Option<String>,
}

/// Trainings, the newest first.
#[utoipa::path(
    get, path = "/v1/trainings", tag = "trainings", operation_id = "listTrainings", params(Asked),
    responses((status = 200, body = Page<crate::queries::Training>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Page<crate::queries::Training>>, Problem> {
    let checked = List {
        search: None,
        status: asked.status,
        after: asked.after,
        limit: asked.limit,
        at_least: asked.at_least,
    }
    .check(STATUSES)?;
    let filter = TrainingFilter {
        status: checked.status,
        model_id: super::schema::optional_id(asked.model)?,
        dataset_id: super::schema::optional_id(asked.dataset)?,
    };
    state.show_at_least(checked.at_least).await?;
    Ok(Json(
        state
            .queries()
            .trainings(&filter, checked.after.as_ref(), checked.limit)
            .await?,
    ))
}

/// Queues a training. It begins when its model and dataset are ready and a worker is free.
#[utoipa::path(
    post, path = "/v1/trainings", tag = "trainings", operation_id = "queueTraining", request_body = QueueTraining,
    params(Wait, ("Idempotency-Key" = Option<String>, Header, description = "Repeated under the same key, a request is done once.")),
    responses((status = 201, body = Answer), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(wait): Parameters<Wait>,
    Body(command): Body<QueueTraining>,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state.commands().queue_training(command, &caller).await?;
    Ok(answer(&state, accepted, wait, "trainings", true).await)
}

/// A training: its row, its last recorded step, its latest checkpoint, where its autoencoder is.
#[utoipa::path(
    get, path = "/v1/trainings/{id}", tag = "trainings", operation_id = "getTraining",
    params(("id" = String, Path), AtLeast),
    responses((status = 200, body = TrainingDetail), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Id(id): Id,
    Parameters(at_least): Parameters<AtLeast>,
) -> Result<Json<TrainingDetail>, Problem> {
    state.show_at_least(at_least.position()?).await?;
    let found = state.queries().training(&id).await?;
    let mut detail = found.ok_or_else(|| Problem::no_training(&id))?;
    if detail.placement.is_some() {
        let training = state.log().load::<Training>(&id).await?.state;
        let run = StreamId::new(Category::Training, &id);
        detail.slurm_job = slurm::of_run(&state, &run, training.attempts().lease).await?;
    }
    Ok(Json(detail))
}

/// Where a training is read: those that segment images have a place of their own.
fn collection(id: &str) -> &'static str {
    if TrainingId::is_segmentation(id) {
        "segmentations"
    } else {
        "trainings"
    }
}

/// The hyperparameters that a training has when nothing is said of them.
#[utoipa::path(
    get, path = "/v1/hyperparameters", tag = "trainings", operation_id = "getDefaultHyperparameters",
    responses((status = 200, body = Hyperparameters), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn defaults() -> Json<trainmaster_domain::hyperparameters::Hyperparameters> {
    Json(trainmaster_domain::hyperparameters::Hyperparameters::default())
}

/// Asks the training's run to rest at a checkpoint. It has when its status is `paused`.
#[utoipa::path(
    post, path = "/v1/trainings/{id}/pause", tag = "trainings", operation_id = "pauseTraining",
    params(Wait, ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Answer), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn pause(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
    Parameters(wait): Parameters<Wait>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state.commands().pause(&id, &caller).await?;
    Ok(answer(&state, accepted, wait, collection(&id), false).await)
}

/// Lets a paused training go on from its latest checkpoint.
#[utoipa::path(
    post, path = "/v1/trainings/{id}/resume", tag = "trainings", operation_id = "resumeTraining",
    params(Wait, ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Answer), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn resume(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
    Parameters(wait): Parameters<Wait>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state.commands().resume(&id, &caller).await?;
    Ok(answer(&state, accepted, wait, collection(&id), false).await)
}

/// Asks the training to stop for good and keep its autoencoder as it is. It has when its status is `stopped`.
#[utoipa::path(
    post, path = "/v1/trainings/{id}/stop", tag = "trainings", operation_id = "stopTraining",
    params(Wait, ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Answer), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn stop(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
    Parameters(wait): Parameters<Wait>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state.commands().stop(&id, &caller).await?;
    Ok(answer(&state, accepted, wait, collection(&id), false).await)
}

/// Tries a training that failed again, from its latest checkpoint.
#[utoipa::path(
    post, path = "/v1/trainings/{id}/retry", tag = "trainings", operation_id = "retryTraining",
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
    let accepted = state.commands().retry_training(&id, &caller).await?;
    Ok(answer(&state, accepted, wait, collection(&id), false).await)
}

/// Deletes a training that does not run, with its metrics, checkpoints, autoencoder, features and presets, files included.
#[utoipa::path(
    delete, path = "/v1/trainings/{id}", tag = "trainings", operation_id = "deleteTraining",
    params(Wait, ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Answer), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn delete(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
    Parameters(wait): Parameters<Wait>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state.commands().delete_training(&id, &caller).await?;
    Ok(answer(&state, accepted, wait, collection(&id), false).await)
}
