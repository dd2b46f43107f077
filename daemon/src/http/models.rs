//! `/v1/models`.

use super::{
    AppState, Problem,
    answer::{Answer, Wait, answer},
    extract::{Body, Id, NoBody, Parameters, Segment},
    schema::{AtLeast, List, one},
};
use crate::{
    commands::{AddModel, Caller},
    queries::{Model, ModelDetail, Page},
};
use axum::{Json, extract::State, response::Response};

const STATUSES: &[&str] = &["downloading", "loading", "quantizing", "ready", "error"];

/// Models, the newest first.
#[utoipa::path(
    get, path = "/v1/models", tag = "models", operation_id = "listModels", params(List),
    responses((status = 200, body = Page<Model>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Parameters(list): Parameters<List>,
) -> Result<Json<Page<Model>>, Problem> {
    let asked = list.check(STATUSES)?;
    state.show_at_least(asked.at_least).await?;
    Ok(Json(
        state
            .queries()
            .models(
                asked.search.as_deref(),
                asked.status.as_deref(),
                asked.after.as_ref(),
                asked.limit,
            )
            .await?,
    ))
}

/// Registers a language model of this machine or of the Hugging Face hub. Its files are then fetched, looked at, and converted
/// where they are to be held otherwise.
#[utoipa::path(
    post, path = "/v1/models", tag = "models", operation_id = "addModel", request_body = AddModel,
    params(Wait, ("Idempotency-Key" = Option<String>, Header, description = "Repeated under the same key, a request is done once.")),
    responses((status = 201, body = Answer), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(wait): Parameters<Wait>,
    Body(command): Body<AddModel>,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state.commands().add_model(command, &caller).await?;
    Ok(answer(&state, accepted, wait, "models", true).await)
}

/// A model, by its id or by a name that only one has.
#[utoipa::path(
    get, path = "/v1/models/{id}", tag = "models", operation_id = "getModel",
    params(("id" = String, Path, description = "Its id, or a name that only one model has."), AtLeast),
    responses((status = 200, body = ModelDetail), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Segment(given): Segment,
    Parameters(at_least): Parameters<AtLeast>,
) -> Result<Json<ModelDetail>, Problem> {
    state.show_at_least(at_least.position()?).await?;
    let given = super::schema::id_or_name("model", given)?;
    one(
        "model",
        &given,
        state.queries().model(&given).await?,
        |row| row.model.id.as_str(),
    )
    .map(Json)
}

/// Tries a model that is in error again.
#[utoipa::path(
    post, path = "/v1/models/{id}/retry", tag = "models", operation_id = "retryModel",
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
    let accepted = state.commands().retry_model(&id, &caller).await?;
    Ok(answer(&state, accepted, wait, "models", false).await)
}

/// Deletes a model that nothing needs. Files that it was registered from stay; those that trainmaster made go.
#[utoipa::path(
    delete, path = "/v1/models/{id}", tag = "models", operation_id = "deleteModel",
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
    let accepted = state.commands().delete_model(&id, &caller).await?;
    Ok(answer(&state, accepted, wait, "models", false).await)
}
