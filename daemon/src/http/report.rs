//! `/v1/trainings/{id}/report`: a training on one page.

use super::{
    AppState, Problem,
    extract::{Id, Parameters},
    schema::AtLeast,
};
use crate::report;
use axum::{
    extract::State,
    http::header,
    response::{Html, IntoResponse, Response},
};

/// A training on one self-contained HTML page: curves, evaluation, how often its features are active, the best of them with examples,
/// hyperparameters. It needs neither scripts nor a network.
#[utoipa::path(
    get, path = "/v1/trainings/{id}/report", tag = "trainings", operation_id = "getTrainingReport",
    params(("id" = String, Path), AtLeast),
    responses(
        (status = 200, body = String, content_type = "text/html"),
        (status = "default", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Id(id): Id,
    Parameters(at_least): Parameters<AtLeast>,
) -> Result<Response, Problem> {
    state.show_at_least(at_least.position()?).await?;
    let report = report::gather(state.queries(), &id)
        .await?
        .ok_or_else(|| Problem::no_training(&id))?;
    let page = report::page(&report).map_err(|error| Problem::internal(&error))?;
    Ok(([(header::X_CONTENT_TYPE_OPTIONS, "nosniff")], Html(page)).into_response())
}
