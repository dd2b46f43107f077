//! Bounds on how many requests are worked on at once and how long each may take.

use super::{AppState, Problem};
use axum::{
    extract::{Request, State},
    http::StatusCode,
    middleware::Next,
    response::{IntoResponse, Response},
};

/// Works on a request within the bounds. Health is answered whatever else goes on.
pub(super) async fn limit(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let is_health = request.uri().path().starts_with("/health/");
    let _permit = match state.request_permit() {
        Some(permit) => Some(permit),
        None if is_health => None,
        None => {
            return Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "too many requests are worked on at once; ask again in a moment",
            )
            .retry_after(1)
            .into_response();
        }
    };
    let limit = state.options().request_timeout;
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "timed_out",
            format!(
                "there was no answer within {} seconds; whether a command was accepted can be told by sending it again \
                 with the same Idempotency-Key",
                limit.as_secs()
            ),
        )
        .retry_after(2)
        .into_response(),
    }
}
