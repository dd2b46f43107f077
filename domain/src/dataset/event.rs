//! What can have happened to a dataset.

use crate::{
    Lease, Task,
    attempt::{Claimed, Failed, LeaseExpired, Retried},
    dataset::{DatasetSource, DatasetStatus},
    hub::{Fetched, HubData},
    id::ModelId,
};
use serde::{Deserialize, Serialize};

/// What can have happened to a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload")]
pub enum DatasetEvent {
    /// Somebody wants to work with it.
    DatasetRegistered(Registered),
    /// Its files are on this machine.
    DatasetDownloaded(Downloaded),
    /// A worker took it, to read and tokenise it.
    DatasetClaimed(Claimed),
    /// Work on it has moved on by some percent.
    DatasetProgressed(Progressed),
    /// All its text has been read.
    DatasetIngested(Ingested),
    /// It is tokenised: it is ready.
    DatasetTokenized(Tokenized),
    /// It cannot be worked with.
    DatasetFailed(Failed),
    /// The run that worked on it is gone without a word.
    DatasetLeaseExpired(LeaseExpired),
    /// Another attempt is to be made, from the stage that failed.
    DatasetRetried(Retried),
    /// It is to be tokenised for another model, too.
    DatasetTokenizationRequested(TokenizationRequested),
    /// It is gone, and its id is not used again.
    DatasetDeleted {},
}

/// Somebody wants to work with a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// What people call it.
    pub name: String,
    /// Where it comes from.
    pub source: DatasetSource,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// For all but text files: the column that holds the text.
    pub text_column: String,
    /// The model whose tokenizer reads it.
    pub tokenizer_model_id: ModelId,
    /// Tokens in a packed sequence.
    pub context_length: u32,
    /// Where its files are to be fetched from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<HubData>,
}

/// A dataset's files are on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Downloaded {
    /// A file or a directory.
    pub file_path: String,
    /// Bytes of it.
    pub size_bytes: i64,
    /// The run that fetched it; none: it was here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched: Option<Fetched>,
}

/// Work on a dataset has moved on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progressed {
    /// The run's lease.
    pub lease: Lease,
    /// The line of its journal.
    pub seq: u64,
    /// What is being done: the dataset's status.
    pub stage: DatasetStatus,
    /// 0 to 100, of the stage.
    pub percent: f64,
}

/// All text has been read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingested {
    /// The run's lease.
    pub lease: Lease,
    /// The line of its journal.
    pub seq: u64,
    /// Documents.
    pub num_samples: i64,
    /// Bytes of the source files.
    pub size_bytes: i64,
    /// Lower-case hex SHA-256 of the text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_sha256: Option<String>,
}

/// A dataset is to be tokenised for another model, too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenizationRequested {
    /// The model whose tokenizer reads it.
    pub tokenizer_model_id: ModelId,
}

/// A dataset is tokenised.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tokenized {
    /// The run's lease.
    pub lease: Lease,
    /// The line of its journal.
    pub seq: u64,
    /// The directory of packed sequences.
    pub tokenized_path: String,
    /// Tokens.
    pub num_tokens: i64,
    /// Entries of the tokenizer's vocabulary.
    pub vocab_size: i64,
    /// Tokens a document, on average.
    pub avg_sequence_length: f64,
    /// Packed sequences.
    pub num_sequences: i64,
    /// Of `tokens.bin`.
    pub sha256: String,
}

impl DatasetEvent {
    /// As the log's `type` column holds it.
    #[must_use]
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::DatasetRegistered(_) => "DatasetRegistered",
            Self::DatasetDownloaded(_) => "DatasetDownloaded",
            Self::DatasetClaimed(_) => "DatasetClaimed",
            Self::DatasetProgressed(_) => "DatasetProgressed",
            Self::DatasetIngested(_) => "DatasetIngested",
            Self::DatasetTokenized(_) => "DatasetTokenized",
            Self::DatasetFailed(_) => "DatasetFailed",
            Self::DatasetLeaseExpired(_) => "DatasetLeaseExpired",
            Self::DatasetRetried(_) => "DatasetRetried",
            Self::DatasetDeleted {} => "DatasetDeleted",
            Self::DatasetTokenizationRequested(_) => "DatasetTokenizationRequested",
        }
    }

    /// What it sets in motion.
    #[must_use]
    pub fn task(&self) -> Option<Task> {
        match self {
            Self::DatasetRegistered(registered) => {
                let fetch = Task::Dispatch { not_before: None };
                registered.hub.is_some().then_some(fetch)
            }
            // What a run has fetched it goes on with.
            Self::DatasetDownloaded(files) => {
                let read = Task::Dispatch { not_before: None };
                files.fetched.is_none().then_some(read)
            }
            Self::DatasetTokenizationRequested(_) => Some(Task::Dispatch { not_before: None }),
            Self::DatasetRetried(retried) => Some(Task::Dispatch {
                not_before: retried.not_before,
            }),
            Self::DatasetTokenized(_) => Some(Task::Unblock),
            _ => None,
        }
    }
}
