//! The log decides, the rest follows: at the start and at intervals whatever the queue or an earlier daemon left undone is done.

use super::Dispatcher;
use crate::{queue, telemetry::instruments};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use trainmaster_domain::{Category, StreamId};

/// How often finished tasks are removed from the queue.
const PRUNE_INTERVAL: Duration = Duration::from_secs(300);

impl Dispatcher {
    /// Reconciles at once and at intervals, and starts what waited whenever something may start.
    pub(super) async fn reconcile_until(self, stop: CancellationToken) {
        let mut interval = tokio::time::interval(self.options.reconcile_interval);
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pruned: Option<Instant> = None;
        let mut backoff = Duration::from_secs(1);
        loop {
            let everything = tokio::select! {
                () = stop.cancelled() => return,
                _ = interval.tick() => true,
                () = self.reconcile.notified() => true,
                () = self.may_start.notified() => false,
            };
            let done = async {
                if everything {
                    self.reconcile().await?;
                    if pruned.is_none_or(|at| at.elapsed() > PRUNE_INTERVAL) {
                        let tasks = queue::prune(self.log.pool(), &self.options.queue).await?;
                        debug!(tasks, "finished tasks have been removed");
                        pruned = Some(Instant::now());
                    }
                }
                self.dispatch_waiting().await?;
                Ok::<_, Failure>(())
            };
            let failed = tokio::select! {
                () = stop.cancelled() => return,
                done = done => done.err(),
            };
            match failed {
                None => backoff = Duration::from_secs(1),
                Some(error) => {
                    complain(error.as_ref(), backoff);
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = tokio::time::sleep(backoff) => self.reconcile.notify_one(),
                    }
                    backoff = (backoff * 2).min(Duration::from_secs(60));
                }
            }
        }
    }

    async fn reconcile(&self) -> Result<(), Failure> {
        let recovered = self.recover().await?;
        let adopted = self.adopt().await?;
        if recovered + adopted > 0 {
            info!(recovered, adopted, "runs have been taken over");
        }
        self.repeat_requests().await?;
        self.measure_depths().await?;
        Ok(())
    }

    /// Writes down which process this is, before it claims anything. False when `shutdown` came first.
    pub(super) async fn enlist_until(&self, shutdown: &CancellationToken) -> bool {
        let mut backoff = Duration::from_secs(1);
        loop {
            let Err(error) = self.enlist().await else {
                return true;
            };
            warn!(%error, seconds = backoff.as_secs(), "dispatch waits for the database");
            tokio::select! {
                () = shutdown.cancelled() => return false,
                () = tokio::time::sleep(backoff) => {}
            }
            backoff = (backoff * 2).min(Duration::from_secs(60));
        }
    }

    async fn enlist(&self) -> Result<(), sqlx::Error> {
        sqlx::query(
            "INSERT INTO dispatch.workers (worker_id, host, state_directory) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        )
        .bind(&self.worker_id)
        .bind(&self.options.host)
        .bind(self.options.state_directory.to_string_lossy())
        .execute(self.log.pool())
        .await?;
        Ok(())
    }

    /// Requests whose task was lost on the way to their run.
    async fn repeat_requests(&self) -> Result<(), Failure> {
        let ids: Vec<String> = sqlx::query_scalar(
            "SELECT id
               FROM dispatch.runs
              WHERE ended_at IS NULL AND category = 'training' AND request IS DISTINCT FROM 'stop'
                AND (SELECT type
                       FROM log.events
                      WHERE events.category = runs.category AND events.stream_id = runs.id
                        AND type IN ('TrainingClaimed', 'PauseRequested', 'StopRequested')
                      ORDER BY version DESC LIMIT 1)
                    IS DISTINCT FROM CASE WHEN request = 'pause' THEN 'PauseRequested' ELSE 'TrainingClaimed' END",
        )
        .fetch_all(self.log.pool())
        .await?;
        for id in ids {
            self.control(&StreamId::new(Category::Training, id)).await?;
        }
        Ok(())
    }

    async fn measure_depths(&self) -> Result<(), sqlx::Error> {
        let (outbox, queue): (i64, i64) = sqlx::query_as(
            "SELECT (SELECT count(*) FROM log.outbox),
                    (SELECT count(*) FROM apalis.jobs WHERE job_type = $1 AND status IN ('Pending', 'Queued', 'Running'))",
        )
        .bind(&self.options.queue.name)
        .fetch_one(self.log.pool())
        .await?;
        instruments()
            .outbox_depth
            .record(outbox.cast_unsigned(), &[]);
        instruments().queue_depth.record(queue.cast_unsigned(), &[]);
        Ok(())
    }

    /// Lets other daemons take over this one's runs at once. Answers how many there are.
    pub(super) async fn release(&self) -> Result<u64, sqlx::Error> {
        let released = sqlx::query(
            "UPDATE dispatch.runs SET supervised_until = now() WHERE supervisor = $1 AND ended_at IS NULL",
        )
        .bind(&self.worker_id)
        .execute(self.log.pool())
        .await?;
        Ok(released.rows_affected())
    }
}

fn complain(error: &(dyn std::error::Error + 'static), backoff: Duration) {
    warn!(error, seconds = backoff.as_secs(), "reconciliation waits");
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
