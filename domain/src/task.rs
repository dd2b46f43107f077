//! What an event sets in motion: the outbox row that is written in the event's transaction.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Work for the dispatcher, about the stream of the event that caused it. Carries no truth: whoever handles it looks at the
/// stream, and a task that is lost, repeated or late does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case")]
pub enum Task {
    /// Claim it and start its run, not before the given time.
    Dispatch {
        /// Back-off of a retry.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        not_before: Option<DateTime<Utc>>,
    },
    /// Tell its run what is asked of it.
    Control,
    /// It became ready: dispatch what waits for it.
    Unblock,
}
