//! Dispatch: from tasks in the outbox to runs, and from the runs' journals to events.
//!
//! The log decides, the queue follows. A task says only where to look; what waits, what runs and under which lease is in the
//! log. So a task that comes twice finds its work taken, and one that never comes is made up for by reconciliation.

pub(crate) mod cluster;
mod device;
mod folds;
mod handler;
mod options;
mod plan;
mod reconcile;
pub(crate) mod runs;
pub(crate) mod slots;
mod start;
mod waiting;
pub(crate) mod work;

pub use device::Device;
pub use options::{DispatchOptions, SupervisionOptions};

use crate::{
    heartbeat::{HeartbeatOptions, Pulse},
    log::Log,
    outbox::{Listener, Relay, RelayOptions, Woken},
    queue::QueueWorker,
    slurm::{Poller, Slurm, SlurmOptions},
};
use runs::Runs;
use slots::Slots;
use sqlx::postgres::PgConnectOptions;
use std::{ops::Deref, sync::Arc, time::Duration};
use tokio::sync::{Notify, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};
use trainmaster_domain::{Lease, Metadata, StreamId};

/// How long what is in hand may take to be finished at shutdown.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(20);

/// The service that dispatches work and looks after runs.
pub struct Dispatch {
    dispatcher: Dispatcher,
    listener: PgConnectOptions,
    pulse: Pulse,
}

/// Why dispatch cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The state directory cannot be made.
    #[error("the state directory {path} cannot be used")]
    StateDirectory {
        /// Which.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The options contradict each other.
    #[error("{0}")]
    Options(String),
}

/// What all parts of dispatch share.
#[derive(Clone)]
pub(crate) struct Dispatcher(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) log: Log,
    pub(crate) options: DispatchOptions,
    /// Host and a ULID that is fresh in each process.
    pub(crate) worker_id: String,
    pub(crate) slots: Slots,
    /// The clusters; none: everything runs on this machine.
    pub(crate) slurm: Option<Slurm>,
    pub(crate) runs: Runs,
    /// Held by whoever gathers the folds of an array: each has a task of its own, and they come at once.
    gathering: tokio::sync::Mutex<()>,
    pub(crate) tracker: TaskTracker,
    /// Runs are handed over, nothing new is begun.
    pub(crate) shutdown: CancellationToken,
    /// Something that waited may be able to start.
    may_start: Arc<Notify>,
    /// Something went wrong that reconciliation mends.
    reconcile: Notify,
    /// Whether there is anything that reconciliation may find otherwise than it left it.
    stirred: Arc<watch::Sender<bool>>,
}

impl Deref for Dispatcher {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Dispatch {
    /// A dispatcher of what is in `log`. `listener` says how to reach its Postgres directly: a pooler in transaction mode never delivers
    /// notifications.
    ///
    /// # Errors
    /// [`DispatchError`] when it could never work.
    pub fn new(
        log: Log,
        listener: PgConnectOptions,
        options: DispatchOptions,
    ) -> Result<Self, DispatchError> {
        Self::with_clusters(log, listener, options, None)
    }

    /// The same, with clusters to send runs to.
    ///
    /// # Errors
    /// [`DispatchError`] when it could never work.
    pub fn with_clusters(
        log: Log,
        listener: PgConnectOptions,
        mut options: DispatchOptions,
        slurm: Option<(SlurmOptions, Vec<Poller>)>,
    ) -> Result<Self, DispatchError> {
        let runs = options.state_directory.join("runs");
        options.state_directory = std::fs::create_dir_all(&runs)
            .and_then(|()| options.state_directory.canonicalize())
            .map_err(|source| DispatchError::StateDirectory { path: runs, source })?;
        let window = options.queue.heartbeat_interval
            * u32::try_from(options.queue.missed_heartbeats).unwrap_or(u32::MAX);
        // apalis counts in whole seconds.
        if options.queue.handler_limit + Duration::from_secs(1) > window {
            return Err(DispatchError::Options(format!(
                "a handler of the queue may take {:?}, but is given to another worker after {window:?}",
                options.queue.handler_limit
            )));
        }
        let may_start = Arc::new(Notify::new());
        let shared = Shared {
            worker_id: format!("{}-{}", options.host, ulid::Ulid::generate()),
            slurm: slurm.map(|(slurm, pollers)| {
                Slurm::new(log.clone(), slurm, options.state_directory.clone(), pollers)
            }),
            slots: Slots::new(options.devices.clone(), Arc::clone(&may_start)),
            runs: Runs::default(),
            gathering: tokio::sync::Mutex::default(),
            tracker: TaskTracker::new(),
            shutdown: CancellationToken::new(),
            may_start,
            reconcile: Notify::new(),
            stirred: Arc::new(watch::Sender::new(true)),
            log,
            options,
        };
        Ok(Self {
            dispatcher: Dispatcher(Arc::new(shared)),
            listener,
            pulse: Pulse::default(),
        })
    }

