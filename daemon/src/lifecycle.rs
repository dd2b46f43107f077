//! How the daemon lives and ends: signals, what the service manager is told, and how components are kept going.
//!
//! The first SIGTERM or SIGINT asks to finish and hand over, within a limit; the second, or the limit, ends at once. Runs go on in both
//! cases. SIGHUP reloads. A component that ends before it was asked to is started again with growing pauses; one that cannot stay up
//! ends the daemon with an error that names it, so that the service manager starts it afresh.

mod component;
mod health;
mod notify;

pub use component::{ComponentError, keep};
pub use health::Health;
pub use notify::{Watched, ready, reloading, status, stopping, watchdog};

use std::sync::Arc;
use std::time::Duration;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::Notify,
};
use tokio_util::sync::CancellationToken;

/// What the signals ask for. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    finish: CancellationToken,
    abort: CancellationToken,
    reload: Arc<Notify>,
}

impl Lifecycle {
    /// Listens to the signals of this process; a daemon that was asked to finish has `limit` for it.
    ///
    /// # Errors
    /// The handlers cannot be installed.
    pub fn of_process(limit: Duration) -> std::io::Result<Self> {
        let lifecycle = Self::default();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let told = lifecycle.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => told.asked("SIGTERM", limit),
                    _ = interrupt.recv() => told.asked("SIGINT", limit),
                    _ = hangup.recv() => told.reload.notify_one(),
                }
            }
        });
        Ok(lifecycle)
    }

    fn asked(&self, signal: &str, limit: Duration) {
        if self.finish.is_cancelled() {
            tracing::warn!(signal, "ending at once");
            self.abort.cancel();
            return;
        }
        tracing::info!(
            signal,
            limit_seconds = limit.as_secs_f64(),
            "finishing; a second signal ends at once"
        );
        self.finish(limit);
    }

    /// Asks to finish within `limit`.
    pub fn finish(&self, limit: Duration) {
        self.finish.cancel();
        let abort = self.abort.clone();
        tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            if !abort.is_cancelled() {
                tracing::warn!("finishing takes too long: ending at once");
                abort.cancel();
            }
        });
    }

    /// Cancelled when the daemon is to finish and hand over.
    #[must_use]
    pub fn finishing(&self) -> &CancellationToken {
        &self.finish
    }

    /// Cancelled when the daemon is to end at once.
    #[must_use]
    pub fn aborting(&self) -> &CancellationToken {
        &self.abort
    }

    /// Returns when the settings are to be read again.
    pub async fn reload_asked(&self) {
        self.reload.notified().await;
    }
}
