//! Work that takes longer than a request may: its answer is a stream of JSON lines, a sign of life each second, then the
//! outcome.

use super::{AppState, Problem};
use crate::progress::Progress;
use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use futures::stream;
use serde::Serialize;
use std::{
    convert::Infallible,
    time::{Duration, Instant},
};
use tokio::{
    sync::{oneshot, watch},
    time::timeout,
};
use tracing::Instrument;
use utoipa::ToSchema;

/// A line of the stream: `working` and `progress` any number of times, then `done` or `problem` once.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Line<T> {
    /// It goes on.
    Working {
        /// For so long already.
        seconds: f64,
    },
    /// It is so far; after each `working` where it is known.
    Progress(Progress),
    /// It is done.
    Done(T),
    /// It could not be done.
    Problem(Problem),
}

const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

/// Streams the progress of `work`, which goes on even if nobody listens any more.
pub(super) fn answer<T, F>(state: &AppState, work: F) -> Result<Response, Problem>
where
    T: Serialize + Send + 'static,
    F: Future<Output = Result<T, Problem>> + Send + 'static,
{
    answer_telling(state, watch::Sender::default().subscribe(), work)
}

/// As [`answer`], with how far it is each time: nothing as long as the total is 0.
pub(super) fn answer_telling<T, F>(
    state: &AppState,
    progress: watch::Receiver<Progress>,
    work: F,
) -> Result<Response, Problem>
where
    T: Serialize + Send + 'static,
    F: Future<Output = Result<T, Problem>> + Send + 'static,
{
    let permit = state.stream_permit()?;
    let shutdown = state.shutdown().clone();
    let (sender, receiver) = oneshot::channel();
    tokio::spawn(
        async move {
            let _permit = permit;
            let outcome = tokio::select! {
                outcome = work => outcome,
                () = shutdown.cancelled() => return,
            };
            // Nobody may be listening.
            let _ = sender.send(outcome);
        }
        .in_current_span(),
    );
    let begin = Instant::now();
    let lines = stream::unfold(Some((receiver, progress)), move |state| async move {
        let (mut receiver, progress) = state?;
        let mut bytes = Vec::new();
        let line = match timeout(SIGN_OF_LIFE, &mut receiver).await {
            Err(_) => {
                let seconds = begin.elapsed().as_secs_f64();
                write(&Line::<T>::Working { seconds }, &mut bytes)?;
                let so_far = *progress.borrow();
                if so_far.total > 0 {
                    write(&Line::<T>::Progress(so_far), &mut bytes)?;
                }
                return Some((
                    Ok::<_, Infallible>(Bytes::from(bytes)),
                    Some((receiver, progress)),
                ));
            }
            Ok(Ok(Ok(outcome))) => Line::Done(outcome),
            Ok(Ok(Err(problem))) => Line::Problem(problem),
            Ok(Err(_)) => Line::Problem(Problem::shutting_down()),
        };
        write(&line, &mut bytes)?;
        Some((Ok(Bytes::from(bytes)), None))
    });
    Ok((
        [(header::CONTENT_TYPE, "application/x-ndjson")],
        Body::from_stream(lines),
    )
        .into_response())
}

fn write<T: Serialize>(line: &Line<T>, bytes: &mut Vec<u8>) -> Option<()> {
    serde_json::to_writer(&mut *bytes, line).ok()?;
    bytes.push(b'\n');
    Some(())
}
