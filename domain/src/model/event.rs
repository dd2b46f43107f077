//! What can have happened to a language model.

use crate::{
    Lease, Task,
    attempt::{Claimed, Failed, LeaseExpired, Retried},
    hub::{Fetched, HubRepository},
    model::{ModelStatus, Quantization},
    run::journal::ConversionLoss,
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
    /// Work on it has moved on by some percent.
    ModelProgressed(Progressed),
    /// Its files have been read: it is ready, unless its weights are to be converted.
    ModelInspected(Inspected),
    /// Its weights have been converted: it is ready.
    ModelQuantized(Quantized),
    /// It cannot be worked with.
    ModelFailed(Failed),
    /// The run that looked at it is gone without a word.
    ModelLeaseExpired(LeaseExpired),
    /// Another attempt is to be made.
    ModelRetried(Retried),
    /// It is gone, and its id is not used again.
    ModelDeleted {},
}

/// Somebody wants to work with a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// What people call it.
    pub name: String,
    /// Its family (`llama`, …), where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// How its weights are to be held; none: as they come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<Quantization>,
    /// Where its files are to be fetched from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<HubRepository>,
}

/// A model's files are on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downloaded {
    /// A GGUF file or a Hugging Face directory.
    pub file_path: String,
    /// Bytes of it.
    pub disk_size_bytes: i64,
    /// The family that its files name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// How its files say that its weights are held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<Quantization>,
    /// The run that fetched it; none: it was here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched: Option<Fetched>,
}

/// Work on a model has moved on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progressed {
    /// The run's lease.
    pub lease: Lease,
    /// The line of its journal.
    pub seq: u64,
    /// What is being done: the model's status.
    pub stage: ModelStatus,
    /// 0 to 100, of the stage.
    pub percent: f64,
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
    /// Its family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    /// How most of its weights are stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantization: Option<Quantization>,
    /// What the weights are being converted to; none: it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub converts_to: Option<Quantization>,
}

/// A model's weights have been converted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantized {
    /// The run's lease.
    pub lease: Lease,
    /// The line of its journal.
    pub seq: u64,
    /// The directory of the converted model, which runs use from here on.
    pub quantized_path: String,
    /// Bytes of its files.
    pub disk_size_bytes: i64,
    /// What a run on it needs in memory.
    pub memory_required_bytes: i64,
    /// What the conversion costs, where it could be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<ConversionLoss>,
}

impl ModelEvent {
    /// As the log's `type` column holds it.
    #[must_use]
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::ModelRegistered(_) => "ModelRegistered",
            Self::ModelDownloaded(_) => "ModelDownloaded",
            Self::ModelClaimed(_) => "ModelClaimed",
            Self::ModelProgressed(_) => "ModelProgressed",
            Self::ModelInspected(_) => "ModelInspected",
            Self::ModelQuantized(_) => "ModelQuantized",
            Self::ModelFailed(_) => "ModelFailed",
            Self::ModelLeaseExpired(_) => "ModelLeaseExpired",
            Self::ModelRetried(_) => "ModelRetried",
            Self::ModelDeleted {} => "ModelDeleted",
        }
    }

    /// What it sets in motion.
    #[must_use]
    pub fn task(&self) -> Option<Task> {
        match self {
            Self::ModelRegistered(registered) => {
                let fetch = Task::Dispatch { not_before: None };
                registered.hub.is_some().then_some(fetch)
            }
            // What a run has fetched it goes on with.
            Self::ModelDownloaded(files) => {
                let look = Task::Dispatch { not_before: None };
                files.fetched.is_none().then_some(look)
            }
            Self::ModelRetried(retried) => Some(Task::Dispatch {
                not_before: retried.not_before,
            }),
            Self::ModelInspected(found) => found.converts_to.is_none().then_some(Task::Unblock),
            Self::ModelQuantized(_) => Some(Task::Unblock),
            _ => None,
        }
    }
}
