//! `/v1/events/stream`: the log as it grows, as server-sent events.

use super::{
    AppState, Problem,
    events::{Event, Filter, behind, position},
    extract::{Parameters, invalid_query},
};
use axum::{
    extract::State,
    http::HeaderMap,
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures::stream;
use serde::Deserialize;
use std::{collections::VecDeque, convert::Infallible, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, watch};
use trainmaster_domain::{Position, RecordedEvent};
use utoipa::IntoParams;

/// Says behind which position a stream begins: reads with `at_least` of it and the stream together miss nothing.
pub(crate) const POSITION: &str = "trainmaster-position";

/// Which events.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    /// Only those of `dataset`, `model` or `training` streams.
    category: Option<String>,
    /// Only those of this dataset, model or training.
    stream: Option<String>,
    /// Only those of this type.
    #[serde(rename = "type")]
    kind: Option<String>,
    /// From behind this position (`0-0`: from the beginning); else from now on. `Last-Event-ID` comes before it.
    #[param(example = "812-33")]
    after: Option<String>,
}

/// Events as they happen. Each has its position as `id`, its type as `event` and the same JSON as `/v1/events` as `data`; a
/// client that comes back with `Last-Event-ID` misses none and gets none twice.
#[utoipa::path(
    get, path = "/v1/events/stream", tag = "events", operation_id = "streamEvents",
    params(Asked, ("Last-Event-ID" = Option<String>, Header, description = "The position of the last event that was received.")),
    responses(
        (status = 200, body = String, content_type = "text/event-stream"),
        (status = "default", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn stream(
    State(state): State<AppState>,
    headers: HeaderMap,
    Parameters(asked): Parameters<Asked>,
) -> Result<Response, Problem> {
    let filter = Filter::new(asked.category, asked.stream, asked.kind)?;
    let last = match headers.get("last-event-id") {
        None => None,
        Some(value) => Some(
            value
                .to_str()
                .unwrap_or_default()
                .parse::<Position>()
                .map_err(|error| invalid_query(format!("Last-Event-ID: {error}")))?,
        ),
    };
    let from = match last {
        Some(last) => Some(last),
        None => position(asked.after)?,
    };
    let permit = state.stream_permit()?;
    // Registered before the log is looked at, so that nothing is missed between the two.
    let appended = state.log().appended();
    let at = match from {
        Some(at) => at,
        None => state.log().head().await?,
    };
    let heartbeat = state.options().heartbeat;
    let begin = [(POSITION, at.to_string())];
    let follower = Follower {
        state,
        filter,
        at,
        appended,
        ready: VecDeque::new(),
        behind: true,
        retry: Duration::from_millis(250),
        _permit: permit,
    };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    let events =
        Sse::new(events).keep_alive(KeepAlive::new().interval(heartbeat).text("still here"));
    Ok((begin, events).into_response())
}

/// Reads behind a position, a page at a time and only as fast as the client takes it.
struct Follower {
    state: AppState,
    filter: Filter,
    at: Position,
    appended: watch::Receiver<u64>,
    ready: VecDeque<RecordedEvent>,
    /// Whether there may be more to read now.
    behind: bool,
    retry: Duration,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// The next event; none at shutdown.
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if self.state.shutdown().is_cancelled() {
                return None;
            }
            if let Some(recorded) = self.ready.pop_front() {
                match Event::try_from(recorded).and_then(|event| encode(&event)) {
                    Ok(event) => return Some(event),
                    // The client comes back, or its user reads the daemon's log; nothing is skipped silently.
                    Err(_) => return None,
                }
            }
            if !self.behind {
                self.wait(self.state.options().poll).await;
            }
            match behind(&self.state, self.at, &self.filter).await {
                Ok((page, end, full)) => {
                    self.ready.extend(page);
                    self.at = end;
                    self.behind = full;
                    self.retry = Duration::from_millis(250);
                }
                Err(error) => {
                    tracing::warn!(%error, "an event stream waits for the log");
                    tokio::select! {
                        () = self.state.shutdown().cancelled() => return None,
                        () = tokio::time::sleep(self.retry) => {}
                    }
                    self.retry = (self.retry * 2).min(Duration::from_secs(10));
                }
            }
        }
    }

    /// Until something is appended here, or may have been elsewhere.
    async fn wait(&mut self, poll: Duration) {
        tokio::select! {
            () = self.state.shutdown().cancelled() => {}
            changed = self.appended.changed() => {
                if changed.is_err() {
                    tokio::time::sleep(poll).await;
                }
            }
            () = tokio::time::sleep(poll) => {}
        }
    }
}

fn encode(event: &Event) -> Result<sse::Event, Problem> {
    let data = serde_json::to_string(event).map_err(|error| Problem::internal(&error))?;
    Ok(sse::Event::default()
        .id(event.position.clone())
        .event(event.kind)
        .data(data))
}
