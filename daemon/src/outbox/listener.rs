//! One direct connection that listens: it tells the relay of new rows in the outbox, and the queue's worker of new tasks.

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Postgres' channel on which an insertion into the outbox is announced.
pub const OUTBOX_CHANNEL: &str = "trainmaster_outbox";
/// apalis' channel on which an insertion into its queue is announced.
pub const QUEUE_CHANNEL: &str = "apalis::job::insert";

/// Turns Postgres' notifications into wake-ups of this process; many at once become one.
pub struct Listener {
    options: PgConnectOptions,
    outbox: Arc<Notify>,
    queue: Arc<Notify>,
}

impl Listener {
    /// A listener on a connection of its own. `options` must lead to Postgres itself: a pooler in transaction mode never
    /// delivers notifications.
    #[must_use]
    pub fn new(options: PgConnectOptions, outbox: Arc<Notify>, queue: Arc<Notify>) -> Self {
        Self {
            options,
            outbox,
            queue,
        }
    }

    /// Listens until `shutdown`. A lost connection is made anew, with a back-off of 1 to 60 s.
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
        match self.connect().await {
            Err(error) => error,
            Ok(mut listener) => loop {
                match listener.try_recv().await {
                    Ok(Some(notification)) => self.wake(notification.channel()),
                    // The connection was lost: what was announced meanwhile is unknown.
                    Ok(None) => return sqlx::Error::WorkerCrashed,
                    Err(error) => return error,
                }
            },
        }
    }

    async fn connect(&self) -> Result<PgListener, sqlx::Error> {
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(10))
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_with(self.options.clone())
            .await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen_all([OUTBOX_CHANNEL, QUEUE_CHANNEL]).await?;
        debug!("listening");
        // Registered before anybody looks, so that nothing falls between looking and listening.
        self.outbox.notify_one();
        self.queue.notify_one();
        Ok(listener)
    }

    fn wake(&self, channel: &str) {
        if channel == OUTBOX_CHANNEL {
            self.outbox.notify_one();
        } else {
            self.queue.notify_one();
        }
    }
}
