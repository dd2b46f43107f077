//! One direct connection that listens and beats: it tells the relay of new rows in the outbox, the queue's worker of new tasks, and
//! whoever follows the log of what other processes have appended.

use crate::{
    heartbeat::{Beat, HeartbeatOptions, Pulse},
    log::Log,
};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Postgres' channel on which an insertion into the outbox is announced.
pub const OUTBOX_CHANNEL: &str = "trainmaster_outbox";
/// apalis' channel on which an insertion into its queue is announced.
pub const QUEUE_CHANNEL: &str = "apalis::job::insert";

/// Who is woken.
#[derive(Clone, Debug)]
pub struct Woken {
    /// The relay.
    pub outbox: Arc<Notify>,
    /// The queue's worker.
    pub queue: Arc<Notify>,
    /// Reconciliation: true when there is something to compare with what is really there.
    pub stirred: Arc<watch::Sender<bool>>,
    /// The log, for those who follow it.
    pub log: Log,
    /// The watchdog.
    pub pulse: Pulse,
}

/// Turns Postgres' notifications and what the heartbeat sees into wake-ups of this process; many at once become one.
pub struct Listener {
    connection: PgConnectOptions,
    options: HeartbeatOptions,
    woken: Woken,
}

impl Listener {
    /// A listener on a connection of its own. `connection` must lead to Postgres itself: a pooler in transaction mode never
    /// delivers notifications.
    #[must_use]
    pub const fn new(
        connection: PgConnectOptions,
        options: HeartbeatOptions,
        woken: Woken,
    ) -> Self {
        Self {
            connection,
            options,
            woken,
        }
    }

    /// Listens until `shutdown`. A lost connection is made anew, with a back-off of 1 to 60 s; before each attempt everybody is woken, so that
    /// work goes on, slower, where no connection can be had.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut backoff = Duration::from_secs(1);
        loop {
            let since = Instant::now();
            tokio::select! {
                () = shutdown.cancelled() => return,
                error = self.listen() => {
                    warn!(%error, seconds = backoff.as_secs(), "the listener has lost its connection");
                }
            }
            self.woken.everybody();
            if since.elapsed() > Duration::from_secs(60) {
                backoff = Duration::from_secs(1);
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(backoff) => {}
            }
            backoff = (backoff * 2).min(Duration::from_secs(60));
        }
    }

    async fn listen(&self) -> sqlx::Error {
        let mut listener = match self.connect().await {
            Ok(listener) => listener,
            Err(error) => return error,
        };
        let mut appended = self.woken.log.appended();
        let mut last = Beat::default();
        let mut next = Instant::now();
        loop {
            tokio::select! {
                received = listener.try_recv() => match received {
                    Ok(Some(notification)) => self.woken.notified(notification.channel()),
                    // The connection was lost: what was announced meanwhile is unknown.
                    Ok(None) => return sqlx::Error::WorkerCrashed,
                    Err(error) => return error,
                },
                // The sender lives as long as `self`.
                _ = appended.changed() => {}
                () = tokio::time::sleep_until(next) => {
                    let beat = match Beat::take(&mut listener, &self.options).await {
                        Ok(beat) => beat,
                        Err(error) => return error,
                    };
                    self.woken.felt(&beat, &last);
                    let is_quiet = !beat.has_work() && !beat.has_news(&last);
                    next = Instant::now() + if is_quiet { self.options.quiet } else { self.options.busy };
                    last = beat;
                    appended.mark_unchanged();
                    continue;
                }
            }
            next = next.min(Instant::now() + self.options.busy);
        }
    }

    async fn connect(&self) -> Result<PgListener, sqlx::Error> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(10))
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_with(self.connection.clone())
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen_all([OUTBOX_CHANNEL, QUEUE_CHANNEL]).await?;
        debug!("listening");
        // Registered before anybody looks, so that nothing falls between looking and listening.
        self.woken.everybody();
        Ok(listener)
    }
}

impl Woken {
    fn everybody(&self) {
        self.outbox.notify_one();
        self.queue.notify_one();
        self.stirred.send_replace(true);
        self.log.doubt();
    }

    fn notified(&self, channel: &str) {
        if channel == OUTBOX_CHANNEL {
            self.outbox.notify_one();
        } else {
            self.queue.notify_one();
        }
    }

    fn felt(&self, beat: &Beat, last: &Beat) {
        self.pulse.felt();
        if beat.has_due() {
            self.outbox.notify_one();
        }
        if beat.has_tasks() {
            self.queue.notify_one();
        }
        if beat.has_news(last) {
            self.log.look();
        }
        if beat.has_work() || beat.has_grown(last) {
            self.stirred.send_replace(true);
        }
    }
}
