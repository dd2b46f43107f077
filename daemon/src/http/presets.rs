//! `/v1/presets`.

use super::{
    AppState, Problem,
    answer::{Answer, Wait, answer},
    extract::{Body, Id, NoBody, Parameters, Segment},
    kept,
    schema::AtLeast,
};
use crate::{
    commands::{Caller, CreatePreset},
    queries::{Page, Preset},
};
use axum::{Json, extract::State, response::Response};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::IntoParams;

const COLLECTION: &str = "presets";

/// Which presets.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Only those of this training (its id).
    training: Option<String>,
    /// Where the last page ended: its `next`.
    after: Option<String>,
    /// Rows of the page, 1 to 500, else 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Wait until reads show this position of the log.
    at_least: Option<String>,
}

/// Presets, the newest first.
#[utoipa::path(
    get, path = "/v1/presets", tag = "presets", operation_id = "listPresets", params(Asked),
    responses((status = 200, body = Page<Preset>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Page<Preset>>, Problem> {
    let filter = super::schema::optional_id(asked.training)?;
    kept::list(&state, filter, asked.after, asked.limit, asked.at_least).await
}

/// Keeps a preset.
#[utoipa::path(
    post, path = "/v1/presets", tag = "presets", operation_id = "createPreset", request_body = CreatePreset,
    params(Wait, ("Idempotency-Key" = Option<String>, Header, description = "Repeated under the same key, a request is done once.")),
    responses((status = 201, body = Answer), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(wait): Parameters<Wait>,
    Body(command): Body<CreatePreset>,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state.commands().create_preset(command, &caller).await?;
    Ok(answer(&state, accepted, wait, COLLECTION, true).await)
}

/// A preset, by its id or by a name that only one has.
#[utoipa::path(
    get, path = "/v1/presets/{id}", tag = "presets", operation_id = "getPreset",
    params(("id" = String, Path, description = "Its id, or a name that only one has."), AtLeast),
    responses((status = 200, body = Preset), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Segment(given): Segment,
    Parameters(at_least): Parameters<AtLeast>,
) -> Result<Json<Preset>, Problem> {
    kept::get(&state, "preset", given, at_least).await
}

/// Changes a preset: a merge patch (RFC 7396) of what `POST` takes but the training.
#[utoipa::path(
    patch, path = "/v1/presets/{id}", tag = "presets", operation_id = "updatePreset", request_body = Object,
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
    let accepted = state.commands().update_preset(&id, patch, &caller).await?;
    Ok(answer(&state, accepted, wait, COLLECTION, false).await)
}

/// Deletes a preset.
#[utoipa::path(
    delete, path = "/v1/presets/{id}", tag = "presets", operation_id = "deletePreset",
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
        .delete_kept::<trainmaster_domain::preset::Preset>(&id, &caller)
        .await?;
    Ok(answer(&state, accepted, wait, COLLECTION, false).await)
}
