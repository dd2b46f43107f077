//! What can have happened to a training.

use crate::{
    Lease, Task,
    attempt::{Claimed, Failed, LeaseExpired, Retried},
    hyperparameters::Hyperparameters,
    id::{CheckpointId, CrossValidationId, DatasetId, ModelId},
    run::journal::{EvaluatedSite, MetricsBatch, SegmentationQuality},
    segmentation::{SegmentationSettings, Split},
    slurm::Placement,
    training::EncoderType,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What can have happened to a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload")]
#[allow(
    clippy::large_enum_variant,
    reason = "events are read in pages of a bounded size, and half of them are metrics, which hold more on the heap"
)]
pub enum TrainingEvent {
    /// Somebody wants it.
    TrainingQueued(Queued),
    /// Somebody wants a network trained that segments images.
    SegmentationQueued(Box<SegmentationQueued>),
    /// A worker took it.
    TrainingClaimed(Claimed),
    /// Its run has loaded model and data.
    TrainingStarted(Started),
    /// Steps were recorded.
    MetricsRecorded(MetricsRecorded),
    /// A checkpoint is durable.
    CheckpointSaved(CheckpointSaved),
    /// It was measured on held-out tokens.
    TrainingEvaluated(Evaluated),
    /// It was measured on held-out images.
    SegmentationEvaluated(SegmentationEvaluated),
    /// What it trained is a model that others can use.
    ModelProduced(ModelProduced),
    /// Somebody asked for a pause.
    PauseRequested {},
    /// It rests at a checkpoint.
    TrainingPaused(Paused),
    /// It is to go on from where it rests.
    TrainingResumed {},
    /// Somebody asked to stop for good and keep what there is.
    StopRequested {},
    /// It ended early, by request.
    TrainingStopped(Ended),
    /// It ended with all its steps done.
    TrainingCompleted(Ended),
    /// The workload itself failed.
    TrainingFailed(Failed),
    /// The infrastructure failed.
    TrainingErrored(Failed),
    /// Its run is gone without a word.
    TrainingLeaseExpired(LeaseExpired),
    /// Another attempt is to be made.
    TrainingRetried(Retried),
    /// It is gone, with all that is its own, and its id is not used again.
    TrainingDeleted {},
    /// Recorded steps that have grown old are not kept any more.
    MetricsPruned(MetricsPruned),
    /// A checkpoint is not kept any more.
    CheckpointPruned(CheckpointPruned),
    /// Weak examples of its features are not kept any more.
    ActivationsPruned(ActivationsPruned),
}

/// Somebody wants a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Queued {
    /// Whose activations.
    pub model_id: ModelId,
    /// On which text.
    pub dataset_id: DatasetId,
    /// Which kind of autoencoder.
    pub encoder_type: EncoderType,
    /// How.
    pub hyperparameters: Hyperparameters,
    /// Steps to do; 0 for an autoencoder that was trained elsewhere.
    pub total_steps: u64,
    /// A SAELens directory whose autoencoder is taken as the result, instead of training one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import_from: Option<String>,
    /// On which cluster; none: on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Box<Placement>>,
}

/// Somebody wants a network trained that segments images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentationQueued {
    /// What it is called.
    pub name: String,
    /// Where the images are.
    pub images_path: String,
    /// Where their labels are.
    pub labels_path: String,
    /// How.
    pub settings: SegmentationSettings,
    /// Steps to do.
    pub total_steps: u64,
    /// Of which cross-validation it is a part; none: of none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fold: Option<Fold>,
    /// On which cluster; none: on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
}

/// A part of a cross-validation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold {
    /// The cross-validation.
    pub group: CrossValidationId,
    /// What is held out.
    pub split: Split,
}

/// A run goes on from a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// Its lease.
    pub lease: Lease,
    /// The line of its journal.
    pub seq: u64,
    /// Steps that were done before: whatever was recorded past it is void.
    pub at_step: u64,
    /// Width of the activations; none where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub d_in: Option<u32>,
    /// Latents; none where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub d_sae: Option<u32>,
}

/// A columnar batch of metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricsRecorded {
    /// The run's lease.
    pub lease: Lease,
    /// The line of its journal.
    pub seq: u64,
    /// The columns.
    pub metrics: MetricsBatch,
    /// The last of its steps in percent of all, where a reader is to know it that does not know how many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<f64>,
}

/// A checkpoint is durable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointSaved {
    /// The run's lease.
    pub lease: Lease,
    /// The line of its journal.
    pub seq: u64,
    /// Unique among all trainings: made from the checkpoint's place and content.
    pub checkpoint_id: CheckpointId,
    /// Steps that are done in it.
    pub step: u64,
    /// Loss at that step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// L0 at that step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<f64>,
    /// Its directory.
    pub storage_path: String,
    /// Bytes of its files.
    pub file_size_bytes: i64,
    /// See [`crate::run::journal::CheckpointSaved::sha256`].
    pub sha256: String,
}

