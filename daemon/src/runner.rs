//! Runners: what executes a run from its directory. The local one starts the trainer as a process of its own, in a session of its own;
//! the other one is SLURM ([`crate::slurm`]).
//!
//! The process outlives the daemon: nothing ties its life to its parent's (no PDEATHSIG, no pipe, its own session), and the
//! daemon that comes next finds it by its process id and the time at which it began.

mod directory;
mod execution;
mod exit;
mod identity;
mod launch;

pub use directory::{RunDirectory, StagedSpec};
pub(crate) use execution::{Execution, Turn};
pub use exit::{Exit, ProcessWatch};
pub use identity::ProcessIdentity;
pub use launch::{Launch, LaunchOptions};
