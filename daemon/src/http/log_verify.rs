//! `/v1/log/verify`: whether the log is as it was written.

use super::{AppState, Problem, long_running};
use crate::{log::VerifyError, progress::Progress, telemetry};
use axum::{extract::State, http::StatusCode, response::Response};
use tokio::sync::watch;

/// Checks every event's hash and place. The answer is a stream of JSON lines: `{"working": {"seconds": …}}` each second, with
/// `{"progress": {"done": …, "total": …, "unit": "events"}}`, then `{"done": {"events": …, "streams": …}}`, or `{"problem": …}` with code `log_broken` and the first faulty row.
#[utoipa::path(
    get, path = "/v1/log/verify", tag = "log", operation_id = "verifyLog",
    responses(
        (status = 200, body = String, content_type = "application/x-ndjson"),
        (status = "default", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn verify(State(state): State<AppState>) -> Result<Response, Problem> {
    let log = state.log().clone();
    let (sender, progress) = watch::channel(Progress::default());
    long_running::answer_telling(&state, progress, async move {
        let verified = log.verify_telling(&sender).await;
        if let Ok(_) | Err(VerifyError::Broken(_)) = &verified {
            telemetry::verified(verified.is_ok());
        }
        verified.map_err(|error| match error {
            VerifyError::Broken(finding) => {
                tracing::error!(%finding, "the log is not as it was written");
                Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "log_broken",
                    format!(
                        "{finding}. Stop the daemon, keep a copy of the database, and restore the log from a backup"
                    ),
                )
            }
            VerifyError::Log(error) => error.into(),
            error @ (VerifyError::Aside(_) | VerifyError::Form(_)) => Problem::internal(&error),
        })
    })
}
