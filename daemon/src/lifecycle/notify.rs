//! What the service manager is told (sd_notify). Without one, nothing happens.

use super::Health;
use crate::{database::Database, heartbeat::Pulse};
use sd_notify::NotifyState;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager cannot be told");
    }
}

/// The daemon answers requests.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// What the daemon is doing, for `systemctl status`.
pub fn status(status: &str) {
    tell(&[NotifyState::Status(status)]);
}

/// The daemon is reading its settings again; [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The daemon is ending.
pub fn stopping() {
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status("finishing; runs go on"),
    ]);
}

/// What has to work for the watchdog to be content.
pub struct Watched {
    /// It must answer.
    pub database: Database,
    /// All components must be up.
    pub health: Health,
    /// The heart that beats shows that the database answers, and nobody else has to ask.
    pub pulse: Pulse,
    /// How long the heart may take between two beats.
    pub beats_within: Duration,
}

/// Tells the service manager's watchdog, twice in its interval, that the daemon works; only while it does. Ends with `shutdown`, and at once when
/// there is no watchdog.
pub async fn watchdog(watched: Watched, shutdown: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
        return;
    };
    let mut ticks = tokio::time::interval(limit / 2);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut was_well = true;
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let trouble = watched.trouble(limit / 4).await;
        match &trouble {
            None if was_well => tell(&[NotifyState::Watchdog]),
            None => tell(&[NotifyState::Watchdog, NotifyState::Status("ready")]),
            Some(trouble) => {
                tracing::error!(
                    trouble,
                    "not well: the service manager's watchdog is not answered"
                );
                tell(&[NotifyState::Status(trouble)]);
            }
        }
        was_well = trouble.is_none();
    }
}

impl Watched {
    async fn trouble(&self, within: Duration) -> Option<String> {
        let down = self.health.down();
        if !down.is_empty() {
            return Some(format!("{} down", down.join(", ")));
        }
        if self.pulse.is_felt_within(self.beats_within) {
            return None;
        }
        self.database
            .ping(within)
            .await
            .err()
            .map(|error| error.to_string())
    }
}
