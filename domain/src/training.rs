//! A training, of an autoencoder or of a network that segments images: queued → initializing → training → completed, with pauses, stops, failures and retries.
//!
//! Each transition is a file of [`transition`]; the table is in `inventory.md` of the specification.

mod command;
mod event;
mod transition;

pub use command::{
    Prune, QueueSegmentation, QueueTraining, TrainingCommand, TrainingRefusal, Unneeded,
};
pub use event::{
    ActivationsPruned, CheckpointPruned, CheckpointSaved, Ended, Evaluated, Fold, MetricsPruned,
    MetricsRecorded, ModelProduced, Paused, Queued, ResultFiles, SegmentationEvaluated,
    SegmentationQueued, Started, TrainingEvent,
};

pub(crate) use transition::check_lengths;

use crate::{
    Aggregate, Category, Event, StreamId,
    attempt::Attempts,
    envelope::{IllegalTransition, WrongCategory},
    hyperparameters::Hyperparameters,
    id::{CheckpointId, DatasetId, ModelId},
    run::{control::Request, journal::SegmentationQuality},
    slurm::Placement,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// Which kind of autoencoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncoderType {
    /// A sparse autoencoder.
    Sparse,
    /// A transcoder with a linear skip connection.
    Skip,
    /// A transcoder.
    Transcoder,
}

impl EncoderType {
    /// As the tables hold it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sparse => "sparse",
            Self::Skip => "skip",
            Self::Transcoder => "transcoder",
        }
    }
}

/// The status of a training, as the tables hold it, and `Absent` before the first event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrainingStatus {
    /// Nothing has happened.
    #[default]
    Absent,
    /// Waits for a worker.
    Queued,
    /// Claimed; its run loads model and data.
    Initializing,
    /// Its run trains.
    Training,
    /// Rests at a checkpoint, or at the beginning.
    Paused,
    /// Ended early, by request.
    Stopped,
    /// Ended with all steps done.
    Completed,
    /// The workload failed.
    Failed,
    /// The infrastructure failed.
    Error,
    /// It was there.
    Deleted,
}

impl TrainingStatus {
    /// As the tables hold it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Queued => "queued",
            Self::Initializing => "initializing",
            Self::Training => "training",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Deleted => "deleted",
        }
    }

    /// Whether a run may be alive.
    #[must_use]
    pub const fn is_running(self) -> bool {
        matches!(self, Self::Initializing | Self::Training)
    }

    /// Whether no run is alive and none is waited for.
    #[must_use]
    pub const fn has_ended(self) -> bool {
        matches!(
            self,
            Self::Stopped | Self::Completed | Self::Failed | Self::Error
        )
    }

    /// Whether nothing can follow but its removal.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Stopped | Self::Completed)
    }
}

/// A checkpoint that can be gone on from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Its id.
    pub id: CheckpointId,
    /// Steps that are done in it.
    pub step: u64,
    /// Its directory.
    pub path: String,
    /// Its hash.
    pub sha256: String,
}

/// A checkpoint whose files are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeptCheckpoint {
    /// Its id.
    pub id: CheckpointId,
    /// Steps that are done in it.
    pub step: u64,
    /// Loss at that step.
    pub loss: Option<f64>,
    /// Its directory.
    pub path: String,
    /// Bytes of its files.
    pub size_bytes: i64,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// Whose activations.
    pub model_id: ModelId,
    /// On which text.
    pub dataset_id: DatasetId,
    /// Which kind.
    pub encoder_type: EncoderType,
    /// How.
    pub hyperparameters: Hyperparameters,
    /// A SAELens directory whose autoencoder is taken, instead of training one.
    pub import_from: Option<String>,
}

/// A training, as its events tell.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Training {
    status: TrainingStatus,
    definition: Option<Definition>,
    segmentation: Option<SegmentationQueued>,
    placement: Option<Placement>,
    total_steps: u64,
    current_step: u64,
    attempts: Attempts,
    requested: Option<Request>,
    latest_checkpoint: Option<Checkpoint>,
    /// By step.
    checkpoints: Vec<KeptCheckpoint>,
    metrics_pruned_before: Option<DateTime<Utc>>,
    evaluated_step: Option<u64>,
    quality: Option<SegmentationQuality>,
    model: Option<ModelProduced>,
    result: Option<ResultFiles>,
}

impl Training {
    /// Its status.
    #[must_use]
    pub const fn status(&self) -> TrainingStatus {
        self.status
    }
    /// What was asked for of an autoencoder; none before it was queued, and of a network that segments images.
    #[must_use]
    pub const fn definition(&self) -> Option<&Definition> {
        self.definition.as_ref()
    }
    /// What was asked for of a network that segments images.
    #[must_use]
    pub const fn segmentation(&self) -> Option<&SegmentationQueued> {
        self.segmentation.as_ref()
    }
    /// On which cluster it is executed; none: on the daemon's machine.
    #[must_use]
    pub const fn placement(&self) -> Option<&Placement> {
        self.placement.as_ref()
    }
    /// What its network made of held-out images last.
    #[must_use]
    pub const fn quality(&self) -> Option<&SegmentationQuality> {
        self.quality.as_ref()
    }
    /// The model that its network is, once there is one.
    #[must_use]
    pub const fn model(&self) -> Option<&ModelProduced> {
        self.model.as_ref()
    }
    /// Steps to do.
    #[must_use]
    pub const fn total_steps(&self) -> u64 {
        self.total_steps
    }
    /// The last step that was recorded.
    #[must_use]
    pub const fn current_step(&self) -> u64 {
        self.current_step
    }
    /// Claims, leases, losses.
    #[must_use]
    pub const fn attempts(&self) -> &Attempts {
        &self.attempts
    }
    /// What its run has been asked to do and has not yet done.
    #[must_use]
    pub const fn requested(&self) -> Option<Request> {
        self.requested
    }
    /// Where the next attempt goes on; none: at the beginning.
    #[must_use]
    pub const fn latest_checkpoint(&self) -> Option<&Checkpoint> {
        self.latest_checkpoint.as_ref()
    }
    /// All checkpoints whose files are kept, by step.
    #[must_use]
    pub fn checkpoints(&self) -> &[KeptCheckpoint] {
        &self.checkpoints
    }
    /// The autoencoder, once there is one.
    #[must_use]
    pub const fn result(&self) -> Option<&ResultFiles> {
        self.result.as_ref()
    }
    /// The step that an attempt from here goes on from.
    fn resume_step(&self) -> u64 {
        self.latest_checkpoint
            .as_ref()
            .map_or(0, |checkpoint| checkpoint.step)
    }
}

