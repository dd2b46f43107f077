//! What waits for a slot or for something else: found in the log, oldest first.

use super::{
    Dispatcher,
    start::{Cause, Dispatched},
};
use crate::log::LogError;
use sqlx::Row;
use std::time::Duration;
use tracing::debug;
use trainmaster_domain::{Category, StreamId};

/// Why waiting work could not be looked through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WaitingError {
    #[error("what waits cannot be read")]
    Database(#[from] sqlx::Error),
    #[error("what waits cannot be started")]
    Log(#[from] LogError),
}

impl Dispatcher {
    /// Starts what waits and can start. Answers how long until the next of what must wait for its time.
    pub(super) async fn dispatch_waiting(&self) -> Result<Option<Duration>, WaitingError> {
        let rows = sqlx::query(include_str!("waiting.sql"))
            .fetch_all(self.log.pool())
            .await?;
        let mut next_due = None;
        for row in rows {
            if let Some(seconds) = row.try_get::<Option<f64>, _>("due_in")?
                && seconds > 0.0
            {
                let time = Duration::from_secs_f64(seconds.min(3600.0));
                next_due = Some(next_due.map_or(time, |due: Duration| due.min(time)));
                continue;
            }
            let Ok(category) = row.try_get::<&str, _>("category")?.parse::<Category>() else {
                continue;
            };
            let stream = StreamId::new(category, row.try_get::<String, _>("stream_id")?);
            let cause = Cause {
                correlation_id: row.try_get("correlation_id")?,
                causation_id: row.try_get("causation_id")?,
                traceparent: row.try_get("traceparent")?,
                asked_at: None,
            };
            if self.dispatch(&stream, &cause).await? == Dispatched::Started {
                debug!(%stream, "had waited");
            }
        }
        Ok(next_due)
    }
}
