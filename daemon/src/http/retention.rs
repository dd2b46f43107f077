//! `/v1/retention`: what has grown old, and letting it go.

use super::{AppState, Problem, extract::NoBody};
use crate::retention::{Done, Plan, RetentionError};
use axum::{Json, extract::State};

/// What would go now by the policy that the daemon is set to. Nothing goes.
#[utoipa::path(
    get, path = "/v1/retention/plan", tag = "retention", operation_id = "planRetention",
    responses((status = 200, body = Plan), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn plan(State(state): State<AppState>) -> Result<Json<Plan>, Problem> {
    Ok(Json(state.retention().plan().await?))
}

/// Lets go what the plan lists, as events; the files of checkpoints go after them.
#[utoipa::path(
    post, path = "/v1/retention/run", tag = "retention", operation_id = "runRetention",
    responses((status = 200, body = Done), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn run(
    State(state): State<AppState>,
    NoBody: NoBody,
) -> Result<Json<Done>, Problem> {
    Ok(Json(state.retention().run().await?))
}

impl From<RetentionError> for Problem {
    fn from(error: RetentionError) -> Self {
        Self::internal(&error)
    }
}
