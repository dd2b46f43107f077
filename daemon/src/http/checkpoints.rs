//! `/v1/trainings/{id}/checkpoints`.

use super::{
    AppState, Problem,
    extract::{Id, Parameters, invalid_query},
    schema::{limit, optional_position},
};
use crate::queries::{Checkpoint, Page};
use axum::{Json, extract::State};
use serde::Deserialize;
use utoipa::IntoParams;

/// Which checkpoints.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Where the last page ended: its `next`.
    after: Option<String>,
    /// Rows of the page, 1 to 500, else 50.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Wait until reads show this position of the log.
    at_least: Option<String>,
}

/// Checkpoints of a training, the newest first.
#[utoipa::path(
    get, path = "/v1/trainings/{id}/checkpoints", tag = "trainings", operation_id = "listCheckpoints",
    params(("id" = String, Path), Asked),
    responses((status = 200, body = Page<Checkpoint>), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(
    State(state): State<AppState>,
    Id(id): Id,
    Parameters(asked): Parameters<Asked>,
) -> Result<Json<Page<Checkpoint>>, Problem> {
    let before = asked
        .after
        .map(|text| text.parse())
        .transpose()
        .map_err(|_| invalid_query("after: it is not what a page gave as `next`"))?;
    let limit = limit(asked.limit)?;
    state
        .show_at_least(optional_position(asked.at_least)?)
        .await?;
    let page = state.queries().checkpoints(&id, before, limit).await?;
    if page.items.is_empty() && !state.queries().has_training(&id).await? {
        return Err(Problem::not_found("training", &id));
    }
    Ok(Json(page))
}
