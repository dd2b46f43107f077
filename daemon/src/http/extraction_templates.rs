//! `/v1/extraction-templates`.

use super::{
    AppState, Problem,
    answer::{Answer, Wait, answer},
    extract::{Body, Id, NoBody, Parameters, Segment},
    kept,
    schema::AtLeast,
};
use crate::{
    commands::{Caller, CreateExtractionTemplate},
    queries::{ExtractionTemplate, Page},
};
use axum::{Json, extract::State, response::Response};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;

const COLLECTION: &str = "extraction-templates";

/// Which extraction templates.
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

/// Extraction templates, the newest first.
#[utoipa::path(
    get, path = "/v1/extraction-templates", tag = "extraction-templates", operation_id = "listExtractionTemplates", params(Asked),
    responses((status = 200, body = Page<ExtractionTemplate>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Page<ExtractionTemplate>>, Problem> {
    let filter = asked.favorite.map(kept::favorite);
    kept::list(&state, filter, asked.after, asked.limit, asked.at_least).await
}

/// Keeps a extraction template.
#[utoipa::path(
    post, path = "/v1/extraction-templates", tag = "extraction-templates", operation_id = "createExtractionTemplate", request_body = CreateExtractionTemplate,
    params(Wait, ("Idempotency-Key" = Option<String>, Header, description = "Repeated under the same key, a request is done once.")),
    responses((status = 201, body = Answer), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(wait): Parameters<Wait>,
    Body(command): Body<CreateExtractionTemplate>,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state
        .commands()
        .create_extraction_template(command, &caller)
        .await?;
    Ok(answer(&state, accepted, wait, COLLECTION, true).await)
}

/// A extraction template, by its id or by a name that only one has.
#[utoipa::path(
    get, path = "/v1/extraction-templates/{id}", tag = "extraction-templates", operation_id = "getExtractionTemplate",
    params(("id" = String, Path, description = "Its id, or a name that only one has."), AtLeast),
    responses((status = 200, body = ExtractionTemplate), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Segment(given): Segment,
    Parameters(at_least): Parameters<AtLeast>,
) -> Result<Json<ExtractionTemplate>, Problem> {
    kept::get(&state, "extraction_template", given, at_least).await
}

/// Changes a extraction template: a merge patch (RFC 7396) of what `POST` takes, and of `is_favorite`.
#[utoipa::path(
    patch, path = "/v1/extraction-templates/{id}", tag = "extraction-templates", operation_id = "updateExtractionTemplate", request_body = Object,
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
        .update_extraction_template(&id, patch, &caller)
        .await?;
    Ok(answer(&state, accepted, wait, COLLECTION, false).await)
}

/// Deletes a extraction template.
#[utoipa::path(
    delete, path = "/v1/extraction-templates/{id}", tag = "extraction-templates", operation_id = "deleteExtractionTemplate",
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
        .delete_kept::<trainmaster_domain::extraction_template::ExtractionTemplate>(&id, &caller)
        .await?;
    Ok(answer(&state, accepted, wait, COLLECTION, false).await)
}
