//! `/v1/datasets`.

use super::{
    AppState, Problem,
    answer::{Answer, Wait, answer},
    extract::{Body, Id, NoBody, Parameters, Segment},
    schema::{AtLeast, List, one},
};
use crate::{
    commands::{AddDataset, Caller, TokenizeDataset},
    queries::{Dataset, Page},
};
use axum::{Json, extract::State, response::Response};

const STATUSES: &[&str] = &["downloading", "ingesting", "tokenizing", "ready", "error"];

/// Datasets, the newest first.
#[utoipa::path(
    get, path = "/v1/datasets", tag = "datasets", operation_id = "listDatasets", params(List),
    responses((status = 200, body = Page<Dataset>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Parameters(list): Parameters<List>,
) -> Result<Json<Page<Dataset>>, Problem> {
    let asked = list.check(STATUSES)?;
    state.show_at_least(asked.at_least).await?;
    Ok(Json(
        state
            .queries()
            .datasets(
                asked.search.as_deref(),
                asked.status.as_deref(),
                asked.after.as_ref(),
                asked.limit,
            )
            .await?,
    ))
}

/// Registers text: of this machine, of the request itself, or of the Hugging Face hub. It is then fetched, read and tokenised.
#[utoipa::path(
    post, path = "/v1/datasets", tag = "datasets", operation_id = "addDataset", request_body = AddDataset,
    params(Wait, ("Idempotency-Key" = Option<String>, Header, description = "Repeated under the same key, a request is done once.")),
    responses((status = 201, body = Answer), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(wait): Parameters<Wait>,
    Body(command): Body<AddDataset>,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state.commands().add_dataset(command, &caller).await?;
    Ok(answer(&state, accepted, wait, "datasets", true).await)
}

/// A dataset, by its id or by a name that only one has.
#[utoipa::path(
    get, path = "/v1/datasets/{id}", tag = "datasets", operation_id = "getDataset",
    params(("id" = String, Path, description = "Its id, or a name that only one dataset has."), AtLeast),
    responses((status = 200, body = Dataset), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Segment(given): Segment,
    Parameters(at_least): Parameters<AtLeast>,
) -> Result<Json<Dataset>, Problem> {
    state.show_at_least(at_least.position()?).await?;
    let given = super::schema::id_or_name("dataset", given)?;
    one(
        "dataset",
        &given,
        state.queries().dataset(&given).await?,
        |row| row.id.as_str(),
    )
    .map(Json)
}

/// Tries a dataset that is in error again, from the stage that failed.
#[utoipa::path(
    post, path = "/v1/datasets/{id}/retry", tag = "datasets", operation_id = "retryDataset",
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
    let accepted = state.commands().retry_dataset(&id, &caller).await?;
    Ok(answer(&state, accepted, wait, "datasets", false).await)
}

/// Has a dataset tokenised for another model, too. Trainings on what there is go on.
#[utoipa::path(
    post, path = "/v1/datasets/{id}/tokenize", tag = "datasets", operation_id = "tokenizeDataset", request_body = TokenizeDataset,
    params(Wait, ("id" = String, Path), ("Idempotency-Key" = Option<String>, Header)),
    responses((status = 200, body = Answer), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn tokenize(
    State(state): State<AppState>,
    caller: Caller,
    Id(id): Id,
    Parameters(wait): Parameters<Wait>,
    Body(command): Body<TokenizeDataset>,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state
        .commands()
        .tokenize_dataset(&id, command, &caller)
        .await?;
    Ok(answer(&state, accepted, wait, "datasets", false).await)
}

/// Deletes a dataset that nothing needs. Files that it was registered from stay; those that trainmaster made go.
#[utoipa::path(
    delete, path = "/v1/datasets/{id}", tag = "datasets", operation_id = "deleteDataset",
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
    let accepted = state.commands().delete_dataset(&id, &caller).await?;
    Ok(answer(&state, accepted, wait, "datasets", false).await)
}