    /// Tells `pulse` of each heartbeat.
    #[must_use]
    pub fn with_pulse(mut self, pulse: Pulse) -> Self {
        self.pulse = pulse;
        self
    }

    /// The name under which this process claims work.
    #[must_use]
    pub fn worker_id(&self) -> &str {
        &self.dispatcher.worker_id
    }

    /// Dispatches until `shutdown`; then what is in hand is finished, and runs are left to themselves and to the next daemon.
    pub async fn run(self, shutdown: CancellationToken) {
        let dispatcher = self.dispatcher;
        if !dispatcher.enlist_until(&shutdown).await {
            return;
        }
        let outbox = Arc::new(Notify::new());
        let queue = Arc::new(Notify::new());
        let pool = dispatcher.log.pool().clone();
        let relay = Relay::new(
            pool.clone(),
            RelayOptions {
                queue: dispatcher.options.queue.name.clone(),
                // The heartbeat says when something is due.
                poll_interval: None,
            },
            Arc::clone(&outbox),
            Arc::clone(&queue),
        );
        let listener = Listener::new(
            self.listener,
            HeartbeatOptions {
                busy: dispatcher
                    .options
                    .poll_interval
                    .min(dispatcher.options.heartbeat_interval),
                quiet: dispatcher.options.heartbeat_interval,
                queue: dispatcher.options.queue.name.clone(),
                abandoned_after: dispatcher.options.queue.abandoned_after,
            },
            Woken {
                outbox,
                queue: Arc::clone(&queue),
                stirred: Arc::clone(&dispatcher.stirred),
                log: dispatcher.log.clone(),
                pulse: self.pulse,
            },
        );
        let worker = QueueWorker::new(
            pool,
            dispatcher.options.queue.clone(),
            dispatcher.options.host.clone(),
            queue,
            {
                let dispatcher = dispatcher.clone();
                move |task| {
                    let dispatcher = dispatcher.clone();
                    async move { dispatcher.handle(task).await }
                }
            },
        );
        info!(worker = dispatcher.worker_id, "dispatch begins");
        let stop = CancellationToken::new();
        let parts = TaskTracker::new();
        parts.spawn(listener.run(stop.clone()));
        parts.spawn(relay.run(dispatcher.log.asked(), stop.clone()));
        parts.spawn(worker.run(stop.clone()));
        parts.spawn(dispatcher.clone().reconcile_until(stop.clone()));
        if let Some(slurm) = &dispatcher.slurm {
            slurm.run_pollers(&parts, &stop);
        }
        parts.close();
        shutdown.cancelled().await;
        stop.cancel();
        let finish = async {
            // Handlers first: what they start is then handed over with the rest.
            parts.wait().await;
            dispatcher.shutdown.cancel();
            dispatcher.tracker.close();
            dispatcher.tracker.wait().await;
            if let Some(slurm) = &dispatcher.slurm {
                slurm.leave().await;
            }
            dispatcher.release().await
        };
        match tokio::time::timeout(SHUTDOWN_LIMIT, finish).await {
            Ok(Ok(runs)) => info!(runs, "dispatch has ended; runs go on"),
            Ok(Err(error)) => {
                warn!(%error, "dispatch has ended, but its runs could not be released")
            }
            Err(_) => {
                dispatcher.shutdown.cancel();
                warn!("dispatch could not finish what it had in hand");
            }
        }
    }
}

impl Dispatcher {
    /// Metadata of a command of the daemon's own about a run.
    pub(crate) fn own_metadata(&self, command_id: String) -> Metadata {
        Metadata {
            correlation_id: command_id.clone(),
            command_id,
            causation_id: None,
            actor: "supervisor".to_owned(),
            traceparent: crate::telemetry::traceparent(),
        }
    }
}

/// A command id that is the same whenever the same thing is said about the same lease.
pub(crate) fn run_key(what: &str, stream: &StreamId, lease: Lease) -> String {
    format!("{what}/{}/{}/{lease}", stream.category, stream.id)
}
