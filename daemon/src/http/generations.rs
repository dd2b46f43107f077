//! `/v1/generations`: text, plain and steered.

use super::{
    AppState, Problem,
    answer::{Answer, Wait, answer},
    extract::{Body, Parameters},
};
use crate::commands::{Caller, QueueGeneration};
use axum::{extract::State, http::StatusCode, response::Response};

/// Queues a generation, a job: `/v1/jobs/{id}/stream` tells the text as it is written, `/v1/jobs/{id}` the whole of it.
#[utoipa::path(
    post, path = "/v1/generations", tag = "jobs", operation_id = "queueGeneration", request_body = QueueGeneration,
    params(Wait, ("Idempotency-Key" = Option<String>, Header, description = "Repeated under the same key, a request is done once.")),
    responses((status = 202, body = Answer), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(wait): Parameters<Wait>,
    Body(command): Body<QueueGeneration>,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state.commands().generate(command, &caller).await?;
    let mut response = answer(&state, accepted, wait, "jobs", true).await;
    // It is begun, not made.
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
