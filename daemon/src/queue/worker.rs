//! The queue's worker: takes tasks one at a time, hands each to the handler, and is started again when it ends.

use super::{
    MAX_HANDOVERS, QueueOptions, QueueTask, housekeeping::put_aside_unreadable, wake::WakeStrategy,
};
use apalis::prelude::{
    Attempt, BackendExt, IntervalStrategy, Strategy, WorkerBuilder, WorkerBuilderExt,
    WorkerContext, WorkerError,
};
use apalis_postgres::{Config, PostgresStorage};
use sqlx::PgPool;
use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// Whatever stops a handler. The task counts as failed and is not tried again.
pub type HandlerError = Box<dyn std::error::Error + Send + Sync>;

type Handling = Pin<Box<dyn Future<Output = Result<(), HandlerError>> + Send>>;
type Working = Pin<Box<dyn Future<Output = Result<(), WorkerError>> + Send>>;
type Handler = Arc<dyn Fn(QueueTask) -> Handling + Send + Sync>;

/// Takes tasks from the queue.
pub struct QueueWorker {
    pool: PgPool,
    options: QueueOptions,
    host: String,
    notify: Arc<Notify>,
    handler: Handler,
}

impl QueueWorker {
    /// A worker that hands each task to `handler`, and looks for tasks whenever `notify` says so.
    pub fn new<H, F>(
        pool: PgPool,
        options: QueueOptions,
        host: impl Into<String>,
        notify: Arc<Notify>,
        handler: H,
    ) -> Self
    where
        H: Fn(QueueTask) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        Self {
            pool,
            options,
            host: host.into(),
            notify,
            handler: Arc::new(move |task| Box::pin(handler(task))),
        }
    }

    /// Works until `shutdown`, then finishes what it has in hand. Whatever ends it before that, a restart of Postgres for
    /// one, it is started again with a back-off of 1 to 60 s, under a name of its own each time.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut backoff = Duration::from_secs(1);
        while !shutdown.is_cancelled() {
            let since = Instant::now();
            let name = format!("{}-{}", self.host, ulid::Ulid::generate());
            match self.run_once(&name, &shutdown).await {
                Ok(()) if shutdown.is_cancelled() => break,
                Ok(()) => warn!(worker = name, "the queue's worker has ended"),
                Err(error) => warn!(worker = name, %error, "the queue's worker has failed"),
            }
            match put_aside_unreadable(&self.pool, &self.options).await {
                Ok(0) => {}
                Ok(tasks) => warn!(tasks, "tasks that cannot be read were put aside"),
                Err(error) => debug!(%error, "nobody knows whether a task cannot be read"),
            }
            if since.elapsed() > Duration::from_secs(60) {
                backoff = Duration::from_secs(1);
            }
            info!(
                seconds = backoff.as_secs(),
                "the queue's worker is started again"
            );
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(backoff) => {}
            }
            backoff = (backoff * 2).min(Duration::from_secs(60));
        }
    }

    async fn run_once(&self, name: &str, shutdown: &CancellationToken) -> Result<(), WorkerError> {
        let context = WorkerContext::new(name);
        let wake = WakeStrategy::default();
        let mut running = self.worker(&context, wake.clone());
        debug!(worker = name, "the queue's worker starts");
        tokio::select! {
            ended = &mut running => return ended,
            () = wake.wake_on(&self.notify) => {}
            () = shutdown.cancelled() => {}
        }
        if let Err(error) = context.stop() {
            debug!(%error, "the queue's worker was not running");
            return Ok(());
        }
        let limit = self.options.handler_limit + Duration::from_secs(2);
        match tokio::time::timeout(limit, running).await {
            Ok(ended) => ended,
            Err(_) => Ok(()),
        }
    }

    fn worker(&self, context: &WorkerContext, wake: WakeStrategy) -> Working {
        let config = Config::default()
            .queue(&self.options.name)
            .batch_size(1)
            .heartbeat_interval(self.options.heartbeat_interval)
            .missed_heartbeats(self.options.missed_heartbeats)
            // A task that is fetched is `Queued` under the worker's name until it is done: `Running` would tell nothing
            // more, and cost a write.
            .lock_tasks(false)
            .persist_results(true);
        let strategy = Strategy::new().apply(wake);
        let strategy = match self.options.poll_interval {
            Some(interval) => strategy.apply(IntervalStrategy::new(interval)),
            None => strategy,
        };
        let backend = PostgresStorage::<QueueTask>::new(&self.pool)
            .with_config(config)
            .poll_with_strategy(strategy);
        let handler = Arc::clone(&self.handler);
        let limit = self.options.handler_limit;
        let worker = WorkerBuilder::new(context)
            .backend(backend)
            .concurrency(self.options.concurrency)
            .build(move |task: QueueTask, attempt: Attempt| {
                handle(Arc::clone(&handler), limit, task, attempt)
            });
        Box::pin(worker.run())
    }
}

/// A handler of its own task: neither a panic nor a hang of one ends the worker.
async fn handle(
    handler: Handler,
    limit: Duration,
    task: QueueTask,
    attempt: Attempt,
) -> Result<(), HandlerError> {
    let stream = task.stream.clone();
    if attempt.current() > MAX_HANDOVERS {
        warn!(%stream, handovers = attempt.current(), "a task that ended its workers is put aside");
        return Ok(());
    }
    let mut handling = tokio::spawn(handler(task));
    match tokio::time::timeout(limit, &mut handling).await {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(error))) => {
            warn!(%stream, %error, "a task failed");
            Err(error)
        }
        Ok(Err(panic)) => {
            warn!(%stream, error = %panic, "a task panicked");
            Err(Box::new(panic))
        }
        Err(_) => {
            handling.abort();
            warn!(%stream, seconds = limit.as_secs_f64(), "a task took too long and was cut off");
            Err(format!("the task took longer than {} s", limit.as_secs_f64()).into())
        }
    }
}
