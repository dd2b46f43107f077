//! `/v1/extractions`: features of a training are wanted.

use super::{
    AppState, Problem,
    answer::{Answer, Wait, answer},
    extract::{Body, Parameters},
};
use crate::commands::{Caller, Extract};
use axum::{extract::State, http::StatusCode, response::Response};

/// Queues an extraction of the features of a training, a job. Each feature keeps its id through all extractions of a training, and what people
/// said of it.
#[utoipa::path(
    post, path = "/v1/extractions", tag = "features", operation_id = "queueExtraction", request_body = Extract,
    params(Wait, ("Idempotency-Key" = Option<String>, Header, description = "Repeated under the same key, a request is done once.")),
    responses((status = 202, body = Answer, description = "The job is queued; Location names it."), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(wait): Parameters<Wait>,
    Body(command): Body<Extract>,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state.commands().extract(command, &caller).await?;
    let mut response = answer(&state, accepted, wait, "jobs", true).await;
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
