//! What a run is asked to do next: the file `control`.

use crate::Lease;
use serde::{Deserialize, Serialize};

/// A request to the trainer. It looks at least once a heartbeat and between steps, and ignores a request that carries
/// another lease than its own. SIGTERM has the meaning of [`Request::Pause`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Control {
    /// Whom the request is for.
    pub lease: Lease,
    /// What is asked.
    pub request: Request,
}

/// What can be asked of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Write a checkpoint, say `paused`, exit.
    Pause,
    /// Write the result from what is trained so far, say `stopped`, exit.
    Stop,
}
