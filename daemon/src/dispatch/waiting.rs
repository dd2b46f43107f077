//! What waits for a slot or for something else: found in the log, oldest first.

use super::{
    Dispatcher,
    start::{Cause, Dispatched},
};
use crate::log::LogError;
use sqlx::Row;
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
    /// Starts what waits and can start. Answers how much that was.
    pub(super) async fn dispatch_waiting(&self) -> Result<usize, WaitingError> {
        let rows = sqlx::query(include_str!("waiting.sql"))
            .fetch_all(self.log.pool())
            .await?;
        let mut started = 0;
        for row in rows {
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
                started += 1;
            }
        }
        Ok(started)
    }
}
