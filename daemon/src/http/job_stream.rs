//! `/v1/jobs/{id}/stream`: a job's text and progress as its run tells them, as server-sent events.

mod teller;

use super::{AppState, Problem, extract::Id, jobs};
use axum::{
    extract::State,
    response::{
        IntoResponse, Response,
        sse::{self, KeepAlive, Sse},
    },
};
use futures::stream;
use std::{convert::Infallible, time::Duration};
use teller::{Teller, Told};
use tokio::sync::{OwnedSemaphorePermit, watch};

/// How often the journal of a run is looked at.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// What a job's run tells, from the beginning of its newest attempt, and how it ended. Events, whose data is JSON (and names the event
/// in `event`):
///
/// - `begun`: an attempt begins (`lease`); what was told before is void;
/// - `progress`: `stage` and `percent`;
/// - `text`: a piece of text (`variant` `plain` or `steered`, `text`, and how many `tokens` there are now);
/// - `end`: the job, as `GET /v1/jobs/{id}` shows it. Nothing follows.
///
/// A job that has ended is told again.
#[utoipa::path(
    get, path = "/v1/jobs/{id}/stream", tag = "jobs", operation_id = "streamJob", params(("id" = String, Path)),
    responses(
        (status = 200, body = String, content_type = "text/event-stream"),
        (status = "default", body = Problem, content_type = "application/problem+json")
    )
)]
pub(super) async fn stream(State(state): State<AppState>, Id(id): Id) -> Result<Response, Problem> {
    jobs::look(&state, &id).await?;
    let heartbeat = state.options().heartbeat;
    let follower = Follower {
        _permit: state.stream_permit()?,
        appended: state.log().appended(),
        state,
        id,
        teller: Teller::default(),
        ended: false,
    };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok::<_, Infallible>(event), follower))
    });
    Ok(Sse::new(events)
        .keep_alive(KeepAlive::new().interval(heartbeat).text("still here"))
        .into_response())
}

struct Follower {
    state: AppState,
    id: String,
    appended: watch::Receiver<u64>,
    teller: Teller,
    ended: bool,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// The next event; none behind the end, and at shutdown.
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(told) = self.teller.next() {
                return encode(&told);
            }
            if self.ended || self.state.shutdown().is_cancelled() {
                return None;
            }
            // First the log, then the journal: at the end nothing of it is missed.
            let Ok((shown, job)) = jobs::look(&self.state, &self.id).await else {
                // The client comes back, or its user reads the daemon's log.
                return None;
            };
            if self.teller.directory().is_none() {
                let directory = self.state.queries().job_directory(&self.id).await.ok()?;
                self.teller.read_in(directory);
            }
            let lease = job.attempts().lease;
            let more = self.teller.read(lease).await;
            if more {
                continue;
            }
            if job.status().is_active() {
                self.wait().await;
            } else {
                self.teller.complete(job.text());
                self.teller.end(&shown);
                self.ended = true;
            }
        }
    }

    /// Until the run may have told more.
    async fn wait(&mut self) {
        tokio::select! {
            () = self.state.shutdown().cancelled() => {}
            changed = self.appended.changed() => {
                if changed.is_err() {
                    tokio::time::sleep(BETWEEN_LOOKS).await;
                }
            }
            () = tokio::time::sleep(BETWEEN_LOOKS) => {}
        }
    }
}

fn encode(told: &Told) -> Option<sse::Event> {
    sse::Event::default()
        .event(told.name())
        .json_data(told)
        .ok()
}