impl Aggregate for Training {
    const CATEGORY: Category = Category::Training;
    type Command = TrainingCommand;
    type Event = TrainingEvent;
    type Refusal = TrainingRefusal;

    fn decide(&self, command: TrainingCommand) -> Result<Vec<TrainingEvent>, TrainingRefusal> {
        match command {
            TrainingCommand::Queue(queue) => self.queue(queue),
            TrainingCommand::QueueSegmentation(queue) => self.queue_segmentation(*queue),
            TrainingCommand::Claim(claim) => self.claim(&claim),
            TrainingCommand::Report(report) => self.report(*report),
            TrainingCommand::RequestPause => self.request_pause(),
            TrainingCommand::EndOverduePause { lease } => self.end_overdue_pause(lease),
            TrainingCommand::Resume => self.resume(),
            TrainingCommand::RequestStop => self.request_stop(),
            TrainingCommand::Retry => self.retry(),
            TrainingCommand::LoseLease(loss) => self.lose_lease(&loss),
            TrainingCommand::Delete => self.delete(),
            TrainingCommand::Prune(prune) => self.prune(prune),
        }
    }

    fn evolve(&mut self, event: &TrainingEvent) -> Result<(), IllegalTransition> {
        let legal = match event {
            TrainingEvent::TrainingQueued(queued) => self.on_queued(queued),
            TrainingEvent::SegmentationQueued(queued) => self.on_segmentation_queued(queued),
            TrainingEvent::TrainingClaimed(claimed) => self.on_claimed(claimed),
            TrainingEvent::TrainingStarted(started) => self.on_started(started),
            TrainingEvent::MetricsRecorded(recorded) => self.on_metrics(recorded),
            TrainingEvent::CheckpointSaved(saved) => self.on_checkpoint(saved),
            TrainingEvent::TrainingEvaluated(evaluated) => self.on_evaluated(evaluated),
            TrainingEvent::SegmentationEvaluated(evaluated) => {
                self.on_segmentation_evaluated(evaluated)
            }
            TrainingEvent::ModelProduced(produced) => self.on_model_produced(produced),
            TrainingEvent::PauseRequested {} => self.on_requested(Request::Pause),
            TrainingEvent::StopRequested {} => self.on_requested(Request::Stop),
            TrainingEvent::TrainingPaused(paused) => self.on_paused(paused),
            TrainingEvent::TrainingResumed {} => self.on_resumed(),
            TrainingEvent::TrainingStopped(ended) => self.on_stopped(ended),
            TrainingEvent::TrainingCompleted(ended) => self.on_completed(ended),
            TrainingEvent::TrainingFailed(failed) => self.on_failed(failed),
            TrainingEvent::TrainingErrored(failed) => self.on_errored(failed),
            TrainingEvent::TrainingLeaseExpired(expired) => self.on_lease_expired(expired),
            TrainingEvent::TrainingRetried(retried) => self.on_retried(retried),
            TrainingEvent::TrainingDeleted {} => self.on_deleted(),
            TrainingEvent::MetricsPruned(pruned) => self.on_metrics_pruned(pruned),
            TrainingEvent::CheckpointPruned(pruned) => self.on_checkpoint_pruned(pruned),
            TrainingEvent::ActivationsPruned(_) => self.status.has_ended(),
        };
        if legal {
            Ok(())
        } else {
            Err(IllegalTransition {
                category: Category::Training,
                status: self.status.as_str(),
                event: event.event_type(),
            })
        }
    }

    fn is_deleted(&self) -> bool {
        self.status == TrainingStatus::Deleted
    }

    fn needs(&self, events: &[TrainingEvent]) -> Vec<StreamId> {
        let queued = events.iter().find_map(|event| match event {
            TrainingEvent::TrainingQueued(queued) => Some(queued),
            _ => None,
        });
        queued.map_or_else(Vec::new, |queued| {
            vec![
                StreamId::new(Category::Model, queued.model_id.as_str()),
                StreamId::new(Category::Dataset, queued.dataset_id.as_str()),
            ]
        })
    }
}

impl From<TrainingEvent> for Event {
    fn from(event: TrainingEvent) -> Self {
        Self::Training(event)
    }
}

impl TryFrom<Event> for TrainingEvent {
    type Error = WrongCategory;
    fn try_from(event: Event) -> Result<Self, WrongCategory> {
        match event {
            Event::Training(event) => Ok(event),
            other => Err(WrongCategory {
                event: other.event_type(),
                expected: Category::Training,
            }),
        }
    }
}