/// It was measured on held-out tokens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluated {
    /// The run's lease.
    pub lease: Lease,
    /// The line of its journal.
    pub seq: u64,
    /// Steps that were done.
    pub step: u64,
    /// One for each place that is trained.
    pub sites: Vec<EvaluatedSite>,
}

/// It was measured on held-out images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentationEvaluated {
    /// The run's lease.
    pub lease: Lease,
    /// The line of its journal.
    pub seq: u64,
    /// What was found.
    pub quality: SegmentationQuality,
}

/// There is a model that others can use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelProduced {
    /// The run's lease.
    pub lease: Lease,
    /// Made of its place and content: a UUID.
    pub model_id: String,
    /// What it is called.
    pub model_name: String,
}

/// It rests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// The lease that ended.
    pub lease: Lease,
    /// The line of its journal; 0 when the daemon ended the run.
    pub seq: u64,
    /// The step at which it will go on.
    pub step: u64,
    /// Whether the run was ended because it did not answer in time, or was lost while it was asked to pause.
    pub forced: bool,
}

/// It ended with what it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The lease that ended.
    pub lease: Lease,
    /// The line of its journal; 0 when it never ran.
    pub seq: u64,
    /// Steps that are done.
    pub step: u64,
    /// The autoencoder's directory; none when it never ran.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ResultFiles>,
}

/// Recorded steps are not kept any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MetricsPruned {
    /// Those that ended before.
    pub before: DateTime<Utc>,
}

/// A checkpoint is not kept any more. Its files go after this.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointPruned {
    /// Which.
    pub checkpoint_id: CheckpointId,
    /// Steps that are done in it.
    pub step: u64,
    /// Its directory.
    pub storage_path: String,
    /// Bytes of its files.
    pub file_size_bytes: i64,
}

/// Examples of its features are not kept any more.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActivationsPruned {
    /// So many of each feature stay, the strongest.
    pub keep_top: u32,
    /// None that is weaker stays.
    pub minimum: f64,
}

/// A trained autoencoder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultFiles {
    /// Its directory.
    pub path: String,
    /// See [`crate::run::journal::Finished::sha256`].
    pub sha256: String,
}

impl TrainingEvent {
    /// As the log's `type` column holds it.
    #[must_use]
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::TrainingQueued(_) => "TrainingQueued",
            Self::SegmentationQueued(_) => "SegmentationQueued",
            Self::TrainingClaimed(_) => "TrainingClaimed",
            Self::TrainingStarted(_) => "TrainingStarted",
            Self::MetricsRecorded(_) => "MetricsRecorded",
            Self::CheckpointSaved(_) => "CheckpointSaved",
            Self::TrainingEvaluated(_) => "TrainingEvaluated",
            Self::SegmentationEvaluated(_) => "SegmentationEvaluated",
            Self::ModelProduced(_) => "ModelProduced",
            Self::PauseRequested {} => "PauseRequested",
            Self::TrainingPaused(_) => "TrainingPaused",
            Self::TrainingResumed {} => "TrainingResumed",
            Self::StopRequested {} => "StopRequested",
            Self::TrainingStopped(_) => "TrainingStopped",
            Self::TrainingCompleted(_) => "TrainingCompleted",
            Self::TrainingFailed(_) => "TrainingFailed",
            Self::TrainingErrored(_) => "TrainingErrored",
            Self::TrainingLeaseExpired(_) => "TrainingLeaseExpired",
            Self::TrainingRetried(_) => "TrainingRetried",
            Self::TrainingDeleted {} => "TrainingDeleted",
            Self::MetricsPruned(_) => "MetricsPruned",
            Self::CheckpointPruned(_) => "CheckpointPruned",
            Self::ActivationsPruned(_) => "ActivationsPruned",
        }
    }

    /// What it sets in motion.
    #[must_use]
    pub fn task(&self) -> Option<Task> {
        match self {
            Self::TrainingQueued(_) | Self::SegmentationQueued(_) | Self::TrainingResumed {} => {
                Some(Task::Dispatch { not_before: None })
            }
            Self::TrainingRetried(retried) => Some(Task::Dispatch {
                not_before: retried.not_before,
            }),
            Self::PauseRequested {} | Self::StopRequested {} => Some(Task::Control),
            _ => None,
        }
    }

    /// Whether nothing can follow it.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::TrainingStopped(_) | Self::TrainingCompleted(_))
    }
}
