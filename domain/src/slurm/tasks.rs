//! What a submission's tasks execute: the file `tasks.json` of the submission directory, which daemon and node share.
//!
//! ```text
//! slurm/<submission id>/
//!   script.sh      the filled-in template
//!   sbatch.json    what sbatch is asked beside it
//!   tasks.json     what its tasks execute ([`Tasks`])
//!   lock           held by whoever submits, and by `sbatch` itself until it ends
//!   sbatch.out     what `sbatch` printed
//! ```

use serde::{Deserialize, Serialize};

/// The name of the file.
pub const TASKS_FILE: &str = "tasks.json";

/// What the tasks of a submission execute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tasks {
    /// [`crate::run::CONTRACT_VERSION`].
    pub contract: u32,
    /// The submission.
    pub submission_id: String,
    /// A job that was put back into the queue waits on its node so long for the next lease.
    pub handover_timeout_seconds: u64,
    /// The tasks.
    pub tasks: Vec<TaskPlace>,
}

/// What one task executes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskPlace {
    /// Its index in the array; none: there is no array.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// The run's directory. Its `spec.json` says what to do, and under which lease.
    pub run_directory: String,
}
