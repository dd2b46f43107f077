//! Snapshots: states of long streams, kept in the database from one daemon to the next. A training of some days has tens of thousands of
//! events, and a daemon that starts while it runs would read all of them before the first report of its run.
//!
//! They save time and decide nothing. A snapshot is used by the very code that made it, and only on the history that it was made of:
//! the hash of its last event must be the one in the log. Whatever else is found is passed over, with a warning where it should not be
//! there, and the stream is read from its beginning.

use super::{Loaded, Log, LogError, states::Due};
use sqlx::Row;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{debug, instrument, warn};
use trainmaster_domain::{Aggregate, FINGERPRINT, StreamId};

/// A stream that has grown by so many events since its last snapshot gets another.
pub(super) const EVERY: u64 = 1_000;

/// How many are kept, the latest: more than there are long streams that are still worked on.
const KEPT: i64 = 256;

impl Log {
    /// The same log, which neither uses nor takes snapshots.
    #[must_use]
    pub fn without_snapshots(mut self) -> Self {
        self.uses_snapshots = false;
        self
    }

    /// The state of a stream as it was written down, if it was later than `version`, by this code and of this history.
    pub(super) async fn snapshot<A: Aggregate>(
        &self,
        stream: &StreamId,
        version: u64,
    ) -> Option<Loaded<A>> {
        if !self.uses_snapshots {
            return None;
        }
        self.find_snapshot(stream, version)
            .await
            .unwrap_or_else(|error| {
                let error: &dyn std::error::Error = &error;
                warn!(error, %stream, "its snapshot cannot be read: it is read from its beginning");
                None
            })
    }

    async fn find_snapshot<A: Aggregate>(
        &self,
        stream: &StreamId,
        version: u64,
    ) -> Result<Option<Loaded<A>>, sqlx::Error> {
        let row = sqlx::query(
            "SELECT s.version, s.code, s.state, s.event_hash IS NOT DISTINCT FROM e.hash AS stands \
             FROM snapshot.states s LEFT JOIN log.events e \
                 ON e.category = s.category AND e.stream_id = s.stream_id AND e.version = s.version \
             WHERE s.category = $1 AND s.stream_id = $2 AND s.version > $3",
        )
        .bind(stream.category.as_str())
        .bind(&stream.id)
        .bind(i64::try_from(version).unwrap_or(i64::MAX))
        .fetch_optional(&self.pool)
        .await?;
        let Some(row) = row else {
            return Ok(None);
        };
        let code: String = row.try_get("code")?;
        if code != FINGERPRINT {
            debug!(%stream, code, "its snapshot is another version's");
            return Ok(None);
        }
        if !row.try_get::<bool, _>("stands")? {
            warn!(%stream, "its snapshot stands on an event that is not in the database, or is another there: it is read from its beginning");
            return Ok(None);
        }
        let version: i64 = row.try_get("version")?;
        match serde_json::from_value(row.try_get("state")?) {
            Ok(state) => Ok(Some(Loaded {
                state,
                version: version.unsigned_abs(),
            })),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                warn!(error, %stream, "its snapshot is damaged: it is read from its beginning");
                Ok(None)
            }
        }
    }

    /// Takes a snapshot of each stream that was used lately and has grown long enough, and lets go of the oldest beyond what is kept.
    /// Returns how many it took.
    ///
    /// # Errors
    /// [`LogError::Database`].
    #[instrument(level = "debug", skip_all)]
    pub async fn take_snapshots(&self) -> Result<usize, LogError> {
        if !self.uses_snapshots {
            return Ok(0);
        }
        let due = self.states.due(EVERY);
        for Due {
            stream,
            version,
            state,
        } in &due
        {
            sqlx::query(
                "INSERT INTO snapshot.states (category, stream_id, version, event_hash, code, state) \
                 SELECT category, stream_id, version, hash, $4, $5 FROM log.events \
                 WHERE category = $1 AND stream_id = $2 AND version = $3 \
                 ON CONFLICT (category, stream_id) DO UPDATE SET version = EXCLUDED.version, \
                     event_hash = EXCLUDED.event_hash, code = EXCLUDED.code, state = EXCLUDED.state, taken_at = clock_timestamp()",
            )
            .bind(stream.category.as_str())
            .bind(&stream.id)
            .bind(i64::try_from(*version).unwrap_or(i64::MAX))
            .bind(FINGERPRINT)
            .bind(state)
            .execute(&self.pool)
            .await
            .map_err(LogError::database(format!("take a snapshot of {stream}")))?;
            self.states.taken(stream, *version);
        }
        if !due.is_empty() {
            sqlx::query(
                "DELETE FROM snapshot.states s USING (SELECT category, stream_id FROM snapshot.states ORDER BY taken_at DESC OFFSET $1) old \
                 WHERE s.category = old.category AND s.stream_id = old.stream_id",
            )
            .bind(KEPT)
            .execute(&self.pool)
            .await
            .map_err(LogError::database("let go of old snapshots"))?;
        }
        Ok(due.len())
    }

    /// Does so at intervals as long as there is something new, and once more at the end. A failure is logged and made good by the next time.
    pub async fn keep_taking_snapshots(&self, interval: Duration, shutdown: CancellationToken) {
        let mut appended = self.appended();
        loop {
            let something_new = async {
                tokio::time::sleep(interval).await;
                // The sender lives as long as `self`.
                let _ = appended.changed().await;
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = something_new => {}
            }
            appended.mark_unchanged();
            if let Err(error) = self.take_snapshots().await {
                let error: &dyn std::error::Error = &error;
                warn!(error, "long streams have no new snapshots");
            }
            if shutdown.is_cancelled() {
                return;
            }
        }
    }
}
