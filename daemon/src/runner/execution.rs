//! What executes a run: a process of this machine, or a job of SLURM. Whoever looks after a run knows no more of it than this.

use super::{Exit, ProcessIdentity, ProcessWatch};
use crate::slurm::Followed;

/// What executes a run.
pub(crate) enum Execution {
    /// A process of this machine.
    Process(ProcessWatch),
    /// A job of a cluster.
    Slurm(Followed),
}

/// What has become of an execution.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It has ended, or has ended under this lease.
    Ended(Exit),
    /// It waits, or does not wait any more.
    Changed,
}

impl Execution {
    /// Waits for the next turn; for ever once it has ended. May be dropped while it waits.
    pub(crate) async fn turn(&mut self) -> Turn {
        match self {
            Self::Process(process) => Turn::Ended(process.exited().await),
            Self::Slurm(job) => match job.changed().await {
                Some((reason, message)) => Turn::Ended(Exit::Job(reason, message)),
                None => Turn::Changed,
            },
        }
    }

    /// Whether it is at work, so that it beats its heart and gets on.
    pub(crate) fn is_at_work(&self) -> bool {
        match self {
            Self::Process(_) => true,
            Self::Slurm(job) => job.is_at_work(),
        }
    }

    /// Ends it outright. Does nothing when it has ended.
    pub(crate) fn end(&self) {
        match self {
            Self::Process(process) => process.kill(),
            Self::Slurm(job) => job.cancel(),
        }
    }

    /// The process, where it is one.
    pub(crate) fn process(&self) -> Option<&ProcessIdentity> {
        match self {
            Self::Process(process) => Some(process.identity()),
            Self::Slurm(_) => None,
        }
    }

    /// Whether it ends by somebody else's hand, who takes his time.
    pub(crate) const fn is_remote(&self) -> bool {
        matches!(self, Self::Slurm(_))
    }
}

impl std::fmt::Display for Execution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Process(process) => write!(f, "process {}", process.identity().pid),
            Self::Slurm(job) => write!(f, "SLURM job {}", job.id()),
        }
    }
}
