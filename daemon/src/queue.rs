//! The queue (apalis with apalis-postgres): a wake-up and a hand-over, never the truth.
//!
//! What apalis-postgres 1.0 does by itself, and what is done about it here:
//!
//! | it | therefore |
//! |---|---|
//! | sends no heartbeats for tasks it has fetched ahead, so another worker runs them again | one task is fetched at a time, heartbeat settings are explicit |
//! | stops heartbeats while it drains | a handler is cut off long before the window ends |
//! | keeps its worker alive by a transaction of four statements, however little there is to do | that is done once a day; what a dead worker left is found by its age, see [`rescue`] |
//! | leaves a task `Running` for good when a worker is killed and another of its name appears | every worker has a name that no other ever had |
//! | tries a failed task again at once, 25 times | one attempt a task: further ones are events of ours |
//! | hands a task that kills its process to the next one for ever | a task is handed over [`MAX_HANDOVERS`] times at most |
//! | can miss a notification, and polls at long intervals only | notifications wake it more than once, and an interval poll stands beside them |
//! | takes the client's clock for the due time | the database's clock is handed to it |
//! | ends its worker when Postgres restarts | it is started again, with back-off |
//! | ends its worker over a row that it cannot read, and every worker after it | such rows are put aside before it is started again |

mod housekeeping;
mod task;
mod wake;
mod worker;

pub use housekeeping::{SetupError, prune, put_aside_unreadable, rescue, setup};
pub use task::{PushError, QueueTask, push};
pub use worker::{HandlerError, QueueWorker};

use std::time::Duration;

/// How often a task is handed to a worker before it is put aside. The work itself is not lost: reconciliation looks at the
/// log, not at the queue.
pub const MAX_HANDOVERS: usize = 3;

/// Options of the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueOptions {
    /// The name of the queue (apalis' job type). Default `trainmaster`.
    pub name: String,
    /// How often it is looked at when nobody says so. Default: never, as dispatch's heartbeat does.
    pub poll_interval: Option<Duration>,
    /// How often a worker says that it lives. Default: once a day.
    pub heartbeat_interval: Duration,
    /// After how many missed heartbeats its tasks are given to others. Default 3.
    pub missed_heartbeats: usize,
    /// A task that was taken so long ago and is not done is given to others; well above `handler_limit`. Default 1 min.
    pub abandoned_after: Duration,
    /// How long a handler may take; well below `heartbeat_interval` × `missed_heartbeats`. Default 10 s.
    pub handler_limit: Duration,
    /// Handlers at the same time. Default 4.
    pub concurrency: usize,
    /// How long finished tasks are kept to be looked at. Default 1 h.
    pub keep_finished: Duration,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            name: "trainmaster".to_owned(),
            poll_interval: None,
            heartbeat_interval: Duration::from_secs(24 * 3600),
            missed_heartbeats: 3,
            abandoned_after: Duration::from_secs(60),
            handler_limit: Duration::from_secs(10),
            concurrency: 4,
            keep_finished: Duration::from_secs(3600),
        }
    }
}
