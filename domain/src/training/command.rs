//! What can be asked of a training, and why it may be refused.

use crate::{
    Lease,
    attempt::{Claim, LeaseRefusal, Loss, Report},
    hyperparameters::{Hyperparameters, InvalidHyperparameter},
    id::{CheckpointId, DatasetId, InvalidId, ModelId},
    segmentation::SegmentationSettings,
    slurm::{Placement, placement::InvalidPlacement},
    training::{EncoderType, Fold},
};
use chrono::{DateTime, Utc};

/// What can be asked of a training.
#[derive(Clone, Debug, PartialEq)]
#[allow(
    clippy::large_enum_variant,
    reason = "a command lives for one decision and is never kept among others"
)]
pub enum TrainingCommand {
    /// Want it.
    Queue(QueueTraining),
    /// Want a network trained that segments images.
    QueueSegmentation(Box<QueueSegmentation>),
    /// Take it: mint a lease.
    Claim(Claim),
    /// Hear what its run says.
    Report(Box<Report>),
    /// Ask its run to rest at a checkpoint.
    RequestPause,
    /// The run did not rest in time and has been ended.
    EndOverduePause {
        /// The lease that was ended.
        lease: Lease,
    },
    /// Go on.
    Resume,
    /// Ask to stop for good, keeping what there is.
    RequestStop,
    /// Try again after a failure.
    Retry,
    /// Its run is gone.
    LoseLease(Loss),
    /// Delete it with all that is its own.
    Delete,
    /// Do without something of it that is not needed any more.
    Prune(Prune),
}

/// What of a training is not needed any more.
#[derive(Clone, Debug, PartialEq)]
pub enum Prune {
    /// Recorded steps that ended before a time.
    Metrics {
        /// The time.
        before: DateTime<Utc>,
    },
    /// A checkpoint.
    Checkpoint {
        /// Which.
        id: CheckpointId,
        /// Why not.
        because: Unneeded,
    },
    /// Weak examples of its features.
    Activations {
        /// So many of each feature stay, the strongest.
        keep_top: u32,
        /// None that is weaker stays.
        minimum: f64,
    },
}

/// Why a checkpoint is not needed any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unneeded {
    /// There are so many newer ones, and one with a lower loss.
    Superseded {
        /// How many.
        keep_last: u32,
    },
    /// It has grown too old, and the training has ended.
    Expired,
}

/// A training that somebody wants.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueTraining {
    /// Whose activations.
    pub model_id: ModelId,
    /// On which text.
    pub dataset_id: DatasetId,
    /// Which kind.
    pub encoder_type: EncoderType,
    /// How.
    pub hyperparameters: Hyperparameters,
    /// A SAELens directory whose autoencoder is taken as the result, instead of training one.
    pub import_from: Option<String>,
    /// On which cluster; none: on this machine.
    pub placement: Option<Placement>,
}

/// A segmentation training that somebody wants.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueSegmentation {
    /// What it is called.
    pub name: String,
    /// Where the images are.
    pub images_path: String,
    /// Where their labels are.
    pub labels_path: String,
    /// How.
    pub settings: SegmentationSettings,
    /// Of which cross-validation it is a part.
    pub fold: Option<Fold>,
    /// On which cluster; none: on this machine.
    pub placement: Option<Placement>,
}

/// Why a command is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum TrainingRefusal {
    /// No such training.
    #[error("there is no such training")]
    Absent,
    /// The id is taken.
    #[error("there is a training of that id already")]
    Exists,
    /// The status does not allow it.
    #[error("a training that is {status} cannot be {wanted}{}", hint(.status, .wanted))]
    NotAllowed {
        /// What it is.
        status: &'static str,
        /// What was wanted, as a participle.
        wanted: &'static str,
    },
    /// A hyperparameter is out of range.
    #[error(transparent)]
    Hyperparameter(#[from] InvalidHyperparameter),
    /// The cluster cannot be asked for that.
    #[error(transparent)]
    Placement(#[from] InvalidPlacement),
    /// Something of it cannot be recorded.
    #[error("{name} must be {must}")]
    Value {
        /// Its name in JSON.
        name: &'static str,
        /// What it must be.
        must: &'static str,
    },
    /// A transcoder stands for an MLP.
    #[error(
        "encoder type {0} learns what an MLP makes of what it reads: give it the hook \"mlp\" (of each of its hooks), or use sparse"
    )]
    NotAnMlp(&'static str),
    /// About leases.
    #[error(transparent)]
    Lease(#[from] LeaseRefusal),
    /// The journal says what cannot be.
    #[error("the run's journal cannot be believed: {0}")]
    Unbelievable(String),
    /// A checkpoint that something needs.
    #[error("checkpoint {id} is needed: {why}")]
    Needed {
        /// Which.
        id: CheckpointId,
        /// By what.
        why: &'static str,
    },
    /// Activations that no policy could mean.
    #[error(
        "at least one example of a feature must stay, and the least activation must be a finite number"
    )]
    Activations,
    /// An id cannot be made.
    #[error(transparent)]
    Id(#[from] InvalidId),
}

fn hint(status: &str, wanted: &str) -> &'static str {
    match (status, wanted) {
        ("initializing" | "training", "deleted") => "; stop it first",
        ("paused", "paused") => "; resume or stop it",
        ("queued", "paused") => "; it has not begun: stop it, or wait until it runs",
        ("failed" | "error", "resumed" | "stopped" | "paused") => "; retry it",
        ("completed" | "stopped", _) => "; queue a new one",
        (_, "retried") => "; only one that failed can be",
        (_, "resumed") => "; only a paused one can be",
        _ => "",
    }
}
