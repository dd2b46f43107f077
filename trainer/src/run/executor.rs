//! Who executes a run, and what it says by signal.

use super::remark::remark;
use crate::slurm::SlurmJob;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Who executes a run, and what was heard of it by signal. Clones share what was heard.
#[derive(Clone, Debug)]
pub struct Executor {
    terminated: Arc<AtomicBool>,
    time_is_nearly_up: Arc<AtomicBool>,
    job: Option<Arc<SlurmJob>>,
}

impl Executor {
    /// The daemon, on its own machine: SIGTERM, which sets `terminated`, asks for a pause.
    #[must_use]
    pub fn daemon(terminated: Arc<AtomicBool>) -> Self {
        Self {
            terminated,
            time_is_nearly_up: Arc::default(),
            job: None,
        }
    }

    /// SLURM: SIGTERM, which sets `terminated`, says that the job ends; SIGUSR1, which sets `time_is_nearly_up`, that its time limit is near.
    #[must_use]
    pub fn slurm(
        job: SlurmJob,
        terminated: Arc<AtomicBool>,
        time_is_nearly_up: Arc<AtomicBool>,
    ) -> Self {
        Self {
            terminated,
            time_is_nearly_up,
            job: Some(Arc::new(job)),
        }
    }

    pub(super) fn is_slurm(&self) -> bool {
        self.job.is_some()
    }

    pub(super) fn has_terminated(&self) -> bool {
        self.terminated.load(Ordering::Relaxed)
    }

    pub(super) fn time_is_nearly_up(&self) -> bool {
        self.time_is_nearly_up.load(Ordering::Relaxed)
    }

    /// Asks SLURM for another turn. Where it refuses, the run goes on for what is left of this one, and is not told of its end again.
    pub(super) fn requeue(&self) -> bool {
        let Some(job) = &self.job else { return false };
        self.time_is_nearly_up.store(false, Ordering::Relaxed);
        job.requeue()
            .inspect_err(|error| {
                remark(format_args!("SLURM does not put job {job} back: {error}"));
            })
            .is_ok()
    }
}
