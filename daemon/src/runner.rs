//! The local runner: starts the trainer as a process of its own, in a session of its own, from a run directory.
//!
//! The process outlives the daemon: nothing ties its life to its parent's (no PDEATHSIG, no pipe, its own session), and the
//! daemon that comes next finds it by its process id and the time at which it began.

mod directory;
mod exit;
mod identity;
mod launch;

pub use directory::{RunDirectory, StagedSpec};
pub use exit::{Exit, ProcessWatch};
pub use identity::ProcessIdentity;
pub use launch::{Launch, LaunchOptions};
