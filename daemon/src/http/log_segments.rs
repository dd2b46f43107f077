//! `/v1/log/segments`, `/v1/log/archive`: the parts of the log, and taking the old ones out of the database.

use super::{
    AppState, Problem,
    extract::{NoBody, Parameters},
    long_running,
};
use crate::archive::{Archived, Segment, segments};
use axum::{Json, extract::State, http::StatusCode, response::Response};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// Every segment of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Segments {
    /// The first one first; the last one is open.
    items: Vec<Segment>,
}

/// The parts of the log: which are in the database, and which in files.
#[utoipa::path(
    get, path = "/v1/log/segments", tag = "log", operation_id = "listSegments",
    responses((status = 200, body = Segments), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn list(State(state): State<AppState>) -> Result<Json<Segments>, Problem> {
    let items = segments(state.pool()).await?;
    Ok(Json(Segments { items }))
}

/// What is to leave.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Segments leave whose events are all from before this time; else those that archive.after_days names.
    before: Option<DateTime<Utc>>,
    /// Only say which those are.
    #[serde(default)]
    dry_run: bool,
}

/// What has left.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Outcome {
    /// Segments that are in the archive now.
    archived: Vec<Archived>,
    /// Segments that would be, had it not been a dry run.
    due: Vec<Segment>,
}

/// Takes old segments out of the database. The answer is a stream of JSON lines: `{"working": {"seconds": …}}` each second, then
/// `{"done": {"archived": […], "due": […]}}` or `{"problem": …}`.
#[utoipa::path(
    post, path = "/v1/log/archive", tag = "log", operation_id = "archiveLog", params(Asked),
    responses(
        (status = 200, body = String, content_type = "application/x-ndjson"),
        (status = "default", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn archive(
    State(state): State<AppState>,
    Parameters(asked): Parameters<Asked>,
    NoBody: NoBody,
) -> Result<Response, Problem> {
    let nowhere = || {
        Problem::new(
            StatusCode::CONFLICT,
            "no_archive",
            "this daemon has no archive".to_owned(),
        )
    };
    let archiver = state.archiver().ok_or_else(nowhere)?;
    let before = asked.before.or_else(|| archiver.before()).ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_query",
            "archive.after_days is 0, so it must be said what is old: give before".to_owned(),
        )
    })?;
    long_running::answer(&state, async move {
        Ok(if asked.dry_run {
            Outcome {
                archived: Vec::new(),
                due: archiver.due(before).await?,
            }
        } else {
            Outcome {
                archived: archiver.archive(before).await?,
                due: Vec::new(),
            }
        })
    })
}
