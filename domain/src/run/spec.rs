//! What a run is to do: `spec.json`.

use crate::{Lease, hyperparameters::Hyperparameters, id::TrainingId};
use serde::{Deserialize, Serialize};

/// What to do, under which lease, within which limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// [`super::CONTRACT_VERSION`].
    pub contract: u32,
    /// The id of the dataset, model or training that is worked on; also the name of the run's directory.
    pub run_id: String,
    /// The lease under which everything is reported.
    pub lease: Lease,
    /// W3C trace context of the claim, so that the run's span joins the trace of the request that caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// How often `heartbeat` is replaced and `control` is looked at, at least.
    pub heartbeat_interval_ms: u64,
    /// Where and with how much of the machine.
    pub resources: Resources,
    /// The work itself.
    pub work: Work,
}

/// What the run may use of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// `cpu`, or `cuda:<n>`.
    pub device: String,
    /// Threads for libtorch's intra-op pool and the tokenizer.
    pub cpu_threads: usize,
    /// Address-space independent limit on resident memory that the runner sets; what the trainer sizes its buffers by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_limit_bytes: Option<u64>,
}

/// The kinds of work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// Look at a model: verify that its files can be read, count its parameters.
    InspectModel(InspectModel),
    /// Read a dataset's text and tokenise it into a file of packed sequences.
    PrepareDataset(PrepareDataset),
    /// Train an autoencoder on a model's activations.
    Train(Box<Train>),
}

/// Look at a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InspectModel {
    /// A GGUF file or a Hugging Face directory.
    pub model_path: String,
    /// The family it was registered as (`llama`).
    pub architecture: String,
    /// `Q4`, `Q8`, `FP16`, `FP32` or `INT8`, as registered.
    pub quantization: String,
}

/// Tokenise a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrepareDataset {
    /// A file or a directory of `.txt` and `.jsonl` files (sorted by name).
    pub source_path: String,
    /// For JSONL: the field that holds the text.
    pub text_column: String,
    /// The model (GGUF file or Hugging Face directory) whose tokenizer is used.
    pub tokenizer_path: String,
    /// Tokens in a packed sequence, the beginning-of-sequence token included.
    pub context_length: u32,
    /// The directory to write: `tokens.bin` and `tokens.json`, renamed into place when whole.
    pub output_path: String,
}

/// Train an autoencoder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Train {
    /// The training.
    pub training_id: TrainingId,
    /// A GGUF file or a Hugging Face directory.
    pub model_path: String,
    /// What the SAELens directory names as its model.
    pub model_name: String,
    /// A directory that [`PrepareDataset`] wrote.
    pub tokenized_path: String,
    /// `sparse`.
    pub encoder_type: String,
    /// How to train.
    pub hyperparameters: Hyperparameters,
    /// The checkpoint to go on from; none: from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_from: Option<ResumeFrom>,
}

/// A checkpoint to go on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumeFrom {
    /// Steps that are done.
    pub step: u64,
    /// The checkpoint's directory.
    pub path: String,
    /// The hash that its record announced (see [`super::journal::Record::CheckpointSaved`]).
    pub sha256: String,
}
