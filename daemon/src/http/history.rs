//! `/v1/history` and `/v1/events/diff`: what was, and what changed.

use super::{
    AppState, Problem,
    extract::{Parameters, invalid_query},
    long_running,
};
use crate::{
    history::{History, HistoryError, Then},
    progress::Progress,
};
use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
    response::Response,
};
use serde::Deserialize;
use tokio::sync::watch;
use trainmaster_domain::{Category, StreamId};
use utoipa::IntoParams;

/// When.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct When {
    /// A time (RFC 3339), a position of the log, or how long ago, such as `2 hours ago`.
    #[param(example = "2026-01-01T12:00:00Z")]
    at: String,
}

/// A dataset, model, training, job, feature, template or preset as it was, folded from its events up to then.
#[utoipa::path(
    get, path = "/v1/history/{category}/{id}", tag = "events", operation_id = "showThen",
    params(("category" = String, Path, example = "training"), ("id" = String, Path), When),
    responses((status = 200, body = Then), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn show(
    State(state): State<AppState>,
    path: Result<Path<(String, String)>, PathRejection>,
    Parameters(when): Parameters<When>,
) -> Result<Json<Then>, Problem> {
    let Path((category, id)) = path.map_err(|rejection| {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_id", rejection.body_text())
    })?;
    let category: Category = category.parse().map_err(invalid_query)?;
    let id = super::schema::optional_id(Some(id))?.unwrap_or_default();
    let point = when.at.parse().map_err(invalid_query)?;
    let history = History::new(state.log().clone());
    Ok(Json(history.at(&StreamId::new(category, id), point).await?))
}

/// Between which points.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Between {
    /// What happened up to here is not told of: a time (RFC 3339), a position, or how long ago, such as `2 hours ago`.
    from: String,
    /// What happened up to here is told of; else all.
    to: Option<String>,
    /// So many things that changed are told of, 1 to 1000, else 200.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// What changed between two points. The answer is a stream of JSON lines: `{"working": {"seconds": …}}` each second, then
/// `{"done": {"events": …, "streams": …, "by_type": {…}, "items": […]}}` or `{"problem": …}`.
#[utoipa::path(
    get, path = "/v1/events/diff", tag = "events", operation_id = "diffEvents", params(Between),
    responses(
        (status = 200, body = String, content_type = "application/x-ndjson"),
        (status = "default", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn diff(
    State(state): State<AppState>,
    Parameters(between): Parameters<Between>,
) -> Result<Response, Problem> {
    let limit = between.limit.unwrap_or(200);
    if !(1..=1000).contains(&limit) {
        return Err(invalid_query("limit must be 1 to 1000"));
    }
    let from = between.from.parse().map_err(invalid_query)?;
    let to = between.to.as_deref().unwrap_or("0s");
    let to = to.parse().map_err(invalid_query)?;
    let history = History::new(state.log().clone());
    let (sender, progress) = watch::channel(Progress::default());
    long_running::answer_telling(&state, progress, async move {
        Ok(history.diff(from, to, limit, &sender).await?)
    })
}

impl From<HistoryError> for Problem {
    fn from(error: HistoryError) -> Self {
        let (status, code) = match error {
            HistoryError::Unknown(_) => (StatusCode::NOT_FOUND, "stream_not_found"),
            HistoryError::NotYet { .. } => (StatusCode::NOT_FOUND, "not_there_then"),
            HistoryError::Backwards { .. } => (StatusCode::BAD_REQUEST, "invalid_query"),
            HistoryError::TooMuch(_) => (StatusCode::UNPROCESSABLE_ENTITY, "too_much_changed"),
            HistoryError::Log(error) => return error.into(),
        };
        Self::new(status, code, error.to_string())
    }
}
