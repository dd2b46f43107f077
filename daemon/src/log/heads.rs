//! Noting how far streams have got, now and then.

use super::{Log, LogError};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{instrument, warn};

/// How many events one statement notes the heads of.
const PAGE: i64 = 10_000;

impl Log {
    /// Notes how far each stream has got, for [`Log::verify`] to see when the end of one is gone. Returns how many events are
    /// covered that were not before.
    ///
    /// # Errors
    /// [`LogError::Database`].
    #[instrument(level = "debug", skip_all)]
    pub async fn note_heads(&self) -> Result<u64, LogError> {
        let mut covered = 0;
        loop {
            let page: i64 = sqlx::query_scalar("SELECT log.note_heads($1)")
                .bind(PAGE)
                .fetch_one(&self.pool)
                .await
                .map_err(LogError::database("note how far the streams have got"))?;
            covered += page.unsigned_abs();
            if page < PAGE {
                return Ok(covered);
            }
        }
    }

    /// Does so at once, at intervals as long as there is something new, and once more at the end. A failure is logged and made good by
    /// the next time.
    pub async fn keep_noting_heads(&self, interval: Duration, shutdown: CancellationToken) {
        let mut appended = self.appended();
        loop {
            appended.mark_unchanged();
            if let Err(error) = self.note_heads().await {
                let error: &dyn std::error::Error = &error;
                warn!(error, "how far the streams have got is not noted");
            }
            if shutdown.is_cancelled() {
                return;
            }
            let something_new = async {
                tokio::time::sleep(interval).await;
                // The sender lives as long as `self`.
                let _ = appended.changed().await;
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = something_new => {}
            }
        }
    }
}
