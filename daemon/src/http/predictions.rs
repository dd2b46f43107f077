//! `/v1/predictions`: images are to be segmented.

use super::{
    AppState, Problem,
    answer::{Answer, Wait, answer},
    extract::{Body, Parameters},
};
use crate::commands::{Caller, Predict};
use axum::{extract::State, http::StatusCode, response::Response};

/// Queues a prediction, a job: `/v1/jobs/{id}` says how far it is and, in the end, what it found in each image.
#[utoipa::path(
    post, path = "/v1/predictions", tag = "segmentations", operation_id = "queuePrediction", request_body = Predict,
    params(Wait, ("Idempotency-Key" = Option<String>, Header, description = "Repeated under the same key, a request is done once.")),
    responses((status = 202, body = Answer, description = "The job is queued; Location names it."), (status = "default", body = Problem, content_type = "application/problem+json"))
)]
pub(super) async fn create(
    State(state): State<AppState>,
    caller: Caller,
    Parameters(wait): Parameters<Wait>,
    Body(command): Body<Predict>,
) -> Result<Response, Problem> {
    let wait = wait.duration(&state)?;
    let accepted = state.commands().predict(command, &caller).await?;
    let mut response = answer(&state, accepted, wait, "jobs", true).await;
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
