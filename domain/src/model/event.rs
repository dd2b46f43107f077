//! What can have happened to a language model.

use crate::{
    Lease, Task,
    attempt::{Claimed, Failed, LeaseExpired, Retried},
    model::Quantization,
};
use serde::{Deserialize, Serialize};

/// What can have happened to a language model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload")]
pub enum ModelEvent {
    /// Somebody wants to work with it.
    ModelRegistered(Registered),
    /// Its files are on this machine.
    ModelDownloaded(Downloaded),
    /// A worker took it, to look at its files.
    ModelClaimed(Claimed),
    /// Its files have been read: it is ready.
    ModelInspected(Inspected),
    /// It cannot be worked with.
    ModelFailed(Failed),
    /// The run that looked at it is gone without a word.
    ModelLeaseExpired(LeaseExpired),
    /// Another attempt is to be made.
    ModelRetried(Retried),
}

/// Somebody wants to work with a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// What people call it.
    pub name: String,
    /// Its family: `llama`, …
    pub architecture: String,
    /// How its weights are held.
    pub quantization: Quantization,
}

/// A model's files are on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downloaded {
    /// A GGUF file or a Hugging Face directory.
    pub file_path: String,
    /// Bytes of it.
    pub disk_size_bytes: i64,
}

/// What was found in a model's files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inspected {
    /// The run's lease.
    pub lease: Lease,
    /// The line of its journal.
    pub seq: u64,
    /// All parameters, tied ones once.
    pub params_count: i64,
    /// What a run on it needs in memory.
    pub memory_required_bytes: i64,
    /// Bytes of its files.
    pub disk_size_bytes: i64,
    /// `num_layers`, `hidden_size`, …
    pub architecture_config: serde_json::Value,
}

impl ModelEvent {
    /// As the log's `type` column holds it.
    #[must_use]
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::ModelRegistered(_) => "ModelRegistered",
            Self::ModelDownloaded(_) => "ModelDownloaded",
            Self::ModelClaimed(_) => "ModelClaimed",
            Self::ModelInspected(_) => "ModelInspected",
            Self::ModelFailed(_) => "ModelFailed",
            Self::ModelLeaseExpired(_) => "ModelLeaseExpired",
            Self::ModelRetried(_) => "ModelRetried",
        }
    }

    /// What it sets in motion.
    #[must_use]
    pub fn task(&self) -> Option<Task> {
        match self {
            Self::ModelDownloaded(_) => Some(Task::Dispatch { not_before: None }),
            Self::ModelRetried(retried) => Some(Task::Dispatch {
                not_before: retried.not_before,
            }),
            Self::ModelInspected(_) => Some(Task::Unblock),
            _ => None,
        }
    }
}
