//! SLURM: where a run can be placed besides this machine, and what happens to the jobs that it becomes there.
//!
//! A run keeps its aggregate and its lease, whoever executes it. The job that SLURM makes of one attempt at it is a stream of its own
//! ([`job::SlurmJob`]): intended, submitted, running, put back into the queue, ended.

pub mod event;
pub mod id;
pub mod job;
pub mod placement;
pub mod state;
pub mod tasks;
pub mod template;

pub use event::{JobType, SlurmJobEvent, Submission, TrainingDescription};
pub use job::{Observation, SlurmJob, SlurmJobCommand, SlurmJobRefusal, SlurmJobStatus};
pub use placement::{Placement, SlurmResources};
pub use state::{SlurmFailure, SlurmState};
pub use tasks::{TaskPlace, Tasks};
