//! What can have happened to a SLURM job.

use crate::{Lease, StreamId, Task};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// What can have happened to a SLURM job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload")]
pub enum SlurmJobEvent {
    /// It is about to be submitted: whoever finds nothing after this has to look whether SLURM has it.
    SlurmSubmissionIntended(Submission),
    /// SLURM has it.
    SlurmJobSubmitted(Submitted),
    /// SLURM would not have it.
    SlurmSubmissionRefused(Refused),
    /// SLURM has started it.
    SlurmJobStarted(Started),
    /// SLURM has put it back into its queue.
    SlurmJobRequeued(Requeued),
    /// It is executed under the next lease of the run, having been put back into the queue.
    SlurmJobHandedOver(HandedOver),
    /// It is to be cancelled.
    SlurmCancelRequested {},
    /// SLURM said a state that this version does not know.
    SlurmStateSeen(StateSeen),
    /// It ended well.
    SlurmJobCompleted(Ended),
    /// It ended otherwise.
    SlurmJobFailed(Failed),
}

/// What a job is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobType {
    /// It trains.
    Training,
    /// It uses what was trained.
    Inference,
}

/// A task of what one `sbatch` submits, and all that is to be known of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// What all tasks of the same `sbatch` have in common; it travels in `--comment`.
    pub submission_id: String,
    /// The run that it executes.
    pub run: StreamId,
    /// The run's lease.
    pub lease: Lease,
    /// The cluster, by the name that the settings give it.
    pub cluster: String,
    /// What it is for.
    pub job_type: JobType,
    /// The fold of a cross-validation; 0 without one.
    pub fold_index: u16,
    /// The index of the task in an array; none: there is no array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub array_index: Option<u32>,
    /// The filled-in template.
    pub script: String,
    /// What a training is, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<TrainingDescription>,
    /// The directory that an inference writes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_dir: Option<String>,
}

/// What a training is, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrainingDescription {
    /// What it is called.
    pub name: String,
    /// Where its images are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub images_path: Option<String>,
    /// Where their labels are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels_path: Option<String>,
    /// Where its result comes to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_path: Option<String>,
}

/// SLURM has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submitted {
    /// What SLURM calls it: `123`, or `123_4` for a task of an array.
    pub sbatch_id: String,
    /// What was submitted.
    pub submission: Submission,
}

/// SLURM would not have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// What `sbatch` said.
    pub message: String,
}

/// SLURM has started it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// When, as SLURM says.
    pub at: DateTime<Utc>,
    /// How often it had been put back before.
    pub restarts: u32,
}

/// SLURM has put it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requeued {
    /// How often it has been put back, this time included.
    pub restarts: u32,
    /// Why, as SLURM says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// It is executed under another lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedOver {
    /// The lease.
    pub lease: Lease,
    /// The restart from which on.
    pub restarts: u32,
}

/// A state that this version does not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateSeen {
    /// As SLURM prints it.
    pub state: String,
}

/// It ended well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When, as SLURM says.
    pub at: DateTime<Utc>,
}

/// It ended otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    /// When, as SLURM says, or when it was noticed.
    pub at: DateTime<Utc>,
    /// The state that SLURM prints; none when it does not know the job any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// A sentence for people, which names the state.
    pub message: String,
}

impl SlurmJobEvent {
    /// As the log's `type` column holds it.
    #[must_use]
    pub const fn event_type(&self) -> &'static str {
        match self {
            Self::SlurmSubmissionIntended(_) => "SlurmSubmissionIntended",
            Self::SlurmJobSubmitted(_) => "SlurmJobSubmitted",
            Self::SlurmSubmissionRefused(_) => "SlurmSubmissionRefused",
            Self::SlurmJobStarted(_) => "SlurmJobStarted",
            Self::SlurmJobRequeued(_) => "SlurmJobRequeued",
            Self::SlurmJobHandedOver(_) => "SlurmJobHandedOver",
            Self::SlurmCancelRequested {} => "SlurmCancelRequested",
            Self::SlurmStateSeen(_) => "SlurmStateSeen",
            Self::SlurmJobCompleted(_) => "SlurmJobCompleted",
            Self::SlurmJobFailed(_) => "SlurmJobFailed",
        }
    }

    /// Nothing: what SLURM does is noticed by asking it.
    #[must_use]
    pub const fn task(&self) -> Option<Task> {
        None
    }
}
