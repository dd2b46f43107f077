//! `/v1/log/verify`: whether the log is as it was written.

use super::{
    AppState, Problem,
    extract::{Parameters, invalid_query},
    long_running,
};
use crate::{
    log::{VerifyError, VerifyOptions},
    progress::Progress,
    telemetry,
};
use axum::{extract::State, http::StatusCode, response::Response};
use serde::Deserialize;
use tokio::sync::watch;
use utoipa::IntoParams;

/// What to look at beyond the events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// A line of `GET /v1/log/head` that was kept: the log must contain what it speaks of.
    head: Option<String>,
    /// Whether the files that events name are looked at, too: else not.
    artifacts: Option<bool>,
}

/// Checks every event's hash and place. The answer is a stream of JSON lines: `{"working": {"seconds": …}}` each second, with
/// `{"progress": {"done": …, "total": …, "unit": "events"}}`, then `{"done": {"events": …, "streams": …}}`, or `{"problem": …}` with code
/// `log_broken` and the first faulty row, or `log_truncated` where it is not what the head speaks of. Files that are missing or altered are
/// in `done`: `{"artifacts": {"intact": …, "bytes": …, "faulty": …, "faults": […]}}`.
#[utoipa::path(
    get, path = "/v1/log/verify", tag = "log", operation_id = "verifyLog", params(Asked),
    responses(
        (status = 200, body = String, content_type = "application/x-ndjson"),
        (status = "default", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn verify(
    State(state): State<AppState>,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Problem> {
    let head = asked
        .head
        .map(|line| line.parse())
        .transpose()
        .map_err(|error| invalid_query(format!("head: {error}")))?;
    let options = VerifyOptions {
        head,
        artifacts: asked.artifacts.unwrap_or(false).then(|| {
            state
                .options()
                .datasets_directory
                .clone()
                .unwrap_or_default()
        }),
    };
    let log = state.log().clone();
    let (sender, progress) = watch::channel(Progress::default());
    long_running::answer_telling(&state, progress, async move {
        let verified = log.verify_with(options, &sender).await;
        if let Ok(_) | Err(VerifyError::Broken(_) | VerifyError::Head(_)) = &verified {
            telemetry::verified(verified.is_ok());
        }
        verified.map_err(problem)
    })
}

fn problem(error: VerifyError) -> Problem {
    const NEXT: &str =
        "Stop the daemon, keep a copy of the database, and restore the log from a backup";
    let code = match &error {
        VerifyError::Broken(_) => "log_broken",
        VerifyError::Head(_) => "log_truncated",
        VerifyError::Log(_) | VerifyError::Aside(_) | VerifyError::Form(_) => {
            return Problem::internal(&error);
        }
    };
    tracing::error!(%error, "the log is not as it was written");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        code,
        format!("{error}. {NEXT}"),
    )
}
