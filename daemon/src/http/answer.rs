//! The answer to a command: what it caused, and whether reads show it yet.

use super::{AppState, Problem, extract::invalid_query};
use crate::commands::Accepted;
use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// A command was accepted.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Answer {
    /// The dataset, model or training.
    id: String,
    /// The types of the events that it caused; none when what was asked for was so already.
    events: Vec<&'static str>,
    /// Where the last of them stands in the log; reads with `at_least` of it show it.
    #[schema(value_type = Option<String>, example = "812-33")]
    position: Option<String>,
    /// Whether it had been accepted before, under the same Idempotency-Key.
    repeated: bool,
    /// Whether reads show it already.
    visible: bool,
}

/// How long an answer waits for the read model.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Wait {
    /// Milliseconds that the answer may wait until reads show what was done: 0 to 20000, else 2000.
    #[param(minimum = 0, maximum = 20_000)]
    wait_ms: Option<u64>,
}

impl Wait {
    /// How long, checked before the command is given.
    pub(super) fn duration(self, state: &AppState) -> Result<Duration, Problem> {
        match self.wait_ms {
            None => Ok(state.options().wait),
            Some(ms @ 0..=20_000) => Ok(Duration::from_millis(ms)),
            Some(_) => Err(invalid_query("wait_ms must be 0 to 20000")),
        }
    }
}

/// Waits for the read model, then answers: 201 for what is new, 200 otherwise.
pub(super) async fn answer(
    state: &AppState,
    accepted: Accepted,
    wait: Duration,
    collection: &str,
    created: bool,
) -> Response {
    let visible = match accepted.position {
        None => true,
        Some(position) => state.wait_for(position, wait).await,
    };
    let status = if created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let location = format!("/v1/{collection}/{}", accepted.id);
    let repeated = accepted.repeated;
    let body = Answer {
        id: accepted.id,
        events: accepted.events,
        position: accepted.position.map(|position| position.to_string()),
        repeated,
        visible,
    };
    let mut response = (status, Json(body)).into_response();
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if repeated {
        response.headers_mut().insert(
            HeaderName::from_static("idempotency-replayed"),
            HeaderValue::from_static("true"),
        );
    }
    response
}
