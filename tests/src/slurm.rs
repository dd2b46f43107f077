//! A real SLURM for tests: four nodes on this host, nothing left behind. `ops/slurm/private-cluster` makes it and tears it down.
//!
//! ```no_run
//! let Some(cluster) = trainmaster_tests::slurm::Cluster::start() else {
//!     return; // There is no SLURM on this machine; that has been said.
//! };
//! let job = cluster.run("sbatch", &["--parsable", "--wrap", "true"]);
//! ```
//!
//! Programs that are given its [`Cluster::environment`] find wrappers of SLURM's own programs on their `PATH`: they count the calls, and do a
//! [`Mischief`] when a test asks for one.

mod cluster;
mod jobs;
mod lab;
mod ledger;
mod wrappers;

pub use cluster::Cluster;
pub use jobs::Job;
pub use lab::{PicJob, SlurmLab};
pub use ledger::Told;
pub use wrappers::{Mischief, PROGRAMS, Wrappers};
