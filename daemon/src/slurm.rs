//! SLURM, as this daemon sees it: clusters by name, the programs that are called, and what is known of jobs.
//!
//! Nothing outside of this module knows a SLURM program. All that is learned of jobs comes from one `squeue` a cluster and interval ([`Poller`]),
//! whatever their number.

mod call;
mod cluster;
mod commands;
mod completion;
mod error;
mod jobs;
mod phase;
mod poll;
mod submission;
mod submit;
mod templates;
mod watched;

pub use cluster::{Cluster, Clusters};
pub use commands::{Lookup, Queued, Submit, output_pattern};
pub use error::SlurmError;
pub(crate) use jobs::Followed;
pub use jobs::{Slurm, SlurmOptions};
pub use poll::{ClusterHealth, JobWatch, Known, PollOptions, Poller};
pub(crate) use submission::{Asked, SubmissionDirectory};
pub(crate) use submit::Batch;
pub use templates::{Templates, UnusableTemplate};
pub use watched::Watched;
