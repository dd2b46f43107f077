//! The log decides, the rest follows: at the start and at intervals whatever the queue or an earlier daemon left undone is done.

use super::Dispatcher;
use crate::queue;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use trainmaster_domain::{Category, StreamId};

/// How often finished tasks are removed from the queue.
const PRUNE_INTERVAL: Duration = Duration::from_secs(300);

impl Dispatcher {
    /// Reconciles at once, at intervals as long as anything goes on, and starts what waited whenever something may start.
    pub(super) async fn reconcile_until(self, stop: CancellationToken) {
        let mut stirred = self.stirred.subscribe();
        let mut not_before = Instant::now();
        let mut next_due: Option<Instant> = None;
        let mut pruned: Option<Instant> = None;
        let mut backoff = Duration::from_secs(1);
        loop {
            let everything = tokio::select! {
                () = stop.cancelled() => return,
                () = async {
                    // The sender lives as long as `self`.
                    let _ = stirred.wait_for(|stirred| *stirred).await;
                    tokio::time::sleep_until(not_before).await;
                } => true,
                () = at(next_due) => false,
                () = self.reconcile.notified() => true,
                () = self.may_start.notified() => false,
            };
            let done = async {
                if everything {
                    // What comes from here on is for the next time.
                    self.stirred.send_replace(false);
                    self.reconcile().await?;
                    if pruned.is_none_or(|at| at.elapsed() > PRUNE_INTERVAL) {
                        let tasks = queue::prune(self.log.pool(), &self.options.queue).await?;
                        debug!(tasks, "finished tasks have been removed");
                        pruned = Some(Instant::now());
                    }
                }
                Ok::<_, Failure>(self.dispatch_waiting().await?)
            };
            let done = tokio::select! {
                () = stop.cancelled() => return,
                done = done => done,
            };
            not_before = Instant::now() + self.options.reconcile_interval;
            match done {
                Ok(waiting) => {
                    next_due = waiting.map(|time| Instant::now() + time);
                    backoff = Duration::from_secs(1);
                }
                Err(error) => {
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
        if let Some(slurm) = &self.slurm {
            // Before their runs: these want to know what executes them.
            let jobs = slurm.take_up_if_disturbed().await?;
            if jobs > 0 {
                info!(jobs, "jobs of clusters are followed again");
            }
        }
        let recovered = self.recover().await?;
        let adopted = self.adopt().await?;
        if recovered + adopted > 0 {
            info!(recovered, adopted, "runs have been taken over");
        }
        self.repeat_requests().await?;
        let rescued = queue::rescue(self.log.pool(), &self.options.queue).await?;
        if rescued > 0 {
            info!(
                tasks = rescued,
                "tasks of a process that is gone are given to others"
            );
        }
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

/// For ever, where there is no time.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn complain(error: &(dyn std::error::Error + 'static), backoff: Duration) {
    warn!(error, seconds = backoff.as_secs(), "reconciliation waits");
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
