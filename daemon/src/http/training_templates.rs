//! `/v1/training-templates`.

use super::{
    AppState, Problem,
    answer::{Answer, Wait, answer},
    extract::{Body, Id, NoBody, Parameters, Segment},
    kept,
    schema::AtLeast,
};
use crate::{
    commands::{Caller, CreateTrainingTemplate},
    queries::{Page, TrainingTemplate},
};
use axum::{Json, extract::State, response::Response};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;

const COLLECTION: &str = "training-templates";

/// Which training templates.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// true: only those that are marked; false: only the others.
    favorite: Option<bool>,
    /// Where the last page ended: its `next`.
    after: Option<String>,
    /// Rows of the page, 1 to 500, else 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Wait until reads show this position of the log.
    at_least: Option<String>,
}

/// Training templates, the newest first.
#[utoipa::path(
    get, path = "/v1/training-templates", tag = "training-templates", operation_id = "listTrainingTemplates", params(Asked),
    responses((status = 200, body = Page<TrainingTemplate>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Page<TrainingTemplate>>, Problem> {
    let filter = asked.favorite.map(kept::favorite);
    kept::list(&state, filter, asked.after, asked.limit, asked.at_least).await
}

/// Keeps a training template.
#[utoipa::path(
    post, path = "/v1/training-templates", tag = "training-templates", operation_id = "createTrainingTemplate", request_body = CreateTrainingTemplate,
    params(Wait, ("Idempotency-Key" = Option<String>, Header, description = "Repeated under the same key, a request is done once.")),
    responses((status = 201, body = Answer), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(wait): Parameters<Wait>,
    Body(command): Body<CreateTrainingTemplate>,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state
        .commands()
        .create_training_template(command, &caller)
        .await?;
    Ok(answer(&state, accepted, wait, COLLECTION, true).await)
}

/// A training template, by its id or by a name that only one has.
#[utoipa::path(
    get, path = "/v1/training-templates/{id}", tag = "training-templates", operation_id = "getTrainingTemplate",
    params(("id" = String, Path, description = "Its id, or a name that only one has."), AtLeast),
    responses((status = 200, body = TrainingTemplate), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Segment(given): Segment,
    Parameters(at_least): Parameters<AtLeast>,
) -> Result<Json<TrainingTemplate>, Problem> {
    kept::get(&state, "training_template", given, at_least).await
}

/// Changes a training template: a merge patch (RFC 7396) of what `POST` takes, and of `is_favorite`.
#[utoipa::path(
    patch, path = "/v1/training-templates/{id}", tag = "training-templates", operation_id = "updateTrainingTemplate", request_body = Object,
    params(Wait, ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Answer), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn update(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
    Parameters(wait): Parameters<Wait>,
    Body(patch): Body<Map<String, Value>>,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state
        .commands()
        .update_training_template(&id, patch, &caller)
        .await?;
    Ok(answer(&state, accepted, wait, COLLECTION, false).await)
}

/// Deletes a training template.
#[utoipa::path(
    delete, path = "/v1/training-templates/{id}", tag = "training-templates", operation_id = "deleteTrainingTemplate",
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
    let accepted = state
        .commands()
        .delete_kept::<trainmaster_domain::training_template::TrainingTemplate>(&id, &caller)
        .await?;
    Ok(answer(&state, accepted, wait, COLLECTION, false).await)
}
