//! What can have happened to a job.

use crate::{
    Lease, Task,
    attempt::{Claimed, Failed, LeaseExpired, Retried},
    id::TrainingId,
    job::JobWork,
    run::journal::{Artifact, Completion, Scoring},
    slurm::Placement,
};
use serde::{Deserialize, Serialize};

/// What can have happened to a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload")]
pub enum JobEvent {
    /// Somebody wants it.
    JobQueued(Queued),
    /// A worker took it.
    JobClaimed(Claimed),
    /// It has moved on by some percent.
    JobProgressed(Progressed),
    /// An extraction found features: rows of `features` in an artifact.
    FeaturesExtracted(FeaturesExtracted),
    /// Their names, made by a program, are in the same artifact.
    FeaturesLabelled(FeaturesLabelled),
    /// Their scores are in the same artifact.
    FeaturesScored(FeaturesScored),
    /// Their strongest examples: rows of `feature_activations` in an artifact.
    ActivationsAttached(ActivationsAttached),
    /// A generation wrote text.
    TextGenerated(TextGenerated),
    /// A prediction segmented its images.
    Predicted(Predicted),
    /// It is done.
    JobCompleted(Ended),
    /// Somebody asked to end it.
    CancelRequested {},
    /// It ended early, by request, and nothing of it is kept.
    JobCancelled(Ended),
    /// It failed.
    JobFailed(Failed),
    /// Its run is gone without a word.
    JobLeaseExpired(LeaseExpired),
    /// Another attempt is to be made.
    JobRetried(Retried),
}

/// Somebody wants a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Queued {
    /// What is to be done.
    pub work: JobWork,
    /// On which cluster; none: on this machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
}

impl From<JobWork> for Queued {
    /// On this machine.
    fn from(work: JobWork) -> Self {
        Self {
            work,
            placement: None,
        }
    }
}

/// A job has moved on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progressed {
    /// The run's lease.
    pub lease: Lease,
    /// The line of its journal.
    pub seq: u64,
    /// What is being done.
    pub stage: String,
    /// 0 to 100, of the stage.
    pub percent: f64,
}

/// Which features an artifact is about: the feature of latent `neuron_index` has the id `first_feature_id + neuron_index`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureBlock {
    /// The training whose autoencoders have them.
    pub training_id: TrainingId,
    /// The first of the ids that are reserved for the training's latents; a multiple of [`crate::job::FEATURES_PER_PARTITION`].
    pub first_feature_id: i64,
    /// Latents of all the training's autoencoders: ids that are in use.
    pub latents: i64,
}

/// Features were found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeaturesExtracted {
    /// The run's lease.
    pub lease: Lease,
    /// The line of its journal.
    pub seq: u64,
    /// Whose.
    pub block: FeatureBlock,
    /// Their rows: [`crate::run::artifact`] says which columns.
    pub artifact: Artifact,
    /// Packed sequences that were read.
    pub samples: i64,
    /// Tokens that were read, padding and special tokens not counted.
    pub tokens: i64,
}

/// Features were named by a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeaturesLabelled {
    /// The run's lease.
    pub lease: Lease,
    /// The line of its journal.
    pub seq: u64,
    /// Whose.
    pub block: FeatureBlock,
    /// The artifact with the columns `name` and `description`. A name that a person gave stays.
    pub artifact: Artifact,
}

/// Features were scored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeaturesScored {
    /// The run's lease.
    pub lease: Lease,
    /// The line of its journal.
    pub seq: u64,
    /// Whose.
    pub block: FeatureBlock,
    /// The artifact with the column `interpretability_score` and a column for each component.
    pub artifact: Artifact,
    /// How.
    pub scoring: Scoring,
}

/// Features have examples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivationsAttached {
    /// The run's lease.
    pub lease: Lease,
    /// The line of its journal.
    pub seq: u64,
    /// Whose.
    pub block: FeatureBlock,
    /// Their rows: [`crate::run::artifact`] says which columns.
    pub artifact: Artifact,
}

/// Text was generated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TextGenerated {
    /// The run's lease.
    pub lease: Lease,
    /// The line of its journal.
    pub seq: u64,
    /// Without intervention.
    pub plain: Completion,
    /// With it, from the same seed; none where none was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub steered: Option<Completion>,
}

/// Images were segmented.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Predicted {
    /// The run's lease.
    pub lease: Lease,
    /// The line of its journal.
    pub seq: u64,
    /// The directory of the files.
    pub output_dir: String,
    /// What was found in each image.
    pub prediction: serde_json::Value,
}

/// It ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The lease that ended; 0 when it never ran.
    pub lease: Lease,
    /// The line of its journal; 0 when it never ran.
    pub seq: u64,
}

impl JobEvent {
    /// As the log's `type` column holds it.
    #[must_use]
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::JobQueued(_) => "JobQueued",
            Self::JobClaimed(_) => "JobClaimed",
            Self::JobProgressed(_) => "JobProgressed",
            Self::FeaturesExtracted(_) => "FeaturesExtracted",
            Self::FeaturesLabelled(_) => "FeaturesLabelled",
            Self::FeaturesScored(_) => "FeaturesScored",
            Self::ActivationsAttached(_) => "ActivationsAttached",
            Self::TextGenerated(_) => "TextGenerated",
            Self::Predicted(_) => "Predicted",
            Self::JobCompleted(_) => "JobCompleted",
            Self::CancelRequested {} => "CancelRequested",
            Self::JobCancelled(_) => "JobCancelled",
            Self::JobFailed(_) => "JobFailed",
            Self::JobLeaseExpired(_) => "JobLeaseExpired",
            Self::JobRetried(_) => "JobRetried",
        }
    }

    /// What it sets in motion.
    #[must_use]
    pub fn task(&self) -> Option<Task> {
        match self {
            Self::JobQueued(_) => Some(Task::Dispatch { not_before: None }),
            Self::JobRetried(retried) => Some(Task::Dispatch {
                not_before: retried.not_before,
            }),
            Self::CancelRequested {} => Some(Task::Control),
            _ => None,
        }
    }

    /// Whether nothing but a person's retry can follow it.
    #[must_use]
    pub const fn is_terminal(&self) -> bool {
        matches!(self, Self::JobCompleted(_) | Self::JobCancelled(_))
    }
}
